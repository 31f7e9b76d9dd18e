// SPDX-License-Identifier: MIT
//
// ACPI fixed hardware from bytes: port accesses, time, power button, save, load, reset; and the
// table builder with any configuration.
#include "devices/acpi_pm.h"
#include "devices/acpi_tables.h"

#include "igvm/base/check.h"
#include "tests/support/fake_machine.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fake_machine *m;
static struct acpi_pm pm;

static void save_and_load(struct fuzz_input *in) {
    size_t size;
    uint8_t *blob = fake_save(&pm.device, &size);

    CHECK(fake_load(&pm.device, blob, size) == 0);
    if (fuzz_u8(in) & 1) {
        blob[fuzz_u16(in) % size] = fuzz_u8(in);
        (void)fake_load(&pm.device, blob, size);
    }
    free(blob);
}

static void tables(struct fuzz_input *in) {
    struct acpi_config config = {.vp_count = fuzz_u16(in),
                                 .pci_window = {fuzz_u32(in) & ~0xFFFu, fuzz_u32(in) & ~0xFFFu},
                                 .has_tpm = fuzz_u8(in) & 1,
                                 .tpm_log_bytes = fuzz_u16(in)};
    size_t capacity = fuzz_u16(in);
    uint8_t *out = malloc(capacity ? capacity : 1);
    size_t used = 0;
    int r = acpi_tables_build(&config, (uint64_t)fuzz_u16(in) * 64, out, capacity, &used);

    CHECK(r < 0 || (used > 0 && used <= capacity));
    free(out);
}

static void step(struct fuzz_input *in) {
    uint8_t op = fuzz_u8(in);
    static const uint8_t sizes[4] = {1, 2, 4, 8};

    switch (op % 8) {
    case 0:
    case 1:
    case 2:
        fake_pio_write(m, (uint16_t)(ACPI_PM_BASE + (op >> 3) % 12), sizes[op >> 6], fuzz_u32(in));
        break;
    case 3:
        (void)fake_pio_read(m, (uint16_t)(ACPI_PM_BASE + (op >> 3) % 12), sizes[op >> 6]);
        break;
    case 4:
        acpi_pm_press_power_button(&pm);
        break;
    case 5: {
        uint32_t before = fake_pio_read(m, ACPI_PM_TMR_PORT, 4);
        uint64_t ns = (uint64_t)fuzz_u16(in) * 15000000;
        uint32_t delta;

        CHECK(fake_loop_advance(&m->fl, ns));
        delta = fake_pio_read(m, ACPI_PM_TMR_PORT, 4) - before;
        CHECK(delta <= ns / 1000 * 3580 / 1000 + 1); // never faster than 3.58 MHz
        break;
    }
    case 6:
        tables(in);
        break;
    default:
        if (op & 8) {
            save_and_load(in);
        } else {
            fake_reset(m, &pm.device);
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {.bytes = data, .left = size};
    struct acpi_pm_config config;

    m = fake_machine_new();
    config = (struct acpi_pm_config){.pio = m->pio, .sci = fake_irq(m, 9), .loop = &m->fl.loop};
    CHECK(acpi_pm_init(&pm, &config) == 0);
    while (in.left > 0) {
        step(&in);
        CHECK(fake_loop_run(&m->fl));
        CHECK(m->level[9] == ((pm.state.pm1_sts & pm.state.pm1_en) != 0));
        CHECK(fake_pio_read(m, ACPI_PM_CNT_PORT, 2) & 1);
    }
    fake_machine_free(m);
    return 0;
}
