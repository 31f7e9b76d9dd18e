// SPDX-License-Identifier: MIT
//
// Disk checks through a block device with O_DIRECT: data integrity, sizes, flush, discard, write
// zeroes, alignment and errors. The host's side compares the image file afterwards where it can.

#include "tests/guest/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CHUNK_BYTES (256u * 1024)

struct target {
    const char *path;
    int fd;
    uint64_t size_bytes;
    unsigned sector_bytes;
    uint8_t *buffer; ///< CHUNK_BYTES, page aligned
    uint8_t *expect; ///< CHUNK_BYTES
};

static int target_open(struct target *t, int argc, char **argv, int flags) {
    int sector = 0;
    *t = (struct target){.path = argc > 1 ? argv[1] : "/dev/vda"};
    t->fd = open(t->path, flags | O_DIRECT | O_CLOEXEC);
    if (t->fd < 0 || ioctl(t->fd, BLKGETSIZE64, &t->size_bytes) != 0 ||
        ioctl(t->fd, BLKSSZGET, &sector) != 0) {
        fail("disk-open", "%s: %s", t->path, strerror(errno));
        return 1;
    }
    t->sector_bytes = (unsigned)sector;
    t->buffer = aligned_alloc(4096, CHUNK_BYTES);
    t->expect = aligned_alloc(4096, CHUNK_BYTES);
    return 0;
}

/// What stands at an offset: every 8 bytes name their own place and the round.
static void fill(uint8_t *bytes, size_t size, uint64_t offset, uint64_t round) {
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = (offset + i) * 0x9e3779b97f4a7c15ull ^ round;
        memcpy(bytes + i, &word, 8);
    }
}

static bool write_pattern(struct target *t, uint64_t offset, size_t size, uint64_t round) {
    fill(t->buffer, size, offset, round);
    return pwrite(t->fd, t->buffer, size, (off_t)offset) == (ssize_t)size;
}

static bool read_matches(struct target *t, uint64_t offset, size_t size) {
    memset(t->buffer, 0xee, size);
    return pread(t->fd, t->buffer, size, (off_t)offset) == (ssize_t)size &&
           memcmp(t->buffer, t->expect, size) == 0;
}

static bool read_pattern(struct target *t, uint64_t offset, size_t size, uint64_t round) {
    fill(t->expect, size, offset, round);
    return read_matches(t, offset, size);
}

static bool read_zeroes(struct target *t, uint64_t offset, size_t size) {
    memset(t->expect, 0, size);
    return read_matches(t, offset, size);
}

static void check_sizes(struct target *t) {
    static const size_t sizes[] = {512, 1024, 4096, 8192, 12288, 65536, 131072, CHUNK_BYTES};
    unsigned tried = 0;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint64_t at = 1024 * 1024 + (uint64_t)i * CHUNK_BYTES + t->sector_bytes;
        if (sizes[i] % t->sector_bytes != 0) {
            continue;
        }
        if (!write_pattern(t, at, sizes[i], i) || !read_pattern(t, at, sizes[i], i)) {
            fail("disk-sizes", "%zu bytes at %llu: %s", sizes[i], (unsigned long long)at,
                 strerror(errno));
            return;
        }
        tried++;
    }
    pass("disk-sizes", "%u transfer sizes from %u bytes", tried, t->sector_bytes);
}

static void check_random_places(struct target *t) {
    uint64_t seed = 0x6469736b00000001ull, places[64];
    for (unsigned i = 0; i < 64; i++) {
        // Slots of one chunk, so that no two writes meet; slot numbers repeat only by chance.
        uint64_t slots = t->size_bytes / CHUNK_BYTES;
        places[i] = (random_next(&seed) % slots) * CHUNK_BYTES;
        if (!write_pattern(t, places[i], CHUNK_BYTES, 7)) {
            fail("disk-random", "write %u: %s", i, strerror(errno));
            return;
        }
    }
    for (unsigned i = 0; i < 64; i++) {
        if (!read_pattern(t, places[i], CHUNK_BYTES, 7)) {
            fail("disk-random", "read %u at %llu differs", i, (unsigned long long)places[i]);
            return;
        }
    }
    pass("disk-random", "64 chunks of 256 KiB written and read back");
}

static void check_ends(struct target *t) {
    uint64_t last = t->size_bytes - t->sector_bytes;
    bool edge = write_pattern(t, last, t->sector_bytes, 9) &&
                read_pattern(t, last, t->sector_bytes, 9) &&
                write_pattern(t, 0, t->sector_bytes, 9) && read_pattern(t, 0, t->sector_bytes, 9);
    check(edge, "disk-edges", "first and last sector of %llu bytes",
          (unsigned long long)t->size_bytes);
    ssize_t beyond = pread(t->fd, t->buffer, t->sector_bytes, (off_t)t->size_bytes);
    check(beyond <= 0, "disk-end", "a read behind the end gave %zd", beyond);
}

static void check_flush(struct target *t) {
    bool ok = write_pattern(t, 0, 4096, 11) && fsync(t->fd) == 0 && fdatasync(t->fd) == 0;
    check(ok, "disk-flush", "%s", ok ? "flushed" : strerror(errno));
}

static void check_zeroes(struct target *t) {
    uint64_t range[2] = {4 * 1024 * 1024, 1024 * 1024};
    bool before = write_pattern(t, range[0], CHUNK_BYTES, 13) &&
                  write_pattern(t, range[0] + range[1], 4096, 13);
    bool done = ioctl(t->fd, BLKZEROOUT, range) == 0;
    int error = errno;
    bool zero = true;
    for (uint64_t at = range[0]; at < range[0] + range[1]; at += CHUNK_BYTES) {
        zero = zero && read_zeroes(t, at, CHUNK_BYTES);
    }
    bool neighbour = read_pattern(t, range[0] + range[1], 4096, 13);
    check(before && done && zero && neighbour, "disk-zeroes", "%s, range %s, neighbour %s",
          done ? "done" : strerror(error), zero ? "zero" : "not zero", neighbour ? "kept" : "lost");
}

static void check_discard(struct target *t) {
    char path[128];
    snprintf(path, sizeof(path), "/sys/class/block/%s/queue/discard_max_bytes",
             strrchr(t->path, '/') + 1);
    if (read_number(path, 0) <= 0) {
        skip("disk-discard", "the device does not offer it");
        return;
    }
    uint64_t range[2] = {8 * 1024 * 1024, 1024 * 1024};
    bool before = write_pattern(t, range[0], CHUNK_BYTES, 15) &&
                  write_pattern(t, range[0] + range[1], 4096, 15);
    bool done = ioctl(t->fd, BLKDISCARD, range) == 0;
    int error = errno;
    // What a discarded range reads as is the device's choice; that it reads is not.
    bool reads = pread(t->fd, t->buffer, CHUNK_BYTES, (off_t)range[0]) == CHUNK_BYTES;
    bool neighbour = read_pattern(t, range[0] + range[1], 4096, 15);
    bool again = write_pattern(t, range[0], 4096, 17) && read_pattern(t, range[0], 4096, 17);
    check(before && done && reads && neighbour && again, "disk-discard",
          "%s, reads %d, neighbour %s, writable again %d", done ? "done" : strerror(error), reads,
          neighbour ? "kept" : "lost", again);
}

int cmd_disk(int argc, char **argv) {
    struct target t;
    char path[128], serial[32] = "";
    if (target_open(&t, argc, argv, O_RDWR)) {
        return 1;
    }
    snprintf(path, sizeof(path), "/sys/class/block/%s/serial", strrchr(t.path, '/') + 1);
    read_text(path, serial, sizeof(serial));
    pass("disk-found", "%s %llu bytes, sectors of %u, serial '%s'", t.path,
         (unsigned long long)t.size_bytes, t.sector_bytes, serial);
    if (argc > 2) {
        check(t.sector_bytes == (unsigned)atoi(argv[2]), "disk-sector", "%u bytes, wanted %s",
              t.sector_bytes, argv[2]);
    }
    check_sizes(&t);
    check_random_places(&t);
    check_ends(&t);
    check_flush(&t);
    check_zeroes(&t);
    check_discard(&t);
    close(t.fd);
    return 0;
}

/// 1 MiB of text at 16 MiB that the host finds in its image file: line N is "parapet N".
int cmd_disk_pattern(int argc, char **argv) {
    struct target t;
    if (target_open(&t, argc, argv, O_RDWR)) {
        return 1;
    }
    bool ok = true;
    for (unsigned chunk = 0; chunk < 4; chunk++) {
        for (unsigned line = 0; line < CHUNK_BYTES / 32; line++) {
            snprintf((char *)t.buffer + line * 32, 32, "parapet %-23u", chunk * 8192 + line);
            t.buffer[line * 32 + 31] = '\n';
        }
        ok = ok && pwrite(t.fd, t.buffer, CHUNK_BYTES,
                          16 * 1024 * 1024 + (off_t)chunk * CHUNK_BYTES) == (ssize_t)CHUNK_BYTES;
    }
    ok = ok && fsync(t.fd) == 0;
    check(ok, "disk-pattern", "1 MiB at 16 MiB: %s", ok ? "written" : strerror(errno));
    close(t.fd);
    return 0;
}

int cmd_disk_readonly(int argc, char **argv) {
    struct target t;
    int read_only = 0;
    if (target_open(&t, argc, argv, O_RDONLY)) {
        return 1;
    }
    ioctl(t.fd, BLKROGET, &read_only);
    check(read_only == 1, "disk-readonly", "the device says %s",
          read_only ? "read-only" : "writable");
    check(pread(t.fd, t.buffer, 4096, 0) == 4096, "disk-readonly-reads", "4096 bytes");
    int fd = open(t.path, O_RDWR | O_DIRECT | O_CLOEXEC);
    bool refused = fd < 0 || pwrite(fd, t.buffer, 4096, 0) < 0;
    check(refused, "disk-readonly-refuses", "writing: %s", strerror(errno));
    close(t.fd);
    return 0;
}

/// The host makes reads in [GOOD_BYTES, end) or writes fail; everything below must work.
int cmd_disk_errors(int argc, char **argv) {
    struct target t;
    if (target_open(&t, argc, argv, O_RDWR)) {
        return 1;
    }
    uint64_t bad = argc > 2 ? strtoull(argv[2], NULL, 0) : 32 * 1024 * 1024;
    errno = 0;
    ssize_t failed = pread(t.fd, t.buffer, 4096, (off_t)bad);
    check(failed < 0 && errno == EIO, "disk-error-reported", "read at %llu gave %zd (%s)",
          (unsigned long long)bad, failed, strerror(errno));
    bool works =
        write_pattern(&t, 1024 * 1024, 65536, 19) && read_pattern(&t, 1024 * 1024, 65536, 19);
    check(works, "disk-works-after-error", "%s", works ? "yes" : strerror(errno));
    close(t.fd);
    return 0;
}

/// Reads until an error or SECONDS have passed; the host takes the disk away meanwhile.
int cmd_disk_busy(int argc, char **argv) {
    struct target t;
    if (target_open(&t, argc, argv, O_RDONLY)) {
        return 1;
    }
    uint64_t seed = 5, end = now_ns() + (argc > 2 ? (uint64_t)atoi(argv[2]) : 60) * 1000000000u;
    unsigned long done = 0;
    value("disk-busy-started", 1, "job");
    while (now_ns() < end) {
        uint64_t at = random_next(&seed) % (t.size_bytes / 4096) * 4096;
        if (pread(t.fd, t.buffer, 4096, (off_t)at) != 4096) {
            pass("disk-gone", "%s after %lu reads", strerror(errno), done);
            close(t.fd);
            return 0;
        }
        done++;
    }
    fail("disk-gone", "no error in %lu reads", done);
    close(t.fd);
    return 1;
}
