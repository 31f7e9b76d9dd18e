// SPDX-License-Identifier: MIT
//
// The x86 instruction emulator: carries out one guest instruction whose memory or port access was
// intercepted, for platforms that do not decode it themselves (vsm, snp, tdx). Intel SDM vol. 2
// (instructions) and vol. 3 chapters 3-5 (segmentation, paging); AMD APM vol. 3.
//
// Pure: state in, accesses through callbacks, state out; no allocation, no I/O, no globals. All
// that it looks at (registers, page tables, instruction bytes) is hostile.
//
// What is emulated: moves of every kind (also SSE and AVX between register and memory), integer
// arithmetic, bit, exchange and stack operations, near branches, string and port instructions.
// Anything else is EMU_UNHANDLED and leaves everything as it was.
//
// Undefined flags: AF after logic instructions is cleared; AF after shifts is kept, OF for counts
// other than 1 follows the formula for 1.
#pragma once

#include "vtl2/vtl2.h"

#define EMU_MAX_INSN_BYTES     15u
#define EMU_VECTOR_BYTES       32u
#define EMU_DEFAULT_MAX_REPEAT 256u

/// Index into emu_state.gpr: the encoding's order.
enum emu_gpr { EMU_RAX, EMU_RCX, EMU_RDX, EMU_RBX, EMU_RSP, EMU_RBP, EMU_RSI, EMU_RDI };

/// Index into emu_state.segment: the encoding's order.
enum emu_segment { EMU_ES, EMU_CS, EMU_SS, EMU_DS, EMU_FS, EMU_GS, EMU_SEGMENT_COUNT };

/// The VP's registers as the caller got them. The emulator changes gpr, rip and rflags only.
struct emu_state {
    uint64_t gpr[16];
    uint64_t rip;
    uint64_t rflags;
    uint64_t cr0, cr3, cr4, efer;
    uint64_t xcr0; ///< only asked for AVX
    uint32_t pkru; ///< only looked at when CR4.PKE is set
    uint8_t cpl;   ///< 0..3
    /// MAXPHYADDR, for reserved bits of page table entries; 0 means 52.
    uint8_t physical_address_bits;
    /// Bits of CR3 and page table entries that are no address bits (SNP's C-bit, TDX's shared bit);
    /// they are taken off the GPA that the callbacks see.
    uint64_t encryption_mask;
    struct vp_segment segment[EMU_SEGMENT_COUNT]; ///< null selectors: P clear in attributes
    struct vp_segment tr;                         ///< for the I/O permission bitmap
};

enum emu_memory {
    EMU_MEMORY_RAM,  ///< ram_* callbacks
    EMU_MEMORY_MMIO, ///< mmio_* callbacks
    EMU_MEMORY_NONE, ///< the access cannot be carried out here: EMU_UNHANDLED
};

/// What the emulator needs from its caller; ctx is emu_context.ctx. Callbacks return 0, -EAGAIN
/// (EMU_RETRY) or another negative errno (EMU_UNHANDLED). A range never crosses a 4 KiB page.
struct emu_ops {
    /// What stands at a page; asked again for each access, also for page tables and code.
    enum emu_memory (*memory_kind)(void *ctx, gpa_t page, bool is_write);
    int (*ram_read)(void *ctx, gpa_t gpa, void *out, size_t size_bytes);
    int (*ram_write)(void *ctx, gpa_t gpa, const void *in, size_t size_bytes);
    /// Atomic compare and exchange of 1, 2, 4, 8 or 16 naturally aligned bytes: -EAGAIN when memory
    /// does not hold expected. For LOCK, XCHG and the accessed and dirty bits.
    int (*ram_exchange)(void *ctx, gpa_t gpa, const void *expected, const void *desired,
                        size_t size_bytes);
    /// 1, 2, 4 or 8 bytes, not necessarily aligned.
    int (*mmio_read)(void *ctx, gpa_t gpa, uint8_t size_bytes, uint64_t *out);
    int (*mmio_write)(void *ctx, gpa_t gpa, uint8_t size_bytes, uint64_t value);
    /// 1, 2 or 4 bytes; the permission checks were made.
    int (*pio_read)(void *ctx, uint16_t port, uint8_t size_bytes, uint32_t *out);
    int (*pio_write)(void *ctx, uint16_t port, uint8_t size_bytes, uint32_t value);
    /// YMM register idx (0..15); the high half is 0 where the VP has none.
    int (*vector_read)(void *ctx, unsigned idx, uint8_t out[EMU_VECTOR_BYTES]);
    /// zero_upper (VEX): all bytes are written, bits above them cleared. Otherwise the low 16 bytes
    /// are written and the rest is kept.
    int (*vector_write)(void *ctx, unsigned idx, const uint8_t in[EMU_VECTOR_BYTES],
                        bool zero_upper);
};

struct emu_context {
    struct emu_state *state;
    const struct emu_ops *ops;
    void *ctx;
    /// The instruction's first bytes as the intercept gave them (0: the emulator fetches them).
    uint8_t insn[EMU_MAX_INSN_BYTES];
    uint8_t insn_bytes;
    /// Elements of a repeated string instruction per call; 0 means EMU_DEFAULT_MAX_REPEAT.
    uint32_t max_repeat;
};

enum emu_status {
    EMU_DONE,      ///< carried out; rip stands behind it
    EMU_RETRY,     ///< run the guest or the emulator again: memory changed under us (nothing done),
                   ///< or a repeated instruction is on its way (registers are up to date)
    EMU_FAULT,     ///< inject the fault; of a repeated instruction, earlier elements are done
    EMU_UNHANDLED, ///< not emulated: nothing done but what MMIO reads have as side effects
};

struct emu_fault {
    uint8_t vector;
    bool has_error_code;
    uint32_t error_code;
    uint64_t cr2; ///< for #PF (14)
};

struct emu_result {
    enum emu_status status;
    struct emu_fault fault; ///< EMU_FAULT
    /// With RFLAGS.TF, after an instruction or an element of a repeated one: the caller injects #DB
    /// (DR6.BS).
    bool single_step;
    /// For the log: what was there to decode.
    uint8_t insn[EMU_MAX_INSN_BYTES]; ///< for the log: what was there to decode
    uint8_t insn_bytes;
};

/// Carries out the instruction at state's CS:RIP. Bounded: at most max_repeat elements, each with
/// at most two page walks per operand.
void emu_run_one(const struct emu_context *context, struct emu_result *result);

enum emu_access { EMU_READ, EMU_WRITE, EMU_EXECUTE };

/// Walks the guest's page tables for one linear address as an access of the guest's would, and sets
/// accessed and dirty bits. For hypercalls that take linear addresses and for tests. EMU_DONE with
/// *out, or as emu_run_one.
enum emu_status emu_translate(const struct emu_context *context, uint64_t linear,
                              enum emu_access access, gpa_t *out, struct emu_fault *fault);
