// SPDX-License-Identifier: MIT
//
// The hypercall interface itself: who may call, control values, where input and output may lie,
// repetitions, fast calls (TLFS, "Hypercall Interface", "Common Hypercall Status Codes").
#include "tests/guest/vtl2/vtl2.h"

#include <string.h>

#define UNKNOWN_CALL 0x0077u

static struct hv_vp_registers_input *registers_header(void *at) {
    struct hv_vp_registers_input *in = at;

    *in = (struct hv_vp_registers_input){.partition_id = HV_PARTITION_ID_SELF,
                                         .vp_index = HV_VP_INDEX_SELF};
    return in;
}

/// Names of registers that can always be read, behind a header.
static void names(uint32_t count) {
    uint32_t *list = (uint32_t *)(registers_header(me()->input) + 1);

    for (uint32_t i = 0; i < count; i++) {
        list[i] = i & 1 ? HV_REGISTER_VSM_VP_STATUS : HV_REGISTER_VP_INDEX;
    }
}

TEST(call_page) {
    // VMMCALL and RET first: what Linux jumps to.
    EQUAL(hypercall_page[0], 0x0f);
    EQUAL(hypercall_page[1], 0x01);
    EQUAL(hypercall_page[2], 0xd9);
    EQUAL(hypercall_page[3], 0xc3);
}

TEST(call_unknown) {
    EQUAL(call(UNKNOWN_CALL), HV_STATUS_INVALID_HYPERCALL_CODE);
    EQUAL(call(0), HV_STATUS_INVALID_HYPERCALL_CODE);
    EQUAL(call(0xffff), HV_STATUS_INVALID_HYPERCALL_CODE);
}

TEST(call_control_reserved) {
    names(1);
    for (unsigned bit = 0; bit < 64; bit++) {
        if (HV_CONTROL_RESERVED_MASK >> bit & 1) {
            EQUAL(call(HV_CALL_GET_VP_REGISTERS | REPS(1) | UINT64_C(1) << bit),
                  HV_STATUS_INVALID_HYPERCALL_INPUT);
        }
    }
}

TEST(call_rep_counts) {
    names(2);
    EQUAL(call(HV_CALL_GET_VP_REGISTERS), HV_STATUS_INVALID_HYPERCALL_INPUT);
    EQUAL(call(HV_CALL_GET_VP_REGISTERS | REPS(2) | START(2)), HV_STATUS_INVALID_HYPERCALL_INPUT);
    EQUAL(call(HV_CALL_GET_VP_REGISTERS | REPS(2) | START(3)), HV_STATUS_INVALID_HYPERCALL_INPUT);
    EQUAL(call(HV_CALL_INSTALL_INTERCEPT | REPS(1)), HV_STATUS_INVALID_HYPERCALL_INPUT);
    EQUAL(call(HV_CALL_INSTALL_INTERCEPT | START(1)), HV_STATUS_INVALID_HYPERCALL_INPUT);
    // A variable header, where the call has none.
    EQUAL(call(HV_CALL_GET_VP_REGISTERS | REPS(1) | 1u << HV_CONTROL_VARHEAD_SHIFT),
          HV_STATUS_INVALID_HYPERCALL_INPUT);
}

TEST(call_alignment) {
    uint64_t in = (uintptr_t)me()->input, out = (uintptr_t)me()->output;
    const uint64_t get = HV_CALL_GET_VP_REGISTERS | REPS(1);

    names(1);
    for (unsigned i = 1; i < 8; i++) {
        EQUAL(hypercall_at(get, in + i, out, hypercall_page), HV_STATUS_INVALID_ALIGNMENT);
        EQUAL(hypercall_at(get, in, out + i, hypercall_page), HV_STATUS_INVALID_ALIGNMENT);
    }
    // Lists that leave their page: 20 bytes of input, 16 of output.
    EQUAL(hypercall_at(get, in + 4096 - 16, out, hypercall_page), HV_STATUS_INVALID_ALIGNMENT);
    EQUAL(hypercall_at(get, in, out + 4096 - 8, hypercall_page), HV_STATUS_INVALID_ALIGNMENT);
    EQUAL(hypercall_at(HV_CALL_GET_VP_REGISTERS | REPS(300), in, out, hypercall_page),
          HV_STATUS_INVALID_ALIGNMENT);
    // Up to a page's last byte.
    registers_header((void *)(in + 4096 - 24));
    *(uint32_t *)(in + 4096 - 8) = HV_REGISTER_VP_INDEX;
    EQUAL(hypercall_at(get, in + 4096 - 24, out + 4096 - 16, hypercall_page), REPS(1));
    // Outside of the GPA space.
    EQUAL(hypercall_at(get, UINT64_C(1) << 48, out, hypercall_page), HV_STATUS_INVALID_ALIGNMENT);
    EQUAL(hypercall_at(get, in, UINT64_C(1) << 52, hypercall_page), HV_STATUS_INVALID_ALIGNMENT);
    EQUAL(hypercall_at(get, ~UINT64_C(7), out, hypercall_page), HV_STATUS_INVALID_ALIGNMENT);
}

TEST(call_no_memory) {
    const uint64_t get = HV_CALL_GET_VP_REGISTERS | REPS(1);

    names(1);
    // A device's registers and minihost itself are no memory for hypercalls.
    EXPECT(hypercall_at(get, 0xfee00000u, (uintptr_t)me()->output, hypercall_page) & 0xffff);
    EXPECT(hypercall_at(get, (uintptr_t)me()->input, 0xfee00000u, hypercall_page) & 0xffff);
    EXPECT(hypercall_at(get, 0x1ff00000u, (uintptr_t)me()->output, hypercall_page) & 0xffff);
    EXPECT(hypercall_at(get, (uintptr_t)me()->input, 0x1ff00000u, hypercall_page) & 0xffff);
}

TEST(call_reps_complete) {
    struct hv_register_value *values = (void *)me()->output;

    memset(me()->output, 0xee, PAGE_SIZE_4K);
    names(200);
    EQUAL(call(HV_CALL_GET_VP_REGISTERS | REPS(200)), REPS(200));
    EQUAL(values[0].low, 0);
    EQUAL(values[1].low, 0x50002);
    EQUAL(values[199].low, 0x50002);
    EQUAL(values[200].low, UINT64_C(0xeeeeeeeeeeeeeeee));
}

TEST(call_start_index) {
    struct hv_register_value *values = (void *)me()->output;

    memset(me()->output, 0xee, PAGE_SIZE_4K);
    names(10);
    EQUAL(call(HV_CALL_GET_VP_REGISTERS | REPS(10) | START(5)), REPS(10));
    EQUAL(values[4].low, UINT64_C(0xeeeeeeeeeeeeeeee)); // what was done before stays
    EQUAL(values[5].low, 0x50002);
    EQUAL(values[9].low, 0x50002);
}

TEST(call_partial) {
    struct hv_register_value *values = (void *)me()->output;
    uint32_t *list = (uint32_t *)(me()->input + 16);

    memset(me()->output, 0xee, PAGE_SIZE_4K);
    names(100);
    list[70] = 0x12345678; // no register
    EQUAL(call(HV_CALL_GET_VP_REGISTERS | REPS(100)), REPS(70) | HV_STATUS_INVALID_PARAMETER);
    EQUAL(values[69].low, 0x50002);
    EQUAL(values[70].low, UINT64_C(0xeeeeeeeeeeeeeeee));
    EQUAL(call(HV_CALL_GET_VP_REGISTERS | REPS(100) | START(70)),
          REPS(70) | HV_STATUS_INVALID_PARAMETER);
    EQUAL(call(HV_CALL_GET_VP_REGISTERS | REPS(100) | START(71)), REPS(100));
}

TEST(call_continuation_in_rcx) {
    // A long call is continued by the instruction itself: RCX counts, the code in it stays.
    uint64_t control = HV_CALL_GET_VP_REGISTERS | REPS(200);

    names(200);
    EQUAL(hypercall_rcx(&control, (uintptr_t)me()->input, (uintptr_t)me()->output, hypercall_page),
          REPS(200));
    EQUAL(control & ~START(0xfff), HV_CALL_GET_VP_REGISTERS | REPS(200));
}

TEST(call_fast) {
    // SignalEvent: 8 bytes in RDX. No connection exists.
    EQUAL(call_fast(HV_CALL_SIGNAL_EVENT, 1, 0), HV_STATUS_INVALID_CONNECTION_ID);
    // 16 bytes in RDX and R8: SendSyntheticClusterIpi to nobody; a vector that there is not.
    EQUAL(call_fast(HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI, 0x40 | (uint64_t)VTL0 << 32, 0), 0);
    EQUAL(call_fast(HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI, 0x0f | (uint64_t)VTL0 << 32, 1),
          HV_STATUS_INVALID_PARAMETER);
    EQUAL(call_fast(HV_CALL_ENTER_SLEEP_STATE, 1, 0), HV_STATUS_INVALID_PARAMETER);
    // More input than two registers hold: XMM registers are not announced. Output: neither.
    EQUAL(call_fast(HV_CALL_INSTALL_INTERCEPT, 0, 0), HV_STATUS_INVALID_HYPERCALL_INPUT);
    EQUAL(call_fast(HV_CALL_GET_VP_REGISTERS | REPS(1), 0, 0), HV_STATUS_INVALID_HYPERCALL_INPUT);
}

TEST(call_memory_form) {
    memset(me()->input, 0, 256);
    EQUAL(call(HV_CALL_SIGNAL_EVENT), HV_STATUS_INVALID_CONNECTION_ID);
    EQUAL(call(HV_CALL_POST_MESSAGE), HV_STATUS_INVALID_CONNECTION_ID);
    ((struct hv_post_message_input *)me()->input)->payload_size_bytes = 241;
    EQUAL(call(HV_CALL_POST_MESSAGE), HV_STATUS_INVALID_PARAMETER);
}

TEST(call_vmmcall_directly) {
    EQUAL(try_vmmcall(UNKNOWN_CALL), 0);
    EQUAL(try_vmmcall(HV_CALL_VTL_CALL), FAULT_UD);             // there is no higher VTL
    EQUAL(try_vmmcall(HV_CALL_VTL_RETURN | REPS(1)), FAULT_UD); // not a plain return
    EQUAL(try_vmmcall(HV_CALL_VTL_RETURN | HV_CONTROL_FAST), FAULT_UD);
}

static void vtl0_calls(void *argument) {
    volatile uint64_t *word = guest_me()->word;
    static uint8_t page[PAGE_SIZE_4K] __attribute__((aligned(4096)));
    static uint8_t data[PAGE_SIZE_4K] __attribute__((aligned(4096)));
    uint64_t in = (uintptr_t)data;

    (void)argument;
    cpu_wrmsr(HV_MSR_GUEST_OS_ID, 0);
    word[0] = try_vmmcall(UNKNOWN_CALL); // no hypercall page: #UD
    cpu_wrmsr(HV_MSR_HYPERCALL, (uintptr_t)page | 1);
    word[1] = cpu_rdmsr(HV_MSR_HYPERCALL) & 1; // without an identity there is none
    cpu_wrmsr(HV_MSR_GUEST_OS_ID, UINT64_C(0x8100) << 48);
    cpu_wrmsr(HV_MSR_HYPERCALL, (uintptr_t)page | 1);
    word[2] = page[0] | page[1] << 8 | page[2] << 16;
    word[3] = hypercall_at(UNKNOWN_CALL, in, in, page);
    word[4] = hypercall_at(HV_CALL_INSTALL_INTERCEPT, in, in, page);
    word[5] = hypercall_at(HV_CALL_MODIFY_VTL_PROTECTION_MASK | REPS(1), in, in, page);
    word[6] = hypercall_at(HV_CALL_ENTER_SLEEP_STATE, in, in, page);
    word[7] = try_vmmcall(HV_CALL_VTL_RETURN);
    registers_header(data)->target_vtl = HV_INPUT_VTL_USE_TARGET | 2;
    *(uint32_t *)(data + 16) = HV_REGISTER_RIP;
    word[8] = hypercall_at(HV_CALL_GET_VP_REGISTERS | REPS(1), in, in, page);
    registers_header(data);
    word[9] = hypercall_at(HV_CALL_GET_VP_REGISTERS | REPS(1), in, in + 256, page);
    memset(data, 0, 64);
    word[10] = hypercall_at(HV_CALL_FLUSH_VIRTUAL_ADDRESS_SPACE, in, 0, page);
    cpu_wrmsr(HV_MSR_GUEST_OS_ID, 0);
    word[11] = cpu_rdmsr(HV_MSR_HYPERCALL) & 1; // and goes with it
    word[12] = page[0];
}

TEST(call_from_vtl0) {
    volatile uint64_t *word = guests[0].word;

    vtl0_call(vtl0_calls, NULL);
    EQUAL(word[0], FAULT_UD);
    EQUAL(word[1], 0);
    EQUAL(word[2], 0xd9010f);
    EQUAL(word[3], HV_STATUS_INVALID_HYPERCALL_CODE);
    EQUAL(word[4], HV_STATUS_ACCESS_DENIED);
    EQUAL(word[5], HV_STATUS_ACCESS_DENIED);
    EQUAL(word[6], HV_STATUS_ACCESS_DENIED);
    EQUAL(word[7], FAULT_UD);
    EQUAL(word[8], HV_STATUS_ACCESS_DENIED);
    EQUAL(word[9], REPS(1));
    EQUAL(word[10], 0);
    EQUAL(word[11], 0);
    EQUAL(word[12], 0);
}

// 32-bit convention: control EDX:EAX, input EBX:ECX, output EDI:ESI, result EDX:EAX. The word at
// CODE_GPA + 0x800 tells which call.
CODE(call_32, 32,
     "mov $0x40000000, %ecx; xor %eax, %eax; mov $0x81000000, %edx; wrmsr\n"
     "mov $0x40000001, %ecx; mov $0x31001, %eax; xor %edx, %edx; wrmsr\n"
     "mov $0x50, %eax; mov $1, %edx; xor %ebx, %ebx; mov $0x30000, %ecx\n"
     "xor %edi, %edi; mov $0x30800, %esi; mov $0x31000, %ebp; call *%ebp; out %eax, $0xe0\n");

TEST(call_32_bit) {
    uint8_t *data = at(DATA_GPA);

    memset(data, 0, PAGE_SIZE_4K);
    registers_header(data);
    *(uint32_t *)(data + 16) = HV_REGISTER_HYPERVISOR_VERSION;
    VTL0_CODE(FLAT32, call_32);
    vtl0_finish();
    EQUAL((uint32_t)me()->gpr[0], 0);
    EQUAL((uint32_t)me()->gpr[2], 1); // one repetition, in bits 43:32
    EQUAL(*(uint32_t *)(data + 0x800), cpu_cpuid(HV_CPUID_VERSION, 0).eax);
}

CODE(call_real, 16, "mov $0x50, %ax; vmmcall; hlt\n.org call_real + 0x40\nout %al, $0xe0\n");

TEST(call_real_mode) {
    *(volatile uint32_t *)at(6 * 4) = (CODE_GPA >> 4) << 16 | 0x40; // #UD's handler
    VTL0_CODE(REAL, call_real);
    vtl0_finish();
    EQUAL(((const struct hv_intercept_header *)message())->rip, 0x40);
}
