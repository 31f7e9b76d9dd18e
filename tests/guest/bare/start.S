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
    mov 72(%rsp), %rdi          // vector
    lea 88(%rsp), %rsi          // RIP of the fault
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

    .bss
    .balign 16
    .skip 32768
stack_end:

    .section .note.GNU-stack, "", @progbits
