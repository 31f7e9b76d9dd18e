// SPDX-License-Identifier: MIT
//
// VMGS, power cuts: random sequences of operations, each of them cut at every single write and
// flush. Whatever the disk kept, what is found afterwards is the old state or the new one, all of
// it, and it can be worked with.

#include "tests/support/cut_disk.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEQUENCES    1000u // of each kind
#define SEQUENCE_OPS 6u
#define DRAWS        2u // what the medium kept, per cut
#define MODEL_FILES  5u
#define MAX_FILE     (5u * VMGS_BLOCK_BYTES)
#define ABSENT       UINT32_MAX

/// What the file system should hold. Contents follow from a file's seed and size.
struct model {
    bool encrypted;
    uint8_t key; // the root key is this byte 32 times
    struct {
        uint32_t size_bytes; // ABSENT: no such file
        uint8_t seed;
        bool secret;
    } files[MODEL_FILES];
};

enum op_kind { OP_WRITE, OP_DELETE, OP_ENCRYPT, OP_REKEY, OP_RENEW, OP_SCRUB };

struct op {
    enum op_kind kind;
    uint32_t file_idx;
    uint32_t size_bytes;
    uint8_t seed;
    uint8_t key;
    bool secret;
};

static struct cut_disk disk; // the sequence's
static struct cut_disk cut;  // the one whose power goes
static struct cut_disk draw; // one draw of what it kept
static uint8_t contents[MAX_FILE];
static uint8_t found[MAX_FILE];
static uint32_t losses; // states that were neither

static uint32_t file_id(uint32_t file_idx) {
    static const uint32_t ids[MODEL_FILES] = {VMGS_BIOS_NVRAM, VMGS_TPM_NVRAM, VMGS_ATTEST, 12, 62};

    return ids[file_idx];
}

static const uint8_t *contents_of(uint8_t seed, uint32_t size_bytes) {
    for (uint32_t i = 0; i < size_bytes; i++) {
        contents[i] = (uint8_t)(seed * 31u + i * 7u + (i >> 8));
    }
    return contents;
}

static const uint8_t *root_key(uint8_t key) {
    static uint8_t bytes[VMGS_KEY_BYTES];

    memset(bytes, key, sizeof(bytes));
    return bytes;
}

static struct op any_op(const struct model *model, bool with_keys) {
    const uint64_t luck = cut_disk_random(&disk);
    struct op op = {
        .kind = OP_WRITE,
        .file_idx = (uint32_t)(luck >> 8) % MODEL_FILES,
        .size_bytes = (uint32_t)(luck >> 16) % (MAX_FILE + 1),
        .seed = (uint8_t)(luck >> 40),
        .key = (uint8_t)(1 + (luck >> 48) % 254),
        .secret = model->encrypted && (luck >> 60 & 3) != 0,
    };

    switch (luck % 16) {
    case 0:
    case 1:
        op.kind = OP_DELETE;
        break;
    case 2:
    case 3:
        op.kind = !with_keys ? OP_WRITE : model->encrypted ? OP_REKEY : OP_ENCRYPT;
        break;
    case 4:
        op.kind = OP_RENEW;
        break;
    case 5:
        op.kind = OP_SCRUB;
        break;
    case 6:
    case 7:
        op.size_bytes %= 64; // small, empty too
        break;
    default:
        break;
    }
    return op;
}

static int run_op(struct vmgs *vmgs, const struct op *op) {
    switch (op->kind) {
    case OP_WRITE:
        return vmgs_write(vmgs, file_id(op->file_idx), contents_of(op->seed, op->size_bytes),
                          op->size_bytes,
                          op->secret ? VMGS_WRITE_ENCRYPT : (unsigned)VMGS_WRITE_EXPOSE);
    case OP_DELETE:
        return vmgs_delete(vmgs, file_id(op->file_idx));
    case OP_ENCRYPT:
        return vmgs_encrypt(vmgs, root_key(op->key));
    case OP_REKEY:
        return vmgs_rekey(vmgs, root_key(op->key));
    case OP_RENEW:
        return vmgs_renew(vmgs);
    case OP_SCRUB:
        return vmgs_scrub(vmgs);
    }
    return -EINVAL;
}

/// The model after a successful operation.
static void model_op(struct model *model, const struct op *op) {
    switch (op->kind) {
    case OP_WRITE:
        model->files[op->file_idx].size_bytes = op->size_bytes;
        model->files[op->file_idx].seed = op->seed;
        model->files[op->file_idx].secret = op->secret;
        break;
    case OP_DELETE:
        model->files[op->file_idx].size_bytes = ABSENT;
        break;
    case OP_ENCRYPT:
    case OP_REKEY:
        model->encrypted = true;
        model->key = op->key;
        break;
    default:
        break;
    }
}

static int open_model(struct vmgs *vmgs, struct cut_disk *on, const struct model *model) {
    const struct vmgs_disk ops = cut_disk_ops(on);
    int rc = vmgs_open(vmgs, &ops);

    if (rc != 0 || vmgs_encrypted(vmgs) != model->encrypted) {
        return rc != 0 ? rc : -EINVAL;
    }
    return model->encrypted ? vmgs_unlock(vmgs, root_key(model->key)) : 0;
}

/// Whether an open file system is exactly the model.
static bool is_model(struct vmgs *vmgs, const struct model *model) {
    for (uint32_t i = 0; i < MODEL_FILES; i++) {
        const uint32_t size = model->files[i].size_bytes;
        struct vmgs_file_info info;
        size_t got;
        int rc = vmgs_read(vmgs, file_id(i), found, sizeof(found), &got);

        if (size == ABSENT) {
            if (rc != -ENOENT) {
                return false;
            }
            continue;
        }
        if (rc != 0 || got != size ||
            memcmp(found, contents_of(model->files[i].seed, size), size) != 0) {
            return false;
        }
        if (vmgs_stat(vmgs, file_id(i), &info) != 0 || info.encrypted != model->files[i].secret) {
            return false;
        }
    }
    return true;
}

/// After a cut: one of the two states, then one more write works. Counts a loss otherwise.
static void judge(const struct model *before, const struct model *after) {
    static const uint8_t more[100] = {1, 2, 3};
    struct vmgs vmgs;
    bool good = open_model(&vmgs, &draw, before) == 0 && is_model(&vmgs, before);

    if (!good) {
        good = open_model(&vmgs, &draw, after) == 0 && is_model(&vmgs, after);
    }
    if (good) {
        // The disk may be full for a second copy; then nothing has changed either.
        int rc = vmgs_write(&vmgs, 30, more, sizeof(more), 0);

        good = rc == 0 || rc == -ENOSPC;
    }
    losses += !good;
}

/// The operation on a copy of the disk, cut at its steps one after the other.
static void cut_everywhere(const struct model *before, const struct op *op) {
    struct model after = *before;

    model_op(&after, op);
    for (uint32_t at = 0;; at++) {
        struct vmgs vmgs;

        cut_disk_copy(&cut, &disk, disk.seed);
        assert_int_equal(open_model(&vmgs, &cut, before), 0);
        cut.cut_at = cut.steps + at;
        (void)run_op(&vmgs, op);
        if (!cut.dead) {
            return; // the operation has no step more
        }
        for (uint32_t i = 0; i < DRAWS; i++) {
            cut_disk_copy(&draw, &cut, disk.seed + at * 100 + i);
            cut_disk_restart(&draw);
            judge(before, &after);
        }
    }
}

static void new_disk(uint64_t seed, bool lies) {
    struct vmgs_disk ops;
    struct vmgs vmgs;

    // Small disks are often full, which is when blocks are used again at once.
    cut_disk_init(&disk, 10 + (uint32_t)(seed % 12), seed & 1 ? 512 : 4096, seed * 7919);
    ops = cut_disk_ops(&disk);
    assert_int_equal(vmgs_create(&vmgs, &ops), 0);
    cut_disk_restart(&disk);
    disk.lies = lies;
}

static void run_sequence(uint64_t seed, bool with_keys, bool lies) {
    struct model model = {.encrypted = false};

    for (uint32_t i = 0; i < MODEL_FILES; i++) {
        model.files[i].size_bytes = ABSENT;
    }
    new_disk(seed, lies);
    for (uint32_t i = 0; i < SEQUENCE_OPS; i++) {
        const struct op op = any_op(&model, with_keys);
        struct model after = model;
        struct vmgs vmgs;
        int rc;

        model_op(&after, &op);
        cut_everywhere(&model, &op);
        assert_int_equal(open_model(&vmgs, &disk, &model), 0);
        rc = run_op(&vmgs, &op);
        if (rc == 0) {
            model = after;
        } else {
            assert_true(rc == -ENOSPC || rc == -ENOENT);
        }
        assert_true(is_model(&vmgs, &model));
        assert_int_equal(open_model(&vmgs, &disk, &model), 0);
        assert_true(is_model(&vmgs, &model));
    }
}

static void old_or_new_plain(void **state) {
    (void)state;
    losses = 0;
    for (uint64_t i = 0; i < SEQUENCES; i++) {
        run_sequence(i, false, false);
    }
    assert_int_equal(losses, 0);
}

static void old_or_new_encrypted(void **state) {
    (void)state;
    losses = 0;
    for (uint64_t i = 0; i < SEQUENCES; i++) {
        run_sequence(1000000 + i, true, false);
    }
    assert_int_equal(losses, 0);
}

/// The test of the test: with a disk whose flush does nothing it must see losses.
static void a_lying_disk_is_seen(void **state) {
    (void)state;
    losses = 0;
    for (uint64_t i = 0; i < 20; i++) {
        run_sequence(i, false, true);
    }
    assert_true(losses > 0);
}

/// A process that dies between writing the header and the flush: the next one must not build on it
/// before it is on the medium.
static void unflushed_header_then_more(void **state) {
    const struct model empty = {.files = {{ABSENT, 0, false},
                                          {ABSENT, 0, false},
                                          {ABSENT, 0, false},
                                          {ABSENT, 0, false},
                                          {ABSENT, 0, false}}};

    (void)state;
    losses = 0;
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct op op = {.kind = OP_WRITE, .file_idx = 0, .size_bytes = 5000, .seed = 1};
        struct model first = empty;
        struct model second;
        struct vmgs vmgs;

        new_disk(seed, false);
        assert_int_equal(open_model(&vmgs, &disk, &first), 0);
        // Flush, data (2), two tables, flush, header: the power goes at the flush after it.
        disk.cut_at = disk.steps + 6;
        assert_int_equal(run_op(&vmgs, &op), -EIO);
        disk.dead = false; // only the process died: the cache lives on
        disk.cut_at = CUT_DISK_NEVER;
        if (open_model(&vmgs, &disk, &first) != 0) {
            fail();
        }
        model_op(&first, &op);
        assert_true(is_model(&vmgs, &first));
        op.seed = 2;
        second = first;
        model_op(&second, &op);
        disk.cut_at = disk.steps + 1 + (uint32_t)(seed % 6);
        (void)run_op(&vmgs, &op);
        cut_disk_copy(&draw, &disk, seed);
        cut_disk_restart(&draw);
        judge(&first, &second);
    }
    assert_int_equal(losses, 0);
}

/// Creation over an old file system: the old one, an empty disk, or the new one.
static void creation_is_cut(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        for (uint32_t at = 0;; at++) {
            struct vmgs vmgs;
            struct vmgs_disk drawn;
            size_t got;
            int rc;

            new_disk(seed, false);
            drawn = cut_disk_ops(&disk);
            assert_int_equal(vmgs_open(&vmgs, &drawn), 0);
            assert_int_equal(vmgs_write(&vmgs, 3, contents_of(9, 3000), 3000, 0), 0);
            cut_disk_copy(&cut, &disk, seed);
            cut.cut_at = cut.steps + at;
            drawn = cut_disk_ops(&cut);
            rc = vmgs_create(&vmgs, &drawn);
            if (!cut.dead) {
                assert_int_equal(rc, 0);
                break;
            }
            cut_disk_restart(&cut);
            rc = vmgs_open(&vmgs, &drawn);
            if (rc != 0) {
                // Torn zeroes can leave a piece of a header; it is never taken for a state.
                assert_true(vmgs.error.code == VMGS_RULE_EMPTY ||
                            vmgs.error.code == VMGS_RULE_SIGNATURE ||
                            vmgs.error.code == VMGS_RULE_VERSION ||
                            vmgs.error.code == VMGS_RULE_HEADER_SIZE ||
                            vmgs.error.code == VMGS_RULE_CHECKSUM);
                continue;
            }
            rc = vmgs_read(&vmgs, 3, found, sizeof(found), &got);
            assert_true(rc == -ENOENT ||
                        (rc == 0 && got == 3000 && memcmp(found, contents_of(9, 3000), 3000) == 0));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_or_new_plain),     cmocka_unit_test(old_or_new_encrypted),
        cmocka_unit_test(a_lying_disk_is_seen), cmocka_unit_test(unflushed_header_then_more),
        cmocka_unit_test(creation_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
