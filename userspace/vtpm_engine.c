// SPDX-License-Identifier: MIT
//
// libtpms as the vTPM's engine (TPM 2.0 library specification, parts 1 and 3, revision 1.59).
//
// Manufacturing happens in memory: the state is first written when the TPM is complete (made, PCR
// banks chosen, shut down), so an interruption leaves a blank store, never a half-made TPM.

#include "userspace/vtpm_engine.h"

#include "igvm/base/bytes.h"
#include "igvm/base/log.h"
#include "userspace/tpm_wire.h"
#include "userspace/vtpm_identity.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <libtpms/tpm_types.h>

#include <libtpms/tpm_error.h>
#include <libtpms/tpm_library.h>
#include <libtpms/tpm_memory.h>
#include <libtpms/tpm_nvfilename.h>

#define AREA "vtpm"

#define TPM_RC_FAILURE_CODE 0x101u
#define TPM_HEADER_BYTES    10u
/// The CRB's data buffer: what the TPM reports as its largest command and response.
#define TPM_IO_BYTES 3968u

/// libtpms' callbacks carry no context, so the engine is a single object.
static struct {
    struct vtpm_store *store;
    bool failed;
    bool manufacturing;
    bool plays_firmware;              ///< vtpm_engine_policy.play_firmware
    const struct vtpm_events *events; ///< vtpm_engine_policy.events
    bool fresh;                       ///< no command since power-on but firmware's
    uint8_t *made;                    ///< while manufacturing: the state so far
    uint32_t made_bytes;
    _Atomic uint8_t locality;
    unsigned char *response; ///< libtpms', grown as needed
    uint32_t response_capacity;
} engine;

// ---- libtpms' callbacks ----

static TPM_RESULT nvram_init(void) {
    return TPM_SUCCESS;
}

static TPM_RESULT nvram_load(unsigned char **data, uint32_t *length, uint32_t tpm_number,
                             const char *name) {
    const uint8_t *from = engine.manufacturing ? engine.made : engine.store->payload;
    uint32_t size = engine.manufacturing ? engine.made_bytes : engine.store->payload_bytes;

    (void)tpm_number;
    if (strcmp(name, TPM_PERMANENT_ALL_NAME) != 0 || from == NULL) {
        return TPM_RETRY; // "there is none"
    }
    if (TPM_Malloc(data, size) != TPM_SUCCESS) {
        return TPM_SIZE;
    }
    memcpy(*data, from, size);
    *length = size;
    return TPM_SUCCESS;
}

static TPM_RESULT nvram_store(const unsigned char *data, uint32_t length, uint32_t tpm_number,
                              const char *name) {
    (void)tpm_number;
    if (strcmp(name, TPM_PERMANENT_ALL_NAME) != 0) {
        return TPM_FAIL; // TPM 2 has no other state of its own accord
    }
    if (engine.manufacturing) {
        uint8_t *copy = length ? realloc(engine.made, length) : NULL;

        if (copy == NULL) {
            return TPM_FAIL;
        }
        memcpy(copy, data, length);
        engine.made = copy;
        engine.made_bytes = length;
        return TPM_SUCCESS;
    }
    int r = vtpm_store_write(engine.store, data, length);

    if (r != 0) {
        LOG_LIMITED(LOG_ERROR, AREA, "state cannot be written: %s", strerror(-r));
    }
    return r == 0 ? TPM_SUCCESS : TPM_FAIL; // a failure puts libtpms into failure mode
}

static TPM_RESULT nvram_delete(uint32_t tpm_number, const char *name, TPM_BOOL must_exist) {
    (void)tpm_number;
    return must_exist || strcmp(name, TPM_PERMANENT_ALL_NAME) == 0 ? TPM_FAIL : TPM_SUCCESS;
}

static TPM_RESULT io_init(void) {
    return TPM_SUCCESS;
}

static TPM_RESULT io_locality(TPM_MODIFIER_INDICATOR *locality, uint32_t tpm_number) {
    (void)tpm_number;
    *locality = atomic_load(&engine.locality);
    return TPM_SUCCESS;
}

static TPM_RESULT io_physical_presence(TPM_BOOL *present, uint32_t tpm_number) {
    (void)tpm_number;
    *present = FALSE;
    return TPM_SUCCESS;
}

// ---- commands -----------------------------------------------------------------------------------

static size_t answer_failure(uint8_t *response) {
    static const uint8_t failure[TPM_HEADER_BYTES] = {0x80,
                                                      0x01,
                                                      0,
                                                      0,
                                                      0,
                                                      TPM_HEADER_BYTES,
                                                      0,
                                                      0,
                                                      TPM_RC_FAILURE_CODE >> 8,
                                                      TPM_RC_FAILURE_CODE & 0xFF};

    memcpy(response, failure, sizeof(failure));
    return sizeof(failure);
}

static size_t run(uint8_t locality, const uint8_t *command, size_t command_bytes, uint8_t *response,
                  size_t capacity_bytes) {
    unsigned char copy[4096];
    uint32_t size = 0;

    if (engine.failed || command_bytes > sizeof(copy)) {
        return answer_failure(response);
    }
    memcpy(copy, command, command_bytes); // libtpms wants it writable
    atomic_store(&engine.locality, locality);
    if (TPMLIB_Process(&engine.response, &size, &engine.response_capacity, copy,
                       (uint32_t)command_bytes) != TPM_SUCCESS ||
        engine.response == NULL || size < TPM_HEADER_BYTES || size > capacity_bytes) {
        return answer_failure(response);
    }
    memcpy(response, engine.response, size);
    memset(engine.response, 0, size);
    return size;
}

size_t vtpm_engine_run(uint8_t locality, const uint8_t *command, size_t command_bytes,
                       uint8_t *response, size_t capacity_bytes) {
    engine.fresh = false;
    return run(locality, command, command_bytes, response, capacity_bytes);
}

void vtpm_engine_cancel(void) {
    TPMLIB_CancelCommand();
}

// ---- first start --------------------------------------------------------------------------------

/// TPM2_Startup(CLEAR), TPM2_SelfTest(YES), TPM2_PCR_Allocate by the platform's empty password,
/// TPM2_Shutdown(CLEAR): part 3, sections 9.3, 10.2, 22.5, 9.4. Bank bitmaps: SHA-1 and SHA-512
/// none, SHA-256 and SHA-384 all 24.
static const uint8_t cmd_startup[] = {0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0};
static const uint8_t cmd_self_test[] = {0x80, 0x01, 0, 0, 0, 11, 0, 0, 0x01, 0x43, 1};
static const uint8_t cmd_shutdown[] = {0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x45, 0, 0};
static const uint8_t cmd_pcr_allocate[] = {
    0x80, 0x02, 0, 0,    0,    55,   0, 0,    0x01, 0x2B, // sessions, size, TPM_CC_PCR_Allocate
    0x40, 0,    0, 0x0C,                                  // TPM_RH_PLATFORM
    0,    0,    0, 9,    0x40, 0,    0, 0x09, 0,    0,    0,    0,
    0,                                                                // TPM_RS_PW, empty password
    0,    0,    0, 4,                                                 // four selections:
    0,    0x04, 3, 0,    0,    0,    0, 0x0B, 3,    0xFF, 0xFF, 0xFF, // SHA-1, SHA-256
    0,    0x0C, 3, 0xFF, 0xFF, 0xFF, 0, 0x0D, 3,    0,    0,    0};   // SHA-384, SHA-512
_Static_assert(sizeof(cmd_pcr_allocate) == 55, "size field");

/// Whether the command succeeded; allocation says so once more in its first parameter.
static bool provision(const uint8_t *command, size_t command_bytes, bool is_allocate) {
    uint8_t response[TPM_IO_BYTES];
    size_t n = run(0, command, command_bytes, response, sizeof(response));

    return n >= TPM_HEADER_BYTES && load_be32(response + 6) == 0 &&
           (!is_allocate || (n > 14 && response[14] == 1));
}

/// Runs a command of our own; whether it succeeded.
static bool play(struct tpm_wire *w) {
    uint8_t response[TPM_IO_BYTES];
    size_t n = tpm_wire_end(w) ? run(0, w->bytes, w->size_bytes, response, sizeof(response)) : 0;

    explicit_bzero(w, sizeof(*w));
    return n >= TPM_HEADER_BYTES && load_be32(response + 6) == 0;
}

/// TPM2_HierarchyChangeAuth (24.8): the platform hierarchy gets a random password that nobody
/// keeps, until the next power-on. Firmware does this before it lets anybody else run.
static bool close_platform(void) {
    struct tpm_wire w;
    uint8_t secret[32];

    if (getrandom(secret, sizeof(secret), 0) != (ssize_t)sizeof(secret)) {
        return false;
    }
    tpm_wire_begin(&w, TPM_ST_SESSIONS, 0x129);
    tpm_wire_put(&w, TPM_RH_PLATFORM, 4);
    tpm_wire_put_password(&w, 1);
    tpm_wire_put_2b(&w, secret, sizeof(secret));
    explicit_bzero(secret, sizeof(secret));
    return play(&w);
}

/// TPM2_PCR_Event (22.3) for what the guest is booted from.
static bool measure(void) {
    struct tpm_wire w;
    bool ok = true;

    for (uint32_t i = 0; ok && engine.events && i < engine.events->count; i++) {
        const struct vtpm_event *event = &engine.events->events[i];

        tpm_wire_begin(&w, TPM_ST_SESSIONS, 0x13C);
        tpm_wire_put(&w, event->pcr, 4);
        tpm_wire_put_password(&w, 1);
        tpm_wire_put_2b(&w, event->text, (uint16_t)event->text_bytes);
        ok = play(&w);
    }
    return ok;
}

static size_t run_for_platform(const uint8_t *command, size_t command_bytes, uint8_t *response,
                               size_t capacity_bytes) {
    return run(0, command, command_bytes, response, capacity_bytes);
}

static int manufacture(struct vtpm_store *store, bool with_identity) {
    int r = -EIO;

    engine.manufacturing = true;
    if (TPMLIB_MainInit() == TPM_SUCCESS) {
        if (provision(cmd_startup, sizeof(cmd_startup), false) &&
            provision(cmd_pcr_allocate, sizeof(cmd_pcr_allocate), true) &&
            (!with_identity || vtpm_identity_make(run_for_platform) == 0) &&
            provision(cmd_shutdown, sizeof(cmd_shutdown), false)) {
            r = 0;
        }
        TPMLIB_Terminate();
    }
    engine.manufacturing = false;
    if (r == 0) {
        r = engine.made == NULL ? -EIO : vtpm_store_write(store, engine.made, engine.made_bytes);
    }
    if (engine.made != NULL) {
        explicit_bzero(engine.made, engine.made_bytes); // seeds
    }
    free(engine.made);
    engine.made = NULL;
    log_write(r == 0 ? LOG_INFO : LOG_ERROR, AREA, "a new TPM %s",
              r == 0 ? "was manufactured" : "could not be manufactured");
    return r;
}

/// Brings the store to a good state, as far as the policy allows.
static int make_good(struct vtpm_store *store, const struct vtpm_engine_policy *policy) {
    int r;

    if (store->kind == VTPM_STORE_GOOD &&
        TPMLIB_ValidateState(TPMLIB_STATE_PERMANENT, 0) != TPM_SUCCESS) {
        log_write(LOG_ERROR, AREA, "state is corrupted: libtpms does not accept it");
        store->kind = VTPM_STORE_CORRUPT;
    }
    if (store->kind == VTPM_STORE_CORRUPT) {
        if (!policy->manufacture_if_corrupt) {
            log_write(LOG_ERROR, AREA, "the state is left as it is; the TPM is in failure mode");
            return -EBADMSG;
        }
        r = vtpm_store_set_aside(store);
        if (r != 0) {
            log_write(LOG_ERROR, AREA, "cannot keep corrupted state aside: %s", strerror(-r));
            return -EBADMSG;
        }
        log_write(LOG_WARN, AREA, "corrupted state is kept aside; keys sealed to it are lost");
    }
    if (store->kind == VTPM_STORE_BLANK) {
        return policy->never_manufacture ? -ENOENT : manufacture(store, policy->make_identity);
    }
    return 0;
}

static int fail(int error) {
    engine.failed = true;
    return error;
}

/// _TPM_Init, and what firmware does then. A self-test that fails puts the TPM into its failure
/// mode: the guest finds that out by itself.
static int power_on(void) {
    if (TPMLIB_MainInit() != TPM_SUCCESS) {
        return fail(-EIO);
    }
    if (engine.plays_firmware) {
        if (!provision(cmd_startup, sizeof(cmd_startup), false) ||
            !provision(cmd_self_test, sizeof(cmd_self_test), false)) {
            log_write(LOG_ERROR, AREA, "the TPM's self-test failed");
        } else if (!measure() || !close_platform()) {
            return fail(-EIO); // the guest could say what it likes, or own the platform
        }
    }
    engine.fresh = true;
    return 0;
}

int vtpm_engine_power_cycle(void) {
    if (engine.failed) {
        return -EIO;
    }
    if (engine.fresh) {
        return 0; // nothing that could be undone
    }
    TPMLIB_Terminate();
    if (power_on() != 0) {
        log_write(LOG_ERROR, AREA, "the TPM does not start again");
        return -EIO;
    }
    return 0;
}

int vtpm_engine_start(struct vtpm_store *store, const struct vtpm_engine_policy *policy) {
    struct libtpms_callbacks callbacks = {
        .sizeOfStruct = sizeof(callbacks),
        .tpm_nvram_init = nvram_init,
        .tpm_nvram_loaddata = nvram_load,
        .tpm_nvram_storedata = nvram_store,
        .tpm_nvram_deletename = nvram_delete,
        .tpm_io_init = io_init,
        .tpm_io_getlocality = io_locality,
        .tpm_io_getphysicalpresence = io_physical_presence,
    };
    int r;

    engine.store = store;
    engine.plays_firmware = policy->play_firmware;
    engine.events = policy->events;
    if (TPMLIB_ChooseTPMVersion(TPMLIB_TPM_VERSION_2) != TPM_SUCCESS ||
        TPMLIB_RegisterCallbacks(&callbacks) != TPM_SUCCESS) {
        return fail(-EIO);
    }
    TPMLIB_SetBufferSize(TPM_IO_BYTES, NULL, NULL);
    r = make_good(store, policy);
    if (r != 0) {
        return fail(r);
    }
    return power_on();
}

void vtpm_engine_stop(void) {
    if (!engine.failed) {
        TPMLIB_Terminate();
    }
    free(engine.response);
    engine.response = NULL;
}
