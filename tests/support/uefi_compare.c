// SPDX-License-Identifier: MIT
//
// Two variable services asked the same (uefi_compare.h).

#include "tests/support/uefi_compare.h"

#include "igvm/base/bytes.h"
#include "igvm/base/check.h"
#include "igvm/igvm.h"
#include "tests/support/uefi_qemu.h"

#include <errno.h>

struct answer {
    int transport;
    uint64_t status;
    uint32_t crc;
};

static struct answer judge(int transport, const uint8_t *message) {
    bool is_policy = memcmp(message, &uefi_test_policy_service, 16) == 0;
    uint64_t length = load_le64(message + 16);
    struct answer a = {.transport = transport};

    if (transport == 0) {
        a.status = length < 8 ? 0 : load_le64(message + 24 + (is_policy ? 12 : 8)) & INT64_MAX;
        // What a failed call leaves in the message is nobody's business, but the status.
        a.crc = a.status == 0 || a.status == UEFI_BUFFER_TOO_SMALL
                    ? igvm_crc32(0, message, 24 + (size_t)length)
                    : 0;
    }
    return a;
}

/// QEMU's answer: from the running one, else from the record.
static struct answer reference(struct uefi_comparison *c, const uint8_t *request,
                               size_t size_bytes) {
    static uint8_t copy[UEFI_MESSAGE_MAX_BYTES];
    struct answer a = {.transport = 0};
    unsigned long long status = 0;

    if (c->live) {
        int transport;

        memcpy(copy, request, size_bytes);
        transport = uefi_qemu_call(c->live, copy, size_bytes);
        a = judge(transport, copy);
        if (c->record) {
            fprintf(c->record, "%d %llu %08x\n", a.transport, (unsigned long long)a.status, a.crc);
        }
        return a;
    }
    CHECK(fscanf(c->recorded, "%d %llu %x", &a.transport, &status, &a.crc) == 3);
    a.status = status;
    return a;
}

/// Where both refuse, each with a word of its own, or where one that is refused is no harm: the
/// state is the same afterwards. NULL: the answers should have been the same.
static const char *harmless(const struct answer *ours, const struct answer *theirs) {
    if (ours->transport != 0 || theirs->transport != 0) {
        return NULL;
    }
    if (theirs->status == UEFI_ACCESS_DENIED &&
        (ours->status == UEFI_NOT_FOUND || ours->status == UEFI_INVALID_PARAMETER)) {
        return "the specification says so: not visible, or attributes that cannot be";
    }
    if (theirs->status == UEFI_OUT_OF_RESOURCES && ours->status == UEFI_BAD_BUFFER_SIZE) {
        return "a size that is huge is not in the message either";
    }
    return NULL;
}

static bool is_same(const struct answer *a, const struct answer *b) {
    return a->transport == b->transport && a->status == b->status && a->crc == b->crc;
}

static void print(const struct uefi_comparison *c, const struct answer *ours,
                  const struct answer *theirs, const char *why) {
    fprintf(stderr, "message %u: ours %d %llu %08x, theirs %d %llu %08x: %s\n", c->message_count,
            ours->transport, (unsigned long long)ours->status, ours->crc, theirs->transport,
            (unsigned long long)theirs->status, theirs->crc, why);
}

static int call_both(void *ctx, uint8_t *message, size_t size_bytes) {
    struct uefi_comparison *c = ctx;
    struct answer theirs = reference(c, message, size_bytes), ours;
    int r = uefi_engine_handle(&c->ours.engine, message, size_bytes);
    const char *known = c->known;
    bool same;

    ours = judge(r, message);
    same = is_same(&ours, &theirs);
    c->message_count++;
    c->known = NULL;
    if (!same && known == NULL) {
        known = harmless(&ours, &theirs);
    }
    if (same != (known == NULL)) { // a difference that is gone is wrong too: somebody has changed
        c->wrong_count++;
        if (c->wrong_count <= 10) {
            print(c, &ours, &theirs, known ? known : "this should be the same");
        }
    } else if (!same) {
        c->known_count++;
        if (c->show) {
            print(c, &ours, &theirs, known);
        }
    }
    return r;
}

int uefi_compare_start(struct uefi_comparison *c, const char *program, const char *recorded_path,
                       const char *record_path) {
    static struct uefi_qemu qemu;

    memset(c, 0, sizeof(*c));
    uefi_fixture_start(&c->ours, false);
    c->ours.engine.config.auth_check = NULL; // the real one
    c->ours.client.call = call_both;
    c->ours.client.ctx = c;
    if (program != NULL) {
        c->live = &qemu;
        c->record = record_path ? fopen(record_path, "w") : NULL;
        if (c->record) {
            fputs("# SPDX-License-Identifier: MIT\n# answers of QEMU's uefi-vars-x64\n", c->record);
        }
        return uefi_qemu_start(c->live, program);
    }
    c->recorded = fopen(recorded_path, "r");
    // The head says where the rest is from.
    return c->recorded == NULL || fscanf(c->recorded, "%*[^\n] %*[^\n]") < 0 ? -ENOENT : 0;
}

void uefi_compare_stop(struct uefi_comparison *c) {
    uefi_fixture_stop(&c->ours);
    if (c->recorded) {
        fclose(c->recorded);
    }
    if (c->record) {
        fclose(c->record);
    }
    if (c->live) {
        uefi_qemu_stop(c->live);
    }
}
