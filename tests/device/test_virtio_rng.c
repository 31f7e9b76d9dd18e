// SPDX-License-Identifier: MIT
//
// Virtio entropy device.
#include "devices/virtio_rng.h"
#include "tests/support/virtio_driver.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DATA_GPA 0x80000u

struct fixture {
    struct fake_machine *m;
    struct loop *loops[1];
    struct pci_root root;
    struct virtio_rng rng;
    struct virtio_driver vd;
    int64_t limit; ///< what the source gives: bytes at most, or an error
    unsigned calls;
};

static int64_t counting_source(void *ctx, uint8_t *bytes, size_t size_bytes) {
    struct fixture *f = ctx;
    int64_t n = f->limit < (int64_t)size_bytes ? f->limit : (int64_t)size_bytes;

    f->calls++;
    for (int64_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)(i + 1);
    }
    return n;
}

static struct fixture *build(virtio_rng_source_fn source) {
    struct fixture *f = calloc(1, sizeof(*f));
    struct pci_root_config root;
    struct virtio_rng_config config;

    f->m = fake_machine_new();
    f->loops[0] = &f->m->fl.loop;
    f->limit = 1 << 20;
    root = fake_pci_root_config(f->m);
    assert_int_equal(pci_root_init(&f->root, &root), 0);
    config = (struct virtio_rng_config){
        .virtio = {.name = "virtio-rng0", .gm = &f->m->gm, .loops = f->loops, .loop_count = 1},
        .pci = {.name = "pci-virtio-rng0", .root = &f->root, .slot = 4},
        .source = source,
        .source_ctx = f,
    };
    assert_int_equal(virtio_rng_init(&f->rng, &config), 0);
    vd_probe(&f->vd, f->m, 4, 0xC0000000u, 0x10000);
    vd_start(&f->vd, ~0ull, 1, 8);
    return f;
}

static void teardown(struct fixture *f) {
    fake_machine_free(f->m);
    free(f);
}

static bool ask(struct fixture *f, uint32_t size_bytes, uint32_t *len) {
    struct vd_buffer buffers[] = {{DATA_GPA, 1, true}, {DATA_GPA + 1, size_bytes - 1, true}};
    struct vd_used used;

    vd_submit(&f->vd, 0, vd_chain(&f->vd, 0, buffers, 2));
    if (!vd_used(&f->vd, 0, &used)) {
        return false;
    }
    *len = used.len;
    return true;
}

static void gives_bytes(void **state) {
    struct fixture *f = build(counting_source);
    uint8_t bytes[8];
    uint32_t len;

    (void)state;
    assert_true(ask(f, 6, &len));
    assert_int_equal(len, 6);
    vd_get(&f->vd, DATA_GPA, bytes, 8);
    assert_memory_equal(bytes, "\1\2\3\4\5\6\0\0", 8);
    assert_true(ask(f, 100000, &len)); // bounded
    assert_int_equal(len, VIRTIO_RNG_MAX_REQUEST_BYTES);
    f->limit = 3; // a short answer is an answer
    assert_true(ask(f, 64, &len));
    assert_int_equal(len, 3);
    teardown(f);
}

static void really_random(void **state) {
    struct fixture *f = build(NULL);
    uint8_t first[32];
    uint8_t second[32];
    uint32_t len;

    (void)state;
    assert_true(ask(f, 32, &len));
    vd_get(&f->vd, DATA_GPA, first, 32);
    assert_true(ask(f, 32, &len));
    vd_get(&f->vd, DATA_GPA, second, 32);
    assert_memory_not_equal(first, second, 32);
    teardown(f);
}

static void waits_for_the_source(void **state) {
    struct fixture *f = build(counting_source);
    struct vd_used used;
    uint32_t len;

    (void)state;
    f->limit = -EAGAIN;
    assert_false(ask(f, 16, &len));
    assert_int_equal(f->calls, 1);
    fake_loop_advance(&f->m->fl, 25000000);
    assert_int_equal(f->calls, 3);
    f->limit = 16;
    fake_loop_advance(&f->m->fl, 10000000);
    assert_true(vd_used(&f->vd, 0, &used));
    assert_int_equal(used.len, 16);
    f->limit = 0;
    assert_false(ask(f, 16, &len));
    fake_reset(f->m, &f->rng.virtio.device); // takes the timer with it
    assert_int_equal(fake_loop_next_deadline(&f->m->fl), UINT64_MAX);
    teardown(f);
}

static void readable_buffer_is_refused(void **state) {
    struct fixture *f = build(counting_source);
    struct vd_buffer buffers[] = {{DATA_GPA, 8, false}, {DATA_GPA, 8, true}};

    (void)state;
    vd_submit(&f->vd, 0, vd_chain(&f->vd, 0, buffers, 2));
    assert_true(vd_read(&f->vd, VD_STATUS, 1) & VIRTIO_STATUS_NEEDS_RESET);
    assert_int_equal(f->calls, 0);
    teardown(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_bytes),
        cmocka_unit_test(really_random),
        cmocka_unit_test(waits_for_the_source),
        cmocka_unit_test(readable_buffer_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
