// SPDX-License-Identifier: MIT
//
// minihost's first instructions: QEMU's pvh.bin enters at pvh_entry in 32-bit protected mode, flat
// segments, paging off, EBX = struct pvh_start_info. Maps the first 4 GiB and goes to long mode.

#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define PTE_TABLE 0x003                   // present, writable
#define PTE_2M    0x083                   // present, writable, page size
#define CODE64    0x08
#define DATA64    0x10

    .section .note.pvh, "a", @note        // how QEMU finds the entry point
    .balign 4
    .long 4                               // name bytes
    .long 8                               // descriptor bytes
    .long XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .quad pvh_entry

    .section .entry, "ax"
    .code32
    .globl pvh_entry
pvh_entry:
    cli                                   // no interrupt handlers here
    cld                                   // string instructions go up
    movl $__bss_start, %edi               // ELF loaders zero the bss; do not depend on it
    movl $__bss_end, %ecx                 // 8-byte aligned by minihost.lds
    subl %edi, %ecx
    shrl $2, %ecx                         // double words
    xorl %eax, %eax
    rep stosl
    movl $boot_pdpt + PTE_TABLE, boot_pml4 // PML4[0]: the first 512 GiB
    movl $boot_pds + PTE_TABLE, %eax      // PDPT[0..3]: 1 GiB each
    movl $boot_pdpt, %edi
    movl $4, %ecx
1:  movl %eax, (%edi)                     // the high halves are zero: bss
    addl $4096, %eax
    addl $8, %edi
    loop 1b
    movl $PTE_2M, %eax                    // four page directories of 2 MiB pages
    movl $boot_pds, %edi
    movl $2048, %ecx
2:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop 2b
    movl %cr4, %eax
    orl $0x20, %eax                       // CR4.PAE
    movl %eax, %cr4
    movl $boot_pml4, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx                // EFER
    rdmsr
    orl $0x100, %eax                      // LME
    wrmsr
    movl %cr0, %eax
    orl $0x80000001, %eax                 // PG, PE
    movl %eax, %cr0                       // long mode is active: compatibility code segment
    lgdt gdt_pointer
    ljmp $CODE64, $3f

    .code64
3:  movl $DATA64, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    movl $stack_top, %esp
    xorl %ebp, %ebp                       // ends a stack walk
    movl %ebx, %edi                       // first argument: start info
    call minihost_main
    ud2                                   // not reached

    .section .rodata, "a"
    .balign 8
gdt:
    .quad 0                               // null
    .quad 0x00af9b000000ffff              // 0x08: flat 64-bit code
    .quad 0x00cf93000000ffff              // 0x10: flat data
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad gdt

    .section .bss, "aw", @nobits
    .balign 4096
boot_pml4:
    .skip 4096
boot_pdpt:
    .skip 4096
boot_pds:
    .skip 4 * 4096
    .skip 0x8000                          // 32 KiB of stack
stack_top:

    .section .note.GNU-stack, "", @progbits
