// SPDX-License-Identifier: MIT
//
// The variables in memory, in the order in which they were made, and their form in a file. Rules
// about who may write what are not here (uefi.h). Pure, but for malloc.
#pragma once

#include "userspace/uefi/defs.h"

// Quotas. What counts for a variable is its name, its value and UEFI_STORE_OVERHEAD_BYTES. The keys
// of Secure Boot (uefi_auth_rule KEY) have room of their own, so that nothing that a guest writes
// can keep it from updating them; and what an operating system may write leaves room for firmware.
#define UEFI_STORE_OVERHEAD_BYTES     96u
#define UEFI_STORE_VALUE_MAX_BYTES    0xE000u  ///< one value; the message is 64 KiB
#define UEFI_STORE_NAME_MAX_BYTES     2048u    ///< without the NUL
#define UEFI_STORE_COUNT_MAX          1024u    ///< of each class
#define UEFI_STORE_BOOT_RESERVE_COUNT 64u      ///< of the non-volatile ones not for runtime
#define UEFI_STORE_NV_MAX_BYTES       0x40000u ///< non-volatile, without keys
#define UEFI_STORE_BOOT_RESERVE_BYTES 0x8000u  ///< of it not for runtime
#define UEFI_STORE_KEY_MAX_BYTES      0x38000u ///< keys: four values of full size
#define UEFI_STORE_VOLATILE_MAX_BYTES 0x20000u ///< volatile
#define UEFI_STORE_IMAGE_MAX_BYTES    0x80000u ///< the file
_Static_assert(UEFI_STORE_NV_MAX_BYTES + UEFI_STORE_KEY_MAX_BYTES < UEFI_STORE_IMAGE_MAX_BYTES,
               "what the quotas allow can be saved");

struct uefi_variable {
    struct uefi_variable *next;
    struct uefi_guid guid;
    uint32_t attributes; ///< within UEFI_ATTR_STORED_MASK
    uint8_t time[UEFI_TIME_BYTES];
    uint8_t digest[UEFI_DIGEST_BYTES];
    struct uefi_bytes name;  ///< into bytes[]
    struct uefi_bytes value; ///< into bytes[]
    uint8_t bytes[];
};

/// Accounting classes.
enum uefi_class { UEFI_CLASS_NV, UEFI_CLASS_KEY, UEFI_CLASS_VOLATILE, UEFI_CLASS_COUNT };

struct uefi_store {
    struct uefi_variable *first;
    size_t count[UEFI_CLASS_COUNT];
    size_t used_bytes[UEFI_CLASS_COUNT]; ///< as the quotas count
};

/// All zero is an empty store. Frees every variable.
void uefi_store_clear(struct uefi_store *store);

/// Makes a variable (copies everything); time and digest may be NULL. NULL when out of memory.
struct uefi_variable *uefi_variable_new(const struct uefi_guid *guid, struct uefi_bytes name,
                                        uint32_t attributes, struct uefi_bytes value,
                                        const uint8_t *time, const uint8_t *digest);
void uefi_variable_free(struct uefi_variable *variable);

/// The class of a variable, and the bytes that count for it.
enum uefi_class uefi_class_of(const struct uefi_guid *guid, struct uefi_bytes name,
                              uint32_t attributes);
size_t uefi_variable_cost(size_t name_bytes, size_t value_bytes);

bool uefi_name_equal(struct uefi_bytes a, struct uefi_bytes b);

/// Whether a variable of this name can have these attributes and last: NULL, or why not (static
/// text). Every way into a saved store asks.
const char *uefi_store_refuses(const struct uefi_guid *guid, struct uefi_bytes name,
                               uint32_t attributes);

struct uefi_variable *uefi_store_find(const struct uefi_store *store, const struct uefi_guid *guid,
                                      struct uefi_bytes name);

/// Puts variable where old stood (old NULL: at the end; variable NULL: only takes old out). The
/// store owns variable then, the caller owns old. No check of quotas.
void uefi_store_replace(struct uefi_store *store, struct uefi_variable *old,
                        struct uefi_variable *variable);

/// What is left of a class's quota, in bytes that count.
size_t uefi_store_room(const struct uefi_store *store, enum uefi_class class, bool runtime);

/// Whether a variable of new_cost in the place of old (NULL: a new one) keeps within the quotas.
bool uefi_store_has_room(const struct uefi_store *store, enum uefi_class class, bool runtime,
                         const struct uefi_variable *old, size_t new_cost);

// The image is OpenHCL's: records of 48 bytes, name with NUL, value, back to back. Ours begins with
// one record more, a variable that nobody sees ("ParapetStore", store_image.c) with a checksum over
// everything and what OpenHCL's records have no room for. An image without it is taken as
// OpenHCL's.

/// Writes the non-volatile variables; *size_bytes is the image's size. -ENOSPC when it does not fit
/// in room_bytes (UEFI_STORE_IMAGE_MAX_BYTES always suffices within the quotas).
int uefi_store_save(const struct uefi_store *store, uint8_t *out, size_t room_bytes,
                    size_t *size_bytes);

/// What uefi_store_load() found out.
struct uefi_store_report {
    const char *why; ///< of -EBADMSG: what is wrong; static text
    size_t off;      ///< of the record where
    bool foreign;    ///< no record of ours: OpenHCL's, without a checksum
};

/// Reads an image into an empty store, all or nothing; *report is filled in any case. -EBADMSG when
/// it is not what uefi_store_save() or OpenHCL writes; -ENOMEM.
int uefi_store_load(struct uefi_store *store, const uint8_t *image, size_t size_bytes,
                    struct uefi_store_report *report);
