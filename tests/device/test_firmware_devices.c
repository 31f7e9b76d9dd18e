// SPDX-License-Identifier: MIT
//
// The small devices and tables of a machine that boots firmware: PIIX functions in one slot, the
// keyboard port's reset, the debug console, ACPI blobs linked as firmware links them, SMBIOS.
#include "devices/acpi_loader.h"
#include "devices/acpi_pm.h"
#include "devices/debugcon.h"
#include "devices/piix.h"
#include "devices/reset_port.h"
#include "devices/smbios.h"
#include "devices/tpm_ppi.h"

#include "igvm/base/bytes.h"
#include "tests/support/fake_machine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SLOT 1u

struct fixture {
    struct fake_machine *m;
    struct pci_root root;
    struct piix piix;
    struct reset_port port;
    struct debugcon con;
    struct tpm_ppi ppi;
    unsigned resets;
    char lines[8][DEBUGCON_LINE_BYTES];
    unsigned line_count;
};

static void count_reset(void *ctx) {
    ((struct fixture *)ctx)->resets++;
}

static void put_line(void *ctx, const char *line) {
    struct fixture *x = ctx;

    snprintf(x->lines[x->line_count++ % 8], DEBUGCON_LINE_BYTES, "%s", line);
}

static int set_up(void **state) {
    struct fixture *x = calloc(1, sizeof(*x));
    struct pci_root_config config;

    x->m = fake_machine_new();
    config = (struct pci_root_config){.pio = x->m->pio,
                                      .mmio = x->m->mmio,
                                      .msi = fake_msi_sink(x->m),
                                      .set_line = fake_set_line,
                                      .set_line_ctx = x->m};
    assert_int_equal(pci_root_init(&x->root, &config), 0);
    assert_int_equal(piix_init(&x->piix, &x->root, SLOT), 0);
    assert_int_equal(reset_port_init(&x->port, x->m->pio, count_reset, x), 0);
    assert_int_equal(debugcon_init(&x->con, x->m->pio, put_line, x), 0);
    assert_int_equal(tpm_ppi_init(&x->ppi, x->m->mmio), 0);
    *state = x;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *x = *state;

    fake_machine_free(x->m);
    free(x);
    return 0;
}

// ---- PIIX ----

static uint32_t config_read(struct fixture *x, unsigned slot, unsigned index, unsigned off) {
    fake_pio_write(x->m, 0xCF8, 4, 0x80000000u | slot << 11 | index << 8 | off);
    return fake_pio_read(x->m, 0xCFC, 4);
}

static void config_write(struct fixture *x, unsigned index, unsigned off, uint32_t value) {
    fake_pio_write(x->m, 0xCF8, 4, 0x80000000u | SLOT << 11 | index << 8 | off);
    fake_pio_write(x->m, 0xCFC, 4, value);
}

static void test_piix_functions(void **state) {
    struct fixture *x = *state;

    assert_int_equal(config_read(x, SLOT, 0, 0), 0x70008086);
    assert_int_equal(config_read(x, SLOT, 0, 8) >> 8, 0x060100);
    assert_int_equal(config_read(x, SLOT, 0, 0xC), 0x800000); // more than one function
    assert_int_equal(config_read(x, SLOT, 3, 0), 0x71138086);
    assert_int_equal(config_read(x, SLOT, 3, 8) >> 8, 0x068000);
    assert_int_equal(config_read(x, SLOT, 3, 0xC), 0);
    for (unsigned index = 1; index < 8; index++) {
        assert_true(index == 3 || config_read(x, SLOT, index, 0) == UINT32_MAX);
    }
    assert_int_equal(config_read(x, 0, 0, 0xC), 0); // the host bridge is alone
    assert_int_equal(config_read(x, 0, 3, 0), UINT32_MAX);
}

static void test_piix_registers(void **state) {
    struct fixture *x = *state;

    config_write(x, 0, 4, 0xFFFF);
    assert_int_equal(config_read(x, SLOT, 0, 4) & 0xFFFF, 7); // hardwired: software looks at it
    assert_int_equal(config_read(x, SLOT, 0, 0x60), 0x80808080);
    config_write(x, 0, 0x60, 0xFF0B0A05);
    assert_int_equal(config_read(x, SLOT, 0, 0x60), 0x8F0B0A05);
    assert_int_equal(config_read(x, SLOT, 3, PIIX_PM_BASE_OFF), ACPI_PM_BASE | 1);
    config_write(x, 3, PIIX_PM_BASE_OFF, 0xC001);
    assert_int_equal(config_read(x, SLOT, 3, PIIX_PM_BASE_OFF), ACPI_PM_BASE | 1);
    config_write(x, 3, PIIX_PM_MISC_OFF, 0xFF);
    assert_int_equal(config_read(x, SLOT, 3, PIIX_PM_MISC_OFF), 1);
    fake_reset(x->m, &x->piix.pm.device);
    fake_reset(x->m, &x->piix.isa.device);
    assert_int_equal(config_read(x, SLOT, 3, PIIX_PM_MISC_OFF), 0);
    assert_int_equal(config_read(x, SLOT, 0, 0xC), 0x800000);
}

static void test_attach_rules(void **state) {
    struct fixture *x = *state;
    struct pci_identity identity = {.vendor_id = 1};
    struct pci_function f;

    pci_init(&f, "f", &identity, NULL, NULL);
    assert_int_equal(pci_attach_function(&x->root, &f, SLOT, 0), -EINVAL);
    assert_int_equal(pci_attach_function(&x->root, &f, SLOT, 8), -EINVAL);
    assert_int_equal(pci_attach_function(&x->root, &f, SLOT, 3), -EEXIST);
    assert_int_equal(pci_attach_function(&x->root, &f, 9, 1), -EINVAL); // no function 0
    identity.has_intx = true;
    pci_init(&f, "f", &identity, NULL, NULL);
    assert_int_equal(pci_attach_function(&x->root, &f, SLOT, 1), -EINVAL);
    assert_int_equal(pci_attach(&x->root, &f, SLOT), -EEXIST);
}

// ---- ports ----

static void test_reset_port(void **state) {
    struct fixture *x = *state;

    for (unsigned value = 0; value < 256; value++) {
        fake_pio_write(x->m, RESET_PORT, 1, value);
    }
    assert_int_equal(x->resets, 1);
    assert_int_equal(fake_pio_read(x->m, RESET_PORT, 1), 0xFF);
    fake_pio_write(x->m, RESET_PORT, 2, RESET_PORT_COMMAND); // reaches beyond the port
    assert_int_equal(x->resets, 1);
}

static void put(struct fixture *x, const char *text) {
    while (*text) {
        fake_pio_write(x->m, DEBUGCON_PORT, 1, (uint8_t)*text++);
    }
}

static void test_debugcon(void **state) {
    struct fixture *x = *state;
    uint8_t *blob;
    size_t size;

    assert_int_equal(fake_pio_read(x->m, DEBUGCON_PORT, 1), 0xE9);
    put(x, "one\r\n\n\x1b[2Jtwo\x80\n");
    assert_int_equal(x->line_count, 2);
    assert_string_equal(x->lines[0], "one");
    assert_string_equal(x->lines[1], "?[2Jtwo?");
    for (unsigned i = 0; i < DEBUGCON_LINE_BYTES; i++) { // one line and one character
        put(x, "x");
    }
    assert_int_equal(x->line_count, 3);
    assert_int_equal(strlen(x->lines[2]), DEBUGCON_LINE_BYTES - 1);
    blob = fake_save(&x->con.device, &size);
    fake_reset(x->m, &x->con.device); // the last words come out
    assert_int_equal(x->line_count, 4);
    assert_string_equal(x->lines[3], "x");
    assert_int_equal(fake_load(&x->con.device, blob, size), 0);
    put(x, "y\n");
    assert_string_equal(x->lines[4], "xy");
    x->con.state.line[0] = '\n'; // nothing that a line can have
    x->con.state.line_bytes = 1;
    free(blob);
    blob = fake_save(&x->con.device, &size);
    assert_int_equal(fake_load(&x->con.device, blob, size), 0);
    put(x, "\n");
    assert_string_equal(x->lines[5], "?");
    free(blob);
}

// ---- physical presence ----

static void test_ppi(void **state) {
    struct fixture *x = *state;
    uint8_t config[TPM_PPI_CONFIG_BYTES];
    uint8_t *blob;
    size_t size;

    fake_mmio_write(x->m, TPM_PPI_GPA + 0x109, 4, 0x11223344); // no alignment is asked for
    assert_int_equal(fake_mmio_read(x->m, TPM_PPI_GPA + 0x10A, 2), 0x2233);
    assert_int_equal(fake_mmio_read(x->m, TPM_PPI_GPA + TPM_PPI_BYTES - 1, 1), 0);
    assert_int_equal(fake_mmio_read(x->m, TPM_PPI_GPA + TPM_PPI_BYTES - 1, 2), 0xFFFF);
    fake_reset(x->m, &x->ppi.device); // a request is for the firmware behind the reset
    assert_int_equal(fake_mmio_read(x->m, TPM_PPI_GPA + 0x109, 4), 0x11223344);
    blob = fake_save(&x->ppi.device, &size);
    fake_mmio_write(x->m, TPM_PPI_GPA + 0x108, 8, UINT64_MAX);
    assert_int_equal(fake_load(&x->ppi.device, blob, size), 0);
    assert_int_equal(fake_mmio_read(x->m, TPM_PPI_GPA + 0x108, 8), 0x1122334400);
    free(blob);
    tpm_ppi_config(config);
    assert_memory_equal(config, "\x00\x50\xD4\xFE\x02\x01", sizeof(config));
}

// ---- ACPI blobs ----

#define TABLES_GPA 0x7F000000u

static uint8_t sum(const uint8_t *bytes, size_t size) {
    uint8_t s = 0;

    while (size > 0) {
        s = (uint8_t)(s + bytes[--size]);
    }
    return s;
}

/// Carries the script out as firmware does: the blobs stand at addresses of its choice.
static void link_blobs(struct acpi_loader *l) {
    unsigned allocations = 0;

    for (size_t off = 0; off < l->script_bytes; off += ACPI_LOADER_COMMAND_BYTES) {
        const uint8_t *c = l->script + off;
        bool in_rsdp = strcmp((const char *)c + 4, ACPI_LOADER_RSDP_FILE) == 0;
        uint8_t *blob = in_rsdp ? l->rsdp : l->tables;
        size_t size = in_rsdp ? sizeof(l->rsdp) : l->tables_bytes;

        assert_true(in_rsdp || strcmp((const char *)c + 4, ACPI_LOADER_TABLES_FILE) == 0);
        if (load_le32(c) == ACPI_LOADER_ALLOCATE) {
            assert_int_equal(c[64], in_rsdp ? 2 : 1);
            allocations++;
        } else if (load_le32(c) == ACPI_LOADER_ADD_POINTER) {
            uint32_t at = load_le32(c + 116);

            assert_string_equal((const char *)c + 60, ACPI_LOADER_TABLES_FILE);
            assert_true(at + c[120] <= size);
            if (c[120] == 4) {
                assert_true(load_le32(blob + at) < l->tables_bytes);
                store_le32(blob + at, load_le32(blob + at) + TABLES_GPA);
            } else {
                assert_int_equal(c[120], 8);
                assert_true(load_le64(blob + at) < l->tables_bytes);
                store_le64(blob + at, load_le64(blob + at) + TABLES_GPA);
            }
        } else {
            uint32_t at = load_le32(c + 60), start = load_le32(c + 64), bytes = load_le32(c + 68);

            assert_int_equal(load_le32(c), ACPI_LOADER_ADD_CHECKSUM);
            assert_true(at < size && start + bytes <= size);
            blob[at] = (uint8_t)(blob[at] - sum(blob + start, bytes));
        }
    }
    assert_int_equal(allocations, 2);
}

/// Linked blobs are what acpi_tables_build() makes for the same address, byte for byte.
static void test_acpi_blobs(void **state) {
    static const struct acpi_config configs[] = {
        {.vp_count = 1, .pci_window = {0x80000000, 0xFC000000}},
        {.vp_count = 300,
         .pci_window = {0xC0000000, 0xFC000000},
         .has_tpm = true,
         .has_ppi = true}};
    static uint8_t direct[0x10000];
    static struct acpi_loader loader;
    size_t used;

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(configs); i++) {
        assert_int_equal(acpi_loader_build(&configs[i], &loader), 0);
        link_blobs(&loader);
        assert_int_equal(acpi_tables_build(&configs[i], TABLES_GPA - ACPI_TABLES_OFF, direct,
                                           sizeof(direct), &used),
                         0);
        assert_memory_equal(loader.rsdp, direct, ACPI_RSDP_BYTES);
        assert_int_equal(loader.tables_bytes, used - ACPI_TABLES_OFF);
        assert_memory_equal(loader.tables, direct + ACPI_TABLES_OFF, loader.tables_bytes);
    }
    assert_int_equal(acpi_loader_build(&(struct acpi_config){0}, &loader), -EINVAL);
}

// ---- SMBIOS ----

static void test_smbios(void **state) {
    struct smbios s;
    const uint8_t *at, *end;
    unsigned types = 0;

    (void)state;
    smbios_build("a version that is longer than thirty-two characters", &s);
    assert_memory_equal(s.anchor, "_SM3_", 5);
    assert_int_equal(s.anchor[6], SMBIOS_ANCHOR_BYTES);
    assert_int_equal(sum(s.anchor, SMBIOS_ANCHOR_BYTES), 0);
    assert_int_equal(load_le32(s.anchor + 12), s.tables_bytes);
    at = s.tables;
    end = s.tables + s.tables_bytes;
    while (at < end) { // structure, strings, empty string
        uint8_t type = at[0];

        at += at[1];
        if (type == 1) {
            assert_string_equal((const char *)at, "Parapet");
        }
        do {
            at += strlen((const char *)at) + 1;
        } while (*at != 0);
        at++;
        types |= type == 127 ? 0x80u : 1u << type;
    }
    assert_ptr_equal(at, end);
    assert_int_equal(types, 0x80 | 1 << 3 | 1 << 1);
    smbios_build("", &s);
    assert_int_equal(s.tables[6], 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_piix_functions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_piix_registers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_attach_rules, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reset_port, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_debugcon, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ppi, set_up, tear_down),
        cmocka_unit_test(test_acpi_blobs),
        cmocka_unit_test(test_smbios),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
