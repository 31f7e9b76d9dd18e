// SPDX-License-Identifier: MIT
//
// vmgstool: what its commands share: exit codes, options, the file as a disk.
#pragma once

#include "userspace/vmgs/vmgs.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/// Exit codes, as the manual page documents them.
enum vmgstool_exit {
    VMGSTOOL_OK = 0,
    VMGSTOOL_DAMAGED =
        1,               // a rule of the format is broken, or something was changed without the key
    VMGSTOOL_FAILED = 2, // usage, input or output
    VMGSTOOL_MISSING = 3, // there is no such file in it
    VMGSTOOL_KEY = 4,     // a key is needed, wrong or not to be given
    VMGSTOOL_EMPTY = 5,   // empty, or of version 1
    VMGSTOOL_SPACE = 6,   // no room
};

/// The options of a command line. Texts are the caller's argv.
struct vmgstool_options {
    const char *image;
    int file_id; // -1: none
    const char *input;
    const char *output;
    uint64_t size_bytes;
    uint32_t sector_bytes; // 0: look
    bool has_key;
    bool has_new_key;
    bool json;
    bool plain;
    bool expose;
    bool older;
    bool force;
    bool replace;
    uint8_t key[VMGS_KEY_BYTES];
    uint8_t new_key[VMGS_KEY_BYTES];
};

/// An open image.
struct vmgstool_image {
    int fd;
    const char *path;
    struct vmgs_disk disk;
    struct vmgs vmgs;
};

/// What a command takes, for vmgstool_parse().
enum vmgstool_takes {
    VMGSTOOL_TAKES_ID = 1u << 0,
    VMGSTOOL_TAKES_KEY = 1u << 1,
    VMGSTOOL_TAKES_NEW_KEY = 1u << 2,
    VMGSTOOL_TAKES_JSON = 1u << 3,
    VMGSTOOL_TAKES_INPUT = 1u << 4,
    VMGSTOOL_TAKES_OUTPUT = 1u << 5,
    VMGSTOOL_TAKES_CREATE = 1u << 6, // --size, --force
    VMGSTOOL_TAKES_PLAIN = 1u << 7,  // --plain, --expose
    VMGSTOOL_TAKES_OLDER = 1u << 8,
    VMGSTOOL_TAKES_REPLACE = 1u << 9,
};

/// Prints "vmgstool: …" on stderr.
void vmgstool_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/// Parses IMAGE [ID] and options. 0, or -EINVAL with the reason printed.
int vmgstool_parse(int argc, char **argv, unsigned takes, struct vmgstool_options *options);

/// A number with an optional suffix K, M or G. 0 or -EINVAL.
int vmgstool_number(const char *text, uint64_t *value);

/// Opens the image's file as a disk, locked against other writers; the file system is not opened
/// yet. 0, or -EIO with the reason printed.
int vmgstool_attach(struct vmgstool_image *image, const struct vmgstool_options *options,
                    bool writable);

/// vmgstool_attach() and vmgs_open() and, when a key was given, vmgs_unlock(). An exit code; the
/// reason is printed.
int vmgstool_open(struct vmgstool_image *image, const struct vmgstool_options *options,
                  bool writable);
void vmgstool_close(struct vmgstool_image *image);

/// A whole input file for free(); NULL with the reason printed.
uint8_t *vmgstool_take_in(const char *path, size_t *size_bytes);

/// Writes to a file readable by its owner only, or to standard output (path NULL). An exit code;
/// the reason is printed.
int vmgstool_put_out(const char *path, const uint8_t *bytes, size_t size_bytes);

/// Prints the library's error for rc and returns the exit code for it (0 for rc >= 0).
int vmgstool_result(const struct vmgstool_image *image, int rc);

/// "TPM_NVRAM", or "file 12".
const char *vmgstool_file_label(uint32_t file_id, char *room, size_t size_bytes);

/// The commands: argv[0] is the command's name. Each returns an exit code.
int vmgstool_create(int argc, char **argv);
int vmgstool_list(int argc, char **argv);
int vmgstool_dump(int argc, char **argv);
int vmgstool_read(int argc, char **argv);
int vmgstool_write(int argc, char **argv);
int vmgstool_delete(int argc, char **argv);
int vmgstool_encrypt(int argc, char **argv);
int vmgstool_rekey(int argc, char **argv);
int vmgstool_check(int argc, char **argv);
int vmgstool_repair(int argc, char **argv);
int vmgstool_uefi_vars(int argc, char **argv);
