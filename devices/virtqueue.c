// SPDX-License-Identifier: MIT
//
// The device's side of a split virtqueue (VIRTIO 1.2, section 2.7).
#include "devices/virtqueue.h"

#include <errno.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "ring fields are read as they stand");

// 2.7.5 descriptor table
#define DESC_BYTES      16u
#define DESC_F_NEXT     1u
#define DESC_F_WRITE    2u
#define DESC_F_INDIRECT 4u
// 2.7.6 available ring: le16 flags, le16 idx, le16 ring[size], le16 used_event
#define AVAIL_F_NO_INTERRUPT 1u
#define AVAIL_IDX            2u
#define AVAIL_RING           4u
// 2.7.8 used ring: le16 flags, le16 idx, { le32 id, le32 len } ring[size], le16 avail_event
#define USED_F_NO_NOTIFY 1u
#define USED_IDX         2u
#define USED_RING        4u
#define USED_ELEM_BYTES  8u
#define RING_EXTRA_BYTES 6u // flags, idx and the event index

/// Private copy of a descriptor.
struct descriptor {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
};
_Static_assert(sizeof(struct descriptor) == DESC_BYTES, "wire size");

static int fault(struct virtqueue *vq, const char *rule) {
    vq->fault = rule;
    return -EINVAL;
}

// Ring fields are aligned: virtqueue_init() checked the areas. Relaxed atomics make each access one
// fetch that the compiler neither repeats nor splits.
static uint16_t load16(const uint8_t *at) {
    return __atomic_load_n((const uint16_t *)(const void *)at, __ATOMIC_RELAXED);
}

static void store16(uint8_t *at, uint16_t value) {
    __atomic_store_n((uint16_t *)(void *)at, value, __ATOMIC_RELAXED);
}

static struct descriptor load_descriptor(const uint8_t *at) {
    uint64_t words[2];
    struct descriptor d;

    words[0] = __atomic_load_n((const uint64_t *)(const void *)at, __ATOMIC_RELAXED);
    words[1] = __atomic_load_n((const uint64_t *)(const void *)(at + 8), __ATOMIC_RELAXED);
    memcpy(&d, words, sizeof(d));
    return d;
}

/// One ring area: contiguous RAM, aligned for the guest and for us.
static uint8_t *acquire(const struct guest_memory *gm, gpa_t start, uint64_t size_bytes,
                        uint64_t alignment) {
    struct iovec span;

    if (!is_aligned(start.value, alignment) || guest_spans(gm, start, size_bytes, &span, 1) != 1 ||
        !is_aligned((uintptr_t)span.iov_base, alignment)) {
        return NULL;
    }
    return span.iov_base;
}

int virtqueue_init(struct virtqueue *vq, const struct guest_memory *gm,
                   const struct virtqueue_config *config, uint16_t next_avail, uint16_t next_used) {
    uint32_t size = config->size;

    *vq = (struct virtqueue){
        .gm = gm,
        .size = config->size,
        .indirect = config->indirect,
        .event_idx = config->event_idx,
        .next_avail = next_avail,
        .avail_seen = next_avail,
        .next_used = next_used,
        .published = next_used,
        .decided = next_used,
    };
    if (size == 0 || size > VIRTQUEUE_MAX_SIZE || (size & (size - 1)) != 0) {
        return fault(vq, "queue size");
    }
    vq->desc = acquire(gm, config->desc_gpa, size * DESC_BYTES, 16);
    vq->avail = acquire(gm, config->avail_gpa, size * 2 + RING_EXTRA_BYTES, 2);
    vq->used = acquire(gm, config->used_gpa, size * USED_ELEM_BYTES + RING_EXTRA_BYTES, 4);
    if (!vq->desc || !vq->avail || !vq->used) {
        return fault(vq, "ring area misaligned or not in RAM");
    }
    return 0;
}

/// Adds one descriptor's buffer to the chain.
static int add_buffer(struct virtqueue *vq, struct virtqueue_chain *chain,
                      const struct descriptor *d) {
    bool writable = (d->flags & DESC_F_WRITE) != 0;
    uint32_t *total = writable ? &chain->writable_bytes : &chain->readable_bytes;
    uint32_t used = chain->readable_count + chain->writable_count;
    int count;

    if (d->len == 0) {
        return fault(vq, "buffer of zero bytes");
    }
    if (!writable && chain->writable_count != 0) {
        return fault(vq, "readable buffer after a writable one");
    }
    // 2.7.5: no more than 2^32 bytes in a chain; each part stays below that here.
    if (__builtin_add_overflow(*total, d->len, total)) {
        return fault(vq, "chain of more than 4 GiB");
    }
    count = guest_spans(vq->gm, gpa(d->addr), d->len, chain->spans + used, chain->capacity - used);
    if (count <= 0) {
        return fault(vq, count == -ENOSPC ? "more buffers than announced" : "buffer not in RAM");
    }
    if (writable) {
        chain->writable_count += (uint32_t)count;
    } else {
        chain->readable_count += (uint32_t)count;
    }
    return 0;
}

/// 2.7.5.3: the table is copied once and walked in the copy.
static int walk_indirect(struct virtqueue *vq, struct virtqueue_chain *chain,
                         const struct descriptor *ref) {
    struct descriptor table[VIRTQUEUE_MAX_INDIRECT];
    uint32_t count = ref->len / DESC_BYTES;
    uint32_t at = 0;
    int err;

    if (!vq->indirect) {
        return fault(vq, "indirect table not negotiated");
    }
    if (ref->flags & DESC_F_NEXT) {
        return fault(vq, "descriptor after an indirect table");
    }
    if (count == 0 || count > VIRTQUEUE_MAX_INDIRECT || ref->len % DESC_BYTES != 0) {
        return fault(vq, "indirect table size");
    }
    if (guest_read(vq->gm, gpa(ref->addr), table, count * DESC_BYTES)) {
        return fault(vq, "indirect table not in RAM");
    }
    for (uint32_t steps = 0; steps < count; steps++) {
        const struct descriptor *d = &table[at];

        if (d->flags & DESC_F_INDIRECT) {
            return fault(vq, "nested indirect table");
        }
        err = add_buffer(vq, chain, d);
        if (err || !(d->flags & DESC_F_NEXT)) {
            return err;
        }
        if (d->next >= count) {
            return fault(vq, "descriptor index beyond the indirect table");
        }
        at = d->next;
    }
    return fault(vq, "loop in an indirect table");
}

static int walk(struct virtqueue *vq, struct virtqueue_chain *chain) {
    uint16_t at = chain->head;
    int err;

    for (uint32_t steps = 0; steps < vq->size; steps++) {
        struct descriptor d;

        if (at >= vq->size) {
            return fault(vq, "descriptor index beyond the table");
        }
        d = load_descriptor(vq->desc + (size_t)at * DESC_BYTES);
        if (d.flags & DESC_F_INDIRECT) {
            return walk_indirect(vq, chain, &d);
        }
        err = add_buffer(vq, chain, &d);
        if (err || !(d.flags & DESC_F_NEXT)) {
            return err;
        }
        at = d.next;
    }
    return fault(vq, "loop in the descriptor table");
}

/// Fetches the driver's index when everything seen so far is taken. 1, 0 or -EINVAL.
static int chains_waiting(struct virtqueue *vq) {
    if (vq->avail_seen == vq->next_avail) {
        // Acquire: the entries and descriptors behind the index are read after it.
        vq->avail_seen = __atomic_load_n((const uint16_t *)(const void *)(vq->avail + AVAIL_IDX),
                                         __ATOMIC_ACQUIRE);
        if ((uint16_t)(vq->avail_seen - vq->next_avail) > vq->size) {
            return fault(vq, "available index runs ahead by more than the queue");
        }
    }
    return vq->avail_seen != vq->next_avail;
}

int virtqueue_pop(struct virtqueue *vq, struct virtqueue_chain *chain) {
    int err;

    if (vq->fault) {
        return -EINVAL;
    }
    err = chains_waiting(vq);
    if (err <= 0) {
        return err;
    }
    *chain = (struct virtqueue_chain){
        .spans = chain->spans,
        .capacity = chain->capacity,
        .head = load16(vq->avail + AVAIL_RING + (vq->next_avail & (vq->size - 1u)) * 2u),
    };
    err = walk(vq, chain);
    if (err) {
        return err;
    }
    chain->readable = chain->spans;
    chain->writable = chain->spans + chain->readable_count;
    vq->next_avail++;
    return 1;
}

void virtqueue_unpop(struct virtqueue *vq) {
    vq->next_avail--;
}

void virtqueue_push(struct virtqueue *vq, uint16_t head, uint32_t written_bytes) {
    uint8_t *elem = vq->used + USED_RING + (vq->next_used & (vq->size - 1u)) * USED_ELEM_BYTES;

    __atomic_store_n((uint32_t *)(void *)elem, head, __ATOMIC_RELAXED);
    __atomic_store_n((uint32_t *)(void *)(elem + 4), written_bytes, __ATOMIC_RELAXED);
    vq->next_used++;
}

bool virtqueue_publish(struct virtqueue *vq) {
    uint16_t from = vq->decided;
    uint16_t to = vq->next_used;
    uint16_t event;

    if (vq->published != to) {
        // Release: entries and the buffers' contents before the index.
        __atomic_store_n((uint16_t *)(void *)(vq->used + USED_IDX), to, __ATOMIC_RELEASE);
        vq->published = to;
    }
    if (from == to) {
        return false;
    }
    // The index must be visible before we look whether the driver wants an interrupt: it writes its
    // wish and then looks at the index.
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    vq->decided = to;
    if (!vq->event_idx) {
        return !(load16(vq->avail) & AVAIL_F_NO_INTERRUPT);
    }
    event = load16(vq->avail + AVAIL_RING + vq->size * 2u);
    // 2.7.10: whether event + 1 lies in (from, to], modulo 2^16.
    return (uint16_t)(to - event - 1) < (uint16_t)(to - from);
}

void virtqueue_disable_kicks(struct virtqueue *vq) {
    // With event indices the stale avail_event does the same.
    if (!vq->event_idx) {
        store16(vq->used, USED_F_NO_NOTIFY);
    }
}

bool virtqueue_enable_kicks(struct virtqueue *vq) {
    if (vq->fault) {
        return false;
    }
    if (vq->event_idx) {
        store16(vq->used + USED_RING + vq->size * USED_ELEM_BYTES, vq->next_avail);
    } else {
        store16(vq->used, 0);
    }
    // Our wish must be visible before we look: the driver writes its index and then looks.
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return chains_waiting(vq) != 0; // a fault counts: the next pop reports it
}

/// Drops size_bytes (which are there) from the front of a span list.
static void spans_advance(struct iovec **spans, uint32_t *count, size_t size_bytes) {
    while (size_bytes > 0) {
        struct iovec *first = *spans;

        if (first->iov_len > size_bytes) {
            first->iov_base = (uint8_t *)first->iov_base + size_bytes;
            first->iov_len -= size_bytes;
            return;
        }
        size_bytes -= first->iov_len;
        (*spans)++;
        (*count)--;
    }
}

size_t virtqueue_chain_read(struct virtqueue_chain *chain, void *to, size_t size_bytes) {
    uint8_t *out = to;
    size_t left = size_bytes < chain->readable_bytes ? size_bytes : chain->readable_bytes;
    size_t total = left;

    while (left > 0) {
        size_t part = chain->readable->iov_len < left ? chain->readable->iov_len : left;

        memcpy(out, chain->readable->iov_base, part);
        spans_advance(&chain->readable, &chain->readable_count, part);
        out += part;
        left -= part;
    }
    chain->readable_bytes -= (uint32_t)total;
    return total;
}

size_t virtqueue_chain_write(struct virtqueue_chain *chain, const void *from, size_t size_bytes) {
    const uint8_t *in = from;
    size_t left = size_bytes < chain->writable_bytes ? size_bytes : chain->writable_bytes;
    size_t total = left;

    while (left > 0) {
        size_t part = chain->writable->iov_len < left ? chain->writable->iov_len : left;

        memcpy(chain->writable->iov_base, in, part);
        spans_advance(&chain->writable, &chain->writable_count, part);
        in += part;
        left -= part;
    }
    chain->writable_bytes -= (uint32_t)total;
    return total;
}

bool virtqueue_chain_skip(struct virtqueue_chain *chain, uint32_t size_bytes) {
    if (size_bytes > chain->readable_bytes) {
        return false;
    }
    spans_advance(&chain->readable, &chain->readable_count, size_bytes);
    chain->readable_bytes -= size_bytes;
    return true;
}

uint8_t *virtqueue_chain_take_last(struct virtqueue_chain *chain) {
    struct iovec *last;

    if (chain->writable_bytes == 0) {
        return NULL;
    }
    last = &chain->writable[chain->writable_count - 1];
    chain->writable_bytes--;
    last->iov_len--;
    if (last->iov_len == 0) {
        chain->writable_count--;
    }
    return (uint8_t *)last->iov_base + last->iov_len;
}
