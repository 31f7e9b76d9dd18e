// SPDX-License-Identifier: MIT
//
// Intercept messages and register pages of any content: decoded, carried out and finished. The work
// of one message is bounded, and only the guest's memory is touched.
#include "tests/support/vsm_machine.h"

#include "igvm/base/check.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_ACCESSES 2048u ///< a repeated instruction's elements, each split at a page

static struct vsm_test t;

static void take(void *out, size_t out_bytes, const uint8_t **data, size_t *size) {
    size_t bytes = out_bytes < *size ? out_bytes : *size;

    memcpy(out, *data, bytes);
    *data += bytes;
    *size -= bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t what = 0;

    vsm_test_init(&t);
    take(&what, 1, &data, &size);
    take(&t.vp.run->message, sizeof(t.vp.run->message), &data, &size);
    take(t.vp.run->gpr, sizeof(t.vp.run->gpr), &data, &size);
    if (what & 1) {
        take(t.vp.registers, 448, &data, &size); // all that has a meaning
        t.vp.registers->is_valid = 1;
    }
    take(t.ram, sizeof(t.ram), &data, &size);
    t.read_value = what * UINT64_C(0x0101010101010101);
    t.vp.extint_level = what & 2;
    vsm_test_deliver(&t);
    CHECK(t.access_count <= MAX_ACCESSES);
    if (t.exit.kind == VP_EXIT_MSR) {
        t.exit.msr.fault = what & 4;
    }
    (void)vsm_finish(&t.vp, &t.exit);
    CHECK(t.vp.pending == VP_EXIT_NONE);
    return 0;
}
