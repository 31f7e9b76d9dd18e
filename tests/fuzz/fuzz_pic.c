// SPDX-License-Identifier: MIT
//
// The PICs from bytes: port accesses, lines, acknowledges, save, load, reset.
#include "devices/pic.h"

#include "igvm/base/check.h"
#include "tests/support/fake_machine.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fake_machine *m;
static struct pic pic;
static bool intr;

static const uint16_t ports[] = {0x20, 0x21, 0xA0, 0xA1, 0x4D0, 0x4D1};

static void set_intr(void *ctx, bool level) {
    (void)ctx;
    CHECK(level != intr);
    intr = level;
}

static void save_and_load(struct fuzz_input *in) {
    size_t size;
    uint8_t *blob = fake_save(&pic.device, &size);

    CHECK(fake_load(&pic.device, blob, size) == 0);
    if (fuzz_u8(in) & 1) {
        blob[fuzz_u16(in) % size] = fuzz_u8(in);
        (void)fake_load(&pic.device, blob, size);
    }
    free(blob);
}

/// An acknowledge gives a vector of one of the chips, exactly while INT is high.
static void acknowledge(void) {
    bool was_high = intr;
    int vector = pic_acknowledge(&pic);

    CHECK((vector >= 0) == was_high && vector < 256);
    CHECK(vector < 0 || (vector & 0xF8) == pic.state.icw2[0] ||
          (vector & 0xF8) == pic.state.icw2[1]);
}

static void step(struct fuzz_input *in) {
    uint8_t op = fuzz_u8(in);
    uint16_t port = ports[op / 8 % ARRAY_COUNT(ports)];

    switch (op % 8) {
    case 0:
    case 1:
        fake_pio_write(m, port, 1, fuzz_u8(in));
        break;
    case 2:
        (void)fake_pio_read(m, port, 1);
        break;
    case 3:
        fake_pio_write(m, port, op & 0x80 ? 4 : 2, fuzz_u16(in));
        (void)fake_pio_read(m, port, op & 0x80 ? 4 : 2);
        break;
    case 4:
    case 5:
        pic_set_line(&pic, op / 8, op & 1);
        break;
    case 6:
        acknowledge();
        break;
    default:
        if (op & 8) {
            save_and_load(in);
        } else {
            fake_reset(m, &pic.device);
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {.bytes = data, .left = size};
    struct pic_config config;

    m = fake_machine_new();
    intr = false;
    config = (struct pic_config){.pio = m->pio, .set_intr = set_intr, .level_lines = 0x0E20};
    CHECK(pic_init(&pic, &config) == 0);
    while (in.left > 0) {
        step(&in);
        CHECK(pic.intr == intr);
        CHECK((pic.state.elcr[0] & 0x07) == 0 && (pic.state.elcr[1] & 0x21) == 0);
    }
    fake_machine_free(m);
    return 0;
}
