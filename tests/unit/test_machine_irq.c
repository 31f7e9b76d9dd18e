// SPDX-License-Identifier: MIT
//
// The machine's interrupt wiring over a platform that only takes notes: which line arrives where,
// with the platform's chips and with our own, and on which thread the platform hears of INTR.
#include "userspace/machine.h"

#include "tests/support/fake_machine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOT_CALLED 999u

static struct {
    uint32_t features;
    uint32_t gsi;
    uint64_t msi_address;
    uint32_t msi_data;
    unsigned msi_count;
    uint32_t routed_pin;
    unsigned intr_calls;
    bool intr;
    uint32_t vector;
    int result;
} seen;

static uint32_t fake_features(const struct partition *partition) {
    (void)partition;
    return seen.features;
}

static int fake_line(struct partition *partition, uint32_t gsi, bool level) {
    (void)partition;
    (void)level;
    seen.gsi = gsi;
    return seen.result;
}

static int fake_msi(struct partition *partition, uint64_t address, uint32_t data) {
    (void)partition;
    seen.msi_address = address;
    seen.msi_data = data;
    seen.msi_count++;
    return seen.result;
}

static int fake_route(struct partition *partition, uint32_t pin, uint64_t address, uint32_t data) {
    (void)partition;
    (void)address;
    (void)data;
    seen.routed_pin = pin;
    return seen.result;
}

static int fake_extint_line(struct vp *vp, bool level) {
    (void)vp;
    seen.intr = level;
    seen.intr_calls++;
    return 0;
}

static int fake_extint_inject(struct vp *vp, uint8_t vector) {
    (void)vp;
    seen.vector = vector;
    return seen.result;
}

static const struct vtl2_ops fake_ops = {
    .features = fake_features,
    .set_line = fake_line,
    .send_msi = fake_msi,
    .ioapic_route = fake_route,
    .extint_line = fake_extint_line,
    .extint_inject = fake_extint_inject,
};

struct fixture {
    struct fake_machine *m;
    struct machine machine;
    struct machine_vp vp;
};

static int set_up(void **state, uint32_t features) {
    struct fixture *x = calloc(1, sizeof(*x));

    memset(&seen, 0, sizeof(seen));
    seen.features = features;
    seen.gsi = seen.vector = seen.routed_pin = NOT_CALLED;
    x->m = fake_machine_new();
    x->machine.ops = &fake_ops;
    x->machine.pio = x->m->pio;
    x->machine.mmio = x->m->mmio;
    x->machine.vp_count = 1;
    x->machine.vps = &x->vp;
    x->machine.loops[0] = &x->m->fl.loop;
    x->vp.thread = pthread_self();
    *state = x;
    return machine_add_chips(&x->machine);
}

static int set_up_own(void **state) {
    return set_up(state, VTL2_HAS_LOCAL_APIC);
}

static int set_up_platform(void **state) {
    return set_up(state, VTL2_HAS_LOCAL_APIC | VTL2_HAS_IOAPIC | VTL2_HAS_PIT);
}

static int tear_down(void **state) {
    struct fixture *x = *state;

    fake_machine_free(x->m);
    free(x);
    return 0;
}

static void out(struct fixture *x, uint16_t port, unsigned value) {
    fake_pio_write(x->m, port, 1, value);
}

/// Vectors 0x20 and 0x28, all lines open.
static void open_pics(struct fixture *x) {
    static const uint16_t ports[] = {0x20, 0xA0};

    for (unsigned i = 0; i < 2; i++) {
        out(x, ports[i], 0x11);
        out(x, ports[i] + 1u, 0x20 + 8 * i);
        out(x, ports[i] + 1u, i ? 2 : 4);
        out(x, ports[i] + 1u, 1);
        out(x, ports[i] + 1u, 0);
    }
}

static void open_pin(struct fixture *x, unsigned pin, uint32_t low) {
    fake_mmio_write(x->m, IOAPIC_START, 4, 0x10 + 2 * pin);
    fake_mmio_write(x->m, IOAPIC_START + 0x10, 4, low);
}

// ---- the cases ----

static void platform_chips(void **state) {
    struct fixture *x = *state;

    assert_null(x->machine.devices);
    machine_set_line(&x->machine, 17, true);
    assert_int_equal(seen.gsi, 17);
    machine_end_interrupt(&x->machine, 0x30); // no IOAPIC of ours: nothing
    seen.result = -EINVAL;
    machine_set_line(&x->machine, 3, true); // complains, no more
    assert_int_equal(machine_send_msi(&x->machine, 0xFEE00000, 1), -EINVAL);
}

static void lines_to_pics(void **state) {
    static const int vectors[20] = {0x20, 0x21, -1,   0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29,
                                    0x2A, 0x2B, 0x2C, 0x2D, 0x2E, 0x2F, 0x25, 0x2A, 0x2B, 0x27};
    struct fixture *x = *state;

    for (uint32_t gsi = 0; gsi < 20; gsi++) {
        open_pics(x);
        machine_set_line(&x->machine, gsi, true);
        assert_int_equal(seen.intr, vectors[gsi] >= 0);
        seen.vector = NOT_CALLED;
        machine_take_extint(&x->machine, NULL);
        assert_int_equal(seen.vector, vectors[gsi] >= 0 ? (unsigned)vectors[gsi] : NOT_CALLED);
        machine_set_line(&x->machine, gsi, false);
    }
    assert_int_equal(seen.gsi, NOT_CALLED);
    machine_set_line(&x->machine, 1000, true);
}

static void lines_to_ioapic(void **state) {
    struct fixture *x = *state;

    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        open_pin(x, pin, 0x30 + pin);
        assert_int_equal(seen.routed_pin, pin);
    }
    for (uint32_t gsi = 0; gsi < IOAPIC_PINS; gsi++) {
        unsigned count = seen.msi_count;

        machine_set_line(&x->machine, gsi, true);
        assert_int_equal(seen.msi_count, count + (gsi != 2));
        if (gsi != 2) {
            assert_int_equal(seen.msi_data & 0xFF, 0x30 + (gsi == 0 ? 2 : gsi));
        }
    }
}

static void level_ends(void **state) {
    struct fixture *x = *state;

    open_pin(x, 16, 0x8041);
    machine_set_line(&x->machine, 16, true);
    assert_int_equal(seen.msi_count, 1);
    machine_end_interrupt(&x->machine, 0x41);
    assert_int_equal(seen.msi_count, 2);
}

static void *raise_line(void *machine) {
    machine_set_line(machine, 4, true);
    return NULL;
}

/// Another thread's interrupt is told on VP 0's own.
static void intr_by_thread(void **state) {
    struct fixture *x = *state;
    pthread_t thread;

    open_pics(x);
    seen.intr_calls = 0;
    assert_int_equal(pthread_create(&thread, NULL, raise_line, &x->machine), 0);
    pthread_join(thread, NULL);
    assert_int_equal(seen.intr_calls, 0);
    assert_true(fake_loop_run(&x->m->fl));
    assert_int_equal(seen.intr_calls, 1);
    assert_true(seen.intr);
    machine_set_line(&x->machine, 4, false);
    assert_int_equal(seen.intr_calls, 2);
    assert_false(seen.intr);
    seen.vector = NOT_CALLED;
    machine_take_extint(&x->machine, NULL); // too late: the line is low
    assert_int_equal(seen.vector, NOT_CALLED);
}

/// The PIT is IRQ 0 of both; the level-triggered lines are as firmware sets them up.
static void pit_and_elcr(void **state) {
    struct fixture *x = *state;

    open_pics(x);
    open_pin(x, 2, 0x52);
    assert_int_equal(fake_pio_read(x->m, 0x4D0, 2), 0);
    fake_reset(x->m, &x->machine.pic.device);
    assert_int_equal(fake_pio_read(x->m, 0x4D0, 2), 0x0EA0);
    out(x, 0x43, 0x30);
    out(x, 0x40, 0x10);
    out(x, 0x40, 0x00);
    assert_int_equal(seen.msi_count, 0);
    assert_true(fake_loop_advance(&x->m->fl, 1000000));
    assert_int_equal(seen.msi_count, 1);
    assert_int_equal(seen.msi_data & 0xFF, 0x52);
}

int main(void) {
#define OWN(f) cmocka_unit_test_setup_teardown(f, set_up_own, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(platform_chips, set_up_platform, tear_down),
        OWN(lines_to_pics),
        OWN(lines_to_ioapic),
        OWN(level_ends),
        OWN(intr_by_thread),
        OWN(pit_and_elcr),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
