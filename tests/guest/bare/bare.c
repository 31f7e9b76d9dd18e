// SPDX-License-Identifier: MIT
//
// The guest without an operating system: console, exceptions, the modes. "parapet.test=MODE,MODE"
// on the command line: parts of the storm, names of attacks, or "ask" for names from the console;
// afterwards it resets itself by the reset register.

#include "tests/guest/bare/attack.h"

#define COM1              0x3f8
#define LSR_RECEIVED      1u
#define LSR_EMPTY         0x20u
#define BOOT_CMD_LINE     0x228 ///< boot_params: hdr.cmd_line_ptr
#define BOOT_E820_ENTRIES 0x1e8
#define BOOT_E820_TABLE   0x2d0
#define E820_ENTRY_BYTES  20u
#define RESET_REGISTER    0xcf9

volatile unsigned fault_skip_bytes;
volatile unsigned fault_count;
volatile unsigned nmi_count, step_count, interrupt_count;
volatile int steps_expected;
struct fault_frame last_fault;
extern uint64_t try_stack;
extern const uint8_t try_fault[];

// ---- console ----

static void put(char c) {
    // Bounded: a transmitter that a test has broken must not hang the guest.
    for (unsigned i = 0; i < 100000 && !(in8(COM1 + 5) & LSR_EMPTY); i++) {
    }
    out8(COM1, (uint8_t)c);
}

static void put_text(const char *text) {
    while (*text) {
        put(*text++);
    }
}

static void put_number(uint64_t number, unsigned base) {
    char digits[20];
    unsigned count = 0;
    do {
        digits[count++] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number);
    if (base == 16) {
        put_text("0x");
    }
    while (count > 0) {
        put(digits[--count]);
    }
}

void say(const char *words, unsigned count, const uint64_t *numbers) {
    put_text("PT ");
    for (const char *at = words; *at; at++) {
        if ((*at == '#' || *at == '$') && count > 0) {
            put_number(*numbers++, *at == '#' ? 10 : 16);
            count--;
        } else if (*at == '@' && count > 0) {
            put_text((const char *)(uintptr_t)*numbers++);
            count--;
        } else {
            put(*at);
        }
    }
    put_text("\r\n");
}

void hear(char *line, unsigned size) {
    unsigned length = 0;
    for (;;) {
        if (!(in8(COM1 + 5) & LSR_RECEIVED)) {
            continue;
        }
        char c = (char)in8(COM1);
        if (c == '\n' || c == '\r') {
            break;
        }
        if (length + 1 < size) {
            line[length++] = c;
        }
    }
    line[length] = 0;
}

void restart(void) {
    for (;;) {
        out8(RESET_REGISTER, 6);
    }
}

// ---- exceptions ----

void on_exception(struct fault_frame *frame);
void on_exception(struct fault_frame *frame) {
    uint16_t tr;
    __asm__("str %0" : "=r"(tr));
    if (frame->vector == 2) {
        nmi_count++;
        return;
    }
    if (frame->vector == 1 && steps_expected) {
        step_count++;
        return;
    }
    fault_count++;
    last_fault = *frame;
    if (try_stack && tr == TSS_SELECTOR) {
        frame->rip = (uint64_t)(uintptr_t)try_fault;
        frame->rsp = try_stack;
        frame->cs = CODE64_SELECTOR;
        frame->ss = DATA_SELECTOR;
        frame->rflags = 2;
        return;
    }
    if (fault_skip_bytes == 0) {
        uint64_t cr2;
        __asm__("mov %%cr2, %0" : "=r"(cr2));
        SAY("fail bare exception # at $, CR2 $", frame->vector, frame->rip, cr2);
        restart();
    }
    frame->rip += fault_skip_bytes;
}

void on_interrupt(void);
void on_interrupt(void) {
    interrupt_count++;
    *apic(0xb0) = 0;
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

// ---- the modes ----

static uint64_t ram_end_of(const uint8_t *boot_params) {
    uint64_t highest = 0;
    for (unsigned i = 0; i < boot_params[BOOT_E820_ENTRIES]; i++) {
        uint64_t entry[2];
        uint32_t type;
        const uint8_t *at = boot_params + BOOT_E820_TABLE + i * E820_ENTRY_BYTES;
        __builtin_memcpy(entry, at, sizeof(entry));
        __builtin_memcpy(&type, at + 16, 4);
        uint64_t end = entry[0] + entry[1];
        // Below 4 GiB: what the page tables map. What is reserved (2) is RAM for the TPM's buffer.
        if ((type == 1 || type == 2) && end <= 0xc0000000u && end > highest) {
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

int is_listed(const char *list, const char *name) {
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

static void storm(const char *tests, uint64_t ram_end) {
    if (is_listed(tests, "bench")) {
        bare_bench();
    }
    if (is_listed(tests, "memory")) {
        bare_behind_ram(ram_end);
    }
    if (is_listed(tests, "processor")) {
        bare_processor();
    }
    if (is_listed(tests, "mmio")) {
        bare_mmio(ram_end);
    }
    if (is_listed(tests, "ports")) {
        bare_ports();
    }
    SAY("done");
    if (is_listed(tests, "chips")) {
        bare_chips();
    }
}

void bare_main(const uint8_t *boot_params);
void bare_main(const uint8_t *boot_params) {
    uint32_t command_line;
    __builtin_memcpy(&command_line, boot_params + BOOT_CMD_LINE, 4);
    const char *tests = find_tests((const char *)(uintptr_t)command_line);
    uint64_t ram_end = ram_end_of(boot_params);
    cpu_init();
    out8(COM1 + 1, 0); // no interrupts
    out8(COM1 + 3, 3); // 8N1
    SAY("ready #", 0);
    attack_init(boot_params);
    if (is_listed(tests, "ask")) {
        tests = attack_ask();
    } else {
        attack_in_turn(tests);
    }
    storm(tests, ram_end);
    restart();
}
