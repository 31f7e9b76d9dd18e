// SPDX-License-Identifier: MIT
//
// What every virtio device has in common (VIRTIO 1.2, chapters 2, 3 and 6), whatever carries it:
// status, features, configuration space, queues and their life.
//
// Threads. Registers are handled on any VP under device.lock. A queue lives on one loop, its home:
// only that loop's thread touches its ring and its requests, without a lock. Between the two stand
// the queue's atomic phase and its two loop tasks. Reset and pause are asynchronous: each queue's
// home lets go (nothing in flight any more), the last one finishes the operation.
#pragma once

#include "devices/device.h"
#include "devices/loop.h"
#include "devices/virtqueue.h"

#define VIRTIO_MAX_QUEUES       64u
#define VIRTIO_MAX_CONFIG_BYTES 64u

// Device types (chapter 5).
#define VIRTIO_ID_BLOCK   2u
#define VIRTIO_ID_CONSOLE 3u
#define VIRTIO_ID_ENTROPY 4u

// Device status (2.1).
#define VIRTIO_STATUS_ACKNOWLEDGE 1u
#define VIRTIO_STATUS_DRIVER      2u
#define VIRTIO_STATUS_DRIVER_OK   4u
#define VIRTIO_STATUS_FEATURES_OK 8u
#define VIRTIO_STATUS_NEEDS_RESET 64u
#define VIRTIO_STATUS_FAILED      128u

// Features of every device (chapter 6).
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX     (1ull << 29)
#define VIRTIO_F_VERSION_1     (1ull << 32)

#define VIRTIO_NO_VECTOR 0xFFFFu ///< 4.1.4.3: no MSI-X vector

// ISR status (4.1.4.5).
#define VIRTIO_ISR_QUEUE  1u
#define VIRTIO_ISR_CONFIG 2u

/// The volatile state of the common part; first member of every device's state struct, described
/// by VIRTIO_STATE_FIELDS.
struct virtio_state {
    uint64_t driver_features;
    uint32_t device_feature_select;
    uint32_t driver_feature_select;
    uint16_t config_vector;
    uint16_t queue_select;
    uint8_t status;
    uint8_t isr;
    uint8_t config_generation;
    uint8_t queue_enabled[VIRTIO_MAX_QUEUES];
    uint16_t queue_size[VIRTIO_MAX_QUEUES]; ///< 0: the device's maximum
    uint16_t queue_vector[VIRTIO_MAX_QUEUES];
    uint16_t queue_next_avail[VIRTIO_MAX_QUEUES]; ///< brought up to date by before_save
    uint16_t queue_next_used[VIRTIO_MAX_QUEUES];  ///< likewise
    uint64_t queue_desc_gpa[VIRTIO_MAX_QUEUES];
    uint64_t queue_avail_gpa[VIRTIO_MAX_QUEUES];
    uint64_t queue_used_gpa[VIRTIO_MAX_QUEUES];
};

/// Field descriptions of member `virtio` (a struct virtio_state) of a device's state struct S; they
/// take tags 1 to 31.
#define VIRTIO_STATE_FIELDS(S)                                                                     \
    STATE_SCALAR(1, S, virtio.driver_features, U64, PUBLIC, 0, 0),                                 \
        STATE_SCALAR(2, S, virtio.device_feature_select, U32, PUBLIC, 0, 0),                       \
        STATE_SCALAR(3, S, virtio.driver_feature_select, U32, PUBLIC, 0, 0),                       \
        STATE_SCALAR(4, S, virtio.config_vector, U16, PUBLIC, VIRTIO_NO_VECTOR, 0),                \
        STATE_SCALAR(5, S, virtio.queue_select, U16, PUBLIC, 0, 0),                                \
        STATE_SCALAR(6, S, virtio.status, U8, PUBLIC, 0, 0),                                       \
        STATE_SCALAR(7, S, virtio.isr, U8, PUBLIC, 0, 3),                                          \
        STATE_SCALAR(8, S, virtio.config_generation, U8, PUBLIC, 0, 0),                            \
        STATE_ARRAY(9, S, virtio.queue_enabled, U8, VIRTIO_MAX_QUEUES, PUBLIC, 0, 1),              \
        STATE_ARRAY(10, S, virtio.queue_size, U16, VIRTIO_MAX_QUEUES, PUBLIC, 0,                   \
                    VIRTQUEUE_MAX_SIZE),                                                           \
        STATE_ARRAY(11, S, virtio.queue_vector, U16, VIRTIO_MAX_QUEUES, PUBLIC, VIRTIO_NO_VECTOR,  \
                    0),                                                                            \
        STATE_ARRAY(12, S, virtio.queue_next_avail, U16, VIRTIO_MAX_QUEUES, PUBLIC, 0, 0),         \
        STATE_ARRAY(13, S, virtio.queue_next_used, U16, VIRTIO_MAX_QUEUES, PUBLIC, 0, 0),          \
        STATE_ARRAY(14, S, virtio.queue_desc_gpa, U64, VIRTIO_MAX_QUEUES, GUEST, 0, 0),            \
        STATE_ARRAY(15, S, virtio.queue_avail_gpa, U64, VIRTIO_MAX_QUEUES, GUEST, 0, 0),           \
        STATE_ARRAY(16, S, virtio.queue_used_gpa, U64, VIRTIO_MAX_QUEUES, GUEST, 0, 0)

enum virtio_queue_phase {
    VIRTIO_QUEUE_OFF,      ///< not started: only the register side touches it
    VIRTIO_QUEUE_RUNNING,  ///< the home loop's
    VIRTIO_QUEUE_PAUSING,  ///< takes nothing new, waits for what is in flight
    VIRTIO_QUEUE_PAUSED,   ///< nothing in flight, ring kept
    VIRTIO_QUEUE_STOPPING, ///< resetting: what is in flight was cancelled and is awaited
};

struct virtio;

struct virtio_queue {
    struct virtio *virtio;
    struct loop *loop; ///< home
    uint16_t index;
    _Atomic uint8_t phase; ///< enum virtio_queue_phase
    struct loop_task kick_task;
    struct loop_task control_task;
    // Home loop only from here on.
    struct virtqueue vq;
    uint32_t order;     ///< last of virtio.order that was carried out
    uint32_t in_flight; ///< chains taken and not completed
    uint32_t budget;    ///< chains that this run may still take
    bool running;       ///< inside a run: completions are published at its end
    bool blocked;       ///< the device cannot take more; it kicks the queue itself later
    uint64_t kick_count;
    uint64_t chain_count;
    uint64_t interrupt_count;
};

/// What a kind of device is. All functions run on the queue's home loop.
struct virtio_class {
    uint16_t device_id;      ///< VIRTIO_ID_*
    uint32_t pci_class_code; ///< base << 16 | sub-class << 8 | interface
    uint64_t features;       ///< besides those of every device
    /// Takes chains (virtio_queue_pop) until there are none, or sets queue->blocked.
    void (*process)(void *self, struct virtio_queue *queue);
    /// Asks everything in flight on the queue to end early; each still completes. May be NULL for a
    /// device that completes every chain inside process().
    void (*cancel)(void *self, struct virtio_queue *queue);
};

/// How interrupts reach the guest; the transport fills it in.
struct virtio_transport {
    void (*queue_interrupt)(void *self, uint16_t queue_index); ///< without device.lock
    void (*config_interrupt)(void *self);                      ///< with device.lock
    void (*sync)(void *self); ///< with device.lock: recompute the level after reset or load
    bool (*may_access_memory)(void *self); ///< any thread; cheap
    void *self;
};

/// Where a device lives; the machine fills it in.
struct virtio_config {
    const char *name; ///< kept: "virtio-blk0"
    const struct guest_memory *gm;
    struct loop *const *loops; ///< kept; queue i's home is loops[i % loop_count]
    uint32_t loop_count;
};

struct virtio {
    struct device device; ///< register it with the machine
    // Fixed.
    const struct virtio_class *class;
    const struct guest_memory *gm;
    void *self;        ///< the device model
    uint64_t features; ///< offered
    uint16_t queue_count;
    uint16_t queue_max_size;
    uint8_t config[VIRTIO_MAX_CONFIG_BYTES]; ///< device-specific configuration space
    uint8_t config_bytes;
    // Glue.
    struct virtio_transport transport;
    struct virtio_queue queues[VIRTIO_MAX_QUEUES];
    // Operation under way: reset or pause. Under device.lock but for the atomics.
    uint8_t operation;
    bool reset_wanted;
    bool pause_wanted;
    _Atomic uint32_t order;   ///< number << 2 | what queues shall do
    _Atomic uint32_t pending; ///< queues that have not let go yet
    device_reset_done_fn reset_done;
    void *reset_ctx;
    device_reset_done_fn pause_done;
    void *pause_ctx;
    // Volatile: the first member of the object of device.ops->state.
    struct virtio_state *state;
};

struct virtio_setup {
    const struct virtio_class *class;
    void *self;
    struct virtio_state *state; ///< first member of the device's state struct
    const struct device_ops *ops;
    uint16_t queue_count;    ///< 1 to VIRTIO_MAX_QUEUES
    uint16_t queue_max_size; ///< power of two
    uint64_t features;       ///< offered besides class->features
    const void *config;      ///< device-specific configuration space (copied)
    uint8_t config_bytes;
};

/// Sets up the common part. -EINVAL when the numbers are out of range. The transport comes next
/// (virtio_pci_init).
int virtio_init(struct virtio *virtio, const struct virtio_config *config,
                const struct virtio_setup *setup);

// ---- device_ops of every virtio device; self is its struct virtio
// --------------------------------

/// device_ops.reset.
void virtio_reset(void *self, device_reset_done_fn done, void *ctx);
/// device_ops.pause: what is in flight completes and is published, nothing new is taken; then done.
/// Needed before virtio_before_save().
void virtio_pause(void *self, device_reset_done_fn done, void *ctx);
/// device_ops.resume: goes on where pause stopped.
void virtio_resume(void *self);
/// device_ops.after_load, onto a device just built or reset: checks, then goes on with the rings.
int virtio_after_load(void *self);
/// device_ops.before_save; the device is paused (or was never started).
void virtio_before_save(void *self);

#define VIRTIO_DEVICE_OPS(table_)                                                                  \
    {                                                                                              \
        .state = (table_), .reset = virtio_reset, .after_load = virtio_after_load,                 \
        .pause = virtio_pause, .resume = virtio_resume, .before_save = virtio_before_save,         \
    }

// ---- for devices: on the queue's home loop ------------------------------------------------------

/// Takes the next chain. False when there is none, when this run has taken its share or when the
/// driver broke the ring (then the device has gone into DEVICE_NEEDS_RESET). Every chain taken is
/// completed or given back.
bool virtio_queue_pop(struct virtio_queue *queue, struct virtqueue_chain *chain);
/// Gives back the chain popped last.
void virtio_queue_unpop(struct virtio_queue *queue);
/// Completes a chain: the driver is told, and interrupted if it wants that, unless the queue is
/// being reset. Runs a blocked queue again. The device does not touch the queue, or what belongs to
/// the chain, after it.
void virtio_queue_complete(struct virtio_queue *queue, uint16_t head, uint32_t written_bytes);
/// Whether results may still be written to guest memory: false once a reset has begun.
bool virtio_queue_live(const struct virtio_queue *queue);
/// Processes the queue now, if it runs.
void virtio_queue_run(struct virtio_queue *queue);
/// The driver broke a device's rule that leaves no other way: DEVICE_NEEDS_RESET (2.1.2).
void virtio_queue_fail(struct virtio_queue *queue, const char *rule);

// ---- for devices and transports: any thread -----------------------------------------------------

/// Processes the queue soon on its home loop.
void virtio_queue_kick(struct virtio_queue *queue);

// ---- for transports: device.lock held -----------------------------------------------------------

/// A write to the status register; 0 starts a reset.
void virtio_set_status(struct virtio *virtio, uint8_t value);
/// A write to one half of the driver's features.
void virtio_set_driver_features(struct virtio *virtio, uint32_t select, uint32_t value);
/// Whether a reset is under way: writes are then dropped.
bool virtio_resetting(const struct virtio *virtio);

// ---- between virtio.c and virtio_queue.c --------------------------------------------------------

static inline uint8_t virtio_queue_phase(const struct virtio_queue *queue) {
    return atomic_load_explicit(&queue->phase, memory_order_acquire);
}

static inline void virtio_queue_set_phase(struct virtio_queue *queue,
                                          enum virtio_queue_phase phase) {
    atomic_store_explicit(&queue->phase, (uint8_t)phase, memory_order_release);
}

/// Answers the order under way when nothing of the queue is in flight any more.
void virtio_queue_let_go(struct virtio_queue *queue);

/// The kick task.
void virtio_queue_kick_task(void *self);
