// SPDX-License-Identifier: MIT
//
// A VP of the vsm platform without a hypervisor: run page, register page and a little RAM are
// memory of the test, accesses to devices are noted. Registers that only a hypercall reaches are
// not there: what needs one fails.
#pragma once

#include "vtl2/vsm/internal.h"

#define VSM_TEST_RAM_BYTES  0x4000u
#define VSM_TEST_RAM_GPA    UINT64_C(0x100000)
#define VSM_TEST_MMIO_GPA   UINT64_C(0xd0000000)
#define VSM_TEST_CODE_GPA   (VSM_TEST_RAM_GPA + 0x1000) ///< RIP after vsm_test_init
#define VSM_TEST_MAX_ACCESS 64u

struct vsm_test {
    struct partition partition;
    struct vp vp;
    struct vp_exit exit;
    uint8_t ram[VSM_TEST_RAM_BYTES];
    uint32_t access_count; ///< also those that found no room in the array
    struct {
        enum vp_exit_kind kind;
        uint64_t address;
        uint8_t size;
        bool is_write;
        uint64_t value;
    } access[VSM_TEST_MAX_ACCESS];
    uint64_t read_value; ///< what devices read as
};

/// A VP in flat 32-bit code without paging, its register page valid.
void vsm_test_init(struct vsm_test *t);

/// An empty message of a type; its payload (header included) is for the caller to fill.
struct hv_message *vsm_test_message(struct vsm_test *t, uint32_t type, uint8_t payload_bytes);

/// The common header for the instruction at RIP.
struct hv_intercept_header vsm_test_header(const struct vsm_test *t, uint8_t length,
                                           uint8_t access);

/// Delivers the message as vp_run does after VTL0 was left.
void vsm_test_deliver(struct vsm_test *t);
