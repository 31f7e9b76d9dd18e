// SPDX-License-Identifier: MIT
//
// A program for VTL2 that tests the host under it (docs/minihost.md): small tests in a linker
// section, each on the machine as the one before left it, so each sets what it needs. VTL0 runs
// snippets of any mode or, in 64-bit mode, functions of this program: memory is identity-mapped and
// VTL0 may use all of it until a test protects some.
#pragma once

#include "igvm/base/types.h"
#include "loader/bare/cpu.h"
#include "vtl2/hv/tlfs.h"

#define VP_MAX 2u

// ---- results ------------------------------------------------------------------------------------
struct test {
    const char *name;
    void (*run)(void);
    uint64_t vp_count; ///< skipped on machines with fewer
};

#define TEST_VPS(name, vps)                                                                        \
    static void test_##name(void);                                                                 \
    static const struct test entry_##name                                                          \
        __attribute__((section(".tests"), used, aligned(8))) = {#name, test_##name, vps};          \
    static void test_##name(void)
#define TEST(name) TEST_VPS(name, 1)

/// Both note the test's first failure; the test goes on. True when it holds.
#define EXPECT(condition) expect_equal(!!(condition), 1, #condition, __FILE_NAME__, __LINE__)
#define EQUAL(is, wanted)                                                                          \
    expect_equal((uint64_t)(is), (uint64_t)(wanted), #is, __FILE_NAME__, __LINE__)
#ifndef __FILE_NAME__
#define __FILE_NAME__ __FILE__
#endif
bool expect_equal(uint64_t is, uint64_t wanted, const char *what, const char *file, int line);
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);
/// What stands behind a passed test's name.
__attribute__((format(printf, 1, 2))) void note(const char *format, ...);

// ---- a VP -------------------------------------------------------------------------------------
/// What the stubs save, lowest address first.
struct frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error_code, rip, cs, rflags, rsp, ss;
};

/// VTL2's side of a VP; GS points to it.
struct vp {
    struct vp *self;
    uint32_t index;
    volatile uint32_t taken[256]; ///< physical interrupts by vector
    uint64_t gpr[16];             ///< VTL0's, in the encoding's order
    struct hv_vp_assist_page *assist;
    struct hv_register_page *registers;
    uint8_t *input, *output; ///< a page each, for hypercalls
    uint32_t reason;         ///< of the last entry into VTL2
};

/// VTL0's side, filled by its exception and interrupt handlers; VTL0's GS points to it.
struct guest {
    struct guest *self;
    volatile uint32_t taken[256];
    volatile uint64_t vector, error_code, rip, cr2, cs, rflags; ///< the last exception
    volatile uint64_t exceptions;                               ///< how many
    volatile uint64_t word[16];                                 ///< for the tests
    volatile uint32_t eoi;                                      ///< enum eoi: how its handler ends
    volatile uint32_t order[8], order_count;                    ///< vectors as they came
    volatile uint32_t nmi_stops; ///< its NMI handler begins with stop(8)
};

enum eoi { EOI_MMIO, EOI_X2APIC, EOI_SYNTHETIC, EOI_NONE };

extern struct vp vps[VP_MAX];
extern struct guest guests[VP_MAX];
extern uint32_t vp_count;
extern uint64_t tsc_hz;

static inline struct vp *me(void) {
    struct vp *vp;

    __asm__ volatile("movq %%gs:0, %0" : "=r"(vp));
    return vp;
}
static inline struct guest *guest_me(void) {
    struct guest *guest;

    __asm__ volatile("movq %%gs:0, %0" : "=r"(guest));
    return guest;
}
/// Memory at an address that the compiler has no opinion about.
static inline void *at(uint64_t gpa) {
    __asm__("" : "+r"(gpa));
    return (void *)gpa;
}
static inline void compiler_barrier(void) {
    __asm__ volatile("" ::: "memory");
}

// ---- instructions that may fault: 0, or 1 << 32 | vector << 16 | error code
// ----------------------
#define FAULT(vector, error) (UINT64_C(1) << 32 | (uint64_t)(vector) << 16 | (error))
#define FAULT_UD             FAULT(6, 0)
#define FAULT_GP             FAULT(13, 0)
#define FIXUP                ".pushsection .fixups, \"a\"\n .quad 1b, 2b\n .popsection\n"
#define GUARDED(instructions)                                                                      \
    "xorl %%r11d, %%r11d\n1: " instructions "\n2:\n" FIXUP "movq %%r11, %0"

uint64_t try_rdmsr(uint32_t index, uint64_t *value);
uint64_t try_wrmsr(uint32_t index, uint64_t value);
uint64_t try_vmmcall(uint64_t control);
uint64_t try_read(uint64_t address, uint64_t *value);
/// For on_interrupt handlers: true when frame's instruction is a guarded one.
bool fix_up(struct frame *frame);

// ---- hypercalls ---------------------------------------------------------------------------------
#define REPS(count)    ((uint64_t)(count) << HV_CONTROL_REP_COUNT_SHIFT)
#define START(index)   ((uint64_t)(index) << HV_CONTROL_REP_START_SHIFT)
#define STATUS(result) ((uint16_t)(result))
#define DONE(result)   ((uint32_t)((result) >> HV_RESULT_REPS_SHIFT & HV_CONTROL_REP_MASK))

extern uint8_t *hypercall_page;
uint64_t hypercall_at(uint64_t control, uint64_t in, uint64_t out, void *page);
uint64_t hypercall_rcx(uint64_t *control, uint64_t in, uint64_t out, void *page);
/// With this VP's pages as input and output.
uint64_t call(uint64_t control);
uint64_t call_fast(uint64_t code, uint64_t first, uint64_t second);
/// One register of this VP's VTL (HV_INPUT_VTL_*): HV_STATUS_*.
#define OWN_VTL 0u
#define VTL0    HV_INPUT_VTL_USE_TARGET
uint16_t get_register(uint8_t vtl, uint32_t name, struct hv_register_value *value);
uint16_t set_register(uint8_t vtl, uint32_t name, uint64_t low, uint64_t high);
/// VTL0's, which must work.
uint64_t vtl0_get(uint32_t name);
void vtl0_set(uint32_t name, uint64_t low);
/// ModifyVtlProtectionMask for pages from gpa on. Result value.
uint64_t protect(uint64_t gpa, uint32_t page_count, uint32_t access);
uint16_t install_intercept(uint32_t type, uint32_t access_mask, uint64_t parameter);
/// HvCallAssertVirtualInterrupt, physical destination.
uint16_t assert_interrupt(uint64_t control, uint64_t destination, uint32_t vector);

// ---- VTL0 ---------------------------------------------------------------------------------------
// Its memory, in [0, 256 MiB), which is RAM and VTL0's by default.
#define CODE_GPA   0x20000u ///< snippets; real mode: segment 0x2000
#define DATA_GPA   0x30000u
#define STACK_GPA  0x40000u    ///< end of VP 0's; VP 1's is 64 KiB above
#define TABLES_GPA 0x100000u   ///< page tables: root, directory pointers, directories
#define PT_GPA     0x108000u   ///< a table of 4 KiB pages for [WINDOW, WINDOW + 2 MiB)
#define WINDOW     0x40000000u ///< mapped by PT_GPA, 4 KiB pages, to [TARGET_GPA, + 2 MiB)
#define TARGET_GPA 0x200000u
#define HOLE_GPA   0xd0000000u ///< no RAM, no device: QEMU's PCI hole below the PCI window

#define DONE_PORT 0xe0u

enum mode { REAL, FLAT32, LONG };

/// Machine code in a mode's encoding: CODE(name, 16|32|64, "instructions").
#define CODE(name, bits, text)                                                                     \
    __asm__(".pushsection .rodata.code, \"a\"\n" #name ":\n.code" #bits "\n" text                  \
            "\n.code64\n" #name "_end:\n.popsection\n");                                           \
    extern const uint8_t name[], name##_end[]
#define VTL0_CODE(mode, name) vtl0_code(mode, name, (size_t)(name##_end - name))

/// Puts VTL0 of this VP at the snippet's copy at CODE_GPA, in a mode; IF clear, general registers
/// zero.
void vtl0_code(enum mode mode, const uint8_t *code, size_t size_bytes);
/// The same for a function, in 64-bit mode with this program's GDT and VTL0's own IDT.
void vtl0_function(void (*function)(void *), void *argument);
/// Runs VTL0 until an intercept, 2 s at most. The message's type; 0: none within that time.
uint32_t vtl0_run(void);
/// Until the function has ended: it did, and nothing else was intercepted.
bool vtl0_finish(void);
/// vtl0_function() and vtl0_finish().
bool vtl0_call(void (*function)(void *), void *argument);
/// Runs VTL0 to its next stop() and puts RIP behind it: true if it is this one.
bool vtl0_to_stop(uint8_t number);
/// For VTL0's functions: VTL2 has a turn. Interrupts as they are.
#define STOP_PORT    0x90u
#define stop(number) __asm__ volatile("outb %%al, %0" ::"i"(STOP_PORT + (number)) : "memory")
/// One VTL return; the reason for the entry into VTL2. is_fast: the code after the value's meaning.
uint32_t vtl0_enter(uint64_t fast);
/// Runs VTL0 for about this long, whatever comes.
void vtl0_run_for_us(uint64_t us);
/// RIP behind the intercepted instruction.
void vtl0_skip(void);
/// Payload of the last intercept message.
const void *message(void);
/// Every field of a message's header for VTL0 as vtl0_code() leaves it; rip: where it must stand.
void check_header(const struct hv_intercept_header *header, enum mode mode, uint64_t rip,
                  unsigned length_bytes, enum hv_intercept_access access);
/// VTL0's own page tables as new, no protections on TARGET_GPA.
void vtl0_memory_init(void);
void vtl0_apic_reset(void);

// What VTL0's functions do to their local APIC.
#define APIC_ID    0x20u
#define APIC_TPR   0x80u
#define APIC_SVR   0xf0u
#define APIC_ICR   0x300u
#define APIC_ICR2  0x310u
#define APIC_TIMER 0x320u
#define APIC_INIT  0x380u
#define APIC_COUNT 0x390u
#define APIC_DIV   0x3e0u
static inline void apic_set(uint32_t reg, uint32_t value) {
    *(volatile uint32_t *)at(0xfee00000u + reg) = value;
}
static inline uint32_t apic_get(uint32_t reg) {
    return *(volatile uint32_t *)at(0xfee00000u + reg);
}
static inline void open_interrupts(void) {
    __asm__ volatile("sti; nop; nop; cli" ::: "memory");
}

// ---- VTL2's own processor -----------------------------------------------------------------------
#define WATCHDOG_VECTOR 0xf0u
#define WORK_VECTOR     0xf1u
void apic_init(void);
/// The physical APIC's ID of a VP: they follow each other.
uint32_t apic_id(uint32_t vp_index);
void apic_send(uint32_t vp_index, uint8_t vector);
void watchdog_arm(uint64_t us);
bool watchdog_fired(void);
void delay_us(uint64_t us);
/// Opens IF for a moment.
void take_interrupts(void);
/// Runs a function on VP 1's VTL2; returns when it has returned.
void on_second(void (*function)(void));
/// The same, does not wait; on_second_wait() does.
void on_second_start(void (*function)(void));
void on_second_wait(void);

void on_vtl2_interrupt(struct frame *frame);
void on_vtl0_interrupt(struct frame *frame);
_Noreturn void vtl2_main(void);
_Noreturn void second_main(void);
void vp_init(uint32_t index);
void idt_fill(void *table, const uint8_t *stubs);
_Noreturn void power_off(void);
