// SPDX-License-Identifier: MIT
//
// VP 0 of minihost's partition between its VTLs: VTL2 is set up, VTL0 runs. cmocka's: what must
// hold is asserted.
#pragma once

#include "tests/support/fake_partition.h"
#include "tools/minihost/vsm/internal.h"

#define RIP UINT64_C(0x1000) ///< where VTL0 runs

extern struct vsm_vp *vp0;
extern struct hv_vp_assist_page *assist; ///< VTL2's

int vtl_setup(void **state);
int vtl_teardown(void **state);

struct svm_vmcb *vmcb(unsigned vtl);

/// VTL2 goes back to VTL0.
void vtl_return(bool fast);
/// VTL2 was entered with this message; its payload.
const void *vtl_message(uint32_t type, size_t size);
/// VTL2 sets a register of VTL0.
void vtl_set_register(uint32_t name, uint64_t low, uint64_t high);
