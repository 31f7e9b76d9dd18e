// SPDX-License-Identifier: MIT
//
// igvmtool dump --json: one object; "headers" has every header in file order.
//
// Printed directly: names come from our own tables, values are numbers, names or hex digits, so
// nothing in it needs escaping, and a file with a million headers needs no tree in memory.

#include "tools/igvmtool/dump.h"

#include <inttypes.h>

static void print_flags(const struct igvm_field *field, uint64_t value, FILE *out) {
    const char *comma = "";

    fputc('[', out);
    for (unsigned bit = 0; bit < 64 && value >> bit != 0; bit++) {
        if ((value >> bit & 1) == 0) {
            continue;
        }
        if ((field->limit >> bit & 1) != 0) {
            fprintf(out, "%s\"%s\"", comma, field->names[bit]);
        } else {
            fprintf(out, "%s%u", comma, bit); // an undefined bit, by its number
        }
        comma = ", ";
    }
    fputc(']', out);
}

static void print_field(const struct igvm_field *field, const void *content, FILE *out) {
    const uint64_t value = igvm_field_get(field, content);
    char text[DUMP_FIELD_CHARS];

    fprintf(out, "\"%s\": ", field->name);
    switch (field->role) {
    case IGVM_ROLE_FLAGS:
        print_flags(field, value, out);
        break;
    case IGVM_ROLE_NUMBER:
    case IGVM_ROLE_AREA:
    case IGVM_ROLE_FILE_OFF:
    case IGVM_ROLE_MASK:
        fprintf(out, "%" PRIu64, value);
        break;
    default:
        dump_field(field, content, text);
        fprintf(out, "\"%s\"", text);
        break;
    }
}

static void print_header(const struct igvm_header *header, FILE *out) {
    const struct igvm_header_desc *desc = header->desc;
    const char *comma = "";

    fprintf(out, "    {\"offset\": %" PRIu32 ", \"type\": %u, \"name\": \"%s\", \"optional\": %s, ",
            header->file_off, (unsigned)header->type, desc == NULL ? "unknown" : desc->name,
            header->optional ? "true" : "false");
    fputs("\"fields\": {", out);
    for (size_t i = 0; desc != NULL && i < desc->field_count; i++) {
        if (desc->fields[i].role != IGVM_ROLE_RESERVED) {
            fputs(comma, out);
            print_field(&desc->fields[i], header->u.raw, out);
            comma = ", ";
        }
    }
    fputs("}}", out);
}

int dump_json(const struct igvm_file *file, FILE *out, struct igvm_error *error) {
    struct igvm_iter iter = igvm_iter_start(file);
    const char *comma = "";
    struct igvm_header header;
    int rc;

    fprintf(out,
            "{\n  \"format_version\": %u,\n  \"architecture\": \"%s\",\n  \"page_size\": %u,\n"
            "  \"file_size\": %zu,\n  \"variable_header_offset\": %u,\n"
            "  \"variable_header_size\": %u,\n  \"checksum\": %u,\n  \"headers\": [\n",
            file->format_version, file->architecture == IGVM_ARCH_X64 ? "x64" : "aarch64",
            file->page_size_bytes, file->size_bytes, file->headers_off,
            file->headers_end - file->headers_off, file->checksum);
    while ((rc = igvm_iter_next(&iter, &header, error)) > 0) {
        fputs(comma, out);
        print_header(&header, out);
        comma = ",\n";
    }
    fputs("\n  ]\n}\n", out);
    return rc;
}
