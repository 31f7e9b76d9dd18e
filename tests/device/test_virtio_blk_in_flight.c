// SPDX-License-Identifier: MIT
//
// Virtio block device with many requests on their way: batches, more than it has room for, resets,
// pause, save and load meanwhile, two queues.
#include "tests/support/virtio_blk_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/// Many requests in one kick, ended in reverse order; one interrupt with event indices.
static void batches(void **state) {
    struct blk_fixture *f = blk_build_started(~0ull);
    struct disk_io *ios[4];
    struct vd_used used;

    (void)state;
    f->fd.hold = true;
    for (unsigned i = 0; i < 4; i++) {
        struct vd_buffer data = {DATA_GPA + i * 512, 512, true};

        blk_put_header(f, i, T_IN, i);
        vd_offer(&f->vd, 0, blk_make(f, i, &data, 1));
    }
    vd_set_used_event(&f->vd, 0, 3); // tell me when four are done
    vd_kick(&f->vd, 0);
    assert_int_equal(f->fd.waiting_count, 4);
    assert_int_equal(vd_avail_event(&f->vd, 0), 4);
    ios[0] = f->fd.queue;
    for (unsigned i = 1; i < 4; i++) {
        ios[i] = (struct disk_io *)(uintptr_t)ios[i - 1]->backend[0];
    }
    for (unsigned i = 4; i-- > 0;) {
        assert_int_equal(f->m->msi_count, 0);
        assert_true(fake_disk_complete(&f->fd, ios[i]));
        assert_true(vd_used(&f->vd, 0, &used));
        assert_int_equal(used.id, i * 3);
    }
    assert_int_equal(f->m->msi_count, 1);
    blk_teardown(f);
}

/// A hostile driver offers the same head again and again: more than the pool holds.
static void pool_runs_out(void **state) {
    struct blk_fixture *f = blk_build(NULL, 1);
    struct vd_buffer data = {DATA_GPA, 512, true};
    struct vd_used used;
    unsigned done = 0;
    uint16_t head;

    (void)state;
    vd_start(&f->vd, ~VIRTIO_F_EVENT_IDX, 1, 128);
    f->fd.hold = true;
    blk_put_header(f, 0, T_IN, 0);
    head = blk_make(f, 0, &data, 1);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 100; i++) {
            vd_offer(&f->vd, 0, head);
        }
        vd_kick(&f->vd, 0);
        assert_true(fake_loop_run(&f->m->fl));
    }
    assert_int_equal(f->fd.waiting_count, VIRTIO_BLK_QUEUE_SIZE);
    assert_int_equal(vd_used_flags(&f->vd, 0), 1); // no kicks wanted meanwhile
    while (fake_disk_complete(&f->fd, NULL)) {
        fake_loop_run(&f->m->fl);
        done += vd_used(&f->vd, 0, &used) ? 1 : 0;
    }
    assert_int_equal(done, 200);
    assert_int_equal(vd_used_flags(&f->vd, 0), 0);
    blk_teardown(f);
}

static void count_done(void *ctx) {
    (*(unsigned *)ctx)++;
}

static void driver_reset_with_io_in_flight(void **state) {
    struct blk_fixture *f = blk_build_started(~0ull);
    struct vd_buffer data = {DATA_GPA, 4096, true};
    uint8_t before[96];
    uint8_t after[96];

    (void)state;
    f->fd.hold = true;
    for (unsigned i = 0; i < 3; i++) {
        blk_put_header(f, i, T_IN, 8);
        vd_offer(&f->vd, 0, blk_make(f, i, &data, 1));
    }
    vd_kick(&f->vd, 0);
    assert_int_equal(f->fd.waiting_count, 3);
    vd_write(&f->vd, VD_STATUS, 1, 0);
    assert_int_not_equal(vd_read(&f->vd, VD_STATUS, 1), 0); // not yet
    vd_write(&f->vd, VD_STATUS, 1, 1);                      // dropped meanwhile
    vd_kick(&f->vd, 0);
    vd_get(&f->vd, HEADER_GPA, before, sizeof(before));
    assert_true(fake_loop_run(&f->m->fl));
    assert_int_equal(vd_read(&f->vd, VD_STATUS, 1), 0);
    assert_int_equal(f->fd.waiting_count, 0);
    vd_get(&f->vd, HEADER_GPA, after, sizeof(after));
    assert_memory_equal(before, after, sizeof(after)); // no status byte was written
    assert_int_equal(blk_status(f, 0), NO_STATUS);
    f->fd.hold = false;
    vd_start(&f->vd, ~0ull, 1, QUEUE_SIZE);
    assert_int_equal(blk_request(f, T_IN, 0, DATA_GPA, 512, NULL), S_OK);
    blk_teardown(f);
}

/// The disk cannot cancel: reset waits for it.
static void ignore_cancel(struct disk *disk, struct loop *loop, struct disk_io *io) {
    (void)disk;
    (void)loop;
    (void)io;
}

static void machine_reset_waits(void **state) {
    struct blk_fixture *f = blk_build_started(~0ull);
    struct disk_ops stubborn = *f->fd.disk.ops;
    struct vd_buffer data = {DATA_GPA, 4096, true};
    struct device *device = &f->blk.virtio.device;
    unsigned done = 0;

    (void)state;
    stubborn.cancel = ignore_cancel;
    f->fd.disk.ops = &stubborn;
    f->fd.hold = true;
    blk_put_header(f, 0, T_IN, 8);
    vd_offer(&f->vd, 0, blk_make(f, 0, &data, 1));
    vd_kick(&f->vd, 0);
    pthread_mutex_lock(&device->lock);
    device->ops->reset(device->self, count_done, &done);
    pthread_mutex_unlock(&device->lock);
    fake_loop_run(&f->m->fl);
    assert_int_equal(done, 0);
    assert_int_not_equal(vd_read(&f->vd, VD_STATUS, 1), 0);
    assert_true(fake_disk_complete(&f->fd, NULL));
    assert_int_equal(done, 1);
    assert_int_equal(vd_read(&f->vd, VD_STATUS, 1), 0);
    assert_int_equal(blk_status(f, 0), NO_STATUS);
    fake_reset(f->m, device); // and once more with nothing in flight
    blk_teardown(f);
}

static void pause_waits_and_resume_goes_on(void **state) {
    struct blk_fixture *f = blk_build_started(~0ull);
    struct vd_buffer data = {DATA_GPA, 512, true};
    struct device *device = &f->blk.virtio.device;
    struct vd_used used;
    unsigned done = 0;

    (void)state;
    f->fd.hold = true;
    blk_put_header(f, 0, T_IN, 8);
    blk_put_header(f, 1, T_IN, 9);
    vd_offer(&f->vd, 0, blk_make(f, 0, &data, 1));
    vd_kick(&f->vd, 0);
    pthread_mutex_lock(&device->lock);
    device->ops->pause(device->self, count_done, &done);
    pthread_mutex_unlock(&device->lock);
    fake_loop_run(&f->m->fl);
    assert_int_equal(done, 0);
    vd_offer(&f->vd, 0, blk_make(f, 1, &data, 1));
    vd_kick(&f->vd, 0);
    assert_int_equal(f->fd.waiting_count, 1); // the new one stays in the ring
    assert_true(fake_disk_complete(&f->fd, NULL));
    assert_int_equal(done, 1);
    assert_true(vd_used(&f->vd, 0, &used)); // results of what was in flight are delivered
    assert_int_equal(blk_status(f, 0), S_OK);
    assert_false(fake_disk_complete(&f->fd, NULL));
    pthread_mutex_lock(&device->lock);
    device->ops->resume(device->self);
    pthread_mutex_unlock(&device->lock);
    fake_loop_run(&f->m->fl);
    assert_int_equal(f->fd.waiting_count, 1);
    assert_true(fake_disk_complete(&f->fd, NULL));
    assert_true(vd_used(&f->vd, 0, &used));
    assert_int_equal(blk_status(f, 1), S_OK);
    blk_teardown(f);
}

static void save_and_restore(void **state) {
    struct blk_fixture *f = blk_build_started(~0ull);
    struct blk_fixture *g = blk_build(NULL, 1);
    struct guest_memory own = g->m->gm;
    struct vd_buffer data = {DATA_GPA, 512, true};
    struct vd_used used;
    size_t sizes[2];
    uint8_t *blobs[2];

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(blk_request(f, T_IN, i, DATA_GPA, 512, NULL), S_OK);
    }
    blk_put_header(f, 0, T_IN, 7); // offered, not yet kicked: the new one finds it
    vd_offer(&f->vd, 0, blk_make(f, 0, &data, 1));
    vd_set_used_event(&f->vd, 0, 5);
    blobs[0] = fake_save(&f->blk.virtio.device, &sizes[0]);
    blobs[1] = fake_save(&f->blk.pci.function.device, &sizes[1]);

    g->m->gm = f->m->gm; // servicing: the guest's memory stays
    assert_int_equal(fake_load(&g->blk.pci.function.device, blobs[1], sizes[1]), 0);
    assert_int_equal(fake_load(&g->blk.virtio.device, blobs[0], sizes[0]), 0);
    assert_true(fake_loop_run(&g->m->fl));
    g->vd = f->vd;
    g->vd.m = g->m;
    assert_true(vd_used(&g->vd, 0, &used));
    assert_int_equal(blk_status(g, 0), S_OK);
    assert_int_equal(g->m->msi_count, 1);
    assert_int_equal(g->m->msis[0].data, VD_MSI_BASE + 1);
    assert_int_equal(blk_request(g, T_IN, 3, DATA_GPA, 512, NULL), S_OK);
    assert_int_equal(vd_read(&g->vd, VD_STATUS, 1), 15);
    assert_int_equal(fake_load(&g->blk.virtio.device, blobs[0], sizes[0]), -EBUSY); // running
    free(blobs[0]);
    free(blobs[1]);
    g->m->gm = own;
    blk_teardown(g);
    blk_teardown(f);
}

static void two_loops(void **state) {
    struct blk_fixture *f = blk_build(NULL, 2);
    const struct vd_buffer buffers[] = {
        {HEADER_GPA, 16, false},
        {DATA_GPA, 20, true},
        {HEADER_GPA + 16, 1, true},
    };
    struct vd_used used;

    (void)state;
    vd_start(&f->vd, ~0ull, 2, QUEUE_SIZE);
    fake_loop_run(&f->fl2);
    assert_int_equal(vd_read(&f->vd, VD_NUM_QUEUES, 2), 2);
    blk_put_header(f, 0, T_GET_ID, 0);
    vd_offer(&f->vd, 1, vd_chain(&f->vd, 1, buffers, 3));
    vd_kick(&f->vd, 1); // by VP 0: posted to queue 1's home
    assert_false(vd_used(&f->vd, 1, &used));
    assert_true(fake_loop_run(&f->fl2));
    assert_true(vd_used(&f->vd, 1, &used));
    assert_int_equal(f->m->msis[0].data, VD_MSI_BASE + 2);

    vd_write(&f->vd, VD_STATUS, 1, 0); // both homes must answer
    fake_loop_run(&f->m->fl);
    assert_int_not_equal(vd_read(&f->vd, VD_STATUS, 1), 0);
    fake_loop_run(&f->fl2);
    assert_int_equal(vd_read(&f->vd, VD_STATUS, 1), 0);
    blk_teardown(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches),
        cmocka_unit_test(pool_runs_out),
        cmocka_unit_test(driver_reset_with_io_in_flight),
        cmocka_unit_test(machine_reset_waits),
        cmocka_unit_test(pause_waits_and_resume_goes_on),
        cmocka_unit_test(save_and_restore),
        cmocka_unit_test(two_loops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
