// SPDX-License-Identifier: MIT
//
// Fuzzes devices/uefi_vars.c: register accesses of every shape, messages at any address, backends
// that fail, resets, saves and loads, in any order. A message that reaches the backend is whole and
// its rest is zero.

#include "devices/uefi_vars.h"
#include "igvm/base/bytes.h"
#include "igvm/base/check.h"
#include "tests/support/fake_machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int result; ///< what the backend gives

static int call(struct uefi_vars_backend *b, uint8_t *message, uint32_t size_bytes) {
    uint64_t length = load_le64(message + 16);

    (void)b;
    CHECK(size_bytes >= 24 && size_bytes <= UEFI_VARS_MAX_BYTES && length <= size_bytes - 24);
    for (size_t i = 24 + (size_t)length; i < UEFI_VARS_MAX_BYTES; i++) {
        CHECK(message[i] == 0);
    }
    memset(message, 0xCC, size_bytes); // a backend that answers too much, and its header too
    return result;
}

static int reset(struct uefi_vars_backend *b) {
    (void)b;
    return result;
}

/// Mostly the registers' own shapes.
static void access_device(struct fake_machine *m, struct fuzz_input *in) {
    static const uint8_t shapes[][2] = {{0, 2},  {2, 2},  {2, 2},  {4, 4},  {8, 4}, {12, 4},
                                        {16, 4}, {16, 8}, {24, 4}, {28, 4}, {16, 1}};
    uint8_t what = fuzz_u8(in);
    struct bus_access a = {.is_write = what & 0x80};

    if (what & 0x40) {
        a.offset = fuzz_u8(in);
        a.size = (uint8_t)(1u << (what & 3));
    } else {
        const uint8_t *shape = shapes[(what & 0x3F) % (sizeof(shapes) / sizeof(shapes[0]))];

        a.offset = shape[0];
        a.size = shape[1];
    }
    if (a.is_write) {
        a.value = a.offset == 2 ? fuzz_u8(in) % 6 : a.size > 4 ? fuzz_u64(in) : fuzz_u32(in);
        a.value &= a.size == 8 ? UINT64_MAX : (1ull << 8 * a.size) - 1;
    }
    a.offset += UEFI_VARS_GPA;
    bus_dispatch(m->mmio, &a);
}

/// A header in memory, and the device's buffer there.
static void place_message(struct fake_machine *m, struct uefi_vars *d, struct fuzz_input *in) {
    uint64_t at = fuzz_u32(in) % 0x210000;
    uint8_t header[24] = {0};

    store_le64(header + 16, fuzz_u8(in) & 1 ? fuzz_u16(in) : fuzz_u64(in));
    if (guest_write(&m->gm, (gpa_t){at}, header, sizeof(header)) == 0) {
        d->state.buffer_gpa = at;
    }
}

static void save_and_load(struct uefi_vars *d, struct fuzz_input *in) {
    size_t size_bytes;
    uint8_t *blob = fake_save(&d->device, &size_bytes);

    if (fuzz_u8(in) & 1) {
        blob[fuzz_u16(in) % size_bytes] ^= fuzz_u8(in);
    }
    fake_load(&d->device, blob, size_bytes);
    free(blob);
    if (d->state.offset > d->state.size_bytes) { // refused: the machine would reset it
        state_reset(d->device.ops->state, &d->state);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int results[] = {0, 0, 0, -ENOTSUP, -EMSGSIZE, -EIO};
    static struct uefi_vars device;
    struct uefi_vars_backend backend = {.call = call, .reset = reset};
    struct fuzz_input in = {.bytes = data, .left = size};
    struct fake_machine *m = fake_machine_new();

    result = 0;
    CHECK(uefi_vars_init(&device, &backend, &m->gm, size & 1, m->mmio) == 0);
    for (unsigned i = 0; in.left > 0 && i < 60; i++) {
        switch (fuzz_u8(&in) & 15) {
        case 0:
            fake_reset(m, &device.device);
            break;
        case 1:
            save_and_load(&device, &in);
            break;
        case 2:
            result = results[fuzz_u8(&in) % 6];
            break;
        case 3:
        case 4:
            place_message(m, &device, &in);
            break;
        default:
            access_device(m, &in);
            break;
        }
        CHECK(device.state.size_bytes <= UEFI_VARS_MAX_BYTES);
        CHECK(device.state.offset <= device.state.size_bytes);
    }
    fake_machine_free(m);
    return 0;
}
