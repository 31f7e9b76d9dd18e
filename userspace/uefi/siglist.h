// SPDX-License-Identifier: MIT
//
// EFI_SIGNATURE_LIST (UEFI specification 2.10, section 32.4.1): the form of PK, KEK, db, dbx, dbt
// and dbr. A value is any number of lists, one behind the other; a list has one type and signatures
// of one size, each an owner's GUID and its data. Pure, bounded by the value's size.
#pragma once

#include "igvm/base/bytes.h"
#include "userspace/uefi/defs.h"

#define UEFI_SIGLIST_HEADER_BYTES 28u // type, list size, header size, signature size
#define UEFI_SIGLIST_OWNER_BYTES  16u

enum uefi_sig_type {
    UEFI_SIG_X509, ///< a certificate, DER
    UEFI_SIG_SHA256,
    UEFI_SIG_SHA1,
    UEFI_SIG_SHA224,
    UEFI_SIG_SHA384,
    UEFI_SIG_SHA512,
    UEFI_SIG_RSA2048,
    UEFI_SIG_RSA2048_SHA1,
    UEFI_SIG_RSA2048_SHA256,
    UEFI_SIG_X509_SHA256, ///< hash of a tbsCertificate and a time of revocation
    UEFI_SIG_X509_SHA384,
    UEFI_SIG_X509_SHA512,
    UEFI_SIG_TYPE_COUNT,
};

/// A type's GUID and its name in texts.
const struct uefi_guid *uefi_sig_guid(enum uefi_sig_type type);
const char *uefi_sig_name(enum uefi_sig_type type);

/// One signature. Slices point into the value.
struct uefi_signature {
    enum uefi_sig_type type;
    struct uefi_bytes whole; ///< owner and data: what is compared
    struct uefi_bytes owner; ///< 16 bytes
    struct uefi_bytes data;
};

/// Where a walk stands.
struct uefi_siglist_walk {
    struct cursor lists;   ///< behind the list at hand
    struct cursor entries; ///< what is left of it
    uint32_t entry_bytes;  ///< of each of its signatures; 0: no list yet
    enum uefi_sig_type type;
    const char *wrong; ///< after false: NULL at the end, else what is wrong (static text)
};

void uefi_siglist_begin(struct uefi_siglist_walk *walk, struct uefi_bytes value);

/// The next signature; false at the end or when the value is no good there.
bool uefi_siglist_next(struct uefi_siglist_walk *walk, struct uefi_signature *out);

/// NULL when the whole value is well formed, with *count of signatures; else what is wrong.
const char *uefi_siglist_check(struct uefi_bytes value, size_t *count);

/// Puts old and those signatures of added that are not in old (nor earlier in added) into room;
/// *out is the result, *added_count how many were new. Both values are well formed. False: no room.
bool uefi_siglist_append(struct uefi_bytes old, struct uefi_bytes added, uint8_t *room,
                         size_t room_bytes, struct uefi_bytes *out, size_t *added_count);

/// Writes the header of a list of count signatures with data of data_bytes each; the list's size in
/// all, or 0 when it does not fit 32 bits.
uint32_t uefi_siglist_header(uint8_t header[UEFI_SIGLIST_HEADER_BYTES], enum uefi_sig_type type,
                             uint32_t data_bytes, uint32_t count);
