// SPDX-License-Identifier: MIT
//
// What every device has in common. A device struct has three labelled parts: fixed configuration,
// glue (interrupt line, backend, loop) and volatile guest-visible state; reset, save and load touch
// only the third.
#pragma once

#include "devices/state.h"

#include <pthread.h>

/// Called exactly once when a reset has finished; any thread.
typedef void (*device_reset_done_fn)(void *ctx);

struct device_ops {
    const struct state_table *state;

    /// Back to power-on state. Called with device.lock held and no VP running the guest; I/O in
    /// flight may exist: it is cancelled or awaited, nothing of it touches guest memory after done.
    /// done is called exactly once, at once or later from the device's loop.
    void (*reset)(void *self, device_reset_done_fn done, void *ctx);

    /// After state_load(): check what one field alone cannot say, derive what is not saved
    /// (interrupt level, timers). -EINVAL refuses the load. May be NULL.
    int (*after_load)(void *self);

    /// Takes no new work and lets what is in flight finish and reach the guest; done is called
    /// once, like reset's, when nothing is in flight. Called with device.lock held and no VP
    /// running the guest. Needed before a save; resume goes on (a loaded device runs without it).
    /// Both may be NULL: nothing to wait for.
    void (*pause)(void *self, device_reset_done_fn done, void *ctx);
    void (*resume)(void *self);

    /// Before state_save(): brings the described struct up to date (a timer's remaining time, rings
    /// of requests in flight). May be NULL.
    void (*before_save)(void *self);
};

/// Embedded in every device, registered with the machine.
struct device {
    const char *name; ///< unique in the machine: "com1", "virtio-blk0"
    const struct device_ops *ops;
    void *self;
    void *state; ///< object of ops->state
    pthread_mutex_t lock;
    struct device *next; ///< owned by the machine
};

/// Sets up the base part and the lock, and puts the state to its reset values.
void device_init(struct device *device, const char *name, const struct device_ops *ops, void *self,
                 void *state);
