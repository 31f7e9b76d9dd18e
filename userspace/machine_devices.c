// SPDX-License-Identifier: MIT
//
// Which devices the machine has and where: docs/ARCHITECTURE.md, "VTL0's machine". All single-queue
// devices live on VP 0's loop.
//
//   slot 0  host bridge     slot 2  virtio console     slot 3  virtio entropy     slot 4..  disks
#include "userspace/machine.h"

#include "devices/disk_block.h"
#include "igvm/base/log.h"
#include "userspace/nvme_find.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define COM1_PORT    0x3f8u
#define COM1_GSI     4u
#define RTC_GSI      8u
#define SCI_GSI      9u
#define CONSOLE_SLOT 2u
#define RNG_SLOT     3u

static uint64_t wall_ns(void *ctx) {
    struct timespec now;

    (void)ctx;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/// On a PC nothing runs on after such a write. Here the VP that wrote must not enter the guest
/// again either: while the control thread is slow, Linux goes on to its last resort, a triple
/// fault, and that would be taken for a crash.
static void end_of_guest(struct machine *machine, uint32_t want) {
    for (uint32_t i = 0; i < machine->vp_count; i++) {
        if (pthread_equal(machine->vps[i].thread, pthread_self())) {
            machine->vps[i].parked = true; // until the next start
        }
    }
    machine_request(machine, want);
}

static void on_power_off(void *ctx) {
    end_of_guest(ctx, MACHINE_WANT_POWER_OFF);
}

void machine_on_reset(void *ctx) {
    end_of_guest(ctx, MACHINE_WANT_RESET);
}

void machine_add(struct machine *machine, struct device *device) {
    device->next = machine->devices;
    machine->devices = device;
}

static struct virtio_config virtio_config(struct machine *machine, const char *name) {
    return (struct virtio_config){
        .name = name,
        .gm = &machine->memory,
        .loops = machine->loops,
        .loop_count = machine->vp_count,
    };
}

// ---- backends ----

/// Opens a console's or port's backend; "null" gives none.
static int open_tty(struct machine *machine, const char *what, const char *path,
                    struct chardev_tty *tty, bool *is_open) {
    int result;

    if (strcmp(path, "null") == 0 || path[0] == '\0') {
        return 0;
    }
    result = chardev_tty_open(tty, path, machine->loops[0]);
    if (result < 0) {
        log_write(LOG_ERROR, "config", "%s.backend: %s cannot be opened: %s", what, path,
                  strerror(-result));
        return result;
    }
    *is_open = true;
    return 0;
}

static int open_disk(struct machine *machine, uint32_t index) {
    const struct config_disk *wanted = &machine->config.disks[index];
    char path[CONFIG_PATH_BYTES];
    struct disk_block_config config = {
        .path = path,
        .read_only = wanted->read_only,
        .buffered = wanted->buffered,
        .loop_count = machine->vp_count,
        .serial = wanted->serial[0] ? wanted->serial : NULL,
    };
    int result = 0;

    if (wanted->nvme_serial[0]) {
        result = nvme_find(wanted->nvme_serial, path, sizeof(path));
        if (result < 0) {
            log_write(LOG_ERROR, "config", "disks[%u].nvme_serial: there is no disk \"%s\"", index,
                      wanted->nvme_serial);
            return result;
        }
    } else {
        snprintf(path, sizeof(path), "%s", wanted->path);
    }
    result = disk_block_open(&config, &machine->disk_backends[index]);
    if (result < 0) {
        log_write(LOG_ERROR, "config", "disks[%u]: %s cannot be used: %s", index, path,
                  strerror(-result));
    }
    return result;
}

// ---- devices ----

static int add_chipset(struct machine *machine) {
    struct serial16550_config serial = {
        .pio = machine->pio,
        .port = COM1_PORT,
        .irq = machine_line(machine, COM1_GSI),
        .loop = machine->loops[0],
        .chardev = machine->serial_tty_open ? &machine->serial_tty.chardev : NULL,
    };
    struct rtc_config rtc = {
        .pio = machine->pio,
        .irq = machine_line(machine, RTC_GSI),
        .loop = machine->loops[0],
        .wall_ns = wall_ns,
    };
    struct acpi_pm_config pm = {
        .pio = machine->pio,
        .sci = machine_line(machine, SCI_GSI),
        .loop = machine->loops[0],
        .power_off = on_power_off,
        .power_off_ctx = machine,
    };
    struct pci_root_config pci = {
        .pio = machine->pio,
        .mmio = machine->mmio,
        .msi = {.send = machine_send_msi, .ctx = machine},
        .intx_first_gsi = MACHINE_INTX_FIRST_GSI,
        .set_line = machine_set_line,
        .set_line_ctx = machine,
        .reset_requested = machine_on_reset,
        .reset_ctx = machine,
    };
    int result = serial16550_init(&machine->com1, "com1", &serial);

    if (result == 0) {
        result = rtc_init(&machine->rtc, &rtc);
    }
    if (result == 0) {
        result = acpi_pm_init(&machine->pm, &pm);
    }
    if (result == 0) {
        result = pci_root_init(&machine->pci, &pci);
    }
    if (result < 0) {
        return result;
    }
    machine_add(machine, &machine->com1.device);
    machine_add(machine, &machine->rtc.device);
    machine_add(machine, &machine->pm.device);
    machine_add(machine, &machine->pci.device);
    machine_add(machine, &machine->pci.host_bridge.device);
    return 0;
}

static int add_console(struct machine *machine) {
    struct virtio_console_config config = {
        .virtio = virtio_config(machine, "virtio-console0"),
        .pci = {.name = "pci-virtio-console0", .root = &machine->pci, .slot = CONSOLE_SLOT},
        .chardev = &machine->console_tty.chardev,
    };
    int result;

    if (machine->config.console != CONFIG_CONSOLE_VIRTIO || !machine->console_tty_open) {
        return 0;
    }
    result = virtio_console_init(&machine->console, &config);
    if (result == 0) {
        machine->has_console = true;
        machine_add(machine, &machine->console.virtio.device);
        machine_add(machine, &machine->console.pci.function.device);
    }
    return result;
}

static int add_rng(struct machine *machine) {
    struct virtio_rng_config config = {
        .virtio = virtio_config(machine, "virtio-rng0"),
        .pci = {.name = "pci-virtio-rng0", .root = &machine->pci, .slot = RNG_SLOT},
    };
    int result;

    if (!machine->config.rng) {
        return 0;
    }
    result = virtio_rng_init(&machine->rng, &config);
    if (result == 0) {
        machine->has_rng = true;
        machine_add(machine, &machine->rng.virtio.device);
        machine_add(machine, &machine->rng.pci.function.device);
    }
    return result;
}

static int add_disk(struct machine *machine, uint32_t index) {
    char *names = machine->disk_names[index][0], *pci_name = machine->disk_names[index][1];
    struct virtio_blk *disk = calloc(1, sizeof(*disk));
    struct virtio_blk_config config = {
        .virtio = virtio_config(machine, names),
        .pci = {.name = pci_name, .root = &machine->pci, .slot = MACHINE_FIRST_DISK_SLOT + index},
    };
    int result;

    if (disk == NULL) {
        return -ENOMEM;
    }
    snprintf(names, MACHINE_NAME_BYTES, "virtio-blk%u", index);
    snprintf(pci_name, MACHINE_NAME_BYTES, "pci-virtio-blk%u", index);
    result = open_disk(machine, index);
    if (result == 0) {
        config.disk = machine->disk_backends[index];
        result = virtio_blk_init(disk, &config);
    }
    if (result < 0) {
        free(disk);
        return result;
    }
    machine->disks[index] = disk;
    machine_add(machine, &disk->virtio.device);
    machine_add(machine, &disk->pci.function.device);
    return 0;
}

struct gpa_range machine_tpm_ram(const struct machine *machine) {
    uint64_t end = guest_memory_low_end(&machine->memory);
    bool there = machine->config.tpm_enabled && end >= PAGE_SIZE_2M;

    return (struct gpa_range){there ? end - PAGE_SIZE_4K : end, end};
}

/// Memory that the guest reads in place of the TPM's registers. Where its addresses are the
/// machine's own there is none at the TPM's: it has to ask.
static int map_tpm_page(struct machine *machine) {
    struct gpa_range range = {TPM_CRB_GPA, TPM_CRB_GPA + TPM_CRB_LOCALITY_BYTES};
    void *page;

    if (machine->ops->gpa_is_physical) {
        return 0;
    }
    page = mmap(NULL, TPM_CRB_LOCALITY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                -1, 0);
    if (page == MAP_FAILED) {
        return -errno;
    }
    machine->tpm_page = page;
    return machine->ops->map(machine->partition, range, page, true);
}

static int add_tpm(struct machine *machine) {
    struct gpa_range ram = machine_tpm_ram(machine);
    struct tpm_crb_config config = {.backend = &machine->vtpm.backend};
    int result;

    if (!machine->config.tpm_enabled) {
        return 0;
    }
    vtpm_client_init(&machine->vtpm, machine->loops[0], machine->vtpm_fd);
    result = map_tpm_page(machine);
    if (result < 0) {
        return result;
    }
    config.page = machine->tpm_page;
    if (gpa_range_bytes(ram) > 0) {
        config.memory = &machine->memory;
        config.ram_gpa = gpa(ram.start);
    }
    result = tpm_crb_init(&machine->tpm, &config, machine->mmio);
    if (result == 0) {
        machine->has_tpm = true;
        machine_add(machine, &machine->tpm.device);
    }
    return result;
}

int machine_add_devices(struct machine *machine) {
    const struct config *config = &machine->config;
    bool on_serial = config->console == CONFIG_CONSOLE_SERIAL;
    int result = 0;

    if (config->console == CONFIG_CONSOLE_VIRTIO) {
        result = open_tty(machine, "console", config->console_backend, &machine->console_tty,
                          &machine->console_tty_open);
    }
    if (result == 0) {
        result = open_tty(machine, on_serial ? "console" : "serial",
                          on_serial ? config->console_backend : config->serial_backend,
                          &machine->serial_tty, &machine->serial_tty_open);
    }
    // First in, last to be loaded: the controllers want to find the devices' lines as they are.
    result = result < 0 ? result : machine_add_chips(machine);
    result = result < 0 ? result : add_chipset(machine);
    result = result < 0 ? result : add_console(machine);
    result = result < 0 ? result : add_rng(machine);
    for (uint32_t i = 0; result == 0 && i < config->disk_count; i++) {
        result = add_disk(machine, i);
    }
    result = result < 0 ? result : add_tpm(machine);
    result = result < 0 ? result : machine_add_firmware(machine);
    if (result == 0 && machine->console_tty_open) {
        chardev_tty_start(&machine->console_tty);
    }
    if (result == 0 && machine->serial_tty_open) {
        chardev_tty_start(&machine->serial_tty);
    }
    return result;
}

void machine_remove_devices(struct machine *machine) {
    machine_remove_firmware(machine);
    for (uint32_t i = 0; i < machine->config.disk_count; i++) {
        if (machine->disks[i]) {
            virtio_blk_destroy(machine->disks[i]);
            free(machine->disks[i]);
        }
        if (machine->disk_backends[i]) {
            machine->disk_backends[i]->ops->destroy(machine->disk_backends[i]);
        }
    }
    if (machine->console_tty_open) {
        chardev_tty_close(&machine->console_tty);
    }
    if (machine->serial_tty_open) {
        chardev_tty_close(&machine->serial_tty);
    }
}
