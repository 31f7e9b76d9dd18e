// SPDX-License-Identifier: MIT
//
// Events to be measured (vtpm_events.h).
#include "userspace/vtpm_events.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/// A line without its end. -EINVAL.
static int parse_line(const uint8_t *line, size_t size_bytes, struct vtpm_event *event) {
    size_t at = 0;

    event->pcr = 0;
    while (at < size_bytes && at < 2 && line[at] >= '0' && line[at] <= '9') {
        event->pcr = event->pcr * 10 + (uint32_t)(line[at] - '0');
        at++;
    }
    if (at == 0 || event->pcr >= VTPM_EVENT_PCRS || at + 1 >= size_bytes || line[at] != ' ' ||
        size_bytes - at - 1 > VTPM_EVENT_MAX_BYTES) {
        return -EINVAL;
    }
    event->text = line + at + 1;
    event->text_bytes = (uint32_t)(size_bytes - at - 1);
    return 0;
}

int vtpm_events_parse(struct vtpm_events *events) {
    size_t at = 0;

    events->count = 0;
    if (events->size_bytes > sizeof(events->bytes)) {
        return -EFBIG;
    }
    while (at < events->size_bytes) {
        const uint8_t *line = events->bytes + at;
        const uint8_t *end = memchr(line, '\n', events->size_bytes - at);

        if (end == NULL || events->count == VTPM_EVENTS_MAX ||
            parse_line(line, (size_t)(end - line), &events->events[events->count]) != 0) {
            events->count = 0;
            return -EINVAL;
        }
        events->count++;
        at += (size_t)(end - line) + 1;
    }
    return 0;
}

int vtpm_events_read(struct vtpm_events *events, int fd) {
    ssize_t n = 1;

    events->size_bytes = 0;
    while (n != 0 && events->size_bytes < sizeof(events->bytes)) {
        n = read(fd, events->bytes + events->size_bytes,
                 sizeof(events->bytes) - events->size_bytes);
        if (n < 0 && errno != EINTR) {
            close(fd);
            return -EIO;
        }
        events->size_bytes += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    return n == 0 ? vtpm_events_parse(events) : -EFBIG;
}
