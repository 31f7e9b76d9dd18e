// SPDX-License-Identifier: MIT
//
// vmgstool: the command line.

#include "tools/vmgstool/tool.h"

#include "igvm/base/types.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void vmgstool_say(const char *format, ...) {
    va_list args;

    fputs("vmgstool: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

int vmgstool_number(const char *text, uint64_t *value) {
    unsigned long long number;
    unsigned shift = 0;
    char *end;

    if (!isdigit((unsigned char)text[0])) {
        return -EINVAL;
    }
    errno = 0;
    number = strtoull(text, &end, 0);
    if (*end == 'K' || *end == 'M' || *end == 'G') {
        shift = *end == 'K' ? 10 : *end == 'M' ? 20 : 30;
        end++;
    }
    if (errno != 0 || *end != '\0' || number > UINT64_MAX >> shift) {
        return -EINVAL;
    }
    *value = (uint64_t)number << shift;
    return 0;
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/// 32 bytes, or 64 hexadecimal digits and perhaps a line end.
static int read_key(const char *path, uint8_t key[VMGS_KEY_BYTES]) {
    char text[2 * VMGS_KEY_BYTES + 3];
    FILE *file = fopen(path, "rbe");
    size_t size;

    if (file == NULL) {
        vmgstool_say("%s: cannot open: %s", path, strerror(errno));
        return -EINVAL;
    }
    size = fread(text, 1, sizeof(text), file);
    fclose(file);
    if (size == VMGS_KEY_BYTES) {
        memcpy(key, text, VMGS_KEY_BYTES);
        return 0;
    }
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r')) {
        size--;
    }
    for (size_t i = 0; size == 2 * VMGS_KEY_BYTES && i < VMGS_KEY_BYTES; i++) {
        const int high = hex_digit(text[2 * i]);
        const int low = hex_digit(text[2 * i + 1]);

        if (high < 0 || low < 0) {
            size = 0;
        }
        key[i] = (uint8_t)((unsigned)high << 4 | (unsigned)low);
    }
    if (size != 2 * VMGS_KEY_BYTES) {
        vmgstool_say("%s: a key file holds 32 bytes or 64 hexadecimal digits", path);
        return -EINVAL;
    }
    return 0;
}

static int parse_id(const char *text, int *file_id) {
    uint64_t number;
    const int named = vmgs_file_by_name(text);

    if (named >= 0) {
        *file_id = named;
        return 0;
    }
    if (vmgstool_number(text, &number) != 0 || number >= VMGS_FILE_COUNT) {
        vmgstool_say("\"%s\" is neither a file's name nor its number (1 to 62)", text);
        return -EINVAL;
    }
    *file_id = (int)number;
    return 0;
}

/// Options without a value.
static bool parse_switch(const char *name, unsigned takes, struct vmgstool_options *options) {
    const struct {
        const char *name;
        unsigned takes;
        bool *value;
    } switches[] = {
        {"--json", VMGSTOOL_TAKES_JSON, &options->json},
        {"--plain", VMGSTOOL_TAKES_PLAIN, &options->plain},
        {"--expose", VMGSTOOL_TAKES_PLAIN, &options->expose},
        {"--older", VMGSTOOL_TAKES_OLDER, &options->older},
        {"--force", VMGSTOOL_TAKES_CREATE, &options->force},
        {"--replace", VMGSTOOL_TAKES_REPLACE, &options->replace},
    };

    for (size_t i = 0; i < ARRAY_COUNT(switches); i++) {
        if ((takes & switches[i].takes) != 0 && strcmp(name, switches[i].name) == 0) {
            *switches[i].value = true;
            return true;
        }
    }
    return false;
}

/// An option with a value. 1 when it was one, 0 when not, -EINVAL.
static int parse_value(const char *name, const char *value, unsigned takes,
                       struct vmgstool_options *options) {
    uint64_t sector;

    if ((takes & VMGSTOOL_TAKES_KEY) != 0 && strcmp(name, "--key") == 0) {
        options->has_key = true;
        return read_key(value, options->key) != 0 ? -EINVAL : 1;
    }
    if ((takes & VMGSTOOL_TAKES_NEW_KEY) != 0 && strcmp(name, "--new-key") == 0) {
        options->has_new_key = true;
        return read_key(value, options->new_key) != 0 ? -EINVAL : 1;
    }
    if ((takes & VMGSTOOL_TAKES_INPUT) != 0 && strcmp(name, "-i") == 0) {
        options->input = value;
        return 1;
    }
    if ((takes & VMGSTOOL_TAKES_OUTPUT) != 0 && strcmp(name, "-o") == 0) {
        options->output = value;
        return 1;
    }
    if ((takes & VMGSTOOL_TAKES_CREATE) != 0 && strcmp(name, "--size") == 0) {
        if (vmgstool_number(value, &options->size_bytes) != 0 || options->size_bytes > INT64_MAX ||
            options->size_bytes % VMGS_BLOCK_BYTES != 0) {
            vmgstool_say("--size %s: a size is a multiple of 4096 bytes", value);
            return -EINVAL;
        }
        return 1;
    }
    if (strcmp(name, "--sector") == 0) {
        if (vmgstool_number(value, &sector) != 0 || (sector != 512 && sector != 4096)) {
            vmgstool_say("--sector %s: sectors have 512 or 4096 bytes", value);
            return -EINVAL;
        }
        options->sector_bytes = (uint32_t)sector;
        return 1;
    }
    return 0;
}

/// One argument without a dash.
static int parse_word(const char *word, unsigned takes, struct vmgstool_options *options) {
    if (options->image == NULL) {
        options->image = word;
        return 0;
    }
    if ((takes & VMGSTOOL_TAKES_ID) != 0 && options->file_id < 0) {
        return parse_id(word, &options->file_id);
    }
    vmgstool_say("\"%s\" is one argument too many", word);
    return -EINVAL;
}

int vmgstool_parse(int argc, char **argv, unsigned takes, struct vmgstool_options *options) {
    *options = (struct vmgstool_options){.file_id = -1, .size_bytes = VMGS_DEFAULT_BYTES};
    for (int i = 1; i < argc; i++) {
        int rc;

        if (argv[i][0] != '-') {
            rc = parse_word(argv[i], takes, options);
        } else if (parse_switch(argv[i], takes, options)) {
            rc = 0;
        } else if (i + 1 < argc) {
            rc = parse_value(argv[i], argv[i + 1], takes, options);
            i += rc == 1;
            rc = rc == 1 ? 0 : rc < 0 ? rc : 1;
        } else {
            rc = 1;
        }
        if (rc > 0) {
            vmgstool_say("%s: unknown option, or its value is missing: see vmgstool help", argv[i]);
        }
        if (rc != 0) {
            return -EINVAL;
        }
    }
    if (options->image == NULL || ((takes & VMGSTOOL_TAKES_ID) != 0 && options->file_id < 0)) {
        vmgstool_say("%s: arguments are missing: see vmgstool help", argv[0]);
        return -EINVAL;
    }
    return 0;
}
