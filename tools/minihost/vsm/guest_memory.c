// SPDX-License-Identifier: MIT
//
// Memory as a VTL sees it: copies, instruction bytes, and address translation on the guest's own
// page tables by the emulator's walker (TLFS, "HvCallTranslateVirtualAddress").
#include "tools/minihost/vsm/internal.h"

#include "vtl2/emulator/emulator.h"

#include <errno.h>
#include <string.h>

#define EFER_LMA UINT64_C(0x400)

static void *at(struct vsm_vp *vp, unsigned vtl, uint64_t gpa, size_t size_bytes, bool is_write) {
    return vp->partition->ops->memory(vp->partition, vtl, gpa, size_bytes, is_write);
}

/// Bytes of [gpa, gpa + size) that lie in its first page.
static size_t in_page(uint64_t gpa, size_t size_bytes) {
    size_t left = PAGE_SIZE_4K - (gpa & (PAGE_SIZE_4K - 1));

    return size_bytes < left ? size_bytes : left;
}

int vsm_copy_in(struct vsm_vp *vp, unsigned vtl, uint64_t gpa, void *out, size_t size_bytes) {
    uint8_t *to = out;

    while (size_bytes) {
        size_t part = in_page(gpa, size_bytes);
        const void *from = at(vp, vtl, gpa, part, false);

        if (!from) {
            return -EFAULT;
        }
        memcpy(to, from, part);
        to += part;
        gpa += part;
        size_bytes -= part;
    }
    return 0;
}

int vsm_copy_out(struct vsm_vp *vp, unsigned vtl, uint64_t gpa, const void *in, size_t size_bytes) {
    const uint8_t *from = in;

    while (size_bytes) {
        size_t part = in_page(gpa, size_bytes);
        void *to = at(vp, vtl, gpa, part, true);

        if (!to) {
            return -EFAULT;
        }
        memcpy(to, from, part);
        from += part;
        gpa += part;
        size_bytes -= part;
    }
    return 0;
}

// ---- the emulator's view -----------------------------------------------------------------------

/// What a walk is done for.
struct walk {
    struct vsm_vp *vp;
    unsigned vtl;
    bool sets_bits; ///< accessed and dirty are set
};

static enum emu_memory memory_kind(void *ctx, gpa_t page, bool is_write) {
    const struct walk *w = ctx;

    return at(w->vp, w->vtl, page.value, PAGE_SIZE_4K, is_write && w->sets_bits) ? EMU_MEMORY_RAM
                                                                                 : EMU_MEMORY_NONE;
}

static int ram_read(void *ctx, gpa_t gpa, void *out, size_t size_bytes) {
    const struct walk *w = ctx;

    return vsm_copy_in(w->vp, w->vtl, gpa.value, out, size_bytes);
}

static int ram_exchange(void *ctx, gpa_t gpa, const void *expected, const void *desired,
                        size_t size_bytes) {
    const struct walk *w = ctx;
    void *memory;

    if (!w->sets_bits) {
        return 0;
    }
    memory = at(w->vp, w->vtl, gpa.value, size_bytes, true);
    if (!memory) {
        return -EFAULT;
    }
    if (size_bytes == 8) {
        uint64_t old, new;

        memcpy(&old, expected, sizeof(old));
        memcpy(&new, desired, sizeof(new));
        return __atomic_compare_exchange_n((uint64_t *)memory, &old, new, false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_SEQ_CST)
                   ? 0
                   : -EAGAIN;
    }
    if (size_bytes == 4) {
        uint32_t old, new;

        memcpy(&old, expected, sizeof(old));
        memcpy(&new, desired, sizeof(new));
        return __atomic_compare_exchange_n((uint32_t *)memory, &old, new, false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_SEQ_CST)
                   ? 0
                   : -EAGAIN;
    }
    return -EINVAL;
}

static const struct emu_ops walk_ops = {
    .memory_kind = memory_kind,
    .ram_read = ram_read,
    .ram_exchange = ram_exchange,
};

static void segment_to_emu(const struct svm_segment *in, struct vp_segment *out) {
    *out = (struct vp_segment){.base = in->base,
                               .limit = in->limit,
                               .selector = in->selector,
                               .attributes = in->attributes};
}

static void state_to_emu(struct vsm_vp *vp, unsigned vtl, struct emu_state *out) {
    const struct svm_save *s = &vp->vtl[vtl].vmcb->save;

    memset(out, 0, sizeof(*out));
    out->rip = s->rip;
    out->rflags = s->rflags;
    out->cr0 = s->cr0;
    out->cr3 = s->cr3;
    out->cr4 = s->cr4;
    out->efer = s->efer;
    out->cpl = (uint8_t)vsm_cpl(vp->vtl[vtl].vmcb);
    out->physical_address_bits = 48;
    segment_to_emu(&s->cs, &out->segment[EMU_CS]);
    segment_to_emu(&s->ss, &out->segment[EMU_SS]);
}

size_t vsm_fetch_instruction(struct vsm_vp *vp, unsigned vtl, uint8_t out[15]) {
    const struct svm_save *s = &vp->vtl[vtl].vmcb->save;
    struct walk walk = {.vp = vp, .vtl = vtl, .sets_bits = true};
    struct emu_state state;
    struct emu_context context = {.state = &state, .ops = &walk_ops, .ctx = &walk};
    bool is_long = (s->efer & EFER_LMA) && (s->cs.attributes & SVM_SEGMENT_LONG);
    uint64_t linear = is_long ? s->rip : (uint32_t)(s->cs.base + s->rip);
    size_t done = 0;

    state_to_emu(vp, vtl, &state);
    while (done < EMU_MAX_INSN_BYTES) {
        size_t part = in_page(linear, EMU_MAX_INSN_BYTES - done);
        struct emu_fault fault;
        gpa_t gpa;

        if (emu_translate(&context, linear, EMU_EXECUTE, &gpa, &fault) != EMU_DONE ||
            vsm_copy_in(vp, vtl, gpa.value, out + done, part)) {
            break;
        }
        done += part;
        linear += part;
        if (!is_long) {
            linear = (uint32_t)linear;
        }
    }
    return done;
}

/// CPL and AC as the flags of the call want them.
static void apply_privilege(struct emu_state *state, uint64_t flags) {
    if (flags & (HV_TRANSLATE_PRIVILEGE_EXEMPT | HV_TRANSLATE_SUPERVISOR_ACCESS)) {
        state->cpl = 0;
    } else if (flags & HV_TRANSLATE_USER_ACCESS) {
        state->cpl = 3;
    }
    if (flags & (HV_TRANSLATE_PRIVILEGE_EXEMPT | HV_TRANSLATE_OVERRIDE_SMAP)) {
        state->rflags |= UINT64_C(1) << 18;
    } else if (flags & HV_TRANSLATE_ENFORCE_SMAP) {
        state->rflags &= ~(UINT64_C(1) << 18);
    }
}

uint32_t vsm_translate(struct vsm_vp *vp, unsigned vtl, uint64_t linear, uint64_t flags,
                       uint64_t *gpa) {
    struct walk walk = {
        .vp = vp, .vtl = vtl, .sets_bits = flags & HV_TRANSLATE_SET_PAGE_TABLE_BITS};
    struct emu_state state;
    struct emu_context context = {.state = &state, .ops = &walk_ops, .ctx = &walk};
    enum emu_access access = flags & HV_TRANSLATE_VALIDATE_WRITE     ? EMU_WRITE
                             : flags & HV_TRANSLATE_VALIDATE_EXECUTE ? EMU_EXECUTE
                                                                     : EMU_READ;
    struct emu_fault fault = {0};
    enum emu_status status = EMU_RETRY;
    gpa_t out = {0};

    state_to_emu(vp, vtl, &state);
    apply_privilege(&state, flags);
    // Another CPU may change an entry under the walk: a few attempts, then it is the caller's turn.
    for (unsigned i = 0; i < 4 && status == EMU_RETRY; i++) {
        status = emu_translate(&context, linear, access, &out, &fault);
    }
    if (status == EMU_DONE) {
        *gpa = out.value;
        return HV_TRANSLATE_SUCCESS;
    }
    if (status != EMU_FAULT) {
        return HV_TRANSLATE_GPA_UNMAPPED; // a page table outside memory
    }
    if (!(fault.error_code & 1)) {
        return HV_TRANSLATE_PAGE_NOT_PRESENT;
    }
    return fault.error_code & 8 ? HV_TRANSLATE_INVALID_PAGE_TABLE_FLAGS
                                : HV_TRANSLATE_PRIVILEGE_VIOLATION;
}
