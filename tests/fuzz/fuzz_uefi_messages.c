// SPDX-License-Identifier: MIT
//
// Fuzzes the variable service with whole conversations: messages of firmware and of nobody, resets,
// disks that fail, restarts from what was saved. Authentication is a test's, so that both its
// answers are reached. What must hold: an answer stays inside its message, an authenticated
// variable never changes without authentication, what is saved loads and is what a success
// promised, the account of the quotas is right.

#include "igvm/base/bytes.h"
#include "igvm/base/check.h"
#include "tests/support/fake_machine.h"
#include "tests/support/uefi_client.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"A",  "Boot0001",   "HwErrRec0001", "PK",
                                    "db", "SecureBoot", "Locked",       "B"};
static const struct uefi_guid guids[] = {
    UEFI_GUID(0x0badc0de, 0x1234, 0x5678, 1, 2, 3, 4, 5, 6, 7, 8), UEFI_GUID_GLOBAL,
    UEFI_GUID_IMAGE_SECURITY, UEFI_GUID_HARDWARE_ERROR};

static struct uefi_fixture f;

/// What of the authenticated variables must not change by itself: a sum of all of them.
static uint64_t authenticated_sum(void) {
    uint64_t sum = 0;

    for (const struct uefi_variable *v = f.engine.store.first; v != NULL; v = v->next) {
        if (v->attributes & UEFI_ATTR_TIME_AUTH) {
            uint64_t h = 14695981039346656037u ^ v->attributes;

            for (size_t i = 0; i < v->name.size_bytes + v->value.size_bytes; i++) {
                h = (h ^ v->bytes[i]) * 1099511628211u;
            }
            sum += h;
        }
    }
    return sum;
}

static unsigned authentic; ///< how often the check said yes

static enum uefi_status check_auth(const struct uefi_auth_request *request,
                                   struct uefi_auth_result *result) {
    enum uefi_status status = uefi_test_auth_check(request, result);

    CHECK(request->name.size_bytes != 0 && request->name.size_bytes % 2 == 0);
    CHECK(request->stored == NULL ||
          (request->attributes & ~UEFI_ATTR_APPEND) == request->stored->attributes);
    authentic += status == UEFI_SUCCESS;
    return status;
}

static void check_account(void) {
    const struct uefi_store *s = &f.engine.store;
    size_t count[UEFI_CLASS_COUNT] = {0}, used[UEFI_CLASS_COUNT] = {0};

    for (const struct uefi_variable *v = s->first; v != NULL; v = v->next) {
        enum uefi_class class = uefi_class_of(&v->guid, v->name, v->attributes);

        CHECK((v->attributes & ~UEFI_ATTR_STORED_MASK) == 0);
        CHECK(v->attributes & UEFI_ATTR_BOOTSERVICE);
        CHECK(v->value.size_bytes != 0);
        CHECK(uefi_store_find(s, &v->guid, v->name) == v); // no second one of its name
        count[class]++;
        used[class] += uefi_variable_cost(v->name.size_bytes, v->value.size_bytes);
    }
    CHECK(memcmp(count, s->count, sizeof(count)) == 0);
    CHECK(memcmp(used, s->used_bytes, sizeof(used)) == 0);
}

/// One message, in memory of exactly the buffer's size.
static void handle(size_t room_bytes) {
    uint8_t *copy = malloc(room_bytes);
    uint64_t sum = authenticated_sum();
    unsigned before = authentic;
    uint64_t length = load_le64(f.client.message + 16);
    int r;

    memcpy(copy, f.client.message, room_bytes);
    r = uefi_engine_handle(&f.engine, copy, room_bytes);
    CHECK(r == 0 || r == -EMSGSIZE || r == -ENOTSUP);
    CHECK(load_le64(copy + 16) == length);
    if (r != 0) {
        CHECK(memcmp(copy, f.client.message, room_bytes) == 0);
    } else if (24 + length < room_bytes) {
        CHECK(memcmp(copy + 24 + length, f.client.message + 24 + length,
                     room_bytes - 24 - length) == 0);
    }
    CHECK(authentic != before || authenticated_sum() == sum);
    free(copy);
}

/// A call of the variable service that is nearly right.
static void send_call(struct fuzz_input *in) {
    uint8_t what = fuzz_u8(in), which = fuzz_u8(in), attributes = fuzz_u8(in);
    uint16_t data_bytes = fuzz_u16(in) % 300;
    uint8_t *p = uefi_begin(&f.client, &uefi_test_variable_service, 0);
    uint8_t *a = p + 16;
    size_t size;

    store_le64(p, what % 13);
    memcpy(a, &guids[which >> 3 & 3], 16);
    if (what % 13 == 2 || what % 13 == 8) {
        size = 24 + uefi_put_name(a + 24, which & 0x80 ? "" : names[which & 7]);
        store_le64(a + 16, size - 24);
    } else if (what % 13 == 4) {
        memset(a, 0, 24);
        store_le32(a + 24, attributes);
        size = 28;
    } else {
        size = uefi_put_name(a + 36, names[which & 7]);
        store_le64(a + 24, size);
        store_le64(a + 16, data_bytes);
        store_le32(a + 32, attributes);
        a[36 + size] = which & 0x40 ? '+' : which & 0x20 ? '-' : fuzz_u8(in);
        for (unsigned i = 1; i < data_bytes && i < 8; i++) {
            a[36 + size + i] = fuzz_u8(in);
        }
        size += 36 + data_bytes;
    }
    store_le64(f.client.message + 16, 16 + size);
    if (what & 0x80) { // one thing wrong
        f.client.message[fuzz_u8(in) % 120] ^= fuzz_u8(in);
    }
    handle(what & 0x40 ? UEFI_MESSAGE_MAX_BYTES : 24 + 16 + size);
}

static void send_policy(struct fuzz_input *in) {
    uint8_t which = fuzz_u8(in), wrong = fuzz_u8(in);
    uint8_t *h = uefi_begin(&f.client, &uefi_test_policy_service, 0);
    const struct uefi_test_policy policy = {
        .guid = &guids[which >> 3 & 3],
        .name = which & 0x80   ? NULL
                : which & 0x40 ? "Boot####"
                               : names[which & 7],
        .max_bytes = fuzz_u8(in),
        .min_bytes = fuzz_u8(in) & 3,
        .must_have = fuzz_u8(in) & 7,
        .lock = fuzz_u8(in) & 3,
        .state = which & 0x20 ? "Locked" : NULL,
        .state_value = fuzz_u8(in),
    };
    size_t size = uefi_put_policy(h + 20, &policy);

    memcpy(h, "VCPC", 4);
    store_le32(h + 4, 1);
    store_le32(h + 8, wrong & 0x40 ? fuzz_u8(in) & 7 : 3);
    store_le64(f.client.message + 16, 20 + size);
    if (wrong & 0x80) {
        h[fuzz_u8(in) % 100] ^= fuzz_u8(in);
    }
    handle(24 + 20 + size);
}

/// Bytes of the input as they are.
static void send_raw(struct fuzz_input *in) {
    size_t room = 24 + fuzz_u16(in) % 512;
    size_t n = in->left < room ? in->left : room;

    memset(f.client.message, 0, room);
    memcpy(f.client.message, in->bytes, n);
    in->bytes += n;
    in->left -= n;
    handle(room);
}

/// Starts again from what was saved, which is what the running engine holds.
static void restart(void) {
    struct uefi_store before = f.engine.store;

    if (f.disk.size_bytes == 0) {
        return;
    }
    f.disk.fail = 0;
    uefi_fixture_stop(&f);
    uefi_fixture_start(&f, true);
    f.engine.config.auth_check = check_auth;
    check_account();
    for (unsigned i = 0; i < UEFI_CLASS_VOLATILE; i++) {
        CHECK(f.engine.store.count[i] == before.count[i]);
        CHECK(f.engine.store.used_bytes[i] == before.used_bytes[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {.bytes = data, .left = size};

    memset(&f, 0, sizeof(f));
    uefi_fixture_start(&f, false);
    f.engine.config.auth_check = check_auth;
    for (unsigned i = 0; in.left > 0 && i < 200; i++) {
        switch (fuzz_u8(&in) & 15) {
        case 0:
            CHECK(uefi_engine_reset(&f.engine) == 0);
            break;
        case 1:
            restart();
            break;
        case 2:
            f.disk.fail = f.disk.fail ? 0 : -EIO;
            break;
        case 3:
            uefi_event(&f.client, &uefi_test_end_of_dxe);
            break;
        case 4:
            uefi_event(&f.client, &uefi_test_exit_boot_services);
            break;
        case 5:
        case 6:
            send_policy(&in);
            break;
        case 7:
            send_raw(&in);
            break;
        default:
            send_call(&in);
            break;
        }
    }
    check_account();
    uefi_fixture_stop(&f);
    return 0;
}
