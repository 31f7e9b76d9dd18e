// SPDX-License-Identifier: MIT
//
// Authenticated variables and Secure Boot's state: UEFI specification 2.10, sections 8.2.2 and
// 32.3 to 32.5. Pure: no store, no I/O; what is decided here the engine (uefi.h) carries out.
//
// Of a SetVariable of the guest the engine asks uefi_auth_rule() under which rule the name falls.
// READ_ONLY is refused at once. Where the call or the stored variable has TIME_AUTH, or the rule is
// KEY, uefi_auth_check() decides and gives the whole new value. After every change of PK or
// SecureBootEnable and at a reset uefi_auth_state() gives the variables that are Secure Boot's
// state.
#pragma once

#include "userspace/uefi/defs.h"

/// Which rule a name falls under.
enum uefi_auth_rule {
    UEFI_AUTH_ORDINARY,  ///< nothing special; with TIME_AUTH a private authenticated variable
    UEFI_AUTH_READ_ONLY, ///< the paravisor's own (SetupMode, SecureBoot, …): WRITE_PROTECTED
    UEFI_AUTH_KEY,       ///< PK, KEK, db, dbx, dbt, dbr: only with exactly their attributes
};

/// The rule of a name, whatever the attributes of the call are.
enum uefi_auth_rule uefi_auth_rule(const struct uefi_guid *guid, struct uefi_bytes name);

/// A stored variable as far as authentication needs it.
struct uefi_auth_stored {
    uint32_t attributes;
    struct uefi_bytes value;
    uint8_t time[UEFI_TIME_BYTES];     ///< of the last write; all zero: none
    uint8_t digest[UEFI_DIGEST_BYTES]; ///< of the signer it is pinned to; all zero: not pinned
};

/// One SetVariable call. All pointers are the caller's and stay valid during the call.
struct uefi_auth_request {
    struct uefi_guid guid;
    struct uefi_bytes name;    ///< UTF-16LE without the NUL
    uint32_t attributes;       ///< as passed, APPEND_WRITE included
    struct uefi_bytes payload; ///< as passed: EFI_VARIABLE_AUTHENTICATION_2, new value; hostile
    const struct uefi_auth_stored *stored; ///< NULL: there is none
    struct uefi_bytes pk, kek, db;         ///< values now, size 0: absent; no PK: setup mode
    uint8_t *room;                         ///< where an append is put together
    size_t room_bytes;
};

/// What to do when the call is authentic.
struct uefi_auth_result {
    struct uefi_bytes value;           ///< the whole new value: inside payload or room
    uint8_t time[UEFI_TIME_BYTES];     ///< to be stored
    uint8_t digest[UEFI_DIGEST_BYTES]; ///< to be stored; all zero: not pinned
    bool remove;                       ///< an authenticated delete
    bool unchanged;                    ///< an append that added nothing: only the time may differ
    const char *reason;                ///< of a refusal, for the log: static text, never NULL then
};

/// Checks one call. UEFI_SUCCESS with *result filled; else only result->reason is:
/// UEFI_SECURITY_VIOLATION, UEFI_INVALID_PARAMETER (attributes other than the stored ones or than a
/// key's; a value that is no list of signatures), UEFI_UNSUPPORTED (COUNT_AUTH),
/// UEFI_OUT_OF_RESOURCES (an append that does not fit in room).
enum uefi_status uefi_auth_check(const struct uefi_auth_request *request,
                                 struct uefi_auth_result *result);

/// What Secure Boot's state follows from.
struct uefi_auth_state_input {
    bool pk_present;
    bool at_reset;           ///< power-on: CustomMode and VendorKeysNv go back to 0 too
    int secure_boot_enable;  ///< stored SecureBootEnable, 0 or 1; -1: no such variable
    bool secure_boot_wanted; ///< secure_boot.enabled of the configuration
};

#define UEFI_AUTH_STATE_MAX       12u
#define UEFI_AUTH_STATE_MAX_BYTES 128u

/// One variable that the engine puts into the store (or takes out of it), past all checks.
struct uefi_auth_state_variable {
    struct uefi_guid guid;
    const char *name; ///< ASCII, static
    uint32_t attributes;
    uint32_t value_bytes; ///< 0: it must not exist
    uint8_t value[UEFI_AUTH_STATE_MAX_BYTES];
};

/// Computes the state variables. Returns how many were written to out.
size_t uefi_auth_state(const struct uefi_auth_state_input *in,
                       struct uefi_auth_state_variable out[UEFI_AUTH_STATE_MAX]);
