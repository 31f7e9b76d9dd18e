// SPDX-License-Identifier: MIT
//
// vmgstool: the commands that only look: list, dump, read, check.

#include "tools/vmgstool/tool.h"

#include "igvm/base/types.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print_json_name(uint32_t file_id) {
    const char *name = vmgs_file_name(file_id);

    if (name != NULL) {
        printf("\"%s\"", name);
    } else {
        printf("null");
    }
}

/// One line (or JSON object) per file. Returns how many there are.
static unsigned print_files(struct vmgs *vmgs, bool json) {
    unsigned count = 0;
    char room[16];

    for (uint32_t i = 1; i < VMGS_EXTENDED_FILE_TABLE; i++) {
        struct vmgs_file_info info = {0};
        const int rc = vmgs_stat(vmgs, i, &info);

        if (rc == -ENOENT) {
            continue;
        }
        if (json) {
            printf("%s\n    {\"id\": %u, \"name\": ", count == 0 ? "" : ",", (unsigned)i);
            print_json_name(i);
            printf(", \"size\": %llu, \"allocated\": %llu, \"offset\": %llu, \"encrypted\": %s, "
                   "\"removed_without_key\": %s}",
                   (unsigned long long)info.size_bytes, (unsigned long long)info.allocated_bytes,
                   (unsigned long long)info.offset, info.encrypted ? "true" : "false",
                   rc != 0 ? "true" : "false");
        } else if (rc != 0) {
            printf("%2u  %-19s  removed without the key\n", (unsigned)i,
                   vmgstool_file_label(i, room, sizeof(room)));
        } else {
            printf("%2u  %-19s %10llu bytes at 0x%llx%s\n", (unsigned)i,
                   vmgstool_file_label(i, room, sizeof(room)), (unsigned long long)info.size_bytes,
                   (unsigned long long)info.offset, info.encrypted ? "  encrypted" : "");
        }
        count++;
    }
    return count;
}

int vmgstool_list(int argc, char **argv) {
    struct vmgstool_options options;
    struct vmgstool_image image;
    int result;

    if (vmgstool_parse(argc, argv, VMGSTOOL_TAKES_KEY | VMGSTOOL_TAKES_JSON, &options) != 0) {
        return VMGSTOOL_FAILED;
    }
    result = vmgstool_open(&image, &options, false);
    if (result != VMGSTOOL_OK) {
        return result;
    }
    if (options.json) {
        printf("{\n  \"encrypted\": %s,\n  \"files\": [",
               vmgs_encrypted(&image.vmgs) ? "true" : "false");
    }
    (void)print_files(&image.vmgs, options.json);
    if (options.json) {
        puts("\n  ]\n}");
    }
    vmgstool_close(&image);
    return VMGSTOOL_OK;
}

/// What stands in a header, valid or not: the caller opens it for the verdict.
static void print_header(struct vmgstool_image *image, unsigned idx, bool json) {
    const uint64_t off = (uint64_t)idx * image->disk.sector_bytes;
    const int rc = vmgs_open_header(&image->vmgs, &image->disk, idx);
    const struct vmgs_state *state = &image->vmgs.now;
    uint8_t sector[VMGS_BLOCK_BYTES] = {0};
    struct vmgs_wire_header header;

    (void)image->disk.read(image->disk.context, off, sector, image->disk.sector_bytes);
    memcpy(&header, sector, sizeof(header));
    if (json) {
        printf("    {\"index\": %u, \"offset\": %llu, \"valid\": %s, \"rule\": \"%s\", "
               "\"sequence\": %u, "
               "\"file_table\": %llu, \"algorithm\": %u, \"markers\": %u, \"key_slots\": [",
               idx, (unsigned long long)off, rc == 0 ? "true" : "false",
               rc == 0 ? "" : vmgs_rule_text(image->vmgs.error.code), (unsigned)header.sequence,
               (unsigned long long)header.table_block * VMGS_BLOCK_BYTES, header.algorithm,
               header.markers);
    } else {
        printf(
            "header %u at 0x%llx: sequence %u, file table at 0x%llx, algorithm %u, markers 0x%x, "
            "key slots",
            idx, (unsigned long long)off, (unsigned)header.sequence,
            (unsigned long long)header.table_block * VMGS_BLOCK_BYTES, header.algorithm,
            header.markers);
    }
    for (unsigned i = 0; i < VMGS_KEY_SLOTS; i++) {
        static const uint8_t zero[VMGS_KEY_BYTES];
        const bool used = memcmp(header.keys[i].key, zero, sizeof(zero)) != 0;

        printf(json ? "%s%s" : "%s %s", json && i != 0 ? ", " : "",
               json ? (used ? "true" : "false") : (used ? "used" : "empty"));
    }
    if (json) {
        printf("]}%s\n", idx == 0 ? "," : "");
    } else if (rc == 0) {
        printf("; tables at 0x%llx and 0x%llx\n",
               (unsigned long long)state->files[VMGS_FILE_TABLE].block * VMGS_BLOCK_BYTES,
               (unsigned long long)state->files[VMGS_EXTENDED_FILE_TABLE].block * VMGS_BLOCK_BYTES);
    } else {
        printf("; INVALID: %s\n", vmgs_rule_text(image->vmgs.error.code));
    }
}

int vmgstool_dump(int argc, char **argv) {
    struct vmgstool_options options;
    struct vmgstool_image image;
    int result;

    if (vmgstool_parse(argc, argv, VMGSTOOL_TAKES_JSON, &options) != 0 ||
        vmgstool_attach(&image, &options, false) != 0) {
        return VMGSTOOL_FAILED;
    }
    printf(options.json ? "{\n  \"capacity\": %llu,\n  \"sector\": %u,\n  \"headers\": [\n"
                        : "capacity %llu bytes, sectors of %u bytes\n",
           (unsigned long long)image.disk.size_bytes, (unsigned)image.disk.sector_bytes);
    for (unsigned i = 0; i < 2; i++) {
        print_header(&image, i, options.json);
    }
    result = vmgstool_result(&image, vmgs_open(&image.vmgs, &image.disk));
    if (options.json) {
        printf("  ],\n  \"active_header\": %d,\n  \"files\": [",
               result == VMGSTOOL_OK ? (int)image.vmgs.now.header_idx : -1);
    } else if (result == VMGSTOOL_OK) {
        printf("header %u holds the present state\n", image.vmgs.now.header_idx);
    }
    if (result == VMGSTOOL_OK) {
        (void)print_files(&image.vmgs, options.json);
    }
    if (options.json) {
        puts("\n  ]\n}");
    }
    vmgstool_close(&image);
    return result;
}

int vmgstool_put_out(const char *path, const uint8_t *bytes, size_t size_bytes) {
    FILE *out = stdout;
    int fd;

    if (path != NULL) {
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        out = fd < 0 ? NULL : fdopen(fd, "wb");
    }
    if (out == NULL) {
        vmgstool_say("%s: cannot open: %s", path, strerror(errno));
        return VMGSTOOL_FAILED;
    }
    if (fwrite(bytes, 1, size_bytes, out) != size_bytes || fflush(out) != 0) {
        vmgstool_say("%s: cannot write: %s", path == NULL ? "output" : path, strerror(errno));
        if (out != stdout) {
            fclose(out);
        }
        return VMGSTOOL_FAILED;
    }
    return out != stdout && fclose(out) != 0 ? VMGSTOOL_FAILED : VMGSTOOL_OK;
}

int vmgstool_read(int argc, char **argv) {
    struct vmgstool_options options;
    struct vmgstool_image image;
    struct vmgs_file_info info;
    uint8_t *bytes = NULL;
    size_t size;
    int result;

    if (vmgstool_parse(argc, argv, VMGSTOOL_TAKES_ID | VMGSTOOL_TAKES_KEY | VMGSTOOL_TAKES_OUTPUT,
                       &options) != 0) {
        return VMGSTOOL_FAILED;
    }
    result = vmgstool_open(&image, &options, false);
    if (result != VMGSTOOL_OK) {
        return result;
    }
    result = vmgstool_result(&image, vmgs_stat(&image.vmgs, (uint32_t)options.file_id, &info));
    if (result == VMGSTOOL_OK) {
        bytes = malloc(info.size_bytes + 1); // at most the disk's size
        if (bytes == NULL) {
            vmgstool_say("no memory for %llu bytes", (unsigned long long)info.size_bytes);
            result = VMGSTOOL_FAILED;
        }
    }
    if (result == VMGSTOOL_OK) {
        result = vmgstool_result(&image, vmgs_read(&image.vmgs, (uint32_t)options.file_id, bytes,
                                                   info.size_bytes, &size));
    }
    if (result == VMGSTOOL_OK) {
        result = vmgstool_put_out(options.output, bytes, size);
    }
    free(bytes);
    vmgstool_close(&image);
    return result;
}

struct findings {
    bool json;
    unsigned count;
};

static void on_found(void *context, const struct vmgs_error *error) {
    struct findings *findings = context;
    char line[256];

    vmgs_error_format(error, line, sizeof(line));
    if (findings->json) {
        printf("%s\n    {\"file\": %d, \"offset\": %llu, \"rule\": \"%s\"}",
               findings->count == 0 ? "" : ",",
               error->file_id == VMGS_NO_FILE ? -1 : (int)error->file_id,
               (unsigned long long)error->offset, vmgs_rule_text(error->code));
    } else {
        printf("%s\n", line);
    }
    findings->count++;
}

int vmgstool_check(int argc, char **argv) {
    struct vmgstool_options options;
    struct vmgstool_image image;
    struct findings findings = {0};
    int result;

    if (vmgstool_parse(argc, argv, VMGSTOOL_TAKES_KEY | VMGSTOOL_TAKES_JSON, &options) != 0) {
        return VMGSTOOL_FAILED;
    }
    result = vmgstool_open(&image, &options, false);
    if (result != VMGSTOOL_OK) {
        return result;
    }
    findings.json = options.json;
    if (options.json) {
        printf("{\n  \"findings\": [");
    }
    (void)vmgs_check(&image.vmgs, on_found, &findings);
    if (options.json) {
        printf("\n  ],\n  \"verified\": %s\n}\n", image.vmgs.now.unlocked ? "true" : "false");
    } else if (findings.count == 0) {
        printf("%s: no rule is broken%s\n", image.path,
               image.vmgs.now.unlocked ? ""
               : vmgs_encrypted(&image.vmgs)
                   ? " (encrypted files were not looked into: no key)"
                   : " (nothing is encrypted: contents cannot be verified)");
    }
    vmgstool_close(&image);
    return findings.count == 0 ? VMGSTOOL_OK : VMGSTOOL_DAMAGED;
}
