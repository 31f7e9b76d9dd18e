// SPDX-License-Identifier: MIT
//
// The TPM CRB interface against a fake backend: every register at every access size, the command
// state machine, locality arbitration, cancel, abort, reset and save with a command in flight, and
// a backend that is gone or answers nonsense. Section numbers: PTP 1.05.

#include "devices/tpm_crb.h"
#include "igvm/base/bytes.h"
#include "tests/support/fake_machine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BASE       TPM_CRB_GPA
#define L(n)       (BASE + (n)*0x1000ull)
#define LOC_STATE  0x00
#define LOC_CTRL   0x08
#define LOC_STS    0x0C
#define INTF_ID    0x30
#define CTRL_REQ   0x40
#define CTRL_STS   0x44
#define CANCEL     0x48
#define START      0x4C
#define CMD_SIZE   0x58
#define CMD_ADDR   0x5C
#define RSP_SIZE   0x64
#define RSP_ADDR   0x68
#define DATA       0x80
#define REQUEST    1
#define RELINQUISH 2
#define SEIZE      4

struct fake_tpm {
    struct tpm_backend backend;
    bool gone;
    bool running;
    uint8_t locality;
    uint8_t *buffer;
    uint8_t command[TPM_BUFFER_BYTES];
    size_t command_bytes;
    tpm_done_fn done;
    void *owner;
    unsigned cancel_count;
    unsigned submit_count;
    tpm_done_fn power_done;
    void *power_owner;
    unsigned power_count;
    struct loop_task power_task;
    struct loop *loop;
};

static int tpm_submit(struct tpm_backend *b, uint8_t locality, uint8_t *buffer,
                      size_t command_bytes, tpm_done_fn done, void *owner) {
    struct fake_tpm *tpm = (struct fake_tpm *)b;

    if (tpm->gone) {
        return -EIO;
    }
    if (tpm->running) {
        return -EBUSY;
    }
    assert_in_range(command_bytes, 10, TPM_CRB_DATA_BYTES);
    memcpy(tpm->command, buffer, command_bytes);
    tpm->running = true;
    tpm->locality = locality;
    tpm->buffer = buffer;
    tpm->command_bytes = command_bytes;
    tpm->done = done;
    tpm->owner = owner;
    tpm->submit_count++;
    return 0;
}

static void tpm_cancel(struct tpm_backend *b) {
    ((struct fake_tpm *)b)->cancel_count++;
}

static void answer(struct fake_tpm *tpm, const void *response, int64_t result) {
    assert_true(tpm->running);
    tpm->running = false;
    if (result > 0) {
        memcpy(tpm->buffer, response, (size_t)result);
    }
    tpm->done(tpm->owner, result);
}

/// As the real one: what runs ends first.
static void power_task(void *self) {
    struct fake_tpm *tpm = self;

    if (tpm->running) {
        static const uint8_t cancelled[] = {0x80, 1, 0, 0, 0, 10, 0, 0, 9, 9};

        answer(tpm, cancelled, sizeof(cancelled));
    }
    tpm->power_done(tpm->power_owner, 0);
}

static int tpm_power_cycle(struct tpm_backend *b, tpm_done_fn done, void *owner) {
    struct fake_tpm *tpm = (struct fake_tpm *)b;

    if (tpm->gone) {
        return -EIO;
    }
    tpm->power_done = done;
    tpm->power_owner = owner;
    tpm->power_count++;
    loop_post(tpm->loop, &tpm->power_task);
    return 0;
}

static const struct tpm_backend_ops fake_tpm_ops = {
    .submit = tpm_submit, .cancel = tpm_cancel, .power_cycle = tpm_power_cycle};

struct fixture {
    struct fake_machine *m;
    struct fake_tpm tpm;
    struct tpm_crb crb;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    struct tpm_crb_config config = {0};

    f->m = fake_machine_new();
    f->tpm.backend.ops = &fake_tpm_ops;
    f->tpm.loop = &f->m->fl.loop;
    f->tpm.power_task = (struct loop_task){.fn = power_task, .self = &f->tpm};
    config.backend = &f->tpm.backend;
    assert_int_equal(tpm_crb_init(&f->crb, &config, f->m->mmio), 0);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;

    pthread_mutex_destroy(&f->crb.device.lock);
    fake_machine_free(f->m);
    free(f);
    return 0;
}

static uint32_t rd(struct fixture *f, unsigned loc, unsigned off) {
    return (uint32_t)fake_mmio_read(f->m, L(loc) + off, 4);
}
static void wr(struct fixture *f, unsigned loc, unsigned off, uint32_t value) {
    fake_mmio_write(f->m, L(loc) + off, 4, value);
}

/// A command with this tag and size field, whose further bytes count up.
static void put_command(struct fixture *f, unsigned loc, uint16_t tag, uint32_t size,
                        uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++) {
        uint8_t b = (uint8_t)i;

        b = i < 2 ? (uint8_t)(tag >> (8 * (1 - i))) : b;
        b = i >= 2 && i < 6 ? (uint8_t)(size >> (8 * (5 - i))) : b;
        fake_mmio_write(f->m, L(loc) + DATA + i, 1, b);
    }
}

static void start_command(struct fixture *f, unsigned loc, uint32_t bytes) {
    wr(f, loc, CTRL_REQ, 1);
    put_command(f, loc, 0x8001, bytes, bytes);
    wr(f, loc, START, 1);
}

static uint32_t response_code(struct fixture *f, unsigned loc) {
    return __builtin_bswap32(rd(f, loc, DATA + 8) << 16 | rd(f, loc, DATA + 4) >> 16);
}

static const uint8_t ok_response[] = {0x80, 1, 0, 0, 0, 12, 0, 0, 0, 0, 0xAB, 0xCD};

static void test_registers_after_reset(void **state) {
    struct fixture *f = *state;

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
            assert_int_equal(rd(f, loc, off), want);
            // The same by bytes, halves and quads.
            for (unsigned i = 0; i < 4; i++) {
                assert_int_equal(fake_mmio_read(f->m, L(loc) + off + i, 1), want >> (8 * i) & 0xFF);
            }
            assert_int_equal(fake_mmio_read(f->m, L(loc) + off + 2, 2), want >> 16);
            assert_int_equal(fake_mmio_read(f->m, L(loc) + off, 8),
                             rd(f, loc, off) | (uint64_t)rd(f, loc, off + 4) << 32);
        }
        assert_int_equal(rd(f, loc, DATA), UINT32_MAX); // nobody's data
    }
}

static void test_read_only_and_reserved(void **state) {
    struct fixture *f = *state;
    static const unsigned offs[] = {0x00, 0x04, 0x0C, 0x10, 0x14, 0x18, 0x20, 0x30,
                                    0x34, 0x38, 0x3C, 0x44, 0x50, 0x54, 0x58, 0x5C,
                                    0x60, 0x64, 0x68, 0x6C, 0x70, 0x74, 0x78, 0x7C};

    wr(f, 0, LOC_CTRL, REQUEST);
    for (size_t i = 0; i < ARRAY_COUNT(offs); i++) {
        uint32_t before = rd(f, 0, offs[i]);

        wr(f, 0, offs[i], UINT32_MAX);
        assert_int_equal(rd(f, 0, offs[i]), before);
    }
    assert_int_equal(rd(f, 0, LOC_CTRL), 0);
}

static void test_command(void **state) {
    struct fixture *f = *state;

    wr(f, 0, LOC_CTRL, REQUEST);
    assert_int_equal(rd(f, 0, LOC_STATE), 0x83);
    assert_int_equal(rd(f, 0, LOC_STS), 1);
    wr(f, 0, DATA, 0x12345678); // idle: not taken
    assert_int_equal(rd(f, 0, DATA), 0);
    wr(f, 0, START, 1);
    assert_int_equal(rd(f, 0, START), 0);
    wr(f, 0, CTRL_REQ, 1);
    assert_int_equal(rd(f, 0, CTRL_REQ), 0);
    assert_int_equal(rd(f, 0, CTRL_STS), 0);
    wr(f, 0, START, 1); // ready, but there is no command
    assert_int_equal(rd(f, 0, START), 0);
    put_command(f, 0, 0x8002, 100, 120);
    wr(f, 0, START, 0);
    assert_int_equal(rd(f, 0, START), 0);
    wr(f, 0, START, 1);
    assert_int_equal(rd(f, 0, START), 1);
    assert_int_equal(f->tpm.submit_count, 1);
    assert_int_equal(f->tpm.command_bytes, 100);
    assert_int_equal(f->tpm.locality, 0);
    for (unsigned i = 6; i < 100; i++) {
        assert_int_equal(f->tpm.command[i], i);
    }
    // While it runs: no write, no transition, no second start.
    wr(f, 0, DATA, 0);
    assert_int_equal(rd(f, 0, DATA) & 0xFFFF, 0x0280);
    wr(f, 0, CTRL_REQ, 1);
    wr(f, 0, CTRL_REQ, 2);
    wr(f, 0, START, 1);
    assert_int_equal(rd(f, 0, START), 1);
    assert_int_equal(f->tpm.submit_count, 1);
    answer(&f->tpm, ok_response, sizeof(ok_response));
    assert_int_equal(rd(f, 0, START), 0);
    assert_int_equal(response_code(f, 0), 0);
    assert_int_equal(fake_mmio_read(f->m, BASE + DATA + 10, 2), 0xCDAB);
    for (unsigned i = 12; i < TPM_CRB_DATA_BYTES; i += 4) {
        assert_int_equal(rd(f, 0, DATA + i), 0); // the command's tail is gone
    }
    wr(f, 0, DATA, 1); // completion: the next command begins, without a rest of the response
    assert_int_equal(rd(f, 0, DATA), 1);
    assert_int_equal(rd(f, 0, DATA + 4), 0);
    wr(f, 0, CTRL_REQ, 2);
    assert_int_equal(rd(f, 0, CTRL_STS), 2);
    assert_int_equal(rd(f, 0, DATA), 0);
}

static void test_access_sizes(void **state) {
    struct fixture *f = *state;
    uint8_t want[64];

    wr(f, 0, LOC_CTRL, REQUEST);
    fake_mmio_write(f->m, BASE + CTRL_REQ, 8, 1); // CTRL_STS behind it is read-only
    assert_int_equal(rd(f, 0, CTRL_STS), 0);
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
    assert_int_equal(rd(f, 0, DATA), 0x11223344);
    assert_int_equal(fake_mmio_read(f->m, BASE + DATA - 4, 8), 0x1122334400000000);
    fake_mmio_write(f->m, L(1) - 4, 8, 0xAABBCCDD);
    assert_int_equal(rd(f, 0, 0xFFC), 0xAABBCCDD);
    assert_int_equal(fake_mmio_read(f->m, L(1) - 4, 8), 0x83AABBCCDDull);
    assert_int_equal(fake_mmio_read(f->m, L(1) - 1, 2), 0x83AA);
    assert_int_equal(fake_mmio_read(f->m, L(5) - 8, 8), UINT64_MAX);
    assert_int_equal(fake_mmio_read(f->m, L(5) - 4, 8), UINT64_MAX); // straddles: nobody's
    // A write that covers other bytes of a register does nothing to it.
    fake_mmio_write(f->m, BASE + CTRL_REQ + 1, 1, 0xFF);
    fake_mmio_write(f->m, BASE + CANCEL + 1, 1, 0xFF);
    assert_int_equal(rd(f, 0, CANCEL), 0);
    fake_mmio_write(f->m, BASE + CANCEL, 1, 1);
    assert_int_equal(rd(f, 0, CANCEL), 1);
    fake_mmio_write(f->m, BASE + CANCEL + 1, 2, 0);
    assert_int_equal(rd(f, 0, CANCEL), 1);
    fake_mmio_write(f->m, BASE + CANCEL, 1, 0);
    assert_int_equal(rd(f, 0, CANCEL), 0);
}

static void test_bad_headers(void **state) {
    struct fixture *f = *state;
    static const struct {
        uint16_t tag;
        uint32_t size;
        uint32_t rc;
        uint16_t response_tag;
    } cases[] = {
        {0x0000, 12, 0x01E, 0xC400},         {0x8003, 12, 0x01E, 0xC400},
        {0x0180, 12, 0x01E, 0xC400},         {0x8001, 0, 0x142, 0x0180},
        {0x8001, 9, 0x142, 0x0180},          {0x8002, 3969, 0x142, 0x0180},
        {0x8002, UINT32_MAX, 0x142, 0x0180}, {0x8001, 0x80000000, 0x142, 0x0180},
    };

    wr(f, 0, LOC_CTRL, REQUEST);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        wr(f, 0, CTRL_REQ, 1);
        put_command(f, 0, cases[i].tag, cases[i].size, 12);
        wr(f, 0, START, 1);
        assert_int_equal(rd(f, 0, START), 0);
        assert_int_equal(response_code(f, 0), cases[i].rc);
        assert_int_equal(rd(f, 0, DATA) & 0xFFFF, cases[i].response_tag);
        assert_int_equal(fake_mmio_read(f->m, BASE + DATA + 2, 4), 0x0A000000);
    }
    assert_int_equal(f->tpm.submit_count, 0);
    start_command(f, 0, 10); // smallest and largest
    assert_int_equal(f->tpm.command_bytes, 10);
    answer(&f->tpm, ok_response, sizeof(ok_response));
    start_command(f, 0, 3968);
    assert_int_equal(f->tpm.command_bytes, 3968);
    answer(&f->tpm, ok_response, sizeof(ok_response));
    assert_int_equal(response_code(f, 0), 0);
}

static void test_backend_nonsense(void **state) {
    struct fixture *f = *state;
    static uint8_t big[TPM_BUFFER_BYTES] = {0x80, 1, 0, 0, 0x0F, 0x81};
    static const uint8_t lying[] = {0x80, 1, 0, 0, 0, 13, 0, 0, 0, 0, 1, 2};

    wr(f, 0, LOC_CTRL, REQUEST);
    start_command(f, 0, 12);
    answer(&f->tpm, NULL, -EIO);
    assert_int_equal(response_code(f, 0), 0x101);
    start_command(f, 0, 12);
    answer(&f->tpm, ok_response, 9);
    assert_int_equal(response_code(f, 0), 0x101);
    start_command(f, 0, 12);
    answer(&f->tpm, NULL, 0);
    assert_int_equal(response_code(f, 0), 0x101);
    start_command(f, 0, 12);
    answer(&f->tpm, big, 3969);
    assert_int_equal(response_code(f, 0), 0x101);
    start_command(f, 0, 12);
    answer(&f->tpm, lying, sizeof(lying));
    assert_int_equal(response_code(f, 0), 0x101);
    f->tpm.gone = true;
    start_command(f, 0, 12);
    assert_int_equal(rd(f, 0, START), 0);
    assert_int_equal(response_code(f, 0), 0x101);
    fake_reset(f->m, &f->crb.device); // must end although nobody is there
    f->tpm.gone = false;
    f->crb.backend = NULL;
    wr(f, 0, LOC_CTRL, REQUEST);
    start_command(f, 0, 12);
    assert_int_equal(response_code(f, 0), 0x101);
    fake_reset(f->m, &f->crb.device);
}

static void test_cancel(void **state) {
    struct fixture *f = *state;

    wr(f, 0, LOC_CTRL, REQUEST);
    wr(f, 0, CTRL_REQ, 1);
    wr(f, 0, CANCEL, 1);
    assert_int_equal(f->tpm.cancel_count, 0);
    wr(f, 0, CANCEL, 0);
    start_command(f, 0, 12);
    wr(f, 0, CANCEL, 1);
    assert_int_equal(f->tpm.cancel_count, 1);
    assert_int_equal(rd(f, 0, CANCEL), 1);
    assert_int_equal(rd(f, 0, START), 1); // ends when the TPM says so
    answer(&f->tpm, ok_response, sizeof(ok_response));
    assert_int_equal(rd(f, 0, START), 0);
    wr(f, 0, CTRL_REQ, 1);
    assert_int_equal(rd(f, 0, CANCEL), 0);
}

static void test_localities(void **state) {
    struct fixture *f = *state;

    wr(f, 0, LOC_CTRL, REQUEST);
    for (unsigned loc = 0; loc < 5; loc++) {
        assert_int_equal(rd(f, loc, LOC_STATE), 0x83); // one register, seen everywhere
        assert_int_equal(rd(f, loc, LOC_STS), loc == 0);
    }
    wr(f, 1, LOC_CTRL, REQUEST); // wait
    wr(f, 3, LOC_CTRL, REQUEST);
    wr(f, 2, LOC_CTRL, REQUEST);
    wr(f, 2, LOC_CTRL, RELINQUISH); // no longer
    assert_int_equal(rd(f, 0, LOC_STATE), 0x83);
    wr(f, 1, CTRL_REQ, 1); // not active: ignored
    assert_int_equal(rd(f, 1, CTRL_STS), 2);
    wr(f, 0, LOC_CTRL, RELINQUISH); // the highest that waits is next
    assert_int_equal(rd(f, 0, LOC_STATE), 0x8F);
    assert_int_equal(rd(f, 3, LOC_STS), 1);
    start_command(f, 3, 12);
    assert_int_equal(f->tpm.locality, 3);
    answer(&f->tpm, ok_response, sizeof(ok_response));
    assert_int_equal(response_code(f, 3), 0);
    assert_int_equal(rd(f, 1, DATA), UINT32_MAX); // the response is not locality 1's
    wr(f, 3, LOC_CTRL, RELINQUISH);
    assert_int_equal(rd(f, 0, LOC_STATE), 0x87);
    assert_int_equal(rd(f, 1, DATA), 0); // and is gone
    wr(f, 1, LOC_CTRL, RELINQUISH);
    assert_int_equal(rd(f, 0, LOC_STATE), 0x81);
    wr(f, 1, LOC_CTRL, REQUEST | RELINQUISH); // senseless
    wr(f, 1, LOC_CTRL, 0xFFFFFFF8);
    assert_int_equal(rd(f, 0, LOC_STATE), 0x81);
    wr(f, 4, LOC_CTRL, REQUEST); // the chipset's
    wr(f, 4, LOC_CTRL, SEIZE);
    assert_int_equal(rd(f, 0, LOC_STATE), 0x81);
}

static void test_seize(void **state) {
    struct fixture *f = *state;

    wr(f, 1, LOC_CTRL, REQUEST);
    wr(f, 0, LOC_CTRL, SEIZE); // lower: no
    wr(f, 1, LOC_CTRL, SEIZE); // itself: no
    assert_int_equal(rd(f, 0, LOC_STATE), 0x87);
    assert_int_equal(rd(f, 1, LOC_STS), 1);
    start_command(f, 1, 12);
    wr(f, 2, LOC_CTRL, SEIZE);
    assert_int_equal(rd(f, 1, LOC_STS), 2);
    assert_int_equal(rd(f, 2, LOC_STS), 1);
    assert_int_equal(rd(f, 2, LOC_STATE), 0x8B);
    assert_int_equal(rd(f, 2, CTRL_STS), 2);
    assert_int_equal(rd(f, 2, START), 0);
    assert_int_equal(f->tpm.cancel_count, 1);
    // A command of the new owner waits for the aborted one and then runs.
    wr(f, 2, CTRL_REQ, 1);
    put_command(f, 2, 0x8001, 20, 20);
    wr(f, 2, START, 1);
    assert_int_equal(rd(f, 2, START), 1);
    assert_int_equal(f->tpm.submit_count, 1);
    answer(&f->tpm, ok_response, sizeof(ok_response)); // late: dropped
    assert_int_equal(f->tpm.submit_count, 2);
    assert_int_equal(f->tpm.command_bytes, 20);
    assert_int_equal(rd(f, 2, START), 1);
    answer(&f->tpm, ok_response, sizeof(ok_response));
    assert_int_equal(rd(f, 2, START), 0);
    assert_int_equal(response_code(f, 2), 0);
    // A waiting command can be cancelled.
    wr(f, 2, LOC_CTRL, RELINQUISH);
    wr(f, 0, LOC_CTRL, REQUEST);
    start_command(f, 0, 12);
    wr(f, 0, LOC_CTRL, RELINQUISH); // aborts
    wr(f, 0, LOC_CTRL, REQUEST);
    start_command(f, 0, 30);
    wr(f, 0, CANCEL, 1);
    assert_int_equal(rd(f, 0, START), 0);
    assert_int_equal(response_code(f, 0), 0x909);
    answer(&f->tpm, ok_response, sizeof(ok_response));
    assert_int_equal(response_code(f, 0), 0x909);
    // beenSeized ends with the next grant.
    wr(f, 3, LOC_CTRL, SEIZE);
    assert_int_equal(rd(f, 0, LOC_STS), 2);
    wr(f, 3, LOC_CTRL, RELINQUISH);
    wr(f, 0, LOC_CTRL, REQUEST);
    assert_int_equal(rd(f, 0, LOC_STS), 1);
}

static void test_reset_in_flight(void **state) {
    struct fixture *f = *state;

    wr(f, 0, LOC_CTRL, REQUEST);
    start_command(f, 0, 12);
    fake_reset(f->m, &f->crb.device); // the late answer comes inside
    assert_false(f->tpm.running);
    assert_int_equal(f->tpm.cancel_count, 1);
    assert_int_equal(f->tpm.power_count, 1);
    assert_int_equal(rd(f, 0, LOC_STATE), 0x81);
    assert_int_equal(rd(f, 0, CTRL_STS), 2);
    for (unsigned i = 0; i < TPM_CRB_DATA_BYTES; i++) {
        assert_int_equal(f->crb.state.data[i], 0);
    }
    wr(f, 0, LOC_CTRL, REQUEST);
    start_command(f, 0, 12);
    answer(&f->tpm, ok_response, sizeof(ok_response));
    assert_int_equal(response_code(f, 0), 0);
    fake_reset(f->m, &f->crb.device);
}

static void count(void *ctx) {
    ++*(unsigned *)ctx;
}

static void test_pause_save_load(void **state) {
    struct fixture *f = *state;
    unsigned paused = 0;
    size_t size;
    uint8_t *blob;

    wr(f, 0, LOC_CTRL, REQUEST);
    start_command(f, 0, 12);
    pthread_mutex_lock(&f->crb.device.lock);
    f->crb.device.ops->pause(&f->crb, count, &paused);
    pthread_mutex_unlock(&f->crb.device.lock);
    assert_int_equal(paused, 0);
    // In flight: a save now is against the rules, and its load gives a failure, not a hang.
    blob = fake_save(&f->crb.device, &size);
    answer(&f->tpm, ok_response, sizeof(ok_response));
    assert_int_equal(paused, 1);
    assert_int_equal(fake_load(&f->crb.device, blob, size), 0);
    assert_int_equal(rd(f, 0, START), 0);
    assert_int_equal(response_code(f, 0), 0x101);
    free(blob);

    wr(f, 2, LOC_CTRL, REQUEST);
    start_command(f, 0, 12);
    answer(&f->tpm, ok_response, sizeof(ok_response));
    pthread_mutex_lock(&f->crb.device.lock);
    f->crb.device.ops->pause(&f->crb, count, &paused);
    pthread_mutex_unlock(&f->crb.device.lock);
    assert_int_equal(paused, 2);
    blob = fake_save(&f->crb.device, &size);
    fake_reset(f->m, &f->crb.device);
    assert_int_equal(fake_load(&f->crb.device, blob, size), 0);
    assert_int_equal(rd(f, 0, LOC_STATE), 0x83);
    assert_int_equal(fake_mmio_read(f->m, BASE + DATA + 10, 2), 0xCDAB);
    wr(f, 0, LOC_CTRL, RELINQUISH);
    assert_int_equal(rd(f, 0, LOC_STATE), 0x8B);
    free(blob);
}

static void test_load_refuses(void **state) {
    struct fixture *f = *state;
    size_t size;
    uint8_t *blob;

    wr(f, 0, LOC_CTRL, REQUEST);
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
    struct fixture *f = *state;
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
            answer(&f->tpm, ok_response, (x >> 52 & 1) ? (int64_t)sizeof(ok_response) : -EIO);
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
        cmocka_unit_test_setup_teardown(test_registers_after_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_only_and_reserved, setup, teardown),
        cmocka_unit_test_setup_teardown(test_command, setup, teardown),
        cmocka_unit_test_setup_teardown(test_access_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_headers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backend_nonsense, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_localities, setup, teardown),
        cmocka_unit_test_setup_teardown(test_seize, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_in_flight, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pause_save_load, setup, teardown),
        cmocka_unit_test_setup_teardown(test_load_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
