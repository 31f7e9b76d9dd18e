// SPDX-License-Identifier: MIT
//
// The guest's test program: command table, result lines and small helpers (see probe.h).

#include "tests/guest/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static unsigned failed_count;

static void report(const char *word, const char *name, const char *format, va_list args) {
    char line[512];
    int length = snprintf(line, sizeof(line), "PT %s %s ", word, name);
    int rest = vsnprintf(line + length, sizeof(line) - (size_t)length - 1, format, args);
    length += rest < (int)sizeof(line) - length - 1 ? rest : (int)sizeof(line) - length - 2;
    line[length++] = '\n';
    // One write per line: other writers to the console cannot split it.
    if (write(STDOUT_FILENO, line, (size_t)length) != length) {
        exit(2);
    }
}

void pass(const char *name, const char *format, ...) {
    va_list args;
    va_start(args, format);
    report("pass", name, format, args);
    va_end(args);
}

void fail(const char *name, const char *format, ...) {
    va_list args;
    va_start(args, format);
    report("fail", name, format, args);
    va_end(args);
    failed_count++;
}

void skip(const char *name, const char *format, ...) {
    va_list args;
    va_start(args, format);
    report("skip", name, format, args);
    va_end(args);
}

void check(bool ok, const char *name, const char *format, ...) {
    va_list args;
    va_start(args, format);
    report(ok ? "pass" : "fail", name, format, args);
    va_end(args);
    failed_count += !ok;
}

void value(const char *name, double number, const char *unit) {
    char line[160];
    int length = snprintf(line, sizeof(line), "PT value %s %.6g %s\n", name, number, unit);
    if (write(STDOUT_FILENO, line, (size_t)length) != length) {
        exit(2);
    }
}

bool report_failed(void) {
    return failed_count > 0;
}

long read_text(const char *path, char *text, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    size_t length = 0;
    ssize_t got = 0;
    while (length < size - 1 && (got = read(fd, text + length, size - 1 - length)) > 0) {
        length += (size_t)got;
    }
    long error = got < 0 ? -errno : 0;
    close(fd);
    if (length > 0 && text[length - 1] == '\n') {
        length--;
    }
    text[length] = 0;
    return error ? error : (long)length;
}

long read_number(const char *path, long missing) {
    char text[64];
    if (read_text(path, text, sizeof(text)) <= 0) {
        return missing;
    }
    return strtol(text, NULL, 0);
}

uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void sleep_ms(unsigned ms) {
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) < 0 && errno == EINTR) {
    }
}

uint64_t random_next(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dull;
}

/// Loads modules in the order given, which is the order of their dependencies.
int cmd_modules(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        int fd = open(argv[i], O_RDONLY | O_CLOEXEC);
        if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)) {
            fprintf(stderr, "%s: %s\n", argv[i], strerror(errno));
            failed_count++;
        }
        if (fd >= 0) {
            close(fd);
        }
    }
    return 0;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"modules", cmd_modules},
    {"smp", cmd_smp},
    {"memory", cmd_memory},
    {"pci", cmd_pci},
    {"rtc", cmd_rtc},
    {"pmtimer", cmd_pmtimer},
    {"acpi", cmd_acpi},
    {"rng", cmd_rng},
    {"serial", cmd_serial},
    {"button", cmd_button},
    {"tpm", cmd_tpm},
    {"tpm-extend", cmd_tpm_extend},
    {"tpm-fresh", cmd_tpm_fresh},
    {"tpm-garbage", cmd_tpm_garbage},
    {"tpm-state", cmd_tpm_state},
    {"disk", cmd_disk},
    {"disk-pattern", cmd_disk_pattern},
    {"disk-readonly", cmd_disk_readonly},
    {"disk-errors", cmd_disk_errors},
    {"disk-busy", cmd_disk_busy},
    {"hostile", cmd_hostile},
    {"bench-port", cmd_bench_port},
    {"bench-read", cmd_bench_read},
    {"bench-tpm", cmd_bench_tpm},
};

int main(int argc, char **argv) {
    for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            int status = commands[i].run(argc - 1, argv + 1);
            return status ? status : report_failed();
        }
    }
    fail("probe", "no command '%s'", argc > 1 ? argv[1] : "");
    return 2;
}
