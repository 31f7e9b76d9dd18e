// SPDX-License-Identifier: MIT
//
// Which platform are we on? The first one that answers wins; the order is from the most to the
// least specific: where trust levels are offered, nested virtualisation may work as well.
#include "vtl2/vtl2.h"

#include <stdio.h>
#include <string.h>

static const struct vtl2_ops *const platforms[] = {&vtl2_vsm, &vtl2_kvm};

const struct vtl2_ops *vtl2_probe(const char **reason) {
    static char text[256];
    size_t used = 0;

    for (size_t i = 0; i < ARRAY_COUNT(platforms); i++) {
        int result = platforms[i]->probe();

        if (result == 0) {
            return platforms[i];
        }
        snprintf(text + used, sizeof(text) - used, "%s%s: %s", i == 0 ? "" : "; ",
                 platforms[i]->name, strerror(-result));
        used = strlen(text);
    }
    *reason = text;
    return NULL;
}
