// SPDX-License-Identifier: MIT
//
// What the proofs take from CBMC: assumptions, assertions, and values of which it tries all. A
// function without a body may return anything.
#pragma once

#include <stddef.h>
#include <stdint.h>

void __CPROVER_assume(_Bool assumption);
void __CPROVER_assert(_Bool assertion, const char *description);

_Bool nondet_bool(void);
int nondet_int(void);
unsigned nondet_unsigned(void);
uint8_t nondet_u8(void);
uint16_t nondet_u16(void);
uint32_t nondet_u32(void);
uint64_t nondet_u64(void);
size_t nondet_size(void);

int main(void);
