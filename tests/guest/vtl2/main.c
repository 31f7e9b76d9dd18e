// SPDX-License-Identifier: MIT
//
// Start, results, end: every line on COM1, results as tests/boot/lib.sh reads them.
#include "tests/guest/vtl2/vtl2.h"

#include "loader/bare/format.h"
#include "loader/bare/serial.h"

#include <stdarg.h>
#include <string.h>

extern const struct test tests_start[], tests_end[];

static char failure[160], remark[80];
static volatile uint32_t failed;

void say(const char *format, ...) {
    char line[256];
    va_list args;

    va_start(args, format);
    bare_vformat(line, sizeof(line), format, args);
    va_end(args);
    serial_write(line, strlen(line));
    serial_write("\n", 1);
}

void note(const char *format, ...) {
    va_list args;

    va_start(args, format);
    bare_vformat(remark, sizeof(remark), format, args);
    va_end(args);
}

bool expect_equal(uint64_t is, uint64_t wanted, const char *what, const char *file, int line) {
    if (is == wanted) {
        return true;
    }
    if (__atomic_fetch_add(&failed, 1, __ATOMIC_SEQ_CST) == 0) {
        bare_format(failure, sizeof(failure), "%s:%d: %s is 0x%lx, not 0x%lx", file, line, what,
                    (unsigned long)is, (unsigned long)wanted);
    }
    return false;
}

static void run(const struct test *test) {
    if (test->vp_count > vp_count) {
        return;
    }
    failed = 0;
    remark[0] = '\0';
    vtl0_memory_init();
    vtl0_apic_reset();
    test->run();
    if (failed) {
        say("PT fail %s %s%s", test->name, failure, failed > 1 ? " (and more)" : "");
    } else {
        say("PT pass %s %s", test->name, remark);
    }
}

_Noreturn void power_off(void) {
    *(uint32_t *)me()->input = 5;
    call(HV_CALL_ENTER_SLEEP_STATE);
    say("PT fail power-off the machine goes on");
    for (;;) {
        __asm__ volatile("hlt");
    }
}

_Noreturn void vtl2_main(void) {
    serial_init();
    say("PT ready 0");
    vp_init(0);
    for (const struct test *test = tests_start; test < tests_end; test++) {
        run(test);
    }
    say("PT end %u VPs", vp_count);
    power_off();
}
