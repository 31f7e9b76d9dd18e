// SPDX-License-Identifier: MIT
//
// fw_cfg over ports 0x510/0x511 and its DMA interface at 0x514 (QEMU docs/specs/fw_cfg.rst).

#include "tools/minihost/fw_cfg.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "igvm/base/bytes.h"
#include "loader/bare/cpu.h"

#define PORT_SELECTOR 0x510u
#define PORT_DATA     0x511u
#define PORT_DMA_HIGH 0x514u
#define PORT_DMA_LOW  0x518u

#define KEY_SIGNATURE 0x00u
#define KEY_ID        0x01u
#define KEY_CPU_COUNT 0x05u
#define KEY_FILE_DIR  0x19u

#define ID_DMA     (1u << 1)
#define DMA_ERROR  (1u << 0)
#define DMA_READ   (1u << 1)
#define DMA_SELECT (1u << 3)
#define MAX_FILES  1024u
#define DMA_POLLS  100000000u

/// What the DMA port points to; big-endian.
struct dma_access {
    uint32_t control;
    uint32_t length;
    uint64_t address;
};
_Static_assert(sizeof(struct dma_access) == 16, "fw_cfg.rst, struct FWCfgDmaAccess");

/// One entry of the file directory; big-endian.
struct file_entry {
    uint32_t size;
    uint16_t select;
    uint16_t reserved;
    char name[56];
};
_Static_assert(sizeof(struct file_entry) == 64, "fw_cfg.rst, struct FWCfgFile");

static bool present;

/// Reads length bytes on from where the selected item stands; select_key < 0 goes on.
static int dma_read(int select_key, void *out, uint32_t length) {
    static volatile struct dma_access access __attribute__((aligned(16)));
    uint32_t control = DMA_READ;
    uint64_t address = (uintptr_t)&access;

    if (select_key >= 0) {
        control |= DMA_SELECT | (uint32_t)select_key << 16;
    }
    access.length = __builtin_bswap32(length);
    access.address = __builtin_bswap64((uintptr_t)out);
    access.control = __builtin_bswap32(control);
    __asm__ volatile("" ::: "memory");
    cpu_outl(PORT_DMA_HIGH, __builtin_bswap32((uint32_t)(address >> 32)));
    cpu_outl(PORT_DMA_LOW, __builtin_bswap32((uint32_t)address)); // starts it
    for (uint32_t i = 0; i < DMA_POLLS; i++) {
        uint32_t state = __builtin_bswap32(access.control);

        if (state == 0) {
            __asm__ volatile("" ::: "memory");
            return 0;
        }
        if ((state & DMA_ERROR) != 0) {
            return -EIO;
        }
    }
    return -EIO;
}

bool fw_cfg_init(void) {
    char signature[4];

    cpu_outw(PORT_SELECTOR, KEY_SIGNATURE);
    for (unsigned i = 0; i < sizeof(signature); i++) {
        signature[i] = (char)cpu_inb(PORT_DATA);
    }
    cpu_outw(PORT_SELECTOR, KEY_ID);
    present = memcmp(signature, "QEMU", 4) == 0 && (cpu_inb(PORT_DATA) & ID_DMA) != 0;
    return present;
}

uint32_t fw_cfg_cpu_count(void) {
    uint8_t count[2] = {0};

    return present && dma_read(KEY_CPU_COUNT, count, sizeof(count)) == 0 ? load_le16(count) : 0;
}

int64_t fw_cfg_read_file(const char *name, void *out, size_t size_bytes) {
    struct file_entry entry = {0};
    uint8_t count_be[4] = {0};
    uint32_t count;

    if (!present) {
        return -ENOENT;
    }
    if (dma_read(KEY_FILE_DIR, count_be, sizeof(count_be)) != 0) {
        return -EIO;
    }
    count = load_be32(count_be);
    for (uint32_t i = 0; i < count && i < MAX_FILES; i++) {
        uint32_t size;

        if (dma_read(-1, &entry, sizeof(entry)) != 0) {
            return -EIO;
        }
        if (strnlen(entry.name, sizeof(entry.name)) == sizeof(entry.name) ||
            strcmp(entry.name, name) != 0) {
            continue;
        }
        size = __builtin_bswap32(entry.size);
        if (size > size_bytes) {
            return -EFBIG;
        }
        return dma_read(__builtin_bswap16(entry.select), out, size) == 0 ? (int64_t)size : -EIO;
    }
    return -ENOENT;
}
