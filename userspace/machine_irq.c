// SPDX-License-Identifier: MIT
//
// The machine's interrupt wiring: lines and messages of the devices to the platform's interrupt
// controllers, or to IOAPIC, PICs and PIT of our own where the platform has none.
//
// The wiring is a PC's. GSI 0 to 15 go to both PICs and to the IOAPIC pin of the same number, but
// IRQ 0 arrives at pin 2 (the MADT's source override); GSI 16 to 19 are PCI's INTA to INTD, on a
// pin each and, for guests that do not use the IOAPIC, on a line of the PICs each.
//
// Locks: a device calls with its own lock held; PIC and IOAPIC take theirs and call the platform or
// post a task, never a device.
#include "userspace/machine.h"

#include "igvm/base/log.h"

#include <errno.h>
#include <string.h>

#define IOAPIC_PIT_PIN 2u
#define SCI_LINE       9u

/// The PICs' lines of GSI 16 to 19: as ACPI's _PRT says (dsdt.asl, PRTP). vtl2/kvm.c wires KVM's
/// PICs alike.
static const uint8_t intx_pic_lines[PCI_INTX_COUNT] = {5, 10, 11, 7};

// ---- devices to controllers ----

static void set_own_line(struct machine *machine, uint32_t gsi, bool level) {
    if (gsi < PIC_LINES) {
        pic_set_line(&machine->pic, gsi, level);
    } else if (gsi - MACHINE_INTX_FIRST_GSI < PCI_INTX_COUNT) {
        pic_set_line(&machine->pic, intx_pic_lines[gsi - MACHINE_INTX_FIRST_GSI], level);
    }
    if (gsi != PIC_CASCADE) {
        ioapic_set_pin(&machine->ioapic, gsi == 0 ? IOAPIC_PIT_PIN : gsi, level);
    }
}

void machine_set_line(void *ctx, uint32_t gsi, bool level) {
    struct machine *machine = ctx;
    int result;

    if (machine->has_own_chips) {
        set_own_line(machine, gsi, level);
        return;
    }
    result = machine->ops->set_line(machine->partition, gsi, level);
    if (result < 0) {
        LOG_LIMITED(LOG_WARN, "irq", "GSI %u: %s", gsi, strerror(-result));
    }
}

int machine_send_msi(void *ctx, uint64_t address, uint32_t data) {
    struct machine *machine = ctx;
    int result = machine->ops->send_msi(machine->partition, address, data);

    if (result < 0) {
        LOG_LIMITED(LOG_WARN, "irq", "MSI %#llx data %#x: %s", (unsigned long long)address, data,
                    strerror(-result));
    }
    return result;
}

struct irq_line machine_line(struct machine *machine, uint32_t gsi) {
    return (struct irq_line){.set = machine_set_line, .ctx = machine, .line = gsi};
}

// ---- controllers to the platform ----

static void set_route(void *ctx, uint32_t pin, uint64_t address, uint32_t data) {
    struct machine *machine = ctx;
    int result = 0;

    if (machine->ops->ioapic_route) {
        result = machine->ops->ioapic_route(machine->partition, pin, address, data);
    }
    if (result < 0) {
        LOG_LIMITED(LOG_WARN, "irq", "IOAPIC pin %u: %s", pin, strerror(-result));
    }
}

static void tell_intr(struct machine *machine, bool level) {
    int result = machine->ops->extint_line(machine->vps[0].vp, level);

    if (result < 0) {
        LOG_LIMITED(LOG_WARN, "irq", "interrupt of the PICs: %s", strerror(-result));
    }
}

static void tell_intr_on_loop(void *self) {
    struct machine *machine = self;

    tell_intr(machine, atomic_load(&machine->intr));
}

/// INTR is wired to VP 0, whose thread alone may tell the platform.
static void set_intr(void *ctx, bool level) {
    struct machine *machine = ctx;

    atomic_store(&machine->intr, level);
    if (pthread_equal(pthread_self(), machine->vps[0].thread)) {
        tell_intr(machine, level);
    } else {
        loop_post(machine->loops[0], &machine->intr_task);
    }
}

void machine_take_extint(struct machine *machine, struct vp *vp) {
    int vector = pic_acknowledge(&machine->pic);
    int result = vector < 0 ? 0 : machine->ops->extint_inject(vp, (uint8_t)vector);

    if (result < 0) {
        LOG_LIMITED(LOG_WARN, "irq", "vector %#x of the PICs: %s", (unsigned)vector,
                    strerror(-result));
    }
}

void machine_end_interrupt(struct machine *machine, uint8_t vector) {
    if (machine->has_own_chips) {
        ioapic_eoi(&machine->ioapic, vector);
    }
}

// ---- building ----

static int add_pic(struct machine *machine) {
    struct pic_config config = {
        .pio = machine->pio,
        .set_intr = set_intr,
        .set_intr_ctx = machine,
        .level_lines = 1u << SCI_LINE,
    };

    for (unsigned i = 0; i < PCI_INTX_COUNT; i++) {
        config.level_lines |= (uint16_t)(1u << intx_pic_lines[i]);
    }
    return pic_init(&machine->pic, &config);
}

int machine_add_chips(struct machine *machine) {
    uint32_t features = machine->ops->features(machine->partition);
    struct ioapic_config ioapic = {
        .mmio = machine->mmio,
        .msi = {.send = machine_send_msi, .ctx = machine},
        .route = set_route,
        .route_ctx = machine,
    };
    struct pit_config pit = {
        .pio = machine->pio,
        .irq = machine_line(machine, 0),
        .loop = machine->loops[0],
    };
    int result = 0;

    if (!(features & VTL2_HAS_IOAPIC)) {
        machine->intr_task = (struct loop_task){.fn = tell_intr_on_loop, .self = machine};
        result = add_pic(machine);
        result = result < 0 ? result : ioapic_init(&machine->ioapic, &ioapic);
        if (result < 0) {
            return result;
        }
        machine->has_own_chips = true;
        machine_add(machine, &machine->pic.device);
        machine_add(machine, &machine->ioapic.device);
    }
    if (!(features & VTL2_HAS_PIT)) {
        result = pit_init(&machine->pit, &pit);
        if (result == 0) {
            machine_add(machine, &machine->pit.device);
        }
    }
    return result;
}
