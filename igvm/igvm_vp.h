// SPDX-License-Identifier: MIT
//
// IGVM VP contexts: which format a platform has, and how to read it out of file data.
#pragma once

#include "igvm/igvm.h"

enum igvm_vp_format {
    IGVM_VP_FORMAT_NONE,   // the platform starts from its architectural reset state (TDX)
    IGVM_VP_FORMAT_NATIVE, // struct igvm_native_vp_context_x64: NATIVE, SEV
    IGVM_VP_FORMAT_VBS,    // register list: VSM isolation
    IGVM_VP_FORMAT_VMSA,   // a VMSA page, opaque to this library: SEV-ES, SNP
    IGVM_VP_FORMAT_CCA,    // struct igvm_cca_vp_context
};

/// The format of a platform type (enum igvm_platform_type; unknown types have none).
enum igvm_vp_format igvm_vp_format(uint32_t platform_type);

/// Longest register list accepted (ours): more than a VP has registers, and a bound on the work.
#define IGVM_MAX_VBS_REGISTERS 256u

/// File data of a VP context of that format at a file offset. 0, or -EINVAL when it does not lie in
/// the file data.
int igvm_vp_data(const struct igvm_file *file, uint32_t off, enum igvm_vp_format format,
                 const uint8_t **data, uint64_t *size_bytes);

/// A VP context with its file data located; valid while the file's bytes are.
struct igvm_vp {
    enum igvm_vp_format format;
    uint16_t vp_index;
    uint8_t vtl;         // VBS: that of the registers; otherwise the platform's highest VTL
    gpa_t vmsa_gpa;      // VMSA: where the page goes
    const uint8_t *data; // IGVM_VP_CONTEXT_BYTES, or VBS: register_count registers
    uint32_t register_count;
    struct igvm_native_vp_context_x64 native; // NATIVE: the copy to use
    struct igvm_cca_vp_context cca;           // CCA: the copy to use
};

/// Reads the VP context of header as the given platform sees it, and checks its contents.
/// -EINVAL with *error filled.
int igvm_vp_read(const struct igvm_file *file, const struct igvm_header *header,
                 const struct igvm_supported_platform *platform, struct igvm_vp *vp,
                 struct igvm_error *error);

/// Register number idx of a VBS context (idx < register_count), copied out.
struct igvm_vbs_vp_context_register igvm_vp_register(const struct igvm_vp *vp, uint32_t idx);
