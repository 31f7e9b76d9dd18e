// SPDX-License-Identifier: MIT
//
// Confining a worker process: what it may ask the kernel for is one readable table of system calls
// (classic BPF by seccomp(2)); what it may be is nobody, without capabilities, without a core dump,
// without the ability to gain privileges. The worker opens what it needs, then enters.
//
// A policy is written down next to the worker's code:
//
//     static const struct sandbox_rule rules[] = {
//         SANDBOX_ALLOW(SYS_io_uring_enter),                   // hot calls first: linear search
//         SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_RUN),            // one rule per allowed request
//         SANDBOX_ALLOW_MASK(SYS_mmap, 2, PROT_EXEC, 0),       // (argument & mask) == value
//         SANDBOX_REFUSE(SYS_openat, EACCES),                  // libraries that try: an error
//     };                                                       // everything else: killed
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sock_filter;

/// One system call. The first rule that matches decides. Only the low 32 bits of an argument are
/// compared: right for descriptors, flags and ioctl requests, never for sizes or addresses.
struct sandbox_rule {
    uint32_t nr;     ///< SYS_...
    uint16_t refuse; ///< 0: allow; else the errno that the call gives
    uint8_t arg_idx; ///< 0..5
    bool has_arg;    ///< compare: (argument[arg_idx] & mask) == value
    uint32_t mask;   ///< bits that are compared
    uint32_t value;  ///< what they must be
};

#define SANDBOX_ALLOW(nr_)                                                                         \
    { .nr = (nr_) }
#define SANDBOX_ALLOW_ARG(nr_, idx_, value_)                                                       \
    {                                                                                              \
        .nr = (nr_), .arg_idx = (idx_), .has_arg = true, .mask = UINT32_MAX,                       \
        .value = (uint32_t)(value_)                                                                \
    }
#define SANDBOX_ALLOW_MASK(nr_, idx_, mask_, value_)                                               \
    { .nr = (nr_), .arg_idx = (idx_), .has_arg = true, .mask = (mask_), .value = (value_) }
#define SANDBOX_REFUSE(nr_, errno_)                                                                \
    { .nr = (nr_), .refuse = (errno_) }

struct sandbox_policy {
    const char *name; ///< for log lines: "vtpm"
    const struct sandbox_rule *rules;
    size_t rule_count; ///< at most SANDBOX_MAX_RULES
    uint32_t uid;      ///< real, effective and saved ids to become; 0: stay who we are. Needs root
    uint32_t gid;
    uint64_t max_memory_bytes; ///< address space (RLIMIT_AS); 0: leave
    uint64_t max_file_bytes;   ///< largest file it may write (RLIMIT_FSIZE); 0: leave
    bool trap; ///< for development: a forbidden call raises SIGSYS (caught or not), not a kill
};

#define SANDBOX_MAX_RULES 256u
/// Six instructions per rule at most, five around them.
#define SANDBOX_MAX_INSNS (SANDBOX_MAX_RULES * 6u + 5u)

/// Enters the sandbox: limits, ids, capabilities (bounding, ambient, all sets), no_new_privs,
/// not dumpable, then the filter for every thread of the process. Call it once everything is open
/// and every thread is started, or allow in the policy what later threads need. There is no way
/// back. 0 or -errno; after an error the process is in an undefined half-confined state: exit.
int sandbox_enter(const struct sandbox_policy *policy);

/// Closes every descriptor except those listed (any order, duplicates allowed, at most 64) and
/// 0, 1, 2. Before sandbox_enter(). -EINVAL when keep_count is too large, -errno of close_range.
int sandbox_close_other_fds(const int *keep, size_t keep_count);

/// The policy as a BPF program (pure; for sandbox_enter and tests). Returns the number of
/// instructions; -EINVAL for a rule that makes no sense, -ENOSPC when capacity is too small.
int sandbox_compile(const struct sandbox_policy *policy, struct sock_filter *out, size_t capacity);
