// SPDX-License-Identifier: MIT
//
// The first instructions of an application processor: from real mode to long mode (APM vol. 2,
// 14.6.1). smp.c copies [svm_trampoline, svm_trampoline_end) to TRAMPOLINE_GPA, fills in what
// stands at the end, and puts back what was there.

#define TRAMPOLINE_GPA 0x8000             // smp.c; the SIPI vector is this >> 12
#define CODE64         0x08
#define DATA64         0x10
#define MSR_EFER       0xc0000080
#define EFER_LME_NXE   0x900
#define CR4_PAE        0x20
#define CR0_PG_PE      0x80000001
#define here(symbol)   (symbol - svm_trampoline + TRAMPOLINE_GPA)

    .text
    .globl svm_trampoline, svm_trampoline_end
    .balign 16
svm_trampoline:
    .code16
    cli                                   // no interrupt handlers here
    cld
    xorw %ax, %ax
    movw %ax, %ds                         // addresses below 64 KiB are flat
    lgdtl here(gdt_pointer)
    movl $CR4_PAE, %eax
    movl %eax, %cr4
    movl here(parameter_cr3), %eax        // minihost's page tables, below 4 GiB
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    movl $EFER_LME_NXE, %eax
    xorl %edx, %edx
    wrmsr
    movl $CR0_PG_PE, %eax                 // both at once: straight into long mode
    movl %eax, %cr0
    ljmpl $CODE64, $here(long_mode)

    .code64
long_mode:
    movl $DATA64, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %ebp, %ebp                       // ends a stack walk
    movq parameter_stack(%rip), %rsp
    movq parameter_argument(%rip), %rdi
    jmp *parameter_entry(%rip)            // a C function that does not return; RSP is made for it

    .balign 8
gdt:
    .quad 0                               // null
    .quad 0x00af9b000000ffff              // CODE64
    .quad 0x00cf93000000ffff              // DATA64
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long here(gdt)
    .balign 8
parameter_cr3:                            // struct trampoline_parameters in smp.c
    .quad 0
parameter_entry:
    .quad 0
parameter_stack:
    .quad 0
parameter_argument:
    .quad 0
svm_trampoline_end:

    .section .note.GNU-stack, "", @progbits
