// SPDX-License-Identifier: MIT
//
// Pipes for the workers (workers_content.h).
#include "userspace/workers_content.h"

#include "igvm/base/log.h"
#include "userspace/vtpm_events.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIRMWARE_PCRS 8u // TCG PC Client Platform Firmware Profile, section 3.3.4
#define KERNEL_PCR    4u

/// Less than any pipe's capacity, so that nobody needs to read yet.
static int pipe_with(const void *bytes, size_t size_bytes, const char *what) {
    int ends[2];
    ssize_t put;

    if (pipe2(ends, O_CLOEXEC) < 0) {
        log_write(LOG_ERROR, "supervisor", "%s cannot be handed over: %s", what, strerror(errno));
        return -1;
    }
    put = write(ends[1], bytes, size_bytes);
    close(ends[1]);
    if (put != (ssize_t)size_bytes) {
        log_write(LOG_ERROR, "supervisor", "%s cannot be handed over", what);
        close(ends[0]);
        return -1;
    }
    return ends[0];
}

int workers_key_pipe(const struct config *config) {
    return pipe_with(config->state_key, config->state_key_bytes, "the guest state's key");
}

/// The lines of the events.
struct lines {
    char text[VTPM_EVENTS_BYTES];
    size_t size_bytes;
};

__attribute__((format(printf, 2, 3))) static void add(struct lines *l, const char *format, ...) {
    size_t room = sizeof(l->text) - l->size_bytes;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(l->text + l->size_bytes, room, format, args);
    va_end(args);
    l->size_bytes += n > 0 && (size_t)n < room ? (size_t)n : 0;
}

/// A payload of the image by its digest, a file of VTL2's own by its name: that one is measured
/// with VTL2.
static void add_payload(struct lines *l, unsigned pcr, const char *what, const char *path,
                        const struct host_payload *payload) {
    char hex[2 * sizeof(payload->sha384) + 1] = "";

    if (path[0] != '\0') {
        add(l, "%u %s file %s\n", pcr, what, path);
    } else if (payload->size_bytes != 0) {
        for (size_t i = 0; i < sizeof(payload->sha384); i++) {
            snprintf(hex + 2 * i, 3, "%02x", payload->sha384[i]);
        }
        add(l, "%u %s sha384 %s\n", pcr, what, hex);
    }
}

int workers_events_pipe(const struct config *config, const struct host_info *info) {
    static char command_line[2 * CONFIG_CMDLINE_BYTES];
    static struct lines lines;
    size_t piece = VTPM_EVENT_MAX_BYTES - sizeof("command line ");

    // Firmware's registers, closed: a guest that was started without could else put into them what
    // firmware measures, and unseal what was sealed to a start with Secure Boot. PCR 4 gets the
    // kernel.
    lines.size_bytes = 0;
    for (unsigned pcr = 0; pcr < FIRMWARE_PCRS; pcr++) {
        if (pcr != KERNEL_PCR) {
            add(&lines, "%u no firmware\n", pcr);
        }
    }
    add_payload(&lines, KERNEL_PCR, "kernel", config->kernel, &info->kernel);
    snprintf(command_line, sizeof(command_line), "%s%s%s", config->command_line,
             config->command_line_append[0] ? " " : "", config->command_line_append);
    for (size_t at = 0; at < strlen(command_line); at += piece) { // at most three: config_check()
        add(&lines, "9 command line %.*s\n", (int)piece, command_line + at);
    }
    if (config->kernel[0] == '\0' || config->initrd[0] != '\0') {
        add_payload(&lines, 9, "initrd", config->initrd, &info->initrd);
    }
    return pipe_with(lines.text, lines.size_bytes, "what is to be measured");
}
