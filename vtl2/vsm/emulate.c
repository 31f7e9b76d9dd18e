// SPDX-License-Identifier: MIT
//
// Intercepted instructions that touch a device, by the emulator in vtl2/emulator. Its accesses go
// to vtl2_config.access one after the other, on the VP's thread: an instruction may make several,
// and it is carried out as a whole before the VP runs on.
//
// Whatever is not RAM of the guest's is a device for it, also VTL2's own memory: nothing claims an
// access there, it reads as ones.
#include "vtl2/vsm/internal.h"

#include "igvm/base/bytes.h"
#include "igvm/base/log.h"
#include "vtl2/emulator/emulator.h"

#include <errno.h>
#include <string.h>

#define VECTOR_UD 6u
#define VECTOR_PF 14u

#define FX_XMM_OFF 160u ///< of XMM0 in an FXSAVE image
#define XMM_BYTES  16u

// ---- what the emulator asks for ----

static enum emu_memory memory_kind(void *ctx, gpa_t page, bool is_write) {
    const struct vp *vp = ctx;

    return vsm_ram(vp->partition, page, PAGE_SIZE_4K, is_write) ? EMU_MEMORY_RAM : EMU_MEMORY_MMIO;
}

static int ram_read(void *ctx, gpa_t gpa, void *out, size_t size_bytes) {
    const struct vp *vp = ctx;
    const uint8_t *host = vsm_ram(vp->partition, gpa, size_bytes, false);

    if (host == NULL) {
        return -EFAULT;
    }
    memcpy(out, host, size_bytes);
    return 0;
}

static int ram_write(void *ctx, gpa_t gpa, const void *in, size_t size_bytes) {
    const struct vp *vp = ctx;
    uint8_t *host = vsm_ram(vp->partition, gpa, size_bytes, true);

    if (host == NULL) {
        return -EFAULT;
    }
    memcpy(host, in, size_bytes);
    return 0;
}

/// CMPXCHG16B: what compilers make of a 16-byte builtin is a library call.
static bool exchange_16(void *host, const void *expected, const void *desired) {
    uint64_t old[2], new[2];
    bool equal;

    memcpy(old, expected, sizeof(old));
    memcpy(new, desired, sizeof(new));
    __asm__ volatile("lock cmpxchg16b %[memory]"
                     : [memory] "+m"(*(uint64_t(*)[2])host), "+a"(old[0]), "+d"(old[1]),
                       "=@ccz"(equal)
                     : "b"(new[0]), "c"(new[1]));
    return equal;
}

#define DEFINE_EXCHANGE(name, type)                                                                \
    static bool name(void *host, const void *expected, const void *desired) {                      \
        type old_value, new_value;                                                                 \
        memcpy(&old_value, expected, sizeof(old_value));                                           \
        memcpy(&new_value, desired, sizeof(new_value));                                            \
        return __atomic_compare_exchange_n((type *)host, &old_value, new_value, false,             \
                                           __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                    \
    }

DEFINE_EXCHANGE(exchange_1, uint8_t)
DEFINE_EXCHANGE(exchange_2, uint16_t)
DEFINE_EXCHANGE(exchange_4, uint32_t)
DEFINE_EXCHANGE(exchange_8, uint64_t)

static int ram_exchange(void *ctx, gpa_t gpa, const void *expected, const void *desired,
                        size_t size_bytes) {
    const struct vp *vp = ctx;
    uint8_t *host = vsm_ram(vp->partition, gpa, size_bytes, true);
    bool equal;

    if (host == NULL || !is_aligned((uintptr_t)host, size_bytes)) {
        return -EFAULT;
    }
    switch (size_bytes) {
    case 1:
        equal = exchange_1(host, expected, desired);
        break;
    case 2:
        equal = exchange_2(host, expected, desired);
        break;
    case 4:
        equal = exchange_4(host, expected, desired);
        break;
    case 8:
        equal = exchange_8(host, expected, desired);
        break;
    case 16:
        equal = exchange_16(host, expected, desired);
        break;
    default:
        return -EFAULT;
    }
    return equal ? 0 : -EAGAIN;
}

static void device_access(const struct vp *vp, struct vp_exit *exit) {
    vp->partition->config.access(vp->partition->config.access_ctx, vp->index, exit);
}

static int mmio_read(void *ctx, gpa_t gpa, uint8_t size_bytes, uint64_t *out) {
    struct vp_exit exit = {.kind = VP_EXIT_MMIO, .mmio = {.gpa = gpa, .size = size_bytes}};

    device_access(ctx, &exit);
    *out = exit.mmio.value;
    return 0;
}

static int mmio_write(void *ctx, gpa_t gpa, uint8_t size_bytes, uint64_t value) {
    struct vp_exit exit = {
        .kind = VP_EXIT_MMIO,
        .mmio = {.gpa = gpa, .size = size_bytes, .is_write = true, .value = value},
    };

    device_access(ctx, &exit);
    return 0;
}

static void port_access(const struct vp *vp, uint16_t port, uint8_t size_bytes, bool is_write,
                        uint8_t data[4]) {
    struct vp_exit exit = {
        .kind = VP_EXIT_PIO,
        .pio = {.port = port, .size = size_bytes, .is_write = is_write, .count = 1, .data = data},
    };

    device_access(vp, &exit);
}

static int pio_read(void *ctx, uint16_t port, uint8_t size_bytes, uint32_t *out) {
    uint8_t data[4] = {0};

    port_access(ctx, port, size_bytes, false, data);
    *out = load_le32(data);
    return 0;
}

static int pio_write(void *ctx, uint16_t port, uint8_t size_bytes, uint32_t value) {
    uint8_t data[4];

    store_le32(data, value);
    port_access(ctx, port, size_bytes, true, data);
    return 0;
}

// The upper halves of YMM are still in the processor (VTL2 does not use them), out of reach: an
// instruction that needs them is not emulated. emu_state.xcr0 says that there is no AVX.
static int vector_read(void *ctx, unsigned idx, uint8_t out[EMU_VECTOR_BYTES]) {
    const struct vp *vp = ctx;

    memset(out, 0, EMU_VECTOR_BYTES);
    memcpy(out, vp->run->fx_state + FX_XMM_OFF + (size_t)idx * XMM_BYTES, XMM_BYTES);
    return 0;
}

static int vector_write(void *ctx, unsigned idx, const uint8_t in[EMU_VECTOR_BYTES],
                        bool zero_upper) {
    struct vp *vp = ctx;

    if (zero_upper) {
        return -ENOTSUP;
    }
    memcpy(vp->run->fx_state + FX_XMM_OFF + (size_t)idx * XMM_BYTES, in, XMM_BYTES);
    return 0;
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

// ---- registers ----

#define XCR0_X87_SSE 3u

// The order of both is the encoding's.
static void take_segments(struct emu_state *s, const struct hv_register_page *page) {
    s->segment[EMU_ES] = vsm_segment_from_hv(&page->es);
    s->segment[EMU_CS] = vsm_segment_from_hv(&page->cs);
    s->segment[EMU_SS] = vsm_segment_from_hv(&page->ss);
    s->segment[EMU_DS] = vsm_segment_from_hv(&page->ds);
    s->segment[EMU_FS] = vsm_segment_from_hv(&page->fs);
    s->segment[EMU_GS] = vsm_segment_from_hv(&page->gs);
}

static void take_page(struct emu_state *s, const struct hv_register_page *page) {
    s->gpr[EMU_RSP] = page->gpr[EMU_RSP];
    s->rip = page->rip;
    s->rflags = page->rflags;
    s->cr0 = page->cr0;
    s->cr3 = page->cr3;
    s->cr4 = page->cr4;
    s->efer = page->efer;
    take_segments(s, page);
}

/// Without a register page: everything in one hypercall.
static int take_by_hypercall(const struct vp *vp, struct emu_state *s) {
    static const uint32_t names[] = {
        HV_REGISTER_RSP,    HV_REGISTER_RIP,    HV_REGISTER_RFLAGS, HV_REGISTER_CR0,
        HV_REGISTER_CR3,    HV_REGISTER_CR4,    HV_REGISTER_EFER,   HV_REGISTER_ES,
        HV_REGISTER_ES + 1, HV_REGISTER_ES + 2, HV_REGISTER_ES + 3, HV_REGISTER_ES + 4,
        HV_REGISTER_ES + 5,
    };
    struct hv_register_value values[ARRAY_COUNT(names)] = {0};
    int result =
        vsm_get(vp->partition, HV_VP_INDEX_SELF, names, values, (uint32_t)ARRAY_COUNT(names));

    s->gpr[EMU_RSP] = values[0].low;
    s->rip = values[1].low;
    s->rflags = values[2].low;
    s->cr0 = values[3].low;
    s->cr3 = values[4].low;
    s->cr4 = values[5].low;
    s->efer = values[6].low;
    for (unsigned i = 0; i < EMU_SEGMENT_COUNT; i++) {
        s->segment[i] = vsm_segment_from_hv(&values[7 + i].segment);
    }
    return result;
}

#define RFLAGS_IOPL(rflags) (((rflags) >> 12) & 3)
#define RFLAGS_VM           (UINT64_C(1) << 17)

/// Whether the I/O permission bitmap, which TR leads to, decides about this instruction.
static bool needs_tr(const struct vp *vp, const struct emu_state *s) {
    return !vp->event.emulate.is_memory &&
           (s->cpl > RFLAGS_IOPL(s->rflags) || (s->rflags & RFLAGS_VM));
}

static int take_registers(const struct vp *vp, struct emu_state *s) {
    const uint32_t name = HV_REGISTER_TR;
    struct hv_register_value tr = {0};
    int result = 0;

    memset(s, 0, sizeof(*s));
    memcpy(s->gpr, vp->run->gpr, sizeof(s->gpr)); // RSP's place holds CR2: overwritten below
    s->cpl = vp->event.cpl;
    s->xcr0 = XCR0_X87_SSE;
    if (vp->page_fresh) {
        take_page(s, vp->registers);
    } else {
        result = take_by_hypercall(vp, s);
    }
    if (result == 0 && needs_tr(vp, s)) {
        result = vsm_get(vp->partition, HV_VP_INDEX_SELF, &name, &tr, 1);
        s->tr = vsm_segment_from_hv(&tr.segment);
    }
    return result;
}

/// Hands back what the emulator has changed. *before: as take_registers() gave it.
static int give_registers(struct vp *vp, const struct emu_state *before,
                          const struct emu_state *now, bool single_step) {
    uint64_t cr2 = vp->run->gpr[MSHV_GPR_CR2];
    int result = 0;

    memcpy(vp->run->gpr, now->gpr, sizeof(now->gpr));
    vp->run->gpr[MSHV_GPR_CR2] = cr2;
    if (now->gpr[EMU_RSP] != before->gpr[EMU_RSP]) {
        result = vsm_set_u64(vp->partition, HV_REGISTER_RSP, now->gpr[EMU_RSP]);
    }
    if (result == 0 && now->rflags != before->rflags) {
        result = vsm_set_rflags(vp, now->rflags);
    }
    if (result < 0 || (now->rip == before->rip && !single_step)) {
        return result;
    }
    return vsm_complete(vp, now->rip, single_step);
}

// ---- the instruction ----

static int give_fault(struct vp *vp, const struct emu_fault *fault) {
    if (fault->vector == VECTOR_PF) {
        vp->run->gpr[MSHV_GPR_CR2] = fault->cr2;
    }
    return vsm_inject(vp, fault->vector, fault->has_error_code, fault->error_code, fault->cr2);
}

/// The guest gets an exception that says: not with this memory.
static int refuse(struct vp *vp, const struct emu_result *r) {
    LOG_LIMITED(LOG_WARN, "vsm",
                "VP %u: no instruction for the emulator at rip %#llx (gpa %#llx, access %u): "
                "%02x %02x %02x %02x %02x %02x",
                vp->index, (unsigned long long)vp->event.rip,
                (unsigned long long)vp->event.emulate.gpa, vp->event.emulate.access, r->insn[0],
                r->insn[1], r->insn[2], r->insn[3], r->insn[4], r->insn[5]);
    return vsm_inject(vp, VECTOR_UD, false, 0, 0);
}

int vsm_emulate(struct vp *vp) {
    struct emu_state before, state;
    struct emu_context context = {.state = &state, .ops = &ops, .ctx = vp};
    struct emu_result done = {0};
    int result;

    if (vp->event.emulate.access == HV_INTERCEPT_EXECUTE) {
        return refuse(vp, &done); // code where there is no memory
    }
    result = take_registers(vp, &before);
    if (result < 0) {
        return result;
    }
    state = before;
    context.insn_bytes = vp->event.emulate.insn_bytes;
    memcpy(context.insn, vp->event.emulate.insn, context.insn_bytes);
    emu_run_one(&context, &done);
    if (done.status == EMU_UNHANDLED) {
        return refuse(vp, &done);
    }
    result = give_registers(vp, &before, &state, done.single_step);
    if (result == 0 && done.status == EMU_FAULT) {
        result = give_fault(vp, &done.fault);
    }
    return result;
}
