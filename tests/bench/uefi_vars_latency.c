// SPDX-License-Identifier: MIT
//
// What a call of the variable service costs from the VM worker's thread to the variable process and
// back, beside a bare round trip of as many bytes between two processes.
//
//   uefi_vars_latency PARAPET [COUNT]  ->  lines "PT value NAME NANOSECONDS ns", the best of five

#include "igvm/base/bytes.h"
#include "igvm/base/log.h"
#include "userspace/uefi_vars_client.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define VALUE_BYTES 1024u
#define ROUNDS      5u

void log_write(enum log_level level, const char *area, const char *format, ...) {
    va_list arguments;

    (void)level;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", area);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

bool log_allowed(struct log_limit *limit, const char *area) {
    (void)limit;
    (void)area;
    return true;
}

static uint64_t now_ns(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/// GetVariable (1) or SetVariable (3) of "Bench" with this attribute word; its size.
static uint32_t put_call(uint8_t *m, uint64_t function, uint32_t attributes, uint8_t fill) {
    static const uint8_t service[16] = {0x33, 0xd5, 0x32, 0xed, 0xe6, 0x99, 0x09, 0x42,
                                        0x9c, 0xc0, 0x2d, 0x72, 0xcd, 0xd9, 0x98, 0xa7};
    static const char name[] = "Bench";
    uint8_t *a = m + 40;

    memset(m, 0, 40 + 36);
    memcpy(m, service, 16);
    store_le64(m + 16, 16 + 36 + 12 + VALUE_BYTES);
    store_le64(m + 24, function);
    store_le64(a + 16, VALUE_BYTES);
    store_le64(a + 24, 2 * sizeof(name));
    store_le32(a + 32, attributes);
    for (size_t i = 0; i < sizeof(name); i++) {
        store_le16(a + 36 + 2 * i, (uint8_t)name[i]);
    }
    memset(a + 36 + 12, fill, VALUE_BYTES);
    return 24 + 16 + 36 + 12 + VALUE_BYTES;
}

static void report(const char *name, uint64_t best_ns) {
    printf("PT value %s %llu ns\n", name, (unsigned long long)best_ns);
}

static int measure(struct uefi_vars_client *client, const char *name, uint64_t function,
                   uint32_t attributes, unsigned count) {
    static uint8_t message[UEFI_VARS_PAYLOAD_MAX_BYTES];
    uint64_t best = UINT64_MAX;

    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t start = now_ns(), ns;

        for (unsigned i = 0; i < count; i++) {
            put_call(message, function, attributes, (uint8_t)i);
            if (client->backend.call(&client->backend, message, sizeof(message)) != 0 ||
                load_le64(message + 32) != 0) {
                fprintf(stderr, "%s fails\n", name);
                return 1;
            }
        }
        ns = (now_ns() - start) / count;
        best = ns < best ? ns : best;
    }
    report(name, best);
    return 0;
}

/// As many bytes there and back, by a process that does nothing else.
static void measure_floor(unsigned count) {
    static uint8_t bytes[UEFI_VARS_PACKET_MAX_BYTES];
    const size_t size = UEFI_VARS_WIRE_HEADER_BYTES + 24 + 16 + 36 + 12 + VALUE_BYTES;
    uint64_t best = UINT64_MAX;
    int pair[2];
    pid_t child;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0 || (child = fork()) < 0) {
        return;
    }
    if (child == 0) {
        ssize_t n;

        close(pair[0]);
        while ((n = recv(pair[1], bytes, sizeof(bytes), 0)) > 0) {
            send(pair[1], bytes, (size_t)n, MSG_NOSIGNAL);
        }
        _exit(0);
    }
    close(pair[1]);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t start = now_ns(), ns;

        for (unsigned i = 0; i < count; i++) {
            if (send(pair[0], bytes, size, MSG_NOSIGNAL) < 0 ||
                recv(pair[0], bytes, sizeof(bytes), 0) != (ssize_t)size) {
                return;
            }
        }
        ns = (now_ns() - start) / count;
        best = ns < best ? ns : best;
    }
    close(pair[0]);
    waitpid(child, NULL, 0);
    report("uefi-vars-floor", best);
}

int main(int argc, char **argv) {
    unsigned count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 2000;
    static struct uefi_vars_client client;
    int pair[2], r;
    pid_t child;

    if (argc < 2 || count == 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0) {
        return 2;
    }
    child = fork();
    if (child == 0) {
        char option[32];

        close(pair[0]);
        snprintf(option, sizeof(option), "--socket=%d", pair[1]);
        execl(argv[1], "uefi-vars", option, (char *)NULL);
        _exit(127);
    }
    close(pair[1]);
    measure_floor(count);
    uefi_vars_client_init(&client, pair[0]);
    r = measure(&client, "uefi-vars-set", 3, 7, count);
    r = r == 0 ? measure(&client, "uefi-vars-get", 1, 0, count) : r;
    uefi_vars_client_close(&client);
    waitpid(child, NULL, 0);
    return r;
}
