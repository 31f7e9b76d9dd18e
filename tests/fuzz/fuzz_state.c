// SPDX-License-Identifier: MIT
//
// State blobs: any bytes either load or change nothing; what loaded saves and loads to the same.
#include "devices/state.h"

#include "igvm/base/check.h"
#include "igvm/base/types.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sample {
    uint8_t u8[3];
    uint16_t u16;
    uint32_t u32[2];
    uint64_t u64;
    uint8_t bytes[7];
};

static const struct state_field fields[] = {
    STATE_ARRAY(1, struct sample, u8, U8, 3, PUBLIC, 1, 9),
    STATE_SCALAR(2, struct sample, u16, U16, PUBLIC, 2, 0),
    STATE_ARRAY(3, struct sample, u32, U32, 2, GUEST, 3, 1000),
    STATE_SCALAR(4, struct sample, u64, U64, PUBLIC, 4, 0),
    STATE_BYTE_ARRAY(5, struct sample, bytes, 7, SECRET),
};
static const struct state_table table = {.name = "sample",
                                         .version = 1,
                                         .field_count = ARRAY_COUNT(fields),
                                         .struct_bytes = sizeof(struct sample),
                                         .fields = fields};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sample untouched;
    struct sample s;
    struct sample t;
    struct state_error error = {0};
    uint8_t blob[128];
    size_t used = 0;

    memset(&untouched, 0x5A, sizeof(untouched));
    s = untouched;
    if (state_load(&table, &s, data, size, &error) != 0) {
        CHECK(memcmp(&s, &untouched, sizeof(s)) == 0);
        CHECK(error.rule && error.off <= size);
        return 0;
    }
    CHECK(s.u8[0] <= 9 && s.u8[2] <= 9 && s.u32[1] <= 1000);
    CHECK(state_save(&table, &s, blob, sizeof(blob), &used) == 0);
    t = untouched; // padding included
    CHECK(state_load(&table, &t, blob, used, NULL) == 0);
    CHECK(memcmp(&s, &t, sizeof(s)) == 0);
    return 0;
}
