// SPDX-License-Identifier: MIT
//
// CPUID for a VP under KVM: everything that KVM supports (its paravirtual leaves with kvmclock,
// PV EOI, PV TLB flush and so on included), with the topology of one package of vp_count cores
// without SMT, and the VP's own APIC id. Left out is nested virtualisation: KVM's emulation of SVM
// and VMX is the largest part of it that a guest could reach, and what it guards is VTL2.
//
// kvmclock gives the guest its TSC frequency (no calibration at boot) and the TSC-deadline timer
// needs no APIC timer calibration either: together they save a guest some hundred milliseconds.
//
// Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E; Linux Documentation/virt/kvm/x86.
#include "vtl2/kvm_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#define LEAF_FEATURES     0x00000001u
#define LEAF_CACHE_INTEL  0x00000004u
#define LEAF_TOPOLOGY     0x0000000bu
#define LEAF_TOPOLOGY_V2  0x0000001fu
#define LEAF_AMD_FEATURES 0x80000001u
#define LEAF_AMD_SIZES    0x80000008u
#define LEAF_AMD_SVM      0x8000000au
#define LEAF_AMD_TOPOLOGY 0x8000001eu

#define ECX1_VMX            (1u << 5)
#define ECX1_TSC_DEADLINE   (1u << 24)
#define ECX1_HYPERVISOR     (1u << 31)
#define EDX1_HTT            (1u << 28)
#define ECX_AMD_CMP_LEGACY  (1u << 1)
#define ECX_AMD_SVM         (1u << 2)
#define EAX4_CORES_MASK     0xfc000000u ///< cores in the package, less one
#define EAX4_SHARING_MASK   0x03ffc000u ///< threads that share this cache, less one
#define TOPOLOGY_LEVEL_SMT  (1u << 8)
#define TOPOLOGY_LEVEL_CORE (2u << 8)

static struct kvm_cpuid_entry2 *find(struct kvm_cpuid_table *table, uint32_t leaf) {
    for (uint32_t i = 0; i < table->nent; i++) {
        if (table->entries[i].function == leaf) {
            return &table->entries[i];
        }
    }
    return NULL;
}

static void drop(struct kvm_cpuid_table *table, uint32_t leaf) {
    uint32_t kept = 0;

    for (uint32_t i = 0; i < table->nent; i++) {
        if (table->entries[i].function != leaf) {
            table->entries[kept++] = table->entries[i];
        }
    }
    table->nent = kept;
}

static int add(struct kvm_cpuid_table *table, const struct kvm_cpuid_entry2 *entry) {
    if (table->nent == KVM_CPUID_CAPACITY) {
        return -ENOSPC;
    }
    table->entries[table->nent++] = *entry;
    return 0;
}

/// Bits that an APIC id needs for count VPs.
static uint32_t id_bits(uint32_t count) {
    uint32_t bits = 0;

    while ((1u << bits) < count) {
        bits++;
    }
    return bits;
}

/// Two levels: one thread a core, vp_count cores; then the terminating level.
static int add_topology(struct kvm_cpuid_table *table, uint32_t vp_count) {
    struct kvm_cpuid_entry2 entry = {
        .function = LEAF_TOPOLOGY,
        .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
        .eax = 0,
        .ebx = 1,
        .ecx = TOPOLOGY_LEVEL_SMT,
    };
    int result = add(table, &entry);

    entry.index = 1;
    entry.eax = id_bits(vp_count);
    entry.ebx = vp_count;
    entry.ecx = TOPOLOGY_LEVEL_CORE | 1;
    if (result == 0) {
        result = add(table, &entry);
    }
    entry.index = 2;
    entry.eax = 0;
    entry.ebx = 0;
    entry.ecx = 2;
    return result < 0 ? result : add(table, &entry);
}

static void fix_features(struct kvm_cpuid_table *table, uint32_t vp_count, bool tsc_deadline) {
    struct kvm_cpuid_entry2 *entry = find(table, LEAF_FEATURES);

    if (entry) {
        entry->ecx &= ~ECX1_VMX;
        entry->ecx |= ECX1_HYPERVISOR | (tsc_deadline ? ECX1_TSC_DEADLINE : 0);
        entry->edx = vp_count > 1 ? entry->edx | EDX1_HTT : entry->edx & ~EDX1_HTT;
        entry->ebx = (entry->ebx & 0xff00u) | (1u << id_bits(vp_count)) << 16;
    }
    entry = find(table, LEAF_AMD_FEATURES);
    if (entry) {
        entry->ecx &= ~(ECX_AMD_CMP_LEGACY | ECX_AMD_SVM);
        entry->ecx |= vp_count > 1 ? ECX_AMD_CMP_LEGACY : 0;
    }
    entry = find(table, LEAF_AMD_SIZES);
    if (entry) {
        entry->ecx = id_bits(vp_count) << 12 | (vp_count - 1);
    }
    for (uint32_t i = 0; i < table->nent; i++) {
        entry = &table->entries[i];
        if (entry->function == LEAF_CACHE_INTEL && (entry->eax & 0x1f) != 0) {
            entry->eax &= ~(EAX4_CORES_MASK | EAX4_SHARING_MASK);
            entry->eax |= ((1u << id_bits(vp_count)) - 1) << 26;
        }
    }
}

int kvm_cpuid_prepare(struct partition *partition) {
    struct kvm_cpuid_table *table = &partition->cpuid;
    struct kvm_cpuid_entry2 *root;
    int result;

    table->nent = KVM_CPUID_CAPACITY - 4; // room for the topology leaves
    result = kvm_ioctl(partition->kvm_fd, KVM_GET_SUPPORTED_CPUID, table);
    if (result < 0) {
        return result;
    }
    result = kvm_ioctl(partition->kvm_fd, KVM_CHECK_EXTENSION,
                       (void *)(uintptr_t)KVM_CAP_TSC_DEADLINE_TIMER);
    fix_features(table, partition->vp_count, result > 0);
    drop(table, LEAF_AMD_SVM);
    drop(table, LEAF_TOPOLOGY_V2);
    drop(table, LEAF_TOPOLOGY);
    root = find(table, 0);
    if (root && root->eax >= LEAF_TOPOLOGY) {
        return add_topology(table, partition->vp_count);
    }
    return 0;
}

int kvm_cpuid_apply(const struct partition *partition, uint32_t index, int vp_fd) {
    struct kvm_cpuid_table table = partition->cpuid;

    for (uint32_t i = 0; i < table.nent; i++) {
        struct kvm_cpuid_entry2 *entry = &table.entries[i];

        if (entry->function == LEAF_FEATURES) {
            entry->ebx |= index << 24;
        } else if (entry->function == LEAF_TOPOLOGY) {
            entry->edx = index;
        } else if (entry->function == LEAF_AMD_TOPOLOGY) {
            entry->eax = index;
            entry->ebx = index; // core id, one thread a core
            entry->ecx = 0;     // one node
        }
    }
    return kvm_ioctl(vp_fd, KVM_SET_CPUID2, &table);
}
