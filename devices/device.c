// SPDX-License-Identifier: MIT
//
// The part that every device has in common.
#include "devices/device.h"

#include "igvm/base/check.h"

void device_init(struct device *device, const char *name, const struct device_ops *ops, void *self,
                 void *state) {
    *device = (struct device){.name = name, .ops = ops, .self = self, .state = state};
    CHECK(pthread_mutex_init(&device->lock, NULL) == 0); // fails only for attributes we do not use
    state_reset(ops->state, state);
}
