// SPDX-License-Identifier: MIT
//
// fw_cfg and the debug console from bytes: ports in every width, DMA requests with any control
// word, size and address, save, load, reset.
#include "devices/debugcon.h"
#include "devices/fw_cfg.h"

#include "igvm/base/bytes.h"
#include "igvm/base/check.h"
#include "tests/support/fake_machine.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fake_machine *m;
static struct fw_cfg fw;
static struct debugcon con;

static void check_line(void *ctx, const char *line) {
    (void)ctx;
    CHECK(line[0] != '\0' && strlen(line) < DEBUGCON_LINE_BYTES);
    for (; *line; line++) {
        CHECK(*line >= 0x20 && *line < 0x7F);
    }
}

static void save_and_load(struct device *device, struct fuzz_input *in) {
    size_t size;
    uint8_t *blob = fake_save(device, &size);

    CHECK(fake_load(device, blob, size) == 0);
    if (fuzz_u8(in) & 1) {
        blob[fuzz_u16(in) % size] = fuzz_u8(in);
        (void)fake_load(device, blob, size);
    }
    free(blob);
}

/// A request somewhere; its parts are likely to be sensible.
static void dma(struct fuzz_input *in) {
    uint64_t at = fuzz_u32(in) % (FAKE_RAM_END + 64);
    uint8_t bytes[FW_CFG_DMA_REQUEST_BYTES];
    uint32_t control = fuzz_u32(in);
    uint64_t target = fuzz_u8(in) & 1 ? fuzz_u64(in) : fuzz_u32(in) % FAKE_RAM_END;

    store_le32(bytes, __builtin_bswap32(control & (fuzz_u8(in) & 1 ? 0x003F001Fu : UINT32_MAX)));
    store_le32(bytes + 4, __builtin_bswap32(fuzz_u8(in) & 1 ? fuzz_u32(in) : fuzz_u16(in)));
    store_le64(bytes + 8, __builtin_bswap64(target));
    (void)guest_write(&m->gm, gpa(at), bytes, sizeof(bytes));
    if (fuzz_u8(in) & 1) {
        fake_pio_write(m, FW_CFG_DMA_PORT, 4, __builtin_bswap32(fuzz_u8(in) & 1));
    }
    fake_pio_write(m, FW_CFG_DMA_PORT + 4, 4, __builtin_bswap32((uint32_t)at));
}

static void step(struct fuzz_input *in) {
    static const uint8_t sizes[4] = {1, 2, 4, 8};
    uint8_t op = fuzz_u8(in);
    uint16_t port = (uint16_t)(FW_CFG_SELECTOR_PORT + (op >> 3) % 12);

    switch (op % 8) {
    case 0:
        fake_pio_write(m, port, sizes[op >> 6], fuzz_u32(in));
        break;
    case 1:
        (void)fake_pio_read(m, port, sizes[op >> 6]);
        break;
    case 2:
        fake_pio_write(m, FW_CFG_SELECTOR_PORT, 2, fuzz_u16(in) % 0x30);
        break;
    case 3:
    case 4:
        dma(in);
        break;
    case 5:
        fake_pio_write(m, DEBUGCON_PORT, 1, fuzz_u8(in));
        break;
    case 6:
        save_and_load(op & 8 ? &fw.device : &con.device, in);
        break;
    default:
        fake_reset(m, op & 8 ? &fw.device : &con.device);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {.bytes = data, .left = size};
    uint8_t probe[4];

    m = fake_machine_new();
    CHECK(fw_cfg_init(&fw, m->pio, &m->gm) == 0);
    CHECK(fw_cfg_add_file(&fw, "etc/small", "0123456789", 10) == 0);
    CHECK(fw_cfg_add_file(&fw, "etc/large", data, size < 4096 ? size : 4096) == 0);
    CHECK(debugcon_init(&con, m->pio, check_line, NULL) == 0);
    while (in.left > 0) {
        step(&in);
    }
    // Nothing that a guest does changes what the items say.
    fake_pio_write(m, FW_CFG_SELECTOR_PORT, 2, FW_CFG_SIGNATURE);
    for (unsigned i = 0; i < sizeof(probe); i++) {
        probe[i] = (uint8_t)fake_pio_read(m, FW_CFG_DATA_PORT, 1);
    }
    CHECK(memcmp(probe, "QEMU", 4) == 0);
    fw_cfg_destroy(&fw);
    fake_machine_free(m);
    return 0;
}
