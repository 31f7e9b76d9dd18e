// SPDX-License-Identifier: MIT
//
// The guest without an operating system: garbage to everything, from ring 0. Each part prints how
// much it did: that it gets there is the test.

#include "tests/guest/bare/bare.h"

#define PCI_ADDRESS 0xcf8
#define PCI_DATA    0xcfc

/// Ports that end the guest (reset, sleep) or its only voice (COM1).
static int is_spared(unsigned port, unsigned size) {
    static const uint16_t ranges[][2] = {{0x64, 0x64},   {0x92, 0x92},     {0x3f8, 0x3ff},
                                         {0xcf8, 0xcff}, {0xb000, 0xb007}, {0xb2, 0xb3}};
    for (unsigned i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (port <= ranges[i][1] && port + size - 1 >= ranges[i][0]) {
            return 1;
        }
    }
    return 0;
}

static void port_any(unsigned port, unsigned size, uint32_t v) {
    if (size == 1) {
        out8((uint16_t)port, (uint8_t)v);
        in8((uint16_t)port);
    } else if (size == 2) {
        out16((uint16_t)port, (uint16_t)v);
        in16((uint16_t)port);
    } else {
        out32((uint16_t)port, v);
        in32((uint16_t)port);
    }
}

static void port_strings(unsigned port) {
    static uint32_t buffer[1024];
    uint64_t count = 1 + garbage() % 1024;
    void *at = buffer;
    __asm__ volatile("rep outsl" : "+S"(at), "+c"(count) : "d"((uint16_t)port) : "memory");
    count = 1 + garbage() % 1024;
    at = buffer;
    __asm__ volatile("rep insb" : "+D"(at), "+c"(count) : "d"((uint16_t)port) : "memory");
    count = 1 + garbage() % 300;
    at = buffer;
    __asm__ volatile("rep insw" : "+D"(at), "+c"(count) : "d"((uint16_t)port) : "memory");
}

void bare_ports(void) {
    uint64_t accesses = 0, strings = 0;
    for (unsigned port = 0; port < 0x10000; port += 1 + garbage() % 4) {
        unsigned size = 1u << garbage() % 3;
        if (port + size <= 0x10000 && !is_spared(port, size)) {
            port_any(port, size, garbage());
            accesses++;
        }
    }
    // Where a machine's devices stand, again and again; and PCI configuration in all its shapes.
    for (unsigned round = 0; round < 8000; round++) {
        unsigned port = garbage() % (round % 4 ? 0x800 : 0x10000);
        unsigned size = 1u << garbage() % 3;
        if (port + 4 <= 0x10000 && !is_spared(port, 4)) {
            port_any(port, size, garbage());
            if (round % 64 == 0) {
                port_strings(port);
                strings++;
            }
        }
        out32(PCI_ADDRESS, 0x80000000u | garbage());
        if ((garbage() & 7) == 0) {
            port_any(PCI_DATA + garbage() % 4, 1, garbage());
            port_any(PCI_DATA, 1u << garbage() % 3, garbage());
        }
        in32((uint16_t)(PCI_DATA + garbage() % 4));
        accesses += 3;
    }
    SAY("pass bare-ports # accesses, # string rounds", accesses, strings);
}

// ---- memory-mapped -----------------------------------------------------------------------------

static void store_any(uint64_t at, unsigned shape) {
    volatile uint8_t *p = (volatile uint8_t *)(uintptr_t)at;
    uint64_t v = (uint64_t)garbage() << 32 | garbage(), count = 1 + garbage() % 20;
    void *to = (void *)(uintptr_t)at;
    static uint8_t memory[256];
    void *from = memory;
    switch (shape) {
    case 0:
        *p = (uint8_t)v;
        break;
    case 1:
        *(volatile uint16_t *)p = (uint16_t)v;
        break;
    case 2:
        *(volatile uint32_t *)p = (uint32_t)v;
        break;
    case 3:
        *(volatile uint64_t *)p = v;
        break;
    case 4:
        __asm__ volatile("rep stosl" : "+D"(to), "+c"(count) : "a"((uint32_t)v) : "memory");
        break;
    case 5:
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
        break;
    case 6:
        __asm__ volatile("lock orl %1, %0" : "+m"(*(volatile uint32_t *)p) : "r"((uint32_t)v));
        break;
    case 7:
        __asm__ volatile("xchgq %1, %0" : "+m"(*(volatile uint64_t *)p), "+r"(v));
        break;
    default:
        (void)*(volatile uint64_t *)p;
        break;
    }
}

uint32_t pci_read(unsigned function, unsigned offset) {
    out32(PCI_ADDRESS, 0x80000000u | function << 8 | offset);
    return in32(PCI_DATA);
}

void pci_write(unsigned function, unsigned offset, uint32_t v) {
    out32(PCI_ADDRESS, 0x80000000u | function << 8 | offset);
    out32(PCI_DATA, v);
}

uint64_t pci_place_bars(uint64_t next) {
    for (unsigned function = 0; function < 256; function++) {
        if (pci_read(function, 0) == 0xffffffffu) {
            continue;
        }
        for (unsigned bar = 0x10; bar < 0x28; bar += 4) {
            uint32_t kind = pci_read(function, bar);
            pci_write(function, bar, 0xffffffffu);
            uint32_t mask = pci_read(function, bar) & ~0xfu;
            if ((kind & 1) || mask == 0) {
                continue;
            }
            uint64_t size = (uint32_t)(~mask + 1);
            next = (next + size - 1) & ~(size - 1);
            pci_write(function, bar, (uint32_t)next);
            next += size;
            if ((kind & 6) == 4) {
                bar += 4;
                pci_write(function, bar, 0);
            }
        }
        pci_write(function, 4, 6);
    }
    return next;
}

void bare_mmio(uint64_t ram_end) {
    uint64_t window = 0xc0000000u, end = pci_place_bars(window), stores = 0;
    fault_skip_bytes = 0;
    for (unsigned round = 0; round < 12000; round++) {
        uint64_t at;
        switch (garbage() % 8) {
        case 0:
            at = 0xfed40000u + garbage() % 0x5000;
            break; // TPM
        case 1:
            at = ram_end + garbage() % 0x100000;
            break; // behind RAM
        case 2:
            at = 0xe0000000u + garbage() % 0x1e000000u;
            break; // unassigned
        case 3:
            at = 0xfed00000u + garbage() % 0x1000;
            break; // where an HPET might be
        default:
            at = window + garbage() % (unsigned)(end - window + 64);
            break;
        }
        store_any(at, garbage() % 9);
        stores++;
    }
    SAY("pass bare-mmio # stores, BARs up to #", stores, end);
}

/// Behind the end of RAM: all ones, whatever was stored there.
void bare_behind_ram(uint64_t ram_end) {
    uint64_t probed = 0, wrong = 0;
    for (uint64_t at = ram_end; at < 0xc0000000u; at += 0x1fff000u) {
        volatile uint64_t *p = (volatile uint64_t *)(uintptr_t)at;
        *p = 0x0badf00d;
        wrong += *p != ~0ull;
        probed++;
    }
    if (wrong == 0 && probed > 0) {
        SAY("pass bare-behind-ram # places behind # are all ones", probed, ram_end);
    } else {
        SAY("fail bare-behind-ram # of # places behind # are not all ones", wrong, probed, ram_end);
    }
}

// ---- the processor's own -----------------------------------------------------------------------

/// MSRs whose garbage ends this program rather than the host: EFER, the segment bases in use.
static int is_own_msr(uint32_t msr) {
    return msr == 0xc0000080u || (msr >= 0xc0000100u && msr <= 0xc0000103u);
}

void bare_processor(void) {
    static const uint32_t starts[] = {0,          0x1a0,      0x200,      0x400,
                                      0x800,      0xc0000080, 0xc0010000, 0xc0010100,
                                      0x40000000, 0x40000080, 0x40000100, 0x4b564d00};
    uint64_t msrs = 0, calls = 0;
    fault_count = 0;
    fault_skip_bytes = 2; // RDMSR, WRMSR
    for (unsigned i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        for (uint32_t msr = starts[i]; msr < starts[i] + 0x60; msr++) {
            read_msr(msr);
            if (!is_own_msr(msr)) {
                // High addresses only: an MSR that names a page must not name one of ours.
                write_msr(msr, (uint64_t)garbage() << 32 | 0x8000000000ull | garbage());
                msrs++;
            }
        }
    }
    uint64_t msr_faults = fault_count;
    fault_skip_bytes = 3; // VMCALL, VMMCALL
    for (unsigned round = 0; round < 600; round++) {
        uint64_t a = round < 300 ? garbage() % 0x100 : garbage();
        uint64_t b = garbage(), c = garbage(), d = 0x8000000000ull | garbage(), s = garbage();
        __asm__ volatile("vmmcall" : "+a"(a), "+b"(b), "+c"(c), "+d"(d), "+S"(s) : : "memory");
        calls++;
    }
    fault_skip_bytes = 0;
    uint64_t leaves = 0;
    for (uint32_t leaf = 0; leaf < 0x40; leaf++, leaves += 3) {
        static const uint32_t bases[] = {0, 0x40000000, 0x80000000};
        for (unsigned i = 0; i < 3; i++) {
            uint32_t a = bases[i] + leaf, b, c = leaf, d;
            __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
        }
    }
    SAY("pass bare-processor # MSR writes, # faults, # hypercalls, # CPUID leaves", msrs,
        msr_faults, calls, leaves);
}

/// The interrupt controllers and timers, last: nothing after it is promised to work.
void bare_chips(void) {
    for (unsigned round = 0; round < 4000; round++) {
        static const uint16_t ports[] = {0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40,  0x41, 0x42,
                                         0x43, 0x61, 0x70, 0x71, 0x3f9, 0x3fa, 0x3fb, 0x3fc};
        out8(ports[garbage() % 17], (uint8_t)garbage());
        *(volatile uint32_t *)(uintptr_t)(0xfec00000u + garbage() % 2 * 16) = garbage();
        // Spared: the interrupt command register, which could stop this processor for good.
        uint32_t offset = garbage() % 64 * 16;
        if (offset != 0x300 && offset != 0x310) {
            *(volatile uint32_t *)(uintptr_t)(0xfee00000u + offset) = garbage();
        }
    }
}
