// SPDX-License-Identifier: MIT
//
// Memory of both VTLs. There is one guest-physical address space: VTL0's RAM stands at its
// system-physical addresses, and VTL2's stands in the same space, where VTL0 must not see it (TLFS,
// "Virtual Secure Mode", HvCallModifyVtlProtectionMask).
#include "vtl2/vsm/internal.h"

#include "igvm/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES_PER_ROUND 480u ///< fits a hypercall's page of input

typedef unsigned long long ull;

/// Whether a page of ours shows what stands at offset of low, the view by GPA: a change on one side
/// is seen on the other. The word is put back.
static bool is_same_page(volatile uint64_t *host, int low_fd, uint64_t gpa_start) {
    volatile uint64_t *low =
        mmap(NULL, PAGE_SIZE_4K, PROT_READ, MAP_SHARED, low_fd, (off_t)gpa_start);
    uint64_t kept = *host;
    bool same;

    if (low == MAP_FAILED) {
        return false;
    }
    *host = ~kept;
    same = *low == ~kept;
    *host = kept;
    same = same && *low == kept;
    munmap((void *)(uintptr_t)low, PAGE_SIZE_4K);
    return same;
}

/// Whether host is the very memory that VTL0 has at range: for the two ends of what one mapping
/// covers, that is enough. No VP runs yet.
static int check_identity(struct gpa_range range, uint8_t *host) {
    const uint64_t offsets[] = {0, gpa_range_bytes(range) - PAGE_SIZE_4K};
    int fd = open(MSHV_VTL_LOW_DEVICE, O_RDWR | O_CLOEXEC);
    int result = 0;

    if (fd < 0) {
        return -errno;
    }
    for (size_t i = 0; result == 0 && i < ARRAY_COUNT(offsets); i++) {
        uint64_t start = range.start + offsets[i];

        if (!is_same_page((volatile uint64_t *)(void *)(host + offsets[i]), fd, start)) {
            log_write(LOG_ERROR, "vsm", "what is mapped for GPA %#llx is something else",
                      (ull)start);
            result = -EINVAL;
        }
    }
    close(fd);
    return result;
}

static int protect_pages(const struct partition *partition, const uint64_t *pages, uint32_t count,
                         uint32_t access);

/// VTL0 may read and run the range, not write it.
static int protect_rom(const struct partition *partition, struct gpa_range range) {
    uint64_t pages[PAGES_PER_ROUND];
    int result = 0;

    for (uint64_t next = range.start; result == 0 && next < range.end;) {
        uint32_t count = 0;

        while (count < PAGES_PER_ROUND && next < range.end) {
            pages[count++] = next / PAGE_SIZE_4K;
            next += PAGE_SIZE_4K;
        }
        result = protect_pages(partition, pages, count,
                               HV_MAP_GPA_READABLE | HV_MAP_GPA_KERNEL_EXECUTE |
                                   HV_MAP_GPA_USER_EXECUTE);
    }
    return result;
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
    if (result == 0 && read_only) {
        result = protect_rom(partition, range);
    }
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

static int protect_pages(const struct partition *partition, const uint64_t *pages, uint32_t count,
                         uint32_t access) {
    const struct hv_modify_vtl_protection_input header = {
        .partition_id = HV_PARTITION_ID_SELF,
        .map_flags = access, // of lower VTLs
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
                      (ull)pages[i] * PAGE_SIZE_4K);
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
        result = protect_pages(partition, pages, count, 0);
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
