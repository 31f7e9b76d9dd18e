// SPDX-License-Identifier: MIT
//
// What the files of the vsm platform share. The driver's interface: mshv_abi.h.
#pragma once

#include "vtl2/vsm/message.h"
#include "vtl2/vsm/mshv_abi.h"
#include "vtl2/vtl2.h"

#include <pthread.h>

#define VSM_MAX_VPS    64u
#define VSM_MAX_SLOTS  16u
#define VSM_MAX_RANGES 16u

/// VTL0 as a hypercall names it, whatever VTL the caller is.
#define VSM_TARGET_VTL0 (HV_INPUT_VTL_USE_TARGET | 0u)

/// RAM of the guest, and where the VMM sees it.
struct vsm_slot {
    struct gpa_range range;
    uint8_t *host;
    bool read_only;
};

struct partition {
    int mshv_fd, vtl_fd, hvcall_fd;
    bool has_register_page;
    struct vtl2_config config; ///< own_memory is the copy below
    struct gpa_range own_memory[VSM_MAX_RANGES];
    uint32_t slot_count;
    struct vsm_slot slots[VSM_MAX_SLOTS];
};

struct vp {
    struct partition *partition;
    uint32_t index;
    pthread_t thread;
    struct mshv_run *run;
    struct hv_register_page *registers; ///< NULL when the hypervisor offers none
    bool page_fresh;                    ///< it shows VTL0's state: nothing was set since the exit
    struct vsm_event event;             ///< of the last exit
    enum vp_exit_kind pending;          ///< exit whose result the next vp_run takes
    uint8_t pio_data[4];
    bool extint_level;     ///< the PICs' line
    bool window_requested; ///< the hypervisor tells when it can be taken
};

// ---- hypercall.c ----

/// Allows this process the hypercalls that the platform makes, and no others. -errno.
int vsm_hvcall_setup(struct partition *partition);

/// One element of a rep hypercall, as hvcall_rep() walks over them.
struct vsm_rep_call {
    uint16_t code;
    const void *header; ///< fixed part of the input
    size_t header_bytes;
    const void *in; ///< in_bytes per element
    size_t in_bytes;
    void *out; ///< out_bytes per element, NULL when none
    size_t out_bytes;
    uint32_t count;
};

/// Makes as many hypercalls as the elements need. 0; -errno of the first failure: -ENOSYS unknown
/// call, -EACCES refused, -EINVAL, -EIO.
int vsm_rep_hvcall(const struct partition *partition, const struct vsm_rep_call *call);
int vsm_hvcall(const struct partition *partition, uint16_t code, const void *in, size_t in_bytes);

/// Registers of VTL0 on a VP; HV_VP_INDEX_SELF is the calling thread's.
int vsm_get(const struct partition *partition, uint32_t vp_index, const uint32_t *names,
            struct hv_register_value *values, uint32_t count);
int vsm_set(const struct partition *partition, uint32_t vp_index,
            const struct hv_register_assoc *registers, uint32_t count);
/// One register of the calling thread's VP, 64 bits; also of our own VTL.
int vsm_set_u64(const struct partition *partition, uint32_t name, uint64_t value);
int vsm_get_own_u64(const struct partition *partition, uint32_t name, uint64_t *out);

// ---- partition.c ----

/// What VTL0 does there comes to us, not to the host. -errno with a log line when VTL0 is not
/// contained without it.
int vsm_install_intercepts(const struct partition *partition);

// ---- memory.c ----

int vsm_map(struct partition *partition, struct gpa_range range, void *host, bool read_only);
/// Takes VTL0's access to all of config.own_memory away and checks it. -errno with a log line.
int vsm_protect_own_memory(struct partition *partition);
/// Where the VMM sees [gpa, gpa + size_bytes), or NULL when it is not RAM of the guest's that may
/// be accessed so.
uint8_t *vsm_ram(const struct partition *partition, gpa_t gpa, size_t size_bytes, bool is_write);

// ---- vp.c ----

int vsm_vp_new(struct partition *partition, uint32_t index, struct vp **out);
void vsm_vp_free(struct vp *vp);
int vsm_vp_run(struct vp *vp, struct vp_exit *exit);
int vsm_vp_settle(struct vp *vp, struct vp_exit *exit);
void vsm_vp_kick(struct vp *vp);
volatile uint8_t *vsm_vp_wake_flag(struct vp *vp);
int vsm_extint_line(struct vp *vp, bool level);
int vsm_extint_inject(struct vp *vp, uint8_t vector);

// ---- exits.c ----

/// Turns the event into an exit, or carries it out (VP_EXIT_NONE).
void vsm_handle(struct vp *vp, struct vp_exit *exit);
/// Takes the result of the exit that the VMM has handled.
int vsm_finish(struct vp *vp, const struct vp_exit *exit);
/// VP_EXIT_FAILED for an error of vsm_finish() or of carrying an exit out.
void vsm_vp_fail(struct vp_exit *exit, const char *what, int error, const uint64_t detail[3]);

// ---- state.c ----

/// RIP or RFLAGS of VTL0, by the register page where there is one.
int vsm_set_rip(struct vp *vp, uint64_t rip);
int vsm_set_rflags(struct vp *vp, uint64_t rflags);
/// Hands what still waits in the register page to the hypervisor, before registers are read or
/// written by hypercall.
int vsm_flush_page(struct vp *vp);
/// The intercepted instruction is done: VTL0 continues at rip, its interrupt shadow ends, and with
/// single_step a debug exception is due.
int vsm_complete(struct vp *vp, uint64_t rip, bool single_step);
/// The next entry raises an exception. error_code: only where the vector has one.
int vsm_inject(struct vp *vp, uint8_t vector, bool has_error_code, uint32_t error_code,
               uint64_t parameter);

// ---- emulate.c ----

/// Carries out the instruction of a VSM_EVENT_EMULATE. 0, or -errno when registers cannot be moved.
int vsm_emulate(struct vp *vp);

// ---- msr.c ----

/// What an MSR that the hypervisor does not handle reads as. False: #GP.
bool vsm_msr_read(uint32_t index, uint64_t *value);
bool vsm_msr_write(uint32_t index, uint64_t value);

// ---- registers.c ----

int vsm_vp_reset(struct vp *vp);
int vsm_vp_get_registers(struct vp *vp, struct vp_registers *out);
int vsm_vp_set_registers(struct vp *vp, const struct vp_registers *in);
struct vp_segment vsm_segment_from_hv(const struct hv_segment_register *in);
struct hv_segment_register vsm_segment_to_hv(const struct vp_segment *in);

/// Takes a result of ioctl(2): 0 or more, or -errno.
int vsm_ioctl(int fd, unsigned long request, void *argument);
