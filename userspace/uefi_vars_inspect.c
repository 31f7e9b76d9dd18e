// SPDX-License-Identifier: MIT
//
// The variables as text (uefi_vars_inspect.h).

#include "userspace/uefi_vars_inspect.h"

#include "igvm/base/bytes.h"

#include <stdarg.h>
#include <stdio.h>

struct text {
    char *out;
    size_t room_bytes, used_bytes;
};

/// Adds a line if all of it fits.
__attribute__((format(printf, 2, 3))) static bool add(struct text *t, const char *format, ...) {
    size_t left = t->room_bytes - t->used_bytes;
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(t->out + t->used_bytes, left, format, arguments);
    va_end(arguments);
    if (n < 0 || (size_t)n >= left) {
        return false;
    }
    t->used_bytes += (size_t)n;
    return true;
}

/// Printable ASCII as it is, all else as \uXXXX; cut where room ends.
static void show_name(struct uefi_bytes name, char *out, size_t room_bytes) {
    size_t used = 0;

    for (size_t i = 0; i + 1 < name.size_bytes && used + 7 < room_bytes; i += 2) {
        uint16_t c = load_le16(name.at + i);

        if (c > ' ' && c < 0x7F && c != '\\') {
            out[used++] = (char)c;
        } else {
            used += (size_t)snprintf(out + used, room_bytes - used, "\\u%04x", c);
        }
    }
    out[used] = '\0';
}

size_t uefi_vars_inspect(const struct uefi_engine *engine, char *out, size_t room_bytes) {
    struct text t = {.out = out, .room_bytes = room_bytes};
    const struct uefi_counters *n;

    if (engine == NULL) {
        add(&t, "store: unusable\n");
        return t.used_bytes;
    }
    n = &engine->counters;
    add(&t, "phase: %s\n",
        engine->exit_boot_services ? "runtime"
        : engine->ready_to_boot    ? "ready to boot"
        : engine->end_of_dxe       ? "end of DXE"
                                   : "firmware");
    add(&t, "messages: %llu, gets %llu, sets %llu, refused %llu, saves %llu, failed %llu\n",
        (unsigned long long)n->messages, (unsigned long long)n->gets, (unsigned long long)n->sets,
        (unsigned long long)n->refused_sets, (unsigned long long)n->saves,
        (unsigned long long)n->failed_saves);
    add(&t, "bytes: %zu non-volatile, %zu of keys, %zu volatile\n",
        engine->store.used_bytes[UEFI_CLASS_NV], engine->store.used_bytes[UEFI_CLASS_KEY],
        engine->store.used_bytes[UEFI_CLASS_VOLATILE]);
    add(&t, "policies: %zu%s\n", engine->policy.count, engine->policy.locked ? ", locked" : "");
    for (const struct uefi_variable *v = engine->store.first; v != NULL; v = v->next) {
        const uint8_t *g = v->guid.bytes;
        char name[256];

        show_name(v->name, name, sizeof(name));
        if (!add(&t, "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x %02x %5zu %s\n",
                 load_le32(g), load_le16(g + 4), load_le16(g + 6), g[8], g[9], g[10], g[11], g[12],
                 g[13], g[14], g[15], v->attributes, v->value.size_bytes, name)) {
            break;
        }
    }
    return t.used_bytes;
}
