// SPDX-License-Identifier: MIT
//
// What the files of the KVM platform share. Linux Documentation/virt/kvm/api.rst.
#pragma once

#include "vtl2/vtl2.h"

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>

#define KVM_MAX_VPS        64u
#define KVM_MAX_SLOTS      16u
#define KVM_CPUID_CAPACITY 160u
#define KVM_IOAPIC_PINS    24u

/// struct kvm_cpuid2 with room: its flexible array cannot be embedded in ISO C.
struct kvm_cpuid_table {
    uint32_t nent;
    uint32_t padding;
    struct kvm_cpuid_entry2 entries[KVM_CPUID_CAPACITY];
};
_Static_assert(offsetof(struct kvm_cpuid_table, entries) == sizeof(struct kvm_cpuid2),
               "same layout as struct kvm_cpuid2");

struct kvm_slot {
    struct gpa_range range;
    void *host;
    bool read_only;
};

struct partition {
    int kvm_fd;
    _Atomic int vm_fd; ///< replaced by reset
    uint32_t vp_count;
    bool halt_exits;
    bool split; ///< KVM emulates the local APICs only
    bool has_firmware;
    struct kvm_msi_route {
        uint64_t address;
        uint32_t data;
    } routes[KVM_IOAPIC_PINS]; ///< of the VMM's IOAPIC; split only
    size_t run_bytes;          ///< of each VP's shared page area
    uint32_t slot_count;
    struct kvm_slot slots[KVM_MAX_SLOTS];
    struct kvm_cpuid_table cpuid; ///< as KVM supports it, VP-independent part fixed
};

struct vp {
    struct partition *partition;
    uint32_t index;
    int fd;
    struct kvm_run *run;       ///< mapped at one address for the VP's life, also across resets
    enum vp_exit_kind pending; ///< exit whose result the next entry hands to KVM
    bool extint;               ///< the PICs' INTR line; split only
    pthread_t thread;
};

int kvm_cpuid_prepare(struct partition *partition);
int kvm_cpuid_apply(const struct partition *partition, uint32_t index, int vp_fd);

int kvm_vp_new(struct partition *partition, uint32_t index, struct vp **out);
void kvm_vp_free(struct vp *vp);
int kvm_vp_reset(struct vp *vp);
int kvm_vp_run(struct vp *vp, struct vp_exit *exit);
int kvm_vp_settle(struct vp *vp, struct vp_exit *exit);
void kvm_vp_kick(struct vp *vp);
volatile uint8_t *kvm_vp_wake_flag(struct vp *vp);
int kvm_vp_extint_line(struct vp *vp, bool level);
int kvm_vp_extint_inject(struct vp *vp, uint8_t vector);
int kvm_vp_get_registers(struct vp *vp, struct vp_registers *out);
int kvm_vp_set_registers(struct vp *vp, const struct vp_registers *in);

/// ioctl() that gives 0 or a positive result, or -errno; repeats after EINTR.
int kvm_ioctl(int fd, unsigned long request, void *argument);
