// SPDX-License-Identifier: MIT
//
// A hypercall taken apart: what the dispatcher gives to the calls' own files (TLFS, "Hypercall
// Interface").
#pragma once

#include "tools/minihost/vsm/internal.h"

/// What a call's input and output look like.
struct vsm_call_shape {
    uint16_t header_bytes;  ///< fixed input header
    uint16_t element_bytes; ///< input of one repetition; 0 and is_rep false: a simple call
    uint16_t output_bytes;  ///< output of a simple call, or of one repetition
    bool is_rep;
    bool has_variable_header;
};

/// Sizes of one call, after its control value and addresses were checked.
struct vsm_call_layout {
    uint32_t input_bytes;  ///< all of the input
    uint32_t list_off;     ///< where the repetitions' elements begin
    uint32_t output_bytes; ///< all of the output
    uint32_t rep_count;    ///< 1 for a simple call
    uint32_t rep_start;
    bool is_fast; ///< input is in registers: at most VSM_FAST_BYTES, no output
};

#define VSM_FAST_BYTES 16u

/// Checks a control value (RCX) and the addresses of input and output against a call's shape: pure.
/// HV_STATUS_SUCCESS: neither area leaves its page, so sizes are at most 4096, rep_start <
/// rep_count.
uint16_t vsm_call_check(const struct vsm_call_shape *shape, uint64_t control, uint64_t input_gpa,
                        uint64_t output_gpa, struct vsm_call_layout *out);

struct vsm_call {
    struct vsm_vp *vp;
    unsigned vtl; ///< the caller's
    struct vsm_call_layout layout;
    const uint8_t *input;    ///< header; a private copy
    const uint8_t *variable; ///< variable header
    uint32_t variable_bytes;
    const uint8_t *list; ///< elements of all repetitions
    uint8_t *output;     ///< zeroed; elements of all repetitions
    uint32_t rep;        ///< next repetition to do: calls move it on
    uint32_t rep_end;    ///< where to pause: the call is continued
    bool intercept;      ///< set by a call: VTL2 decides
};

// calls_vp.c
uint16_t vsm_call_get_registers(struct vsm_call *call);
uint16_t vsm_call_set_registers(struct vsm_call *call);
uint16_t vsm_call_enable_partition_vtl(struct vsm_call *call);
uint16_t vsm_call_enable_vp_vtl(struct vsm_call *call);
uint16_t vsm_call_start_vp(struct vsm_call *call);
uint16_t vsm_call_index_from_apic_id(struct vsm_call *call);
uint16_t vsm_call_cpuid_values(struct vsm_call *call);
uint16_t vsm_call_enter_sleep(struct vsm_call *call);

// calls_memory.c
uint16_t vsm_call_modify_protection(struct vsm_call *call);
uint16_t vsm_call_check_access(struct vsm_call *call);
uint16_t vsm_call_translate(struct vsm_call *call);
uint16_t vsm_call_flush(struct vsm_call *call);
uint16_t vsm_call_flush_list(struct vsm_call *call);
uint16_t vsm_call_flush_ex(struct vsm_call *call);

// calls_interrupt.c
uint16_t vsm_call_install_intercept(struct vsm_call *call);
uint16_t vsm_call_assert_interrupt(struct vsm_call *call);
uint16_t vsm_call_post_message(struct vsm_call *call);
uint16_t vsm_call_signal_event(struct vsm_call *call);
uint16_t vsm_call_post_direct(struct vsm_call *call);
uint16_t vsm_call_signal_direct(struct vsm_call *call);
uint16_t vsm_call_send_ipi(struct vsm_call *call);
uint16_t vsm_call_send_ipi_ex(struct vsm_call *call);

/// A target VTL byte (HV_INPUT_VTL_*): its VTL, which is at most the caller's. HV_STATUS_*.
uint16_t vsm_target_vtl(const struct vsm_call *call, uint8_t byte, unsigned *vtl);
/// A partition id and a VP index. HV_STATUS_*.
uint16_t vsm_target_vp(const struct vsm_call *call, uint64_t partition_id, uint32_t vp_index,
                       struct vsm_vp **vp);

/// The VPs that a processor set names (its banks are the variable header); at most 64, bit per VP.
uint16_t vsm_sparse_set(const struct vsm_call *call, const struct hv_vp_set *set, uint64_t *vps);
