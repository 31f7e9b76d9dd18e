// SPDX-License-Identifier: MIT
//
// The bus against a model that is too simple to be wrong: an array of who owns each address.
#include "devices/bus.h"

#include "igvm/base/check.h"
#include "tests/support/fake_machine.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIMIT 256u

static uint8_t owner[LIMIT]; ///< region id + 1 of each address; 0: nobody
static uint8_t start_of[256];
static uint8_t called_id;
static uint64_t called_off;

static enum bus_result note(void *self, struct bus_access *access) {
    called_id = (uint8_t)((uintptr_t)self);
    called_off = access->offset;
    return BUS_OK;
}

static void add(struct bus *bus, uint8_t id, uint8_t start, uint16_t size_bytes) {
    struct bus_region region = {
        .start = start, .size_bytes = size_bytes, .fn = note, .self = (void *)(uintptr_t)id};
    bool fits = size_bytes > 0 && start + size_bytes <= (int)LIMIT;
    bool free_there = true;

    for (unsigned i = start; fits && i < (unsigned)start + size_bytes; i++) {
        free_there = free_there && owner[i] == 0;
    }
    CHECK((bus_add(bus, &region) == 0) == (fits && free_there));
    if (fits && free_there) {
        memset(owner + start, id, size_bytes);
        start_of[id] = start;
    }
}

static void remove_at(struct bus *bus, uint8_t start) {
    uint8_t id = owner[start];
    bool starts = id != 0 && start_of[id] == start;

    CHECK((bus_remove(bus, start) == 0) == starts);
    for (unsigned i = 0; starts && i < LIMIT; i++) {
        owner[i] = owner[i] == id ? 0 : owner[i];
    }
}

static void dispatch(struct bus *bus, uint64_t address, uint8_t size_bytes) {
    struct bus_access access = {.offset = address, .size = size_bytes};
    bool valid = size_bytes == 1 || size_bytes == 2 || size_bytes == 4 || size_bytes == 8;
    uint8_t id = address < LIMIT ? owner[address] : 0;
    bool expected = valid && id != 0 && address + size_bytes <= LIMIT;

    for (uint64_t i = address; expected && i < address + size_bytes; i++) {
        expected = owner[i] == id;
    }
    CHECK(bus_dispatch(bus, &access) == expected);
    CHECK(!expected || (called_id == id && called_off == address - start_of[id]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {.bytes = data, .left = size};
    struct bus *bus = bus_new("fuzz", LIMIT);
    uint8_t next_id = 1;

    memset(owner, 0, sizeof(owner));
    while (in.left > 0 && next_id < 255) {
        uint8_t op = fuzz_u8(&in);

        switch (op % 3) {
        case 0:
            add(bus, next_id++, fuzz_u8(&in), (uint16_t)(fuzz_u8(&in) % 40));
            break;
        case 1:
            remove_at(bus, fuzz_u8(&in));
            break;
        default:
            dispatch(bus, op & 0x80 ? fuzz_u64(&in) : fuzz_u8(&in), (uint8_t)(1u << (op >> 4) % 4));
            break;
        }
    }
    bus_free(bus);
    return 0;
}
