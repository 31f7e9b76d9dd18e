// SPDX-License-Identifier: MIT
//
// Fuzzes devices/tpm_crb.c: register accesses, backend answers at any time and of any kind, resets,
// saves and loads, in any order. A command always ends: the execution phase implies that the
// backend works on something. What the guest reads without an exit is what it would be told.

#include "devices/tpm_crb.h"
#include "igvm/base/bytes.h"
#include "igvm/base/check.h"
#include "tests/support/fake_machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RAM_GPA UINT64_C(0x10000)

static _Alignas(PAGE_SIZE_4K) uint8_t ram[PAGE_SIZE_4K], page[PAGE_SIZE_4K];

struct fuzz_tpm {
    struct tpm_backend backend;
    bool running;
    bool gone;
    int16_t at_once; ///< above 0: submit() has the answer, of this size
    uint8_t *buffer;
    tpm_done_fn done, power_done;
    void *owner, *power_owner;
};

static int submit(struct tpm_backend *b, uint8_t locality, uint8_t *buffer, size_t command_bytes,
                  tpm_done_fn done, void *owner) {
    struct fuzz_tpm *tpm = (struct fuzz_tpm *)b;

    CHECK(!tpm->running && locality < 4);
    CHECK(command_bytes >= 10 && command_bytes <= TPM_CRB_DATA_BYTES);
    if (tpm->gone) {
        return -EIO;
    }
    if (tpm->at_once > 0) {
        buffer[4] = (uint8_t)(tpm->at_once >> 8);
        buffer[5] = (uint8_t)tpm->at_once;
        return tpm->at_once;
    }
    memset(buffer + command_bytes, 0xEE, TPM_BUFFER_BYTES - command_bytes); // all of it is ours now
    tpm->running = true;
    tpm->buffer = buffer;
    tpm->done = done;
    tpm->owner = owner;
    return 0;
}

static void cancel(struct tpm_backend *b) {
    CHECK(((struct fuzz_tpm *)b)->running);
}

static int power_cycle(struct tpm_backend *b, tpm_done_fn done, void *owner) {
    struct fuzz_tpm *tpm = (struct fuzz_tpm *)b;

    if (tpm->gone) {
        return -EIO;
    }
    tpm->power_done = done;
    tpm->power_owner = owner;
    return 0;
}

static const struct tpm_backend_ops ops = {
    .submit = submit, .cancel = cancel, .power_cycle = power_cycle};

static void answer(struct fuzz_tpm *tpm, struct fuzz_input *in) {
    int64_t result = (int16_t)fuzz_u16(in);

    if (!tpm->running) {
        return;
    }
    tpm->running = false;
    if (fuzz_u8(in) & 1) { // a plausible header
        result = result < 0 ? -result : result;
        result = result > TPM_BUFFER_BYTES ? TPM_BUFFER_BYTES : result;
        tpm->buffer[2] = tpm->buffer[3] = 0;
        tpm->buffer[4] = (uint8_t)(result >> 8);
        tpm->buffer[5] = (uint8_t)result;
    }
    tpm->done(tpm->owner, result);
}

/// The page at locality 0 against the bus.
static void check_page(struct bus *mmio) {
    for (uint32_t off = 0; off < TPM_CRB_DATA_OFF + 16; off += 8) {
        struct bus_access access = {.offset = TPM_CRB_GPA + off, .size = 8};

        CHECK(bus_dispatch(mmio, &access));
        CHECK(access.value == load_le64(page + off));
    }
}

static void reset_done(void *ctx) {
    ++*(unsigned *)ctx;
}

/// As the machine does it; the backend ends what runs, then the power cycle.
static void reset(struct tpm_crb *crb, struct fuzz_tpm *tpm, struct fuzz_input *in) {
    unsigned done = 0;

    pthread_mutex_lock(&crb->device.lock);
    crb->device.ops->reset(crb, reset_done, &done);
    pthread_mutex_unlock(&crb->device.lock);
    answer(tpm, in);
    if (tpm->power_done) {
        tpm->power_done(tpm->power_owner, fuzz_u8(in) & 1 ? -EIO : 0);
        tpm->power_done = NULL;
    }
    CHECK(done == 1);
    CHECK(crb->state.phase == TPM_CRB_IDLE && crb->state.active_locality == TPM_CRB_NO_LOCALITY);
}

static void save_and_load(struct tpm_crb *crb, struct fuzz_tpm *tpm, struct fuzz_input *in) {
    size_t size;
    uint8_t *blob = fake_save(&crb->device, &size);
    size_t at = fuzz_u16(in) % size;

    blob[at] ^= fuzz_u8(in);
    if (fake_load(&crb->device, blob, size) != 0) {
        reset(crb, tpm, in); // as a refused load ends
    }
    free(blob);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct bus *mmio;
    static struct tpm_crb crb;
    static struct fuzz_tpm tpm;
    static struct guest_memory memory;
    struct fuzz_input in = {.bytes = data, .left = size};

    if (mmio == NULL) {
        struct tpm_crb_config config = {
            .backend = &tpm.backend, .memory = &memory, .ram_gpa = gpa(RAM_GPA), .page = page};

        CHECK(guest_memory_add(&memory, (struct gpa_range){RAM_GPA, RAM_GPA + PAGE_SIZE_4K}, ram) ==
              0);
        mmio = bus_new("mmio", UINT64_C(1) << 40);
        CHECK(mmio != NULL);
        tpm.backend.ops = &ops;
        CHECK(tpm_crb_init(&crb, &config, mmio) == 0);
    }
    tpm = (struct fuzz_tpm){.backend = tpm.backend};
    crb.in_flight = false;
    state_reset(crb.device.ops->state, &crb.state);
    CHECK(crb.device.ops->after_load(&crb) == 0);
    while (in.left > 0) {
        uint8_t what = fuzz_u8(&in);
        struct bus_access access = {.size = (uint8_t)(1u << (what & 3)), .is_write = what >> 2 & 1};

        switch (what >> 3 & 15) {
        case 0:
            answer(&tpm, &in);
            break;
        case 1:
            reset(&crb, &tpm, &in);
            break;
        case 2:
            save_and_load(&crb, &tpm, &in);
            break;
        case 3:
            tpm.gone = what & 1;
            tpm.at_once = what & 2 ? (int16_t)fuzz_u16(&in) : 0;
            break;
        case 5: // into the buffer in RAM, at any time
            memcpy(ram, what & 1 ? (const uint8_t[]){0x80, 1, 0, 0, 0, 12} : in.bytes,
                   in.left < 6 && !(what & 1) ? in.left : 6);
            break;
        case 4: // a whole small command
            for (unsigned i = 0; i < 12; i++) {
                access = (struct bus_access){
                    .offset = TPM_CRB_GPA + TPM_CRB_DATA_OFF + i,
                    .size = 1,
                    .is_write = true,
                    .value = i < 6 ? (const uint8_t[]){0x80, 1, 0, 0, 0, 12}[i] : fuzz_u8(&in)};
                bus_dispatch(mmio, &access);
            }
            break;
        default:
            access.offset = TPM_CRB_GPA + (what & 0x80 ? fuzz_u16(&in) % 0x5000 : fuzz_u8(&in));
            access.value = what & 0x40 ? fuzz_u64(&in) : fuzz_u8(&in);
            access.value &= access.size == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * access.size) - 1;
            bus_dispatch(mmio, &access);
        }
        CHECK(crb.state.phase != TPM_CRB_EXECUTION || tpm.running);
        CHECK(crb.in_flight == tpm.running);
        CHECK(crb.state.phase == TPM_CRB_IDLE || crb.state.active_locality < 4);
        check_page(mmio);
    }
    return 0;
}
