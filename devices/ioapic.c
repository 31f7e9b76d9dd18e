// SPDX-License-Identifier: MIT
//
// I/O APIC: Intel 82093AA data sheet (290566-001), section 3; EOI register and version 0x20 as in
// later chipsets (Intel 82801 data sheets, "EOIR"). Interrupt messages: Intel SDM volume 3,
// "Message Signalled Interrupts", whose format the chipsets use for the IOAPIC as well.
//
// A message is delivered at once, so delivery status is always idle and an edge needs no latch: on
// a masked pin it is lost (section 3.2.4, bit 16). Level-triggered pins send a message while they
// are asserted and remote IRR is clear; the EOI clears it.
#include "devices/ioapic.h"

#include "igvm/base/log.h"

#include <errno.h>
#include <string.h>

#define MMIO_BYTES 4096u

// Offsets in memory (section 3.1; EOIR).
#define OFF_IOREGSEL 0x00u
#define OFF_IOWIN    0x10u
#define OFF_EOI      0x40u

// Registers by index (section 3.2).
#define REG_ID      0x00u
#define REG_VERSION 0x01u
#define REG_ARB_ID  0x02u
#define REG_REDTBL  0x10u
#define ID_SHIFT    24u
#define ID_MASK     0x0Fu
#define VERSION     (0x20u | (IOAPIC_PINS - 1) << 16)

// Redirection entry.
#define RED_VECTOR      UINT64_C(0xFF)
#define RED_MODE_SHIFT  8u
#define RED_MODE        UINT64_C(0x700)
#define RED_LOGICAL     (UINT64_C(1) << 11)
#define RED_POLARITY    (UINT64_C(1) << 13)
#define RED_REMOTE_IRR  (UINT64_C(1) << 14)
#define RED_LEVEL       (UINT64_C(1) << 15)
#define RED_MASKED      (UINT64_C(1) << 16)
#define RED_DESTINATION (UINT64_C(0xFF) << 56)
#define RED_DEST_SHIFT  56u
#define RED_WRITABLE                                                                               \
    (RED_VECTOR | RED_MODE | RED_LOGICAL | RED_POLARITY | RED_LEVEL | RED_MASKED | RED_DESTINATION)

#define MODE_FIXED  0u
#define MODE_LOWEST 1u

// The message (SDM).
#define MSI_ADDRESS    UINT64_C(0xFEE00000)
#define MSI_DEST_SHIFT 12u
#define MSI_HINT       (UINT64_C(1) << 3)
#define MSI_LOGICAL    (UINT64_C(1) << 2)
#define MSI_ASSERT     (1u << 14)
#define MSI_LEVEL      (1u << 15)

static const struct state_field fields[] = {
    STATE_SCALAR(1, struct ioapic_state, id, U8, PUBLIC, 0, ID_MASK),
    STATE_SCALAR(2, struct ioapic_state, index, U8, PUBLIC, 0, 0),
    STATE_SCALAR(3, struct ioapic_state, seen, U32, PUBLIC, 0, (1u << IOAPIC_PINS) - 1),
    STATE_ARRAY(4, struct ioapic_state, redirection, U64, IOAPIC_PINS, PUBLIC, RED_MASKED, 0),
};

static const struct state_table table = {
    .name = "ioapic",
    .version = 1,
    .field_count = ARRAY_COUNT(fields),
    .struct_bytes = sizeof(struct ioapic_state),
    .fields = fields,
};

// ---- messages ----

static unsigned mode_of(uint64_t entry) {
    return (unsigned)(entry & RED_MODE) >> RED_MODE_SHIFT;
}

/// Only these are ended by an EOI: the others are edges whatever the entry says.
static bool is_level(uint64_t entry) {
    return (entry & RED_LEVEL) && mode_of(entry) <= MODE_LOWEST;
}

static uint64_t message_address(uint64_t entry) {
    return MSI_ADDRESS | entry >> RED_DEST_SHIFT << MSI_DEST_SHIFT |
           (entry & RED_LOGICAL ? MSI_LOGICAL : 0) | (mode_of(entry) == MODE_LOWEST ? MSI_HINT : 0);
}

static uint32_t message_data(uint64_t entry) {
    return (uint32_t)(entry & (RED_VECTOR | RED_MODE)) | MSI_ASSERT |
           (is_level(entry) ? MSI_LEVEL : 0);
}

/// Whether the message was taken.
static bool send(struct ioapic *ioapic, uint32_t pin) {
    uint64_t entry = ioapic->state.redirection[pin];
    int result = ioapic->msi.send(ioapic->msi.ctx, message_address(entry), message_data(entry));

    if (result < 0) {
        ioapic->lost_count++;
        LOG_LIMITED(LOG_WARN, "ioapic", "pin %u: nobody takes vector %#x: %s", pin,
                    (unsigned)(entry & RED_VECTOR), strerror(-result));
    }
    return result >= 0;
}

/// Sends what a pin has to send: its level, or its edge.
static void sync_pin(struct ioapic *ioapic, uint32_t pin) {
    struct ioapic_state *st = &ioapic->state;
    uint64_t *entry = &st->redirection[pin];
    uint32_t bit = 1u << pin;
    bool asserted = ioapic->pins & bit;
    bool edge = asserted && !(st->seen & bit);

    st->seen = asserted ? st->seen | bit : st->seen & ~bit;
    if (*entry & RED_MASKED) {
        return;
    }
    if (!is_level(*entry)) {
        if (edge) {
            send(ioapic, pin);
        }
    } else if (asserted && !(*entry & RED_REMOTE_IRR) && send(ioapic, pin)) {
        *entry |= RED_REMOTE_IRR;
    }
}

void ioapic_set_pin(struct ioapic *ioapic, uint32_t pin, bool level) {
    uint32_t bit = 1u << (pin & 31);

    if (pin >= IOAPIC_PINS) {
        return;
    }
    pthread_mutex_lock(&ioapic->device.lock);
    ioapic->pins = level ? ioapic->pins | bit : ioapic->pins & ~bit;
    sync_pin(ioapic, pin);
    pthread_mutex_unlock(&ioapic->device.lock);
}

/// Pins may share a vector: all of them are ended.
static void end_of_interrupt(struct ioapic *ioapic, uint8_t vector) {
    for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t *entry = &ioapic->state.redirection[pin];

        if ((*entry & RED_REMOTE_IRR) && (*entry & RED_VECTOR) == vector) {
            *entry &= ~RED_REMOTE_IRR;
            sync_pin(ioapic, pin);
        }
    }
}

void ioapic_eoi(struct ioapic *ioapic, uint8_t vector) {
    pthread_mutex_lock(&ioapic->device.lock);
    end_of_interrupt(ioapic, vector);
    pthread_mutex_unlock(&ioapic->device.lock);
}

/// Tells the platform where the pin's interrupts go now.
static void tell_route(struct ioapic *ioapic, uint32_t pin) {
    uint64_t entry = ioapic->state.redirection[pin] & ~(RED_REMOTE_IRR | RED_MASKED);

    if (ioapic->route && entry != ioapic->routed[pin]) {
        ioapic->routed[pin] = entry;
        ioapic->route(ioapic->route_ctx, pin, message_address(entry), message_data(entry));
    }
}

// ---- registers ----

/// The guest writes an entry by halves. What makes it edge-triggered ends what was in service: some
/// guests clear remote IRR so.
static void write_entry(struct ioapic *ioapic, uint32_t pin, bool high, uint32_t value) {
    uint64_t *entry = &ioapic->state.redirection[pin];
    unsigned shift = high ? 32 : 0;
    uint64_t mask = RED_WRITABLE & UINT64_C(0xFFFFFFFF) << shift;

    *entry = (*entry & ~mask) | ((uint64_t)value << shift & mask);
    if (!is_level(*entry)) {
        *entry &= ~RED_REMOTE_IRR;
    }
    tell_route(ioapic, pin);
    sync_pin(ioapic, pin);
}

static uint32_t read_register(const struct ioapic *ioapic) {
    const struct ioapic_state *st = &ioapic->state;
    unsigned off = st->index - REG_REDTBL;

    switch (st->index) {
    case REG_ID:
    case REG_ARB_ID: // without a bus there is no arbitration: what an INIT loads
        return (uint32_t)st->id << ID_SHIFT;
    case REG_VERSION:
        return VERSION;
    default:
        if (st->index < REG_REDTBL || off >= 2 * IOAPIC_PINS) {
            return UINT32_MAX; // no register
        }
        return (uint32_t)(st->redirection[off / 2] >> (off & 1 ? 32 : 0));
    }
}

static void write_register(struct ioapic *ioapic, uint32_t value) {
    struct ioapic_state *st = &ioapic->state;
    unsigned off = st->index - REG_REDTBL;

    if (st->index == REG_ID) {
        st->id = value >> ID_SHIFT & ID_MASK;
    } else if (st->index >= REG_REDTBL && off < 2 * IOAPIC_PINS) {
        write_entry(ioapic, off / 2, off & 1, value);
    }
}

/// Registers are 32 bits wide; IOREGSEL and EOI use their lowest byte only (section 3.1).
static enum bus_result mmio_access(void *self, struct bus_access *access) {
    struct ioapic *ioapic = self;
    bool is_byte_register = access->offset == OFF_IOREGSEL || access->offset == OFF_EOI;

    if (access->size != 4 && !(access->size == 1 && is_byte_register)) {
        return BUS_NOT_MINE;
    }
    switch (access->offset) {
    case OFF_IOREGSEL:
        if (access->is_write) {
            ioapic->state.index = (uint8_t)access->value;
        } else {
            access->value = ioapic->state.index;
        }
        return BUS_OK;
    case OFF_IOWIN:
        if (access->is_write) {
            write_register(ioapic, (uint32_t)access->value);
        } else {
            access->value = read_register(ioapic);
        }
        return BUS_OK;
    case OFF_EOI: // write-only
        if (!access->is_write) {
            return BUS_NOT_MINE;
        }
        end_of_interrupt(ioapic, (uint8_t)access->value);
        return BUS_OK;
    default:
        return BUS_NOT_MINE;
    }
}

// ---- life ----

/// A pin that is asserted is no edge.
static void reset(void *self, device_reset_done_fn done, void *ctx) {
    struct ioapic *ioapic = self;

    state_reset(&table, &ioapic->state);
    ioapic->state.seen = ioapic->pins;
    for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++) {
        ioapic->routed[pin] = 0; // the platform forgets its routes in a reset of its own
    }
    done(ctx);
}

/// The pins are what the devices say: what changed since the save counts as edges. The devices are
/// loaded before the IOAPIC.
static int after_load(void *self) {
    struct ioapic *ioapic = self;

    for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t *entry = &ioapic->state.redirection[pin];

        *entry &= RED_WRITABLE | RED_REMOTE_IRR;
        if (!is_level(*entry)) {
            *entry &= ~RED_REMOTE_IRR;
        }
        tell_route(ioapic, pin);
        sync_pin(ioapic, pin);
    }
    return 0;
}

static const struct device_ops ops = {.state = &table, .reset = reset, .after_load = after_load};

int ioapic_init(struct ioapic *ioapic, const struct ioapic_config *config) {
    struct bus_region registers = {.start = IOAPIC_START,
                                   .size_bytes = MMIO_BYTES,
                                   .fn = mmio_access,
                                   .self = ioapic,
                                   .lock = &ioapic->device.lock,
                                   .name = "ioapic"};

    memset(ioapic, 0, sizeof(*ioapic));
    ioapic->msi = config->msi;
    ioapic->route = config->route;
    ioapic->route_ctx = config->route_ctx;
    device_init(&ioapic->device, "ioapic", &ops, ioapic, &ioapic->state);
    return bus_add(config->mmio, &registers);
}
