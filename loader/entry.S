// SPDX-License-Identifier: MIT
//
// The shim's first and last instructions. Entered in long mode, identity-mapped, interrupts off
// (loader/layout.h); left for Linux as boot.rst's 64-bit boot protocol wants it.

#define IMAGE_GPA    0x00200000         // LAYOUT_SHIM_GPA
#define STACK_BYTES  0x8000
#define STACK_COOKIE 0x7061726170657421 // SHIM_STACK_COOKIE in shim.h
#define BOOT_CS      0x10               // LINUX_BOOT_CS and LINUX_BOOT_DS in linux_boot.h
#define BOOT_DS      0x18

    .section .entry, "ax"                 // shim.lds puts this first: LAYOUT_SHIM_GPA is shim_entry
    .code64
    .globl shim_entry
shim_entry:
    cli                                   // no interrupt handler exists, ever
    cld                                   // string instructions go up, as C expects
    movl %edi, %ebp                       // keep the platform number while EDI is in use
    rdtsc                                 // time zero of all stamps
    shlq $32, %rdx                        // high half …
    orq %rax, %rdx                        // … and low half
    movq %rdx, %rbx                       // keep it
    leaq __bss_start(%rip), %rdi          // zero the bss: only its start is page data
    leaq __bss_end(%rip), %rcx            // both 8-byte aligned by shim.lds
    subq %rdi, %rcx                       // bytes
    shrq $3, %rcx                         // quadwords
    xorl %eax, %eax                       // zero
    rep stosq
    leaq stack_top(%rip), %rsp            // the stack is in the bss
    movabsq $STACK_COOKIE, %rax           // an overrun would destroy this …
    movq %rax, shim_stack_floor(%rip)     // … which shim_main checks before it leaves
    leaq shim_entry(%rip), %r12           // where we are …
    subq $IMAGE_GPA, %r12                 // … above where we were linked
    movq %r12, %rdi                       // correct our pointers
    call bare_relocate
    lgdt gdt_pointer(%rip)                // a GDT of ours: the context's may be anywhere
    pushq $BOOT_CS                        // far return target: selector …
    leaq 1f(%rip), %rax                   // … and address
    pushq %rax
    lretq                                 // loads CS
1:  movl $BOOT_DS, %eax                   // flat data for everything else
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax                       // FS and GS are not used
    movl %eax, %fs
    movl %eax, %gs
    movl %ebp, %edi                       // first argument: platform
    movq %rbx, %rsi                       // second: TSC at entry
    movq %r12, %rdx                       // third: distance from the linked address
    xorl %ebp, %ebp                       // ends a stack walk
    call shim_main
    ud2                                   // not reached

    .text
    .globl shim_enter_kernel
shim_enter_kernel:                        // rdi: entry point, rsi: boot_params (stays in RSI)
    cli                                   // still off; the protocol asks for it
    movq %rdi, %rax                       // free RDI
    xorl %edi, %edi                       // leave no values of ours behind
    xorl %ebp, %ebp
    xorl %ebx, %ebx
    jmp *%rax                             // CS, DS, ES, SS and the GDT are as the protocol wants

    .data                                 // gdt_pointer is corrected before it is used
    .balign 8
gdt:
    .quad 0                               // null
    .quad 0                               // 0x08 unused
    .quad 0x00af9b000000ffff              // 0x10 BOOT_CS: flat 64-bit code, execute/read
    .quad 0x00cf93000000ffff              // 0x18 BOOT_DS: flat data, read/write
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1               // limit
    .quad gdt                             // base

    .section .bss, "aw", @nobits
    .balign 16
    .globl shim_stack_floor
shim_stack_floor:
    .skip STACK_BYTES
stack_top:

    .section .note.GNU-stack, "", @progbits
