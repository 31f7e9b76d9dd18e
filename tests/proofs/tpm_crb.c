// SPDX-License-Identifier: MIT
// cbmc-flags: --unwind 5 --slice-formula
//
// Proof: one guest access of any offset, size and value, in any state of the CRB interface, stays
// in the data buffer, computes no undefined shift, and leaves a valid state. The copies of whole
// buffers are left out (fuzz_tpm_crb.c has them): mem* calls are replaced by their bounds check.

#include "igvm/base/bytes.h"
#include "tests/proofs/proof.h"

#include <stdint.h>
#include <string.h>

void *proof_memset(void *to, int value, size_t size_bytes);
void *proof_memcpy(void *to, const void *from, size_t size_bytes);

void *proof_memset(void *to, int value, size_t size_bytes) {
    (void)value;
    __CPROVER_assert(size_bytes == 0 || __CPROVER_w_ok(to, size_bytes), "memset in bounds");
    return to;
}
void *proof_memcpy(void *to, const void *from, size_t size_bytes) {
    __CPROVER_assert(size_bytes == 0 || __CPROVER_w_ok(to, size_bytes), "memcpy to in bounds");
    __CPROVER_assert(size_bytes == 0 || __CPROVER_r_ok(from, size_bytes), "memcpy from in bounds");
    return to;
}
static uint32_t proof_load32(const uint8_t *from) {
    __CPROVER_assert(__CPROVER_r_ok(from, 4), "load in bounds");
    return nondet_u32();
}
static void proof_store(uint8_t *to, size_t size_bytes) {
    __CPROVER_assert(__CPROVER_w_ok(to, size_bytes), "store in bounds");
}
#define load_le32(from)       proof_load32(from)
#define load_be32(from)       proof_load32(from)
#define store_le32(to, value) proof_store((to), 4 + 0 * (value))
#define store_le16(to, value) proof_store((to), 2 + 0 * (value))
#define memset                proof_memset
#define memcpy                proof_memcpy
#include "devices/tpm_crb.c" // for its static functions
#include "devices/tpm_crb_command.c"

// The device's surroundings, which do anything that their contracts allow.
void log_write(enum log_level level, const char *area, const char *format, ...) {
    (void)level, (void)area, (void)format;
}
bool log_allowed(struct log_limit *limit, const char *area) {
    (void)limit, (void)area;
    return nondet_bool();
}
void device_init(struct device *device, const char *name, const struct device_ops *ops, void *self,
                 void *state) {
    (void)device, (void)name, (void)ops, (void)self, (void)state;
}
int bus_add(struct bus *bus, const struct bus_region *region) {
    (void)bus, (void)region;
    return 0;
}
void state_reset(const struct state_table *table, void *object) {
    (void)table, (void)object;
}
// The buffer in RAM: tpm_crb_command.c reads and writes what tpm_crb_init() has looked at.
static struct guest_memory memory;
int guest_read(const struct guest_memory *gm, gpa_t from, void *to, size_t size_bytes) {
    __CPROVER_assert(gm == &memory && from.value % 4096 == 0 && size_bytes <= 4096, "in the page");
    __CPROVER_assert(__CPROVER_w_ok(to, size_bytes), "room for it");
    return 0;
}
int guest_write(const struct guest_memory *gm, gpa_t to, const void *from, size_t size_bytes) {
    __CPROVER_assert(gm == &memory && to.value % 4096 == 0 && size_bytes <= 4096, "in the page");
    __CPROVER_assert(__CPROVER_r_ok(from, size_bytes), "so much is there");
    return 0;
}
int guest_zero(const struct guest_memory *gm, gpa_t to, size_t size_bytes) {
    __CPROVER_assert(gm == &memory && to.value % 4096 == 0 && size_bytes <= 4096, "in the page");
    return 0;
}
bool guest_memory_is_ram(const struct guest_memory *gm, gpa_t start, uint64_t size_bytes) {
    (void)gm, (void)start, (void)size_bytes;
    return true;
}
static int any_submit(struct tpm_backend *b, uint8_t locality, uint8_t *buffer, size_t bytes,
                      tpm_done_fn done, void *owner) {
    (void)b, (void)buffer, (void)done, (void)owner;
    __CPROVER_assert(locality < 4 && bytes >= 10 && bytes <= TPM_CRB_DATA_BYTES, "a sane command");
    int result = nondet_int(); // refused, under way, or over
    __CPROVER_assume(result > -4096);
    return result;
}
static void any_cancel(struct tpm_backend *b) {
    (void)b;
}
static const struct tpm_backend_ops any_ops = {.submit = any_submit, .cancel = any_cancel};

static void assume_valid(const struct tpm_crb *crb) {
    __CPROVER_assume(crb->state.phase <= TPM_CRB_COMPLETION && crb->state.requests <= 15 &&
                     crb->state.seized <= 15 && crb->state.cancel <= 1);
    __CPROVER_assume(crb->state.active_locality < 4 ||
                     (crb->state.active_locality == TPM_CRB_NO_LOCALITY &&
                      crb->state.phase == TPM_CRB_IDLE && crb->state.requests == 0));
    __CPROVER_assume(crb->state.phase != TPM_CRB_EXECUTION || crb->in_flight);
    __CPROVER_assume(crb->state.from_ram == 0 || crb->memory == &memory);
}

int main(void) {
    static struct tpm_crb crb;
    static struct tpm_backend backend = {.ops = &any_ops};
    struct bus_access access = {.offset = nondet_u64(),
                                .size = (uint8_t)(1u << (nondet_u8() & 3)),
                                .is_write = nondet_bool(),
                                .value = nondet_u64()};

    __CPROVER_havoc_object(&crb);
    crb.backend = &backend;
    crb.memory = nondet_bool() ? &memory : NULL;
    crb.ram_gpa.value &= ~UINT64_C(4095);
    crb.page = NULL; // a memcpy of constant size and a loop over constant offsets
    assume_valid(&crb);
    __CPROVER_assume(access.offset <= TPM_CRB_BYTES - access.size); // the bus's promise
    __CPROVER_assert(access_mmio(&crb, &access) == BUS_OK, "answered");
    __CPROVER_assert(crb.state.phase <= TPM_CRB_COMPLETION && crb.state.requests <= 15 &&
                         crb.state.seized <= 15 && crb.state.cancel <= 1,
                     "state in range");
    __CPROVER_assert(crb.state.active_locality < 4 ||
                         (crb.state.active_locality == TPM_CRB_NO_LOCALITY &&
                          crb.state.phase == TPM_CRB_IDLE && crb.state.requests == 0),
                     "locality and phase agree");
    __CPROVER_assert(crb.state.phase != TPM_CRB_EXECUTION || crb.in_flight,
                     "a command always ends");
    __CPROVER_assert(crb.state.from_ram == 0 || crb.memory == &memory, "RAM only where it is");
    return 0;
}
