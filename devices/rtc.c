// SPDX-License-Identifier: MIT
//
// Real-time clock: Motorola MC146818A data sheet; the century byte and the ports as on a PC.
//
// The clock does not tick. Time bytes are computed from the wall clock and an offset when they are
// read; flags are computed when register C is read or a timer fires. A timer runs only towards an
// interrupt that is enabled and not yet flagged, so a guest that does not acknowledge costs
// nothing. Time, alarms and memory are battery-backed: a reset leaves them, as the chip's does, but
// for the byte by which software tells firmware to go on where it left off.
#include "devices/rtc.h"

#include "devices/rtc_regs.h"
#include "devices/rtc_time.h"

#include <errno.h>
#include <string.h>

#define PORT_INDEX 0x70u
#define SECOND_NS  UINT64_C(1000000000)

#define UIP_NS UINT64_C(244000) ///< UIP stands so long before an update (t_BUC)

/// Offsets beyond 10000 years are not ours.
#define MAX_OFFSET_S (INT64_C(10000) * 366 * 86400)
#define WAKE_MIN_NS  UINT64_C(10000)

static const struct state_field fields[] = {
    STATE_SCALAR(1, struct rtc_state, index, U8, PUBLIC, 0, 0x7F),
    STATE_SCALAR(2, struct rtc_state, reg_a, U8, PUBLIC, RTC_A_RESET, RTC_A_WRITABLE),
    STATE_SCALAR(3, struct rtc_state, reg_b, U8, PUBLIC, RTC_B_24H, 0),
    STATE_SCALAR(4, struct rtc_state, reg_c, U8, PUBLIC, 0, RTC_C_FLAGS),
    STATE_SCALAR(5, struct rtc_state, offset_ns, U32, PUBLIC, 0, SECOND_NS - 1),
    STATE_SCALAR(6, struct rtc_state, offset_s, U64, PUBLIC, 0, 0),
    STATE_BYTE_ARRAY(7, struct rtc_state, ram, RTC_RAM_BYTES, GUEST),
};

static const struct state_table table = {
    .name = "rtc",
    .version = 1,
    .field_count = ARRAY_COUNT(fields),
    .struct_bytes = sizeof(struct rtc_state),
    .fields = fields,
};

// ---- time
// ----------------------------------------------------------------------------------------

/// Whether the time bytes stand still: SET, or the divider held in reset.
static bool is_stopped(const struct rtc_state *st) {
    return (st->reg_b & RTC_B_SET) || (st->reg_a >> RTC_A_DV_SHIFT & 0x7) >= RTC_A_DV_RESET;
}

/// Guest time, split in seconds since 1970 and nanoseconds.
static int64_t guest_time(const struct rtc *rtc, uint32_t *ns) {
    uint64_t wall = rtc->wall_ns(rtc->wall_ctx);
    uint64_t fraction = wall % SECOND_NS + rtc->state.offset_ns;

    *ns = (uint32_t)(fraction % SECOND_NS);
    return (int64_t)(wall / SECOND_NS) + (int64_t)rtc->state.offset_s +
           (int64_t)(fraction / SECOND_NS);
}

static void set_guest_time(struct rtc *rtc, int64_t seconds, uint32_t ns) {
    uint64_t wall = rtc->wall_ns(rtc->wall_ctx);
    uint64_t wall_fraction = wall % SECOND_NS;
    bool borrow = ns < wall_fraction;

    rtc->state.offset_ns = (uint32_t)(ns + (borrow ? SECOND_NS : 0) - wall_fraction);
    rtc->state.offset_s = (uint64_t)(seconds - (int64_t)(wall / SECOND_NS) - (borrow ? 1 : 0));
}

static void load_bytes(const uint8_t *ram, struct rtc_bytes *out) {
    *out = (struct rtc_bytes){.second = ram[RTC_SECONDS],
                              .minute = ram[RTC_MINUTES],
                              .hour = ram[RTC_HOURS],
                              .weekday = ram[RTC_WEEKDAY],
                              .day = ram[RTC_DAY],
                              .month = ram[RTC_MONTH],
                              .year = ram[RTC_YEAR],
                              .century = ram[RTC_CENTURY]};
}

static void store_bytes(uint8_t *ram, const struct rtc_bytes *in) {
    ram[RTC_SECONDS] = in->second;
    ram[RTC_MINUTES] = in->minute;
    ram[RTC_HOURS] = in->hour;
    ram[RTC_WEEKDAY] = in->weekday;
    ram[RTC_DAY] = in->day;
    ram[RTC_MONTH] = in->month;
    ram[RTC_YEAR] = in->year;
    ram[RTC_CENTURY] = in->century;
}

/// Puts the running clock's time into the time bytes.
static void latch_time(struct rtc *rtc) {
    struct rtc_bytes bytes;
    uint32_t ns;

    rtc_encode(guest_time(rtc, &ns), rtc->state.reg_b, &bytes);
    store_bytes(rtc->state.ram, &bytes);
}

/// Lets the clock run on from the time bytes, ns into their second.
static void start_clock(struct rtc *rtc, uint32_t ns) {
    struct rtc_bytes bytes;

    load_bytes(rtc->state.ram, &bytes);
    rtc->seen_s = rtc_decode(&bytes, rtc->state.reg_b);
    set_guest_time(rtc, rtc->seen_s, ns);
}

// ---- flags and interrupts
// ------------------------------------------------------------------------

static struct rtc_alarm alarm_of(const struct rtc_state *st) {
    return (struct rtc_alarm){.second = st->ram[RTC_SECONDS_ALARM],
                              .minute = st->ram[RTC_MINUTES_ALARM],
                              .hour = st->ram[RTC_HOURS_ALARM]};
}

/// Period of PF in nanoseconds by RS (table 5, 32768 Hz); 0: none. RS 1 and 2 repeat 8 and 9.
static uint64_t period_ns(const struct rtc_state *st) {
    unsigned rs = st->reg_a & RTC_A_RS;

    if (rs == 0 || (st->reg_a >> RTC_A_DV_SHIFT & 0x7) >= RTC_A_DV_RESET) {
        return 0;
    }
    return (SECOND_NS << ((rs <= 2 ? rs + 7 : rs) - 1)) / 32768;
}

/// Sets the flags of everything that has happened since the last call.
static void update_flags(struct rtc *rtc) {
    struct rtc_state *st = &rtc->state;
    uint64_t now = loop_now_ns(rtc->loop);
    uint64_t period = period_ns(st);
    struct rtc_alarm alarm = alarm_of(st);
    uint32_t ns;
    int64_t second = guest_time(rtc, &ns);

    if (!is_stopped(st)) {
        if (second > rtc->seen_s) {
            st->reg_c |= RTC_C_UF;
            if (rtc_next_alarm(rtc->seen_s, &alarm, st->reg_b) <= second) {
                st->reg_c |= RTC_C_AF;
            }
        }
        rtc->seen_s = second; // also when the wall clock was set back
    }
    if (period && now / period != rtc->seen_ns / period) {
        st->reg_c |= RTC_C_PF;
    }
    rtc->seen_ns = now;
}

/// Flag bits stand where their enable bits stand in register B.
static bool irq_flag(const struct rtc_state *st) {
    return st->reg_c & st->reg_b & RTC_C_FLAGS;
}

/// When the next enabled interrupt that is not flagged yet is due, on the loop's clock.
static uint64_t next_wake(struct rtc *rtc) {
    const struct rtc_state *st = &rtc->state;
    uint8_t waiting = st->reg_b & (uint8_t)~st->reg_c & RTC_C_FLAGS;
    uint64_t now = loop_now_ns(rtc->loop);
    uint64_t period = period_ns(st);
    uint64_t wake = UINT64_MAX;
    uint32_t ns;
    int64_t second = guest_time(rtc, &ns);
    int64_t due_s = INT64_MAX;

    if ((waiting & RTC_C_PF) && period) {
        wake = (now / period + 1) * period;
    }
    if (is_stopped(st)) {
        return wake;
    }
    if (waiting & RTC_C_UF) {
        due_s = second + 1;
    } else if (waiting & RTC_C_AF) {
        struct rtc_alarm alarm = alarm_of(st);

        due_s = rtc_next_alarm(second, &alarm, st->reg_b);
    }
    if (due_s != INT64_MAX) { // at most a day away
        uint64_t wait_ns = (uint64_t)(due_s - second) * SECOND_NS - ns;
        // The wall clock may be a little slower than the loop's: do not spin at the border.
        uint64_t due = now + (wait_ns > WAKE_MIN_NS ? wait_ns : WAKE_MIN_NS);

        wake = due < wake ? due : wake;
    }
    return wake;
}

/// The line's level, and the timer that will change it.
static void sync(struct rtc *rtc) {
    uint64_t wake = next_wake(rtc);

    irq_set(&rtc->irq, irq_flag(&rtc->state));
    if (wake != rtc->wanted_ns) {
        rtc->wanted_ns = wake;
        loop_post(rtc->loop, &rtc->arm_task); // timers belong to the loop's thread
    }
}

static void arm(void *self) {
    struct rtc *rtc = self;

    pthread_mutex_lock(&rtc->device.lock);
    if (rtc->wanted_ns == UINT64_MAX) {
        loop_timer_cancel(rtc->loop, &rtc->timer);
    } else {
        loop_timer_arm(rtc->loop, &rtc->timer, rtc->wanted_ns);
    }
    pthread_mutex_unlock(&rtc->device.lock);
}

static void timer_fired(void *self) {
    struct rtc *rtc = self;

    pthread_mutex_lock(&rtc->device.lock);
    rtc->wanted_ns = UINT64_MAX; // it is no longer armed
    update_flags(rtc);
    sync(rtc);
    pthread_mutex_unlock(&rtc->device.lock);
}

// ---- registers
// -----------------------------------------------------------------------------------

static bool is_time_byte(uint8_t index) {
    return index == RTC_CENTURY || (index <= RTC_YEAR && index != RTC_SECONDS_ALARM &&
                                    index != RTC_MINUTES_ALARM && index != RTC_HOURS_ALARM);
}

static uint8_t read_register(struct rtc *rtc) {
    struct rtc_state *st = &rtc->state;
    uint32_t ns;
    uint8_t value;

    switch (st->index) {
    case RTC_A:
        (void)guest_time(rtc, &ns);
        return st->reg_a | (!is_stopped(st) && ns >= SECOND_NS - UIP_NS ? RTC_A_UIP : 0);
    case RTC_B:
        return st->reg_b;
    case RTC_C:
        update_flags(rtc);
        value = (uint8_t)(st->reg_c | (irq_flag(st) ? RTC_C_IRQF : 0));
        st->reg_c = 0;
        return value;
    case RTC_D:
        return RTC_D_VRT;
    default:
        if (is_time_byte(st->index) && !is_stopped(st)) {
            latch_time(rtc);
        }
        return st->ram[st->index];
    }
}

/// Registers A and B: changing them may stop the clock, which latches the time in the old format,
/// or start it. After a divider reset the first update comes half a second later.
static void write_control(struct rtc *rtc, uint8_t reg_a, uint8_t reg_b) {
    struct rtc_state *st = &rtc->state;
    bool was_stopped = is_stopped(st);
    bool divider_was_reset = (st->reg_a >> RTC_A_DV_SHIFT & 0x7) >= RTC_A_DV_RESET;

    if (!was_stopped) {
        latch_time(rtc);
    }
    st->reg_a = reg_a & RTC_A_WRITABLE;
    st->reg_b = reg_b;
    if (reg_b & RTC_B_SET) {
        st->reg_b &= (uint8_t)~RTC_B_UIE; // SET clears UIE
    }
    if (was_stopped && !is_stopped(st)) {
        start_clock(rtc, divider_was_reset ? (uint32_t)(SECOND_NS / 2) : 0);
    }
}

static void write_register(struct rtc *rtc, uint8_t value) {
    struct rtc_state *st = &rtc->state;
    uint32_t ns;

    update_flags(rtc); // by the rules that held until now
    switch (st->index) {
    case RTC_A:
        write_control(rtc, value, st->reg_b);
        break;
    case RTC_B:
        write_control(rtc, st->reg_a, value);
        break;
    case RTC_C:
    case RTC_D:
        break; // read-only
    default:
        if (is_time_byte(st->index) && !is_stopped(st)) {
            // Software ought to set SET first; the chip takes the byte anyway.
            (void)guest_time(rtc, &ns);
            latch_time(rtc);
            st->ram[st->index] = value;
            start_clock(rtc, ns);
        } else {
            st->ram[st->index] = value;
        }
        break;
    }
}

static enum bus_result port_access(void *self, struct bus_access *access) {
    struct rtc *rtc = self;

    if (access->size != 1) {
        return BUS_NOT_MINE;
    }
    if (access->offset == 0) {
        if (!access->is_write) {
            return BUS_NOT_MINE; // the index is write-only on a PC
        }
        rtc->state.index = access->value & 0x7F; // bit 7 masks NMI: there is none
        return BUS_OK;
    }
    if (access->is_write) {
        write_register(rtc, (uint8_t)access->value);
    } else {
        access->value = read_register(rtc);
    }
    sync(rtc);
    return BUS_OK;
}

// ---- life
// ----------------------------------------------------------------------------------------

/// The RESET pin: interrupts off and flags clear (data sheet, "RESET"); the battery keeps the rest.
///
/// The shutdown byte goes too. Of 0xFE, a resume from S3, OvmfPkg makes that it runs the firmware
/// volume that is still in RAM instead of the ROM's: the guest's own code would run first after a
/// reset, with a TPM in which nothing is measured and variables that boot services alone may see.
/// No state of this machine is one to resume from: every reset is a start.
static void reset(void *self, device_reset_done_fn done, void *ctx) {
    struct rtc *rtc = self;

    update_flags(rtc);
    rtc->state.index = 0;
    rtc->state.reg_b &= (uint8_t) ~(RTC_B_PIE | RTC_B_AIE | RTC_B_UIE | RTC_B_SQWE);
    rtc->state.reg_c = 0;
    rtc->state.ram[RTC_SHUTDOWN] = 0;
    sync(rtc);
    done(ctx);
}

static void before_save(void *self) {
    update_flags(self);
}

static int after_load(void *self) {
    struct rtc *rtc = self;
    int64_t offset_s = (int64_t)rtc->state.offset_s;
    uint32_t ns;

    if (offset_s > MAX_OFFSET_S || offset_s < -MAX_OFFSET_S) {
        rtc->state.offset_s = 0; // whoever goes on all the same must not compute with it
        return -EINVAL;
    }
    rtc->state.reg_c &= RTC_C_FLAGS;
    rtc->seen_ns = loop_now_ns(rtc->loop);
    rtc->seen_s = guest_time(rtc, &ns);
    sync(rtc);
    return 0;
}

static const struct device_ops ops = {
    .state = &table, .reset = reset, .after_load = after_load, .before_save = before_save};

int rtc_init(struct rtc *rtc, const struct rtc_config *config) {
    struct bus_region ports = {.start = PORT_INDEX,
                               .size_bytes = 2,
                               .fn = port_access,
                               .self = rtc,
                               .lock = &rtc->device.lock,
                               .name = "rtc"};
    uint32_t ns;

    memset(rtc, 0, sizeof(*rtc));
    rtc->loop = config->loop;
    rtc->irq = config->irq;
    rtc->wall_ns = config->wall_ns;
    rtc->wall_ctx = config->wall_ctx;
    rtc->arm_task = (struct loop_task){.fn = arm, .self = rtc};
    rtc->timer = (struct loop_timer){.fn = timer_fired, .self = rtc};
    rtc->wanted_ns = UINT64_MAX;
    device_init(&rtc->device, "rtc", &ops, rtc, &rtc->state);
    rtc->seen_ns = loop_now_ns(rtc->loop);
    rtc->seen_s = guest_time(rtc, &ns);
    return bus_add(config->pio, &ports);
}
