// SPDX-License-Identifier: MIT
//
// Authentication of variables: none yet. Nothing that needs it is accepted.

#include "userspace/uefi/auth.h"

enum uefi_auth_rule uefi_auth_rule(const struct uefi_guid *guid, struct uefi_bytes name) {
    (void)guid;
    (void)name;
    return UEFI_AUTH_ORDINARY;
}

enum uefi_status uefi_auth_check(const struct uefi_auth_request *request,
                                 struct uefi_auth_result *result) {
    (void)request;
    result->reason = "authenticated variables are not supported";
    return UEFI_SECURITY_VIOLATION;
}

size_t uefi_auth_state(const struct uefi_auth_state_input *in,
                       struct uefi_auth_state_variable out[UEFI_AUTH_STATE_MAX]) {
    (void)in;
    (void)out;
    return 0;
}
