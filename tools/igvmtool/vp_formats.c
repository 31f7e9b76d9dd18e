// SPDX-License-Identifier: MIT
//
// igvmtool: start registers as a VSM register list (TLFS, HV_REGISTER_NAME and HV_REGISTER_VALUE)
// and as a VMSA page (AMD64 APM volume 2, appendix B, table B-4).

#include "tools/igvmtool/vp_formats.h"

#include "igvm/base/bytes.h"

#include <string.h>

typedef struct igvm_native_vp_context_x64 registers_t;

/// A task register that the processor accepts in 64-bit mode: a busy TSS, never used.
#define TR_ATTRIBUTES 0x008bu
#define TR_LIMIT      0xffffu

// ---- VSM
// -----------------------------------------------------------------------------------------

// TLFS: x64 register names.
#define HV_RAX    0x00020000u // general purpose registers follow each other in encoding order
#define HV_RIP    0x00020010u
#define HV_RFLAGS 0x00020011u
#define HV_CR0    0x00040000u
#define HV_CR3    0x00040002u
#define HV_CR4    0x00040003u
#define HV_ES     0x00060000u
#define HV_CS     0x00060001u
#define HV_SS     0x00060002u
#define HV_DS     0x00060003u
#define HV_FS     0x00060004u
#define HV_GS     0x00060005u
#define HV_TR     0x00060007u
#define HV_IDTR   0x00070000u
#define HV_GDTR   0x00070001u
#define HV_EFER   0x00080001u
#define HV_PAT    0x00080004u

struct vbs_list {
    struct igvm_vbs_vp_context_register *out;
    uint32_t count;
    uint8_t vtl;
};

static uint8_t *vbs_add(struct vbs_list *list, uint32_t name) {
    struct igvm_vbs_vp_context_register *reg = &list->out[list->count++];

    memset(reg, 0, sizeof(*reg));
    reg->vtl = list->vtl;
    reg->register_name = name;
    return reg->value;
}

static void vbs_number(struct vbs_list *list, uint32_t name, uint64_t value) {
    store_le64(vbs_add(list, name), value);
}

/// HV_X64_SEGMENT_REGISTER: base, limit, selector, attributes.
static void vbs_segment(struct vbs_list *list, uint32_t name, uint64_t base, uint32_t limit,
                        uint16_t selector, uint16_t attributes) {
    uint8_t *value = vbs_add(list, name);

    store_le64(value, base);
    store_le32(value + 8, limit);
    store_le16(value + 12, selector);
    store_le16(value + 14, attributes);
}

/// HV_X64_TABLE_REGISTER: padding, limit, base.
static void vbs_table(struct vbs_list *list, uint32_t name, uint64_t base, uint16_t limit) {
    uint8_t *value = vbs_add(list, name);

    store_le16(value + 6, limit);
    store_le64(value + 8, base);
}

uint32_t vp_formats_vbs(const struct manifest_vp *vp,
                        struct igvm_vbs_vp_context_register out[VP_FORMATS_VBS_MAX]) {
    // Encoding order, which the native layout does not quite follow.
    const registers_t *r = &vp->registers;
    const uint64_t general[] = {r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
                                r->r8,  r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15};
    const uint32_t data_segments[] = {HV_ES, HV_SS, HV_DS, HV_FS};
    struct vbs_list list = {.out = out, .vtl = vp->vtl};

    for (uint32_t i = 0; i < ARRAY_COUNT(general); i++) {
        if (general[i] != 0) {
            vbs_number(&list, HV_RAX + i, general[i]);
        }
    }
    vbs_number(&list, HV_RIP, r->rip);
    vbs_number(&list, HV_RFLAGS, r->rflags);
    vbs_number(&list, HV_CR0, r->cr0);
    vbs_number(&list, HV_CR3, r->cr3);
    vbs_number(&list, HV_CR4, r->cr4);
    vbs_number(&list, HV_EFER, r->efer);
    vbs_number(&list, HV_PAT, vp->pat);
    vbs_segment(&list, HV_CS, r->code_base, r->code_limit, r->code_selector, r->code_attributes);
    for (size_t i = 0; i < ARRAY_COUNT(data_segments); i++) {
        vbs_segment(&list, data_segments[i], r->data_base, r->data_limit, r->data_selector,
                    r->data_attributes);
    }
    vbs_segment(&list, HV_GS, r->gs_base, r->data_limit, r->data_selector, r->data_attributes);
    vbs_segment(&list, HV_TR, 0, TR_LIMIT, 0, TR_ATTRIBUTES);
    vbs_table(&list, HV_GDTR, r->gdtr_base, r->gdtr_limit);
    vbs_table(&list, HV_IDTR, r->idtr_base, r->idtr_limit);
    return list.count;
}

// ---- VMSA
// ----------------------------------------------------------------------------------------

#define VMSA_ES       0x000u
#define VMSA_CS       0x010u
#define VMSA_SS       0x020u
#define VMSA_DS       0x030u
#define VMSA_FS       0x040u
#define VMSA_GS       0x050u
#define VMSA_GDTR     0x060u
#define VMSA_IDTR     0x080u
#define VMSA_TR       0x090u
#define VMSA_EFER     0x0d0u
#define VMSA_CR4      0x148u
#define VMSA_CR3      0x150u
#define VMSA_CR0      0x158u
#define VMSA_DR7      0x160u
#define VMSA_DR6      0x168u
#define VMSA_RFLAGS   0x170u
#define VMSA_RIP      0x178u
#define VMSA_RSP      0x1d8u
#define VMSA_RAX      0x1f8u
#define VMSA_PAT      0x268u
#define VMSA_RCX      0x308u // rcx, rdx, rbx, (rsp's unused place), rbp, rsi, rdi, r8 to r15
#define VMSA_FEATURES 0x3b0u
#define VMSA_XCR0     0x3e8u

#define EFER_SVME (1ull << 12) // must be set in a VMSA
#define DR6_RESET 0xffff0ff0ull
#define DR7_RESET 0x400ull

/// Selector, attributes (12 bits: the descriptor's without the limit), limit, base.
static void vmsa_segment(uint8_t *out, uint16_t selector, uint16_t attributes, uint32_t limit,
                         uint64_t base) {
    store_le16(out, selector);
    store_le16(out + 2, (uint16_t)((attributes & 0xffu) | (attributes >> 4 & 0xf00u)));
    store_le32(out + 4, limit);
    store_le64(out + 8, base);
}

void vp_formats_vmsa(const struct manifest_vp *vp, uint8_t out[IGVM_VP_CONTEXT_BYTES]) {
    const registers_t *r = &vp->registers;
    const uint32_t data_segments[] = {VMSA_ES, VMSA_SS, VMSA_DS, VMSA_FS};
    const uint64_t general[] = {r->rcx, r->rdx, r->rbx, 0,      r->rbp, r->rsi, r->rdi, r->r8,
                                r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15};

    memset(out, 0, IGVM_VP_CONTEXT_BYTES);
    vmsa_segment(out + VMSA_CS, r->code_selector, r->code_attributes, r->code_limit, r->code_base);
    for (size_t i = 0; i < ARRAY_COUNT(data_segments); i++) {
        vmsa_segment(out + data_segments[i], r->data_selector, r->data_attributes, r->data_limit,
                     r->data_base);
    }
    vmsa_segment(out + VMSA_GS, r->data_selector, r->data_attributes, r->data_limit, r->gs_base);
    vmsa_segment(out + VMSA_TR, 0, TR_ATTRIBUTES, TR_LIMIT, 0);
    vmsa_segment(out + VMSA_GDTR, 0, 0, r->gdtr_limit, r->gdtr_base);
    vmsa_segment(out + VMSA_IDTR, 0, 0, r->idtr_limit, r->idtr_base);
    for (size_t i = 0; i < ARRAY_COUNT(general); i++) {
        store_le64(out + VMSA_RCX + 8 * i, general[i]);
    }
    store_le64(out + VMSA_RAX, r->rax);
    store_le64(out + VMSA_RSP, r->rsp);
    store_le64(out + VMSA_RIP, r->rip);
    store_le64(out + VMSA_RFLAGS, r->rflags);
    store_le64(out + VMSA_CR0, r->cr0);
    store_le64(out + VMSA_CR3, r->cr3);
    store_le64(out + VMSA_CR4, r->cr4);
    store_le64(out + VMSA_EFER, r->efer | EFER_SVME);
    store_le64(out + VMSA_DR6, DR6_RESET);
    store_le64(out + VMSA_DR7, DR7_RESET);
    store_le64(out + VMSA_PAT, vp->pat);
    store_le64(out + VMSA_FEATURES, vp->sev_features);
    store_le64(out + VMSA_XCR0, 1); // x87 alone, the only value the architecture starts with
}
