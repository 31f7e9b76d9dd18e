// SPDX-License-Identifier: MIT
//
// igvmtool: start registers of a VP context: the long-mode defaults and what the manifest changes.

#include "tools/igvmtool/manifest.h"

#include <errno.h>

// AMD64 APM volume 2: chapters 3 (control registers), 4.8 (descriptors), 7.8 (PAT).
#define CR0_PE       (1ull << 0)
#define CR0_ET       (1ull << 4)
#define CR0_NE       (1ull << 5)
#define CR0_PG       (1ull << 31)
#define CR4_PAE      (1ull << 5)
#define EFER_LME     (1ull << 8)
#define EFER_LMA     (1ull << 10)
#define RFLAGS_FIXED (1ull << 1)
#define PAT_RESET    0x0007040600070406ull
#define CODE64       0xa09bu // present, code, readable, accessed; long; 4 KiB granular
#define DATA32       0xc093u // present, data, writable, accessed; big; 4 KiB granular
#define REAL_CODE    0x009bu
#define REAL_DATA    0x0093u

typedef struct igvm_native_vp_context_x64 registers_t;

/// Registers by the names that the manifest uses.
static const struct {
    const char *name;
    uint16_t off;
    uint16_t size_bytes;
} registers[] = {
#define REGISTER(member)                                                                           \
    { #member, offsetof(registers_t, member), sizeof(((registers_t *)NULL)->member) }
    REGISTER(rax),       REGISTER(rcx),        REGISTER(rdx),           REGISTER(rbx),
    REGISTER(rsp),       REGISTER(rbp),        REGISTER(rsi),           REGISTER(rdi),
    REGISTER(r8),        REGISTER(r9),         REGISTER(r10),           REGISTER(r11),
    REGISTER(r12),       REGISTER(r13),        REGISTER(r14),           REGISTER(r15),
    REGISTER(rip),       REGISTER(rflags),     REGISTER(idtr_base),     REGISTER(idtr_limit),
    REGISTER(gdtr_base), REGISTER(gdtr_limit), REGISTER(code_selector), REGISTER(code_attributes),
    REGISTER(code_base), REGISTER(code_limit), REGISTER(data_selector), REGISTER(data_attributes),
    REGISTER(data_base), REGISTER(data_limit), REGISTER(gs_base),       REGISTER(cr0),
    REGISTER(cr3),       REGISTER(cr4),        REGISTER(efer),
#undef REGISTER
};

/// 64-bit mode with paging on, flat segments, interrupts off. CR3 and RIP are the manifest's to
/// give.
static const registers_t long_mode = {
    .rflags = RFLAGS_FIXED,
    .code_selector = 0x08,
    .code_attributes = CODE64,
    .code_limit = UINT32_MAX,
    .data_selector = 0x10,
    .data_attributes = DATA32,
    .data_limit = UINT32_MAX,
    .cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG,
    .cr4 = CR4_PAE,
    .efer = EFER_LME | EFER_LMA,
};

/// The architectural reset state, to be changed register by register.
static const registers_t reset_mode = {
    .rip = 0xfff0,
    .rflags = RFLAGS_FIXED,
    .idtr_limit = 0xffff,
    .gdtr_limit = 0xffff,
    .code_selector = 0xf000,
    .code_attributes = REAL_CODE,
    .code_base = 0xffff0000,
    .code_limit = 0xffff,
    .data_attributes = REAL_DATA,
    .data_limit = 0xffff,
    .cr0 = 0x60000010,
};

static int parse_registers(const struct igvmtool_json *node, struct manifest_vp *vp) {
    const char *known[ARRAY_COUNT(registers) + 2] = {NULL};
    struct igvmtool_json list;

    if (!igvmtool_json_get(node, "registers", &list)) {
        return 0;
    }
    for (size_t i = 0; i < ARRAY_COUNT(registers); i++) {
        known[i] = registers[i].name;
    }
    known[ARRAY_COUNT(registers)] = "pat";
    if (igvmtool_json_only(&list, known) != 0) {
        return -EINVAL;
    }
    for (size_t i = 0; i < ARRAY_COUNT(registers); i++) {
        const struct igvm_field field = {.off = registers[i].off,
                                         .size_bytes = registers[i].size_bytes};
        const unsigned bits = 8u * field.size_bytes;
        uint64_t value = igvm_field_get(&field, &vp->registers);

        if (igvmtool_json_number_or(&list, registers[i].name,
                                    bits == 64 ? UINT64_MAX : (1ull << bits) - 1, &value) != 0) {
            return -EINVAL;
        }
        igvm_field_set(&field, &vp->registers, value);
    }
    return igvmtool_json_number_or(&list, "pat", UINT64_MAX, &vp->pat);
}

int manifest_parse_vp(const struct igvmtool_json *node, struct manifest_vp *vp) {
    static const char *const modes[] = {"long", "reset"};
    struct igvmtool_json mode;
    uint64_t number = 0;
    uint64_t vp_index = 0;
    uint64_t vtl = 2;

    if (igvmtool_json_get(node, "mode", &mode) &&
        igvmtool_json_choice(&mode, modes, ARRAY_COUNT(modes), &number) != 0) {
        return -EINVAL;
    }
    if (igvmtool_json_number_or(node, "vp_index", UINT16_MAX, &vp_index) != 0 ||
        igvmtool_json_number_or(node, "vtl", 2, &vtl) != 0 ||
        igvmtool_json_number_or(node, "sev_features", UINT64_MAX, &vp->sev_features) != 0) {
        return -EINVAL;
    }
    vp->registers = number == 0 ? long_mode : reset_mode;
    vp->pat = PAT_RESET;
    vp->vp_index = (uint16_t)vp_index;
    vp->vtl = (uint8_t)vtl;
    return parse_registers(node, vp);
}
