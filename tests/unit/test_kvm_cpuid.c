// SPDX-License-Identifier: MIT
//
// CPUID of a VP under KVM, from tables that a pretended KVM supports: what must not reach the
// guest, and each VP's own id.
#include "vtl2/kvm_internal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define ECX1_VMX    (1u << 5)
#define ECX_AMD_SVM (1u << 2)

static struct kvm_cpuid_table applied;

/// In place of vtl2/kvm.c's: everything that a processor could have is there.
int kvm_ioctl(int fd, unsigned long request, void *argument) {
    static const uint32_t leaves[] = {0,          1,          4,          7,
                                      0xb,        0x1f,       0x40000000, 0x80000000,
                                      0x80000001, 0x80000008, 0x8000000a, 0x8000001e};
    struct kvm_cpuid_table *table = argument;

    (void)fd;
    if (request == KVM_CHECK_EXTENSION) {
        return 1;
    }
    if (request == KVM_SET_CPUID2) {
        applied = *table;
        return 0;
    }
    assert_int_equal(request, KVM_GET_SUPPORTED_CPUID);
    assert_true(table->nent >= sizeof(leaves) / sizeof(leaves[0]));
    table->nent = sizeof(leaves) / sizeof(leaves[0]);
    for (uint32_t i = 0; i < table->nent; i++) {
        table->entries[i] = (struct kvm_cpuid_entry2){
            .function = leaves[i], .eax = ~0u, .ebx = ~0u, .ecx = ~0u, .edx = ~0u};
    }
    return 0;
}

static const struct kvm_cpuid_entry2 *find(uint32_t leaf) {
    for (uint32_t i = 0; i < applied.nent; i++) {
        if (applied.entries[i].function == leaf) {
            return &applied.entries[i];
        }
    }
    return NULL;
}

static struct partition partition = {.vp_count = 4};

static int set_up(void **state) {
    (void)state;
    return kvm_cpuid_prepare(&partition) || kvm_cpuid_apply(&partition, 3, 0) ? -1 : 0;
}

/// Nested virtualisation is the largest part of KVM that a guest could reach.
static void test_no_nested_guests(void **state) {
    (void)state;
    assert_int_equal(find(1)->ecx & ECX1_VMX, 0);
    assert_int_equal(find(0x80000001)->ecx & ECX_AMD_SVM, 0);
    assert_null(find(0x8000000a));
}

static void test_own_id(void **state) {
    (void)state;
    assert_int_equal(find(1)->ebx >> 24, 3);
    assert_int_equal(find(0xb)->edx, 3);
    assert_int_equal(find(0x8000001e)->eax, 3);
    assert_null(find(0x1f));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_no_nested_guests, set_up),
        cmocka_unit_test_setup(test_own_id, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
