// SPDX-License-Identifier: MIT
//
// The vTPM over the guest state, both processes for real: what a new TPM is given (keys and
// certificates, judged by libcrypto's X.509), what lasts over power cycles, wrong keys, foreign and
// damaged states, and whose the platform hierarchy is.

#include "igvm/base/bytes.h"
#include "tests/support/tpm_commands.h"
#include "userspace/vault.h"
#include "userspace/vault_client.h"
#include "userspace/vmgs/vmgs_format.h"
#include "userspace/vtpm.h"
#include "userspace/vtpm_protocol.h"
#include "userspace/vtpm_vault.h"

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

#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <cmocka.h>

#define TIMEOUT_MS  120000
#define NV_INDEX    0x01500001u
#define RH_OWNER    0x40000001u
#define RH_PLATFORM 0x4000000Cu
#define AK_HANDLE   0x81000003u
#define EK_HANDLE   0x81010001u

struct fixture {
    char path[64];
    pid_t vault, vtpm;
    int vault_fd; ///< the vTPM's end, kept as the supervisor keeps it
    int fd;
    uint8_t key;
    uint32_t sequence;
    uint32_t ready_status;
    uint8_t response[VTPM_MESSAGE_MAX_BYTES];
    size_t response_bytes;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    int fd;

    snprintf(f->path, sizeof(f->path), "/tmp/parapet-state-XXXXXX");
    fd = mkstemp(f->path);
    assert_true(fd >= 0);
    close(fd);
    f->fd = f->vault_fd = -1;
    f->key = 0x31;
    *state = f;
    return 0;
}

static void end(pid_t *pid) {
    int status;

    assert_int_equal(waitpid(*pid, &status, 0), *pid);
    *pid = 0;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void stop_vtpm(struct fixture *f) {
    close(f->fd);
    f->fd = -1;
    end(&f->vtpm);
}

static void stop(struct fixture *f) {
    stop_vtpm(f);
    close(f->vault_fd);
    f->vault_fd = -1;
    end(&f->vault);
}

static int teardown(void **state) {
    struct fixture *f = *state;

    if (f->vtpm > 0) {
        kill(f->vtpm, SIGKILL);
        waitpid(f->vtpm, NULL, 0);
    }
    if (f->vault > 0) {
        kill(f->vault, SIGKILL);
        waitpid(f->vault, NULL, 0);
    }
    unlink(f->path);
    free(f);
    return 0;
}

static void start_vault(struct fixture *f) {
    char disk_arg[32], key_arg[32], client_arg[32];
    uint8_t key[VMGS_KEY_BYTES];
    int pair[2], pipe_fds[2];

    memset(key, f->key, sizeof(key));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(write(pipe_fds[1], key, sizeof(key)), sizeof(key));
    close(pipe_fds[1]);
    f->vault = fork();
    assert_true(f->vault >= 0);
    if (f->vault == 0) {
        char *argv[] = {"vault", disk_arg, client_arg, key_arg, NULL};

        close(pair[0]);
        snprintf(disk_arg, sizeof(disk_arg), "--disk-fd=%d", open(f->path, O_RDWR));
        snprintf(key_arg, sizeof(key_arg), "--key-fd=%d", pipe_fds[0]);
        snprintf(client_arg, sizeof(client_arg), "--client=%d:%d", pair[1], VMGS_TPM_NVRAM);
        _exit(vault_main(f->key ? 4 : 3, argv));
    }
    close(pair[1]);
    close(pipe_fds[0]);
    f->vault_fd = pair[0];
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

static void start_vtpm(struct fixture *f, const char *extra) {
    char socket_arg[32], state_arg[32], extra_arg[32];
    struct vtpm_message ready;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    f->vtpm = fork();
    assert_true(f->vtpm >= 0);
    if (f->vtpm == 0) {
        char *argv[] = {"vtpm", socket_arg, state_arg, "--identity", extra_arg, NULL};

        close(pair[0]);
        snprintf(socket_arg, sizeof(socket_arg), "--socket=%d", pair[1]);
        snprintf(state_arg, sizeof(state_arg), "--vault-fd=%d", f->vault_fd);
        snprintf(extra_arg, sizeof(extra_arg), "%s", extra ? extra : "");
        _exit(vtpm_main(extra ? 5 : 4, argv));
    }
    close(pair[1]);
    f->fd = pair[0];
    receive(f, &ready);
    assert_int_equal(ready.op, VTPM_READY);
    f->ready_status = ready.status;
}

static void start(struct fixture *f, const char *extra) {
    start_vault(f);
    start_vtpm(f, extra);
}

static const uint8_t *response(const struct fixture *f) {
    return f->response + VTPM_HEADER_BYTES;
}

static uint32_t run(struct fixture *f, struct tpm_command c) {
    uint8_t out[VTPM_MESSAGE_MAX_BYTES];
    struct vtpm_message m;
    size_t n = vtpm_message_format(out, &(struct vtpm_message){.op = VTPM_COMMAND,
                                                               .sequence = ++f->sequence,
                                                               .payload = c.bytes,
                                                               .payload_bytes = c.size_bytes});

    assert_int_equal(send(f->fd, out, n, MSG_NOSIGNAL), n);
    receive(f, &m);
    assert_int_equal(m.op, VTPM_COMMAND_DONE);
    assert_int_equal(m.status, 0);
    return tpm_rc(response(f), f->response_bytes);
}

static void power_cycle(struct fixture *f) {
    uint8_t out[VTPM_HEADER_BYTES];
    struct vtpm_message m;

    vtpm_message_format(out,
                        &(struct vtpm_message){.op = VTPM_POWER_CYCLE, .sequence = ++f->sequence});
    assert_int_equal(send(f->fd, out, sizeof(out), 0), sizeof(out));
    receive(f, &m);
    assert_int_equal(m.op, VTPM_POWER_CYCLE_DONE);
    assert_int_equal(m.status, 0);
}

// ---- certificates -------------------------------------------------------------------------------

/// A certificate from an NV index, by the index's own (empty) password.
static X509 *read_certificate(struct fixture *f, uint32_t index) {
    uint8_t der[2048];
    const uint8_t *at = der;
    uint16_t size, piece;
    X509 *certificate;

    assert_int_equal(run(f, tpm_nv_read_public(index)), 0);
    size =
        (uint16_t)(response(f)[24] << 8 | response(f)[25]); // after index, hash, attributes, policy
    assert_in_range(size, 300, sizeof(der));
    for (uint16_t done = 0; done < size; done += piece) {
        piece = (uint16_t)(size - done < 512 ? size - done : 512);
        assert_int_equal(run(f, tpm_nv_read_at(index, piece, done)), 0);
        memcpy(der + done, response(f) + 16, piece);
    }
    certificate = d2i_X509(NULL, &at, size);
    assert_non_null(certificate);
    assert_int_equal(at - der, size); // nothing behind it
    return certificate;
}

static void assert_issued(X509 *ca, X509 *certificate) {
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();

    X509_STORE_add_cert(store, ca);
    X509_STORE_CTX_init(context, store, certificate, NULL);
    X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(context), X509_V_FLAG_X509_STRICT);
    if (X509_verify_cert(context) != 1) {
        fail_msg("%s", X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)));
    }
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
}

static void assert_extension(X509 *certificate, const char *oid, const char *text) {
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    int at = X509_get_ext_by_OBJ(certificate, object, -1);
    BIO *bio = BIO_new(BIO_s_mem());
    char got[256];
    int n;

    assert_true(at >= 0);
    assert_int_equal(X509V3_EXT_print(bio, X509_get_ext(certificate, at), 0, 0), 1);
    n = BIO_read(bio, got, sizeof(got) - 1);
    got[n > 0 ? n : 0] = '\0';
    assert_string_equal(got, text);
    BIO_free(bio);
    ASN1_OBJECT_free(object);
}

/// The modulus in TPM2_ReadPublic's answer is the certificate's.
static void assert_certifies(struct fixture *f, X509 *certificate, uint32_t handle,
                             size_t modulus_off) {
    EVP_PKEY *key = X509_get_pubkey(certificate);
    BIGNUM *modulus = NULL;
    uint8_t bytes[256];

    assert_int_equal(run(f, tpm_read_public(handle)), 0);
    assert_int_equal(EVP_PKEY_get_bn_param(key, "n", &modulus), 1);
    assert_int_equal(BN_bn2binpad(modulus, bytes, sizeof(bytes)), sizeof(bytes));
    assert_memory_equal(bytes, response(f) + modulus_off, sizeof(bytes));
    BN_free(modulus);
    EVP_PKEY_free(key);
}

/// The attestation key quotes, the certificate's key verifies.
static void assert_quotes(struct fixture *f, X509 *certificate) {
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY *key = X509_get_pubkey(certificate);
    const uint8_t *attest, *signature;
    uint16_t attest_bytes;

    uint32_t code = run(f, tpm_quote(AK_HANDLE, TPM_ALG_SHA256));

    if (code == 0x922) { // TPM_RC_RETRY: the algorithm was tested before its first use
        code = run(f, tpm_quote(AK_HANDLE, TPM_ALG_SHA256));
    }
    assert_int_equal(code, 0);
    attest_bytes = (uint16_t)(response(f)[14] << 8 | response(f)[15]);
    attest = response(f) + 16;
    signature = attest + attest_bytes + 2 + 2 + 2; // scheme, hash, size
    assert_int_equal(load_be32(attest), 0xFF544347);
    assert_int_equal(EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestVerify(md, signature, 256, attest, attest_bytes), 1);
    EVP_PKEY_free(key);
    EVP_MD_CTX_free(md);
}

static void test_identity(void **state) {
    static const uint32_t indexes[] = {0x01C00002, 0x01C0000A, 0x01C101D0};
    static const char *const purposes[] = {"2.23.133.8.1", "2.23.133.8.1", "2.23.133.8.3"};
    static const char *const usages[] = {"Key Encipherment", "Key Agreement", "Digital Signature"};
    struct fixture *f = *state;
    X509 *ca, *certificates[3];

    start(f, NULL);
    assert_int_equal(f->ready_status, 0);
    assert_int_equal(run(f, tpm_startup(0)), 0);
    ca = read_certificate(f, 0x01C00100);
    assert_issued(ca, ca);
    assert_int_equal(X509_check_ca(ca), 1);
    for (unsigned i = 0; i < 3; i++) {
        X509 *c = certificates[i] = read_certificate(f, indexes[i]);

        assert_issued(ca, c);
        assert_int_equal(X509_check_ca(c), 0);
        assert_extension(c, "2.5.29.37", purposes[i]);
        assert_extension(c, "2.5.29.15", usages[i]);
        assert_int_equal(X509_NAME_entry_count(X509_get_subject_name(c)), 0);
    }
    assert_certifies(f, certificates[0], EK_HANDLE, 70); // its policy has 32 bytes
    assert_certifies(f, certificates[2], AK_HANDLE, 36);
    assert_quotes(f, certificates[2]);
    // Nobody writes or removes them: not the owner, and not the platform either.
    assert_int_not_equal(run(f, tpm_nv_write(0x01C00002, "x", 1)), 0);
    assert_int_not_equal(run(f, tpm_nv_write_as(RH_PLATFORM, 0x01C00002, "x", 1)), 0);
    assert_int_not_equal(run(f, tpm_nv_undefine(RH_OWNER, 0x01C00002)), 0);
    for (unsigned i = 0; i < 3; i++) {
        X509_free(certificates[i]);
    }
    X509_free(ca);
    stop(f);
}

/// Two TPMs share nothing; a restarted one is the same.
static void test_lasts(void **state) {
    struct fixture *f = *state;
    uint8_t first[256];
    X509 *before, *after;

    start(f, NULL);
    assert_int_equal(run(f, tpm_startup(0)), 0);
    assert_int_equal(run(f, tpm_read_public(EK_HANDLE)), 0);
    memcpy(first, response(f) + 70, sizeof(first));
    before = read_certificate(f, 0x01C00002);
    assert_int_equal(run(f, tpm_nv_define(NV_INDEX, 8)), 0);
    assert_int_equal(run(f, tpm_nv_write(NV_INDEX, "parapet!", 8)), 0);
    assert_int_equal(run(f, tpm_shutdown(0)), 0);
    stop(f);

    start(f, "--create=never");
    assert_int_equal(f->ready_status, 0);
    assert_int_equal(run(f, tpm_startup(0)), 0);
    assert_int_equal(run(f, tpm_nv_read(NV_INDEX, 8)), 0);
    assert_memory_equal(response(f) + 16, "parapet!", 8);
    assert_int_equal(run(f, tpm_read_public(EK_HANDLE)), 0);
    assert_memory_equal(first, response(f) + 70, sizeof(first));
    after = read_certificate(f, 0x01C00002);
    assert_int_equal(X509_cmp(before, after), 0);
    X509_free(before);
    X509_free(after);
    // Another vTPM process on the same vault: what a supervisor does at a guest reset.
    stop_vtpm(f);
    start_vtpm(f, NULL);
    assert_int_equal(f->ready_status, 0);
    assert_int_equal(run(f, tpm_startup(0)), 0);
    assert_int_equal(run(f, tpm_nv_read(NV_INDEX, 8)), 0);
    stop(f);

    assert_int_equal(truncate(f->path, 0), 0); // a new machine
    start(f, NULL);
    assert_int_equal(run(f, tpm_startup(0)), 0);
    assert_int_equal(run(f, tpm_read_public(EK_HANDLE)), 0);
    assert_memory_not_equal(first, response(f) + 70, sizeof(first));
    stop(f);
}

static uint64_t file_hash(const struct fixture *f) {
    uint8_t *bytes = malloc(VMGS_DEFAULT_BYTES);
    FILE *file = fopen(f->path, "re");
    size_t n = fread(bytes, 1, VMGS_DEFAULT_BYTES, file);
    uint64_t hash = vtpm_crc64(bytes, n);

    fclose(file);
    free(bytes);
    return hash;
}

static void assert_fails(struct fixture *f) {
    uint64_t before = file_hash(f);

    start(f, NULL);
    assert_int_not_equal(f->ready_status, 0);
    assert_int_equal(run(f, tpm_startup(0)), 0x101); // TPM_RC_FAILURE
    assert_int_equal(run(f, tpm_get_random(8)), 0x101);
    stop(f);
    start(f, "--on-corrupt=manufacture");
    assert_int_not_equal(f->ready_status, 0);
    stop(f);
    assert_int_equal(file_hash(f), before);
}

static void test_refused_states(void **state) {
    struct fixture *f = *state;
    uint8_t block[VMGS_BLOCK_BYTES];
    int fd;

    start(f, NULL);
    assert_int_equal(f->ready_status, 0);
    stop(f);
    f->key ^= 1; // a wrong key
    assert_fails(f);
    f->key = 0; // none
    assert_fails(f);
    f->key = 0x31;
    start(f, "--create=never");
    assert_int_equal(f->ready_status, 0);
    stop(f);
    // Every block of the middle is overwritten: the file's among them.
    fd = open(f->path, O_RDWR);
    memset(block, 0x5A, sizeof(block));
    for (unsigned i = 6; i < 60; i++) {
        assert_int_equal(pwrite(fd, block, sizeof(block), (off_t)i * VMGS_BLOCK_BYTES),
                         sizeof(block));
    }
    close(fd);
    assert_fails(f);
}

/// A file that libtpms does not accept, and one without our header, in a sound guest state.
static void test_foreign_contents(void **state) {
    struct fixture *f = *state;
    uint8_t bytes[64];

    memset(bytes, 0x42, sizeof(bytes));
    start_vault(f);
    assert_int_equal(vault_write(f->vault_fd, bytes, sizeof(bytes)), 0);
    start_vtpm(f, NULL);
    assert_int_not_equal(f->ready_status, 0);
    assert_int_equal(run(f, tpm_startup(0)), 0x101);
    stop_vtpm(f);
    assert_int_equal(vtpm_vault_write(f->vault_fd, bytes, sizeof(bytes)), 0);
    start_vtpm(f, NULL);
    assert_int_not_equal(f->ready_status, 0);
    stop(f);
}

/// Without firmware the platform hierarchy is the process's: its password is random, again after
/// each power cycle. With firmware it is the firmware's.
static void test_platform(void **state) {
    struct fixture *f = *state;

    start(f, "--play-firmware");
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(run(f, tpm_change_auth(RH_PLATFORM)), 0x9A2); // TPM_RC_BAD_AUTH, session 1
        assert_int_equal(run(f, tpm_nv_undefine(RH_PLATFORM, 0x01C00002)), 0x9A2);
        assert_int_equal(run(f, tpm_change_auth(RH_OWNER)), 0);
        power_cycle(f);
    }
    stop_vtpm(f);
    start_vtpm(f, NULL);
    assert_int_equal(run(f, tpm_startup(0)), 0);
    assert_int_equal(run(f, tpm_change_auth(RH_PLATFORM)), 0);
    stop(f);
}

/// resetCount and "safe" of TPM2_ReadClock.
static void read_clock(struct fixture *f, uint32_t *resets, bool *safe) {
    assert_int_equal(run(f, tpm_read_clock()), 0);
    *resets = load_be32(response(f) + 10 + 16);
    *safe = response(f)[10 + 24] == 1;
}

/// A power cycle is a TPM reset; one without a shutdown before shows in "safe".
static void test_resets(void **state) {
    struct fixture *f = *state;
    uint32_t first, second;
    bool safe;

    start(f, NULL);
    assert_int_equal(run(f, tpm_startup(0)), 0);
    read_clock(f, &first, &safe);
    assert_true(safe);
    assert_int_equal(run(f, tpm_shutdown(0)), 0);
    power_cycle(f);
    assert_int_equal(run(f, tpm_get_random(8)), 0x100); // TPM_RC_INITIALIZE
    assert_int_equal(run(f, tpm_startup(0)), 0);
    read_clock(f, &second, &safe);
    assert_int_equal(second, first + 1);
    assert_true(safe);
    power_cycle(f); // no shutdown
    assert_int_equal(run(f, tpm_startup(0)), 0);
    read_clock(f, &second, &safe);
    assert_int_equal(second, first + 2);
    assert_false(safe);
    stop(f); // nor here
    start(f, NULL);
    assert_int_equal(run(f, tpm_startup(0)), 0);
    read_clock(f, &second, &safe);
    assert_int_equal(second, first + 3);
    stop(f);
}

/// The vault dies under a running TPM: what has to be written fails, and the TPM says so.
static void test_vault_dies(void **state) {
    struct fixture *f = *state;

    start(f, NULL);
    assert_int_equal(run(f, tpm_startup(0)), 0);
    assert_int_equal(run(f, tpm_nv_define(NV_INDEX, 8)), 0);
    kill(f->vault, SIGKILL);
    waitpid(f->vault, NULL, 0);
    f->vault = 0;
    assert_int_not_equal(run(f, tpm_nv_write(NV_INDEX, "parapet!", 8)), 0);
    stop_vtpm(f);
    close(f->vault_fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_identity, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lasts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_states, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign_contents, setup, teardown),
        cmocka_unit_test_setup_teardown(test_platform, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_vault_dies, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
