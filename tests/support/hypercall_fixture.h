// SPDX-License-Identifier: MIT
//
// Hypercalls of VP 0 to minihost: it begins in VTL2, in 64-bit kernel mode with hypercalls enabled.
// cmocka's: what must hold is asserted.
#pragma once

#include "tests/support/fake_partition.h"
#include "tools/minihost/vsm/hypercall.h"

#define RIP      UINT64_C(0x1000)
#define INPUT    UINT64_C(0x4000) ///< page of a call's input
#define OUTPUT   UINT64_C(0x6000) ///< and of its output
#define REPS(n)  ((uint64_t)(n) << HV_CONTROL_REP_COUNT_SHIFT)
#define START(n) ((uint64_t)(n) << HV_CONTROL_REP_START_SHIFT)
#define VAR(n)   ((uint64_t)(n) << HV_CONTROL_VARHEAD_SHIFT)
#define VTL0     HV_INPUT_VTL_USE_TARGET

int hypercall_setup(void **state);
int hypercall_teardown(void **state);

/// From here on VP 0 runs in VTL0, in the same mode.
void goes_to_vtl0(void);
/// Of the VTL that runs.
struct svm_vmcb *active(unsigned vp);

/// One VMMCALL; RAX. RIP must have moved on.
uint64_t hypercall_with(unsigned vp, uint64_t control, uint64_t input, uint64_t output);
/// VP 0's, with INPUT and OUTPUT.
uint64_t hypercall(uint64_t control);

/// Writes into INPUT.
void put_input(uint64_t off, const void *bytes, size_t size);
/// The header of the calls for registers: this VP's, with an input VTL.
void put_header(uint8_t vtl);
/// The whole input of HvCallModifyVtlProtectionMask: pages 0 to 15 over and over.
void put_protection(uint32_t flags, uint32_t pages);
uint64_t get_output(uint64_t off);

/// Calls for one register; their results.
uint64_t set_register(uint8_t vtl, uint32_t name, uint64_t low, uint64_t high);
uint64_t get_register(uint8_t vtl, uint32_t name, uint64_t *low);
