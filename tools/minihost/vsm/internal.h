// SPDX-License-Identifier: MIT
//
// What the partition's files share. vsm.h has the contract with the outside.
//
// Errors inside: 0 or a negative errno; hypercall handlers and register accessors return
// HV_STATUS_*.
#pragma once

#include "tools/minihost/vsm/vsm.h"

#define VSM_PAT_RESET UINT64_C(0x0007040600070406)

// Where the VTL call and VTL return code stand in the hypercall page.
#define VSM_CODE_OFFSET_CALL   0x0fu
#define VSM_CODE_OFFSET_RETURN 0x26u

// partition.c
/// Something waits for a VP's VTL0: makes it look, unless it will anyway before VTL0 runs again.
void vsm_kick_vtl0(struct vsm_vp *vp);
/// VTL0 of a VP back to its power-on or INIT state; is_init keeps what INIT keeps. Its APIC is not
/// touched. Waits for a start-up message unless it is the BSP's.
void vsm_reset_vtl0(struct vsm_vp *vp, bool is_init);
/// Prints one readable screen about a VP and stops the partition.
enum vsm_next vsm_fail(struct vsm_vp *vp, const char *what);
void vsm_print_state(struct vsm_vp *vp, unsigned vtl);

/// RSP of a VTL: the active one's lives in gpr.
static inline uint64_t vsm_rsp(const struct vsm_vp *vp, unsigned vtl) {
    return vtl == vp->active_vtl ? vp->gpr[VSM_RSP] : vp->vtl[vtl].vmcb->save.rsp;
}
static inline void vsm_set_rsp(struct vsm_vp *vp, unsigned vtl, uint64_t value) {
    if (vtl == vp->active_vtl) {
        vp->gpr[VSM_RSP] = value;
    } else {
        vp->vtl[vtl].vmcb->save.rsp = value;
    }
}
static inline unsigned vsm_cpl(const struct svm_vmcb *vmcb) {
    return (vmcb->save.ss.attributes & SVM_SEGMENT_DPL_MASK) >> SVM_SEGMENT_DPL_SHIFT;
}
static inline void vsm_skip(struct vsm_vp *vp, unsigned length_bytes) {
    struct svm_vmcb *vmcb = vp->vtl[vp->active_vtl].vmcb;

    vmcb->save.rip += length_bytes;
    vmcb->control.interrupt_shadow = 0;
}

// overlay.c
/// Enables, moves or disables one of the hypervisor's pages. 0, -EINVAL for an address that cannot
/// be, or what ops.overlay() says.
int vsm_overlay_set(struct vsm_vp *vp, unsigned vtl, enum vsm_overlay_kind kind, bool enabled,
                    uint64_t gpa);
/// The page while it is enabled, or NULL.
void *vsm_overlay_page(struct vsm_vp *vp, unsigned vtl, enum vsm_overlay_kind kind);

// guest_memory.c
/// Copies memory as a VTL sees it; a range may cross pages. 0 or -EFAULT.
int vsm_copy_in(struct vsm_vp *vp, unsigned vtl, uint64_t gpa, void *out, size_t size_bytes);
int vsm_copy_out(struct vsm_vp *vp, unsigned vtl, uint64_t gpa, const void *in, size_t size_bytes);
/// Instruction bytes at a VTL's CS:RIP, as far as they can be fetched: 0..15.
size_t vsm_fetch_instruction(struct vsm_vp *vp, unsigned vtl, uint8_t out[15]);
/// Walks a VTL's page tables for TranslateVirtualAddress; enum hv_translate_code.
uint32_t vsm_translate(struct vsm_vp *vp, unsigned vtl, uint64_t linear, uint64_t flags,
                       uint64_t *gpa);

// cpuid.c
void vsm_cpuid(struct vsm_vp *vp, unsigned vtl, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);

// msr.c
/// 0; -EPERM: #GP; -ENOENT: nothing known about it.
int vsm_read_msr(struct vsm_vp *vp, unsigned vtl, uint32_t index, uint64_t *value);
int vsm_write_msr(struct vsm_vp *vp, unsigned vtl, uint32_t index, uint64_t value);
/// The time stamp counter as a VTL reads it.
uint64_t vsm_read_tsc(const struct vsm_vp *vp, unsigned vtl);
/// EFER as software may set it: SVME stays, LMA is the processor's. False: reserved bits.
bool vsm_set_efer(struct svm_vmcb *vmcb, uint64_t value);

// msr_synthetic.c: as vsm_read_msr() and vsm_write_msr()
int vsm_synthetic_read(struct vsm_vp *vp, unsigned vtl, uint32_t index, uint64_t *value);
int vsm_synthetic_write(struct vsm_vp *vp, unsigned vtl, uint32_t index, uint64_t value);

// registers.c
#define VSM_HYPERVISOR VSM_VTL_COUNT ///< as caller_vtl: minihost itself
/// vtl's register of this VP, as from caller_vtl. HV_STATUS_*.
uint16_t vsm_register_get(struct vsm_vp *vp, unsigned caller_vtl, unsigned vtl, uint32_t name,
                          struct hv_register_value *value);
uint16_t vsm_register_set(struct vsm_vp *vp, unsigned caller_vtl, unsigned vtl, uint32_t name,
                          const struct hv_register_value *value);
void vsm_hv_segment(const struct svm_segment *in, struct hv_segment_register *out);
void vsm_svm_segment(const struct hv_segment_register *in, struct svm_segment *out);
/// Applies an initial context to a VTL that does not run.
void vsm_set_context(struct vsm_vp *vp, unsigned vtl, const struct hv_initial_vp_context *context);

// registers_config.c
bool vsm_is_config(uint32_t name);
uint16_t vsm_config_get(struct vsm_vp *vp, unsigned caller_vtl, unsigned vtl, uint32_t name,
                        uint64_t *low);
uint16_t vsm_config_set(struct vsm_vp *vp, unsigned caller_vtl, unsigned vtl, uint32_t name,
                        uint64_t low);
/// 128 bits: what the CPUID leaf of the same meaning says. False: none of these.
bool vsm_cpuid_register_get(struct vsm_vp *vp, unsigned vtl, uint32_t name,
                            struct hv_register_value *value);

// registers_guest.c: HV_STATUS_*, or -ENOENT: none of these
int vsm_guest_state_get(struct vsm_vp *vp, uint32_t name, struct hv_register_value *value);
int vsm_guest_state_set(struct vsm_vp *vp, uint32_t name, const struct hv_register_value *value);
/// The local APIC's, by its x2APIC register numbers.
int vsm_apic_register_get(struct vsm_vp *vp, uint32_t name, struct hv_register_value *value);
int vsm_apic_register_set(struct vsm_vp *vp, uint32_t name, const struct hv_register_value *value);

// switch.c
/// From VTL0 to VTL2: shared state moves, the reason goes to the VP assist page.
enum vsm_next vsm_enter_vtl2(struct vsm_vp *vp, enum hv_vtl_entry_reason reason);
/// HvCallVtlReturn of VTL2.
enum vsm_next vsm_vtl_return(struct vsm_vp *vp);

// intercept.c: tell VTL2 about an exit of VTL0, and go there
enum vsm_next vsm_intercept_io(struct vsm_vp *vp);
enum vsm_next vsm_intercept_msr(struct vsm_vp *vp, uint32_t index, bool is_write, uint64_t value);
enum vsm_next vsm_intercept_cpuid(struct vsm_vp *vp, const uint32_t in[4], const uint32_t out[4]);
enum vsm_next vsm_intercept_memory(struct vsm_vp *vp);
enum vsm_next vsm_intercept_exception(struct vsm_vp *vp, uint8_t vector);
enum vsm_next vsm_intercept_hypercall(struct vsm_vp *vp);
enum vsm_next vsm_intercept_shutdown(struct vsm_vp *vp);
enum vsm_next vsm_intercept_deliverable(struct vsm_vp *vp, uint8_t type);
enum vsm_next vsm_intercept_eoi(struct vsm_vp *vp, uint8_t vector);
enum vsm_next vsm_intercept_sipi(struct vsm_vp *vp, uint32_t target_vp, uint8_t vector);

// inject.c
/// An exception for the active VTL at its next entry.
void vsm_inject_exception(struct vsm_vp *vp, uint8_t vector, bool has_error_code,
                          uint32_t error_code, uint64_t cr2);
/// After every exit of VTL0: what was being delivered is kept.
void vsm_keep_interrupted_event(struct vsm_vp *vp);
/// Before VTL0 is entered: what it is given, or why it waits.
enum vsm_next vsm_prepare_vtl0(struct vsm_vp *vp);
/// Leaves a message or event flag for a VP's VTL0; any CPU. -1: no room now.
int vsm_send_mail(struct vsm_vp *vp, const struct vsm_mail *mail);
/// VTL0 executed HLT.
enum vsm_next vsm_halt(struct vsm_vp *vp);
/// EVENTINJ for a register value that VTL2 wrote; 0: nothing pending. False: not possible.
bool vsm_event_from_pending(uint64_t pending, uint64_t *event);
uint64_t vsm_event_to_pending(uint64_t event);

// cr8.c
/// VTL0 writes CR8 while it waits for a window.
enum vsm_next vsm_write_cr8(struct vsm_vp *vp);

// hypercall.c
enum vsm_next vsm_hypercall(struct vsm_vp *vp);
