// SPDX-License-Identifier: MIT
//
// The configuration: every key, defaults, the host's override and its limits, and the sentence of
// every kind of error; the schema file lists the same keys as the parser's table.
#include "userspace/config.h"
#include "userspace/config_keys.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#include <cmocka.h>

static struct config config;
static struct config_error error;

static int apply(const char *text) {
    error.text[0] = '\0';
    return config_apply(&config, "t.json", text, strlen(text), false, &error);
}

static int apply_host(const char *text) {
    error.text[0] = '\0';
    return config_apply(&config, "host-config", text, strlen(text), true, &error);
}

/// The text is refused with exactly this sentence.
static void refused(const char *text, const char *sentence) {
    config_defaults(&config);
    assert_int_equal(apply(text), -EINVAL);
    assert_string_equal(error.text, sentence);
}

static void test_defaults(void **state) {
    (void)state;
    config_defaults(&config);
    assert_int_equal(apply("{}"), 0);
    assert_int_equal(config.vps, 0);
    assert_int_equal(config.boot, CONFIG_BOOT_LINUX);
    assert_false(config.firmware_log);
    assert_int_equal(config.console, CONFIG_CONSOLE_VIRTIO);
    assert_string_equal(config.console_backend, "/dev/hvc0");
    assert_true(config.rng);
    assert_false(config.own_chips);
    assert_true(config.halt_exits);
    assert_false(config.tpm_enabled);
    assert_true(config.secure_boot);
    assert_string_equal(config.secure_boot_template, "microsoft");
    assert_int_equal(config_check(&config, "t.json", &error), 0);
}

static void test_every_key(void **state) {
    (void)state;
    config_defaults(&config);
    assert_int_equal(
        apply("{\"$schema\":\"x\",\"log_level\":\"debug\",\"guest\":{\"vps\":4,\"memory\":\"1G\","
              "\"boot\":\"uefi\",\"firmware\":\"f\",\"firmware_log\":true,\"kernel\":\"k\","
              "\"initrd\":\"i\",\"command_line\":\"a\",\"command_line_append\":"
              "\"b\",\"on_reset\":\"stop\",\"on_crash\":\"restart\",\"halt_exits\":false,\"rng\":"
              "false,\"own_chips\":true},\"console\":{\"kind\":\"serial\",\"backend\":\"stdio\"},"
              "\"serial\":{"
              "\"backend\":\"/s\"},\"tpm\":{\"enabled\":true,\"state\":\"/t\"},\"guest_state\":{"
              "\"path\":\"/v\",\"nvme_serial\":\"gs\",\"format\":false,\"key\":"
              "\"00112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100\"},"
              "\"secure_boot\":{\"enabled\":false,\"template\":\"custom\",\"keys\":\"/k\"},"
              "\"disks\":[{"
              "\"path\":\"/d\",\"serial\":\"s\",\"read_only\":true,\"buffered\":true},{"
              "\"nvme_serial\":\"n\"}],\"host_may_set\":[\"disks\",\"guest.vps\"]}"),
        0);
    assert_false(config.secure_boot);
    assert_string_equal(config.secure_boot_template, "custom");
    assert_string_equal(config.secure_boot_keys, "/k");
    assert_string_equal(config.state_path, "/v");
    assert_string_equal(config.state_nvme_serial, "gs");
    assert_false(config.state_format);
    assert_int_equal(config.state_key_bytes, 32);
    assert_int_equal(config.state_key[1], 0x11);
    assert_int_equal(config.state_key[16], 0xFF);
    assert_int_equal(config.state_key[31], 0);
    config_forget_secrets(&config);
    assert_int_equal(config.state_key_bytes, 0);
    assert_int_equal(config.state_key[1], 0);
    assert_int_equal(config.log_level, 3);
    assert_int_equal(config.vps, 4);
    assert_int_equal(config.memory_bytes, 1ull << 30);
    assert_int_equal(config.boot, CONFIG_BOOT_UEFI);
    assert_string_equal(config.firmware, "f");
    assert_true(config.firmware_log);
    assert_string_equal(config.kernel, "k");
    assert_string_equal(config.command_line_append, "b");
    assert_int_equal(config.on_reset, CONFIG_RESET_STOP);
    assert_int_equal(config.on_crash, CONFIG_CRASH_RESTART);
    assert_false(config.halt_exits);
    assert_false(config.rng);
    assert_true(config.own_chips);
    assert_int_equal(config.console, CONFIG_CONSOLE_SERIAL);
    assert_string_equal(config.serial_backend, "/s");
    assert_true(config.tpm_enabled);
    assert_int_equal(config.disk_count, 2);
    assert_true(config.disks[0].read_only && config.disks[0].buffered);
    assert_string_equal(config.disks[1].nvme_serial, "n");
    assert_int_equal(config.host_path_count, 2);
    config.state_path[0] = '\0'; // one of the two
    assert_int_equal(config_check(&config, "t.json", &error), 0);
}

static void test_errors(void **state) {
    (void)state;
    refused("{\n \"guest\": {\n  \"memroy\": 1}}",
            "t.json:3: guest.memroy: unknown key; did you mean \"memory\"?");
    refused("{\"no_such_key\": 1}",
            "t.json:1: no_such_key: unknown key; docs/configuration.md lists the keys");
    refused("{\"disks\": \"many\"}", "t.json:1: disks: expected an array, found string");
    refused("{\"disks\": [{}, 1]}", "t.json:1: disks[1]: expected an object, found uint");
    refused("{\"disks\": [{\"read_only\": 1}]}",
            "t.json:1: disks[0].read_only: expected true or false, found uint");
    refused("{\"guest\": {\"vps\": 65}}", "t.json:1: guest.vps: expected 0 to 64, found 65");
    refused("{\"guest\": {\"vps\": -1}}",
            "t.json:1: guest.vps: expected a whole number that is not negative");
    refused("{\"guest\": {\"memory\": \"12Q\"}}",
            "t.json:1: guest.memory: expected a size such as 536870912 or \"512M\", found \"12Q\"");
    refused("{\"guest\": {\"memory\": \"99999999999999999999\"}}",
            "t.json:1: guest.memory: expected a size such as 536870912 or \"512M\", found "
            "\"99999999999999999999\"");
    refused("{\"console\": {\"kind\": \"vga\"}}",
            "t.json:1: console.kind: expected one of \"none\", \"virtio\", \"serial\", found "
            "\"vga\"");
    refused("{\"tpm\": {}, \"tpm\": {}}", "t.json:1: tpm: this key stands twice in its object");
    refused("{\"tpm\": {\"state\": \"a\\nb\"}}",
            "t.json:1: tpm.state: expected printable text, found byte 0x0a in it");
    refused("[]", "t.json:1: expected an object, found array");
}

/// What is wrong with a key is said without any of it.
static void test_key_errors(void **state) {
    (void)state;
    refused("{\"guest_state\":{\"key\":\"abcd\"}}",
            "t.json:1: guest_state.key: expected 64 hexadecimal digits, found 4 characters");
    refused("{\"guest_state\":{\"key\":\""
            "x0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"}}",
            "t.json:1: guest_state.key: expected 64 hexadecimal digits, found another character");
    refused("{\"guest_state\":{\"key\":\""
            "0000000000000000000000000000000000000000000000000000000000000000\"}}",
            "t.json:1: guest_state.key: expected a key that is not all zero");
    refused("{\"guest_state\":{\"key\":1}}",
            "t.json:1: guest_state.key: expected a string, found uint");
}

static void test_syntax(void **state) {
    (void)state;
    config_defaults(&config);
    assert_int_equal(apply("{\n\"disks\": ["), -EINVAL);
    assert_non_null(strstr(error.text, "t.json:2: not valid JSON at byte offset"));
    assert_int_equal(apply(""), -EINVAL);
    assert_int_equal(apply("{} x"), -EINVAL);
    assert_int_equal(apply("{\"log_level\": \"info\",}"), -EINVAL);
    assert_int_equal(apply("{\"tpm\\u0000\": {}}"), -EINVAL);
}

static void test_limits(void **state) {
    char *text = malloc(CONFIG_MAX_TEXT_BYTES + 2);

    (void)state;
    assert_non_null(text);
    memset(text, ' ', CONFIG_MAX_TEXT_BYTES + 1);
    text[CONFIG_MAX_TEXT_BYTES + 1] = '\0';
    config_defaults(&config);
    assert_int_equal(apply(text), -EINVAL);
    assert_non_null(strstr(error.text, "larger than"));
    memcpy(text, "{}", 2);
    text[CONFIG_MAX_TEXT_BYTES] = '\0';
    assert_int_equal(apply(text), 0);
    free(text);
    refused("{\"disks\":[{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}]}",
            "t.json:1: disks: expected at most 16 elements, found 17");
    refused("{\"disks\":[{\"serial\":\"123456789012345678901\"}]}",
            "t.json:1: disks[0].serial: expected at most 20 bytes, found 21");
}

/// The host may choose the guest's disks, not read VTL2's files through them.
static void test_host_names_no_files(void **state) {
    static const char *const paths[] = {
        "/var/lib/vtpm.state", "/proc/kcore", "/dev/../proc/kcore", "dev/vda", "/device", ""};
    char text[128];

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        config_defaults(&config);
        assert_int_equal(apply("{\"host_may_set\":[\"disks\"]}"), 0);
        snprintf(text, sizeof(text), "{\"disks\":[{\"path\":\"%s\"}]}", paths[i]);
        assert_int_equal(apply_host(text), -EINVAL);
        assert_string_equal(error.text, "host-config:1: disks[0].path: expected a path in /dev/: "
                                        "the host names devices, no files");
    }
    assert_int_equal(apply("{\"disks\":[{\"path\":\"/any/file\"}]}"), 0); // the measured file
    config_defaults(&config);
    assert_int_equal(apply("{\"tpm\":{\"enabled\":true,\"state\":\"/dev/vdb\"},\"disks\":[{"
                           "\"path\":\"/dev/vdb\"}]}"),
                     0);
    assert_int_equal(config_check(&config, "t.json", &error), -EINVAL);
}

static void test_host(void **state) {
    (void)state;
    config_defaults(&config);
    assert_int_equal(apply_host("{\"guest\":{\"vps\":1}}"), -EINVAL);
    assert_string_equal(error.text,
                        "host-config:1: guest.vps: the host may not set this; the measured "
                        "configuration's \"host_may_set\" does not list it");
    assert_int_equal(apply("{\"host_may_set\":[\"disks\",\"guest.vps\"],\"disks\":[{\"path\":"
                           "\"/a\"},{\"path\":\"/b\"}]}"),
                     0);
    assert_int_equal(apply_host("{\"guest\":{\"vps\":1},\"disks\":[{\"path\":\"/dev/c\"}]}"), 0);
    assert_int_equal(config.vps, 1);
    assert_int_equal(config.disk_count, 1);
    assert_string_equal(config.disks[0].path, "/dev/c");
    assert_string_equal(config.disks[1].path, "");
    assert_int_equal(apply_host("{\"guest\":{\"memory\":\"64M\"}}"), -EINVAL);
    assert_int_equal(apply_host("{\"guest\":{\"vps\":1,\"rng\":false}}"), -EINVAL);
    assert_int_equal(apply_host("{\"host_may_set\":[\"tpm\"]}"), -EINVAL);
    // A prefix of a name is not the name.
    assert_int_equal(apply("{\"host_may_set\":[\"gue\"]}"), 0);
    assert_int_equal(apply_host("{\"guest\":{\"vps\":1}}"), -EINVAL);
}

static void test_check(void **state) {
    (void)state;
    config_defaults(&config);
    assert_int_equal(apply("{\"disks\":[{\"path\":\"/a\",\"nvme_serial\":\"b\"}]}"), 0);
    assert_int_equal(config_check(&config, "t.json", &error), -EINVAL);
    assert_string_equal(error.text,
                        "t.json: disks[0]: expected either \"path\" or \"nvme_serial\"");
    config_defaults(&config);
    assert_int_equal(apply("{\"guest_state\":{\"path\":\"/a\",\"nvme_serial\":\"b\"}}"), 0);
    assert_int_equal(config_check(&config, "t.json", &error), -EINVAL);
    assert_string_equal(error.text,
                        "t.json: guest_state: expected either \"path\" or \"nvme_serial\"");
    config_defaults(&config);
    config.state_key_bytes = 32;
    assert_int_equal(config_check(&config, "t.json", &error), -EINVAL);
    config_defaults(&config);
    assert_int_equal(apply("{\"guest_state\":{\"nvme_serial\":\"b\"},"
                           "\"disks\":[{\"nvme_serial\":\"b\"}]}"),
                     0);
    assert_int_equal(config_check(&config, "t.json", &error), -EINVAL);
    assert_string_equal(error.text,
                        "t.json: guest_state: this disk is one of the guest's \"disks\" too");
    config_defaults(&config);
    memset(config.command_line, 'a', sizeof(config.command_line) - 1);
    assert_int_equal(config_check(&config, "t.json", &error), -EINVAL);
}

/// The object of the schema has exactly the table's keys, down to the leaves.
static void same_keys(const struct config_object *object, yyjson_val *schema, bool is_root) {
    yyjson_val *properties = yyjson_obj_get(schema, "properties");

    assert_true(yyjson_is_obj(properties));
    assert_false(yyjson_get_bool(yyjson_obj_get(schema, "additionalProperties")));
    assert_int_equal(yyjson_obj_size(properties), object->key_count + (is_root ? 1 : 0));
    for (uint32_t i = 0; i < object->key_count; i++) {
        const struct config_key *key = &object->keys[i];
        yyjson_val *property = yyjson_obj_get(properties, key->name);

        assert_non_null(property);
        if (key->type == CONFIG_OBJECT) {
            same_keys(key->object, property, false);
        } else if (key->type == CONFIG_ARRAY) {
            assert_int_equal(yyjson_get_uint(yyjson_obj_get(property, "maxItems")), key->max);
            same_keys(key->object, yyjson_obj_get(property, "items"), false);
        } else if (key->type == CONFIG_TEXT) {
            assert_int_equal(yyjson_get_uint(yyjson_obj_get(property, "maxLength")), key->size - 1);
        } else if (key->type == CONFIG_U32) {
            assert_int_equal(yyjson_get_uint(yyjson_obj_get(property, "maximum")), key->max);
        } else if (key->type == CONFIG_ENUM) {
            yyjson_val *names = yyjson_obj_get(property, "enum");

            for (uint32_t n = 0; key->names[n]; n++) {
                assert_string_equal(yyjson_get_str(yyjson_arr_get(names, n)), key->names[n]);
            }
        }
    }
}

static void test_schema(void **state) {
    yyjson_doc *schema = yyjson_read_file("userspace/parapet.schema.json", 0, NULL, NULL);

    (void)state;
    assert_non_null(schema);
    same_keys(&config_root, yyjson_doc_get_root(schema), true);
    yyjson_doc_free(schema);
}

static void test_shipped(void **state) {
    char text[4096];
    FILE *file = fopen("userspace/parapet.json", "r");
    size_t size;

    (void)state;
    assert_non_null(file);
    size = fread(text, 1, sizeof(text), file);
    fclose(file);
    config_defaults(&config);
    assert_int_equal(config_apply(&config, "parapet.json", text, size, false, &error), 0);
    assert_int_equal(config_check(&config, "parapet.json", &error), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_every_key),
        cmocka_unit_test(test_errors),   cmocka_unit_test(test_key_errors),
        cmocka_unit_test(test_syntax),   cmocka_unit_test(test_limits),
        cmocka_unit_test(test_host),     cmocka_unit_test(test_host_names_no_files),
        cmocka_unit_test(test_check),    cmocka_unit_test(test_schema),
        cmocka_unit_test(test_shipped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
