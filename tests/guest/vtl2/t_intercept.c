// SPDX-License-Identifier: MIT
//
// Intercept messages of ports, MSRs, CPUID, hypercalls and exceptions: every field (TLFS,
// "Intercept messages"). Memory has a file of its own, t_memory.c.
#include "tests/guest/vtl2/vtl2.h"

#include <string.h>

#define EXECUTE HV_INTERCEPT_ACCESS_MASK_EXECUTE
#define NONE    HV_INTERCEPT_ACCESS_MASK_NONE

void check_header(const struct hv_intercept_header *h, enum mode mode, uint64_t rip,
                  unsigned length, enum hv_intercept_access access) {
    const uint16_t state[] = {
        [REAL] = 0, [FLAT32] = HV_STATE_CR0_PE, [LONG] = HV_STATE_CR0_PE | HV_STATE_EFER_LMA};

    EQUAL(me()->reason, HV_VTL_ENTRY_INTERCEPT);
    EQUAL(h->vp_index, me()->index);
    EQUAL(h->length_and_cr8, length);
    EQUAL(h->access, access);
    EQUAL(h->state, state[mode]);
    EQUAL(h->cs.base, mode == REAL ? CODE_GPA : 0);
    EQUAL(h->cs.limit, mode == REAL ? 0xffff : UINT32_MAX);
    EQUAL(h->cs.selector, mode == REAL ? CODE_GPA >> 4 : mode == FLAT32 ? 8 : 16);
    EQUAL(h->cs.attributes | 1, mode == REAL ? 0x9b : mode == FLAT32 ? 0xc09b : 0xa09b);
    EQUAL(h->rip, rip);
    EQUAL(h->rflags & ~UINT64_C(0x8d5), 2); // whatever the arithmetic flags are
}

// ---- ports --------------------------------------------------------------------------------------
#define PORT_SEQUENCE                                                                              \
    "mov $0x1234, %dx\nmov $0x11223344, %eax\n"                                                    \
    "outb %al, %dx\noutw %ax, %dx\noutl %eax, %dx\noutb %al, $0x99\n"                              \
    "inb %dx, %al\ninw %dx, %ax\ninl %dx, %eax\ninw $0x98, %ax\nhlt\n"
CODE(ports_16, 16, PORT_SEQUENCE);
CODE(ports_32, 32, PORT_SEQUENCE);
CODE(ports_64, 64, PORT_SEQUENCE);

/// Bytes of each instruction, in 16- and in wider code.
static const struct {
    uint16_t port;
    uint8_t size, length16, length32;
    bool is_in;
} ports[] = {{0x1234, 1, 1, 1, false}, {0x1234, 2, 1, 2, false}, {0x1234, 4, 2, 1, false},
             {0x99, 1, 2, 2, false},   {0x1234, 1, 1, 1, true},  {0x1234, 2, 1, 2, true},
             {0x1234, 4, 2, 1, true},  {0x98, 2, 2, 3, true}};

static void port_sequence(enum mode mode) {
    const struct hv_io_port_intercept *io = message();
    uint64_t rip = mode == REAL ? 0 : CODE_GPA;

    rip += mode == LONG || mode == FLAT32 ? 4 + 5 : 3 + 6;
    for (unsigned i = 0; i < ARRAY_COUNT(ports); i++) {
        unsigned length = mode == REAL ? ports[i].length16 : ports[i].length32;

        if (!EQUAL(vtl0_run(), HV_MESSAGE_IO_PORT_INTERCEPT)) {
            return;
        }
        check_header(&io->header, mode, rip, length,
                     ports[i].is_in ? HV_INTERCEPT_READ : HV_INTERCEPT_WRITE);
        EQUAL(io->port, ports[i].port);
        EQUAL(io->access_info, ports[i].size);
        EQUAL(io->instruction_byte_count, 0);
        EQUAL(io->rax, me()->gpr[0]);
        EQUAL(io->ds.base, 0);
        EQUAL(io->es.base, 0);
        if (!ports[i].is_in) {
            EQUAL(io->rax, 0x11223344);
        } else {
            me()->gpr[0] = 0xa0 + i; // what the next instruction finds in RAX
        }
        vtl0_skip();
        rip += length;
    }
    EQUAL(me()->assist->intercept_message.header.payload_size_bytes,
          sizeof(struct hv_io_port_intercept));
    EQUAL(io->rax, 0xa6);
}

TEST(intercept_ports_real) {
    VTL0_CODE(REAL, ports_16);
    port_sequence(REAL);
}

TEST(intercept_ports_32) {
    VTL0_CODE(FLAT32, ports_32);
    port_sequence(FLAT32);
}

TEST(intercept_ports_64) {
    VTL0_CODE(LONG, ports_64);
    port_sequence(LONG);
}

CODE(string_64, 64, "rep outsb\nrep insw\nlodsb\noutsl\n");

TEST(intercept_port_strings) {
    const struct hv_io_port_intercept *io = message();

    VTL0_CODE(LONG, string_64);
    me()->gpr[1] = 5;
    me()->gpr[2] = 0x4321;
    me()->gpr[6] = DATA_GPA;
    me()->gpr[7] = DATA_GPA + 0x100;
    EQUAL(vtl0_run(), HV_MESSAGE_IO_PORT_INTERCEPT);
    check_header(&io->header, LONG, CODE_GPA, 2, HV_INTERCEPT_WRITE);
    EQUAL(io->port, 0x4321);
    EQUAL(io->access_info, 1 | HV_IO_ACCESS_STRING | HV_IO_ACCESS_REP);
    EQUAL(io->rcx, 5);
    EQUAL(io->rsi, DATA_GPA);
    EQUAL(io->rdi, DATA_GPA + 0x100);
    EXPECT(io->instruction_byte_count >= 2 && io->instruction_byte_count <= 15);
    EQUAL(memcmp(io->instruction_bytes, string_64, 2), 0);
    vtl0_skip();
    EQUAL(vtl0_run(), HV_MESSAGE_IO_PORT_INTERCEPT);
    check_header(&io->header, LONG, CODE_GPA + 2, 3, HV_INTERCEPT_READ);
    EQUAL(io->access_info, 2 | HV_IO_ACCESS_STRING | HV_IO_ACCESS_REP);
    EQUAL(memcmp(io->instruction_bytes, string_64 + 2, 3), 0);
    vtl0_skip();
    EQUAL(vtl0_run(), HV_MESSAGE_IO_PORT_INTERCEPT);
    check_header(&io->header, LONG, CODE_GPA + 6, 1, HV_INTERCEPT_WRITE);
    EQUAL(io->access_info, 4 | HV_IO_ACCESS_STRING);
    EQUAL(io->rsi, DATA_GPA + 1);
}

// ---- MSRs ---------------------------------------------------------------------------------------
CODE(msrs, 32,
     "mov $0x12345678, %ecx\nrdmsr\nmov $0x89abcdef, %eax\nmov $0x1234567, %edx\nwrmsr\n");

TEST(intercept_msr) {
    const struct hv_msr_intercept *msr = message();

    EQUAL(install_intercept(HV_INTERCEPT_MSR, 3, 0), 0);
    VTL0_CODE(FLAT32, msrs);
    EQUAL(vtl0_run(), HV_MESSAGE_MSR_INTERCEPT);
    check_header(&msr->header, FLAT32, CODE_GPA + 5, 2, HV_INTERCEPT_READ);
    EQUAL(msr->msr, 0x12345678);
    vtl0_skip();
    EQUAL(vtl0_run(), HV_MESSAGE_MSR_INTERCEPT);
    check_header(&msr->header, FLAT32, CODE_GPA + 17, 2, HV_INTERCEPT_WRITE);
    EQUAL(msr->msr, 0x12345678);
    EQUAL(msr->rax, 0x89abcdefu);
    EQUAL(msr->rdx, 0x1234567);
    EQUAL(install_intercept(HV_INTERCEPT_MSR, 0, 0), 0);
}

// ---- CPUID --------------------------------------------------------------------------------------
CODE(cpuid_leaf, 32,
     "mov $0x77665544, %eax\nmov $7, %ecx\nmov $8, %edx\nmov $9, %ebx\ncpuid\n"
     "out %eax, $0xe0\n");

TEST(intercept_cpuid) {
    const struct hv_cpuid_intercept *cpuid = message();
    struct hv_cpuid_values_input *in = (void *)me()->input;
    uint32_t *out = (uint32_t *)me()->output;

    EQUAL(install_intercept(HV_INTERCEPT_CPUID, EXECUTE, 0x77665544), 0);
    VTL0_CODE(FLAT32, cpuid_leaf);
    EQUAL(vtl0_run(), HV_MESSAGE_CPUID_INTERCEPT);
    check_header(&cpuid->header, FLAT32, CODE_GPA + 20, 2, HV_INTERCEPT_EXECUTE);
    EQUAL(cpuid->rax, 0x77665544);
    EQUAL(cpuid->rcx, 7);
    EQUAL(cpuid->rdx, 8);
    EQUAL(cpuid->rbx, 9);
    *in = (struct hv_cpuid_values_input){.partition_id = HV_PARTITION_ID_SELF,
                                         .vp_index = HV_VP_INDEX_SELF};
    ((uint32_t *)(in + 1))[0] = 0x77665544;
    ((uint32_t *)(in + 1))[1] = 7;
    EQUAL(call(HV_CALL_GET_VP_CPUID_VALUES | REPS(1)), REPS(1));
    EQUAL(cpuid->default_rax, out[0]);
    EQUAL(cpuid->default_rbx, out[1]);
    EQUAL(cpuid->default_rcx, out[2]);
    EQUAL(cpuid->default_rdx, out[3]);
    // Not installed any more: answered by the host.
    EQUAL(install_intercept(HV_INTERCEPT_CPUID, NONE, 0x77665544), 0);
    vtl0_finish();
    EQUAL((uint32_t)me()->gpr[0], out[0]);
}

// ---- hypercalls ---------------------------------------------------------------------------------
CODE(hypercall_64, 64,
     "mov $0x40000000, %ecx; xor %eax, %eax; mov $0x81000000, %edx; wrmsr\n"
     "mov $0x40000001, %ecx; mov $0x31001, %eax; xor %edx, %edx; wrmsr\n"
     "mov $0x7777, %ecx; mov $2, %edx; mov $3, %ebx; mov $4, %esi; mov $5, %edi; mov $6, %r8d\n"
     ".globl hypercall_here\nhypercall_here: vmmcall\n");
extern const uint8_t hypercall_here[];

TEST(intercept_hypercall) {
    const struct hv_hypercall_intercept *h = message();

    EQUAL(install_intercept(HV_INTERCEPT_HYPERCALL, EXECUTE, 0), 0);
    VTL0_CODE(LONG, hypercall_64);
    EQUAL(vtl0_run(), HV_MESSAGE_HYPERCALL_INTERCEPT);
    check_header(&h->header, LONG, CODE_GPA + (uintptr_t)(hypercall_here - hypercall_64), 3,
                 HV_INTERCEPT_EXECUTE);
    EQUAL(h->rcx, 0x7777);
    EQUAL(h->rdx, 2);
    EQUAL(h->rbx, 3);
    EQUAL(h->rsi, 4);
    EQUAL(h->rdi, 5);
    EQUAL(h->r8, 6);
    EQUAL(install_intercept(HV_INTERCEPT_HYPERCALL, NONE, 0), 0);
    EQUAL(vtl0_get(HV_REGISTER_HYPERCALL), 0x31001);
    vtl0_set(HV_REGISTER_HYPERCALL, 0);
    vtl0_set(HV_REGISTER_GUEST_OS_ID, 0);
}

// ---- exceptions ---------------------------------------------------------------------------------
CODE(exception_ud, 64, "nop\nud2\nint3\n");
CODE(exception_pf, 64, "movq %rax, 0x40(%rbx)\n");
CODE(exception_gp, 64, "mov $0x1230, %eax\nmov %ax, %ds\n");

TEST(intercept_exception) {
    const struct hv_exception_intercept *e = message();

    EQUAL(install_intercept(HV_INTERCEPT_EXCEPTION, EXECUTE, 6), 0);
    VTL0_CODE(LONG, exception_ud);
    for (unsigned i = 0; i < 16; i++) {
        me()->gpr[i] = 0x100 + i;
    }
    EQUAL(vtl0_run(), HV_MESSAGE_EXCEPTION_INTERCEPT);
    check_header(&e->header, LONG, CODE_GPA + 1, 0, HV_INTERCEPT_EXECUTE);
    EQUAL(e->vector, 6);
    EQUAL(e->exception_info, 0);
    EQUAL(memcmp(e->instruction_bytes, "\x0f\x0b\xcc", 3), 0);
    EXPECT(e->instruction_byte_count >= 3 && e->instruction_byte_count <= 15);
    EQUAL(e->ds.selector, 0x18);
    EQUAL(e->ss.selector, 0x18);
    for (unsigned i = 0; i < 16; i++) {
        EQUAL(e->gpr[i], i == 4 ? STACK_GPA : 0x100 + i);
    }
    EQUAL(install_intercept(HV_INTERCEPT_EXCEPTION, NONE, 6), 0);
    EQUAL(install_intercept(HV_INTERCEPT_EXCEPTION, EXECUTE, 32), HV_STATUS_INVALID_PARAMETER);
}

TEST(intercept_exception_error_codes) {
    const struct hv_exception_intercept *e = message();
    uint64_t *table = at(PT_GPA);

    EQUAL(install_intercept(HV_INTERCEPT_EXCEPTION, EXECUTE, 14), 0);
    EQUAL(install_intercept(HV_INTERCEPT_EXCEPTION, EXECUTE, 13), 0);
    table[3] = 0; // a page that VTL0's tables do not have
    VTL0_CODE(LONG, exception_pf);
    me()->gpr[3] = WINDOW + 0x3000;
    EQUAL(vtl0_run(), HV_MESSAGE_EXCEPTION_INTERCEPT);
    EQUAL(e->vector, 14);
    EQUAL(e->exception_info, 1);
    EQUAL(e->error_code, 2); // a write, not present
    EQUAL(e->parameter, WINDOW + 0x3040);
    VTL0_CODE(LONG, exception_gp);
    EQUAL(vtl0_run(), HV_MESSAGE_EXCEPTION_INTERCEPT);
    EQUAL(e->vector, 13);
    EQUAL(e->exception_info, 1);
    EQUAL(e->error_code, 0x1230);
    EQUAL(install_intercept(HV_INTERCEPT_EXCEPTION, NONE, 13), 0);
    EQUAL(install_intercept(HV_INTERCEPT_EXCEPTION, NONE, 14), 0);
}

TEST(intercept_triple_fault) {
    const struct hv_intercept_header *h = message();

    VTL0_CODE(LONG, exception_ud);
    EQUAL(set_register(VTL0, HV_REGISTER_IDTR, 0, 0), 0);
    EQUAL(vtl0_run(), HV_MESSAGE_UNRECOVERABLE_EXCEPTION);
    EQUAL(h->vp_index, 0);
    EQUAL(h->rip, CODE_GPA + 1);
    // VTL2 goes on, and so does VTL0 with new registers.
    VTL0_CODE(FLAT32, cpuid_leaf);
    vtl0_finish();
}

// ---- what the header says of the processor's state ----------------------------------------------
CODE(one_out, 64, "out %al, $0x99\n");
CODE(sti_out, 64, "sti\nout %al, $0x99\nout %al, $0x99\n");

TEST(intercept_state_cpl) {
    const struct hv_intercept_header *h = message();

    VTL0_CODE(LONG, one_out);
    EQUAL(set_register(VTL0, HV_REGISTER_CS, 0,
                       UINT64_C(0xa0fb) << 48 | UINT64_C(0x23) << 32 | UINT32_MAX),
          0);
    EQUAL(set_register(VTL0, HV_REGISTER_SS, 0,
                       UINT64_C(0xc0f3) << 48 | UINT64_C(0x2b) << 32 | UINT32_MAX),
          0);
    vtl0_set(HV_REGISTER_RFLAGS, 0x3002); // IOPL 3
    EQUAL(vtl0_run(), HV_MESSAGE_IO_PORT_INTERCEPT);
    EQUAL(h->state & HV_STATE_CPL_MASK, 3);
    EQUAL(h->cs.selector, 0x23);
    EQUAL(h->rflags, 0x3002);
}

TEST(intercept_state_debug) {
    const struct hv_intercept_header *h = message();

    VTL0_CODE(LONG, one_out);
    vtl0_set(HV_REGISTER_DR7, 0x401);
    vtl0_set(HV_REGISTER_CR0, 0x80050033u); // AM
    EQUAL(vtl0_run(), HV_MESSAGE_IO_PORT_INTERCEPT);
    EXPECT(h->state & HV_STATE_DEBUG_ACTIVE);
    EXPECT(h->state & HV_STATE_CR0_AM);
}

TEST(intercept_state_shadow) {
    const struct hv_intercept_header *h = message();

    VTL0_CODE(LONG, sti_out);
    EQUAL(vtl0_run(), HV_MESSAGE_IO_PORT_INTERCEPT);
    EXPECT(h->state & HV_STATE_INTERRUPT_SHADOW);
    EQUAL(vtl0_get(HV_REGISTER_INTERRUPT_STATE), HV_INTERRUPT_STATE_SHADOW);
    vtl0_skip(); // the instruction is done: no shadow behind it
    EQUAL(vtl0_get(HV_REGISTER_INTERRUPT_STATE), 0);
    EQUAL(vtl0_run(), HV_MESSAGE_IO_PORT_INTERCEPT);
    EQUAL(h->state & HV_STATE_INTERRUPT_SHADOW, 0);
}

TEST(intercept_state_cr8) {
    const struct hv_intercept_header *h = message();

    VTL0_CODE(LONG, one_out);
    vtl0_set(HV_REGISTER_CR8, 9);
    EQUAL(vtl0_run(), HV_MESSAGE_IO_PORT_INTERCEPT);
    EQUAL(h->length_and_cr8, 9u << 4 | 2);
    vtl0_set(HV_REGISTER_CR8, 0);
}

TEST(install_intercept_refused) {
    struct hv_install_intercept_input *in = (void *)me()->input;

    EQUAL(install_intercept(HV_INTERCEPT_IO_PORT, 3, 0x80), 0); // ports come anyway
    EQUAL(install_intercept(HV_INTERCEPT_IO_PORT_RANGE, 3, 0xffff0000u), 0);
    EQUAL(install_intercept(HV_INTERCEPT_IO_PORT, 8, 0x80), HV_STATUS_INVALID_PARAMETER);
    EQUAL(install_intercept(0x40, 1, 0), HV_STATUS_INVALID_PARAMETER);
    in->partition_id = 3;
    EQUAL(call(HV_CALL_INSTALL_INTERCEPT), HV_STATUS_INVALID_PARTITION_ID);
}
