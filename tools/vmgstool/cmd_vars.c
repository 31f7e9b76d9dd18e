// SPDX-License-Identifier: MIT
//
// vmgstool: uefi-vars list, export and import: the UEFI variables in BIOS_NVRAM, as text and in the
// JSON format of virt-firmware (userspace/uefi/vars_json.h).

#include "tools/vmgstool/tool.h"

#include "igvm/base/check.h"
#include "igvm/base/types.h"
#include "userspace/uefi/auth.h"
#include "userspace/uefi/siglist.h"
#include "userspace/uefi/vars_json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void check_failed(const char *expression, const char *file, int line) {
    vmgstool_say("%s:%d: %s does not hold", file, line, expression);
    abort();
}

/// Loads the image's variables into an empty store; no BIOS_NVRAM is MISSING, or with may_be_new no
/// variables. An exit code; the reason is printed.
static int load(struct vmgstool_image *image, struct uefi_store *store, bool may_be_new) {
    struct uefi_store_report report = {.why = NULL};
    struct vmgs_file_info info;
    uint8_t *bytes;
    size_t size;
    int rc = vmgs_stat(&image->vmgs, VMGS_BIOS_NVRAM, &info);
    int result;

    if (rc == -ENOENT && may_be_new) {
        return VMGSTOOL_OK;
    }
    if (rc != 0) {
        return vmgstool_result(image, rc);
    }
    bytes = malloc(info.size_bytes + 1); // at most the disk's size
    if (bytes == NULL) {
        vmgstool_say("no memory for %llu bytes", (unsigned long long)info.size_bytes);
        return VMGSTOOL_FAILED;
    }
    result = vmgstool_result(
        image, vmgs_read(&image->vmgs, VMGS_BIOS_NVRAM, bytes, info.size_bytes, &size));
    if (result == VMGSTOOL_OK && size > 0) {
        rc = uefi_store_load(store, bytes, size, &report);
        if (rc != 0) {
            vmgstool_say("%s: BIOS_NVRAM, byte 0x%zx: %s", image->path, report.off,
                         report.why != NULL ? report.why : strerror(-rc));
            result = rc == -EBADMSG ? VMGSTOOL_DAMAGED : VMGSTOOL_FAILED;
        }
    }
    free(bytes);
    return result;
}

/// An attribute set as "NV,BS,RT,AT".
static void print_attributes(uint32_t attributes) {
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {
        {UEFI_ATTR_NON_VOLATILE, "NV"},   {UEFI_ATTR_BOOTSERVICE, "BS"}, {UEFI_ATTR_RUNTIME, "RT"},
        {UEFI_ATTR_HARDWARE_ERROR, "HR"}, {UEFI_ATTR_TIME_AUTH, "AT"},
    };
    const char *separator = "";

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (attributes & names[i].bit) {
            printf("%s%s", separator, names[i].name);
            separator = ",";
        }
    }
}

static void print_variable(const struct uefi_variable *v) {
    char guid[UEFI_GUID_TEXT_BYTES], name[4 * UEFI_STORE_NAME_MAX_BYTES];
    size_t count;

    uefi_guid_format(&v->guid, guid);
    if (!uefi_name_to_utf8(v->name, name, sizeof(name))) {
        name[0] = '\0'; // cannot be: it is large enough
    }
    printf("%s  %-24s %6zu bytes  ", guid, name, v->value.size_bytes);
    print_attributes(v->attributes);
    if (uefi_auth_rule(&v->guid, v->name) == UEFI_AUTH_KEY) {
        const char *wrong = uefi_siglist_check(v->value, &count);

        printf(wrong == NULL ? "  %zu signatures" : "  no list of signatures", count);
    }
    putchar('\n');
}

static int run_list(const struct vmgstool_options *options, const struct uefi_store *store) {
    (void)options;
    for (const struct uefi_variable *v = store->first; v != NULL; v = v->next) {
        print_variable(v);
    }
    return VMGSTOOL_OK;
}

static int run_export(const struct vmgstool_options *options, const struct uefi_store *store) {
    size_t size;
    char *text = uefi_json_write(store, &size);
    int result = VMGSTOOL_FAILED;

    if (text == NULL) {
        vmgstool_say("no memory for the variables' text");
    } else {
        result = vmgstool_put_out(options->output, (const uint8_t *)text, size);
    }
    free(text);
    return result;
}

/// Reads the JSON file into an empty store.
static int read_text(const char *path, struct uefi_store *store) {
    struct uefi_json_error error;
    size_t size;
    uint8_t *bytes = vmgstool_take_in(path, &size);
    int rc;

    if (bytes == NULL) {
        return VMGSTOOL_FAILED;
    }
    rc = uefi_json_read(store, (const char *)bytes, size, &error);
    free(bytes);
    if (rc != 0 && error.variable >= 0) {
        vmgstool_say("%s: variable %d: %s", path, error.variable, error.why);
    } else if (rc != 0) {
        vmgstool_say("%s: %s", path, error.why);
    }
    return rc == 0 ? VMGSTOOL_OK : VMGSTOOL_FAILED;
}

/// Puts every variable of added into store, in the place of one of the same name.
static int merge(struct uefi_store *store, const struct uefi_store *added) {
    for (const struct uefi_variable *v = added->first; v != NULL; v = v->next) {
        struct uefi_variable *old = uefi_store_find(store, &v->guid, v->name);
        struct uefi_variable *made =
            uefi_variable_new(&v->guid, v->name, v->attributes, v->value, v->time, v->digest);

        if (made == NULL ||
            !uefi_store_has_room(store, uefi_class_of(&v->guid, v->name, v->attributes), false, old,
                                 uefi_variable_cost(v->name.size_bytes, v->value.size_bytes))) {
            vmgstool_say("no room for all these variables");
            uefi_variable_free(made);
            return VMGSTOOL_SPACE;
        }
        uefi_store_replace(store, old, made);
        uefi_variable_free(old);
    }
    return VMGSTOOL_OK;
}

static int save(struct vmgstool_image *image, const struct vmgstool_options *options,
                const struct uefi_store *store) {
    const unsigned flags = (options->has_key && !options->plain ? VMGS_WRITE_ENCRYPT : 0u) |
                           (options->expose ? (unsigned)VMGS_WRITE_EXPOSE : 0u);
    uint8_t *bytes;
    size_t size = 0;
    int result = VMGSTOOL_FAILED;

    if (vmgs_encrypted(&image->vmgs) && !options->has_key && !options->plain) {
        vmgstool_say("%s: variables are encrypted with the key (--key)", image->path);
        return VMGSTOOL_KEY;
    }
    bytes = malloc(UEFI_STORE_IMAGE_MAX_BYTES);
    if (bytes == NULL) {
        vmgstool_say("out of memory");
    } else if (uefi_store_save(store, bytes, UEFI_STORE_IMAGE_MAX_BYTES, &size) != 0) {
        vmgstool_say("no room for all these variables");
        result = VMGSTOOL_SPACE;
    } else {
        result =
            vmgstool_result(image, vmgs_write(&image->vmgs, VMGS_BIOS_NVRAM, bytes, size, flags));
    }
    free(bytes);
    return result;
}

static int import(int argc, char **argv) {
    struct uefi_store store = {.first = NULL}, added = {.first = NULL};
    struct vmgstool_options options;
    struct vmgstool_image image;
    int result;

    if (vmgstool_parse(argc, argv,
                       VMGSTOOL_TAKES_KEY | VMGSTOOL_TAKES_INPUT | VMGSTOOL_TAKES_PLAIN |
                           VMGSTOOL_TAKES_REPLACE,
                       &options) != 0) {
        return VMGSTOOL_FAILED;
    }
    if (options.input == NULL) {
        vmgstool_say("uefi-vars import: -i IN is missing");
        return VMGSTOOL_FAILED;
    }
    result = read_text(options.input, &added);
    if (result != VMGSTOOL_OK) {
        return result;
    }
    result = vmgstool_open(&image, &options, true);
    if (result == VMGSTOOL_OK) {
        result = options.replace ? VMGSTOOL_OK : load(&image, &store, true);
        result = result == VMGSTOOL_OK ? merge(&store, &added) : result;
        result = result == VMGSTOOL_OK ? save(&image, &options, &store) : result;
        vmgstool_close(&image);
    }
    uefi_store_clear(&store);
    uefi_store_clear(&added);
    return result;
}

static int look(int argc, char **argv, unsigned takes,
                int (*run)(const struct vmgstool_options *, const struct uefi_store *)) {
    struct uefi_store store = {.first = NULL};
    struct vmgstool_options options;
    struct vmgstool_image image;
    int result;

    if (vmgstool_parse(argc, argv, VMGSTOOL_TAKES_KEY | takes, &options) != 0) {
        return VMGSTOOL_FAILED;
    }
    result = vmgstool_open(&image, &options, false);
    if (result == VMGSTOOL_OK) {
        result = load(&image, &store, false);
        result = result == VMGSTOOL_OK ? run(&options, &store) : result;
        vmgstool_close(&image);
    }
    uefi_store_clear(&store);
    return result;
}

int vmgstool_uefi_vars(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "list") == 0) {
        return look(argc - 1, argv + 1, 0, run_list);
    }
    if (strcmp(what, "export") == 0) {
        return look(argc - 1, argv + 1, VMGSTOOL_TAKES_OUTPUT, run_export);
    }
    if (strcmp(what, "import") == 0) {
        return import(argc - 1, argv + 1);
    }
    vmgstool_say("uefi-vars: list, export or import");
    return VMGSTOOL_FAILED;
}
