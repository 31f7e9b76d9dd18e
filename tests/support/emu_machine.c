// SPDX-License-Identifier: MIT
//
// The emulator's test machine.
#include "tests/support/emu_machine.h"

#include "igvm/base/bytes.h"
#include "igvm/base/check.h"

#include <errno.h>
#include <string.h>

static enum emu_memory memory_kind(void *ctx, gpa_t page, bool is_write) {
    (void)ctx;
    (void)is_write;
    CHECK(is_aligned(page.value, PAGE_SIZE_4K));
    if (page.value < EMU_RAM_BYTES) {
        return EMU_MEMORY_RAM;
    }
    if (page.value >= EMU_MMIO_GPA && page.value < EMU_MMIO_GPA + EMU_MMIO_BYTES) {
        return EMU_MEMORY_MMIO;
    }
    return EMU_MEMORY_NONE;
}

/// RAM at gpa; the emulator must stay inside the page that it asked for.
static uint8_t *ram_at(struct emu_machine *m, gpa_t at, size_t size_bytes) {
    CHECK(size_bytes > 0 && at.value < EMU_RAM_BYTES);
    CHECK(at.value % PAGE_SIZE_4K + size_bytes <= PAGE_SIZE_4K);
    m->access_count++;
    return m->ram + at.value;
}

static int ram_read(void *ctx, gpa_t at, void *out, size_t size_bytes) {
    memcpy(out, ram_at(ctx, at, size_bytes), size_bytes);
    return 0;
}

static int ram_write(void *ctx, gpa_t at, const void *in, size_t size_bytes) {
    memcpy(ram_at(ctx, at, size_bytes), in, size_bytes);
    return 0;
}

static int ram_exchange(void *ctx, gpa_t at, const void *expected, const void *desired,
                        size_t size_bytes) {
    struct emu_machine *m = ctx;
    uint8_t *p = ram_at(m, at, size_bytes);

    CHECK(is_aligned(at.value, size_bytes));
    if (m->lost_exchanges > 0) {
        m->lost_exchanges--;
        return -EAGAIN;
    }
    if (memcmp(p, expected, size_bytes) != 0) {
        return -EAGAIN;
    }
    memcpy(p, desired, size_bytes);
    return 0;
}

static void log_access(struct emu_machine *m, struct emu_log_entry entry) {
    m->access_count++;
    if (m->log_count < EMU_LOG_MAX) {
        m->log[m->log_count] = entry;
    }
    m->log_count++;
}

static uint8_t *mmio_at(struct emu_machine *m, gpa_t at, uint8_t size_bytes) {
    CHECK(size_bytes == 1 || size_bytes == 2 || size_bytes == 4 || size_bytes == 8);
    CHECK(at.value >= EMU_MMIO_GPA && at.value + size_bytes <= EMU_MMIO_GPA + EMU_MMIO_BYTES);
    return m->mmio + (at.value - EMU_MMIO_GPA);
}

static int mmio_read(void *ctx, gpa_t at, uint8_t size_bytes, uint64_t *out) {
    struct emu_machine *m = ctx;
    uint8_t bytes[8] = {0};

    memcpy(bytes, mmio_at(m, at, size_bytes), size_bytes);
    *out = load_le64(bytes);
    log_access(m, (struct emu_log_entry){at.value, size_bytes, false, false, *out});
    return 0;
}

static int mmio_write(void *ctx, gpa_t at, uint8_t size_bytes, uint64_t value) {
    struct emu_machine *m = ctx;
    uint8_t bytes[8];

    store_le64(bytes, value);
    memcpy(mmio_at(m, at, size_bytes), bytes, size_bytes);
    log_access(m, (struct emu_log_entry){at.value, size_bytes, true, false, value});
    return 0;
}

static int pio_read(void *ctx, uint16_t port, uint8_t size_bytes, uint32_t *out) {
    struct emu_machine *m = ctx;

    CHECK(size_bytes == 1 || size_bytes == 2 || size_bytes == 4);
    *out = m->port_value;
    log_access(m, (struct emu_log_entry){port, size_bytes, false, true, *out});
    return 0;
}

static int pio_write(void *ctx, uint16_t port, uint8_t size_bytes, uint32_t value) {
    CHECK(size_bytes == 1 || size_bytes == 2 || size_bytes == 4);
    log_access(ctx, (struct emu_log_entry){port, size_bytes, true, true, value});
    return 0;
}

static int vector_read(void *ctx, unsigned idx, uint8_t out[EMU_VECTOR_BYTES]) {
    struct emu_machine *m = ctx;

    CHECK(idx < 16);
    memcpy(out, m->vector[idx], EMU_VECTOR_BYTES);
    return 0;
}

static int vector_write(void *ctx, unsigned idx, const uint8_t in[EMU_VECTOR_BYTES],
                        bool zero_upper) {
    struct emu_machine *m = ctx;

    CHECK(idx < 16);
    memcpy(m->vector[idx], in, zero_upper ? EMU_VECTOR_BYTES : 16);
    return 0;
}

static const struct emu_ops ops = {
    .memory_kind = memory_kind,
    .ram_read = ram_read,
    .ram_write = ram_write,
    .ram_exchange = ram_exchange,
    .mmio_read = mmio_read,
    .mmio_write = mmio_write,
    .pio_read = pio_read,
    .pio_write = pio_write,
    .vector_read = vector_read,
    .vector_write = vector_write,
};

static void init(struct emu_machine *m, uint16_t code, uint16_t data, uint32_t limit) {
    memset(m, 0, sizeof(*m));
    m->state.rflags = 2;
    for (unsigned i = 0; i < EMU_SEGMENT_COUNT; i++) {
        m->state.segment[i] =
            (struct vp_segment){.limit = limit, .attributes = i == EMU_CS ? code : data};
    }
    m->context = (struct emu_context){.state = &m->state, .ops = &ops, .ctx = m};
    m->next_table_gpa = EMU_TABLES_GPA + PAGE_SIZE_4K;
}

void emu_machine_init_long(struct emu_machine *m) {
    init(m, 0xA9B, 0xC93, UINT32_MAX);
    m->state.cr0 = 0x80010033;
    m->state.cr4 = 0x40620; // PAE, OSFXSR, OSXMMEXCPT, OSXSAVE
    m->state.efer = 0xD00;  // LME, LMA, NXE
    m->state.cr3 = EMU_TABLES_GPA;
    m->state.xcr0 = 7;
}

void emu_machine_init_flat(struct emu_machine *m) {
    init(m, 0xC9B, 0xC93, UINT32_MAX);
    m->state.cr0 = 0x33;
    m->state.cr4 = 0x600;
}

void emu_machine_init_real(struct emu_machine *m) {
    init(m, 0x9B, 0x93, 0xFFFF);
    m->state.cr0 = 0x10;
}

static uint64_t *entry_at(struct emu_machine *m, uint64_t table, uint64_t linear, unsigned shift) {
    return (uint64_t *)(void *)(m->ram + table) + ((linear >> shift) & 511);
}

uint64_t *emu_machine_pte(struct emu_machine *m, uint64_t linear) {
    uint64_t table = EMU_TABLES_GPA;

    for (unsigned shift = 39; shift > 12; shift -= 9) {
        uint64_t *entry = entry_at(m, table, linear, shift);

        if (!(*entry & EMU_PTE_P)) {
            CHECK(m->next_table_gpa < EMU_DATA_GPA);
            *entry = m->next_table_gpa | EMU_PTE_P | EMU_PTE_W | EMU_PTE_U;
            m->next_table_gpa += PAGE_SIZE_4K;
        }
        table = *entry & ~UINT64_C(0xFFF);
    }
    return entry_at(m, table, linear, 12);
}

void emu_machine_map(struct emu_machine *m, uint64_t linear, uint64_t at, uint64_t flags) {
    *emu_machine_pte(m, linear) = at | flags;
}

struct emu_result emu_machine_run(struct emu_machine *m, const void *insn, size_t insn_bytes) {
    struct emu_result result;

    CHECK(insn_bytes <= EMU_MAX_INSN_BYTES);
    memcpy(m->context.insn, insn, insn_bytes);
    m->context.insn_bytes = (uint8_t)insn_bytes;
    emu_run_one(&m->context, &result);
    return result;
}
