// SPDX-License-Identifier: MIT
//
// Hyper-V's interface from VTL0 (TLFS): hypercalls on and about VTL2, forged levels, partitions,
// sizes and counts. Everything that concerns VTL2 is refused; the status says so, never success.

#include "tests/guest/bare/attack.h"

#define MSR_GUEST_OS_ID 0x40000000u
#define MSR_HYPERCALL   0x40000001u
#define SELF            0xffffffffffffffffull
#define VP_SELF         0xfffffffeu
#define RAISED          0x10000ull ///< above every status: an exception instead of a result

#define CALL_CODES      0x120u
#define VECTOR_OF_FLOOD 0x50u

struct call {
    uint64_t control, input, output, result;
};

static uint64_t input[512] __attribute__((aligned(4096)));
static uint64_t output[512] __attribute__((aligned(4096)));
static uint8_t call_page[4096] __attribute__((aligned(4096)));

static uint64_t gpa_of(const void *p) {
    return (uint64_t)(uintptr_t)p;
}

static void issue(void *argument) {
    struct call *call = argument;
    register uint64_t r8 __asm__("r8") = call->output;
    uint64_t a = 0, c = call->control, d = call->input;
    __asm__ volatile("vmmcall"
                     : "+a"(a), "+c"(c), "+d"(d), "+r"(r8)
                     :
                     : "r9", "r10", "r11", "memory", "cc");
    call->result = a;
}

/// The status, or RAISED.
static uint64_t hypercall(uint64_t control, uint64_t in, uint64_t out) {
    struct call call = {control, in, out, 0};
    return try_call(issue, &call) ? RAISED : call.result & 0xffff;
}

static void start_hyperv(void) {
    write_msr(MSR_GUEST_OS_ID, 0x8100ull << 48);
    write_msr(MSR_HYPERCALL, gpa_of(call_page) | 1);
}

static void clear_input(void) {
    for (unsigned i = 0; i < 512; i++) {
        input[i] = output[i] = 0;
    }
}

/// A repeated call with one repetition.
static uint64_t one_rep(uint16_t code) {
    return code | 1ull << 32;
}

// ---- where input and output are ----

/// No code may take its input from foreign memory, nor write its output there.
ATTACK(hv_addresses, ATTACK_VSM) {
    uint64_t taken = 0, calls = 0, which = 0;
    start_hyperv();
    for (unsigned i = 0; i < target_count; i += 2) {
        const uint64_t at[] = {targets[i], targets[i] + 0xff8, targets[i] - 8, targets[i] + 1};
        for (uint64_t code = 1; code < CALL_CODES; code++) {
            for (unsigned k = 0; k < 4; k++) {
                // As a simple call and as one with a repetition.
                uint64_t control = k & 1 ? code : code | 1ull << 32;
                uint64_t status = hypercall(control, at[k], gpa_of(output));
                calls++;
                if (status == 0) {
                    taken++;
                    which = code << 16 | k;
                }
            }
        }
    }
    VERDICT(taken == 0, "hv_addresses # calls with input elsewhere, # accepted, last $", calls,
            taken, which);
}

/// Registers of VTL0 itself, whose values the hypervisor would write into VTL2's memory.
ATTACK(hv_output, ATTACK_VSM) {
    uint64_t taken = 0, works;
    start_hyperv();
    clear_input();
    input[0] = SELF;
    input[1] = VP_SELF;
    ((uint32_t *)input)[4] = 0x90002; // the guest OS's identity
    works = hypercall(one_rep(0x50), gpa_of(input), gpa_of(output));
    for (unsigned i = 0; i < target_count; i++) {
        taken += hypercall(one_rep(0x50), gpa_of(input), targets[i]) == 0;
        taken += hypercall(one_rep(0x50), gpa_of(input), targets[i] - 8) == 0;
    }
    taken += hypercall(one_rep(0x50), gpa_of(input), 0xfee00000u) == 0;
    taken += hypercall(one_rep(0x50), gpa_of(input), 0xfed40000u) == 0;
    taken += hypercall(one_rep(0x50), gpa_of(input), 0xfffffffffffff000ull) == 0;
    VERDICT(taken == 0 && works == 0, "hv_output # accepted, own registers: status #", taken,
            works);
}

/// Every code, with counts, header sizes and reserved bits that cannot be.
ATTACK(hv_counts, ATTACK_VSM) {
    uint64_t taken = 0, calls = 0, which = 0;
    start_hyperv();
    clear_input();
    for (uint64_t code = 1; code < CALL_CODES; code++) {
        const uint64_t controls[] = {
            code | 0xfffull << 32,                  // more repetitions than a page holds
            code | 1ull << 32 | 5ull << 48,         // starts behind its end
            code | 0x3ffull << 17,                  // a header of 8 KiB
            code | 0x3ffull << 17 | 0xfffull << 32, // both
            code | 1ull << 27,                      // reserved
            code | 1ull << 31 | 1ull << 44,
            code | 0xfull << 60,
            code | 1ull << 16 | 0xfffull << 32, // fast with more than registers hold
        };
        for (unsigned i = 0; i < sizeof(controls) / sizeof(controls[0]); i++) {
            uint64_t status = hypercall(controls[i], gpa_of(input), gpa_of(output));
            calls++;
            if (status == 0) {
                taken++;
                which = code << 16 | i;
            }
        }
    }
    VERDICT(taken == 0, "hv_counts # calls, # accepted, last $", calls, taken, which);
}

// ---- what is VTL2's ----

/// VTL call, VTL return; a level cannot be entered from here by anything.
ATTACK(hv_vtl_switch, ATTACK_VSM) {
    uint64_t refused = 0;
    start_hyperv();
    for (unsigned i = 0; i < 20; i++) {
        refused += hypercall(0x11, 0, 0) != 0;
        refused += hypercall(0x12, 1, 0) != 0;
        refused += hypercall(0x11 | 1ull << 16, ~0ull, ~0ull) != 0;
        refused += hypercall(0x12 | 1ull << 16, ~0ull, ~0ull) != 0;
    }
    VERDICT(refused == 80, "hv_vtl_switch # of 80 refused", refused);
}

/// Registers of VTL2, of VTL1, of VSM; in every way to name a level, a VP and a partition.
ATTACK(hv_registers, ATTACK_VSM) {
    static const uint32_t names[] = {0x20010, 0x20004, 0x40002, 0x80001, 0xd0003, 0xd0006, 0xd0007,
                                     0x9001c, 0x90013, 0x90001, 0x4,     0x10004, 0x10002, 0x80003};
    static const uint8_t levels[] = {0x12, 0x11, 2, 1, 0x1f, 0x32, 0x92, 0xff};
    uint64_t taken = 0, calls = 0, which = 0;
    start_hyperv();
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (unsigned k = 0; k < sizeof(levels); k++) {
            clear_input();
            input[0] = SELF;
            input[1] = VP_SELF | (uint64_t)levels[k] << 32;
            ((uint32_t *)input)[4] = names[i];
            uint64_t got = hypercall(one_rep(0x50), gpa_of(input), gpa_of(output));
            input[3] = 0;
            input[4] = targets[0];
            uint64_t put = hypercall(one_rep(0x51), gpa_of(input), 0);
            calls += 2;
            if (got == 0 || put == 0) {
                taken++;
                which = names[i] | (uint64_t)levels[k] << 32;
            }
        }
    }
    // VSM's configuration and pages as VTL0's own.
    for (uint32_t name = 0xd0006; name <= 0xd0007; name++) {
        clear_input();
        input[0] = SELF;
        input[1] = VP_SELF;
        ((uint32_t *)input)[4] = name;
        taken += hypercall(one_rep(0x51), gpa_of(input), 0) == 0;
    }
    VERDICT(taken == 0, "hv_registers # calls, # accepted, last $", calls, taken, which);
}

struct forged {
    uint16_t code;
    uint8_t reps;
    uint64_t words[6];
};

/// Calls that only VTL2 may make, with every right parameter.
ATTACK(hv_privileged, ATTACK_VSM) {
    const uint64_t page = targets[0] >> 12;
    const struct forged calls[] = {
        {0x0c, 1, {SELF, 0xf, page}},                 // protection: own level
        {0x0c, 1, {SELF, 0xf | 0x12ull << 32, page}}, // ... of VTL2
        {0x0c, 1, {SELF, 0xf | 2ull << 32, page}},
        {0x0d, 0, {SELF, 2}},                    // enable a VTL for the partition
        {0x0e, 0, {SELF, 2}},                    // disable one
        {0x0f, 0, {SELF, VP_SELF | 2ull << 32}}, // enable one for a VP
        {0x0f, 0, {SELF, 1 | 2ull << 32, 0x1000000}},
        {0x10, 0, {SELF, VP_SELF | 2ull << 32}},
        {0x99, 0, {SELF, 1 | 2ull << 32, 0x1000000}}, // start a VP in VTL2
        {0x99, 0, {SELF, 0 | 2ull << 32, 0x1000000}},
        {0x4d, 0, {SELF, 7 | 2ull << 32, 0}},          // intercepts: CPUID
        {0x4d, 0, {SELF, 7 | 3ull << 32, 13}},         // exceptions
        {0x4d, 0, {SELF, 0 | 0x11ull << 32, 0xffff}},  // ports, none
        {0x91, 0, {SELF, VP_SELF}},                    // an intercept's result
        {0x94, 0, {SELF, 0, 0, 0xf3 | 0x12ull << 32}}, // an interrupt for VTL2
        {0x94, 0, {SELF, 0, 0, 0xf3}},
        {0x0b, 0, {0xf3 | 0x12ull << 32, 3}}, // IPI into VTL2
        {0x0b, 0, {0xf3 | 2ull << 32, 3}},
        {0x52, 0, {SELF, VP_SELF, 0x12ull << 56, 0}}, // translation on VTL2's tables
        {0xac, 0, {SELF, VP_SELF, 0x12ull << 56, 0}},
        {0xc0, 0, {SELF, VP_SELF | 0x12ull << 32, 0}}, // event, message into VTL2
        {0xc1, 0, {SELF, VP_SELF | 0x12ull << 32, 0}},
        {0xd4, 1, {SELF, 1 | 0x10ull << 32, page}}, // what is protected
        {0x84, 0, {5}},                             // power off
        {0x46, 0, {0}},                             // the partition's id
        {0x8001, 0, {0}},
    };
    uint64_t taken = 0, which = 0, count = sizeof(calls) / sizeof(calls[0]);
    start_hyperv();
    for (unsigned i = 0; i < count; i++) {
        for (unsigned partition = 0; partition < 3; partition++) {
            clear_input();
            for (unsigned k = 0; k < 6; k++) {
                input[k] = calls[i].words[k];
            }
            if (partition > 0 && input[0] == SELF) {
                input[0] = partition; // forged: 1, 2
            }
            uint64_t control = calls[i].code | (uint64_t)calls[i].reps << 32;
            if (hypercall(control, gpa_of(input), gpa_of(output)) == 0) {
                taken++;
                which = calls[i].code | (uint64_t)i << 32;
            }
        }
    }
    uint64_t seen = *at64(targets[0]);
    VERDICT(taken == 0 && seen == ~0ull, "hv_privileged # calls, # accepted, last $, memory $",
            count * 3, taken, which, seen);
}

// ---- floods ----

/// Messages, events, IPIs, flushes without end; from both VPs.
static void flood(void *argument) {
    static uint64_t other_input[512] __attribute__((aligned(4096)));
    (void)argument;
    while (!other_stop) {
        other_input[0] = 0xf3;
        other_input[1] = 3;
        struct call call = {0x0b, gpa_of(other_input), 0, 0};
        issue(&call);
        call.control = 0x5d | 1u << 16;
        call.input = garbage();
        issue(&call);
    }
}

ATTACK(hv_floods, ATTACK_VSM | ATTACK_OTHER) {
    uint64_t accepted = 0;
    start_hyperv();
    *apic(0xf0) = 0x1ff;
    int started = other_start(flood, NULL);
    __asm__ volatile("sti");
    for (unsigned i = 0; i < 400; i++) {
        clear_input();
        input[0] = garbage() % 16; // a connection
        input[1] = 1 | (uint64_t)(garbage() % 300) << 32;
        accepted += hypercall(0x5c, gpa_of(input), 0) == 0;
        accepted += hypercall(0x5d | 1u << 16, garbage() % 16, 0) == 0;
        input[0] = VECTOR_OF_FLOOD;
        input[1] = ~0ull;
        hypercall(0x0b, gpa_of(input), 0);
        input[0] = 0;
        input[1] = 3;
        input[2] = ~0ull;
        hypercall(0x02, gpa_of(input), 0);
    }
    __asm__ volatile("cli");
    other_stop = 1;
    int ended = other_wait();
    VERDICT(started && ended && accepted == 0,
            "hv_floods # messages and events accepted, # interrupts, VP 1 ended #", accepted,
            (uint64_t)interrupt_count, (uint64_t)ended);
}

/// The input changes while it is read: in one byte, so that no mixture is a third name.
static void flip_input(void *argument) {
    volatile uint64_t *in = input;
    (void)argument;
    while (!other_stop) {
        in[1] = VP_SELF | 0x12ull << 32;
        in[1] = VP_SELF;
        ((volatile uint32_t *)in)[4] = 0x9001c; // VTL2's register page
        ((volatile uint32_t *)in)[4] = 0x90002;
    }
}

ATTACK(hv_race, ATTACK_VSM | ATTACK_OTHER) {
    uint64_t strange = 0, calls = 0;
    start_hyperv();
    clear_input();
    input[0] = SELF;
    input[1] = VP_SELF;
    ((uint32_t *)input)[4] = 0x90002;
    if (!other_start(flip_input, NULL)) {
        VERDICT(0, "hv_race no second VP #", 0);
        return;
    }
    for (; calls < 3000; calls++) {
        output[0] = 0;
        // What it gives is VTL0's identity or nothing.
        if (hypercall(one_rep(0x50), gpa_of(input), gpa_of(output)) == 0) {
            strange += output[0] != 0x8100ull << 48;
        }
    }
    other_stop = 1;
    int ended = other_wait();
    VERDICT(ended && strange == 0, "hv_race # calls, # gave something else", calls, strange);
}
