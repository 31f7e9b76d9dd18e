// SPDX-License-Identifier: MIT
//
// Nested page tables: four levels of long-mode page tables (APM vol. 2, 5.3 and 15.25.5).
//
// Every entry has the user bit, since nested walks count as user accesses. An entry of a page that
// may not be accessed is not present, but keeps its address and ENTRY_MAPPED. Other processors walk
// the tables meanwhile: an entry is replaced by one store of 64 bits.

#include "tools/minihost/svm/npt.h"

#include <errno.h>

#define ENTRY_PRESENT  (1ull << 0)
#define ENTRY_WRITE    (1ull << 1)
#define ENTRY_USER     (1ull << 2)
#define ENTRY_LARGE    (1ull << 7)  // at 1 GiB and 2 MiB
#define ENTRY_MAPPED   (1ull << 9)  // ours: there is a page
#define ENTRY_OVERLAY  (1ull << 10) // ours: another page lies over it
#define ENTRY_UNDER    52u          // ours: NPT_* of the page under the overlay …
#define ENTRY_HAD_PAGE (1ull << 55) // … if there is one
#define ENTRY_NX       (1ull << 63)
#define ENTRY_ADDRESS  0x000ffffffffff000ull
#define ENTRY_TABLE    (ENTRY_PRESENT | ENTRY_WRITE | ENTRY_USER)

#define ROOT_SHIFT 39u
#define PAGE_SHIFT 12u
#define LEVEL_BITS 9u
#define TABLE_SIZE 512u

static uint64_t access_bits(unsigned access) {
    if ((access & NPT_READ) == 0) {
        return 0;
    }
    return ENTRY_PRESENT | ENTRY_USER | ((access & NPT_WRITE) != 0 ? ENTRY_WRITE : 0) |
           ((access & NPT_EXECUTE) != 0 ? 0 : ENTRY_NX);
}

static unsigned access_of(uint64_t entry) {
    if ((entry & ENTRY_PRESENT) == 0) {
        return 0;
    }
    return NPT_READ | ((entry & ENTRY_WRITE) != 0 ? NPT_WRITE : 0) |
           ((entry & ENTRY_NX) != 0 ? 0 : NPT_EXECUTE);
}

static void store(uint64_t *entry, uint64_t value) {
    __atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

static uint64_t *table_at(uint64_t entry) {
    return (uint64_t *)(uintptr_t)(entry & ENTRY_ADDRESS);
}

static uint64_t *new_table(struct npt *npt) {
    uint64_t *table;

    spin_lock(npt->heap_lock);
    table = heap_pages(npt->heap, 1);
    spin_unlock(npt->heap_lock);
    return table;
}

/// A leaf: present or not, but of a page. Above the last level only large pages are.
static bool is_leaf(uint64_t entry, unsigned shift) {
    return shift == PAGE_SHIFT || (entry & ENTRY_LARGE) != 0;
}

/// Replaces a large page by a table of 512 smaller ones that say the same.
static int split(struct npt *npt, uint64_t *entry, unsigned shift) {
    uint64_t *table = new_table(npt);
    unsigned below = shift - LEVEL_BITS;
    uint64_t flags = *entry & ~ENTRY_ADDRESS;

    if (table == NULL) {
        return -ENOMEM;
    }
    if (below == PAGE_SHIFT) {
        flags &= ~ENTRY_LARGE; // there the bit is PAT
    }
    for (uint64_t i = 0; i < TABLE_SIZE; i++) {
        table[i] = ((*entry & ENTRY_ADDRESS) + (i << below)) | flags;
    }
    store(entry, (uint64_t)(uintptr_t)table | ENTRY_TABLE);
    return 0;
}

/// The entry for gpa at the level of shift; tables above it are made, large pages split.
/// NULL: no memory.
static uint64_t *entry_at(struct npt *npt, uint64_t gpa, unsigned shift) {
    uint64_t *table = npt->root;

    for (unsigned at = ROOT_SHIFT;; at -= LEVEL_BITS) {
        uint64_t *entry = &table[(gpa >> at) % TABLE_SIZE];

        if (at == shift) {
            return entry;
        }
        if (*entry == 0) {
            uint64_t *below = new_table(npt);

            if (below == NULL) {
                return NULL;
            }
            store(entry, (uint64_t)(uintptr_t)below | ENTRY_TABLE);
        } else if (is_leaf(*entry, at) && split(npt, entry, at) != 0) {
            return NULL;
        }
        table = table_at(*entry);
    }
}

/// The leaf that covers gpa, or 0; *shift says how large it is.
static uint64_t leaf_of(const struct npt *npt, uint64_t gpa, unsigned *shift) {
    const uint64_t *table = npt->root;

    if (gpa >= NPT_END_GPA) {
        return 0;
    }
    for (unsigned at = ROOT_SHIFT;; at -= LEVEL_BITS) {
        uint64_t entry = table[(gpa >> at) % TABLE_SIZE];

        if (entry == 0 || is_leaf(entry, at)) {
            *shift = at;
            return entry;
        }
        table = table_at(entry);
    }
}

static uint64_t backing(const struct npt *npt, uint64_t gpa) {
    for (uint32_t i = 0; i < NPT_ALIASES; i++) {
        const struct npt_alias *alias = &npt->alias[i];

        if (gpa >= alias->range.start && gpa < alias->range.end) {
            return alias->hpa + (gpa - alias->range.start);
        }
    }
    return gpa;
}

/// Whether no alias window ends or begins inside the page.
static bool is_uniform(const struct npt *npt, struct gpa_range page) {
    for (uint32_t i = 0; i < NPT_ALIASES; i++) {
        struct gpa_range alias = npt->alias[i].range;

        if (gpa_ranges_overlap(page, alias) &&
            !gpa_range_contains(alias, page.start, gpa_range_bytes(page))) {
            return false;
        }
    }
    return true;
}

int npt_init(struct npt *npt) {
    npt->lock = (struct spinlock){0};
    npt->root = new_table(npt);
    return npt->root == NULL ? -ENOMEM : 0;
}

/// The largest page that may begin at range.start: aligned on both sides, inside, not across an
/// alias window's borders.
static unsigned fitting_shift(const struct npt *npt, struct gpa_range range) {
    uint64_t hpa = backing(npt, range.start);

    for (unsigned shift = 30; shift > PAGE_SHIFT; shift -= LEVEL_BITS) {
        uint64_t size = 1ull << shift;
        struct gpa_range page = {range.start, range.start + size};

        if (is_aligned(range.start, size) && is_aligned(hpa, size) && page.end <= range.end &&
            is_uniform(npt, page)) {
            return shift;
        }
    }
    return PAGE_SHIFT;
}

int npt_map(struct npt *npt, struct gpa_range range, unsigned access) {
    int rc = 0;

    if (!is_aligned(range.start | range.end, PAGE_SIZE_4K) || range.end > NPT_END_GPA) {
        return -EINVAL;
    }
    spin_lock(&npt->lock);
    while (range.start < range.end) {
        unsigned shift = fitting_shift(npt, range);
        uint64_t *entry = entry_at(npt, range.start, shift);

        if (entry == NULL) {
            rc = -ENOMEM;
            break;
        }
        store(entry, backing(npt, range.start) | ENTRY_MAPPED | access_bits(access) |
                         (shift > PAGE_SHIFT ? ENTRY_LARGE : 0));
        range.start += 1ull << shift;
    }
    spin_unlock(&npt->lock);
    return rc;
}

int npt_protect(struct npt *npt, uint64_t gpa, unsigned access) {
    unsigned shift;
    uint64_t leaf, *entry;
    int rc = 0;

    spin_lock(&npt->lock);
    leaf = leaf_of(npt, gpa, &shift);
    if ((leaf & ENTRY_MAPPED) == 0 && (leaf & ENTRY_HAD_PAGE) == 0) {
        rc = -ENOENT;
        goto out;
    }
    if ((leaf & ENTRY_OVERLAY) == 0 && access_of(leaf) == access) {
        goto out; // do not split for nothing
    }
    entry = entry_at(npt, gpa, PAGE_SHIFT);
    if (entry == NULL) {
        rc = -ENOMEM;
    } else if ((*entry & ENTRY_OVERLAY) != 0) {
        store(entry, (*entry & ~((uint64_t)NPT_ALL << ENTRY_UNDER)) | (uint64_t)(access & NPT_ALL)
                                                                          << ENTRY_UNDER);
    } else {
        store(entry, (*entry & ENTRY_ADDRESS) | ENTRY_MAPPED | access_bits(access));
    }
out:
    spin_unlock(&npt->lock);
    return rc;
}

unsigned npt_protection(struct npt *npt, uint64_t gpa) {
    unsigned shift;
    uint64_t leaf;

    spin_lock(&npt->lock);
    leaf = leaf_of(npt, gpa, &shift);
    spin_unlock(&npt->lock);
    return (leaf & ENTRY_OVERLAY) != 0 ? (unsigned)(leaf >> ENTRY_UNDER) & NPT_ALL
                                       : access_of(leaf);
}

int npt_overlay(struct npt *npt, uint64_t gpa, uint64_t page_hpa) {
    uint64_t page_gpa = align_down(gpa, PAGE_SIZE_4K);
    uint64_t *entry, old, kept;
    int rc = 0;

    if (page_gpa >= NPT_END_GPA || !is_aligned(page_hpa, PAGE_SIZE_4K)) {
        return -EINVAL;
    }
    spin_lock(&npt->lock);
    entry = entry_at(npt, page_gpa, PAGE_SHIFT);
    if (entry == NULL) {
        rc = -ENOMEM;
        goto out;
    }
    old = *entry;
    if ((old & ENTRY_OVERLAY) != 0) { // another overlay: what is under it stays so
        kept = old & (ENTRY_HAD_PAGE | (uint64_t)NPT_ALL << ENTRY_UNDER);
    } else {
        kept = ((old & ENTRY_MAPPED) != 0 ? ENTRY_HAD_PAGE : 0) | (uint64_t)access_of(old)
                                                                      << ENTRY_UNDER;
    }
    if (page_hpa != 0) {
        store(entry, page_hpa | ENTRY_OVERLAY | kept | access_bits(NPT_ALL));
    } else if ((kept & ENTRY_HAD_PAGE) != 0) {
        store(entry, backing(npt, page_gpa) | ENTRY_MAPPED |
                         access_bits((unsigned)(kept >> ENTRY_UNDER) & NPT_ALL));
    } else {
        store(entry, 0);
    }
out:
    spin_unlock(&npt->lock);
    return rc;
}

bool npt_translate(struct npt *npt, uint64_t gpa, unsigned access, uint64_t *hpa) {
    unsigned shift = PAGE_SHIFT;
    uint64_t leaf, offset_mask;

    spin_lock(&npt->lock);
    leaf = leaf_of(npt, gpa, &shift);
    spin_unlock(&npt->lock);
    if (leaf == 0 || (access_of(leaf) & access) != access) {
        return false;
    }
    offset_mask = (1ull << shift) - 1;
    *hpa = (leaf & ENTRY_ADDRESS & ~offset_mask) | (gpa & offset_mask);
    return true;
}
