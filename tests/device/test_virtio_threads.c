// SPDX-License-Identifier: MIT
//
// A block device whose two queues live on two real threads, while a third one negotiates, kicks and
// resets: no request is lost while it runs, nothing touches guest memory after a reset.
#include "devices/virtio_blk.h"
#include "tests/support/virtio_driver.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define QUEUES      2u
#define QUEUE_SIZE  16u
#define ROUNDS      150u
#define DRIVER_VP   7u
#define HEADER_GPA  0x80000u
#define DATA_GPA    0x90000u
#define DISK_BYTES  0x10000u
#define MAX_PENDING 256u

/// A loop with a thread of its own: tasks only.
struct thread_loop {
    struct loop loop;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct loop_task *first, **last;
    bool quit;
    // The disk's, on this loop's thread.
    struct loop_task disk_task;
    struct disk_io *pending[MAX_PENDING];
    unsigned pending_count;
};

static void post(struct loop *loop, struct loop_task *task) {
    struct thread_loop *tl = (struct thread_loop *)loop; // first member

    if (!atomic_exchange(&task->queued, true)) {
        pthread_mutex_lock(&tl->lock);
        task->next = NULL;
        *tl->last = task;
        tl->last = &task->next;
        pthread_cond_signal(&tl->wake);
        pthread_mutex_unlock(&tl->lock);
    }
}

static void *run(void *self) {
    struct thread_loop *tl = self;

    pthread_mutex_lock(&tl->lock);
    while (!tl->quit) {
        struct loop_task *task = tl->first;

        if (!task) {
            pthread_cond_wait(&tl->wake, &tl->lock);
            continue;
        }
        tl->first = task->next;
        if (!tl->first) {
            tl->last = &tl->first;
        }
        pthread_mutex_unlock(&tl->lock);
        atomic_store(&task->queued, false);
        task->fn(task->self);
        pthread_mutex_lock(&tl->lock);
    }
    pthread_mutex_unlock(&tl->lock);
    return NULL;
}

static void complete_all(void *self) {
    struct thread_loop *tl = self;
    unsigned count = tl->pending_count;
    struct disk_io *ios[MAX_PENDING];

    memcpy(ios, tl->pending, sizeof(ios));
    tl->pending_count = 0;
    for (unsigned i = 0; i < count; i++) {
        for (uint32_t j = 0; j < ios[i]->iov_count; j++) {
            memset(ios[i]->iov[j].iov_base, 1, ios[i]->iov[j].iov_len);
        }
        ios[i]->complete(ios[i], 0);
    }
}

static void submit(struct disk *disk, struct loop *loop, struct disk_io *io) {
    struct thread_loop *tl = (struct thread_loop *)loop;

    (void)disk;
    assert_true(tl->pending_count < MAX_PENDING);
    tl->pending[tl->pending_count++] = io;
    loop_post(loop, &tl->disk_task);
}

/// The request ends by itself: a reset has to wait for it.
static void cancel(struct disk *disk, struct loop *loop, struct disk_io *io) {
    (void)disk;
    (void)loop;
    (void)io;
}

static const struct loop_ops loop_ops = {.post = post};
static const struct disk_ops disk_ops = {.submit = submit, .cancel = cancel};

static void start_loop(struct thread_loop *tl, uint32_t vp_index) {
    tl->loop.ops = &loop_ops;
    tl->loop.vp_index = vp_index;
    tl->last = &tl->first;
    tl->disk_task.fn = complete_all;
    tl->disk_task.self = tl;
    pthread_mutex_init(&tl->lock, NULL);
    pthread_cond_init(&tl->wake, NULL);
    assert_int_equal(pthread_create(&tl->thread, NULL, run, tl), 0);
}

static void stop_loop(struct thread_loop *tl) {
    pthread_mutex_lock(&tl->lock);
    tl->quit = true;
    pthread_cond_signal(&tl->wake);
    pthread_mutex_unlock(&tl->lock);
    pthread_join(tl->thread, NULL);
    pthread_mutex_destroy(&tl->lock);
    pthread_cond_destroy(&tl->wake);
}

static int send_msi(void *ctx, uint64_t address, uint32_t data) {
    (void)address;
    (void)data;
    atomic_fetch_add((_Atomic unsigned *)ctx, 1);
    return 0;
}

static uint16_t used_index(struct virtio_driver *vd, unsigned queue) {
    uint16_t value;

    assert_int_equal(guest_load_le16(&vd->m->gm, gpa(vd->queues[queue].used + 2), &value), 0);
    return value;
}

static void wait_for_status(struct virtio_driver *vd, uint8_t status) {
    while (vd_read(vd, VD_STATUS, 1) != status) {
        sched_yield();
    }
}

/// Kicks from a VP that is nobody's home.
static void kick(struct virtio_driver *vd, unsigned queue) {
    struct bus_access access = {.offset = vd->queues[queue].notify,
                                .size = 2,
                                .is_write = true,
                                .vp_index = DRIVER_VP,
                                .value = queue};

    bus_dispatch(vd->m->mmio, &access);
}

static void start_device(struct virtio_driver *vd, uint16_t *heads) {
    vd_write(vd, VD_STATUS, 1, 3);
    vd_write(vd, VD_DRIVER_FEATURE_SELECT, 4, 1);
    vd_write(vd, VD_DRIVER_FEATURE, 4, 1);
    vd_write(vd, VD_STATUS, 1, 11);
    for (unsigned q = 0; q < QUEUES; q++) {
        const struct vd_buffer buffers[] = {
            {HEADER_GPA + q * 0x100, 16, false},
            {DATA_GPA + q * 0x1000, 512, true},
            {HEADER_GPA + q * 0x100 + 16, 1, true},
        };

        vd_setup_queue(vd, q, QUEUE_SIZE);
        heads[q] = vd_chain(vd, q, buffers, 3);
    }
    vd_enable_msix(vd, QUEUES + 1);
    vd_write(vd, VD_STATUS, 1, 15);
}

static void lives_on_threads(void **state) {
    static struct thread_loop loops[QUEUES];
    static struct pci_root root;
    static struct virtio_blk blk;
    struct fake_machine *m = fake_machine_new();
    struct loop *homes[QUEUES] = {&loops[0].loop, &loops[1].loop};
    _Atomic unsigned msi_count = 0;
    struct disk disk = {.ops = &disk_ops,
                        .info = {.size_bytes = DISK_BYTES, .logical_block_bytes = 512}};
    struct pci_root_config root_config = fake_pci_root_config(m);
    struct virtio_blk_config config = {
        .virtio = {.name = "blk", .gm = &m->gm, .loops = homes, .loop_count = QUEUES},
        .pci = {.name = "pci-blk", .root = &root, .slot = 3},
        .disk = &disk,
    };
    struct virtio_driver vd;

    (void)state;
    root_config.msi = (struct msi_sink){.send = send_msi, .ctx = &msi_count};
    for (unsigned i = 0; i < QUEUES; i++) {
        start_loop(&loops[i], i);
    }
    assert_int_equal(pci_root_init(&root, &root_config), 0);
    assert_int_equal(virtio_blk_init(&blk, &config), 0);
    vd_probe(&vd, m, 3, 0xC0000000u, 0x10000);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint16_t heads[QUEUES];
        uint16_t used[QUEUES];

        start_device(&vd, heads);
        for (unsigned i = 0; i < QUEUE_SIZE; i++) {
            for (unsigned q = 0; q < QUEUES; q++) {
                vd_offer(&vd, q, heads[q]);
                kick(&vd, q);
            }
        }
        // Every other round waits for the answers; the others pull the rug out.
        for (unsigned q = 0; round % 2 == 0 && q < QUEUES; q++) {
            while (used_index(&vd, q) != QUEUE_SIZE) {
                sched_yield();
            }
        }
        vd_write(&vd, VD_STATUS, 1, 0);
        wait_for_status(&vd, 0);
        for (unsigned q = 0; q < QUEUES; q++) {
            used[q] = used_index(&vd, q);
            kick(&vd, q);
        }
        sched_yield();
        for (unsigned q = 0; q < QUEUES; q++) {
            assert_int_equal(used_index(&vd, q), used[q]);
        }
    }
    assert_true(msi_count > 0);
    for (unsigned i = 0; i < QUEUES; i++) {
        stop_loop(&loops[i]);
    }
    virtio_blk_destroy(&blk);
    fake_machine_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lives_on_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
