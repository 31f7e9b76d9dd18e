// SPDX-License-Identifier: MIT
//
// The vTPM process for real: forked, confined, driven over its socket. TPM commands and their
// persistence, garbage on the socket, kills at random moments, corrupted state.

#include "igvm/base/bytes.h"
#include "tests/support/tpm_commands.h"
#include "userspace/vtpm.h"
#include "userspace/vtpm_protocol.h"
#include "userspace/vtpm_store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define TIMEOUT_MS 60000
#define NV_INDEX   0x01500001u

struct fixture {
    char dir[64];
    char state[96];
    pid_t pid;
    int fd;
    uint32_t sequence;
    uint32_t ready_status;
    uint8_t response[VTPM_MESSAGE_MAX_BYTES];
    size_t response_bytes;
    uint64_t random;
};

static uint64_t next_random(struct fixture *f) {
    f->random ^= f->random << 13;
    f->random ^= f->random >> 7;
    f->random ^= f->random << 17;
    return f->random;
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));

    snprintf(f->dir, sizeof(f->dir), "/tmp/parapet-vtpm-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->state, sizeof(f->state), "%s/state", f->dir);
    f->fd = -1;
    f->random = 0x9E3779B97F4A7C15;
    *state = f;
    return 0;
}

/// Closes our end; the process must end by itself with 0.
static void stop(struct fixture *f) {
    int status;

    close(f->fd);
    f->fd = -1;
    assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
    f->pid = 0;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void kill_now(struct fixture *f) {
    kill(f->pid, SIGKILL);
    waitpid(f->pid, NULL, 0);
    close(f->fd);
    f->fd = -1;
    f->pid = 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;

    if (f->pid > 0) {
        kill_now(f);
    }
    unlink(f->state);
    rmdir(f->dir);
    free(f);
    return 0;
}

static void receive(struct fixture *f, struct vtpm_message *m) {
    struct pollfd p = {.fd = f->fd, .events = POLLIN};
    ssize_t n;

    assert_int_equal(poll(&p, 1, TIMEOUT_MS), 1);
    n = recv(f->fd, f->response, sizeof(f->response), 0);
    assert_true(n > 0);
    assert_int_equal(vtpm_message_parse(f->response, (size_t)n, VTPM_TO_CLIENT, m), 0);
    f->response_bytes = m->payload_bytes;
}

/// Starts the process; extra is a further option or NULL.
static void start(struct fixture *f, const char *extra) {
    char socket_arg[32];
    char state_arg[128];
    struct vtpm_message ready;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    f->pid = fork();
    assert_true(f->pid >= 0);
    if (f->pid == 0) {
        char *argv[] = {"vtpm", socket_arg, state_arg, (char *)(uintptr_t)extra, NULL};

        close(pair[0]);
        snprintf(socket_arg, sizeof(socket_arg), "--socket=%d", pair[1]);
        snprintf(state_arg, sizeof(state_arg), "--state=%s", f->state);
        _exit(vtpm_main(extra ? 4 : 3, argv));
    }
    close(pair[1]);
    f->fd = pair[0];
    receive(f, &ready);
    assert_int_equal(ready.op, VTPM_READY);
    f->ready_status = ready.status;
}

static void send_command(struct fixture *f, const struct tpm_command *c) {
    uint8_t out[VTPM_MESSAGE_MAX_BYTES];
    size_t n = vtpm_message_format(out, &(struct vtpm_message){.op = VTPM_COMMAND,
                                                               .sequence = ++f->sequence,
                                                               .payload = c->bytes,
                                                               .payload_bytes = c->size_bytes});

    assert_int_equal(send(f->fd, out, n, MSG_NOSIGNAL), n);
}

static void send_plain(struct fixture *f, enum vtpm_op op, uint32_t sequence) {
    uint8_t out[VTPM_MESSAGE_MAX_BYTES];
    size_t n = vtpm_message_format(out, &(struct vtpm_message){.op = op, .sequence = sequence});

    assert_int_equal(send(f->fd, out, n, MSG_NOSIGNAL), n);
}

static const uint8_t *response(const struct fixture *f) {
    return f->response + VTPM_HEADER_BYTES;
}

/// Sends a command and returns its response code.
static uint32_t run(struct fixture *f, struct tpm_command c) {
    struct vtpm_message m;

    send_command(f, &c);
    receive(f, &m);
    assert_int_equal(m.op, VTPM_COMMAND_DONE);
    assert_int_equal(m.sequence, f->sequence);
    assert_int_equal(m.status, 0);
    return tpm_rc(response(f), f->response_bytes);
}

static void power_cycle(struct fixture *f) {
    struct vtpm_message m;

    send_plain(f, VTPM_POWER_CYCLE, ++f->sequence);
    receive(f, &m);
    assert_int_equal(m.op, VTPM_POWER_CYCLE_DONE);
    assert_int_equal(m.sequence, f->sequence);
    assert_int_equal(m.status, 0);
}

/// First bytes of the digest that PCR_Read gave.
static uint32_t pcr_value(struct fixture *f, uint16_t alg, unsigned pcr) {
    assert_int_equal(run(f, tpm_pcr_read(alg, pcr)), 0);
    assert_in_range(f->response_bytes, 34, 128);
    return load_be32(response(f) + 30);
}

static void test_commands(void **state) {
    struct fixture *f = *state;
    static const uint8_t banks[] = {0, 0,    0, 5,    0,    0,    0, 4,    0, 0x04, 3,    0,   0, 0,
                                    0, 0x0B, 3, 0xFF, 0xFF, 0xFF, 0, 0x0C, 3, 0xFF, 0xFF, 0xFF};
    uint8_t first[32];
    uint32_t extended;

    start(f, NULL);
    assert_int_equal(f->ready_status, 0);
    assert_int_equal(run(f, tpm_get_random(32)), 0x100); // TPM_RC_INITIALIZE
    assert_int_equal(run(f, tpm_startup(0)), 0);
    assert_int_equal(run(f, tpm_get_random(32)), 0);
    memcpy(first, response(f) + 12, sizeof(first));
    assert_int_equal(run(f, tpm_get_random(32)), 0);
    assert_memory_not_equal(first, response(f) + 12, sizeof(first));
    assert_int_equal(run(f, tpm_get_pcr_banks()), 0);
    assert_memory_equal(response(f) + 11, banks, sizeof(banks));

    assert_int_equal(pcr_value(f, TPM_ALG_SHA256, 8), 0);
    assert_int_equal(run(f, tpm_pcr_extend(8, TPM_ALG_SHA256, 0x5A)), 0);
    assert_int_equal(run(f, tpm_pcr_extend(8, TPM_ALG_SHA384, 0x5A)), 0);
    extended = pcr_value(f, TPM_ALG_SHA256, 8);
    assert_int_not_equal(extended, 0);
    assert_int_not_equal(pcr_value(f, TPM_ALG_SHA384, 8), 0);

    assert_int_equal(run(f, tpm_create_primary_ecc()), 0);
    assert_int_equal(run(f, tpm_flush(load_be32(response(f) + 10))), 0);
    assert_int_equal(run(f, tpm_create_primary_rsa(0)), 0);
    assert_int_equal(run(f, tpm_flush(load_be32(response(f) + 10))), 0);

    assert_int_equal(run(f, tpm_nv_define(NV_INDEX, 8)), 0);
    assert_int_equal(run(f, tpm_nv_write(NV_INDEX, "parapet!", 8)), 0);
    power_cycle(f); // PCRs go, NV stays
    assert_int_equal(run(f, tpm_startup(0)), 0);
    assert_int_equal(pcr_value(f, TPM_ALG_SHA256, 8), 0);
    assert_int_equal(run(f, tpm_pcr_extend(8, TPM_ALG_SHA256, 0x5A)), 0);
    assert_int_equal(pcr_value(f, TPM_ALG_SHA256, 8), extended);
    assert_int_equal(run(f, tpm_shutdown(0)), 0);
    stop(f);

    start(f, "--create=never"); // another process, the same TPM
    assert_int_equal(f->ready_status, 0);
    assert_int_equal(run(f, tpm_startup(0)), 0);
    assert_int_equal(run(f, tpm_nv_read(NV_INDEX, 8)), 0);
    assert_memory_equal(response(f) + 16, "parapet!", 8);
    stop(f);
}

/// With firmware's part played, the TPM is started after every power-on, and a power cycle before
/// the first command changes nothing.
static void test_plays_firmware(void **state) {
    struct fixture *f = *state;
    uint32_t extended;

    start(f, "--play-firmware");
    assert_int_equal(f->ready_status, 0);
    power_cycle(f);
    assert_int_equal(run(f, tpm_startup(0)), 0x100); // TPM_RC_INITIALIZE: somebody has
    assert_int_equal(run(f, tpm_pcr_extend(8, TPM_ALG_SHA256, 0x5A)), 0);
    extended = pcr_value(f, TPM_ALG_SHA256, 8);
    assert_int_not_equal(extended, 0);
    power_cycle(f);
    assert_int_equal(pcr_value(f, TPM_ALG_SHA256, 8), 0);
    stop(f);
}

/// Suspend: TPM2_Shutdown(STATE), power cycle, TPM2_Startup(STATE) brings the PCRs back.
static void test_suspend(void **state) {
    struct fixture *f = *state;
    uint32_t extended;

    start(f, NULL);
    assert_int_equal(run(f, tpm_startup(0)), 0);
    assert_int_equal(run(f, tpm_pcr_extend(3, TPM_ALG_SHA256, 1)), 0);
    extended = pcr_value(f, TPM_ALG_SHA256, 3);
    assert_int_equal(run(f, tpm_shutdown(1)), 0);
    stop(f);
    start(f, NULL);
    assert_int_equal(run(f, tpm_startup(1)), 0);
    assert_int_equal(pcr_value(f, TPM_ALG_SHA256, 3), extended);
    stop(f);
}

/// What the kernel says about the process.
static void assert_status(pid_t pid, const char *name, const char *want) {
    char path[64];
    char line[256];
    FILE *file;
    bool found = false;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        if (strncmp(line, name, strlen(name)) == 0) {
            assert_string_equal(line + strlen(name), want);
            found = true;
        }
    }
    fclose(file);
    assert_true(found);
}

static void test_confinement(void **state) {
    struct fixture *f = *state;

    start(f, NULL);
    assert_status(f->pid, "Seccomp:\t", "2\n");
    assert_status(f->pid, "NoNewPrivs:\t", "1\n");
    assert_status(f->pid, "CapEff:\t", "0000000000000000\n");
    assert_status(f->pid, "CapPrm:\t", "0000000000000000\n");
    if (geteuid() == 0) {
        assert_status(f->pid, "CapBnd:\t", "0000000000000000\n");
        assert_status(f->pid, "Uid:\t", "65534\t65534\t65534\t65534\n");
        assert_status(f->pid, "Groups:\t", " \n");
    }
    stop(f);
}

static void test_garbage(void **state) {
    struct fixture *f = *state;
    uint8_t bytes[8192];
    struct vtpm_message m;
    struct tpm_command c = tpm_get_random(8);

    start(f, NULL);
    assert_int_equal(run(f, tpm_startup(0)), 0);
    for (unsigned i = 0; i < 3000; i++) {
        size_t n = 1 + next_random(f) % (i % 50 == 0 ? sizeof(bytes) : 64);

        for (size_t j = 0; j < n; j++) {
            bytes[j] = (uint8_t)next_random(f);
        }
        if (n >= VTPM_HEADER_BYTES && (i & 1)) { // nearly right, but the size never is
            vtpm_message_format(bytes, &(struct vtpm_message){.op = VTPM_COMMAND, .sequence = 1});
            bytes[next_random(f) % VTPM_HEADER_BYTES] ^= (uint8_t)(1u << (i & 7));
            store_le32(bytes + 16, (i & 2) ? (uint32_t)(n - VTPM_HEADER_BYTES) + 1 : 0xFFFFFFFF);
        }
        assert_int_equal(send(f->fd, bytes, n, MSG_NOSIGNAL), n);
    }
    send_plain(f, VTPM_COMMAND_DONE, 7); // the wrong direction
    send_plain(f, VTPM_READY, 0);
    send_plain(f, VTPM_CANCEL, 12345); // nobody's
    assert_int_equal(run(f, c), 0);
    // Garbage inside a well-formed message is the TPM's affair.
    for (unsigned i = 0; i < 2000; i++) {
        c.size_bytes = 10 + next_random(f) % 200;
        for (size_t j = 0; j < c.size_bytes; j++) {
            c.bytes[j] = (uint8_t)next_random(f);
        }
        if (i & 1) { // a plausible header
            store_le16(c.bytes, __builtin_bswap16((uint16_t)(0x8001 + (i >> 1 & 1))));
            store_le32(c.bytes + 2, __builtin_bswap32((uint32_t)c.size_bytes));
            store_le32(c.bytes + 6, __builtin_bswap32(0x11F + (uint32_t)(next_random(f) % 0x90)));
        }
        run(f, c);
        assert_in_range(f->response_bytes, 10, 4096);
    }
    // More than one command at a time is refused, not queued without end.
    for (unsigned i = 0; i < 50; i++) {
        c = tpm_get_random(8);
        send_command(f, &c);
    }
    for (unsigned i = 0; i < 50; i++) {
        receive(f, &m);
        assert_int_equal(m.op, VTPM_COMMAND_DONE);
        assert_true(m.status == 0 || m.status == EBUSY);
    }
    power_cycle(f);
    assert_int_equal(run(f, tpm_startup(0)), 0);
    stop(f);
}

static void test_cancel(void **state) {
    struct fixture *f = *state;
    unsigned cancelled = 0;
    struct tpm_command c;
    struct vtpm_message m;

    start(f, NULL);
    assert_int_equal(run(f, tpm_startup(0)), 0);
    for (unsigned i = 0; i < 20; i++) {
        c = tpm_create_primary_rsa((uint8_t)i);
        send_command(f, &c);
        if (i & 1) {
            usleep((useconds_t)(next_random(f) % 5000));
        }
        send_plain(f, VTPM_CANCEL, f->sequence);
        receive(f, &m);
        if (tpm_rc(response(f), f->response_bytes) == 0x909) {
            cancelled++;
        } else {
            assert_int_equal(tpm_rc(response(f), f->response_bytes), 0);
            assert_int_equal(run(f, tpm_flush(load_be32(response(f) + 10))), 0);
        }
        assert_int_equal(run(f, tpm_get_random(4)), 0); // a cancel does not stick
    }
    assert_true(cancelled > 0);
    // A power cycle does not wait for a long command.
    for (unsigned i = 0; i < 5; i++) {
        uint32_t power = f->sequence + 2;

        c = tpm_create_primary_rsa((uint8_t)(100 + i));
        send_command(f, &c);
        send_plain(f, VTPM_POWER_CYCLE, power);
        receive(f, &m);
        assert_int_equal(m.op, VTPM_COMMAND_DONE);
        receive(f, &m);
        assert_int_equal(m.op, VTPM_POWER_CYCLE_DONE);
        f->sequence = power;
        assert_int_equal(run(f, tpm_startup(0)), 0);
    }
    c = tpm_create_primary_rsa(200);
    send_command(f, &c);
    stop(f); // the peer goes away in the middle of a command
}

/// Kills the process at random moments while it writes its state: what the next one finds is what
/// was acknowledged last or what was being written.
static void test_kill_while_writing(void **state) {
    struct fixture *f = *state;
    uint64_t acknowledged = 0;
    unsigned in_between = 0;

    start(f, NULL);
    assert_int_equal(run(f, tpm_startup(0)), 0);
    assert_int_equal(run(f, tpm_nv_define(NV_INDEX, 8)), 0);
    assert_int_equal(run(f, tpm_nv_write(NV_INDEX, &acknowledged, 8)), 0);
    for (unsigned i = 0; i < 300; i++) {
        unsigned writes = (unsigned)(next_random(f) % 4);
        uint64_t attempt = acknowledged + 1;
        struct tpm_command c;
        uint64_t found;

        for (unsigned w = 0; w < writes; w++) {
            assert_int_equal(run(f, tpm_nv_write(NV_INDEX, &attempt, 8)), 0);
            acknowledged = attempt++;
        }
        c = tpm_nv_write(NV_INDEX, &attempt, 8);
        send_command(f, &c);
        usleep((useconds_t)(next_random(f) % 700));
        kill_now(f);
        start(f, "--create=never");
        assert_int_equal(f->ready_status, 0);
        assert_int_equal(run(f, tpm_startup(0)), 0);
        assert_int_equal(run(f, tpm_nv_read(NV_INDEX, 8)), 0);
        memcpy(&found, response(f) + 16, 8);
        assert_in_range(found, acknowledged, attempt);
        in_between += found == attempt;
        acknowledged = found;
    }
    print_message("state was new after %u of 300 kills, old after the others\n", in_between);
    stop(f);
}

/// Changes bytes of the state file.
static void patch(struct fixture *f, off_t off, const void *bytes, size_t size_bytes) {
    int fd = open(f->state, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, size_bytes, off), size_bytes);
    close(fd);
}

static uint64_t checksum(struct fixture *f) {
    static uint8_t bytes[VTPM_STORE_BYTES];
    int fd = open(f->state, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, bytes, sizeof(bytes));

    assert_true(n >= 0);
    close(fd);
    return vtpm_crc64(bytes, (size_t)n);
}

static void assert_failure_mode(struct fixture *f, const char *extra) {
    uint64_t before = checksum(f);

    start(f, extra);
    assert_int_not_equal(f->ready_status, 0);
    assert_int_equal(run(f, tpm_startup(0)), 0x101);
    assert_int_equal(run(f, tpm_get_random(8)), 0x101);
    stop(f);
    assert_true(checksum(f) == before); // not a byte was changed
}

static void test_corruption(void **state) {
    struct fixture *f = *state;
    uint8_t kept[64];
    int fd;

    start(f, NULL);
    assert_int_equal(run(f, tpm_startup(0)), 0);
    assert_int_equal(run(f, tpm_nv_define(NV_INDEX, 8)), 0);
    assert_int_equal(run(f, tpm_shutdown(0)), 0);
    stop(f);
    patch(f, 16, "\xEE", 1); // slot A's sequence number
    assert_failure_mode(f, NULL);
    assert_failure_mode(f, "--create=if-blank");

    start(f, "--on-corrupt=manufacture");
    assert_int_equal(f->ready_status, 0);
    assert_int_equal(run(f, tpm_startup(0)), 0);
    assert_int_equal(run(f, tpm_nv_read(NV_INDEX, 8)), 0x18B); // another TPM: no such index
    stop(f);
    fd = open(f->state, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, kept, sizeof(kept), VTPM_ASIDE_OFF), sizeof(kept));
    close(fd);
    assert_memory_equal(kept, "PARAVTPM", 8);
    assert_int_equal(kept[16], 0xEE);

    patch(f, 24, "\xEE\xEE", 2); // again: the first incident's evidence stays
    assert_failure_mode(f, "--on-corrupt=manufacture");
}

/// Valid checksums around what libtpms cannot read.
static void test_foreign_contents(void **state) {
    struct fixture *f = *state;
    struct vtpm_store store;
    uint8_t junk[3000];
    int fd = open(f->state, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    for (size_t i = 0; i < sizeof(junk); i++) {
        junk[i] = (uint8_t)next_random(f);
    }
    assert_int_equal(vtpm_store_attach(&store, fd), 0);
    assert_int_equal(vtpm_store_load(&store), 0);
    assert_int_equal(vtpm_store_write(&store, junk, sizeof(junk)), 0);
    vtpm_store_close(&store);
    close(fd);
    assert_failure_mode(f, NULL);
    start(f, "--on-corrupt=manufacture");
    assert_int_equal(f->ready_status, 0);
    assert_int_equal(run(f, tpm_startup(0)), 0);
    stop(f);
}

static void test_blank_and_sizes(void **state) {
    struct fixture *f = *state;
    int fd = open(f->state, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, VTPM_STORE_BYTES), 0);
    assert_failure_mode(f, "--create=never");
    assert_int_equal(ftruncate(fd, VTPM_STORE_BYTES + 1), 0);
    assert_failure_mode(f, "--on-corrupt=manufacture");
    assert_int_equal(ftruncate(fd, 100), 0);
    assert_failure_mode(f, NULL);
    start(f, "--on-corrupt=manufacture");
    assert_int_equal(f->ready_status, 0);
    stop(f);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_commands, setup, teardown),
        cmocka_unit_test_setup_teardown(test_plays_firmware, setup, teardown),
        cmocka_unit_test_setup_teardown(test_suspend, setup, teardown),
        cmocka_unit_test_setup_teardown(test_confinement, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kill_while_writing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_corruption, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign_contents, setup, teardown),
        cmocka_unit_test_setup_teardown(test_blank_and_sizes, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
