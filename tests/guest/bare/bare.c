// SPDX-License-Identifier: MIT
//
// The guest without an operating system: console, exceptions, the modes. "parapet.test=MODE,MODE"
// on the command line; afterwards it resets itself by the reset register.

#include "tests/guest/bare/bare.h"

#define COM1                0x3f8
#define BOOT_CMD_LINE       0x228 ///< boot_params: hdr.cmd_line_ptr
#define BOOT_E820_ENTRIES   0x1e8
#define BOOT_E820_TABLE     0x2d0
#define E820_ENTRY_BYTES    20u
#define RESET_REGISTER      0xcf9
#define GATE_PRESENT_INT    0x8eull
#define CODE_SELECTOR_BY_CS 0 ///< whatever the loader has put into CS

volatile unsigned fault_skip_bytes;
volatile unsigned fault_count;
extern const uint8_t exception_stubs[];
static struct { uint64_t low, high; } idt[32];

static void put(char c) {
    // Bounded: a transmitter that a test has broken must not hang the guest.
    for (unsigned i = 0; i < 100000 && !(in8(COM1 + 5) & 0x20); i++) {
    }
    out8(COM1, (uint8_t)c);
}

static void put_text(const char *text) {
    while (*text) {
        put(*text++);
    }
}

static void put_number(uint64_t number) {
    char digits[20];
    unsigned count = 0;
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    while (count > 0) {
        put(digits[--count]);
    }
}

void say(const char *words, unsigned count, const uint64_t *numbers) {
    put_text("PT ");
    for (const char *at = words; *at; at++) {
        if (*at == '#' && count > 0) {
            put_number(*numbers++);
            count--;
        } else {
            put(*at);
        }
    }
    put_text("\r\n");
}

void on_exception(uint64_t vector, uint64_t *rip);
void on_exception(uint64_t vector, uint64_t *rip) {
    fault_count++;
    if (fault_skip_bytes == 0) {
        SAY("fail bare exception # at #", vector, *rip);
        out8(RESET_REGISTER, 6);
    }
    *rip += fault_skip_bytes;
}

static void load_idt(void) {
    uint16_t cs;
    __asm__("mov %%cs, %0" : "=r"(cs));
    for (unsigned i = 0; i < 32; i++) {
        uint64_t at = (uint64_t)(uintptr_t)exception_stubs + i * 16u;
        idt[i].low =
            (at & 0xffff) | (uint64_t)cs << 16 | GATE_PRESENT_INT << 40 | (at >> 16 & 0xffff) << 48;
        idt[i].high = at >> 32;
    }
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) pointer = {sizeof(idt) - 1, (uint64_t)(uintptr_t)idt};
    __asm__ volatile("lidt %0" : : "m"(pointer));
}

uint32_t garbage(void) {
    static const uint32_t extremes[] = {0, 1, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff};
    static uint64_t state = 0x6261726500000001ull;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    uint32_t word = (uint32_t)(state * 0x2545f4914f6cdd1dull >> 32);
    return word % 4 ? word : extremes[(word >> 8) % 7];
}

static uint64_t ram_end_of(const uint8_t *boot_params) {
    uint64_t highest = 0;
    for (unsigned i = 0; i < boot_params[BOOT_E820_ENTRIES]; i++) {
        uint64_t entry[2];
        uint32_t type;
        const uint8_t *at = boot_params + BOOT_E820_TABLE + i * E820_ENTRY_BYTES;
        __builtin_memcpy(entry, at, sizeof(entry));
        __builtin_memcpy(&type, at + 16, 4);
        uint64_t end = entry[0] + entry[1];
        // Below 4 GiB: what the boot page tables map.
        if (type == 1 && end <= 0xc0000000u && end > highest) {
            highest = end;
        }
    }
    return highest;
}

static const char *find_tests(const char *line) {
    static const char key[] = "parapet.test=";
    for (; *line; line++) {
        unsigned i = 0;
        while (key[i] && line[i] == key[i]) {
            i++;
        }
        if (!key[i]) {
            return line + i;
        }
    }
    return "";
}

static int is_mode(const char *list, const char *name) {
    while (*list && *list != ' ') {
        unsigned i = 0;
        while (name[i] && list[i] == name[i]) {
            i++;
        }
        if (!name[i] && (list[i] == 0 || list[i] == ',' || list[i] == ' ')) {
            return 1;
        }
        while (*list && *list != ',' && *list != ' ') {
            list++;
        }
        list += *list == ',';
    }
    return 0;
}

void bare_main(const uint8_t *boot_params);
void bare_main(const uint8_t *boot_params) {
    uint32_t command_line;
    __builtin_memcpy(&command_line, boot_params + BOOT_CMD_LINE, 4);
    const char *tests = find_tests((const char *)(uintptr_t)command_line);
    uint64_t ram_end = ram_end_of(boot_params);
    load_idt();
    out8(COM1 + 1, 0); // no interrupts
    out8(COM1 + 3, 3); // 8N1
    SAY("ready #", 0);
    if (is_mode(tests, "bench")) {
        bare_bench();
    }
    if (is_mode(tests, "memory")) {
        bare_behind_ram(ram_end);
    }
    if (is_mode(tests, "processor")) {
        bare_processor();
    }
    if (is_mode(tests, "mmio")) {
        bare_mmio(ram_end);
    }
    if (is_mode(tests, "ports")) {
        bare_ports();
    }
    SAY("done");
    if (is_mode(tests, "chips")) {
        bare_chips();
    }
    out8(RESET_REGISTER, 6);
}
