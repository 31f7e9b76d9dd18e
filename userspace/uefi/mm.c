// SPDX-License-Identifier: MIT
//
// Management mode messages (mm.h). Everything is in the service's own copy of the message: nobody
// changes it meanwhile.

#include "userspace/uefi/mm.h"

#include "igvm/base/bytes.h"

#include <errno.h>

static const struct uefi_guid services[UEFI_MM_SERVICE_COUNT] = {
    // EDK II: gEfiSmmVariableProtocolGuid, gVarCheckPolicyLibMmiHandlerGuid
    [UEFI_MM_VARIABLE] =
        UEFI_GUID(0xed32d533, 0x99e6, 0x4209, 0x9c, 0xc0, 0x2d, 0x72, 0xcd, 0xd9, 0x98, 0xa7),
    [UEFI_MM_POLICY] =
        UEFI_GUID(0xda1b0d11, 0xd1a7, 0x46c4, 0x9d, 0xc9, 0xf3, 0x71, 0x48, 0x75, 0xc6, 0xeb),
    // The event groups of PI and UEFI.
    [UEFI_MM_END_OF_DXE] =
        UEFI_GUID(0x02ce967a, 0xdd7e, 0x4ffc, 0x9e, 0xe7, 0x81, 0x0c, 0xf0, 0x47, 0x08, 0x80),
    [UEFI_MM_READY_TO_BOOT] =
        UEFI_GUID(0x7ce88fb3, 0x4bd7, 0x4679, 0x87, 0xa8, 0xa8, 0xd8, 0xde, 0xe5, 0x0d, 0x2b),
    [UEFI_MM_EXIT_BOOT_SERVICES] =
        UEFI_GUID(0x27abf055, 0xb1b8, 0x4c26, 0x80, 0x48, 0x74, 0x8f, 0x37, 0xba, 0xa2, 0xdf),
};

/// What a payload must have for an answer to fit.
static const size_t payload_min_bytes[UEFI_MM_SERVICE_COUNT] = {
    [UEFI_MM_VARIABLE] = UEFI_MM_FUNCTION_BYTES,
    [UEFI_MM_POLICY] = UEFI_MM_POLICY_BYTES,
};

int uefi_mm_parse(uint8_t *message, size_t size_bytes, struct uefi_mm *out) {
    uint64_t length;

    if (size_bytes < UEFI_MM_HEADER_BYTES) {
        return -EMSGSIZE;
    }
    length = load_le64(message + 16);
    if (length > size_bytes - UEFI_MM_HEADER_BYTES) {
        return -EMSGSIZE;
    }
    for (unsigned i = 0; i < UEFI_MM_SERVICE_COUNT; i++) {
        if (memcmp(message, services[i].bytes, 16) == 0) {
            if (length < payload_min_bytes[i]) {
                return -EMSGSIZE;
            }
            *out = (struct uefi_mm){.service = (enum uefi_mm_service)i,
                                    .payload = message + UEFI_MM_HEADER_BYTES,
                                    .payload_bytes = (size_t)length};
            return 0;
        }
    }
    return -ENOTSUP;
}

/// Characters before the first NUL of [bytes, bytes + size); size / 2 when there is none.
static size_t name_length(const uint8_t *bytes, size_t size_bytes) {
    size_t count = size_bytes / 2;

    for (size_t i = 0; i < count; i++) {
        if (bytes[2 * i] == 0 && bytes[2 * i + 1] == 0) {
            return i;
        }
    }
    return count;
}

enum uefi_status uefi_mm_access_parse(uint8_t *bytes, size_t size_bytes,
                                      struct uefi_mm_access *out) {
    uint64_t name_size, data_size;
    size_t left;

    if (size_bytes < UEFI_MM_ACCESS_BYTES) {
        return UEFI_BAD_BUFFER_SIZE;
    }
    data_size = load_le64(bytes + UEFI_MM_ACCESS_DATA_SIZE);
    name_size = load_le64(bytes + UEFI_MM_ACCESS_NAME_SIZE);
    left = size_bytes - UEFI_MM_ACCESS_BYTES;
    if (name_size > left || data_size > left - name_size) {
        return UEFI_BAD_BUFFER_SIZE;
    }
    // The NUL is the last character and the only one; a name has at least one character.
    if (name_size < 4 || name_size % 2 != 0 ||
        name_length(bytes + UEFI_MM_ACCESS_BYTES, (size_t)name_size) != name_size / 2 - 1) {
        return UEFI_INVALID_PARAMETER;
    }
    memcpy(&out->guid, bytes, sizeof(out->guid));
    out->attributes = load_le32(bytes + UEFI_MM_ACCESS_ATTRIBUTES);
    out->name = (struct uefi_bytes){.at = bytes + UEFI_MM_ACCESS_BYTES,
                                    .size_bytes = (size_t)name_size - 2};
    out->data = bytes + UEFI_MM_ACCESS_BYTES + name_size;
    out->data_bytes = (size_t)data_size;
    return UEFI_SUCCESS;
}

enum uefi_status uefi_mm_name_parse(uint8_t *bytes, size_t size_bytes, struct uefi_mm_name *out) {
    uint64_t room;
    size_t length;

    if (size_bytes < UEFI_MM_NAME_BYTES) {
        return UEFI_BAD_BUFFER_SIZE;
    }
    room = load_le64(bytes + UEFI_MM_NAME_SIZE);
    if (room > size_bytes - UEFI_MM_NAME_BYTES) {
        return UEFI_BAD_BUFFER_SIZE;
    }
    length = name_length(bytes + UEFI_MM_NAME_BYTES, (size_t)room);
    if (length == room / 2) {
        return UEFI_INVALID_PARAMETER;
    }
    memcpy(&out->guid, bytes, sizeof(out->guid));
    out->name = (struct uefi_bytes){.at = bytes + UEFI_MM_NAME_BYTES, .size_bytes = 2 * length};
    out->room = bytes + UEFI_MM_NAME_BYTES;
    out->room_bytes = (size_t)room;
    return UEFI_SUCCESS;
}
