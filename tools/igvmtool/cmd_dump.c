// SPDX-License-Identifier: MIT
//
// igvmtool dump: a file's headers as text or as JSON, both straight from the descriptor table.

#include "tools/igvmtool/dump.h"

#include "igvm/igvm_vp.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void dump_hex(const uint8_t *bytes, size_t count, char *out) {
    for (size_t i = 0; i < count; i++) {
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    }
    out[2 * count] = '\0';
}

/// A number as its role wants it shown: a name, names of bits, decimal or hexadecimal.
static void format_number(const struct igvm_field *field, uint64_t value, char *out, size_t size) {
    size_t used = 0;

    switch (field->role) {
    case IGVM_ROLE_NUMBER:
    case IGVM_ROLE_AREA:
        snprintf(out, size, "%" PRIu64, value);
        return;
    case IGVM_ROLE_NAMED:
        if (value < field->limit) {
            snprintf(out, size, "%s", field->names[value]);
            return;
        }
        break;
    case IGVM_ROLE_FLAGS:
        if (value == 0 || (value & ~field->limit) != 0) {
            break;
        }
        for (unsigned bit = 0; value >> bit != 0 && used < size; bit++) {
            if ((value >> bit & 1) != 0) {
                used += (size_t)snprintf(out + used, size - used, "%s%s", used == 0 ? "" : "+",
                                         field->names[bit]);
            }
        }
        return;
    default:
        break;
    }
    snprintf(out, size, "0x%" PRIx64, value);
}

void dump_field(const struct igvm_field *field, const void *content, char out[DUMP_FIELD_CHARS]) {
    const uint8_t *bytes = (const uint8_t *)content + field->off;
    size_t used = field->size_bytes;

    if (field->role != IGVM_ROLE_BYTES) {
        format_number(field, igvm_field_get(field, content), out, DUMP_FIELD_CHARS);
        return;
    }
    while (used > 0 && bytes[used - 1] == 0) {
        used--; // trailing zeroes say nothing
    }
    dump_hex(bytes, used, out);
}

static bool is_shown(const struct igvm_field *field, const void *content) {
    // A reserved field is only worth a word when it is wrong.
    return field->role != IGVM_ROLE_RESERVED || igvm_field_get(field, content) != 0;
}

static void print_header(size_t idx, const struct igvm_header *header) {
    char text[DUMP_FIELD_CHARS];

    printf("%6zu  0x%08" PRIx32 "  ", idx, header->file_off);
    if (header->desc == NULL) {
        printf("unknown type 0x%x (optional), %u bytes\n", (unsigned)header->type,
               (unsigned)header->length_bytes);
        return;
    }
    printf("%-22s", header->desc->name);
    for (size_t i = 0; i < header->desc->field_count; i++) {
        const struct igvm_field *field = &header->desc->fields[i];

        if (is_shown(field, header->u.raw)) {
            dump_field(field, header->u.raw, text);
            printf(" %s=%s", field->name, text);
        }
    }
    puts(header->optional ? " (optional)" : "");
}

/// Registers of a VP context, below its header's line.
static void print_context(const struct igvm_file *file, const struct igvm_header *header) {
    const uint32_t mask = header->u.vp_context.compatibility_mask;
    struct igvm_supported_platform platform;
    struct igvm_error error;
    struct igvm_vp vp;
    char hex[2 * 16 + 1];

    if (igvm_find_platform_by_mask(file, mask & (0u - mask), &platform) != 0 ||
        igvm_vp_read(file, header, &platform, &vp, &error) != 0) {
        return;
    }
    if (vp.format == IGVM_VP_FORMAT_NATIVE) {
        const struct igvm_native_vp_context_x64 *r = &vp.native;

        printf("%8srip=0x%" PRIx64 " rsp=0x%" PRIx64 " rflags=0x%" PRIx64 " rsi=0x%" PRIx64
               " rdi=0x%" PRIx64 "\n",
               "", r->rip, r->rsp, r->rflags, r->rsi, r->rdi);
        printf("%8scr0=0x%" PRIx64 " cr3=0x%" PRIx64 " cr4=0x%" PRIx64 " efer=0x%" PRIx64
               " cs=0x%x/0x%x ds=0x%x/0x%x\n",
               "", r->cr0, r->cr3, r->cr4, r->efer, r->code_selector, r->code_attributes,
               r->data_selector, r->data_attributes);
    }
    for (uint32_t i = 0; vp.format == IGVM_VP_FORMAT_VBS && i < vp.register_count; i++) {
        const struct igvm_vbs_vp_context_register reg = igvm_vp_register(&vp, i);

        dump_hex(reg.value, sizeof(reg.value), hex);
        printf("%8svtl=%u register=0x%08x value=%s\n", "", reg.vtl, (unsigned)reg.register_name,
               hex);
    }
}

/// Whether b is the page after a, alike in everything else but its data.
static bool continues(const struct igvm_header *a, const struct igvm_header *b) {
    const struct igvm_page_data *x = &a->u.page_data;
    const struct igvm_page_data *y = &b->u.page_data;

    return a->type == IGVM_VHT_PAGE_DATA && b->type == IGVM_VHT_PAGE_DATA &&
           (x->flags & IGVM_PAGE_2MB) == 0 && y->gpa == x->gpa + IGVM_PAGE_SIZE &&
           x->compatibility_mask == y->compatibility_mask && x->flags == y->flags &&
           x->data_type == y->data_type && (x->file_offset == 0) == (y->file_offset == 0);
}

static void print_run(size_t pages, const struct igvm_header *last) {
    if (pages > 1) {
        printf("%16s  ... %zu pages, up to gpa 0x%" PRIx64 "\n", "", pages,
               (uint64_t)last->u.page_data.gpa + IGVM_PAGE_SIZE);
    }
}

/// One line per header; pages that follow each other share one unless all is set.
static int dump_text(const struct igvm_file *file, bool all, struct igvm_error *error) {
    struct igvm_iter iter = igvm_iter_start(file);
    struct igvm_header last = {0};
    struct igvm_header header;
    size_t run = 0;
    int rc;

    printf("IGVM version %u, %s, page size %u, %zu bytes, headers [0x%x, 0x%x), checksum 0x%08x\n",
           file->format_version, file->architecture == IGVM_ARCH_X64 ? "x64" : "aarch64",
           file->page_size_bytes, file->size_bytes, file->headers_off, file->headers_end,
           file->checksum);
    for (size_t i = 0; (rc = igvm_iter_next(&iter, &header, error)) > 0; i++) {
        if (!all && run > 0 && continues(&last, &header)) {
            run++;
        } else {
            print_run(run, &last);
            print_header(i, &header);
            run = header.type == IGVM_VHT_PAGE_DATA ? 1 : 0;
            if (header.type == IGVM_VHT_VP_CONTEXT && header.desc != NULL) {
                print_context(file, &header);
            }
        }
        last = header;
    }
    print_run(run, &last);
    return rc;
}

int igvmtool_dump(int argc, char **argv) {
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"all", no_argument, NULL, 'a'}, {0}};
    struct igvmtool_error error = {""};
    struct igvm_error broken = {0};
    struct igvmtool_bytes bytes;
    struct igvm_file file;
    char line[384];
    bool json = false;
    bool all = false;
    int option;
    int rc;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == '?') {
            return IGVMTOOL_FAILED;
        }
        json |= option == 'j';
        all |= option == 'a';
    }
    if (argc - optind != 1) {
        igvmtool_error_set(&error, "dump needs one FILE");
        igvmtool_complain(&error);
        return IGVMTOOL_FAILED;
    }
    if (igvmtool_read_file(argv[optind], &bytes, &error) != 0) {
        igvmtool_complain(&error);
        return IGVMTOOL_FAILED;
    }
    // A file that breaks a rule of validation is still worth looking at, one without headers is
    // not.
    rc = igvm_open(&file, bytes.data, bytes.size_bytes, &broken);
    if (rc == 0) {
        rc = json ? dump_json(&file, stdout, &broken) : dump_text(&file, all, &broken);
    }
    if (rc == 0) {
        rc = igvm_validate(&file, &broken);
    }
    if (rc != 0) {
        igvm_error_format(&broken, line, sizeof(line));
        igvmtool_error_set(&error, "%s: %s", argv[optind], line);
        igvmtool_complain(&error);
    }
    igvmtool_bytes_free(&bytes);
    return rc == 0 ? IGVMTOOL_OK : IGVMTOOL_DIFFERS;
}
