// SPDX-License-Identifier: MIT
//
// The RTC from bytes: port accesses, time, steps of the wall clock, save, load, reset; and its
// calendar arithmetic on any bytes.
#include "devices/rtc.h"
#include "devices/rtc_regs.h"
#include "devices/rtc_time.h"

#include "igvm/base/check.h"
#include "tests/support/fake_machine.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fake_machine *m;
static struct rtc rtc;
static uint64_t wall_base_ns;

static uint64_t wall_ns(void *ctx) {
    (void)ctx;
    return wall_base_ns + m->fl.now_ns;
}

static void save_and_load(struct fuzz_input *in) {
    size_t size;
    uint8_t *blob = fake_save(&rtc.device, &size);

    CHECK(fake_load(&rtc.device, blob, size) == 0);
    if (fuzz_u8(in) & 1) {
        blob[fuzz_u16(in) % size] = fuzz_u8(in);
        (void)fake_load(&rtc.device, blob, size);
    }
    free(blob);
}

/// What comes out of the calendar goes in again, whatever the bytes were.
static void calendar(struct fuzz_input *in) {
    uint8_t reg_b = fuzz_u8(in);
    struct rtc_bytes bytes = {.second = fuzz_u8(in),
                              .minute = fuzz_u8(in),
                              .hour = fuzz_u8(in),
                              .day = fuzz_u8(in),
                              .month = fuzz_u8(in),
                              .year = fuzz_u8(in),
                              .century = fuzz_u8(in)};
    struct rtc_alarm alarm = {.second = fuzz_u8(in), .minute = fuzz_u8(in), .hour = fuzz_u8(in)};
    int64_t time = rtc_decode(&bytes, reg_b);
    int64_t next = rtc_next_alarm(time, &alarm, reg_b);

    rtc_encode(time, reg_b, &bytes);
    CHECK(rtc_decode(&bytes, reg_b) == time);
    CHECK(next == INT64_MAX || (next > time && next <= time + 86400));
}

static void step(struct fuzz_input *in) {
    uint8_t op = fuzz_u8(in);

    switch (op % 8) {
    case 0:
    case 1:
        fake_pio_write(m, 0x70, 1, fuzz_u8(in));
        fake_pio_write(m, 0x71, 1, fuzz_u8(in));
        break;
    case 2:
        fake_pio_write(m, 0x70, 1, fuzz_u8(in));
        (void)fake_pio_read(m, 0x71, 1);
        break;
    case 3: // straight to the control registers
        fake_pio_write(m, 0x70, 1, 0x0A + op / 8 % 4);
        fake_pio_write(m, 0x71, 1, fuzz_u8(in));
        break;
    case 4:
        (void)fake_pio_read(m, 0x70 + op / 8 % 2, fuzz_u8(in));
        break;
    case 5: {
        unsigned raises = m->raise_count[8];

        CHECK(fake_loop_advance(&m->fl, (uint64_t)fuzz_u16(in) * 10000000));
        CHECK(m->raise_count[8] - raises <= 1); // nobody acknowledged meanwhile
        break;
    }
    case 6:
        if (op & 8) {
            wall_base_ns = fuzz_u32(in) * UINT64_C(1000000007);
        } else {
            calendar(in);
        }
        break;
    default:
        if (op & 8) {
            save_and_load(in);
        } else {
            fake_reset(m, &rtc.device);
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {.bytes = data, .left = size};
    struct rtc_config config;

    m = fake_machine_new();
    wall_base_ns = UINT64_C(1795266245000000000);
    config = (struct rtc_config){
        .pio = m->pio, .irq = fake_irq(m, 8), .loop = &m->fl.loop, .wall_ns = wall_ns};
    CHECK(rtc_init(&rtc, &config) == 0);
    while (in.left > 0) {
        step(&in);
        CHECK(fake_loop_run(&m->fl));
        CHECK(rtc.state.index < RTC_RAM_BYTES);
        CHECK(m->level[8] == ((rtc.state.reg_c & rtc.state.reg_b & RTC_C_FLAGS) != 0));
    }
    fake_machine_free(m);
    return 0;
}
