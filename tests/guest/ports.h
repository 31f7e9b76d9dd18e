// SPDX-License-Identifier: MIT
//
// Port access for the test program. Sizes are 1, 2 or 4 bytes.
#pragma once

#include <stdbool.h>
#include <stdint.h>

/// 0, or -1 when neither way works. Call first.
int ports_open(void);

/// Whether wide and string accesses are possible; otherwise everything is single bytes.
bool ports_direct(void);

void port_write(unsigned port, unsigned size, uint32_t v);
uint32_t port_read(unsigned port, unsigned size);

/// Reads count (at most 64) consecutive ports, a byte each, in the cheapest way there is.
void port_read_bytes(unsigned port, unsigned count);
