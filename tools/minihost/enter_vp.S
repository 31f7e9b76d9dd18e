// SPDX-License-Identifier: MIT
//
// Loads a whole VP context. Everything here is absolute: this code and enter_state are mapped at
// their own addresses before and after CR3 changes (checked by enter_prepare()).

#include "tools/minihost/enter.h"

    .text
    .code64
    .globl enter_vp
enter_vp:
    cli                                   // until the context's RFLAGS say otherwise
    movl $0xc0000080, %ecx                // EFER first: the page tables may use NX
    movl enter_state + ENTER_EFER, %eax
    movl enter_state + ENTER_EFER + 4, %edx
    wrmsr
    movq enter_state + ENTER_CR4, %rax    // before CR3: it decides how CR3 is read
    movq %rax, %cr4
    movq enter_state + ENTER_CR3, %rax
    movq %rax, %cr3
    movq enter_state + ENTER_CR0, %rax
    movq %rax, %cr0
    lgdt enter_state + ENTER_TEMP_GDT     // descriptors made from the context's attributes
    movl $temp_stack_top, %esp            // for the far return and popf only
    pushq enter_state + ENTER_CODE
    pushq $1f
    lretq                                 // CS
1:  movl enter_state + ENTER_DATA, %eax
    movl %eax, %ds                        // "the data segment" is all five
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    movl $0xc0000101, %ecx                // GS base, after the selector that would clear it
    movl enter_state + ENTER_GS_BASE, %eax
    movl enter_state + ENTER_GS_BASE + 4, %edx
    wrmsr
    lgdt enter_state + ENTER_GDT          // hidden parts stay as loaded
    lidt enter_state + ENTER_IDT
    movq enter_state + ENTER_RCX, %rcx
    movq enter_state + ENTER_RDX, %rdx
    movq enter_state + ENTER_RBX, %rbx
    movq enter_state + ENTER_RBP, %rbp
    movq enter_state + ENTER_RSI, %rsi
    movq enter_state + ENTER_RDI, %rdi
    movq enter_state + ENTER_R8, %r8
    movq enter_state + ENTER_R9, %r9
    movq enter_state + ENTER_R10, %r10
    movq enter_state + ENTER_R11, %r11
    movq enter_state + ENTER_R12, %r12
    movq enter_state + ENTER_R13, %r13
    movq enter_state + ENTER_R14, %r14
    movq enter_state + ENTER_R15, %r15
    movq enter_state + ENTER_RAX, %rax
    pushq enter_state + ENTER_RFLAGS
    popfq
    movq enter_state + ENTER_RSP, %rsp
    jmp *enter_state + ENTER_RIP

    .section .bss, "aw", @nobits
    .balign 16
    .skip 64
temp_stack_top:

    .section .note.GNU-stack, "", @progbits
