// SPDX-License-Identifier: MIT
//
// VTL0's machine: joins the platform (vtl2/) and the devices (devices/) and runs it.
//
// Threads: the control thread owns struct machine and its loop; it builds the machine, starts and
// stops VPs by orders, resets, saves, and answers inspect. Each VP has a thread of its own that
// either runs the guest or its loop. VP threads reach the control thread by machine_request() only.
//
// Guest-physical map, see docs/ARCHITECTURE.md; ports and addresses are the devices' constants.
#pragma once

#include "devices/acpi_pm.h"
#include "devices/acpi_tables.h"
#include "devices/bus.h"
#include "devices/debugcon.h"
#include "devices/disk.h"
#include "devices/fw_cfg.h"
#include "devices/guest_memory.h"
#include "devices/ioapic.h"
#include "devices/pci.h"
#include "devices/pic.h"
#include "devices/piix.h"
#include "devices/pit.h"
#include "devices/reset_port.h"
#include "devices/rtc.h"
#include "devices/serial16550.h"
#include "devices/tpm_crb.h"
#include "devices/tpm_ppi.h"
#include "devices/uefi_vars.h"
#include "devices/virtio_blk.h"
#include "devices/virtio_console.h"
#include "devices/virtio_rng.h"
#include "userspace/chardev_tty.h"
#include "userspace/config.h"
#include "userspace/guest_ram.h"
#include "userspace/linux_loader.h"
#include "userspace/loop.h"
#include "userspace/uefi_vars_client.h"
#include "userspace/vtpm_client.h"
#include "vtl2/vtl2.h"

#define MACHINE_EXIT_KINDS (VP_EXIT_FAILED + 1)
#define MACHINE_NAME_BYTES 24u

#define MACHINE_FIRST_DISK_SLOT  4u
#define MACHINE_PCI_WINDOW_START GUEST_RAM_LOW_END_GPA
#define MACHINE_PCI_WINDOW_END   0xFEB00000ull
#define MACHINE_INTX_FIRST_GSI   16u ///< PCI INTA to INTD; slot s has (s & 3)

struct machine;

enum machine_order {
    MACHINE_STOP = 1, ///< leave the guest, settle the pending exit, wait in the loop
    MACHINE_BOOT,     ///< power-on state; VP 0 loads the guest's kernel
    MACHINE_RUN,      ///< run the guest
    MACHINE_QUIT,     ///< free the VP and end the thread
};

/// What VP threads and commands ask of the control thread; bits.
#define MACHINE_WANT_RESET     (1u << 0) ///< the guest wants to start again
#define MACHINE_WANT_POWER_OFF (1u << 1) ///< the guest went to S5
#define MACHINE_WANT_CRASH     (1u << 2) ///< triple fault
#define MACHINE_WANT_ABORT     (1u << 3) ///< the platform cannot run the guest
#define MACHINE_WANT_STOP      (1u << 4) ///< our own side wants to end (signal, control socket)

/// The guest's firmware, which ends at 4 GiB. Page aligned; nobody writes it.
struct machine_rom {
    uint8_t *bytes; ///< NULL: the guest's kernel is loaded instead
    size_t size_bytes;
    uint8_t
        *place; ///< where the guest sees it: a copy goes there at every start; NULL: bytes itself
};

struct machine_vp {
    struct machine *machine;
    uint32_t index;
    pthread_t thread;
    struct vp *vp;
    int result;             ///< of the last order
    _Atomic uint32_t order; ///< number << 4 | enum machine_order
    uint32_t obeyed;        ///< the last order that was carried out
    bool parked;            ///< crashed: does not enter the guest until the next order
    struct loop_task wake;  ///< only its arrival matters
    struct vp_exit exit;
    struct uring_loop loop;
    // Counters, written by this thread only.
    uint64_t exits[MACHINE_EXIT_KINDS];
    uint64_t unclaimed_pio, unclaimed_mmio;
};

struct machine {
    const struct vtl2_ops *ops;
    struct partition *partition;
    struct config config;
    struct guest_memory memory;
    struct linux_payload payload;
    struct machine_rom firmware;
    struct bus *pio, *mmio;
    uint32_t vp_count;
    struct machine_vp *vps;
    struct loop *loops[CONFIG_MAX_VPS]; ///< the VPs', for devices with several queues
    // Control thread.
    struct uring_loop loop;
    _Atomic uint32_t pending; ///< acknowledgements to come: of VPs, of devices
    struct loop_task pending_task;
    _Atomic uint32_t wanted; ///< MACHINE_WANT_*
    struct loop_task wanted_task;
    struct loop_task flush_task;
    bool running;
    uint32_t boot_count;
    // Devices.
    struct device *devices; ///< all of them, linked by device.next
    bool has_own_chips;     ///< pic, ioapic: the platform has none
    _Atomic bool intr;      ///< pic's output
    struct loop_task intr_task;
    struct pic pic;
    struct ioapic ioapic;
    struct pit pit;
    struct serial16550 com1;
    struct rtc rtc;
    struct acpi_pm pm;
    struct pci_root pci;
    struct virtio_console console;
    struct virtio_rng rng;
    struct virtio_blk *disks[CONFIG_MAX_DISKS];
    struct disk *disk_backends[CONFIG_MAX_DISKS];
    char disk_names[CONFIG_MAX_DISKS][2][MACHINE_NAME_BYTES]; ///< virtio device, PCI function
    struct tpm_crb tpm;
    uint8_t *tpm_page; ///< what the guest reads of it without an exit, NULL: nothing
    int vtpm_fd;       ///< until vtpm takes it over
    struct vtpm_client vtpm;
    bool has_console, has_rng, has_tpm;
    // With firmware only.
    struct fw_cfg fw_cfg;
    struct piix piix;
    struct tpm_ppi ppi; ///< with a TPM
    struct reset_port reset_port;
    struct debugcon debugcon;
    struct uefi_vars uefi_vars;
    struct uefi_vars_client uefi_vars_client;
    int uefi_vars_fd; ///< until uefi_vars_client takes it over
    bool has_fw_cfg, has_uefi_vars;
    struct chardev_tty console_tty, serial_tty;
    bool console_tty_open, serial_tty_open;
};

struct machine_setup {
    const struct vtl2_ops *ops;
    const struct config *config;
    const struct guest_memory *memory;
    const struct linux_payload *payload;
    struct machine_rom firmware;
    const struct gpa_range *own_memory; ///< VTL2's: the guest is kept out of it
    uint32_t own_memory_count;
    uint32_t vp_count;
    int vtpm_fd;      ///< the vTPM's socket, -1: none
    int uefi_vars_fd; ///< the variable process's socket, -1: none
};

/// Builds the machine: partition, VP threads (stopped), devices. -errno with a log line that says
/// what. The calling thread becomes the control thread. Free with machine_free.
int machine_new(const struct machine_setup *setup, struct machine **out);
void machine_free(struct machine *machine);

/// Loads the guest and starts all VPs from power-on state; devices are reset first when the machine
/// ran before. -errno with a log line.
int machine_boot(struct machine *machine);

/// All VPs leave the guest and wait in their loops; a running pair machine_stop, machine_run keeps
/// the guest's state.
void machine_stop(struct machine *machine);
void machine_run(struct machine *machine);

/// Power-on state for all devices; VPs are stopped. for_load: a saved state follows, and what lives
/// in other processes (the TPM, UEFI variables) is not part of it: those devices are left alone.
void machine_reset_devices(struct machine *machine, bool for_load);

/// Lets all devices' work in flight finish, nothing new is taken; VPs are stopped. For a save.
void machine_pause_devices(struct machine *machine);
void machine_resume_devices(struct machine *machine);

/// Brings out what the guest has written and a device still holds back; VPs are stopped.
void machine_flush(struct machine *machine);

/// Notes a wish for the control thread; any thread.
void machine_request(struct machine *machine, uint32_t want);

// ---- between the machine's files ----------------------------------------------------------------

/// Gives every VP an order and waits until all have carried it out. The first error, or 0.
int machine_order_all(struct machine *machine, enum machine_order order);
/// One access of an instruction that the platform emulates: vtl2_config.access.
void machine_access(void *machine, uint32_t vp_index, struct vp_exit *exit);
/// Starts the VP threads; each makes its loop and VP and waits.
int machine_start_threads(struct machine *machine);
/// Registers a device with the machine.
void machine_add(struct machine *machine, struct device *device);
/// IOAPIC, PICs and PIT, as far as the platform has none. Before all other devices.
int machine_add_chips(struct machine *machine);
struct irq_line machine_line(struct machine *machine, uint32_t gsi);
/// irq_line.set: the level of a GSI; any thread.
void machine_set_line(void *machine, uint32_t gsi, bool level);
/// msi_sink.send. An address that no local APIC answers is the guest's mistake: the message is
/// lost, as on a bus.
int machine_send_msi(void *machine, uint64_t address, uint32_t data);
/// VP_EXIT_EXTINT and VP_EXIT_EOI, on the VP's thread.
void machine_take_extint(struct machine *machine, struct vp *vp);
void machine_end_interrupt(struct machine *machine, uint8_t vector);
/// Builds what the configuration asks for and links machine->devices.
int machine_add_devices(struct machine *machine);
void machine_remove_devices(struct machine *machine);
/// Without firmware these do nothing: the ROM's place in the guest, and the devices that firmware
/// needs; after all other devices, since fw_cfg describes them.
int machine_map_firmware(struct machine *machine);
int machine_add_firmware(struct machine *machine);
void machine_remove_firmware(struct machine *machine);
/// The TPM's part of the guest's RAM, the end of what starts at 0; empty without a TPM.
struct gpa_range machine_tpm_ram(const struct machine *machine);
/// PCI's window below 4 GiB, and what the ACPI tables say.
struct gpa_range machine_pci_window(const struct machine *machine);
struct acpi_config machine_acpi_config(const struct machine *machine);
/// The guest asks for a reset: on a VP's thread, with a device's lock held.
void machine_on_reset(void *machine);
/// Runs the control loop until pending is 0.
void machine_wait_pending(struct machine *machine);
/// One acknowledgement less; any thread. Fits device_reset_done_fn.
void machine_done(void *machine);
