// SPDX-License-Identifier: MIT
//
// A VP's thread: runs the guest, hands its accesses to the buses, and its loop in between. The hot
// path is run_guest(): one byte and one word are looked at, then the guest is entered.
#include "userspace/crash.h"
#include "userspace/machine.h"
#include "userspace/worker_crash.h"

#include "devices/acpi_tables.h"
#include "igvm/base/bytes.h"
#include "igvm/base/log.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ORDER_MASK       0xfu
#define MAX_SETTLE_STEPS 4096u             ///< fragments of one instruction; a bound, not a measure
#define KVM_ENOSYS_CODE  ((uint64_t)-1000) ///< Linux Documentation/virt/kvm/x86/hypercalls.rst

// ---- exits ----

// Port data is 1, 2 or 4 bytes: constant sizes, since this is every exit's way.
static uint64_t load_port_data(const uint8_t *data, uint8_t size) {
    return size == 1 ? data[0] : size == 2 ? load_le16(data) : load_le32(data);
}

static void store_port_data(uint8_t *data, uint8_t size, uint64_t value) {
    if (size == 1) {
        data[0] = (uint8_t)value;
    } else if (size == 2) {
        store_le16(data, (uint16_t)value);
    } else {
        store_le32(data, (uint32_t)value);
    }
}

/// One access, or a run of string I/O.
static void do_pio(struct machine_vp *vp, struct vp_exit_pio *pio) {
    for (uint32_t i = 0; i < pio->count; i++) {
        uint8_t *data = pio->data + (size_t)i * pio->size;
        struct bus_access access = {
            .offset = pio->port,
            .size = pio->size,
            .is_write = pio->is_write,
            .vp_index = (uint8_t)vp->index,
            .value = pio->is_write ? load_port_data(data, pio->size) : 0,
        };

        if (!bus_dispatch(vp->machine->pio, &access)) {
            vp->unclaimed_pio++;
        }
        if (!pio->is_write) {
            store_port_data(data, pio->size, access.value);
        }
    }
}

static void do_mmio(struct machine_vp *vp, struct vp_exit_mmio *mmio) {
    struct bus_access access = {
        .offset = mmio->gpa.value,
        .size = mmio->size,
        .is_write = mmio->is_write,
        .vp_index = (uint8_t)vp->index,
        .value = mmio->value,
    };

    if (!bus_dispatch(vp->machine->mmio, &access)) {
        vp->unclaimed_mmio++;
    }
    mmio->value = access.value;
}

void machine_access(void *ctx, uint32_t vp_index, struct vp_exit *exit) {
    struct machine *machine = ctx;
    struct machine_vp *vp = &machine->vps[vp_index];

    vp->exits[exit->kind]++;
    if (exit->kind == VP_EXIT_PIO) {
        do_pio(vp, &exit->pio);
    } else if (exit->kind == VP_EXIT_MMIO) {
        do_mmio(vp, &exit->mmio);
    }
}

static void park(struct machine_vp *vp, uint32_t want) {
    vp->parked = true;
    machine_request(vp->machine, want);
}

static void dispatch(struct machine_vp *vp) {
    struct vp_exit *exit = &vp->exit;

    vp->exits[exit->kind]++;
    switch (exit->kind) {
    case VP_EXIT_PIO:
        do_pio(vp, &exit->pio);
        break;
    case VP_EXIT_MMIO:
        do_mmio(vp, &exit->mmio);
        break;
    case VP_EXIT_NONE:
        break;
    case VP_EXIT_WAKE: // whatever the flag says: what is written there is a counter's low byte
        uring_loop_run(&vp->loop);
        break;
    case VP_EXIT_EOI:
        machine_end_interrupt(vp->machine, exit->eoi.vector);
        break;
    case VP_EXIT_EXTINT:
        machine_take_extint(vp->machine, vp->vp);
        break;
    case VP_EXIT_MSR:
        exit->msr.fault = true;
        break;
    case VP_EXIT_HYPERCALL:
        exit->hypercall.result = KVM_ENOSYS_CODE;
        break;
    case VP_EXIT_HALT: // only a platform without interrupt controllers of its own reports it
        uring_loop_wait(&vp->loop);
        break;
    case VP_EXIT_SHUTDOWN:
        crash_report(vp->machine->ops, vp->vp, vp->index, "triple fault", NULL);
        park(vp, MACHINE_WANT_CRASH);
        break;
    case VP_EXIT_FAILED:
        crash_report(vp->machine->ops, vp->vp, vp->index, exit->failed.what, exit->failed.detail);
        park(vp, exit->failed.by_guest ? MACHINE_WANT_CRASH : MACHINE_WANT_ABORT);
        break;
    }
}

// ---- orders ----

/// Hands the pending exit's result over, without entering the guest. An instruction may consist of
/// several accesses: they are carried out.
static int settle(struct machine_vp *vp) {
    for (unsigned i = 0; i < MAX_SETTLE_STEPS; i++) {
        int result = vp->machine->ops->vp_settle(vp->vp, &vp->exit);

        if (result < 0 || vp->exit.kind == VP_EXIT_NONE) {
            return result;
        }
        dispatch(vp);
        if (vp->parked) {
            return 0; // it cannot go on: there is nothing to hand over
        }
    }
    return -EIO;
}

/// ACPI tables and kernel into guest memory: again at every start, the guest may have overwritten
/// them.
static int load_guest(struct machine *machine, struct vp_registers *registers) {
    const struct acpi_config acpi = machine_acpi_config(machine);
    const struct gpa_range area = {ACPI_AREA_START, ACPI_AREA_END};
    const char *why = "unknown";
    gpa_t rsdp = gpa(0);
    int result = acpi_tables_install(&acpi, &machine->memory, area, &rsdp);

    if (result < 0) {
        log_write(LOG_ERROR, "guest", "its ACPI tables cannot be written: %s", strerror(-result));
        return result;
    }
    machine->payload.rsdp_gpa = rsdp.value;
    machine->payload.reserved_bytes = gpa_range_bytes(machine_tpm_ram(machine));
    result = linux_loader_load(&machine->payload, &machine->memory, registers, &why);
    if (result < 0) {
        log_write(LOG_ERROR, "guest", "its kernel cannot be loaded: %s", why);
    }
    return result;
}

/// Power-on state; without firmware VP 0 also places the guest's kernel, since only its thread may
/// set registers.
static int boot(struct machine_vp *vp) {
    struct machine *machine = vp->machine;
    struct vp_registers registers;
    int result = machine->boot_count > 0 ? machine->ops->vp_reset(vp->vp) : 0;

    vp->exit.kind = VP_EXIT_NONE;
    if (result < 0 || vp->index != 0 || machine->firmware.bytes) {
        return result; // firmware starts from power-on state
    }
    result = machine->ops->vp_get_registers(vp->vp, &registers);
    result = result < 0 ? result : load_guest(machine, &registers);
    return result < 0 ? result : machine->ops->vp_set_registers(vp->vp, &registers);
}

static void obey(struct machine_vp *vp, uint32_t order) {
    vp->result = 0;
    vp->obeyed = order;
    switch (order & ORDER_MASK) {
    case MACHINE_STOP:
        vp->result = vp->parked ? 0 : settle(vp);
        break;
    case MACHINE_BOOT:
        vp->parked = false;
        vp->result = boot(vp);
        break;
    default:
        break; // RUN and QUIT: the thread's loop looks at obeyed
    }
    machine_done(vp->machine);
}

/// Until the order changes. No system call but the platform's own between two exits.
static void run_guest(struct machine_vp *vp) {
    const struct vtl2_ops *ops = vp->machine->ops;

    while (atomic_load_explicit(&vp->order, memory_order_relaxed) == vp->obeyed) {
        if (uring_loop_ready(&vp->loop)) {
            uring_loop_run(&vp->loop);
        } else if (vp->parked) {
            uring_loop_wait(&vp->loop);
        } else {
            ops->vp_run(vp->vp, &vp->exit);
            dispatch(vp);
        }
    }
}

static void woken(void *self) {
    (void)self; // the thread looks at its order after every round of its loop
}

/// Each VP on a processor of its own; where there are more processors than VPs, on the last ones:
/// QEMU's emulation cannot run a nested guest safely on its first one (docs/STATUS.md).
static void pin(const struct machine_vp *vp) {
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t count = online > 0 ? (uint32_t)online : 1;
    uint32_t vps = vp->machine->vp_count;
    uint32_t first = vps < count ? count - vps : 0;
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((first + vp->index) % count, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0) {
        log_write(LOG_DEBUG, "vp", "VP %u is not pinned: %s", vp->index, strerror(errno));
    }
}

static int prepare(struct machine_vp *vp) {
    struct machine *machine = vp->machine;
    int result;

    pin(vp);
    result = uring_loop_init(&vp->loop, vp->index);
    if (result < 0) {
        log_write(LOG_ERROR, "loop", "io_uring: %s", strerror(-result));
        return result;
    }
    result = machine->ops->vp_new(machine->partition, vp->index, &vp->vp);
    if (result < 0) {
        log_write(LOG_ERROR, "vp", "VP %u cannot be made: %s", vp->index, strerror(-result));
        uring_loop_free(&vp->loop);
        return result;
    }
    if (machine->ops->vp_wake_flag) {
        uring_loop_attach(&vp->loop, machine->ops->vp_wake_flag(vp->vp));
    }
    return 0;
}

static void *vp_main(void *argument) {
    struct machine_vp *vp = argument;

    worker_crash_thread();
    vp->result = prepare(vp);
    if (vp->result < 0) {
        machine_done(vp->machine);
        return NULL;
    }
    machine_done(vp->machine);
    while ((vp->obeyed & ORDER_MASK) != MACHINE_QUIT) {
        uint32_t order = atomic_load(&vp->order);

        if (order != vp->obeyed) {
            obey(vp, order);
        } else if ((order & ORDER_MASK) == MACHINE_RUN) {
            run_guest(vp);
        } else {
            uring_loop_wait(&vp->loop);
        }
    }
    uring_loop_attach(&vp->loop, NULL);
    vp->machine->ops->vp_free(vp->vp);
    uring_loop_free(&vp->loop);
    return NULL;
}

int machine_order_all(struct machine *machine, enum machine_order order) {
    atomic_store(&machine->pending, machine->vp_count);
    for (uint32_t i = 0; i < machine->vp_count; i++) {
        struct machine_vp *vp = &machine->vps[i];
        uint32_t number = (atomic_load(&vp->order) & ~ORDER_MASK) + ORDER_MASK + 1;

        atomic_store(&vp->order, number | (uint32_t)order);
        loop_post(&vp->loop.base, &vp->wake);
    }
    machine_wait_pending(machine);
    for (uint32_t i = 0; i < machine->vp_count; i++) {
        if (machine->vps[i].result < 0) {
            return machine->vps[i].result;
        }
    }
    return 0;
}

int machine_start_threads(struct machine *machine) {
    uint32_t started = 0;
    int result = 0;

    atomic_store(&machine->pending, machine->vp_count);
    while (started < machine->vp_count && result == 0) {
        struct machine_vp *vp = &machine->vps[started];

        *vp = (struct machine_vp){.machine = machine, .index = started, .wake = {.fn = woken}};
        machine->loops[started] = &vp->loop.base;
        result = -pthread_create(&vp->thread, NULL, vp_main, vp);
        started += result == 0;
    }
    atomic_fetch_sub(&machine->pending, machine->vp_count - started);
    machine_wait_pending(machine);
    for (uint32_t i = 0; i < started && result == 0; i++) {
        result = machine->vps[i].result;
    }
    return result; // on an error the process ends: threads that did start are not unwound
}
