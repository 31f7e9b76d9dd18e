// SPDX-License-Identifier: MIT
//
// The vault process (vault.h): options, the sandbox, and one thread that answers one packet of each
// client in turn. A client that floods only has its own turn; one that does not take its answer
// loses it.
#include "userspace/vault.h"

#include "igvm/base/log.h"
#include "igvm/base/types.h"
#include "userspace/key_source.h"
#include "userspace/sandbox.h"
#include "userspace/vault_disk.h"
#include "userspace/vault_server.h"
#include "userspace/worker_crash.h"
#include "userspace/worker_options.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define AREA "vault"

struct options {
    int disk_fd, key_fd;
    bool format;
    int uid, gid;
};

static struct vault {
    struct vault_disk disk;
    struct vault_store store;
    uint32_t client_count;
    int fds[VAULT_MAX_CLIENTS];
    struct vault_client clients[VAULT_MAX_CLIENTS];
} vault;

static uint8_t staging[VAULT_MAX_CLIENTS][VAULT_FILE_MAX_BYTES];

// ---- set-up -------------------------------------------------------------------------------------

/// "FD:FILE".
static int parse_client(struct vault *v, const char *text) {
    char descriptor[12];
    const char *colon = strchr(text, ':');
    size_t size = colon ? (size_t)(colon - text) : sizeof(descriptor);
    int fd, file;

    if (size >= sizeof(descriptor) || v->client_count == VAULT_MAX_CLIENTS) {
        return -EINVAL;
    }
    memcpy(descriptor, text, size);
    descriptor[size] = '\0';
    fd = worker_number(descriptor);
    file = worker_number(colon + 1);
    if (fd < 0 || file <= (int)VMGS_FILE_TABLE || file >= (int)VMGS_EXTENDED_FILE_TABLE) {
        return -EINVAL;
    }
    v->fds[v->client_count] = fd;
    v->clients[v->client_count] =
        (struct vault_client){.file_id = (uint32_t)file, .staging = staging[v->client_count]};
    v->client_count++;
    return 0;
}

/// -EINVAL for what is not understood.
static int parse_option(struct vault *v, struct options *o, const char *arg) {
    const struct worker_number_option numbers[] = {
        {"--disk-fd", &o->disk_fd},
        {"--key-fd", &o->key_fd},
        {"--uid", &o->uid},
        {"--gid", &o->gid},
    };
    const char *value;

    if ((value = worker_option(arg, "--client")) != NULL) {
        return parse_client(v, value);
    }
    if ((value = worker_option(arg, "--format")) != NULL) {
        o->format = strcmp(value, "never") != 0;
        return !o->format || strcmp(value, "if-empty") == 0 ? 0 : -EINVAL;
    }
    return worker_take_number(arg, numbers, ARRAY_COUNT(numbers)) ? 0 : -EINVAL;
}

static int parse_options(struct vault *v, struct options *o, int argc, char **argv) {
    int id = geteuid() == 0 ? (int)VAULT_DEFAULT_UID : 0;

    *o = (struct options){.disk_fd = -1, .key_fd = -1, .format = true, .uid = id, .gid = id};
    for (int i = 1; i < argc; i++) {
        if (parse_option(v, o, argv[i]) != 0) {
            log_write(LOG_ERROR, AREA, "option %s is not understood", argv[i]);
            return -EINVAL;
        }
    }
    if (o->disk_fd < 0 || v->client_count == 0) {
        log_write(LOG_ERROR, AREA, "needs --disk-fd and --client");
        return -EINVAL;
    }
    return 0;
}

/// What it needs afterwards: its disk, its sockets, its log.
static int confine(const struct vault *v, const struct options *o) {
    const struct sandbox_rule fixed[] = {
        SANDBOX_ALLOW(SYS_poll),
        SANDBOX_ALLOW_ARG(SYS_pread64, 0, v->disk.fd),
        SANDBOX_ALLOW_ARG(SYS_pwrite64, 0, v->disk.fd),
        SANDBOX_ALLOW_ARG(SYS_fdatasync, 0, v->disk.fd),
        SANDBOX_ALLOW(SYS_getrandom),
        SANDBOX_ALLOW(SYS_clock_gettime), // the log
        SANDBOX_ALLOW(SYS_write),
        SANDBOX_ALLOW(SYS_writev),
        SANDBOX_ALLOW(SYS_futex),
        SANDBOX_ALLOW(SYS_brk),
        SANDBOX_ALLOW_MASK(SYS_mmap, 2, PROT_EXEC, 0),
        SANDBOX_ALLOW_MASK(SYS_mprotect, 2, PROT_EXEC, 0),
        SANDBOX_ALLOW(SYS_munmap),
        SANDBOX_ALLOW(SYS_madvise),
        SANDBOX_ALLOW(SYS_rt_sigprocmask),
        SANDBOX_ALLOW(SYS_rt_sigreturn),
        SANDBOX_ALLOW(SYS_restart_syscall),
        SANDBOX_ALLOW(SYS_getpid),
        SANDBOX_ALLOW(SYS_gettid),
        SANDBOX_ALLOW_ARG(SYS_tgkill, 0, getpid()), // abort()
        SANDBOX_ALLOW(SYS_sigaltstack),             // a sanitized build ends with it
        SANDBOX_ALLOW(SYS_exit),
        SANDBOX_ALLOW(SYS_exit_group),
        SANDBOX_REFUSE(SYS_open, EACCES),
        SANDBOX_REFUSE(SYS_openat, EACCES),
        SANDBOX_REFUSE(SYS_ioctl, ENOTTY),
    };
    struct sandbox_rule rules[ARRAY_COUNT(fixed) + 2 * VAULT_MAX_CLIENTS];
    struct sandbox_policy policy = {
        .name = "vault",
        .rules = rules,
        .rule_count = ARRAY_COUNT(fixed),
        .uid = (uint32_t)o->uid,
        .gid = (uint32_t)o->gid,
#ifndef PARAPET_TEST // a sanitizer's shadow memory alone is larger
        .max_memory_bytes = 64u << 20,
#endif
    };

    memcpy(rules, fixed, sizeof(fixed));
    for (uint32_t i = 0; i < v->client_count; i++) {
        rules[policy.rule_count++] =
            (struct sandbox_rule)SANDBOX_ALLOW_ARG(SYS_recvfrom, 0, v->fds[i]);
        rules[policy.rule_count++] =
            (struct sandbox_rule)SANDBOX_ALLOW_ARG(SYS_sendto, 0, v->fds[i]);
    }
    return sandbox_enter(&policy);
}

static int set_up(struct vault *v, const struct options *o) {
    int keep[VAULT_MAX_CLIENTS + 2];
    size_t keep_count = 0;
    int r = flock(o->disk_fd, LOCK_EX | LOCK_NB) == 0 ? 0 : -errno;

    if (r != 0) {
        log_write(LOG_ERROR, AREA, "the disk is in use: %s", strerror(-r));
        return r;
    }
    r = vault_disk_attach(&v->disk, o->disk_fd);
    if (r != 0) {
        log_write(LOG_ERROR, AREA, "the disk is unusable: %s", strerror(-r));
        return r;
    }
    keep[keep_count++] = o->disk_fd;
    for (uint32_t i = 0; i < v->client_count; i++) {
        keep[keep_count++] = v->fds[i];
    }
    r = sandbox_close_other_fds(keep, keep_count);
    if (r != 0) {
        log_write(LOG_ERROR, AREA, "cannot close descriptors: %s", strerror(-r));
    }
    return r;
}

// ---- serving ------------------------------------------------------------------------------------

/// One packet. false: the client is gone.
static bool serve_one(struct vault *v, uint32_t client_idx) {
    static uint8_t packet[VAULT_MESSAGE_MAX_BYTES + 1]; // one more shows a packet that is too long
    static uint8_t answer[VAULT_MESSAGE_MAX_BYTES];
    ssize_t n = recv(v->fds[client_idx], packet, sizeof(packet), MSG_DONTWAIT);
    size_t size;

    if (n < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    if (n == 0) {
        return false; // an empty packet cannot be told from the end, and is no message either
    }
    size = vault_serve(&v->store, &v->clients[client_idx], packet, (size_t)n, answer);
    if (size != 0 &&
        send(v->fds[client_idx], answer, size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)size) {
        LOG_LIMITED(LOG_WARN, AREA, "client %u does not take its answer", (unsigned)client_idx);
    }
    explicit_bzero(answer, size);
    explicit_bzero(packet, (size_t)n);
    return true;
}

/// Until every client has closed.
static void serve(struct vault *v) {
    struct pollfd fds[VAULT_MAX_CLIENTS];
    uint32_t left = v->client_count;

    for (uint32_t i = 0; i < v->client_count; i++) {
        fds[i] = (struct pollfd){.fd = v->fds[i], .events = POLLIN};
    }
    while (left > 0) {
        if (poll(fds, v->client_count, -1) < 0) {
            continue;
        }
        for (uint32_t i = 0; i < v->client_count; i++) {
            if (fds[i].fd >= 0 && fds[i].revents != 0 && !serve_one(v, i)) {
                fds[i].fd = -1; // poll() leaves it out
                left--;
            }
        }
    }
}

int vault_main(int argc, char **argv) {
    struct vault *v = &vault;
    struct key_source source;
    uint8_t key[VMGS_KEY_BYTES];
    struct vmgs_disk ops;
    struct options o;
    int key_result;

    if (parse_options(v, &o, argc, argv) != 0) {
        return 1;
    }
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    worker_crash_install("vault", true);
    key_source_pipe(&source, o.key_fd);
    key_result = source.root_key(&source, key);
    // Nothing of the disk's contents is looked at before the process is confined.
    if (set_up(v, &o) != 0 || confine(v, &o) != 0) {
        explicit_bzero(key, sizeof(key));
        return 1;
    }
    if (key_result != 0 && key_result != -ENOKEY) {
        log_write(LOG_ERROR, AREA, "the %s gives no key: %s", source.name, strerror(-key_result));
        v->store.refusal = -EKEYREJECTED;
    } else {
        ops = vault_disk_ops(&v->disk);
        (void)vault_store_open(&v->store, &ops, key_result == 0 ? key : NULL, o.format);
    }
    explicit_bzero(key, sizeof(key));
    serve(v);
    vault_store_close(&v->store);
    return 0;
}
