// SPDX-License-Identifier: MIT
//
// Interrupt controllers: Intel 8259A data sheet (231468-003), MCS-86 mode; edge/level control
// registers as in the ISA bridges that followed EISA (82371SB, section 2.5.6).
//
// The slave's INT is IR2 of the master and is treated as a level. The processor acknowledges only
// while INT is high, so the vector for a request that went away (IR7) does not come. Buffered mode
// and MCS-80 mode are not there: a PC has neither.
#include "devices/pic.h"

#include <string.h>

#define MASTER 0u
#define SLAVE  1u

#define PORT_MASTER 0x20u
#define PORT_SLAVE  0xA0u
#define PORT_ELCR   0x4D0u

// Command words: ICW1, OCW2 and OCW3 share the even port.
#define ICW1_IC4     (1u << 0) ///< ICW4 comes
#define ICW1_SNGL    (1u << 1) ///< no ICW3
#define ICW1_SELECT  (1u << 4)
#define ICW2_VECTOR  0xF8u
#define ICW4_AEOI    (1u << 1)
#define ICW4_SFNM    (1u << 4)
#define OCW3_SELECT  (1u << 3)
#define OCW3_RIS     (1u << 0)
#define OCW3_RR      (1u << 1)
#define OCW3_POLL    (1u << 2)
#define OCW3_SMM     (1u << 5)
#define OCW3_ESMM    (1u << 6)
#define OCW2_LEVEL   0x07u
#define OCW2_EOI     (1u << 5)
#define OCW2_SL      (1u << 6)
#define OCW2_R       (1u << 7)
#define POLL_REQUEST (1u << 7)

#define NO_IR    8u
#define SPURIOUS 7u ///< the answer to an acknowledge without a request

/// Lines that may be level-triggered: not 0, 1, 2, 8 and 13.
static const uint8_t elcr_writable[PIC_CHIPS] = {0xF8, 0xDE};

static const struct state_field fields[] = {
    STATE_ARRAY(1, struct pic_state, irr, U8, PIC_CHIPS, PUBLIC, 0, 0),
    STATE_ARRAY(2, struct pic_state, isr, U8, PIC_CHIPS, PUBLIC, 0, 0),
    STATE_ARRAY(3, struct pic_state, imr, U8, PIC_CHIPS, PUBLIC, 0xFF, 0),
    STATE_ARRAY(4, struct pic_state, elcr, U8, PIC_CHIPS, PUBLIC, 0, 0xFE),
    STATE_ARRAY(5, struct pic_state, seen, U8, PIC_CHIPS, PUBLIC, 0, 0),
    STATE_ARRAY(6, struct pic_state, icw1, U8, PIC_CHIPS, PUBLIC, ICW1_SELECT | ICW1_IC4, 0),
    STATE_ARRAY(7, struct pic_state, icw2, U8, PIC_CHIPS, PUBLIC, 0, ICW2_VECTOR),
    STATE_ARRAY(8, struct pic_state, icw3, U8, PIC_CHIPS, PUBLIC, 0, 0),
    STATE_ARRAY(9, struct pic_state, icw4, U8, PIC_CHIPS, PUBLIC, 0, 0),
    STATE_ARRAY(10, struct pic_state, next_icw, U8, PIC_CHIPS, PUBLIC, 0, 4),
    STATE_ARRAY(11, struct pic_state, lowest, U8, PIC_CHIPS, PUBLIC, 7, 7),
    STATE_ARRAY(12, struct pic_state, ocw3, U8, PIC_CHIPS, PUBLIC, 0, OCW3_RIS | OCW3_SMM),
    STATE_ARRAY(13, struct pic_state, poll, U8, PIC_CHIPS, PUBLIC, 0, 1),
    STATE_ARRAY(14, struct pic_state, rotate_aeoi, U8, PIC_CHIPS, PUBLIC, 0, 1),
};

static const struct state_table table = {
    .name = "pic",
    .version = 1,
    .field_count = ARRAY_COUNT(fields),
    .struct_bytes = sizeof(struct pic_state),
    .fields = fields,
};

// ---- priorities ----

/// The IR of the highest priority among these; NO_IR when there is none. Priority falls from the IR
/// behind the lowest one round to it.
static unsigned highest(uint8_t irs, uint8_t lowest) {
    for (unsigned i = 1; i <= 8; i++) {
        unsigned ir = (lowest + i) & 7;

        if (irs >> ir & 1) {
            return ir;
        }
    }
    return NO_IR;
}

static unsigned rank(unsigned ir, uint8_t lowest) {
    return ir == NO_IR ? 8 : (ir - lowest - 1) & 7;
}

/// The request that the chip signals now, or NO_IR. In special mask mode an interrupt in service
/// that is masked holds nothing back; in special fully nested mode the master's cascade does not
/// hold back the slave.
static unsigned pending(const struct pic_state *st, unsigned chip) {
    uint8_t isr = st->isr[chip];
    unsigned ir = highest(st->irr[chip] & (uint8_t)~st->imr[chip], st->lowest[chip]);

    if (st->ocw3[chip] & OCW3_SMM) {
        isr &= (uint8_t)~st->imr[chip];
    }
    if (chip == MASTER && (st->icw4[chip] & ICW4_SFNM)) {
        isr &= (uint8_t) ~(1u << PIC_CASCADE);
    }
    // An interrupt in service holds back its own IR and all below it.
    return rank(ir, st->lowest[chip]) < rank(highest(isr, st->lowest[chip]), st->lowest[chip])
               ? ir
               : NO_IR;
}

/// Requests from the lines, the cascade, and the INT output.
static void sync(struct pic *pic) {
    struct pic_state *st = &pic->state;
    bool intr;

    for (unsigned chip = 0; chip < PIC_CHIPS; chip++) {
        uint8_t pins = pic->pins[chip];
        uint8_t edges = pins & (uint8_t)~st->seen[chip];

        // An edge's request goes away with its line (figure 9); a level's follows it.
        st->irr[chip] = (uint8_t)((st->irr[chip] | edges | st->elcr[chip]) & pins);
        st->seen[chip] = pins;
    }
    if (pending(st, SLAVE) != NO_IR) {
        st->irr[MASTER] |= 1u << PIC_CASCADE;
    }
    intr = pending(st, MASTER) != NO_IR;
    if (intr != pic->intr) {
        pic->intr = intr;
        pic->set_intr(pic->set_intr_ctx, intr);
    }
}

void pic_set_line(struct pic *pic, uint32_t line, bool level) {
    uint8_t bit = (uint8_t)(1u << (line & 7));
    uint8_t *pins = &pic->pins[line >> 3 & 1];

    if (line >= PIC_LINES || line == PIC_CASCADE) {
        return;
    }
    pthread_mutex_lock(&pic->device.lock);
    *pins = (uint8_t)(level ? *pins | bit : *pins & ~bit);
    sync(pic);
    pthread_mutex_unlock(&pic->device.lock);
}

// ---- acknowledge ----

/// What the INTA cycle does to one chip; returns the IR that it answers with.
static unsigned acknowledge(struct pic_state *st, unsigned chip) {
    unsigned ir = pending(st, chip);

    if (ir == NO_IR) {
        return SPURIOUS; // nothing in service
    }
    if (!(st->elcr[chip] >> ir & 1)) {
        st->irr[chip] &= (uint8_t) ~(1u << ir);
    }
    if (!(st->icw4[chip] & ICW4_AEOI)) {
        st->isr[chip] |= (uint8_t)(1u << ir);
    } else if (st->rotate_aeoi[chip]) {
        st->lowest[chip] = (uint8_t)ir;
    }
    return ir;
}

int pic_acknowledge(struct pic *pic) {
    struct pic_state *st = &pic->state;
    int vector = -1;

    pthread_mutex_lock(&pic->device.lock);
    if (pic->intr) {
        unsigned ir = acknowledge(st, MASTER);

        vector = (int)(st->icw2[MASTER] + ir);
        if (ir == PIC_CASCADE) {
            vector = (int)(st->icw2[SLAVE] + acknowledge(st, SLAVE));
        }
        sync(pic);
    }
    pthread_mutex_unlock(&pic->device.lock);
    return vector;
}

// ---- registers ----

/// ICW1 starts the initialisation: edge detectors, mask, priorities and modes as in the data
/// sheet's list a) to f). A line that is high needs a new edge, so what was seen stays.
static void start_init(struct pic_state *st, unsigned chip, uint8_t icw1) {
    st->icw1[chip] = icw1;
    st->irr[chip] = 0;
    st->isr[chip] = 0;
    st->imr[chip] = 0;
    st->lowest[chip] = 7;
    st->ocw3[chip] = 0;
    st->poll[chip] = 0;
    st->rotate_aeoi[chip] = 0;
    if (!(icw1 & ICW1_IC4)) {
        st->icw4[chip] = 0;
    }
    st->next_icw[chip] = 2;
}

static void write_icw(struct pic_state *st, unsigned chip, uint8_t value) {
    bool has_icw4 = st->icw1[chip] & ICW1_IC4;

    switch (st->next_icw[chip]) {
    case 2:
        st->icw2[chip] = value & ICW2_VECTOR;
        st->next_icw[chip] = !(st->icw1[chip] & ICW1_SNGL) ? 3 : has_icw4 ? 4 : 0;
        break;
    case 3:
        st->icw3[chip] = value;
        st->next_icw[chip] = has_icw4 ? 4 : 0;
        break;
    default:
        st->icw4[chip] = value;
        st->next_icw[chip] = 0;
        break;
    }
}

/// OCW2: R, SL and EOI in any combination; all eight have a meaning (table "Operation Command
/// Words").
static void write_ocw2(struct pic_state *st, unsigned chip, uint8_t value) {
    unsigned ir = value & OCW2_LEVEL;
    uint8_t in_service = st->isr[chip];

    if (!(value & (OCW2_SL | OCW2_EOI))) {
        st->rotate_aeoi[chip] = (value & OCW2_R) != 0;
        return;
    }
    if (!(value & OCW2_SL)) {
        // The highest in service, but none that special mask mode has set aside.
        if (st->ocw3[chip] & OCW3_SMM) {
            in_service &= (uint8_t)~st->imr[chip];
        }
        ir = highest(in_service, st->lowest[chip]);
        if (ir == NO_IR) {
            return;
        }
    }
    if (value & OCW2_EOI) {
        st->isr[chip] &= (uint8_t) ~(1u << ir);
    }
    if (value & OCW2_R) {
        st->lowest[chip] = (uint8_t)ir;
    }
}

static void write_ocw3(struct pic_state *st, unsigned chip, uint8_t value) {
    if (value & OCW3_POLL) {
        st->poll[chip] = 1;
    }
    if (value & OCW3_RR) {
        st->ocw3[chip] = (uint8_t)((st->ocw3[chip] & ~OCW3_RIS) | (value & OCW3_RIS));
    }
    if (value & OCW3_ESMM) {
        st->ocw3[chip] = (uint8_t)((st->ocw3[chip] & ~OCW3_SMM) | (value & OCW3_SMM));
    }
}

static void write_chip(struct pic_state *st, unsigned chip, bool odd, uint8_t value) {
    if (odd && st->next_icw[chip] != 0) {
        write_icw(st, chip, value);
    } else if (odd) {
        st->imr[chip] = value;
    } else if (value & ICW1_SELECT) {
        start_init(st, chip, value);
    } else if (value & OCW3_SELECT) {
        write_ocw3(st, chip, value);
    } else {
        write_ocw2(st, chip, value);
    }
}

/// A poll is an acknowledge whose answer comes on the data bus.
static uint8_t read_chip(struct pic_state *st, unsigned chip, bool odd) {
    if (st->poll[chip]) {
        bool request = pending(st, chip) != NO_IR;

        st->poll[chip] = 0;
        return (uint8_t)(request ? POLL_REQUEST | acknowledge(st, chip) : 0);
    }
    if (odd) {
        return st->imr[chip];
    }
    return st->ocw3[chip] & OCW3_RIS ? st->isr[chip] : st->irr[chip];
}

static enum bus_result chip_access(struct pic *pic, unsigned chip, struct bus_access *access) {
    bool odd = access->offset == 1;

    if (access->size != 1) {
        return BUS_NOT_MINE;
    }
    if (access->is_write) {
        write_chip(&pic->state, chip, odd, (uint8_t)access->value);
    } else {
        access->value = read_chip(&pic->state, chip, odd);
    }
    sync(pic);
    return BUS_OK;
}

static enum bus_result master_access(void *self, struct bus_access *access) {
    return chip_access(self, MASTER, access);
}

static enum bus_result slave_access(void *self, struct bus_access *access) {
    return chip_access(self, SLAVE, access);
}

/// Both registers, also as one word.
static enum bus_result elcr_access(void *self, struct bus_access *access) {
    struct pic *pic = self;

    if (access->size > 2) {
        return BUS_NOT_MINE;
    }
    for (unsigned i = 0; i < access->size; i++) {
        uint8_t *elcr = &pic->state.elcr[access->offset + i]; // the bus has bounded both

        if (access->is_write) {
            *elcr = (uint8_t)(access->value >> (8 * i)) & elcr_writable[access->offset + i];
        } else {
            access->value |= (uint64_t)*elcr << (8 * i);
        }
    }
    sync(pic);
    return BUS_OK;
}

// ---- life ----

/// As firmware leaves it, for the chip itself has no reset: all masked. A line that is high is no
/// edge.
static void reset(void *self, device_reset_done_fn done, void *ctx) {
    struct pic *pic = self;

    state_reset(&table, &pic->state);
    memcpy(pic->state.seen, pic->pins, sizeof(pic->pins));
    pic->state.elcr[MASTER] = (uint8_t)pic->level_lines & elcr_writable[MASTER];
    pic->state.elcr[SLAVE] = (uint8_t)(pic->level_lines >> 8) & elcr_writable[SLAVE];
    sync(pic);
    done(ctx);
}

/// The lines are what the devices say, not what they were when the state was saved: sync() sees
/// what changed meanwhile as edges. The devices are loaded before the PIC.
static int after_load(void *self) {
    struct pic *pic = self;

    for (unsigned chip = 0; chip < PIC_CHIPS; chip++) {
        pic->state.elcr[chip] &= elcr_writable[chip];
        pic->state.icw2[chip] &= ICW2_VECTOR;
        pic->state.ocw3[chip] &= OCW3_RIS | OCW3_SMM;
    }
    sync(pic);
    return 0;
}

static const struct device_ops ops = {.state = &table, .reset = reset, .after_load = after_load};

int pic_init(struct pic *pic, const struct pic_config *config) {
    const struct bus_region regions[] = {
        {.start = PORT_MASTER, .size_bytes = 2, .fn = master_access, .name = "pic-master"},
        {.start = PORT_SLAVE, .size_bytes = 2, .fn = slave_access, .name = "pic-slave"},
        {.start = PORT_ELCR, .size_bytes = 2, .fn = elcr_access, .name = "pic-elcr"},
    };
    int result = 0;

    memset(pic, 0, sizeof(*pic));
    pic->set_intr = config->set_intr;
    pic->set_intr_ctx = config->set_intr_ctx;
    pic->level_lines = config->level_lines;
    device_init(&pic->device, "pic", &ops, pic, &pic->state);
    for (unsigned i = 0; result == 0 && i < ARRAY_COUNT(regions); i++) {
        struct bus_region region = regions[i];

        region.self = pic;
        region.lock = &pic->device.lock;
        result = bus_add(config->pio, &region);
    }
    return result;
}
