// SPDX-License-Identifier: MIT
//
// ACPI tables byte by byte where Linux looks, and as a whole through ACPICA (iasl's disassembler,
// acpiexec's interpreter), which shares no code with us.
#include "devices/acpi_tables.h"

#include "igvm/base/bytes.h"
#include "tests/support/fake_machine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define BASE UINT64_C(0xE0000)

static struct acpi_config machine(uint32_t vp_count) {
    return (struct acpi_config){.vp_count = vp_count,
                                .pci_window = {0xC0000000, 0xFEB00000},
                                .pci_window_64 = {UINT64_C(0x4000000000), UINT64_C(0x8000000000)},
                                .has_tpm = true,
                                .tpm_log_gpa = 0xD0000,
                                .tpm_log_bytes = 0x10000};
}

static uint8_t sum(const uint8_t *bytes, size_t size_bytes) {
    uint8_t s = 0;

    while (size_bytes > 0) {
        s = (uint8_t)(s + bytes[--size_bytes]);
    }
    return s;
}

static uint8_t area[0x20000];
static size_t area_bytes;

/// Table by address; checks that it lies inside and that its checksum is right.
static const uint8_t *table_at(uint64_t address) {
    const uint8_t *table;

    assert_true(address >= BASE && address + 36 <= BASE + area_bytes && address % 8 == 0);
    table = area + (address - BASE);
    assert_true(load_le32(table + 4) <= BASE + area_bytes - address);
    assert_int_equal(sum(table, load_le32(table + 4)), 0);
    return table;
}

/// The n-th table with this signature, by way of RSDP and XSDT; NULL when there is none.
static const uint8_t *find(const char *signature, unsigned n) {
    const uint8_t *xsdt = table_at(load_le64(area + 24));

    for (uint32_t off = 36; off < load_le32(xsdt + 4); off += 8) {
        const uint8_t *table = table_at(load_le64(xsdt + off));

        if (memcmp(table, signature, 4) == 0 && n-- == 0) {
            return table;
        }
    }
    return NULL;
}

static void build(const struct acpi_config *config) {
    assert_int_equal(acpi_tables_build(config, BASE, area, sizeof(area), &area_bytes), 0);
}

static void root_pointers(void **state) {
    struct acpi_config config = machine(2);

    (void)state;
    build(&config);
    assert_memory_equal(area, "RSD PTR ", 8);
    assert_int_equal(area[15], 2);
    assert_int_equal(sum(area, 20), 0);
    assert_int_equal(sum(area, 36), 0);
    assert_int_equal(load_le32(area + 20), 36);
    assert_non_null(find("FACP", 0));
    assert_non_null(find("APIC", 0));
    assert_non_null(find("SSDT", 1));
    assert_null(find("SSDT", 2));
    assert_non_null(find("TPM2", 0));
    config.has_tpm = false;
    build(&config);
    assert_non_null(find("SSDT", 0));
    assert_null(find("SSDT", 1));
    assert_null(find("TPM2", 0));
}

static void fadt(void **state) {
    struct acpi_config config = machine(1);
    const uint8_t *t;
    const uint8_t *facs;

    (void)state;
    build(&config);
    t = find("FACP", 0);
    assert_int_equal(load_le32(t + 4), 276);
    facs = area + (load_le32(t + 36) - BASE);
    assert_memory_equal(facs, "FACS", 4);
    assert_int_equal(load_le32(t + 36) % 64, 0);
    assert_int_equal(load_le32(facs + 4), 64);
    assert_int_equal(facs[32], 2);
    assert_memory_equal(table_at(load_le64(t + 140)), "DSDT", 4);
    assert_int_equal(load_le32(t + 40), load_le64(t + 140));
    assert_int_equal(load_le16(t + 46), 9);
    assert_int_equal(load_le32(t + 48), 0); // SMI_CMD: always in ACPI mode
    assert_int_equal(load_le32(t + 56), 0xB000);
    assert_int_equal(load_le32(t + 64), 0xB004);
    assert_int_equal(load_le32(t + 76), 0xB008);
    assert_int_equal(load_le32(t + 88), 0x04000204);
    assert_int_equal(t[108], 0x32);
    assert_int_equal(load_le32(t + 112) & 1u << 20, 0); // not hardware-reduced
    assert_int_equal(load_le32(t + 112) & 1u << 4, 0);  // fixed power button
    assert_int_equal(t[116], 1);
    assert_int_equal(load_le64(t + 120), 0xCF9);
    assert_int_equal(t[128], 6);
    assert_int_equal(load_le64(t + 152), 0xB000);
    assert_int_equal(load_le64(t + 176), 0xB004);
    assert_int_equal(load_le64(t + 212), 0xB008);
}

static void madt(void **state) {
    static const uint32_t counts[] = {1, 2, 64, 255, 256, 300, ACPI_MAX_VPS};

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(counts); i++) {
        struct acpi_config config = machine(counts[i]);
        unsigned seen[16] = {0};
        uint32_t next_id = 0;
        const uint8_t *t;

        build(&config);
        t = find("APIC", 0);
        assert_int_equal(load_le32(t + 36), 0xFEE00000);
        assert_int_equal(load_le32(t + 40), 1);
        for (uint32_t off = 44; off < load_le32(t + 4); off += t[off + 1]) {
            const uint8_t *e = t + off;

            assert_true(e[1] >= 2 && e[0] < 16);
            seen[e[0]]++;
            if (e[0] == 0) {
                assert_int_equal(e[2], next_id);
                assert_int_equal(e[3], next_id++);
                assert_int_equal(load_le32(e + 4), 1);
            } else if (e[0] == 9) {
                assert_int_equal(load_le32(e + 4), next_id);
                assert_int_equal(load_le32(e + 8), 1);
                assert_int_equal(load_le32(e + 12), next_id++);
            } else if (e[0] == 1) {
                assert_int_equal(load_le32(e + 4), 0xFEC00000);
                assert_int_equal(load_le32(e + 8), 0);
            } else if (e[0] == 2 && e[3] == 0) {
                assert_int_equal(load_le32(e + 4), 2);
            } else if (e[0] == 2) {
                assert_int_equal(e[3], 9);
                assert_int_equal(load_le32(e + 4), 9);
                assert_int_equal(load_le16(e + 8), 0xD);
            }
        }
        assert_int_equal(next_id, counts[i]);
        assert_int_equal(seen[0], counts[i] < 255 ? counts[i] : 255);
        assert_int_equal(seen[1], 1);
        assert_int_equal(seen[2], 2);
        assert_int_equal(seen[4], 1);
        assert_int_equal(seen[10], counts[i] > 255);
    }
}

static void tpm2(void **state) {
    struct acpi_config config = machine(1);
    const uint8_t *t;

    (void)state;
    build(&config);
    t = find("TPM2", 0);
    assert_int_equal(load_le32(t + 4), 76);
    assert_true(load_le64(t + 40) == 0xFED40040);
    assert_int_equal(load_le32(t + 48), 7);
    assert_int_equal(load_le32(t + 64), 0x10000);
    assert_int_equal(load_le64(t + 68), 0xD0000);
    config.tpm_log_bytes = 0;
    build(&config);
    assert_int_equal(load_le32(find("TPM2", 0) + 4), 64);
}

static void checks_the_configuration(void **state) {
    struct acpi_config good = machine(4);
    struct acpi_config c;
    size_t used = 0;
    size_t need;

    (void)state;
    build(&good);
    need = area_bytes;
    for (size_t n = 0; n < need; n++) { // whatever does not fit is a refusal, at every byte
        uint8_t *exact = malloc(n ? n : 1);

        assert_int_equal(acpi_tables_build(&good, BASE, exact, n, &used), -ENOSPC);
        free(exact);
    }
    assert_int_equal(acpi_tables_build(&good, BASE, area, need, &used), 0);
    c = good, c.vp_count = 0;
    assert_int_equal(acpi_tables_build(&c, BASE, area, sizeof(area), &used), -EINVAL);
    c = good, c.vp_count = ACPI_MAX_VPS + 1;
    assert_int_equal(acpi_tables_build(&c, BASE, area, sizeof(area), &used), -EINVAL);
    c = good, c.pci_window.end = c.pci_window.start;
    assert_int_equal(acpi_tables_build(&c, BASE, area, sizeof(area), &used), -EINVAL);
    c = good, c.pci_window.end = UINT64_C(0x100001000);
    assert_int_equal(acpi_tables_build(&c, BASE, area, sizeof(area), &used), -EINVAL);
    c = good, c.pci_window_64.start = 0x1000;
    assert_int_equal(acpi_tables_build(&c, BASE, area, sizeof(area), &used), -EINVAL);
    assert_int_equal(acpi_tables_build(&good, BASE + 8, area, sizeof(area), &used), -EINVAL);
    assert_int_equal(acpi_tables_build(&good, UINT64_C(1) << 32, area, sizeof(area), &used),
                     -EINVAL);
}

static void installs_in_guest_memory(void **state) {
    struct acpi_config config = machine(64);
    struct fake_machine *m = fake_machine_new();
    struct gpa_range window = {ACPI_AREA_START, ACPI_AREA_END};
    struct gpa_range hole = {FAKE_RAM_END, FAKE_RAM_END + 0x10000};
    gpa_t rsdp = gpa(0);

    (void)state;
    assert_int_equal(acpi_tables_install(&config, &m->gm, window, &rsdp), 0);
    assert_true(rsdp.value == ACPI_AREA_START);
    assert_memory_equal(m->low_host + ACPI_AREA_START, "RSD PTR ", 8);
    assert_int_equal(acpi_tables_install(&config, &m->gm, hole, &rsdp), -EFAULT);
    window.end = window.start;
    assert_int_equal(acpi_tables_install(&config, &m->gm, window, &rsdp), -EINVAL);
    fake_machine_free(m);
}

// ---- ACPICA's opinion ----

static char dir[] = "/tmp/parapet-acpi-XXXXXX";

static void write_file(const char *name, const uint8_t *table) {
    char path[64];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(table, 1, load_le32(table + 4), f), load_le32(table + 4));
    assert_int_equal(fclose(f), 0);
}

/// Runs a shell command in the directory; its output is in `out`. Returns its exit status.
static int run(const char *command, char *out, size_t capacity) {
    char line[512];
    FILE *f;
    size_t got;

    snprintf(line, sizeof(line), "cd %s && { %s; } 2>&1", dir, command);
    f = popen(line, "r"); // constant commands, no input from anywhere
    assert_non_null(f);
    got = fread(out, 1, capacity - 1, f);
    out[got] = 0;
    return pclose(f);
}

static void acpica_accepts_the_tables(void **state) {
    static char out[65536];
    struct acpi_config config = machine(3);
    const uint8_t *fadt_table;

    (void)state;
    if (run("command -v iasl", out, sizeof(out)) != 0) {
        skip();
    }
    build(&config);
    fadt_table = find("FACP", 0);
    write_file("dsdt.aml", table_at(load_le64(fadt_table + 140)));
    write_file("facp.aml", fadt_table);
    write_file("facs.aml", area + (load_le32(fadt_table + 36) - BASE));
    write_file("apic.aml", find("APIC", 0));
    write_file("win.aml", find("SSDT", 0));
    write_file("tpm.aml", find("SSDT", 1));
    write_file("tpm2.aml", find("TPM2", 0));
    write_file("xsdt.aml", table_at(load_le64(area + 24)));
    // Disassembles everything; a length or checksum that is wrong is said so in the output.
    if (run("for t in facp facs apic win tpm tpm2 xsdt; do iasl -d $t.aml || exit 1; done;"
            "iasl -e win.aml -d dsdt.aml && cat *.dsl",
            out, sizeof(out)) != 0 ||
        strstr(out, "rror") || strstr(out, "nvalid") || strstr(out, "ncorrect")) {
        fail_msg("%s", out);
    }
    assert_non_null(strstr(out, "MSFT0101"));
    // Compiles what it disassembled: the AML is well formed.
    if (run("iasl -p again dsdt.dsl", out, sizeof(out)) != 0) {
        fail_msg("%s", out);
    }
}

static void acpica_runs_the_methods(void **state) {
    static char out[65536];

    (void)state;
    if (run("command -v acpiexec", out, sizeof(out)) != 0) {
        skip();
    }
    if (run("acpiexec -b 'evaluate \\_SB.PCI0._CRS' dsdt.aml win.aml tpm.aml", out, sizeof(out)) !=
        0) {
        fail_msg("%s", out);
    }
    // Both windows, as DWord and QWord descriptors: first and last address.
    if (!strstr(out, "00 00 00 C0 FF FF AF FE") || !strstr(out, "00 00 00 00 40 00 00 00") ||
        !strstr(out, "FF FF FF FF 7F 00 00 00")) {
        fail_msg("%s", out);
    }
}

static int make_dir(void **state) {
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state) {
    char out[256];

    (void)state;
    (void)run("rm -f *.aml *.dsl", out, sizeof(out));
    return rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(root_pointers),
        cmocka_unit_test(fadt),
        cmocka_unit_test(madt),
        cmocka_unit_test(tpm2),
        cmocka_unit_test(checks_the_configuration),
        cmocka_unit_test(installs_in_guest_memory),
        cmocka_unit_test(acpica_accepts_the_tables),
        cmocka_unit_test(acpica_runs_the_methods),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
