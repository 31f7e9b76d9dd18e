// SPDX-License-Identifier: MIT
//
// Virtio entropy device (VIRTIO 1.2, section 5.4).
#include "devices/virtio_rng.h"

#include "igvm/base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define RNG_QUEUE_SIZE 16u
#define RNG_SPANS      18u // of a chain as long as the queue, with borders crossed
#define RETRY_NS       UINT64_C(10000000)

static const struct state_field fields[] = {
    VIRTIO_STATE_FIELDS(struct virtio_rng_state),
};
static const struct state_table table = {
    .name = "virtio-rng",
    .version = 1,
    .field_count = ARRAY_COUNT(fields),
    .struct_bytes = sizeof(struct virtio_rng_state),
    .fields = fields,
};

static int64_t kernel_source(void *ctx, uint8_t *bytes, size_t size_bytes) {
    ssize_t got = getrandom(bytes, size_bytes, GRND_NONBLOCK);

    (void)ctx;
    return got < 0 ? -errno : got;
}

/// Fills one chain. False when the source has nothing.
static bool serve(struct virtio_rng *rng, struct virtio_queue *queue,
                  struct virtqueue_chain *chain) {
    uint8_t bytes[VIRTIO_RNG_MAX_REQUEST_BYTES];
    size_t wanted = chain->writable_bytes < sizeof(bytes) ? chain->writable_bytes : sizeof(bytes);
    int64_t got = rng->source(rng->source_ctx, bytes, wanted);

    if (got <= 0) {
        return false;
    }
    virtqueue_chain_write(chain, bytes, (size_t)got);
    explicit_bzero(bytes, (size_t)got);
    rng->given_bytes += (uint64_t)got;
    virtio_queue_complete(queue, chain->head, (uint32_t)got);
    return true;
}

static void process(void *self, struct virtio_queue *queue) {
    struct virtio_rng *rng = self;
    struct iovec spans[RNG_SPANS];
    struct virtqueue_chain chain = {.spans = spans, .capacity = RNG_SPANS};

    while (virtio_queue_pop(queue, &chain)) {
        if (chain.writable_bytes == 0 || chain.readable_bytes != 0) { // 5.4.6.1
            virtio_queue_unpop(queue);
            virtio_queue_fail(queue, "entropy buffer is not writable");
            return;
        }
        if (!serve(rng, queue, &chain)) {
            virtio_queue_unpop(queue);
            queue->blocked = true;
            loop_timer_arm(queue->loop, &rng->retry, loop_now_ns(queue->loop) + RETRY_NS);
            return;
        }
    }
}

static void retry(void *self) {
    struct virtio_rng *rng = self;

    virtio_queue_run(&rng->virtio.queues[0]);
}

static void cancel(void *self, struct virtio_queue *queue) {
    struct virtio_rng *rng = self;

    loop_timer_cancel(queue->loop, &rng->retry);
}

static const struct virtio_class class = {
    .device_id = VIRTIO_ID_ENTROPY,
    .pci_class_code = 0xFF0000, // fits no class
    .process = process,
    .cancel = cancel,
};

static const struct device_ops ops = VIRTIO_DEVICE_OPS(&table);

int virtio_rng_init(struct virtio_rng *rng, const struct virtio_rng_config *config) {
    const struct virtio_setup setup = {
        .class = &class,
        .self = rng,
        .state = &rng->state.virtio,
        .ops = &ops,
        .queue_count = 1,
        .queue_max_size = RNG_QUEUE_SIZE,
        .config = "",
    };
    int err;

    memset(rng, 0, sizeof(*rng));
    rng->source = config->source ? config->source : kernel_source;
    rng->source_ctx = config->source_ctx;
    rng->retry.fn = retry;
    rng->retry.self = rng;
    err = virtio_init(&rng->virtio, &config->virtio, &setup);
    return err ? err : virtio_pci_init(&rng->pci, &rng->virtio, &config->pci);
}
