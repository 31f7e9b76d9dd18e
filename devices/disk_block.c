// SPDX-License-Identifier: MIT
//
// Disk backend over a file descriptor of a block device or a regular file.
//
// The direct way is one vectored operation on the guest's own spans. The other way, for spans that
// direct I/O does not take and for the rest after a short transfer, goes piece by piece through a
// buffer of the loop's own pool. A request waits when the pool is empty, first come first served.
// Errors of the device (EIO, ENODEV when it vanished) go to the request and nowhere else.
#include "devices/disk_block.h"

#include "igvm/base/check.h"
#include "igvm/base/log.h"
#include "igvm/base/types.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AREA "disk-block"

#define BOUNCE_BYTES     (128u * 1024u)
#define BOUNCE_COUNT     4u    // per loop
#define MAX_DIRECT_SPANS 1024u // UIO_MAXIOV
#define MAX_RETRIES      8u    // of EINTR and EAGAIN

// disk_io.backend[]: what this backend keeps in a request.
#define IO_DISK      0 // struct block_disk *
#define IO_LANE      1 // struct lane *
#define IO_NEXT      2 // struct disk_io *, while waiting for a buffer
#define IO_RETRIES   3
#define IO_CANCELLED 4

/// What one loop owns.
struct lane {
    struct loop *loop;
    struct iovec buffers[BOUNCE_COUNT];
    bool buffer_used[BOUNCE_COUNT];
    struct disk_io *waiting; ///< for a buffer, oldest first
    struct disk_io *waiting_last;
};

struct block_disk {
    struct disk disk;
    int fd;
    bool buffered;   ///< no alignment rules
    uint8_t *memory; ///< all buffers of all lanes
    uint32_t lane_count;
    struct lane lanes[];
};

static struct block_disk *disk_of(const struct disk_io *io) {
    return (struct block_disk *)(uintptr_t)io->backend[IO_DISK];
}

static struct lane *lane_of(const struct disk_io *io) {
    return (struct lane *)(uintptr_t)io->backend[IO_LANE];
}

static struct disk_io *next_of(const struct disk_io *io) {
    return (struct disk_io *)(uintptr_t)io->backend[IO_NEXT];
}

// ---- buffers ------------------------------------------------------------------------------------

static struct iovec *take_buffer(struct lane *lane) {
    for (unsigned i = 0; i < BOUNCE_COUNT; i++) {
        if (!lane->buffer_used[i]) {
            lane->buffer_used[i] = true;
            return &lane->buffers[i];
        }
    }
    return NULL;
}

static void put_buffer(struct lane *lane, struct iovec *buffer) {
    lane->buffer_used[buffer - lane->buffers] = false;
}

static void wait_for_buffer(struct lane *lane, struct disk_io *io) {
    io->backend[IO_NEXT] = 0;
    if (lane->waiting) {
        lane->waiting_last->backend[IO_NEXT] = (uintptr_t)io;
    } else {
        lane->waiting = io;
    }
    lane->waiting_last = io;
}

/// Takes a request out of the waiting list; false when it is not there.
static bool stop_waiting(struct lane *lane, struct disk_io *io) {
    struct disk_io *before = NULL;
    struct disk_io *at = lane->waiting;

    while (at && at != io) {
        before = at;
        at = next_of(at);
    }
    if (!at) {
        return false;
    }
    if (before) {
        before->backend[IO_NEXT] = at->backend[IO_NEXT];
    } else {
        lane->waiting = next_of(at);
    }
    if (lane->waiting_last == at) {
        lane->waiting_last = before;
    }
    return true;
}

/// Copies between a buffer and the guest's spans from done_bytes on.
static void copy_piece(const struct disk_io *io, uint8_t *buffer, size_t size_bytes) {
    uint64_t skip = io->done_bytes;

    for (uint32_t i = 0; i < io->iov_count && size_bytes > 0; i++) {
        const struct iovec *span = &io->iov[i];
        size_t part;

        if (skip >= span->iov_len) {
            skip -= span->iov_len;
            continue;
        }
        part = span->iov_len - skip < size_bytes ? span->iov_len - skip : size_bytes;
        if (io->op == DISK_READ) {
            memcpy((uint8_t *)span->iov_base + skip, buffer, part);
        } else {
            memcpy(buffer, (const uint8_t *)span->iov_base + skip, part);
        }
        buffer += part;
        size_bytes -= part;
        skip = 0;
    }
}

// ---- requests -----------------------------------------------------------------------------------

static void start_piece(struct disk_io *io);

/// Ends a request and lets the next waiting one have its buffer.
static void finish(struct disk_io *io, int result) {
    struct lane *lane = lane_of(io);
    struct disk_io *next = NULL;

    if (io->bounce) {
        next = lane->waiting;
        if (next) {
            stop_waiting(lane, next);
            next->bounce = io->bounce;
        } else {
            put_buffer(lane, io->bounce);
        }
        io->bounce = NULL;
    }
    io->complete(io, result);
    if (next) {
        start_piece(next);
    }
}

/// Next piece of a request that has a buffer.
static void start_piece(struct disk_io *io) {
    uint64_t left = io->size_bytes - io->done_bytes;
    struct loop_io *op = &io->loop_io;

    io->bounce->iov_len = left < BOUNCE_BYTES ? left : BOUNCE_BYTES;
    if (io->op == DISK_WRITE) {
        copy_piece(io, io->bounce->iov_base, io->bounce->iov_len);
    }
    op->iov = io->bounce;
    op->iov_count = 1;
    op->file_off = io->offset_bytes + io->done_bytes;
    loop_submit(lane_of(io)->loop, op);
}

static void start_bounced(struct disk_io *io) {
    io->bounce = take_buffer(lane_of(io));
    if (io->bounce) {
        start_piece(io);
    } else {
        wait_for_buffer(lane_of(io), io);
    }
}

/// A transfer moved some bytes: on with the rest, or done.
static void moved(struct disk_io *io, uint64_t size_bytes) {
    uint64_t whole = align_down(size_bytes, disk_of(io)->disk.info.logical_block_bytes);

    if (io->bounce && io->op == DISK_READ) {
        copy_piece(io, io->bounce->iov_base, whole);
    }
    io->done_bytes += whole;
    if (io->done_bytes >= io->size_bytes) {
        finish(io, 0);
    } else if (whole == 0) {
        finish(io, -EIO); // the end of the disk came nearer: not even one block
    } else if (io->bounce) {
        start_piece(io);
    } else {
        start_bounced(io);
    }
}

/// Whether the operation is worth trying again as it is, or in a weaker form.
static bool try_again(struct disk_io *io, int64_t result) {
    if ((result == -EINTR || result == -EAGAIN) && io->backend[IO_RETRIES] < MAX_RETRIES) {
        io->backend[IO_RETRIES]++;
        return true;
    }
    if (io->op == DISK_WRITE_ZEROES && result == -EOPNOTSUPP &&
        (io->loop_io.flags & LOOP_IO_UNMAP)) {
        io->loop_io.flags &= ~LOOP_IO_UNMAP; // deallocation is permitted, not asked for
        return true;
    }
    return false;
}

static void complete(struct loop_io *op, int64_t result) {
    struct disk_io *io = op->owner;

    if (io->backend[IO_CANCELLED] && result != 0) {
        finish(io, -ECANCELED);
    } else if (result < 0) {
        if (try_again(io, result)) {
            loop_submit(lane_of(io)->loop, op);
        } else {
            finish(io, (int)result);
        }
    } else if (io->op == DISK_READ || io->op == DISK_WRITE) {
        moved(io, (uint64_t)result);
    } else {
        finish(io, 0);
    }
}

/// Whether the kernel takes these spans as they are: direct I/O wants addresses aligned for DMA and
/// every span made of whole logical blocks.
static bool spans_fit(const struct block_disk *bd, const struct disk_io *io) {
    uint64_t addresses = 0;
    uint64_t lengths = 0;

    for (uint32_t i = 0; i < io->iov_count; i++) {
        addresses |= (uintptr_t)io->iov[i].iov_base;
        lengths |= io->iov[i].iov_len;
    }
    return io->iov_count <= MAX_DIRECT_SPANS &&
           (bd->buffered || (is_aligned(addresses, bd->disk.info.dma_alignment_bytes) &&
                             is_aligned(lengths, bd->disk.info.logical_block_bytes)));
}

static void submit(struct disk *disk, struct loop *loop, struct disk_io *io) {
    static const enum loop_op ops[] = {
        [DISK_READ] = LOOP_READV,
        [DISK_WRITE] = LOOP_WRITEV,
        [DISK_FLUSH] = LOOP_FSYNC,
        [DISK_DISCARD] = LOOP_DISCARD,
        [DISK_WRITE_ZEROES] = LOOP_WRITE_ZEROES,
    };
    struct block_disk *bd = (struct block_disk *)disk; // first member
    struct lane *lane;

    CHECK(loop->vp_index < bd->lane_count);
    lane = &bd->lanes[loop->vp_index];
    lane->loop = loop;
    io->backend[IO_DISK] = (uintptr_t)bd;
    io->backend[IO_LANE] = (uintptr_t)lane;
    io->backend[IO_RETRIES] = 0;
    io->backend[IO_CANCELLED] = 0;
    io->done_bytes = 0;
    io->bounce = NULL;
    io->loop_io = (struct loop_io){
        .op = ops[io->op],
        .fd = bd->fd,
        .flags = (io->flags & DISK_IO_UNMAP) ? LOOP_IO_UNMAP : 0,
        .iov = io->iov,
        .iov_count = io->iov_count,
        .file_off = io->offset_bytes,
        .size_bytes = io->size_bytes,
        .complete = complete,
        .owner = io,
    };
    if ((io->op == DISK_READ || io->op == DISK_WRITE) && !spans_fit(bd, io)) {
        start_bounced(io);
    } else {
        loop_submit(loop, &io->loop_io);
    }
}

static void cancel(struct disk *disk, struct loop *loop, struct disk_io *io) {
    (void)disk;
    io->backend[IO_CANCELLED] = 1;
    if (stop_waiting(lane_of(io), io)) {
        finish(io, -ECANCELED);
    } else {
        loop_cancel(loop, &io->loop_io);
    }
}

static void destroy(struct disk *disk) {
    struct block_disk *bd = (struct block_disk *)disk; // first member

    close(bd->fd);
    free(bd->memory);
    free(bd);
}

static const struct disk_ops disk_ops = {.submit = submit, .cancel = cancel, .destroy = destroy};

// ---- opening ------------------------------------------------------------------------------------

/// Opens with direct I/O if the file has it; a block device exclusively, so that nothing else in
/// VTL2 uses it.
static int open_file(const struct disk_block_config *config, bool *buffered) {
    int flags = O_CLOEXEC | (config->read_only ? O_RDONLY : O_RDWR);
    struct stat status;
    int fd;

    if (stat(config->path, &status)) {
        return -errno;
    }
    flags |= S_ISBLK(status.st_mode) ? O_EXCL : 0;
    *buffered = config->buffered;
    fd = open(config->path, flags | (*buffered ? 0 : O_DIRECT));
    if (fd < 0 && errno == EINVAL && !*buffered) {
        *buffered = true;
        fd = open(config->path, flags);
    }
    return fd < 0 ? -errno : fd;
}

static int allocate(uint32_t lane_count, struct block_disk **out) {
    size_t lane_bytes = (size_t)BOUNCE_COUNT * BOUNCE_BYTES;
    struct block_disk *bd = calloc(1, sizeof(*bd) + lane_count * sizeof(bd->lanes[0]));

    if (!bd) {
        return -ENOMEM;
    }
    // Pages of it become resident only where a loop really bounces.
    bd->memory = aligned_alloc(PAGE_SIZE_4K, lane_count * lane_bytes);
    if (!bd->memory) {
        free(bd);
        return -ENOMEM;
    }
    bd->lane_count = lane_count;
    for (uint32_t i = 0; i < lane_count; i++) {
        for (uint32_t j = 0; j < BOUNCE_COUNT; j++) {
            bd->lanes[i].buffers[j].iov_base =
                bd->memory + i * lane_bytes + (size_t)j * BOUNCE_BYTES;
        }
    }
    *out = bd;
    return 0;
}

int disk_block_open(const struct disk_block_config *config, struct disk **out) {
    struct block_disk *bd;
    bool buffered = false;
    int fd;
    int err;

    if (config->loop_count == 0) {
        return -EINVAL;
    }
    fd = open_file(config, &buffered);
    if (fd < 0) {
        return fd;
    }
    err = allocate(config->loop_count, &bd);
    if (err) {
        goto close_file;
    }
    bd->disk.ops = &disk_ops;
    bd->disk.info.read_only = config->read_only;
    bd->fd = fd;
    bd->buffered = buffered;
    err = disk_block_describe(fd, buffered, &bd->disk.info);
    if (err) {
        goto free_disk;
    }
    if (config->serial) {
        snprintf(bd->disk.info.serial, sizeof(bd->disk.info.serial), "%.20s", config->serial);
    }
    log_write(LOG_INFO, AREA, "%s: %llu bytes, blocks of %u, dma alignment %u%s%s", config->path,
              (unsigned long long)bd->disk.info.size_bytes, bd->disk.info.logical_block_bytes,
              bd->disk.info.dma_alignment_bytes, bd->disk.info.read_only ? ", read-only" : "",
              buffered ? ", buffered" : "");
    *out = &bd->disk;
    return 0;

free_disk:
    free(bd->memory);
    free(bd);
close_file:
    close(fd);
    return err;
}
