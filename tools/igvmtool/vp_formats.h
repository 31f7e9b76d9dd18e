// SPDX-License-Identifier: MIT
//
// igvmtool: start registers in the formats of the platforms that are not native.
#pragma once

#include "tools/igvmtool/manifest.h"

#define VP_FORMATS_VBS_MAX 40u // registers that a VSM context may get here

/// A VSM register list (TLFS: register names and values). Returns how many of out were filled.
uint32_t vp_formats_vbs(const struct manifest_vp *vp,
                        struct igvm_vbs_vp_context_register out[VP_FORMATS_VBS_MAX]);

/// A VMSA page for SEV-ES and SNP (AMD64 APM volume 2, table B-4).
void vp_formats_vmsa(const struct manifest_vp *vp, uint8_t out[IGVM_VP_CONTEXT_BYTES]);
