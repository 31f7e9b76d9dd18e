// SPDX-License-Identifier: MIT
//
// EFI_VARIABLE_AUTHENTICATION_2 (UEFI specification 2.10, section 8.2.2): EFI_TIME, then a
// WIN_CERTIFICATE_UEFI_GUID (section 32.2.4) with a PKCS#7 SignedData, then the variable's value.
// Pure.
#pragma once

#include "userspace/uefi/defs.h"

/// The parts; slices point into the payload.
struct uefi_auth_header {
    struct uefi_bytes time;  ///< EFI_TIME as it stands
    struct uefi_bytes pkcs7; ///< may be empty: in setup mode nothing is signed
    struct uefi_bytes value; ///< what follows
};

/// Splits a payload. NULL, or what is wrong with it (static text).
const char *uefi_auth_header_parse(struct uefi_bytes payload, struct uefi_auth_header *out);

/// Orders two valid EFI_TIMEs: negative, 0 or positive as a is earlier, the same, later.
int uefi_time_compare(const uint8_t a[UEFI_TIME_BYTES], const uint8_t b[UEFI_TIME_BYTES]);
