// SPDX-License-Identifier: MIT
//
// Four local APICs for the tests of one (lapic_fixture.h).
#include "tests/support/lapic_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct fake_apics apics;

int lapic_setup(void **state) {
    (void)state;
    fake_apics_init(&apics);
    return 0;
}

void expect_nothing(unsigned idx) {
    assert_int_equal(fake_apic_take(&apics, idx), FAKE_APIC_NOTHING);
}

void eoi(unsigned idx) {
    fake_apic_write(&apics, idx, EOI, 0);
}
