// SPDX-License-Identifier: MIT
//
// The guest's page tables: 32-bit, PAE, 4-level and 5-level paging as Intel SDM vol. 3 chapter 4
// has them, with access rights (4.6), fault error codes (4.7), accessed and dirty flags (4.8).
//
// PAE's four top entries are read from memory, where a processor keeps the copies it made when CR3
// was loaded; nothing but a guest that changes them without loading CR3 sees the difference.
#include "vtl2/emulator/internal.h"

#include "igvm/base/bytes.h"

#define PTE_P         (UINT64_C(1) << 0)
#define PTE_W         (UINT64_C(1) << 1)
#define PTE_U         (UINT64_C(1) << 2)
#define PTE_A         (UINT64_C(1) << 5)
#define PTE_D         (UINT64_C(1) << 6)
#define PTE_PS        (UINT64_C(1) << 7)
#define PTE_NX        (UINT64_C(1) << 63)
#define PTE_KEY_SHIFT 59u

#define PF_P    (1u << 0)
#define PF_W    (1u << 1)
#define PF_U    (1u << 2)
#define PF_RSVD (1u << 3)
#define PF_I    (1u << 4)
#define PF_PK   (1u << 5)

#define MAX_LEVELS 5u

/// One walk. Level 1 is the table whose entries map 4 KiB.
struct walk {
    uint64_t linear;
    enum emu_access access;
    bool is_user;
    bool is_system;
    uint32_t entry_bytes;  ///< 4 or 8
    uint32_t index_bits;   ///< 10 or 9
    bool is_pae3;          ///< level 3 is PAE's: only P and an address
    uint64_t address_mask; ///< address bits of an entry
    uint64_t reserved;     ///< reserved in every entry
    uint32_t entry_count;  ///< entries read so far
    gpa_t entry_gpa[MAX_LEVELS];
    uint64_t entry[MAX_LEVELS];
};

static int page_fault(struct emu_run *run, const struct walk *w, uint32_t error) {
    const struct emu_state *s = run->state;

    if (w->access == EMU_WRITE) {
        error |= PF_W;
    }
    if (w->is_user) {
        error |= PF_U;
    }
    if (w->access == EMU_EXECUTE &&
        ((s->cr4 & CR4_SMEP) || ((s->cr4 & CR4_PAE) && (s->efer & EFER_NXE)))) {
        error |= PF_I;
    }
    (void)emu_fault(run, VECTOR_PF, true, error);
    run->fault.cr2 = w->linear;
    return -EFAULT;
}

/// Fetched once: the copy is what is checked, used and compared when flags are set.
static int read_entry(struct emu_run *run, struct walk *w, uint64_t table, unsigned level) {
    const struct emu_ops *ops = run->context->ops;
    unsigned shift = 12 + (level - 1) * w->index_bits;
    uint64_t index = (w->linear >> shift) & ((1u << w->index_bits) - 1);
    gpa_t at = gpa(table + index * w->entry_bytes);
    uint8_t bytes[8] = {0};
    int rc;

    if (ops->memory_kind(run->context->ctx, gpa(align_down(at.value, PAGE_SIZE_4K)), false) !=
        EMU_MEMORY_RAM) {
        return -ENXIO;
    }
    rc = ops->ram_read(run->context->ctx, at, bytes, w->entry_bytes);
    if (rc) {
        return rc == -EFAULT ? -EIO : rc;
    }
    w->entry_gpa[w->entry_count] = at;
    w->entry[w->entry_count] = load_le64(bytes);
    w->entry_count++;
    return 0;
}

/// Reserved bits of an entry at level; large: it maps a page above level 1.
static uint64_t reserved_bits(const struct emu_state *s, const struct walk *w, unsigned level,
                              bool large, uint64_t entry) {
    uint64_t reserved = w->reserved;

    if (w->entry_bytes == 4) {
        return large ? UINT64_C(1) << 21 : 0;
    }
    if (w->is_pae3 && level == 3) {
        return entry & (reserved | PTE_NX | 0x1E6);
    }
    if (!(s->efer & EFER_NXE)) {
        reserved |= PTE_NX;
    }
    if (large) {
        // Bit 12 is PAT; the address bits between it and the page's size must be 0.
        reserved |=
            level > 3 ? PTE_PS : ((UINT64_C(1) << (12 + (level - 1) * 9)) - 1) & ~UINT64_C(0x1FFF);
    }
    return entry & reserved;
}

/// Rights that all levels together give, against the access. 0 or the fault.
static int check_rights(struct emu_run *run, const struct walk *w) {
    const struct emu_state *s = run->state;
    bool user = true, writable = true, nx = false;
    uint64_t leaf = w->entry[w->entry_count - 1];

    for (uint32_t i = 0; i < w->entry_count; i++) {
        if (w->is_pae3 && i == 0) {
            continue;
        }
        user = user && (w->entry[i] & PTE_U);
        writable = writable && (w->entry[i] & PTE_W);
        nx = nx || (w->entry_bytes == 8 && (s->efer & EFER_NXE) && (w->entry[i] & PTE_NX));
    }
    if (w->is_user && !user) {
        return page_fault(run, w, PF_P);
    }
    if (w->access == EMU_EXECUTE) {
        bool smep = (s->cr4 & CR4_SMEP) && !w->is_user && user;

        return nx || smep ? page_fault(run, w, PF_P) : 0;
    }
    if (w->access == EMU_WRITE && !writable && (w->is_user || (s->cr0 & CR0_WP))) {
        return page_fault(run, w, PF_P);
    }
    if (user && !w->is_user && (s->cr4 & CR4_SMAP) && (w->is_system || !(s->rflags & FLAG_AC))) {
        return page_fault(run, w, PF_P);
    }
    if (user && (s->cr4 & CR4_PKE) && (s->efer & EFER_LMA)) {
        uint32_t rights = s->pkru >> (2 * ((leaf >> PTE_KEY_SHIFT) & 15));
        bool denies_write = (rights & 2) && (w->is_user || (s->cr0 & CR0_WP));

        if ((rights & 1) || (w->access == EMU_WRITE && denies_write)) {
            return page_fault(run, w, PF_P | PF_PK);
        }
    }
    return 0;
}

/// Sets accessed and dirty where they are missing; the walk is repeated when an entry has changed.
static int set_flags(struct emu_run *run, const struct walk *w) {
    const struct emu_ops *ops = run->context->ops;

    for (uint32_t i = 0; i < w->entry_count; i++) {
        bool is_leaf = i + 1 == w->entry_count;
        uint64_t want = w->entry[i] | PTE_A;
        uint8_t old[8], new[8];
        int rc;

        if (w->is_pae3 && i == 0) {
            continue;
        }
        if (is_leaf && w->access == EMU_WRITE) {
            want |= PTE_D;
        }
        if (want == w->entry[i]) {
            continue;
        }
        store_le64(old, w->entry[i]);
        store_le64(new, want);
        if (ops->memory_kind(run->context->ctx,
                             gpa(align_down(w->entry_gpa[i].value, PAGE_SIZE_4K)),
                             true) != EMU_MEMORY_RAM) {
            return -ENXIO;
        }
        rc = ops->ram_exchange(run->context->ctx, w->entry_gpa[i], old, new, w->entry_bytes);
        if (rc) {
            return rc == -EFAULT ? -EIO : rc;
        }
    }
    return 0;
}

/// The format of the tables; returns the top level and its table's address.
static unsigned walk_start(const struct emu_state *s, struct walk *w, uint64_t *table) {
    unsigned bits = s->physical_address_bits ? s->physical_address_bits : 52;

    bits = bits < 32 ? 32 : bits > 52 ? 52 : bits;
    w->entry_bytes = 8;
    w->index_bits = 9;
    w->address_mask = (UINT64_C(1) << 52) - PAGE_SIZE_4K;
    w->reserved = w->address_mask & ~((UINT64_C(1) << bits) - 1) & ~s->encryption_mask;
    if (s->efer & EFER_LMA) {
        *table = s->cr3 & w->address_mask;
        return (s->cr4 & CR4_LA57) ? 5 : 4;
    }
    // Bits 62:52 of PAE entries are reserved.
    w->reserved |= UINT64_C(0x7FF) << 52;
    if (s->cr4 & CR4_PAE) {
        w->is_pae3 = true;
        *table = s->cr3 & 0xFFFFFFE0;
        return 3;
    }
    w->entry_bytes = 4;
    w->index_bits = 10;
    w->address_mask = 0xFFFFF000;
    w->reserved = 0;
    *table = s->cr3 & 0xFFFFF000;
    return 2;
}

/// The GPA that the last entry, read at level, gives.
static gpa_t leaf_gpa(const struct emu_state *s, const struct walk *w, unsigned level) {
    uint64_t entry = w->entry[w->entry_count - 1];
    uint64_t offset_mask = (UINT64_C(1) << (12 + (level - 1) * w->index_bits)) - 1;
    uint64_t base = entry & w->address_mask & ~offset_mask;

    if (w->entry_bytes == 4 && level == 2) {
        base |= (entry >> 13 & 0xFF) << 32; // PSE-36
    }
    return gpa((base & ~s->encryption_mask) | (w->linear & offset_mask));
}

int emu_walk(struct emu_run *run, uint64_t linear, enum emu_access access, bool is_system,
             gpa_t *out) {
    const struct emu_state *s = run->state;
    struct walk w = {.linear = linear, .access = access, .is_system = is_system};
    uint64_t table = 0;
    unsigned level;
    int rc;

    if (!(s->cr0 & CR0_PG)) {
        *out = gpa(linear & UINT32_MAX);
        return 0;
    }
    w.is_user = s->cpl == 3 && !is_system;
    for (level = walk_start(s, &w, &table);; level--) {
        uint64_t entry;
        bool large;

        rc = read_entry(run, &w, table & ~s->encryption_mask, level);
        if (rc) {
            return rc;
        }
        entry = w.entry[w.entry_count - 1];
        if (!(entry & PTE_P)) {
            return page_fault(run, &w, 0);
        }
        large = level > 1 && (entry & PTE_PS) && !(w.is_pae3 && level == 3) &&
                (w.entry_bytes == 8 || (s->cr4 & CR4_PSE));
        if (reserved_bits(s, &w, level, large, entry) & entry) {
            return page_fault(run, &w, PF_P | PF_RSVD);
        }
        if (large || level == 1) {
            break;
        }
        table = entry & w.address_mask;
    }
    rc = check_rights(run, &w);
    if (rc == 0) {
        rc = set_flags(run, &w);
    }
    if (rc == 0) {
        *out = leaf_gpa(s, &w, level);
    }
    return rc;
}
