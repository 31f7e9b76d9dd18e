// SPDX-License-Identifier: MIT
//
// The shape of a management mode message (PI specification 1.8, volume 4,
// EFI_MM_COMMUNICATE_HEADER) and of the variable service's calls in it (EDK II, MdeModulePkg,
// SmmVariableCommon). Pure: sizes are checked here, once; the rest of the service works with what
// comes out.
#pragma once

#include "userspace/uefi/defs.h"

#define UEFI_MM_HEADER_BYTES      24u ///< GUID, u64 length
#define UEFI_MM_FUNCTION_BYTES    16u ///< u64 function, u64 status
#define UEFI_MM_ACCESS_BYTES      36u ///< GUID, u64 data size, u64 name size, u32 attributes
#define UEFI_MM_ACCESS_DATA_SIZE  16u
#define UEFI_MM_ACCESS_NAME_SIZE  24u
#define UEFI_MM_ACCESS_ATTRIBUTES 32u
#define UEFI_MM_NAME_BYTES        24u ///< GUID, u64 name size; then the name
#define UEFI_MM_NAME_SIZE         16u
#define UEFI_MM_QUERY_INFO_BYTES  28u ///< u64 maximum, u64 remaining, u64 largest, u32 attributes
#define UEFI_MM_POLICY_BYTES      20u ///< u32 signature, revision, command, u64 result
#define UEFI_MM_POLICY_RESULT     12u

/// Who a message is for.
enum uefi_mm_service {
    UEFI_MM_VARIABLE,
    UEFI_MM_POLICY,
    UEFI_MM_END_OF_DXE,
    UEFI_MM_READY_TO_BOOT,
    UEFI_MM_EXIT_BOOT_SERVICES,
    UEFI_MM_SERVICE_COUNT,
};

/// Functions of the variable service.
enum uefi_mm_function {
    UEFI_MM_GET = 1,
    UEFI_MM_GET_NEXT = 2,
    UEFI_MM_SET = 3,
    UEFI_MM_QUERY_INFO = 4,
    UEFI_MM_FN_READY_TO_BOOT = 5,
    UEFI_MM_FN_EXIT_BOOT_SERVICE = 6,
    UEFI_MM_LOCK = 8,
    UEFI_MM_PAYLOAD_SIZE = 11,
};

struct uefi_mm {
    enum uefi_mm_service service;
    uint8_t *payload; ///< into the message
    size_t payload_bytes;
};

/// Checks a message's header. -EMSGSIZE: it does not fit in size_bytes, or its payload is too small
/// for the answer; -ENOTSUP: nobody has this GUID.
int uefi_mm_parse(uint8_t *message, size_t size_bytes, struct uefi_mm *out);

/// The parameters of GET and SET; everything points into the message.
struct uefi_mm_access {
    struct uefi_guid guid;
    uint32_t attributes;
    struct uefi_bytes name; ///< without NUL, not empty
    uint8_t *data;          ///< behind the name
    size_t data_bytes;      ///< as asked for, inside the message
};

/// UEFI_BAD_BUFFER_SIZE, UEFI_INVALID_PARAMETER for a bad name.
enum uefi_status uefi_mm_access_parse(uint8_t *bytes, size_t size_bytes,
                                      struct uefi_mm_access *out);

/// The parameters of GET_NEXT and LOCK.
struct uefi_mm_name {
    struct uefi_guid guid;
    struct uefi_bytes name; ///< up to the first NUL; may be empty
    uint8_t *room;          ///< where the name stands
    size_t room_bytes;      ///< as the caller says, inside the message
};

/// UEFI_BAD_BUFFER_SIZE, UEFI_INVALID_PARAMETER when there is no NUL in the room.
enum uefi_status uefi_mm_name_parse(uint8_t *bytes, size_t size_bytes, struct uefi_mm_name *out);
