// SPDX-License-Identifier: MIT
//
// Starts the vTPM process and the VM worker, each in namespaces of its own, joined by a socket, and
// watches them. A dead vTPM is replaced only when the VM worker asks for it, at a guest reset (why:
// userspace/vtpm.h). When the VM worker ends, everything ends with its exit code.
#include "userspace/supervisor.h"

#include "igvm/base/log.h"
#include "userspace/log.h"
#include "userspace/vmm.h"
#include "userspace/vmm_options.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_ARGUMENTS 12u

struct supervisor {
    struct config config;
    pid_t vtpm, vmm; ///< 0: not running
    int vmm_fd;      ///< our end of the VM worker's socket
    int signal_fd;
};

/// Runs `parapet NAME …` in namespaces of its own, with these descriptors (-1: none) inherited.
static pid_t start(char *const arguments[], const int *inherit, size_t inherit_count) {
    char *const environment[] = {"PATH=/", NULL};
    pid_t child = fork();
    sigset_t none;

    if (child != 0) {
        if (child < 0) {
            log_write(LOG_ERROR, "supervisor", "fork: %s", strerror(errno));
        }
        return child;
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    // One by one: a kernel without one of them must not cost us the others.
    unshare(CLONE_NEWNET);
    unshare(CLONE_NEWIPC);
    unshare(CLONE_NEWUTS);
    for (size_t i = 0; i < inherit_count; i++) {
        if (inherit[i] >= 0) {
            fcntl(inherit[i], F_SETFD, 0);
        }
    }
    execve("/proc/self/exe", arguments, environment);
    log_write(LOG_ERROR, "supervisor", "exec %s: %s", arguments[0], strerror(errno));
    _exit(127);
}

/// The state's descriptor, -1 with a log line. Opened here, before a VM worker runs, and a block
/// device exclusively: the guest cannot get it as a disk, whatever name (path, serial number) a
/// configuration finds for it. Devices may need a moment to appear; they are never created.
static int open_state(const char *path) {
    bool is_device = strncmp(path, "/dev/", 5) == 0;
    int how = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (is_device ? O_EXCL : O_CREAT);
    struct timespec pause = {.tv_nsec = 20000000};
    int fd = open(path, how, 0600);

    for (unsigned i = 0; fd < 0 && errno == ENOENT && is_device && i < 100; i++) {
        nanosleep(&pause, NULL);
        fd = open(path, how);
    }
    if (fd < 0) {
        log_write(LOG_ERROR, "supervisor", "%s: the vTPM's state cannot be opened: %s", path,
                  strerror(errno));
    }
    return fd;
}

/// Starts a vTPM. The VM worker's end of its socket, or -1.
static int start_vtpm(struct supervisor *s) {
    char socket_option[32], state_option[32];
    // The guest is booted without firmware: what that would do with the TPM is done here, while the
    // VM worker builds the machine.
    char *arguments[] = {"vtpm", socket_option, state_option, "--play-firmware", NULL};
    int state_fd = open_state(s->config.tpm_state);
    int pair[2];

    if (state_fd < 0) {
        return -1;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        log_write(LOG_ERROR, "supervisor", "socketpair: %s", strerror(errno));
        close(state_fd);
        return -1;
    }
    snprintf(socket_option, sizeof(socket_option), "--socket=%d", pair[1]);
    snprintf(state_option, sizeof(state_option), "--state-fd=%d", state_fd);
    s->vtpm = start(arguments, (const int[]){pair[1], state_fd}, 2);
    close(pair[1]);
    close(state_fd);
    if (s->vtpm < 0) {
        s->vtpm = 0;
        close(pair[0]);
        return -1;
    }
    return pair[0];
}

static int start_vmm(struct supervisor *s, int vtpm_fd, const char *config_path) {
    char vtpm_option[32], supervisor_option[32], config_option[CONFIG_PATH_BYTES + 16];
    char *arguments[MAX_ARGUMENTS] = {"vmm", "--control=/run/parapet.sock", "--confine"};
    unsigned count = 3;
    int pair[2], inherit[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        return -errno;
    }
    snprintf(supervisor_option, sizeof(supervisor_option), "--supervisor-fd=%d", pair[1]);
    arguments[count++] = supervisor_option;
    if (vtpm_fd >= 0) {
        snprintf(vtpm_option, sizeof(vtpm_option), "--vtpm-fd=%d", vtpm_fd);
        arguments[count++] = vtpm_option;
    }
    if (config_path) {
        snprintf(config_option, sizeof(config_option), "--config=%s", config_path);
        arguments[count++] = config_option;
    }
    inherit[0] = pair[1];
    inherit[1] = vtpm_fd;
    s->vmm = start(arguments, inherit, 2);
    close(pair[1]);
    if (vtpm_fd >= 0) {
        close(vtpm_fd);
    }
    s->vmm_fd = pair[0];
    return s->vmm < 0 ? -ENOMEM : 0;
}

static void report_end(const char *name, int status) {
    if (WIFSIGNALED(status)) {
        log_write(LOG_ERROR, "supervisor", "worker %s died of signal %d", name, WTERMSIG(status));
    } else if (WEXITSTATUS(status) != 0) {
        log_write(LOG_WARN, "supervisor", "worker %s ended with status %d", name,
                  WEXITSTATUS(status));
    }
}

/// Ends a vTPM that the VM worker has given up: one that hangs, or broke the protocol, would hold
/// the state file and keep the guest's next start from getting another. It gets a moment to end by
/// itself (its socket is closed); its state file survives the kill at any point.
static void end_vtpm(struct supervisor *s) {
    struct timespec pause = {.tv_nsec = 25000000};
    int status = 0;
    pid_t ended = 0;

    for (unsigned i = 0; s->vtpm != 0 && ended == 0 && i < 20; i++) {
        ended = waitpid(s->vtpm, &status, WNOHANG);
        if (ended == 0) {
            nanosleep(&pause, NULL);
        }
    }
    if (s->vtpm != 0 && ended == 0) {
        kill(s->vtpm, SIGKILL);
        while (waitpid(s->vtpm, &status, 0) < 0 && errno == EINTR) {
        }
    }
    if (s->vtpm != 0) {
        report_end("vtpm", status);
        s->vtpm = 0;
    }
}

/// The VM worker asks for a new vTPM: the answer is one byte, with the socket when there is one.
static void answer_vmm(struct supervisor *s) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } space = {0};
    char byte;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    int fd = -1;

    if (read(s->vmm_fd, &byte, 1) != 1 || byte != 't') {
        close(s->vmm_fd); // gone, or confused: nothing more from there
        s->vmm_fd = -1;
        return;
    }
    if (s->config.tpm_enabled) {
        end_vtpm(s);
        fd = start_vtpm(s);
    }
    if (fd >= 0) {
        message.msg_control = &space;
        message.msg_controllen = sizeof(space);
        space.header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&space.header), &fd, sizeof(fd));
    }
    sendmsg(s->vmm_fd, &message, MSG_NOSIGNAL);
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
        if (ended == s->vmm) {
            report_end("vmm", status);
            s->vmm = 0;
            end = WIFSIGNALED(status) ? VMM_END_FAILED : WEXITSTATUS(status);
        } else if (ended == s->vtpm) {
            report_end("vtpm", status);
            s->vtpm = 0;
        }
    }
    return end;
}

static int watch(struct supervisor *s) {
    int end = -1;

    while (end < 0) {
        struct pollfd fds[2] = {{.fd = s->signal_fd, .events = POLLIN},
                                {.fd = s->vmm_fd, .events = POLLIN}};

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

/// The vTPM writes its state when its socket closes, which the VM worker's end did.
static void wait_for_vtpm(struct supervisor *s) {
    for (unsigned i = 0; s->vtpm != 0 && i < 20; i++) {
        struct pollfd fd = {.fd = s->signal_fd, .events = POLLIN};

        if (poll(&fd, 1, 100) > 0) {
            reap(s);
        }
    }
}

int supervisor_main(int argc, char **argv) {
    static struct supervisor s;
    const struct host_info no_host = {0};
    struct vmm_options options = {.config_path = argc > 1 ? argv[1] : NULL};
    sigset_t children;
    int vtpm_fd = -1;
    int end;

    log_init("supervisor", LOG_INFO, STDERR_FILENO);
    signal(SIGPIPE, SIG_IGN);
    // Only the measured file: what starts which process is not the host's to say.
    if (vmm_read_config(&options, &no_host, &s.config) < 0) {
        return VMM_END_CONFIG;
    }
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, NULL);
    s.signal_fd = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s.signal_fd < 0) {
        log_write(LOG_ERROR, "supervisor", "signalfd: %s", strerror(errno));
        return VMM_END_FAILED;
    }
    if (s.config.tpm_enabled) {
        vtpm_fd = start_vtpm(&s);
    }
    if (start_vmm(&s, vtpm_fd, options.config_path) < 0) {
        return VMM_END_FAILED;
    }
    end = watch(&s);
    wait_for_vtpm(&s);
    return end;
}
