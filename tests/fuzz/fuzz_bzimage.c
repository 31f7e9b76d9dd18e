// SPDX-License-Identifier: MIT
//
// Fuzzes loader/bzimage.c and loader/linux_params.c: a kernel file's header, and what is made of
// it.

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "igvm/base/check.h"
#include "loader/bzimage.h"
#include "loader/linux_params.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct linux_boot_params params;
    struct bzimage_info info;
    struct linux_params_spec spec = {.image = &info, .load_gpa = 0x1000000, .cmdline_bytes = 1};
    uint64_t start, end;
    const char *why;

    if (bzimage_parse(data, size, &info, &why) != 0) {
        CHECK(why[0] != '\0');
        return 0;
    }
    CHECK(info.protected_mode_off + info.protected_mode_bytes == size);
    CHECK(info.protected_mode_off + info.entry64_off < size);
    CHECK(strlen(info.version_text) < sizeof(info.version_text));
    if (bzimage_run_range(&info, 0x1000000 + info.protected_mode_off, &start, &end) == 0) {
        CHECK(start % info.alignment_bytes == 0 && end > start);
    }
    CHECK(linux_params_build(&params, &spec, &why) == 0);
    return 0;
}
