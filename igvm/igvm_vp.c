// SPDX-License-Identifier: MIT
//
// IGVM VP contexts: location and contents of the registers that a platform's first VP starts with.

#include "igvm/igvm_vp.h"

#include "igvm/base/bytes.h"

#include <errno.h>

enum igvm_vp_format igvm_vp_format(uint32_t platform_type) {
    switch (platform_type) {
    case IGVM_PLATFORM_NATIVE:
    case IGVM_PLATFORM_SEV:
        return IGVM_VP_FORMAT_NATIVE;
    case IGVM_PLATFORM_VSM_ISOLATION:
        return IGVM_VP_FORMAT_VBS;
    case IGVM_PLATFORM_SEV_SNP:
    case IGVM_PLATFORM_SEV_ES:
        return IGVM_VP_FORMAT_VMSA;
    case IGVM_PLATFORM_CCA:
        return IGVM_VP_FORMAT_CCA;
    default:
        return IGVM_VP_FORMAT_NONE;
    }
}

static bool tail_is_zero(const uint8_t *data, size_t used_bytes) {
    for (size_t i = used_bytes; i < IGVM_VP_CONTEXT_BYTES; i++) {
        if (data[i] != 0) {
            return false;
        }
    }
    return true;
}

static enum igvm_rule check_native(const struct igvm_vp *vp) {
    const struct igvm_native_vp_context_x64 *regs = &vp->native;

    if (regs->reserved[0] != 0 || regs->reserved[1] != 0 ||
        !tail_is_zero(vp->data, sizeof(*regs))) {
        return IGVM_RULE_CONTEXT_TAIL;
    }
    if (((regs->code_attributes | regs->data_attributes) & IGVM_SEGMENT_ATTRIBUTES_MBZ) != 0) {
        return IGVM_RULE_CONTEXT_SEGMENT;
    }
    return IGVM_RULE_NONE;
}

struct igvm_vbs_vp_context_register igvm_vp_register(const struct igvm_vp *vp, uint32_t idx) {
    struct igvm_vbs_vp_context_register reg;

    __builtin_memcpy(&reg, vp->data + (size_t)idx * sizeof(reg), sizeof(reg));
    return reg;
}

/// All registers of one list belong to one VTL, which becomes the context's.
static enum igvm_rule check_registers(struct igvm_vp *vp) {
    if (vp->register_count == 0 || vp->register_count > IGVM_MAX_VBS_REGISTERS) {
        return IGVM_RULE_CONTEXT_REGISTERS;
    }
    for (uint32_t i = 0; i < vp->register_count; i++) {
        struct igvm_vbs_vp_context_register reg = igvm_vp_register(vp, i);

        if (i == 0) {
            vp->vtl = reg.vtl;
        }
        if (reg.vtl != vp->vtl || reg.vtl > 2) {
            return IGVM_RULE_CONTEXT_REGISTERS;
        }
        for (size_t k = 0; k < sizeof(reg.mbz); k++) {
            if (reg.mbz[k] != 0) {
                return IGVM_RULE_CONTEXT_REGISTERS;
            }
        }
    }
    return IGVM_RULE_NONE;
}

static enum igvm_rule check_contents(struct igvm_vp *vp) {
    switch (vp->format) {
    case IGVM_VP_FORMAT_NATIVE:
        __builtin_memcpy(&vp->native, vp->data, sizeof(vp->native));
        return check_native(vp);
    case IGVM_VP_FORMAT_VBS:
        vp->register_count = load_le32(vp->data);
        vp->data += sizeof(struct igvm_vbs_vp_context_header);
        return check_registers(vp);
    case IGVM_VP_FORMAT_CCA:
        __builtin_memcpy(&vp->cca, vp->data, sizeof(vp->cca));
        return tail_is_zero(vp->data, sizeof(vp->cca)) ? IGVM_RULE_NONE : IGVM_RULE_CONTEXT_TAIL;
    case IGVM_VP_FORMAT_VMSA:
        return IGVM_RULE_NONE;
    case IGVM_VP_FORMAT_NONE:
        break;
    }
    return IGVM_RULE_CONTEXT_PLATFORM;
}

int igvm_vp_read(const struct igvm_file *file, const struct igvm_header *header,
                 const struct igvm_supported_platform *platform, struct igvm_vp *vp,
                 struct igvm_error *error) {
    const struct igvm_vp_context *context = &header->u.vp_context;
    enum igvm_rule rule;
    uint64_t size_bytes;

    *vp = (struct igvm_vp){
        .format = igvm_vp_format(platform->platform_type),
        .vp_index = context->vp_index,
        .vtl = platform->highest_vtl,
        .vmsa_gpa = gpa(context->gpa),
    };
    if (vp->format == IGVM_VP_FORMAT_NONE) {
        return igvm_fail(error, IGVM_RULE_CONTEXT_PLATFORM, header->type, header->file_off);
    }
    if (vp->format != IGVM_VP_FORMAT_VMSA && context->gpa != 0) {
        return igvm_fail(error, IGVM_RULE_CONTEXT_GPA, header->type, header->file_off);
    }
    if (igvm_vp_data(file, context->file_offset, vp->format, &vp->data, &size_bytes) != 0) {
        return igvm_fail(error, IGVM_RULE_FILE_DATA, header->type, header->file_off);
    }
    rule = check_contents(vp);
    if (rule != IGVM_RULE_NONE) {
        return igvm_fail(error, rule, header->type, header->file_off);
    }
    return 0;
}
