// SPDX-License-Identifier: MIT
//
// Runs instructions on the build machine's own processor, for comparison with the emulator: in a
// forked child that may make no system call but exit, each with given registers and memory.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NATIVE_CODE_ADDRESS   UINT64_C(0x30000000) ///< of the instruction itself
#define NATIVE_CODE32_ADDRESS UINT64_C(0x32000000) ///< the same for 32-bit code
#define NATIVE_DATA_ADDRESS   UINT64_C(0x20000000)
#define NATIVE_DATA_BYTES     0x2000u
#define NATIVE_VECTORS        4u ///< vector registers that take part

struct native_registers {
    uint64_t gpr[16];
    uint64_t rflags; ///< arithmetic flags and DF
    uint8_t vector[NATIVE_VECTORS][32];
};

struct native_case {
    uint8_t insn[15];
    uint8_t insn_bytes;
    bool is_32; ///< runs in a 32-bit code segment: 8 registers of 32 bits
    struct native_registers in;
    struct native_registers out; ///< filled by native_run
    uint32_t data_hash;          ///< of the data pages afterwards; filled by native_run
};

uint32_t native_hash(const uint8_t *data, size_t size_bytes);

/// Runs the cases in order on data that starts as given and is shared by all. Returns how many were
/// carried out (fewer than count: that case killed the child), or -ENOTSUP where this cannot be
/// done.
long native_run(struct native_case *cases, size_t count, const uint8_t data[NATIVE_DATA_BYTES]);

/// Whether 32-bit code can be run here.
bool native_has_32(void);

/// Whether the processor has AVX (registers of 32 bytes are compared).
bool native_has_avx(void);
