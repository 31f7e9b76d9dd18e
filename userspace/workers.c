// SPDX-License-Identifier: MIT
//
// Starting and ending workers (workers.h).
#include "userspace/workers.h"

#include "igvm/base/log.h"
#include "userspace/nvme_find.h"
#include "userspace/secure_boot.h"
#include "userspace/vmgs/vmgs_format.h"
#include "userspace/workers_content.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define AREA          "supervisor"
#define MAX_ARGUMENTS 12u
/// A vault that does not answer is given up: its disk may be slow, a guest's firmware may not wait.
#define VAULT_ANSWER_S 60

static const char *const names[WORKER_COUNT] = {
    [WORKER_VAULT] = "vault",
    [WORKER_VTPM] = "vtpm",
    [WORKER_UEFI_VARS] = "uefi-vars",
    [WORKER_VMM] = "vmm",
};

/// The VMGS file that a client of the vault gets; 0: it is none.
static const uint32_t vault_files[WORKER_COUNT] = {
    [WORKER_VTPM] = VMGS_TPM_NVRAM,
    [WORKER_UEFI_VARS] = VMGS_BIOS_NVRAM,
};

/// A process to be: its command line, and the descriptors it inherits.
struct launch {
    char *arguments[MAX_ARGUMENTS + 1];
    char text[MAX_ARGUMENTS][CONFIG_PATH_BYTES + 32];
    unsigned argument_count;
    int inherit[MAX_ARGUMENTS];
    unsigned inherit_count;
};

__attribute__((format(printf, 2, 3))) static void add(struct launch *l, const char *format, ...) {
    va_list args;

    if (l->argument_count == MAX_ARGUMENTS) {
        return; // the tables below are shorter
    }
    va_start(args, format);
    vsnprintf(l->text[l->argument_count], sizeof(l->text[0]), format, args);
    va_end(args);
    l->arguments[l->argument_count] = l->text[l->argument_count];
    l->argument_count++;
}

/// "--name=FD", inherited.
static void give(struct launch *l, const char *name, int fd) {
    add(l, "%s=%d", name, fd);
    l->inherit[l->inherit_count++] = fd;
}

/// Runs `parapet NAME …` in namespaces of its own.
static int launch(struct workers *w, enum worker_kind kind, struct launch *l) {
    char *const environment[] = {"PATH=/", NULL};
    pid_t child = fork();
    sigset_t none;

    if (child != 0) {
        if (child < 0) {
            log_write(LOG_ERROR, AREA, "fork: %s", strerror(errno));
            return -EAGAIN;
        }
        w->pids[kind] = child;
        return 0;
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    // One by one: a kernel without one of them must not cost us the others.
    unshare(CLONE_NEWNET);
    unshare(CLONE_NEWIPC);
    unshare(CLONE_NEWUTS);
    for (unsigned i = 0; i < l->inherit_count; i++) {
        fcntl(l->inherit[i], F_SETFD, 0);
    }
    execve("/proc/self/exe", l->arguments, environment);
    log_write(LOG_ERROR, AREA, "exec %s: %s", names[kind], strerror(errno));
    _exit(127);
}

static void close_fd(int *fd) {
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static bool socket_pair(int type, int pair[2]) {
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) == 0) {
        return true;
    }
    log_write(LOG_ERROR, AREA, "socketpair: %s", strerror(errno));
    pair[0] = pair[1] = -1;
    return false;
}

/// A state's descriptor, -1 with a log line. Opened here, before a VM worker runs, and a block
/// device exclusively: the guest cannot get it as a disk, whatever name (path, serial number) a
/// configuration finds for it. Devices may need a moment to appear; they are never created.
static int open_state(const char *path, const char *what, int flags) {
    bool is_device = strncmp(path, "/dev/", 5) == 0;
    int how = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (is_device ? O_EXCL | flags : O_CREAT);
    struct timespec pause = {.tv_nsec = 20000000};
    int fd = open(path, how, 0600);

    for (unsigned i = 0; fd < 0 && errno == ENOENT && is_device && i < 100; i++) {
        nanosleep(&pause, NULL);
        fd = open(path, how);
    }
    if (fd < 0) {
        log_write(LOG_ERROR, AREA, "%s: %s cannot be opened: %s", path, what, strerror(errno));
    }
    return fd;
}

void workers_init(struct workers *w, const struct config *config, const struct host_info *info,
                  const char *config_path) {
    *w = (struct workers){.config = config, .info = info, .config_path = config_path, .vmm_fd = -1};
    for (unsigned i = 0; i < WORKER_COUNT; i++) {
        w->vault_fds[i] = -1;
    }
}

bool workers_wants(const struct workers *w, enum worker_kind kind) {
    switch (kind) {
    case WORKER_VAULT:
        return config_has_state(w->config);
    case WORKER_VTPM:
        return w->config->tpm_enabled;
    case WORKER_UEFI_VARS:
        return w->config->boot == CONFIG_BOOT_UEFI;
    case WORKER_VMM:
        return true;
    case WORKER_COUNT:
        break;
    }
    return false;
}

// ---- the vault ----------------------------------------------------------------------------------

static int open_disk(const struct workers *w) {
    const struct config *config = w->config;
    char path[CONFIG_PATH_BYTES];

    if (config->state_path[0] != '\0') {
        return open_state(config->state_path, "the guest state", O_DIRECT);
    }
    if (nvme_find(config->state_nvme_serial, path, sizeof(path)) < 0) {
        log_write(LOG_ERROR, AREA, "no NVMe disk has the guest state's serial number \"%s\"",
                  config->state_nvme_serial);
        return -1;
    }
    return open_state(path, "the guest state", O_DIRECT);
}

void workers_start_vault(struct workers *w) {
    const struct timeval limit = {.tv_sec = VAULT_ANSWER_S};
    struct launch l = {.argument_count = 0};
    int ends[WORKER_COUNT], disk_fd, key_fd = -1;
    bool ok = true;

    add(&l, "%s", names[WORKER_VAULT]);
    for (unsigned i = 0; i < WORKER_COUNT; i++) {
        int pair[2];

        ends[i] = -1;
        if (vault_files[i] == 0 || !workers_wants(w, (enum worker_kind)i)) {
            continue;
        }
        close_fd(&w->vault_fds[i]);
        ok = socket_pair(SOCK_SEQPACKET, pair) && ok;
        w->vault_fds[i] = pair[0];
        ends[i] = pair[1];
        setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
        add(&l, "--client=%d:%u", pair[1], (unsigned)vault_files[i]);
        l.inherit[l.inherit_count++] = pair[1];
    }
    disk_fd = l.inherit_count == 0 ? -1 : open_disk(w); // nobody to serve: no vault
    if (disk_fd >= 0) {
        give(&l, "--disk-fd", disk_fd);
    }
    if (disk_fd >= 0 && w->config->state_key_bytes != 0) {
        key_fd = workers_key_pipe(w->config);
        ok = ok && key_fd >= 0;
        give(&l, "--key-fd", key_fd);
    }
    if (!w->config->state_format) {
        add(&l, "--format=never");
    }
    if (ok && disk_fd >= 0) {
        launch(w, WORKER_VAULT, &l);
    }
    close_fd(&disk_fd);
    close_fd(&key_fd);
    for (unsigned i = 0; i < WORKER_COUNT; i++) {
        close_fd(&ends[i]);
    }
}

void workers_release_vault(struct workers *w) {
    for (unsigned i = 0; i < WORKER_COUNT; i++) {
        close_fd(&w->vault_fds[i]);
    }
}

// ---- the services -------------------------------------------------------------------------------

/// The vTPM's own arguments; fds: what it gets, to be closed. -EIO when its state cannot be opened.
static int add_vtpm(const struct workers *w, struct launch *l, int fds[2]) {
    if (w->vault_fds[WORKER_VTPM] >= 0) {
        add(l, "--identity");
    } else {
        fds[0] = open_state(w->config->tpm_state, "the vTPM's state", 0);
        if (fds[0] < 0) {
            return -EIO;
        }
        give(l, "--state-fd", fds[0]);
    }
    if (w->config->boot == CONFIG_BOOT_LINUX) {
        // What firmware would do with the TPM is done by it while the VM worker builds the machine.
        add(l, "--play-firmware");
        fds[1] = workers_events_pipe(w->config, w->info);
        if (fds[1] < 0) {
            return -EIO;
        }
        give(l, "--events-fd", fds[1]);
    }
    return 0;
}

/// The options of the UEFI variables (uefi_vars.h). *keys_fd is to be closed; -1: none.
static int add_uefi_vars(const struct workers *w, struct launch *l, int *keys_fd) {
    const int r = secure_boot_open_keys(w->config, keys_fd);

    if (w->config->secure_boot) {
        add(l, "--secure-boot");
    }
    if (*keys_fd >= 0) {
        give(l, "--keys-fd", *keys_fd);
    }
    return r;
}

int workers_start_service(struct workers *w, enum worker_kind kind) {
    struct launch l = {.argument_count = 0};
    int vault_fd = w->vault_fds[kind], fds[2] = {-1, -1};
    int pair[2], r;

    // One that found nothing there would make a new state and go on with that.
    if (workers_wants(w, WORKER_VAULT) && vault_fd < 0) {
        log_write(LOG_ERROR, AREA, "worker %s is not started: there is no way to its state",
                  names[kind]);
        return -1;
    }
    if (!socket_pair(SOCK_SEQPACKET, pair)) {
        return -1;
    }
    add(&l, "%s", names[kind]);
    give(&l, "--socket", pair[1]);
    if (vault_fd >= 0) {
        give(&l, "--vault-fd", vault_fd);
    }
    r = kind == WORKER_VTPM ? add_vtpm(w, &l, fds) : add_uefi_vars(w, &l, &fds[0]);
    r = r == 0 ? launch(w, kind, &l) : r;
    close(pair[1]);
    close_fd(&fds[0]);
    close_fd(&fds[1]);
    if (r != 0) {
        close(pair[0]);
        return -1;
    }
    return pair[0];
}

int workers_start_vmm(struct workers *w, const int services[WORKER_COUNT]) {
    static const char *const options[WORKER_COUNT] = {
        [WORKER_VTPM] = "--vtpm-fd",
        [WORKER_UEFI_VARS] = "--uefi-vars-fd",
    };
    struct launch l = {.argument_count = 0};
    int pair[2], r;

    if (!socket_pair(SOCK_STREAM, pair)) {
        return -EMFILE;
    }
    add(&l, "%s", names[WORKER_VMM]);
    add(&l, "--control=/run/parapet.sock");
    add(&l, "--confine");
    give(&l, "--supervisor-fd", pair[1]);
    for (unsigned i = 0; i < WORKER_COUNT; i++) {
        if (options[i] && services[i] >= 0) {
            give(&l, options[i], services[i]);
        }
    }
    if (w->config_path) {
        add(&l, "--config=%s", w->config_path);
    }
    r = launch(w, WORKER_VMM, &l);
    close(pair[1]);
    for (unsigned i = 0; i < WORKER_COUNT; i++) {
        if (options[i] && services[i] >= 0) {
            close(services[i]);
        }
    }
    w->vmm_fd = pair[0];
    return r;
}

// ---- the end ------------------------------------------------------------------------------------

static void report_end(enum worker_kind kind, int status) {
    if (WIFSIGNALED(status)) {
        log_write(LOG_ERROR, AREA, "worker %s died of signal %d", names[kind], WTERMSIG(status));
    } else if (WEXITSTATUS(status) != 0) {
        log_write(LOG_WARN, AREA, "worker %s ended with status %d", names[kind],
                  WEXITSTATUS(status));
    }
}

void workers_end(struct workers *w, enum worker_kind kind) {
    struct timespec pause = {.tv_nsec = 25000000};
    pid_t pid = w->pids[kind], ended = 0;
    int status = 0;

    if (pid == 0) {
        return;
    }
    for (unsigned i = 0; ended == 0 && i < 20; i++) {
        ended = waitpid(pid, &status, WNOHANG);
        if (ended == 0) {
            nanosleep(&pause, NULL);
        }
    }
    if (ended == 0) {
        kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
    }
    w->pids[kind] = 0;
    report_end(kind, status);
}

enum worker_kind workers_ended(struct workers *w, pid_t pid, int status) {
    unsigned kind = 0;

    while (kind < WORKER_COUNT && w->pids[kind] != pid) {
        kind++;
    }
    if (kind == WORKER_COUNT) {
        return WORKER_COUNT;
    }
    w->pids[kind] = 0;
    report_end((enum worker_kind)kind, status);
    for (unsigned i = 0; kind == WORKER_VAULT && i < WORKER_COUNT; i++) {
        if (vault_files[i] != 0 && w->pids[i] != 0) {
            log_write(LOG_ERROR, AREA, "worker %s ends with the vault, which kept its state",
                      names[i]);
            kill(w->pids[i], SIGTERM);
        }
    }
    return (enum worker_kind)kind;
}
