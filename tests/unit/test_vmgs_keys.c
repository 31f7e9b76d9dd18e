// SPDX-License-Identifier: MIT
//
// VMGS with keys: an image that another implementation of AES-GCM made, wrong keys, changes of key,
// damage in every byte seen, no nonce used twice, nothing in plain text left behind.

#include "tests/support/cut_disk.h"
#include "userspace/vmgs/vmgs_crypto.h"
#include "userspace/vmgs/vmgs_internal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t key_1[VMGS_KEY_BYTES] = {1};
static const uint8_t key_2[VMGS_KEY_BYTES] = {2};
static const uint8_t key_3[VMGS_KEY_BYTES] = {3};
static const char secret[] = "the secret that must not be seen anywhere on the disk";

static struct cut_disk disk;
static struct cut_disk saved;
static struct vmgs vmgs;
static uint8_t got[32 * VMGS_BLOCK_BYTES];

static int reopen(void) {
    const struct vmgs_disk ops = cut_disk_ops(&disk);

    return vmgs_open(&vmgs, &ops);
}

static int reopen_with(const uint8_t *key) {
    int rc = reopen();

    return rc != 0 ? rc : vmgs_unlock(&vmgs, key);
}

/// An encrypted file system with TPM_NVRAM secret, KEY_PROTECTOR plain, unlocked.
static void fresh(void) {
    struct vmgs_disk ops;

    cut_disk_init(&disk, 24, 512, 42);
    ops = cut_disk_ops(&disk);
    assert_int_equal(vmgs_create(&vmgs, &ops), 0);
    assert_int_equal(vmgs_encrypt(&vmgs, key_1), 0);
    assert_int_equal(vmgs_write(&vmgs, VMGS_TPM_NVRAM, secret, sizeof(secret), VMGS_WRITE_ENCRYPT),
                     0);
    assert_int_equal(vmgs_write(&vmgs, VMGS_KEY_PROTECTOR, "plain", 5, 0), 0);
}

static void expect(uint32_t id, const void *bytes, size_t size) {
    size_t size_got;

    assert_int_equal(vmgs_read(&vmgs, id, got, sizeof(got), &size_got), 0);
    assert_int_equal(size_got, size);
    assert_memory_equal(got, bytes, size);
}

/// NIST's AES-256-GCM example (test case 14): zero key, zero nonce, one zero block.
static void known_answer(void **state) {
    static const uint8_t zero[VMGS_KEY_BYTES];
    static const uint8_t cipher[16] = {0xce, 0xa7, 0x40, 0x3d, 0x4d, 0x60, 0x6b, 0x6e,
                                       0x07, 0x4e, 0xc5, 0xd3, 0xba, 0xf3, 0x9d, 0x18};
    static const uint8_t tag[16] = {0xd0, 0xd1, 0xc8, 0xa7, 0x99, 0x99, 0x6b, 0xf0,
                                    0x26, 0x5b, 0x98, 0xb5, 0xd4, 0x8a, 0xb9, 0x19};
    uint8_t block[16] = {0};
    uint8_t is[16];

    (void)state;
    assert_int_equal(vmgs_gcm_encrypt(zero, zero, block, sizeof(block), is), 0);
    assert_memory_equal(block, cipher, 16);
    assert_memory_equal(is, tag, 16);
    is[15] ^= 1;
    assert_int_equal(vmgs_gcm_decrypt(zero, zero, block, sizeof(block), is), -EBADMSG);
    assert_memory_equal(block, zero, 16);
}

/// Laid out by a script from the published numbers, with another AES-GCM: root key 0, 1, … 31;
/// header 1 has sequence number 0 and follows 0xffffffff; slot 1 holds the key.
static void reads_a_foreign_image(void **state) {
    static uint8_t tpm[5000];
    uint8_t root[VMGS_KEY_BYTES];
    FILE *file = fopen("tests/fuzz/corpus/vmgs/foreign", "rb");

    (void)state;
    cut_disk_init(&disk, 8, 512, 1);
    assert_non_null(file);
    assert_int_equal(fread(disk.cache, 1, 8 * VMGS_BLOCK_BYTES, file), 8 * VMGS_BLOCK_BYTES);
    fclose(file);
    for (unsigned i = 0; i < sizeof(tpm); i++) {
        tpm[i] = (uint8_t)(i * 13 + 7);
    }
    for (unsigned i = 0; i < sizeof(root); i++) {
        root[i] = (uint8_t)i;
    }
    assert_int_equal(reopen_with(root), 0);
    assert_int_equal(vmgs.now.header_idx, 1);
    expect(VMGS_TPM_NVRAM, tpm, sizeof(tpm));
    expect(VMGS_KEY_PROTECTOR, "plain text of the key protector", 31);
}

static void locked_and_wrong_keys(void **state) {
    struct vmgs_file_info info;
    size_t size;

    (void)state;
    fresh();
    assert_int_equal(reopen(), 0);
    assert_true(vmgs_encrypted(&vmgs));
    assert_int_equal(vmgs_stat(&vmgs, VMGS_TPM_NVRAM, &info), 0);
    assert_true(info.encrypted);
    assert_int_equal(vmgs_read(&vmgs, VMGS_TPM_NVRAM, got, sizeof(got), &size), -EACCES);
    assert_int_equal(vmgs_write(&vmgs, VMGS_TPM_NVRAM, "x", 1, VMGS_WRITE_EXPOSE), -EACCES);
    assert_int_equal(vmgs_delete(&vmgs, VMGS_TPM_NVRAM), -EACCES);
    assert_int_equal(vmgs_write(&vmgs, 1, "x", 1, VMGS_WRITE_ENCRYPT), -EACCES);
    assert_int_equal(vmgs_rekey(&vmgs, key_2), -EACCES);
    assert_int_equal(vmgs.error.code, VMGS_RULE_LOCKED);
    expect(VMGS_KEY_PROTECTOR, "plain", 5);
    // Plain files may be changed without the key; the secret ones outlive it.
    assert_int_equal(vmgs_write(&vmgs, VMGS_KEY_PROTECTOR, "other", 5, 0), 0);
    assert_int_equal(vmgs_unlock(&vmgs, key_2), -EACCES);
    assert_int_equal(vmgs.error.code, VMGS_RULE_KEY_WRONG);
    assert_int_equal(vmgs_unlock(&vmgs, key_1), 0);
    assert_int_equal(vmgs_unlock(&vmgs, key_2), -EACCES);
    assert_int_equal(vmgs_unlock(&vmgs, key_1), 0);
    expect(VMGS_TPM_NVRAM, secret, sizeof(secret));
    expect(VMGS_KEY_PROTECTOR, "other", 5);
    assert_int_equal(vmgs_write(&vmgs, VMGS_TPM_NVRAM, "x", 1, 0), -EACCES);
    assert_int_equal(vmgs.error.code, VMGS_RULE_EXPOSE);
    assert_int_equal(vmgs_write(&vmgs, VMGS_TPM_NVRAM, "x", 1, VMGS_WRITE_EXPOSE), 0);
    assert_int_equal(vmgs_encrypt(&vmgs, key_2), -EINVAL);
    assert_int_equal(vmgs.error.code, VMGS_RULE_KEY_EXISTS);
    memset(got, 0, VMGS_KEY_BYTES);
    assert_int_equal(vmgs_rekey(&vmgs, got), -EINVAL);
    assert_int_equal(vmgs.error.code, VMGS_RULE_KEY);
    assert_int_equal(reopen_with(key_1), 0);
    expect(VMGS_TPM_NVRAM, "x", 1);
    vmgs_close(&vmgs);
    for (size_t i = 0; i < sizeof(vmgs); i++) {
        assert_int_equal(((const uint8_t *)&vmgs)[i], 0);
    }
}

static void new_key_ends_the_old_one(void **state) {
    (void)state;
    fresh();
    assert_int_equal(vmgs_rekey(&vmgs, key_2), 0);
    expect(VMGS_TPM_NVRAM, secret, sizeof(secret));
    assert_int_equal(reopen_with(key_1), -EACCES);
    assert_int_equal(reopen_with(key_2), 0);
    expect(VMGS_TPM_NVRAM, secret, sizeof(secret));
    // Not even the other header knows the old key.
    for (unsigned i = 0; i < 2; i++) {
        const struct vmgs_disk ops = cut_disk_ops(&disk);

        assert_int_equal(vmgs_open_header(&vmgs, &ops, i), 0);
        assert_int_equal(vmgs_unlock(&vmgs, key_1), -EACCES);
        assert_int_equal(vmgs_unlock(&vmgs, key_2), 0);
    }
    assert_int_equal(vmgs_rekey(&vmgs, key_3), 0);
    assert_int_equal(vmgs_rekey(&vmgs, key_1), 0);
    assert_int_equal(reopen_with(key_1), 0);
}

/// Interrupted after its first step both keys open the file, and go on doing so through writes with
/// either; the next change of key ends that.
static void interrupted_change_of_key(void **state) {
    (void)state;
    for (unsigned first = 0; first < 2; first++) {
        fresh();
        disk.cut_at = disk.steps + 5; // both tables, flush, header, flush, then the second step
        assert_int_equal(vmgs_rekey(&vmgs, key_2), -EIO);
        disk.dead = false;
        disk.cut_at = CUT_DISK_NEVER;
        for (unsigned i = 0; i < 4; i++) {
            const uint8_t *key = (i + first) % 2 ? key_1 : key_2;

            assert_int_equal(reopen_with(key), 0);
            expect(VMGS_TPM_NVRAM, secret, sizeof(secret));
            assert_int_equal(vmgs_write(&vmgs, 10 + i, "more", 4, VMGS_WRITE_ENCRYPT), 0);
        }
        assert_int_equal(reopen_with(key_1), 0);
        assert_int_equal(vmgs_rekey(&vmgs, key_3), 0);
        assert_int_equal(reopen_with(key_1), -EACCES);
        assert_int_equal(reopen_with(key_2), -EACCES);
        assert_int_equal(reopen_with(key_3), 0);
        for (unsigned i = 0; i < 4; i++) {
            expect(10 + i, "more", 4);
        }
    }
}

/// One bit in every byte that counts: the header in use, both tables, the secret file.
static void damage_in_every_byte_is_seen(void **state) {
    uint32_t seen = 0;

    (void)state;
    fresh();
    // Only one header: the other one would be a way out.
    memset(disk.cache + 512u * !vmgs.now.header_idx, 0, 512);
    memcpy(saved.cache, disk.cache, sizeof(disk.cache));
    for (uint32_t off = 0; off < 24 * VMGS_BLOCK_BYTES; off++) {
        size_t size;
        int rc;

        if (off == 1024) {
            off = 2 * VMGS_BLOCK_BYTES; // nothing stands there
        }
        disk.cache[off] ^= (uint8_t)(1u << (off & 7));
        rc = reopen_with(key_1);
        if (rc == 0) {
            rc = vmgs_read(&vmgs, VMGS_TPM_NVRAM, got, sizeof(got), &size);
            if (rc == 0) {
                assert_int_equal(size, sizeof(secret));
                assert_memory_equal(got, secret, sizeof(secret));
            }
        }
        if (rc != 0) {
            char line[160];

            seen++;
            assert_true(vmgs.error.code != VMGS_RULE_NONE);
            assert_true(vmgs_error_format(&vmgs.error, line, sizeof(line)) > 20);
        }
        disk.cache[off] = saved.cache[off];
    }
    // 168 of the header, 4096 of the extended table, the secret itself, its entry and more.
    assert_true(seen >= 168 + 4096 + sizeof(secret) + 16 + 12 + 16);
}

/// What a host can do without the key: take a secret file away, or swap two.
static void host_cannot_remove_or_swap(void **state) {
    struct vmgs_wire_file *table;
    struct vmgs_wire_file swap;
    struct vmgs_file_info info;
    size_t size;

    (void)state;
    fresh();
    assert_int_equal(vmgs_write(&vmgs, VMGS_BIOS_NVRAM, "uefi", 4, VMGS_WRITE_ENCRYPT), 0);
    table = (struct vmgs_wire_file *)(void *)(disk.cache + vmgs.now.files[0].block * 4096u);
    swap = table[1];
    table[1] = table[3];
    table[3] = swap;
    assert_int_equal(reopen_with(key_1), 0);
    assert_int_equal(vmgs_read(&vmgs, 1, got, sizeof(got), &size), -EBADMSG);
    assert_int_equal(vmgs_read(&vmgs, 3, got, sizeof(got), &size), -EBADMSG);
    memset(&table[1], 0, sizeof(table[1]));
    table[3].attributes = 0; // an old writer's table: the extended one decides
    assert_int_equal(reopen_with(key_1), 0);
    assert_int_equal(vmgs_stat(&vmgs, 1, &info), -EBADMSG);
    assert_int_equal(vmgs.error.code, VMGS_RULE_FILE_GONE);
    assert_int_equal(vmgs_stat(&vmgs, 3, &info), 0);
    assert_true(info.encrypted);
    // It stays known through later changes, until the owner writes or deletes it.
    assert_int_equal(vmgs_write(&vmgs, 20, "x", 1, 0), 0);
    assert_int_equal(reopen_with(key_1), 0);
    assert_int_equal(vmgs_read(&vmgs, 1, got, sizeof(got), &size), -EBADMSG);
    assert_int_equal(vmgs_delete(&vmgs, 1), 0);
    assert_int_equal(reopen_with(key_1), 0);
    assert_int_equal(vmgs_stat(&vmgs, 1, &info), -ENOENT);
    table = (struct vmgs_wire_file *)(void *)(disk.cache + vmgs.now.files[0].block * 4096u);
    table[3].attributes = VMGS_ATTRIBUTE_ENCRYPTED; // contradicts the extended table
    assert_int_equal(reopen_with(key_1), -EBADMSG);
    assert_int_equal(vmgs.error.code, VMGS_RULE_FILE_ATTRIBUTES);
}

static void count_finding(void *context, const struct vmgs_error *error) {
    unsigned *codes = context;

    codes[error->code]++;
}

static void check_finds(void **state) {
    unsigned codes[VMGS_RULE_COUNT] = {0};

    (void)state;
    fresh();
    assert_int_equal(vmgs_check(&vmgs, count_finding, codes), 0);
    disk.cache[vmgs_block_off(vmgs.now.files[VMGS_TPM_NVRAM].block) + 3] ^= 1;
    disk.cache[512u * !vmgs.now.header_idx + 40] ^= 1;
    assert_int_equal(reopen_with(key_1), 0);
    assert_int_equal(vmgs_check(&vmgs, count_finding, codes), 2);
    assert_int_equal(codes[VMGS_RULE_FILE_TAG], 1);
    assert_int_equal(codes[VMGS_RULE_CHECKSUM], 1);
}

static void scrub_leaves_nothing_plain(void **state) {
    struct vmgs_disk ops;
    size_t size;
    bool there = false;

    (void)state;
    cut_disk_init(&disk, 24, 512, 7);
    ops = cut_disk_ops(&disk);
    assert_int_equal(vmgs_create(&vmgs, &ops), 0);
    assert_int_equal(vmgs_write(&vmgs, 3, secret, sizeof(secret), 0), 0);
    assert_int_equal(vmgs_encrypt(&vmgs, key_1), 0);
    assert_int_equal(vmgs_write(&vmgs, 3, secret, sizeof(secret), VMGS_WRITE_ENCRYPT), 0);
    for (size_t i = 0; i + sizeof(secret) <= sizeof(disk.medium); i++) {
        there = there || memcmp(disk.medium + i, secret, sizeof(secret)) == 0;
    }
    assert_true(there); // in a free block
    assert_int_equal(vmgs_scrub(&vmgs), 0);
    for (size_t i = 0; i + 8 <= sizeof(disk.medium); i++) {
        assert_int_not_equal(memcmp(disk.medium + i, secret, 8), 0);
    }
    assert_int_equal(reopen_with(key_1), 0);
    assert_int_equal(vmgs_read(&vmgs, 3, got, sizeof(got), &size), 0);
    assert_memory_equal(got, secret, sizeof(secret));
}

/// Nonces of the extended table and of the key slots, over many changes, restarts and rollbacks.
static void no_nonce_twice(void **state) {
    enum { ROUNDS = 300 };
    static uint8_t nonces[2 * ROUNDS][VMGS_NONCE_BYTES];
    unsigned count = 0;

    (void)state;
    fresh();
    memcpy(saved.cache, disk.cache, sizeof(disk.cache));
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (i % 10 == 0) { // the host puts the old file back
            memcpy(disk.cache, saved.cache, sizeof(disk.cache));
        }
        assert_int_equal(reopen_with(key_1), 0);
        assert_int_equal(vmgs_write(&vmgs, 1, "x", 1, VMGS_WRITE_ENCRYPT), 0);
        memcpy(nonces[count++], vmgs.now.slots[0].nonce, VMGS_NONCE_BYTES);
        memcpy(nonces[count++], vmgs.now.files[VMGS_EXTENDED_FILE_TABLE].nonce, VMGS_NONCE_BYTES);
    }
    for (unsigned i = 0; i < count; i++) {
        for (unsigned k = 0; k < i; k++) {
            assert_int_not_equal(memcmp(nonces[i], nonces[k], VMGS_NONCE_BYTES), 0);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answer),
        cmocka_unit_test(reads_a_foreign_image),
        cmocka_unit_test(locked_and_wrong_keys),
        cmocka_unit_test(new_key_ends_the_old_one),
        cmocka_unit_test(interrupted_change_of_key),
        cmocka_unit_test(damage_in_every_byte_is_seen),
        cmocka_unit_test(host_cannot_remove_or_swap),
        cmocka_unit_test(check_finds),
        cmocka_unit_test(scrub_leaves_nothing_plain),
        cmocka_unit_test(no_nonce_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
