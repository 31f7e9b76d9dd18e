// SPDX-License-Identifier: MIT
//
// A machine for device tests and fuzzers: guest memory, port and memory buses, an event loop with
// an injected clock, and recorders for interrupts. No platform, no threads.
#pragma once

#include "devices/bus.h"
#include "devices/device.h"
#include "devices/guest_memory.h"
#include "devices/irq.h"
#include "tests/support/fake_backends.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_loop.h"

#define FAKE_MAX_LINES 64u
#define FAKE_MAX_MSIS  256u

/// Guest memory: two regions that touch (so that ranges cross a border), a hole, a third region.
#define FAKE_RAM_BORDER UINT64_C(0x100000)    ///< [0, border) and [border, end) are RAM
#define FAKE_RAM_END    UINT64_C(0x200000)    ///< from here on a hole
#define FAKE_HIGH_START UINT64_C(0x100000000) ///< [high start, high end) is RAM again
#define FAKE_HIGH_END   UINT64_C(0x100010000)

struct pci_root_config;

struct fake_msi {
    uint64_t address;
    uint32_t data;
};

struct fake_machine {
    struct fake_loop fl;
    struct bus *pio;
    struct bus *mmio;
    struct guest_memory gm;
    bool level[FAKE_MAX_LINES];
    unsigned raise_count[FAKE_MAX_LINES]; ///< low to high
    struct fake_msi msis[FAKE_MAX_MSIS];  ///< the first ones
    unsigned msi_count;                   ///< all
    unsigned reset_done_count;
    uint8_t *low_host;  ///< private: what fake_machine_free frees
    uint8_t *mid_host;  ///< private
    uint8_t *high_host; ///< private
};

/// Makes a machine; check-fails without memory. Free with fake_machine_free.
struct fake_machine *fake_machine_new(void);
void fake_machine_free(struct fake_machine *m);

struct irq_line fake_irq(struct fake_machine *m, uint32_t line);
struct msi_sink fake_msi_sink(struct fake_machine *m);
/// A PCI root (devices/pci.h) on the machine's buses, its INTx lines 16 to 19.
struct pci_root_config fake_pci_root_config(struct fake_machine *m);
void fake_set_line(void *machine, uint32_t line, bool level); ///< irq_line.set

uint32_t fake_pio_read(struct fake_machine *m, uint16_t port, uint8_t size_bytes);
void fake_pio_write(struct fake_machine *m, uint16_t port, uint8_t size_bytes, uint32_t value);
uint64_t fake_mmio_read(struct fake_machine *m, uint64_t address, uint8_t size_bytes);
void fake_mmio_write(struct fake_machine *m, uint64_t address, uint8_t size_bytes, uint64_t value);

/// Resets the device as the machine does (lock held) and runs the loop until done was called.
/// Check-fails when it is not called exactly once.
void fake_reset(struct fake_machine *m, struct device *device);

/// before_save, state_save; the blob is the caller's to free().
uint8_t *fake_save(struct device *device, size_t *size_bytes);

/// state_load, after_load: 0 or -EINVAL.
int fake_load(struct device *device, const uint8_t *blob, size_t size_bytes);

/// A cursor over a fuzzer's bytes: 0 when they are used up.
struct fuzz_input {
    const uint8_t *bytes;
    size_t left;
};
uint8_t fuzz_u8(struct fuzz_input *in);
uint16_t fuzz_u16(struct fuzz_input *in);
uint32_t fuzz_u32(struct fuzz_input *in);
uint64_t fuzz_u64(struct fuzz_input *in);
