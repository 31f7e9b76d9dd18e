// SPDX-License-Identifier: MIT
//
// Interval timer, registers and interrupt: Intel 8254 data sheet (231164-005), "Programming the
// 8254"; port 0x61 as in the ISA bridges (82371SB, section 2.5.5, "NMI status and control").
//
// Only channel 0 needs a timer of ours, and only for the next rising edge of its OUT, which is IRQ
// 0. OUT may be low for less than a microsecond: such an edge is made as a pulse. However fast the
// guest programs it, the timer fires at most every 100 us; edges in between become one.
#include "devices/pit.h"

#include <errno.h>
#include <string.h>

#define PORT_PIT    0x40u
#define PORT_STATUS 0x61u
#define CONTROL     3u ///< offset of the control word

#define SECOND_NS     UINT64_C(1000000000)
#define MIN_PERIOD_NS UINT64_C(100000)
/// A new count takes effect within one cycle of the old one.
#define MAX_SWITCH_TICKS UINT64_C(0x10000)

// Control word.
#define CW_CHANNEL_SHIFT 6u
#define CW_READ_BACK     3u ///< in place of a channel
#define CW_RW            0x30u
#define CW_RW_SHIFT      4u
#define RB_NO_COUNT      (1u << 5)
#define RB_NO_STATUS     (1u << 4)
#define RB_CHANNEL_SHIFT 1u
#define RW_LOW           1u
#define RW_HIGH          2u
#define RW_BOTH          3u

// Status byte.
#define STATUS_OUT        (1u << 7)
#define STATUS_NULL       (1u << 6)
#define STATUS_MODE_SHIFT 1u

// Port 0x61.
#define P61_GATE2    (1u << 0)
#define P61_WRITABLE 0x0Fu ///< gate, speaker, and the enables of two NMI sources that are not there
#define P61_REFRESH  (1u << 4)
#define P61_OUT2     (1u << 5)
/// Refresh requests come every 15 us.
#define REFRESH_TICKS 18u

static const struct state_field fields[] = {
    STATE_ARRAY(1, struct pit_state, mode, U8, PIT_CHANNELS, PUBLIC, 0, 5),
    STATE_ARRAY(2, struct pit_state, bcd, U8, PIT_CHANNELS, PUBLIC, 0, 1),
    STATE_ARRAY(3, struct pit_state, rw, U8, PIT_CHANNELS, PUBLIC, RW_BOTH, RW_BOTH),
    STATE_ARRAY(4, struct pit_state, gate, U8, PIT_CHANNELS, PUBLIC, 1, 1),
    STATE_ARRAY(5, struct pit_state, run, U8, PIT_CHANNELS, PUBLIC, PIT_IDLE, PIT_PAUSED),
    STATE_ARRAY(6, struct pit_state, count, U16, PIT_CHANNELS, PUBLIC, 0, 0),
    STATE_ARRAY(7, struct pit_state, has_next, U8, PIT_CHANNELS, PUBLIC, 0, 1),
    STATE_ARRAY(8, struct pit_state, next, U16, PIT_CHANNELS, PUBLIC, 0, 0),
    STATE_ARRAY(9, struct pit_state, switch_at, U64, PIT_CHANNELS, PUBLIC, 0, 0),
    STATE_ARRAY(10, struct pit_state, start, U64, PIT_CHANNELS, PUBLIC, 0, 0),
    STATE_ARRAY(11, struct pit_state, write_high, U8, PIT_CHANNELS, PUBLIC, 0, 1),
    STATE_ARRAY(12, struct pit_state, write_low, U8, PIT_CHANNELS, PUBLIC, 0, 0),
    STATE_ARRAY(13, struct pit_state, read_high, U8, PIT_CHANNELS, PUBLIC, 0, 1),
    STATE_ARRAY(14, struct pit_state, has_latch, U8, PIT_CHANNELS, PUBLIC, 0, 1),
    STATE_ARRAY(15, struct pit_state, latch, U16, PIT_CHANNELS, PUBLIC, 0, 0),
    STATE_ARRAY(16, struct pit_state, has_status, U8, PIT_CHANNELS, PUBLIC, 0, 1),
    STATE_ARRAY(17, struct pit_state, status, U8, PIT_CHANNELS, PUBLIC, 0, 0),
    STATE_SCALAR(18, struct pit_state, port61, U8, PUBLIC, 0, P61_WRITABLE),
    STATE_SCALAR(19, struct pit_state, ticks, U64, PUBLIC, 0, 0),
};

static const struct state_table table = {
    .name = "pit",
    .version = 1,
    .field_count = ARRAY_COUNT(fields),
    .struct_bytes = sizeof(struct pit_state),
    .fields = fields,
};

// ---- time ----

static uint64_t now_ticks(const struct pit *pit) {
    uint64_t ns = loop_now_ns(pit->loop) - pit->base_ns;

    return pit->state.ticks + ns / SECOND_NS * PIT_HZ + ns % SECOND_NS * PIT_HZ / SECOND_NS;
}

/// The first moment of the loop's clock at which now_ticks() gives this.
static uint64_t ns_of(const struct pit *pit, uint64_t tick) {
    uint64_t ticks = tick - pit->state.ticks;

    return pit->base_ns + ticks / PIT_HZ * SECOND_NS +
           (ticks % PIT_HZ * SECOND_NS + PIT_HZ - 1) / PIT_HZ;
}

// ---- IRQ 0 ----

/// Brings counters and line up to date: to be called before anything changes. An edge that is over
/// already shows as a pulse. Returns the tick that it is now.
static uint64_t update(struct pit *pit) {
    uint64_t now = now_ticks(pit);

    for (unsigned ch = 0; ch < PIT_CHANNELS; ch++) {
        pit_advance(&pit->state, ch, now);
    }
    if (pit->edge_at != UINT64_MAX && (int64_t)(now - pit->edge_at) >= 0) {
        irq_set(&pit->irq, false);
        irq_set(&pit->irq, true);
    }
    return now;
}

/// The line's level, and the timer that will change it. To be called after anything changed.
static void sync(struct pit *pit, uint64_t now) {
    const struct pit_state *st = &pit->state;
    uint64_t wake = UINT64_MAX;

    irq_set(&pit->irq, pit_out(st, 0, now));
    pit->edge_at = pit_next_edge(st, 0, now);
    if (pit->edge_at != UINT64_MAX) {
        uint64_t tick = pit->edge_at;

        if (st->has_next[0] && (int64_t)(tick - st->switch_at[0]) > 0) {
            tick = st->switch_at[0]; // the edge's time will be another one
        }
        wake = ns_of(pit, tick);
        if (wake < pit->last_fired_ns + MIN_PERIOD_NS) {
            wake = pit->last_fired_ns + MIN_PERIOD_NS;
        }
    }
    if (wake != pit->wanted_ns) {
        pit->wanted_ns = wake;
        loop_post(pit->loop, &pit->arm_task); // timers belong to the loop's thread
    }
}

static void arm(void *self) {
    struct pit *pit = self;

    pthread_mutex_lock(&pit->device.lock);
    if (pit->wanted_ns == UINT64_MAX) {
        loop_timer_cancel(pit->loop, &pit->timer);
    } else {
        loop_timer_arm(pit->loop, &pit->timer, pit->wanted_ns);
    }
    pthread_mutex_unlock(&pit->device.lock);
}

static void timer_fired(void *self) {
    struct pit *pit = self;

    pthread_mutex_lock(&pit->device.lock);
    pit->wanted_ns = UINT64_MAX; // it is no longer armed
    pit->last_fired_ns = loop_now_ns(pit->loop);
    sync(pit, update(pit));
    pthread_mutex_unlock(&pit->device.lock);
}

// ---- registers ----

static void latch_count(struct pit_state *st, unsigned ch, uint64_t now) {
    if (!st->has_latch[ch]) { // a second latch before the read is ignored
        st->has_latch[ch] = 1;
        st->latch[ch] = pit_value(st, ch, now);
    }
}

static void latch_status(struct pit_state *st, unsigned ch, uint64_t now) {
    bool is_null = st->has_next[ch] || st->run[ch] == PIT_IDLE;

    if (!st->has_status[ch]) {
        st->has_status[ch] = 1;
        st->status[ch] =
            (uint8_t)((pit_out(st, ch, now) ? STATUS_OUT : 0) | (is_null ? STATUS_NULL : 0) |
                      st->rw[ch] << CW_RW_SHIFT | st->mode[ch] << STATUS_MODE_SHIFT | st->bcd[ch]);
    }
}

static void write_control(struct pit_state *st, uint8_t word, uint64_t now) {
    unsigned channel = word >> CW_CHANNEL_SHIFT;

    if (channel != CW_READ_BACK) {
        if (word & CW_RW) {
            pit_set_mode(st, channel, word);
        } else {
            latch_count(st, channel, now);
        }
        return;
    }
    for (unsigned ch = 0; ch < PIT_CHANNELS; ch++) {
        if (word >> (RB_CHANNEL_SHIFT + ch) & 1) {
            if (!(word & RB_NO_COUNT)) {
                latch_count(st, ch, now);
            }
            if (!(word & RB_NO_STATUS)) {
                latch_status(st, ch, now);
            }
        }
    }
}

static void write_count(struct pit_state *st, unsigned ch, uint8_t value, uint64_t now) {
    if (st->rw[ch] == RW_LOW) {
        pit_set_count(st, ch, value, now);
    } else if (st->rw[ch] == RW_HIGH) {
        pit_set_count(st, ch, (uint16_t)(value << 8), now);
    } else if (!st->write_high[ch]) {
        st->write_low[ch] = value;
        st->write_high[ch] = 1;
        pit_begin_count(st, ch);
    } else {
        st->write_high[ch] = 0;
        pit_set_count(st, ch, (uint16_t)(value << 8 | st->write_low[ch]), now);
    }
}

/// Status first, then the latched count, or the count as it runs.
static uint8_t read_count(struct pit_state *st, unsigned ch, uint64_t now) {
    uint16_t value = st->has_latch[ch] ? st->latch[ch] : pit_value(st, ch, now);
    bool high = st->rw[ch] == RW_HIGH || (st->rw[ch] == RW_BOTH && st->read_high[ch]);

    if (st->has_status[ch]) {
        st->has_status[ch] = 0;
        return st->status[ch];
    }
    if (st->rw[ch] == RW_BOTH) {
        st->read_high[ch] = !high;
    }
    if (high || st->rw[ch] != RW_BOTH) {
        st->has_latch[ch] = 0;
    }
    return (uint8_t)(high ? value >> 8 : value);
}

static enum bus_result counter_access(void *self, struct bus_access *access) {
    struct pit *pit = self;
    uint8_t value = (uint8_t)access->value;
    unsigned ch = (unsigned)access->offset;
    uint64_t now;

    if (access->size != 1 || (ch == CONTROL && !access->is_write)) {
        return BUS_NOT_MINE;
    }
    now = update(pit);
    if (!access->is_write) {
        access->value = read_count(&pit->state, ch, now);
    } else if (ch == CONTROL) {
        write_control(&pit->state, value, now);
    } else {
        write_count(&pit->state, ch, value, now);
    }
    sync(pit, now);
    return BUS_OK;
}

static enum bus_result port61_access(void *self, struct bus_access *access) {
    struct pit *pit = self;
    struct pit_state *st = &pit->state;
    uint64_t now;

    if (access->size != 1) {
        return BUS_NOT_MINE;
    }
    now = update(pit);
    if (access->is_write) {
        st->port61 = access->value & P61_WRITABLE;
        pit_set_gate(st, 2, st->port61 & P61_GATE2, now);
    } else {
        access->value = st->port61 | (now / REFRESH_TICKS & 1 ? P61_REFRESH : 0) |
                        (pit_out(st, 2, now) ? P61_OUT2 : 0);
    }
    sync(pit, now);
    return BUS_OK;
}

// ---- life ----

/// Counts from now on, with the state as it is.
static void rebase(struct pit *pit) {
    pit->base_ns = loop_now_ns(pit->loop);
    pit->edge_at = UINT64_MAX;
    pit->wanted_ns = UINT64_MAX; // what is armed may fire: it finds nothing to do
    sync(pit, pit->state.ticks);
}

static void set_power_on(struct pit *pit) {
    state_reset(&table, &pit->state);
    pit->state.gate[2] = 0; // as port 0x61 says
}

static void reset(void *self, device_reset_done_fn done, void *ctx) {
    struct pit *pit = self;

    set_power_on(pit);
    rebase(pit);
    done(ctx);
}

static void before_save(void *self) {
    struct pit *pit = self;
    uint64_t now = update(pit);

    pit->base_ns = ns_of(pit, now); // before state.ticks changes
    pit->state.ticks = now;
    sync(pit, now);
}

static int after_load(void *self) {
    struct pit *pit = self;
    const struct pit_state *st = &pit->state;

    for (unsigned ch = 0; ch < PIT_CHANNELS; ch++) {
        uint64_t wait = st->switch_at[ch] - st->ticks;
        bool switches = st->has_next[ch] && st->run[ch] == PIT_COUNTING && (st->mode[ch] & ~1) == 2;
        uint8_t gate = ch < 2 ? 1 : st->port61 & P61_GATE2;

        if (st->rw[ch] == 0 || st->gate[ch] != gate || (switches && wait > MAX_SWITCH_TICKS)) {
            set_power_on(pit); // whoever goes on all the same must not compute with it
            return -EINVAL;
        }
    }
    rebase(pit);
    return 0;
}

static const struct device_ops ops = {
    .state = &table, .reset = reset, .after_load = after_load, .before_save = before_save};

int pit_init(struct pit *pit, const struct pit_config *config) {
    struct bus_region counters = {.start = PORT_PIT,
                                  .size_bytes = CONTROL + 1,
                                  .fn = counter_access,
                                  .self = pit,
                                  .lock = &pit->device.lock,
                                  .name = "pit"};
    struct bus_region status = {.start = PORT_STATUS,
                                .size_bytes = 1,
                                .fn = port61_access,
                                .self = pit,
                                .lock = &pit->device.lock,
                                .name = "port61"};
    int result;

    memset(pit, 0, sizeof(*pit));
    pit->loop = config->loop;
    pit->irq = config->irq;
    pit->arm_task = (struct loop_task){.fn = arm, .self = pit};
    pit->timer = (struct loop_timer){.fn = timer_fired, .self = pit};
    pit->edge_at = UINT64_MAX;
    pit->wanted_ns = UINT64_MAX;
    pit->base_ns = loop_now_ns(config->loop);
    device_init(&pit->device, "pit", &ops, pit, &pit->state);
    set_power_on(pit);
    result = bus_add(config->pio, &counters);
    return result < 0 ? result : bus_add(config->pio, &status);
}
