// SPDX-License-Identifier: MIT
//
// VTL0's accesses to its local APIC's page (xAPIC mode): the instruction emulator carries them out,
// with VTL0's memory as its nested page tables show it (Intel SDM vol. 3, 11.4.1;
// docs/emulator.md).
#include "tools/minihost/vsm/vtl0_apic.h"

#include "tools/minihost/vsm/internal.h"
#include "vtl2/emulator/emulator.h"

#include <errno.h>
#include <string.h>

#define APIC_EOI_OFF  0xB0u
#define VECTOR_DB     1u
#define DR6_SINGLE    (UINT64_C(1) << 14)
#define PHYSICAL_BITS 48u

static struct hv_lapic *lapic_of(struct vsm_vp *vp) {
    return &vp->vtl[VSM_GUEST_VTL].lapic;
}

static void *ram(struct vsm_vp *vp, gpa_t gpa, size_t size_bytes, bool is_write) {
    return vp->partition->ops->memory(vp->partition, VSM_GUEST_VTL, gpa.value, size_bytes,
                                      is_write);
}

static enum emu_memory memory_kind(void *ctx, gpa_t page, bool is_write) {
    if (hv_lapic_owns_page(lapic_of(ctx), page)) {
        return EMU_MEMORY_MMIO;
    }
    return ram(ctx, page, PAGE_SIZE_4K, is_write) != NULL ? EMU_MEMORY_RAM : EMU_MEMORY_NONE;
}

static int ram_read(void *ctx, gpa_t gpa, void *out, size_t size_bytes) {
    return vsm_copy_in(ctx, VSM_GUEST_VTL, gpa.value, out, size_bytes);
}

static int ram_write(void *ctx, gpa_t gpa, const void *in, size_t size_bytes) {
    return vsm_copy_out(ctx, VSM_GUEST_VTL, gpa.value, in, size_bytes);
}

#define EXCHANGE(type)                                                                             \
    do {                                                                                           \
        type old, new;                                                                             \
        memcpy(&old, expected, sizeof(old));                                                       \
        memcpy(&new, desired, sizeof(new));                                                        \
        return __atomic_compare_exchange_n((type *)memory, &old, new, false, __ATOMIC_SEQ_CST,     \
                                           __ATOMIC_SEQ_CST)                                       \
                   ? 0                                                                             \
                   : -EAGAIN;                                                                      \
    } while (0)

static int ram_exchange(void *ctx, gpa_t gpa, const void *expected, const void *desired,
                        size_t size_bytes) {
    void *memory = ram(ctx, gpa, size_bytes, true);

    if (memory == NULL) {
        return -EFAULT;
    }
    switch (size_bytes) {
    case 1:
        EXCHANGE(uint8_t);
    case 2:
        EXCHANGE(uint16_t);
    case 4:
        EXCHANGE(uint32_t);
    case 8:
        EXCHANGE(uint64_t);
    default:
        return -EOPNOTSUPP;
    }
}

static int mmio_read(void *ctx, gpa_t gpa, uint8_t size_bytes, uint64_t *out) {
    struct vsm_vp *vp = ctx;
    struct hv_clock now = {.now_100ns = vp->partition->ops->now_100ns()};

    *out = hv_lapic_mmio_read(lapic_of(vp), now, (uint32_t)(gpa.value % PAGE_SIZE_4K), size_bytes);
    return 0;
}

static int mmio_write(void *ctx, gpa_t gpa, uint8_t size_bytes, uint64_t value) {
    struct vsm_vp *vp = ctx;
    struct hv_clock now = {.now_100ns = vp->partition->ops->now_100ns()};
    uint32_t off = (uint32_t)(gpa.value % PAGE_SIZE_4K);

    hv_lapic_mmio_write(lapic_of(vp), now, off, size_bytes, value);
    if (off == APIC_EOI_OFF) {
        hv_synic_eoi(&vp->vtl[VSM_GUEST_VTL].synic);
    }
    return 0;
}

// Port instructions never come here, and no operating system moves vector registers to an APIC.
static int pio_read(void *ctx, uint16_t port, uint8_t size_bytes, uint32_t *out) {
    (void)ctx, (void)port, (void)size_bytes, (void)out;
    return -EOPNOTSUPP;
}

static int pio_write(void *ctx, uint16_t port, uint8_t size_bytes, uint32_t value) {
    (void)ctx, (void)port, (void)size_bytes, (void)value;
    return -EOPNOTSUPP;
}

static int vector_read(void *ctx, unsigned idx, uint8_t out[EMU_VECTOR_BYTES]) {
    (void)ctx, (void)idx, (void)out;
    return -EOPNOTSUPP;
}

static int vector_write(void *ctx, unsigned idx, const uint8_t in[EMU_VECTOR_BYTES],
                        bool zero_upper) {
    (void)ctx, (void)idx, (void)in, (void)zero_upper;
    return -EOPNOTSUPP;
}

static const struct emu_ops ops = {
    .memory_kind = memory_kind,
    .ram_read = ram_read,
    .ram_write = ram_write,
    .ram_exchange = ram_exchange,
    .mmio_read = mmio_read,
    .mmio_write = mmio_write,
    .pio_read = pio_read,
    .pio_write = pio_write,
    .vector_read = vector_read,
    .vector_write = vector_write,
};

static struct vp_segment segment(const struct svm_segment *in) {
    return (struct vp_segment){.base = in->base,
                               .limit = in->limit,
                               .selector = in->selector,
                               .attributes = in->attributes};
}

static void read_state(struct vsm_vp *vp, struct emu_state *out) {
    const struct svm_vmcb *vmcb = vp->vtl[VSM_GUEST_VTL].vmcb;
    const struct svm_save *s = &vmcb->save;

    *out = (struct emu_state){
        .rip = s->rip,
        .rflags = s->rflags,
        .cr0 = s->cr0,
        .cr3 = s->cr3,
        .cr4 = s->cr4,
        .efer = s->efer,
        .cpl = (uint8_t)vsm_cpl(vmcb),
        .physical_address_bits = PHYSICAL_BITS,
        .segment = {[EMU_ES] = segment(&s->es),
                    [EMU_CS] = segment(&s->cs),
                    [EMU_SS] = segment(&s->ss),
                    [EMU_DS] = segment(&s->ds),
                    [EMU_FS] = segment(&s->fs),
                    [EMU_GS] = segment(&s->gs)},
        .tr = segment(&s->tr),
    };
    memcpy(out->gpr, vp->gpr, sizeof(out->gpr));
}

static void write_state(struct vsm_vp *vp, const struct emu_state *in) {
    struct svm_vmcb *vmcb = vp->vtl[VSM_GUEST_VTL].vmcb;

    memcpy(vp->gpr, in->gpr, sizeof(vp->gpr));
    vmcb->save.rip = in->rip;
    vmcb->save.rflags = in->rflags;
    vmcb->control.interrupt_shadow = 0;
}

enum vsm_apic_mmio vsm_apic_mmio(struct vsm_vp *vp) {
    struct emu_state state;
    struct emu_context context = {.state = &state, .ops = &ops, .ctx = vp};
    struct emu_result result;

    read_state(vp, &state);
    emu_run_one(&context, &result);
    if (result.status == EMU_UNHANDLED) {
        return VSM_APIC_MMIO_UNHANDLED;
    }
    // Also of a repeated instruction that faults: its earlier elements are done.
    write_state(vp, &state);
    if (result.status == EMU_FAULT) {
        vsm_inject_exception(vp, result.fault.vector, result.fault.has_error_code,
                             result.fault.error_code, result.fault.cr2);
        return VSM_APIC_MMIO_FAULT;
    }
    if (result.single_step) {
        vp->vtl[VSM_GUEST_VTL].vmcb->save.dr6 |= DR6_SINGLE;
        vsm_inject_exception(vp, VECTOR_DB, false, 0, 0);
    }
    return VSM_APIC_MMIO_DONE;
}
