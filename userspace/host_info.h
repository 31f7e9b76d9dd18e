// SPDX-License-Identifier: MIT
//
// What the boot shim tells userspace: the device tree node /parapet (loader/layout.h). The shim
// built it, but some values come from the host (host-config): sizes are bounded here, contents are
// checked where they are used.
#pragma once

#include "igvm/base/types.h"
#include "loader/layout.h"

#define HOST_INFO_MAX_RANGES       8u
#define HOST_INFO_MAX_CONFIG_BYTES 65536u

struct host_payload {
    uint64_t start;      ///< system-physical
    uint64_t size_bytes; ///< 0: the image has none
    bool has_digest;
    uint8_t sha384[SHIM_DIGEST_BYTES];
};

struct host_info {
    bool present; ///< false: no /parapet node, a plain Linux host
    char platform[16];
    char image_version[64];
    uint32_t vp_count;
    uint32_t vtl0_range_count, vtl2_range_count;
    struct gpa_range vtl0[HOST_INFO_MAX_RANGES]; ///< the guest's memory
    struct gpa_range vtl2[HOST_INFO_MAX_RANGES]; ///< our own
    struct gpa_range rom; ///< memory below 4 GiB for the guest's firmware; empty: none
    struct host_payload kernel, initrd, firmware;
    char *host_config; ///< owned, may be NULL; NUL-terminated
    size_t host_config_bytes;
};

/// Reads the node under folder (normally HOST_INFO_FOLDER). 0, also when there is none (present
/// false); -EINVAL when a property has an impossible size; errors of open and read. Free with
/// host_info_free.
int host_info_read(const char *folder, struct host_info *out);
void host_info_free(struct host_info *info);

#define HOST_INFO_FOLDER "/proc/device-tree/parapet"
