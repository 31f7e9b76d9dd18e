// SPDX-License-Identifier: MIT
//
// The user interface of Linux's mshv_vtl driver: requests, their structures, and the page that
// driver and VMM share for each processor. Declared here because the build's kernel headers need
// not have it; layouts as in Linux 6.19 and later, include/uapi/linux/mshv.h and
// drivers/hv/mshv_vtl.h.
//
// The register structures of GET and SET_VP_REGISTERS are the TLFS's: vtl2/hv/tlfs_registers.h.
#pragma once

#include "vtl2/hv/tlfs.h"

#include <sys/ioctl.h>

#define MSHV_DEVICE         "/dev/mshv"
#define MSHV_HVCALL_DEVICE  "/dev/mshv_hvcall"
#define MSHV_VTL_LOW_DEVICE "/dev/mshv_vtl_low" ///< offset = VTL0 GPA

#define MSHV_IOCTL_TYPE 0xb8

/// One register at a time; the VP is the calling CPU's, the VTL is VTL0.
struct mshv_vp_registers {
    uint32_t count; ///< 1
    uint32_t reserved;
    uint64_t registers; ///< address of a struct hv_register_assoc
};
_Static_assert(sizeof(struct mshv_vp_registers) == 16, "Linux ABI");

/// VTL0 memory that gets struct pages, [start_pfn, end_pfn).
struct mshv_vtl_memory {
    uint64_t start_pfn;
    uint64_t end_pfn;
};
_Static_assert(sizeof(struct mshv_vtl_memory) == 16, "Linux ABI");

struct mshv_hvcall_setup {
    uint64_t bitmap_bytes;
    uint64_t bitmap; ///< address of one bit per call code
};
_Static_assert(sizeof(struct mshv_hvcall_setup) == 16, "Linux ABI");

/// Input and output are at most a page each and need no alignment.
struct mshv_hvcall {
    uint64_t control; ///< the hypercall input value
    uint64_t input_bytes;
    uint64_t input;
    uint64_t status; ///< out: the hypercall result value
    uint64_t output_bytes;
    uint64_t output;
};
_Static_assert(sizeof(struct mshv_hvcall) == 48, "Linux ABI");

// /dev/mshv
#define MSHV_CHECK_EXTENSION _IOW(MSHV_IOCTL_TYPE, 0x00, uint32_t)
#define MSHV_CREATE_VTL      _IOR(MSHV_IOCTL_TYPE, 0x1d, char)
// The descriptor that CREATE_VTL gives
#define MSHV_GET_VP_REGISTERS    _IOWR(MSHV_IOCTL_TYPE, 0x05, struct mshv_vp_registers)
#define MSHV_SET_VP_REGISTERS    _IOW(MSHV_IOCTL_TYPE, 0x06, struct mshv_vp_registers)
#define MSHV_ADD_VTL0_MEMORY     _IOW(MSHV_IOCTL_TYPE, 0x21, struct mshv_vtl_memory)
#define MSHV_RETURN_TO_LOWER_VTL _IO(MSHV_IOCTL_TYPE, 0x27)
// /dev/mshv_hvcall
#define MSHV_HVCALL_SETUP _IOW(MSHV_IOCTL_TYPE, 0x1e, struct mshv_hvcall_setup)
#define MSHV_HVCALL       _IOWR(MSHV_IOCTL_TYPE, 0x1f, struct mshv_hvcall)

#define MSHV_EXTENSION_CORE          0u
#define MSHV_EXTENSION_REGISTER_PAGE 1u

// mmap offsets of the VTL descriptor, in pages.
#define MSHV_RUN_PAGE_OFFSET(cpu)      ((uint64_t)(cpu) << PAGE_SHIFT_4K)
#define MSHV_REGISTER_PAGE_OFFSET(cpu) (((uint64_t)(cpu) | 0x10000u) << PAGE_SHIFT_4K)

/// Index into mshv_run.gpr: the encoding's order, but CR2 has RSP's place.
#define MSHV_GPR_CR2 4u

/// The page of one CPU. The VMM writes it while VTL0 does not run; the driver writes cancel on its
/// own only for SET_POLL_FILE, which is not used here.
struct mshv_run {
    uint32_t cancel; ///< the VMM's: RETURN_TO_LOWER_VTL does not enter VTL0 while it is not 0
    uint32_t return_action_bytes;
    uint8_t reserved0[8];
    struct hv_message message; ///< the driver's: why VTL0 was left
    uint64_t gpr[16];          ///< both: shared registers
    uint8_t fx_state[512];     ///< both: FXSAVE image
    uint8_t reserved1[384];
    uint8_t return_actions[256];
    uint8_t reserved2[2544];
};
_Static_assert(sizeof(struct mshv_run) == PAGE_SIZE_4K, "Linux ABI");
_Static_assert(offsetof(struct mshv_run, message) == 16, "Linux ABI");
_Static_assert(offsetof(struct mshv_run, gpr) == 272, "Linux ABI");
_Static_assert(offsetof(struct mshv_run, fx_state) == 400, "Linux ABI");
_Static_assert(offsetof(struct mshv_run, return_actions) == 1296, "Linux ABI");
