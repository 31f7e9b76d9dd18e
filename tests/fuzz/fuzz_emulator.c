// SPDX-License-Identifier: MIT
//
// The instruction emulator from bytes: any registers, any page tables, any instruction; the work of
// one call stays bounded, and what is not done leaves no trace in the registers.
#include "tests/support/emu_machine.h"

#include "igvm/base/check.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_REPEAT 8u
/// Callbacks of one call: per element two operands of two pages, each with a walk of five entries
/// that is also flagged, and the access; beside that the instruction's bytes.
#define MAX_ACCESSES (MAX_REPEAT * 2 * 2 * (10 + 32) + 15 * 11 + 64)

static struct emu_machine m;

struct input {
    const uint8_t *data;
    size_t left;
};

static uint64_t take(struct input *in, unsigned size_bytes) {
    uint64_t value = 0;

    if (size_bytes > in->left) {
        size_bytes = (unsigned)in->left;
    }
    memcpy(&value, in->data, size_bytes);
    in->data += size_bytes;
    in->left -= size_bytes;
    return value;
}

/// Values that have a chance to be addresses.
static uint64_t take_register(struct input *in) {
    uint8_t kind = (uint8_t)take(in, 1);

    switch (kind & 3) {
    case 0:
        return kind >> 2;
    case 1:
        return 0x5000 + take(in, 2);
    case 2:
        return take(in, 4);
    default:
        return take(in, 8);
    }
}

static void take_machine(struct input *in) {
    uint8_t mode = (uint8_t)take(in, 1);
    struct emu_state *s = &m.state;

    if ((mode & 3) == 0) {
        emu_machine_init_real(&m);
    } else if ((mode & 3) == 1) {
        emu_machine_init_flat(&m);
    } else {
        emu_machine_init_long(&m);
        emu_machine_map(&m, 0x5000, EMU_DATA_GPA, EMU_PTE_P | EMU_PTE_W | EMU_PTE_U);
        emu_machine_map(&m, 0x6000, EMU_MMIO_GPA, EMU_PTE_P | EMU_PTE_W | EMU_PTE_U);
    }
    m.context.max_repeat = MAX_REPEAT;
    s->cpl = (mode >> 2) & 3;
    if (mode & 0x10) {
        s->cr0 ^= take(in, 4);
        s->cr4 ^= take(in, 4);
        s->efer ^= take(in, 2);
        s->cr3 ^= take(in, 3);
        s->physical_address_bits = (uint8_t)take(in, 1);
        s->encryption_mask = take(in, 8);
        s->pkru = (uint32_t)take(in, 4);
    }
    if (mode & 0x20) {
        for (unsigned i = 0; i < EMU_SEGMENT_COUNT; i++) {
            s->segment[i].base = take_register(in);
            s->segment[i].limit = (uint32_t)take_register(in);
            s->segment[i].attributes ^= (uint16_t)take(in, 2);
        }
        s->tr = s->segment[EMU_ES];
    }
    // A few words of memory: page table entries, the TSS, code.
    for (unsigned i = 0; (mode & 0x40) && i < 8 && in->left > 0; i++) {
        uint64_t at = take(in, 3) % EMU_RAM_BYTES & ~UINT64_C(7);
        uint64_t value = take(in, 8);

        memcpy(m.ram + at, &value, sizeof(value));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = {data, size};
    struct emu_state before;
    struct emu_result result;

    take_machine(&in);
    for (unsigned i = 0; i < 16; i++) {
        m.state.gpr[i] = take_register(&in);
    }
    m.state.rflags = take(&in, 4);
    m.state.rip = take_register(&in);
    m.context.insn_bytes = (uint8_t)(take(&in, 1) & 15);
    for (unsigned i = 0; i < EMU_MAX_INSN_BYTES; i++) {
        m.context.insn[i] = (uint8_t)take(&in, 1);
    }
    before = m.state;
    emu_run_one(&m.context, &result);
    CHECK(m.access_count <= MAX_ACCESSES);
    if (result.status != EMU_DONE && result.status != EMU_RETRY) {
        CHECK((uint32_t)m.state.rip == (uint32_t)before.rip);
        // A repeated instruction may have elements behind it: nothing else changes registers.
        CHECK(memcmp(&m.state.gpr[8], &before.gpr[8], 8 * sizeof(uint64_t)) == 0);
    }
    CHECK(result.status != EMU_FAULT || result.fault.vector < 32);
    return 0;
}
