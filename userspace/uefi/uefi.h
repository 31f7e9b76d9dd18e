// SPDX-License-Identifier: MIT
//
// The UEFI variable service: runtime services GetVariable, GetNextVariableName, SetVariable and
// QueryVariableInfo (UEFI specification 2.10, section 8.2) and EDK II's variable policy, asked for
// by management mode messages (PI specification 1.8, volume 4, section 5.7) in a buffer of at most
// 64 KiB. Pure: messages in, messages out; what must last goes through one callback.
#pragma once

#include "userspace/uefi/auth.h"
#include "userspace/uefi/policy.h"
#include "userspace/uefi/store.h"

#define UEFI_MESSAGE_MAX_BYTES 0x10000u

/// Called with the whole non-volatile store before a change of it is answered with success. 0 when
/// it is safe; else the change is undone and the guest sees EFI_DEVICE_ERROR.
struct uefi_persist {
    int (*save)(void *ctx, const uint8_t *bytes, size_t size_bytes);
    void *ctx;
};

/// uefi_auth_check, or a test's.
typedef enum uefi_status (*uefi_auth_check_fn)(const struct uefi_auth_request *request,
                                               struct uefi_auth_result *result);

struct uefi_engine_config {
    struct uefi_persist persist;   ///< save NULL: nothing lasts
    uefi_auth_check_fn auth_check; ///< NULL: uefi_auth_check
    bool secure_boot_wanted;       ///< secure_boot.enabled
};

/// Counters for inspect.
struct uefi_counters {
    uint64_t messages, gets, sets, refused_sets, saves, failed_saves;
};

struct uefi_engine {
    struct uefi_engine_config config;
    struct uefi_store store;
    struct uefi_policy policy;
    bool end_of_dxe, ready_to_boot, exit_boot_services;
    struct uefi_counters counters;
    uint8_t *scratch; ///< UEFI_STORE_IMAGE_MAX_BYTES: appended values, images
};

/// Makes an engine with the store in image (size 0: a blank one), and resets it. -EBADMSG for a
/// corrupted image (*report says what is wrong), -ENOMEM. uefi_engine_free() after 0 only.
int uefi_engine_init(struct uefi_engine *engine, const struct uefi_engine_config *config,
                     const uint8_t *image, size_t image_bytes, struct uefi_store_report *report);
void uefi_engine_free(struct uefi_engine *engine);

/// Puts a variable into the store past all checks: provisioning of keys (templates, import) before
/// the guest runs, after uefi_engine_init(). Not saved by itself: uefi_engine_save(). -EINVAL:
/// against the store's own rules (names, sizes, attributes), -ENOSPC: quota, -ENOMEM.
int uefi_engine_preset(struct uefi_engine *engine, const struct uefi_guid *guid,
                       struct uefi_bytes name, uint32_t attributes, struct uefi_bytes value,
                       const uint8_t time[UEFI_TIME_BYTES]);

/// Saves now; the callback's error.
int uefi_engine_save(struct uefi_engine *engine);

/// Power-on: volatile variables and policies go, Secure Boot's state is computed anew.
int uefi_engine_reset(struct uefi_engine *engine);

/// Handles one message in place: 24 bytes of header, then as many bytes as it says, within
/// size_bytes. Nothing behind them is touched and the length stays. 0; -ENOTSUP: nobody has this
/// GUID, -EMSGSIZE: the sizes do not fit (the message is unchanged then).
int uefi_engine_handle(struct uefi_engine *engine, uint8_t *message, size_t size_bytes);
