// SPDX-License-Identifier: MIT
//
// ACPI fixed hardware (ACPI 6.5, section 4.8.3): PM1a event block, PM1a control block, PM timer.
//
// The platform has no legacy mode (SMI_CMD is 0), so SCI_EN always reads 1 (4.8.2.5), and no sleep
// state but S5. There are no general-purpose events.
#include "devices/acpi_pm.h"

#include "igvm/base/bytes.h"

#include <string.h>

#define PORTS_BYTES 12u

// Offsets in the register block.
#define OFF_STS 0u ///< PM1_STS
#define OFF_EN  2u ///< PM1_EN
#define OFF_CNT 4u ///< PM1_CNT
#define OFF_TMR 8u ///< PM_TMR

// PM1 status and enable (tables 4.11 and 4.12).
#define PM1_TMR    (1u << 0)
#define PM1_GBL    (1u << 5)
#define PM1_PWRBTN (1u << 8)
#define PM1_RTC    (1u << 10)
/// What this hardware can raise; GBL and RTC can be enabled and never come.
#define STS_VALID   (PM1_TMR | PM1_PWRBTN)
#define EN_WRITABLE (PM1_TMR | PM1_GBL | PM1_PWRBTN | PM1_RTC)

// PM1 control (table 4.13).
#define CNT_SCI_EN        (1u << 0)
#define CNT_BM_RLD        (1u << 1)
#define CNT_SLP_TYP       (7u << 10)
#define CNT_SLP_TYP_SHIFT 10u
#define CNT_SLP_EN        (1u << 13)
#define CNT_WRITABLE      (CNT_BM_RLD | CNT_SLP_TYP)

#define SECOND_NS UINT64_C(1000000000)
#define TMR_MSB   (UINT64_C(1) << 31)

static const struct state_field fields[] = {
    STATE_SCALAR(1, struct acpi_pm_state, pm1_sts, U16, PUBLIC, 0, 0),
    STATE_SCALAR(2, struct acpi_pm_state, pm1_en, U16, PUBLIC, 0, 0),
    STATE_SCALAR(3, struct acpi_pm_state, pm1_cnt, U16, PUBLIC, 0, 0),
    STATE_SCALAR(4, struct acpi_pm_state, timer_ticks, U64, PUBLIC, 0, 0),
};

static const struct state_table table = {
    .name = "acpi-pm",
    .version = 1,
    .field_count = ARRAY_COUNT(fields),
    .struct_bytes = sizeof(struct acpi_pm_state),
    .fields = fields,
};

// ---- PM timer
// ------------------------------------------------------------------------------------

/// The timer with all the bits it would have; the guest sees the low 32.
static uint64_t timer_ticks(const struct acpi_pm *pm) {
    uint64_t ns = loop_now_ns(pm->loop) - pm->base_ns;

    return pm->state.timer_ticks + ns / SECOND_NS * ACPI_PM_TMR_HZ +
           ns % SECOND_NS * ACPI_PM_TMR_HZ / SECOND_NS;
}

/// TMR_STS is set whenever the most significant bit changes (4.8.3.1.1). Looked at whenever
/// somebody could notice; the bit takes ten minutes to change.
static void update_timer_status(struct acpi_pm *pm) {
    bool msb = timer_ticks(pm) & TMR_MSB;

    if (msb != pm->seen_msb) {
        pm->state.pm1_sts |= PM1_TMR;
        pm->seen_msb = msb;
    }
}

/// When the MSB changes next, on the loop's clock; a tick late rather than early.
static uint64_t next_toggle_ns(const struct acpi_pm *pm) {
    uint64_t left = TMR_MSB - (timer_ticks(pm) & (TMR_MSB - 1)) + 1;

    return loop_now_ns(pm->loop) + left * SECOND_NS / ACPI_PM_TMR_HZ + 1;
}

// ---- SCI
// -----------------------------------------------------------------------------------------

/// The SCI's level, and the timer that will change it.
static void sync(struct acpi_pm *pm) {
    const struct acpi_pm_state *st = &pm->state;
    bool wants_timer = (st->pm1_en & ~st->pm1_sts) & PM1_TMR;
    uint64_t wake = UINT64_MAX;

    irq_set(&pm->sci, st->pm1_sts & st->pm1_en);
    if (wants_timer) {
        // Keep what is armed: computing it anew moves it by rounding.
        wake = pm->wanted_ns != UINT64_MAX ? pm->wanted_ns : next_toggle_ns(pm);
    }
    if (wake != pm->wanted_ns) {
        pm->wanted_ns = wake;
        loop_post(pm->loop, &pm->arm_task); // timers belong to the loop's thread
    }
}

static void arm(void *self) {
    struct acpi_pm *pm = self;

    pthread_mutex_lock(&pm->device.lock);
    if (pm->wanted_ns == UINT64_MAX) {
        loop_timer_cancel(pm->loop, &pm->timer);
    } else {
        loop_timer_arm(pm->loop, &pm->timer, pm->wanted_ns);
    }
    pthread_mutex_unlock(&pm->device.lock);
}

static void timer_fired(void *self) {
    struct acpi_pm *pm = self;

    pthread_mutex_lock(&pm->device.lock);
    pm->wanted_ns = UINT64_MAX; // it is no longer armed
    update_timer_status(pm);
    sync(pm);
    pthread_mutex_unlock(&pm->device.lock);
}

void acpi_pm_press_power_button(struct acpi_pm *pm) {
    pthread_mutex_lock(&pm->device.lock);
    pm->state.pm1_sts |= PM1_PWRBTN;
    sync(pm);
    pthread_mutex_unlock(&pm->device.lock);
}

// ---- registers
// -----------------------------------------------------------------------------------

/// SLP_EN with a SLP_TYP that is no state of this machine does nothing.
static void write_sleep(struct acpi_pm *pm, uint16_t value) {
    if ((value & CNT_SLP_EN) && (value & CNT_SLP_TYP) >> CNT_SLP_TYP_SHIFT == ACPI_PM_SLP_TYP_S5 &&
        pm->power_off) {
        pm->power_off(pm->power_off_ctx);
    }
}

/// Writes one byte of the block; the specification allows byte accesses (4.8.1).
static void write_byte(struct acpi_pm *pm, uint64_t off, uint8_t value) {
    struct acpi_pm_state *st = &pm->state;
    unsigned shift = off % 2 * 8;
    uint16_t mask = (uint16_t)(0xFFu << shift);
    uint16_t bits = (uint16_t)(value << shift);

    switch (off & ~UINT64_C(1)) {
    case OFF_STS: // write 1 to clear
        st->pm1_sts &= (uint16_t)~bits;
        break;
    case OFF_EN:
        st->pm1_en = (uint16_t)(((st->pm1_en & ~mask) | bits) & EN_WRITABLE);
        break;
    case OFF_CNT:
        st->pm1_cnt = (uint16_t)(((st->pm1_cnt & ~mask) | bits) & CNT_WRITABLE);
        write_sleep(pm, bits);
        break;
    default: // PM_TMR is read-only
        break;
    }
}

static enum bus_result port_access(void *self, struct bus_access *access) {
    struct acpi_pm *pm = self;
    uint8_t block[PORTS_BYTES] = {0};

    if (access->size > 4) {
        return BUS_NOT_MINE;
    }
    update_timer_status(pm);
    if (access->is_write) {
        for (unsigned i = 0; i < access->size; i++) {
            write_byte(pm, access->offset + i, (uint8_t)(access->value >> (8 * i)));
        }
        sync(pm);
        return BUS_OK;
    }
    store_le16(block + OFF_STS, pm->state.pm1_sts);
    store_le16(block + OFF_EN, pm->state.pm1_en);
    store_le16(block + OFF_CNT, (uint16_t)(pm->state.pm1_cnt | CNT_SCI_EN));
    store_le32(block + OFF_TMR, (uint32_t)timer_ticks(pm));
    for (unsigned i = 0; i < access->size; i++) { // the bus has bounded offset and size
        access->value |= (uint64_t)block[access->offset + i] << (8 * i);
    }
    sync(pm);
    return BUS_OK;
}

// ---- life
// ----------------------------------------------------------------------------------------

/// Starts the timer's count at state.timer_ticks.
static void rebase_timer(struct acpi_pm *pm) {
    pm->base_ns = loop_now_ns(pm->loop);
    pm->seen_msb = pm->state.timer_ticks & TMR_MSB;
    pm->wanted_ns = UINT64_MAX; // what is armed may fire: it finds nothing to do
}

static void reset(void *self, device_reset_done_fn done, void *ctx) {
    struct acpi_pm *pm = self;

    state_reset(&table, &pm->state);
    rebase_timer(pm);
    sync(pm);
    done(ctx);
}

static void before_save(void *self) {
    struct acpi_pm *pm = self;

    update_timer_status(pm);
    pm->state.timer_ticks = timer_ticks(pm);
    pm->base_ns = loop_now_ns(pm->loop);
}

static int after_load(void *self) {
    struct acpi_pm *pm = self;

    pm->state.pm1_sts &= STS_VALID;
    pm->state.pm1_en &= EN_WRITABLE;
    pm->state.pm1_cnt &= CNT_WRITABLE;
    rebase_timer(pm);
    sync(pm);
    return 0;
}

static const struct device_ops ops = {
    .state = &table, .reset = reset, .after_load = after_load, .before_save = before_save};

int acpi_pm_init(struct acpi_pm *pm, const struct acpi_pm_config *config) {
    struct bus_region ports = {.start = ACPI_PM_BASE,
                               .size_bytes = PORTS_BYTES,
                               .fn = port_access,
                               .self = pm,
                               .lock = &pm->device.lock,
                               .name = "acpi-pm"};

    memset(pm, 0, sizeof(*pm));
    pm->loop = config->loop;
    pm->sci = config->sci;
    pm->power_off = config->power_off;
    pm->power_off_ctx = config->power_off_ctx;
    pm->arm_task = (struct loop_task){.fn = arm, .self = pm};
    pm->timer = (struct loop_timer){.fn = timer_fired, .self = pm};
    pm->wanted_ns = UINT64_MAX;
    device_init(&pm->device, "acpi-pm", &ops, pm, &pm->state);
    rebase_timer(pm);
    return bus_add(config->pio, &ports);
}
