// SPDX-License-Identifier: MIT
//
// What is measured into the TPM at each power-on of a guest without firmware: events as text, which
// the supervisor hands over in a pipe and the TPM hashes into every bank (TPM2_PCR_Event). One
// event is a line: the PCR's number, a space, the text. Pure but for reading.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define VTPM_EVENT_MAX_BYTES 1024u ///< TPM2B_EVENT's
#define VTPM_EVENTS_MAX      16u
#define VTPM_EVENTS_BYTES    (VTPM_EVENTS_MAX * (VTPM_EVENT_MAX_BYTES + 8u))
#define VTPM_EVENT_PCRS      16u ///< the static ones

struct vtpm_event {
    uint32_t pcr;
    uint32_t text_bytes; ///< 1..VTPM_EVENT_MAX_BYTES
    const uint8_t *text; ///< in struct vtpm_events
};

struct vtpm_events {
    uint32_t count;
    struct vtpm_event events[VTPM_EVENTS_MAX];
    uint8_t bytes[VTPM_EVENTS_BYTES];
    size_t size_bytes;
};

/// Finds the events in events->bytes[0, size_bytes). -EINVAL when a line is none.
int vtpm_events_parse(struct vtpm_events *events);

/// Reads a pipe to its end and parses it; closes it. -EINVAL, -EFBIG, -EIO.
int vtpm_events_read(struct vtpm_events *events, int fd);
