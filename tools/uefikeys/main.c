// SPDX-License-Identifier: MIT
//
// uefikeys: puts Secure Boot's keys together, from certificates, signature lists, EDK II's variable
// stores and other such files, in the format that images carry and vmgstool imports
// (userspace/uefi/vars_json.h). See docs/man/uefikeys.1.
#include "tools/uefikeys/tool.h"

#include "igvm/base/check.h"
#include "userspace/uefi/keys.h"
#include "userspace/uefi/siglist.h"

#include <stdio.h>
#include <stdlib.h>

#define KEY_ATTRIBUTES                                                                             \
    (UEFI_ATTR_NON_VOLATILE | UEFI_ATTR_BOOTSERVICE | UEFI_ATTR_RUNTIME | UEFI_ATTR_TIME_AUTH)
#define UPDATE "--update-" // options that begin with it

static struct uefi_store store;

/// check_failed() of a program: our own mistake.
_Noreturn void check_failed(const char *expression, const char *file, int line) {
    uefikeys_say("%s:%d: %s does not hold", file, line, expression);
    abort();
}

static void usage(FILE *out) {
    fputs(
        "usage: uefikeys [OPTION ...] -o OUT\n\n"
        "  --edk2 FILE        the keys of an EDK II variable store (OVMF_VARS*.fd)\n"
        "  --json FILE        the keys of such a file as this tool writes\n"
        "  --pk|--kek|--db|--dbx|--dbt|--dbr FILE\n"
        "                     adds certificates (PEM, DER) or signature lists\n"
        "  --update-kek|--update-db|--update-dbx|--update-dbt|--update-dbr FILE\n"
        "                     appends a signed update (DBXUpdate.bin) that the keys so far verify\n"
        "  --owner GUID       the owner of certificates that follow\n"
        "  -o OUT             where to; - is standard output\n\n"
        "Options are carried out in their order. Exit status: 0 done; 1 an input is no good or\n"
        "there is no PK; 2 usage, input or output.\n",
        out);
}

/// The key variable that an option is about.
struct target {
    const char *text; ///< its name
    struct uefi_guid guid;
    uint8_t wide[8];           ///< its name in UTF-16
    struct uefi_bytes name;    ///< points into wide
    struct uefi_variable *old; ///< as it stands in the store; NULL: it does not
};

/// Of an option's word: "pk", "dbx", ….
static void target_init(struct target *target, const char *word) {
    static const struct uefi_guid global = UEFI_GUID_GLOBAL, security = UEFI_GUID_IMAGE_SECURITY;
    const bool is_pk = strcmp(word, "pk") == 0, is_kek = strcmp(word, "kek") == 0;

    memset(target, 0, sizeof(*target));
    target->text = is_pk ? "PK" : is_kek ? "KEK" : word;
    target->guid = is_pk || is_kek ? global : security;
    for (size_t i = 0; target->text[i] != '\0'; i++) {
        target->wide[2 * i] = (uint8_t)target->text[i];
    }
    target->name = (struct uefi_bytes){target->wide, 2 * strlen(target->text)};
    target->old = uefi_store_find(&store, &target->guid, target->name);
}

static bool target_set(const struct target *target, struct uefi_bytes value, const uint8_t *time) {
    struct uefi_variable *made =
        uefi_variable_new(&target->guid, target->name, KEY_ATTRIBUTES, value, time, NULL);

    if (made == NULL) {
        uefikeys_say("out of memory");
        return false;
    }
    uefi_store_replace(&store, target->old, made);
    uefi_variable_free(target->old);
    return true;
}

/// Adds what value holds and the variable does not to a key variable.
static bool add_value(const char *word, struct uefi_bytes value) {
    static const uint8_t no_time[UEFI_TIME_BYTES];
    static uint8_t room[UEFI_STORE_VALUE_MAX_BYTES];
    struct uefi_bytes old_value = {NULL, 0}, merged;
    struct target target;
    size_t added;

    target_init(&target, word);
    if (target.old != NULL && strcmp(word, "pk") != 0) { // a new PK takes the old one's place
        old_value = target.old->value;
    }
    if (!uefi_siglist_append(old_value, value, room, sizeof(room), &merged, &added)) {
        uefikeys_say("%s: too much", target.text);
        return false;
    }
    return target_set(&target, merged, target.old != NULL ? target.old->time : no_time);
}

/// The value of a key variable now, for verifying; size 0 when there is none.
static struct uefi_bytes value_of(const char *word) {
    struct target target;

    target_init(&target, word);
    return target.old != NULL ? target.old->value : (struct uefi_bytes){NULL, 0};
}

/// Appends a signed update as a guest's SetVariable would, with the same checks. In setup mode
/// nothing would be verified, so that there has to be a PK.
static bool add_update(const char *word, const char *path, struct uefi_bytes payload) {
    static uint8_t room[UEFI_STORE_VALUE_MAX_BYTES];
    struct uefi_auth_request request = {
        .attributes = KEY_ATTRIBUTES | UEFI_ATTR_APPEND,
        .payload = payload,
        .pk = value_of("pk"),
        .kek = value_of("kek"),
        .db = value_of("db"),
        .room = room,
        .room_bytes = sizeof(room),
    };
    struct uefi_auth_stored stored;
    struct uefi_auth_result result;
    struct target target;

    target_init(&target, word);
    request.guid = target.guid;
    request.name = target.name;
    if (target.old != NULL) {
        stored = (struct uefi_auth_stored){target.old->attributes, target.old->value, {0}, {0}};
        memcpy(stored.time, target.old->time, sizeof(stored.time));
        request.stored = &stored;
    }
    if (request.pk.size_bytes == 0) {
        uefikeys_say("%s: there is no PK yet: nothing could verify it", path);
        return false;
    }
    if (uefi_auth_check(&request, &result) != UEFI_SUCCESS) {
        uefikeys_say("%s: no update of %s: %s", path, target.text, result.reason);
        return false;
    }
    return target_set(&target, result.value, result.time);
}

/// Takes over the keys of another store, what is no key is left out; it is empty then.
static void add_store(struct uefi_store *other) {
    while (other->first != NULL) {
        struct uefi_variable *v = other->first;
        const bool is_key = uefi_auth_rule(&v->guid, v->name) == UEFI_AUTH_KEY;
        struct uefi_variable *copy = is_key ? uefi_variable_new(&v->guid, v->name, v->attributes,
                                                                v->value, v->time, v->digest)
                                            : NULL;
        struct uefi_variable *old = uefi_store_find(&store, &v->guid, v->name);
        char name[64];

        if (!is_key) {
            uefikeys_say("%s is no key: left out",
                         uefi_name_to_utf8(v->name, name, sizeof(name)) ? name : "a variable");
        }
        if (copy != NULL) {
            uefi_store_replace(&store, old, copy);
            uefi_variable_free(old);
        }
        uefi_store_replace(other, v, NULL);
        uefi_variable_free(v);
    }
}

static int take_file(const char *option, const char *path, const struct uefi_guid *owner) {
    struct uefi_store other = {.first = NULL};
    struct uefi_json_error error;
    size_t size_bytes;
    uint8_t *bytes;
    int status = 0;

    if (strcmp(option, "--edk2") != 0 && strcmp(option, "--json") != 0 &&
        strncmp(option, UPDATE, strlen(UPDATE)) != 0) {
        bytes = uefikeys_value(path, owner, &size_bytes);
        status =
            bytes != NULL && add_value(option + 2, (struct uefi_bytes){bytes, size_bytes}) ? 0 : 1;
        free(bytes);
        return status;
    }
    bytes = uefikeys_read(path, &size_bytes);
    if (bytes == NULL) {
        return 2;
    }
    if (strncmp(option, UPDATE, strlen(UPDATE)) == 0) {
        status = add_update(option + strlen(UPDATE), path, (struct uefi_bytes){bytes, size_bytes})
                     ? 0
                     : 1;
    } else if (strcmp(option, "--edk2") == 0) {
        status = uefikeys_edk2(&other, bytes, size_bytes, path) != 0;
    } else if (uefi_json_read(&other, (const char *)bytes, size_bytes, &error) != 0) {
        uefikeys_say("%s: variable %d: %s", path, error.variable, error.why);
        status = 1;
    }
    free(bytes);
    add_store(&other);
    return status;
}

/// Everything is a key, and there is a PK.
static int check(void) {
    bool has_pk = false;

    for (const struct uefi_variable *v = store.first; v != NULL; v = v->next) {
        const char *wrong = uefi_keys_check(v);
        char name[64];

        if (wrong != NULL) {
            uefikeys_say("%s: %s", uefi_name_to_utf8(v->name, name, sizeof(name)) ? name : "a name",
                         wrong);
            return 1;
        }
        has_pk = has_pk || uefi_name_is(v->name, "PK");
    }
    if (!has_pk) {
        uefikeys_say("there is no PK: Secure Boot would stay off");
    }
    return has_pk ? 0 : 1;
}

static int write_out(const char *path) {
    size_t size_bytes;
    char *text = uefi_json_write(&store, &size_bytes);
    FILE *out = strcmp(path, "-") == 0 ? stdout : fopen(path, "wb");
    bool good = text != NULL && out != NULL && fwrite(text, 1, size_bytes, out) == size_bytes;

    if (out != NULL && fclose(out) != 0) {
        good = false;
    }
    free(text);
    if (!good) {
        uefikeys_say("%s: cannot write", path);
    }
    return good ? 0 : 2;
}

int main(int argc, char **argv) {
    static const char *const files[] = {
        "--edk2",       "--json",       "--pk",         "--kek",        "--db",
        "--dbx",        "--dbt",        "--dbr",        "--update-kek", "--update-db",
        "--update-dbx", "--update-dbt", "--update-dbr",
    };
    struct uefi_guid owner = {{0}};
    const char *out = NULL;
    int status = 0;

    for (int i = 1; i < argc && status == 0; i += 2) {
        bool is_file = false;

        for (size_t k = 0; k < sizeof(files) / sizeof(files[0]); k++) {
            is_file = is_file || strcmp(argv[i], files[k]) == 0;
        }
        if (i + 1 < argc && is_file) {
            status = take_file(argv[i], argv[i + 1], &owner);
        } else if (i + 1 < argc && strcmp(argv[i], "-o") == 0) {
            out = argv[i + 1];
        } else if (i + 1 >= argc || strcmp(argv[i], "--owner") != 0 ||
                   !uefi_guid_parse(argv[i + 1], &owner)) {
            usage(stderr);
            return 2;
        }
    }
    if (status == 0 && out == NULL) {
        usage(stderr);
        return 2;
    }
    status = status != 0 ? status : check();
    status = status != 0 ? status : write_out(out);
    uefi_store_clear(&store);
    return status;
}
