// SPDX-License-Identifier: MIT
//
// Serial port: TI (National) PC16550D data sheet, chapter 8. Section numbers below are its.
//
// The wire is infinitely fast until the backend is full: a byte written to THR moves to the tx
// buffer at once and THRE stays set while a whole FIFO still fits there. The buffer is handed over
// in bursts, a millisecond after its first byte. Nothing is pulled from the backend that does not
// fit the receive FIFO, so no byte is lost in either direction and there are no overruns outside
// loopback. Baud rate and line format are kept and have no effect.
#include "devices/serial16550.h"

#include "devices/serial16550_regs.h"
#include "igvm/base/check.h"

#include <errno.h>
#include <string.h>

#define PORTS_BYTES 8u

#define TX_DELAY_NS UINT64_C(1000000)

static const struct state_field fields[] = {
    STATE_SCALAR(1, struct serial16550_state, ier, U8, PUBLIC, 0, UART_IER_WRITABLE),
    STATE_SCALAR(2, struct serial16550_state, fcr, U8, PUBLIC, 0, 0),
    STATE_SCALAR(3, struct serial16550_state, lcr, U8, PUBLIC, 0, 0),
    STATE_SCALAR(4, struct serial16550_state, mcr, U8, PUBLIC, 0, UART_MCR_WRITABLE),
    STATE_SCALAR(5, struct serial16550_state, scr, U8, PUBLIC, 0, 0),
    STATE_SCALAR(6, struct serial16550_state, dll, U8, PUBLIC, 0x0C, 0),
    STATE_SCALAR(7, struct serial16550_state, dlm, U8, PUBLIC, 0, 0),
    STATE_SCALAR(8, struct serial16550_state, lsr_errors, U8, PUBLIC, 0, UART_LSR_OE),
    STATE_SCALAR(9, struct serial16550_state, msr_inputs, U8, PUBLIC, UART_MSR_CONNECTED, 0xF0),
    STATE_SCALAR(10, struct serial16550_state, msr_deltas, U8, PUBLIC, 0, 0x0F),
    STATE_SCALAR(11, struct serial16550_state, thre_pending, U8, PUBLIC, 0, 1),
    STATE_SCALAR(12, struct serial16550_state, rx_count, U8, PUBLIC, 0, SERIAL_FIFO_BYTES),
    STATE_BYTE_ARRAY(13, struct serial16550_state, rx, SERIAL_FIFO_BYTES, GUEST),
    STATE_SCALAR(14, struct serial16550_state, tx_count, U16, PUBLIC, 0, SERIAL_TX_BYTES),
    STATE_BYTE_ARRAY(15, struct serial16550_state, tx, SERIAL_TX_BYTES, GUEST),
};

static const struct state_table table = {
    .name = "serial16550",
    .version = 1,
    .field_count = ARRAY_COUNT(fields),
    .struct_bytes = sizeof(struct serial16550_state),
    .fields = fields,
};

// ---- interrupt
// -----------------------------------------------------------------------------------

/// The line's level. On a PC the OUT2 pin gates it, and loopback forces the pin inactive.
static void sync(struct serial16550 *s) {
    const struct serial16550_state *st = &s->state;
    bool gate = (st->mcr & (UART_MCR_OUT2 | UART_MCR_LOOP)) == UART_MCR_OUT2;

    irq_set(&s->irq, gate && uart_interrupt_id(st) != UART_IIR_NONE);
}

// ---- backend
// -------------------------------------------------------------------------------------

/// Fills the receive FIFO as far as it goes. On the loop's thread.
static void rx_pull(void *self) {
    struct serial16550 *s = self;
    struct serial16550_state *st = &s->state;
    size_t room;
    size_t got;

    pthread_mutex_lock(&s->device.lock);
    room = st->rx_count < uart_rx_depth(st) ? uart_rx_depth(st) - st->rx_count : 0;
    if (room > 0 && !(st->mcr & UART_MCR_LOOP)) {
        // Until the backend has nothing more: only then it tells of what comes later.
        do {
            got = s->chardev->ops->read(s->chardev, st->rx + st->rx_count, room);
            CHECK(got <= room);
            st->rx_count = (uint8_t)(st->rx_count + got);
            room -= got;
        } while (got > 0 && room > 0);
        s->rx_more = room == 0;
        sync(s);
    } else {
        s->rx_more = true;
    }
    pthread_mutex_unlock(&s->device.lock);
}

/// Asks for more input once the FIFO has run empty.
static void rx_continue(struct serial16550 *s) {
    if (s->rx_more && s->state.rx_count == 0 && !(s->state.mcr & UART_MCR_LOOP)) {
        loop_post(s->loop, &s->rx_task);
    }
}

/// Hands the tx buffer to the backend. On the loop's thread, with device.lock held.
static void tx_drain(struct serial16550 *s) {
    struct serial16550_state *st = &s->state;
    bool was_empty = uart_tx_empty(st);
    size_t taken = st->tx_count;

    if (s->chardev && taken > 0) {
        taken = s->chardev->ops->write(s->chardev, st->tx, taken);
        CHECK(taken <= st->tx_count);
    }
    st->tx_count = (uint16_t)(st->tx_count - taken);
    memmove(st->tx, st->tx + taken, st->tx_count);
    s->tx_blocked = st->tx_count > 0;
    s->tx_scheduled = false;
    if (!was_empty && uart_tx_empty(st)) {
        st->thre_pending = 1;
    }
    sync(s);
}

void serial16550_flush(struct serial16550 *s) {
    pthread_mutex_lock(&s->device.lock);
    tx_drain(s);
    pthread_mutex_unlock(&s->device.lock);
}

static void tx_timer_fired(void *self) {
    serial16550_flush(self);
}

/// Timers belong to the loop's thread, so the first byte posts this to arm one.
static void tx_task_run(void *self) {
    struct serial16550 *s = self;

    pthread_mutex_lock(&s->device.lock);
    if (s->tx_blocked || !uart_tx_empty(&s->state)) {
        tx_drain(s);
    } else if (s->tx_scheduled) {
        loop_timer_arm(s->loop, &s->tx_timer, loop_now_ns(s->loop) + TX_DELAY_NS);
    }
    pthread_mutex_unlock(&s->device.lock);
}

static void chardev_readable(void *owner) {
    struct serial16550 *s = owner;

    loop_post(s->loop, &s->rx_task);
}

static void chardev_writable(void *owner) {
    struct serial16550 *s = owner;

    loop_post(s->loop, &s->tx_task);
}

/// Sees to it that the tx buffer gets to the backend soon. A full one does not wait for the timer.
static void tx_schedule(struct serial16550 *s) {
    if (s->state.tx_count > 0 && !s->tx_blocked &&
        (!s->tx_scheduled || !uart_tx_empty(&s->state))) {
        s->tx_scheduled = true;
        loop_post(s->loop, &s->tx_task);
    }
}

// ---- registers
// -----------------------------------------------------------------------------------

/// Modem status inputs: the other end's, or the outputs in loopback (8.7).
static uint8_t modem_inputs(const struct serial16550_state *st) {
    if (!(st->mcr & UART_MCR_LOOP)) {
        return UART_MSR_CONNECTED;
    }
    return (uint8_t)(((st->mcr & UART_MCR_RTS) ? UART_MSR_CTS : 0) |
                     ((st->mcr & UART_MCR_DTR) ? UART_MSR_DSR : 0) |
                     ((st->mcr & UART_MCR_OUT1) ? UART_MSR_RI : 0) |
                     ((st->mcr & UART_MCR_OUT2) ? UART_MSR_DCD : 0));
}

static void update_modem_status(struct serial16550_state *st) {
    uint8_t now = modem_inputs(st);
    uint8_t changed = (uint8_t)((now ^ st->msr_inputs) >> 4);

    // RI alone reports its trailing edge only (TERI).
    if (now & UART_MSR_RI) {
        changed &= (uint8_t)~UART_MSR_TERI;
    }
    st->msr_deltas |= changed;
    st->msr_inputs = now;
}

static void write_thr(struct serial16550 *s, uint8_t value) {
    struct serial16550_state *st = &s->state;

    if (st->mcr & UART_MCR_LOOP) {
        if (st->rx_count < uart_rx_depth(st)) {
            st->rx[st->rx_count++] = value;
        } else {
            st->lsr_errors |= UART_LSR_OE;
        }
    } else if (st->tx_count < SERIAL_TX_BYTES) {
        st->tx[st->tx_count++] = value;
        tx_schedule(s);
    } else {
        s->dropped_count++; // the guest wrote a FIFO and more against THRE
    }
    st->thre_pending = uart_tx_empty(st); // cleared by the write, set again by the wire
}

static uint8_t read_rbr(struct serial16550 *s) {
    struct serial16550_state *st = &s->state;
    uint8_t value = st->rx[0];

    if (st->rx_count == 0) {
        return 0;
    }
    st->rx_count--;
    memmove(st->rx, st->rx + 1, st->rx_count);
    rx_continue(s);
    return value;
}

static void write_ier(struct serial16550_state *st, uint8_t value) {
    // Enabling the transmitter interrupt while THR is empty raises it (8.6): Linux tests for that.
    if ((value & UART_IER_THRE) && !(st->ier & UART_IER_THRE) && uart_tx_empty(st)) {
        st->thre_pending = 1;
    }
    st->ier = value & UART_IER_WRITABLE;
}

/// The tx buffer counts as sent: resetting the transmit FIFO cannot call it back.
static void write_fcr(struct serial16550 *s, uint8_t value) {
    struct serial16550_state *st = &s->state;

    if (((value ^ st->fcr) & UART_FCR_ENABLE) ||
        (value & (UART_FCR_ENABLE | UART_FCR_RESET_RX)) == (UART_FCR_ENABLE | UART_FCR_RESET_RX)) {
        st->rx_count = 0;
    }
    st->fcr = (value & UART_FCR_ENABLE) ? value & UART_FCR_KEPT : 0;
    rx_continue(s);
}

static uint8_t read_iir(struct serial16550_state *st) {
    uint8_t id = uart_interrupt_id(st);

    if (id == UART_IIR_THRE) {
        st->thre_pending = 0;
    }
    return (uint8_t)(id | ((st->fcr & UART_FCR_ENABLE) ? UART_IIR_FIFOS : 0));
}

static uint8_t read_lsr(struct serial16550_state *st) {
    uint8_t value = st->lsr_errors;

    st->lsr_errors = 0;
    return (uint8_t)(value | (st->rx_count ? UART_LSR_DR : 0) |
                     (uart_tx_empty(st) ? UART_LSR_THRE | UART_LSR_TEMT : 0));
}

static uint8_t read_register(struct serial16550 *s, uint64_t reg) {
    struct serial16550_state *st = &s->state;
    bool dlab = st->lcr & UART_LCR_DLAB;
    uint8_t value;

    switch (reg) {
    case UART_RBR_THR_DLL:
        return dlab ? st->dll : read_rbr(s);
    case UART_IER_DLM:
        return dlab ? st->dlm : st->ier;
    case UART_IIR_FCR:
        return read_iir(st);
    case UART_LCR:
        return st->lcr;
    case UART_MCR:
        return st->mcr;
    case UART_LSR:
        return read_lsr(st);
    case UART_MSR:
        value = st->msr_inputs | st->msr_deltas;
        st->msr_deltas = 0;
        return value;
    default:
        return st->scr;
    }
}

static void write_register(struct serial16550 *s, uint64_t reg, uint8_t value) {
    struct serial16550_state *st = &s->state;
    bool dlab = st->lcr & UART_LCR_DLAB;

    switch (reg) {
    case UART_RBR_THR_DLL:
        if (dlab) {
            st->dll = value;
        } else {
            write_thr(s, value);
        }
        break;
    case UART_IER_DLM:
        if (dlab) {
            st->dlm = value;
        } else {
            write_ier(st, value);
        }
        break;
    case UART_IIR_FCR:
        write_fcr(s, value);
        break;
    case UART_LCR:
        st->lcr = value;
        break;
    case UART_MCR:
        st->mcr = value & UART_MCR_WRITABLE;
        update_modem_status(st);
        rx_continue(s);
        break;
    case UART_SCR:
        st->scr = value;
        break;
    default: // LSR and MSR are read-only here (8.3 calls writing LSR a factory test)
        break;
    }
}

static enum bus_result port_access(void *self, struct bus_access *access) {
    struct serial16550 *s = self;

    if (access->size != 1) {
        return BUS_NOT_MINE;
    }
    if (access->is_write) {
        write_register(s, access->offset, (uint8_t)access->value);
    } else {
        access->value = read_register(s, access->offset);
    }
    sync(s);
    return BUS_OK;
}

// ---- life
// ----------------------------------------------------------------------------------------

/// The tx buffer is on the wire already: a reset does not lose the guest's last words.
static void reset(void *self, device_reset_done_fn done, void *ctx) {
    struct serial16550 *s = self;
    struct serial16550_state *st = &s->state;
    uint16_t tx_count = st->tx_count;
    uint8_t tx[SERIAL_TX_BYTES];

    memcpy(tx, st->tx, sizeof(tx));
    state_reset(&table, st);
    memcpy(st->tx, tx, sizeof(tx));
    st->tx_count = tx_count;
    sync(s);
    rx_continue(s);
    done(ctx);
}

static int after_load(void *self) {
    struct serial16550 *s = self;
    struct serial16550_state *st = &s->state;

    if (st->rx_count > uart_rx_depth(st) || (st->fcr & ~UART_FCR_KEPT) != 0 ||
        (st->fcr && !(st->fcr & UART_FCR_ENABLE)) || ((st->lsr_errors & ~UART_LSR_OE) != 0) ||
        st->msr_inputs != modem_inputs(st)) {
        return -EINVAL;
    }
    s->tx_blocked = false;
    s->tx_scheduled = false;
    s->rx_more = s->chardev != NULL; // there may be input that came while nobody listened
    tx_schedule(s);
    rx_continue(s);
    sync(s);
    return 0;
}

static const struct device_ops ops = {.state = &table, .reset = reset, .after_load = after_load};

int serial16550_init(struct serial16550 *s, const char *name,
                     const struct serial16550_config *config) {
    struct bus_region ports = {.start = config->port,
                               .size_bytes = PORTS_BYTES,
                               .fn = port_access,
                               .self = s,
                               .lock = &s->device.lock,
                               .name = name};

    memset(s, 0, sizeof(*s));
    s->loop = config->loop;
    s->chardev = config->chardev;
    s->irq = config->irq;
    s->rx_task = (struct loop_task){.fn = rx_pull, .self = s};
    s->tx_task = (struct loop_task){.fn = tx_task_run, .self = s};
    s->tx_timer = (struct loop_timer){.fn = tx_timer_fired, .self = s};
    device_init(&s->device, name, &ops, s, &s->state);
    if (s->chardev) {
        s->chardev->owner = s;
        s->chardev->readable = chardev_readable;
        s->chardev->writable = chardev_writable;
    }
    return bus_add(config->pio, &ports);
}
