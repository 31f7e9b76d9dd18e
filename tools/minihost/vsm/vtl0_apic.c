// SPDX-License-Identifier: MIT
//
// VTL0's local APIC, SynIC and synthetic timers, and VTL2's SynIC: the glue around vtl2/hv (TLFS,
// "Virtual Interrupt Control", "Timers").
#include "tools/minihost/vsm/vtl0_apic.h"

#include "tools/minihost/vsm/internal.h"

#include "igvm/base/check.h"

#include <errno.h>

#define X2APIC_EOI_MSR 0x80Bu
#define PHYSICAL_BITS  48u

/// VTL0's TSC-deadline mode is not offered (CPUID hides it), so that its TSC is nobody's concern.
static struct hv_clock clock_of(const struct vsm_vp *vp) {
    return (struct hv_clock){.now_100ns = vp->partition->ops->now_100ns()};
}

// ---- the APICs' bus -----------------------------------------------------------------------------

static struct hv_lapic *bus_lapic(void *ctx, uint32_t index) {
    struct vsm_partition *partition = ctx;

    return &partition->vps[index].vtl[VSM_GUEST_VTL].lapic;
}

static void bus_kick(void *ctx, uint32_t index) {
    struct vsm_partition *partition = ctx;

    vsm_kick_vtl0(&partition->vps[index]);
}

// ---- SynIC --------------------------------------------------------------------------------------

static enum vsm_overlay_kind overlay_of(enum hv_synic_page which) {
    return which == HV_SYNIC_SIMP ? VSM_OVERLAY_SIMP : VSM_OVERLAY_SIEFP;
}

static void *guest_page(void *ctx, enum hv_synic_page which) {
    return vsm_overlay_page(ctx, VSM_GUEST_VTL, overlay_of(which));
}

static bool guest_set_page(void *ctx, enum hv_synic_page which, bool enabled, gpa_t gpa) {
    return vsm_overlay_set(ctx, VSM_GUEST_VTL, overlay_of(which), enabled, gpa.value) == 0;
}

/// SINTs and direct-mode timers alike.
static void guest_interrupt(void *ctx, uint8_t vector) {
    struct vsm_vp *vp = ctx;

    hv_lapic_raise(&vp->vtl[VSM_GUEST_VTL].lapic, vector);
}

static void guest_ready(void *ctx, uint32_t sints) {
    struct vsm_vp *vp = ctx;

    hv_stimers_retry(&vp->vtl[VSM_GUEST_VTL].stimers, vp->partition->ops->now_100ns(), sints);
}

static const struct hv_synic_ops guest_synic_ops = {
    .page = guest_page,
    .set_page = guest_set_page,
    .interrupt = guest_interrupt,
    .ready = guest_ready,
};

static void *paravisor_page(void *ctx, enum hv_synic_page which) {
    return vsm_overlay_page(ctx, VSM_PARAVISOR, overlay_of(which));
}

static bool paravisor_set_page(void *ctx, enum hv_synic_page which, bool enabled, gpa_t gpa) {
    return vsm_overlay_set(ctx, VSM_PARAVISOR, overlay_of(which), enabled, gpa.value) == 0;
}

static void paravisor_interrupt(void *ctx, uint8_t vector) {
    struct vsm_vp *vp = ctx;

    vp->partition->ops->raise_vtl2(vp, vector);
}

/// VTL2 has no synthetic timers, and who posts to it keeps nothing to post again.
static void paravisor_ready(void *ctx, uint32_t sints) {
    (void)ctx;
    (void)sints;
}

static const struct hv_synic_ops paravisor_synic_ops = {
    .page = paravisor_page,
    .set_page = paravisor_set_page,
    .interrupt = paravisor_interrupt,
    .ready = paravisor_ready,
};

// ---- timers -------------------------------------------------------------------------------------

static int post_expiry(void *ctx, unsigned sint, const struct hv_timer_message *payload) {
    struct vsm_vp *vp = ctx;

    return hv_synic_post(&vp->vtl[VSM_GUEST_VTL].synic, sint, HV_MESSAGE_TIMER_EXPIRED, 0, payload,
                         sizeof(*payload));
}

static const struct hv_stimer_ops stimer_ops = {.interrupt = guest_interrupt, .post = post_expiry};

// ---- set up -------------------------------------------------------------------------------------

void vsm_apic_init(struct vsm_partition *partition) {
    struct hv_apic_bus *bus = &partition->apic_bus;

    *bus = (struct hv_apic_bus){
        .count = partition->vp_count, .ctx = partition, .lapic = bus_lapic, .kick = bus_kick};
    for (uint32_t i = 0; i < partition->vp_count; i++) {
        struct vsm_vp *vp = &partition->vps[i];
        struct vsm_vtl *guest = &vp->vtl[VSM_GUEST_VTL];
        struct hv_lapic_config config = {.id = vp->apic_id,
                                         .index = i,
                                         .is_bsp = i == 0,
                                         .physical_address_bits = PHYSICAL_BITS,
                                         .timer_hz = partition->apic_hz};

        // The numbers are minihost's own.
        CHECK(hv_lapic_init(&guest->lapic, &config, bus) == 0);
        hv_synic_init(&guest->synic, &guest_synic_ops, vp);
        hv_stimers_init(&guest->stimers, &stimer_ops, vp);
        hv_synic_init(&vp->vtl[VSM_PARAVISOR].synic, &paravisor_synic_ops, vp);
    }
}

void vsm_apic_reset_vp(struct vsm_vp *vp) {
    struct vsm_vtl *guest = &vp->vtl[VSM_GUEST_VTL];

    hv_stimers_reset(&guest->stimers);
    hv_synic_reset(&guest->synic);
    hv_lapic_reset(&guest->lapic);
}

// ---- accesses -----------------------------------------------------------------------------------

int vsm_apic_read_msr(struct vsm_vp *vp, unsigned vtl, uint32_t index, uint64_t *value) {
    struct vsm_vtl *v = &vp->vtl[vtl];
    int rc = hv_synic_read_msr(&v->synic, index, value);

    if (vtl != VSM_GUEST_VTL || rc != -ENOENT) {
        return rc;
    }
    rc = hv_stimers_read_msr(&v->stimers, index, value);
    return rc != -ENOENT ? rc : hv_lapic_read_msr(&v->lapic, clock_of(vp), index, value);
}

int vsm_apic_write_msr(struct vsm_vp *vp, unsigned vtl, uint32_t index, uint64_t value) {
    struct vsm_vtl *v = &vp->vtl[vtl];
    int rc = hv_synic_write_msr(&v->synic, index, value);

    if (vtl != VSM_GUEST_VTL || rc != -ENOENT) {
        return rc;
    }
    rc = hv_stimers_write_msr(&v->stimers, vp->partition->ops->now_100ns(), index, value);
    if (rc != -ENOENT) {
        return rc;
    }
    rc = hv_lapic_write_msr(&v->lapic, clock_of(vp), index, value);
    if (rc == 0 && (index == X2APIC_EOI_MSR || index == HV_MSR_EOI)) {
        hv_synic_eoi(&v->synic);
    }
    return rc;
}

bool vsm_apic_owns_page(const struct vsm_vp *vp, uint64_t gpa_page) {
    return hv_lapic_owns_page(&vp->vtl[VSM_GUEST_VTL].lapic, gpa(gpa_page));
}

int vsm_apic_assert(struct vsm_partition *partition, const struct hv_apic_message *message) {
    return hv_apic_send(&partition->apic_bus, message);
}

// ---- before VTL0 is entered ---------------------------------------------------------------------

uint32_t vsm_apic_collect(struct vsm_vp *vp, uint8_t *sipi_vector) {
    struct vsm_vtl *guest = &vp->vtl[VSM_GUEST_VTL];
    struct hv_clock now = clock_of(vp);

    hv_stimers_advance(&guest->stimers, now.now_100ns);
    hv_lapic_advance(&guest->lapic, now);
    return hv_lapic_collect(&guest->lapic, sipi_vector);
}

uint64_t vsm_apic_deadline(const struct vsm_vp *vp) {
    const struct vsm_vtl *guest = &vp->vtl[VSM_GUEST_VTL];
    uint64_t synthetic = hv_stimers_deadline(&guest->stimers);
    uint64_t apic = hv_lapic_deadline(&guest->lapic, clock_of(vp));

    return synthetic < apic ? synthetic : apic;
}

int vsm_apic_take_eoi(struct vsm_vp *vp) {
    return hv_lapic_take_eoi(&vp->vtl[VSM_GUEST_VTL].lapic);
}
