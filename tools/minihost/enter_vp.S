// SPDX-License-Identifier: MIT
//
// Loads a whole VP context. This code and enter_state are mapped at
// their own addresses before and after CR3 changes (checked by enter_prepare()).

#include "tools/minihost/enter.h"

    .text
    .code64
    .globl enter_vp
enter_vp:
    cli                                   // until the context's RFLAGS say otherwise
    movl $0xc0000080, %ecx                // EFER first: the page tables may use NX
    movl enter_state + ENTER_EFER(%rip), %eax
    movl enter_state + ENTER_EFER + 4(%rip), %edx
    wrmsr
    movq enter_state + ENTER_CR4(%rip), %rax    // before CR3: it decides how CR3 is read
    movq %rax, %cr4
    movq enter_state + ENTER_CR3(%rip), %rax
    movq %rax, %cr3
    movq enter_state + ENTER_CR0(%rip), %rax
    movq %rax, %cr0
    lgdt enter_state + ENTER_TEMP_GDT(%rip)     // descriptors made from the context's attributes
    leaq temp_stack_top(%rip), %rsp       // for the far return and popf only
    pushq enter_state + ENTER_CODE(%rip)
    leaq 1f(%rip), %rax
    pushq %rax
    lretq                                 // CS
1:  movl enter_state + ENTER_DATA(%rip), %eax
    movl %eax, %ds                        // "the data segment" is all five
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    movl $0xc0000101, %ecx                // GS base, after the selector that would clear it
    movl enter_state + ENTER_GS_BASE(%rip), %eax
    movl enter_state + ENTER_GS_BASE + 4(%rip), %edx
    wrmsr
    lgdt enter_state + ENTER_GDT(%rip)          // hidden parts stay as loaded
    lidt enter_state + ENTER_IDT(%rip)
    movq enter_state + ENTER_RCX(%rip), %rcx
    movq enter_state + ENTER_RDX(%rip), %rdx
    movq enter_state + ENTER_RBX(%rip), %rbx
    movq enter_state + ENTER_RBP(%rip), %rbp
    movq enter_state + ENTER_RSI(%rip), %rsi
    movq enter_state + ENTER_RDI(%rip), %rdi
    movq enter_state + ENTER_R8(%rip), %r8
    movq enter_state + ENTER_R9(%rip), %r9
    movq enter_state + ENTER_R10(%rip), %r10
    movq enter_state + ENTER_R11(%rip), %r11
    movq enter_state + ENTER_R12(%rip), %r12
    movq enter_state + ENTER_R13(%rip), %r13
    movq enter_state + ENTER_R14(%rip), %r14
    movq enter_state + ENTER_R15(%rip), %r15
    movq enter_state + ENTER_RAX(%rip), %rax
    pushq enter_state + ENTER_RFLAGS(%rip)
    popfq
    movq enter_state + ENTER_RSP(%rip), %rsp
    jmp *enter_state + ENTER_RIP(%rip)

    .section .bss, "aw", @nobits
    .balign 16
    .skip 64
temp_stack_top:

    .section .note.GNU-stack, "", @progbits
