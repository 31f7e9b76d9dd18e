// SPDX-License-Identifier: MIT
//
// The machine for device tests.
#include "tests/support/fake_machine.h"

#include "devices/pci.h"
#include "igvm/base/check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/// Pages of zeroes with an inaccessible one behind them: cheap when few are touched, so that a
/// fuzzer may make a machine per input, and an overrun is a fault.
static void *map_pages(size_t size_bytes) {
    uint8_t *at = mmap(NULL, size_bytes + PAGE_SIZE_4K, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    CHECK(at != MAP_FAILED);
    CHECK(mprotect(at + size_bytes, PAGE_SIZE_4K, PROT_NONE) == 0);
    return at;
}

static void unmap_pages(void *at, size_t size_bytes) {
    CHECK(munmap(at, size_bytes + PAGE_SIZE_4K) == 0);
}

static uint8_t *add_ram(struct fake_machine *m, uint64_t start, uint64_t end) {
    uint8_t *host = map_pages(end - start);

    CHECK(guest_memory_add(&m->gm, (struct gpa_range){start, end}, host) == 0);
    return host;
}

#define MACHINE_BYTES ((sizeof(struct fake_machine) + PAGE_SIZE_4K - 1) & ~(size_t)0xFFF)

struct fake_machine *fake_machine_new(void) {
    struct fake_machine *m = map_pages(MACHINE_BYTES);

    fake_loop_init(&m->fl, NULL, 0);
    m->pio = bus_new("pio", 0x10000);
    m->mmio = bus_new("mmio", UINT64_C(1) << 46);
    CHECK(m->pio && m->mmio);
    m->low_host = add_ram(m, 0, FAKE_RAM_BORDER);
    m->mid_host = add_ram(m, FAKE_RAM_BORDER, FAKE_RAM_END);
    m->high_host = add_ram(m, FAKE_HIGH_START, FAKE_HIGH_END);
    return m;
}

void fake_machine_free(struct fake_machine *m) {
    bus_free(m->pio);
    bus_free(m->mmio);
    unmap_pages(m->low_host, FAKE_RAM_BORDER);
    unmap_pages(m->mid_host, FAKE_RAM_END - FAKE_RAM_BORDER);
    unmap_pages(m->high_host, FAKE_HIGH_END - FAKE_HIGH_START);
    unmap_pages(m, MACHINE_BYTES);
}

void fake_set_line(void *machine, uint32_t line, bool level) {
    struct fake_machine *m = machine;

    CHECK(line < FAKE_MAX_LINES);
    m->raise_count[line] += (level && !m->level[line]) ? 1 : 0;
    m->level[line] = level;
}

struct irq_line fake_irq(struct fake_machine *m, uint32_t line) {
    return (struct irq_line){.set = fake_set_line, .ctx = m, .line = line};
}

static int send_msi(void *ctx, uint64_t address, uint32_t data) {
    struct fake_machine *m = ctx;

    if (m->msi_count < FAKE_MAX_MSIS) {
        m->msis[m->msi_count] = (struct fake_msi){.address = address, .data = data};
    }
    m->msi_count++;
    return 0;
}

struct msi_sink fake_msi_sink(struct fake_machine *m) {
    return (struct msi_sink){.send = send_msi, .ctx = m};
}

struct pci_root_config fake_pci_root_config(struct fake_machine *m) {
    return (struct pci_root_config){.pio = m->pio,
                                    .mmio = m->mmio,
                                    .msi = fake_msi_sink(m),
                                    .intx_first_gsi = 16,
                                    .set_line = fake_set_line,
                                    .set_line_ctx = m};
}

static uint64_t access_bus(struct bus *bus, uint64_t address, uint8_t size_bytes, bool is_write,
                           uint64_t value) {
    struct bus_access access = {
        .offset = address, .size = size_bytes, .is_write = is_write, .value = value};

    bus_dispatch(bus, &access);
    return access.value;
}

uint32_t fake_pio_read(struct fake_machine *m, uint16_t port, uint8_t size_bytes) {
    return (uint32_t)access_bus(m->pio, port, size_bytes, false, 0);
}

void fake_pio_write(struct fake_machine *m, uint16_t port, uint8_t size_bytes, uint32_t value) {
    access_bus(m->pio, port, size_bytes, true, value);
}

uint64_t fake_mmio_read(struct fake_machine *m, uint64_t address, uint8_t size_bytes) {
    return access_bus(m->mmio, address, size_bytes, false, 0);
}

void fake_mmio_write(struct fake_machine *m, uint64_t address, uint8_t size_bytes, uint64_t value) {
    access_bus(m->mmio, address, size_bytes, true, value);
}

static void reset_done(void *ctx) {
    struct fake_machine *m = ctx;

    m->reset_done_count++;
}

void fake_reset(struct fake_machine *m, struct device *device) {
    unsigned before = m->reset_done_count;

    pthread_mutex_lock(&device->lock);
    device->ops->reset(device->self, reset_done, m);
    pthread_mutex_unlock(&device->lock);
    CHECK(fake_loop_run(&m->fl));
    CHECK(m->reset_done_count == before + 1);
}

uint8_t *fake_save(struct device *device, size_t *size_bytes) {
    size_t capacity = state_blob_max_bytes(device->ops->state);
    uint8_t *blob = malloc(capacity);

    CHECK(blob);
    pthread_mutex_lock(&device->lock);
    if (device->ops->before_save) {
        device->ops->before_save(device->self);
    }
    CHECK(state_save(device->ops->state, device->state, blob, capacity, size_bytes) == 0);
    pthread_mutex_unlock(&device->lock);
    return blob;
}

int fake_load(struct device *device, const uint8_t *blob, size_t size_bytes) {
    int r;

    pthread_mutex_lock(&device->lock);
    r = state_load(device->ops->state, device->state, blob, size_bytes, NULL);
    if (r == 0 && device->ops->after_load) {
        r = device->ops->after_load(device->self);
    }
    pthread_mutex_unlock(&device->lock);
    return r;
}

uint8_t fuzz_u8(struct fuzz_input *in) {
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    return *in->bytes++;
}

uint16_t fuzz_u16(struct fuzz_input *in) {
    uint16_t low = fuzz_u8(in);

    return (uint16_t)(low | fuzz_u8(in) << 8);
}

uint32_t fuzz_u32(struct fuzz_input *in) {
    uint32_t low = fuzz_u16(in);

    return low | (uint32_t)fuzz_u16(in) << 16;
}

uint64_t fuzz_u64(struct fuzz_input *in) {
    uint64_t low = fuzz_u32(in);

    return low | (uint64_t)fuzz_u32(in) << 32;
}
