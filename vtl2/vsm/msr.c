// SPDX-License-Identifier: MIT
//
// MSRs of VTL0 that the hypervisor passes on: what an unmodified kernel touches without asking
// CPUID first, as a processor without the feature behind them would have them. All read as
// constants, and writes are dropped: nothing here is state. Everything else is #GP.
//
// AMD APM vol. 2 appendix A; Intel SDM vol. 4.
#include "vtl2/vsm/internal.h"

static const struct {
    uint32_t first, last;
    uint64_t value;
} table[] = {
    {0x00000017, 0x00000017, 0},                 // platform id
    {0x0000002a, 0x0000002a, 0},                 // power-on configuration
    {0x00000034, 0x00000034, 0},                 // SMI count
    {0x0000008b, 0x0000008b, UINT64_C(1) << 32}, // microcode revision
    {0x000000ce, 0x000000ce, 0},                 // platform information
    {0x000000fe, 0x000000fe, 0},                 // MTRR capabilities: none
    {0x00000140, 0x00000140, 0},                 // features that user mode may enable
    {0x00000179, 0x0000017b, 0},                 // machine check: no banks
    {0x00000198, 0x0000019a, 0},                 // performance status and control
    {0x000001a0, 0x000001a0, 1},                 // miscellaneous: fast strings
    {0x000001d9, 0x000001dd, 0},                 // debug control, last branch records
    {0x000002ff, 0x000002ff, 0x806},             // MTRRs: enabled, write-back by default
    {0xc0010000, 0xc0010007, 0},                 // performance counters
    {0xc0010010, 0xc0010010, 0},                 // SYSCFG
    {0xc0010015, 0xc0010015, 0},                 // HWCR
    {0xc001001f, 0xc001001f, 0},                 // northbridge configuration
    {0xc0010055, 0xc0010055, 0},                 // interrupt pending
    {0xc0010058, 0xc0010058, 0},                 // MMIO configuration space: none
    {0xc0010061, 0xc001006b, 0},                 // P-states
    {0xc0010112, 0xc0010113, 0},                 // SMM memory
    {0xc0010114, 0xc0010114, 0x10},              // VM_CR: SVM is disabled
    {0xc0010140, 0xc0010141, 0},                 // OS visible workarounds: none
    {0xc0011005, 0xc0011005, 0},                 // CPUID override
    {0xc0011020, 0xc001102f, 0}, // load-store, instruction cache and decode settings
};

bool vsm_msr_read(uint32_t index, uint64_t *value) {
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        if (index >= table[i].first && index <= table[i].last) {
            *value = table[i].value;
            return true;
        }
    }
    return false;
}

bool vsm_msr_write(uint32_t index, uint64_t value) {
    uint64_t ignored;

    (void)value;
    return vsm_msr_read(index, &ignored);
}
