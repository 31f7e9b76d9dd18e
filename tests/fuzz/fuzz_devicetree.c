// SPDX-License-Identifier: MIT
//
// Fuzzes loader/host_tree.c: the host's device tree, as the shim reads it.

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "igvm/base/check.h"
#include "loader/host_tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size == 0 ? 1 : size); // exact and aligned, as the shim's private copy
    struct host_tree tree;
    const char *why;

    if (copy == NULL) {
        return 0;
    }
    memcpy(copy, data, size);
    if (host_tree_read(copy, size, &tree, &why) == 0 && tree.config != NULL) {
        CHECK((const uint8_t *)tree.config > copy);
        CHECK((const uint8_t *)tree.config + tree.config_bytes < copy + size);
        CHECK(strlen(tree.config) == tree.config_bytes);
    }
    free(copy);
    return 0;
}
