// SPDX-License-Identifier: MIT
//
// Memory of both VTLs. There is one guest-physical address space: VTL0's RAM stands at its
// system-physical addresses, and VTL2's stands in the same space, where VTL0 must not see it (TLFS,
// "Virtual Secure Mode", HvCallModifyVtlProtectionMask).
//
// Linux Documentation/admin-guide/mm/pagemap.rst.
#include "vtl2/vsm/internal.h"

#include "igvm/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define PAGES_PER_ROUND  480u ///< fits a hypercall's page of input
#define PAGEMAP_PRESENT  (UINT64_C(1) << 63)
#define PAGEMAP_PFN_MASK ((UINT64_C(1) << 55) - 1)

typedef unsigned long long ull;

/// The system-physical address behind a mapped page of ours.
static int physical_address(const volatile uint8_t *host, uint64_t *out) {
    uint64_t entry = 0;
    ssize_t got;
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    (void)*host; // so that it is mapped
    got = pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)host / PAGE_SIZE_4K * sizeof(entry)));
    close(fd);
    if (got != (ssize_t)sizeof(entry) || !(entry & PAGEMAP_PRESENT)) {
        return -EIO;
    }
    *out = (entry & PAGEMAP_PFN_MASK) * PAGE_SIZE_4K;
    return 0;
}

/// Whether host is the very memory that VTL0 sees at start: for the two ends of a range that one
/// mapping covers, that is enough.
static int check_identity(struct gpa_range range, const uint8_t *host) {
    const uint64_t offsets[] = {0, gpa_range_bytes(range) - PAGE_SIZE_4K};

    for (size_t i = 0; i < ARRAY_COUNT(offsets); i++) {
        uint64_t found = 0;
        int result = physical_address(host + offsets[i], &found);

        if (result < 0) {
            return result;
        }
        if (found != range.start + offsets[i]) {
            log_write(LOG_ERROR, "vsm", "GPA %#llx is mapped from system-physical %#llx",
                      (ull)(range.start + offsets[i]), (ull)found);
            return -EINVAL;
        }
    }
    return 0;
}

int vsm_map(struct partition *partition, struct gpa_range range, void *host, bool read_only) {
    int result;

    if (gpa_range_bytes(range) == 0 || !is_aligned(range.start | range.end, PAGE_SIZE_4K) ||
        !is_aligned((uintptr_t)host, PAGE_SIZE_4K)) {
        return -EINVAL;
    }
    for (uint32_t i = 0; i < partition->config.own_memory_count; i++) {
        if (gpa_ranges_overlap(range, partition->own_memory[i])) {
            return -EPERM;
        }
    }
    if (partition->slot_count == VSM_MAX_SLOTS) {
        return -ENOSPC;
    }
    result = check_identity(range, host);
    if (result < 0) {
        return result;
    }
    partition->slots[partition->slot_count++] =
        (struct vsm_slot){.range = range, .host = host, .read_only = read_only};
    return 0;
}

uint8_t *vsm_ram(const struct partition *partition, gpa_t gpa, size_t size_bytes, bool is_write) {
    for (uint32_t i = 0; i < partition->slot_count; i++) {
        const struct vsm_slot *slot = &partition->slots[i];

        if (gpa_range_contains(slot->range, gpa.value, size_bytes)) {
            return is_write && slot->read_only ? NULL
                                               : slot->host + (gpa.value - slot->range.start);
        }
    }
    return NULL;
}

// ---- protection ----

static int protect_pages(const struct partition *partition, const uint64_t *pages, uint32_t count) {
    const struct hv_modify_vtl_protection_input header = {
        .partition_id = HV_PARTITION_ID_SELF,
        .map_flags = 0, // lower VTLs: nothing
        .target_vtl = 0,
    };
    const struct vsm_rep_call call = {
        .code = HV_CALL_MODIFY_VTL_PROTECTION_MASK,
        .header = &header,
        .header_bytes = sizeof(header),
        .in = pages,
        .in_bytes = sizeof(pages[0]),
        .count = count,
    };

    return vsm_rep_hvcall(partition, &call);
}

/// Asks the hypervisor what would happen if VTL0 read these pages. -ENOSYS: it cannot be asked.
static int verify_pages(const struct partition *partition, const uint64_t *pages, uint32_t count) {
    const struct hv_check_sparse_input header = {
        .partition_id = HV_PARTITION_ID_SELF,
        .target_vtl = VSM_TARGET_VTL0,
        .desired_access = HV_MAP_GPA_READABLE,
    };
    uint64_t answers[PAGES_PER_ROUND] = {0};
    const struct vsm_rep_call call = {
        .code = HV_CALL_CHECK_SPARSE_GPA_PAGE_VTL_ACCESS,
        .header = &header,
        .header_bytes = sizeof(header),
        .in = pages,
        .in_bytes = sizeof(pages[0]),
        .out = answers,
        .out_bytes = sizeof(answers[0]),
        .count = count,
    };
    int result = vsm_rep_hvcall(partition, &call);

    for (uint32_t i = 0; result == 0 && i < count; i++) {
        if ((answers[i] & 0xff) == HV_CHECK_SPARSE_SUCCESS) {
            log_write(LOG_ERROR, "vsm", "VTL0 can still read our page %#llx",
                      (ull)(pages[i] * PAGE_SIZE_4K));
            result = -EPERM;
        }
    }
    return result;
}

static int protect_range(const struct partition *partition, struct gpa_range range,
                         bool *can_verify) {
    uint64_t pages[PAGES_PER_ROUND];
    uint64_t next = range.start;

    while (next < range.end) {
        uint32_t count = 0;
        int result;

        while (count < PAGES_PER_ROUND && next < range.end) {
            pages[count++] = next / PAGE_SIZE_4K;
            next += PAGE_SIZE_4K;
        }
        result = protect_pages(partition, pages, count);
        if (result == 0 && *can_verify) {
            result = verify_pages(partition, pages, count);
            if (result == -ENOSYS) {
                *can_verify = false;
                result = 0;
            }
        }
        if (result < 0) {
            return result;
        }
    }
    return 0;
}

int vsm_protect_own_memory(struct partition *partition) {
    bool can_verify = true;
    uint64_t sum = 0;

    if (partition->config.own_memory_count == 0) {
        log_write(LOG_ERROR, "vsm", "nobody said which memory is our own");
        return -EINVAL;
    }
    for (uint32_t i = 0; i < partition->config.own_memory_count; i++) {
        struct gpa_range range = partition->own_memory[i];
        int result = is_aligned(range.start | range.end, PAGE_SIZE_4K)
                         ? protect_range(partition, range, &can_verify)
                         : -EINVAL;

        if (result < 0) {
            log_write(LOG_ERROR, "vsm", "[%#llx, %#llx) cannot be protected: %s", (ull)range.start,
                      (ull)range.end, strerror(-result));
            return result;
        }
        sum += gpa_range_bytes(range);
    }
    log_write(LOG_INFO, "vsm", "VTL0 has no access to %llu MiB of ours%s", (ull)(sum >> 20),
              can_verify ? "" : " (the hypervisor cannot be asked whether it is so)");
    return 0;
}
