// SPDX-License-Identifier: MIT
//
// The device's side of a split virtqueue (VIRTIO 1.2, section 2.7): takes descriptor chains out of
// the available ring and puts them back through the used ring.
//
// Pure: guest memory in, checked spans out; no interrupt, no loop, no lock. One thread at a time.
// The three ring areas are acquired once, when the queue is enabled; every value in them is fetched
// once into a private copy, checked there and used from there. Whatever the driver does wrong comes
// back as -EINVAL with virtqueue.fault naming the rule; the queue must not be used after that.
#pragma once

#include "devices/guest_memory.h"

#include <sys/uio.h>

#define VIRTQUEUE_MAX_SIZE 1024u    ///< entries; the specification allows 32768
#ifndef VIRTQUEUE_MAX_INDIRECT      // a proof makes it small
#define VIRTQUEUE_MAX_INDIRECT 256u ///< entries of an indirect table
#endif

/// What the driver told the transport about a queue.
struct virtqueue_config {
    uint16_t size;   ///< entries, a power of two
    gpa_t desc_gpa;  ///< descriptor table, 16 bytes aligned
    gpa_t avail_gpa; ///< driver area, 2 bytes aligned
    gpa_t used_gpa;  ///< device area, 4 bytes aligned
    bool indirect;   ///< VIRTIO_F_INDIRECT_DESC negotiated
    bool event_idx;  ///< VIRTIO_F_EVENT_IDX negotiated
};

struct virtqueue {
    const struct guest_memory *gm;
    const uint8_t *desc;  ///< size * 16 bytes
    const uint8_t *avail; ///< 6 + size * 2 bytes
    uint8_t *used;        ///< 6 + size * 8 bytes
    uint16_t size;
    bool indirect;
    bool event_idx;
    uint16_t next_avail; ///< next available entry to take
    uint16_t avail_seen; ///< driver's index when it was last fetched
    uint16_t next_used;  ///< next used entry to write
    uint16_t published;  ///< used index that the driver sees
    uint16_t decided;    ///< used index of the last interrupt decision
    const char *fault;   ///< rule the driver broke, or NULL
};

/// One descriptor chain. The caller gives spans and capacity; pop fills the rest. Readable and
/// writable spans stand behind each other in spans[]; the pointers move as bytes are consumed.
struct virtqueue_chain {
    struct iovec *spans;
    uint32_t capacity;
    uint16_t head; ///< goes back in virtqueue_push()
    struct iovec *readable;
    uint32_t readable_count;
    uint32_t readable_bytes; ///< left
    struct iovec *writable;
    uint32_t writable_count;
    uint32_t writable_bytes; ///< left
};

/// Acquires the ring areas and starts at index next_index (0 for a new queue). -EINVAL with fault
/// when size, alignment or placement are wrong.
int virtqueue_init(struct virtqueue *vq, const struct guest_memory *gm,
                   const struct virtqueue_config *config, uint16_t next_avail, uint16_t next_used);

/// Takes the next chain: 1, 0 when there is none, -EINVAL when the driver broke a rule. A chain
/// that needs more spans than capacity is such a case: the device announced its limit.
int virtqueue_pop(struct virtqueue *vq, struct virtqueue_chain *chain);

/// Gives back the chain that was popped last and not pushed: the next pop takes it again.
void virtqueue_unpop(struct virtqueue *vq);

/// Puts a chain into the used ring; the driver sees it after virtqueue_publish().
void virtqueue_push(struct virtqueue *vq, uint16_t head, uint32_t written_bytes);

/// Publishes everything pushed so far. Returns whether the driver wants an interrupt for it
/// (2.7.7.2, 2.7.10).
bool virtqueue_publish(struct virtqueue *vq);

/// Tells the driver that kicks are not needed while the queue is being drained. A hint.
void virtqueue_disable_kicks(struct virtqueue *vq);

/// Asks for a kick for the next chain, then looks again: returns whether chains arrived meanwhile
/// (then no kick may come for them).
bool virtqueue_enable_kicks(struct virtqueue *vq);

/// Copies from the front of the readable part and moves on. Returns how many bytes there were.
size_t virtqueue_chain_read(struct virtqueue_chain *chain, void *to, size_t size_bytes);

/// Copies to the front of the writable part and moves on. Returns how many bytes fitted.
size_t virtqueue_chain_write(struct virtqueue_chain *chain, const void *from, size_t size_bytes);

/// Drops bytes from the front of the readable part. False (nothing changed) when there are fewer.
bool virtqueue_chain_skip(struct virtqueue_chain *chain, uint32_t size_bytes);

/// Cuts the last byte off the writable part and returns its place, NULL when there is none.
uint8_t *virtqueue_chain_take_last(struct virtqueue_chain *chain);
