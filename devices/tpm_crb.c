// SPDX-License-Identifier: MIT
//
// TPM 2.0 command response buffer interface: TCG PC Client Platform TPM Profile (PTP) 1.05, section
// 6.5.3. Registers are decoded as aligned 32-bit words; an access of any size or alignment becomes
// up to three of them with byte masks. No register read has a side effect.
//
// The data buffer in the page is the device's own memory. What becomes of a command is in
// tpm_crb_command.c.

#include "devices/tpm_crb_internal.h"

#include "igvm/base/bytes.h"
#include "igvm/base/log.h"

#include <errno.h>
#include <string.h>

// Registers, PTP 1.05 table "CRB interface": offsets in each locality's page.
#define LOC_STATE    0x00u
#define LOC_CTRL     0x08u
#define LOC_STS      0x0Cu
#define INTF_ID_LOW  0x30u
#define INTF_ID_HIGH 0x34u
#define CTRL_REQ     0x40u
#define CTRL_STS     0x44u
#define CTRL_CANCEL  0x48u
#define CTRL_START   0x4Cu
#define CMD_SIZE     0x58u
#define CMD_ADDR     0x5Cu // low half; the high half follows
#define RSP_SIZE     0x64u
#define RSP_ADDR     0x68u // low half; the high half follows
// Everything else below the data buffer reads as zero: CTRL_EXT (0x38, nothing to clear),
// INT_ENABLE and INT_STS (0x50, 0x54, no interrupts), reserved words.

#define LOC_STATE_NOT_ESTABLISHED (1u << 0) // no dynamic launch has happened
#define LOC_STATE_ASSIGNED        (1u << 1)
#define LOC_STATE_ACTIVE_SHIFT    2
#define LOC_STATE_VALID           (1u << 7)
#define LOC_CTRL_REQUEST          (1u << 0)
#define LOC_CTRL_RELINQUISH       (1u << 1)
#define LOC_CTRL_SEIZE            (1u << 2)
#define LOC_STS_GRANTED           (1u << 0)
#define LOC_STS_SEIZED            (1u << 1)
#define CTRL_REQ_READY            (1u << 0)
#define CTRL_REQ_IDLE             (1u << 1)
#define CTRL_STS_IDLE             (1u << 1)

// INTF_ID: type 1 and version 1 (CRB), five localities, transfers of 64 bytes, CRB capable and
// selected, the selector locked. Revision 0, vendor 1414h, device 0001h.
#define INTF_ID_LOW_VALUE  (1u | 1u << 4 | 1u << 8 | 3u << 11 | 1u << 14 | 1u << 17 | 1u << 19)
#define INTF_ID_HIGH_VALUE 0x00011414u

// Locality 4 belongs to the chipset's dynamic launch; software never reaches it.
#define SOFTWARE_LOCALITIES 4u

static const struct state_field tpm_crb_fields[] = {
    STATE_SCALAR(1, struct tpm_crb_state, phase, U8, PUBLIC, TPM_CRB_IDLE, TPM_CRB_COMPLETION),
    STATE_SCALAR(2, struct tpm_crb_state, active_locality, U8, PUBLIC, TPM_CRB_NO_LOCALITY, 0),
    STATE_SCALAR(3, struct tpm_crb_state, requests, U8, PUBLIC, 0, 0xF),
    STATE_SCALAR(4, struct tpm_crb_state, seized, U8, PUBLIC, 0, 0xF),
    STATE_SCALAR(5, struct tpm_crb_state, cancel, U8, PUBLIC, 0, 1),
    // Commands carry authorisation values.
    STATE_BYTE_ARRAY(6, struct tpm_crb_state, data, TPM_CRB_DATA_BYTES, SECRET),
    STATE_SCALAR(7, struct tpm_crb_state, from_ram, U8, PUBLIC, 0, 1),
    STATE_SCALAR(8, struct tpm_crb_state, ram_gpa, U64, GUEST, 0, 0),
};

static const struct state_table tpm_crb_table = {
    .name = "tpm-crb",
    .version = 1,
    .field_count = sizeof(tpm_crb_fields) / sizeof(tpm_crb_fields[0]),
    .struct_bytes = sizeof(struct tpm_crb_state),
    .fields = tpm_crb_fields,
};

// ---- localities (PTP 1.05 section 6.5.3.4)
// -------------------------------------------------------

/// Makes a locality the active one; with it, its wait and its beenSeized end.
static void grant(struct tpm_crb *crb, uint8_t locality) {
    crb->state.active_locality = locality;
    crb->state.requests &= 0xFFu ^ 1u << locality;
    crb->state.seized &= 0xFFu ^ 1u << locality;
}

static void relinquish(struct tpm_crb *crb, uint8_t locality) {
    crb->state.requests &= 0xFFu ^ 1u << locality;
    if (crb->state.active_locality != locality) {
        return;
    }
    tpm_crb_go_idle(crb);
    crb->state.active_locality = TPM_CRB_NO_LOCALITY;
    for (int next = SOFTWARE_LOCALITIES - 1; next >= 0; next--) {
        if (crb->state.requests & (1u << next)) {
            grant(crb, (uint8_t)next);
            return;
        }
    }
}

static void seize(struct tpm_crb *crb, uint8_t locality) {
    uint8_t active = crb->state.active_locality;

    if (active != TPM_CRB_NO_LOCALITY) {
        if (active >= locality) {
            return; // only a higher locality may
        }
        crb->state.seized |= (uint8_t)(1u << active);
        tpm_crb_go_idle(crb);
    }
    grant(crb, locality);
}

static void write_loc_ctrl(struct tpm_crb *crb, uint8_t locality, uint32_t value) {
    if (locality >= SOFTWARE_LOCALITIES) {
        LOG_LIMITED(LOG_WARN, AREA, "the guest asks for locality %u", locality);
        return;
    }
    switch (value & (LOC_CTRL_REQUEST | LOC_CTRL_RELINQUISH | LOC_CTRL_SEIZE)) {
    case LOC_CTRL_REQUEST:
        if (crb->state.active_locality == TPM_CRB_NO_LOCALITY) {
            grant(crb, locality);
        } else if (crb->state.active_locality != locality) {
            crb->state.requests |= (uint8_t)(1u << locality);
        }
        break;
    case LOC_CTRL_RELINQUISH:
        relinquish(crb, locality);
        break;
    case LOC_CTRL_SEIZE:
        seize(crb, locality);
        break;
    default: // none, or a combination, which has no meaning; resetEstablishment: nothing to reset
        break;
    }
}

// ---- control area
// --------------------------------------------------------------------------------

/// Both transitions are instantaneous, so that CTRL_REQ always reads as zero.
static void write_ctrl_req(struct tpm_crb *crb, uint32_t value) {
    if (crb->state.phase == TPM_CRB_EXECUTION) {
        return;
    }
    if (value == CTRL_REQ_READY) {
        // A second command without going idle in between is allowed: the stricter reading of
        // CapCRBIdleBypass = 0 would only lose commands.
        tpm_crb_forget(crb);
        crb->state.cancel = 0;
        crb->state.phase = TPM_CRB_READY;
    } else if (value == CTRL_REQ_IDLE) {
        tpm_crb_go_idle(crb);
    }
}

static void write_register(struct tpm_crb *crb, uint8_t locality, uint32_t off, uint32_t value,
                           uint32_t mask) {
    if (off == LOC_CTRL) {
        write_loc_ctrl(crb, locality, value);
        return;
    }
    if (crb->state.active_locality != locality) {
        return;
    }
    switch (off) {
    case CTRL_REQ:
        write_ctrl_req(crb, value);
        break;
    case CTRL_CANCEL:
        if (mask & 1u) {
            crb->state.cancel = value & 1u;
            tpm_crb_cancel(crb);
        }
        break;
    case CTRL_START:
        if (value & 1u) {
            tpm_crb_start(crb);
        }
        break;
    default: // read-only or reserved
        break;
    }
}

/// In Ready and Reception the interface takes a command, and in Completion too: Linux asks for
/// Ready once and then sends several commands. The mask says which bytes.
static void write_data(struct tpm_crb *crb, uint8_t locality, uint32_t off, uint32_t value,
                       uint32_t mask) {
    uint8_t *to = crb->state.data + (off - TPM_CRB_DATA_OFF);

    if (crb->state.active_locality != locality || crb->state.phase == TPM_CRB_IDLE ||
        crb->state.phase == TPM_CRB_EXECUTION) {
        return;
    }
    if (crb->state.phase == TPM_CRB_COMPLETION) {
        tpm_crb_forget(crb); // nothing of the response becomes part of the next command
        crb->state.cancel = 0;
    }
    store_le32(to, (load_le32(to) & ~mask) | value);
    crb->state.phase = TPM_CRB_RECEPTION;
}

static uint64_t buffer_gpa(const struct tpm_crb *crb, uint8_t locality) {
    return crb->memory ? crb->ram_gpa.value
                       : TPM_CRB_GPA + locality * TPM_CRB_LOCALITY_BYTES + TPM_CRB_DATA_OFF;
}

/// The word at off (a multiple of 4) of a locality's page. Status is shown to every locality, the
/// data buffer only to the active one: commands and responses carry secrets.
static uint32_t read_word(const struct tpm_crb *crb, uint8_t locality, uint32_t off) {
    const struct tpm_crb_state *s = &crb->state;
    bool assigned = s->active_locality != TPM_CRB_NO_LOCALITY;

    if (off >= TPM_CRB_DATA_OFF) {
        return s->active_locality == locality ? load_le32(s->data + (off - TPM_CRB_DATA_OFF))
                                              : UINT32_MAX;
    }
    switch (off) {
    case LOC_STATE:
        return LOC_STATE_VALID | LOC_STATE_NOT_ESTABLISHED |
               (assigned
                    ? LOC_STATE_ASSIGNED | (uint32_t)s->active_locality << LOC_STATE_ACTIVE_SHIFT
                    : 0);
    case LOC_STS:
        return (s->active_locality == locality ? LOC_STS_GRANTED : 0) |
               (s->seized >> locality & 1u ? LOC_STS_SEIZED : 0);
    case INTF_ID_LOW:
        return INTF_ID_LOW_VALUE;
    case INTF_ID_HIGH:
        return INTF_ID_HIGH_VALUE;
    case CTRL_STS:
        return s->phase == TPM_CRB_IDLE ? CTRL_STS_IDLE : 0;
    case CTRL_CANCEL:
        return s->cancel;
    case CTRL_START:
        return s->phase == TPM_CRB_EXECUTION;
    case CMD_SIZE:
    case RSP_SIZE:
        return TPM_CRB_DATA_BYTES;
    case CMD_ADDR:
    case RSP_ADDR:
        return (uint32_t)(buffer_gpa(crb, locality) & UINT32_MAX);
    case CMD_ADDR + 4:
    case RSP_ADDR + 4:
        return (uint32_t)(buffer_gpa(crb, locality) >> 32);
    default:
        return 0;
    }
}

/// The data first: who reads from START that the command has ended finds its response.
void tpm_crb_publish(struct tpm_crb *crb) {
    if (crb->page == NULL) {
        return;
    }
    if (crb->state.active_locality == 0) {
        memcpy(crb->page + TPM_CRB_DATA_OFF, crb->state.data, TPM_CRB_DATA_BYTES);
    } else {
        memset(crb->page + TPM_CRB_DATA_OFF, 0xFF, TPM_CRB_DATA_BYTES);
    }
    for (uint32_t off = 0; off < TPM_CRB_DATA_OFF; off += 4) {
        uint32_t *word = __builtin_assume_aligned(crb->page + off, sizeof(*word));

        __atomic_store_n(word, read_word(crb, 0, off), __ATOMIC_RELEASE);
    }
}

/// Splits an access into aligned words. Shift arithmetic: byte i of the access stands at bit
/// 8 * (off + i - word) of its word.
static enum bus_result access_mmio(void *self, struct bus_access *access) {
    struct tpm_crb *crb = self;
    uint64_t end = access->offset + access->size;
    uint64_t result = 0;

    for (uint64_t word = access->offset & ~3ull; word < end; word += 4) {
        uint8_t locality = (uint8_t)(word / TPM_CRB_LOCALITY_BYTES);
        uint32_t off = (uint32_t)(word % TPM_CRB_LOCALITY_BYTES);
        uint64_t start = word > access->offset ? word : access->offset;
        uint64_t stop = word + 4 < end ? word + 4 : end;
        unsigned in_word = (unsigned)(start - word) * 8;             // bits
        unsigned in_access = (unsigned)(start - access->offset) * 8; // bits
        uint32_t ones = (uint32_t)(UINT32_MAX >> (32 - 8 * (stop - start)));

        if (access->is_write) {
            uint32_t value = (uint32_t)(access->value >> in_access & ones) << in_word;

            if (off >= TPM_CRB_DATA_OFF) {
                write_data(crb, locality, off, value, ones << in_word);
            } else {
                write_register(crb, locality, off, value, ones << in_word);
            }
        } else {
            result |= (uint64_t)(read_word(crb, locality, off) >> in_word & ones) << in_access;
        }
    }
    if (access->is_write) {
        tpm_crb_publish(crb);
    } else {
        access->value = result;
    }
    return BUS_OK;
}

// ---- reset, load, set-up
// -------------------------------------------------------------------------

static void power_cycled(void *owner, int64_t result) {
    struct tpm_crb *crb = owner;
    device_reset_done_fn done;
    void *ctx;

    if (result < 0) {
        log_write(LOG_ERROR, AREA, "the TPM did not restart: %s", strerror((int)-result));
    }
    pthread_mutex_lock(&crb->device.lock);
    done = crb->reset_done;
    ctx = crb->reset_ctx;
    crb->reset_done = NULL;
    pthread_mutex_unlock(&crb->device.lock);
    if (done) {
        done(ctx);
    }
}

/// The TPM's own reset (_TPM_Init) belongs to it: PCRs go back with the platform. A TPM that is
/// gone must not keep the machine from restarting: its commands will fail.
static void reset(void *self, device_reset_done_fn done, void *ctx) {
    struct tpm_crb *crb = self;
    int r = -EIO;

    crb->generation++;
    tpm_crb_cancel_in_flight(crb);
    tpm_crb_forget(crb);
    state_reset(&tpm_crb_table, &crb->state);
    tpm_crb_publish(crb);
    if (crb->backend != NULL) {
        crb->reset_done = done;
        crb->reset_ctx = ctx;
        r = crb->backend->ops->power_cycle(crb->backend, power_cycled, crb);
    }
    if (r != 0) {
        crb->reset_done = NULL;
        done(ctx);
    }
}

/// What runs may not be saved: it is awaited. A waiting command (behind an aborted one) goes first.
static void pause_device(void *self, device_reset_done_fn done, void *ctx) {
    struct tpm_crb *crb = self;

    if (!crb->in_flight) {
        done(ctx);
        return;
    }
    crb->pause_done = done;
    crb->pause_ctx = ctx;
}

static uint64_t own_ram_gpa(const struct tpm_crb *crb) {
    return crb->memory ? crb->ram_gpa.value : 0;
}

static void before_save(void *self) {
    struct tpm_crb *crb = self;

    crb->state.ram_gpa = own_ram_gpa(crb);
}

static int after_load(void *self) {
    struct tpm_crb *crb = self;
    struct tpm_crb_state *s = &crb->state;

    if (s->active_locality >= SOFTWARE_LOCALITIES && s->active_locality != TPM_CRB_NO_LOCALITY) {
        return -EINVAL;
    }
    if (s->active_locality == TPM_CRB_NO_LOCALITY && (s->phase != TPM_CRB_IDLE || s->requests)) {
        return -EINVAL;
    }
    if (s->ram_gpa == 0 ? s->from_ram : s->ram_gpa != own_ram_gpa(crb)) {
        return -EINVAL; // the guest would write commands elsewhere than we read them
    }
    if (s->phase == TPM_CRB_EXECUTION) {
        // Never saved after a pause. In a blob of other origin nobody knows whether the command
        // ran: running it again could extend a PCR twice.
        tpm_crb_complete_with(crb, TPM_RC_FAILURE);
    }
    tpm_crb_publish(crb);
    return 0;
}

static const struct device_ops tpm_crb_ops = {
    .state = &tpm_crb_table,
    .reset = reset,
    .after_load = after_load,
    .before_save = before_save,
    .pause = pause_device,
};

int tpm_crb_init(struct tpm_crb *crb, const struct tpm_crb_config *config, struct bus *mmio) {
    if (config->memory && (!is_aligned(config->ram_gpa.value, PAGE_SIZE_4K) ||
                           !guest_memory_is_ram(config->memory, config->ram_gpa, PAGE_SIZE_4K))) {
        return -EINVAL;
    }
    memset(crb, 0, sizeof(*crb));
    crb->backend = config->backend;
    crb->memory = config->memory;
    crb->ram_gpa = config->ram_gpa;
    crb->page = config->page;
    state_reset(&tpm_crb_table, &crb->state);
    tpm_crb_publish(crb);
    device_init(&crb->device, "tpm-crb", &tpm_crb_ops, crb, &crb->state);
    return bus_add(mmio, &(struct bus_region){
                             .start = TPM_CRB_GPA,
                             .size_bytes = TPM_CRB_BYTES,
                             .fn = access_mmio,
                             .self = crb,
                             .lock = &crb->device.lock,
                             .name = "tpm-crb",
                         });
}
