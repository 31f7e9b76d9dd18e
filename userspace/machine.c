// SPDX-License-Identifier: MIT
//
// Building, starting, stopping and resetting VTL0's machine, on the control thread.
//
// A reset goes: all VPs stop; every device lets go of what is in flight and takes its power-on
// state; the platform's interrupt controllers likewise; every VP takes its power-on state and VP 0
// loads the kernel again; all run. Nothing of VTL2 restarts.
#include "userspace/machine.h"

#include "igvm/base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PIO_LIMIT  0x10000ull
#define MMIO_LIMIT (1ull << 52)

void machine_done(void *self) {
    struct machine *machine = self;

    if (atomic_fetch_sub(&machine->pending, 1) == 1) {
        loop_post(&machine->loop.base, &machine->pending_task);
    }
}

static void woken(void *self) {
    (void)self; // machine_wait_pending() and the control loop look for themselves
}

void machine_wait_pending(struct machine *machine) {
    while (atomic_load(&machine->pending) > 0) {
        uring_loop_wait(&machine->loop);
    }
}

void machine_request(struct machine *machine, uint32_t want) {
    atomic_fetch_or(&machine->wanted, want);
    loop_post(&machine->loop.base, &machine->wanted_task);
}

// ---- building ----

/// The guest's memory is what the slots cover, and nothing else: guest_ram.c has checked that it
/// lies in VTL0's ranges.
static int map_memory(struct machine *machine) {
    for (uint32_t i = 0; i < machine->memory.region_count; i++) {
        const struct guest_region *region = &machine->memory.regions[i];
        int result = machine->ops->map(machine->partition, region->gpa, region->host, false);

        if (result < 0) {
            log_write(LOG_ERROR, "memory", "[%#llx, %#llx) cannot be given to the guest: %s",
                      (unsigned long long)region->gpa.start, (unsigned long long)region->gpa.end,
                      strerror(-result));
            return result;
        }
        log_write(LOG_INFO, "memory", "guest [%#llx, %#llx)", (unsigned long long)region->gpa.start,
                  (unsigned long long)region->gpa.end);
    }
    return 0;
}

static int make_partition(struct machine *machine, const struct machine_setup *setup) {
    struct vtl2_config config = {
        .vp_count = machine->vp_count,
        .halt_exits = machine->config.halt_exits,
        .own_chips = machine->config.own_chips,
        .has_firmware = machine->firmware.bytes != NULL,
        .access = machine_access,
        .access_ctx = machine,
        .own_memory = setup->own_memory,
        .own_memory_count = setup->own_memory_count,
    };
    int result = machine->ops->partition_new(&config, &machine->partition);

    if (result < 0) {
        log_write(LOG_ERROR, "vtl2", "%s: the partition cannot be made: %s", machine->ops->name,
                  strerror(-result));
        return result;
    }
    result = map_memory(machine);
    return result < 0 ? result : machine_map_firmware(machine);
}

static int build(struct machine *machine, const struct machine_setup *setup) {
    int result = make_partition(machine, setup);

    if (result < 0) {
        return result;
    }
    machine->pio = bus_new("pio", PIO_LIMIT);
    machine->mmio = bus_new("mmio", MMIO_LIMIT);
    machine->vps = calloc(machine->vp_count, sizeof(*machine->vps));
    if (machine->pio == NULL || machine->mmio == NULL || machine->vps == NULL) {
        return -ENOMEM;
    }
    result = machine_start_threads(machine);
    return result < 0 ? result : machine_add_devices(machine);
}

int machine_new(const struct machine_setup *setup, struct machine **out) {
    struct machine *machine = calloc(1, sizeof(*machine));
    int result;

    if (machine == NULL) {
        return -ENOMEM;
    }
    machine->ops = setup->ops;
    machine->config = *setup->config;
    machine->memory = *setup->memory;
    machine->payload = *setup->payload;
    machine->firmware = setup->firmware;
    machine->vp_count = setup->vp_count;
    machine->vtpm_fd = setup->vtpm_fd;
    machine->uefi_vars_fd = setup->uefi_vars_fd;
    machine->pending_task.fn = woken;
    machine->wanted_task.fn = woken;
    result = uring_loop_init(&machine->loop, 0);
    if (result < 0) {
        log_write(LOG_ERROR, "loop", "io_uring: %s", strerror(-result));
        free(machine);
        return result;
    }
    result = build(machine, setup);
    if (result < 0) {
        return result; // the process ends now: VP threads are not unwound
    }
    *out = machine;
    return 0;
}

void machine_free(struct machine *machine) {
    machine_stop(machine);
    machine_order_all(machine, MACHINE_QUIT);
    for (uint32_t i = 0; i < machine->vp_count; i++) {
        pthread_join(machine->vps[i].thread, NULL);
    }
    machine_remove_devices(machine);
    machine->ops->partition_free(machine->partition);
    bus_free(machine->pio);
    bus_free(machine->mmio);
    uring_loop_free(&machine->loop);
    free(machine->vps);
    free(machine);
}

// ---- running ----

void machine_stop(struct machine *machine) {
    int result;

    if (!machine->running) {
        return;
    }
    machine->running = false;
    result = machine_order_all(machine, MACHINE_STOP);
    if (result < 0) {
        log_write(LOG_WARN, "machine", "a VP did not settle: %s", strerror(-result));
    }
}

void machine_run(struct machine *machine) {
    if (!machine->running) {
        machine->running = true;
        machine_order_all(machine, MACHINE_RUN);
    }
}

void machine_pause_devices(struct machine *machine) {
    atomic_store(&machine->pending, 1); // ours: no device may be the last one before we are through
    for (struct device *d = machine->devices; d; d = d->next) {
        if (d->ops->pause) {
            atomic_fetch_add(&machine->pending, 1);
            pthread_mutex_lock(&d->lock);
            d->ops->pause(d->self, machine_done, machine);
            pthread_mutex_unlock(&d->lock);
        }
    }
    machine_done(machine);
    machine_wait_pending(machine);
}

void machine_resume_devices(struct machine *machine) {
    for (struct device *d = machine->devices; d; d = d->next) {
        if (d->ops->resume) {
            pthread_mutex_lock(&d->lock);
            d->ops->resume(d->self);
            pthread_mutex_unlock(&d->lock);
        }
    }
}

static void flush_on_loop(void *self) {
    struct machine *machine = self;

    serial16550_flush(&machine->com1);
    machine_done(machine);
}

void machine_flush(struct machine *machine) {
    machine->flush_task = (struct loop_task){.fn = flush_on_loop, .self = machine};
    atomic_store(&machine->pending, 1);
    loop_post(machine->loops[0], &machine->flush_task);
    machine_wait_pending(machine);
}

/// Whether what stands behind the device lives in another process.
static bool is_elsewhere(const struct machine *machine, const struct device *device) {
    return (machine->has_tpm && device == &machine->tpm.device) ||
           (machine->has_uefi_vars && device == &machine->uefi_vars.device);
}

void machine_reset_devices(struct machine *machine, bool for_load) {
    atomic_store(&machine->pending, 1);
    for (struct device *d = machine->devices; d; d = d->next) {
        if (for_load && is_elsewhere(machine, d)) {
            continue;
        }
        atomic_fetch_add(&machine->pending, 1);
        pthread_mutex_lock(&d->lock);
        d->ops->reset(d->self, machine_done, machine);
        pthread_mutex_unlock(&d->lock);
    }
    machine_done(machine);
    machine_wait_pending(machine);
}

int machine_boot(struct machine *machine) {
    int result = 0;

    machine_stop(machine);
    // What other VPs wished meanwhile was about the guest that ends here: no second restart, no
    // end.
    atomic_fetch_and(&machine->wanted, ~(MACHINE_WANT_RESET | MACHINE_WANT_CRASH));
    machine_flush(machine);
    machine_reset_devices(machine, false); // also the first time: the TPM needs its power-on
    if (machine->boot_count > 0) {
        result = machine->ops->reset(machine->partition);
        if (result < 0) {
            log_write(LOG_ERROR, "vtl2", "reset: %s", strerror(-result));
            return result;
        }
    }
    if (machine->firmware.place) {
        memcpy(machine->firmware.place, machine->firmware.bytes, machine->firmware.size_bytes);
    }
    result = machine_order_all(machine, MACHINE_BOOT);
    if (result < 0) {
        log_write(LOG_ERROR, "machine", "the guest cannot be started: %s", strerror(-result));
        return result;
    }
    machine->boot_count++;
    machine_run(machine);
    return 0;
}
