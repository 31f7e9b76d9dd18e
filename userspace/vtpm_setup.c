// SPDX-License-Identifier: MIT
//
// The vTPM process's command line, its state and its sandbox (vtpm_setup.h).
#include "userspace/vtpm_setup.h"

#include "igvm/base/log.h"
#include "igvm/base/types.h"
#include "userspace/sandbox.h"
#include "userspace/vtpm.h"
#include "userspace/worker_options.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define AREA "vtpm"

/// What libtpms, libcrypto, the C library and our own threads need; not a path, not a new
/// descriptor, not a new thread, not executable memory.
static const struct sandbox_rule fixed_rules[] = {
    SANDBOX_ALLOW(SYS_futex),
    SANDBOX_ALLOW(SYS_clock_gettime), // where the vDSO cannot answer
    SANDBOX_ALLOW(SYS_gettimeofday),
    SANDBOX_ALLOW(SYS_time),
    SANDBOX_ALLOW(SYS_getrandom),
    SANDBOX_ALLOW(SYS_getpid), // libcrypto: has there been a fork?
    SANDBOX_ALLOW(SYS_gettid),
    SANDBOX_ALLOW(SYS_getuid), // libcrypto: is the environment to be trusted?
    SANDBOX_ALLOW(SYS_geteuid),
    SANDBOX_ALLOW(SYS_getgid),
    SANDBOX_ALLOW(SYS_getegid),
    SANDBOX_ALLOW(SYS_brk),
    SANDBOX_ALLOW_MASK(SYS_mmap, 2, PROT_EXEC, 0),
    SANDBOX_ALLOW_MASK(SYS_mprotect, 2, PROT_EXEC, 0),
    SANDBOX_ALLOW(SYS_munmap),
    SANDBOX_ALLOW(SYS_mremap),
    SANDBOX_ALLOW(SYS_madvise),
    SANDBOX_ALLOW(SYS_rt_sigprocmask),
    SANDBOX_ALLOW(SYS_rt_sigreturn),
    SANDBOX_ALLOW(SYS_sigaltstack), // a sanitized build's threads end with it
    SANDBOX_ALLOW(SYS_sched_yield),
    SANDBOX_ALLOW(SYS_restart_syscall),
    SANDBOX_ALLOW(SYS_write), // the log
    SANDBOX_ALLOW(SYS_writev),
    SANDBOX_ALLOW(SYS_exit),
    SANDBOX_ALLOW(SYS_exit_group),
    // Tried by libraries and survived by them: configuration files, terminals, statistics.
    SANDBOX_REFUSE(SYS_open, EACCES),
    SANDBOX_REFUSE(SYS_openat, EACCES),
    SANDBOX_REFUSE(SYS_newfstatat, EACCES),
    SANDBOX_REFUSE(SYS_fstat, EACCES),
    SANDBOX_REFUSE(SYS_access, EACCES),
    SANDBOX_REFUSE(SYS_readlink, EACCES),
    SANDBOX_REFUSE(SYS_ioctl, ENOTTY),
    SANDBOX_REFUSE(SYS_close, EPERM),
    SANDBOX_REFUSE(SYS_prctl, EPERM),
    SANDBOX_REFUSE(SYS_sysinfo, EPERM),
    SANDBOX_REFUSE(SYS_sched_getaffinity, EPERM),
    SANDBOX_REFUSE(SYS_lseek, ESPIPE),
};

int vtpm_confine(const struct vtpm_store *store, const struct vtpm_options *o) {
    const struct sandbox_rule own_rules[] = {
        SANDBOX_ALLOW_ARG(SYS_recvfrom, 0, o->socket_fd),
        SANDBOX_ALLOW_ARG(SYS_sendto, 0, o->socket_fd),
        // The state: a file's or device's descriptor, or the vault's socket.
        SANDBOX_ALLOW_ARG(SYS_pread64, 0, store->fd), SANDBOX_ALLOW_ARG(SYS_pwrite64, 0, store->fd),
        SANDBOX_ALLOW_ARG(SYS_fdatasync, 0, store->fd),
        SANDBOX_ALLOW_ARG(SYS_recvfrom, 0, store->fd), SANDBOX_ALLOW_ARG(SYS_sendto, 0, store->fd),
        SANDBOX_ALLOW_ARG(SYS_tgkill, 0, getpid()), // abort()
    };
    struct sandbox_rule rules[ARRAY_COUNT(fixed_rules) + ARRAY_COUNT(own_rules)];
    const struct sandbox_policy policy = {
        .name = "vtpm",
        .rules = rules,
        .rule_count = ARRAY_COUNT(rules),
        .uid = (uint32_t)o->uid,
        .gid = (uint32_t)o->gid,
#ifndef PARAPET_TEST // a sanitizer's shadow memory alone is larger
        .max_memory_bytes = 256u << 20,
#endif
        .max_file_bytes = VTPM_STORE_BYTES,
    };

    memcpy(rules, own_rules, sizeof(own_rules));
    memcpy(rules + ARRAY_COUNT(own_rules), fixed_rules, sizeof(fixed_rules));
    return sandbox_enter(&policy);
}

/// -EINVAL for what is not understood.
static int parse_option(struct vtpm_options *o, const char *arg) {
    const struct worker_number_option numbers[] = {
        {"--socket", &o->socket_fd},    {"--state-fd", &o->state_fd}, {"--vault-fd", &o->vault_fd},
        {"--events-fd", &o->events_fd}, {"--uid", &o->uid},           {"--gid", &o->gid},
    };
    const char *value;

    if ((value = worker_option(arg, "--state")) != NULL) {
        o->state_path = value;
        return 0;
    }
    if ((value = worker_option(arg, "--create")) != NULL) {
        o->policy.never_manufacture = strcmp(value, "never") == 0;
        return o->policy.never_manufacture || strcmp(value, "if-blank") == 0 ? 0 : -EINVAL;
    }
    if ((value = worker_option(arg, "--on-corrupt")) != NULL) {
        o->policy.manufacture_if_corrupt = strcmp(value, "manufacture") == 0;
        return o->policy.manufacture_if_corrupt || strcmp(value, "fail") == 0 ? 0 : -EINVAL;
    }
    if (strcmp(arg, "--play-firmware") == 0) {
        o->policy.play_firmware = true;
        return 0;
    }
    if (strcmp(arg, "--identity") == 0) {
        o->policy.make_identity = true;
        return 0;
    }
    return worker_take_number(arg, numbers, ARRAY_COUNT(numbers)) ? 0 : -EINVAL;
}

int vtpm_parse_options(struct vtpm_options *o, int argc, char **argv) {
    int id = geteuid() == 0 ? (int)VTPM_DEFAULT_UID : 0;
    int states;

    *o = (struct vtpm_options){
        .socket_fd = -1, .state_fd = -1, .vault_fd = -1, .events_fd = -1, .uid = id, .gid = id};
    for (int i = 1; i < argc; i++) {
        if (parse_option(o, argv[i]) != 0) {
            log_write(LOG_ERROR, AREA, "option %s is not understood", argv[i]);
            return -EINVAL;
        }
    }
    states = (o->state_fd >= 0) + (o->vault_fd >= 0) + (o->state_path != NULL);
    if (o->socket_fd < 0 || states != 1) {
        log_write(LOG_ERROR, AREA, "needs --socket and one of --state, --state-fd, --vault-fd");
        return -EINVAL;
    }
    return 0;
}

int vtpm_open_store(struct vtpm_store *store, const struct vtpm_options *o) {
    int fd = o->state_fd;
    int r = 0;

    if (o->vault_fd >= 0) {
        vtpm_store_attach_vault(store, o->vault_fd);
        return 0;
    }
    if (fd < 0) {
        fd = open(o->state_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    }
    // Locked against a second vTPM.
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0) {
        r = -errno;
        log_write(LOG_ERROR, AREA, "state cannot be opened: %s", strerror(-r));
        return r;
    }
    r = vtpm_store_attach(store, fd);
    if (r != 0) {
        log_write(LOG_ERROR, AREA, "state is unusable: %s", strerror(-r));
    }
    return r;
}
