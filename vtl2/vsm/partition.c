// SPDX-License-Identifier: MIT
//
// The vsm platform: VTL0 is the same virtual machine as our own VTL2, one trust level below, and
// Hyper-V (or a host that offers its interface) switches between the two. Linux's mshv_vtl driver
// makes the switch, everything else is hypercalls (TLFS, "Virtual Secure Mode").
//
// The hypervisor emulates VTL0's local APICs, SynIC and synthetic timers. IOAPIC, PICs and PIT are
// the VMM's: their interrupts go in as messages (HvCallAssertVirtualInterrupt), the PICs' as a
// pending event when the VP can take it.
#include "vtl2/vsm/internal.h"

#include "igvm/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Message address and data (Intel SDM vol. 3, section 11.11; bits 11:5 of the address are the
// destination's bits 14:8 where both sides agree on that).
#define MSI_BASE            UINT64_C(0xfee00000)
#define MSI_LOGICAL         (UINT64_C(1) << 2)
#define MSI_VECTOR_MASK     0xffu
#define MSI_DELIVERY_SHIFT  8u
#define MSI_DELIVERY_MASK   7u
#define MSI_LEVEL_TRIGGERED (1u << 15)

static int vsm_probe(void) {
    uint32_t extension = MSHV_EXTENSION_CORE;
    int fd, result;

    if (access(MSHV_HVCALL_DEVICE, F_OK) < 0) {
        return -errno;
    }
    fd = open(MSHV_DEVICE, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    result = vsm_ioctl(fd, MSHV_CHECK_EXTENSION, &extension);
    close(fd);
    return result;
}

static void vsm_partition_free(struct partition *partition) {
    if (partition == NULL) {
        return;
    }
    if (partition->vtl_fd >= 0) {
        close(partition->vtl_fd);
    }
    if (partition->hvcall_fd >= 0) {
        close(partition->hvcall_fd);
    }
    if (partition->mshv_fd >= 0) {
        close(partition->mshv_fd);
    }
    free(partition);
}

static int open_devices(struct partition *partition) {
    uint32_t extension = MSHV_EXTENSION_REGISTER_PAGE;
    char unused = 0;

    partition->mshv_fd = open(MSHV_DEVICE, O_RDWR | O_CLOEXEC);
    if (partition->mshv_fd < 0) {
        return -errno;
    }
    partition->hvcall_fd = open(MSHV_HVCALL_DEVICE, O_RDWR | O_CLOEXEC);
    if (partition->hvcall_fd < 0) {
        return -errno;
    }
    partition->has_register_page =
        vsm_ioctl(partition->mshv_fd, MSHV_CHECK_EXTENSION, &extension) > 0;
    partition->vtl_fd = vsm_ioctl(partition->mshv_fd, MSHV_CREATE_VTL, &unused);
    return partition->vtl_fd < 0 ? partition->vtl_fd : vsm_hvcall_setup(partition);
}

/// The driver has configured the partition when it was loaded. Without this bit protections would
/// be accepted, or not, and mean nothing.
static int check_config(const struct partition *partition) {
    uint64_t config = 0;
    int result = vsm_get_own_u64(partition, HV_REGISTER_VSM_PARTITION_CONFIG, &config);

    if (result < 0) {
        log_write(LOG_ERROR, "vsm", "the partition's configuration cannot be read: %s",
                  strerror(-result));
        return result;
    }
    if (!(config & HV_VSM_CONFIG_PROTECTION)) {
        log_write(LOG_ERROR, "vsm", "VTL protection is off (configuration %#llx)",
                  (unsigned long long)config);
        return -EPERM;
    }
    return 0;
}

#define BOTH_WAYS (HV_INTERCEPT_ACCESS_MASK_READ | HV_INTERCEPT_ACCESS_MASK_WRITE)

int vsm_install_intercepts(const struct partition *partition) {
    static const struct {
        uint32_t type, access;
        uint64_t parameter;
        bool is_required;
        const char *without;
    } intercepts[] = {
        // Ports that do not come to us are the host's devices, which may be VTL2's.
        {HV_INTERCEPT_IO_PORT_RANGE, BOTH_WAYS, 0xffff0000 /* 0 to 0xffff */, true,
         "VTL0 would reach the host's ports"},
        {HV_INTERCEPT_MSR, BOTH_WAYS, 0, false, "MSRs that the host does not know are #GP"},
        {HV_INTERCEPT_APIC_EOI, HV_INTERCEPT_ACCESS_MASK_WRITE, 0, false,
         "level-triggered interrupts may come only once"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(intercepts); i++) {
        const struct hv_install_intercept_input input = {
            .partition_id = HV_PARTITION_ID_SELF,
            .access_type_mask = intercepts[i].access,
            .intercept_type = intercepts[i].type,
            .parameter = intercepts[i].parameter,
        };
        int result = vsm_hvcall(partition, HV_CALL_INSTALL_INTERCEPT, &input, sizeof(input));

        if (result < 0) {
            log_write(intercepts[i].is_required ? LOG_ERROR : LOG_WARN, "vsm",
                      "intercept %u is not installed (%s): %s", intercepts[i].type,
                      strerror(-result), intercepts[i].without);
            if (intercepts[i].is_required) {
                return result;
            }
        }
    }
    return 0;
}

static int vsm_partition_new(const struct vtl2_config *config, struct partition **out) {
    struct partition *partition;
    int result;

    if (config->vp_count == 0 || config->vp_count > VSM_MAX_VPS || config->access == NULL ||
        config->own_memory_count > VSM_MAX_RANGES) {
        return -EINVAL;
    }
    partition = calloc(1, sizeof(*partition));
    if (partition == NULL) {
        return -ENOMEM;
    }
    partition->mshv_fd = partition->vtl_fd = partition->hvcall_fd = -1;
    partition->config = *config;
    for (uint32_t i = 0; i < config->own_memory_count; i++) {
        partition->own_memory[i] = config->own_memory[i];
    }
    partition->config.own_memory = partition->own_memory;
    result = open_devices(partition);
    if (result == 0) {
        result = check_config(partition);
    }
    if (result == 0) {
        result = vsm_protect_own_memory(partition);
    }
    if (result == 0) {
        result = vsm_install_intercepts(partition);
    }
    if (result < 0) {
        vsm_partition_free(partition);
        return result;
    }
    *out = partition;
    return 0;
}

static uint32_t vsm_features(const struct partition *partition) {
    (void)partition;
    return VTL2_HAS_LOCAL_APIC;
}

static int vsm_send_msi(struct partition *partition, uint64_t address, uint32_t data) {
    struct hv_assert_interrupt_input input = {
        .partition_id = HV_PARTITION_ID_SELF,
        .control = (data >> MSI_DELIVERY_SHIFT) & MSI_DELIVERY_MASK,
        .destination = ((address >> 12) & 0xff) | ((address >> 5) & 0x7f) << 8,
        .vector = data & MSI_VECTOR_MASK,
        .target_vtl = VSM_TARGET_VTL0,
    };

    if ((address & ~UINT64_C(0xfffff)) != MSI_BASE) {
        return -EINVAL;
    }
    if (address & MSI_LOGICAL) {
        input.control |= HV_ASSERT_LOGICAL;
    }
    if (data & MSI_LEVEL_TRIGGERED) {
        input.control |= HV_ASSERT_LEVEL_TRIGGERED;
    }
    return vsm_hvcall(partition, HV_CALL_ASSERT_VIRTUAL_INTERRUPT, &input, sizeof(input));
}

/// Each VP's thread resets its own controllers and timers in vp_reset.
static int vsm_reset(struct partition *partition) {
    (void)partition;
    return 0;
}

const struct vtl2_ops vtl2_vsm = {
    .name = "vsm",
    .gpa_is_physical = true,
    .probe = vsm_probe,
    .partition_new = vsm_partition_new,
    .partition_free = vsm_partition_free,
    .features = vsm_features,
    .map = vsm_map,
    .send_msi = vsm_send_msi,
    .reset = vsm_reset,
    .vp_new = vsm_vp_new,
    .vp_free = vsm_vp_free,
    .vp_reset = vsm_vp_reset,
    .vp_run = vsm_vp_run,
    .vp_settle = vsm_vp_settle,
    .vp_kick = vsm_vp_kick,
    .vp_wake_flag = vsm_vp_wake_flag,
    .extint_line = vsm_extint_line,
    .extint_inject = vsm_extint_inject,
    .vp_get_registers = vsm_vp_get_registers,
    .vp_set_registers = vsm_vp_set_registers,
};
