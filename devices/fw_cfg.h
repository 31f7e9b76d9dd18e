// SPDX-License-Identifier: MIT
//
// The firmware configuration interface: how UEFI firmware for virtual machines learns what the
// machine is. QEMU documentation, docs/specs/fw_cfg.rst ("QEMU Firmware Configuration (fw_cfg)
// Device"): selector and data ports, and the DMA interface. Every item is read-only.
#pragma once

#include "devices/bus.h"
#include "devices/device.h"
#include "devices/guest_memory.h"

#define FW_CFG_SELECTOR_PORT 0x510u ///< 16 bits, write only
#define FW_CFG_DATA_PORT     0x511u ///< 8 bits
#define FW_CFG_DMA_PORT      0x514u ///< 64 bits, big-endian, in two halves

#define FW_CFG_SIGNATURE 0x0000u
#define FW_CFG_ID        0x0001u
#define FW_CFG_CPU_COUNT 0x0005u
#define FW_CFG_MAX_CPUS  0x000Fu
#define FW_CFG_FILE_DIR  0x0019u
#define FW_CFG_FILE_0    0x0020u ///< first file of the directory

#define FW_CFG_MAX_ITEMS      24u
#define FW_CFG_MAX_FILES      16u
#define FW_CFG_NAME_BYTES     56u ///< with its NUL
#define FW_CFG_MAX_ITEM_BYTES 0x100000u

// Bits of a DMA request's control word.
#define FW_CFG_DMA_ERROR  (1u << 0)
#define FW_CFG_DMA_READ   (1u << 1)
#define FW_CFG_DMA_SKIP   (1u << 2)
#define FW_CFG_DMA_SELECT (1u << 3) ///< bits 16 to 31: the key
#define FW_CFG_DMA_WRITE  (1u << 4)

/// A DMA request's size; what is beyond would only fill the guest's memory with zeroes.
#define FW_CFG_DMA_MAX_BYTES (16u << 20)
/// One request in guest memory: control (4), size (4), address (8), all big-endian.
#define FW_CFG_DMA_REQUEST_BYTES 16u

struct fw_cfg_item {
    uint16_t key;
    uint32_t size_bytes;
    uint8_t *bytes; ///< ours
};

/// Volatile guest-visible state.
struct fw_cfg_state {
    uint16_t key;      ///< the selected item, which need not exist
    uint32_t off;      ///< of the next byte in it
    uint32_t dma_high; ///< upper half of the DMA address; the lower one starts the request
};

struct fw_cfg {
    struct device device; ///< register it with the machine
    // Fixed once the machine runs.
    const struct guest_memory *gm;
    struct fw_cfg_item items[FW_CFG_MAX_ITEMS];
    uint32_t item_count;
    uint8_t directory[4 + FW_CFG_MAX_FILES * 64];
    uint32_t file_count;
    // Counters.
    uint64_t dma_requests, dma_errors;
    // Volatile.
    struct fw_cfg_state state;
};

/// Makes the device with signature, id and an empty directory. bus_add()'s errors, -ENOMEM. Free
/// with fw_cfg_destroy.
int fw_cfg_init(struct fw_cfg *fw, struct bus *pio, const struct guest_memory *gm);
void fw_cfg_destroy(struct fw_cfg *fw);

/// Adds an item under a key; the bytes are copied. Before the machine runs. -EEXIST, -ENOSPC,
/// -EFBIG, -ENOMEM.
int fw_cfg_add(struct fw_cfg *fw, uint16_t key, const void *bytes, size_t size_bytes);

/// Adds a file, which the directory lists. -EINVAL: the name is empty or too long; otherwise as
/// fw_cfg_add().
int fw_cfg_add_file(struct fw_cfg *fw, const char *name, const void *bytes, size_t size_bytes);
