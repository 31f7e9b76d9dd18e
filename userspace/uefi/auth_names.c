// SPDX-License-Identifier: MIT
//
// Names with rules of their own, and the variables that are Secure Boot's state (UEFI specification
// 2.10, sections 3.3 and 32.3). What the guest sees as state is computed here and nowhere stored:
// no call of the guest can change it but by changing PK.
#include "userspace/uefi/auth.h"

#include "igvm/base/check.h"
#include "igvm/base/types.h"
#include "userspace/uefi/siglist.h"

#define GUID_VENDOR_KEYS_NV                                                                        \
    UEFI_GUID(0x9073e4e0, 0x60ec, 0x4b6e, 0x99, 0x03, 0x4c, 0x22, 0x3c, 0x26, 0x0f, 0x3c)
#define GUID_CERT_DB                                                                               \
    UEFI_GUID(0xd9bee56e, 0x75dc, 0x49d9, 0xb4, 0xd7, 0xb5, 0x34, 0x21, 0x0f, 0x63, 0x7a)

static const struct {
    struct uefi_guid guid;
    const char *name;
    enum uefi_auth_rule rule;
} rules[] = {
    {UEFI_GUID_GLOBAL, "PK", UEFI_AUTH_KEY},
    {UEFI_GUID_GLOBAL, "KEK", UEFI_AUTH_KEY},
    {UEFI_GUID_IMAGE_SECURITY, "db", UEFI_AUTH_KEY},
    {UEFI_GUID_IMAGE_SECURITY, "dbx", UEFI_AUTH_KEY},
    {UEFI_GUID_IMAGE_SECURITY, "dbt", UEFI_AUTH_KEY},
    {UEFI_GUID_IMAGE_SECURITY, "dbr", UEFI_AUTH_KEY},
    {UEFI_GUID_GLOBAL, "SetupMode", UEFI_AUTH_READ_ONLY},
    {UEFI_GUID_GLOBAL, "AuditMode", UEFI_AUTH_READ_ONLY},
    {UEFI_GUID_GLOBAL, "DeployedMode", UEFI_AUTH_READ_ONLY},
    {UEFI_GUID_GLOBAL, "SecureBoot", UEFI_AUTH_READ_ONLY},
    {UEFI_GUID_GLOBAL, "SignatureSupport", UEFI_AUTH_READ_ONLY},
    {UEFI_GUID_GLOBAL, "VendorKeys", UEFI_AUTH_READ_ONLY},
    {UEFI_GUID_GLOBAL, "VendorKeysNv", UEFI_AUTH_READ_ONLY},
    {GUID_VENDOR_KEYS_NV, "VendorKeysNv", UEFI_AUTH_READ_ONLY},
    // The firmware's defaults for keys: a guest that made them could mislead who restores them.
    {UEFI_GUID_GLOBAL, "PKDefault", UEFI_AUTH_READ_ONLY},
    {UEFI_GUID_GLOBAL, "KEKDefault", UEFI_AUTH_READ_ONLY},
    {UEFI_GUID_GLOBAL, "dbDefault", UEFI_AUTH_READ_ONLY},
    {UEFI_GUID_GLOBAL, "dbxDefault", UEFI_AUTH_READ_ONLY},
    {UEFI_GUID_GLOBAL, "dbtDefault", UEFI_AUTH_READ_ONLY},
    {UEFI_GUID_GLOBAL, "dbrDefault", UEFI_AUTH_READ_ONLY},
    // EDK II's own: switches that would turn Secure Boot or authentication off, and where it keeps
    // what private authenticated variables are pinned to.
    {UEFI_GUID_SECURE_BOOT_ENABLE, "SecureBootEnable", UEFI_AUTH_READ_ONLY},
    {UEFI_GUID_CUSTOM_MODE, "CustomMode", UEFI_AUTH_READ_ONLY},
    {GUID_CERT_DB, "certdb", UEFI_AUTH_READ_ONLY},
    {GUID_CERT_DB, "certdbv", UEFI_AUTH_READ_ONLY},
};

enum uefi_auth_rule uefi_auth_rule(const struct uefi_guid *guid, struct uefi_bytes name) {
    for (size_t i = 0; i < ARRAY_COUNT(rules); i++) {
        if (uefi_guid_equal(guid, &rules[i].guid) && uefi_name_is(name, rules[i].name)) {
            return rules[i].rule;
        }
    }
    return UEFI_AUTH_ORDINARY;
}

#define VOLATILE (UEFI_ATTR_BOOTSERVICE | UEFI_ATTR_RUNTIME)
#define BOOT_NV  (UEFI_ATTR_NON_VOLATILE | UEFI_ATTR_BOOTSERVICE)

static const struct uefi_guid global = UEFI_GUID_GLOBAL;
static const struct uefi_guid secure_boot_enable = UEFI_GUID_SECURE_BOOT_ENABLE;
static const struct uefi_guid custom_mode = UEFI_GUID_CUSTOM_MODE;

static void put(struct uefi_auth_state_variable out[UEFI_AUTH_STATE_MAX], size_t *count,
                const struct uefi_guid *guid, const char *name, uint32_t attributes, bool value) {
    struct uefi_auth_state_variable *variable = &out[*count];

    CHECK(*count < UEFI_AUTH_STATE_MAX);
    *variable = (struct uefi_auth_state_variable){
        .guid = *guid, .name = name, .attributes = attributes, .value_bytes = 1};
    variable->value[0] = value;
    ++*count;
}

/// What firmware can verify images with.
static void put_signature_support(struct uefi_auth_state_variable out[UEFI_AUTH_STATE_MAX],
                                  size_t *count) {
    static const enum uefi_sig_type supported[] = {
        UEFI_SIG_SHA256, UEFI_SIG_SHA384, UEFI_SIG_SHA512, UEFI_SIG_RSA2048, UEFI_SIG_X509};
    struct uefi_auth_state_variable *variable = &out[*count];

    _Static_assert(sizeof(supported) / sizeof(supported[0]) * sizeof(struct uefi_guid) <=
                       UEFI_AUTH_STATE_MAX_BYTES,
                   "the list fits");
    put(out, count, &global, "SignatureSupport", VOLATILE, false);
    variable->value_bytes = 0;
    for (size_t i = 0; i < ARRAY_COUNT(supported); i++) {
        memcpy(variable->value + variable->value_bytes, uefi_sig_guid(supported[i]),
               sizeof(struct uefi_guid));
        variable->value_bytes += sizeof(struct uefi_guid);
    }
}

size_t uefi_auth_state(const struct uefi_auth_state_input *in,
                       struct uefi_auth_state_variable out[UEFI_AUTH_STATE_MAX]) {
    const bool pk = in->pk_present;
    size_t count = 0;

    put(out, &count, &global, "SetupMode", VOLATILE, !pk);
    // There is no way from here into audit mode: with a PK the platform is deployed.
    put(out, &count, &global, "AuditMode", VOLATILE, false);
    put(out, &count, &global, "DeployedMode", VOLATILE, pk);
    put(out, &count, &global, "VendorKeys", VOLATILE, false);
    put_signature_support(out, &count);
    put(out, &count, &custom_mode, "CustomMode", BOOT_NV, false);
    put(out, &count, &secure_boot_enable, "SecureBootEnable", BOOT_NV, in->secure_boot_wanted);
    if (!pk) {
        out[count - 1].value_bytes = 0; // as EDK II: there is nothing to be switched
    }
    // Firmware decides at power-on whether it verifies: what it says then holds until the next one.
    if (in->at_reset) {
        put(out, &count, &global, "SecureBoot", VOLATILE, pk && in->secure_boot_wanted);
    }
    return count;
}
