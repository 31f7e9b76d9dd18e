// SPDX-License-Identifier: MIT
//
// Synthetic timers (TLFS, "Timers": synthetic timer configuration and count, expiration messages,
// direct mode).
#include "vtl2/hv/stimer.h"

#include <errno.h>

#define CONFIG_VECTOR(config) ((uint8_t)((config) >> HV_STIMER_VECTOR_SHIFT))
#define CONFIG_SINT(config)   ((unsigned)((config) >> HV_STIMER_SINT_SHIFT & 0xF))
#define CONFIG_MASK                                                                                \
    (HV_STIMER_ENABLE | HV_STIMER_PERIODIC | HV_STIMER_LAZY | HV_STIMER_AUTO_ENABLE |              \
     UINT64_C(0xFF) << HV_STIMER_VECTOR_SHIFT | HV_STIMER_DIRECT |                                 \
     UINT64_C(0xF) << HV_STIMER_SINT_SHIFT)

/// Shortest period that anybody is woken for: 200 us. A guest that asks for less gets fewer
/// expiries, never a host that does nothing else.
#define MIN_PERIOD_100NS UINT64_C(2000)
#define FIRST_VECTOR     16u

static void clear(struct hv_stimers *timers) {
    timers->state = (struct hv_stimers_state){.version = HV_STIMERS_STATE_VERSION};
}

void hv_stimers_init(struct hv_stimers *timers, const struct hv_stimer_ops *ops, void *ctx) {
    timers->ops = ops;
    timers->ctx = ctx;
    clear(timers);
}

void hv_stimers_reset(struct hv_stimers *timers) {
    clear(timers);
}

// ---- state --------------------------------------------------------------------------------------

void hv_stimers_save(const struct hv_stimers *timers, struct hv_stimers_state *out) {
    *out = timers->state;
}

/// A message-mode timer needs a SINT other than 0, a direct one a vector that an APIC takes.
static bool can_enable(uint64_t config) {
    return (config & HV_STIMER_DIRECT) != 0 ? CONFIG_VECTOR(config) >= FIRST_VECTOR
                                            : CONFIG_SINT(config) != 0;
}

static bool is_legal(const struct hv_stimer_state *t) {
    uint8_t reserved = 0;

    for (unsigned i = 0; i < sizeof(t->reserved); i++) {
        reserved |= t->reserved[i];
    }
    if ((t->config & ~CONFIG_MASK) != 0 || t->armed > 1 || t->message_pending > 1 ||
        reserved != 0) {
        return false;
    }
    if (t->armed && ((t->config & HV_STIMER_ENABLE) == 0 || t->count == 0)) {
        return false;
    }
    return (t->config & HV_STIMER_ENABLE) == 0 || can_enable(t->config);
}

int hv_stimers_load(struct hv_stimers *timers, const struct hv_stimers_state *in) {
    if (in->version != HV_STIMERS_STATE_VERSION || in->reserved != 0) {
        return -EINVAL;
    }
    for (unsigned i = 0; i < HV_STIMER_COUNT; i++) {
        if (!is_legal(&in->timer[i])) {
            return -EINVAL;
        }
    }
    timers->state = *in;
    return 0;
}

// ---- expiry -------------------------------------------------------------------------------------

static uint64_t period(const struct hv_stimer_state *t) {
    return t->count < MIN_PERIOD_100NS ? MIN_PERIOD_100NS : t->count;
}

/// Sums of times stop at the end of time.
static uint64_t later(uint64_t time, uint64_t by) {
    uint64_t sum;

    return __builtin_add_overflow(time, by, &sum) ? UINT64_MAX : sum;
}

static void try_message(struct hv_stimers *timers, unsigned idx, uint64_t now_100ns) {
    struct hv_stimer_state *t = &timers->state.timer[idx];
    // A loaded state may come from a clock that was ahead: nothing expires after its delivery.
    uint64_t expiry = t->message_expiry_100ns < now_100ns ? t->message_expiry_100ns : now_100ns;
    struct hv_timer_message message = {
        .timer_index = idx, .expiration_time_100ns = expiry, .delivery_time_100ns = now_100ns};

    t->message_pending = timers->ops->post(timers->ctx, CONFIG_SINT(t->config), &message) != 0;
}

static void expire(struct hv_stimers *timers, unsigned idx, uint64_t now_100ns) {
    struct hv_stimer_state *t = &timers->state.timer[idx];
    uint64_t expiry = t->expiry_100ns;

    if ((t->config & HV_STIMER_PERIODIC) != 0) {
        uint64_t every = period(t);
        uint64_t missed = (now_100ns - expiry) / every;

        // Expiries that nobody could see coalesce into this one, lazy timer or not: a VP that did
        // not run gains nothing from a burst.
        t->expiry_100ns = later(expiry, missed * every);
        t->expiry_100ns = later(t->expiry_100ns, every);
    } else {
        t->armed = 0;
        t->config &= ~HV_STIMER_ENABLE;
    }
    if ((t->config & HV_STIMER_DIRECT) != 0) {
        timers->ops->interrupt(timers->ctx, CONFIG_VECTOR(t->config));
    } else if (!t->message_pending) {
        t->message_expiry_100ns = expiry;
        try_message(timers, idx, now_100ns);
    } // else the message that waits for its slot stands for this expiry, too
}

void hv_stimers_advance(struct hv_stimers *timers, uint64_t now_100ns) {
    for (unsigned i = 0; i < HV_STIMER_COUNT; i++) {
        struct hv_stimer_state *t = &timers->state.timer[i];

        if (t->armed && t->expiry_100ns <= now_100ns) {
            expire(timers, i, now_100ns);
        }
    }
}

void hv_stimers_retry(struct hv_stimers *timers, uint64_t now_100ns, uint32_t sints) {
    for (unsigned i = 0; i < HV_STIMER_COUNT; i++) {
        struct hv_stimer_state *t = &timers->state.timer[i];

        if (t->message_pending && (sints >> CONFIG_SINT(t->config) & 1) != 0) {
            try_message(timers, i, now_100ns);
        }
    }
}

uint64_t hv_stimers_deadline(const struct hv_stimers *timers) {
    uint64_t first = HV_STIMER_NEVER;

    for (unsigned i = 0; i < HV_STIMER_COUNT; i++) {
        const struct hv_stimer_state *t = &timers->state.timer[i];

        if (t->armed && t->expiry_100ns < first) {
            first = t->expiry_100ns;
        }
    }
    return first;
}

// ---- MSRs ---------------------------------------------------------------------------------------

int hv_stimers_read_msr(const struct hv_stimers *timers, uint32_t index, uint64_t *out) {
    const struct hv_stimer_state *t;

    if (index < HV_MSR_STIMER0_CONFIG || index > HV_MSR_STIMER3_COUNT) {
        return -ENOENT;
    }
    index -= HV_MSR_STIMER0_CONFIG;
    t = &timers->state.timer[index / 2];
    *out = index % 2 == 0 ? t->config : t->count;
    return 0;
}

/// Starts the timer if it is enabled: a one-shot timer's count is the time of its expiry, a
/// periodic one's the time between expiries.
static void start(struct hv_stimer_state *t, uint64_t now_100ns) {
    t->armed = (t->config & HV_STIMER_ENABLE) != 0 && t->count != 0;
    t->expiry_100ns =
        (t->config & HV_STIMER_PERIODIC) != 0 ? later(now_100ns, period(t)) : t->count;
}

static int write_config(struct hv_stimer_state *t, uint64_t now_100ns, uint64_t value) {
    if ((value & ~CONFIG_MASK) != 0) {
        return -EPERM;
    }
    if (!can_enable(value)) {
        value &= ~HV_STIMER_ENABLE; // quietly, as the TLFS has it for SINT 0
    }
    t->message_pending = 0;
    t->config = value;
    start(t, now_100ns);
    return 0;
}

static void write_count(struct hv_stimer_state *t, uint64_t now_100ns, uint64_t value) {
    t->message_pending = 0;
    t->count = value;
    if (value == 0) {
        t->config &= ~HV_STIMER_ENABLE; // stops it, auto-enable or not
    } else if ((t->config & HV_STIMER_AUTO_ENABLE) != 0 && can_enable(t->config)) {
        t->config |= HV_STIMER_ENABLE;
    }
    start(t, now_100ns);
}

int hv_stimers_write_msr(struct hv_stimers *timers, uint64_t now_100ns, uint32_t index,
                         uint64_t value) {
    struct hv_stimer_state *t;

    if (index < HV_MSR_STIMER0_CONFIG || index > HV_MSR_STIMER3_COUNT) {
        return -ENOENT;
    }
    index -= HV_MSR_STIMER0_CONFIG;
    t = &timers->state.timer[index / 2];
    if (index % 2 == 0) {
        return write_config(t, now_100ns, value);
    }
    write_count(t, now_100ns, value);
    return 0;
}
