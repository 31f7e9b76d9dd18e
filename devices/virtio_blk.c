// SPDX-License-Identifier: MIT
//
// Virtio block device (VIRTIO 1.2, section 5.2).
//
// A request is decoded completely (header copied, ranges checked) before anything is submitted.
// Every path of a request runs on its queue's home loop: no lock, no allocation.
#include "devices/virtio_blk.h"

#include "igvm/base/bytes.h"
#include "igvm/base/check.h"
#include "igvm/base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR_BYTES 512u

// 5.2.6 request types and status.
#define BLK_T_IN           0u
#define BLK_T_OUT          1u
#define BLK_T_FLUSH        4u
#define BLK_T_GET_ID       8u
#define BLK_T_DISCARD      11u
#define BLK_T_WRITE_ZEROES 13u
#define BLK_S_OK           0u
#define BLK_S_IOERR        1u
#define BLK_S_UNSUPP       2u
#define BLK_ID_BYTES       20u
#define BLK_SEG_F_UNMAP    1u // of discard and write-zeroes segments

/// struct virtio_blk_req, the readable head.
struct blk_header {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
};
_Static_assert(sizeof(struct blk_header) == 16, "wire size");

/// struct virtio_blk_discard_write_zeroes.
struct blk_segment {
    uint64_t sector;
    uint32_t sector_count;
    uint32_t flags;
};
_Static_assert(sizeof(struct blk_segment) == 16, "wire size");

static const struct state_field fields[] = {
    VIRTIO_STATE_FIELDS(struct virtio_blk_state),
};
static const struct state_table table = {
    .name = "virtio-blk",
    .version = 1,
    .field_count = ARRAY_COUNT(fields),
    .struct_bytes = sizeof(struct virtio_blk_state),
    .fields = fields,
};

// ---- requests (home loop) -----------------------------------------------------------------------

static struct virtio_blk_queue *blk_queue(struct virtio_blk_request *request) {
    return &request->blk->queues[request->queue->index];
}

/// Ends a request: status byte, used ring, back to the pool.
static void finish(struct virtio_blk_request *request, uint8_t status) {
    struct virtio_queue *queue = request->queue;
    struct virtio_blk_queue *pool = blk_queue(request);

    if (status != BLK_S_OK) {
        pool->error_count++;
    }
    if (virtio_queue_live(queue)) {
        __atomic_store_n(request->status, status, __ATOMIC_RELAXED);
    }
    request->busy = false;
    request->next_free = pool->free;
    pool->free = request;
    virtio_queue_complete(queue, request->head,
                          (status == BLK_S_OK ? request->written_bytes : 0) + 1);
}

static void submit(struct virtio_blk_request *request) {
    struct disk *disk = request->blk->disk;

    disk->ops->submit(disk, request->queue->loop, &request->io);
}

static void complete(struct disk_io *io, int result) {
    struct virtio_blk_request *request = io->owner;

    if (result == 0 && request->flush_after && virtio_queue_live(request->queue)) {
        request->flush_after = false;
        io->op = DISK_FLUSH;
        io->iov_count = 0;
        submit(request);
        return;
    }
    if (result != 0 && result != -ECANCELED) {
        LOG_LIMITED(LOG_WARN, request->blk->virtio.device.name, "operation %d at %llu: error %d",
                    (int)io->op, (unsigned long long)io->offset_bytes, -result);
    }
    if (result == 0) {
        finish(request, BLK_S_OK);
    } else {
        finish(request, result == -EOPNOTSUPP ? BLK_S_UNSUPP : BLK_S_IOERR);
    }
}

/// Whether [sector, sector + bytes) is on the disk and made of whole logical blocks; gives the
/// offset in bytes.
static bool check_range(const struct virtio_blk *blk, uint64_t sector, uint64_t size_bytes,
                        uint64_t *offset_bytes) {
    const struct disk_info *info = &blk->disk->info;
    uint64_t offset;
    uint64_t end;

    if (__builtin_mul_overflow(sector, SECTOR_BYTES, &offset) ||
        __builtin_add_overflow(offset, size_bytes, &end) || end > info->size_bytes ||
        !is_aligned(offset | size_bytes, info->logical_block_bytes)) {
        return false;
    }
    *offset_bytes = offset;
    return true;
}

static bool negotiated(const struct virtio_blk *blk, uint64_t feature) {
    return (blk->state.virtio.driver_features & feature) != 0;
}

/// 5.2.6.2: without FLUSH negotiated, a write is durable when it completes.
static bool is_write_through(const struct virtio_blk *blk) {
    return blk->disk->info.has_write_cache && !negotiated(blk, VIRTIO_BLK_F_FLUSH);
}

static void start_transfer(struct virtio_blk_request *request, enum disk_op op, uint64_t sector,
                           struct virtqueue_chain *chain) {
    struct virtio_blk *blk = request->blk;
    struct virtio_blk_queue *pool = blk_queue(request);
    struct disk_io *io = &request->io;
    bool is_read = op == DISK_READ;
    uint32_t size_bytes = is_read ? chain->writable_bytes : chain->readable_bytes;
    // Who has not taken the feature knows of no limit (5.2.3): the backend works in pieces then.
    uint32_t limit =
        negotiated(blk, VIRTIO_BLK_F_SIZE_MAX) ? blk->disk->info.max_transfer_bytes : 0;

    if (!check_range(blk, sector, size_bytes, &io->offset_bytes) ||
        (limit != 0 && size_bytes > limit) || (!is_read && blk->disk->info.read_only)) {
        finish(request, BLK_S_IOERR);
        return;
    }
    if (size_bytes == 0) {
        finish(request, BLK_S_OK);
        return;
    }
    io->op = op;
    io->size_bytes = size_bytes;
    io->iov = is_read ? chain->writable : chain->readable;
    io->iov_count = is_read ? chain->writable_count : chain->readable_count;
    if (is_read) {
        request->written_bytes = size_bytes;
        pool->read_count++;
        pool->read_bytes += size_bytes;
    } else {
        request->flush_after = is_write_through(blk);
        pool->write_count++;
        pool->write_bytes += size_bytes;
    }
    submit(request);
}

/// Discard and write zeroes: one segment, as announced (5.2.6.1).
static void start_range(struct virtio_blk_request *request, enum disk_op op,
                        struct virtqueue_chain *chain) {
    struct virtio_blk *blk = request->blk;
    const struct disk_info *info = &blk->disk->info;
    struct disk_io *io = &request->io;
    uint64_t limit = op == DISK_DISCARD ? info->max_discard_bytes : info->max_write_zeroes_bytes;
    uint32_t known_flags = op == DISK_DISCARD ? 0 : BLK_SEG_F_UNMAP;
    struct blk_segment segment;
    uint64_t size_bytes;

    if (limit == 0) {
        finish(request, BLK_S_UNSUPP);
        return;
    }
    if (chain->readable_bytes != sizeof(segment)) {
        finish(request, BLK_S_IOERR);
        return;
    }
    virtqueue_chain_read(chain, &segment, sizeof(segment));
    size_bytes = (uint64_t)segment.sector_count * SECTOR_BYTES;
    if (segment.flags & ~known_flags) {
        finish(request, BLK_S_UNSUPP);
        return;
    }
    if (size_bytes > limit || info->read_only ||
        !check_range(blk, segment.sector, size_bytes, &io->offset_bytes)) {
        finish(request, BLK_S_IOERR);
        return;
    }
    if (size_bytes == 0) {
        finish(request, BLK_S_OK);
        return;
    }
    io->op = op;
    io->size_bytes = size_bytes;
    io->flags = (segment.flags & BLK_SEG_F_UNMAP) ? DISK_IO_UNMAP : 0;
    request->flush_after = op == DISK_WRITE_ZEROES && is_write_through(blk);
    blk_queue(request)->discard_count++;
    submit(request);
}

static void get_id(struct virtio_blk_request *request, struct virtqueue_chain *chain) {
    char id[BLK_ID_BYTES] = {0}; // not terminated when it is 20 characters long
    const char *serial = request->blk->disk->info.serial;

    memcpy(id, serial, strnlen(serial, BLK_ID_BYTES));
    request->written_bytes = (uint32_t)virtqueue_chain_write(chain, id, sizeof(id));
    finish(request, BLK_S_OK);
}

static void start_flush(struct virtio_blk_request *request) {
    request->io.op = DISK_FLUSH;
    blk_queue(request)->flush_count++;
    submit(request);
}

/// Decodes a chain and starts it. Header and status may lie in any arrangement of buffers (2.7.4).
static void start(struct virtio_blk_request *request, struct virtqueue_chain *chain) {
    struct blk_header header;

    request->status = virtqueue_chain_take_last(chain);
    if (!request->status ||
        virtqueue_chain_read(chain, &header, sizeof(header)) != sizeof(header)) {
        virtio_queue_fail(request->queue, "request without header or status");
        finish(request, BLK_S_IOERR);
        return;
    }
    switch (header.type) {
    case BLK_T_IN:
        start_transfer(request, DISK_READ, header.sector, chain);
        break;
    case BLK_T_OUT:
        start_transfer(request, DISK_WRITE, header.sector, chain);
        break;
    case BLK_T_FLUSH:
        start_flush(request);
        break;
    case BLK_T_GET_ID:
        get_id(request, chain);
        break;
    case BLK_T_DISCARD:
        start_range(request, DISK_DISCARD, chain);
        break;
    case BLK_T_WRITE_ZEROES:
        start_range(request, DISK_WRITE_ZEROES, chain);
        break;
    default:
        finish(request, BLK_S_UNSUPP);
        break;
    }
}

static void process(void *self, struct virtio_queue *queue) {
    struct virtio_blk *blk = self;
    struct virtio_blk_queue *pool = &blk->queues[queue->index];
    struct virtio_blk_request *request;

    while ((request = pool->free)) {
        struct virtqueue_chain chain = {.spans = request->spans, .capacity = VIRTIO_BLK_SPANS};

        if (!virtio_queue_pop(queue, &chain)) {
            return;
        }
        pool->free = request->next_free;
        request->busy = true;
        request->flush_after = false;
        request->head = chain.head;
        request->written_bytes = 0;
        request->io.flags = 0;
        request->io.iov_count = 0;
        request->io.offset_bytes = 0;
        request->io.size_bytes = 0;
        start(request, &chain);
    }
    queue->blocked = true; // the next request that completes goes on
}

static void cancel(void *self, struct virtio_queue *queue) {
    struct virtio_blk *blk = self;
    struct virtio_blk_queue *pool = &blk->queues[queue->index];

    for (uint32_t i = 0; i < VIRTIO_BLK_QUEUE_SIZE; i++) {
        if (pool->requests[i].busy) {
            blk->disk->ops->cancel(blk->disk, queue->loop, &pool->requests[i].io);
        }
    }
}

// ---- construction -------------------------------------------------------------------------------

static const struct virtio_class class = {
    .device_id = VIRTIO_ID_BLOCK,
    .pci_class_code = 0x010000, // mass storage, SCSI: what other virtio block devices say
    .process = process,
    .cancel = cancel,
};

static int allocate_pool(struct virtio_blk *blk, uint16_t index) {
    struct virtio_blk_queue *pool = &blk->queues[index];

    pool->requests = calloc(VIRTIO_BLK_QUEUE_SIZE, sizeof(*pool->requests));
    if (!pool->requests) {
        return -ENOMEM;
    }
    for (uint32_t i = VIRTIO_BLK_QUEUE_SIZE; i-- > 0;) {
        struct virtio_blk_request *request = &pool->requests[i];

        request->blk = blk;
        request->queue = &blk->virtio.queues[index];
        request->io.complete = complete;
        request->io.owner = request;
        request->next_free = pool->free;
        pool->free = request;
    }
    return 0;
}

static const struct device_ops ops = VIRTIO_DEVICE_OPS(&table);

int virtio_blk_init(struct virtio_blk *blk, const struct virtio_blk_config *config) {
    const struct disk_info *info = &config->disk->info;
    uint32_t block = info->logical_block_bytes;
    uint32_t count = config->queue_count ? config->queue_count : config->virtio.loop_count;
    uint8_t space[VIRTIO_BLK_CONFIG_BYTES];
    struct virtio_setup setup = {
        .class = &class,
        .self = blk,
        .state = &blk->state.virtio,
        .ops = &ops,
        .queue_count = (uint16_t)(count < VIRTIO_MAX_QUEUES ? count : VIRTIO_MAX_QUEUES),
        .queue_max_size = VIRTIO_BLK_QUEUE_SIZE,
        .config = space,
        .config_bytes = VIRTIO_BLK_CONFIG_BYTES,
    };
    int err;

    if (block < SECTOR_BYTES || block > PAGE_SIZE_4K || (block & (block - 1)) != 0) {
        return -EINVAL;
    }
    memset(blk, 0, sizeof(*blk));
    blk->disk = config->disk;
    setup.features = virtio_blk_describe(info, setup.queue_count, space);
    err = virtio_init(&blk->virtio, &config->virtio, &setup);
    for (uint16_t i = 0; !err && i < setup.queue_count; i++) {
        err = allocate_pool(blk, i);
    }
    err = err ? err : virtio_pci_init(&blk->pci, &blk->virtio, &config->pci);
    if (err) {
        virtio_blk_destroy(blk);
    }
    return err;
}

void virtio_blk_destroy(struct virtio_blk *blk) {
    for (uint32_t i = 0; i < VIRTIO_MAX_QUEUES; i++) {
        free(blk->queues[i].requests);
        blk->queues[i].requests = NULL;
        blk->queues[i].free = NULL;
    }
}
