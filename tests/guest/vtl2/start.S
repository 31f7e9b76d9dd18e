// SPDX-License-Identifier: MIT
//
// Where the VTL2 test program begins, its exception and interrupt stubs, calls into the hypercall
// page, and the stay in VTL0 (TLFS, "VTL Return"). Entered in long mode, identity-mapped, IF clear.

    .section .text.entry, "ax"
    .globl entry
entry:
    cli
    cld
    leaq bss_start(%rip), %rdi          // page data ends where the bss begins
    leaq bss_end(%rip), %rcx
    subq %rdi, %rcx
    xorl %eax, %eax
    rep stosb
    leaq stack_end(%rip), %rsp
    call load_tables
    call vtl2_main
1:  hlt
    jmp 1b

// The second VP's VTL2: RSP is in its initial context.
    .globl second_entry
second_entry:
    cli
    cld
    call load_tables
    call second_main
1:  hlt
    jmp 1b

    .text
load_tables:
    lgdt gdt_pointer(%rip)
    lidt vtl2_idt_pointer(%rip)
    popq %rax                           // far return to the caller, with our code segment
    pushq $0x10
    pushq %rax
    movl $0x18, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    lretq

// uint64_t hypercall_at(uint64_t control, uint64_t in, uint64_t out, void *page)
    .globl hypercall_at
hypercall_at:
    movq %rcx, %rax                     // page
    movq %rdx, %r8                      // output
    movq %rsi, %rdx                     // input
    movq %rdi, %rcx                     // control
    jmp *%rax

// uint64_t hypercall_rcx(uint64_t *control, uint64_t in, uint64_t out, void *page): *control is
// what RCX holds afterwards.
    .globl hypercall_rcx
hypercall_rcx:
    pushq %rdi
    movq %rcx, %rax
    movq %rdx, %r8
    movq %rsi, %rdx
    movq (%rdi), %rcx
    call *%rax
    popq %rdi
    movq %rcx, (%rdi)
    ret

// void vtl_return_at(uint64_t gpr[16], void *code, uint64_t is_fast): VTL0 runs until VTL2 is
// entered again. gpr, in the encoding's order, is what VTL0 gets but for RAX, RCX (VP assist page)
// and RSP, and then what it left.
    .globl vtl_return_at
vtl_return_at:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushq %rdi
    pushq %rsi
    movq %rdx, %rcx
    movq 16(%rdi), %rdx
    movq 24(%rdi), %rbx
    movq 40(%rdi), %rbp
    movq 48(%rdi), %rsi
    movq 64(%rdi), %r8
    movq 72(%rdi), %r9
    movq 80(%rdi), %r10
    movq 88(%rdi), %r11
    movq 96(%rdi), %r12
    movq 104(%rdi), %r13
    movq 112(%rdi), %r14
    movq 120(%rdi), %r15
    movq 56(%rdi), %rdi
    call *(%rsp)                        // the operand is read before the push
    xchgq %rdi, 8(%rsp)                 // RDI: gpr; the stack: VTL0's RDI
    movq %rax, 0(%rdi)
    movq %rcx, 8(%rdi)
    movq %rdx, 16(%rdi)
    movq %rbx, 24(%rdi)
    movq %rbp, 40(%rdi)
    movq %rsi, 48(%rdi)
    movq 8(%rsp), %rax
    movq %rax, 56(%rdi)
    movq %r8, 64(%rdi)
    movq %r9, 72(%rdi)
    movq %r10, 80(%rdi)
    movq %r11, 88(%rdi)
    movq %r12, 96(%rdi)
    movq %r13, 104(%rdi)
    movq %r14, 112(%rdi)
    movq %r15, 120(%rdi)
    addq $16, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    cld
    ret

// VTL0's 64-bit programs are functions: RSI the function, RDI its argument; then the "done" port.
    .globl vtl0_entry
vtl0_entry:
    cld
    call *%rsi
1:  outl %eax, $0xe0                    // DONE_PORT in vtl2.h
    jmp 1b

// One 16-byte stub per vector, the frames alike (struct frame).
.macro STUBS name, handler
    .balign 16
    .globl \name
\name:
    vector = 0
    .rept 256
    .balign 16
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
    pushq $0
    .endif
    pushq $vector
    jmp \name\()_common
    vector = vector + 1
    .endr
\name\()_common:
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, %rdi
    movq %rsp, %rbx
    andq $-16, %rsp
    cld
    call \handler
    movq %rbx, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbp
    popq %rbx
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp                      // vector and error code
    iretq
.endm

    STUBS vtl2_stubs, on_vtl2_interrupt
    STUBS vtl0_stubs, on_vtl0_interrupt

    .data
    .balign 8
    .globl gdt, gdt_pointer, vtl2_idt_pointer
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff            // 0x08 flat 32-bit code
    .quad 0x00af9b000000ffff            // 0x10 64-bit code
    .quad 0x00cf93000000ffff            // 0x18 flat data
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad gdt
vtl2_idt_pointer:
    .word 4095
    .quad vtl2_idt

    .bss
    .balign 16
    .skip 0x4000
stack_end:

    .section .note.GNU-stack, "", @progbits
