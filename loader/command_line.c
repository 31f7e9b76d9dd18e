// SPDX-License-Identifier: MIT
//
// VTL2's kernel command line: measured part first, then the host's, if it may have one.
// Linux takes the last of contradicting parameters, so only images that trust their host allow it.

#include "loader/command_line.h"

#include <errno.h>
#include <string.h>

/// Finds the text between the blanks at both ends; NULL with *why set when it is not usable.
static const char *check_host(const char *host, size_t size_bytes, size_t *length,
                              const char **why) {
    size_t end = strnlen(host, size_bytes);

    if (end == size_bytes) {
        *why = "host's command line has no end: left out";
        return NULL;
    }
    for (size_t i = 0; i < end; i++) {
        if (host[i] < ' ' || host[i] > '~') {
            *why = "host's command line is not printable ASCII: left out";
            return NULL;
        }
    }
    while (end > 0 && host[0] == ' ') {
        host++;
        end--;
    }
    while (end > 0 && host[end - 1] == ' ') {
        end--;
    }
    *length = end;
    return host;
}

int command_line_merge(char *out, size_t out_size_bytes, const char *measured, const char *host,
                       size_t host_size_bytes, const char **why) {
    size_t count = strlen(measured);
    size_t host_count = 0;

    *why = NULL;
    if (count >= out_size_bytes) {
        if (out_size_bytes != 0) {
            out[0] = '\0';
        }
        return -ENAMETOOLONG;
    }
    memcpy(out, measured, count + 1);
    if (host == NULL) {
        return (int)count;
    }
    host = check_host(host, host_size_bytes, &host_count, why);
    if (host == NULL || host_count == 0) {
        return (int)count;
    }
    if (host_count + 2 > out_size_bytes - count) { // a blank and the NUL
        *why = "host's command line is too long: left out";
        return (int)count;
    }
    out[count++] = ' ';
    memcpy(out + count, host, host_count);
    count += host_count;
    out[count] = '\0';
    return (int)count;
}
