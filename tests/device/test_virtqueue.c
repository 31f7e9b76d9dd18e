// SPDX-License-Identifier: MIT
//
// The split ring walker alone, on guest memory: what honest drivers do, and what hostile ones try.
#include "devices/virtqueue.h"
#include "igvm/base/bytes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RAM_BYTES  0x100000u
#define BORDER     0x80000u // two regions touch here
#define DESC       0x1000u
#define AVAIL      0x2000u
#define USED       0x3000u
#define DATA       0x10000u
#define TABLE      0x20000u
#define SIZE       8u
#define SPANS      16u
#define F_NEXT     1u
#define F_WRITE    2u
#define F_INDIRECT 4u

struct fixture {
    uint8_t *low, *high;
    struct guest_memory gm;
    struct virtqueue_config config;
    struct virtqueue vq;
    struct iovec spans[SPANS];
    struct virtqueue_chain chain;
    uint16_t avail_idx;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));

    f->low = aligned_alloc(4096, BORDER);
    f->high = aligned_alloc(4096, RAM_BYTES - BORDER);
    memset(f->low, 0, BORDER);
    memset(f->high, 0, RAM_BYTES - BORDER);
    assert_int_equal(guest_memory_add(&f->gm, (struct gpa_range){0, BORDER}, f->low), 0);
    assert_int_equal(guest_memory_add(&f->gm, (struct gpa_range){BORDER, RAM_BYTES}, f->high), 0);
    f->config = (struct virtqueue_config){.size = SIZE,
                                          .desc_gpa = gpa(DESC),
                                          .avail_gpa = gpa(AVAIL),
                                          .used_gpa = gpa(USED),
                                          .indirect = true};
    f->chain.spans = f->spans;
    f->chain.capacity = SPANS;
    assert_int_equal(virtqueue_init(&f->vq, &f->gm, &f->config, 0, 0), 0);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;

    free(f->low);
    free(f->high);
    free(f);
    return 0;
}

static void put_desc(struct fixture *f, uint64_t at, uint64_t addr, uint32_t len, uint16_t flags,
                     uint16_t next) {
    uint8_t bytes[16];

    store_le64(bytes, addr);
    store_le32(bytes + 8, len);
    store_le16(bytes + 12, flags);
    store_le16(bytes + 14, next);
    assert_int_equal(guest_write(&f->gm, gpa(at), bytes, 16), 0);
}

static void desc(struct fixture *f, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
                 uint16_t next) {
    put_desc(f, DESC + i * 16, addr, len, flags, next);
}

static void offer(struct fixture *f, uint16_t head) {
    guest_store_le16(&f->gm, gpa(AVAIL + 4 + (f->avail_idx % SIZE) * 2), head);
    guest_store_le16(&f->gm, gpa(AVAIL + 2), ++f->avail_idx);
}

static uint16_t word(struct fixture *f, uint64_t at) {
    uint16_t value;

    assert_int_equal(guest_load_le16(&f->gm, gpa(at), &value), 0);
    return value;
}

/// Offers head 0 and expects the queue to refuse it, for good.
static void refused(struct fixture *f, const char *rule) {
    offer(f, 0);
    assert_int_equal(virtqueue_pop(&f->vq, &f->chain), -EINVAL);
    assert_non_null(f->vq.fault);
    assert_string_equal(f->vq.fault, rule);
    assert_int_equal(virtqueue_pop(&f->vq, &f->chain), -EINVAL);
}

static void pops_a_chain(void **state) {
    struct fixture *f = *state;
    uint8_t bytes[64];

    assert_int_equal(virtqueue_pop(&f->vq, &f->chain), 0);
    desc(f, 3, DATA, 16, F_NEXT, 5);
    desc(f, 5, DATA + 0x100, 32, F_NEXT, 1);
    desc(f, 1, DATA + 0x200, 8, F_NEXT | F_WRITE, 0);
    desc(f, 0, DATA + 0x300, 1, F_WRITE, 77); // next is not looked at
    memset(f->low + DATA, 'a', 16);
    memset(f->low + DATA + 0x100, 'b', 32);
    offer(f, 3);
    assert_int_equal(virtqueue_pop(&f->vq, &f->chain), 1);
    assert_int_equal(f->chain.head, 3);
    assert_int_equal(f->chain.readable_count, 2);
    assert_int_equal(f->chain.readable_bytes, 48);
    assert_int_equal(f->chain.writable_count, 2);
    assert_int_equal(f->chain.writable_bytes, 9);
    assert_int_equal(virtqueue_chain_read(&f->chain, bytes, 20), 20);
    assert_memory_equal(bytes, "aaaaaaaaaaaaaaaabbbb", 20);
    assert_true(virtqueue_chain_skip(&f->chain, 4));
    assert_false(virtqueue_chain_skip(&f->chain, 25));
    assert_int_equal(virtqueue_chain_read(&f->chain, bytes, 64), 24);
    assert_int_equal(f->chain.readable_count, 0);
    assert_ptr_equal(virtqueue_chain_take_last(&f->chain), f->low + DATA + 0x300);
    assert_int_equal(f->chain.writable_count, 1);
    assert_int_equal(virtqueue_chain_write(&f->chain, "0123456789", 10), 8);
    assert_memory_equal(f->low + DATA + 0x200, "01234567", 8);
    assert_null(virtqueue_chain_take_last(&f->chain));
    assert_int_equal(virtqueue_pop(&f->vq, &f->chain), 0);
}

static void unpop_gives_it_again(void **state) {
    struct fixture *f = *state;

    desc(f, 2, DATA, 16, 0, 0);
    offer(f, 2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(virtqueue_pop(&f->vq, &f->chain), 1);
        assert_int_equal(f->chain.head, 2);
        virtqueue_unpop(&f->vq);
    }
}

static void used_ring_wraps(void **state) {
    struct fixture *f = *state;

    desc(f, 0, DATA, 16, F_WRITE, 0);
    assert_int_equal(virtqueue_init(&f->vq, &f->gm, &f->config, 0xFFFE, 0xFFFD), 0);
    f->avail_idx = 0xFFFE;
    for (unsigned i = 0; i < 5; i++) {
        uint64_t elem = USED + 4 + ((0xFFFDu + i) % SIZE) * 8;

        offer(f, 0);
        assert_int_equal(virtqueue_pop(&f->vq, &f->chain), 1);
        virtqueue_push(&f->vq, f->chain.head, 10 + i);
        assert_true(virtqueue_publish(&f->vq));
        assert_int_equal(word(f, USED + 2), (uint16_t)(0xFFFE + i));
        assert_int_equal(word(f, elem), 0);
        assert_int_equal(word(f, elem + 4), 10 + i);
    }
    assert_false(virtqueue_publish(&f->vq)); // nothing new
}

static void flags_suppress(void **state) {
    struct fixture *f = *state;

    desc(f, 0, DATA, 16, F_WRITE, 0);
    offer(f, 0);
    virtqueue_disable_kicks(&f->vq);
    assert_int_equal(word(f, USED), 1);
    assert_int_equal(virtqueue_pop(&f->vq, &f->chain), 1);
    guest_store_le16(&f->gm, gpa(AVAIL), 1); // VIRTQ_AVAIL_F_NO_INTERRUPT
    virtqueue_push(&f->vq, 0, 0);
    assert_false(virtqueue_publish(&f->vq));
    assert_int_equal(word(f, USED + 2), 1); // visible all the same
    assert_false(virtqueue_enable_kicks(&f->vq));
    assert_int_equal(word(f, USED), 0);
    offer(f, 0);
    assert_true(virtqueue_enable_kicks(&f->vq)); // came meanwhile
}

static void event_index(void **state) {
    struct fixture *f = *state;
    uint64_t used_event = AVAIL + 4 + SIZE * 2;
    uint64_t avail_event = USED + 4 + SIZE * 8;

    f->config.event_idx = true;
    assert_int_equal(virtqueue_init(&f->vq, &f->gm, &f->config, 0, 0), 0);
    desc(f, 0, DATA, 16, F_WRITE, 0);
    guest_store_le16(&f->gm, gpa(AVAIL), 1); // flags do not count now
    guest_store_le16(&f->gm, gpa(used_event), 2);
    for (unsigned i = 0; i < 5; i++) {
        offer(f, 0);
        assert_int_equal(virtqueue_pop(&f->vq, &f->chain), 1);
        assert_false(virtqueue_enable_kicks(&f->vq));
        assert_int_equal(word(f, avail_event), i + 1);
        virtqueue_push(&f->vq, 0, 0);
        assert_int_equal(virtqueue_publish(&f->vq), i == 2); // when entry 2 is used
    }
    guest_store_le16(&f->gm, gpa(used_event), 6);
    for (unsigned i = 0; i < 3; i++) { // several in one batch pass the event
        virtqueue_push(&f->vq, 0, 0);
    }
    assert_true(virtqueue_publish(&f->vq));
    virtqueue_disable_kicks(&f->vq);
    assert_int_equal(word(f, USED), 0);
}

static void spans_cross_a_region_border(void **state) {
    struct fixture *f = *state;

    desc(f, 0, BORDER - 8, 16, F_NEXT, 1);
    desc(f, 1, BORDER - 16, 32, F_WRITE, 0);
    offer(f, 0);
    assert_int_equal(virtqueue_pop(&f->vq, &f->chain), 1);
    assert_int_equal(f->chain.readable_count, 2);
    assert_int_equal(f->chain.writable_count, 2);
    assert_ptr_equal(f->chain.writable[1].iov_base, f->high);
}

static void indirect_tables(void **state) {
    struct fixture *f = *state;

    put_desc(f, TABLE + 8, DATA, 16, F_NEXT, 2); // need not be aligned
    put_desc(f, TABLE + 8 + 32, DATA + 64, 16, F_WRITE, 9);
    desc(f, 0, DATA + 128, 4, F_NEXT, 1); // 2.7.5.3.2: direct ones may come first
    desc(f, 1, TABLE + 8, 48, F_INDIRECT | F_WRITE, 0);
    offer(f, 0);
    assert_int_equal(virtqueue_pop(&f->vq, &f->chain), 1);
    assert_int_equal(f->chain.readable_bytes, 20);
    assert_int_equal(f->chain.writable_bytes, 16);
}

static void bad_configuration(void **state) {
    struct fixture *f = *state;
    struct virtqueue_config bad[12];

    for (unsigned i = 0; i < 12; i++) {
        bad[i] = f->config;
    }
    bad[0].size = 0;
    bad[1].size = 3;
    bad[2].size = VIRTQUEUE_MAX_SIZE * 2;
    bad[3].size = 0x8000;
    bad[4].desc_gpa = gpa(DESC + 8);
    bad[5].avail_gpa = gpa(AVAIL + 1);
    bad[6].used_gpa = gpa(USED + 2);
    bad[7].desc_gpa = gpa(RAM_BYTES - 16);
    bad[8].avail_gpa = gpa(UINT64_MAX - 1);
    bad[9].used_gpa = gpa(UINT64_MAX - 3);
    bad[10].desc_gpa = gpa(UINT64_MAX - 15);
    bad[11].used_gpa = gpa(BORDER - 16); // a ring lies in one region
    for (unsigned i = 0; i < 12; i++) {
        assert_int_equal(virtqueue_init(&f->vq, &f->gm, &bad[i], 0, 0), -EINVAL);
        assert_non_null(f->vq.fault);
        assert_int_equal(virtqueue_pop(&f->vq, &f->chain), -EINVAL);
        assert_false(virtqueue_enable_kicks(&f->vq));
    }
}

static void hostile_self_link(void **state) {
    desc(*state, 0, DATA, 16, F_NEXT, 0);
    refused(*state, "loop in the descriptor table");
}

static void hostile_long_loop(void **state) {
    for (unsigned i = 0; i < SIZE; i++) {
        desc(*state, i, DATA, 1, F_NEXT, (uint16_t)((i + 1) % SIZE));
    }
    refused(*state, "loop in the descriptor table");
}

static void hostile_head(void **state) {
    struct fixture *f = *state;

    offer(f, SIZE);
    assert_int_equal(virtqueue_pop(&f->vq, &f->chain), -EINVAL);
    assert_string_equal(f->vq.fault, "descriptor index beyond the table");
}

static void hostile_next(void **state) {
    desc(*state, 0, DATA, 16, F_NEXT, 0xFFFF);
    refused(*state, "descriptor index beyond the table");
}

static void hostile_index_jump(void **state) {
    struct fixture *f = *state;

    f->avail_idx = SIZE; // one more than fits after the next offer
    refused(f, "available index runs ahead by more than the queue");
}

static void hostile_address(void **state) {
    desc(*state, 0, RAM_BYTES - 8, 16, 0, 0);
    refused(*state, "buffer not in RAM");
}

static void hostile_address_wraps(void **state) {
    desc(*state, 0, UINT64_MAX - 8, 16, 0, 0);
    refused(*state, "buffer not in RAM");
}

static void hostile_zero_length(void **state) {
    desc(*state, 0, DATA, 0, 0, 0);
    refused(*state, "buffer of zero bytes");
}

static void hostile_order(void **state) {
    desc(*state, 0, DATA, 16, F_WRITE | F_NEXT, 1);
    desc(*state, 1, DATA, 16, 0, 0);
    refused(*state, "readable buffer after a writable one");
}

static void hostile_total(void **state) {
    struct fixture *f = *state;
    static uint8_t host[4096] __attribute__((aligned(4096)));
    struct guest_memory big = {.region_count = 1};

    // A region as large as the sum must be; nothing touches the bytes.
    big.regions[0] = (struct guest_region){{0x100000000ull, 0x300000000ull}, host};
    f->gm.regions[2] = big.regions[0];
    f->gm.region_count = 3;
    desc(f, 0, 0x100000000ull, UINT32_MAX, F_NEXT, 1);
    desc(f, 1, 0x100000000ull, 1, 0, 0);
    refused(f, "chain of more than 4 GiB");
}

static void hostile_too_many(void **state) {
    struct fixture *f = *state;

    for (unsigned i = 0; i < SPANS + 1; i++) {
        put_desc(f, TABLE + i * 16, DATA, 1, F_NEXT, (uint16_t)(i + 1));
    }
    desc(f, 0, TABLE, (SPANS + 1) * 16, F_INDIRECT, 0);
    refused(f, "more buffers than announced");
}

static void hostile_indirect(void **state) {
    struct fixture *f = *state;
    static const struct {
        uint64_t addr;
        uint32_t len;
        uint16_t flags;
        const char *rule;
    } cases[] = {
        {TABLE, 0, F_INDIRECT, "indirect table size"},
        {TABLE, 15, F_INDIRECT, "indirect table size"},
        {TABLE, 17, F_INDIRECT, "indirect table size"},
        {TABLE, (VIRTQUEUE_MAX_INDIRECT + 1) * 16, F_INDIRECT, "indirect table size"},
        {TABLE, UINT32_MAX & ~15u, F_INDIRECT, "indirect table size"},
        {TABLE, 16, F_INDIRECT | F_NEXT, "descriptor after an indirect table"},
        {RAM_BYTES - 16, 32, F_INDIRECT, "indirect table not in RAM"},
        {UINT64_MAX - 15, 16, F_INDIRECT, "indirect table not in RAM"},
        {TABLE, 16, F_INDIRECT, "nested indirect table"},
        {TABLE + 0x1000, 32, F_INDIRECT, "loop in an indirect table"},
        {TABLE + 0x2000, 32, F_INDIRECT, "descriptor index beyond the indirect table"},
    };

    put_desc(f, TABLE, TABLE, 16, F_INDIRECT, 0);
    put_desc(f, TABLE + 0x1000, DATA, 1, F_NEXT, 1);
    put_desc(f, TABLE + 0x1010, DATA, 1, F_NEXT, 0);
    put_desc(f, TABLE + 0x2000, DATA, 1, F_NEXT, 2);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(virtqueue_init(&f->vq, &f->gm, &f->config, f->avail_idx, 0), 0);
        desc(f, 0, cases[i].addr, cases[i].len, cases[i].flags, 0);
        refused(f, cases[i].rule);
    }
    f->config.indirect = false;
    assert_int_equal(virtqueue_init(&f->vq, &f->gm, &f->config, f->avail_idx, 0), 0);
    refused(f, "indirect table not negotiated");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pops_a_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(unpop_gives_it_again, setup, teardown),
        cmocka_unit_test_setup_teardown(used_ring_wraps, setup, teardown),
        cmocka_unit_test_setup_teardown(flags_suppress, setup, teardown),
        cmocka_unit_test_setup_teardown(event_index, setup, teardown),
        cmocka_unit_test_setup_teardown(spans_cross_a_region_border, setup, teardown),
        cmocka_unit_test_setup_teardown(indirect_tables, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_configuration, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_self_link, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_long_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_head, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_next, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_index_jump, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_address, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_address_wraps, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_zero_length, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_order, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_total, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_too_many, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_indirect, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
