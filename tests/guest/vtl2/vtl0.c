// SPDX-License-Identifier: MIT
//
// VTL0 as the tests use it: its registers set by mode, its page tables and handlers, its stays.
#include "tests/guest/vtl2/vtl2.h"

#include <string.h>

#define STAY_US 2000000u

#define PTE_TABLE 0x7u
#define PTE_LARGE 0x87u
#define PTE_PAGE  0x7u

#define X2APIC_EOI 0x80bu

void vtl_return_at(uint64_t gpr[16], void *code, uint64_t is_fast);
extern const uint8_t vtl0_entry[], vtl0_stubs[], gdt[];
extern uint8_t vtl0_idt[];

uint8_t vtl0_idt[4096] __attribute__((aligned(16)));
struct guest guests[VP_MAX];

static uint32_t return_offset;

// ---- VTL0's handlers (this runs in VTL0) --------------------------------------------------------
static void end_of_interrupt(uint32_t how) {
    if (how == EOI_MMIO) {
        apic_set(0xb0, 0);
    } else if (how == EOI_X2APIC) {
        cpu_wrmsr(X2APIC_EOI, 0);
    } else if (how == EOI_SYNTHETIC) {
        cpu_wrmsr(HV_MSR_EOI, 0);
    }
}

void on_vtl0_interrupt(struct frame *frame) {
    struct guest *guest = guest_me();

    guest->taken[frame->vector]++;
    if (guest->order_count < ARRAY_COUNT(guest->order)) {
        guest->order[guest->order_count++] = (uint32_t)frame->vector;
    }
    if (frame->vector == 2 && guest->nmi_stops) {
        stop(8);
        guest->nmi_stops--;
    }
    if (frame->vector >= 32) {
        end_of_interrupt(guest->eoi);
        return;
    }
    guest->vector = frame->vector;
    guest->error_code = frame->error_code;
    guest->rip = frame->rip;
    guest->cs = frame->cs;
    guest->rflags = frame->rflags;
    guest->cr2 = cpu_read_cr2();
    guest->exceptions++;
    (void)fix_up(frame);
}

// ---- memory -------------------------------------------------------------------------------------
void vtl0_memory_init(void) {
    uint64_t *table = at(TABLES_GPA), *window = at(PT_GPA);
    struct hv_register_value offsets;

    if (return_offset == 0) {
        EQUAL(get_register(OWN_VTL, HV_REGISTER_VSM_CODE_PAGE_OFFSETS, &offsets), 0);
        return_offset = offsets.low >> HV_CODE_OFFSET_RETURN_SHIFT & 0xfff;
        idt_fill(vtl0_idt, vtl0_stubs);
    }
    EQUAL(STATUS(protect(TABLES_GPA, 16, HV_MAP_GPA_PERMISSION_MASK)), HV_STATUS_SUCCESS);
    EQUAL(STATUS(protect(TARGET_GPA, 16, HV_MAP_GPA_PERMISSION_MASK)), HV_STATUS_SUCCESS);
    memset(table, 0, (size_t)6 * PAGE_SIZE_4K);
    table[0] = (TABLES_GPA + 0x1000) | PTE_TABLE;
    for (uint64_t i = 0; i < 4; i++) {
        table[512 + i] = (TABLES_GPA + 0x2000 + i * 0x1000) | PTE_TABLE;
        for (uint64_t j = 0; j < 512; j++) {
            table[1024 + 512 * i + j] = (i << 30 | j << 21) | PTE_LARGE;
        }
    }
    table[1024 + 512] = PT_GPA | PTE_TABLE; // WINDOW
    for (uint64_t i = 0; i < 512; i++) {
        window[i] = (TARGET_GPA + i * 0x1000) | PTE_PAGE;
    }
}

void vtl0_apic_reset(void) {
    vtl0_set(HV_REGISTER_APIC_BASE, me()->index == 0 ? 0xfee00900u : 0xfee00800u);
}

// ---- registers ----------------------------------------------------------------------------------
static struct {
    struct hv_vp_registers_input header;
    struct hv_register_assoc assoc[64];
} __attribute__((packed, aligned(4096))) batch[VP_MAX];

static void add(uint32_t *count, uint32_t name, uint64_t low, uint64_t high) {
    batch[me()->index].assoc[(*count)++] =
        (struct hv_register_assoc){.name = name, .value = {.low = low, .high = high}};
}

static void add_segment(uint32_t *count, uint32_t name, uint64_t base, uint32_t limit,
                        uint16_t selector, uint16_t attributes) {
    add(count, name, base, limit | (uint64_t)selector << 32 | (uint64_t)attributes << 48);
}

static void add_segments(uint32_t *n, enum mode mode) {
    const uint16_t code = mode == REAL ? 0x9b : mode == FLAT32 ? 0xc09b : 0xa09b;
    const uint16_t data = mode == REAL ? 0x93 : 0xc093;
    uint32_t limit = mode == REAL ? 0xffff : UINT32_MAX;

    add_segment(n, HV_REGISTER_CS, mode == REAL ? CODE_GPA : 0, limit,
                mode == REAL     ? CODE_GPA >> 4
                : mode == FLAT32 ? 0x08
                                 : 0x10,
                code);
    for (uint32_t name = HV_REGISTER_SS; name <= HV_REGISTER_FS; name++) {
        add_segment(n, name, 0, limit, mode == REAL ? 0 : 0x18, data);
    }
    add_segment(n, HV_REGISTER_ES, 0, limit, mode == REAL ? 0 : 0x18, data);
    add_segment(n, HV_REGISTER_GS, mode == LONG ? (uintptr_t)&guests[me()->index] : 0, limit,
                mode == REAL ? 0 : 0x18, data);
    add_segment(n, HV_REGISTER_TR, 0, 0xffff, 0, 0x8b);
    add_segment(n, HV_REGISTER_LDTR, 0, 0xffff, 0, 0x82);
    add(n, HV_REGISTER_GDTR, UINT64_C(31) << 48, (uintptr_t)gdt);
    add(n, HV_REGISTER_IDTR, (uint64_t)(mode == LONG ? 4095 : 0x3ff) << 48,
        mode == LONG ? (uintptr_t)vtl0_idt : 0);
}

static void set_registers(enum mode mode, uint64_t rip) {
    struct hv_vp_registers_input *header = &batch[me()->index].header;
    uint32_t n = 0;
    uint64_t result;

    add_segments(&n, mode);
    add(&n, HV_REGISTER_RIP, rip, 0);
    add(&n, HV_REGISTER_RSP, STACK_GPA + (me()->index << 16), 0);
    add(&n, HV_REGISTER_RFLAGS, 2, 0);
    add(&n, HV_REGISTER_CR0, mode == REAL ? 0x10 : mode == FLAT32 ? 0x11 : 0x80010033u, 0);
    add(&n, HV_REGISTER_CR3, mode == LONG ? TABLES_GPA : 0, 0);
    add(&n, HV_REGISTER_CR4, mode == LONG ? 0x620 : 0, 0);
    add(&n, HV_REGISTER_CR8, 0, 0);
    add(&n, HV_REGISTER_EFER, mode == LONG ? 0xd00 : 0, 0);
    add(&n, HV_REGISTER_DR7, 0x400, 0);
    add(&n, HV_REGISTER_PENDING_EVENT0, 0, 0);
    add(&n, HV_REGISTER_PENDING_INTERRUPTION, 0, 0);
    add(&n, HV_REGISTER_INTERRUPT_STATE, 0, 0);
    add(&n, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, 0, 0);
    add(&n, HV_REGISTER_INTERNAL_ACTIVITY_STATE, 0, 0);
    *header = (struct hv_vp_registers_input){
        .partition_id = HV_PARTITION_ID_SELF, .vp_index = HV_VP_INDEX_SELF, .target_vtl = VTL0};
    result = hypercall_at(HV_CALL_SET_VP_REGISTERS | REPS(n), (uintptr_t)header, 0, hypercall_page);
    EQUAL(result, REPS(n));
    memset(me()->gpr, 0, sizeof(me()->gpr));
}

void vtl0_code(enum mode mode, const uint8_t *code, size_t size_bytes) {
    memcpy(at(CODE_GPA), code, size_bytes);
    set_registers(mode, mode == REAL ? 0 : CODE_GPA);
}

void vtl0_function(void (*function)(void *), void *argument) {
    struct guest *guest = &guests[me()->index];

    memset(guest, 0, sizeof(*guest));
    guest->self = guest;
    set_registers(LONG, (uintptr_t)vtl0_entry);
    me()->gpr[6] = (uintptr_t)function;
    me()->gpr[7] = (uintptr_t)argument;
}

// ---- stays --------------------------------------------------------------------------------------
uint32_t vtl0_enter(uint64_t fast) {
    struct vp *vp = me();

    vp->assist->vtl_return_rax = vp->gpr[0];
    vp->assist->vtl_return_rcx = vp->gpr[1];
    vtl_return_at(vp->gpr, hypercall_page + return_offset, fast);
    vp->reason = vp->assist->vtl_entry_reason;
    return vp->reason;
}

uint32_t vtl0_run(void) {
    uint32_t type = 0;

    watchdog_arm(STAY_US);
    while (!watchdog_fired()) {
        if (vtl0_enter(0) == HV_VTL_ENTRY_INTERCEPT) {
            type = me()->assist->intercept_message.header.type;
            break;
        }
        take_interrupts();
    }
    watchdog_arm(0);
    return type;
}

const void *message(void) {
    return me()->assist->intercept_message.payload;
}

bool vtl0_finish(void) {
    uint32_t type = vtl0_run();
    const struct hv_io_port_intercept *io = message();
    const struct hv_memory_intercept *memory = message();

    if (type == HV_MESSAGE_IO_PORT_INTERCEPT && io->port == DONE_PORT) {
        return true;
    }
    say("# VTL0 does not end: message 0x%x, rip 0x%lx, exceptions %lu (%lu, rip 0x%lx)", type,
        (unsigned long)vtl0_get(HV_REGISTER_RIP), (unsigned long)guests[me()->index].exceptions,
        (unsigned long)guests[me()->index].vector, (unsigned long)guests[me()->index].rip);
    if (type == HV_MESSAGE_UNMAPPED_GPA || type == HV_MESSAGE_GPA_INTERCEPT) {
        say("# GPA 0x%lx", (unsigned long)memory->gpa);
    }
    return EXPECT(!"VTL0 ended");
}

bool vtl0_to_stop(uint8_t number) {
    uint32_t type = vtl0_run();
    const struct hv_io_port_intercept *io = message();

    if (type == HV_MESSAGE_IO_PORT_INTERCEPT && io->port == STOP_PORT + number) {
        vtl0_skip();
        return true;
    }
    say("# message 0x%x, port 0x%x, rip 0x%lx instead of stop %u", type, io->port,
        (unsigned long)vtl0_get(HV_REGISTER_RIP), number);
    return EXPECT(!"VTL0 stops");
}

bool vtl0_call(void (*function)(void *), void *argument) {
    vtl0_function(function, argument);
    return vtl0_finish();
}

void vtl0_run_for_us(uint64_t us) {
    watchdog_arm(us);
    while (!watchdog_fired()) {
        if (vtl0_enter(0) == HV_VTL_ENTRY_INTERCEPT) {
            EQUAL(me()->assist->intercept_message.header.type, 0);
            break;
        }
        take_interrupts();
    }
    watchdog_arm(0);
}

void vtl0_skip(void) {
    const struct hv_intercept_header *header = message();

    vtl0_set(HV_REGISTER_RIP, header->rip + (header->length_and_cr8 & 0xf));
}
