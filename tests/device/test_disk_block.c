// SPDX-License-Identifier: MIT
//
// The block device backend on the fake loop: direct and bounced transfers, short ones, errors,
// cancellation. The file on disk only gives the descriptor; the loop's operations act on memory.
#include "devices/disk_block.h"
#include "tests/support/fake_machine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define DISK_BYTES   (1024u * 1024u)
#define BOUNCE_BYTES (128u * 1024u) // a piece (disk_block.c)
#define BOUNCE_COUNT 4u

struct result {
    struct disk_io io;
    struct iovec iov[4];
    unsigned done;
    int result;
};

struct fixture {
    char path[64];
    struct fake_loop fl;
    uint8_t *bytes;
    uint8_t *memory; ///< the guest's side, page-aligned
    struct disk *disk;
    struct result r[8];
};

static void complete(struct disk_io *io, int result) {
    struct result *r = io->owner;

    r->done++;
    r->result = result;
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    struct disk_block_config config = {.path = f->path,
                                       .buffered = true,
                                       .loop_count = 1,
                                       .serial = "A serial far too long for it"};
    int fd;

    strcpy(f->path, "/tmp/parapet-test-disk-XXXXXX");
    fd = mkstemp(f->path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, DISK_BYTES + 100), 0);
    close(fd);
    f->bytes = malloc(DISK_BYTES);
    f->memory = aligned_alloc(4096, DISK_BYTES);
    for (unsigned i = 0; i < DISK_BYTES; i++) {
        f->bytes[i] = (uint8_t)(i * 13 + i / 4096);
    }
    memset(f->memory, 0, DISK_BYTES);
    fake_loop_init(&f->fl, f->bytes, DISK_BYTES);
    assert_int_equal(disk_block_open(&config, &f->disk), 0);
    for (unsigned i = 0; i < 8; i++) {
        f->r[i].io.complete = complete;
        f->r[i].io.owner = &f->r[i];
        f->r[i].io.iov = f->r[i].iov;
    }
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;

    f->disk->ops->destroy(f->disk);
    unlink(f->path);
    free(f->bytes);
    free(f->memory);
    free(f);
    return 0;
}

/// Makes the backend believe in direct I/O: what a block device would have said.
static void make_direct(struct fixture *f) {
    struct disk_block_config config = {.path = f->path, .loop_count = 1};

    f->disk->ops->destroy(f->disk);
    assert_int_equal(disk_block_open(&config, &f->disk), 0);
}

static bool is_direct(const struct fixture *f) {
    return f->disk->info.dma_alignment_bytes == 512;
}

static void submit(struct fixture *f, unsigned i, enum disk_op op, uint64_t offset, uint8_t *at,
                   uint64_t size_bytes) {
    struct result *r = &f->r[i];

    r->io.op = op;
    r->io.offset_bytes = offset;
    r->io.size_bytes = size_bytes;
    r->iov[0] = (struct iovec){at, size_bytes};
    r->io.iov_count = at ? 1 : 0;
    r->done = 0;
    f->disk->ops->submit(f->disk, &f->fl.loop, &r->io);
    assert_int_equal(r->done, 0); // never before submit returns
}

static void describes_a_file(void **state) {
    struct fixture *f = *state;
    struct disk_block_config config = {.path = f->path, .read_only = true, .loop_count = 1};
    struct disk *other;

    assert_int_equal(f->disk->info.size_bytes, DISK_BYTES); // whole blocks
    assert_int_equal(f->disk->info.logical_block_bytes, 512);
    assert_string_equal(f->disk->info.serial, "A serial far too lon");
    assert_false(f->disk->info.read_only);
    assert_int_equal(disk_block_open(&config, &other), 0);
    assert_true(other->info.read_only);
    assert_int_equal(other->info.max_discard_bytes, 0);
    other->ops->destroy(other);
}

static void open_errors(void **state) {
    struct fixture *f = *state;
    struct disk_block_config config = {.path = "/nonexistent/disk", .loop_count = 1};
    struct disk *other;

    assert_int_equal(disk_block_open(&config, &other), -ENOENT);
    config.path = "/dev/null";
    assert_int_equal(disk_block_open(&config, &other), -EINVAL);
    config.path = f->path;
    config.loop_count = 0;
    assert_int_equal(disk_block_open(&config, &other), -EINVAL);
}

static void direct_transfers(void **state) {
    struct fixture *f = *state;

    f->fl.hold_io = true;
    submit(f, 0, DISK_READ, 4096, f->memory, 8192);
    assert_ptr_equal(f->fl.ios->iov, f->r[0].iov); // the guest's own spans
    f->fl.hold_io = false;
    assert_true(fake_loop_run(&f->fl));
    assert_int_equal(f->r[0].done, 1);
    assert_int_equal(f->r[0].result, 0);
    assert_memory_equal(f->memory, f->bytes + 4096, 8192);
    memset(f->memory, 0x77, 512);
    submit(f, 0, DISK_WRITE, 512, f->memory, 512);
    submit(f, 1, DISK_FLUSH, 0, NULL, 0);
    assert_true(fake_loop_run(&f->fl));
    assert_memory_equal(f->bytes + 512, f->memory, 512);
    assert_int_equal(f->fl.fsync_count, 1);
    assert_int_equal(f->r[1].result, 0);
}

static void unaligned_spans_are_bounced(void **state) {
    struct fixture *f = *state;
    struct result *r = &f->r[0];

    make_direct(f);
    if (!is_direct(f)) {
        skip(); // the file system has no direct I/O
    }
    // Three odd spans, more than one piece in all.
    r->iov[0] = (struct iovec){f->memory + 1, 100};
    r->iov[1] = (struct iovec){f->memory + 1000, BOUNCE_BYTES};
    r->iov[2] = (struct iovec){f->memory + 300000, 1024 - 100};
    r->io.op = DISK_READ;
    r->io.offset_bytes = 512;
    r->io.size_bytes = BOUNCE_BYTES + 1024;
    r->io.iov_count = 3;
    f->disk->ops->submit(f->disk, &f->fl.loop, &r->io);
    assert_ptr_not_equal(f->fl.ios->iov, r->iov);
    assert_int_equal((uintptr_t)f->fl.ios->iov->iov_base % 4096, 0);
    assert_true(fake_loop_run(&f->fl));
    assert_int_equal(r->result, 0);
    assert_int_equal(f->fl.completed_count, 2);
    assert_memory_equal(f->memory + 1, f->bytes + 512, 100);
    assert_memory_equal(f->memory + 1000, f->bytes + 612, BOUNCE_BYTES);
    assert_memory_equal(f->memory + 300000, f->bytes + 612 + BOUNCE_BYTES, 924);

    memset(f->memory + 1, 0x33, 100);
    r->io.op = DISK_WRITE;
    r->io.offset_bytes = 8192;
    f->disk->ops->submit(f->disk, &f->fl.loop, &r->io);
    assert_true(fake_loop_run(&f->fl));
    assert_int_equal(f->r[0].done, 2);
    assert_memory_equal(f->bytes + 8192, f->memory + 1, 100);
    assert_memory_equal(f->bytes + 8292, f->memory + 1000, BOUNCE_BYTES);
}

static void pool_is_bounded_and_fair(void **state) {
    struct fixture *f = *state;

    make_direct(f);
    if (!is_direct(f)) {
        skip();
    }
    f->fl.hold_io = true;
    for (unsigned i = 0; i < 8; i++) {
        submit(f, i, DISK_READ, i * 4096ull, f->memory + i * 4096 + 1, 512);
    }
    assert_int_equal(f->fl.submitted_count, BOUNCE_COUNT);
    f->disk->ops->cancel(f->disk, &f->fl.loop, &f->r[5].io); // one that waits
    assert_int_equal(f->r[5].result, -ECANCELED);
    f->disk->ops->cancel(f->disk, &f->fl.loop, &f->r[7].io); // the last one
    assert_int_equal(f->r[7].done, 1);
    assert_true(fake_loop_complete(&f->fl, NULL));
    assert_int_equal(f->r[0].done, 1);
    assert_int_equal(f->fl.submitted_count, BOUNCE_COUNT + 1);
    f->fl.hold_io = false;
    assert_true(fake_loop_run(&f->fl));
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(f->r[i].done, 1);
        if (i != 5 && i != 7) {
            assert_int_equal(f->r[i].result, 0);
            assert_memory_equal(f->memory + i * 4096 + 1, f->bytes + i * 4096, 512);
        }
    }
    submit(f, 0, DISK_READ, 0, f->memory + 1, 512); // and the buffers are all back
    assert_true(fake_loop_run(&f->fl));
    assert_int_equal(f->r[0].result, 0);
}

static void short_transfers_go_on(void **state) {
    struct fixture *f = *state;

    fake_loop_script(&f->fl, 0, 1024 + 100); // not even whole blocks
    submit(f, 0, DISK_READ, 0, f->memory, 8192);
    assert_true(fake_loop_run(&f->fl));
    assert_int_equal(f->r[0].result, 0);
    assert_memory_equal(f->memory, f->bytes, 8192);
    fake_loop_script(&f->fl, 0, 512);
    fake_loop_script(&f->fl, 1, 1024);
    memset(f->memory, 0x5A, 8192);
    submit(f, 0, DISK_WRITE, 4096, f->memory, 8192);
    assert_true(fake_loop_run(&f->fl));
    assert_int_equal(f->r[0].result, 0);
    assert_memory_equal(f->bytes + 4096, f->memory, 8192);
    fake_loop_script(&f->fl, 0, 0); // the disk ends earlier than it said
    submit(f, 0, DISK_READ, 0, f->memory, 8192);
    assert_true(fake_loop_run(&f->fl));
    assert_int_equal(f->r[0].result, -EIO);
    fake_loop_script(&f->fl, 0, 100);
    submit(f, 0, DISK_READ, 0, f->memory, 8192);
    assert_true(fake_loop_run(&f->fl));
    assert_int_equal(f->r[0].result, -EIO);
}

static void errors_reach_the_request(void **state) {
    struct fixture *f = *state;
    static const int errors[] = {EIO, ENODEV, ENXIO, ENOSPC};

    for (unsigned i = 0; i < 4; i++) {
        fake_loop_script(&f->fl, 0, -errors[i]);
        submit(f, 0, DISK_WRITE, 0, f->memory, 512);
        assert_true(fake_loop_run(&f->fl));
        assert_int_equal(f->r[0].result, -errors[i]);
    }
    for (unsigned i = 0; i < 3; i++) { // a nuisance, not an error
        fake_loop_script(&f->fl, i, i == 1 ? -EINTR : -EAGAIN);
    }
    submit(f, 0, DISK_READ, 0, f->memory, 512);
    assert_true(fake_loop_run(&f->fl));
    assert_int_equal(f->r[0].result, 0);
    for (unsigned i = 0; i < 20; i++) { // but not for ever
        fake_loop_script(&f->fl, i, -EAGAIN);
    }
    submit(f, 0, DISK_READ, 0, f->memory, 512);
    assert_true(fake_loop_run(&f->fl));
    assert_int_equal(f->r[0].result, -EAGAIN);
}

static void ranges(void **state) {
    struct fixture *f = *state;

    submit(f, 0, DISK_DISCARD, 4096, NULL, 4096);
    assert_true(fake_loop_run(&f->fl));
    assert_int_equal(f->bytes[4096], 0);
    f->r[0].io.flags = DISK_IO_UNMAP;
    fake_loop_script(&f->fl, 0, -EOPNOTSUPP); // cannot deallocate: writes zeroes then
    submit(f, 0, DISK_WRITE_ZEROES, 8192, NULL, 4096);
    assert_true(fake_loop_run(&f->fl));
    assert_int_equal(f->r[0].result, 0);
    assert_int_equal(f->bytes[8192 + 4095], 0);
    fake_loop_script(&f->fl, 0, -EOPNOTSUPP);
    submit(f, 0, DISK_DISCARD, 4096, NULL, 4096);
    assert_true(fake_loop_run(&f->fl));
    assert_int_equal(f->r[0].result, -EOPNOTSUPP);
}

static void cancels(void **state) {
    struct fixture *f = *state;

    f->fl.hold_io = true;
    submit(f, 0, DISK_READ, 0, f->memory, 512);
    f->disk->ops->cancel(f->disk, &f->fl.loop, &f->r[0].io);
    assert_int_equal(f->r[0].done, 0);
    assert_true(fake_loop_run(&f->fl));
    assert_int_equal(f->r[0].done, 1);
    assert_int_equal(f->r[0].result, -ECANCELED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(describes_a_file, setup, teardown),
        cmocka_unit_test_setup_teardown(open_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(direct_transfers, setup, teardown),
        cmocka_unit_test_setup_teardown(unaligned_spans_are_bounced, setup, teardown),
        cmocka_unit_test_setup_teardown(pool_is_bounded_and_fair, setup, teardown),
        cmocka_unit_test_setup_teardown(short_transfers_go_on, setup, teardown),
        cmocka_unit_test_setup_teardown(errors_reach_the_request, setup, teardown),
        cmocka_unit_test_setup_teardown(ranges, setup, teardown),
        cmocka_unit_test_setup_teardown(cancels, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
