// SPDX-License-Identifier: MIT
//
// The configuration parser: as the measured text and as the host's. Whatever it accepts keeps its
// bounds and its strings end.
#include "userspace/config.h"

#include "igvm/base/check.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct config config;
    struct config_error error = {.text = ""};
    static const char measured[] = "{\"host_may_set\":[\"disks\",\"guest\"]}";

    config_defaults(&config);
    if (size > 0 && data[0] & 1) {
        CHECK(config_apply(&config, "measured", measured, sizeof(measured) - 1, false, &error) ==
              0);
    }
    if (config_apply(&config, "fuzz", (const char *)data, size, size > 0 && data[0] & 1, &error) ==
        0) {
        CHECK(config.disk_count <= CONFIG_MAX_DISKS);
        CHECK(config.host_path_count <= CONFIG_MAX_HOST_PATHS);
        CHECK(config.vps <= CONFIG_MAX_VPS);
        CHECK(memchr(config.command_line, 0, sizeof(config.command_line)) != NULL);
        for (uint32_t i = 0; i < CONFIG_MAX_DISKS; i++) {
            CHECK(memchr(config.disks[i].path, 0, CONFIG_PATH_BYTES) != NULL);
        }
        config_check(&config, "fuzz", &error);
    } else {
        CHECK(error.text[0] != '\0');
    }
    CHECK(memchr(error.text, 0, sizeof(error.text)) != NULL);
    return 0;
}
