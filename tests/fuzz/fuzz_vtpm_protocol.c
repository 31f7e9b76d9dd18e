// SPDX-License-Identifier: MIT
//
// Fuzzes what the vTPM and its client read: messages in both directions, the client fed by a
// hostile process, and the headers of the state file.

#include "igvm/base/bytes.h"
#include "igvm/base/check.h"
#include "tests/support/fake_machine.h"
#include "userspace/vtpm_client.h"
#include "userspace/vtpm_events.h"
#include "userspace/vtpm_protocol.h"
#include "userspace/vtpm_vault.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// What parses is what format writes.
static void parse(const uint8_t *data, size_t size, enum vtpm_direction direction) {
    static uint8_t out[VTPM_MESSAGE_MAX_BYTES];
    struct vtpm_message m;

    if (vtpm_message_parse(data, size, direction, &m) == 0) {
        CHECK(m.payload_bytes == size - VTPM_HEADER_BYTES && m.locality <= VTPM_LOCALITY_MAX);
        CHECK(vtpm_message_format(out, &m) == size);
        CHECK(memcmp(out, data, size) == 0);
    }
}

static void slots(const uint8_t *data, size_t size) {
    struct vtpm_slot both[2];
    int newest;

    if (size < 128) {
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        uint8_t header[64];

        memcpy(header, data + 64 * i, 64);
        // The fuzzer does not guess checksums.
        store_le64(header + 56, vtpm_crc64(header, 56));
        both[i] = vtpm_slot_parse(header, i);
        CHECK(both[i].kind != VTPM_SLOT_WHOLE || both[i].size_bytes <= VTPM_STATE_MAX_BYTES);
        if (both[i].kind == VTPM_SLOT_WHOLE && (data[127] >> i & 1)) {
            both[i].kind = VTPM_SLOT_TORN;
        }
    }
    newest = vtpm_slots_judge(both);
    CHECK(newest < 0 || (newest < 2 && both[newest].kind == VTPM_SLOT_WHOLE &&
                         both[newest].sequence > both[!newest].sequence));
}

/// The file in the guest state; the fuzzer does not guess checksums here either.
static void blob(const uint8_t *data, size_t size) {
    static uint8_t file[512];
    size_t payload_bytes = 0;

    if (size < sizeof(struct vtpm_blob_header) || size > sizeof(file)) {
        return;
    }
    memcpy(file, data, size);
    if (data[0] & 1) {
        store_le64(file, VTPM_BLOB_MAGIC);
        store_le64(file + 16, vtpm_crc64(file + 32, size - 32));
    }
    if (vtpm_blob_parse(file, size, &payload_bytes) == 0) {
        CHECK(payload_bytes + sizeof(struct vtpm_blob_header) == size && payload_bytes > 0);
    }
}

/// What the supervisor says is measured: every event lies within the bytes.
static void measured(const uint8_t *data, size_t size) {
    static struct vtpm_events events;

    if (size > sizeof(events.bytes)) {
        return;
    }
    memcpy(events.bytes, data, size);
    events.size_bytes = size;
    if (vtpm_events_parse(&events) != 0) {
        CHECK(events.count == 0);
    }
    for (uint32_t i = 0; i < events.count; i++) {
        const struct vtpm_event *e = &events.events[i];

        CHECK(e->pcr < VTPM_EVENT_PCRS && e->text_bytes > 0);
        CHECK(e->text_bytes <= VTPM_EVENT_MAX_BYTES && e->text > events.bytes);
        CHECK(e->text + e->text_bytes < events.bytes + size && e->text[e->text_bytes] == '\n');
    }
}

struct owner {
    uint8_t buffer[TPM_BUFFER_BYTES];
    unsigned begun, ended;
};

static void done(void *ctx, int64_t result) {
    CHECK(result <= (int64_t)TPM_BUFFER_BYTES);
    ((struct owner *)ctx)->ended++;
}

static void closed(void *ctx) {
    ++*(unsigned *)ctx;
}

/// The process says whatever the input says, in packets, with headers that are nearly right.
static void hostile_process(const uint8_t *data, size_t size) {
    static struct fake_loop fl;
    static struct vtpm_client client;
    static struct owner owner;
    struct fuzz_input in = {.bytes = data, .left = size};
    struct tpm_backend *b = &client.backend;
    unsigned closed_count = 0;

    fake_loop_init(&fl, NULL, 0);
    vtpm_client_init(&client, &fl.loop, 1000000); // no such descriptor
    memset(&owner, 0, sizeof(owner));
    while (in.left > 0) {
        uint8_t what = fuzz_u8(&in);
        uint8_t packet[VTPM_HEADER_BYTES + 64] = {0};
        size_t payload_bytes = fuzz_u8(&in) % 65;

        switch (what & 7) {
        case 0:
            owner.begun += b->ops->submit(b, what >> 6, owner.buffer, 10 + what, done, &owner) == 0;
            break;
        case 1:
            b->ops->cancel(b);
            break;
        case 2:
            owner.begun += b->ops->power_cycle(b, done, &owner) == 0;
            break;
        case 3:
            vtpm_client_attach(&client, what & 8 ? 1000000 : -1);
            break;
        case 4:
            CHECK(fake_loop_advance(&fl, (uint64_t)what << 28));
            break;
        case 5:
            CHECK(fake_loop_run(&fl));
            break;
        default:
            store_le32(packet, VTPM_MAGIC);
            packet[4] = VTPM_VERSION;
            packet[5] = what & 8 ? VTPM_COMMAND_DONE : fuzz_u8(&in);
            store_le32(packet + 8, client.last_sequence - (what >> 4 & 1));
            packet[12] = what & 0x20 ? 5 : 0;
            packet[16] = (uint8_t)payload_bytes;
            if (what & 0x40) {
                packet[fuzz_u8(&in) % sizeof(packet)] ^= fuzz_u8(&in);
            }
            if (fl.input_bytes + sizeof(packet) < sizeof(fl.input)) {
                fake_loop_feed(&fl, packet, VTPM_HEADER_BYTES + payload_bytes);
            }
        }
        if (what & 0x80) {
            CHECK(fake_loop_run(&fl));
        }
        fl.output_bytes = 0;
    }
    vtpm_client_close(&client, closed, &closed_count);
    CHECK(fake_loop_run(&fl));
    CHECK(closed_count == 1 && owner.begun == owner.ended);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    parse(data, size, VTPM_TO_PROCESS);
    parse(data, size, VTPM_TO_CLIENT);
    slots(data, size);
    blob(data, size);
    measured(data, size);
    hostile_process(data, size);
    return 0;
}
