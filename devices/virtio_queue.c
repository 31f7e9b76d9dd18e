// SPDX-License-Identifier: MIT
//
// A virtio queue on its home loop: taking chains, completing them, telling the driver. No lock is
// held and none is taken but when the driver must be told that it broke a rule.
#include "devices/virtio.h"

#include "igvm/base/check.h"
#include "igvm/base/log.h"

static void flush_used(struct virtio_queue *queue) {
    struct virtio *virtio = queue->virtio;

    if (virtqueue_publish(&queue->vq)) {
        queue->interrupt_count++;
        virtio->transport.queue_interrupt(virtio->transport.self, queue->index);
    }
}

void virtio_queue_fail(struct virtio_queue *queue, const char *rule) {
    struct virtio *virtio = queue->virtio;

    queue->vq.fault = rule;
    LOG_LIMITED(LOG_WARN, virtio->device.name, "queue %u: driver error: %s", queue->index, rule);
    pthread_mutex_lock(&virtio->device.lock);
    if (!virtio_resetting(virtio) && !(virtio->state->status & VIRTIO_STATUS_NEEDS_RESET)) {
        virtio->state->status |= VIRTIO_STATUS_NEEDS_RESET;
        if (virtio->state->status & VIRTIO_STATUS_DRIVER_OK) { // 2.1.2
            virtio->transport.config_interrupt(virtio->transport.self);
        }
    }
    pthread_mutex_unlock(&virtio->device.lock);
}

bool virtio_queue_pop(struct virtio_queue *queue, struct virtqueue_chain *chain) {
    int got;

    if (queue->budget == 0 || queue->vq.fault) {
        return false;
    }
    got = virtqueue_pop(&queue->vq, chain);
    if (got < 0) {
        virtio_queue_fail(queue, queue->vq.fault);
    }
    if (got <= 0) {
        return false;
    }
    queue->budget--;
    queue->in_flight++;
    queue->chain_count++;
    return true;
}

void virtio_queue_unpop(struct virtio_queue *queue) {
    virtqueue_unpop(&queue->vq);
    queue->in_flight--;
    queue->chain_count--;
}

bool virtio_queue_live(const struct virtio_queue *queue) {
    return virtio_queue_phase(queue) != VIRTIO_QUEUE_STOPPING && !queue->vq.fault;
}

void virtio_queue_complete(struct virtio_queue *queue, uint16_t head, uint32_t written_bytes) {
    CHECK(queue->in_flight > 0);
    queue->in_flight--;
    if (virtio_queue_live(queue)) {
        virtqueue_push(&queue->vq, head, written_bytes);
        if (!queue->running) {
            flush_used(queue);
        }
        if (queue->blocked && !queue->running) {
            virtio_queue_run(queue); // chains may have waited for what this one held
        }
    }
    virtio_queue_let_go(queue); // last: the queue may be another's after it
}

/// Whether to take chains again. A ring that is found broken here is as broken as one that pop
/// finds.
static bool more_chains(struct virtio_queue *queue) {
    if (queue->budget == 0 || queue->blocked || queue->vq.fault) {
        return false;
    }
    if (virtqueue_enable_kicks(&queue->vq) && !queue->vq.fault) {
        return true;
    }
    if (queue->vq.fault) {
        virtio_queue_fail(queue, queue->vq.fault);
    }
    return false;
}

void virtio_queue_run(struct virtio_queue *queue) {
    struct virtio *virtio = queue->virtio;

    if (virtio_queue_phase(queue) != VIRTIO_QUEUE_RUNNING || queue->running || queue->vq.fault ||
        !virtio->transport.may_access_memory(virtio->transport.self)) {
        return;
    }
    queue->running = true;
    queue->blocked = false;
    // A driver on another VP that keeps adding must not keep this loop for itself.
    queue->budget = queue->vq.size;
    virtqueue_disable_kicks(&queue->vq);
    do {
        virtio->class->process(virtio->self, queue);
    } while (more_chains(queue));
    flush_used(queue);
    queue->running = false;
    if (queue->budget == 0 && !queue->blocked && !queue->vq.fault) {
        virtio_queue_kick(queue);
    }
}

void virtio_queue_kick_task(void *self) {
    struct virtio_queue *queue = self;

    queue->kick_count++;
    virtio_queue_run(queue);
}

void virtio_queue_kick(struct virtio_queue *queue) {
    if (virtio_queue_phase(queue) != VIRTIO_QUEUE_OFF) {
        loop_post(queue->loop, &queue->kick_task);
    }
}
