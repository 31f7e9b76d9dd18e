// SPDX-License-Identifier: MIT
//
// Numbers and names of the UEFI specification 2.10 (sections 7, 8.2, 32 and appendix D) that the
// variable service shares with its clients. GUIDs stand in the byte order of EFI_GUID in memory.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/// Appendix D, without the error bit; uefi_status_wire() adds it.
enum uefi_status {
    UEFI_SUCCESS = 0,
    UEFI_INVALID_PARAMETER = 2,
    UEFI_UNSUPPORTED = 3,
    UEFI_BAD_BUFFER_SIZE = 4,
    UEFI_BUFFER_TOO_SMALL = 5,
    UEFI_DEVICE_ERROR = 7,
    UEFI_WRITE_PROTECTED = 8,
    UEFI_OUT_OF_RESOURCES = 9,
    UEFI_NOT_FOUND = 14,
    UEFI_ACCESS_DENIED = 15,
    UEFI_ALREADY_STARTED = 20,
    UEFI_SECURITY_VIOLATION = 26,
};

/// EFI_STATUS as a 64-bit caller sees it.
static inline uint64_t uefi_status_wire(enum uefi_status status) {
    return status == UEFI_SUCCESS ? 0 : 1ull << 63 | (uint64_t)status;
}

// Attributes, section 8.2.1.
#define UEFI_ATTR_NON_VOLATILE   0x01u
#define UEFI_ATTR_BOOTSERVICE    0x02u
#define UEFI_ATTR_RUNTIME        0x04u
#define UEFI_ATTR_HARDWARE_ERROR 0x08u
#define UEFI_ATTR_COUNT_AUTH     0x10u ///< deprecated: refused
#define UEFI_ATTR_TIME_AUTH      0x20u
#define UEFI_ATTR_APPEND         0x40u ///< of a call, never stored
#define UEFI_ATTR_ENHANCED_AUTH  0x80u ///< refused
#define UEFI_ATTR_STORED_MASK    0x2Fu ///< what a stored variable can have
#define UEFI_ATTR_KEY            0x27u ///< what PK, KEK, db, dbx, dbt and dbr have

#define UEFI_TIME_BYTES   16u ///< EFI_TIME
#define UEFI_DIGEST_BYTES 32u ///< SHA-256

struct uefi_guid {
    uint8_t bytes[16];
};
_Static_assert(sizeof(struct uefi_guid) == 16, "wire layout");

static inline bool uefi_guid_equal(const struct uefi_guid *a, const struct uefi_guid *b) {
    return memcmp(a, b, sizeof(*a)) == 0;
}

/// A GUID as the registry writes it: {8be4df61-93ca-11d2-aa0d-00e098032b8c} is
/// UEFI_GUID(0x8be4df61, 0x93ca, 0x11d2, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c).
#define UEFI_GUID(a_, b_, c_, ...)                                                                 \
    {                                                                                              \
        {                                                                                          \
            (a_) & 0xFFu, (a_) >> 8 & 0xFFu, (a_) >> 16 & 0xFFu, (a_) >> 24 & 0xFFu, (b_)&0xFFu,   \
                (b_) >> 8 & 0xFFu, (c_)&0xFFu, (c_) >> 8 & 0xFFu, __VA_ARGS__                      \
        }                                                                                          \
    }

/// EFI_GLOBAL_VARIABLE: PK, KEK, SetupMode, SecureBoot, Boot####, …
#define UEFI_GUID_GLOBAL                                                                           \
    UEFI_GUID(0x8be4df61, 0x93ca, 0x11d2, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c)
/// EFI_IMAGE_SECURITY_DATABASE_GUID: db, dbx, dbt, dbr.
#define UEFI_GUID_IMAGE_SECURITY                                                                   \
    UEFI_GUID(0xd719b2cb, 0x3d3a, 0x4596, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f)
/// EDK II: SecureBootEnable.
#define UEFI_GUID_SECURE_BOOT_ENABLE                                                               \
    UEFI_GUID(0xf0a30bc7, 0xaf08, 0x4556, 0x99, 0xc4, 0x00, 0x10, 0x09, 0xc9, 0x3a, 0x44)
/// EDK II: CustomMode.
#define UEFI_GUID_CUSTOM_MODE                                                                      \
    UEFI_GUID(0xc076ec0c, 0x7028, 0x4399, 0xa0, 0x72, 0x71, 0xee, 0x5c, 0x44, 0x8b, 0x9f)
/// EFI_HARDWARE_ERROR_VARIABLE: HwErrRec####.
#define UEFI_GUID_HARDWARE_ERROR                                                                   \
    UEFI_GUID(0x414e6bdd, 0xe47b, 0x47cc, 0xb2, 0x44, 0xbb, 0x61, 0x02, 0x0c, 0xf5, 0x16)

/// Bytes that somebody else owns, at any alignment.
struct uefi_bytes {
    const uint8_t *at;
    size_t size_bytes;
};

/// Compares a variable's name (UTF-16LE without the terminating NUL, as everywhere here) with ASCII
/// text.
static inline bool uefi_name_is(struct uefi_bytes name, const char *text) {
    size_t length = strlen(text);

    if (name.size_bytes != 2 * length) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (name.at[2 * i] != (uint8_t)text[i] || name.at[2 * i + 1] != 0) {
            return false;
        }
    }
    return true;
}
