// SPDX-License-Identifier: MIT
//
// A hostile guest: writes garbage, always the same garbage, to everything that it can reach. Modes:
//   ports   every I/O port, all sizes and string forms, but the few that would end the machine
//   pci     configuration space of functions that are and are not there
//   mmio    every BAR of the virtio devices that are not our console, with their drivers unbound
//   memory  unassigned physical addresses and the TPM's registers
//   chips   what the guest does not survive: PIC, PIT, COM1, IOAPIC, local APIC; then a reset by
//   0xCF9
// After all but the last the caller checks that the guest and its devices still work.

#include "tests/guest/hostile.h"
#include "tests/guest/ports.h"
#include "tests/guest/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PCI_ADDRESS 0xcf8
#define PCI_DATA    0xcfc
#define RESET_PORT  0xcf9
#define TPM_GPA     0xfed40000u

static uint64_t seed = 0x686f7374696c6500ull;

uint32_t garbage(void) {
    uint32_t word = (uint32_t)(random_next(&seed) >> 32);
    // Interesting values are rare in noise: every fourth is an extreme.
    static const uint32_t extremes[] = {0, 1, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff};
    return word % 4 ? word : extremes[(word >> 8) % 7];
}

// ---- ports -------------------------------------------------------------------------------------

struct port_range {
    unsigned first, last;
};

/// Ports that end or silence the machine by design, on real ones too.
static struct port_range spared[] = {
    {0x20, 0x21},   {0xa0, 0xa1}, {0x4d0, 0x4d1}, // PIC and its trigger modes
    {0x40, 0x43},   {0x61, 0x61},                 // PIT
    {0x60, 0x60},   {0x64, 0x64}, {0x92, 0x92},   // i8042 and port A: reset lines
    {0xb2, 0xb3},                                 // SMI command
    {0x3f8, 0x3ff},                               // COM1 may be the console
    {0xcf8, 0xcff},                               // PCI and the reset register: own mode
    {1, 0},         {1, 0},                       // ACPI PM1 event and control: from the FADT
};

static void spare_acpi(void) {
    uint8_t fadt[128] = {0};
    int fd = open("/sys/firmware/acpi/tables/FACP", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, fadt, sizeof(fadt)) == (ssize_t)sizeof(fadt)) {
        uint32_t event, control;
        memcpy(&event, fadt + 56, 4);
        memcpy(&control, fadt + 64, 4);
        size_t count = sizeof(spared) / sizeof(spared[0]);
        spared[count - 2] = (struct port_range){event, event + 3};
        spared[count - 1] = (struct port_range){control, control + 3};
    }
    if (fd >= 0) {
        close(fd);
    }
}

static bool is_spared(unsigned port, unsigned size) {
    for (size_t i = 0; i < sizeof(spared) / sizeof(spared[0]); i++) {
        if (port <= spared[i].last && port + size - 1 >= spared[i].first) {
            return true;
        }
    }
    return false;
}

static void string_io(unsigned port, bool in) {
    static uint8_t buffer[64];
    unsigned long count = 1 + garbage() % 16;
    void *at = buffer;
    if (in) {
        __asm__ volatile("rep insl" : "+D"(at), "+c"(count) : "d"(port) : "memory");
    } else {
        __asm__ volatile("rep outsl" : "+S"(at), "+c"(count) : "d"(port) : "memory");
    }
}

static int hostile_ports(void) {
    unsigned long writes = 0, reads = 0;
    spare_acpi();
    for (unsigned port = 0; port < 0x10000; port++) {
        unsigned size = 1u << garbage() % 3;
        if (port + size > 0x10000 || is_spared(port, size)) {
            continue;
        }
        port_write(port, size, garbage());
        writes++;
        if (port < 0x1000 || port % 4 == 0) {
            port_read(port, size);
            reads++;
        }
    }
    // Where devices stand, every size and the string forms, again and again.
    for (unsigned round = 0; round < 4000; round++) {
        unsigned port = garbage() % (round % 2 ? 0x800 : 0x10000);
        unsigned size = 1u << garbage() % 3;
        if (port > 0xfffc || is_spared(port, 4)) {
            continue;
        }
        port_write(port, size, garbage());
        port_read(port, size);
        if (round % 16 == 0 && ports_direct()) {
            string_io(port, round % 32 == 0);
        }
        writes++;
        reads++;
    }
    pass("hostile-ports", "%lu writes, %lu reads", writes, reads);
    return 0;
}

// ---- PCI configuration space ------------------------------------------------------------------

/// Through the kernel, which makes one cycle of the size that it is asked for.
static uint32_t config_read(int fd, unsigned offset) {
    uint32_t v = 0;
    return pread(fd, &v, 4, (off_t)(offset & 0xfc)) == 4 ? v : ~0u;
}

static void config_write(int fd, unsigned offset, unsigned size, uint32_t v) {
    // A refused write (an absent register) is part of the game.
    if (pwrite(fd, &v, size, (off_t)offset) < 0) {
        return;
    }
}

/// Garbage into all registers of one function, then its old contents again. Its driver is unbound.
static void config_storm(const struct victim *victim) {
    uint32_t before[64];
    int fd = victim_config(victim);
    for (unsigned i = 0; i < 64; i++) {
        before[i] = config_read(fd, i * 4);
    }
    for (unsigned round = 0; round < 600; round++) {
        unsigned size = 1u << garbage() % 3;
        config_write(fd, garbage() % 256 & ~(size - 1), size, garbage());
        config_read(fd, garbage() % 256);
    }
    for (unsigned i = 64; i-- > 0;) {
        config_write(fd, i * 4, 4, before[i]);
    }
    close(fd);
}

/// Functions, buses and address-register values that name nothing.
static void hostile_pci_absent(void) {
    for (unsigned round = 0; ports_direct() && round < 3000; round++) {
        unsigned bdf = garbage() % 0x10000;
        port_write(PCI_ADDRESS, 4, 0x80000000u | (bdf < 0x100 ? bdf + 0x100 : bdf) << 8);
        port_write(PCI_DATA, 4, garbage());
        port_write(PCI_ADDRESS, 4, garbage() & 0x7fffffff); // enable bit clear: no cycle at all
        port_write(PCI_DATA, 1u << garbage() % 3, garbage());
        port_read(PCI_DATA, 4);
    }
}

static int hostile_pci(void) {
    struct victim victims[32];
    unsigned count = victims_unbind(victims, 32);
    for (unsigned i = 0; i < count; i++) {
        config_storm(&victims[i]);
    }
    hostile_pci_absent();
    unsigned back = victims_rebind(victims, count);
    check(back == count, "hostile-pci", "%u of %u functions work with their driver again", back,
          count);
    return 0;
}

// ---- BARs and memory --------------------------------------------------------------------------

static void poke(volatile uint8_t *base, size_t bytes, unsigned rounds) {
    for (unsigned i = 0; i < rounds; i++) {
        unsigned size = 1u << garbage() % 4;
        size_t at = garbage() % bytes & ~(size_t)(size - 1);
        uint64_t v = (uint64_t)garbage() << 32 | garbage();
        switch (size) {
        case 1:
            base[at] = (uint8_t)v;
            (void)base[at];
            break;
        case 2:
            *(volatile uint16_t *)(base + at) = (uint16_t)v;
            break;
        case 4:
            *(volatile uint32_t *)(base + at) = (uint32_t)v;
            break;
        default:
            *(volatile uint64_t *)(base + at) = v;
            break;
        }
        at = garbage() % bytes & ~(size_t)3;
        (void)*(volatile uint32_t *)(base + at);
    }
}

static int hostile_mmio(void) {
    struct victim victims[32];
    unsigned count = victims_unbind(victims, 32), bars = 0;
    for (unsigned i = 0; i < count; i++) {
        int config = victim_config(&victims[i]);
        config_write(config, 4, 2, 6); // memory space and bus master on
        close(config);
        for (unsigned bar = 0; bar < 6; bar++) {
            char path[320];
            snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.15s/resource%u", victims[i].name,
                     bar);
            int fd = open(path, O_RDWR | O_SYNC | O_CLOEXEC);
            struct stat info;
            off_t size = fd >= 0 && fstat(fd, &info) == 0 ? info.st_size : 0;
            volatile uint8_t *base =
                size >= 4096 ? mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                             : MAP_FAILED;
            if (base != MAP_FAILED) {
                poke(base, (size_t)size, 6000);
                poke(base, 4096, 3000); // the common configuration usually stands first
                munmap((void *)(uintptr_t)base, (size_t)size);
                bars++;
            }
            if (fd >= 0) {
                close(fd);
            }
        }
    }
    unsigned back = victims_rebind(victims, count);
    check(back == count, "hostile-mmio", "%u BARs; %u of %u functions work with their driver again",
          bars, back, count);
    return 0;
}

#define TPM_GPA         0xfed40000u
#define TPM_LOC_CTRL    0x08u
#define TPM_RELINQUISH  2u
#define TPM_CTRL_REQ    0x40u
#define TPM_GO_IDLE     2u
#define TPM_CTRL_CANCEL 0x48u

/// One page of physical memory; MAP_FAILED when the kernel refuses. Unmapped by the caller.
static volatile uint8_t *map_physical(uint64_t at) {
    int fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
    volatile uint8_t *page =
        fd >= 0 ? mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)at) : MAP_FAILED;
    if (fd >= 0) {
        close(fd);
    }
    return page;
}

static bool poke_physical(uint64_t at, unsigned rounds) {
    volatile uint8_t *page = map_physical(at);
    if (page == MAP_FAILED) {
        return false;
    }
    poke(page, 4096, rounds);
    munmap((void *)(uintptr_t)page, 4096);
    return true;
}

/// What a driver may expect of whoever had the TPM before it (TCG PTP, locality arbitration): every
/// locality given back, no cancel pending, idle.
static void tpm_let_go(void) {
    for (unsigned locality = 5; locality-- > 0;) {
        volatile uint8_t *page = map_physical(TPM_GPA + locality * 0x1000u);
        volatile uint32_t *registers = (volatile uint32_t *)(uintptr_t)page;
        if (page != MAP_FAILED) {
            registers[TPM_CTRL_CANCEL / 4] = 0;
            registers[TPM_CTRL_REQ / 4] = TPM_GO_IDLE;
            registers[TPM_LOC_CTRL / 4] = TPM_RELINQUISH;
            munmap((void *)(uintptr_t)page, 4096);
        }
    }
    sleep_ms(1000); // a command that garbage has started ends meanwhile
}

static int hostile_memory(void) {
    unsigned poked = 0, refused = 0;
    bool tpm = tpm_unbind();
    for (unsigned locality = 0; tpm && locality < 6; locality++) {
        poke_physical(TPM_GPA + locality * 0x1000u, 800) ? poked++ : refused++;
    }
    // 0xC0000000 and up is the PCI window: devices stand low in it, so take its upper part.
    for (unsigned i = 0; i < 48; i++) {
        uint64_t at = 0xe8000000u + (uint64_t)(garbage() % 0x16000) * 4096;
        poke_physical(at, 40) ? poked++ : refused++;
    }
    static const uint64_t odd[] = {0xfed00000, 0xfee10000, 0xfec10000, 0x4000000000, 0xffffff0000};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        poke_physical(odd[i], 100) ? poked++ : refused++;
    }
    if (tpm) {
        tpm_let_go();
    }
    bool tpm_back = !tpm || tpm_rebind();
    if (poked == 0) {
        skip("hostile-memory", "the kernel refused all %u pages", refused);
        return 0;
    }
    check(tpm_back, "hostile-memory", "%u pages, %u refused; TPM %s", poked, refused,
          !tpm       ? "not there"
          : tpm_back ? "bound again"
                     : "lost");
    return 0;
}

/// Does not return: the machine is reset, by us or by the damage.
static int hostile_chips(void) {
    static const struct port_range chips[] = {{0x20, 0x21}, {0xa0, 0xa1},   {0x4d0, 0x4d1},
                                              {0x40, 0x43}, {0x3f8, 0x3ff}, {0x60, 0x61}};
    value("hostile-chips-started", 1, "job");
    sleep_ms(200);
    for (unsigned round = 0; round < 3000; round++) {
        const struct port_range *chip = &chips[garbage() % 6];
        unsigned port = chip->first + garbage() % (chip->last - chip->first + 1);
        port_write(port, 1u << garbage() % 3, garbage());
        port_read(port, 1);
    }
    poke_physical(0xfec00000, 1000);
    poke_physical(0xfee00000, 1000);
    port_write(RESET_PORT, 1, 6);
    port_write(0x64, 1, 0xfe);
    return 1;
}

int cmd_hostile(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "all";
    bool all = strcmp(mode, "all") == 0;
    if (ports_open() != 0) {
        fail("hostile", "no port access: %s", strerror(errno));
        return 1;
    }
    if (all || strcmp(mode, "ports") == 0) {
        hostile_ports();
    }
    if (all || strcmp(mode, "pci") == 0) {
        hostile_pci();
    }
    if (all || strcmp(mode, "mmio") == 0) {
        hostile_mmio();
    }
    if (all || strcmp(mode, "memory") == 0) {
        hostile_memory();
    }
    return strcmp(mode, "chips") == 0 ? hostile_chips() : 0;
}
