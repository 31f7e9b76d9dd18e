// SPDX-License-Identifier: MIT
//
// Loads VTL0's Linux: see linux_loader.h. Everything goes through the guest-memory accessors, so
// that a kernel header cannot make us write outside the guest.
#include "userspace/linux_loader.h"

#include "igvm/base/bytes.h"
#include "loader/linux_params.h"

#include <errno.h>
#include <mbedtls/sha512.h>
#include <stdlib.h>
#include <string.h>

#define GDT_GPA         0x1000u
#define PAGE_TABLES_GPA 0x2000u ///< six pages: 0x2000 .. 0x7fff
#define BOOT_PARAMS_GPA 0x8000u
#define STACK_GPA       0xa000u ///< one page; the kernel makes its own at once
#define CMDLINE_GPA     0x20000u
#define CMDLINE_BYTES   0x10000u
#define LOW_RAM_END_GPA 0x9fc00u
#define ACPI_GPA        0xe0000u
#define HIGH_RAM_GPA    0x100000u

#define PTE_PRESENT_WRITE 3ull
#define PTE_LARGE         (1ull << 7)
#define LEAVES_PER_TABLE  512u
#define PD_COUNT          4u

// Access bytes: present code and data segments of ring 0 (Intel SDM volume 3, section 3.4.5), as
// descriptor and as vp_segment attributes.
#define GDT_CODE64      0x00af9b000000ffffull
#define GDT_DATA        0x00cf93000000ffffull
#define ATTRIBUTES_CODE 0x0a9bu
#define ATTRIBUTES_DATA 0x0c93u
#define ATTRIBUTES_TSS  0x008bu
#define TR_SELECTOR     0x20u

#define CR0_PE     (1ull << 0)
#define CR0_ET     (1ull << 4)
#define CR0_PG     (1ull << 31)
#define CR4_PAE    (1ull << 5)
#define EFER_LME   (1ull << 8)
#define EFER_LMA   (1ull << 10)
#define RFLAGS_ONE 2ull

bool linux_loader_digest_is(const uint8_t *bytes, size_t size_bytes,
                            const uint8_t digest[LINUX_LOADER_DIGEST_BYTES]) {
    uint8_t found[64];

    if (mbedtls_sha512(bytes, size_bytes, found, 1) != 0) {
        return false;
    }
    return memcmp(found, digest, LINUX_LOADER_DIGEST_BYTES) == 0; // both are public
}

/// End of what the guest may use of the RAM that starts at 0.
static uint64_t low_ram_end(const struct linux_payload *payload, const struct guest_memory *gm) {
    return guest_memory_low_end(gm) - payload->reserved_bytes;
}

static uint32_t build_e820(const struct linux_payload *payload, const struct guest_memory *gm,
                           struct linux_e820_entry *out) {
    uint64_t low_end = low_ram_end(payload, gm);
    uint32_t count = 0;

    out[count++] = (struct linux_e820_entry){0, LOW_RAM_END_GPA, LINUX_E820_RAM};
    out[count++] =
        (struct linux_e820_entry){LOW_RAM_END_GPA, 0xa0000 - LOW_RAM_END_GPA, LINUX_E820_RESERVED};
    out[count++] =
        (struct linux_e820_entry){ACPI_GPA, HIGH_RAM_GPA - ACPI_GPA, LINUX_E820_RESERVED};
    out[count++] = (struct linux_e820_entry){HIGH_RAM_GPA, low_end - HIGH_RAM_GPA, LINUX_E820_RAM};
    if (payload->reserved_bytes > 0) {
        out[count++] =
            (struct linux_e820_entry){low_end, payload->reserved_bytes, LINUX_E820_RESERVED};
    }
    for (uint32_t i = 0; i < gm->region_count; i++) {
        struct gpa_range range = gm->regions[i].gpa;

        if (range.start >= guest_memory_low_end(gm)) {
            out[count++] =
                (struct linux_e820_entry){range.start, gpa_range_bytes(range), LINUX_E820_RAM};
        }
    }
    return count;
}

static int write_tables(const struct guest_memory *gm) {
    uint64_t gdt[6] = {0, 0, GDT_CODE64, GDT_DATA, 0, 0}; // selectors 0x10 and 0x18
    uint64_t table[LEAVES_PER_TABLE] = {PAGE_TABLES_GPA + PAGE_SIZE_4K + PTE_PRESENT_WRITE};
    int result = guest_write(gm, gpa(GDT_GPA), gdt, sizeof(gdt));

    if (result == 0) {
        result = guest_write(gm, gpa(PAGE_TABLES_GPA), table, sizeof(table));
    }
    for (unsigned i = 0; i < PD_COUNT; i++) {
        table[i] = PAGE_TABLES_GPA + (2 + i) * PAGE_SIZE_4K + PTE_PRESENT_WRITE;
    }
    if (result == 0) {
        result = guest_write(gm, gpa(PAGE_TABLES_GPA + PAGE_SIZE_4K), table, sizeof(table));
    }
    for (uint64_t pd = 0; result == 0 && pd < PD_COUNT; pd++) {
        for (uint64_t i = 0; i < LEAVES_PER_TABLE; i++) {
            table[i] = (pd * LEAVES_PER_TABLE + i) * PAGE_SIZE_2M + (PTE_LARGE | PTE_PRESENT_WRITE);
        }
        result =
            guest_write(gm, gpa(PAGE_TABLES_GPA + (2 + pd) * PAGE_SIZE_4K), table, sizeof(table));
    }
    return result;
}

static void set_registers(struct vp_registers *r, uint64_t entry_gpa) {
    struct vp_segment code = {
        .limit = UINT32_MAX, .selector = LINUX_BOOT_CS, .attributes = ATTRIBUTES_CODE};
    struct vp_segment data = {
        .limit = UINT32_MAX, .selector = LINUX_BOOT_DS, .attributes = ATTRIBUTES_DATA};

    r->rip = entry_gpa;
    r->rsi = BOOT_PARAMS_GPA;
    r->rsp = STACK_GPA;
    r->rax = r->rbx = r->rcx = r->rdx = r->rdi = r->rbp = 0;
    r->rflags = RFLAGS_ONE;
    r->cr0 = CR0_PG | CR0_ET | CR0_PE;
    r->cr3 = PAGE_TABLES_GPA;
    r->cr4 = CR4_PAE;
    r->efer = EFER_LME | EFER_LMA;
    r->cs = code;
    r->ds = r->es = r->fs = r->gs = r->ss = data;
    r->tr =
        (struct vp_segment){.limit = 0x67, .selector = TR_SELECTOR, .attributes = ATTRIBUTES_TSS};
    r->gdt = (struct vp_table){.base = GDT_GPA, .limit = 6 * 8 - 1};
    r->idt = (struct vp_table){.base = 0, .limit = 0};
}

/// The initrd goes to the end of low RAM, as far as this kernel can reach it.
static int place_initrd(const struct linux_payload *payload, const struct guest_memory *gm,
                        const struct bzimage_info *image, uint64_t kernel_end, uint64_t *out) {
    uint64_t end = low_ram_end(payload, gm);

    if (payload->initrd == NULL) {
        *out = 0;
        return 0;
    }
    if (image->initrd_end_max_gpa != 0 && end > image->initrd_end_max_gpa) {
        end = image->initrd_end_max_gpa;
    }
    if (payload->initrd_bytes > end) {
        return -ENOSPC;
    }
    *out = align_down(end - payload->initrd_bytes, PAGE_SIZE_4K);
    if (*out < kernel_end) {
        return -ENOSPC;
    }
    return guest_write(gm, gpa(*out), payload->initrd, payload->initrd_bytes);
}

static int write_params(const struct linux_payload *payload, const struct guest_memory *gm,
                        struct linux_params_spec *spec, const char **why) {
    struct linux_e820_entry e820[GUEST_MEMORY_MAX_REGIONS + 5];
    struct linux_boot_params params;
    int result;

    spec->e820 = e820;
    spec->e820_count = build_e820(payload, gm, e820);
    spec->cmdline_gpa = CMDLINE_GPA;
    spec->cmdline_bytes = (uint32_t)strlen(payload->command_line);
    spec->rsdp_gpa = payload->rsdp_gpa;
    result = linux_params_build(&params, spec, why);
    spec->e820 = NULL; // it was ours
    if (result < 0) {
        return result;
    }
    *why = "the guest's memory is too small for its boot parameters";
    result = guest_write(gm, gpa(CMDLINE_GPA), payload->command_line, spec->cmdline_bytes + 1);
    return result < 0 ? result : guest_write(gm, gpa(BOOT_PARAMS_GPA), &params, sizeof(params));
}

int linux_loader_load(const struct linux_payload *payload, const struct guest_memory *gm,
                      struct vp_registers *registers, const char **why) {
    struct linux_params_spec spec = {0};
    struct bzimage_info image;
    uint64_t load_gpa, run_start, run_end;
    int result = bzimage_parse(payload->kernel, payload->kernel_bytes, &image, why);

    if (result < 0) {
        return result;
    }
    // Where the kernel wants to run: it then decompresses without moving itself first.
    load_gpa = image.pref_gpa >= HIGH_RAM_GPA ? image.pref_gpa : HIGH_RAM_GPA;
    result = bzimage_run_range(&image, load_gpa, &run_start, &run_end);
    if (result < 0) {
        *why = "the kernel's sizes overflow";
        return result;
    }
    if (guest_memory_low_end(gm) < payload->reserved_bytes || run_end > low_ram_end(payload, gm) ||
        strlen(payload->command_line) >= CMDLINE_BYTES) {
        *why = "the guest's memory is too small for its kernel";
        return -ENOSPC;
    }
    *why = "the guest's memory is too small for its kernel";
    result = guest_write(gm, gpa(load_gpa), payload->kernel + image.protected_mode_off,
                         image.protected_mode_bytes);
    if (result < 0) {
        return result;
    }
    spec.image = &image;
    spec.load_gpa = load_gpa;
    spec.initrd_bytes = payload->initrd_bytes;
    *why = "the guest's memory is too small for its initrd";
    result = place_initrd(payload, gm, &image, run_end, &spec.initrd_gpa);
    if (result == 0) {
        result = write_params(payload, gm, &spec, why);
    }
    if (result == 0) {
        *why = "the guest's memory is too small for its page tables";
        result = write_tables(gm);
    }
    if (result == 0) {
        set_registers(registers, load_gpa + image.entry64_off);
    }
    return result;
}
