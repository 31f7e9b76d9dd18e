// SPDX-License-Identifier: MIT
//
// The PIT from bytes: port accesses, time, save, load, reset. Its timer must never spin, whatever
// was programmed or loaded.
#include "devices/pit.h"

#include "igvm/base/check.h"
#include "tests/support/fake_machine.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fake_machine *m;
static struct pit pit;

static void save_and_load(struct fuzz_input *in) {
    size_t size;
    uint8_t *blob = fake_save(&pit.device, &size);

    CHECK(fake_load(&pit.device, blob, size) == 0);
    if (fuzz_u8(in) & 1) {
        blob[fuzz_u16(in) % size] = fuzz_u8(in);
        (void)fake_load(&pit.device, blob, size);
    }
    free(blob);
}

/// At most one interrupt each 100 us, and one on each side.
static void advance(uint64_t ns) {
    unsigned before = m->raise_count[0];

    CHECK(fake_loop_advance(&m->fl, ns));
    CHECK(m->raise_count[0] - before <= ns / 100000 + 2);
}

static void step(struct fuzz_input *in) {
    uint8_t op = fuzz_u8(in);
    uint16_t port = op / 8 % 5 == 4 ? 0x61 : (uint16_t)(0x40 + op / 8 % 5);

    switch (op % 8) {
    case 0:
    case 1:
        fake_pio_write(m, port, 1, fuzz_u8(in));
        break;
    case 2:
        (void)fake_pio_read(m, port, 1);
        break;
    case 3: // a mode with its count
        fake_pio_write(m, 0x43, 1, (op & 0x80) | 0x30u | (op >> 3 & 0xF));
        fake_pio_write(m, op & 0x80 ? 0x42 : 0x40, 1, fuzz_u8(in));
        fake_pio_write(m, op & 0x80 ? 0x42 : 0x40, 1, op & 0x40 ? 0 : fuzz_u8(in));
        break;
    case 4:
        advance(fuzz_u16(in));
        break;
    case 5:
        advance((uint64_t)fuzz_u16(in) * 1000);
        break;
    case 6:
        (void)fake_pio_read(m, port, 2);
        fake_pio_write(m, port, 4, fuzz_u32(in));
        break;
    default:
        if (op & 8) {
            save_and_load(in);
        } else {
            fake_reset(m, &pit.device);
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {.bytes = data, .left = size};
    struct pit_config config;

    m = fake_machine_new();
    config = (struct pit_config){.pio = m->pio, .irq = fake_irq(m, 0), .loop = &m->fl.loop};
    CHECK(pit_init(&pit, &config) == 0);
    while (in.left > 0) {
        step(&in);
        CHECK(fake_loop_run(&m->fl));
    }
    fake_machine_free(m);
    return 0;
}
