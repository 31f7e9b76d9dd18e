// SPDX-License-Identifier: MIT
//
// Four local APICs, a SynIC and synthetic timers from bytes: register and MSR accesses, IPIs and
// MSIs, time steps, pins, deliveries, saved and loaded state. Invariants are checked at each step.
#include "igvm/base/check.h"
#include "tests/support/fake_apics.h"
#include "tests/support/fake_machine.h"
#include "vtl2/hv/stimer.h"
#include "vtl2/hv/synic.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fake_apics a;
static struct hv_synic synic;     // of APIC 0's VP
static struct hv_stimers stimers; // ditto
static uint8_t pages[2][PAGE_SIZE_4K] __attribute__((aligned(4096)));

static void *page(void *ctx, enum hv_synic_page which) {
    (void)ctx;
    return pages[which];
}

static bool set_page(void *ctx, enum hv_synic_page which, bool enabled, gpa_t gpa) {
    (void)ctx, (void)which;
    CHECK(is_aligned(gpa.value, PAGE_SIZE_4K));
    return !enabled || gpa.value < UINT64_C(1) << 48;
}

static void interrupt(void *ctx, uint8_t vector) {
    (void)ctx;
    CHECK(vector >= 16);
    hv_lapic_raise(&a.lapic[0], vector);
}

static void ready(void *ctx, uint32_t sints) {
    (void)ctx;
    CHECK(sints != 0 && sints <= 0xFFFF);
    hv_stimers_retry(&stimers, a.now_100ns, sints);
}

static int post(void *ctx, unsigned sint, const struct hv_timer_message *payload) {
    (void)ctx;
    CHECK(payload->expiration_time_100ns <= payload->delivery_time_100ns);
    return hv_synic_post(&synic, sint, HV_MESSAGE_TIMER_EXPIRED, 0, payload, sizeof(*payload));
}

static const struct hv_synic_ops synic_ops = {
    .page = page, .set_page = set_page, .interrupt = interrupt, .ready = ready};
static const struct hv_stimer_ops stimer_ops = {.interrupt = interrupt, .post = post};

/// A number that is often an interesting one.
static uint64_t value_of(struct fuzz_input *in, uint8_t op) {
    switch (op % 5) {
    case 0:
        return fuzz_u8(in);
    case 1:
        return fuzz_u32(in);
    case 2:
        return fuzz_u64(in);
    case 3:
        return (uint64_t)fuzz_u8(in) << 32 | fuzz_u16(in); // an ICR
    default:
        return a.now_100ns + fuzz_u16(in);
    }
}

static void check_rc(int rc) {
    CHECK(rc == 0 || rc == -EPERM || rc == -ENOENT);
}

static void apic_msr(struct fuzz_input *in, unsigned idx) {
    static const uint32_t others[] = {HV_APIC_BASE_MSR, HV_TSC_DEADLINE_MSR, HV_MSR_EOI, HV_MSR_ICR,
                                      HV_MSR_TPR};
    uint8_t op = fuzz_u8(in), which = fuzz_u8(in);
    uint32_t index =
        which < 0x40 ? HV_X2APIC_FIRST_MSR + which : others[which % ARRAY_COUNT(others)];
    uint64_t value = value_of(in, op), read = 0;

    if (index == HV_APIC_BASE_MSR && (op & 0x80) != 0) {
        value = HV_APIC_DEFAULT_GPA | (value & 0xC00);
    }
    check_rc(fake_apic_wrmsr(&a, idx, index, value));
    check_rc(fake_apic_rdmsr(&a, idx, index, &read));
}

static void synthetic_msr(struct fuzz_input *in) {
    uint8_t op = fuzz_u8(in);
    uint32_t index = fuzz_u8(in) % 0x40 + HV_MSR_SCONTROL;
    uint64_t value = value_of(in, op), read = 0;
    int rc = hv_synic_write_msr(&synic, index, value);

    check_rc(rc);
    CHECK((hv_synic_read_msr(&synic, index, &read) == -ENOENT) == (rc == -ENOENT));
    if (rc == -ENOENT) {
        rc = hv_stimers_write_msr(&stimers, a.now_100ns, index, value);
        check_rc(rc);
        CHECK((hv_stimers_read_msr(&stimers, index, &read) == -ENOENT) == (rc == -ENOENT));
    }
}

/// Advances to a moment; afterwards nothing is due any more.
static void step_time(struct fuzz_input *in, uint8_t op) {
    uint64_t next;

    a.now_100ns += (op & 8) != 0 ? fuzz_u32(in) : fuzz_u8(in);
    if ((op & 16) != 0) {
        next = hv_stimers_deadline(&stimers);
        a.now_100ns = next > a.now_100ns && next - a.now_100ns < 1u << 30 ? next : a.now_100ns;
    }
    hv_stimers_advance(&stimers, a.now_100ns);
    CHECK(hv_stimers_deadline(&stimers) > a.now_100ns);
    for (unsigned i = 0; i < FAKE_APIC_COUNT; i++) {
        hv_lapic_advance(&a.lapic[i], fake_apics_now(&a));
        CHECK(hv_lapic_deadline(&a.lapic[i], fake_apics_now(&a)) > a.now_100ns);
    }
}

static void save_and_load(struct fuzz_input *in, unsigned idx) {
    struct hv_lapic_state apic;
    struct hv_synic_state s;
    struct hv_stimers_state t;

    hv_lapic_save(&a.lapic[idx], &apic);
    hv_synic_save(&synic, &s);
    hv_stimers_save(&stimers, &t);
    CHECK(hv_lapic_load(&a.lapic[idx], &apic) == 0);
    CHECK(hv_synic_load(&synic, &s) == 0);
    CHECK(hv_stimers_load(&stimers, &t) == 0);
    ((uint8_t *)&apic)[fuzz_u16(in) % sizeof(apic)] = fuzz_u8(in);
    ((uint8_t *)&s)[fuzz_u16(in) % sizeof(s)] = fuzz_u8(in);
    ((uint8_t *)&t)[fuzz_u16(in) % sizeof(t)] = fuzz_u8(in);
    // May be refused: then nothing changed, which the invariants see.
    (void)hv_lapic_load(&a.lapic[idx], &apic);
    (void)hv_synic_load(&synic, &s);
    (void)hv_stimers_load(&stimers, &t);
}

static void deliver(struct fuzz_input *in, unsigned idx) {
    int vector = fake_apic_take(&a, idx);

    if (vector >= 0 && (fuzz_u8(in) & 1) != 0) {
        (void)hv_synic_is_auto_eoi(&synic, (uint8_t)vector);
        fake_apic_write(&a, idx, 0xB0, 0);
        hv_synic_eoi(&synic);
    }
    for (unsigned i = 0; hv_lapic_take_eoi(&a.lapic[idx]) >= 0; i++) {
        CHECK(i < 256);
    }
}

static void message(struct fuzz_input *in) {
    uint8_t op = fuzz_u8(in);
    struct hv_apic_message m = {.destination = fuzz_u8(in),
                                .logical = op & 1,
                                .wide = op & 2,
                                .level = op & 4,
                                .delivery = op >> 3 & 7,
                                .vector = fuzz_u8(in)};

    if ((op & 64) != 0) {
        (void)hv_apic_send_msi(&a.bus, 0xFEE00000u | fuzz_u32(in) % 0x100000, fuzz_u16(in));
    } else {
        (void)hv_apic_send(&a.bus, &m);
    }
}

static void step(struct fuzz_input *in) {
    uint8_t op = fuzz_u8(in);
    unsigned idx = op >> 6;
    uint16_t off;

    switch (op % 8) {
    case 0:
        off = fuzz_u16(in) % HV_LAPIC_BYTES & ~3u;
        hv_lapic_mmio_write(&a.lapic[idx], fake_apics_now(&a), off, 4, fuzz_u32(in));
        break;
    case 1:
        off = fuzz_u16(in);
        (void)hv_lapic_mmio_read(&a.lapic[idx], fake_apics_now(&a), off,
                                 (uint8_t)(1u << (op >> 3 & 3)));
        break;
    case 2:
        apic_msr(in, idx);
        break;
    case 3:
        synthetic_msr(in);
        break;
    case 4:
        step_time(in, op);
        break;
    case 5:
        deliver(in, idx);
        break;
    case 6:
        message(in);
        break;
    default:
        switch (op >> 3 & 7) {
        case 0:
            hv_lapic_set_lint(&a.lapic[idx], fuzz_u8(in) & 1, fuzz_u8(in) & 1);
            break;
        case 1:
            hv_lapic_set_cr8(&a.lapic[idx], fuzz_u8(in));
            break;
        case 2:
            save_and_load(in, idx);
            break;
        case 3:
            pages[fuzz_u8(in) & 1][fuzz_u16(in) % PAGE_SIZE_4K] = fuzz_u8(in);
            break;
        case 4:
            (void)hv_synic_signal(&synic, fuzz_u8(in), fuzz_u16(in));
            break;
        default:
            hv_lapic_request(&a.lapic[idx], fuzz_u8(in));
            break;
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {.bytes = data, .left = size};

    fake_apics_init(&a);
    memset(pages, 0, sizeof(pages));
    hv_synic_init(&synic, &synic_ops, NULL);
    hv_stimers_init(&stimers, &stimer_ops, NULL);
    fake_apics_enable(&a);
    while (in.left > 0) {
        step(&in);
        for (unsigned i = 0; i < FAKE_APIC_COUNT; i++) {
            fake_apic_check(&a.lapic[i]);
        }
    }
    return 0;
}
