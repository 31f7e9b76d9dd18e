// SPDX-License-Identifier: MIT
//
// The split ring walker on guest memory made of the input's bytes, which change between pops.
#include "devices/virtqueue.h"
#include "tests/support/fake_machine.h"

#include "igvm/base/check.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define RAM_BYTES 0x4000u
#define BORDER    0x2000u
#define SPANS     20u
#define MAX_POPS  64u

static uint8_t low[BORDER] __attribute__((aligned(4096)));
static uint8_t high[RAM_BYTES - BORDER] __attribute__((aligned(4096)));

static bool inside(const uint8_t *start, size_t size_bytes) {
    return (start >= low && start + size_bytes <= low + sizeof(low)) ||
           (start >= high && start + size_bytes <= high + sizeof(high));
}

/// What the walker promises about a chain.
static void check_chain(const struct virtqueue_chain *chain) {
    uint64_t readable = 0;
    uint64_t writable = 0;

    CHECK(chain->readable_count + chain->writable_count <= SPANS);
    for (uint32_t i = 0; i < chain->readable_count; i++) {
        CHECK(inside(chain->readable[i].iov_base, chain->readable[i].iov_len));
        readable += chain->readable[i].iov_len;
    }
    for (uint32_t i = 0; i < chain->writable_count; i++) {
        CHECK(inside(chain->writable[i].iov_base, chain->writable[i].iov_len));
        writable += chain->writable[i].iov_len;
    }
    CHECK(readable == chain->readable_bytes && writable == chain->writable_bytes);
    CHECK(readable + writable > 0);
}

static void use_chain(struct virtqueue *vq, struct virtqueue_chain *chain, struct fuzz_input *in) {
    uint8_t buffer[64];
    uint8_t what = fuzz_u8(in);

    if (what & 1) {
        virtqueue_chain_read(chain, buffer, what % sizeof(buffer));
    }
    if (what & 2) {
        virtqueue_chain_skip(chain, fuzz_u16(in));
    }
    if (what & 4) {
        CHECK(!virtqueue_chain_take_last(chain) || chain->writable_bytes + 1 > 0);
    }
    if (what & 8) {
        memset(buffer, what, sizeof(buffer));
        virtqueue_chain_write(chain, buffer, what % sizeof(buffer));
    }
    if (what & 16) {
        virtqueue_unpop(vq);
        return;
    }
    virtqueue_push(vq, chain->head, what);
    if (what & 32) {
        virtqueue_publish(vq);
    }
    if (what & 64) {
        virtqueue_enable_kicks(vq);
    }
    if (what & 128) {
        virtqueue_disable_kicks(vq);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct fuzz_input in = {.bytes = bytes, .left = size};
    struct guest_memory gm = {0};
    uint8_t flags = fuzz_u8(&in);
    struct virtqueue_config config = {
        .size = flags & 0x80 ? fuzz_u16(&in) : (uint16_t)(1u << (flags & 7)),
        .desc_gpa = gpa(flags & 0x40 ? fuzz_u64(&in) : 0),
        .avail_gpa = gpa(flags & 0x20 ? fuzz_u16(&in) : 0x1000),
        .used_gpa = gpa(flags & 0x10 ? fuzz_u16(&in) : 0x1800),
        .indirect = true,
        .event_idx = (flags & 8) != 0,
    };
    uint16_t start = fuzz_u16(&in);
    struct iovec spans[SPANS];
    struct virtqueue_chain chain = {.spans = spans, .capacity = SPANS};
    struct virtqueue vq;
    size_t content;

    CHECK(guest_memory_add(&gm, (struct gpa_range){0, BORDER}, low) == 0);
    CHECK(guest_memory_add(&gm, (struct gpa_range){BORDER, RAM_BYTES}, high) == 0);
    memset(low, 0, sizeof(low));
    memset(high, 0, sizeof(high));
    content = in.left / 2 < 0x1000 ? in.left / 2 : 0x1000; // descriptors
    memcpy(low, in.bytes, content);
    in.bytes += content;
    in.left -= content;
    if (virtqueue_init(&vq, &gm, &config, start, start)) {
        CHECK(vq.fault);
        return 0;
    }
    for (unsigned i = 0; i < MAX_POPS && in.left > 0; i++) {
        uint16_t at = fuzz_u16(&in) % (RAM_BYTES - 2);
        int got;

        // The driver moves its index by what the input says, and changes any other word.
        (void)guest_store_le16(&gm, gpa(at & ~1u), fuzz_u16(&in));
        (void)guest_store_le16(&gm, gpa(config.avail_gpa.value + 2),
                               (uint16_t)(vq.next_avail + fuzz_u8(&in)));
        got = virtqueue_pop(&vq, &chain);
        CHECK((got < 0) == (vq.fault != NULL));
        if (got < 0) {
            break;
        }
        if (got > 0) {
            check_chain(&chain);
            use_chain(&vq, &chain, &in);
        }
    }
    return 0;
}
