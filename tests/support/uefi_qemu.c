// SPDX-License-Identifier: MIT
//
// QEMU's variable device by qtest (uefi_qemu.h).

#include "tests/support/uefi_qemu.h"

#include "igvm/base/bytes.h"
#include "igvm/base/check.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEVICE     0xFEF10000ull
#define BUFFER_GPA 0x100000ull
#define MAX_BYTES  0x10000u
#define LINE_BYTES (2 * MAX_BYTES + 64)

/// One command, its answer behind "OK". Check-fails when QEMU is gone.
static void ask(struct uefi_qemu *q, const char *command, char *answer, size_t room_bytes) {
    fprintf(q->to, "%s\n", command);
    fflush(q->to);
    do {
        CHECK(fgets(answer, (int)room_bytes, q->from) != NULL);
    } while (strncmp(answer, "IRQ", 3) == 0);
    CHECK(strncmp(answer, "OK", 2) == 0);
    memmove(answer, answer + 2, strlen(answer + 2) + 1);
}

static void write_register(struct uefi_qemu *q, char size, unsigned off, uint32_t value) {
    char command[64], answer[64];

    snprintf(command, sizeof(command), "write%c 0x%llx 0x%x", size, DEVICE + off, value);
    ask(q, command, answer, sizeof(answer));
}

static uint32_t read_register(struct uefi_qemu *q, char size, unsigned off) {
    char command[64], answer[64];

    snprintf(command, sizeof(command), "read%c 0x%llx", size, DEVICE + off);
    ask(q, command, answer, sizeof(answer));
    return (uint32_t)strtoull(answer, NULL, 0);
}

static void write_memory(struct uefi_qemu *q, const uint8_t *bytes, size_t size_bytes) {
    static char command[LINE_BYTES];
    char answer[64];
    int n = snprintf(command, sizeof(command), "write 0x%llx 0x%zx 0x", BUFFER_GPA, size_bytes);

    for (size_t i = 0; i < size_bytes; i++) {
        n += snprintf(command + n, sizeof(command) - (size_t)n, "%02x", bytes[i]);
    }
    ask(q, command, answer, sizeof(answer));
}

static void read_memory(struct uefi_qemu *q, uint8_t *bytes, size_t size_bytes) {
    static char answer[LINE_BYTES];
    char command[64];

    snprintf(command, sizeof(command), "read 0x%llx 0x%zx", BUFFER_GPA, size_bytes);
    ask(q, command, answer, sizeof(answer));
    for (size_t i = 0; i < size_bytes; i++) {
        unsigned byte;

        CHECK(sscanf(answer + 3 + 2 * i, "%2x", &byte) == 1);
        bytes[i] = (uint8_t)byte;
    }
}

int uefi_qemu_start(struct uefi_qemu *q, const char *command) {
    int to[2], from[2], json;
    char device[128];

    snprintf(q->state_path, sizeof(q->state_path), "/tmp/uefi-qemu-XXXXXX");
    json = mkstemp(q->state_path);
    if (json < 0 || pipe(to) < 0 || pipe(from) < 0) {
        return -errno;
    }
    close(json);
    snprintf(device, sizeof(device), "uefi-vars-x64,jsonfile=%s", q->state_path);
    q->pid = fork();
    if (q->pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        close(to[1]);
        close(from[0]);
        execlp(command, command, "-M", "pc", "-accel", "tcg", "-S", "-m", "64", "-nodefaults",
               "-display", "none", "-device", device, "-qtest", "stdio", "-qtest-log", "/dev/null",
               (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    q->to = fdopen(to[1], "w");
    q->from = fdopen(from[0], "r");
    if (read_register(q, 'w', 0) != 0x0EF1) {
        return -ENODEV;
    }
    write_register(q, 'w', 2, 1);
    write_register(q, 'l', 4, MAX_BYTES);
    write_register(q, 'l', 8, (uint32_t)BUFFER_GPA);
    write_register(q, 'l', 12, 0);
    return 0;
}

void uefi_qemu_stop(struct uefi_qemu *q) {
    fclose(q->to);
    fclose(q->from);
    kill(q->pid, SIGTERM);
    waitpid(q->pid, NULL, 0);
    unlink(q->state_path);
}

int uefi_qemu_call(struct uefi_qemu *q, uint8_t *message, size_t size_bytes) {
    uint64_t length = load_le64(message + 16);
    size_t used = length <= size_bytes - 24 ? 24 + (size_t)length : 24;

    CHECK(size_bytes <= MAX_BYTES);
    write_memory(q, message, used);
    write_register(q, 'w', 2, 2);
    switch (read_register(q, 'w', 2)) {
    case 0:
        read_memory(q, message, used);
        return 0;
    case 0x11:
        return -ENOTSUP;
    case 0x12:
        return -EMSGSIZE;
    default:
        return -EIO;
    }
}
