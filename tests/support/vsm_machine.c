// SPDX-License-Identifier: MIT
//
// See vsm_machine.h.
#include "tests/support/vsm_machine.h"

#include <string.h>

static struct mshv_run run_page;
static struct hv_register_page register_page;

static void note(void *ctx, uint32_t vp_index, struct vp_exit *exit) {
    struct vsm_test *t = ctx;
    uint64_t value = 0;
    bool is_write = false;
    uint64_t address = 0;
    uint8_t size = 0;

    (void)vp_index;
    if (exit->kind == VP_EXIT_MMIO) {
        address = exit->mmio.gpa.value;
        size = exit->mmio.size;
        is_write = exit->mmio.is_write;
        value = exit->mmio.value;
        if (!is_write) {
            value = exit->mmio.value = t->read_value;
        }
    } else if (exit->kind == VP_EXIT_PIO) {
        address = exit->pio.port;
        size = exit->pio.size;
        is_write = exit->pio.is_write;
        if (!is_write) {
            memcpy(exit->pio.data, &t->read_value, size);
        }
        memcpy(&value, exit->pio.data, size);
    }
    if (t->access_count < VSM_TEST_MAX_ACCESS) {
        t->access[t->access_count].kind = exit->kind;
        t->access[t->access_count].address = address;
        t->access[t->access_count].size = size;
        t->access[t->access_count].is_write = is_write;
        t->access[t->access_count].value = value;
    }
    t->access_count++;
}

void vsm_test_init(struct vsm_test *t) {
    const struct hv_segment_register data = {.limit = 0xffffffff, .attributes = 0xc093};

    memset(t, 0, sizeof(*t));
    memset(&run_page, 0, sizeof(run_page));
    memset(&register_page, 0, sizeof(register_page));
    t->partition.mshv_fd = t->partition.vtl_fd = t->partition.hvcall_fd = -1;
    t->partition.config = (struct vtl2_config){.vp_count = 2, .access = note, .access_ctx = t};
    t->partition.slot_count = 1;
    t->partition.slots[0].range =
        (struct gpa_range){VSM_TEST_RAM_GPA, VSM_TEST_RAM_GPA + VSM_TEST_RAM_BYTES};
    t->partition.slots[0].host = t->ram;
    t->vp.partition = &t->partition;
    t->vp.run = &run_page;
    t->vp.registers = &register_page;
    register_page.version = HV_REGISTER_PAGE_VERSION;
    register_page.is_valid = 1;
    register_page.rip = VSM_TEST_CODE_GPA;
    register_page.rflags = 2;
    register_page.cr0 = 0x11;
    register_page.gpr[4] = VSM_TEST_RAM_GPA + 0x3000;
    register_page.es = register_page.ss = register_page.ds = data;
    register_page.fs = register_page.gs = data;
    register_page.cs = data;
    register_page.cs.attributes = 0xc09b;
}

struct hv_message *vsm_test_message(struct vsm_test *t, uint32_t type, uint8_t payload_bytes) {
    memset(&t->vp.run->message, 0, sizeof(t->vp.run->message));
    t->vp.run->message.header.type = type;
    t->vp.run->message.header.payload_size_bytes = payload_bytes;
    return &t->vp.run->message;
}

struct hv_intercept_header vsm_test_header(const struct vsm_test *t, uint8_t length,
                                           uint8_t access) {
    return (struct hv_intercept_header){
        .length_and_cr8 = length,
        .access = access,
        .state = HV_STATE_CR0_PE,
        .cs = t->vp.registers->cs,
        .rip = t->vp.registers->rip,
        .rflags = t->vp.registers->rflags,
    };
}

void vsm_test_deliver(struct vsm_test *t) {
    t->vp.registers->dirty = 0;
    t->vp.page_fresh = t->vp.registers->is_valid;
    vsm_handle(&t->vp, &t->exit);
}
