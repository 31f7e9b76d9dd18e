// SPDX-License-Identifier: MIT
//
// A byte stream behind a serial port or console: the user's terminal, a file, a test's buffer.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct chardev;
struct chardev_ops {
    /// Takes up to size bytes, returns how many; fewer than size when full: then writable() is
    /// called later.
    size_t (*write)(struct chardev *c, const uint8_t *bytes, size_t size);
    /// Gives up to size bytes that have arrived, returns how many; 0 when none: readable() later.
    size_t (*read)(struct chardev *c, uint8_t *bytes, size_t size);
};

/// The device sets owner, readable and writable before the machine runs; both are called on
/// some loop's thread without locks held.
struct chardev {
    const struct chardev_ops *ops;
    void *owner;
    void (*readable)(void *owner);
    void (*writable)(void *owner);
};
