// SPDX-License-Identifier: MIT
//
// VTL0's kernel and initrd out of the memory where the host parked them: what is verified is a
// copy, the host's later changes do not reach it, and nothing passes with a wrong digest.
#include "userspace/payload.h"

#include <errno.h>
#include <mbedtls/sha512.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RAM_START    0x8000000ull
#define RAM_BYTES    (8u << 20)
#define KERNEL_BYTES ((3u << 20) + 123u) ///< more than a huge page, and no whole pages
#define INITRD_OFF   (4u << 20)
#define INITRD_BYTES 5000u

static struct config config;
static struct host_info info;
static struct guest_ram ram;
static struct payload payload;

static void digest(const struct host_payload *parked, uint8_t out[LINUX_LOADER_DIGEST_BYTES]) {
    uint8_t whole[64];
    const uint8_t *bytes = guest_ram_at(&ram, parked->start, parked->size_bytes);

    assert_int_equal(mbedtls_sha512(bytes, parked->size_bytes, whole, 1), 0);
    memcpy(out, whole, LINUX_LOADER_DIGEST_BYTES);
}

static int set_up(void **state) {
    uint8_t *bytes = malloc(RAM_BYTES);

    (void)state;
    assert_non_null(bytes);
    for (size_t i = 0; i < RAM_BYTES; i++) {
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    }
    ram = (struct guest_ram){.chunk_count = 1};
    ram.chunks[0].physical = (struct gpa_range){RAM_START, RAM_START + RAM_BYTES};
    ram.chunks[0].host = bytes;
    ram.chunks[0].size_bytes = RAM_BYTES;
    info = (struct host_info){
        .kernel = {.start = RAM_START, .size_bytes = KERNEL_BYTES, .has_digest = true},
        .initrd = {.start = RAM_START + INITRD_OFF, .size_bytes = INITRD_BYTES, .has_digest = true},
    };
    digest(&info.kernel, info.kernel.sha384);
    digest(&info.initrd, info.initrd.sha384);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    payload_free(&payload);
    free(ram.chunks[0].host);
    return 0;
}

static void test_copies(void **state) {
    uint8_t *parked = ram.chunks[0].host;
    uint8_t first = parked[0];

    (void)state;
    assert_int_equal(payload_load(&config, &info, &ram, &payload), 0);
    memset(parked, 0, RAM_BYTES); // the host, too late
    assert_int_equal(payload_check(&payload), 0);
    assert_int_equal(payload_check(&payload), 0); // joined once, true for ever
    assert_int_equal(payload.kernel.size_bytes, KERNEL_BYTES);
    assert_int_equal(payload.kernel.bytes[0], first);
    assert_int_not_equal(payload.initrd.bytes[INITRD_BYTES - 1], 0);
}

static void test_without_initrd(void **state) {
    (void)state;
    info.initrd.size_bytes = 0;
    assert_int_equal(payload_load(&config, &info, &ram, &payload), 0);
    assert_int_equal(payload_check(&payload), 0);
    assert_null(payload.initrd.bytes);
}

static void test_wrong_digests(void **state) {
    struct host_payload *files[] = {&info.kernel, &info.initrd};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        files[i]->sha384[47] ^= 1;
        assert_int_equal(payload_load(&config, &info, &ram, &payload), 0);
        assert_int_equal(payload_check(&payload), -EBADMSG);
        payload_free(&payload);
        files[i]->sha384[47] ^= 1;
    }
    assert_int_equal(payload_load(&config, &info, &ram, &payload), 0);
    payload_free(&payload); // before anybody asked
}

static void test_refused(void **state) {
    (void)state;
    info.initrd.has_digest = false; // the kernel's thread runs already
    assert_int_equal(payload_load(&config, &info, &ram, &payload), -EINVAL);
    payload_free(&payload);
    info.initrd.has_digest = true;
    info.initrd.start = RAM_START + RAM_BYTES - INITRD_BYTES + 1;
    assert_int_equal(payload_load(&config, &info, &ram, &payload), -EFAULT);
    payload_free(&payload);
    info.kernel.size_bytes = 0;
    assert_int_equal(payload_load(&config, &info, &ram, &payload), -ENOENT);
}

static void test_firmware(void **state) {
    (void)state;
    config.boot = CONFIG_BOOT_UEFI;
    assert_int_equal(payload_load(&config, &info, &ram, &payload), -ENOENT); // the image has none
    info.firmware = info.initrd;
    assert_int_equal(payload_load(&config, &info, &ram, &payload), -EINVAL); // no whole pages
    payload_free(&payload);
    info.firmware.size_bytes = 2 * PAGE_SIZE_4K;
    digest(&info.firmware, info.firmware.sha384);
    assert_int_equal(payload_load(&config, &info, &ram, &payload), 0);
    assert_int_equal(payload_check(&payload), 0);
    assert_int_equal(payload.firmware.size_bytes, 2 * PAGE_SIZE_4K);
    assert_null(payload.kernel.bytes); // firmware alone
    payload_free(&payload);
    info.firmware.sha384[0] ^= 1;
    assert_int_equal(payload_load(&config, &info, &ram, &payload), 0);
    assert_int_equal(payload_check(&payload), -EBADMSG);
    config.boot = CONFIG_BOOT_LINUX;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_copies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_initrd, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_digests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_firmware, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
