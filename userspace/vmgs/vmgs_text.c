// SPDX-License-Identifier: MIT
//
// VMGS: the texts of errors, and the names of files.

#include "userspace/vmgs/vmgs.h"

#include "igvm/base/types.h"

#include <stdio.h>
#include <string.h>

static const char *const rule_texts[VMGS_RULE_COUNT] = {
#define VMGS_RULE_TEXT(name, text) [VMGS_RULE_##name] = (text),
    VMGS_RULES(VMGS_RULE_TEXT)
#undef VMGS_RULE_TEXT
};

static const char *const file_names[] = {
    [VMGS_FILE_TABLE] = "FILE_TABLE",
    [VMGS_BIOS_NVRAM] = "BIOS_NVRAM",
    [VMGS_TPM_PPI] = "TPM_PPI",
    [VMGS_TPM_NVRAM] = "TPM_NVRAM",
    [VMGS_RTC_SKEW] = "RTC_SKEW",
    [VMGS_ATTEST] = "ATTEST",
    [VMGS_KEY_PROTECTOR] = "KEY_PROTECTOR",
    [VMGS_VM_UNIQUE_ID] = "VM_UNIQUE_ID",
    [VMGS_GUEST_FIRMWARE] = "GUEST_FIRMWARE",
    [VMGS_CUSTOM_UEFI] = "CUSTOM_UEFI",
    [VMGS_GUEST_WATCHDOG] = "GUEST_WATCHDOG",
    [VMGS_HW_KEY_PROTECTOR] = "HW_KEY_PROTECTOR",
    [VMGS_GUEST_SECRET_KEY] = "GUEST_SECRET_KEY",
    [VMGS_HIBERNATION_TOKEN] = "HIBERNATION_TOKEN",
    [VMGS_PLATFORM_SEED] = "PLATFORM_SEED",
    [VMGS_PROVENANCE_DOC] = "PROVENANCE_DOC",
    [VMGS_TPM_NVRAM_BACKUP] = "TPM_NVRAM_BACKUP",
    [VMGS_PROVISIONING_MARKER] = "PROVISIONING_MARKER",
    [VMGS_EXTENDED_FILE_TABLE] = "EXTENDED_FILE_TABLE",
};

const char *vmgs_rule_text(enum vmgs_rule rule) {
    return (unsigned)rule < VMGS_RULE_COUNT ? rule_texts[rule] : rule_texts[VMGS_RULE_NONE];
}

const char *vmgs_file_name(uint32_t file_id) {
    return file_id < ARRAY_COUNT(file_names) ? file_names[file_id] : NULL;
}

int vmgs_file_by_name(const char *name) {
    for (size_t i = 0; i < ARRAY_COUNT(file_names); i++) {
        if (file_names[i] != NULL && strcmp(file_names[i], name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

size_t vmgs_error_format(const struct vmgs_error *error, char *out, size_t size_bytes) {
    const char *name = vmgs_file_name(error->file_id);
    char file[48] = "";
    int length;

    if (size_bytes == 0) {
        return 0;
    }
    if (error->file_id != VMGS_NO_FILE) {
        snprintf(file, sizeof(file), "file %u%s%s%s at ", (unsigned)error->file_id,
                 name != NULL ? " (" : "", name != NULL ? name : "", name != NULL ? ")" : "");
    }
    length = snprintf(out, size_bytes, "%sbyte 0x%llx: rule broken: %s", file,
                      (unsigned long long)error->offset, vmgs_rule_text(error->code));
    return length < 0 ? 0 : (size_t)length < size_bytes ? (size_t)length : size_bytes - 1;
}
