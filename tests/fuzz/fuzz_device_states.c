// SPDX-License-Identifier: MIT
//
// The blob of all devices' states: any bytes are checked, and loaded or refused; what the check
// refuses changes nothing, what loaded saves and loads to the same.
#include "devices/device_states.h"

#include "igvm/base/check.h"
#include "igvm/base/types.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct toy {
    uint32_t number; ///< odd ones are refused by after_load
    uint8_t limited; ///< at most 9
};

static const struct state_field fields[] = {
    STATE_SCALAR(1, struct toy, number, U32, PUBLIC, 2, 0),
    STATE_SCALAR(2, struct toy, limited, U8, PUBLIC, 1, 9),
};
static const struct state_table table = {.name = "toy",
                                         .version = 1,
                                         .field_count = ARRAY_COUNT(fields),
                                         .struct_bytes = sizeof(struct toy),
                                         .fields = fields};

static int after_load(void *self) {
    return ((struct toy *)self)->number & 1 ? -EINVAL : 0;
}

static const struct device_ops picky = {.state = &table, .after_load = after_load};
static const struct device_ops plain = {.state = &table};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct toy toys[2], before[2];
    struct device a, b;
    size_t saved_size = 0;
    uint8_t *saved;
    int checked, loaded;

    memset(toys, 0, sizeof(toys)); // padding included: they are compared as bytes
    device_init(&a, "a", &picky, &toys[0], &toys[0]);
    device_init(&b, "bb", &plain, &toys[1], &toys[1]);
    a.next = &b;
    memcpy(before, toys, sizeof(toys));

    checked = device_states_check(&a, data, size);
    CHECK(memcmp(before, toys, sizeof(toys)) == 0);
    loaded = device_states_load(&a, data, size);
    CHECK(checked == 0 || loaded == checked);
    CHECK(loaded == 0 || loaded == -EINVAL);
    CHECK(checked == 0 || memcmp(before, toys, sizeof(toys)) == 0);
    CHECK(!(toys[0].number & 1) && toys[0].limited <= 9 && toys[1].limited <= 9);
    if (loaded == 0) {
        memcpy(before, toys, sizeof(toys));
        saved = device_states_save(&a, &saved_size);
        CHECK(saved && device_states_load(&a, saved, saved_size) == 0);
        CHECK(memcmp(before, toys, sizeof(toys)) == 0);
        free(saved);
    }
    return 0;
}
