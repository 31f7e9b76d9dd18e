// SPDX-License-Identifier: MIT
//
// VTL2's own side of a VP: descriptor tables, faults, the physical local APIC, the pages that it
// shares with the host, hypercalls, and the second VP.
#include "tests/guest/vtl2/vtl2.h"

#include <string.h>

#define MSR_GS_BASE 0xc0000101u

#define APIC_EOI      0xb0u
#define APIC_TIMER_HZ UINT64_C(1000000000)
#define DIVIDE_BY_1   0xbu

struct gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
} __attribute__((packed));

struct fixup {
    uint64_t rip, target;
};

extern const struct fixup fixups_start[], fixups_end[];
extern const uint8_t vtl2_stubs[];
extern const uint8_t second_entry[], gdt[];

struct gate vtl2_idt[256] __attribute__((aligned(16)));
struct vp vps[VP_MAX];
uint32_t vp_count = 1;
uint64_t tsc_hz;

static uint8_t pages[VP_MAX][4][PAGE_SIZE_4K] __attribute__((aligned(4096)));
static uint8_t hypercall_memory[PAGE_SIZE_4K] __attribute__((aligned(4096)));
uint8_t *hypercall_page = hypercall_memory;
static uint8_t second_stack[0x4000] __attribute__((aligned(16)));
static void (*volatile second_work)(void);

void idt_fill(void *table, const uint8_t *stubs) {
    struct gate *gates = table;

    for (unsigned i = 0; i < 256; i++) {
        uintptr_t at = (uintptr_t)stubs + 16 * i;

        gates[i] = (struct gate){.offset_low = (uint16_t)at,
                                 .selector = 0x10,
                                 .type = 0x8e,
                                 .offset_middle = (uint16_t)(at >> 16),
                                 .offset_high = (uint32_t)((uint64_t)at >> 32)};
    }
}

// ---- faults -------------------------------------------------------------------------------------
bool fix_up(struct frame *frame) {
    for (const struct fixup *fixup = fixups_start; fixup < fixups_end; fixup++) {
        if (fixup->rip == frame->rip) {
            frame->rip = fixup->target;
            frame->r11 = FAULT(frame->vector, frame->error_code & 0xffff);
            return true;
        }
    }
    return false;
}

void on_vtl2_interrupt(struct frame *frame) {
    if (frame->vector >= 32) {
        me()->taken[frame->vector]++;
        apic_set(APIC_EOI, 0);
    } else if (!fix_up(frame)) {
        say("PT fail VTL2 exception %lu, error code 0x%lx, rip 0x%lx, cr2 0x%lx",
            (unsigned long)frame->vector, (unsigned long)frame->error_code,
            (unsigned long)frame->rip, (unsigned long)cpu_read_cr2());
        cpu_outb(0xf4, 0x12);
        cpu_halt_forever();
    }
}

uint64_t try_rdmsr(uint32_t index, uint64_t *value) {
    uint64_t fault;
    uint32_t low = 0, high = 0;

    __asm__ volatile(GUARDED("rdmsr")
                     : "=&r"(fault), "+a"(low), "+d"(high)
                     : "c"(index)
                     : "r11", "cc", "memory");
    *value = (uint64_t)high << 32 | low;
    return fault;
}

uint64_t try_wrmsr(uint32_t index, uint64_t value) {
    uint64_t fault;

    __asm__ volatile(GUARDED("wrmsr")
                     : "=&r"(fault)
                     : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "r11", "cc", "memory");
    return fault;
}

uint64_t try_vmmcall(uint64_t control) {
    uint64_t fault, result = 0;

    __asm__ volatile(GUARDED("vmmcall")
                     : "=&r"(fault), "+a"(result)
                     : "c"(control), "d"(0)
                     : "r8", "r11", "cc", "memory");
    return fault;
}

uint64_t try_read(uint64_t address, uint64_t *value) {
    uint64_t fault;

    __asm__ volatile(GUARDED("movq (%2), %1")
                     : "=&r"(fault), "+r"(*value)
                     : "r"(address)
                     : "r11", "cc", "memory");
    return fault;
}

// ---- the local APIC -----------------------------------------------------------------------------
void apic_init(void) {
    apic_set(APIC_SVR, 0x1ff);
    apic_set(APIC_DIV, DIVIDE_BY_1);
    apic_set(APIC_TIMER, WATCHDOG_VECTOR);
}

uint32_t apic_id(uint32_t vp_index) {
    return (apic_get(APIC_ID) >> 24) - me()->index + vp_index;
}

void apic_send(uint32_t vp_index, uint8_t vector) {
    apic_set(APIC_ICR2, apic_id(vp_index) << 24);
    apic_set(APIC_ICR, 0x4000u | vector);
}

void watchdog_arm(uint64_t us) {
    me()->taken[WATCHDOG_VECTOR] = 0;
    apic_set(APIC_INIT, (uint32_t)(us * (APIC_TIMER_HZ / 1000000)));
}

bool watchdog_fired(void) {
    return me()->taken[WATCHDOG_VECTOR] != 0;
}

void delay_us(uint64_t us) {
    uint64_t from = cpu_rdtsc(), cycles = us * (tsc_hz / 1000000);

    while (cpu_rdtsc() - from < cycles) {
        __builtin_ia32_pause();
    }
}

void take_interrupts(void) {
    __asm__ volatile("sti; nop; nop; cli" ::: "memory");
}

// ---- hypercalls ---------------------------------------------------------------------------------
uint64_t call(uint64_t control) {
    return hypercall_at(control, (uintptr_t)me()->input, (uintptr_t)me()->output, hypercall_page);
}

uint64_t call_fast(uint64_t code, uint64_t first, uint64_t second) {
    return hypercall_at(code | HV_CONTROL_FAST, first, second, hypercall_page);
}

static void *header(uint8_t vtl) {
    struct hv_vp_registers_input *in = (void *)me()->input;

    *in = (struct hv_vp_registers_input){
        .partition_id = HV_PARTITION_ID_SELF, .vp_index = HV_VP_INDEX_SELF, .target_vtl = vtl};
    return in + 1;
}

uint16_t get_register(uint8_t vtl, uint32_t name, struct hv_register_value *value) {
    uint64_t result;

    *(uint32_t *)header(vtl) = name;
    result = call(HV_CALL_GET_VP_REGISTERS | REPS(1));
    memcpy(value, me()->output, sizeof(*value));
    return STATUS(result);
}

uint16_t set_register(uint8_t vtl, uint32_t name, uint64_t low, uint64_t high) {
    struct hv_register_assoc *assoc = header(vtl);

    *assoc = (struct hv_register_assoc){.name = name, .value = {.low = low, .high = high}};
    return STATUS(call(HV_CALL_SET_VP_REGISTERS | REPS(1)));
}

uint64_t vtl0_get(uint32_t name) {
    struct hv_register_value value;

    EQUAL(get_register(VTL0, name, &value), HV_STATUS_SUCCESS);
    return value.low;
}

void vtl0_set(uint32_t name, uint64_t low) {
    uint16_t status = set_register(VTL0, name, low, 0);

    if (status != HV_STATUS_SUCCESS) {
        say("# register 0x%x = 0x%lx: status 0x%x", name, (unsigned long)low, status);
    }
    EQUAL(status, HV_STATUS_SUCCESS);
}

uint64_t protect(uint64_t gpa, uint32_t page_count, uint32_t access) {
    struct hv_modify_vtl_protection_input *in = (void *)me()->input;
    uint64_t *list = (uint64_t *)(in + 1);

    *in = (struct hv_modify_vtl_protection_input){.partition_id = HV_PARTITION_ID_SELF,
                                                  .map_flags = access};
    for (uint32_t i = 0; i < page_count; i++) {
        list[i] = (gpa >> PAGE_SHIFT_4K) + i;
    }
    return call(HV_CALL_MODIFY_VTL_PROTECTION_MASK | REPS(page_count));
}

uint16_t install_intercept(uint32_t type, uint32_t access_mask, uint64_t parameter) {
    *(struct hv_install_intercept_input *)me()->input =
        (struct hv_install_intercept_input){.partition_id = HV_PARTITION_ID_SELF,
                                            .access_type_mask = access_mask,
                                            .intercept_type = type,
                                            .parameter = parameter};
    return STATUS(call(HV_CALL_INSTALL_INTERCEPT));
}

uint16_t assert_interrupt(uint64_t control, uint64_t destination, uint32_t vector) {
    *(struct hv_assert_interrupt_input *)me()->input =
        (struct hv_assert_interrupt_input){.partition_id = HV_PARTITION_ID_SELF,
                                           .control = control,
                                           .destination = destination,
                                           .vector = vector,
                                           .target_vtl = VTL0};
    return STATUS(call(HV_CALL_ASSERT_VIRTUAL_INTERRUPT));
}

// ---- set up -------------------------------------------------------------------------------------
static void start_second(void) {
    struct hv_start_vp_input *in = (void *)me()->input;
    const struct hv_segment_register data = {
        .limit = UINT32_MAX, .selector = 0x18, .attributes = 0xc093};
    struct hv_initial_vp_context *c = &in->context;
    uint64_t enable, start;

    *in = (struct hv_start_vp_input){
        .partition_id = HV_PARTITION_ID_SELF, .vp_index = 1, .target_vtl = 2};
    c->rip = (uintptr_t)second_entry;
    c->rsp = (uintptr_t)(second_stack + sizeof(second_stack));
    c->rflags = 2;
    c->cs =
        (struct hv_segment_register){.limit = UINT32_MAX, .selector = 0x10, .attributes = 0xa09b};
    c->ds = c->es = c->fs = c->gs = c->ss = data;
    c->tr = (struct hv_segment_register){.limit = 0xffff, .attributes = 0x8b};
    c->ldtr = (struct hv_segment_register){.limit = 0xffff, .attributes = 0x82};
    c->gdtr = (struct hv_table_register){.limit = 31, .base = (uintptr_t)gdt};
    c->idtr = (struct hv_table_register){.limit = 4095, .base = (uintptr_t)vtl2_idt};
    c->efer = EFER_LME | EFER_LMA;
    c->cr0 = 0x80000031u;
    __asm__("mov %%cr3, %0" : "=r"(c->cr3));
    c->cr4 = CR4_PAE;
    c->pat = 0x0007040600070406u;
    // Whatever the host has, this is the order: not enabled yet, enabled, started.
    start = call(HV_CALL_START_VIRTUAL_PROCESSOR);
    enable = call(HV_CALL_ENABLE_VP_VTL);
    if (STATUS(start) != HV_STATUS_INVALID_VP_STATE || STATUS(enable) != HV_STATUS_SUCCESS) {
        say("PT fail start-second status 0x%lx before, 0x%lx at EnableVpVtl", (unsigned long)start,
            (unsigned long)enable);
    }
    start = call(HV_CALL_ENABLE_VP_VTL);
    if (STATUS(start) != HV_STATUS_VTL_ALREADY_ENABLED) {
        say("PT fail start-second status 0x%lx for the second EnableVpVtl", (unsigned long)start);
    }
    start = call(HV_CALL_START_VIRTUAL_PROCESSOR);
    if (STATUS(start) != HV_STATUS_SUCCESS) {
        say("PT fail start-second status 0x%lx", (unsigned long)start);
        return;
    }
    for (unsigned i = 0; i < 2000 && !vps[1].self; i++) {
        delay_us(1000);
    }
    if (vps[1].self) {
        vp_count = 2;
        say("PT pass start-second");
    } else {
        say("PT fail start-second it does not come up");
    }
}

void vp_init(uint32_t index) {
    struct vp *vp = &vps[index];

    vp->index = index;
    vp->assist = (void *)pages[index][0];
    vp->registers = (void *)pages[index][1];
    vp->input = pages[index][2];
    vp->output = pages[index][3];
    cpu_wrmsr(MSR_GS_BASE, (uintptr_t)vp);
    apic_init();
    if (index == 0) {
        idt_fill(vtl2_idt, vtl2_stubs);
        cpu_wrmsr(HV_MSR_GUEST_OS_ID, UINT64_C(0x8100) << 48 | 1);
        cpu_wrmsr(HV_MSR_HYPERCALL, (uintptr_t)hypercall_page | HV_MSR_PAGE_ENABLE);
        tsc_hz = cpu_rdmsr(HV_MSR_TSC_FREQUENCY);
    }
    __atomic_store_n(&vp->self, vp, __ATOMIC_RELEASE);
    cpu_wrmsr(HV_MSR_VP_ASSIST_PAGE, (uintptr_t)vp->assist | HV_MSR_PAGE_ENABLE);
    if (index == 0) {
        EQUAL(set_register(OWN_VTL, HV_REGISTER_VSM_PARTITION_CONFIG, 0x163f, 0), 0);
        if (cpu_cpuid(HV_CPUID_LIMITS, 0).eax > 1) {
            start_second();
        }
    }
}

_Noreturn void second_main(void) {
    vp_init(1);
    for (;;) {
        void (*work)(void) = __atomic_load_n(&second_work, __ATOMIC_ACQUIRE);

        if (work) {
            work();
            __atomic_store_n(&second_work, NULL, __ATOMIC_RELEASE);
        } else {
            __asm__ volatile("sti; hlt; cli" ::: "memory"); // WORK_VECTOR wakes it
        }
    }
}

void on_second_start(void (*function)(void)) {
    __atomic_store_n(&second_work, function, __ATOMIC_RELEASE);
    apic_send(1, WORK_VECTOR);
}

void on_second_wait(void) {
    for (unsigned i = 0; i < 5000 && __atomic_load_n(&second_work, __ATOMIC_ACQUIRE); i++) {
        delay_us(1000);
    }
    EXPECT(!second_work);
}

void on_second(void (*function)(void)) {
    on_second_start(function);
    on_second_wait();
}
