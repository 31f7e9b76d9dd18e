// SPDX-License-Identifier: MIT
//
// VTL0's Linux without firmware: bzImage and initrd into guest memory, boot_params, and the
// registers of the 64-bit boot protocol (Linux Documentation/arch/x86/boot.rst).
//
// Guest memory below 1 MiB after loading:
//   0x1000    GDT                     0x8000  boot_params
//   0x2000    page tables: PML4, PDPT, four PDs: identity map of the first 4 GiB
//   0x20000   command line            0xE0000 ACPI tables (not ours)
#pragma once

#include "devices/guest_memory.h"
#include "vtl2/vtl2.h"

#define LINUX_LOADER_DIGEST_BYTES 48u

/// The files, in VTL2's own memory: verified once, used at every start of the guest.
struct linux_payload {
    uint8_t *kernel;
    size_t kernel_bytes;
    uint8_t *initrd; ///< NULL: none
    size_t initrd_bytes;
    const char *command_line;
    uint64_t rsdp_gpa;       ///< 0: none
    uint64_t reserved_bytes; ///< of the end of low RAM, whole pages: a device's, not the guest's
};

/// SHA-384 of bytes equals digest.
bool linux_loader_digest_is(const uint8_t *bytes, size_t size_bytes,
                            const uint8_t digest[LINUX_LOADER_DIGEST_BYTES]);

/// Fills guest memory and *registers (from the VP's power-on values). -EINVAL, -ENOTSUP, -ERANGE or
/// -ENOSPC (guest memory too small) with *why set to a readable text.
int linux_loader_load(const struct linux_payload *payload, const struct guest_memory *gm,
                      struct vp_registers *registers, const char **why);
