// SPDX-License-Identifier: MIT
//
// The vsm platform with a hypervisor that refuses: whose failure that is, and which intercepts VTL0
// cannot be run without.
#include "tests/support/vsm_machine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct vsm_test t;

// The hypervisor behind the driver: nobody, or one that gives this errno or hypercall status.
static int driver_errno;
static uint64_t call_status;
static uint32_t refused_intercept; ///< type
static uint32_t refused_register;

/// Takes the C library's place.
int ioctl(int fd, unsigned long request, ...);
int ioctl(int fd, unsigned long request, ...) {
    va_list arguments;
    struct mshv_hvcall *call;

    va_start(arguments, request);
    call = va_arg(arguments, void *);
    va_end(arguments);
    (void)fd;
    if (driver_errno != 0) {
        errno = driver_errno;
        return -1;
    }
    if ((uint32_t)request == (uint32_t)MSHV_HVCALL) {
        const struct hv_install_intercept_input *in = (const void *)(uintptr_t)call->input;

        call->status = call_status;
        if (call->control == HV_CALL_INSTALL_INTERCEPT) {
            call->status =
                in->intercept_type == refused_intercept ? HV_STATUS_INVALID_PARAMETER : 0;
        } else if ((call->control & 0xffff) == HV_CALL_SET_VP_REGISTERS && call_status == 0) {
            call->status = // all repetitions done
                (call->control >> HV_CONTROL_REP_COUNT_SHIFT & HV_CONTROL_REP_MASK)
                << HV_RESULT_REPS_SHIFT;
        }
    } else if ((uint32_t)request == (uint32_t)MSHV_SET_VP_REGISTERS) {
        const struct mshv_vp_registers *set = (const void *)call;
        const struct hv_register_assoc *one = (const void *)(uintptr_t)set->registers;

        if (one->name == refused_register) {
            errno = EINVAL;
            return -1;
        }
    }
    return 0;
}

static int setup(void **state) {
    (void)state;
    driver_errno = 0;
    call_status = 0;
    refused_intercept = refused_register = UINT32_MAX;
    vsm_test_init(&t);
    return 0;
}

/// CPUID where a device's register is written: the emulator refuses, an exception is due.
static void deliver_exception(void) {
    struct hv_memory_intercept m = {
        .header = vsm_test_header(&t, 0, HV_INTERCEPT_WRITE),
        .gpa = VSM_TEST_MMIO_GPA,
        .instruction_byte_count = 2,
        .instruction_bytes = {0x0f, 0xa2},
    };

    memcpy(vsm_test_message(&t, HV_MESSAGE_UNMAPPED_GPA, sizeof(m))->payload, &m, sizeof(m));
    vsm_test_deliver(&t);
}

static void test_invalid_value_is_the_guests(void **state) {
    (void)state;
    driver_errno = EINVAL;
    deliver_exception();
    assert_int_equal(t.exit.kind, VP_EXIT_FAILED);
    assert_true(t.exit.failed.by_guest);
    assert_int_equal(t.exit.failed.detail[0], EINVAL);
    assert_int_equal(t.exit.failed.detail[1], HV_MESSAGE_UNMAPPED_GPA);
    assert_true(t.exit.failed.detail[2] == VSM_TEST_CODE_GPA);
}

static void test_other_errors_are_not(void **state) {
    (void)state;
    driver_errno = EIO;
    deliver_exception();
    assert_int_equal(t.exit.kind, VP_EXIT_FAILED);
    assert_false(t.exit.failed.by_guest);
    vsm_test_init(&t);
    driver_errno = 0;
    vsm_test_message(&t, 0x12345678, 240); // nothing that VTL0 can make
    vsm_test_deliver(&t);
    assert_int_equal(t.exit.kind, VP_EXIT_FAILED);
    assert_false(t.exit.failed.by_guest);
}

/// A start-up message for a VP that does not wait for one.
static void test_startup_message_at_the_wrong_time(void **state) {
    const struct hv_sipi_intercept sipi = {.target_vp = 1, .vector = 0x10};

    (void)state;
    call_status = HV_STATUS_INVALID_VP_STATE;
    memcpy(vsm_test_message(&t, HV_MESSAGE_SIPI_INTERCEPT, sizeof(sipi))->payload, &sipi,
           sizeof(sipi));
    vsm_test_deliver(&t);
    assert_int_equal(t.exit.kind, VP_EXIT_FAILED);
    assert_true(t.exit.failed.by_guest);
}

/// VTL0's ports must come to us. The rest a host may keep.
static void test_intercepts_that_are_refused(void **state) {
    (void)state;
    assert_int_equal(vsm_install_intercepts(&t.partition), 0);
    refused_intercept = HV_INTERCEPT_MSR;
    assert_int_equal(vsm_install_intercepts(&t.partition), 0);
    refused_intercept = HV_INTERCEPT_APIC_EOI;
    assert_int_equal(vsm_install_intercepts(&t.partition), 0);
    refused_intercept = HV_INTERCEPT_IO_PORT_RANGE;
    assert_int_equal(vsm_install_intercepts(&t.partition), -EINVAL);
    driver_errno = EBADF;
    assert_int_equal(vsm_install_intercepts(&t.partition), -EBADF);
}

/// The hypervisor's pages must not lie over the next start's memory. The rest it may not have.
static void test_overlays_that_stay(void **state) {
    static const uint32_t overlays[] = {HV_REGISTER_SIEFP, HV_REGISTER_SIMP,
                                        HV_REGISTER_VP_ASSIST_PAGE, HV_REGISTER_REFERENCE_TSC,
                                        HV_REGISTER_HYPERCALL};

    (void)state;
    assert_int_equal(vsm_vp_reset(&t.vp), 0);
    refused_register = HV_REGISTER_TSC_AUX;
    assert_int_equal(vsm_vp_reset(&t.vp), 0);
    for (size_t i = 0; i < sizeof(overlays) / sizeof(overlays[0]); i++) {
        refused_register = overlays[i];
        assert_int_equal(vsm_vp_reset(&t.vp), -EINVAL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_invalid_value_is_the_guests, setup),
        cmocka_unit_test_setup(test_other_errors_are_not, setup),
        cmocka_unit_test_setup(test_startup_message_at_the_wrong_time, setup),
        cmocka_unit_test_setup(test_intercepts_that_are_refused, setup),
        cmocka_unit_test_setup(test_overlays_that_stay, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
