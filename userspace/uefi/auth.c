// SPDX-License-Identifier: MIT
//
// Who may write an authenticated variable: see auth.h. UEFI specification 2.10, section 8.2.2 (what
// is signed, times, private variables) and sections 32.3 to 32.5 (PK, KEK and the image databases).
//
//   PK              signed by PK; in setup mode by a key in the new PK itself
//   KEK             signed by PK
//   db dbx dbt dbr  signed by KEK or PK
//   others          signed by whoever signed the first value
//
// In setup mode (no PK) KEK and the databases need no signature, but the header all the same.
#include "userspace/uefi/auth.h"

#include "igvm/base/bytes.h"
#include "userspace/uefi/auth_crypto.h"
#include "userspace/uefi/auth_header.h"
#include "userspace/uefi/siglist.h"

#define KEY_ATTRIBUTES                                                                             \
    (UEFI_ATTR_NON_VOLATILE | UEFI_ATTR_BOOTSERVICE | UEFI_ATTR_RUNTIME | UEFI_ATTR_TIME_AUTH)
// A value of the store's largest size holds fewer certificates of any use.
#define ANCHORS_MAX 128u

enum subject { SUBJECT_PK, SUBJECT_KEK, SUBJECT_DATABASE, SUBJECT_PRIVATE };

/// One check under way.
struct check {
    const struct uefi_auth_request *request;
    struct uefi_auth_result *result;
    struct uefi_auth_header header;
    enum subject subject;
    bool setup_mode;
    bool append;
    struct uefi_bytes anchors[ANCHORS_MAX];
    size_t anchor_count;
};

static enum uefi_status refuse(struct check *check, enum uefi_status status, const char *reason) {
    check->result->reason = reason;
    return status;
}

static enum subject subject_of(const struct uefi_auth_request *request) {
    if (uefi_auth_rule(&request->guid, request->name) != UEFI_AUTH_KEY) {
        return SUBJECT_PRIVATE;
    }
    return uefi_name_is(request->name, "PK")    ? SUBJECT_PK
           : uefi_name_is(request->name, "KEK") ? SUBJECT_KEK
                                                : SUBJECT_DATABASE;
}

/// Before anything is parsed. A call without TIME_AUTH comes here because the stored variable has
/// it, or because of its name: it would be a write or a delete past authentication.
static enum uefi_status check_attributes(struct check *check) {
    const struct uefi_auth_request *request = check->request;
    const uint32_t attributes = request->attributes & ~UEFI_ATTR_APPEND;

    if (attributes & (UEFI_ATTR_COUNT_AUTH | UEFI_ATTR_ENHANCED_AUTH)) {
        return refuse(check, UEFI_UNSUPPORTED, "attributes: only authentication by time is there");
    }
    if (!(attributes & UEFI_ATTR_TIME_AUTH)) {
        if (request->payload.size_bytes == 0 ||
            !(attributes & (UEFI_ATTR_BOOTSERVICE | UEFI_ATTR_RUNTIME))) {
            return refuse(check, UEFI_SECURITY_VIOLATION, "a delete without authentication");
        }
        return refuse(check, UEFI_INVALID_PARAMETER,
                      "attributes: authentication by time is missing");
    }
    if (attributes & ~UEFI_ATTR_STORED_MASK) {
        return refuse(check, UEFI_INVALID_PARAMETER, "attributes: unknown ones");
    }
    if (check->subject != SUBJECT_PRIVATE && attributes != KEY_ATTRIBUTES) {
        return refuse(check, UEFI_INVALID_PARAMETER, "attributes: not those of a key");
    }
    if (request->stored != NULL && attributes != request->stored->attributes) {
        return refuse(check, UEFI_INVALID_PARAMETER, "attributes: not the stored ones");
    }
    if (check->append && check->subject == SUBJECT_PK) {
        return refuse(check, UEFI_INVALID_PARAMETER, "there is one PK: nothing is appended");
    }
    return UEFI_SUCCESS;
}

/// Signed times only go forward. An append may come late (section 8.2.2): its contents stay true.
static enum uefi_status check_time(struct check *check) {
    const struct uefi_auth_stored *stored = check->request->stored;
    const uint8_t *now = check->header.time.at;
    const bool is_signed = !check->setup_mode || check->subject == SUBJECT_PRIVATE;

    memcpy(check->result->time, now, UEFI_TIME_BYTES);
    if (stored == NULL || uefi_time_compare(now, stored->time) > 0) {
        return UEFI_SUCCESS;
    }
    if (check->append) {
        memcpy(check->result->time, stored->time, UEFI_TIME_BYTES);
        return UEFI_SUCCESS;
    }
    if (is_signed) {
        return refuse(check, UEFI_SECURITY_VIOLATION,
                      "replay: the time is not later than the stored one");
    }
    return UEFI_SUCCESS;
}

/// The certificates of a value become anchors.
static void add_anchors(struct check *check, struct uefi_bytes value) {
    struct uefi_siglist_walk walk;
    struct uefi_signature signature;

    uefi_siglist_begin(&walk, value);
    while (check->anchor_count < ANCHORS_MAX && uefi_siglist_next(&walk, &signature)) {
        if (signature.type == UEFI_SIG_X509) {
            check->anchors[check->anchor_count++] = signature.data;
        }
    }
}

/// A key's new value. PK and KEK take nothing that could not verify the next update: it would lock
/// everybody out. Hashes are allowed in KEK by the specification but verify nothing here either.
static enum uefi_status check_value(struct check *check) {
    struct uefi_siglist_walk walk;
    struct uefi_signature signature;
    const char *wrong;
    size_t count = 0;

    if (check->subject == SUBJECT_PRIVATE) {
        return UEFI_SUCCESS;
    }
    uefi_siglist_begin(&walk, check->header.value);
    while (uefi_siglist_next(&walk, &signature)) {
        count++;
        if (check->subject == SUBJECT_DATABASE) {
            continue;
        }
        if (signature.type != UEFI_SIG_X509) {
            return refuse(check, UEFI_INVALID_PARAMETER, "PK and KEK hold certificates only");
        }
        wrong = uefi_crypto_check_certificate(signature.data);
        if (wrong != NULL) {
            return refuse(check, UEFI_INVALID_PARAMETER, wrong);
        }
    }
    if (walk.wrong != NULL) {
        return refuse(check, UEFI_INVALID_PARAMETER, walk.wrong);
    }
    if (check->subject == SUBJECT_PK && count > 1) {
        return refuse(check, UEFI_INVALID_PARAMETER, "there is one PK");
    }
    return UEFI_SUCCESS;
}

/// The anchors of this subject; none: no signature is asked for.
static void choose_anchors(struct check *check) {
    const struct uefi_auth_request *request = check->request;

    if (check->subject == SUBJECT_PRIVATE) {
        return;
    }
    if (check->setup_mode) {
        if (check->subject == SUBJECT_PK) {
            add_anchors(check, check->header.value);
        }
        return;
    }
    add_anchors(check, request->pk);
    if (check->subject == SUBJECT_DATABASE) {
        add_anchors(check, request->kek);
    }
}

static enum uefi_status check_signature(struct check *check) {
    const struct uefi_auth_request *request = check->request;
    uint8_t attributes[4];
    const struct uefi_bytes parts[] = {
        request->name,
        {request->guid.bytes, sizeof(request->guid.bytes)},
        {attributes, sizeof(attributes)},
        check->header.time,
        check->header.value,
    };
    const size_t part_count = sizeof(parts) / sizeof(parts[0]);
    struct uefi_pkcs7 message;
    const char *wrong;

    if (check->setup_mode &&
        (check->subject == SUBJECT_KEK || check->subject == SUBJECT_DATABASE)) {
        return UEFI_SUCCESS;
    }
    store_le32(attributes, request->attributes);
    choose_anchors(check);
    wrong = uefi_pkcs7_parse(check->header.pkcs7, &message);
    if (wrong == NULL && check->subject == SUBJECT_PRIVATE) {
        wrong = uefi_crypto_verify_own(&message, parts, part_count, check->result->digest);
    } else if (wrong == NULL) {
        wrong =
            uefi_crypto_verify(&message, parts, part_count, check->anchors, check->anchor_count);
    }
    if (wrong == NULL && check->subject == SUBJECT_PRIVATE && request->stored != NULL &&
        memcmp(check->result->digest, request->stored->digest, UEFI_DIGEST_BYTES) != 0) {
        wrong = "the signer is not the one that made the variable";
    }
    return wrong == NULL ? UEFI_SUCCESS : refuse(check, UEFI_SECURITY_VIOLATION, wrong);
}

/// After everything was found good: the new value.
static enum uefi_status compose(struct check *check) {
    const struct uefi_auth_request *request = check->request;
    struct uefi_auth_result *result = check->result;
    const struct uefi_bytes added = check->header.value;
    const struct uefi_bytes old =
        request->stored != NULL ? request->stored->value : (struct uefi_bytes){NULL, 0};
    size_t added_count;

    if (!check->append) {
        result->value = added;
        result->remove = added.size_bytes == 0;
        return result->remove && request->stored == NULL
                   ? refuse(check, UEFI_NOT_FOUND, "there is nothing to delete")
                   : UEFI_SUCCESS;
    }
    if (check->subject != SUBJECT_PRIVATE) {
        if (!uefi_siglist_append(old, added, request->room, request->room_bytes, &result->value,
                                 &added_count)) {
            return refuse(check, UEFI_OUT_OF_RESOURCES, "no room for what is appended");
        }
        result->unchanged = added_count == 0;
        return UEFI_SUCCESS;
    }
    if (old.size_bytes > request->room_bytes ||
        added.size_bytes > request->room_bytes - old.size_bytes) {
        return refuse(check, UEFI_OUT_OF_RESOURCES, "no room for what is appended");
    }
    if (old.size_bytes > 0) {
        memcpy(request->room, old.at, old.size_bytes);
    }
    if (added.size_bytes > 0) {
        memcpy(request->room + old.size_bytes, added.at, added.size_bytes);
    }
    result->value = (struct uefi_bytes){request->room, old.size_bytes + added.size_bytes};
    result->unchanged = added.size_bytes == 0;
    return UEFI_SUCCESS;
}

enum uefi_status uefi_auth_check(const struct uefi_auth_request *request,
                                 struct uefi_auth_result *result) {
    static enum uefi_status (*const steps[])(struct check *) = {
        check_time,
        check_signature,
        check_value,
        compose,
    };
    struct check check = {
        .request = request,
        .result = result,
        .subject = subject_of(request),
        .setup_mode = request->pk.size_bytes == 0,
        .append = (request->attributes & UEFI_ATTR_APPEND) != 0,
    };
    enum uefi_status status;
    const char *wrong;

    memset(result, 0, sizeof(*result));
    status = check_attributes(&check);
    if (status != UEFI_SUCCESS) {
        return status;
    }
    wrong = uefi_auth_header_parse(request->payload, &check.header);
    if (wrong != NULL) {
        return refuse(&check, UEFI_SECURITY_VIOLATION, wrong);
    }
    for (size_t i = 0; status == UEFI_SUCCESS && i < sizeof(steps) / sizeof(steps[0]); i++) {
        status = steps[i](&check);
    }
    return status;
}
