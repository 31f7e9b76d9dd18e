// SPDX-License-Identifier: MIT
//
// Between the files of the VM worker's end of the vTPM (vtpm_client.h).
#pragma once

#include "userspace/vtpm_client.h"

#define AREA "vtpm-client"

/// From now on nothing is sent and nothing believed; what is in flight ends. Nothing the second
/// time: what began since then is for the next process. With the lock held.
void vtpm_client_die(struct vtpm_client *c, const char *why);

/// What a read of incoming gave: a packet's size, 0 or -errno. With the lock held.
void vtpm_client_take_packet(struct vtpm_client *c, int64_t result);

static inline bool vtpm_client_is_awaited(const struct vtpm_pending *p) {
    return p->active && !p->finished;
}

/// Prepares what lives on the loop.
void vtpm_client_live_on(struct vtpm_client *c, struct loop *loop);

/// Does whatever is due. The one place from which anything happens on the loop.
void vtpm_client_step(void *client);
