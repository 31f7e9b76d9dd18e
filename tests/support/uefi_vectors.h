// SPDX-License-Identifier: MIT
//
// The signed payloads and signature lists of tests/vectors/uefi (made by its make.sh), and calls of
// uefi_auth_check() with them.
#pragma once

#include "userspace/uefi/auth.h"

#define VECTOR_MAX_BYTES 8192u

/// Attributes of a key, of an append to it.
#define VECTOR_KEY_ATTRIBUTES 0x27u
#define VECTOR_APPEND         0x67u

/// A file's bytes, kept until the program ends. The test fails when it cannot be read. NULL: empty.
struct uefi_bytes vector(const char *file);

/// What a call is made against.
struct vector_setting {
    const char *pk, *kek;                  ///< files (*.esl); NULL: absent
    const struct uefi_auth_stored *stored; ///< NULL: no such variable
};

/// SetVariable(name) with a payload. The GUID follows from the name (anything but the names of
/// keys: the vectors' private one). An append's room is static.
enum uefi_status vector_set(const struct vector_setting *setting, const char *name,
                            uint32_t attributes, struct uefi_bytes payload,
                            struct uefi_auth_result *result);

/// The same with a file.
enum uefi_status vector_set_file(const struct vector_setting *setting, const char *name,
                                 uint32_t attributes, const char *file,
                                 struct uefi_auth_result *result);

/// A stored variable as a result leaves it. The value's bytes must stay.
struct uefi_auth_stored vector_stored(uint32_t attributes, const struct uefi_auth_result *result);
