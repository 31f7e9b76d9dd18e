// SPDX-License-Identifier: MIT
//
// The VM worker: reads the configuration, builds VTL0's machine, runs it, and does what VPs and
// commands ask of the control thread, one thing at a time. See vmm.h for the command line.
#include "userspace/vmm.h"

#include "igvm/base/log.h"
#include "userspace/control.h"
#include "userspace/guest_ram.h"
#include "userspace/host_info.h"
#include "userspace/log.h"
#include "userspace/machine.h"
#include "userspace/payload.h"
#include "userspace/vmm_options.h"
#include "userspace/vmm_sandbox.h"
#include "userspace/worker_crash.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_MEMORY_BYTES (512ull << 20)

struct vmm {
    struct vmm_options options;
    struct host_info info;
    struct config config;
    struct guest_ram ram;
    struct guest_memory memory;
    struct payload payload;
    char command_line[2 * CONFIG_CMDLINE_BYTES];
    struct machine *machine;
    struct control control;
};

static struct machine *signalled; ///< for the signal handler only

/// loop_post() is atomics and one write(2): safe here.
static void on_signal(int number) {
    (void)number;
    if (signalled) {
        machine_request(signalled, MACHINE_WANT_STOP);
    }
}

static int find_memory(struct vmm *vmm, const struct vtl2_ops *ops) {
    uint64_t wanted = vmm->config.memory_bytes;
    int result;

    if (vmm->info.present) {
        result = guest_ram_from_dax(&vmm->ram, &vmm->info);
    } else {
        wanted = wanted ? wanted : DEFAULT_MEMORY_BYTES;
        result = guest_ram_anonymous(&vmm->ram, wanted);
    }
    if (result < 0) {
        log_write(LOG_ERROR, "memory", "there is no memory for the guest: %s", strerror(-result));
        return result;
    }
    if (wanted > guest_ram_bytes(&vmm->ram)) {
        log_write(LOG_ERROR, "config", "guest.memory: %llu MiB wanted, %llu MiB are there",
                  (unsigned long long)wanted >> 20,
                  (unsigned long long)guest_ram_bytes(&vmm->ram) >> 20);
        return -ENOSPC;
    }
    return guest_ram_layout(&vmm->ram, wanted, ops->gpa_is_physical, &vmm->memory);
}

static uint32_t vp_count(const struct vmm *vmm) {
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t count = vmm->config.vps;

    if (count == 0) {
        count = vmm->info.present && vmm->info.vp_count ? vmm->info.vp_count : (uint32_t)processors;
    }
    return count > CONFIG_MAX_VPS ? CONFIG_MAX_VPS : count;
}

static int build(struct vmm *vmm) {
    const char *reason = "";
    struct linux_payload linux_guest = {.command_line = vmm->command_line};
    struct machine_setup setup = {
        .ops = vtl2_probe(&reason),
        .config = &vmm->config,
        .memory = &vmm->memory,
        .payload = &linux_guest,
        .own_memory = vmm->info.vtl2,
        .own_memory_count = vmm->info.vtl2_range_count,
        .vp_count = vp_count(vmm),
        .vtpm_fd = vmm->options.vtpm_fd,
        .uefi_vars_fd = vmm->options.uefi_vars_fd,
    };
    int result;

    if (setup.ops == NULL) {
        log_write(LOG_ERROR, "vtl2", "no platform can run a guest here: %s", reason);
        return -ENODEV;
    }
    result = find_memory(vmm, setup.ops);
    if (result == 0) {
        result = payload_load(&vmm->config, &vmm->info, &vmm->ram, &vmm->payload);
    }
    if (result < 0) {
        return result;
    }
    snprintf(vmm->command_line, sizeof(vmm->command_line), "%s%s%s", vmm->config.command_line,
             vmm->config.command_line_append[0] ? " " : "", vmm->config.command_line_append);
    linux_guest.kernel = vmm->payload.kernel.bytes;
    linux_guest.kernel_bytes = vmm->payload.kernel.size_bytes;
    linux_guest.initrd = vmm->payload.initrd.bytes;
    linux_guest.initrd_bytes = vmm->payload.initrd.size_bytes;
    setup.firmware.bytes = vmm->payload.firmware.bytes;
    setup.firmware.size_bytes = vmm->payload.firmware.size_bytes;
    if (setup.firmware.bytes && setup.ops->gpa_is_physical) {
        setup.firmware.place = guest_ram_rom(&vmm->info, setup.firmware.size_bytes);
        if (setup.firmware.place == NULL) {
            return -ENOSPC;
        }
    }
    result = machine_new(&setup, &vmm->machine); // does not look into the payload
    if (result < 0) {
        log_write(LOG_ERROR, "machine", "it cannot be built: %s", strerror(-result));
        return result;
    }
    result = payload_check(&vmm->payload);
    if (result < 0) {
        return result;
    }
    log_write(LOG_INFO, "machine", "platform %s, %u VPs, %llu MiB", setup.ops->name, setup.vp_count,
              (unsigned long long)guest_ram_bytes(&vmm->ram) >> 20);
    return 0;
}

static int restart(struct vmm *vmm) {
    control_renew_services(&vmm->control, vmm->options.supervisor_fd);
    LOG_LIMITED(LOG_INFO, "machine", "the guest restarts"); // it may do nothing else
    return machine_boot(vmm->machine) < 0 ? VMM_END_FAILED : -1;
}

/// One round of wishes. -1: go on; else enum vmm_end.
static int obey(struct vmm *vmm, uint32_t wanted) {
    const struct config *config = &vmm->config;

    if (wanted & (MACHINE_WANT_POWER_OFF | MACHINE_WANT_STOP)) {
        log_write(LOG_INFO, "machine", "%s",
                  wanted & MACHINE_WANT_POWER_OFF ? "the guest powered off" : "told to stop");
        return VMM_END_POWER_OFF;
    }
    if (wanted & MACHINE_WANT_ABORT) {
        return VMM_END_FAILED;
    }
    if (wanted & MACHINE_WANT_CRASH) {
        return config->on_crash == CONFIG_CRASH_RESTART ? restart(vmm) : VMM_END_CRASH;
    }
    if (wanted & MACHINE_WANT_RESET) {
        return config->on_reset == CONFIG_RESET_RESTART ? restart(vmm) : VMM_END_RESET;
    }
    return -1;
}

static int run(struct vmm *vmm) {
    int end = -1;

    if (machine_boot(vmm->machine) < 0) {
        return VMM_END_FAILED;
    }
    while (end < 0) {
        uring_loop_wait(&vmm->machine->loop);
        end = obey(vmm, atomic_exchange(&vmm->machine->wanted, 0));
        control_serve(&vmm->control);
    }
    machine_stop(vmm->machine);
    machine_flush(vmm->machine);
    return end;
}

static void handle_signals(struct machine *machine) {
    struct sigaction action = {.sa_handler = on_signal};

    signalled = machine;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int vmm_main(int argc, char **argv) {
    static struct vmm vmm;
    int result;

    log_init("vmm", LOG_INFO, STDERR_FILENO);
    worker_crash_install("vmm", false);
    if (vmm_parse_options(argc, argv, &vmm.options) < 0) {
        return VMM_END_CONFIG;
    }
    result = host_info_read(HOST_INFO_FOLDER, &vmm.info);
    if (result < 0) {
        log_write(LOG_ERROR, "host-info", "%s: %s", HOST_INFO_FOLDER, strerror(-result));
        return VMM_END_FAILED;
    }
    if (vmm_read_config(&vmm.options, &vmm.info, &vmm.config) < 0) {
        return VMM_END_CONFIG;
    }
    // The guest state's key is the vault's: it is not here while a guest runs.
    config_forget_secrets(&vmm.config);
    if (vmm.info.host_config) {
        explicit_bzero(vmm.info.host_config, vmm.info.host_config_bytes);
    }
    log_set_level(vmm.config.log_level);
    if (build(&vmm) < 0) {
        return VMM_END_FAILED;
    }
    handle_signals(vmm.machine);
    result = control_open(&vmm.control, vmm.machine, vmm.options.control_path);
    if (result == 0 && vmm.options.confine) {
        result = vmm_sandbox_enter();
    }
    if (result < 0) {
        log_write(LOG_ERROR, "vmm", "cannot start: %s", strerror(-result));
        return VMM_END_FAILED;
    }
    result = run(&vmm);
    control_close(&vmm.control);
    machine_free(vmm.machine);
    payload_free(&vmm.payload);
    guest_ram_free(&vmm.ram);
    host_info_free(&vmm.info);
    return result;
}
