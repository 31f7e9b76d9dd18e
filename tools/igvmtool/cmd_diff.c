// SPDX-License-Identifier: MIT
//
// igvmtool diff: what differs between two files, in terms of headers, fields and the data behind
// them.
//
// Where file data stands in the file does not count: two files that load the same are the same.

#include "tools/igvmtool/dump.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DIFF_MAX_LINES 50u   // what a person reads; the rest is counted
#define DIFF_LOOKAHEAD 4096u // headers searched for the next common one

struct side {
    struct igvmtool_bytes bytes;
    struct igvm_file file;
    uint32_t *offsets; // of the headers
    size_t count;
    size_t at; // next header to compare
};

static unsigned lines; // differences found

static bool may_print(void) {
    return lines++ < DIFF_MAX_LINES;
}

static void get(const struct side *side, size_t idx, struct igvm_header *header) {
    struct igvm_iter iter = {.file = &side->file, .off = side->offsets[idx]};
    struct igvm_error error;

    igvm_iter_next(&iter, header, &error); // it has been walked before: cannot fail
}

static int index_headers(struct side *side) {
    const size_t most = (side->file.headers_end - side->file.headers_off) / IGVM_HEADER_ALIGN;
    struct igvm_iter iter = igvm_iter_start(&side->file);
    struct igvm_header header;
    struct igvm_error error;

    side->offsets = calloc(most + 1, sizeof(*side->offsets));
    if (side->offsets == NULL) {
        return -ENOMEM;
    }
    while (igvm_iter_next(&iter, &header, &error) > 0) {
        side->offsets[side->count++] = header.file_off;
    }
    return 0;
}

/// Whether two headers speak of the same thing: type, platforms and what identifies it.
static bool same_subject(const struct igvm_header *a, const struct igvm_header *b) {
    if (a->type != b->type || a->desc == NULL || b->desc == NULL) {
        return a->type == b->type;
    }
    for (size_t i = 0; i < a->desc->field_count; i++) {
        const struct igvm_field *field = &a->desc->fields[i];
        const bool identifies = field->role == IGVM_ROLE_MASK || field->role == IGVM_ROLE_GPA ||
                                field->role == IGVM_ROLE_AREA;

        if (identifies && igvm_field_get(field, a->u.raw) != igvm_field_get(field, b->u.raw)) {
            return false;
        }
    }
    return true;
}

static void describe(const char *sign, const struct igvm_header *header) {
    char text[DUMP_FIELD_CHARS];

    printf("%s %s", sign, header->desc == NULL ? "unknown header" : header->desc->name);
    for (size_t i = 0; header->desc != NULL && i < header->desc->field_count; i++) {
        const struct igvm_field *field = &header->desc->fields[i];

        if (field->role == IGVM_ROLE_MASK || field->role == IGVM_ROLE_GPA ||
            field->role == IGVM_ROLE_AREA) {
            dump_field(field, header->u.raw, text);
            printf(" %s=%s", field->name, text);
        }
    }
    fputc('\n', stdout);
}

static void compare_fields(const struct igvm_header *a, const struct igvm_header *b) {
    char left[DUMP_FIELD_CHARS];
    char right[DUMP_FIELD_CHARS];

    for (size_t i = 0; i < a->desc->field_count; i++) {
        const struct igvm_field *field = &a->desc->fields[i];

        if (field->role == IGVM_ROLE_FILE_OFF ||
            memcmp(a->u.raw + field->off, b->u.raw + field->off, field->size_bytes) == 0) {
            continue;
        }
        if (may_print()) {
            describe("!", a);
            dump_field(field, a->u.raw, left);
            dump_field(field, b->u.raw, right);
            printf("    %s: %s | %s\n", field->name, left, right);
        }
    }
}

static uint8_t byte_at(const uint8_t *data, uint64_t size_bytes, uint64_t off) {
    return data != NULL && off < size_bytes ? data[off] : 0; // no data means zeroes
}

static void compare_data(const struct side *left, const struct side *right,
                         const struct igvm_header *a, const struct igvm_header *b) {
    const uint8_t *x;
    const uint8_t *y;
    uint64_t x_bytes;
    uint64_t y_bytes;

    igvm_header_data(&left->file, a, &x, &x_bytes); // both files are valid
    igvm_header_data(&right->file, b, &y, &y_bytes);
    if (x_bytes == y_bytes && (x_bytes == 0 || memcmp(x, y, x_bytes) == 0)) {
        return;
    }
    for (uint64_t i = 0; i < x_bytes || i < y_bytes; i++) {
        if (byte_at(x, x_bytes, i) == byte_at(y, y_bytes, i)) {
            continue;
        }
        if (may_print()) {
            describe("!", a);
            printf("    data at 0x%" PRIx64 ": %02x | %02x\n", i, byte_at(x, x_bytes, i),
                   byte_at(y, y_bytes, i));
        }
        return;
    }
}

/// How far ahead of from the subject of header is; DIFF_LOOKAHEAD if it is not near.
static size_t distance(const struct side *side, size_t from, const struct igvm_header *header) {
    struct igvm_header other;

    for (size_t i = 0; i < DIFF_LOOKAHEAD && from + i < side->count; i++) {
        get(side, from + i, &other);
        if (same_subject(header, &other)) {
            return i;
        }
    }
    return DIFF_LOOKAHEAD;
}

static void report_lone(struct side *side, const char *sign) {
    struct igvm_header header;

    get(side, side->at++, &header);
    if (may_print()) {
        describe(sign, &header);
    }
}

static void compare_headers(struct side *left, struct side *right) {
    struct igvm_header a;
    struct igvm_header b;

    while (left->at < left->count && right->at < right->count) {
        get(left, left->at, &a);
        get(right, right->at, &b);
        if (same_subject(&a, &b)) {
            if (a.desc != NULL && b.desc != NULL) {
                compare_fields(&a, &b);
                compare_data(left, right, &a, &b);
            }
            left->at++;
            right->at++;
        } else if (distance(right, right->at, &a) <= distance(left, left->at, &b) &&
                   distance(right, right->at, &a) < DIFF_LOOKAHEAD) {
            report_lone(right, ">");
        } else {
            report_lone(left, "<");
        }
    }
    while (left->at < left->count) {
        report_lone(left, "<");
    }
    while (right->at < right->count) {
        report_lone(right, ">");
    }
}

static void compare_fixed(const struct igvm_file *a, const struct igvm_file *b) {
    if (a->format_version != b->format_version && may_print()) {
        printf("! format_version: %u | %u\n", a->format_version, b->format_version);
    }
    if (a->architecture != b->architecture && may_print()) {
        printf("! architecture: %u | %u\n", a->architecture, b->architecture);
    }
}

static int open_side(struct side *side, const char *path, struct igvmtool_error *error) {
    int rc = igvmtool_open_image(path, &side->bytes, &side->file, error);

    if (rc == 0 && index_headers(side) != 0) {
        rc = igvmtool_error_set(error, "out of memory");
    }
    return rc;
}

int igvmtool_diff(int argc, char **argv) {
    static const struct option options[] = {{0}};
    struct igvmtool_error error = {""};
    struct side left = {0};
    struct side right = {0};
    int status = IGVMTOOL_FAILED;

    if (getopt_long(argc, argv, "", options, NULL) != -1 || argc - optind != 2) {
        igvmtool_error_set(&error, "diff needs two FILEs");
        igvmtool_complain(&error);
        return IGVMTOOL_FAILED;
    }
    if (open_side(&left, argv[optind], &error) == 0 &&
        open_side(&right, argv[optind + 1], &error) == 0) {
        lines = 0;
        compare_fixed(&left.file, &right.file);
        compare_headers(&left, &right);
        if (lines > DIFF_MAX_LINES) {
            printf("... and %u more differences\n", lines - DIFF_MAX_LINES);
        }
        status = lines == 0 ? IGVMTOOL_OK : IGVMTOOL_DIFFERS;
    } else {
        igvmtool_complain(&error);
    }
    free(left.offsets);
    free(right.offsets);
    igvmtool_bytes_free(&left.bytes);
    igvmtool_bytes_free(&right.bytes);
    return status;
}
