// SPDX-License-Identifier: MIT
//
// One 16-byte stub per exception vector: make all frames alike (SDM vol. 3, 6.14.2), then go to C.

    .section .text, "ax"
    .code64
    .globl bare_exception_stubs
    .balign 16
bare_exception_stubs:
    .set vector, 0
    .rept 32
    .balign 16                      // STUB_BYTES in panic.c
    .if !((vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30))
    pushq $0                        // the CPU pushed no error code: stand in for it
    .endif
    pushq $vector                   // struct exception_frame begins here
    jmp common
    .set vector, vector + 1
    .endr

common:
    cld                             // C expects DF clear
    movq %rsp, %rdi                 // first argument: the frame
    andq $-16, %rsp                 // C's stack alignment; nothing here returns
    call bare_exception             // prints and stops
    ud2                             // not reached

    .section .note.GNU-stack, "", @progbits
