// SPDX-License-Identifier: MIT
//
// The measured jobs: one port access, and reads of a block device through io_uring with a queue
// depth. The same program runs in the guest, in VTL2's Linux and under the peers, so that what is
// compared differs in the machine only. Raw io_uring calls: the job needs three of them.

#include "tests/guest/ports.h"
#include "tests/guest/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_DEPTH 64u

/// PORT COUNT: nanoseconds of one byte read; PORT is the first of eight, read in turn (COM1 has
/// eight).
int cmd_bench_port(int argc, char **argv) {
    unsigned port = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 0x3f8;
    unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 0) : 20000;
    if (ports_open() != 0) {
        fail("bench-port", "no port access: %s", strerror(errno));
        return 1;
    }
    double best = 0;
    for (unsigned round = 0; round < 3; round++) {
        uint64_t start = now_ns();
        for (unsigned long i = 0; i < count; i += 8) {
            port_read_bytes(port, 8);
        }
        double each = (double)(now_ns() - start) / (double)count;
        best = round == 0 || each < best ? each : best;
    }
    value("port-access", best, "ns");
    return 0;
}

struct ring {
    int fd;
    _Atomic unsigned *sq_tail, *cq_head, *cq_tail;
    unsigned sq_mask, cq_mask;
    unsigned *sq_array;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
    unsigned to_submit;
};

static int ring_open(struct ring *ring) {
    struct io_uring_params p = {0};
    ring->fd = (int)syscall(SYS_io_uring_setup, MAX_DEPTH, &p);
    if (ring->fd < 0) {
        return -errno;
    }
    size_t sq_bytes = p.sq_off.array + p.sq_entries * sizeof(unsigned);
    size_t cq_bytes = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
    uint8_t *sq = mmap(NULL, sq_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd,
                       IORING_OFF_SQ_RING);
    uint8_t *cq = mmap(NULL, cq_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd,
                       IORING_OFF_CQ_RING);
    ring->sqes = mmap(NULL, p.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQES);
    if (sq == MAP_FAILED || cq == MAP_FAILED || ring->sqes == MAP_FAILED) {
        return -ENOMEM;
    }
    ring->sq_tail = (_Atomic unsigned *)(sq + p.sq_off.tail);
    ring->sq_mask = *(unsigned *)(sq + p.sq_off.ring_mask);
    ring->sq_array = (unsigned *)(sq + p.sq_off.array);
    ring->cq_head = (_Atomic unsigned *)(cq + p.cq_off.head);
    ring->cq_tail = (_Atomic unsigned *)(cq + p.cq_off.tail);
    ring->cq_mask = *(unsigned *)(cq + p.cq_off.ring_mask);
    ring->cqes = (struct io_uring_cqe *)(cq + p.cq_off.cqes);
    ring->to_submit = 0;
    return 0;
}

static void ring_read(struct ring *ring, int fd, void *buffer, unsigned size, uint64_t offset,
                      uint64_t slot) {
    unsigned tail = atomic_load_explicit(ring->sq_tail, memory_order_relaxed);
    struct io_uring_sqe *sqe = &ring->sqes[tail & ring->sq_mask];
    *sqe = (struct io_uring_sqe){.opcode = IORING_OP_READ,
                                 .fd = fd,
                                 .addr = (uintptr_t)buffer,
                                 .len = size,
                                 .off = offset,
                                 .user_data = slot};
    ring->sq_array[tail & ring->sq_mask] = tail & ring->sq_mask;
    atomic_store_explicit(ring->sq_tail, tail + 1, memory_order_release);
    ring->to_submit++;
}

struct job {
    int fd;
    bool random;
    unsigned block_bytes;
    unsigned depth;
    uint64_t blocks;     ///< on the device
    uint64_t next_block; ///< sequential
    uint64_t seed;
    uint8_t *buffers;
};

static void start_read(struct job *job, struct ring *ring, unsigned slot) {
    uint64_t block =
        job->random ? random_next(&job->seed) % job->blocks : job->next_block++ % job->blocks;
    ring_read(ring, job->fd, job->buffers + (size_t)slot * job->block_bytes, job->block_bytes,
              block * job->block_bytes, slot);
}

/// Keeps depth reads in flight until the time is over. Reads done, or -errno.
static long run_job(struct job *job, struct ring *ring, uint64_t duration_ns,
                    uint64_t *elapsed_ns) {
    long done = 0;
    uint64_t start = now_ns(), end = start + duration_ns;
    for (unsigned slot = 0; slot < job->depth; slot++) {
        start_read(job, ring, slot);
    }
    for (unsigned in_flight = job->depth; in_flight > 0;) {
        long submitted = syscall(SYS_io_uring_enter, ring->fd, ring->to_submit, 1,
                                 IORING_ENTER_GETEVENTS, NULL, 0);
        if (submitted < 0 && errno != EINTR) {
            return -errno;
        }
        ring->to_submit -= submitted > 0 ? (unsigned)submitted : 0;
        unsigned head = atomic_load_explicit(ring->cq_head, memory_order_relaxed);
        bool over = now_ns() >= end;
        while (head != atomic_load_explicit(ring->cq_tail, memory_order_acquire)) {
            struct io_uring_cqe *cqe = &ring->cqes[head++ & ring->cq_mask];
            if (cqe->res != (int)job->block_bytes) {
                return cqe->res < 0 ? cqe->res : -EIO;
            }
            done++;
            in_flight--;
            if (!over) {
                start_read(job, ring, (unsigned)cqe->user_data);
                in_flight++;
            }
        }
        atomic_store_explicit(ring->cq_head, head, memory_order_release);
    }
    *elapsed_ns = now_ns() - start;
    return done;
}

/// DEVICE rand|seq BLOCK_BYTES DEPTH SECONDS
int cmd_bench_read(int argc, char **argv) {
    struct ring ring;
    uint64_t size = 0, elapsed_ns = 0;
    if (argc < 6) {
        fail("bench-read", "usage: DEVICE rand|seq BLOCK DEPTH SECONDS");
        return 2;
    }
    struct job job = {.random = strcmp(argv[2], "rand") == 0,
                      .block_bytes = (unsigned)atoi(argv[3]),
                      .depth = (unsigned)atoi(argv[4]),
                      .seed = 0x62656e6368ull};
    job.fd = open(argv[1], O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (job.fd < 0 || ioctl(job.fd, BLKGETSIZE64, &size) != 0 || job.depth < 1 ||
        job.depth > MAX_DEPTH || job.block_bytes < 512) {
        fail("bench-read", "%s: %s", argv[1], strerror(errno));
        return 1;
    }
    job.blocks = size / job.block_bytes;
    size_t bytes = (size_t)job.depth * job.block_bytes;
    job.buffers = aligned_alloc(4096, (bytes + 4095) & ~(size_t)4095);
    int error = job.buffers && job.blocks ? ring_open(&ring) : -ENOMEM;
    if (error == 0) {
        long done = run_job(&job, &ring, (uint64_t)atoi(argv[5]) * 1000000000u, &elapsed_ns);
        error = done < 0 ? (int)done : 0;
        if (done >= 0) {
            value("reads", (double)done / ((double)elapsed_ns / 1e9), "per-second");
        }
    }
    if (error != 0) {
        fail("bench-read", "%s", strerror(-error));
    }
    close(job.fd);
    return error != 0;
}
