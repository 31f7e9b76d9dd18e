// SPDX-License-Identifier: MIT
//
// GetVpRegisters and SetVpRegisters: targets, access rights, values that are refused, what is
// shared between VTLs and what is not (TLFS, "Virtual Processor Registers", "Virtual Secure Mode").
#include "tests/guest/vtl2/vtl2.h"

#include <string.h>

/// One GetVpRegisters with a header of the test's own.
static uint16_t get(uint64_t partition, uint32_t vp, uint8_t vtl, uint32_t name) {
    *(struct hv_vp_registers_input *)me()->input = (struct hv_vp_registers_input){
        .partition_id = partition, .vp_index = vp, .target_vtl = vtl};
    *(uint32_t *)(me()->input + 16) = name;
    return STATUS(call(HV_CALL_GET_VP_REGISTERS | REPS(1)));
}

TEST(register_targets) {
    EQUAL(get(HV_PARTITION_ID_SELF, 0, 0, HV_REGISTER_VP_INDEX), HV_STATUS_SUCCESS);
    EQUAL(get(HV_PARTITION_ID_SELF, HV_VP_INDEX_SELF, VTL0, HV_REGISTER_RIP), HV_STATUS_SUCCESS);
    EQUAL(get(HV_PARTITION_ID_SELF, HV_VP_INDEX_SELF, VTL0 | 2, HV_REGISTER_RIP),
          HV_STATUS_SUCCESS);
    EQUAL(get(0, 0, 0, HV_REGISTER_VP_INDEX), HV_STATUS_INVALID_PARTITION_ID);
    EQUAL(get(1, 0, 0, HV_REGISTER_VP_INDEX), HV_STATUS_INVALID_PARTITION_ID);
    EQUAL(get(HV_PARTITION_ID_SELF, vp_count, 0, HV_REGISTER_VP_INDEX), HV_STATUS_INVALID_VP_INDEX);
    EQUAL(get(HV_PARTITION_ID_SELF, HV_VP_INDEX_ANY, 0, HV_REGISTER_VP_INDEX),
          HV_STATUS_INVALID_VP_INDEX);
    EQUAL(get(HV_PARTITION_ID_SELF, 0, VTL0 | 1, HV_REGISTER_RIP), HV_STATUS_INVALID_PARAMETER);
    EQUAL(get(HV_PARTITION_ID_SELF, 0, VTL0 | 3, HV_REGISTER_RIP), HV_STATUS_ACCESS_DENIED);
    EQUAL(get(HV_PARTITION_ID_SELF, 0, VTL0 | 0x20, HV_REGISTER_RIP), HV_STATUS_INVALID_PARAMETER);
    EQUAL(get(HV_PARTITION_ID_SELF, 0, 2, HV_REGISTER_RIP), HV_STATUS_INVALID_PARAMETER);
    EQUAL(get(HV_PARTITION_ID_SELF, 0, 0, 0xffffffffu), HV_STATUS_INVALID_PARAMETER);
}

TEST(register_vsm) {
    struct hv_register_value value;

    EQUAL(get_register(OWN_VTL, HV_REGISTER_VSM_VP_STATUS, &value), 0);
    EQUAL(value.low, 0x50002);
    EQUAL(get_register(OWN_VTL, HV_REGISTER_VSM_CODE_PAGE_OFFSETS, &value), 0);
    EXPECT((value.low & 0xfff) && (value.low >> 12 & 0xfff) && !(value.low >> 24));
    EQUAL(get_register(OWN_VTL, HV_REGISTER_VSM_CAPABILITIES, &value), 0);
    EXPECT(value.low & HV_VSM_CAP_INTERCEPT_PAGE);
    EXPECT(value.low & HV_VSM_CAP_RETURN_ACTION);
    EQUAL(get_register(OWN_VTL, HV_REGISTER_VSM_PARTITION_STATUS, &value), 0);
    EQUAL(value.low & 0xfffff, 0x20005);
    EQUAL(get_register(OWN_VTL, HV_REGISTER_VSM_PARTITION_CONFIG, &value), 0);
    EQUAL(value.low, 0x163f);
    // Protection is not given up again, reserved bits are not taken.
    EQUAL(set_register(OWN_VTL, HV_REGISTER_VSM_PARTITION_CONFIG, 0x163e, 0),
          HV_STATUS_INVALID_REGISTER_VALUE);
    EQUAL(set_register(OWN_VTL, HV_REGISTER_VSM_PARTITION_CONFIG, UINT64_C(1) << 63 | 0x163f, 0),
          HV_STATUS_INVALID_REGISTER_VALUE);
    EQUAL(set_register(OWN_VTL, HV_REGISTER_VSM_PARTITION_CONFIG, 0x163f, 0), 0);
    EXPECT(set_register(OWN_VTL, HV_REGISTER_VSM_CAPABILITIES, 0, 0) != 0);
    EXPECT(set_register(OWN_VTL, HV_REGISTER_VSM_VP_STATUS, 0, 0) != 0);
    // They are about the VTL itself: VTL0's are not VTL2's to configure.
    EXPECT(set_register(VTL0, HV_REGISTER_VSM_PARTITION_CONFIG, 0x163f, 0) != 0);
}

TEST(register_round_trip) {
    static const uint32_t names[] = {
        HV_REGISTER_RIP,          HV_REGISTER_RSP,           HV_REGISTER_CR3,
        HV_REGISTER_STAR,         HV_REGISTER_LSTAR,         HV_REGISTER_CSTAR,
        HV_REGISTER_SFMASK,       HV_REGISTER_SYSENTER_CS,   HV_REGISTER_SYSENTER_EIP,
        HV_REGISTER_SYSENTER_ESP, HV_REGISTER_KERNEL_GS_BASE};

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        vtl0_set(names[i], 0x1234567000u + i);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        EQUAL(vtl0_get(names[i]), 0x1234567000u + i);
    }
}

TEST(register_segments) {
    struct hv_register_value value;
    // Base, then limit, selector and attributes: type 3, S, DPL 3, P, AVL, D, G.
    const uint64_t base = 0x12345678,
                   rest = UINT64_C(0xd0f3) << 48 | UINT64_C(0x33) << 32 | 0xfffff;

    for (uint32_t name = HV_REGISTER_ES; name <= HV_REGISTER_GS; name++) {
        EQUAL(set_register(VTL0, name, base, rest), 0);
        EQUAL(get_register(VTL0, name, &value), 0);
        EQUAL(value.low, base);
        EQUAL(value.high, rest);
    }
    for (uint32_t name = HV_REGISTER_IDTR; name <= HV_REGISTER_GDTR; name++) {
        EQUAL(set_register(VTL0, name, UINT64_C(0x0fff) << 48, base), 0);
        EQUAL(get_register(VTL0, name, &value), 0);
        EQUAL(value.low, UINT64_C(0x0fff) << 48);
        EQUAL(value.high, base);
    }
}

TEST(register_refused_values) {
    const uint16_t bad = HV_STATUS_INVALID_REGISTER_VALUE;

    EQUAL(set_register(VTL0, HV_REGISTER_CR0, UINT64_C(1) << 32, 0), bad);
    EQUAL(set_register(VTL0, HV_REGISTER_CR0, 0x80000010u, 0), bad); // PG without PE
    EQUAL(set_register(VTL0, HV_REGISTER_CR8, 16, 0), bad);
    EQUAL(set_register(VTL0, HV_REGISTER_EFER, UINT64_C(1) << 20, 0), bad);
    EQUAL(set_register(VTL0, HV_REGISTER_DR7, UINT64_C(1) << 32, 0), bad);
    EQUAL(set_register(VTL0, HV_REGISTER_PAT, 2, 0), bad);
    EQUAL(set_register(VTL0, HV_REGISTER_INTERNAL_ACTIVITY_STATE, 0x80, 0), bad);
    EQUAL(set_register(VTL0, HV_REGISTER_PENDING_EVENT0, HV_EVENT_PENDING | 1u << 1, 0), bad);
    EQUAL(set_register(VTL0, HV_REGISTER_PENDING_EVENT0, HV_EVENT_PENDING | 40u << 16, 0), bad);
    EQUAL(set_register(VTL0, HV_REGISTER_PENDING_INTERRUPTION,
                       HV_PENDING_INTERRUPTION | HV_PENDING_TYPE_SOFT_INT << 1 | 0x80u << 16, 0),
          bad);
    EQUAL(set_register(VTL0, HV_REGISTER_VP_INDEX, 1, 0), bad); // read-only
}

TEST(register_shared_not_settable) {
    // VTL0's are the caller's own.
    EQUAL(set_register(VTL0, HV_REGISTER_RAX, 1, 0), HV_STATUS_INVALID_PARAMETER);
    EQUAL(set_register(VTL0, HV_REGISTER_R15, 1, 0), HV_STATUS_INVALID_PARAMETER);
}

TEST(register_synthetic_per_vtl) {
    uint64_t own = cpu_rdmsr(HV_MSR_GUEST_OS_ID);

    vtl0_set(HV_REGISTER_GUEST_OS_ID, 0x55);
    EQUAL(vtl0_get(HV_REGISTER_GUEST_OS_ID), 0x55);
    EQUAL(cpu_rdmsr(HV_MSR_GUEST_OS_ID), own);
    vtl0_set(HV_REGISTER_GUEST_OS_ID, 0);
    EQUAL(vtl0_get(HV_REGISTER_VP_INDEX), 0);
    EXPECT(vtl0_get(HV_REGISTER_TIME_REF_COUNT) <= cpu_rdmsr(HV_MSR_TIME_REF_COUNT));
}

TEST(register_version) {
    struct hv_register_value value;
    struct cpuid_regs r = cpu_cpuid(HV_CPUID_VERSION, 0);

    EQUAL(get_register(OWN_VTL, HV_REGISTER_HYPERVISOR_VERSION, &value), 0);
    EQUAL(value.low, r.eax | (uint64_t)r.ebx << 32);
    EQUAL(value.high, r.ecx | (uint64_t)r.edx << 32);
    r = cpu_cpuid(HV_CPUID_FEATURES, 0);
    EQUAL(get_register(OWN_VTL, HV_REGISTER_PRIVILEGES_AND_FEATURES, &value), 0);
    EQUAL(value.low, r.eax | (uint64_t)r.ebx << 32);
}

TEST(vp_index_from_apic_id) {
    struct hv_vp_index_from_apic_id_input *in = (void *)me()->input;
    uint32_t *ids = (uint32_t *)(in + 1), *indices = (uint32_t *)me()->output;

    *in = (struct hv_vp_index_from_apic_id_input){.partition_id = HV_PARTITION_ID_SELF};
    for (uint8_t vtl = 0; vtl < 2; vtl++) { // VTL2's, whose APIC is the physical one, and VTL0's
        in->target_vtl = vtl ? VTL0 : OWN_VTL;
        for (uint32_t i = 0; i < vp_count; i++) {
            ids[i] = vtl ? i : apic_id(i);
        }
        EQUAL(call(HV_CALL_GET_VP_INDEX_FROM_APIC_ID | REPS(vp_count)), REPS(vp_count));
        for (uint32_t i = 0; i < vp_count; i++) {
            EQUAL(indices[i], i);
        }
    }
    ids[vp_count] = 200;
    EQUAL(call(HV_CALL_GET_VP_INDEX_FROM_APIC_ID | REPS(vp_count + 1)),
          REPS(vp_count) | HV_STATUS_INVALID_PARAMETER);
    in->partition_id = 7;
    EQUAL(STATUS(call(HV_CALL_GET_VP_INDEX_FROM_APIC_ID | REPS(1))),
          HV_STATUS_INVALID_PARTITION_ID);
}

TEST(vp_cpuid_values) {
    struct hv_cpuid_values_input *in = (void *)me()->input;
    uint32_t *leaves = (uint32_t *)(in + 1), *out = (uint32_t *)me()->output;

    *in = (struct hv_cpuid_values_input){.partition_id = HV_PARTITION_ID_SELF,
                                         .vp_index = HV_VP_INDEX_SELF};
    leaves[0] = HV_CPUID_VENDOR;
    leaves[1] = 0;
    leaves[2] = 1;
    leaves[3] = 0;
    EQUAL(call(HV_CALL_GET_VP_CPUID_VALUES | REPS(2)), REPS(2));
    EQUAL(out[1], HV_CPUID_VENDOR_EBX);
    EXPECT(out[6] & (1u << 21)); // VTL0's answer: x2APIC
    EQUAL(out[5] >> 24, 0);      // its own APIC ID
}
