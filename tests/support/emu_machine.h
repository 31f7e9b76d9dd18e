// SPDX-License-Identifier: MIT
//
// A machine for tests of the instruction emulator: RAM, a device page that remembers accesses,
// ports, vector registers, and page tables built on demand.
#pragma once

#include "vtl2/emulator/emulator.h"

#define EMU_RAM_BYTES  0x80000u
#define EMU_TABLES_GPA 0x10000u  ///< page tables grow upwards from here (PML4 first)
#define EMU_DATA_GPA   0x40000u  ///< free for tests up to the end
#define EMU_MMIO_GPA   0x100000u ///< two pages of device memory that read back what was written
#define EMU_MMIO_BYTES 0x2000u
#define EMU_LOG_MAX    256u

#define EMU_PTE_P  1u
#define EMU_PTE_W  2u
#define EMU_PTE_U  4u
#define EMU_PTE_A  0x20u
#define EMU_PTE_D  0x40u
#define EMU_PTE_PS 0x80u
#define EMU_PTE_NX (UINT64_C(1) << 63)

struct emu_log_entry {
    uint64_t address; ///< GPA or port
    uint8_t size_bytes;
    bool is_write;
    bool is_port;
    uint64_t value;
};

struct emu_machine {
    uint8_t ram[EMU_RAM_BYTES];
    uint8_t mmio[EMU_MMIO_BYTES];
    uint8_t vector[16][EMU_VECTOR_BYTES];
    struct emu_log_entry log[EMU_LOG_MAX]; ///< device and port accesses, the first ones
    uint32_t log_count;                    ///< all
    uint32_t access_count;                 ///< callbacks of any kind
    uint32_t port_value;                   ///< what ports read as
    uint32_t lost_exchanges;               ///< so many ram_exchange calls still to fail
    uint32_t next_table_gpa;
    struct emu_state state;
    struct emu_context context;
};

/// 64-bit mode, CPL 0, 4-level tables without mappings, SSE and AVX on.
void emu_machine_init_long(struct emu_machine *m);
/// Flat 32-bit protected mode, CPL 0, no paging.
void emu_machine_init_flat(struct emu_machine *m);
/// Real mode, all bases 0.
void emu_machine_init_real(struct emu_machine *m);

/// Maps one 4 KiB page in the 4-level tables; upper levels get P, W and U.
void emu_machine_map(struct emu_machine *m, uint64_t linear, uint64_t gpa, uint64_t flags);
/// Where the leaf entry of a mapped page stands in ram.
uint64_t *emu_machine_pte(struct emu_machine *m, uint64_t linear);

/// Runs one instruction given by its bytes.
struct emu_result emu_machine_run(struct emu_machine *m, const void *insn, size_t insn_bytes);
