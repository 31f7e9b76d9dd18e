// SPDX-License-Identifier: MIT
//
// The common part of virtio devices (VIRTIO 1.2): status machine, queue life, reset and pause.
//
// One operation runs at a time. It counts the queues that are not off, gives them a new order and
// posts their control tasks; every home loop answers exactly once, when nothing of its queue is in
// flight; whoever answers last finishes the operation under device.lock.
#include "devices/virtio.h"

#include "igvm/base/check.h"
#include "igvm/base/log.h"

#include <errno.h>
#include <string.h>

#define COMMON_FEATURES (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX)
#define STATUS_OF_DRIVER                                                                           \
    (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_DRIVER_OK |                  \
     VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_FAILED)

enum operation { OP_NONE, OP_RESET, OP_PAUSE };
// What an order tells the queues to do.
#define ORDER_RUN   0u
#define ORDER_PAUSE 1u
#define ORDER_STOP  2u
#define ORDER_MASK  3u
#define ORDER_STEP  4u

/// Those to be told when an operation has finished.
struct finished {
    device_reset_done_fn done[2];
    void *ctx[2];
    unsigned count;
};

// ---- operations (device.lock held) --------------------------------------------------------------

static void add_finished(struct finished *f, device_reset_done_fn done, void *ctx) {
    if (done) {
        f->done[f->count] = done;
        f->ctx[f->count++] = ctx;
    }
}

static void tell(const struct finished *f) {
    for (unsigned i = 0; i < f->count; i++) {
        f->done[i](f->ctx[i]);
    }
}

/// Gives all queues an order. Returns whether nobody has to answer it.
static bool give_order(struct virtio *virtio, uint32_t what) {
    uint32_t order = (virtio->order & ~ORDER_MASK) + ORDER_STEP + what;
    uint32_t pending = 1; // for ourselves, so that nobody finishes while we are still posting

    // Counted before the order is known: a control task that is still queued from a resume may
    // answer it at once. No queue starts meanwhile (device.lock), and none goes off unasked.
    for (uint16_t i = 0; i < virtio->queue_count; i++) {
        pending += virtio_queue_phase(&virtio->queues[i]) != VIRTIO_QUEUE_OFF;
    }
    atomic_store(&virtio->pending, pending);
    atomic_store(&virtio->order, order);
    for (uint16_t i = 0; i < virtio->queue_count; i++) {
        struct virtio_queue *queue = &virtio->queues[i];

        if (virtio_queue_phase(queue) != VIRTIO_QUEUE_OFF) {
            loop_post(queue->loop, &queue->control_task);
        }
    }
    return atomic_fetch_sub(&virtio->pending, 1) == 1;
}

static void finish_operation(struct virtio *virtio, struct finished *f) {
    if (virtio->operation == OP_RESET) {
        state_reset(virtio->device.ops->state, virtio->device.state);
        if (virtio->transport.sync) {
            virtio->transport.sync(virtio->transport.self);
        }
        add_finished(f, virtio->reset_done, virtio->reset_ctx);
        virtio->reset_done = NULL;
    } else {
        add_finished(f, virtio->pause_done, virtio->pause_ctx);
        virtio->pause_done = NULL;
    }
    virtio->operation = OP_NONE;
}

/// Starts what is wanted and not yet under way; a reset goes before a pause.
static void advance(struct virtio *virtio, struct finished *f) {
    while (virtio->operation == OP_NONE && (virtio->reset_wanted || virtio->pause_wanted)) {
        if (virtio->reset_wanted) {
            virtio->reset_wanted = false;
            virtio->operation = OP_RESET;
        } else {
            virtio->pause_wanted = false;
            virtio->operation = OP_PAUSE;
        }
        if (give_order(virtio, virtio->operation == OP_RESET ? ORDER_STOP : ORDER_PAUSE)) {
            finish_operation(virtio, f);
        }
    }
}

void virtio_reset(void *self, device_reset_done_fn done, void *ctx) {
    struct virtio *virtio = self;
    struct finished f = {0};

    // The machine resets a device once at a time; a driver's reset under way is simply joined.
    CHECK(!virtio->reset_done);
    virtio->reset_done = done;
    virtio->reset_ctx = ctx;
    virtio->reset_wanted = virtio->operation != OP_RESET;
    advance(virtio, &f);
    tell(&f);
}

void virtio_pause(void *self, device_reset_done_fn done, void *ctx) {
    struct virtio *virtio = self;
    struct finished f = {0};

    CHECK(!virtio->pause_done && virtio->operation != OP_PAUSE);
    virtio->pause_done = done;
    virtio->pause_ctx = ctx;
    virtio->pause_wanted = true;
    advance(virtio, &f);
    tell(&f);
}

void virtio_resume(void *self) {
    struct virtio *virtio = self;
    uint32_t order = (virtio->order & ~ORDER_MASK) + ORDER_STEP + ORDER_RUN;

    if (virtio->operation != OP_NONE) {
        return; // a reset: it starts from nothing anyway
    }
    atomic_store(&virtio->order, order);
    for (uint16_t i = 0; i < virtio->queue_count; i++) {
        if (virtio_queue_phase(&virtio->queues[i]) != VIRTIO_QUEUE_OFF) {
            loop_post(virtio->queues[i].loop, &virtio->queues[i].control_task);
        }
    }
}

bool virtio_resetting(const struct virtio *virtio) {
    return virtio->operation == OP_RESET || virtio->reset_wanted;
}

// ---- operations (home loop, no lock) ------------------------------------------------------------

/// Answers the order under way when nothing is in flight any more.
void virtio_queue_let_go(struct virtio_queue *queue) {
    struct virtio *virtio = queue->virtio;
    uint8_t phase = virtio_queue_phase(queue);
    struct finished f = {0};

    if (queue->in_flight > 0 || queue->running ||
        (phase != VIRTIO_QUEUE_PAUSING && phase != VIRTIO_QUEUE_STOPPING)) {
        return;
    }
    virtio_queue_set_phase(queue,
                           phase == VIRTIO_QUEUE_PAUSING ? VIRTIO_QUEUE_PAUSED : VIRTIO_QUEUE_OFF);
    if (atomic_fetch_sub(&virtio->pending, 1) == 1) {
        pthread_mutex_lock(&virtio->device.lock);
        finish_operation(virtio, &f);
        advance(virtio, &f);
        pthread_mutex_unlock(&virtio->device.lock);
        tell(&f);
    }
}

static void control(void *self) {
    struct virtio_queue *queue = self;
    struct virtio *virtio = queue->virtio;
    uint32_t order = atomic_load(&virtio->order);

    // The phase first: while the queue is off, the rest of it belongs to the register side.
    if (virtio_queue_phase(queue) == VIRTIO_QUEUE_OFF || order == queue->order) {
        return;
    }
    queue->order = order;
    switch (order & ORDER_MASK) {
    case ORDER_RUN:
        if (virtio_queue_phase(queue) == VIRTIO_QUEUE_PAUSED) {
            virtio_queue_set_phase(queue, VIRTIO_QUEUE_RUNNING);
            virtio_queue_run(queue);
        }
        break;
    case ORDER_PAUSE:
        virtio_queue_set_phase(queue, VIRTIO_QUEUE_PAUSING);
        virtio_queue_let_go(queue);
        break;
    case ORDER_STOP:
        virtio_queue_set_phase(queue, VIRTIO_QUEUE_STOPPING);
        // Completions that cancel() causes must not answer while it still walks its requests.
        queue->in_flight++;
        if (virtio->class->cancel) {
            virtio->class->cancel(virtio->self, queue);
        }
        queue->in_flight--;
        virtio_queue_let_go(queue);
        break;
    }
}

// ---- register side (device.lock held) -----------------------------------------------------------

/// Hands an enabled queue over to its home loop.
static int start_queue(struct virtio *virtio, uint16_t i) {
    const struct virtio_state *s = virtio->state;
    struct virtio_queue *queue = &virtio->queues[i];
    struct virtqueue_config config = {
        .size = s->queue_size[i] ? s->queue_size[i] : virtio->queue_max_size,
        .desc_gpa = gpa(s->queue_desc_gpa[i]),
        .avail_gpa = gpa(s->queue_avail_gpa[i]),
        .used_gpa = gpa(s->queue_used_gpa[i]),
        .indirect = (s->driver_features & VIRTIO_F_INDIRECT_DESC) != 0,
        .event_idx = (s->driver_features & VIRTIO_F_EVENT_IDX) != 0,
    };
    int err = virtqueue_init(&queue->vq, virtio->gm, &config, s->queue_next_avail[i],
                             s->queue_next_used[i]);

    if (err) {
        LOG_LIMITED(LOG_WARN, virtio->device.name, "queue %u: %s", i, queue->vq.fault);
        return err;
    }
    queue->order = virtio->order;
    queue->in_flight = 0;
    queue->blocked = false;
    virtio_queue_set_phase(queue, VIRTIO_QUEUE_RUNNING);
    virtio_queue_kick(queue);
    return 0;
}

/// Starts the enabled queues; a wrong one puts the device into DEVICE_NEEDS_RESET.
static void start_queues(struct virtio *virtio) {
    for (uint16_t i = 0; i < virtio->queue_count; i++) {
        if (virtio->state->queue_enabled[i] && start_queue(virtio, i)) {
            virtio->state->status |= VIRTIO_STATUS_NEEDS_RESET;
            virtio->transport.config_interrupt(virtio->transport.self);
        }
    }
}

void virtio_set_status(struct virtio *virtio, uint8_t value) {
    struct virtio_state *s = virtio->state;
    uint8_t added = (uint8_t)(value & ~s->status & STATUS_OF_DRIVER); // bits are never taken back
    struct finished f = {0};

    if (value == 0) {
        virtio->reset_wanted = virtio->operation != OP_RESET;
        advance(virtio, &f);
        tell(&f);
        return;
    }
    if (added & VIRTIO_STATUS_FEATURES_OK) {
        // 3.1.1 step 5, 6.1: a driver of an older interface is not served.
        if ((s->driver_features & ~virtio->features) ||
            !(s->driver_features & VIRTIO_F_VERSION_1)) {
            LOG_LIMITED(LOG_WARN, virtio->device.name, "features refused");
            added &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK;
        }
    }
    if ((added & VIRTIO_STATUS_DRIVER_OK) && !((s->status | added) & VIRTIO_STATUS_FEATURES_OK)) {
        LOG_LIMITED(LOG_WARN, virtio->device.name, "DRIVER_OK before FEATURES_OK");
        added &= (uint8_t)~VIRTIO_STATUS_DRIVER_OK;
    }
    s->status |= added;
    if (added & VIRTIO_STATUS_DRIVER_OK) {
        start_queues(virtio);
    }
}

void virtio_set_driver_features(struct virtio *virtio, uint32_t select, uint32_t value) {
    struct virtio_state *s = virtio->state;

    if ((s->status & VIRTIO_STATUS_FEATURES_OK) || select > 1) {
        return; // negotiated already (3.1.1), or bits that no device here offers
    }
    if (select == 0) {
        s->driver_features = (s->driver_features & ~0xFFFFFFFFull) | value;
    } else {
        s->driver_features = (s->driver_features & 0xFFFFFFFFull) | (uint64_t)value << 32;
    }
}

// ---- life ---------------------------------------------------------------------------------------

int virtio_init(struct virtio *virtio, const struct virtio_config *config,
                const struct virtio_setup *setup) {
    uint16_t max = setup->queue_max_size;

    if (setup->queue_count == 0 || setup->queue_count > VIRTIO_MAX_QUEUES ||
        config->loop_count == 0 || max == 0 || max > VIRTQUEUE_MAX_SIZE || (max & (max - 1)) != 0 ||
        setup->config_bytes > VIRTIO_MAX_CONFIG_BYTES) {
        return -EINVAL;
    }
    memset(virtio, 0, sizeof(*virtio));
    virtio->class = setup->class;
    virtio->gm = config->gm;
    virtio->self = setup->self;
    virtio->features = COMMON_FEATURES | setup->class->features | setup->features;
    virtio->queue_count = setup->queue_count;
    virtio->queue_max_size = max;
    virtio->config_bytes = setup->config_bytes;
    memcpy(virtio->config, setup->config, setup->config_bytes);
    virtio->state = setup->state;
    for (uint16_t i = 0; i < virtio->queue_count; i++) {
        struct virtio_queue *queue = &virtio->queues[i];

        queue->virtio = virtio;
        queue->index = i;
        queue->loop = config->loops[i % config->loop_count];
        queue->kick_task.fn = virtio_queue_kick_task;
        queue->kick_task.self = queue;
        queue->control_task.fn = control;
        queue->control_task.self = queue;
    }
    device_init(&virtio->device, config->name, setup->ops, virtio, setup->state);
    return 0;
}

int virtio_after_load(void *self) {
    struct virtio *virtio = self;
    const struct virtio_state *s = virtio->state;

    // Before FEATURES_OK the driver may have written anything; after it, only what is offered.
    if ((s->status & VIRTIO_STATUS_FEATURES_OK) && (s->driver_features & ~virtio->features)) {
        return -EINVAL;
    }
    if ((s->status & VIRTIO_STATUS_DRIVER_OK) && !(s->status & VIRTIO_STATUS_FEATURES_OK)) {
        return -EINVAL;
    }
    for (uint16_t i = 0; i < VIRTIO_MAX_QUEUES; i++) {
        uint16_t size = s->queue_size[i];

        if (size > virtio->queue_max_size || (size & (size - 1)) != 0 ||
            (i >= virtio->queue_count && s->queue_enabled[i])) {
            return -EINVAL;
        }
        if (i < virtio->queue_count && virtio_queue_phase(&virtio->queues[i]) != VIRTIO_QUEUE_OFF) {
            return -EBUSY; // load goes onto a device that was reset
        }
    }
    if ((s->status & VIRTIO_STATUS_DRIVER_OK) && !(s->status & VIRTIO_STATUS_NEEDS_RESET)) {
        start_queues(virtio);
    }
    virtio->transport.sync(virtio->transport.self);
    return 0;
}

void virtio_before_save(void *self) {
    struct virtio *virtio = self;

    for (uint16_t i = 0; i < virtio->queue_count; i++) {
        struct virtio_queue *queue = &virtio->queues[i];

        if (virtio_queue_phase(queue) != VIRTIO_QUEUE_OFF) {
            if (queue->in_flight > 0) {
                log_write(LOG_ERROR, virtio->device.name, "saved with requests in flight");
            }
            virtio->state->queue_next_avail[i] = queue->vq.next_avail;
            virtio->state->queue_next_used[i] = queue->vq.next_used;
        }
    }
}
