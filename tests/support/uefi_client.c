// SPDX-License-Identifier: MIT
//
// A firmware for tests (uefi_client.h).

#include "tests/support/uefi_client.h"

#include "devices/uefi_vars.h"
#include "igvm/base/bytes.h"
#include "igvm/base/check.h"

const struct uefi_guid uefi_test_guid =
    UEFI_GUID(0x0badc0de, 0x1234, 0x5678, 1, 2, 3, 4, 5, 6, 7, 8);
const struct uefi_guid uefi_test_global = UEFI_GUID_GLOBAL;
const struct uefi_guid uefi_test_variable_service =
    UEFI_GUID(0xed32d533, 0x99e6, 0x4209, 0x9c, 0xc0, 0x2d, 0x72, 0xcd, 0xd9, 0x98, 0xa7);
const struct uefi_guid uefi_test_policy_service =
    UEFI_GUID(0xda1b0d11, 0xd1a7, 0x46c4, 0x9d, 0xc9, 0xf3, 0x71, 0x48, 0x75, 0xc6, 0xeb);
const struct uefi_guid uefi_test_end_of_dxe =
    UEFI_GUID(0x02ce967a, 0xdd7e, 0x4ffc, 0x9e, 0xe7, 0x81, 0x0c, 0xf0, 0x47, 0x08, 0x80);
const struct uefi_guid uefi_test_ready_to_boot =
    UEFI_GUID(0x7ce88fb3, 0x4bd7, 0x4679, 0x87, 0xa8, 0xa8, 0xd8, 0xde, 0xe5, 0x0d, 0x2b);
const struct uefi_guid uefi_test_exit_boot_services =
    UEFI_GUID(0x27abf055, 0xb1b8, 0x4c26, 0x80, 0x48, 0x74, 0x8f, 0x37, 0xba, 0xa2, 0xdf);

#define PAYLOAD  24u
#define FUNCTION 16u
#define POLICY   20u

static int call_engine(void *ctx, uint8_t *message, size_t size_bytes) {
    return uefi_engine_handle(ctx, message, size_bytes);
}

void uefi_client_init(struct uefi_client *c, struct uefi_engine *engine) {
    memset(c, 0, sizeof(*c));
    c->call = call_engine;
    c->ctx = engine;
}

static int call_backend(void *ctx, uint8_t *message, size_t size_bytes) {
    struct uefi_vars_backend *backend = ctx;

    return backend->call(backend, message, (uint32_t)size_bytes);
}

void uefi_client_init_backend(struct uefi_client *c, struct uefi_vars_backend *backend) {
    memset(c, 0, sizeof(*c));
    c->call = call_backend;
    c->ctx = backend;
}

size_t uefi_put_name(uint8_t *out, const char *name) {
    size_t count = strlen(name) + 1;

    for (size_t i = 0; i < count; i++) {
        store_le16(out + 2 * i, (uint8_t)name[i]);
    }
    return 2 * count;
}

uint8_t *uefi_begin(struct uefi_client *c, const struct uefi_guid *service, size_t payload_bytes) {
    CHECK(payload_bytes <= sizeof(c->message) - PAYLOAD);
    memset(c->message, 0, sizeof(c->message));
    memcpy(c->message, service, sizeof(*service));
    store_le64(c->message + 16, payload_bytes);
    return c->message + PAYLOAD;
}

int uefi_send(struct uefi_client *c) {
    c->transport = c->call(c->ctx, c->message, sizeof(c->message));
    return c->transport;
}

/// The EFI status at an offset of the payload: success is 0, errors have the top bit.
static uint64_t status_at(const struct uefi_client *c, size_t off) {
    uint64_t status = load_le64(c->message + PAYLOAD + off);

    if (c->transport != 0) {
        return UEFI_NO_ANSWER;
    }
    CHECK((status == 0) == !(status >> 63));
    return status & ~(1ull << 63);
}

uint64_t uefi_call(struct uefi_client *c, uint64_t function, size_t bytes) {
    memcpy(c->message, &uefi_test_variable_service, 16);
    store_le64(c->message + 16, FUNCTION + bytes);
    store_le64(c->message + PAYLOAD, function);
    store_le64(c->message + PAYLOAD + 8, 0x5555555555555555);
    uefi_send(c);
    return status_at(c, 8);
}

/// ACCESS with the data behind the name; returns its size.
static size_t put_access(struct uefi_client *c, const struct uefi_guid *guid, const char *name,
                         uint32_t attributes, const void *value, size_t size_bytes) {
    uint8_t *a = uefi_begin(c, &uefi_test_variable_service, FUNCTION) + FUNCTION;
    size_t name_bytes = uefi_put_name(a + 36, name);

    CHECK(size_bytes <= sizeof(c->message) - PAYLOAD - FUNCTION - 36 - name_bytes);
    memcpy(a, guid, 16);
    store_le64(a + 16, size_bytes);
    store_le64(a + 24, name_bytes);
    store_le32(a + 32, attributes);
    if (value != NULL && size_bytes != 0) {
        memcpy(a + 36 + name_bytes, value, size_bytes);
    }
    return 36 + name_bytes + size_bytes;
}

uint64_t uefi_set(struct uefi_client *c, const struct uefi_guid *guid, const char *name,
                  uint32_t attributes, const void *value, size_t size_bytes) {
    return uefi_call(c, 3, put_access(c, guid, name, attributes, value, size_bytes));
}

uint64_t uefi_get(struct uefi_client *c, const struct uefi_guid *guid, const char *name,
                  size_t room_bytes) {
    const uint8_t *a = c->message + PAYLOAD + FUNCTION;
    uint64_t status = uefi_call(c, 1, put_access(c, guid, name, 0, NULL, room_bytes));

    c->size_bytes = load_le64(a + 16);
    c->attributes = load_le32(a + 32);
    c->value = a + 36 + 2 * (strlen(name) + 1);
    return status;
}

uint64_t uefi_next(struct uefi_client *c, size_t room_bytes) {
    uint8_t *a = uefi_begin(c, &uefi_test_variable_service, FUNCTION) + FUNCTION;
    uint64_t status;
    size_t i = 0;

    memcpy(a, &c->guid, 16);
    store_le64(a + 16, room_bytes);
    uefi_put_name(a + 24, c->name);
    status = uefi_call(c, 2, 24 + room_bytes);
    c->size_bytes = load_le64(a + 16);
    if (status == 0) {
        memcpy(&c->guid, a, 16);
        for (; i < sizeof(c->name) - 1 && load_le16(a + 24 + 2 * i) != 0; i++) {
            c->name[i] = (char)a[24 + 2 * i];
        }
        c->name[i] = '\0';
        CHECK(i == sizeof(c->name) - 1 || c->size_bytes == 2 * i + 2);
    }
    return status;
}

uint64_t uefi_query(struct uefi_client *c, uint32_t attributes, uint64_t out[3]) {
    uint8_t *a = uefi_begin(c, &uefi_test_variable_service, FUNCTION) + FUNCTION;
    uint64_t status;

    store_le32(a + 24, attributes);
    status = uefi_call(c, 4, 28);
    for (unsigned i = 0; i < 3; i++) {
        out[i] = load_le64(a + 8 * i);
    }
    return status;
}

uint64_t uefi_lock(struct uefi_client *c, const struct uefi_guid *guid, const char *name) {
    uint8_t *a = uefi_begin(c, &uefi_test_variable_service, FUNCTION) + FUNCTION;
    size_t name_bytes = uefi_put_name(a + 24, name);

    memcpy(a, guid, 16);
    store_le64(a + 16, name_bytes);
    return uefi_call(c, 8, 24 + name_bytes);
}

void uefi_event(struct uefi_client *c, const struct uefi_guid *event) {
    uefi_begin(c, event, 1);
    CHECK(uefi_send(c) == 0);
}

size_t uefi_put_policy(uint8_t *out, const struct uefi_test_policy *p) {
    size_t off = 44;

    memset(out, 0, off);
    if (p->state != NULL) {
        memcpy(out + off, p->guid, 16);
        out[off + 16] = p->state_value;
        out[off + 17] = 0;
        off += 18;
        off += uefi_put_name(out + off, p->state);
    }
    store_le16(out + 6, (uint16_t)off);
    if (p->name != NULL) {
        off += uefi_put_name(out + off, p->name);
    }
    store_le32(out, 0x10000);
    store_le16(out + 4, (uint16_t)off);
    memcpy(out + 8, p->guid, 16);
    store_le32(out + 24, p->min_bytes);
    store_le32(out + 28, p->max_bytes);
    store_le32(out + 32, p->must_have);
    store_le32(out + 36, p->cant_have);
    out[40] = p->lock;
    return off;
}

uint64_t uefi_policy_command(struct uefi_client *c, uint32_t command, size_t bytes) {
    uint8_t *h = c->message + PAYLOAD;

    memcpy(c->message, &uefi_test_policy_service, 16);
    store_le64(c->message + 16, POLICY + bytes);
    memcpy(h, "VCPC", 4);
    store_le32(h + 4, 1);
    store_le32(h + 8, command);
    store_le64(h + 12, 0x5555555555555555);
    uefi_send(c);
    return status_at(c, 12);
}

uint64_t uefi_policy_add(struct uefi_client *c, const struct uefi_test_policy *policy) {
    uint8_t *h = uefi_begin(c, &uefi_test_policy_service, POLICY);

    return uefi_policy_command(c, 3, uefi_put_policy(h + POLICY, policy));
}

// ---- an engine with a disk ----

static int save(void *ctx, const uint8_t *bytes, size_t size_bytes) {
    struct uefi_test_disk *disk = ctx;

    disk->saves++;
    if (disk->fail) {
        return disk->fail;
    }
    CHECK(size_bytes <= sizeof(disk->image));
    memcpy(disk->image, bytes, size_bytes);
    disk->size_bytes = size_bytes;
    return 0;
}

enum uefi_status uefi_test_auth_check(const struct uefi_auth_request *request,
                                      struct uefi_auth_result *result) {
    struct uefi_bytes payload = request->payload;

    if (payload.size_bytes < 1 || (payload.at[0] != '+' && payload.at[0] != '-')) {
        result->reason = "a test's";
        return UEFI_SECURITY_VIOLATION;
    }
    *result = (struct uefi_auth_result){
        .value = {.at = payload.at + 1, .size_bytes = payload.size_bytes - 1},
        .remove = payload.at[0] == '-',
    };
    result->time[0] = payload.size_bytes > 1 ? payload.at[1] : 0;
    result->digest[0] = 0xD1;
    return UEFI_SUCCESS;
}

void uefi_fixture_start(struct uefi_fixture *f, bool from_disk) {
    struct uefi_store_report report;
    const struct uefi_engine_config config = {.persist = {.save = save, .ctx = &f->disk},
                                              .auth_check = uefi_test_auth_check};

    CHECK(uefi_engine_init(&f->engine, &config, f->disk.image, from_disk ? f->disk.size_bytes : 0,
                           &report) == 0);
    uefi_client_init(&f->client, &f->engine);
}

void uefi_fixture_stop(struct uefi_fixture *f) {
    uefi_engine_free(&f->engine);
}
