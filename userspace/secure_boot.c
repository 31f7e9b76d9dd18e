// SPDX-License-Identifier: MIT
//
// Secure Boot's keys in the image: see secure_boot.h.
#include "userspace/secure_boot.h"

#include "igvm/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define AREA "secure-boot"

int secure_boot_open_keys(const struct config *config, int *fd) {
    const char *name = config->secure_boot_template;
    char path[CONFIG_PATH_BYTES + CONFIG_NAME_BYTES];
    int rc;

    *fd = -1;
    if (strcmp(name, "none") == 0) {
        return 0;
    }
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL) {
        log_write(LOG_ERROR, AREA, "secure_boot.template: '%s' is no name", name);
        return -EINVAL;
    }
    if (strcmp(name, "custom") == 0 && config->secure_boot_keys[0] != '\0') {
        snprintf(path, sizeof(path), "%s", config->secure_boot_keys);
    } else {
        snprintf(path, sizeof(path), "/etc/uefi/%s.json", name);
    }
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0) {
        rc = -errno;
        log_write(LOG_ERROR, AREA, "the keys, %s: %s", path, strerror(-rc));
        return rc;
    }
    return 0;
}
