// SPDX-License-Identifier: MIT
//
// Applies a JSON text to struct config by the table of keys (config_keys.c). Strict: RFC 8259
// without extensions, no unknown and no repeated key, every value in its bounds.
//
// yyjson parses in place, in a copy of the text: a key's string then stands where it stood in the
// text, and that gives every message its line.
#include "userspace/config.h"
#include "userspace/config_parser.h"

#include "igvm/base/types.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned line_of(const struct config_parser *p, size_t off) {
    unsigned line = 1;

    for (size_t i = 0; i < off && i < p->size; i++) {
        line += p->text[i] == '\n';
    }
    return line;
}

int config_refuse(struct config_parser *p, const char *format, ...) {
    va_list args;
    int used = snprintf(p->error->text, sizeof(p->error->text), "%s:%u: %s%s", p->name,
                        line_of(p, p->off), p->path, p->path[0] ? ": " : "");

    if (used > 0 && (size_t)used < sizeof(p->error->text)) {
        va_start(args, format);
        vsnprintf(p->error->text + used, sizeof(p->error->text) - (size_t)used, format, args);
        va_end(args);
    }
    return -EINVAL;
}

int config_wrong_type(struct config_parser *p, const char *expected, yyjson_val *found) {
    return config_refuse(p, "expected %s, found %s", expected, yyjson_get_type_desc(found));
}

// ---- objects ----

/// Number of edits between two short words (Levenshtein), capped: for "did you mean".
static unsigned distance(const char *a, const char *b) {
    unsigned row[33];
    size_t a_size = strnlen(a, 32), b_size = strnlen(b, 32);

    for (unsigned j = 0; j <= b_size; j++) {
        row[j] = j;
    }
    for (unsigned i = 1; i <= a_size; i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= b_size; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[b_size];
}

static int unknown_key(struct config_parser *p, const struct config_object *object,
                       const char *name) {
    const char *nearest = NULL;
    unsigned best = 4; // further away is no typing error

    for (uint32_t i = 0; i < object->key_count; i++) {
        unsigned edits = distance(name, object->keys[i].name);

        if (edits < best) {
            best = edits;
            nearest = object->keys[i].name;
        }
    }
    if (nearest) {
        return config_refuse(p, "unknown key; did you mean \"%s\"?", nearest);
    }
    return config_refuse(p, "unknown key; docs/configuration.md lists the keys");
}

/// Whether the measured configuration lets the host set this path: it or an object above it is
/// listed.
static bool host_may_set(const struct config_parser *p) {
    for (uint32_t i = 0; i < p->config->host_path_count; i++) {
        const char *allowed = p->config->host_paths[i];
        size_t size = strlen(allowed);

        if (size > 0 && strncmp(p->path, allowed, size) == 0 &&
            (p->path[size] == '\0' || p->path[size] == '.' || p->path[size] == '[')) {
            return true;
        }
    }
    return false;
}

static int apply_object(struct config_parser *p, const struct config_object *object,
                        yyjson_val *value, char *base, unsigned depth);

static int apply_array(struct config_parser *p, const struct config_key *key, yyjson_val *value,
                       unsigned depth) {
    char *base = (char *)p->config;
    size_t path_size = strlen(p->path);
    uint32_t count = 0;
    yyjson_arr_iter items;
    yyjson_val *item;

    if (!yyjson_is_arr(value)) {
        return config_wrong_type(p, "an array", value);
    }
    if (yyjson_arr_size(value) > key->max) {
        return config_refuse(p, "expected at most %llu elements, found %zu",
                             (unsigned long long)key->max, yyjson_arr_size(value));
    }
    memset(base + key->off, 0, key->size * key->max); // the host's array replaces the measured one
    yyjson_arr_iter_init(value, &items);
    while ((item = yyjson_arr_iter_next(&items)) != NULL) {
        int result;

        snprintf(p->path + path_size, sizeof(p->path) - path_size, "[%u]", count);
        result = apply_object(p, key->object, item, base + key->off + (size_t)count * key->size,
                              depth + 1);
        if (result < 0) {
            return result;
        }
        count++;
    }
    p->path[path_size] = '\0';
    memcpy(base + key->count_off, &count, sizeof(count));
    return 0;
}

static int apply_value(struct config_parser *p, const struct config_key *key, yyjson_val *value,
                       char *base, unsigned depth) {
    if (p->host && key->type != CONFIG_OBJECT && !host_may_set(p)) {
        return config_refuse(p, "the host may not set this; the measured configuration's "
                                "\"host_may_set\" does not list it");
    }
    switch ((enum config_type)key->type) {
    case CONFIG_BOOL:
        if (!yyjson_is_bool(value)) {
            return config_wrong_type(p, "true or false", value);
        }
        *(bool *)(base + key->off) = yyjson_get_bool(value);
        return 0;
    case CONFIG_U32:
    case CONFIG_BYTES:
        return config_set_number(p, key, value, base + key->off);
    case CONFIG_TEXT:
        return config_set_text(p, key, value, base + key->off);
    case CONFIG_ENUM:
        return config_set_enum(p, key, value, base + key->off);
    case CONFIG_TEXTS:
        return config_set_texts(p, key, value);
    case CONFIG_HEX:
        return config_set_hex(p, key, value, base);
    case CONFIG_ARRAY:
        return apply_array(p, key, value, depth);
    case CONFIG_OBJECT:
        return apply_object(p, key->object, value, base, depth + 1);
    }
    return -EINVAL;
}

/// Applies every member. depth is bounded by the table: an object never contains itself.
static int apply_object(struct config_parser *p, const struct config_object *object,
                        yyjson_val *value, char *base, unsigned depth) {
    size_t path_size = strlen(p->path);
    uint64_t seen = 0;
    yyjson_obj_iter members;
    yyjson_val *name;

    if (!yyjson_is_obj(value)) {
        return config_wrong_type(p, "an object", value);
    }
    yyjson_obj_iter_init(value, &members);
    while ((name = yyjson_obj_iter_next(&members)) != NULL) {
        const char *text = yyjson_get_str(name);
        uint32_t i = 0;
        int result;

        p->off = (size_t)(text - p->copy);
        snprintf(p->path + path_size, sizeof(p->path) - path_size, "%s%.40s", path_size ? "." : "",
                 text);
        if (depth == 1 && strcmp(text, "$schema") == 0) {
            continue; // for editors
        }
        while (i < object->key_count && strcmp(object->keys[i].name, text) != 0) {
            i++;
        }
        if (strlen(text) != yyjson_get_len(name)) {
            return config_refuse(p, "a NUL character in the key");
        }
        if (i == object->key_count) {
            return unknown_key(p, object, text);
        }
        if (seen & 1ull << i) {
            return config_refuse(p, "this key stands twice in its object");
        }
        seen |= 1ull << i;
        result = apply_value(p, &object->keys[i], yyjson_obj_iter_get_val(name), base, depth);
        if (result < 0) {
            return result;
        }
    }
    p->path[path_size] = '\0';
    return 0;
}

int config_apply(struct config *config, const char *name, const char *text, size_t size_bytes,
                 bool host, struct config_error *error) {
    struct config_parser p = {.config = config,
                              .name = name,
                              .text = text,
                              .size = size_bytes,
                              .host = host,
                              .error = error};
    yyjson_read_err failure;
    yyjson_doc *document;
    char *copy;
    int result;

    if (size_bytes > CONFIG_MAX_TEXT_BYTES) {
        return config_refuse(
            &p, "expected at most %u bytes: the configuration is larger than that (%zu)",
            CONFIG_MAX_TEXT_BYTES, size_bytes);
    }
    copy = calloc(1, size_bytes + YYJSON_PADDING_SIZE);
    if (copy == NULL) {
        return -ENOMEM;
    }
    memcpy(copy, text, size_bytes);
    document = yyjson_read_opts(copy, size_bytes, YYJSON_READ_INSITU, NULL, &failure);
    if (document == NULL) {
        p.off = failure.pos;
        result =
            config_refuse(&p, "not valid JSON at byte offset %zu: %s", failure.pos, failure.msg);
    } else {
        p.copy = copy;
        result = apply_object(&p, &config_root, yyjson_doc_get_root(document), (char *)config, 1);
    }
    yyjson_doc_free(document);
    explicit_bzero(copy, size_bytes); // it may hold a key
    free(copy);
    return result;
}

bool config_has_state(const struct config *config) {
    return config->state_path[0] != '\0' || config->state_nvme_serial[0] != '\0';
}

void config_forget_secrets(struct config *config) {
    explicit_bzero(config->state_key, sizeof(config->state_key));
    config->state_key_bytes = 0;
}

static int check_state(const struct config *config, const char *name, struct config_error *error) {
    const char *problem = NULL;

    if (config->state_path[0] != '\0' && config->state_nvme_serial[0] != '\0') {
        problem = "expected either \"path\" or \"nvme_serial\"";
    } else if (!config_has_state(config) && config->state_key_bytes != 0) {
        problem = "a key, but neither \"path\" nor \"nvme_serial\"";
    }
    for (uint32_t i = 0; i < config->disk_count && config_has_state(config); i++) {
        const struct config_disk *disk = &config->disks[i];

        if ((disk->path[0] != '\0' && strcmp(disk->path, config->state_path) == 0) ||
            (disk->nvme_serial[0] != '\0' &&
             strcmp(disk->nvme_serial, config->state_nvme_serial) == 0)) {
            problem = "this disk is one of the guest's \"disks\" too";
        }
    }
    if (problem) {
        snprintf(error->text, sizeof(error->text), "%s: guest_state: %s", name, problem);
    }
    return problem ? -EINVAL : 0;
}

int config_check(const struct config *config, const char *name, struct config_error *error) {
    for (uint32_t i = 0; i < config->disk_count; i++) {
        const struct config_disk *disk = &config->disks[i];

        if ((disk->path[0] != '\0') == (disk->nvme_serial[0] != '\0')) {
            snprintf(error->text, sizeof(error->text),
                     "%s: disks[%u]: expected either \"path\" or \"nvme_serial\"", name, i);
            return -EINVAL;
        }
        if (config->tpm_enabled && strcmp(disk->path, config->tpm_state) == 0) {
            snprintf(error->text, sizeof(error->text),
                     "%s: disks[%u].path: the vTPM's state is nothing for the guest", name, i);
            return -EINVAL;
        }
    }
    if (strlen(config->command_line) + strlen(config->command_line_append) + 2 >
        CONFIG_CMDLINE_BYTES) {
        snprintf(error->text, sizeof(error->text),
                 "%s: guest.command_line and guest.command_line_append: expected at most %u bytes "
                 "together",
                 name, CONFIG_CMDLINE_BYTES - 2);
        return -EINVAL;
    }
    return check_state(config, name, error);
}
