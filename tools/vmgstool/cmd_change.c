// SPDX-License-Identifier: MIT
//
// vmgstool: the commands that change: create, write, delete, encrypt, rekey, repair.

#include "tools/vmgstool/tool.h"

#include "igvm/base/types.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_INPUT_BYTES (1ull << 30)

int vmgstool_create(int argc, char **argv) {
    struct vmgstool_options options;
    struct vmgstool_image image;
    int result;
    int fd;

    if (vmgstool_parse(argc, argv, VMGSTOOL_TAKES_KEY | VMGSTOOL_TAKES_CREATE, &options) != 0) {
        return VMGSTOOL_FAILED;
    }
    fd = open(options.image, O_RDWR | O_CREAT | O_CLOEXEC | (options.force ? 0 : O_EXCL), 0600);
    if (fd < 0) {
        vmgstool_say("%s: cannot create: %s%s", options.image, strerror(errno),
                     errno == EEXIST ? " (--force takes it anyway)" : "");
        return VMGSTOOL_FAILED;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        vmgstool_say("%s: is in use by another program", options.image);
        close(fd);
        return VMGSTOOL_FAILED;
    }
    if (ftruncate(fd, (off_t)options.size_bytes) != 0) {
        vmgstool_say("%s: cannot make it %llu bytes: %s", options.image,
                     (unsigned long long)options.size_bytes, strerror(errno));
        close(fd);
        return VMGSTOOL_FAILED;
    }
    close(fd);
    options.sector_bytes = options.sector_bytes != 0 ? options.sector_bytes : 512;
    if (vmgstool_attach(&image, &options, true) != 0) {
        return VMGSTOOL_FAILED;
    }
    result = vmgstool_result(&image, vmgs_create(&image.vmgs, &image.disk));
    if (result == VMGSTOOL_OK && options.has_key) {
        result = vmgstool_result(&image, vmgs_encrypt(&image.vmgs, options.key));
    }
    if (result == VMGSTOOL_OK && options.has_key) { // both headers know the key
        result = vmgstool_result(&image, vmgs_renew(&image.vmgs));
    }
    vmgstool_close(&image);
    return result;
}

uint8_t *vmgstool_take_in(const char *path, size_t *size_bytes) {
    uint8_t *bytes = NULL;
    struct stat info;
    FILE *file = fopen(path, "rbe");

    if (file == NULL || fstat(fileno(file), &info) != 0) {
        vmgstool_say("%s: cannot open: %s", path, strerror(errno));
    } else if (!S_ISREG(info.st_mode) || (uint64_t)info.st_size > MAX_INPUT_BYTES) {
        vmgstool_say("%s: is not a regular file of at most 1 GiB", path);
    } else {
        *size_bytes = (size_t)info.st_size;
        bytes = malloc(*size_bytes + 1);
        if (bytes == NULL || fread(bytes, 1, *size_bytes, file) != *size_bytes) {
            vmgstool_say("%s: cannot read", path);
            free(bytes);
            bytes = NULL;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return bytes;
}

int vmgstool_write(int argc, char **argv) {
    struct vmgstool_options options;
    struct vmgstool_image image;
    uint8_t *bytes;
    size_t size = 0;
    unsigned flags;
    int result;

    if (vmgstool_parse(argc, argv,
                       VMGSTOOL_TAKES_ID | VMGSTOOL_TAKES_KEY | VMGSTOOL_TAKES_INPUT |
                           VMGSTOOL_TAKES_PLAIN,
                       &options) != 0) {
        return VMGSTOOL_FAILED;
    }
    if (options.input == NULL) {
        vmgstool_say("write: -i IN is missing");
        return VMGSTOOL_FAILED;
    }
    bytes = vmgstool_take_in(options.input, &size);
    if (bytes == NULL) {
        return VMGSTOOL_FAILED;
    }
    result = vmgstool_open(&image, &options, true);
    if (result == VMGSTOOL_OK) {
        flags = (options.has_key && !options.plain ? VMGS_WRITE_ENCRYPT : 0u) |
                (options.expose ? (unsigned)VMGS_WRITE_EXPOSE : 0u);
        result = vmgstool_result(
            &image, vmgs_write(&image.vmgs, (uint32_t)options.file_id, bytes, size, flags));
        vmgstool_close(&image);
    }
    free(bytes);
    return result;
}

int vmgstool_delete(int argc, char **argv) {
    struct vmgstool_options options;
    struct vmgstool_image image;
    int result;

    if (vmgstool_parse(argc, argv, VMGSTOOL_TAKES_ID | VMGSTOOL_TAKES_KEY, &options) != 0) {
        return VMGSTOOL_FAILED;
    }
    result = vmgstool_open(&image, &options, true);
    if (result == VMGSTOOL_OK) {
        result = vmgstool_result(&image, vmgs_delete(&image.vmgs, (uint32_t)options.file_id));
        vmgstool_close(&image);
    }
    return result;
}

/// Files that are read before there is a key, to get at it, or to tell where the file comes from.
static bool stays_plain(uint32_t file_id) {
    return file_id == VMGS_KEY_PROTECTOR || file_id == VMGS_VM_UNIQUE_ID ||
           file_id == VMGS_HW_KEY_PROTECTOR || file_id == VMGS_PROVENANCE_DOC ||
           file_id == VMGS_PROVISIONING_MARKER;
}

/// Writes a plain file again, encrypted.
static int encrypt_file(struct vmgs *vmgs, uint32_t file_id) {
    struct vmgs_file_info info;
    uint8_t *bytes;
    size_t size;
    int rc = vmgs_stat(vmgs, file_id, &info);

    if (rc == -ENOENT || (rc == 0 && (info.encrypted || stays_plain(file_id)))) {
        return 0;
    }
    bytes = rc == 0 ? malloc(info.size_bytes + 1) : NULL;
    if (bytes == NULL) {
        return rc != 0 ? rc : -ENOMEM;
    }
    rc = vmgs_read(vmgs, file_id, bytes, info.size_bytes, &size);
    if (rc == 0) {
        rc = vmgs_write(vmgs, file_id, bytes, size, VMGS_WRITE_ENCRYPT);
    }
    free(bytes);
    return rc;
}

int vmgstool_encrypt(int argc, char **argv) {
    struct vmgstool_options options;
    struct vmgstool_image image;
    int rc = 0;
    int result;
    bool has_key;

    if (vmgstool_parse(argc, argv, VMGSTOOL_TAKES_KEY, &options) != 0) {
        return VMGSTOOL_FAILED;
    }
    if (!options.has_key) {
        vmgstool_say("encrypt: --key KEYFILE is missing");
        return VMGSTOOL_FAILED;
    }
    has_key = options.has_key;
    options.has_key = false; // an image that is not encrypted cannot be unlocked
    result = vmgstool_open(&image, &options, true);
    options.has_key = has_key;
    if (result != VMGSTOOL_OK) {
        return result;
    }
    // An interrupted run is taken up: then the key is there already.
    rc = vmgs_encrypted(&image.vmgs) ? vmgs_unlock(&image.vmgs, options.key)
                                     : vmgs_encrypt(&image.vmgs, options.key);
    for (uint32_t i = 1; rc == 0 && i < VMGS_EXTENDED_FILE_TABLE; i++) {
        rc = encrypt_file(&image.vmgs, i);
    }
    if (rc == 0) {
        rc = vmgs_scrub(&image.vmgs);
    }
    result = vmgstool_result(&image, rc);
    vmgstool_close(&image);
    return result;
}

int vmgstool_rekey(int argc, char **argv) {
    struct vmgstool_options options;
    struct vmgstool_image image;
    int result;

    if (vmgstool_parse(argc, argv, VMGSTOOL_TAKES_KEY | VMGSTOOL_TAKES_NEW_KEY, &options) != 0) {
        return VMGSTOOL_FAILED;
    }
    if (!options.has_key || !options.has_new_key) {
        vmgstool_say("rekey: --key and --new-key are both needed");
        return VMGSTOOL_FAILED;
    }
    result = vmgstool_open(&image, &options, true);
    if (result == VMGSTOOL_OK) {
        result = vmgstool_result(&image, vmgs_rekey(&image.vmgs, options.new_key));
        vmgstool_close(&image);
    }
    return result;
}

static void on_found(void *context, const struct vmgs_error *error) {
    unsigned *count = context;
    char line[256];

    if (error->file_id == VMGS_NO_FILE) {
        return; // the other header: repair writes it anew
    }
    vmgs_error_format(error, line, sizeof(line));
    printf("%s\n", line);
    (*count)++;
}

/// Whether a header's state is whole, as far as the key (if any) lets us see.
static bool is_whole(struct vmgstool_image *image, const struct vmgstool_options *options,
                     unsigned idx) {
    unsigned bad_files = 0;
    char line[256];
    int rc = vmgs_open_header(&image->vmgs, &image->disk, idx);

    if (rc == 0 && options->has_key && vmgs_encrypted(&image->vmgs)) {
        rc = vmgs_unlock(&image->vmgs, options->key);
    }
    if (rc != 0) {
        vmgs_error_format(&image->vmgs.error, line, sizeof(line));
        printf("header %u: %s\n", idx, line);
        return false;
    }
    (void)vmgs_check(&image->vmgs, on_found, &bad_files);
    printf("header %u: %s\n", idx, bad_files == 0 ? "whole" : "damaged files");
    return bad_files == 0;
}

int vmgstool_repair(int argc, char **argv) {
    struct vmgstool_options options;
    struct vmgstool_image image;
    bool whole[2];
    unsigned newest;
    unsigned chosen;
    int result;

    if (vmgstool_parse(argc, argv, VMGSTOOL_TAKES_KEY | VMGSTOOL_TAKES_OLDER, &options) != 0 ||
        vmgstool_attach(&image, &options, true) != 0) {
        return VMGSTOOL_FAILED;
    }
    // The header that opening chooses, else the valid one with the greater number.
    newest = 0;
    if (vmgs_open(&image.vmgs, &image.disk) == 0) {
        newest = image.vmgs.now.header_idx;
    } else if (vmgs_open_header(&image.vmgs, &image.disk, 1) == 0) {
        const uint32_t sequence = image.vmgs.now.sequence;

        newest = vmgs_open_header(&image.vmgs, &image.disk, 0) != 0 ||
                 (int32_t)(sequence - image.vmgs.now.sequence) > 0;
    }
    for (unsigned i = 0; i < 2; i++) {
        whole[i] = is_whole(&image, &options, i);
    }
    if (!whole[0] && !whole[1]) {
        vmgstool_say("%s: neither header's state is whole: nothing was changed", image.path);
        vmgstool_close(&image);
        return VMGSTOOL_DAMAGED;
    }
    chosen = whole[newest] ? newest : !newest;
    if (chosen != newest && !options.older) {
        vmgstool_say("%s: only the older state (header %u) is whole; --older goes back to it",
                     image.path, chosen);
        vmgstool_close(&image);
        return VMGSTOOL_DAMAGED;
    }
    result = vmgstool_result(&image, vmgs_open_header(&image.vmgs, &image.disk, chosen));
    if (result == VMGSTOOL_OK && options.has_key && vmgs_encrypted(&image.vmgs)) {
        result = vmgstool_result(&image, vmgs_unlock(&image.vmgs, options.key));
    }
    for (unsigned i = 0; i < 2 && result == VMGSTOOL_OK; i++) { // both headers
        result = vmgstool_result(&image, vmgs_renew(&image.vmgs));
    }
    if (result == VMGSTOOL_OK) {
        printf("%s: both headers now hold the state of header %u\n", image.path, chosen);
    }
    vmgstool_close(&image);
    return result;
}
