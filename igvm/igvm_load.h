// SPDX-License-Identifier: MIT
//
// IGVM loading, for hosts: walks the directives of one platform in file order and tells the host
// what to import; parameter areas are filled here, in one place, as the format says.
//
// No allocation: the host is asked for each area's buffer. Nothing is relocated: every region stays
// at the address that the file names, for which the host is asked as required memory.
#pragma once

#include "igvm/igvm_vp.h"

/// Bytes that the host owns; data is NULL when it has none.
struct igvm_blob {
    const void *data;
    size_t size_bytes;
};

/// What the host tells the guest. Everything is only read. A parameter that the file asks for and
/// that is missing here (NULL) makes the load fail.
struct igvm_host_params {
    uint32_t vp_count;
    uint32_t environment; // IGVM_ENVIRONMENT_*
    struct igvm_mmio_ranges mmio_ranges;
    const struct igvm_memory_map_entry *memory_map; // ascending, without the closing entry
    size_t memory_map_count;
    const char *command_line; // terminated
    struct igvm_blob device_tree;
    struct igvm_blob srat;
    struct igvm_blob madt;
    struct igvm_blob slit;
    struct igvm_blob pptt;
};

/// One page to import.
struct igvm_load_page {
    gpa_t gpa;
    uint32_t size_bytes; // PAGE_SIZE_4K or PAGE_SIZE_2M
    const uint8_t *data; // in the file; NULL: zeroes
    uint32_t flags;      // IGVM_PAGE_*
    enum igvm_page_data_type data_type;
};

/// What the host does. Each returns 0, or a negative errno to stop the load (HOST_REFUSED). Ranges
/// and sizes have been checked against the format, not against the host's memory: that is the
/// host's own part. page_data, area_buffer, area_insert and vp_context are required, the rest may
/// be NULL (then the header is passed over).
struct igvm_load_ops {
    int (*page_data)(void *host, const struct igvm_load_page *page);
    /// A buffer of size_bytes for the area (only of areas that this platform inserts), writable
    /// until its area_insert; NULL to refuse. The contents need no clearing.
    uint8_t *(*area_buffer)(void *host, uint32_t area_idx, uint64_t size_bytes);
    /// Imports the area's buffer, unmeasured.
    int (*area_insert)(void *host, gpa_t gpa, const uint8_t *buffer, uint64_t size_bytes);
    int (*vp_context)(void *host, const struct igvm_vp *vp);
    /// Memory that must exist, also for relocatable and page table regions (flags 0).
    int (*required_memory)(void *host, struct gpa_range range, uint32_t flags);
    int (*error_range)(void *host, struct gpa_range range);
    /// Policies, ID block, measurement, CoRIM, as they are in the file; data as igvm_header_data().
    int (*other)(void *host, const struct igvm_header *header, const uint8_t *data,
                 uint64_t data_bytes);
};

/// Loads file, which has passed igvm_validate(), as the given platform. 0, or -EINVAL with *error
/// filled; host_errno, if not NULL, gets what an operation returned (0 when the host was not
/// asked). On failure what has been imported stays imported: the host throws the VM away.
int igvm_load(const struct igvm_file *file, enum igvm_platform_type platform_type,
              const struct igvm_host_params *params, const struct igvm_load_ops *ops, void *host,
              struct igvm_error *error, int *host_errno);
