// SPDX-License-Identifier: MIT
//
// 16550: registers bit by bit, FIFOs, interrupts, loopback, Linux's detection, back-pressure.
#include "devices/serial16550.h"
#include "devices/serial16550_regs.h"

#include "tests/support/fake_machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COM1 0x3F8
#define MS   UINT64_C(1000000)

struct fixture {
    struct fake_machine *m;
    struct fake_chardev fc;
    struct serial16550 s;
};

static int set_up(void **state) {
    struct fixture *x = calloc(1, sizeof(*x));
    struct serial16550_config config;

    x->m = fake_machine_new();
    fake_chardev_init(&x->fc);
    config = (struct serial16550_config){.pio = x->m->pio,
                                         .port = COM1,
                                         .irq = fake_irq(x->m, 4),
                                         .loop = &x->m->fl.loop,
                                         .chardev = &x->fc.chardev};
    assert_int_equal(serial16550_init(&x->s, "com1", &config), 0);
    *state = x;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *x = *state;

    fake_machine_free(x->m);
    free(x);
    return 0;
}

static uint8_t rd(struct fixture *x, unsigned reg) {
    return (uint8_t)fake_pio_read(x->m, (uint16_t)(COM1 + reg), 1);
}

static void wr(struct fixture *x, unsigned reg, unsigned value) {
    fake_pio_write(x->m, (uint16_t)(COM1 + reg), 1, value);
}

static void feed(struct fixture *x, const char *text) {
    fake_chardev_feed(&x->fc, text, strlen(text));
    assert_true(fake_loop_run(&x->m->fl));
}

static void power_on_values(void **state) {
    struct fixture *x = *state;

    assert_int_equal(rd(x, UART_IER_DLM), 0);
    assert_int_equal(rd(x, UART_IIR_FCR), 0x01);
    assert_int_equal(rd(x, UART_LCR), 0);
    assert_int_equal(rd(x, UART_MCR), 0);
    assert_int_equal(rd(x, UART_LSR), 0x60);
    assert_int_equal(rd(x, UART_MSR), 0xB0);
    assert_int_equal(rd(x, UART_RBR_THR_DLL), 0);
    assert_int_equal(fake_pio_read(x->m, COM1, 2), 0xFFFF);
    assert_int_equal(fake_pio_read(x->m, COM1, 4), 0xFFFFFFFF);
    assert_int_equal(fake_pio_read(x->m, COM1 + 8, 1), 0xFF);
}

static void writable_bits(void **state) {
    struct fixture *x = *state;

    for (unsigned v = 0; v < 256; v++) {
        wr(x, UART_LCR, v);
        assert_int_equal(rd(x, UART_LCR), v);
        wr(x, UART_SCR, v);
        assert_int_equal(rd(x, UART_SCR), v);
        wr(x, UART_LCR, 0x80);
        wr(x, UART_RBR_THR_DLL, v);
        wr(x, UART_IER_DLM, 255 - v);
        assert_int_equal(rd(x, UART_RBR_THR_DLL), v);
        assert_int_equal(rd(x, UART_IER_DLM), 255 - v);
        wr(x, UART_LCR, 0x03);
        wr(x, UART_IER_DLM, v);
        assert_int_equal(rd(x, UART_IER_DLM), v & 0x0F);
        wr(x, UART_MCR, v & ~UART_MCR_LOOP);
        assert_int_equal(rd(x, UART_MCR), v & 0x0F);
        wr(x, UART_LSR, v); // read-only
        wr(x, UART_MSR, v);
        assert_int_equal(rd(x, UART_LSR), 0x60);
        assert_int_equal(rd(x, UART_MSR), 0xB0);
    }
    assert_int_equal(x->fc.out_bytes, 0); // nothing of this was data
}

static void fifo_control(void **state) {
    struct fixture *x = *state;

    assert_int_equal(rd(x, UART_IIR_FCR) & 0xC0, 0);
    wr(x, UART_IIR_FCR, 0xC8); // ignored without the enable bit
    assert_int_equal(rd(x, UART_IIR_FCR) & 0xC0, 0);
    wr(x, UART_IIR_FCR, UART_FCR_ENABLE);
    assert_int_equal(rd(x, UART_IIR_FCR), 0xC1);
    feed(x, "abc");
    assert_int_equal(x->s.state.rx_count, 3);
    wr(x, UART_IIR_FCR, UART_FCR_ENABLE | UART_FCR_RESET_RX);
    assert_int_equal(rd(x, UART_LSR) & UART_LSR_DR, 0);
    feed(x, "d");
    wr(x, UART_IIR_FCR, 0); // switching FIFOs off empties them
    assert_int_equal(rd(x, UART_LSR) & UART_LSR_DR, 0);
}

static void transmits_in_bursts(void **state) {
    struct fixture *x = *state;

    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(rd(x, UART_LSR), 0x60);
        wr(x, UART_RBR_THR_DLL, 'a' + i % 26);
    }
    assert_true(fake_loop_run(&x->m->fl));
    assert_int_equal(x->fc.out_bytes, 0);
    assert_true(fake_loop_advance(&x->m->fl, MS));
    assert_int_equal(x->fc.out_bytes, 100);
    assert_int_equal(x->fc.write_calls, 1);
    assert_memory_equal(x->fc.out, "abcdefghijklmnopqrstuvwxyzabc", 29);
    wr(x, UART_RBR_THR_DLL, '!');
    serial16550_flush(&x->s);
    assert_int_equal(x->fc.out_bytes, 101);
    assert_true(fake_loop_advance(&x->m->fl, 10 * MS));
    assert_int_equal(x->fc.out_bytes, 101);
}

/// A full backend stops the guest by THRE; every byte arrives, in order.
static void transmit_back_pressure(void **state) {
    struct fixture *x = *state;
    unsigned sent = 0;

    x->fc.out_room = 10;
    while (rd(x, UART_LSR) & UART_LSR_THRE) {
        wr(x, UART_RBR_THR_DLL, sent++ & 0xFF);
        if (sent % 64 == 0) {
            assert_true(fake_loop_advance(&x->m->fl, MS));
        }
        assert_true(sent < 2000);
    }
    assert_int_equal(rd(x, UART_LSR), 0);
    for (unsigned i = 0; i < SERIAL_FIFO_BYTES - 1; i++) { // a burst begun before THRE fell
        wr(x, UART_RBR_THR_DLL, sent++ & 0xFF);
    }
    assert_int_equal(x->s.dropped_count, 0);
    wr(x, UART_RBR_THR_DLL, 0xEE);
    assert_int_equal(x->s.dropped_count, 1);
    wr(x, UART_MCR, UART_MCR_OUT2);
    wr(x, UART_IER_DLM, UART_IER_THRE);
    assert_false(x->m->level[4]);
    while (x->fc.out_bytes < sent) {
        fake_chardev_drain(&x->fc, 7);
        assert_true(fake_loop_run(&x->m->fl));
    }
    assert_true(x->m->level[4]); // THRE came back
    assert_int_equal(rd(x, UART_LSR), 0x60);
    for (unsigned i = 0; i < sent; i++) {
        assert_int_equal(x->fc.out[i], i & 0xFF);
    }
}

static void receive_back_pressure(void **state) {
    struct fixture *x = *state;
    char text[1001];

    for (unsigned i = 0; i < 1000; i++) {
        text[i] = (char)('A' + i % 50);
    }
    text[1000] = 0;
    wr(x, UART_IIR_FCR, UART_FCR_ENABLE);
    feed(x, text);
    assert_int_equal(x->s.state.rx_count, SERIAL_FIFO_BYTES);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(rd(x, UART_LSR), 0x61); // data, and never an overrun
        assert_int_equal(rd(x, UART_RBR_THR_DLL), text[i]);
        assert_true(fake_loop_run(&x->m->fl));
    }
    assert_int_equal(rd(x, UART_LSR), 0x60);
    feed(x, "z");
    assert_int_equal(rd(x, UART_RBR_THR_DLL), 'z');
}

static void receives_one_byte_without_fifo(void **state) {
    struct fixture *x = *state;

    feed(x, "xy");
    assert_int_equal(x->s.state.rx_count, 1);
    assert_int_equal(rd(x, UART_RBR_THR_DLL), 'x');
    assert_true(fake_loop_run(&x->m->fl));
    assert_int_equal(rd(x, UART_RBR_THR_DLL), 'y');
}

static void receive_interrupts(void **state) {
    static const uint8_t triggers[4] = {1, 4, 8, 14};
    struct fixture *x = *state;

    wr(x, UART_MCR, UART_MCR_OUT2);
    wr(x, UART_IER_DLM, UART_IER_RDA);
    for (unsigned t = 0; t < 4; t++) {
        wr(x, UART_IIR_FCR, t << 6 | UART_FCR_ENABLE | UART_FCR_RESET_RX);
        assert_false(x->m->level[4]);
        for (unsigned n = 1; n <= 16; n++) {
            feed(x, "q");
            assert_true(x->m->level[4]);
            // Below the trigger level the character timeout speaks.
            assert_int_equal(rd(x, UART_IIR_FCR), n >= triggers[t] ? 0xC4 : 0xCC);
        }
    }
    for (unsigned n = 0; n < 16; n++) {
        assert_true(x->m->level[4]);
        (void)rd(x, UART_RBR_THR_DLL);
    }
    assert_false(x->m->level[4]);
    assert_int_equal(rd(x, UART_IIR_FCR), 0xC1);
}

static void transmit_interrupt(void **state) {
    struct fixture *x = *state;

    wr(x, UART_IER_DLM, UART_IER_THRE); // enabling it while THR is empty raises it
    assert_false(x->m->level[4]);       // OUT2 gates the line
    wr(x, UART_MCR, UART_MCR_OUT2);
    assert_true(x->m->level[4]);
    assert_int_equal(rd(x, UART_IIR_FCR), 0x02);
    assert_false(x->m->level[4]); // reading IIR cleared it
    assert_int_equal(rd(x, UART_IIR_FCR), 0x01);
    wr(x, UART_IER_DLM, UART_IER_THRE); // no edge: still clear
    assert_int_equal(rd(x, UART_IIR_FCR), 0x01);
    wr(x, UART_IER_DLM, 0);
    wr(x, UART_IER_DLM, UART_IER_THRE); // Linux's THRE test
    assert_int_equal(rd(x, UART_IIR_FCR), 0x02);
    wr(x, UART_RBR_THR_DLL, 'x'); // gone at once, so it is raised again
    assert_true(x->m->level[4]);
    assert_int_equal(rd(x, UART_IIR_FCR), 0x02);
}

static void interrupt_priority(void **state) {
    struct fixture *x = *state;

    wr(x, UART_IER_DLM, 0x0F);
    wr(x, UART_MCR, UART_MCR_LOOP);
    wr(x, UART_RBR_THR_DLL, 'a');
    wr(x, UART_RBR_THR_DLL, 'b'); // overrun: one byte deep
    assert_int_equal(rd(x, UART_IIR_FCR), UART_IIR_RLS);
    assert_int_equal(rd(x, UART_LSR), 0x63);
    assert_int_equal(rd(x, UART_LSR), 0x61);
    assert_int_equal(rd(x, UART_IIR_FCR), UART_IIR_RDA);
    assert_int_equal(rd(x, UART_RBR_THR_DLL), 'a');
    assert_int_equal(rd(x, UART_IIR_FCR), UART_IIR_THRE);
    assert_int_equal(rd(x, UART_IIR_FCR), UART_IIR_MSR);
    (void)rd(x, UART_MSR);
    assert_int_equal(rd(x, UART_IIR_FCR), UART_IIR_NONE);
    assert_int_equal(x->fc.out_bytes, 0); // loopback sends nothing
}

static void loopback_modem_lines(void **state) {
    struct fixture *x = *state;

    for (unsigned v = 0; v < 16; v++) {
        uint8_t expected = (uint8_t)((v & 2 ? 0x10 : 0) | (v & 1 ? 0x20 : 0) | (v & 4 ? 0x40 : 0) |
                                     (v & 8 ? 0x80 : 0));

        wr(x, UART_MCR, UART_MCR_LOOP);
        (void)rd(x, UART_MSR);
        wr(x, UART_MCR, UART_MCR_LOOP | v);
        // Deltas: every input that changed, but RI only when it falls.
        assert_int_equal(rd(x, UART_MSR), expected | ((expected >> 4) & ~4));
        assert_int_equal(rd(x, UART_MSR), expected);
        wr(x, UART_MCR, UART_MCR_LOOP);
        assert_int_equal(rd(x, UART_MSR), expected >> 4);
        assert_false(x->m->level[4]);
    }
    wr(x, UART_IIR_FCR, UART_FCR_ENABLE);
    for (unsigned i = 0; i < 17; i++) {
        wr(x, UART_RBR_THR_DLL, i);
    }
    assert_int_equal(rd(x, UART_LSR), 0x63);
    feed(x, "held"); // the receiver is disconnected
    for (unsigned i = 0; i < 16; i++) {
        assert_int_equal(rd(x, UART_RBR_THR_DLL), i);
    }
    assert_int_equal(rd(x, UART_LSR), 0x60);
    wr(x, UART_MCR, 0);
    assert_true(fake_loop_run(&x->m->fl));
    assert_int_equal(rd(x, UART_RBR_THR_DLL), 'h');
}

/// The probes of Linux's 8250 driver that tell a 16550A from the rest.
static void linux_detects_16550a(void **state) {
    struct fixture *x = *state;

    wr(x, UART_IER_DLM, 0);
    assert_int_equal(rd(x, UART_IER_DLM) & 0x0F, 0);
    wr(x, UART_IER_DLM, 0x0F);
    assert_int_equal(rd(x, UART_IER_DLM) & 0x0F, 0x0F);
    wr(x, UART_IER_DLM, 0);
    wr(x, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
    assert_int_equal(rd(x, UART_MSR) & 0xF0, 0x90);
    wr(x, UART_MCR, 0);
    wr(x, UART_LCR, 0xBF); // is there an enhanced feature register?
    wr(x, UART_IIR_FCR, 0);
    wr(x, UART_LCR, 0);
    wr(x, UART_IIR_FCR, UART_FCR_ENABLE);
    assert_int_equal(rd(x, UART_IIR_FCR) >> 6, 3);
    wr(x, UART_IIR_FCR, 0);
    wr(x, UART_LCR, 0x80);
    wr(x, UART_IIR_FCR, UART_FCR_ENABLE | 0x20); // a 16750 would report a 64-byte FIFO
    assert_int_equal(rd(x, UART_IIR_FCR) >> 5, 6);
    wr(x, UART_IIR_FCR, 0);
    wr(x, UART_LCR, 0);
    wr(x, UART_IER_DLM, 0x40); // an XScale UART would keep UUE
    assert_int_equal(rd(x, UART_IER_DLM), 0);
}

static void reset_keeps_the_last_words(void **state) {
    struct fixture *x = *state;

    wr(x, UART_MCR, UART_MCR_OUT2);
    wr(x, UART_IER_DLM, 0x0F);
    wr(x, UART_LCR, 0x80);
    wr(x, UART_LCR, 0x03);
    feed(x, "i");
    wr(x, UART_RBR_THR_DLL, 'B');
    wr(x, UART_RBR_THR_DLL, 'y');
    wr(x, UART_RBR_THR_DLL, 'e');
    fake_reset(x->m, &x->s.device);
    assert_false(x->m->level[4]);
    power_on_values(state);
    assert_true(fake_loop_advance(&x->m->fl, MS));
    assert_int_equal(x->fc.out_bytes, 3);
    assert_memory_equal(x->fc.out, "Bye", 3);
}

static void state_round_trip(void **state) {
    struct fixture *x = *state;
    size_t size;
    uint8_t *blob;

    wr(x, UART_IIR_FCR, 0xC0 | UART_FCR_ENABLE);
    wr(x, UART_MCR, UART_MCR_OUT2 | UART_MCR_DTR);
    wr(x, UART_IER_DLM, UART_IER_RDA);
    feed(x, "saved");
    wr(x, UART_RBR_THR_DLL, 'T');
    blob = fake_save(&x->s.device, &size);
    fake_reset(x->m, &x->s.device);
    assert_true(fake_loop_advance(&x->m->fl, MS));
    assert_int_equal(x->fc.out_bytes, 1);
    assert_int_equal(fake_load(&x->s.device, blob, size), 0);
    assert_true(x->m->level[4]);
    assert_int_equal(rd(x, UART_IIR_FCR), 0xCC);
    assert_int_equal(rd(x, UART_RBR_THR_DLL), 's');
    assert_true(fake_loop_advance(&x->m->fl, MS));
    assert_int_equal(x->fc.out_bytes, 2); // what was on the wire goes out after the load
    free(blob);
}

static void refuses_impossible_states(void **state) {
    struct fixture *x = *state;
    struct serial16550_state good = x->s.state;
    size_t size;
    uint8_t *blob;

    for (unsigned i = 0; i < 5; i++) {
        x->s.state = good;
        switch (i) {
        case 0:
            x->s.state.rx_count = 2; // without FIFO
            break;
        case 1:
            x->s.state.rx_count = 17;
            break;
        case 2:
            x->s.state.tx_count = SERIAL_TX_BYTES + 1;
            break;
        case 3:
            x->s.state.fcr = 0xC0;
            break;
        default:
            x->s.state.msr_inputs = 0;
            break;
        }
        blob = fake_save(&x->s.device, &size);
        x->s.state = good;
        assert_int_not_equal(fake_load(&x->s.device, blob, size), 0);
        free(blob);
        x->s.state = good;
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(power_on_values),
        TEST(writable_bits),
        TEST(fifo_control),
        TEST(transmits_in_bursts),
        TEST(transmit_back_pressure),
        TEST(receive_back_pressure),
        TEST(receives_one_byte_without_fifo),
        TEST(receive_interrupts),
        TEST(transmit_interrupt),
        TEST(interrupt_priority),
        TEST(loopback_modem_lines),
        TEST(linux_detects_16550a),
        TEST(reset_keeps_the_last_words),
        TEST(state_round_trip),
        TEST(refuses_impossible_states),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
