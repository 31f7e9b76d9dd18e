// SPDX-License-Identifier: MIT
//
// The interrupt controllers and timers of a VP's VTLs: where the pure cores of vtl2/hv meet the
// partition. VTL0 has all of them; VTL2 a SynIC only, since it owns the physical local APIC.
//
// Everything but vsm_apic_assert() runs on the VP's own CPU.
#pragma once

#include "tools/minihost/vsm/vsm.h"

/// Sets up all VPs: from vsm_init().
void vsm_apic_init(struct vsm_partition *partition);
/// Power-on state of VTL0's APIC, SynIC and timers.
void vsm_apic_reset_vp(struct vsm_vp *vp);

/// MSRs of the APIC (APIC_BASE, x2APIC, Hyper-V's), SynIC and synthetic timers of a VTL; of VTL2
/// the SynIC's only. 0; -ENOENT: none of them; -EPERM: #GP.
int vsm_apic_read_msr(struct vsm_vp *vp, unsigned vtl, uint32_t index, uint64_t *value);
int vsm_apic_write_msr(struct vsm_vp *vp, unsigned vtl, uint32_t index, uint64_t value);

/// Whether VTL0's page at gpa is its APIC's registers now.
bool vsm_apic_owns_page(const struct vsm_vp *vp, uint64_t gpa);

enum vsm_apic_mmio {
    VSM_APIC_MMIO_DONE,      ///< run VTL0 again
    VSM_APIC_MMIO_FAULT,     ///< the same; an exception was injected
    VSM_APIC_MMIO_UNHANDLED, ///< not an instruction that can be carried out here
};

/// After a nested page fault of VTL0 at its APIC's page: carries out the instruction.
enum vsm_apic_mmio vsm_apic_mmio(struct vsm_vp *vp);

/// An interrupt message for VTL0's APICs; from any CPU. As hv_apic_send().
int vsm_apic_assert(struct vsm_partition *partition, const struct hv_apic_message *message);

/// Applies timers and takes in what others sent: before VTL0 is entered or woken. HV_LAPIC_GOT_*.
uint32_t vsm_apic_collect(struct vsm_vp *vp, uint8_t *sipi_vector);
/// When vsm_apic_collect() has something to do next, in 100 ns; UINT64_MAX: never.
uint64_t vsm_apic_deadline(const struct vsm_vp *vp);

/// The next level-triggered vector that VTL0 gave an EOI for, or -1.
int vsm_apic_take_eoi(struct vsm_vp *vp);
