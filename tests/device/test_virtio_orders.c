// SPDX-License-Identifier: MIT
//
// Orders to a virtio device's queues that meet: a reset that comes while the queues' loops have not
// yet carried out the resume before it. And a ring that is broken in the very moment in which the
// device asks for kicks.
#include "devices/virtio_blk.h"
#include "tests/support/virtio_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define QUEUES     2u
#define QUEUE_SIZE 16u
#define HEADER_GPA 0x80000u
#define DATA_GPA   0x90000u
#define DISK_BYTES 0x10000u

/// A loop that the test runs by hand. hook runs inside the next post: another thread that is fast.
struct hand_loop {
    struct loop loop; ///< first
    struct loop_task *tasks[8];
    unsigned count;
    void (*hook)(void *ctx);
    void *hook_ctx;
};

static void post(struct loop *loop, struct loop_task *task) {
    struct hand_loop *hl = (struct hand_loop *)loop; // first member
    void (*hook)(void *ctx) = hl->hook;

    if (!atomic_exchange(&task->queued, true)) {
        assert_true(hl->count < 8);
        hl->tasks[hl->count++] = task;
    }
    hl->hook = NULL;
    if (hook) {
        hook(hl->hook_ctx);
    }
}

static void run(void *self) {
    struct hand_loop *hl = self;

    while (hl->count > 0) {
        struct loop_task *task = hl->tasks[0];

        hl->count--;
        memmove(hl->tasks, hl->tasks + 1, hl->count * sizeof(hl->tasks[0]));
        atomic_store(&task->queued, false);
        task->fn(task->self);
    }
}

static const struct loop_ops loop_ops = {.post = post};

struct fixture {
    struct fake_machine *m;
    struct hand_loop loops[QUEUES];
    struct loop *homes[QUEUES];
    struct pci_root root;
    struct virtio_blk blk;
    struct disk disk;
    struct disk_io *pending; ///< what the disk was given last
    struct virtio_driver vd;
    unsigned done_count;
};

static struct fixture *fixture; ///< for the disk

static void submit(struct disk *disk, struct loop *loop, struct disk_io *io) {
    (void)disk;
    (void)loop;
    fixture->pending = io;
}

/// The request ends by itself: a reset has to wait for it.
static void cancel(struct disk *disk, struct loop *loop, struct disk_io *io) {
    (void)disk;
    (void)loop;
    (void)io;
}

static const struct disk_ops disk_ops = {.submit = submit, .cancel = cancel};

static void done(void *ctx) {
    struct fixture *f = ctx;

    f->done_count++;
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    struct virtio_blk_config config;
    struct pci_root_config root;

    fixture = f;
    f->m = fake_machine_new();
    for (unsigned i = 0; i < QUEUES; i++) {
        f->loops[i].loop = (struct loop){.ops = &loop_ops, .vp_index = i};
        f->homes[i] = &f->loops[i].loop;
    }
    f->disk = (struct disk){.ops = &disk_ops,
                            .info = {.size_bytes = DISK_BYTES, .logical_block_bytes = 512}};
    root = fake_pci_root_config(f->m);
    assert_int_equal(pci_root_init(&f->root, &root), 0);
    config = (struct virtio_blk_config){
        .virtio = {.name = "blk", .gm = &f->m->gm, .loops = f->homes, .loop_count = QUEUES},
        .pci = {.name = "pci-blk", .root = &f->root, .slot = 3},
        .disk = &f->disk,
    };
    assert_int_equal(virtio_blk_init(&f->blk, &config), 0);
    vd_probe(&f->vd, f->m, 3, 0xC0000000u, 0x10000);
    vd_write(&f->vd, VD_STATUS, 1, 3);
    vd_write(&f->vd, VD_DRIVER_FEATURE_SELECT, 4, 1);
    vd_write(&f->vd, VD_DRIVER_FEATURE, 4, 1);
    vd_write(&f->vd, VD_STATUS, 1, 11);
    for (unsigned q = 0; q < QUEUES; q++) {
        vd_setup_queue(&f->vd, q, QUEUE_SIZE);
    }
    vd_enable_msix(&f->vd, QUEUES + 1);
    vd_write(&f->vd, VD_STATUS, 1, 15);
    for (unsigned q = 0; q < QUEUES; q++) {
        run(&f->loops[q]);
    }
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;

    virtio_blk_destroy(&f->blk);
    fake_machine_free(f->m);
    free(f);
    return 0;
}

static uint16_t read_request(struct fixture *f, unsigned queue) {
    const struct vd_buffer buffers[] = {
        {HEADER_GPA + queue * 0x100, 16, false},
        {DATA_GPA + queue * 0x1000, 512, true},
        {HEADER_GPA + queue * 0x100 + 16, 1, true},
    };

    return vd_chain(&f->vd, queue, buffers, 3);
}

static void kick_from_home(struct fixture *f, unsigned queue) {
    struct bus_access access = {.offset = f->vd.queues[queue].notify,
                                .size = 2,
                                .is_write = true,
                                .vp_index = (uint8_t)queue,
                                .value = queue};

    bus_dispatch(f->m->mmio, &access);
}

/// Queue 1 answers the reset before it has been told: its loop was about to carry out a resume.
static void test_reset_meets_resume(void **state) {
    struct fixture *f = *state;
    struct device *device = &f->blk.virtio.device;

    device->ops->pause(device->self, done, f);
    run(&f->loops[0]);
    run(&f->loops[1]);
    assert_int_equal(f->done_count, 1);
    device->ops->resume(device->self);
    run(&f->loops[0]);
    assert_int_equal(f->loops[1].count, 1); // the resume, not carried out yet
    vd_offer(&f->vd, 0, read_request(f, 0));
    kick_from_home(f, 0);
    assert_non_null(f->pending);
    f->loops[0].hook = run;
    f->loops[0].hook_ctx = &f->loops[1];
    vd_write(&f->vd, VD_STATUS, 1, 0);
    run(&f->loops[1]);
    run(&f->loops[0]);
    assert_int_not_equal(vd_read(&f->vd, VD_STATUS, 1), 0); // queue 0 still has a request out
    f->pending->complete(f->pending, 0);
    assert_int_equal(vd_read(&f->vd, VD_STATUS, 1), 0);
}

static const struct virtio_class *real_class;

/// The driver's index runs away between the last pop and the wish for kicks.
static void process_and_break(void *self, struct virtio_queue *queue) {
    uint16_t bad = 0x4000;

    real_class->process(self, queue);
    vd_put(&fixture->vd, fixture->vd.queues[0].avail + 2, &bad, sizeof(bad));
}

static void test_fault_while_asking_for_kicks(void **state) {
    struct fixture *f = *state;
    struct virtio_class class = *f->blk.virtio.class;

    real_class = f->blk.virtio.class;
    class.process = process_and_break;
    f->blk.virtio.class = &class;
    kick_from_home(f, 0);
    assert_non_null(f->blk.virtio.queues[0].vq.fault);
    assert_true(vd_read(&f->vd, VD_STATUS, 1) & VIRTIO_STATUS_NEEDS_RESET);
    f->blk.virtio.class = real_class;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reset_meets_resume, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_fault_while_asking_for_kicks, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
