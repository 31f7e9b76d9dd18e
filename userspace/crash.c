// SPDX-License-Identifier: MIT
//
// The report of a VP that cannot go on: a triple fault, or a platform that refuses to run it.
// On an isolated platform the platform's vp_get_registers refuses and no register is shown.
#include "userspace/crash.h"

#include "igvm/base/log.h"

#include <string.h>

typedef unsigned long long ull;

static void report_segment(const char *name, const struct vp_segment *s) {
    log_write(LOG_ERROR, "crash", "  %-4s %04x base %016llx limit %08x attributes %04x", name,
              s->selector, (ull)s->base, s->limit, s->attributes);
}

void crash_report(const struct vtl2_ops *ops, struct vp *vp, uint32_t vp_index, const char *what,
                  const uint64_t *detail) {
    static struct log_limit limit; // a guest that crashes and is restarted may do so for ever
    struct vp_registers r;
    int result;

    if (!log_allowed(&limit, "crash")) {
        return;
    }
    result = ops->vp_get_registers(vp, &r);
    log_write(LOG_ERROR, "crash", "VP %u stopped: %s (platform %s)", vp_index, what, ops->name);
    if (detail) {
        log_write(LOG_ERROR, "crash", "  details %#llx %#llx %#llx %#llx", (ull)detail[0],
                  (ull)detail[1], (ull)detail[2], (ull)detail[3]);
    }
    if (result < 0) {
        log_write(LOG_ERROR, "crash", "  registers are not available: %s", strerror(-result));
        return;
    }
    log_write(LOG_ERROR, "crash", "  rip %016llx rflags %08llx rsp %016llx", (ull)r.rip,
              (ull)r.rflags, (ull)r.rsp);
    log_write(LOG_ERROR, "crash", "  rax %016llx rbx %016llx rcx %016llx rdx %016llx", (ull)r.rax,
              (ull)r.rbx, (ull)r.rcx, (ull)r.rdx);
    log_write(LOG_ERROR, "crash", "  rsi %016llx rdi %016llx rbp %016llx r8  %016llx", (ull)r.rsi,
              (ull)r.rdi, (ull)r.rbp, (ull)r.r8);
    log_write(LOG_ERROR, "crash", "  r9  %016llx r10 %016llx r11 %016llx r12 %016llx", (ull)r.r9,
              (ull)r.r10, (ull)r.r11, (ull)r.r12);
    log_write(LOG_ERROR, "crash", "  r13 %016llx r14 %016llx r15 %016llx", (ull)r.r13, (ull)r.r14,
              (ull)r.r15);
    log_write(LOG_ERROR, "crash", "  cr0 %08llx cr2 %016llx cr3 %016llx cr4 %08llx efer %04llx",
              (ull)r.cr0, (ull)r.cr2, (ull)r.cr3, (ull)r.cr4, (ull)r.efer);
    report_segment("cs", &r.cs);
    report_segment("ss", &r.ss);
    report_segment("tr", &r.tr);
    log_write(LOG_ERROR, "crash", "  gdt  base %016llx limit %04x  idt base %016llx limit %04x",
              (ull)r.gdt.base, r.gdt.limit, (ull)r.idt.base, r.idt.limit);
}
