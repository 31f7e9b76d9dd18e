// SPDX-License-Identifier: MIT
//
// Programmable interval timer: Intel 8254, as a PC has it: channel 0 is IRQ 0, channel 1 refreshed
// memory once, channel 2 is gated and read by port 0x61 (and drives a speaker that is not there).
#pragma once

#include "devices/bus.h"
#include "devices/device.h"
#include "devices/irq.h"
#include "devices/loop.h"

#define PIT_CHANNELS 3u
#define PIT_HZ       UINT64_C(1193182)

/// What a channel does.
enum pit_run {
    PIT_IDLE,     ///< no count since the control word, or waits for its gate's trigger
    PIT_COUNTING, ///< since tick start
    PIT_PAUSED,   ///< by its gate, start ticks after it began
};

struct pit_state {
    uint8_t mode[PIT_CHANNELS]; ///< 0 to 5
    uint8_t bcd[PIT_CHANNELS];
    uint8_t rw[PIT_CHANNELS];   ///< 1: low byte, 2: high byte, 3: low, then high
    uint8_t gate[PIT_CHANNELS]; ///< channels 0 and 1: always 1
    uint8_t run[PIT_CHANNELS];  ///< enum pit_run
    uint16_t count[PIT_CHANNELS];
    uint8_t has_next[PIT_CHANNELS];
    uint16_t next[PIT_CHANNELS];      ///< written, takes effect later
    uint64_t switch_at[PIT_CHANNELS]; ///< the tick when it does, in modes 2 and 3
    uint64_t start[PIT_CHANNELS];
    uint8_t write_high[PIT_CHANNELS]; ///< rw 3: the next byte written is the high one
    uint8_t write_low[PIT_CHANNELS];  ///< ... and this was the low one
    uint8_t read_high[PIT_CHANNELS];  ///< rw 3: the next byte read is the high one
    uint8_t has_latch[PIT_CHANNELS];
    uint16_t latch[PIT_CHANNELS];
    uint8_t has_status[PIT_CHANNELS];
    uint8_t status[PIT_CHANNELS];
    uint8_t port61; ///< its writable bits
    uint64_t ticks; ///< of the chip's clock, at struct pit's base_ns
};

struct pit {
    struct device device; ///< register it with the machine
    // Glue.
    struct loop *loop;
    struct irq_line irq;
    struct loop_task arm_task;
    struct loop_timer timer;
    uint64_t base_ns;       ///< when state.ticks was true
    uint64_t edge_at;       ///< tick of channel 0's next rising edge; UINT64_MAX: none
    uint64_t wanted_ns;     ///< when the timer shall fire; UINT64_MAX: not at all
    uint64_t last_fired_ns; ///< of the timer
    // Volatile.
    struct pit_state state;
};

struct pit_config {
    struct bus *pio; ///< claims ports 0x40 to 0x43 and 0x61
    struct irq_line irq;
    struct loop *loop;
};

/// 0 or bus_add()'s error.
int pit_init(struct pit *pit, const struct pit_config *config);

// ---- between pit.c and pit_counter.c ----

/// OUT of a channel at this tick.
bool pit_out(const struct pit_state *st, unsigned ch, uint64_t now);
/// What a read of the counter gives: binary or BCD.
uint16_t pit_value(const struct pit_state *st, unsigned ch, uint64_t now);
/// The tick of OUT's next rising edge after now; UINT64_MAX: none.
uint64_t pit_next_edge(const struct pit_state *st, unsigned ch, uint64_t now);
/// Lets a new count take effect whose time has come.
void pit_advance(struct pit_state *st, unsigned ch, uint64_t now);
/// A control word for the channel (its bits 5:0).
void pit_set_mode(struct pit_state *st, unsigned ch, uint8_t word);
/// The guest has written a whole count.
void pit_set_count(struct pit_state *st, unsigned ch, uint16_t count, uint64_t now);
/// The first of a count's two bytes: stops mode 0.
void pit_begin_count(struct pit_state *st, unsigned ch);
void pit_set_gate(struct pit_state *st, unsigned ch, bool level, uint64_t now);
