// SPDX-License-Identifier: MIT
//
// Fuzz target: signature lists. Two values, cut at a place that the first two bytes name: each is
// checked; two good ones are put together, which must be good too, hold what both held, and not
// change when the second is appended once more.
#include "userspace/uefi/siglist.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

static bool holds(struct uefi_bytes value, const struct uefi_signature *wanted) {
    struct uefi_siglist_walk walk;
    struct uefi_signature found;

    uefi_siglist_begin(&walk, value);
    while (uefi_siglist_next(&walk, &found)) {
        if (found.type == wanted->type && found.whole.size_bytes == wanted->whole.size_bytes &&
            memcmp(found.whole.at, wanted->whole.at, found.whole.size_bytes) == 0) {
            return true;
        }
    }
    return false;
}

static void all_in(struct uefi_bytes part, struct uefi_bytes whole) {
    struct uefi_siglist_walk walk;
    struct uefi_signature signature;

    uefi_siglist_begin(&walk, part);
    while (uefi_siglist_next(&walk, &signature)) {
        require(holds(whole, &signature));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t room[0x4000], again[0x4000];
    struct uefi_bytes first, second, both, twice;
    size_t count, added;

    if (size < 2 || size > 0x2000) {
        return 0;
    }
    first = (struct uefi_bytes){data + 2, load_le16(data) % (size - 1)};
    second = (struct uefi_bytes){first.at + first.size_bytes, size - 2 - first.size_bytes};
    if (uefi_siglist_check(first, &count) != NULL || uefi_siglist_check(second, &added) != NULL) {
        return 0;
    }
    require(uefi_siglist_append(first, second, room, sizeof(room), &both, &added));
    require(both.size_bytes <= first.size_bytes + second.size_bytes);
    require(uefi_siglist_check(both, &count) == NULL);
    all_in(first, both);
    all_in(second, both);
    require(uefi_siglist_append(both, second, again, sizeof(again), &twice, &added));
    require(added == 0 && twice.size_bytes == both.size_bytes &&
            memcmp(room, again, both.size_bytes) == 0);
    return 0;
}
