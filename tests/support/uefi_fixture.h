// SPDX-License-Identifier: MIT
//
// What unit tests of the variable service share: set-up and teardown for cmocka, an assertion.
#pragma once

#include "tests/support/uefi_client.h"

/// Around each test: a struct uefi_fixture of its own with an empty store, in *state.
int uefi_fixture_setup(void **state);
int uefi_fixture_teardown(void **state);

/// The variable of uefi_test_guid has these attributes and this text.
void uefi_assert_value(struct uefi_client *client, const char *name, uint32_t attributes,
                       const char *text);
