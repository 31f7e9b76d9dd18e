// SPDX-License-Identifier: MIT
//
// Which keys a new variable store gets: the configuration's secure_boot.template and .keys.
#pragma once

#include "userspace/config.h"

/// Opens the file with the keys: /etc/uefi/TEMPLATE.json of the image, for "custom" the file that
/// secure_boot.keys names, if any. *fd is -1 when the template is "none". -EINVAL: the template is
/// no name; or open()'s error; a line in the log says which file.
int secure_boot_open_keys(const struct config *config, int *fd);
