// SPDX-License-Identifier: MIT
//
// Fuzzes the vault's protocol: messages in both directions, and a client that says whatever the
// input says to a vault with a disk. A file only ever holds what a whole, acknowledged write gave.

#include "igvm/base/bytes.h"
#include "igvm/base/check.h"
#include "tests/support/cut_disk.h"
#include "tests/support/fake_machine.h"
#include "userspace/vault_server.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// What parses is what format writes.
static void parse(const uint8_t *data, size_t size, enum vault_direction direction) {
    static uint8_t out[VAULT_MESSAGE_MAX_BYTES];
    struct vault_message m;

    if (vault_message_parse(data, size, direction, &m) == 0) {
        CHECK(m.payload_bytes == size - VAULT_HEADER_BYTES);
        CHECK(m.offset + m.payload_bytes <= VAULT_FILE_MAX_BYTES);
        CHECK(vault_message_format(out, &m) == size);
        CHECK(memcmp(out, data, size) == 0);
    }
}

/// A header that is nearly right; returns the packet's size.
static size_t nearly(struct fuzz_input *in, uint8_t *packet) {
    uint8_t what = fuzz_u8(in);
    uint32_t offset = fuzz_u8(in) * 16u, payload = fuzz_u8(in) * 16u;

    memset(packet, what, VAULT_HEADER_BYTES + payload);
    memset(packet, 0, VAULT_HEADER_BYTES);
    store_le32(packet, VAULT_MAGIC);
    packet[4] = VAULT_VERSION;
    packet[5] = what & 1 ? VAULT_READ : VAULT_WRITE;
    packet[8] = 1;
    store_le32(packet + 20, what & 1 ? 0 : (uint32_t)(what >> 1) * 32);
    store_le32(packet + 24, offset);
    payload = what & 1 ? 0 : payload;
    store_le32(packet + 28, payload);
    if (fuzz_u8(in) > 250) {
        packet[fuzz_u8(in) % VAULT_HEADER_BYTES] ^= fuzz_u8(in);
    }
    return VAULT_HEADER_BYTES + payload;
}

static void clients(const uint8_t *data, size_t size) {
    static struct cut_disk disk;
    static struct vault_store store;
    static uint8_t staging[VAULT_FILE_MAX_BYTES];
    static uint8_t packet[VAULT_MESSAGE_MAX_BYTES], out[VAULT_MESSAGE_MAX_BYTES];
    static uint8_t file[VAULT_FILE_MAX_BYTES];
    struct vault_client c = {.file_id = VMGS_BIOS_NVRAM, .staging = staging};
    struct fuzz_input in = {.bytes = data, .left = size};
    struct vmgs_disk ops;
    size_t got;

    cut_disk_init(&disk, 16, 512, 1);
    memset(disk.cache, 0, sizeof(disk.cache));
    memset(disk.medium, 0, sizeof(disk.medium));
    ops = cut_disk_ops(&disk);
    CHECK(vault_store_open(&store, &ops, NULL, true) == 0);
    memset(file, 0x5A, 100);
    CHECK(vault_store_write(&store, VMGS_TPM_NVRAM, file, 100) == 0);
    for (unsigned i = 0; in.left > 0 && i < 64; i++) {
        size_t n = nearly(&in, packet);
        size_t answered = vault_serve(&store, &c, packet, n, out);
        struct vault_message m;

        CHECK(answered == 0 || vault_message_parse(out, answered, VAULT_TO_CLIENT, &m) == 0);
        CHECK(c.staged_bytes <= c.total_bytes && c.total_bytes <= VAULT_FILE_MAX_BYTES);
        cut_disk_restart(&disk); // all that was acknowledged is there, nothing else matters
    }
    // The other client's file is as it was.
    CHECK(vault_store_read(&store, VMGS_TPM_NVRAM, file, sizeof(file), &got) == 0 && got == 100);
    CHECK(file[0] == 0x5A && file[99] == 0x5A);
    vault_store_close(&store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    parse(data, size, VAULT_TO_PROCESS);
    parse(data, size, VAULT_TO_CLIENT);
    clients(data, size);
    return 0;
}
