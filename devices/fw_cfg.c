// SPDX-License-Identifier: MIT
//
// The firmware configuration device (QEMU documentation, docs/specs/fw_cfg.rst). The guest selects
// an item by its key and reads it byte by byte at the data port, or has it copied by a DMA request.
//
// A request is fetched once; all of it is checked before anything is done. Bytes past an item's
// end, and items that do not exist, read as zeroes.
#include "devices/fw_cfg.h"

#include "igvm/base/bytes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORTS_BYTES  12u ///< 0x510 to 0x51B
#define DATA_OFF     (FW_CFG_DATA_PORT - FW_CFG_SELECTOR_PORT)
#define DMA_HIGH_OFF (FW_CFG_DMA_PORT - FW_CFG_SELECTOR_PORT)
#define DMA_LOW_OFF  (DMA_HIGH_OFF + 4u)

#define KEY_WRITABLE     0xBFFFu ///< bit 14, the old write channel, selects the same item
#define ID_TRADITIONAL   (1u << 0)
#define ID_DMA           (1u << 1)
#define DMA_SIGNATURE_HI 0x51454D55u ///< what the DMA port reads: "QEMU CFG"
#define DMA_SIGNATURE_LO 0x20434647u

#define DIRECTORY_ENTRY_BYTES 64u

static const struct state_field fields[] = {
    STATE_SCALAR(1, struct fw_cfg_state, key, U16, PUBLIC, 0, KEY_WRITABLE),
    STATE_SCALAR(2, struct fw_cfg_state, off, U32, PUBLIC, 0, 0),
    STATE_SCALAR(3, struct fw_cfg_state, dma_high, U32, GUEST, 0, 0),
};

static const struct state_table table = {
    .name = "fw-cfg",
    .version = 1,
    .field_count = ARRAY_COUNT(fields),
    .struct_bytes = sizeof(struct fw_cfg_state),
    .fields = fields,
};

static struct fw_cfg_item *find(struct fw_cfg *fw, uint16_t key) {
    for (uint32_t i = 0; i < fw->item_count; i++) {
        if (fw->items[i].key == key) {
            return &fw->items[i];
        }
    }
    return NULL;
}

static void select_item(struct fw_cfg *fw, uint16_t key) {
    fw->state.key = key & KEY_WRITABLE;
    fw->state.off = 0;
}

/// What is left of the selected item; 0 past its end or when there is none.
static uint32_t bytes_left(struct fw_cfg *fw, const uint8_t **at) {
    const struct fw_cfg_item *item = find(fw, fw->state.key);

    if (item == NULL || fw->state.off >= item->size_bytes) {
        return 0;
    }
    *at = item->bytes + fw->state.off;
    return item->size_bytes - fw->state.off;
}

/// Past the end everything is alike: the offset stops instead of wrapping.
static void advance(struct fw_cfg *fw, uint32_t size_bytes) {
    if (__builtin_add_overflow(fw->state.off, size_bytes, &fw->state.off)) {
        fw->state.off = UINT32_MAX;
    }
}

static uint8_t read_byte(struct fw_cfg *fw) {
    const uint8_t *at = NULL;
    uint8_t byte = bytes_left(fw, &at) > 0 ? *at : 0;

    advance(fw, 1);
    return byte;
}

// ---- DMA ----

/// Copies from the selected item; zeroes behind its end.
static int read_to_guest(struct fw_cfg *fw, gpa_t to, uint32_t size_bytes) {
    const uint8_t *at = NULL;
    uint32_t left = bytes_left(fw, &at);
    uint32_t copied = size_bytes < left ? size_bytes : left;
    int result = 0;

    if (!guest_memory_is_ram(fw->gm, to, size_bytes)) {
        return -EFAULT; // nothing is written of a request that cannot be carried out
    }
    if (copied > 0) {
        result = guest_write(fw->gm, to, at, copied);
    }
    if (result == 0 && size_bytes > copied) {
        result = guest_zero(fw->gm, gpa(to.value + copied), size_bytes - copied);
    }
    return result;
}

static int carry_out(struct fw_cfg *fw, uint32_t control, uint32_t size_bytes, gpa_t address) {
    int result = 0;

    if (control & FW_CFG_DMA_SELECT) {
        select_item(fw, (uint16_t)(control >> 16));
    }
    // Reading goes before writing, writing before skipping; what comes later is ignored.
    if (control & FW_CFG_DMA_READ) {
        if (size_bytes > FW_CFG_DMA_MAX_BYTES) {
            return -EFBIG;
        }
        result = size_bytes > 0 ? read_to_guest(fw, address, size_bytes) : 0;
    } else if (control & FW_CFG_DMA_WRITE) {
        return -EROFS;
    } else if (!(control & FW_CFG_DMA_SKIP)) {
        return 0;
    }
    if (result == 0) {
        advance(fw, size_bytes);
    }
    return result;
}

/// One request; its control word gets the outcome: 0 or the error bit.
static void run_dma(struct fw_cfg *fw, gpa_t request) {
    uint8_t bytes[FW_CFG_DMA_REQUEST_BYTES], outcome[4] = {0};
    uint64_t address;

    fw->dma_requests++;
    if (guest_read(fw->gm, request, bytes, sizeof(bytes)) < 0) {
        fw->dma_errors++;
        return; // there is no place for an answer
    }
    address = (uint64_t)load_be32(bytes + 8) << 32 | load_be32(bytes + 12);
    if (carry_out(fw, load_be32(bytes), load_be32(bytes + 4), gpa(address)) < 0) {
        fw->dma_errors++;
        outcome[3] = FW_CFG_DMA_ERROR;
    }
    (void)guest_write(fw->gm, request, outcome, sizeof(outcome)); // it was readable: it is RAM
}

// ---- ports ----

static enum bus_result write_port(struct fw_cfg *fw, const struct bus_access *access) {
    uint32_t swapped = __builtin_bswap32((uint32_t)access->value);

    if (access->offset == 0 && access->size == 2) {
        select_item(fw, (uint16_t)access->value);
    } else if (access->offset == DMA_HIGH_OFF && access->size == 4) {
        fw->state.dma_high = swapped;
    } else if (access->offset == DMA_LOW_OFF && access->size == 4) {
        gpa_t request = gpa((uint64_t)fw->state.dma_high << 32 | swapped);

        fw->state.dma_high = 0; // the next one need not name it
        run_dma(fw, request);
    } else if (access->offset != DATA_OFF) { // the data port takes writes and drops them
        return BUS_NOT_MINE;
    }
    return BUS_OK;
}

static enum bus_result port_access(void *self, struct bus_access *access) {
    struct fw_cfg *fw = self;

    if (access->is_write) {
        return write_port(fw, access);
    }
    if (access->offset == DATA_OFF && access->size == 1) {
        access->value = read_byte(fw);
    } else if (access->offset == DMA_HIGH_OFF && access->size == 4) {
        access->value = __builtin_bswap32(DMA_SIGNATURE_HI);
    } else if (access->offset == DMA_LOW_OFF && access->size == 4) {
        access->value = __builtin_bswap32(DMA_SIGNATURE_LO);
    } else {
        return BUS_NOT_MINE;
    }
    return BUS_OK;
}

// ---- life ----

static void reset(void *self, device_reset_done_fn done, void *ctx) {
    struct fw_cfg *fw = self;

    state_reset(&table, &fw->state);
    done(ctx);
}

static int after_load(void *self) {
    struct fw_cfg *fw = self;

    fw->state.key &= KEY_WRITABLE;
    return 0;
}

static const struct device_ops ops = {.state = &table, .reset = reset, .after_load = after_load};

int fw_cfg_add(struct fw_cfg *fw, uint16_t key, const void *bytes, size_t size_bytes) {
    struct fw_cfg_item *item = &fw->items[fw->item_count];

    if (find(fw, key)) {
        return -EEXIST;
    }
    if (fw->item_count == FW_CFG_MAX_ITEMS) {
        return -ENOSPC;
    }
    if (size_bytes > FW_CFG_MAX_ITEM_BYTES) {
        return -EFBIG;
    }
    item->bytes = malloc(size_bytes ? size_bytes : 1);
    if (item->bytes == NULL) {
        return -ENOMEM;
    }
    memcpy(item->bytes, bytes, size_bytes);
    item->key = key;
    item->size_bytes = (uint32_t)size_bytes;
    fw->item_count++;
    return 0;
}

/// The directory's item points into fw->directory's copy: made anew when it grows.
static int renew_directory(struct fw_cfg *fw) {
    struct fw_cfg_item *item = find(fw, FW_CFG_FILE_DIR);
    uint32_t size_bytes = 4 + fw->file_count * DIRECTORY_ENTRY_BYTES;
    uint8_t *bytes = malloc(size_bytes);

    if (bytes == NULL) {
        return -ENOMEM;
    }
    store_le32(fw->directory, __builtin_bswap32(fw->file_count));
    memcpy(bytes, fw->directory, size_bytes);
    free(item->bytes);
    item->bytes = bytes;
    item->size_bytes = size_bytes;
    return 0;
}

int fw_cfg_add_file(struct fw_cfg *fw, const char *name, const void *bytes, size_t size_bytes) {
    uint16_t key = (uint16_t)(FW_CFG_FILE_0 + fw->file_count);
    uint8_t *entry = fw->directory + 4 + fw->file_count * DIRECTORY_ENTRY_BYTES;
    int result;

    if (name[0] == '\0' || strlen(name) >= FW_CFG_NAME_BYTES) {
        return -EINVAL;
    }
    if (fw->file_count == FW_CFG_MAX_FILES) {
        return -ENOSPC;
    }
    result = fw_cfg_add(fw, key, bytes, size_bytes);
    if (result < 0) {
        return result;
    }
    store_le32(entry, __builtin_bswap32((uint32_t)size_bytes));
    store_le16(entry + 4, __builtin_bswap16(key));
    snprintf((char *)entry + 8, FW_CFG_NAME_BYTES, "%s", name); // the rest is zero
    fw->file_count++;
    return renew_directory(fw);
}

void fw_cfg_destroy(struct fw_cfg *fw) {
    for (uint32_t i = 0; i < fw->item_count; i++) {
        free(fw->items[i].bytes);
    }
    fw->item_count = 0;
}

int fw_cfg_init(struct fw_cfg *fw, struct bus *pio, const struct guest_memory *gm) {
    struct bus_region ports = {.start = FW_CFG_SELECTOR_PORT,
                               .size_bytes = PORTS_BYTES,
                               .fn = port_access,
                               .self = fw,
                               .lock = &fw->device.lock,
                               .name = "fw-cfg"};
    uint8_t id[4];
    int result;

    memset(fw, 0, sizeof(*fw));
    fw->gm = gm;
    device_init(&fw->device, "fw-cfg", &ops, fw, &fw->state);
    store_le32(id, ID_TRADITIONAL | ID_DMA);
    result = fw_cfg_add(fw, FW_CFG_SIGNATURE, "QEMU", 4);
    result = result < 0 ? result : fw_cfg_add(fw, FW_CFG_ID, id, sizeof(id));
    result = result < 0 ? result : fw_cfg_add(fw, FW_CFG_FILE_DIR, fw->directory, 4);
    result = result < 0 ? result : bus_add(pio, &ports);
    if (result < 0) {
        fw_cfg_destroy(fw);
    }
    return result;
}
