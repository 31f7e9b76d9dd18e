// SPDX-License-Identifier: MIT
//
// Virtio console (VIRTIO 1.2, section 5.3).
//
// No chain stays in flight: what the character device does not take leaves its chain in the ring
// with tx_off noting how far it came, so that reset, save and restore need no special care.
#include "devices/virtio_console.h"

#include "igvm/base/bytes.h"
#include "igvm/base/log.h"

#include <errno.h>
#include <string.h>

#define CONSOLE_QUEUE_SIZE   128u
#define CONSOLE_SPANS        130u // of a chain as long as the queue, with borders crossed
#define CONSOLE_F_SIZE       (1ull << 0)
#define RX_QUEUE             0u
#define TX_QUEUE             1u
#define CONSOLE_CONFIG_BYTES 4u // le16 columns, le16 rows

static const struct state_field fields[] = {
    VIRTIO_STATE_FIELDS(struct virtio_console_state),
    STATE_SCALAR(32, struct virtio_console_state, tx_off, U32, PUBLIC, 0, 0),
};
static const struct state_table table = {
    .name = "virtio-console",
    .version = 1,
    .field_count = ARRAY_COUNT(fields),
    .struct_bytes = sizeof(struct virtio_console_state),
    .fields = fields,
};

// ---- home loop ----------------------------------------------------------------------------------

/// Reads what has arrived into one chain. Returns how many bytes.
static uint32_t receive(struct virtio_console *console, const struct virtqueue_chain *chain) {
    uint32_t total = 0;

    for (uint32_t i = 0; i < chain->writable_count; i++) {
        const struct iovec *span = &chain->writable[i];
        size_t got = console->chardev->ops->read(console->chardev, span->iov_base, span->iov_len);

        total += (uint32_t)got;
        if (got < span->iov_len) {
            break;
        }
    }
    return total;
}

static void process_rx(struct virtio_console *console, struct virtio_queue *queue,
                       struct virtqueue_chain *chain) {
    while (virtio_queue_pop(queue, chain)) {
        uint32_t got;

        if (chain->writable_bytes == 0) {
            virtio_queue_unpop(queue);
            virtio_queue_fail(queue, "receive buffer is not writable");
            return;
        }
        got = receive(console, chain);
        if (got == 0) {
            virtio_queue_unpop(queue);
            queue->blocked = true; // readable() goes on
            return;
        }
        console->received_bytes += got;
        virtio_queue_complete(queue, chain->head, got);
    }
}

/// Sends one chain from tx_off on. Returns whether all of it is out.
static bool send(struct virtio_console *console, struct virtqueue_chain *chain) {
    uint32_t *tx_off = &console->state.tx_off;

    // A driver that shortened its chain meanwhile has nothing left to send.
    if (!virtqueue_chain_skip(chain, *tx_off)) {
        return true;
    }
    while (chain->readable_count > 0) {
        const struct iovec *span = chain->readable;
        size_t size_bytes = span->iov_len;
        size_t put = console->chardev->ops->write(console->chardev, span->iov_base, size_bytes);

        *tx_off += (uint32_t)put;
        console->sent_bytes += put;
        virtqueue_chain_skip(chain, (uint32_t)put); // never more than the span
        if (put < size_bytes) {
            return false;
        }
    }
    return true;
}

static void process_tx(struct virtio_console *console, struct virtio_queue *queue,
                       struct virtqueue_chain *chain) {
    while (virtio_queue_pop(queue, chain)) {
        if (!send(console, chain)) {
            virtio_queue_unpop(queue);
            queue->blocked = true; // writable() goes on
            return;
        }
        console->state.tx_off = 0;
        virtio_queue_complete(queue, chain->head, 0);
    }
}

static void process(void *self, struct virtio_queue *queue) {
    struct virtio_console *console = self;
    struct iovec spans[CONSOLE_SPANS];
    struct virtqueue_chain chain = {.spans = spans, .capacity = CONSOLE_SPANS};

    if (queue->index == RX_QUEUE) {
        process_rx(console, queue, &chain);
    } else {
        process_tx(console, queue, &chain);
    }
}

// Any loop's thread: the queues' home takes over.

static void readable(void *owner) {
    struct virtio_console *console = owner;

    virtio_queue_kick(&console->virtio.queues[RX_QUEUE]);
}

static void writable(void *owner) {
    struct virtio_console *console = owner;

    virtio_queue_kick(&console->virtio.queues[TX_QUEUE]);
}

// ---- construction -------------------------------------------------------------------------------

static const struct virtio_class class = {
    .device_id = VIRTIO_ID_CONSOLE,
    .pci_class_code = 0x078000, // communication, other
    .process = process,
};

static const struct device_ops ops = VIRTIO_DEVICE_OPS(&table);

int virtio_console_init(struct virtio_console *console,
                        const struct virtio_console_config *config) {
    struct virtio_config virtio = config->virtio;
    uint8_t space[CONSOLE_CONFIG_BYTES];
    struct virtio_setup setup = {
        .class = &class,
        .self = console,
        .state = &console->state.virtio,
        .ops = &ops,
        .queue_count = 2,
        .queue_max_size = CONSOLE_QUEUE_SIZE,
        .features = config->columns && config->rows ? CONSOLE_F_SIZE : 0,
        .config = space,
        .config_bytes = sizeof(space),
    };
    int err;

    store_le16(space, config->columns);
    store_le16(space + 2, config->rows);
    memset(console, 0, sizeof(*console));
    console->chardev = config->chardev;
    if (virtio.loop_count > 1) {
        virtio.loop_count = 1; // the character device is not made for two threads
    }
    err = virtio_init(&console->virtio, &virtio, &setup);
    err = err ? err : virtio_pci_init(&console->pci, &console->virtio, &config->pci);
    if (!err) {
        console->chardev->owner = console;
        console->chardev->readable = readable;
        console->chardev->writable = writable;
    }
    return err;
}
