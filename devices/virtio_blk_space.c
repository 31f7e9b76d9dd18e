// SPDX-License-Identifier: MIT
//
// Features and configuration space of a virtio block device (VIRTIO 1.2, sections 5.2.3 and
// 5.2.4), from what its disk can do.
#include "devices/virtio_blk.h"

#include "igvm/base/types.h"

#include <string.h>

#define SECTOR_BYTES 512u

// 5.2.3 features.
#define BLK_F_SEG_MAX      (1ull << 2)
#define BLK_F_RO           (1ull << 5)
#define BLK_F_BLK_SIZE     (1ull << 6)
#define BLK_F_TOPOLOGY     (1ull << 10)
#define BLK_F_MQ           (1ull << 12)
#define BLK_F_DISCARD      (1ull << 13)
#define BLK_F_WRITE_ZEROES (1ull << 14)

/// struct virtio_blk_config (5.2.4); the device fills all of it once.
struct blk_config {
    uint64_t capacity; ///< sectors
    uint32_t size_max; ///< bytes of one segment
    uint32_t seg_max;  ///< data segments
    uint8_t geometry[4];
    uint32_t blk_size;          ///< bytes
    uint8_t physical_block_exp; ///< logical blocks per physical one, log2
    uint8_t alignment_offset;   ///< blocks
    uint16_t min_io_size;       ///< blocks
    uint32_t opt_io_size;       ///< blocks
    uint8_t writeback;          ///< only with CONFIG_WCE
    uint8_t unused0;
    uint16_t num_queues;
    uint32_t max_discard_sectors;
    uint32_t max_discard_seg;
    uint32_t discard_sector_alignment; ///< sectors
    uint32_t max_write_zeroes_sectors;
    uint32_t max_write_zeroes_seg;
    uint8_t write_zeroes_may_unmap;
    uint8_t unused1[3];
} __attribute__((packed));
_Static_assert(sizeof(struct blk_config) == VIRTIO_BLK_CONFIG_BYTES, "wire size");

static uint32_t sectors32(uint64_t bytes) {
    uint64_t sectors = bytes / SECTOR_BYTES;

    return sectors > UINT32_MAX ? UINT32_MAX : (uint32_t)sectors;
}

static uint64_t describe(const struct disk_info *info, uint16_t queue_count,
                         struct blk_config *config) {
    uint64_t features = BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_TOPOLOGY | BLK_F_MQ;
    uint32_t seg_max = VIRTIO_BLK_SEG_MAX;

    *config = (struct blk_config){
        .capacity = info->size_bytes / SECTOR_BYTES,
        .blk_size = info->logical_block_bytes,
        .num_queues = queue_count,
        .write_zeroes_may_unmap = 1,
    };
    while ((info->logical_block_bytes << config->physical_block_exp) < info->physical_block_bytes &&
           config->physical_block_exp < 8) {
        config->physical_block_exp++;
    }
    config->min_io_size = (uint16_t)(1u << config->physical_block_exp);
    if (info->max_transfer_bytes != 0) { // segments times their size stay within it
        uint32_t pages = info->max_transfer_bytes / PAGE_SIZE_4K;

        seg_max = pages == 0 ? 1 : pages < seg_max ? pages : seg_max;
        config->size_max = (uint32_t)align_down(info->max_transfer_bytes / seg_max,
                                                pages == 0 ? SECTOR_BYTES : PAGE_SIZE_4K);
        features |= VIRTIO_BLK_F_SIZE_MAX;
    }
    config->seg_max = seg_max;
    if (info->max_discard_bytes != 0) {
        config->max_discard_sectors = sectors32(info->max_discard_bytes);
        config->max_discard_seg = 1;
        config->discard_sector_alignment = sectors32(info->discard_granularity_bytes);
        features |= BLK_F_DISCARD;
    }
    if (info->max_write_zeroes_bytes != 0) {
        config->max_write_zeroes_sectors = sectors32(info->max_write_zeroes_bytes);
        config->max_write_zeroes_seg = 1;
        features |= BLK_F_WRITE_ZEROES;
    }
    features |= info->has_write_cache ? VIRTIO_BLK_F_FLUSH : 0;
    features |= info->read_only ? BLK_F_RO : 0;
    return features;
}

uint64_t virtio_blk_describe(const struct disk_info *info, uint16_t queue_count,
                             uint8_t space[static VIRTIO_BLK_CONFIG_BYTES]) {
    struct blk_config config;
    uint64_t features = describe(info, queue_count, &config);

    memcpy(space, &config, VIRTIO_BLK_CONFIG_BYTES);
    return features;
}
