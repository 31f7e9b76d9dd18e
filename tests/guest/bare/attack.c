// SPDX-License-Identifier: MIT
//
// Which attack, and against what: see attack.h.

#include "tests/guest/bare/attack.h"

#define BOOT_E820_ENTRIES 0x1e8
#define BOOT_E820_TABLE   0x2d0
#define E820_ENTRY_BYTES  20u
#define E820_RAM          1u
#define E820_RESERVED     2u // RAM for the TPM's buffer: the guest's own all the same
#define HIGH_RAM          0x100000u
#define WINDOW_START      0xc0000000u ///< PCI's, where no RAM is looked for
#define MEMORY_CELL       0x3000000u  ///< keeps its contents when the guest resets itself
#define CELL_MAGIC        0x6b636174746100ull

extern const struct attack attacks_start[], attacks_end[];
uint64_t targets[16];
unsigned target_count;
uint64_t first_hole;
int attack_failed;
static const struct attack *current;

int has_hyperv(void) {
    uint32_t a = 1, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if (!(c >> 31)) {
        return 0;
    }
    a = 0x40000000;
    c = 0;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return b == 0x7263694d && c == 0x666f736f && d == 0x76482074; // "Microsoft Hv"
}

// ---- targets ----

/// Where RAM that holds `from` ends; from itself when there is none.
static uint64_t ram_until(const uint8_t *boot_params, uint64_t from) {
    uint64_t at = from;
    for (unsigned round = 0; round < 8; round++) { // entries need not be sorted
        for (unsigned i = 0; i < boot_params[BOOT_E820_ENTRIES]; i++) {
            uint64_t entry[2];
            uint32_t type;
            const uint8_t *e = boot_params + BOOT_E820_TABLE + i * E820_ENTRY_BYTES;
            __builtin_memcpy(entry, e, sizeof(entry));
            __builtin_memcpy(&type, e + 16, 4);
            if ((type == E820_RAM || type == E820_RESERVED) && at >= entry[0] &&
                at < entry[0] + entry[1]) {
                at = entry[0] + entry[1];
            }
        }
    }
    return at;
}

/// The first RAM at or behind `from`, or WINDOW_START.
static uint64_t ram_from(const uint8_t *boot_params, uint64_t from) {
    uint64_t best = WINDOW_START;
    for (unsigned i = 0; i < boot_params[BOOT_E820_ENTRIES]; i++) {
        uint64_t start;
        uint32_t type;
        const uint8_t *e = boot_params + BOOT_E820_TABLE + i * E820_ENTRY_BYTES;
        __builtin_memcpy(&start, e, sizeof(start));
        __builtin_memcpy(&type, e + 16, 4);
        if (type == E820_RAM && start >= from && start < best) {
            best = start;
        }
    }
    return best;
}

static void add_hole(uint64_t start, uint64_t end) {
    // Where an image has its first page, shim, page tables and kernel; the middle, the last page.
    const uint64_t offsets[] = {0,
                                0x1000,
                                0x200000,
                                0x280000,
                                0x1000000,
                                ((end - start) / 2) & ~0xfffull,
                                end - start - PAGE};
    for (unsigned i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        if (offsets[i] < end - start && target_count < sizeof(targets) / sizeof(targets[0])) {
            targets[target_count++] = start + offsets[i];
        }
    }
}

void attack_init(const uint8_t *boot_params) {
    uint64_t at = ram_until(boot_params, HIGH_RAM);
    first_hole = at;
    for (unsigned i = 0; i < 4 && at < WINDOW_START; i++) {
        uint64_t end = ram_from(boot_params, at);
        add_hole(at, end);
        at = ram_until(boot_params, end);
    }
}

// ---- running ----

void attack_dies(void) {
    SAY("@ @", TEXT(current->flags & ATTACK_HANGS ? "hanging" : "dying"), TEXT(current->name));
}

static int same(const char *a, const char *b) {
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

static void run(const struct attack *attack) {
    current = attack;
    if ((attack->flags & ATTACK_VSM) && !has_hyperv()) {
        SAY("skip @ needs the interface of Hyper-V", TEXT(attack->name));
    } else {
        attack->run();
    }
    SAY("end @ #", TEXT(attack->name), (uint64_t)attack_failed);
    restart();
}

void attack_in_turn(const char *tests) {
    volatile uint64_t *cell = at64(MEMORY_CELL);
    uint64_t count = (uint64_t)(attacks_end - attacks_start);
    uint64_t next = (cell[0] ^ cell[1]) == CELL_MAGIC && cell[0] < count ? cell[0] : 0;
    for (; next < count; next++) {
        const struct attack *attack = &attacks_start[next];
        if (is_listed(tests, attack->name) || is_listed(tests, "attacks")) {
            cell[0] = next + 1 < count ? next + 1 : 0;
            cell[1] = cell[0] ^ CELL_MAGIC;
            run(attack);
        }
    }
    cell[1] = 0;
}

static void list(void) {
    for (const struct attack *a = attacks_start; a < attacks_end; a++) {
        SAY("attack @ #", TEXT(a->name), a->flags);
    }
    SAY("listed #", (uint64_t)(attacks_end - attacks_start));
}

const char *attack_ask(void) {
    static char name[64];
    for (;;) {
        SAY("ask");
        hear(name, sizeof(name));
        if (same(name, "list")) {
            list();
            continue;
        }
        for (const struct attack *a = attacks_start; a < attacks_end; a++) {
            if (same(name, a->name)) {
                run(a);
            }
        }
        return name;
    }
}
