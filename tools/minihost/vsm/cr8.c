// SPDX-License-Identifier: MIT
//
// VTL0's writes of CR8 (TPR's upper half) while a virtual interrupt waits for a window. The
// processor could see for itself that the window opens, but QEMU's emulation aborts there: it
// raises the virtual interrupt without the lock that this needs (target/i386, writes of CR8 with
// V_INTR_MASKING). So these writes exit, and what VTL0 can take is decided anew before its next
// entry.
#include "tools/minihost/vsm/internal.h"

#define VECTOR_UD  6u
#define VECTOR_GP  13u
#define EFER_LMA   (UINT64_C(1) << 10)
#define CR8_MAX    15u
#define REX_FIRST  0x40u
#define REX_LAST   0x4fu
#define REX_R      4u
#define REX_B      1u
#define LOCK       0xf0u ///< LOCK MOV CR0 is MOV CR8 (CPUID 0x80000001 ECX[4])
#define MODRM_REG  0x38u
#define PREFIX_MAX 14u

/// MOV CR8, r64 at bytes: its length and the general register, or 0.
static unsigned decode(const uint8_t *bytes, size_t count, bool is_long, unsigned *gpr) {
    bool has_lock = false;
    uint8_t rex = 0;
    size_t at = 0;

    while (at < count && at < PREFIX_MAX) {
        uint8_t b = bytes[at];

        if (is_long && b >= REX_FIRST && b <= REX_LAST) {
            rex = b;
        } else if (b == LOCK || b == 0x66 || b == 0x67 || b == 0xf2 || b == 0xf3) {
            has_lock |= b == LOCK;
            rex = 0; // counts only right before the opcode
        } else {
            break;
        }
        at++;
    }
    if (count < at + 3 || bytes[at] != 0x0f || bytes[at + 1] != 0x22 ||
        (bytes[at + 2] & MODRM_REG) != 0 || !(has_lock || (rex & REX_R))) {
        return 0;
    }
    *gpr = (bytes[at + 2] & 7u) | (rex & REX_B ? 8u : 0);
    return (unsigned)at + 3;
}

enum vsm_next vsm_write_cr8(struct vsm_vp *vp) {
    struct vsm_vtl *vtl0 = &vp->vtl[VSM_GUEST_VTL];
    struct svm_vmcb *vmcb = vtl0->vmcb;
    bool is_long = (vmcb->save.efer & EFER_LMA) && (vmcb->save.cs.attributes & SVM_SEGMENT_LONG);
    uint8_t bytes[15];
    size_t count = vsm_fetch_instruction(vp, VSM_GUEST_VTL, bytes);
    unsigned gpr = 0, length = decode(bytes, count, is_long, &gpr);
    uint64_t value;

    if (length == 0) { // changed under the instruction
        vsm_inject_exception(vp, VECTOR_UD, false, 0, 0);
        return VSM_RUN;
    }
    value = is_long ? vp->gpr[gpr] : (uint32_t)vp->gpr[gpr];
    if (value > CR8_MAX) {
        vsm_inject_exception(vp, VECTOR_GP, true, 0, 0);
        return VSM_RUN;
    }
    hv_lapic_set_cr8(&vtl0->lapic, (uint8_t)value);
    vmcb->control.int_ctl = (vmcb->control.int_ctl & ~(uint64_t)SVM_INT_V_TPR_MASK) | value;
    vsm_skip(vp, length);
    return VSM_RUN;
}
