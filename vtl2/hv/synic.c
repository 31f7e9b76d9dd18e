// SPDX-License-Identifier: MIT
//
// The synthetic interrupt controller (TLFS, "Virtual Interrupt Control": SynIC MSRs, SIM and SIEF
// pages).
#include "vtl2/hv/synic.h"

#include <errno.h>
#include <string.h>

#define SCONTROL_ENABLE UINT64_C(1)
#define SVERSION        UINT64_C(1)
#define ALL_SINTS       0xFFFFu
/// Lower vectors belong to the processor's exceptions.
#define FIRST_VECTOR 16u
#define SINT_MASK                                                                                  \
    (HV_SINT_VECTOR_MASK | HV_SINT_MASKED | HV_SINT_AUTO_EOI | HV_SINT_POLLING |                   \
     HV_SINT_AS_INTERCEPT | HV_SINT_PROXY)
#define PAGE_MSR_MASK (HV_MSR_PAGE_ENABLE | HV_MSR_PAGE_GPA_MASK)

_Static_assert(offsetof(struct hv_message_header, type) == 0, "written last, as one word");

static void clear(struct hv_synic *synic) {
    synic->state = (struct hv_synic_state){.version = HV_SYNIC_STATE_VERSION};
    for (unsigned i = 0; i < HV_SINT_COUNT; i++) {
        synic->state.sint[i] = HV_SINT_MASKED;
    }
}

void hv_synic_init(struct hv_synic *synic, const struct hv_synic_ops *ops, void *ctx) {
    synic->ops = ops;
    synic->ctx = ctx;
    clear(synic);
}

/// Takes a page away. That it cannot be done is nothing that a reset could mend.
static void drop_page(struct hv_synic *synic, enum hv_synic_page which, uint64_t msr) {
    if ((msr & HV_MSR_PAGE_ENABLE) != 0) {
        (void)synic->ops->set_page(synic->ctx, which, false, gpa(msr & HV_MSR_PAGE_GPA_MASK));
    }
}

void hv_synic_reset(struct hv_synic *synic) {
    drop_page(synic, HV_SYNIC_SIMP, synic->state.simp);
    drop_page(synic, HV_SYNIC_SIEFP, synic->state.siefp);
    clear(synic);
}

/// The SINTs among these on which somebody waits to post are told about, once.
static void tell_ready(struct hv_synic *synic, uint32_t sints) {
    uint32_t ready = synic->state.waiting_sints & sints;

    if (ready != 0) {
        synic->state.waiting_sints &= ~ready;
        synic->ops->ready(synic->ctx, ready);
    }
}

void hv_synic_eoi(struct hv_synic *synic) {
    tell_ready(synic, ALL_SINTS);
}

// ---- state --------------------------------------------------------------------------------------

void hv_synic_save(const struct hv_synic *synic, struct hv_synic_state *out) {
    *out = synic->state;
}

static bool sint_is_legal(uint64_t value) {
    bool delivers = (value & (HV_SINT_MASKED | HV_SINT_POLLING)) == 0;

    return !delivers || (value & HV_SINT_VECTOR_MASK) >= FIRST_VECTOR;
}

int hv_synic_load(struct hv_synic *synic, const struct hv_synic_state *in) {
    bool enable_simp = (in->simp & HV_MSR_PAGE_ENABLE) != 0;
    bool enable_siefp = (in->siefp & HV_MSR_PAGE_ENABLE) != 0;

    if (in->version != HV_SYNIC_STATE_VERSION || (in->waiting_sints & ~ALL_SINTS) != 0 ||
        (in->scontrol & ~SCONTROL_ENABLE) != 0 || ((in->simp | in->siefp) & ~PAGE_MSR_MASK) != 0) {
        return -EINVAL;
    }
    for (unsigned i = 0; i < HV_SINT_COUNT; i++) {
        if ((in->sint[i] & ~SINT_MASK) != 0 || !sint_is_legal(in->sint[i])) {
            return -EINVAL;
        }
    }
    hv_synic_reset(synic);
    if (enable_simp && !synic->ops->set_page(synic->ctx, HV_SYNIC_SIMP, true,
                                             gpa(in->simp & HV_MSR_PAGE_GPA_MASK))) {
        return -EINVAL;
    }
    synic->state.simp = in->simp;
    if (enable_siefp && !synic->ops->set_page(synic->ctx, HV_SYNIC_SIEFP, true,
                                              gpa(in->siefp & HV_MSR_PAGE_GPA_MASK))) {
        hv_synic_reset(synic);
        return -EINVAL;
    }
    synic->state = *in;
    return 0;
}

// ---- MSRs ---------------------------------------------------------------------------------------

int hv_synic_read_msr(const struct hv_synic *synic, uint32_t index, uint64_t *out) {
    if (index >= HV_MSR_SINT0 && index <= HV_MSR_SINT15) {
        *out = synic->state.sint[index - HV_MSR_SINT0];
        return 0;
    }
    switch (index) {
    case HV_MSR_SCONTROL:
        *out = synic->state.scontrol;
        return 0;
    case HV_MSR_SVERSION:
        *out = SVERSION;
        return 0;
    case HV_MSR_SIEFP:
        *out = synic->state.siefp;
        return 0;
    case HV_MSR_SIMP:
        *out = synic->state.simp;
        return 0;
    case HV_MSR_EOM:
        *out = 0;
        return 0;
    default:
        return -ENOENT;
    }
}

/// SIMP and SIEFP: reserved bits 11:1 are kept as written 0 (TLFS: should be preserved).
static int write_page(struct hv_synic *synic, enum hv_synic_page which, uint64_t *msr,
                      uint64_t value) {
    bool enable = (value & HV_MSR_PAGE_ENABLE) != 0;

    value &= PAGE_MSR_MASK;
    if (value == *msr) {
        return 0;
    }
    if (enable || (*msr & HV_MSR_PAGE_ENABLE) != 0) {
        if (!synic->ops->set_page(synic->ctx, which, enable, gpa(value & HV_MSR_PAGE_GPA_MASK))) {
            return -EPERM;
        }
    }
    *msr = value;
    if (enable) {
        tell_ready(synic, ALL_SINTS);
    }
    return 0;
}

static int write_sint(struct hv_synic *synic, unsigned sint, uint64_t value) {
    value &= SINT_MASK;
    if (!sint_is_legal(value)) {
        return -EPERM;
    }
    synic->state.sint[sint] = value;
    if ((value & HV_SINT_MASKED) == 0) {
        tell_ready(synic, 1u << sint);
    }
    return 0;
}

int hv_synic_write_msr(struct hv_synic *synic, uint32_t index, uint64_t value) {
    if (index >= HV_MSR_SINT0 && index <= HV_MSR_SINT15) {
        return write_sint(synic, index - HV_MSR_SINT0, value);
    }
    switch (index) {
    case HV_MSR_SCONTROL:
        synic->state.scontrol = value & SCONTROL_ENABLE;
        if (synic->state.scontrol != 0) {
            tell_ready(synic, ALL_SINTS);
        }
        return 0;
    case HV_MSR_SVERSION:
        return -EPERM; // read-only
    case HV_MSR_SIEFP:
        return write_page(synic, HV_SYNIC_SIEFP, &synic->state.siefp, value);
    case HV_MSR_SIMP:
        return write_page(synic, HV_SYNIC_SIMP, &synic->state.simp, value);
    case HV_MSR_EOM:
        tell_ready(synic, ALL_SINTS);
        return 0;
    default:
        return -ENOENT;
    }
}

// ---- delivery -----------------------------------------------------------------------------------

static void raise(struct hv_synic *synic, unsigned sint) {
    uint64_t value = synic->state.sint[sint];

    if ((value & (HV_SINT_MASKED | HV_SINT_POLLING)) == 0) {
        synic->ops->interrupt(synic->ctx, (uint8_t)(value & HV_SINT_VECTOR_MASK));
    }
}

/// The page, if SynIC, page and SINT are all on.
static void *usable_page(struct hv_synic *synic, enum hv_synic_page which, unsigned sint) {
    uint64_t msr = which == HV_SYNIC_SIMP ? synic->state.simp : synic->state.siefp;

    if (synic->state.scontrol == 0 || (msr & HV_MSR_PAGE_ENABLE) == 0 ||
        (synic->state.sint[sint] & HV_SINT_MASKED) != 0) {
        return NULL;
    }
    return synic->ops->page(synic->ctx, which);
}

/// The page is aligned as ops.page says, so that the word is.
static uint32_t *slot_type(void *slot) {
    return slot;
}

/// Whether the slot is empty. When it is not, the guest is asked for an EOM; it may have emptied
/// the slot before it could see that, so that the slot is looked at again.
static bool claim_slot(struct hv_message *slot) {
    if (__atomic_load_n(slot_type(slot), __ATOMIC_SEQ_CST) == HV_MESSAGE_NONE) {
        return true;
    }
    __atomic_fetch_or(&slot->header.flags, HV_MESSAGE_FLAG_PENDING, __ATOMIC_SEQ_CST);
    return __atomic_load_n(slot_type(slot), __ATOMIC_SEQ_CST) == HV_MESSAGE_NONE;
}

int hv_synic_post(struct hv_synic *synic, unsigned sint, uint32_t type, uint64_t sender,
                  const void *payload, size_t size_bytes) {
    struct hv_message_page *page;
    struct hv_message *slot;

    if (sint >= HV_SINT_COUNT || size_bytes > HV_MESSAGE_PAYLOAD_BYTES || type == HV_MESSAGE_NONE) {
        return -EINVAL;
    }
    page = usable_page(synic, HV_SYNIC_SIMP, sint);
    if (page == NULL || !claim_slot(&page->slot[sint])) {
        synic->state.waiting_sints |= 1u << sint;
        return -EAGAIN;
    }
    slot = &page->slot[sint];
    // Others may wait for the same slot: their posts set the flag anew when they fail.
    memcpy(slot->payload, payload, size_bytes);
    slot->header.payload_size_bytes = (uint8_t)size_bytes;
    slot->header.flags = 0;
    memset(slot->header.reserved, 0, sizeof(slot->header.reserved));
    slot->header.sender = sender;
    // The type makes it a message: after all the rest.
    __atomic_store_n(slot_type(slot), type, __ATOMIC_SEQ_CST);
    raise(synic, sint);
    return 0;
}

int hv_synic_signal(struct hv_synic *synic, unsigned sint, unsigned flag) {
    struct hv_event_flags_page *page;
    uint8_t bit = (uint8_t)(1u << flag % 8);
    uint8_t old;

    if (sint >= HV_SINT_COUNT || flag >= HV_EVENT_FLAG_COUNT) {
        return -EINVAL;
    }
    page = usable_page(synic, HV_SYNIC_SIEFP, sint);
    if (page == NULL) {
        return -EAGAIN;
    }
    old = __atomic_fetch_or(&page->flags[sint][flag / 8], bit, __ATOMIC_SEQ_CST);
    if ((old & bit) == 0) {
        raise(synic, sint);
    }
    return 0;
}

bool hv_synic_is_auto_eoi(const struct hv_synic *synic, uint8_t vector) {
    for (unsigned i = 0; i < HV_SINT_COUNT; i++) {
        uint64_t value = synic->state.sint[i];

        if ((value & HV_SINT_VECTOR_MASK) == vector &&
            (value & (HV_SINT_MASKED | HV_SINT_AUTO_EOI)) == HV_SINT_AUTO_EOI) {
            return true;
        }
    }
    return false;
}
