// SPDX-License-Identifier: MIT
//
// What unit tests of the variable service share (uefi_fixture.h).
#include "tests/support/uefi_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

int uefi_fixture_setup(void **state) {
    *state = calloc(1, sizeof(struct uefi_fixture));
    assert_non_null(*state);
    uefi_fixture_start(*state, false);
    return 0;
}

int uefi_fixture_teardown(void **state) {
    uefi_fixture_stop(*state);
    free(*state);
    return 0;
}

void uefi_assert_value(struct uefi_client *client, const char *name, uint32_t attributes,
                       const char *text) {
    assert_int_equal(uefi_get(client, &uefi_test_guid, name, 1024), UEFI_SUCCESS);
    assert_int_equal(client->attributes, attributes);
    assert_int_equal(client->size_bytes, strlen(text));
    assert_memory_equal(client->value, text, strlen(text));
}
