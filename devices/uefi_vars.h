// SPDX-License-Identifier: MIT
//
// The variable device of QEMU ("uefi-vars", hardware information type 2): firmware hands messages
// of the variable service to whoever keeps the variables, from a buffer in its memory or through a
// register window. The device knows nothing of what a message says but its length.
#pragma once

#include "devices/bus.h"
#include "devices/device.h"
#include "devices/guest_memory.h"

#define UEFI_VARS_GPA          0xFEF10000ull
#define UEFI_VARS_PAGE_BYTES   0x1000u ///< the firmware takes the whole page
#define UEFI_VARS_MAX_BYTES    0x10000u
#define UEFI_VARS_HEADER_BYTES 24u ///< GUID, u64 bytes that follow

/// Who keeps the variables. Called with the device's lock held, on a VP's thread, which waits: an
/// answer comes in bounded time.
struct uefi_vars_backend {
    /// Handles the message in place: header, as many bytes as it says (within size_bytes), zeroes.
    /// 0; -ENOTSUP: nobody has this GUID, -EMSGSIZE: the sizes are wrong, else: no answer.
    int (*call)(struct uefi_vars_backend *backend, uint8_t *message, uint32_t size_bytes);
    /// Power-on. -errno when the backend is gone: its calls will fail, the guest goes on.
    int (*reset)(struct uefi_vars_backend *backend);
};

/// Volatile guest-visible state; the table in uefi_vars.c describes it.
struct uefi_vars_state {
    uint16_t status; ///< of the last command
    uint32_t size_bytes;
    uint64_t buffer_gpa;
    uint32_t offset; ///< of the window, at most UEFI_VARS_MAX_BYTES
    uint8_t window[UEFI_VARS_MAX_BYTES];
};

struct uefi_vars {
    struct device device;

    // configuration
    bool window_only; ///< the device cannot reach the guest's memory

    // glue
    struct uefi_vars_backend *backend;
    const struct guest_memory *memory;
    uint64_t calls, failures; ///< counters for inspect
    uint8_t message[UEFI_VARS_MAX_BYTES];

    struct uefi_vars_state state;
};

/// Sets the device up and adds its page to the MMIO bus. The backend outlives the device; NULL is
/// allowed: every message fails then. bus_add()'s errors. The caller registers device->device with
/// the machine.
int uefi_vars_init(struct uefi_vars *device, struct uefi_vars_backend *backend,
                   const struct guest_memory *memory, bool window_only, struct bus *mmio);
