// SPDX-License-Identifier: MIT
//
// Backends for tests: disk and byte stream in memory.
#include "tests/support/fake_backends.h"

#include "igvm/base/check.h"

#include <errno.h>
#include <string.h>

static struct fake_disk *fake(struct disk *disk) {
    return (struct fake_disk *)disk; // disk is the first member
}

static struct disk_io *next_of(const struct disk_io *io) {
    return (struct disk_io *)(uintptr_t)io->backend[0];
}

static void set_next(struct disk_io *io, struct disk_io *next) {
    io->backend[0] = (uintptr_t)next;
}

static bool unlink_io(struct fake_disk *fd, struct disk_io *io) {
    struct disk_io *before = NULL;
    struct disk_io *at = fd->queue;

    while (at && at != io) {
        before = at;
        at = next_of(at);
    }
    if (!at) {
        return false;
    }
    if (before) {
        set_next(before, next_of(at));
    } else {
        fd->queue = next_of(at);
    }
    fd->waiting_count--;
    return true;
}

static void submit(struct disk *disk, struct loop *loop, struct disk_io *io) {
    struct fake_disk *fd = fake(disk);
    struct disk_io *last = fd->queue;

    CHECK(loop == &fd->fl->loop && io->complete);
    set_next(io, NULL);
    if (!last) {
        fd->queue = io;
    }
    while (last && next_of(last)) {
        last = next_of(last);
    }
    if (last) {
        set_next(last, io);
    }
    fd->waiting_count++;
    fd->submitted_count++;
    if (!fd->hold) {
        loop_post(loop, &fd->task);
    }
}

static int transfer(struct fake_disk *fd, const struct disk_io *io) {
    size_t moved = 0;

    for (uint32_t i = 0; i < io->iov_count; i++) {
        size_t n = io->iov[i].iov_len;

        CHECK(n <= io->size_bytes - moved); // the device promised size_bytes in all
        if (io->op == DISK_READ) {
            memcpy(io->iov[i].iov_base, fd->bytes + io->offset_bytes + moved, n);
        } else {
            memcpy(fd->bytes + io->offset_bytes + moved, io->iov[i].iov_base, n);
        }
        moved += n;
    }
    CHECK(moved == io->size_bytes);
    return 0;
}

static int perform(struct fake_disk *fd, const struct disk_io *io) {
    const struct disk_info *info = &fd->disk.info;

    if (io->op == DISK_FLUSH) {
        return 0;
    }
    // The device checks these before it submits (devices/disk.h).
    CHECK(io->offset_bytes <= info->size_bytes &&
          io->size_bytes <= info->size_bytes - io->offset_bytes);
    CHECK((io->offset_bytes | io->size_bytes) % info->logical_block_bytes == 0);
    CHECK(io->op == DISK_READ || !info->read_only);
    if (io->op == DISK_READ || io->op == DISK_WRITE) {
        return transfer(fd, io);
    }
    memset(fd->bytes + io->offset_bytes, 0, io->size_bytes);
    return 0;
}

bool fake_disk_complete(struct fake_disk *fd, struct disk_io *io) {
    int result;

    io = io ? io : fd->queue;
    if (!io || !unlink_io(fd, io)) {
        return false;
    }
    if (fd->fail_result && fd->fail_after == 0) {
        result = fd->fail_result;
        if (fd->fail_count <= 1) {
            fd->fail_result = 0;
        } else {
            fd->fail_count--;
        }
    } else {
        fd->fail_after -= fd->fail_after > 0 ? 1 : 0;
        result = perform(fd, io);
        fd->count[io->op]++;
    }
    fd->completed_count++;
    io->complete(io, result);
    return true;
}

static void run(void *self) {
    struct fake_disk *fd = self;
    unsigned count = fd->waiting_count; // those submitted meanwhile have posted the task again

    while (!fd->hold && count-- > 0 && fake_disk_complete(fd, NULL)) {
    }
}

static void cancel(struct disk *disk, struct loop *loop, struct disk_io *io) {
    struct fake_disk *fd = fake(disk);

    (void)loop;
    if (unlink_io(fd, io)) {
        fd->completed_count++;
        io->complete(io, -ECANCELED);
    }
}

static void destroy(struct disk *disk) {
    fake(disk)->destroyed = true;
}

static const struct disk_ops disk_ops = {.submit = submit, .cancel = cancel, .destroy = destroy};

void fake_disk_init(struct fake_disk *fd, struct fake_loop *fl, uint8_t *bytes,
                    uint64_t size_bytes) {
    *fd = (struct fake_disk){.bytes = bytes, .fl = fl};
    fd->disk.ops = &disk_ops;
    fd->disk.info = (struct disk_info){
        .size_bytes = size_bytes,
        .logical_block_bytes = 512,
        .physical_block_bytes = 4096,
        .max_transfer_bytes = 1u << 20,
        .discard_granularity_bytes = 512,
        .max_discard_bytes = size_bytes,
        .max_write_zeroes_bytes = size_bytes,
        .dma_alignment_bytes = 1,
        .has_write_cache = true,
        .serial = "FAKE0001",
    };
    fd->task.fn = run;
    fd->task.self = fd;
}

static size_t chardev_write(struct chardev *c, const uint8_t *bytes, size_t size) {
    struct fake_chardev *fc = (struct fake_chardev *)c; // first member
    size_t n = size < fc->out_room ? size : fc->out_room;

    n = n < sizeof(fc->out) - fc->out_bytes ? n : sizeof(fc->out) - fc->out_bytes;
    memcpy(fc->out + fc->out_bytes, bytes, n);
    fc->out_bytes += n;
    fc->out_room -= n;
    fc->write_calls++;
    return n;
}

static size_t chardev_read(struct chardev *c, uint8_t *bytes, size_t size) {
    struct fake_chardev *fc = (struct fake_chardev *)c;
    size_t n = size < fc->in_bytes ? size : fc->in_bytes;

    memcpy(bytes, fc->in, n);
    memmove(fc->in, fc->in + n, fc->in_bytes - n);
    fc->in_bytes -= n;
    fc->in_asked = fc->in_asked || (n == 0 && size != 0);
    return n;
}

static const struct chardev_ops chardev_ops = {.write = chardev_write, .read = chardev_read};

void fake_chardev_init(struct fake_chardev *fc) {
    memset(fc, 0, sizeof(*fc));
    fc->chardev.ops = &chardev_ops;
    fc->out_room = SIZE_MAX;
    fc->in_asked = true; // a backend listens from the start
}

void fake_chardev_feed(struct fake_chardev *fc, const void *bytes, size_t size_bytes) {
    CHECK(size_bytes <= sizeof(fc->in) - fc->in_bytes);
    memcpy(fc->in + fc->in_bytes, bytes, size_bytes);
    fc->in_bytes += size_bytes;
    if (fc->chardev.readable && fc->in_asked) {
        fc->in_asked = false;
        fc->chardev.readable(fc->chardev.owner);
    }
}

void fake_chardev_drain(struct fake_chardev *fc, size_t out_room) {
    fc->out_room = out_room;
    if (fc->chardev.writable) {
        fc->chardev.writable(fc->chardev.owner);
    }
}
