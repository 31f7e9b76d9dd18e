// SPDX-License-Identifier: MIT
//
// Interval timer, the counters: Intel 8254 data sheet (231164-005), "Mode Definitions".
//
// A counter does not count. It knows when its count began and computes value and OUT from the tick
// that is asked for. All ticks are modulo 2^64, so any state, also a damaged one, gives some
// answer. Loading takes no tick of its own: everything is one CLK earlier than in the chip's
// diagrams.
#include "devices/pit.h"

#define CW_BCD        (1u << 0)
#define CW_MODE_SHIFT 1u
#define CW_RW_SHIFT   4u

/// Decimal, 0 to 9999, as four digits.
static uint16_t to_bcd(uint32_t value) {
    return (uint16_t)(value / 1000 % 10 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 |
                      value % 10);
}

/// How many different values the counter has.
static uint32_t modulus(const struct pit_state *st, unsigned ch) {
    return st->bcd[ch] ? 10000 : 65536;
}

/// A count in ticks: 0 is the largest. A digit above 9 counts for what it is.
static uint32_t ticks_of(const struct pit_state *st, unsigned ch, uint16_t count) {
    uint32_t ticks = count;

    if (st->bcd[ch]) {
        ticks = (count >> 12) * 1000u + (count >> 8 & 15) * 100u + (count >> 4 & 15) * 10u +
                (count & 15u);
    }
    return ticks == 0 ? modulus(st, ch) : ticks;
}

static uint32_t period(const struct pit_state *st, unsigned ch) {
    return ticks_of(st, ch, st->count[ch]);
}

/// How long OUT is high in each cycle of mode 3.
static uint32_t high_half(uint32_t ticks) {
    return (ticks + 1) / 2;
}

static uint64_t elapsed(const struct pit_state *st, unsigned ch, uint64_t now) {
    return st->run[ch] == PIT_COUNTING ? now - st->start[ch] : st->start[ch];
}

static bool is_periodic(const struct pit_state *st, unsigned ch) {
    return st->mode[ch] == 2 || st->mode[ch] == 3;
}

static bool is_triggered(const struct pit_state *st, unsigned ch) {
    return st->mode[ch] == 1 || st->mode[ch] == 5;
}

bool pit_out(const struct pit_state *st, unsigned ch, uint64_t now) {
    uint32_t ticks = period(st, ch);
    uint64_t e = elapsed(st, ch, now);

    if (st->run[ch] == PIT_IDLE) {
        return st->mode[ch] != 0;
    }
    switch (st->mode[ch]) {
    case 0:
    case 1:
        return e >= ticks;
    case 2: // low for the last tick
        return st->run[ch] == PIT_PAUSED || e % ticks != ticks - 1;
    case 3:
        return st->run[ch] == PIT_PAUSED || e % ticks < high_half(ticks);
    default: // a strobe of one tick
        return e != ticks;
    }
}

uint16_t pit_value(const struct pit_state *st, unsigned ch, uint64_t now) {
    uint32_t ticks = period(st, ch);
    uint64_t e = elapsed(st, ch, now);
    uint32_t value;

    if (st->run[ch] == PIT_IDLE) {
        value = ticks;
    } else if (st->mode[ch] == 2) {
        value = ticks - (uint32_t)(e % ticks);
    } else if (st->mode[ch] == 3) { // by twos, twice a cycle, from an even number
        uint32_t at = (uint32_t)(e % ticks);

        value = (ticks & ~1u) - 2 * (at < high_half(ticks) ? at : at - high_half(ticks));
    } else { // goes on below zero
        value = (uint32_t)((ticks + modulus(st, ch) - e % modulus(st, ch)) % modulus(st, ch));
    }
    value %= modulus(st, ch);
    return st->bcd[ch] ? to_bcd(value) : (uint16_t)value;
}

uint64_t pit_next_edge(const struct pit_state *st, unsigned ch, uint64_t now) {
    uint32_t ticks = period(st, ch);
    uint64_t e = elapsed(st, ch, now);
    uint64_t at = ticks;

    if (st->run[ch] != PIT_COUNTING) {
        return UINT64_MAX;
    }
    if (is_periodic(st, ch)) {
        return now + (ticks - e % ticks);
    }
    if (st->mode[ch] >= 4) {
        at++; // the strobe's end
    }
    return e < at ? st->start[ch] + at : UINT64_MAX;
}

void pit_advance(struct pit_state *st, unsigned ch, uint64_t now) {
    uint64_t at = st->switch_at[ch];
    bool was_high;

    if (!st->has_next[ch] || !is_periodic(st, ch) || st->run[ch] != PIT_COUNTING ||
        (int64_t)(now - at) < 0) {
        return;
    }
    was_high = st->mode[ch] == 3 && pit_out(st, ch, at - 1);
    st->count[ch] = st->next[ch];
    st->has_next[ch] = 0;
    // Where mode 3 changes in the middle of its cycle, the new count's low half begins.
    st->start[ch] = at - (was_high ? high_half(period(st, ch)) : 0);
}

void pit_set_mode(struct pit_state *st, unsigned ch, uint8_t word) {
    uint8_t mode = word >> CW_MODE_SHIFT & 7;

    st->mode[ch] = mode > 5 ? mode - 4 : mode; // 6 and 7 are 2 and 3
    st->bcd[ch] = word & CW_BCD;
    st->rw[ch] = word >> CW_RW_SHIFT & 3;
    st->run[ch] = PIT_IDLE;
    st->has_next[ch] = 0;
    st->write_high[ch] = 0;
    st->read_high[ch] = 0;
    st->has_latch[ch] = 0;
    st->has_status[ch] = 0;
}

static void load(struct pit_state *st, unsigned ch, uint16_t count, uint64_t now) {
    st->count[ch] = count;
    st->has_next[ch] = 0;
    st->run[ch] = st->gate[ch] || is_triggered(st, ch) ? PIT_COUNTING : PIT_PAUSED;
    st->start[ch] = st->run[ch] == PIT_COUNTING ? now : 0;
}

/// When the cycle (mode 2) or half-cycle (mode 3) ends that runs now.
static uint64_t end_of_cycle(const struct pit_state *st, unsigned ch, uint64_t now) {
    uint32_t ticks = period(st, ch);
    uint32_t at = (uint32_t)(elapsed(st, ch, now) % ticks);
    uint32_t end = st->mode[ch] == 3 && at < high_half(ticks) ? high_half(ticks) : ticks;

    return now + (end - at);
}

void pit_set_count(struct pit_state *st, unsigned ch, uint16_t count, uint64_t now) {
    bool waits = is_triggered(st, ch) || (is_periodic(st, ch) && st->run[ch] != PIT_IDLE);

    if (!waits) {
        load(st, ch, count, now);
        return;
    }
    st->next[ch] = count;
    st->has_next[ch] = 1;
    st->switch_at[ch] = st->run[ch] == PIT_COUNTING ? end_of_cycle(st, ch, now) : now;
}

void pit_begin_count(struct pit_state *st, unsigned ch) {
    if (st->mode[ch] == 0) {
        st->run[ch] = PIT_IDLE;
    }
}

void pit_set_gate(struct pit_state *st, unsigned ch, bool level, uint64_t now) {
    if (level == st->gate[ch]) {
        return;
    }
    st->gate[ch] = level;
    if (is_triggered(st, ch)) { // the rising edge (re)starts; the level means nothing
        if (level && (st->has_next[ch] || st->run[ch] != PIT_IDLE)) {
            load(st, ch, st->has_next[ch] ? st->next[ch] : st->count[ch], now);
        }
    } else if (!level && st->run[ch] == PIT_COUNTING) {
        st->start[ch] = elapsed(st, ch, now);
        st->run[ch] = PIT_PAUSED;
    } else if (level && st->run[ch] == PIT_PAUSED && is_periodic(st, ch)) {
        load(st, ch, st->has_next[ch] ? st->next[ch] : st->count[ch], now);
    } else if (level && st->run[ch] == PIT_PAUSED) { // modes 0 and 4 go on
        st->start[ch] = now - st->start[ch];
        st->run[ch] = PIT_COUNTING;
    }
}
