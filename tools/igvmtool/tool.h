// SPDX-License-Identifier: MIT
//
// igvmtool: what its commands share: exit codes, error text, files.
#pragma once

#include "igvm/igvm.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/// Exit codes, as the manual page documents them.
enum igvmtool_exit {
    IGVMTOOL_OK = 0,
    IGVMTOOL_DIFFERS = 1, // diff: the files differ; check: the file is invalid
    IGVMTOOL_FAILED = 2,  // usage, I/O, a manifest that cannot be built
};

/// One line for the user: what is wrong, where, and the way out.
struct igvmtool_error {
    char text[512];
};

/// Bytes on the heap; data is NULL or to be released with igvmtool_bytes_free().
struct igvmtool_bytes {
    uint8_t *data;
    size_t size_bytes;
};

/// Fills *error (cut off at its size). Always returns -EINVAL, so that callers can return it.
int igvmtool_error_set(struct igvmtool_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/// Reads a whole file of at most 4 GiB. 0, or -EIO with *error filled and *bytes empty.
int igvmtool_read_file(const char *path, struct igvmtool_bytes *bytes,
                       struct igvmtool_error *error);

/// Writes a file so that a reader sees the old contents or all of the new: a temporary file beside
/// it, then rename. 0, or -EIO with *error filled and the old file untouched.
int igvmtool_write_file(const char *path, const void *data, size_t size_bytes,
                        struct igvmtool_error *error);

void igvmtool_bytes_free(struct igvmtool_bytes *bytes);

/// Opens and validates an IGVM file from disk; bytes back the view. 0, -EIO (cannot be read), or
/// -EINVAL (invalid); with *error filled.
int igvmtool_open_image(const char *path, struct igvmtool_bytes *bytes, struct igvm_file *file,
                        struct igvmtool_error *error);

/// Whether what a valid file imports keeps apart, for each of its platforms; out, if not NULL, gets
/// a line per platform. 0, or -EINVAL/-ENOMEM with *error filled.
int igvmtool_check_overlaps(const char *path, const struct igvm_file *file, FILE *out,
                            struct igvmtool_error *error);

/// Parses "4096", "0x1000", "4K", "2M", "1G". 0, or -EINVAL.
int igvmtool_parse_number(const char *text, uint64_t *value);

/// Prints "igvmtool: text" on stderr.
void igvmtool_complain(const struct igvmtool_error *error);

/// The commands: argv[0] is the command's name. Each returns an exit code.
int igvmtool_build(int argc, char **argv);
int igvmtool_dump(int argc, char **argv);
int igvmtool_check(int argc, char **argv);
int igvmtool_diff(int argc, char **argv);
int igvmtool_extract(int argc, char **argv);
int igvmtool_measure(int argc, char **argv);
