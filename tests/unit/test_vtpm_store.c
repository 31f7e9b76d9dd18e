// SPDX-License-Identifier: MIT
//
// The vTPM's state file: every flipped bit position (one per 64 bytes), every truncation, every
// interruption between two writes, and failing descriptors. The rule: the newest state, or the one
// before it when a write was interrupted, or "corrupted"; never anything else.

#include "userspace/vtpm_store.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define OLD_BYTES 700u
#define NEW_BYTES 1299u

static uint8_t old_state[OLD_BYTES], new_state[NEW_BYTES];
static uint8_t image[VTPM_STORE_BYTES];

static int open_store(struct vtpm_store *store, int fd) {
    int r = vtpm_store_attach(store, fd);

    return r ? r : vtpm_store_load(store);
}

/// A store with `writes` states; the last two are old_state and new_state. Returns its descriptor.
static int make_store(unsigned writes) {
    struct vtpm_store store;
    int fd = memfd_create("vtpm", MFD_CLOEXEC);

    memset(old_state, 'o', sizeof(old_state));
    memset(new_state, 'n', sizeof(new_state));
    assert_int_equal(open_store(&store, fd), 0);
    assert_int_equal(store.kind, VTPM_STORE_BLANK);
    for (unsigned i = 1; i <= writes; i++) {
        assert_int_equal(i == writes ? vtpm_store_write(&store, new_state, NEW_BYTES)
                                     : vtpm_store_write(&store, old_state, OLD_BYTES),
                         0);
    }
    assert_int_equal(store.sequence, writes);
    vtpm_store_close(&store);
    assert_int_equal(pread(fd, image, sizeof(image), 0), sizeof(image));
    return fd;
}

/// Opens it and says what is there: 'n'ew, 'o'ld, 'c'orrupt, 'b'lank.
static char look(int fd) {
    struct vtpm_store store;
    char c = '?';

    assert_int_equal(open_store(&store, fd), 0);
    if (store.kind == VTPM_STORE_GOOD) {
        if (store.payload_bytes == NEW_BYTES && memcmp(store.payload, new_state, NEW_BYTES) == 0) {
            c = 'n';
        } else if (store.payload_bytes == OLD_BYTES &&
                   memcmp(store.payload, old_state, OLD_BYTES) == 0) {
            c = 'o';
        }
    } else {
        c = store.kind == VTPM_STORE_BLANK ? 'b' : 'c';
        assert_int_equal(vtpm_store_write(&store, new_state, 1) == 0, c == 'b');
    }
    vtpm_store_close(&store);
    return c;
}

static void test_crc(void **state) {
    (void)state;
    assert_true(vtpm_crc64((const uint8_t *)"123456789", 9) == UINT64_C(0x995DC9BBDF1939FA));
    assert_true(vtpm_crc64(NULL, 0) == 0);
}

static void test_write_and_read(void **state) {
    uint8_t *big = malloc(VTPM_STATE_MAX_BYTES + 1);
    struct vtpm_store store;
    int fd;

    (void)state;
    for (unsigned writes = 1; writes < 6; writes++) {
        fd = make_store(writes);
        assert_int_equal(look(fd), 'n');
        close(fd);
    }
    fd = memfd_create("vtpm", MFD_CLOEXEC);
    memset(big, 7, VTPM_STATE_MAX_BYTES + 1);
    assert_int_equal(open_store(&store, fd), 0);
    assert_int_equal(vtpm_store_write(&store, big, 0), -EFBIG);
    assert_int_equal(vtpm_store_write(&store, big, VTPM_STATE_MAX_BYTES + 1), -EFBIG);
    assert_int_equal(vtpm_store_write(&store, big, VTPM_STATE_MAX_BYTES), 0);
    assert_int_equal(vtpm_store_write(&store, big, VTPM_STATE_MAX_BYTES), 0);
    vtpm_store_close(&store);
    assert_int_equal(open_store(&store, fd), 0);
    assert_int_equal(store.kind, VTPM_STORE_GOOD);
    assert_int_equal(store.payload_bytes, VTPM_STATE_MAX_BYTES);
    vtpm_store_close(&store);
    close(fd);
    free(big);
}

static void test_bit_flips(void **state) {
    (void)state;
    for (unsigned writes = 1; writes <= 4; writes++) {
        int fd = make_store(writes);
        uint64_t newest = writes & 1 ? 0 : VTPM_SLOT_BYTES;
        uint64_t other = VTPM_SLOT_BYTES - newest;
        unsigned corrupt = 0;

        for (uint64_t off = 0; off < VTPM_STORE_BYTES; off += off < 8192 ? 1 : 64) {
            bool in_newest = (off >= newest && off < newest + 64) ||
                             (off >= newest + 4096 && off < newest + 4096 + NEW_BYTES);
            bool in_other_header = off >= other && off < other + 64;
            uint8_t flipped = image[off] ^ (uint8_t)(1u << (off % 8));
            char c;

            assert_int_equal(pwrite(fd, &flipped, 1, (off_t)off), 1);
            c = look(fd);
            assert_int_equal(c, in_newest || in_other_header ? 'c' : 'n');
            corrupt += c == 'c';
            assert_int_equal(pwrite(fd, &image[off], 1, (off_t)off), 1);
        }
        assert_true(corrupt > 20);
        close(fd);
    }
}

static void test_truncations(void **state) {
    int fd = make_store(3);

    (void)state;
    for (off_t size = 64; size < VTPM_STORE_BYTES; size += size < 16384 ? 64 : 4096) {
        assert_int_equal(ftruncate(fd, size), 0);
        assert_int_equal(look(fd), 'c');
    }
    assert_int_equal(ftruncate(fd, VTPM_STORE_BYTES), 0); // zeroes where the states were
    assert_int_equal(pwrite(fd, image, 64, 0), 64);
    assert_int_equal(look(fd), 'c');
    close(fd);
}

/// A write that stops after each of its bytes: the old state, until the last byte of the header.
static void test_interrupted_writes(void **state) {
    (void)state;
    for (unsigned writes = 2; writes <= 5; writes++) {
        static uint8_t before[VTPM_STORE_BYTES];
        uint64_t slot = writes & 1 ? 0 : VTPM_SLOT_BYTES;
        int fd = make_store(writes - 1); // its newest is new_state
        struct vtpm_store store;

        memcpy(before, image, sizeof(before));
        assert_int_equal(open_store(&store, fd), 0);
        assert_int_equal(vtpm_store_write(&store, old_state, OLD_BYTES), 0);
        vtpm_store_close(&store);
        assert_int_equal(pread(fd, image, sizeof(image), 0), sizeof(image));
        assert_int_equal(look(fd), 'o');

        assert_int_equal(pwrite(fd, before, sizeof(before), 0), sizeof(before));
        for (unsigned i = 0; i < OLD_BYTES; i += 13) {
            assert_int_equal(pwrite(fd, image + slot + 4096, i, (off_t)slot + 4096), i);
            assert_int_equal(look(fd), 'n');
        }
        assert_int_equal(pwrite(fd, image + slot, OLD_BYTES + 4096, (off_t)slot), OLD_BYTES + 4096);
        assert_int_equal(look(fd), 'o');
        close(fd);
    }
}

static void test_aside(void **state) {
    struct vtpm_store store;
    uint8_t kept[64];
    int fd = make_store(2);

    (void)state;
    assert_int_equal(pwrite(fd, "xx", 2, 30), 2);
    assert_int_equal(open_store(&store, fd), 0);
    assert_int_equal(store.kind, VTPM_STORE_CORRUPT);
    assert_int_equal(vtpm_store_set_aside(&store), 0);
    assert_int_equal(store.kind, VTPM_STORE_BLANK);
    assert_int_equal(vtpm_store_write(&store, new_state, NEW_BYTES), 0);
    vtpm_store_close(&store);
    assert_int_equal(look(fd), 'n');
    assert_int_equal(pread(fd, kept, 64, VTPM_ASIDE_OFF + VTPM_SLOT_BYTES), 64);
    assert_memory_equal(kept, image + VTPM_SLOT_BYTES, 64);
    assert_int_equal(pwrite(fd, "xx", 2, 30), 2);
    assert_int_equal(open_store(&store, fd), 0);
    assert_int_equal(vtpm_store_set_aside(&store), -EEXIST);
    vtpm_store_close(&store);
    close(fd);
}

static void test_failing_descriptors(void **state) {
    struct vtpm_store store;
    int fd = make_store(2);
    char path[64];
    int read_only;
    int pipes[2];

    (void)state;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    read_only = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(open_store(&store, read_only), 0);
    assert_int_equal(store.kind, VTPM_STORE_GOOD);
    assert_int_equal(vtpm_store_write(&store, old_state, OLD_BYTES), -EBADF);
    assert_int_equal(store.payload_bytes, NEW_BYTES); // still what is on disk
    vtpm_store_close(&store);
    close(read_only);
    close(fd);
    assert_int_equal(open_store(&store, -1), -EBADF);
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(open_store(&store, pipes[0]), -ESPIPE);
    close(pipes[0]);
    close(pipes[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc),
        cmocka_unit_test(test_write_and_read),
        cmocka_unit_test(test_bit_flips),
        cmocka_unit_test(test_truncations),
        cmocka_unit_test(test_interrupted_writes),
        cmocka_unit_test(test_aside),
        cmocka_unit_test(test_failing_descriptors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
