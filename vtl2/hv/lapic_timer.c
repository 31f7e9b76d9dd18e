// SPDX-License-Identifier: MIT
//
// Local APIC: its timer (Intel SDM vol. 3, 11.5.4). Nothing counts: the value at any moment follows
// from when the counter was started. Times are ticks of the undivided timer clock.
#include "vtl2/hv/lapic_internal.h"

#define HZ_100NS UINT64_C(10000000)

/// value * to / from without overflow in between for from, to < 2^40 and one of them HZ_100NS;
/// wraps like the clock that it converts.
static uint64_t scale(uint64_t value, uint64_t to, uint64_t from, bool round_up) {
    uint64_t rest = value % from * to;

    return value / from * to + rest / from + (round_up && rest % from != 0);
}

static uint64_t ticks_at(const struct hv_lapic *lapic, uint64_t time_100ns) {
    return scale(time_100ns, lapic->config.timer_hz, HZ_100NS, false);
}

static unsigned divide_shift(uint32_t divide) {
    uint32_t code = (divide & 3) | (divide >> 1 & 4);

    return (code + 1) & 7; // 111b divides by 1, 000b by 2
}

/// Ticks from the initial count down to 0.
static uint64_t whole_ticks(const struct hv_lapic *lapic) {
    return (uint64_t)lapic->state.timer_initial << divide_shift(lapic->state.timer_divide);
}

static uint64_t elapsed_ticks(const struct hv_lapic *lapic, struct hv_clock now) {
    uint64_t ticks = ticks_at(lapic, now.now_100ns);

    return ticks > lapic->state.timer_start ? ticks - lapic->state.timer_start : 0;
}

static bool is_tsc_mode(uint32_t lvt) {
    return (lvt & APIC_LVT_TIMER_MODE) == APIC_LVT_TSC_DEADLINE;
}

void hv_lapic_advance(struct hv_lapic *lapic, struct hv_clock now) {
    struct hv_lapic_state *s = &lapic->state;
    uint64_t elapsed, whole;

    if (s->tsc_deadline != 0 && now.now_tsc >= s->tsc_deadline) {
        s->tsc_deadline = 0;
        lapic_fire(lapic, HV_LVT_TIMER);
    }
    if (!s->timer_running) {
        return;
    }
    elapsed = elapsed_ticks(lapic, now);
    whole = whole_ticks(lapic);
    if (elapsed < whole || whole == 0) { // a timer that runs has a count
        return;
    }
    if ((s->lvt[HV_LVT_TIMER] & APIC_LVT_PERIODIC) != 0) {
        s->timer_start += elapsed / whole * whole; // missed periods coalesce in IRR
    } else {
        s->timer_running = 0;
    }
    lapic_fire(lapic, HV_LVT_TIMER);
}

uint64_t hv_lapic_deadline(const struct hv_lapic *lapic, struct hv_clock now) {
    const struct hv_lapic_state *s = &lapic->state;
    uint64_t whole, left, time;

    if ((s->lvt[HV_LVT_TIMER] & APIC_LVT_MASKED) != 0) {
        return HV_LAPIC_NEVER;
    }
    if (s->tsc_deadline != 0) {
        left = s->tsc_deadline > now.now_tsc ? s->tsc_deadline - now.now_tsc : 0;
        // Beyond 2^56 TSC ticks (years) the product could wrap; nobody sleeps that long.
        if (left >> 56 != 0 ||
            __builtin_add_overflow(now.now_100ns, scale(left, HZ_100NS, lapic->config.tsc_hz, true),
                                   &time)) {
            return HV_LAPIC_NEVER;
        }
        return time;
    }
    if (!s->timer_running) {
        return HV_LAPIC_NEVER;
    }
    whole = whole_ticks(lapic);
    if ((s->lvt[HV_LVT_TIMER] & APIC_LVT_PERIODIC) != 0 &&
        whole < lapic->config.timer_hz / APIC_MIN_PERIOD_HZ) {
        whole = lapic->config.timer_hz / APIC_MIN_PERIOD_HZ;
    }
    return scale(s->timer_start + whole, HZ_100NS, lapic->config.timer_hz, true);
}

uint32_t lapic_timer_count(const struct hv_lapic *lapic, struct hv_clock now) {
    uint64_t elapsed, whole;

    if (!lapic->state.timer_running) {
        return 0;
    }
    elapsed = elapsed_ticks(lapic, now);
    whole = whole_ticks(lapic);
    return elapsed >= whole
               ? 0
               : (uint32_t)((whole - elapsed) >> divide_shift(lapic->state.timer_divide));
}

void lapic_timer_set_initial(struct hv_lapic *lapic, struct hv_clock now, uint32_t count) {
    if (is_tsc_mode(lapic->state.lvt[HV_LVT_TIMER])) {
        return; // ignored in this mode
    }
    lapic->state.timer_initial = count;
    lapic->state.timer_start = ticks_at(lapic, now.now_100ns);
    lapic->state.timer_running = count != 0;
}

void lapic_timer_set_divide(struct hv_lapic *lapic, struct hv_clock now, uint32_t divide) {
    struct hv_lapic_state *s = &lapic->state;

    // The counter goes on from where it stands, at the new rate.
    if (s->timer_running) {
        uint64_t passed = s->timer_initial - lapic_timer_count(lapic, now);
        uint64_t ticks = ticks_at(lapic, now.now_100ns);
        uint64_t back = passed << divide_shift(divide);

        s->timer_start = ticks > back ? ticks - back : 0;
    }
    s->timer_divide = divide;
}

void lapic_timer_mode_changes(struct hv_lapic *lapic, uint32_t lvt) {
    if (is_tsc_mode(lvt) != is_tsc_mode(lapic->state.lvt[HV_LVT_TIMER])) {
        lapic->state.tsc_deadline = 0;
        lapic->state.timer_running = 0;
        lapic->state.timer_initial = 0;
    }
}
