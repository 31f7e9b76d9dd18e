// SPDX-License-Identifier: MIT
//
// The variable process for real: forked, confined, with a vault that is a thread of the test, and
// driven by the VM worker's client. Persistence, a store that is damaged or cannot be had, a vault
// that fails, garbage on the socket, kills, a new one at a reset.

#include "tests/support/uefi_client.h"
#include "userspace/uefi_vars.h"
#include "userspace/uefi_vars_client.h"
#include "userspace/vault_protocol.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NV_BS (UEFI_ATTR_NON_VOLATILE | UEFI_ATTR_BOOTSERVICE)

/// One file, and how the vault fails.
struct fake_vault {
    pthread_t thread;
    int fd, process_fd;
    uint8_t file[VAULT_FILE_MAX_BYTES];
    uint32_t size_bytes; ///< 0: never written
    uint8_t staged[VAULT_FILE_MAX_BYTES];
    _Atomic int read_error, write_error;
};

struct fixture {
    struct fake_vault vault;
    struct uefi_vars_client link;
    struct uefi_client client;
    pid_t pid;
};

static void vault_answer(struct fake_vault *v, const struct vault_message *request) {
    static uint8_t out[VAULT_MESSAGE_MAX_BYTES];
    struct vault_message a = {
        .op = request->op | 0x80, .sequence = request->sequence, .offset = request->offset};
    uint32_t end = request->offset + (uint32_t)request->payload_bytes;

    if (request->op == VAULT_READ) {
        a.status = (uint32_t)(v->size_bytes == 0 ? ENOENT : v->read_error);
        if (a.status == 0) {
            a.total = v->size_bytes;
            a.payload = v->file + a.offset;
            a.payload_bytes = a.total - a.offset < VAULT_PAYLOAD_MAX_BYTES
                                  ? a.total - a.offset
                                  : VAULT_PAYLOAD_MAX_BYTES;
        }
    } else {
        memcpy(v->staged + request->offset, request->payload, request->payload_bytes);
        a.status = (uint32_t)v->write_error;
        a.total = a.status ? 0 : request->total;
        if (a.status == 0 && end == request->total) {
            memcpy(v->file, v->staged, end);
            v->size_bytes = end;
        }
    }
    send(v->fd, out, vault_message_format(out, &a), MSG_NOSIGNAL);
}

static void *vault_thread(void *arg) {
    struct fake_vault *v = arg;
    static uint8_t packet[VAULT_MESSAGE_MAX_BYTES + 1];
    struct vault_message request;
    ssize_t n;

    while ((n = recv(v->fd, packet, sizeof(packet), 0)) > 0) {
        if (vault_message_parse(packet, (size_t)n, VAULT_TO_PROCESS, &request) == 0) {
            vault_answer(v, &request);
        }
    }
    return NULL;
}

/// Starts a process; its socket.
static int start_process(struct fixture *f, bool with_vault) {
    char socket_option[32], vault_option[32];
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    f->pid = fork();
    assert_true(f->pid >= 0);
    if (f->pid == 0) {
        char *argv[] = {"uefi-vars", socket_option, with_vault ? vault_option : NULL, NULL};

        close(pair[0]);
        snprintf(socket_option, sizeof(socket_option), "--socket=%d", pair[1]);
        snprintf(vault_option, sizeof(vault_option), "--vault-fd=%d", f->vault.process_fd);
        _exit(uefi_vars_main(with_vault ? 3 : 2, argv));
    }
    close(pair[1]);
    return pair[0];
}

static void start(struct fixture *f, bool with_vault) {
    uefi_vars_client_init(&f->link, start_process(f, with_vault));
}

/// Closes our end; the process must end by itself with 0.
static void stop(struct fixture *f) {
    int status;

    uefi_vars_client_close(&f->link);
    assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
    f->pid = 0;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    f->vault.fd = pair[0];
    f->vault.process_fd = pair[1];
    assert_int_equal(pthread_create(&f->vault.thread, NULL, vault_thread, &f->vault), 0);
    uefi_client_init_backend(&f->client, &f->link.backend);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;

    if (f->pid > 0) {
        kill(f->pid, SIGKILL);
        waitpid(f->pid, NULL, 0);
        uefi_vars_client_close(&f->link);
    }
    shutdown(f->vault.fd, SHUT_RDWR);
    pthread_join(f->vault.thread, NULL);
    close(f->vault.fd);
    close(f->vault.process_fd);
    free(f);
    return 0;
}

#define SET(name, attributes, text)                                                                \
    uefi_set(&f->client, &uefi_test_guid, (name), (attributes), (text), strlen(text))
#define GET(name) uefi_get(&f->client, &uefi_test_guid, (name), 1024)

static void variables_last(void **state) {
    struct fixture *f = *state;
    static uint8_t large[50000] = {1, 2, 3};

    start(f, true);
    assert_int_equal(GET("A"), UEFI_NOT_FOUND);
    assert_int_equal(SET("A", NV_BS, "lasting"), UEFI_SUCCESS);
    assert_int_equal(SET("V", UEFI_ATTR_BOOTSERVICE, "volatile"), UEFI_SUCCESS);
    assert_int_equal(uefi_set(&f->client, &uefi_test_guid, "L", NV_BS, large, sizeof(large)),
                     UEFI_SUCCESS);
    kill(f->pid, SIGKILL); // what was answered is safe
    waitpid(f->pid, NULL, 0);
    assert_int_equal(GET("A"), UEFI_NO_ANSWER);
    assert_int_equal(f->client.transport, -EIO);
    assert_true(uefi_vars_client_is_dead(&f->link));
    assert_int_equal(f->link.backend.reset(&f->link.backend), -EIO);
    uefi_vars_client_attach(&f->link, start_process(f, true));
    assert_int_equal(f->link.backend.reset(&f->link.backend), 0);
    assert_int_equal(GET("A"), UEFI_SUCCESS);
    assert_memory_equal(f->client.value, "lasting", 7);
    assert_int_equal(GET("V"), UEFI_NOT_FOUND);
    assert_int_equal(uefi_get(&f->client, &uefi_test_guid, "L", sizeof(large)), UEFI_SUCCESS);
    assert_memory_equal(f->client.value, large, sizeof(large));
    stop(f);
}

/// The owner asks at a reset, when no call may have shown it yet.
static void a_death_between_calls_shows(void **state) {
    struct fixture *f = *state;

    for (unsigned called = 0; called < 2; called++) {
        start(f, false);
        if (called) {
            assert_int_equal(GET("A"), UEFI_NOT_FOUND);
            assert_false(uefi_vars_client_is_dead(&f->link));
            assert_int_equal(GET("A"), UEFI_NOT_FOUND);
        }
        kill(f->pid, SIGKILL);
        waitpid(f->pid, NULL, 0);
        f->pid = 0;
        assert_true(uefi_vars_client_is_dead(&f->link));
        uefi_vars_client_close(&f->link);
    }
}

static void without_a_vault(void **state) {
    struct fixture *f = *state;

    start(f, false);
    assert_int_equal(SET("A", NV_BS, "x"), UEFI_SUCCESS);
    assert_int_equal(SET("V", UEFI_ATTR_BOOTSERVICE, "x"), UEFI_SUCCESS);
    assert_int_equal(f->link.backend.reset(&f->link.backend), 0);
    assert_int_equal(GET("A"), UEFI_SUCCESS);
    assert_int_equal(GET("V"), UEFI_NOT_FOUND);
    stop(f);
}

static void inspect(void **state) {
    struct fixture *f = *state;
    static char text[UEFI_VARS_PAYLOAD_MAX_BYTES + 1];
    int n;

    start(f, false);
    assert_int_equal(SET("Shown", NV_BS, "hidden"), UEFI_SUCCESS);
    assert_int_equal(SET("Odd\\ name\n", NV_BS, "hidden"), UEFI_SUCCESS);
    n = uefi_vars_client_inspect(&f->link, text, sizeof(text) - 1);
    assert_in_range(n, 1, sizeof(text) - 1);
    text[n] = '\0';
    assert_non_null(strstr(text, "0badc0de-1234-5678-0102-030405060708 03     6 Shown\n"));
    assert_non_null(strstr(text, "Odd\\u005c\\u0020name\\u000a\n"));
    assert_null(strstr(text, "hidden"));
    assert_int_equal(uefi_vars_client_inspect(&f->link, text, 10), 10);
    stop(f);
}

static void a_vault_that_fails(void **state) {
    struct fixture *f = *state;

    start(f, true);
    assert_int_equal(SET("A", NV_BS, "old"), UEFI_SUCCESS);
    f->vault.write_error = ENOSPC;
    assert_int_equal(SET("A", NV_BS, "new"), UEFI_DEVICE_ERROR);
    assert_int_equal(GET("A"), UEFI_SUCCESS);
    assert_memory_equal(f->client.value, "old", 3);
    f->vault.write_error = 0;
    assert_int_equal(SET("A", NV_BS, "new"), UEFI_SUCCESS);
    stop(f);
}

static void a_store_that_cannot_be_had(void **state) {
    struct fixture *f = *state;

    start(f, true);
    assert_int_equal(SET("A", NV_BS, "kept"), UEFI_SUCCESS);
    stop(f);
    f->vault.read_error = EBADMSG;
    start(f, true);
    assert_int_equal(SET("A", NV_BS, "replaced"), UEFI_NO_ANSWER); // refused, nothing written
    assert_int_equal(f->link.backend.reset(&f->link.backend), -EBADMSG);
    assert_false(uefi_vars_client_is_dead(&f->link));
    f->vault.read_error = 0;
    assert_int_equal(f->link.backend.reset(&f->link.backend), 0); // it is back
    assert_int_equal(GET("A"), UEFI_SUCCESS);
    assert_memory_equal(f->client.value, "kept", 4);
    stop(f);
}

static void a_damaged_store(void **state) {
    struct fixture *f = *state;
    char text[256];
    uint32_t size_bytes;

    start(f, true);
    assert_int_equal(SET("A", NV_BS, "kept"), UEFI_SUCCESS);
    stop(f);
    size_bytes = f->vault.size_bytes;
    f->vault.file[size_bytes - 1] ^= 0x10;
    start(f, true);
    assert_int_equal(GET("A"), UEFI_NO_ANSWER);
    assert_int_equal(SET("B", NV_BS, "x"), UEFI_NO_ANSWER);
    assert_int_equal(f->link.backend.reset(&f->link.backend), -EBADMSG);
    assert_int_equal(uefi_vars_client_inspect(&f->link, text, sizeof(text)), 16);
    assert_memory_equal(text, "store: unusable\n", 16);
    stop(f);
    assert_int_equal(f->vault.size_bytes, size_bytes); // never replaced
    f->vault.file[size_bytes - 1] ^= 0x10;
    start(f, true);
    assert_int_equal(GET("A"), UEFI_SUCCESS);
    stop(f);
}

static void garbage_on_the_socket(void **state) {
    struct fixture *f = *state;
    static uint8_t bytes[UEFI_VARS_PACKET_MAX_BYTES + 100];
    uint64_t random = 88172645463325252;

    start(f, false);
    for (unsigned i = 0; i < 2000; i++) {
        size_t size = 1 + i * 37 % 300;

        for (size_t k = 0; k < size; k++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            bytes[k] = (uint8_t)random;
        }
        if (i % 3 == 0) { // nearly right: never a whole message, which would be answered
            uefi_vars_packet_format(bytes, &(struct uefi_vars_packet){.op = UEFI_VARS_CALL,
                                                                      .sequence = i + 1,
                                                                      .room = 64,
                                                                      .payload = bytes + 64,
                                                                      .payload_bytes = 24});
            bytes[i / 3 % 3 == 0 ? 20 : 16] ^= 0x80;
        }
        assert_true(send(f->link.fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size);
    }
    assert_true(send(f->link.fd, bytes, sizeof(bytes), MSG_NOSIGNAL) == (ssize_t)sizeof(bytes));
    assert_int_equal(SET("A", NV_BS, "x"), UEFI_SUCCESS);
    stop(f);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(variables_last),  T(a_death_between_calls_shows), T(without_a_vault),
        T(inspect),         T(a_vault_that_fails),          T(a_store_that_cannot_be_had),
        T(a_damaged_store), T(garbage_on_the_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
