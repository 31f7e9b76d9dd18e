// SPDX-License-Identifier: MIT
//
// Unbinding and rebinding drivers through sysfs for the hostile guest.

#include "tests/guest/hostile.h"
#include "tests/guest/probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define VIRTIO_VENDOR    0x1af4
#define VIRTIO_CONSOLE   0x1043 ///< modern console; 0x1003 is the transitional one
#define VIRTIO_CONSOLE_T 0x1003
#define TPM_DRIVER       "/sys/bus/acpi/drivers/tpm_crb"

static bool write_text(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

static bool is_victim(const char *name) {
    char path[320];
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vendor", name);
    if (read_number(path, 0) != VIRTIO_VENDOR) {
        return false;
    }
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/device", name);
    long device = read_number(path, 0);
    return device != VIRTIO_CONSOLE && device != VIRTIO_CONSOLE_T;
}

unsigned victims_unbind(struct victim *victims, unsigned max) {
    unsigned count = 0;
    DIR *dir = opendir("/sys/bus/pci/devices");
    struct dirent *entry;
    while (dir && count < max && (entry = readdir(dir))) {
        unsigned domain, bus, slot, function;
        char path[320];
        if (sscanf(entry->d_name, "%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4 ||
            !is_victim(entry->d_name)) {
            continue;
        }
        snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver/unbind", entry->d_name);
        if (!write_text(path, entry->d_name)) {
            continue;
        }
        snprintf(victims[count].name, sizeof(victims[count].name), "%.15s", entry->d_name);
        count++;
    }
    if (dir) {
        closedir(dir);
    }
    return count;
}

int victim_config(const struct victim *victim) {
    char path[320];
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.15s/config", victim->name);
    return open(path, O_RDWR | O_CLOEXEC);
}

/// A virtio device that its driver has brought up says DRIVER_OK (4) and neither FAILED nor
/// NEEDS_RESET (virtio 1.2, 2.1).
static bool works(const char *name) {
    char path[320];
    bool ok = false;
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.15s", name);
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        if (strncmp(entry->d_name, "virtio", 6) == 0) {
            char status[600];
            snprintf(status, sizeof(status), "%s/%s/status", path, entry->d_name);
            ok = (read_number(status, 0) & 0xc4) == 0x04;
        }
    }
    if (dir) {
        closedir(dir);
    }
    return ok;
}

unsigned victims_rebind(const struct victim *victims, unsigned count) {
    unsigned good = 0;
    for (unsigned i = 0; i < count; i++) {
        write_text("/sys/bus/pci/drivers/virtio-pci/bind", victims[i].name);
    }
    for (unsigned i = 0; i < count; i++) {
        for (unsigned waited = 0; waited < 50 && !works(victims[i].name); waited++) {
            sleep_ms(100);
        }
        if (works(victims[i].name)) {
            good++;
        } else {
            fail("hostile-rebind", "%s does not come back", victims[i].name);
        }
    }
    return good;
}

static char tpm_name[64];

unsigned tpm_number(void) {
    for (unsigned i = 0; i < 8; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/sys/class/tpm/tpm%u", i);
        if (access(path, F_OK) == 0) {
            return i;
        }
    }
    return 0;
}

bool tpm_unbind(void) {
    DIR *dir = opendir(TPM_DRIVER);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        if (strncmp(entry->d_name, "MSFT0101", 8) == 0) {
            snprintf(tpm_name, sizeof(tpm_name), "%.63s", entry->d_name);
        }
    }
    if (dir) {
        closedir(dir);
    }
    return tpm_name[0] && write_text(TPM_DRIVER "/unbind", tpm_name);
}

bool tpm_rebind(void) {
    char path[32];
    if (!write_text(TPM_DRIVER "/bind", tpm_name)) {
        return false;
    }
    snprintf(path, sizeof(path), "/dev/tpm%u", tpm_number());
    return access(path, F_OK) == 0;
}
