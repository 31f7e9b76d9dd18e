// SPDX-License-Identifier: MIT
//
// Nested page tables (APM vol. 2, 15.25): what one VTL sees of system memory, and how. Pure: the
// tables are plain memory, and only the processor that is pointed to them cares.
//
// GPA = system-physical address, but for alias windows and for overlay pages. Tables map with
// the largest pages that fit and are split on demand; they never merge again.
#pragma once

#include "igvm/base/types.h"
#include "tools/minihost/spinlock.h"
#include "tools/minihost/svm/heap.h"

#define NPT_READ    1u ///< without it there is no access at all
#define NPT_WRITE   2u
#define NPT_EXECUTE 4u
#define NPT_ALL     7u

#define NPT_END_GPA (1ull << 48) ///< four levels
#define NPT_ALIASES 2u

/// A window of GPAs that is backed by other memory; empty: none.
struct npt_alias {
    struct gpa_range range; ///< page aligned
    uint64_t hpa;           ///< where its memory begins
};

struct npt {
    uint64_t *root;                      ///< host-physical = host-virtual
    struct heap *heap;                   ///< where tables come from; shared between tables
    struct spinlock *heap_lock;          ///< for heap
    struct spinlock lock;                ///< for the tables; before heap_lock
    struct npt_alias alias[NPT_ALIASES]; ///< disjoint
};

/// An empty set of tables. The caller has set heap and heap_lock, and aliases or zeroes.
/// 0 or -ENOMEM.
int npt_init(struct npt *npt);

/// Maps range, page aligned and not mapped before, to where it is backed (itself, or an alias
/// window's memory), with access. 0, -EINVAL, or -ENOMEM (then a part is mapped).
int npt_map(struct npt *npt, struct gpa_range range, unsigned access);

/// Changes the access to one mapped page. Under an overlay the change shows when that is gone.
/// 0; -ENOENT: not mapped; -ENOMEM.
int npt_protect(struct npt *npt, uint64_t gpa, unsigned access);

/// The access that npt_map and npt_protect gave; 0 for what is not mapped.
unsigned npt_protection(struct npt *npt, uint64_t gpa);

/// Lays the page at page_hpa over a GPA, mapped or not, with full access; or, with page_hpa 0,
/// brings back what was there. 0, -EINVAL, or -ENOMEM.
int npt_overlay(struct npt *npt, uint64_t gpa, uint64_t page_hpa);

/// Where an access of a VTL's software to gpa goes. false: it may not.
bool npt_translate(struct npt *npt, uint64_t gpa, unsigned access, uint64_t *hpa);
