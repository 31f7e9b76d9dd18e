// SPDX-License-Identifier: MIT
//
// Variables as JSON there and back, texts that are refused, keys for a new store, and an engine
// that authenticates with them for real, in the variable process too.
#include "tests/support/uefi_client.h"
#include "tests/support/uefi_vectors.h"

#include "igvm/base/types.h"
#include "userspace/uefi/keys.h"
#include "userspace/uefi_vars.h"
#include "userspace/uefi_vars_client.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const struct uefi_guid global = UEFI_GUID_GLOBAL, security = UEFI_GUID_IMAGE_SECURITY;

static void add(struct uefi_store *store, const struct uefi_guid *guid, const char *name,
                uint32_t attributes, struct uefi_bytes value, uint8_t fill) {
    uint8_t wide[128], time[UEFI_TIME_BYTES] = {fill}, digest[UEFI_DIGEST_BYTES] = {fill};
    const size_t bytes = uefi_put_name(wide, name) - 2;
    struct uefi_variable *v =
        uefi_variable_new(guid, (struct uefi_bytes){wide, bytes}, attributes, value, time, digest);

    assert_non_null(v);
    uefi_store_replace(store, NULL, v);
}

/// PK, KEK and db of the vectors, as text.
static char *test_keys(size_t *size_bytes) {
    struct uefi_store store = {.first = NULL};
    char *text;

    add(&store, &global, "PK", 0x27, vector("pk.esl"), 0);
    add(&store, &global, "KEK", 0x27, vector("kek.esl"), 0);
    add(&store, &security, "db", 0x27, vector("db.esl"), 0);
    text = uefi_json_write(&store, size_bytes);
    assert_non_null(text);
    uefi_store_clear(&store);
    return text;
}

static void there_and_back(void **state) {
    static const uint8_t euro[] = {0xac, 0x20, 0x3d, 0xd8, 0x00, 0xde}; // U+20AC, U+1F600
    struct uefi_store store = {.first = NULL}, back = {.first = NULL};
    struct uefi_json_error error;
    const struct uefi_variable *a, *b;
    char *text, name[16];
    size_t size, count = 0;

    (void)state;
    add(&store, &global, "Plain", 0x07, (struct uefi_bytes){euro, 1}, 0);
    add(&store, &security, "Quote\"\\\x01", 0x03, (struct uefi_bytes){euro, 6}, 0);
    add(&store, &security, "Private", 0x27, (struct uefi_bytes){euro, 6}, 0x5a);
    add(&store, &global, "Volatile", 0x06, (struct uefi_bytes){euro, 6}, 0);
    a = uefi_variable_new(&global, (struct uefi_bytes){euro, 6}, 0x03, (struct uefi_bytes){euro, 6},
                          NULL, NULL);
    uefi_store_replace(&store, NULL, (struct uefi_variable *)(uintptr_t)a);
    assert_true(uefi_name_to_utf8(a->name, name, sizeof(name)));
    assert_string_equal(name, "\xe2\x82\xac\xf0\x9f\x98\x80");
    text = uefi_json_write(&store, &size);
    assert_non_null(text);
    assert_int_equal(strlen(text), size);
    assert_int_equal(uefi_json_read(&back, text, size, &error), 0);
    b = back.first;
    for (a = store.first; a != NULL; a = a->next) {
        if (!(a->attributes & UEFI_ATTR_NON_VOLATILE)) {
            continue;
        }
        assert_non_null(b);
        assert_true(uefi_guid_equal(&a->guid, &b->guid));
        assert_int_equal(a->attributes, b->attributes);
        assert_true(uefi_name_equal(a->name, b->name));
        assert_int_equal(a->value.size_bytes, b->value.size_bytes);
        assert_memory_equal(a->value.at, b->value.at, a->value.size_bytes);
        assert_memory_equal(a->digest, b->digest, UEFI_DIGEST_BYTES);
        assert_memory_equal(a->time, b->time, UEFI_TIME_BYTES);
        b = b->next;
        count++;
    }
    assert_null(b);
    assert_int_equal(count, 4);
    free(text);
    uefi_store_clear(&store);
    uefi_store_clear(&back);
}

/// The guest names its variables: nothing of a name may command the terminal that shows it.
static void names_on_a_terminal(void **state) {
    static const uint8_t name[] = {0x1b, 0, '[', 0, 0x9b, 0, 0x7f, 0, 0x85, 0, 0xa0, 0};
    char text[32];

    (void)state;
    assert_true(uefi_name_to_utf8((struct uefi_bytes){name, sizeof(name)}, text, sizeof(text)));
    assert_string_equal(text, "?[???\xc2\xa0");
}

#define GUID_TEXT    "\"guid\":\"8be4df61-93ca-11d2-aa0d-00e098032b8c\""
#define ONE(fields_) "{\"version\":2,\"variables\":[{" fields_ "}]}"

static void texts(void **state) {
    static const struct {
        const char *text, *says; // NULL: good
    } cases[] = {
        {ONE("\"name\":\"A\"," GUID_TEXT ",\"attr\":7,\"data\":\"00fF\""), NULL},
        {ONE("\"name\":\"A\"," GUID_TEXT
             ",\"attr\":7,\"data\":\"00\",\"time\":null,\"digest\":\"\""),
         NULL},
        {ONE("\"name\":\"A\"," GUID_TEXT ",\"attr\":7,\"data\":\"00\",\"other\":[1]"), NULL},
        {"{\"version\":2,\"variables\":[]}", NULL},
        {"", "not JSON"},
        {"[]", "version"},
        {"{\"variables\":[]}", "version"},
        {"{\"version\":1,\"variables\":[]}", "version"},
        {"{\"version\":2,\"variables\":{}}", "no array"},
        {"{\"version\":2,\"variables\":[1]}", "not an object"},
        {ONE(GUID_TEXT ",\"attr\":7,\"data\":\"00\""), "name"},
        {ONE("\"name\":\"\"," GUID_TEXT ",\"attr\":7,\"data\":\"00\""), "name"},
        {ONE("\"name\":\"A\\u0000B\"," GUID_TEXT ",\"attr\":7,\"data\":\"00\""), "name"},
        {ONE("\"name\":\"A\",\"guid\":\"8be4df61\",\"attr\":7,\"data\":\"00\""), "guid"},
        {ONE("\"name\":\"A\",\"guid\":\"8be4df61-93ca-11d2-aa0d+00e098032b8c\",\"attr\":7,"
             "\"data\":\"00\""),
         "guid"},
        {ONE("\"name\":\"A\",\"guid\":\"8be4df61-93ca-11d2-aa0d-00e098032b8x\",\"attr\":7,"
             "\"data\":\"00\""),
         "guid"},
        {ONE("\"name\":\"A\"," GUID_TEXT ",\"data\":\"00\""), "attr"},
        {ONE("\"name\":\"A\"," GUID_TEXT ",\"attr\":\"7\",\"data\":\"00\""), "attr"},
        {ONE("\"name\":\"A\"," GUID_TEXT ",\"attr\":-1,\"data\":\"00\""), "attr"},
        {ONE("\"name\":\"A\"," GUID_TEXT ",\"attr\":71,\"data\":\"00\""), "attr"},
        {ONE("\"name\":\"A\"," GUID_TEXT ",\"attr\":1,\"data\":\"00\""), "attr"},
        {ONE("\"name\":\"A\"," GUID_TEXT ",\"attr\":4294967303,\"data\":\"00\""), "attr"},
        {ONE("\"name\":\"A\"," GUID_TEXT ",\"attr\":7"), "data"},
        {ONE("\"name\":\"A\"," GUID_TEXT ",\"attr\":7,\"data\":\"\""), "data"},
        {ONE("\"name\":\"A\"," GUID_TEXT ",\"attr\":7,\"data\":\"0\""), "data"},
        {ONE("\"name\":\"A\"," GUID_TEXT ",\"attr\":7,\"data\":\"0g\""), "data"},
        {ONE("\"name\":\"A\"," GUID_TEXT ",\"attr\":7,\"data\":\"00\",\"time\":\"00\""), "time"},
        {ONE("\"name\":\"A\"," GUID_TEXT ",\"attr\":7,\"data\":\"00\",\"digest\":7"), "digest"},
        {"{\"version\":2,\"variables\":[{\"name\":\"A\"," GUID_TEXT ",\"attr\":7,\"data\":\"00\"},"
         "{\"name\":\"A\"," GUID_TEXT ",\"attr\":3,\"data\":\"01\"}]}",
         "twice"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct uefi_store store = {.first = NULL};
        struct uefi_json_error error;
        const int r = uefi_json_read(&store, cases[i].text, strlen(cases[i].text), &error);

        if ((r == 0) != (cases[i].says == NULL) ||
            (cases[i].says != NULL && strstr(error.why, cases[i].says) == NULL)) {
            fail_msg("text %zu: %d, %s", i, r, error.why != NULL ? error.why : "good");
        }
        assert_true(r == 0 || store.first == NULL);
        uefi_store_clear(&store);
    }
}

// ---- keys for a new store ----

static void check_byte(struct uefi_client *client, const struct uefi_guid *guid, const char *name,
                       unsigned value) {
    assert_int_equal(uefi_get(client, guid, name, 1024), UEFI_SUCCESS);
    assert_int_equal(client->size_bytes, 1);
    assert_int_equal(client->value[0], value);
}

/// What a guest does with keys that are in force: only who has the right key gets through.
static void check_in_force(struct uefi_client *client) {
    const struct uefi_bytes good = vector("db-later.auth"), bad = vector("db-stranger.auth");

    check_byte(client, &global, "SetupMode", 0);
    check_byte(client, &global, "SecureBoot", 1);
    assert_int_equal(uefi_set(client, &security, "db", 0x27, bad.at, bad.size_bytes),
                     UEFI_SECURITY_VIOLATION);
    assert_int_equal(uefi_set(client, &security, "db", 0x27, good.at, good.size_bytes),
                     UEFI_SUCCESS);
    assert_int_equal(uefi_set(client, &security, "db", 0x27, good.at, good.size_bytes),
                     UEFI_SECURITY_VIOLATION); // again
    // The hole of other implementations: deletes without authentication.
    assert_int_equal(uefi_set(client, &global, "PK", 0x27, "", 0), UEFI_SECURITY_VIOLATION);
    assert_int_equal(uefi_set(client, &security, "db", 0x27, "", 0), UEFI_SECURITY_VIOLATION);
    assert_int_not_equal(uefi_set(client, &global, "PK", 0, "", 0), UEFI_SUCCESS);
    assert_int_not_equal(uefi_set(client, &global, "KEK", 0x07, "", 0), UEFI_SUCCESS);
    check_byte(client, &global, "SetupMode", 0);
    assert_int_not_equal(uefi_set(client, &global, "SecureBoot", 0x06, "", 1), UEFI_SUCCESS);
    assert_int_equal(uefi_get(client, &global, "PK", 4096), UEFI_SUCCESS);
    assert_int_equal(uefi_get(client, &global, "KEK", 4096), UEFI_SUCCESS);
}

static void provision(void **state) {
    const struct uefi_engine_config config = {.secure_boot_wanted = true};
    const struct uefi_bytes delete = vector("pk-delete.auth"), own = vector("pk-self.auth");
    static struct uefi_client client;
    struct uefi_store_report report;
    struct uefi_json_error error;
    struct uefi_engine engine;
    size_t size;
    char *text = test_keys(&size);

    (void)state;
    assert_int_equal(uefi_engine_init(&engine, &config, NULL, 0, &report), 0);
    uefi_client_init(&client, &engine);
    check_byte(&client, &global, "SetupMode", 1);
    assert_int_equal(uefi_keys_provision(&engine, text, size, &error), 0);
    check_in_force(&client);
    // PK's holder goes back to setup mode and enrols another; firmware goes on as it began.
    assert_int_equal(uefi_set(&client, &global, "PK", 0x27, delete.at, delete.size_bytes),
                     UEFI_SUCCESS);
    check_byte(&client, &global, "SetupMode", 1);
    check_byte(&client, &global, "SecureBoot", 1);
    assert_int_equal(uefi_engine_reset(&engine), 0);
    check_byte(&client, &global, "SecureBoot", 0);
    assert_int_equal(uefi_set(&client, &global, "PK", 0x27, own.at, own.size_bytes), UEFI_SUCCESS);
    check_byte(&client, &global, "SetupMode", 0);
    check_byte(&client, &global, "SecureBoot", 0);
    assert_int_equal(uefi_engine_reset(&engine), 0);
    check_byte(&client, &global, "SecureBoot", 1);
    uefi_engine_free(&engine);
    free(text);
}

static void keys_that_are_none(void **state) {
    static const struct {
        const char *name, *file;
        uint32_t attributes;
        const char *says;
    } cases[] = {
        {"PK", "pk.esl", 0x07, "attr"},
        {"PK", "dbx1.esl", 0x27, "certificates only"},
        {"PK", "weak.esl", 0x27, "RSA key"},
        {"PK", "pk-self.auth", 0x27, "signature list"},
        {"KEK", "kek.esl", 0x27, "no PK"},
        {"BootOrder", "pk.esl", 0x27, "none of"},
        {"SecureBoot", "pk.esl", 0x27, "none of"},
    };
    const struct uefi_engine_config config = {.secure_boot_wanted = true};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct uefi_store store = {.first = NULL};
        struct uefi_store_report report;
        struct uefi_json_error error;
        struct uefi_engine engine;
        char *text;
        size_t size;

        add(&store, &global, cases[i].name, cases[i].attributes, vector(cases[i].file), 0);
        text = uefi_json_write(&store, &size);
        assert_int_equal(uefi_engine_init(&engine, &config, NULL, 0, &report), 0);
        assert_int_equal(uefi_keys_provision(&engine, text, size, &error), -EBADMSG);
        assert_non_null(strstr(error.why, cases[i].says));
        uefi_engine_free(&engine);
        uefi_store_clear(&store);
        free(text);
    }
}

// ---- the process ----

/// Starts the process with such a text of keys; its socket.
static int start(const char *text, size_t size, pid_t *pid) {
    char socket_option[32], keys_option[32];
    const int keys = memfd_create("keys", 0);
    int pair[2];

    assert_int_equal(write(keys, text, size), size);
    assert_int_equal(lseek(keys, 0, SEEK_SET), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    *pid = fork();
    if (*pid == 0) {
        char *argv[] = {"uefi-vars", socket_option, keys_option, "--secure-boot", NULL};

        close(pair[0]);
        snprintf(socket_option, sizeof(socket_option), "--socket=%d", pair[1]);
        snprintf(keys_option, sizeof(keys_option), "--keys-fd=%d", keys);
        _exit(uefi_vars_main(4, argv));
    }
    close(pair[1]);
    close(keys);
    return pair[0];
}

static void in_the_process(void **state) {
    static struct uefi_client client;
    struct uefi_vars_client link;
    size_t size;
    char *text = test_keys(&size);
    pid_t pid;

    (void)state;
    uefi_vars_client_init(&link, start(text, size, &pid));
    uefi_client_init_backend(&client, &link.backend);
    check_in_force(&client);
    uefi_vars_client_close(&link);
    waitpid(pid, NULL, 0);
    // Keys that are no good: no service rather than one that boots anything.
    text[size / 2] = '!';
    uefi_vars_client_init(&link, start(text, size, &pid));
    assert_int_equal(uefi_get(&client, &global, "SetupMode", 16), UEFI_NO_ANSWER);
    uefi_vars_client_close(&link);
    waitpid(pid, NULL, 0);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(names_on_a_terminal),
        cmocka_unit_test(texts),
        cmocka_unit_test(provision),
        cmocka_unit_test(keys_that_are_none),
        cmocka_unit_test(in_the_process),
    };

    return cmocka_run_group_tests_name("uefi_keys", tests, NULL, NULL);
}
