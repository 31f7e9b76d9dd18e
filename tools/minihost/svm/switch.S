// SPDX-License-Identifier: MIT
//
// The world switch (APM vol. 2, 15.5), and what minihost does with NMIs: they wake a CPU, nothing
// more. GIF is clear everywhere in minihost but where it says STGI, so NMIs and external interrupts
// stay pending; the former are taken here, the latter belong to VTL2.

#define HOST_CR0 0x80000011               // PG, ET, PE

    .text
    .code64

// void svm_world_switch(uint64_t vmcb_gpa, uint64_t gpr[16]): runs the VMCB's guest until it exits.
// gpr as enum vsm_gpr says; RAX and RSP are the VMCB's. x87, SSE, debug registers and XCR0 flow
// through: minihost does not use them.
    .globl svm_world_switch
svm_world_switch:
    pushq %rbx                            // the C ABI's callee-saved registers
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushq %rsi                            // gpr
    movq %rdi, %rax                       // VMCB
    movq 8(%rsi), %rcx
    movq 16(%rsi), %rdx
    movq 24(%rsi), %rbx
    movq 40(%rsi), %rbp
    movq 56(%rsi), %rdi
    movq 64(%rsi), %r8
    movq 72(%rsi), %r9
    movq 80(%rsi), %r10
    movq 88(%rsi), %r11
    movq 96(%rsi), %r12
    movq 104(%rsi), %r13
    movq 112(%rsi), %r14
    movq 120(%rsi), %r15
    movq 48(%rsi), %rsi
    sti                                   // GIF is clear: IF only lets interrupts end V_INTR_MASKING
    vmload %rax                           // FS, GS, TR, LDTR, syscall MSRs: minihost uses none
    vmrun %rax                            // RAX is ours again
    // QEMU leaves the guest's CR0 to us when it had paging off, EFER.LME set and CR4.PAE clear.
    // Without paging here the next entry would have no nested paging either.
    pushq %rcx
    movq %cr0, %rcx
    btl $31, %ecx
    jc 1f
    movl $HOST_CR0, %ecx
    movq %rcx, %cr0
1:  popq %rcx
    vmsave %rax
    cli
    xchgq %rsi, (%rsp)                    // gpr against the guest's RSI
    movq %rcx, 8(%rsi)
    movq %rdx, 16(%rsi)
    movq %rbx, 24(%rsi)
    movq %rbp, 40(%rsi)
    movq %rdi, 56(%rsi)
    movq %r8, 64(%rsi)
    movq %r9, 72(%rsi)
    movq %r10, 80(%rsi)
    movq %r11, 88(%rsi)
    movq %r12, 96(%rsi)
    movq %r13, 104(%rsi)
    movq %r14, 112(%rsi)
    movq %r15, 120(%rsi)
    popq 48(%rsi)
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

// void svm_take_nmi(void): lets a pending NMI happen. IF is clear, so nothing else can.
    .globl svm_take_nmi
svm_take_nmi:
    stgi
    nop
    clgi
    ret

// The gate of vector 2. IRETQ lets the next NMI come.
    .globl svm_nmi_gate
svm_nmi_gate:
    iretq

// What the idle guest runs, with minihost's own page tables: an exit ends it (see cpu.c).
    .globl svm_idle_code
svm_idle_code:
    hlt
    jmp svm_idle_code

    .section .note.GNU-stack, "", @progbits
