// SPDX-License-Identifier: MIT
//
// Confinement of worker processes: seccomp(2) filter, capabilities(7), resource limits. The filter
// is a linear list of blocks, one per rule and each complete in itself, so that no jump ever spans
// more than four instructions and a reader can follow the program with the table beside it.

#include "userspace/sandbox.h"

#include "igvm/base/log.h"
#include "igvm/base/types.h"

#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define AREA "sandbox"

#define LOAD_NR   BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define LOAD_ARCH BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch))
#define RETURN(v) BPF_STMT(BPF_RET | BPF_K, (v))

struct program {
    struct sock_filter *insns;
    size_t count;
    size_t capacity;
    bool full;
};

static void emit(struct program *p, struct sock_filter insn) {
    if (p->count == p->capacity) {
        p->full = true;
        return;
    }
    p->insns[p->count++] = insn;
}

static uint32_t rule_action(const struct sandbox_rule *rule) {
    return rule->refuse ? SECCOMP_RET_ERRNO | (rule->refuse & SECCOMP_RET_DATA) : SECCOMP_RET_ALLOW;
}

/// One block. On entry and when it does not match, the accumulator holds the call's number.
static void emit_rule(struct program *p, const struct sandbox_rule *rule) {
    // Little-endian: an argument's low half comes first.
    uint32_t arg_off = (uint32_t)(offsetof(struct seccomp_data, args) + 8u * rule->arg_idx);

    if (!rule->has_arg) {
        emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rule->nr, 0, 1));
        emit(p, (struct sock_filter)RETURN(rule_action(rule)));
        return;
    }
    emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rule->nr, 0, 5));
    emit(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, arg_off));
    emit(p, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, rule->mask));
    emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rule->value, 0, 1));
    emit(p, (struct sock_filter)RETURN(rule_action(rule)));
    emit(p, (struct sock_filter)LOAD_NR);
}

int sandbox_compile(const struct sandbox_policy *policy, struct sock_filter *out, size_t capacity) {
    struct program p = {.insns = out, .capacity = capacity};
    uint32_t otherwise = policy->trap ? SECCOMP_RET_TRAP : SECCOMP_RET_KILL_PROCESS;

    if (policy->rule_count > SANDBOX_MAX_RULES) {
        return -EINVAL;
    }
    // Another architecture's numbers (int 0x80) mean other calls. x32 calls have bit 30 set in
    // their number and match no rule.
    emit(&p, (struct sock_filter)LOAD_ARCH);
    emit(&p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
    emit(&p, (struct sock_filter)RETURN(SECCOMP_RET_KILL_PROCESS));
    emit(&p, (struct sock_filter)LOAD_NR);
    for (size_t i = 0; i < policy->rule_count; i++) {
        const struct sandbox_rule *rule = &policy->rules[i];

        if (rule->arg_idx > 5 || (rule->has_arg && (rule->value & ~rule->mask) != 0)) {
            return -EINVAL; // it could never match: a slip of the policy's author
        }
        emit_rule(&p, rule);
    }
    emit(&p, (struct sock_filter)RETURN(otherwise));
    return p.full ? -ENOSPC : (int)p.count;
}

static int limit(int resource, uint64_t value) {
    struct rlimit r = {.rlim_cur = value, .rlim_max = value};

    return setrlimit(resource, &r) == 0 ? 0 : -errno;
}

/// No core dumps (they would hold secrets), no further descriptors above the open ones are needed
/// by the policies themselves; memory and file size as the policy says.
static int enter_limits(const struct sandbox_policy *policy) {
    int r = limit(RLIMIT_CORE, 0);

    if (r == 0 && policy->max_memory_bytes != 0) {
        r = limit(RLIMIT_AS, policy->max_memory_bytes);
    }
    if (r == 0 && policy->max_file_bytes != 0) {
        r = limit(RLIMIT_FSIZE, policy->max_file_bytes);
    }
    return r;
}

/// Nothing may come back by an exec either: bounding and ambient sets first, while there is still
/// CAP_SETPCAP. Without it (not root) they are out of reach already, by no_new_privs.
static int drop_capability_sources(void) {
    for (unsigned cap = 0; cap < 64; cap++) {
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0) {
            if (errno == EINVAL) {
                break; // beyond the kernel's last capability
            }
            if (errno != EPERM) {
                return -errno;
            }
        }
    }
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL) {
        return -errno;
    }
    return 0;
}

/// The C library carries the ids to every thread; the kernel drops a thread's capabilities with the
/// last root id.
static int enter_ids(const struct sandbox_policy *policy) {
    if (policy->uid == 0) {
        return 0;
    }
    if (setgroups(0, NULL) != 0 || setresgid(policy->gid, policy->gid, policy->gid) != 0 ||
        setresuid(policy->uid, policy->uid, policy->uid) != 0) {
        return -errno;
    }
    return 0;
}

static int drop_capabilities(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

    return syscall(SYS_capset, &header, none) == 0 ? 0 : -errno;
}

static int enter_filter(const struct sandbox_policy *policy) {
    struct sock_filter insns[SANDBOX_MAX_INSNS];
    struct sock_fprog program = {.filter = insns};
    int count = sandbox_compile(policy, insns, ARRAY_COUNT(insns));
    long r;

    if (count < 0) {
        return count;
    }
    program.len = (unsigned short)count;
    r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
    if (r > 0) {
        return -EBUSY; // the id of a thread that has a filter of its own
    }
    return r == 0 ? 0 : -errno;
}

int sandbox_enter(const struct sandbox_policy *policy) {
    const char *step = "limits";
    int r = enter_limits(policy);

    if (r == 0) {
        step = "capability sources";
        r = drop_capability_sources();
    }
    if (r == 0) {
        step = "ids";
        r = enter_ids(policy);
    }
    if (r == 0) {
        step = "capabilities";
        r = drop_capabilities();
    }
    if (r == 0) {
        step = "no_new_privs";
        r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : -errno;
    }
    if (r == 0) {
        step = "dumpable"; // after the ids: changing them resets it
        r = prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : -errno;
    }
    if (r == 0) {
        step = "filter";
        r = enter_filter(policy);
    }
    if (r != 0) {
        log_write(LOG_ERROR, AREA, "%s: %s: %s", policy->name, step, strerror(-r));
    }
    return r;
}

#define MAX_KEEP 64u

static int close_range_of(unsigned first, unsigned last) {
    return first > last || syscall(SYS_close_range, first, last, 0) == 0 ? 0 : -errno;
}

int sandbox_close_other_fds(const int *keep, size_t keep_count) {
    unsigned next = 3;

    if (keep_count > MAX_KEEP) {
        return -EINVAL;
    }
    // Each round closes the gap below the smallest kept descriptor not yet passed.
    for (;;) {
        unsigned lowest = UINT32_MAX;
        int r;

        for (size_t i = 0; i < keep_count; i++) {
            if (keep[i] >= 0 && (unsigned)keep[i] >= next && (unsigned)keep[i] < lowest) {
                lowest = (unsigned)keep[i];
            }
        }
        if (lowest == UINT32_MAX) {
            return close_range_of(next, UINT32_MAX);
        }
        r = close_range_of(next, lowest - 1);
        if (r != 0) {
            return r;
        }
        next = lowest + 1;
    }
}
