// SPDX-License-Identifier: MIT
//
// PCI: bus 0 of a conventional PCI machine, its functions' configuration space, BARs, INTx lines
// and MSI-X. Terms and layouts: PCI Local Bus Specification 3.0, chapter 6 (configuration space,
// 6.2.5 BARs, 6.8.2 MSI-X) and section 3.2.2.3.2 (configuration mechanism #1).
//
// A device model embeds a struct pci_function, describes it before the machine runs (pci_init,
// pci_add_*), and attaches it to a slot. From then on the function answers configuration accesses
// and moves its BAR parts on the MMIO bus by itself. The function is a `struct device` of its own
// ("pci-blk0"): its configuration space and MSI-X table are saved and reset apart from the model's
// own state, and the machine registers both.
//
// Locks, in the order they may be taken: root.device.lock, function.device.lock, the model's own
// lock, then the leaves (root.map_lock, root.intx_lock, msix.lock). So a model may call everything
// below the line "while the machine runs" with its own lock held.
#pragma once

#include "devices/bus.h"
#include "devices/device.h"
#include "devices/irq.h"

#include <stdatomic.h>

#define PCI_SLOT_COUNT       32u
#define PCI_FUNCTION_COUNT   8u ///< of a slot
#define PCI_BAR_COUNT        6u
#define PCI_BAR_MAX_PARTS    8u
#define PCI_CONFIG_BYTES     256u
#define PCI_INTX_COUNT       4u
#define PCI_MSIX_MAX_VECTORS 128u

// Configuration header, type 0: offsets.
#define PCI_VENDOR_ID           0x00u
#define PCI_DEVICE_ID           0x02u
#define PCI_COMMAND             0x04u
#define PCI_STATUS              0x06u
#define PCI_REVISION_ID         0x08u
#define PCI_CLASS_CODE          0x09u ///< three bytes: interface, sub-class, base class
#define PCI_CACHE_LINE_SIZE     0x0Cu
#define PCI_LATENCY_TIMER       0x0Du
#define PCI_HEADER_TYPE         0x0Eu ///< bit 7: the slot has several functions
#define PCI_BAR0                0x10u
#define PCI_SUBSYSTEM_VENDOR_ID 0x2Cu
#define PCI_SUBSYSTEM_ID        0x2Eu
#define PCI_CAPABILITIES        0x34u
#define PCI_INTERRUPT_LINE      0x3Cu
#define PCI_INTERRUPT_PIN       0x3Du
#define PCI_FIRST_CAPABILITY    0x40u ///< capabilities are laid out from here on

#define PCI_HEADER_MULTI (1u << 7)

#define PCI_COMMAND_MEMORY       (1u << 1)
#define PCI_COMMAND_BUS_MASTER   (1u << 2)
#define PCI_COMMAND_INTX_DISABLE (1u << 10)
#define PCI_STATUS_INTERRUPT     (1u << 3)
#define PCI_STATUS_CAPABILITIES  (1u << 4)

#define PCI_CAP_MSIX           0x11u
#define PCI_CAP_VENDOR         0x09u
#define PCI_MSIX_ENABLE        (1u << 15) ///< of message control
#define PCI_MSIX_MASK_ALL      (1u << 14)
#define PCI_MSIX_VECTOR_MASKED 1u ///< of vector control

struct pci_identity {
    uint16_t vendor_id;
    uint16_t device_id;
    uint16_t subsystem_vendor_id;
    uint16_t subsystem_id;
    uint32_t class_code; ///< base << 16 | sub-class << 8 | interface
    uint8_t revision_id;
    bool has_intx; ///< interrupt pin: INTA
};

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_MEM32, PCI_BAR_MEM64 };

/// A BAR. It holds parts, each with its own handler and lock (a virtio notify area needs none);
/// accesses between the parts are nobody's.
struct pci_bar {
    enum pci_bar_kind kind;
    uint32_t part_count;
    uint64_t size_bytes;
    struct bus_region parts[PCI_BAR_MAX_PARTS]; ///< start: offset in the BAR
    // Under root.map_lock: where the guest wants it, and where it is.
    bool wanted;
    bool mapped;
    uint64_t wanted_start;
    uint64_t mapped_start;
};

/// The volatile state of a function. MSI-X words are atomics because pci_msix_notify reads them
/// without a lock; with no VP running they are plain words to save and restore.
struct pci_state {
    uint8_t config[PCI_CONFIG_BYTES];
    _Atomic uint64_t msix_address[PCI_MSIX_MAX_VECTORS];
    _Atomic uint32_t msix_data[PCI_MSIX_MAX_VECTORS];
    _Atomic uint32_t msix_control[PCI_MSIX_MAX_VECTORS];
    _Atomic uint64_t msix_pending[PCI_MSIX_MAX_VECTORS / 64];
};

struct pci_msix {
    uint16_t vector_count; ///< 0: the function has none
    uint8_t cap_off;
    pthread_mutex_t lock;
    // Glue, derived from the state.
    _Atomic uint32_t sequence; ///< odd while a table entry or the mode changes
    _Atomic bool enabled;
    _Atomic bool open; ///< enabled, not masked as a whole, bus master: messages may go out
};

struct pci_function;

/// What a model may want to know of configuration accesses; any may be NULL. Called with
/// function.device.lock held; they may take the model's lock.
struct pci_hooks {
    /// Before a guest read of [off, off + size): may bring registers up to date (pci_config_set).
    void (*before_read)(void *self, struct pci_function *f, uint8_t off, uint8_t size_bytes);
    /// After a guest write of [off, off + size), masks applied, BARs moved.
    void (*after_write)(void *self, struct pci_function *f, uint8_t off, uint8_t size_bytes);
};

struct pci_root;

struct pci_function {
    struct device device; ///< register it with the machine
    // Fixed after pci_attach.
    struct pci_root *root;
    uint8_t slot;
    uint8_t index; ///< in its slot
    uint16_t next_cap_off;
    uint8_t last_cap_off;                 ///< 0: none yet
    uint8_t template[PCI_CONFIG_BYTES];   ///< configuration space after reset
    uint8_t write_mask[PCI_CONFIG_BYTES]; ///< 1: the guest may write this bit
    struct pci_hooks hooks;
    void *hooks_self;
    struct pci_bar bars[PCI_BAR_COUNT];
    struct pci_msix msix;
    // Glue.
    _Atomic bool bus_master; ///< COMMAND.BUS_MASTER
    bool intx_level;         ///< what the model asked for; under root.intx_lock
    bool intx_disabled;      ///< COMMAND.INTX_DISABLE; under root.intx_lock
    // Volatile.
    struct pci_state state;
};

struct pci_root_state {
    uint32_t config_address; ///< CONFIG_ADDRESS, port 0xCF8
    uint8_t reset_control;   ///< port 0xCF9
};

struct pci_root {
    struct device device; ///< register it with the machine
    struct bus *mmio;
    struct msi_sink msi;
    struct irq_line intx[PCI_INTX_COUNT];
    void (*reset_requested)(void *ctx); ///< port 0xCF9 asked for a reset; may be NULL
    void *reset_ctx;
    struct pci_function *functions[PCI_SLOT_COUNT * PCI_FUNCTION_COUNT]; ///< slot << 3 | index
    struct pci_function host_bridge;                                     ///< 8086:1237 in slot 0
    pthread_mutex_t map_lock;
    pthread_mutex_t intx_lock;
    uint32_t intx_asserted[PCI_INTX_COUNT]; ///< bit n: slot n pulls this line
    struct pci_root_state state;
};

struct pci_root_config {
    struct bus *pio;
    struct bus *mmio;
    struct msi_sink msi;
    uint32_t intx_first_gsi; ///< slot s uses GSI intx_first_gsi + (s & 3)
    void (*set_line)(void *ctx, uint32_t line, bool level);
    void *set_line_ctx;
    /// Asks for a machine reset; called on a VP's thread with the root's lock held: it only notes
    /// the request. May be NULL.
    void (*reset_requested)(void *ctx);
    void *reset_ctx;
};

// ---- between pci.c, pci_msix.c and pci_root.c
// ----------------------------------------------------

/// A guest access to the function's configuration space; function.device.lock held.
void pci_config_access(struct pci_function *f, struct bus_access *access);
/// Recomputes enabled and open from configuration space; sends what became deliverable.
void pci_msix_sync(struct pci_function *f, bool send_pending);
/// Recomputes the level of the function's line; with root.intx_lock held.
void pci_intx_sync(struct pci_function *f);

// ---- while the machine is built
// ------------------------------------------------------------------

/// Makes bus 0 with its host bridge and claims ports 0xCF8..0xCFF (with the reset register 0xCF9).
/// 0 or bus_add()'s error. The root must stay where it is.
int pci_root_init(struct pci_root *root, const struct pci_root_config *config);

/// Starts the description of a function. name (kept, not copied) names its struct device. hooks may
/// be NULL; hooks_self is given to them.
void pci_init(struct pci_function *f, const char *name, const struct pci_identity *identity,
              const struct pci_hooks *hooks, void *hooks_self);

/// Gives the function a memory BAR; a MEM64 one takes index and index + 1. size_bytes: a power of
/// two from 4096 up. -EINVAL or -EEXIST.
int pci_add_bar(struct pci_function *f, unsigned index, enum pci_bar_kind kind,
                uint64_t size_bytes);

/// Puts a handler at [part->start, part->start + part->size_bytes) of a BAR. Offsets that the
/// handler sees are relative to the part. -EINVAL outside the BAR, -EEXIST overlap, -ENOSPC.
int pci_add_bar_part(struct pci_function *f, unsigned index, const struct bus_region *part);

/// Appends a capability: id, next, then body_bytes of body. write_mask (body_bytes long, may be
/// NULL) says which bits the guest may write. Returns its offset in configuration space, or
/// -ENOSPC.
int pci_add_capability(struct pci_function *f, uint8_t id, const void *body, uint8_t body_bytes,
                       const uint8_t *write_mask);

/// Appends the MSI-X capability and puts table and PBA into a BAR as parts. Offsets: multiples of
/// 8, table 16 bytes per vector, PBA 8 bytes per 64 vectors. vector_count: 1 to
/// PCI_MSIX_MAX_VECTORS. Returns the capability's offset or a negative errno.
int pci_add_msix(struct pci_function *f, unsigned vector_count, unsigned bar, uint32_t table_off,
                 uint32_t pba_off);

/// Puts the function into a slot, as its function 0. -EINVAL: no such slot; -EEXIST: taken.
int pci_attach(struct pci_root *root, struct pci_function *f, unsigned slot);

/// Adds a function (index 1 to 7) to a slot whose function 0 is there already, which from now on
/// says that it is not alone. -EINVAL: no such slot or index, no function 0, or the function has an
/// interrupt pin (the slot's one line belongs to function 0); -EEXIST: taken.
int pci_attach_function(struct pci_root *root, struct pci_function *f, unsigned slot,
                        unsigned index);

// ---- while the machine runs
// ----------------------------------------------------------------------

/// Sends a vector's message, or notes it as pending while it is masked. Any thread, any lock held;
/// takes no lock when the vector is not masked. Nothing happens for a vector that does not exist or
/// while MSI-X is disabled.
void pci_msix_notify(struct pci_function *f, unsigned vector);

/// Whether the guest enabled MSI-X: then INTx must stay down.
bool pci_msix_enabled(const struct pci_function *f);

/// The level of the function's INTA pin; COMMAND.INTX_DISABLE, STATUS and line sharing are done
/// here.
void pci_set_intx(struct pci_function *f, bool level);

/// Whether the function may reach memory (COMMAND.BUS_MASTER).
bool pci_bus_master(const struct pci_function *f);

/// Reads and writes configuration registers from the model's side, masks ignored; size 1, 2 or 4,
/// inside configuration space. Caller holds function.device.lock or the machine does not run.
// (The model's hooks run with the lock held already.)
uint32_t pci_config_get(const struct pci_function *f, uint8_t off, uint8_t size_bytes);
void pci_config_set(struct pci_function *f, uint8_t off, uint8_t size_bytes, uint32_t value);
