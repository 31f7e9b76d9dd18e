// SPDX-License-Identifier: MIT
//
// The TPM CRB interface: every register at every access size, locality arbitration, a state that
// cannot be, garbage.
#include "tests/support/tpm_crb_fixture.h"

#include "igvm/base/types.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_registers_after_reset(void **state) {
    struct crb_fixture *f = *state;

    for (unsigned loc = 0; loc < 5; loc++) {
        for (unsigned off = 0; off < DATA; off += 4) {
            uint32_t want = 0;

            switch (off) {
            case LOC_STATE:
                want = 0x81;
                break;
            case INTF_ID:
                want = 1 | 1 << 4 | 1 << 8 | 3 << 11 | 1 << 14 | 1 << 17 | 1 << 19;
                break;
            case INTF_ID + 4:
                want = 0x00011414;
                break;
            case CTRL_STS:
                want = 2;
                break;
            case CMD_SIZE:
            case RSP_SIZE:
                want = 3968;
                break;
            case CMD_ADDR:
            case RSP_ADDR:
                want = (uint32_t)L(loc) + DATA;
                break;
            default:
                break;
            }
            assert_int_equal(crb_rd(f, loc, off), want);
            // The same by bytes, halves and quads.
            for (unsigned i = 0; i < 4; i++) {
                assert_int_equal(fake_mmio_read(f->m, L(loc) + off + i, 1), want >> (8 * i) & 0xFF);
            }
            assert_int_equal(fake_mmio_read(f->m, L(loc) + off + 2, 2), want >> 16);
            assert_int_equal(fake_mmio_read(f->m, L(loc) + off, 8),
                             crb_rd(f, loc, off) | (uint64_t)crb_rd(f, loc, off + 4) << 32);
        }
        assert_int_equal(crb_rd(f, loc, DATA), UINT32_MAX); // nobody's data
    }
}

static void test_read_only_and_reserved(void **state) {
    struct crb_fixture *f = *state;
    static const unsigned offs[] = {0x00, 0x04, 0x0C, 0x10, 0x14, 0x18, 0x20, 0x30,
                                    0x34, 0x38, 0x3C, 0x44, 0x50, 0x54, 0x58, 0x5C,
                                    0x60, 0x64, 0x68, 0x6C, 0x70, 0x74, 0x78, 0x7C};

    crb_wr(f, 0, LOC_CTRL, REQUEST);
    for (size_t i = 0; i < ARRAY_COUNT(offs); i++) {
        uint32_t before = crb_rd(f, 0, offs[i]);

        crb_wr(f, 0, offs[i], UINT32_MAX);
        assert_int_equal(crb_rd(f, 0, offs[i]), before);
    }
    assert_int_equal(crb_rd(f, 0, LOC_CTRL), 0);
}

static void test_access_sizes(void **state) {
    struct crb_fixture *f = *state;
    uint8_t want[64];

    crb_wr(f, 0, LOC_CTRL, REQUEST);
    fake_mmio_write(f->m, BASE + CTRL_REQ, 8, 1); // CTRL_STS behind it is read-only
    assert_int_equal(crb_rd(f, 0, CTRL_STS), 0);
    memset(want, 0, sizeof(want));
    for (unsigned size = 1; size <= 8; size *= 2) {
        for (unsigned off = 0; off + size <= sizeof(want); off++) {
            uint64_t v = 0x0123456789ABCDEFull * (off + size);

            v = size == 8 ? v : v & ((1ull << 8 * size) - 1);
            fake_mmio_write(f->m, BASE + DATA + off, (uint8_t)size, v);
            memcpy(want + off, &v, size);
            for (unsigned i = 0; i < sizeof(want); i++) {
                assert_int_equal(fake_mmio_read(f->m, BASE + DATA + i, 1), want[i]);
            }
            assert_int_equal(fake_mmio_read(f->m, BASE + DATA + off, (uint8_t)size), v);
        }
    }
    // Across the border between registers and data, and between two localities.
    fake_mmio_write(f->m, BASE + DATA - 4, 8, 0x1122334455667788);
    assert_int_equal(crb_rd(f, 0, DATA), 0x11223344);
    assert_int_equal(fake_mmio_read(f->m, BASE + DATA - 4, 8), 0x1122334400000000);
    fake_mmio_write(f->m, L(1) - 4, 8, 0xAABBCCDD);
    assert_int_equal(crb_rd(f, 0, 0xFFC), 0xAABBCCDD);
    assert_int_equal(fake_mmio_read(f->m, L(1) - 4, 8), 0x83AABBCCDDull);
    assert_int_equal(fake_mmio_read(f->m, L(1) - 1, 2), 0x83AA);
    assert_int_equal(fake_mmio_read(f->m, L(5) - 8, 8), UINT64_MAX);
    assert_int_equal(fake_mmio_read(f->m, L(5) - 4, 8), UINT64_MAX); // straddles: nobody's
    // A write that covers other bytes of a register does nothing to it.
    fake_mmio_write(f->m, BASE + CTRL_REQ + 1, 1, 0xFF);
    fake_mmio_write(f->m, BASE + CANCEL + 1, 1, 0xFF);
    assert_int_equal(crb_rd(f, 0, CANCEL), 0);
    fake_mmio_write(f->m, BASE + CANCEL, 1, 1);
    assert_int_equal(crb_rd(f, 0, CANCEL), 1);
    fake_mmio_write(f->m, BASE + CANCEL + 1, 2, 0);
    assert_int_equal(crb_rd(f, 0, CANCEL), 1);
    fake_mmio_write(f->m, BASE + CANCEL, 1, 0);
    assert_int_equal(crb_rd(f, 0, CANCEL), 0);
}

static void test_localities(void **state) {
    struct crb_fixture *f = *state;

    crb_wr(f, 0, LOC_CTRL, REQUEST);
    for (unsigned loc = 0; loc < 5; loc++) {
        assert_int_equal(crb_rd(f, loc, LOC_STATE), 0x83); // one register, seen everywhere
        assert_int_equal(crb_rd(f, loc, LOC_STS), loc == 0);
    }
    crb_wr(f, 1, LOC_CTRL, REQUEST); // wait
    crb_wr(f, 3, LOC_CTRL, REQUEST);
    crb_wr(f, 2, LOC_CTRL, REQUEST);
    crb_wr(f, 2, LOC_CTRL, RELINQUISH); // no longer
    assert_int_equal(crb_rd(f, 0, LOC_STATE), 0x83);
    crb_wr(f, 1, CTRL_REQ, 1); // not active: ignored
    assert_int_equal(crb_rd(f, 1, CTRL_STS), 2);
    crb_wr(f, 0, LOC_CTRL, RELINQUISH); // the highest that waits is next
    assert_int_equal(crb_rd(f, 0, LOC_STATE), 0x8F);
    assert_int_equal(crb_rd(f, 3, LOC_STS), 1);
    crb_start_command(f, 3, 12);
    assert_int_equal(f->tpm.locality, 3);
    fake_tpm_answer(&f->tpm, crb_ok_response, sizeof(crb_ok_response));
    assert_int_equal(crb_response_code(f, 3), 0);
    assert_int_equal(crb_rd(f, 1, DATA), UINT32_MAX); // the response is not locality 1's
    crb_wr(f, 3, LOC_CTRL, RELINQUISH);
    assert_int_equal(crb_rd(f, 0, LOC_STATE), 0x87);
    assert_int_equal(crb_rd(f, 1, DATA), 0); // and is gone
    crb_wr(f, 1, LOC_CTRL, RELINQUISH);
    assert_int_equal(crb_rd(f, 0, LOC_STATE), 0x81);
    crb_wr(f, 1, LOC_CTRL, REQUEST | RELINQUISH); // senseless
    crb_wr(f, 1, LOC_CTRL, 0xFFFFFFF8);
    assert_int_equal(crb_rd(f, 0, LOC_STATE), 0x81);
    crb_wr(f, 4, LOC_CTRL, REQUEST); // the chipset's
    crb_wr(f, 4, LOC_CTRL, SEIZE);
    assert_int_equal(crb_rd(f, 0, LOC_STATE), 0x81);
}

static void test_seize(void **state) {
    struct crb_fixture *f = *state;

    crb_wr(f, 1, LOC_CTRL, REQUEST);
    crb_wr(f, 0, LOC_CTRL, SEIZE); // lower: no
    crb_wr(f, 1, LOC_CTRL, SEIZE); // itself: no
    assert_int_equal(crb_rd(f, 0, LOC_STATE), 0x87);
    assert_int_equal(crb_rd(f, 1, LOC_STS), 1);
    crb_start_command(f, 1, 12);
    crb_wr(f, 2, LOC_CTRL, SEIZE);
    assert_int_equal(crb_rd(f, 1, LOC_STS), 2);
    assert_int_equal(crb_rd(f, 2, LOC_STS), 1);
    assert_int_equal(crb_rd(f, 2, LOC_STATE), 0x8B);
    assert_int_equal(crb_rd(f, 2, CTRL_STS), 2);
    assert_int_equal(crb_rd(f, 2, START), 0);
    assert_int_equal(f->tpm.cancel_count, 1);
    // A command of the new owner waits for the aborted one and then runs.
    crb_wr(f, 2, CTRL_REQ, 1);
    crb_put_command(f, 2, 0x8001, 20, 20);
    crb_wr(f, 2, START, 1);
    assert_int_equal(crb_rd(f, 2, START), 1);
    assert_int_equal(f->tpm.submit_count, 1);
    fake_tpm_answer(&f->tpm, crb_ok_response, sizeof(crb_ok_response)); // late: dropped
    assert_int_equal(f->tpm.submit_count, 2);
    assert_int_equal(f->tpm.command_bytes, 20);
    assert_int_equal(crb_rd(f, 2, START), 1);
    fake_tpm_answer(&f->tpm, crb_ok_response, sizeof(crb_ok_response));
    assert_int_equal(crb_rd(f, 2, START), 0);
    assert_int_equal(crb_response_code(f, 2), 0);
    // A waiting command can be cancelled.
    crb_wr(f, 2, LOC_CTRL, RELINQUISH);
    crb_wr(f, 0, LOC_CTRL, REQUEST);
    crb_start_command(f, 0, 12);
    crb_wr(f, 0, LOC_CTRL, RELINQUISH); // aborts
    crb_wr(f, 0, LOC_CTRL, REQUEST);
    crb_start_command(f, 0, 30);
    crb_wr(f, 0, CANCEL, 1);
    assert_int_equal(crb_rd(f, 0, START), 0);
    assert_int_equal(crb_response_code(f, 0), 0x909);
    fake_tpm_answer(&f->tpm, crb_ok_response, sizeof(crb_ok_response));
    assert_int_equal(crb_response_code(f, 0), 0x909);
    // beenSeized ends with the next grant.
    crb_wr(f, 3, LOC_CTRL, SEIZE);
    assert_int_equal(crb_rd(f, 0, LOC_STS), 2);
    crb_wr(f, 3, LOC_CTRL, RELINQUISH);
    crb_wr(f, 0, LOC_CTRL, REQUEST);
    assert_int_equal(crb_rd(f, 0, LOC_STS), 1);
}

static void test_load_refuses(void **state) {
    struct crb_fixture *f = *state;
    size_t size;
    uint8_t *blob;

    crb_wr(f, 0, LOC_CTRL, REQUEST);
    for (unsigned locality = 4; locality < 255; locality++) {
        f->crb.state.active_locality = (uint8_t)locality;
        blob = fake_save(&f->crb.device, &size);
        assert_int_equal(fake_load(&f->crb.device, blob, size), -EINVAL);
        free(blob);
    }
    f->crb.state.active_locality = TPM_CRB_NO_LOCALITY;
    f->crb.state.phase = TPM_CRB_RECEPTION; // nobody's command
    blob = fake_save(&f->crb.device, &size);
    assert_int_equal(fake_load(&f->crb.device, blob, size), -EINVAL);
    free(blob);
    state_reset(f->crb.device.ops->state, &f->crb.state);
}

/// Random accesses of every kind with a backend that answers at random.
static void test_garbage(void **state) {
    struct crb_fixture *f = *state;
    uint64_t x = 88172645463325252ull;

    for (unsigned i = 0; i < 200000; i++) {
        uint64_t off;
        uint8_t size;

        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        size = (uint8_t)(1u << (x & 3));
        off = (x >> 4) % 5 * 0x1000 + ((x >> 8 & 1) ? (x >> 9) % 0x90 : (x >> 9) % 0xFF8);
        if (x >> 40 & 1) {
            fake_mmio_write(f->m, BASE + off, size, 1ull << (x >> 41 & 3));
        } else {
            fake_mmio_read(f->m, BASE + off, size);
        }
        if (f->tpm.running && (x >> 48 & 7) == 0) {
            fake_tpm_answer(&f->tpm, crb_ok_response,
                            (x >> 52 & 1) ? (int64_t)sizeof(crb_ok_response) : -EIO);
        }
        assert_in_range(f->crb.state.phase, 0, TPM_CRB_COMPLETION);
        assert_true(f->crb.state.active_locality <= 3 || f->crb.state.active_locality == 0xFF);
        if (f->crb.state.phase == TPM_CRB_EXECUTION) {
            assert_true(f->tpm.running); // never a hang
        }
    }
    fake_reset(f->m, &f->crb.device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_registers_after_reset, crb_setup, crb_teardown),
        cmocka_unit_test_setup_teardown(test_read_only_and_reserved, crb_setup, crb_teardown),
        cmocka_unit_test_setup_teardown(test_access_sizes, crb_setup, crb_teardown),
        cmocka_unit_test_setup_teardown(test_localities, crb_setup, crb_teardown),
        cmocka_unit_test_setup_teardown(test_seize, crb_setup, crb_teardown),
        cmocka_unit_test_setup_teardown(test_load_refuses, crb_setup, crb_teardown),
        cmocka_unit_test_setup_teardown(test_garbage, crb_setup, crb_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
