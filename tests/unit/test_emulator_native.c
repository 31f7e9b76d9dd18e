// SPDX-License-Identifier: MIT
//
// The emulator against the build machine's processor: random encodings of what the emulator knows
// in 64-bit and 32-bit code, random registers, flags and memory; both must end with the same
// registers, defined flags, vector registers and memory.
//
// PARAPET_SEED and PARAPET_CASES change what is tried; a failure names seed and case.
#include "tests/support/emu_cases.h"
#include "tests/support/emu_machine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DEFAULT_CASES 30000u
#define DEFAULT_SEED  UINT64_C(0x5EED5EED)

struct run {
    uint64_t seed;
    size_t count;
    struct emu_machine m;
    uint8_t data[NATIVE_DATA_BYTES]; ///< at the start
    struct native_case *cases;
    struct native_registers *emulated;
    uint32_t *hash;
    const struct case_encoding **encoding;
};

static uint64_t number_from(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);

    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static uint8_t *machine_data(struct run *run) {
    return run->m.ram + EMU_DATA_GPA;
}

static void print_case(const struct run *run, size_t i) {
    const struct native_case *c = &run->cases[i];

    print_message("seed 0x%llx case %zu: %s%s:", (unsigned long long)run->seed, i,
                  run->encoding[i]->name, c->is_32 ? " (32-bit)" : "");
    for (unsigned j = 0; j < c->insn_bytes; j++) {
        print_message(" %02x", c->insn[j]);
    }
    print_message("\n");
}

/// The emulator's side of one case.
static void emulate(struct run *run, size_t i) {
    const struct native_case *c = &run->cases[i];
    struct native_registers *out = &run->emulated[i];
    struct emu_state *s = &run->m.state;
    struct emu_result result;
    uint64_t rip;

    memcpy(s->gpr, c->in.gpr, sizeof(s->gpr));
    s->rflags = c->in.rflags;
    s->rip = c->is_32 ? NATIVE_CODE32_ADDRESS : NATIVE_CODE_ADDRESS;
    s->segment[EMU_CS].attributes = c->is_32 ? 0xCFB : 0xAFB;
    rip = s->rip;
    memcpy(run->m.vector, c->in.vector, sizeof(c->in.vector));
    run->m.context.max_repeat = i % 7; // small bounds must not show
    do {
        result = emu_machine_run(&run->m, c->insn, c->insn_bytes);
    } while (result.status == EMU_RETRY);
    if (result.status != EMU_DONE || s->rip != rip + c->insn_bytes) {
        print_case(run, i);
        fail_msg("status %d fault %u rip 0x%llx", (int)result.status, result.fault.vector,
                 (unsigned long long)s->rip);
    }
    memcpy(out->gpr, s->gpr, sizeof(s->gpr));
    out->rflags = s->rflags;
    memcpy(out->vector, run->m.vector, sizeof(out->vector));
    run->hash[i] = native_hash(machine_data(run), NATIVE_DATA_BYTES);
}

static void prepare(struct run *run) {
    bool has_32 = native_has_32();
    struct case_random random;
    size_t count;

    if (!has_32) {
        print_message("no 32-bit code here: 64-bit only\n");
    }

    run->seed = number_from("PARAPET_SEED", DEFAULT_SEED);
    run->count = count = (size_t)number_from("PARAPET_CASES", DEFAULT_CASES);
    random.state = run->seed ? run->seed : 1;
    run->cases = calloc(count, sizeof(*run->cases));
    run->emulated = calloc(count, sizeof(*run->emulated));
    run->hash = calloc(count, sizeof(*run->hash));
    run->encoding = calloc(count, sizeof(const struct case_encoding *));
    assert_true(run->cases && run->emulated && run->hash && run->encoding);
    emu_machine_init_long(&run->m);
    for (uint32_t off = 0; off < NATIVE_DATA_BYTES; off += PAGE_SIZE_4K) {
        emu_machine_map(&run->m, NATIVE_DATA_ADDRESS + off, EMU_DATA_GPA + off,
                        EMU_PTE_P | EMU_PTE_W);
    }
    for (uint32_t i = 0; i < NATIVE_DATA_BYTES; i++) {
        run->data[i] = (uint8_t)case_next(&random);
    }
    memcpy(machine_data(run), run->data, NATIVE_DATA_BYTES);
    for (size_t i = 0; i < count; i++) {
        bool is_32 = has_32 && case_below(&random, 3) == 0;
        uint32_t not_here =
            (native_has_avx() ? 0 : CASE_VEX) | (is_32 ? CASE_LONG | CASE_QWORD : 0);

        do {
            run->encoding[i] = &case_encodings[case_below(&random, case_encoding_count)];
        } while (run->encoding[i]->options & not_here);
        case_make(&random, run->encoding[i], is_32, machine_data(run), &run->cases[i]);
        emulate(run, i);
    }
}

static void compare(const struct run *run, size_t i) {
    const struct native_registers *theirs = &run->cases[i].out;
    const struct native_registers *ours = &run->emulated[i];
    uint64_t mask = CASE_ALL_FLAGS & ~(uint64_t)run->encoding[i]->undefined_flags;

    for (unsigned reg = 0; reg < 16; reg++) {
        if (ours->gpr[reg] != theirs->gpr[reg]) {
            print_case(run, i);
            fail_msg("register %u: was %llx, emulated %llx, native %llx", reg,
                     (unsigned long long)run->cases[i].in.gpr[reg],
                     (unsigned long long)ours->gpr[reg], (unsigned long long)theirs->gpr[reg]);
        }
    }
    if ((ours->rflags ^ theirs->rflags) & mask) {
        print_case(run, i);
        fail_msg("flags: were %llx, emulated %llx, native %llx",
                 (unsigned long long)run->cases[i].in.rflags, (unsigned long long)ours->rflags,
                 (unsigned long long)theirs->rflags);
    }
    if (memcmp(ours->vector, theirs->vector, sizeof(ours->vector)) != 0) {
        print_case(run, i);
        fail_msg("vector registers differ");
    }
    if (run->hash[i] != run->cases[i].data_hash) {
        print_case(run, i);
        fail_msg("memory differs");
    }
}

static void release(struct run *run) {
    free(run->cases);
    free(run->emulated);
    free(run->hash);
    free(run->encoding);
    free(run);
}

static void test_same_as_the_processor(void **state) {
    struct run *run = calloc(1, sizeof(*run));
    long done;

    (void)state;
    assert_non_null(run);
    prepare(run);
    done = native_run(run->cases, run->count, run->data);
    if (done < 0) {
        release(run);
        print_message("this machine does not let us run code at fixed addresses\n");
        skip();
    }
    for (size_t i = 0; i < (size_t)done; i++) {
        compare(run, i);
    }
    if ((size_t)done != run->count) {
        print_case(run, (size_t)done);
        fail_msg("the processor did not carry this out");
    }
    release(run);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_as_the_processor)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
