// SPDX-License-Identifier: MIT
//
// The native platform: VTL0 is a VM under KVM in our own kernel, or on any Linux host. The whole
// interrupt hardware (local APICs, IOAPIC, PICs, PIT) is KVM's: under nested virtualisation every
// exit to userspace costs tens of microseconds, and none of these needs policy. With own_chips only
// the local APICs are ("split irqchip"): that is how the VMM's own chips meet a real guest here.
//
// Reset makes a new VM with the same memory instead of putting state back piece by piece: what KVM
// gives to a new VM is power-on state by definition, including what no ioctl shows.
//
// Linux Documentation/virt/kvm/api.rst.
#include "vtl2/kvm_internal.h"

#include "igvm/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

// Three pages and one page that KVM needs on Intel without unrestricted guest: below 4 GiB where
// neither a device of ours nor the firmware's ROM (at most 8 MiB) stands.
#define TSS_GPA          0xfeffd000ull
#define IDENTITY_MAP_GPA 0xfeffc000ull

int kvm_ioctl(int fd, unsigned long request, void *argument) {
    int result;

    do {
        result = ioctl(fd, request, argument);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

static int kvm_open(void) {
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int version;

    if (fd < 0) {
        return -errno;
    }
    version = kvm_ioctl(fd, KVM_GET_API_VERSION, NULL);
    if (version != KVM_API_VERSION) {
        close(fd);
        return version < 0 ? version : -ENOTSUP;
    }
    return fd;
}

/// A node that opens is not enough: on some machines it exists and makes no VM.
static int kvm_probe(void) {
    int fd = kvm_open();
    int vm;

    if (fd < 0) {
        return fd;
    }
    vm = kvm_ioctl(fd, KVM_CREATE_VM, NULL);
    if (vm >= 0) {
        close(vm);
    }
    close(fd);
    return vm < 0 ? vm : 0;
}

static int set_slot(int vm_fd, uint32_t index, const struct kvm_slot *slot) {
    struct kvm_userspace_memory_region region = {
        .slot = index,
        .flags = slot->read_only ? KVM_MEM_READONLY : 0,
        .guest_phys_addr = slot->range.start,
        .memory_size = gpa_range_bytes(slot->range),
        .userspace_addr = (uintptr_t)slot->host,
    };

    return kvm_ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

// The interrupt wiring of a PC: ISA interrupts go to both PICs and to the IOAPIC pin of the same
// number, but the PIT's IRQ 0 arrives at pin 2, as the MADT's source override says.
#define PIC_LINES      16u
#define PIC_CASCADE    2u
#define IOAPIC_PIT_PIN 2u

#define MSI_LEVEL (1u << 15) ///< of a message's data

static int set_routing(int vm_fd) {
    // GSI 16 to 19 are PCI's INTx: for guests without the IOAPIC the PICs have them as well, on the
    // lines that ACPI names (dsdt.asl, PRTP).
    static const uint8_t intx_pic_lines[] = {5, 10, 11, 7};
    // The kernel's struct ends in an array without a size: a buffer gives it one.
    _Alignas(struct kvm_irq_routing)
        uint8_t buffer[sizeof(struct kvm_irq_routing) +
                       (PIC_LINES + ARRAY_COUNT(intx_pic_lines) + KVM_IOAPIC_PINS) *
                           sizeof(struct kvm_irq_routing_entry)] = {0};
    struct kvm_irq_routing *table = (struct kvm_irq_routing *)buffer;

    for (uint32_t gsi = 0; gsi < PIC_LINES + ARRAY_COUNT(intx_pic_lines); gsi++) {
        uint32_t line = gsi < PIC_LINES ? gsi : intx_pic_lines[gsi - PIC_LINES];

        if (line != PIC_CASCADE) {
            table->entries[table->nr++] = (struct kvm_irq_routing_entry){
                .gsi = gsi,
                .type = KVM_IRQ_ROUTING_IRQCHIP,
                .u.irqchip = {.irqchip = line < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
                              .pin = line % 8},
            };
        }
    }
    for (uint32_t gsi = 0; gsi < KVM_IOAPIC_PINS; gsi++) {
        if (gsi != IOAPIC_PIT_PIN) {
            table->entries[table->nr++] = (struct kvm_irq_routing_entry){
                .gsi = gsi,
                .type = KVM_IRQ_ROUTING_IRQCHIP,
                .u.irqchip = {.irqchip = KVM_IRQCHIP_IOAPIC,
                              .pin = gsi == 0 ? IOAPIC_PIT_PIN : gsi},
            };
        }
    }
    return kvm_ioctl(vm_fd, KVM_SET_GSI_ROUTING, table);
}

/// The whole of a PC's interrupt controllers and the PIT, or the local APICs alone.
static int make_chips(const struct partition *partition, int vm_fd) {
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY}; // port 0x61 stays in the kernel
    struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {KVM_IOAPIC_PINS}};
    int result;

    if (partition->split) {
        return kvm_ioctl(vm_fd, KVM_ENABLE_CAP, &split);
    }
    result = kvm_ioctl(vm_fd, KVM_CREATE_IRQCHIP, NULL);
    if (result == 0) {
        result = kvm_ioctl(vm_fd, KVM_CREATE_PIT2, &pit);
    }
    return result < 0 ? result : set_routing(vm_fd);
}

/// A VM with interrupt controllers and all slots known so far, no VPs. Returns its fd or -errno.
static int make_vm(const struct partition *partition) {
    struct kvm_enable_cap halt = {
        .cap = KVM_CAP_X86_DISABLE_EXITS,
        .args = {KVM_X86_DISABLE_EXITS_HLT},
    };
    uint64_t identity = IDENTITY_MAP_GPA;
    int vm = kvm_ioctl(partition->kvm_fd, KVM_CREATE_VM, NULL);
    int result;

    if (vm < 0) {
        return vm;
    }
    result = kvm_ioctl(vm, KVM_SET_TSS_ADDR, (void *)(uintptr_t)TSS_GPA);
    if (result == 0) {
        result = kvm_ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity);
    }
    if (result == 0) {
        result = make_chips(partition, vm);
    }
    // 0: the frequency as the kernel knows it now. The default is what KVM saw when it was
    // initialised, before the kernel refined it; where hardware cannot scale the TSC, KVM refuses
    // the difference, leaves a scale of zero, and every TSC deadline comes late by the uptime.
    kvm_ioctl(vm, KVM_SET_TSC_KHZ, NULL);
    if (result == 0 && !partition->halt_exits) {
        // Where it is refused, HLT exits to the kernel as usual: slower, not wrong.
        kvm_ioctl(vm, KVM_ENABLE_CAP, &halt);
    }
    for (uint32_t i = 0; result == 0 && i < partition->slot_count; i++) {
        result = set_slot(vm, i, &partition->slots[i]);
    }
    if (result < 0) {
        close(vm);
        return result;
    }
    return vm;
}

static void kvm_partition_free(struct partition *partition) {
    if (partition == NULL) {
        return;
    }
    if (partition->vm_fd >= 0) {
        close(partition->vm_fd);
    }
    if (partition->kvm_fd >= 0) {
        close(partition->kvm_fd);
    }
    free(partition);
}

static int kvm_partition_new(const struct vtl2_config *config, struct partition **out) {
    struct partition *partition;
    int result;

    if (config->vp_count == 0 || config->vp_count > KVM_MAX_VPS) {
        return -EINVAL;
    }
    partition = calloc(1, sizeof(*partition));
    if (partition == NULL) {
        return -ENOMEM;
    }
    partition->vm_fd = -1;
    partition->vp_count = config->vp_count;
    partition->halt_exits = config->halt_exits;
    partition->split = config->own_chips;
    partition->has_firmware = config->has_firmware;
    partition->kvm_fd = result = kvm_open();
    if (result < 0) {
        goto fail;
    }
    result = kvm_ioctl(partition->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
    if (result < 0) {
        goto fail;
    }
    partition->run_bytes = (size_t)result;
    result = kvm_cpuid_prepare(partition);
    if (result < 0) {
        goto fail;
    }
    partition->vm_fd = result = make_vm(partition);
    if (result < 0) {
        goto fail;
    }
    *out = partition;
    return 0;
fail:
    kvm_partition_free(partition);
    return result;
}

static uint32_t kvm_features(const struct partition *partition) {
    return VTL2_HAS_LOCAL_APIC | (partition->split ? 0 : VTL2_HAS_IOAPIC | VTL2_HAS_PIT);
}

static int kvm_map(struct partition *partition, struct gpa_range range, void *host,
                   bool read_only) {
    struct kvm_slot slot = {.range = range, .host = host, .read_only = read_only};
    int result;

    if (gpa_range_bytes(range) == 0 || !is_aligned(range.start | range.end, PAGE_SIZE_4K) ||
        !is_aligned((uintptr_t)host, PAGE_SIZE_4K)) {
        return -EINVAL;
    }
    if (partition->slot_count == KVM_MAX_SLOTS) {
        return -ENOSPC;
    }
    result = set_slot(partition->vm_fd, partition->slot_count, &slot);
    if (result == 0) {
        partition->slots[partition->slot_count++] = slot;
    }
    return result;
}

static int kvm_set_line(struct partition *partition, uint32_t gsi, bool level) {
    struct kvm_irq_level line = {.irq = gsi, .level = level};

    return kvm_ioctl(partition->vm_fd, KVM_IRQ_LINE, &line);
}

/// 0 also when the guest has the target masked: that is the guest's business.
static int kvm_send_msi(struct partition *partition, uint64_t address, uint32_t data) {
    struct kvm_msi msi = {
        .address_lo = (uint32_t)address,
        .address_hi = (uint32_t)(address >> 32),
        .data = data,
    };
    int result = kvm_ioctl(partition->vm_fd, KVM_SIGNAL_MSI, &msi);

    return result < 0 ? result : 0;
}

/// Each pin stands in KVM's table as the message it sends: for level-triggered vectors in there the
/// end of the interrupt is an exit.
static int kvm_ioapic_route(struct partition *partition, uint32_t pin, uint64_t address,
                            uint32_t data) {
    _Alignas(struct kvm_irq_routing)
        uint8_t buffer[sizeof(struct kvm_irq_routing) +
                       KVM_IOAPIC_PINS * sizeof(struct kvm_irq_routing_entry)] = {0};
    struct kvm_irq_routing *table = (struct kvm_irq_routing *)buffer;

    if (pin >= KVM_IOAPIC_PINS) {
        return -EINVAL;
    }
    partition->routes[pin] = (struct kvm_msi_route){.address = address, .data = data};
    for (uint32_t i = 0; i < KVM_IOAPIC_PINS; i++) {
        const struct kvm_msi_route *route = &partition->routes[i];

        if (route->data & MSI_LEVEL) {
            table->entries[table->nr++] = (struct kvm_irq_routing_entry){
                .gsi = i,
                .type = KVM_IRQ_ROUTING_MSI,
                .u.msi = {.address_lo = (uint32_t)route->address,
                          .address_hi = (uint32_t)(route->address >> 32),
                          .data = route->data},
            };
        }
    }
    return kvm_ioctl(partition->vm_fd, KVM_SET_GSI_ROUTING, table);
}

/// The VPs still hold the old VM; each moves to the new one in its vp_reset().
static int kvm_reset(struct partition *partition) {
    int vm = make_vm(partition);

    if (vm < 0) {
        return vm;
    }
    memset(partition->routes, 0, sizeof(partition->routes));
    // A late interrupt from another thread meets either VM or a closed descriptor: all harmless.
    close(atomic_exchange(&partition->vm_fd, vm));
    return 0;
}

const struct vtl2_ops vtl2_kvm = {
    .name = "native",
    .probe = kvm_probe,
    .partition_new = kvm_partition_new,
    .partition_free = kvm_partition_free,
    .features = kvm_features,
    .map = kvm_map,
    .set_line = kvm_set_line,
    .send_msi = kvm_send_msi,
    .reset = kvm_reset,
    .vp_new = kvm_vp_new,
    .vp_free = kvm_vp_free,
    .vp_reset = kvm_vp_reset,
    .vp_run = kvm_vp_run,
    .vp_settle = kvm_vp_settle,
    .vp_kick = kvm_vp_kick,
    .vp_wake_flag = kvm_vp_wake_flag,
    .extint_line = kvm_vp_extint_line,
    .extint_inject = kvm_vp_extint_inject,
    .ioapic_route = kvm_ioapic_route,
    .vp_get_registers = kvm_vp_get_registers,
    .vp_set_registers = kvm_vp_set_registers,
};
