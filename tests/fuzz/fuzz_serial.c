// SPDX-License-Identifier: MIT
//
// The 16550 from bytes: register accesses, input, back-pressure, time, save, load, reset. Counts
// stay in range, the line obeys OUT2, what was saved loads as it was.
#include "devices/serial16550.h"
#include "devices/serial16550_regs.h"

#include "igvm/base/check.h"
#include "tests/support/fake_machine.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fake_machine *m;
static struct fake_chardev fc;
static struct serial16550 s;

static void check_invariants(void) {
    const struct serial16550_state *st = &s.state;
    unsigned depth = (st->fcr & UART_FCR_ENABLE) ? SERIAL_FIFO_BYTES : 1;
    uint8_t lsr = (uint8_t)fake_pio_read(m, 0x3F8 + UART_LSR, 1);

    CHECK(st->rx_count <= depth && st->tx_count <= SERIAL_TX_BYTES);
    CHECK(((lsr & UART_LSR_DR) != 0) == (st->rx_count > 0));
    CHECK(m->level[4] == s.irq.level);
    CHECK(!m->level[4] || (st->mcr & (UART_MCR_OUT2 | UART_MCR_LOOP)) == UART_MCR_OUT2);
}

/// A saved state loads again and is the same; a mangled one loads or is refused.
static void save_and_load(struct fuzz_input *in) {
    struct serial16550_state before;
    size_t size;
    uint8_t *blob = fake_save(&s.device, &size);

    before = s.state;
    CHECK(fake_load(&s.device, blob, size) == 0);
    CHECK(memcmp(&before, &s.state, sizeof(before)) == 0);
    if (fuzz_u8(in) & 1) {
        blob[fuzz_u16(in) % size] = fuzz_u8(in);
        if (fake_load(&s.device, blob, size) != 0) {
            fake_reset(m, &s.device);
        }
    }
    free(blob);
}

static void step(struct fuzz_input *in) {
    uint8_t op = fuzz_u8(in);
    uint8_t bytes[64];
    size_t n;

    switch (op >> 5) {
    case 0:
    case 1:
        (void)fake_pio_read(m, (uint16_t)(0x3F8 + op % 8), (uint8_t)(op & 8 ? fuzz_u8(in) : 1));
        break;
    case 2:
    case 3:
        fake_pio_write(m, (uint16_t)(0x3F8 + op % 8), 1, fuzz_u8(in));
        break;
    case 4:
        n = op % 32;
        for (size_t i = 0; i < n; i++) {
            bytes[i] = fuzz_u8(in);
        }
        if (fc.in_bytes + n <= sizeof(fc.in)) {
            fake_chardev_feed(&fc, bytes, n);
        }
        break;
    case 5:
        fake_chardev_drain(&fc, fuzz_u8(in));
        break;
    case 6:
        fc.out_bytes = 0;
        CHECK(fake_loop_advance(&m->fl, (uint64_t)fuzz_u16(in) * 1000));
        break;
    default:
        if (op & 1) {
            save_and_load(in);
        } else {
            fake_reset(m, &s.device);
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {.bytes = data, .left = size};
    struct serial16550_config config;

    m = fake_machine_new();
    fake_chardev_init(&fc);
    config = (struct serial16550_config){.pio = m->pio,
                                         .port = 0x3F8,
                                         .irq = fake_irq(m, 4),
                                         .loop = &m->fl.loop,
                                         .chardev = &fc.chardev};
    CHECK(serial16550_init(&s, "com1", &config) == 0);
    while (in.left > 0) {
        step(&in);
        check_invariants();
    }
    fake_machine_free(m);
    return 0;
}
