// SPDX-License-Identifier: MIT
//
// The Linux-direct loader: a made-up bzImage into guest memory; where everything stands, that
// nothing overlaps, the registers, and what is refused. The guest's RAM layout (guest_ram.c) too.
#include "userspace/linux_loader.h"

#include "igvm/base/bytes.h"
#include "loader/linux_boot.h"
#include "userspace/guest_ram.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB          (1ull << 20)
#define SETUP_BYTES  1024u
#define KERNEL_BYTES (64 * 1024u)
#define PREF_GPA     (16 * MIB)

static uint8_t kernel[KERNEL_BYTES];
static uint8_t initrd[10000];

static void make_kernel(uint32_t init_size) {
    uint8_t *h = kernel;

    for (unsigned i = 0; i < sizeof(kernel); i++) {
        kernel[i] = (uint8_t)(i * 7 + i / 256);
    }
    memset(h, 0, SETUP_BYTES);
    h[0x1f1] = SETUP_BYTES / 512 - 1;
    store_le32(h + 0x1f4, (KERNEL_BYTES - SETUP_BYTES) / 16);
    store_le16(h + 0x1fe, 0xaa55);
    h[0x200] = 0xeb;
    h[0x201] = 0x6a;
    store_le32(h + 0x202, LINUX_HEADER_MAGIC);
    store_le16(h + 0x206, 0x020f);
    h[0x211] = LINUX_LOADED_HIGH;
    store_le32(h + 0x22c, 0x7fffffff);
    store_le32(h + 0x230, 0x200000);
    h[0x234] = 1;
    h[0x235] = 21;
    store_le16(h + 0x236, LINUX_XLF_KERNEL_64);
    store_le32(h + 0x238, 2047);
    store_le64(h + 0x258, PREF_GPA);
    store_le32(h + 0x260, init_size);
}

static struct linux_payload payload(void) {
    return (struct linux_payload){.kernel = kernel,
                                  .kernel_bytes = sizeof(kernel),
                                  .initrd = initrd,
                                  .initrd_bytes = sizeof(initrd),
                                  .command_line = "console=hvc0",
                                  .rsdp_gpa = 0xe0000};
}

static void test_load(void **state) {
    struct linux_payload p = payload();
    struct vp_registers r = {.rax = 1, .apic_base = 0xfee00900};
    struct linux_boot_params params;
    struct guest_memory gm;
    struct guest_ram ram;
    uint8_t back[KERNEL_BYTES];
    const char *why = NULL;
    uint64_t entry[2], initrd_gpa;

    (void)state;
    make_kernel(MIB);
    memset(initrd, 0x5a, sizeof(initrd));
    assert_int_equal(guest_ram_anonymous(&ram, 64 * MIB), 0);
    assert_int_equal(guest_ram_layout(&ram, 0, false, &gm), 0);
    assert_int_equal(linux_loader_load(&p, &gm, &r, &why), 0);
    assert_int_equal(r.rip, PREF_GPA + 0x200);
    assert_int_equal(r.apic_base, 0xfee00900); // not ours to change
    assert_int_equal(r.cs.selector, LINUX_BOOT_CS);
    assert_int_equal(r.cs.attributes & 0x200, 0x200); // long
    assert_int_equal(r.rflags, 2);
    assert_int_equal(guest_read(&gm, gpa(PREF_GPA), back, KERNEL_BYTES - SETUP_BYTES), 0);
    assert_memory_equal(back, kernel + SETUP_BYTES, KERNEL_BYTES - SETUP_BYTES);
    assert_int_equal(guest_read(&gm, gpa(r.rsi), &params, sizeof(params)), 0);
    assert_int_equal(params.hdr.boot_flag, 0xaa55);
    assert_int_equal(params.acpi_rsdp_addr, 0xe0000);
    assert_int_equal(params.e820_entries, 4);
    assert_int_equal(params.e820_table[3].addr + params.e820_table[3].size_bytes, 64 * MIB);
    assert_int_equal(params.hdr.ramdisk_size, sizeof(initrd));
    initrd_gpa = params.hdr.ramdisk_image;
    assert_true(initrd_gpa >= PREF_GPA + MIB && initrd_gpa + sizeof(initrd) <= 64 * MIB);
    assert_int_equal(guest_read(&gm, gpa(initrd_gpa), back, sizeof(initrd)), 0);
    assert_memory_equal(back, initrd, sizeof(initrd));
    assert_int_equal(guest_read(&gm, gpa(params.hdr.cmd_line_ptr), back, 13), 0);
    assert_string_equal((char *)back, "console=hvc0");
    // Page tables: PML4 -> PDPT -> PDs, the last entry of the last PD maps the end of 4 GiB.
    assert_int_equal(guest_read(&gm, gpa(r.cr3), entry, 16), 0);
    assert_int_equal(entry[0] & 0xfff, 3);
    assert_int_equal(guest_read(&gm, gpa(entry[0] & ~0xfffull), back, 32), 0);
    for (uint64_t pd = 0; pd < 4; pd++) {
        uint64_t pd_gpa = load_le64(back + 8 * pd) & ~0xfffull;

        assert_int_equal(guest_read(&gm, gpa(pd_gpa + 511 * 8), entry, 8), 0);
        assert_int_equal(entry[0], (pd * 512 + 511) << 21 | 0x83);
        assert_true(pd_gpa + 4096 <= r.rsi || pd_gpa >= r.rsi + 4096);
    }
    // The end of low RAM, a device's: reserved, and nothing of the guest's stands there.
    p.reserved_bytes = 8192;
    assert_int_equal(linux_loader_load(&p, &gm, &r, &why), 0);
    assert_int_equal(guest_read(&gm, gpa(r.rsi), &params, sizeof(params)), 0);
    assert_int_equal(params.e820_entries, 5);
    assert_int_equal(params.e820_table[3].addr + params.e820_table[3].size_bytes, 64 * MIB - 8192);
    assert_int_equal(params.e820_table[4].addr, 64 * MIB - 8192);
    assert_int_equal(params.e820_table[4].size_bytes, 8192);
    assert_int_equal(params.e820_table[4].type, LINUX_E820_RESERVED);
    assert_true(params.hdr.ramdisk_image + sizeof(initrd) <= 64 * MIB - 8192);
    p.reserved_bytes = 64 * MIB + 4096;
    assert_int_equal(linux_loader_load(&p, &gm, &r, &why), -ENOSPC);
    guest_ram_free(&ram);
}

static void test_refusals(void **state) {
    struct linux_payload p = payload();
    struct vp_registers r = {0};
    struct guest_memory gm;
    struct guest_ram ram;
    const char *why = NULL;

    (void)state;
    assert_int_equal(guest_ram_anonymous(&ram, 32 * MIB), 0);
    assert_int_equal(guest_ram_layout(&ram, 0, false, &gm), 0);
    make_kernel(17 * MIB); // does not fit 32 MiB
    assert_int_equal(linux_loader_load(&p, &gm, &r, &why), -ENOSPC);
    assert_non_null(strstr(why, "too small for its kernel"));
    make_kernel(MIB);
    p.initrd_bytes = 16 * MIB; // no room between kernel and end; never read
    assert_int_equal(linux_loader_load(&p, &gm, &r, &why), -ENOSPC);
    assert_non_null(strstr(why, "initrd"));
    p = payload();
    p.kernel_bytes = 100;
    assert_int_equal(linux_loader_load(&p, &gm, &r, &why), -EINVAL);
    kernel[0x236] = 0; // no 64-bit entry
    p = payload();
    assert_int_equal(linux_loader_load(&p, &gm, &r, &why), -ENOTSUP);
    make_kernel(MIB);
    store_le32(kernel + 0x238, 3); // a command line of three bytes
    assert_int_equal(linux_loader_load(&p, &gm, &r, &why), -ENAMETOOLONG);
    guest_ram_free(&ram);
}

static void test_digest(void **state) {
    // SHA-384 of "abc", FIPS 180-4's example.
    static const uint8_t abc[48] = {0xcb, 0x00, 0x75, 0x3f, 0x45, 0xa3, 0x5e, 0x8b, 0xb5, 0xa0,
                                    0x3d, 0x69, 0x9a, 0xc6, 0x50, 0x07, 0x27, 0x2c, 0x32, 0xab,
                                    0x0e, 0xde, 0xd1, 0x63, 0x1a, 0x8b, 0x60, 0x5a, 0x43, 0xff,
                                    0x5b, 0xed, 0x80, 0x86, 0x07, 0x2b, 0xa1, 0xe7, 0xcc, 0x23,
                                    0x58, 0xba, 0xec, 0xa1, 0x34, 0xc8, 0x25, 0xa7};

    (void)state;
    assert_true(linux_loader_digest_is((const uint8_t *)"abc", 3, abc));
    assert_false(linux_loader_digest_is((const uint8_t *)"abd", 3, abc));
}

/// The PCI hole cuts RAM at 3 GiB, across chunks; a limit cuts the end.
static void test_layout(void **state) {
    static uint8_t low, high;
    struct guest_ram ram = {
        .chunk_count = 2,
        .chunks = {{.physical = {96 * MIB, 96 * MIB + 2048 * MIB}, .size_bytes = 2048 * MIB},
                   {.physical = {1ull << 32, (1ull << 32) + 2048 * MIB}, .size_bytes = 2048 * MIB}},
    };
    struct guest_memory gm;

    (void)state;
    ram.chunks[0].host = &low;
    ram.chunks[1].host = &high;
    assert_int_equal(guest_ram_bytes(&ram), 4096 * MIB);
    assert_int_equal(guest_ram_layout(&ram, 0, false, &gm), 0);
    assert_int_equal(gm.region_count, 3);
    assert_int_equal(gm.regions[1].gpa.end, GUEST_RAM_LOW_END_GPA);
    assert_int_equal(gm.regions[2].gpa.start, GUEST_RAM_HIGH_GPA);
    assert_int_equal(gm.regions[2].gpa.end, GUEST_RAM_HIGH_GPA + 1024 * MIB);
    assert_ptr_equal(gm.regions[2].host, &high + 1024 * MIB);
    assert_int_equal(guest_ram_layout(&ram, 100 * MIB, false, &gm), 0);
    assert_int_equal(gm.region_count, 1);
    assert_int_equal(gm.regions[0].gpa.end, 100 * MIB);
    assert_ptr_equal(guest_ram_at(&ram, 97 * MIB, MIB), &low + MIB);
    assert_null(guest_ram_at(&ram, 95 * MIB, 2 * MIB));
    assert_null(guest_ram_at(&ram, 96 * MIB, 4096 * MIB));
    assert_null(guest_ram_at(&ram, UINT64_MAX, 2));
}

/// Where addresses are the machine's own, chunks stay where they are, and out of PCI's window.
static void test_layout_in_place(void **state) {
    static uint8_t low, high;
    struct guest_ram ram = {
        .chunk_count = 2,
        .chunks = {{.physical = {0, 256 * MIB}, .size_bytes = 256 * MIB},
                   {.physical = {384 * MIB, 1024 * MIB}, .size_bytes = 640 * MIB}},
    };
    struct guest_memory gm;

    (void)state;
    ram.chunks[0].host = &low;
    ram.chunks[1].host = &high;
    assert_int_equal(guest_ram_layout(&ram, 0, true, &gm), 0);
    assert_int_equal(gm.region_count, 2);
    assert_int_equal(gm.regions[1].gpa.start, 384 * MIB);
    assert_ptr_equal(gm.regions[1].host, &high);
    assert_int_equal(guest_ram_layout(&ram, 300 * MIB, true, &gm), 0);
    assert_int_equal(gm.regions[1].gpa.end, (384 + 44) * MIB);
    ram.chunks[1].physical.end = 3073 * MIB;
    assert_int_equal(guest_ram_layout(&ram, 0, true, &gm), -ERANGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_layout_in_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
