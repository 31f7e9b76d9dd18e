// SPDX-License-Identifier: MIT
//
// Fuzzes what the variable service reads besides messages: store images (as they are, and with a
// checksum that is made to match) and policy entries. An image that loads is one that saves and
// loads again as the same variables.

#include "igvm/base/bytes.h"
#include "igvm/base/check.h"
#include "igvm/igvm.h"
#include "userspace/uefi/policy.h"
#include "userspace/uefi/store.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CRC_OFF (48 + 26 + 8) ///< of the checksum in an image of ours

static void load(const uint8_t *data, size_t size) {
    static uint8_t again[UEFI_STORE_IMAGE_MAX_BYTES];
    struct uefi_store store = {0}, other = {0};
    struct uefi_store_report report;
    size_t again_bytes;
    int r = uefi_store_load(&store, data, size, &report);

    CHECK(r == 0 || r == -EBADMSG || r == -ENOMEM);
    CHECK((r == 0) == (report.why == NULL));
    CHECK(report.off <= size);
    if (r != 0) {
        CHECK(store.first == NULL);
        return;
    }
    r = uefi_store_save(&store, again, sizeof(again), &again_bytes);
    CHECK(r == 0 || r == -ENOSPC); // a foreign image grows by our record
    if (r == 0) {
        const struct uefi_variable *b;

        CHECK(uefi_store_load(&other, again, again_bytes, &report) == 0 && !report.foreign);
        b = other.first;
        for (const struct uefi_variable *a = store.first; a != NULL; a = a->next, b = b->next) {
            CHECK(b != NULL && uefi_guid_equal(&a->guid, &b->guid));
            CHECK(uefi_name_equal(a->name, b->name) && uefi_name_equal(a->value, b->value));
            CHECK(a->attributes == b->attributes);
            CHECK(memcmp(a->time, b->time, sizeof(a->time)) == 0);
            CHECK(memcmp(a->digest, b->digest, sizeof(a->digest)) == 0);
        }
        CHECK(b == NULL);
    }
    uefi_store_clear(&store);
    uefi_store_clear(&other);
}

static void parse_policy(const uint8_t *data, size_t size) {
    struct uefi_policy_entry e;

    if (uefi_policy_parse(data, size, &e) == UEFI_SUCCESS) {
        struct uefi_policy policy = {0};

        CHECK(e.name.size_bytes == 0 ||
              (e.name.at >= data + 44 && e.name.at + e.name.size_bytes + 2 <= data + size));
        CHECK(e.state_name.size_bytes == 0 ||
              (e.state_name.at >= data + 62 &&
               e.state_name.at + e.state_name.size_bytes + 2 <= data + size));
        CHECK((e.lock == UEFI_POLICY_LOCK_ON_VAR_STATE) == (e.state_name.size_bytes != 0));
        CHECK(uefi_policy_register(&policy, &e) == UEFI_SUCCESS);
        CHECK(uefi_policy_register(&policy, &e) == UEFI_ALREADY_STARTED);
        if (e.name.size_bytes != 0) { // '#' is no hexadecimal digit: it stands for itself too
            CHECK(uefi_policy_match(&policy, &e.guid, e.name) == &policy.first->entry);
        }
        uefi_policy_clear(&policy);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *copy;

    load(data, size);
    parse_policy(data, size);
    if (size < CRC_OFF + 4) {
        return 0;
    }
    copy = malloc(size);
    memcpy(copy, data, size);
    memset(copy + CRC_OFF, 0, 4);
    store_le32(copy + CRC_OFF, igvm_crc32(0, copy, size));
    load(copy, size);
    free(copy);
    return 0;
}
