// SPDX-License-Identifier: MIT
//
// The I/O APIC from bytes: memory accesses, pins, ends of interrupts, messages that nobody takes,
// save, load, reset.
#include "devices/ioapic.h"

#include "igvm/base/check.h"
#include "tests/support/fake_machine.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ENTRY_NEVER  UINT64_C(0x00FFFFFFFFFE1000) ///< reserved bits and delivery status
#define ENTRY_MODE   UINT64_C(0x600)              ///< 0: fixed or lowest priority
#define ENTRY_IRR    UINT64_C(0x4000)
#define ENTRY_LEVEL  UINT64_C(0x8000)
#define ENTRY_MASKED UINT64_C(0x10000)

static struct fake_machine *m;
static struct ioapic ioapic;
static bool refuse;
static unsigned sent;

static int send(void *ctx, uint64_t address, uint32_t data) {
    (void)ctx;
    CHECK((address & ~UINT64_C(0xFF00C)) == 0xFEE00000 && (data & ~0xC7FFu) == 0);
    sent++;
    return refuse ? -EINVAL : 0;
}

static void save_and_load(struct fuzz_input *in) {
    size_t size;
    uint8_t *blob = fake_save(&ioapic.device, &size);

    CHECK(fake_load(&ioapic.device, blob, size) == 0);
    if (fuzz_u8(in) & 1) {
        blob[fuzz_u16(in) % size] = fuzz_u8(in);
        (void)fake_load(&ioapic.device, blob, size);
    }
    free(blob);
}

static void step(struct fuzz_input *in) {
    static const uint8_t offsets[] = {0x00, 0x10, 0x40, 0x20};
    uint8_t op = fuzz_u8(in);
    unsigned before = sent;

    switch (op % 8) {
    case 0:
    case 1: // straight to an entry
        fake_mmio_write(m, IOAPIC_START, 4, 0x10 + op / 8);
        fake_mmio_write(m, IOAPIC_START + 0x10, 4, fuzz_u32(in));
        break;
    case 2:
        fake_mmio_write(m, IOAPIC_START + offsets[op / 8 % 4], 4, fuzz_u32(in));
        break;
    case 3:
        (void)fake_mmio_read(m, IOAPIC_START + fuzz_u8(in), (uint8_t)(1u << op / 8 % 4));
        fake_mmio_write(m, IOAPIC_START + fuzz_u8(in), (uint8_t)(1u << op / 8 % 4), fuzz_u64(in));
        break;
    case 4:
        ioapic_set_pin(&ioapic, op / 8, fuzz_u8(in) & 1);
        CHECK(sent - before <= 1);
        break;
    case 5:
        ioapic_eoi(&ioapic, fuzz_u8(in));
        break;
    case 6:
        refuse = op & 8;
        break;
    default:
        if (op & 8) {
            save_and_load(in);
        } else {
            fake_reset(m, &ioapic.device);
        }
        break;
    }
    CHECK(sent - before <= 2 * IOAPIC_PINS); // a load may send twice: as saved, and damaged
}

static void check_entries(void) {
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t entry = ioapic.state.redirection[pin];

        CHECK((entry & ENTRY_NEVER) == 0);
        CHECK(!(entry & ENTRY_IRR) || ((entry & ENTRY_LEVEL) && !(entry & ENTRY_MODE)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {.bytes = data, .left = size};
    struct ioapic_config config;

    m = fake_machine_new();
    refuse = false;
    config = (struct ioapic_config){.mmio = m->mmio, .msi = {.send = send}};
    CHECK(ioapic_init(&ioapic, &config) == 0);
    while (in.left > 0) {
        step(&in);
        check_entries();
    }
    fake_machine_free(m);
    return 0;
}
