// SPDX-License-Identifier: MIT
//
// Starts the workers (userspace/workers.h), each in namespaces of its own, joined by sockets, and
// watches them. A service that died (vTPM, UEFI variables) is replaced only when the VM worker asks
// for it, at a guest reset (why: userspace/vtpm.h). When the VM worker ends, everything ends with
// its exit code.
#include "userspace/supervisor.h"

#include "igvm/base/log.h"
#include "userspace/log.h"
#include "userspace/vmm.h"
#include "userspace/vmm_options.h"
#include "userspace/workers.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct supervisor {
    struct config config;
    struct host_info info;
    struct workers workers;
    int signal_fd;
};

/// Replaces a service; the VM worker's end of its socket, or -1. A vault that is gone comes first:
/// without it the service could not start.
static int renew(struct supervisor *s, enum worker_kind kind) {
    struct workers *w = &s->workers;

    int status;

    if (!workers_wants(w, kind)) {
        return -1;
    }
    workers_end(w, kind);
    if (w->pids[WORKER_VAULT] != 0 &&
        waitpid(w->pids[WORKER_VAULT], &status, WNOHANG) == w->pids[WORKER_VAULT]) {
        workers_ended(w, w->pids[WORKER_VAULT], status); // just now
    }
    if (workers_wants(w, WORKER_VAULT) && w->pids[WORKER_VAULT] == 0) {
        workers_start_vault(w);
    }
    return workers_start_service(w, kind);
}

/// The VM worker asks for a new service, by its letter: the answer is the same byte, with the
/// socket when there is one.
static void answer_vmm(struct supervisor *s) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } space = {0};
    char byte;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    int fd;

    if (read(s->workers.vmm_fd, &byte, 1) != 1 ||
        (byte != SUPERVISOR_VTPM && byte != SUPERVISOR_UEFI_VARS)) {
        close(s->workers.vmm_fd); // gone, or confused: nothing more from there
        s->workers.vmm_fd = -1;
        return;
    }
    fd = renew(s, byte == SUPERVISOR_VTPM ? WORKER_VTPM : WORKER_UEFI_VARS);
    if (fd >= 0) {
        message.msg_control = &space;
        message.msg_controllen = sizeof(space);
        space.header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&space.header), &fd, sizeof(fd));
    }
    sendmsg(s->workers.vmm_fd, &message, MSG_NOSIGNAL);
    if (fd >= 0) {
        close(fd);
    }
}

/// Reaps. The VM worker's exit code once it has ended, else -1.
static int reap(struct supervisor *s) {
    struct signalfd_siginfo info;
    ssize_t got = read(s->signal_fd, &info, sizeof(info));
    int status, end = -1;
    pid_t ended;

    (void)got; // one signal may stand for several children: ask for all
    while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
        if (workers_ended(&s->workers, ended, status) == WORKER_VMM) {
            end = WIFSIGNALED(status) ? VMM_END_FAILED : WEXITSTATUS(status);
        }
    }
    return end;
}

static int watch(struct supervisor *s) {
    int end = -1;

    while (end < 0) {
        struct pollfd fds[2] = {{.fd = s->signal_fd, .events = POLLIN},
                                {.fd = s->workers.vmm_fd, .events = POLLIN}};

        if (poll(fds, 2, -1) < 0) {
            continue;
        }
        if (fds[1].revents) {
            answer_vmm(s);
        }
        if (fds[0].revents) {
            end = reap(s);
        }
    }
    return end;
}

/// Waits at most two seconds for a worker that ends by itself.
static void wait_for(struct supervisor *s, enum worker_kind kind) {
    for (unsigned i = 0; s->workers.pids[kind] != 0 && i < 20; i++) {
        struct pollfd fd = {.fd = s->signal_fd, .events = POLLIN};

        if (poll(&fd, 1, 100) > 0) {
            reap(s);
        }
    }
}

/// The services end when their sockets close, which the VM worker's end did, and the vTPM writes
/// its state then; the vault ends after them.
static void end_services(struct supervisor *s) {
    wait_for(s, WORKER_VTPM);
    wait_for(s, WORKER_UEFI_VARS);
    workers_release_vault(&s->workers);
    wait_for(s, WORKER_VAULT);
}

/// The whole configuration, the host's part too, within what the measured one lets it set: the
/// guest state's disk and key may be the host's to name.
static int read_config(struct supervisor *s, const char *path) {
    struct vmm_options options = {.config_path = path};
    int r = host_info_read(HOST_INFO_FOLDER, &s->info);

    if (r < 0) {
        log_write(LOG_ERROR, "host-info", "%s: %s", HOST_INFO_FOLDER, strerror(-r));
        return VMM_END_FAILED;
    }
    r = vmm_read_config(&options, &s->info, &s->config);
    host_info_free(&s->info); // the text; the payloads' digests stay
    return r < 0 ? VMM_END_CONFIG : 0;
}

static int start(struct supervisor *s) {
    struct workers *w = &s->workers;
    int services[WORKER_COUNT];

    if (workers_wants(w, WORKER_VAULT)) {
        workers_start_vault(w);
    }
    for (unsigned i = 0; i < WORKER_COUNT; i++) {
        bool is_service = i == WORKER_VTPM || i == WORKER_UEFI_VARS;

        services[i] = is_service && workers_wants(w, (enum worker_kind)i)
                          ? workers_start_service(w, (enum worker_kind)i)
                          : -1;
    }
    return workers_start_vmm(w, services);
}

int supervisor_main(int argc, char **argv) {
    static struct supervisor s;
    const char *path = argc > 1 ? argv[1] : NULL;
    sigset_t children;
    int end;

    log_init("supervisor", LOG_INFO, STDERR_FILENO);
    signal(SIGPIPE, SIG_IGN);
    end = read_config(&s, path);
    if (end != 0) {
        return end;
    }
    workers_init(&s.workers, &s.config, &s.info, path);
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, NULL);
    s.signal_fd = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s.signal_fd < 0) {
        log_write(LOG_ERROR, "supervisor", "signalfd: %s", strerror(errno));
        return VMM_END_FAILED;
    }
    if (start(&s) < 0) {
        return VMM_END_FAILED;
    }
    end = watch(&s);
    end_services(&s);
    return end;
}
