// SPDX-License-Identifier: MIT
//
// The client's end of the vault's protocol (vault_client.h, vault_protocol.h): one request, one
// answer. What comes late, for a request that was given up or for the process that had the socket
// before, is known by its sequence number and dropped.
#include "userspace/vault_client.h"

#include "userspace/vault_protocol.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define MAX_STALE_ANSWERS 16u ///< a vault sends one answer to each request

/// Unlike any number of a process before this one: what is left in the socket is not for us.
static uint64_t next_sequence(void) {
    static _Atomic uint64_t last;
    uint64_t sequence = atomic_load(&last);
    struct timespec now = {0};

    if (sequence == 0) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        sequence = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    }
    atomic_store(&last, ++sequence);
    return sequence;
}

static int send_packet(int fd, const uint8_t *bytes, size_t size_bytes) {
    ssize_t n;

    do {
        n = send(fd, bytes, size_bytes, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        return -ETIMEDOUT;
    }
    return n == (ssize_t)size_bytes ? 0 : -EIO;
}

/// One exchange. bytes has VAULT_MESSAGE_MAX_BYTES + 1; *answer's payload points into it.
static int exchange(int fd, const struct vault_message *request, uint8_t *bytes,
                    struct vault_message *answer) {
    struct vault_message message = *request;
    size_t size_bytes;
    int r;

    message.sequence = next_sequence();
    size_bytes = vault_message_format(bytes, &message);
    r = send_packet(fd, bytes, size_bytes);
    for (unsigned i = 0; r == 0 && i < MAX_STALE_ANSWERS; i++) {
        ssize_t n = recv(fd, bytes, VAULT_MESSAGE_MAX_BYTES + 1, 0);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? -ETIMEDOUT : -EIO;
        }
        if (vault_message_parse(bytes, (size_t)n, VAULT_TO_CLIENT, answer) != 0) {
            return -EIO;
        }
        if (answer->sequence == message.sequence) {
            return answer->op == (message.op | 0x80) && answer->offset == message.offset
                       ? -(int)answer->status
                       : -EIO;
        }
    }
    return r == 0 ? -EIO : r;
}

int vault_read(int fd, void *out, size_t room_bytes, size_t *size_bytes) {
    uint8_t bytes[VAULT_MESSAGE_MAX_BYTES + 1];
    struct vault_message answer = {0};
    uint32_t done = 0, total = 1;

    while (done < total) {
        int r =
            exchange(fd, &(struct vault_message){.op = VAULT_READ, .offset = done}, bytes, &answer);

        if (r != 0) {
            return r;
        }
        if (answer.total > room_bytes) {
            return -ERANGE;
        }
        if (done != 0 && answer.total != total) {
            return -EIO;
        }
        total = answer.total;
        memcpy((uint8_t *)out + done, answer.payload, answer.payload_bytes); // ends before total
        done += (uint32_t)answer.payload_bytes;
    }
    explicit_bzero(bytes, sizeof(bytes));
    *size_bytes = total;
    return 0;
}

int vault_write(int fd, const void *bytes, size_t size_bytes) {
    uint8_t message[VAULT_MESSAGE_MAX_BYTES + 1];
    struct vault_message answer = {0};
    size_t done = 0;
    int r = 0;

    if (size_bytes == 0 || size_bytes > VAULT_FILE_MAX_BYTES) {
        return -EFBIG;
    }
    while (r == 0 && done < size_bytes) {
        size_t left = size_bytes - done;
        struct vault_message request = {
            .op = VAULT_WRITE,
            .total = (uint32_t)size_bytes,
            .offset = (uint32_t)done,
            .payload = (const uint8_t *)bytes + done,
            .payload_bytes = left < VAULT_PAYLOAD_MAX_BYTES ? left : VAULT_PAYLOAD_MAX_BYTES,
        };

        r = exchange(fd, &request, message, &answer);
        done += request.payload_bytes;
    }
    explicit_bzero(message, sizeof(message));
    return r;
}
