// SPDX-License-Identifier: MIT
//
// minihost's first instructions: QEMU's pvh.bin enters at pvh_entry in 32-bit protected mode, flat
// segments, paging off, EBX = struct pvh_start_info. Maps the first 4 GiB and goes to long mode.

#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define PTE_TABLE 0x003                   // present, writable
#define PTE_2M    0x083                   // present, writable, page size
#define IMAGE_GPA 0x00100000              // MINIHOST_START_GPA: minihost.lds puts pvh_entry there
#define CODE64    0x08
#define DATA64    0x10
#define at(symbol) (symbol - pvh_entry)(%ebp) // 32-bit code has no addresses relative to EIP

    .section .note.pvh, "a", @note        // how QEMU finds the entry point
    .balign 4
    .long 4                               // name bytes
    .long 8                               // descriptor bytes
    .long XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .quad IMAGE_GPA                       // pvh_entry

    .section .entry, "ax"
    .code32
    .globl pvh_entry
pvh_entry:
    cli                                   // no interrupt handlers here
    cld                                   // string instructions go up
    movl $IMAGE_GPA, %ebp
    leal at(__bss_start), %edi            // ELF loaders zero the bss; do not depend on it
    leal at(__bss_end), %ecx              // 8-byte aligned by minihost.lds
    subl %edi, %ecx
    shrl $2, %ecx                         // double words
    xorl %eax, %eax
    rep stosl
    leal at(boot_pdpt), %edi              // PML4[0]: the first 512 GiB
    leal PTE_TABLE(%edi), %eax
    movl %eax, at(boot_pml4)
    leal at(boot_pds), %eax               // PDPT[0..3]: 1 GiB each
    addl $PTE_TABLE, %eax
    movl $4, %ecx
1:  movl %eax, (%edi)                     // the high halves are zero: bss
    addl $4096, %eax
    addl $8, %edi
    loop 1b
    movl $PTE_2M, %eax                    // four page directories of 2 MiB pages
    leal at(boot_pds), %edi
    movl $2048, %ecx
2:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop 2b
    movl %cr4, %eax
    orl $0x20, %eax                       // CR4.PAE
    movl %eax, %cr4
    leal at(boot_pml4), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx                // EFER
    rdmsr
    orl $0x100, %eax                      // LME
    wrmsr
    movl %cr0, %eax
    orl $0x80000001, %eax                 // PG, PE
    movl %eax, %cr0                       // long mode is active: compatibility code segment
    leal at(gdt), %eax                    // not corrected yet: by hand
    movl %eax, at(gdt_pointer + 2)
    lgdt at(gdt_pointer)
    leal at(long_mode), %eax
    movl %eax, at(long_mode_pointer)
    ljmp *at(long_mode_pointer)

    .code64
long_mode:
    movl $DATA64, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    leaq stack_top(%rip), %rsp
    xorl %ebp, %ebp                       // ends a stack walk
    xorl %edi, %edi                       // pointers: as linked
    call bare_relocate
    movl %ebx, %edi                       // first argument: start info
    call minihost_main
    ud2                                   // not reached

    .data
    .balign 8
gdt:
    .quad 0                               // null
    .quad 0x00af9b000000ffff              // 0x08: flat 64-bit code
    .quad 0x00cf93000000ffff              // 0x10: flat data
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad 0                               // address of gdt
long_mode_pointer:
    .long 0                               // address of long_mode
    .word CODE64

    .section .bss, "aw", @nobits
    .balign 4096
boot_pml4:
    .skip 4096
boot_pdpt:
    .skip 4096
boot_pds:
    .skip 4 * 4096
    .skip 0x8000                          // 32 KiB of stack
    .globl stack_top
stack_top:

    .section .note.GNU-stack, "", @progbits
