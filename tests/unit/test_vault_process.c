// SPDX-License-Identifier: MIT
//
// The vault's protocol and its process for real: forked, confined, used through the client's two
// calls; garbage, a client that stops half-way, kills in the middle of writes.

#include "igvm/base/bytes.h"
#include "userspace/vault.h"
#include "userspace/vault_client.h"
#include "userspace/vault_protocol.h"
#include "userspace/vmgs/vmgs_format.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define BIG_BYTES 300000u

struct fixture {
    char path[64];
    pid_t pid;
    int tpm_fd, bios_fd;
    uint8_t key[VMGS_KEY_BYTES];
    bool has_key;
    uint8_t *a, *b;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    int fd;

    snprintf(f->path, sizeof(f->path), "/tmp/parapet-vault-XXXXXX");
    fd = mkstemp(f->path);
    assert_true(fd >= 0);
    close(fd);
    f->tpm_fd = f->bios_fd = -1;
    memset(f->key, 0x21, sizeof(f->key));
    f->a = malloc(VAULT_FILE_MAX_BYTES);
    f->b = malloc(VAULT_FILE_MAX_BYTES);
    *state = f;
    return 0;
}

static void close_clients(struct fixture *f) {
    close(f->tpm_fd);
    close(f->bios_fd);
    f->tpm_fd = f->bios_fd = -1;
}

/// All clients close; the process must end by itself with 0.
static void stop(struct fixture *f) {
    int status;

    close_clients(f);
    assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
    f->pid = 0;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void kill_now(struct fixture *f) {
    kill(f->pid, SIGKILL);
    waitpid(f->pid, NULL, 0);
    f->pid = 0;
    close_clients(f);
}

static int teardown(void **state) {
    struct fixture *f = *state;

    if (f->pid > 0) {
        kill_now(f);
    }
    unlink(f->path);
    free(f->a);
    free(f->b);
    free(f);
    return 0;
}

static void client_socket(int pair[2]) {
    struct timeval limit = {.tv_sec = 60};

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

static void start(struct fixture *f, const char *format) {
    char disk_arg[32], key_arg[32], tpm_arg[32], bios_arg[32];
    int tpm[2], bios[2], key[2];

    client_socket(tpm);
    client_socket(bios);
    assert_int_equal(pipe(key), 0);
    assert_int_equal(write(key[1], f->key, sizeof(f->key)), sizeof(f->key));
    close(key[1]);
    f->pid = fork();
    assert_true(f->pid >= 0);
    if (f->pid == 0) {
        char format_arg[32];
        char *argv[] = {"vault", disk_arg, tpm_arg, bios_arg, format_arg, key_arg, NULL};

        close(tpm[0]);
        close(bios[0]);
        snprintf(disk_arg, sizeof(disk_arg), "--disk-fd=%d", open(f->path, O_RDWR));
        snprintf(key_arg, sizeof(key_arg), "--key-fd=%d", key[0]);
        snprintf(tpm_arg, sizeof(tpm_arg), "--client=%d:%d", tpm[1], VMGS_TPM_NVRAM);
        snprintf(bios_arg, sizeof(bios_arg), "--client=%d:%d", bios[1], VMGS_BIOS_NVRAM);
        snprintf(format_arg, sizeof(format_arg), "--format=%s", format);
        _exit(vault_main(f->has_key ? 6 : 5, argv));
    }
    close(tpm[1]);
    close(bios[1]);
    close(key[0]);
    f->tpm_fd = tpm[0];
    f->bios_fd = bios[0];
}

static bool holds(struct fixture *f, int fd, uint8_t fill, size_t size) {
    size_t got = 0;

    memset(f->a, fill, size);
    return vault_read(fd, f->b, VAULT_FILE_MAX_BYTES, &got) == 0 && got == size &&
           memcmp(f->a, f->b, size) == 0;
}

static int put(struct fixture *f, int fd, uint8_t fill, size_t size) {
    memset(f->a, fill, size);
    return vault_write(fd, f->a, size);
}

static void test_two_clients(void **state) {
    struct fixture *f = *state;
    size_t got;

    for (unsigned i = 0; i < 2; i++) {
        f->has_key = i != 0;
        assert_int_equal(truncate(f->path, 0), 0);
        start(f, "if-empty");
        assert_int_equal(vault_read(f->tpm_fd, f->b, 100, &got), -ENOENT);
        assert_int_equal(put(f, f->tpm_fd, 1, 1), 0);
        assert_int_equal(put(f, f->bios_fd, 2, BIG_BYTES), 0);
        assert_true(holds(f, f->tpm_fd, 1, 1));
        assert_true(holds(f, f->bios_fd, 2, BIG_BYTES));
        assert_int_equal(vault_read(f->bios_fd, f->b, BIG_BYTES - 1, &got), -ERANGE);
        assert_int_equal(put(f, f->bios_fd, 3, VAULT_FILE_MAX_BYTES), 0);
        assert_int_equal(vault_write(f->bios_fd, f->a, 0), -EFBIG);
        assert_int_equal(vault_write(f->bios_fd, f->a, VAULT_FILE_MAX_BYTES + 1), -EFBIG);
        stop(f);
        start(f, "never");
        assert_true(holds(f, f->tpm_fd, 1, 1));
        assert_true(holds(f, f->bios_fd, 3, VAULT_FILE_MAX_BYTES));
        stop(f);
    }
}

static void test_wrong_key(void **state) {
    struct fixture *f = *state;
    struct stat before, after;
    size_t got;

    f->has_key = true;
    start(f, "if-empty");
    assert_int_equal(put(f, f->tpm_fd, 1, 1000), 0);
    stop(f);
    assert_int_equal(stat(f->path, &before), 0);
    f->key[31] ^= 1;
    start(f, "if-empty");
    assert_int_equal(vault_read(f->tpm_fd, f->b, 1000, &got), -EKEYREJECTED);
    assert_int_equal(put(f, f->tpm_fd, 2, 1000), -EKEYREJECTED);
    assert_int_equal(put(f, f->bios_fd, 2, 1000), -EKEYREJECTED);
    stop(f);
    assert_int_equal(stat(f->path, &after), 0);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
    f->key[31] ^= 1;
    start(f, "never");
    assert_true(holds(f, f->tpm_fd, 1, 1000));
    stop(f);
}

/// A pipe that ends early gives no key: nothing is formatted without it.
static void test_short_key(void **state) {
    struct fixture *f = *state;
    char disk_arg[32], key_arg[32], tpm_arg[32];
    int tpm[2], key[2];
    size_t got;
    int status;

    client_socket(tpm);
    assert_int_equal(pipe(key), 0);
    assert_int_equal(write(key[1], f->key, 31), 31);
    close(key[1]);
    f->pid = fork();
    if (f->pid == 0) {
        char *argv[] = {"vault", disk_arg, tpm_arg, key_arg, NULL};

        close(tpm[0]);
        snprintf(disk_arg, sizeof(disk_arg), "--disk-fd=%d", open(f->path, O_RDWR));
        snprintf(key_arg, sizeof(key_arg), "--key-fd=%d", key[0]);
        snprintf(tpm_arg, sizeof(tpm_arg), "--client=%d:%d", tpm[1], VMGS_TPM_NVRAM);
        _exit(vault_main(4, argv));
    }
    close(tpm[1]);
    close(key[0]);
    assert_int_equal(vault_read(tpm[0], f->b, 100, &got), -EKEYREJECTED);
    close(tpm[0]);
    assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
    f->pid = 0;
}

static size_t request(uint8_t *out, enum vault_op op, uint32_t total, uint32_t offset,
                      uint32_t size) {
    static const uint8_t zero[VAULT_PAYLOAD_MAX_BYTES];

    return vault_message_format(out, &(struct vault_message){.op = op,
                                                             .sequence = 7,
                                                             .total = total,
                                                             .offset = offset,
                                                             .payload = zero,
                                                             .payload_bytes = size});
}

static uint32_t ask(int fd, const uint8_t *packet, size_t size) {
    uint8_t answer[VAULT_MESSAGE_MAX_BYTES];
    struct vault_message m;
    ssize_t n;

    assert_int_equal(send(fd, packet, size, 0), size);
    n = recv(fd, answer, sizeof(answer), 0);
    assert_true(n > 0);
    assert_int_equal(vault_message_parse(answer, (size_t)n, VAULT_TO_CLIENT, &m), 0);
    assert_int_equal(m.sequence, 7);
    return m.status;
}

/// Packets out of order, half a file, floods: the other client is served, nothing changes.
static void test_hostile_client(void **state) {
    struct fixture *f = *state;
    uint8_t packet[VAULT_MESSAGE_MAX_BYTES + 1];
    size_t n;

    start(f, "if-empty");
    assert_int_equal(put(f, f->tpm_fd, 1, 100000), 0);
    assert_int_equal(put(f, f->bios_fd, 2, 100000), 0);
    memset(packet, 0x41, sizeof(packet));
    for (size_t i = 1; i < 200; i++) {
        assert_int_equal(send(f->bios_fd, packet, i * 163, 0), i * 163); // no message: no answer
    }
    n = request(packet, VAULT_WRITE, 100, 50, 50); // never begun
    assert_int_equal(ask(f->bios_fd, packet, n), EPROTO);
    n = request(packet, VAULT_READ, 0, 50, 0);
    assert_int_equal(ask(f->bios_fd, packet, n), EPROTO);
    n = request(packet, VAULT_WRITE, 100, 0, 50);
    assert_int_equal(ask(f->bios_fd, packet, n), 0);
    n = request(packet, VAULT_WRITE, 101, 50, 50); // another size
    assert_int_equal(ask(f->bios_fd, packet, n), EPROTO);
    n = request(packet, VAULT_WRITE, 100, 0, 50);
    assert_int_equal(ask(f->bios_fd, packet, n), 0); // and half-way it stops
    assert_true(holds(f, f->tpm_fd, 1, 100000));
    assert_true(holds(f, f->bios_fd, 2, 100000));
    // Requests without taking the answers: lost, and the vault goes on.
    n = request(packet, VAULT_READ, 0, 0, 0);
    for (unsigned i = 0; i < 5000; i++) {
        if (send(f->bios_fd, packet, n, MSG_DONTWAIT) < 0) {
            assert_true(holds(f, f->tpm_fd, 1, 100000));
        }
    }
    assert_int_equal(put(f, f->tpm_fd, 3, 100000), 0);
    stop(f);
    start(f, "never");
    assert_true(holds(f, f->tpm_fd, 3, 100000));
    assert_true(holds(f, f->bios_fd, 2, 100000));
    stop(f);
}

/// Another process takes the client's socket over, in the middle of its predecessor's exchange.
static void test_successor(void **state) {
    struct fixture *f = *state;
    uint8_t packet[VAULT_MESSAGE_MAX_BYTES];
    size_t n;

    start(f, "if-empty");
    assert_int_equal(put(f, f->tpm_fd, 1, 100000), 0);
    for (unsigned i = 0; i < 3; i++) {
        n = request(packet, VAULT_READ, 0, 0, 0); // answers that nobody has taken
        assert_int_equal(send(f->tpm_fd, packet, n, 0), n);
    }
    n = request(packet, VAULT_WRITE, 50000, 0, 30000); // half a write
    assert_int_equal(send(f->tpm_fd, packet, n, 0), n);
    assert_true(holds(f, f->tpm_fd, 1, 100000));
    assert_int_equal(put(f, f->tpm_fd, 2, 100000), 0);
    assert_true(holds(f, f->tpm_fd, 2, 100000));
    stop(f);
}

static void test_killed_while_writing(void **state) {
    struct fixture *f = *state;
    uint8_t now = 1;
    unsigned seed = 1;

    f->has_key = true;
    start(f, "if-empty");
    assert_int_equal(put(f, f->tpm_fd, now, 60000), 0);
    for (unsigned i = 0; i < 15; i++) {
        pid_t killer;

        killer = fork();
        if (killer == 0) {
            usleep((useconds_t)((seed = seed * 1103515245u + 12345u) >> 16) % 20000);
            kill(f->pid, SIGKILL);
            _exit(0);
        }
        seed = seed * 1103515245u + 12345u;
        while (put(f, f->tpm_fd, (uint8_t)(now + 1), 60000) == 0) {
            now++;
        }
        waitpid(killer, NULL, 0);
        kill_now(f);
        start(f, "never");
        if (holds(f, f->tpm_fd, (uint8_t)(now + 1), 60000)) {
            now++; // it had reached the disk
        } else {
            assert_true(holds(f, f->tpm_fd, now, 60000));
        }
    }
    stop(f);
}

static void test_dead_vault(void **state) {
    struct fixture *f = *state;
    size_t got;

    start(f, "if-empty");
    assert_int_equal(put(f, f->tpm_fd, 1, 10), 0);
    kill(f->pid, SIGKILL);
    waitpid(f->pid, NULL, 0);
    f->pid = 0;
    assert_int_equal(vault_read(f->tpm_fd, f->b, 10, &got), -EIO);
    assert_int_equal(vault_write(f->tpm_fd, f->b, 10), -EIO);
    close_clients(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_two_clients, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_short_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_client, setup, teardown),
        cmocka_unit_test_setup_teardown(test_successor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_while_writing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dead_vault, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
