// SPDX-License-Identifier: MIT
//
// fw_cfg: items and the directory by ports and by DMA, its limits, requests that cannot be carried
// out, reset and saved state.
#include "devices/fw_cfg.h"

#include "igvm/base/bytes.h"
#include "tests/support/fake_machine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define REQUEST 0x1000u
#define BUFFER  0x2000u

struct fixture {
    struct fake_machine *m;
    struct fw_cfg fw;
};

static int set_up(void **state) {
    struct fixture *x = calloc(1, sizeof(*x));

    x->m = fake_machine_new();
    assert_int_equal(fw_cfg_init(&x->fw, x->m->pio, &x->m->gm), 0);
    assert_int_equal(fw_cfg_add(&x->fw, FW_CFG_CPU_COUNT, "\x04", 2), 0);
    assert_int_equal(fw_cfg_add_file(&x->fw, "etc/first", "0123456789", 10), 0);
    assert_int_equal(fw_cfg_add_file(&x->fw, "etc/empty", "", 0), 0);
    *state = x;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *x = *state;

    fw_cfg_destroy(&x->fw);
    fake_machine_free(x->m);
    free(x);
    return 0;
}

static void pick(struct fixture *x, uint16_t key) {
    fake_pio_write(x->m, FW_CFG_SELECTOR_PORT, 2, key);
}

static uint8_t byte(struct fixture *x) {
    return (uint8_t)fake_pio_read(x->m, FW_CFG_DATA_PORT, 1);
}

static void bytes(struct fixture *x, void *out, size_t size) {
    for (size_t i = 0; i < size; i++) {
        ((uint8_t *)out)[i] = byte(x);
    }
}

/// Starts a request at REQUEST; returns what its control word says afterwards.
static uint32_t dma(struct fixture *x, uint32_t control, uint32_t size, uint64_t address) {
    uint8_t request[FW_CFG_DMA_REQUEST_BYTES];

    store_le32(request, __builtin_bswap32(control));
    store_le32(request + 4, __builtin_bswap32(size));
    store_le64(request + 8, __builtin_bswap64(address));
    assert_int_equal(guest_write(&x->m->gm, gpa(REQUEST), request, sizeof(request)), 0);
    fake_pio_write(x->m, FW_CFG_DMA_PORT, 4, 0);
    fake_pio_write(x->m, FW_CFG_DMA_PORT + 4, 4, __builtin_bswap32(REQUEST));
    assert_int_equal(guest_read(&x->m->gm, gpa(REQUEST), request, sizeof(request)), 0);
    return load_be32(request);
}

static void check_guest(struct fixture *x, uint64_t at, const void *wanted, size_t size) {
    uint8_t found[64];

    assert_int_equal(guest_read(&x->m->gm, gpa(at), found, size), 0);
    assert_memory_equal(found, wanted, size);
}

static void test_ports(void **state) {
    struct fixture *x = *state;
    uint8_t found[8];

    bytes(x, found, 4); // key 0 is selected at power-on
    assert_memory_equal(found, "QEMU", 4);
    assert_int_equal(byte(x), 0); // past the end
    pick(x, FW_CFG_ID);
    bytes(x, found, 4);
    assert_int_equal(load_le32(found), 3); // traditional interface and DMA
    pick(x, FW_CFG_CPU_COUNT | 0x4000);    // the old write channel selects the same item
    bytes(x, found, 2);
    assert_int_equal(load_le16(found), 4);
    pick(x, 0x8000 | FW_CFG_CPU_COUNT); // architecture's own items: none
    assert_int_equal(byte(x), 0);
    pick(x, 0x77);
    assert_int_equal(byte(x), 0);
    pick(x, FW_CFG_SIGNATURE);
    fake_pio_write(x->m, FW_CFG_DATA_PORT, 1, 0x55); // dropped
    assert_int_equal(byte(x), 'Q');
    assert_int_equal(fake_pio_read(x->m, FW_CFG_DMA_PORT, 4), __builtin_bswap32(0x51454D55));
    assert_int_equal(fake_pio_read(x->m, FW_CFG_DMA_PORT + 4, 4), __builtin_bswap32(0x20434647));
    assert_int_equal(fake_pio_read(x->m, FW_CFG_SELECTOR_PORT, 2), 0xFFFF);
    assert_int_equal(fake_pio_read(x->m, FW_CFG_DATA_PORT, 2), 0xFFFF);
}

static void test_directory(void **state) {
    struct fixture *x = *state;
    uint8_t entry[64];
    uint8_t count[4];

    pick(x, FW_CFG_FILE_DIR);
    bytes(x, count, 4);
    assert_int_equal(load_be32(count), 2);
    bytes(x, entry, sizeof(entry));
    assert_int_equal(load_be32(entry), 10);
    assert_int_equal(entry[4] << 8 | entry[5], FW_CFG_FILE_0);
    assert_int_equal(entry[6] | entry[7], 0);
    assert_string_equal((char *)entry + 8, "etc/first");
    bytes(x, entry, sizeof(entry));
    assert_int_equal(load_be32(entry), 0);
    assert_string_equal((char *)entry + 8, "etc/empty");
    assert_int_equal(byte(x), 0);
}

static void test_dma_reads(void **state) {
    struct fixture *x = *state;
    uint32_t choose = (uint32_t)FW_CFG_FILE_0 << 16 | FW_CFG_DMA_SELECT;

    assert_int_equal(dma(x, choose | FW_CFG_DMA_READ, 4, BUFFER), 0);
    check_guest(x, BUFFER, "0123", 4);
    assert_int_equal(dma(x, FW_CFG_DMA_SKIP, 3, 0), 0);
    assert_int_equal(dma(x, FW_CFG_DMA_READ, 6, BUFFER), 0); // three bytes and zeroes
    check_guest(x, BUFFER, "789\0\0\0", 6);
    assert_int_equal(dma(x, FW_CFG_DMA_READ, 0, 0), 0); // nothing anywhere
    assert_int_equal(dma(x, choose, 100, UINT64_MAX), 0);
    assert_int_equal(byte(x), '0'); // the ports go on in the same item
    assert_int_equal(dma(x, 0, 5, BUFFER), 0);
    assert_int_equal(byte(x), '1');
    // READ goes before WRITE and SKIP, as with QEMU's device.
    assert_int_equal(dma(x, FW_CFG_DMA_READ | FW_CFG_DMA_SKIP | FW_CFG_DMA_WRITE, 1, BUFFER), 0);
    check_guest(x, BUFFER, "2", 1);
    assert_int_equal(dma(x, FW_CFG_DMA_SKIP, UINT32_MAX, 0), 0); // the offset does not wrap
    assert_int_equal(dma(x, FW_CFG_DMA_SKIP, UINT32_MAX, 0), 0);
    assert_int_equal(byte(x), 0);
}

static void test_dma_crosses_regions(void **state) {
    struct fixture *x = *state;
    uint32_t choose = (uint32_t)FW_CFG_FILE_0 << 16 | FW_CFG_DMA_SELECT;

    assert_int_equal(dma(x, choose | FW_CFG_DMA_READ, 10, FAKE_RAM_BORDER - 5), 0);
    check_guest(x, FAKE_RAM_BORDER - 5, "0123456789", 10);
    assert_int_equal(dma(x, choose | FW_CFG_DMA_READ, 10, FAKE_HIGH_START), 0); // beyond 4 GiB
    check_guest(x, FAKE_HIGH_START, "0123456789", 10);
}

static void test_dma_refused(void **state) {
    struct fixture *x = *state;
    uint32_t choose = (uint32_t)FW_CFG_FILE_0 << 16 | FW_CFG_DMA_SELECT;

    assert_int_equal(guest_write(&x->m->gm, gpa(FAKE_RAM_END - 4), "keep", 4), 0);
    assert_int_equal(dma(x, choose | FW_CFG_DMA_READ, 10, FAKE_RAM_END - 4), FW_CFG_DMA_ERROR);
    check_guest(x, FAKE_RAM_END - 4, "keep", 4); // all or nothing
    assert_int_equal(byte(x), '0');              // the offset stays
    assert_int_equal(dma(x, choose | FW_CFG_DMA_READ, 10, UINT64_MAX - 2), FW_CFG_DMA_ERROR);
    assert_int_equal(dma(x, choose | FW_CFG_DMA_WRITE, 4, BUFFER), FW_CFG_DMA_ERROR);
    assert_int_equal(dma(x, choose | FW_CFG_DMA_READ, FW_CFG_DMA_MAX_BYTES + 1, BUFFER),
                     FW_CFG_DMA_ERROR);
    // A request that is no memory: nothing happens, the next one works.
    fake_pio_write(x->m, FW_CFG_DMA_PORT, 4, __builtin_bswap32(0x77));
    fake_pio_write(x->m, FW_CFG_DMA_PORT + 4, 4, 0);
    assert_int_equal(x->fw.dma_errors, 5);
    assert_int_equal(x->fw.state.dma_high, 0);
    assert_int_equal(dma(x, choose | FW_CFG_DMA_READ, 1, BUFFER), 0);
}

/// The outcome is written over the request, which may stand where the data goes.
static void test_dma_over_itself(void **state) {
    struct fixture *x = *state;
    uint32_t choose = (uint32_t)FW_CFG_FILE_0 << 16 | FW_CFG_DMA_SELECT;

    assert_int_equal(dma(x, choose | FW_CFG_DMA_READ, 10, REQUEST), 0);
    check_guest(x, REQUEST,
                "\0\0\0\0"
                "456789",
                10);
}

static void test_state(void **state) {
    struct fixture *x = *state;
    uint8_t *blob;
    size_t size;

    pick(x, FW_CFG_FILE_0);
    (void)byte(x);
    fake_pio_write(x->m, FW_CFG_DMA_PORT, 4, __builtin_bswap32(1));
    blob = fake_save(&x->fw.device, &size);
    fake_reset(x->m, &x->fw.device);
    assert_int_equal(byte(x), 'Q');
    assert_int_equal(x->fw.state.dma_high, 0);
    assert_int_equal(fake_load(&x->fw.device, blob, size), 0);
    assert_int_equal(x->fw.state.dma_high, 1);
    assert_int_equal(byte(x), '1');
    free(blob);
}

static void test_limits(void **state) {
    struct fixture *x = *state;
    char name[FW_CFG_NAME_BYTES + 1];
    static uint8_t large[FW_CFG_MAX_ITEM_BYTES + 1];

    memset(name, 'n', sizeof(name));
    name[FW_CFG_NAME_BYTES] = '\0';
    assert_int_equal(fw_cfg_add_file(&x->fw, name, "", 0), -EINVAL);
    name[FW_CFG_NAME_BYTES - 1] = '\0';
    assert_int_equal(fw_cfg_add_file(&x->fw, name, "", 0), 0);
    assert_int_equal(fw_cfg_add_file(&x->fw, "", "", 0), -EINVAL);
    assert_int_equal(fw_cfg_add(&x->fw, FW_CFG_ID, "", 0), -EEXIST);
    assert_int_equal(fw_cfg_add_file(&x->fw, "big", large, sizeof(large)), -EFBIG);
    while (x->fw.file_count < FW_CFG_MAX_FILES) {
        assert_int_equal(fw_cfg_add_file(&x->fw, "file", "", 0), 0);
    }
    assert_int_equal(fw_cfg_add_file(&x->fw, "more", "", 0), -ENOSPC);
    for (uint16_t key = 0x100; x->fw.item_count < FW_CFG_MAX_ITEMS; key++) {
        assert_int_equal(fw_cfg_add(&x->fw, key, "", 0), 0);
    }
    assert_int_equal(fw_cfg_add(&x->fw, 0x200, "", 0), -ENOSPC);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ports, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_directory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dma_reads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dma_crosses_regions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dma_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dma_over_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
