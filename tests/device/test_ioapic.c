// SPDX-License-Identifier: MIT
//
// I/O APIC: registers, edges, levels with remote IRR, both ways to end them, masks, messages,
// routes, and its state.
#include "devices/ioapic.h"

#include "tests/support/fake_machine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LEVEL  0x8000u
#define IRR    0x4000u
#define MASKED 0x10000u

struct fixture {
    struct fake_machine *m;
    struct ioapic ioapic;
    int refuse; ///< what sending gives, when not 0
    unsigned routes;
    struct fake_msi last_route;
    uint32_t last_route_pin;
};

static int send(void *ctx, uint64_t address, uint32_t data) {
    struct fixture *x = ctx;
    struct msi_sink sink = fake_msi_sink(x->m);

    return x->refuse ? x->refuse : sink.send(sink.ctx, address, data);
}

static void route(void *ctx, uint32_t pin, uint64_t address, uint32_t data) {
    struct fixture *x = ctx;

    x->routes++;
    x->last_route_pin = pin;
    x->last_route = (struct fake_msi){.address = address, .data = data};
}

static int set_up(void **state) {
    struct fixture *x = calloc(1, sizeof(*x));
    struct ioapic_config config;

    x->m = fake_machine_new();
    config = (struct ioapic_config){
        .mmio = x->m->mmio, .msi = {.send = send, .ctx = x}, .route = route, .route_ctx = x};
    assert_int_equal(ioapic_init(&x->ioapic, &config), 0);
    fake_reset(x->m, &x->ioapic.device);
    *state = x;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *x = *state;

    fake_machine_free(x->m);
    free(x);
    return 0;
}

static uint32_t rd(struct fixture *x, unsigned index) {
    fake_mmio_write(x->m, IOAPIC_START, 4, index);
    return (uint32_t)fake_mmio_read(x->m, IOAPIC_START + 0x10, 4);
}

static void wr(struct fixture *x, unsigned index, uint32_t value) {
    fake_mmio_write(x->m, IOAPIC_START, 4, index);
    fake_mmio_write(x->m, IOAPIC_START + 0x10, 4, value);
}

static void set_entry(struct fixture *x, unsigned pin, unsigned destination, uint32_t low) {
    wr(x, 0x10 + 2 * pin, MASKED);
    wr(x, 0x11 + 2 * pin, destination << 24);
    wr(x, 0x10 + 2 * pin, low);
}

static void expect_message(struct fixture *x, unsigned count, uint64_t address, uint32_t data) {
    assert_int_equal(x->m->msi_count, count);
    assert_int_equal(x->m->msis[count - 1].address, address);
    assert_int_equal(x->m->msis[count - 1].data, data);
}

// ---- the cases ----

static void registers(void **state) {
    struct fixture *x = *state;

    assert_int_equal(rd(x, 1), 0x00170020);
    wr(x, 1, 0);
    assert_int_equal(rd(x, 1), 0x00170020);
    wr(x, 0, 0xFFFFFFFF);
    assert_int_equal(rd(x, 0), 0x0F000000);
    assert_int_equal(rd(x, 2), 0x0F000000);
    assert_int_equal(rd(x, 3), 0xFFFFFFFF);
    assert_int_equal(rd(x, 0x10 + 48), 0xFFFFFFFF);
    assert_int_equal(rd(x, 0xFF), 0xFFFFFFFF);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        assert_int_equal(rd(x, 0x10 + 2 * pin), MASKED);
        assert_int_equal(rd(x, 0x11 + 2 * pin), 0);
        wr(x, 0x11 + 2 * pin, 0xFFFFFFFF);
        wr(x, 0x10 + 2 * pin, 0xFFFFFFFF);
        assert_int_equal(rd(x, 0x10 + 2 * pin), 0x1AFFF); // no delivery status, no remote IRR
        assert_int_equal(rd(x, 0x11 + 2 * pin), 0xFF000000);
    }
    fake_mmio_write(x->m, IOAPIC_START, 1, 0x12);
    assert_int_equal(fake_mmio_read(x->m, IOAPIC_START, 4), 0x12);
    assert_int_equal(fake_mmio_read(x->m, IOAPIC_START + 0x10, 1), 0xFF);
    assert_int_equal(fake_mmio_read(x->m, IOAPIC_START + 0x10, 8), UINT64_MAX);
    assert_int_equal(fake_mmio_read(x->m, IOAPIC_START + 0x40, 4), 0xFFFFFFFF);
    assert_int_equal(fake_mmio_read(x->m, IOAPIC_START + 0x20, 4), 0xFFFFFFFF);
    assert_int_equal(fake_mmio_read(x->m, IOAPIC_START + 0x12, 4), 0xFFFFFFFF);
    assert_int_equal(x->m->msi_count, 0);
}

static void edges(void **state) {
    struct fixture *x = *state;

    set_entry(x, 4, 2, 0x41);
    ioapic_set_pin(&x->ioapic, 4, true);
    expect_message(x, 1, 0xFEE02000, 0x4041);
    ioapic_set_pin(&x->ioapic, 4, true);
    ioapic_eoi(&x->ioapic, 0x41);
    assert_int_equal(x->m->msi_count, 1);
    ioapic_set_pin(&x->ioapic, 4, false);
    ioapic_set_pin(&x->ioapic, 4, true);
    assert_int_equal(x->m->msi_count, 2);
    ioapic_set_pin(&x->ioapic, IOAPIC_PINS, true);
    ioapic_set_pin(&x->ioapic, UINT32_MAX, true);
    assert_int_equal(x->m->msi_count, 2);
    // Masked: lost.
    wr(x, 0x18, MASKED | 0x41);
    ioapic_set_pin(&x->ioapic, 4, false);
    ioapic_set_pin(&x->ioapic, 4, true);
    wr(x, 0x18, 0x41);
    assert_int_equal(x->m->msi_count, 2);
}

static void messages(void **state) {
    struct fixture *x = *state;

    set_entry(x, 0, 0xFF, 0x0800 | 0x0100 | LEVEL | 0x55); // logical, lowest priority
    ioapic_set_pin(&x->ioapic, 0, true);
    expect_message(x, 1, 0xFEEFF00C, 0xC155);
    set_entry(x, 1, 1, 0x0400 | LEVEL | 0x02); // NMI: an edge all the same
    ioapic_set_pin(&x->ioapic, 1, true);
    expect_message(x, 2, 0xFEE01000, 0x4402);
    assert_false(rd(x, 0x12) & IRR);
    set_entry(x, 2, 0, 0x0700); // ExtINT
    ioapic_set_pin(&x->ioapic, 2, true);
    expect_message(x, 3, 0xFEE00000, 0x4700);
}

static void levels(void **state) {
    struct fixture *x = *state;

    set_entry(x, 16, 0, LEVEL | 0x2000 | 0x61);
    ioapic_set_pin(&x->ioapic, 16, true);
    expect_message(x, 1, 0xFEE00000, 0xC061);
    assert_true(rd(x, 0x30) & IRR);
    ioapic_set_pin(&x->ioapic, 16, false);
    ioapic_set_pin(&x->ioapic, 16, true); // in service still
    assert_int_equal(x->m->msi_count, 1);
    ioapic_eoi(&x->ioapic, 0x60); // somebody else's
    assert_int_equal(x->m->msi_count, 1);
    ioapic_eoi(&x->ioapic, 0x61);
    assert_int_equal(x->m->msi_count, 2);
    ioapic_set_pin(&x->ioapic, 16, false);
    fake_mmio_write(x->m, IOAPIC_START + 0x40, 4, 0x61); // the other way
    assert_false(rd(x, 0x30) & IRR);
    assert_int_equal(x->m->msi_count, 2);
    ioapic_eoi(&x->ioapic, 0x61);
    ioapic_set_pin(&x->ioapic, 16, true);
    assert_int_equal(x->m->msi_count, 3);
}

static void level_masked(void **state) {
    struct fixture *x = *state;

    set_entry(x, 9, 0, MASKED | LEVEL | 0x39);
    ioapic_set_pin(&x->ioapic, 9, true);
    assert_int_equal(x->m->msi_count, 0);
    wr(x, 0x22, LEVEL | 0x39);
    assert_int_equal(x->m->msi_count, 1);
    wr(x, 0x22, MASKED | LEVEL | 0x39);
    assert_true(rd(x, 0x22) & IRR);
    ioapic_eoi(&x->ioapic, 0x39);
    assert_false(rd(x, 0x22) & IRR);
    assert_int_equal(x->m->msi_count, 1);
    wr(x, 0x22, LEVEL | 0x39);
    assert_int_equal(x->m->msi_count, 2);
    // Edge and back: remote IRR goes, and the level comes again.
    wr(x, 0x22, MASKED | 0x39);
    assert_false(rd(x, 0x22) & IRR);
    wr(x, 0x22, LEVEL | 0x39);
    assert_int_equal(x->m->msi_count, 3);
}

static void shared_vector(void **state) {
    struct fixture *x = *state;

    set_entry(x, 5, 0, LEVEL | 0x70);
    set_entry(x, 6, 0, LEVEL | 0x70);
    ioapic_set_pin(&x->ioapic, 5, true);
    ioapic_set_pin(&x->ioapic, 6, true);
    assert_int_equal(x->m->msi_count, 2);
    ioapic_eoi(&x->ioapic, 0x70);
    assert_int_equal(x->m->msi_count, 4);
}

/// What nobody took is not in service, or it would never be ended.
static void refused(void **state) {
    struct fixture *x = *state;

    x->refuse = -EINVAL;
    set_entry(x, 5, 0, LEVEL | 0x00);
    ioapic_set_pin(&x->ioapic, 5, true);
    assert_false(rd(x, 0x1A) & IRR);
    assert_int_equal(x->ioapic.lost_count, 1);
    x->refuse = 0;
    wr(x, 0x1A, LEVEL | 0x50);
    expect_message(x, 1, 0xFEE00000, 0xC050);
}

static void routes(void **state) {
    struct fixture *x = *state;

    set_entry(x, 7, 3, LEVEL | 0x81);
    assert_int_equal(x->last_route_pin, 7);
    assert_int_equal(x->last_route.address, 0xFEE03000);
    assert_int_equal(x->last_route.data, 0xC081);
    x->routes = 0;
    wr(x, 0x1E, MASKED | LEVEL | 0x81); // a mask changes nothing
    wr(x, 0x1E, LEVEL | 0x81);
    ioapic_set_pin(&x->ioapic, 7, true);
    ioapic_eoi(&x->ioapic, 0x81);
    assert_int_equal(x->routes, 0);
    wr(x, 0x1F, 0);
    assert_int_equal(x->routes, 1);
    // After a reset the platform knows none.
    fake_reset(x->m, &x->ioapic.device);
    wr(x, 0x1E, LEVEL | 0x81);
    assert_int_equal(x->routes, 2);
}

static void save_and_load(void **state) {
    struct fixture *x = *state;
    size_t size;
    uint8_t *blob;

    set_entry(x, 16, 0, LEVEL | 0x61);
    set_entry(x, 4, 0, 0x44);
    ioapic_set_pin(&x->ioapic, 16, true);
    ioapic_set_pin(&x->ioapic, 4, true);
    assert_int_equal(x->m->msi_count, 2);
    blob = fake_save(&x->ioapic.device, &size);
    fake_reset(x->m, &x->ioapic.device);
    assert_int_equal(rd(x, 0x30), MASKED);
    x->routes = 0;
    assert_int_equal(fake_load(&x->ioapic.device, blob, size), 0);
    assert_int_equal(x->m->msi_count, 2); // in service, and no new edge
    assert_int_equal(x->routes, 2);
    ioapic_eoi(&x->ioapic, 0x61);
    assert_int_equal(x->m->msi_count, 3);
    // An edge that came between save and load counts.
    ioapic_set_pin(&x->ioapic, 4, false);
    free(blob);
    blob = fake_save(&x->ioapic.device, &size);
    fake_reset(x->m, &x->ioapic.device);
    ioapic_set_pin(&x->ioapic, 4, true);
    assert_int_equal(fake_load(&x->ioapic.device, blob, size), 0);
    assert_int_equal(x->m->msi_count, 4);
    free(blob);
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(registers),     CASE(edges),   CASE(messages), CASE(levels),        CASE(level_masked),
        CASE(shared_vector), CASE(refused), CASE(routes),   CASE(save_and_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
