// SPDX-License-Identifier: MIT
//
// From long mode down and back: the same accesses (a port, strings of ports, a device's register,
// foreign memory) in each mode on the way. Copied to modes_home, below 1 MiB, and called there:
//   uint64_t modes_code(uint32_t foreign, uint32_t stop);
// returns the AND of what foreign memory showed. `stop` says how far down it goes: 0 compatibility
// mode, 1 protected mode without paging, 2 with paging but without PAE, 3 16-bit protected mode,
// 4 real mode with a 4 GiB segment, 5: asks for LA57 on the way.

    .set modes_home, 0x12000
    .set code64, 0x10
    .set data, 0x18
    .set code32, 0x20
    .set code16, 0x28           // base modes_home
    .set data16, 0x30

    .text
    .globl modes_code, modes_code_end
    .balign 16
modes_code:
    push %rbx
    push %rbp
    push %r12
    push %r13
    mov %edi, %ebp              // foreign memory
    mov %esi, %r12d
    mov %rsp, %r13
    mov %esi, modes_home + stop - modes_code
    movl $0xffffffff, %ebx      // the result
    // Every far jump is direct, in a 32-bit mode: the first goes by a far return.
    pushq $code32
    pushq $(modes_home + in_32 - modes_code)
    lretq

// The accesses: foreign memory at EBP, result to EBX. Changes EAX, ECX, EDX, ESI, EDI.
.macro accesses
    and %ds:(%ebp), %ebx
    mov %ds:(%ebp), %eax
    and %eax, %ebx
    movl $0, %ds:(%ebp)
    lock btsl $3, %ds:(%ebp)
    mov $0xfed40030, %eax       // the TPM's interface
    mov (%eax), %ecx
    mov $0xfee00020, %eax       // the local APIC
    mov (%eax), %ecx
    mov $0x3ff, %dx
    mov $0x5a, %al
    out %al, %dx
    in %dx, %al
    mov $0x80, %dx
    mov $4, %ecx
    mov $scratch - modes_code, %esi
    rep outsb
    mov $4, %ecx
    mov $scratch - modes_code, %edi
    rep insl
    xor %eax, %eax
    xor %ecx, %ecx
    push %ebx
    cpuid
    pop %ebx
.endm

    .code32
in_32:
    mov $(modes_home + 0xf00), %esp
    mov $data, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    accesses
    cmpl $0, modes_home + stop - modes_code
    je up
    mov %cr0, %eax              // paging off: long mode ends
    and $0x7fffffff, %eax
    mov %eax, %cr0
    mov $0xc0000080, %ecx
    rdmsr
    and $0xfffffeff, %eax       // LME
    wrmsr
    cmpl $5, modes_home + stop - modes_code
    jne 1f
    mov %cr4, %eax
    or $0x1000, %eax            // LA57
    mov %eax, %cr4
1:  accesses
    cmpl $2, modes_home + stop - modes_code
    jb up_no_paging
    mov %cr4, %eax              // 4 MiB pages
    and $0xffffffdf, %eax       // PAE
    or $0x10, %eax              // PSE
    mov %eax, %cr4
    mov %cr3, %edx
    mov $legacy_directory, %eax
    mov %eax, %cr3
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    push %edx
    accesses
    mov %cr0, %eax
    and $0x7fffffff, %eax
    mov %eax, %cr0
    pop %edx
    mov %edx, %cr3
    cmpl $2, modes_home + stop - modes_code
    je up_no_paging
    ljmp $code16, $(in_16 - modes_code)

    .code16
in_16:
    mov $data16, %ax            // base modes_home, 64 KiB
    mov %ax, %ss
    mov %ax, %es
    mov $data, %ax              // a 4 GiB segment in 16-bit code
    mov %ax, %ds
    movw $0xf00, %sp
    accesses
    mov $(modes_home + stop - modes_code), %esi
    cmpl $3, (%esi)
    je up_from_16
    mov %cr0, %eax
    and $0xfffffffe, %eax       // PE: real mode, DS keeps its limit
    mov %eax, %cr0
    ljmp $(modes_home >> 4), $(in_real - modes_code)
in_real:
    accesses
    mov %cr0, %eax
    or $1, %eax
    mov %eax, %cr0
    // A far jump with a 32-bit offset.
up_from_16:
    ljmpl $code32, $(modes_home + up_no_paging - modes_code)

    .code32
up_no_paging:
    mov $data, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %cr4, %eax
    and $0xffffefef, %eax       // PSE, LA57
    or $0x20, %eax              // PAE
    mov %eax, %cr4
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
up:
    ljmp $code64, $(modes_home + in_64 - modes_code)

    .code64
in_64:
    mov %r13, %rsp
    mov %ebx, %eax
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

    .balign 8
stop: .long 0
scratch: .skip 32
modes_code_end:

    .bss
    .balign 4096
    .globl legacy_directory
legacy_directory: .skip 4096

    .section .note.GNU-stack, "", @progbits
