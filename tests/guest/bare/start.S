// SPDX-License-Identifier: MIT
//
// A guest without an operating system, shaped as a Linux kernel of boot protocol 2.15 so that every
// Linux loader takes it (Documentation/arch/x86/boot.rst): the real-mode part is a header only, the
// 64-bit entry point is 0x200 bytes into the protected-mode part. Entered with paging on, the first
// 4 GiB mapped one to one, boot_params in RSI.

    .section .header, "a"
    .org 0x1f1
    .byte 1                     // setup_sects: 512 bytes beside the boot sector
    .word 0
    .long image_paragraphs      // syssize, in 16 bytes; bare.lds
    .word 0, 0, 0
    .word 0xaa55
    .byte 0xeb, 0x66            // jump: the header ends at 0x268
    .ascii "HdrS"
    .word 0x020f
    .long 0
    .word 0, 0                  // start_sys_seg, kernel_version
    .byte 0xff, 1               // loader; loadflags: LOADED_HIGH
    .word 0
    .long 0x100000, 0, 0, 0     // code32_start, ramdisk image and size, bootsect_kludge
    .word 0
    .byte 0, 0
    .long 0                     // cmd_line_ptr: the loader's
    .long 0x7fffffff            // initrd_addr_max
    .long 0x200000              // kernel_alignment
    .byte 1, 21                 // relocatable; min_alignment
    .word 1                     // xloadflags: XLF_KERNEL_64
    .long 255                   // cmdline_size
    .long 0
    .quad 0
    .long 0, 0
    .quad 0
    .quad 0x1000000             // pref_address
    .long image_run_bytes       // init_size
    .long 0
    .org 0x400

    .section .text.entry, "ax"
    .org 0x200                  // where the 64-bit entry point is
    .globl entry64
entry64:
    cli
    cld
    lea stack_end(%rip), %rsp
    mov %rsi, %rbx
    lea bss_start(%rip), %rdi   // the loader need not have cleared it
    lea bss_end(%rip), %rcx
    sub %rdi, %rcx
    xor %eax, %eax
    rep stosb
    mov %rbx, %rdi
    call bare_main
1:  hlt
    jmp 1b

// Exception stubs, 16 bytes each: vector and a made-up error code, so that all frames are alike.
    .text
    .balign 16
    .globl exception_stubs
exception_stubs:
    vector = 0
    .rept 32
    .balign 16
    // #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP, #VC, #SX push an error code themselves.
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
    push $0
    .endif
    push $vector
    jmp common
    vector = vector + 1
    .endr

common:
    push %rax
    push %rcx
    push %rdx
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    lea 72(%rsp), %rdi          // struct fault_frame
    cld
    call on_exception
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rdx
    pop %rcx
    pop %rax
    add $16, %rsp               // vector and error code
    iretq

// Every other vector: counts and acknowledges.
    .globl interrupt_stub
interrupt_stub:
    push %rax
    push %rcx
    push %rdx
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    cld
    call on_interrupt
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rdx
    pop %rcx
    pop %rax
    iretq

// int try_call(void (*fn)(void *), void *argument)
    .globl try_call, try_fault
try_call:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    sub $8, %rsp
    mov %rsp, try_stack(%rip)
    mov %rdi, %rax
    mov %rsi, %rdi
    call *%rax
    xor %eax, %eax
    jmp 1f
try_fault:                      // on_exception() returns to here, on try_stack
    mov last_fault(%rip), %eax
    inc %eax
1:  movq $0, try_stack(%rip)
    add $8, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

// VP 1: from its SIPI to long mode. Copied to other_home, below 1 MiB.
    .globl other_code, other_code_end, other_tables
    .set other_home, 0x10000
    .code16
other_code:
    cli
    mov %cs, %ax
    mov %ax, %ds
    lgdtl other_tables - other_code
    mov %cr0, %eax
    or $1, %eax
    mov %eax, %cr0
    ljmpl $0x20, $(other_home + other_32 - other_code)
    .code32
other_32:
    mov $0x18, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $0x620, %eax            // PAE, OSFXSR, OSXMMEXCPT
    mov %eax, %cr4
    mov $page_root, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax             // LME
    wrmsr
    mov %cr0, %eax
    and $0x9ffffff3, %eax       // CD, NW, EM, TS
    or $0x80000002, %eax        // PG, MP
    mov %eax, %cr0
    ljmpl $0x10, $other_64
    .balign 8
other_tables:                   // LGDT's operand: filled by other_start()
    .word 0
    .long 0
other_code_end:
    .code64
other_64:
    lea other_stack_end(%rip), %rsp
    call other_main
1:  hlt
    jmp 1b

    .bss
    .balign 16
    .globl try_stack
try_stack: .skip 8
    .balign 16
    .skip 32768
stack_end:
    .skip 16384
other_stack_end:

    .section .note.GNU-stack, "", @progbits
