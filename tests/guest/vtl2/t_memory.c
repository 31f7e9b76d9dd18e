// SPDX-License-Identifier: MIT
//
// VTL0's memory: accesses where there is none or where VTL2 has taken it away, of every width, by
// instructions, fetches, page-table walks and event delivery; ModifyVtlProtectionMask,
// CheckSparseGpaPageVtlAccess, TranslateVirtualAddress (TLFS, "Memory Access Protections").
#include "tests/guest/vtl2/vtl2.h"

#include <string.h>

#define R   HV_MAP_GPA_READABLE
#define W   HV_MAP_GPA_WRITABLE
#define X   (HV_MAP_GPA_KERNEL_EXECUTE | HV_MAP_GPA_USER_EXECUTE)
#define ALL HV_MAP_GPA_PERMISSION_MASK

// Each instruction alone, RBX the address.
CODE(read_1, 64, "movb (%rbx), %al\n");
CODE(read_2, 64, "movw (%rbx), %ax\n");
CODE(read_4, 64, "movl (%rbx), %eax\n");
CODE(read_8, 64, "movq (%rbx), %rax\n");
CODE(read_16, 64, "movups (%rbx), %xmm0\n");
CODE(write_1, 64, "movb %al, (%rbx)\n");
CODE(write_2, 64, "movw %ax, (%rbx)\n");
CODE(write_4, 64, "movl %eax, (%rbx)\n");
CODE(write_8, 64, "movq %rax, (%rbx)\n");
CODE(write_16, 64, "movups %xmm0, (%rbx)\n");
CODE(add_8, 64, "lock addq %rax, (%rbx)\n");
CODE(fetch, 64, "jmp *%rbx\n");

static const struct access {
    const uint8_t *code, *end;
    enum hv_intercept_access kind;
} accesses[] = {
    {read_1, read_1_end, HV_INTERCEPT_READ},    {read_2, read_2_end, HV_INTERCEPT_READ},
    {read_4, read_4_end, HV_INTERCEPT_READ},    {read_8, read_8_end, HV_INTERCEPT_READ},
    {read_16, read_16_end, HV_INTERCEPT_READ},  {write_1, write_1_end, HV_INTERCEPT_WRITE},
    {write_2, write_2_end, HV_INTERCEPT_WRITE}, {write_4, write_4_end, HV_INTERCEPT_WRITE},
    {write_8, write_8_end, HV_INTERCEPT_WRITE}, {write_16, write_16_end, HV_INTERCEPT_WRITE},
    {add_8, add_8_end, HV_INTERCEPT_WRITE},
};
/// Without the last: where nothing may be read, it may be its read that is reported.
#define PLAIN_ACCESSES (ARRAY_COUNT(accesses) - 1)

/// One access at a linear address; the message must name gpa.
static void check_access(const struct access *a, uint64_t linear, uint32_t type, uint64_t gpa) {
    const struct hv_memory_intercept *m = message();

    vtl0_code(LONG, a->code, (size_t)(a->end - a->code));
    me()->gpr[3] = linear;
    if (!EQUAL(vtl0_run(), type)) {
        return;
    }
    check_header(&m->header, LONG, CODE_GPA, 0, a->kind);
    EQUAL(m->gpa, gpa);
    EQUAL(m->tpr_priority, 0);
    EXPECT(m->instruction_byte_count >= a->end - a->code && m->instruction_byte_count <= 15);
    EQUAL(memcmp(m->instruction_bytes, a->code, (size_t)(a->end - a->code)), 0);
}

TEST(memory_unmapped) {
    for (unsigned i = 0; i < PLAIN_ACCESSES; i++) {
        check_access(&accesses[i], HOLE_GPA + 0x120, HV_MESSAGE_UNMAPPED_GPA, HOLE_GPA + 0x120);
    }
    // minihost's own memory is none of VTL0's.
    check_access(&accesses[3], 0x1ff00000u, HV_MESSAGE_UNMAPPED_GPA, 0x1ff00000u);
}

TEST(memory_fetch_unmapped) {
    const struct hv_memory_intercept *m = message();

    VTL0_CODE(LONG, fetch);
    me()->gpr[3] = HOLE_GPA + 0x40;
    EQUAL(vtl0_run(), HV_MESSAGE_UNMAPPED_GPA);
    check_header(&m->header, LONG, HOLE_GPA + 0x40, 0, HV_INTERCEPT_EXECUTE);
    EQUAL(m->gpa, HOLE_GPA + 0x40);
    EQUAL(m->instruction_byte_count, 0);
}

TEST(memory_protected) {
    // No access at all, by an identity-mapped address and by another one.
    EQUAL(protect(TARGET_GPA, 1, 0), REPS(1));
    for (unsigned i = 0; i < PLAIN_ACCESSES; i++) {
        check_access(&accesses[i], TARGET_GPA + 0x128, HV_MESSAGE_GPA_INTERCEPT,
                     TARGET_GPA + 0x128);
        check_access(&accesses[i], WINDOW + 0x128, HV_MESSAGE_GPA_INTERCEPT, TARGET_GPA + 0x128);
    }
    // The page after it is as before.
    VTL0_CODE(LONG, read_8);
    me()->gpr[3] = TARGET_GPA + 0x1000;
    *(uint64_t *)at(TARGET_GPA + 0x1000) = 0x5a5a;
    memcpy(at(CODE_GPA + (uintptr_t)(read_8_end - read_8)), "\xe7\xe0", 2); // out %eax, $0xe0
    vtl0_finish();
    EQUAL(me()->gpr[0], 0x5a5a);
}

TEST(memory_read_only) {
    uint64_t *word = at(TARGET_GPA + 0x128);

    *word = 0x1111;
    EQUAL(protect(TARGET_GPA, 1, R | X), REPS(1));
    for (unsigned i = 0; i < ARRAY_COUNT(accesses); i++) {
        if (accesses[i].kind == HV_INTERCEPT_WRITE) {
            check_access(&accesses[i], TARGET_GPA + 0x128, HV_MESSAGE_GPA_INTERCEPT,
                         TARGET_GPA + 0x128);
        }
    }
    EQUAL(*word, 0x1111);
    VTL0_CODE(LONG, read_8);
    memcpy(at(CODE_GPA + (uintptr_t)(read_8_end - read_8)), "\xe7\xe0", 2);
    me()->gpr[3] = TARGET_GPA + 0x128;
    vtl0_finish();
    EQUAL(me()->gpr[0], 0x1111);
}

TEST(memory_not_executable) {
    const struct hv_memory_intercept *m = message();

    memcpy(at(TARGET_GPA), "\xe7\xe0", 2);
    EQUAL(protect(TARGET_GPA, 1, R | W), REPS(1));
    VTL0_CODE(LONG, fetch);
    me()->gpr[3] = TARGET_GPA;
    EQUAL(vtl0_run(), HV_MESSAGE_GPA_INTERCEPT);
    EQUAL(m->header.access, HV_INTERCEPT_EXECUTE);
    EQUAL(m->gpa, TARGET_GPA);
    EQUAL(protect(TARGET_GPA, 1, ALL), REPS(1));
    vtl0_finish(); // the same instruction again
}

TEST(memory_crossing_pages) {
    const struct hv_memory_intercept *m = message();

    // The second page is the forbidden one: its first byte is named.
    EQUAL(protect(TARGET_GPA + 0x1000, 1, R | X), REPS(1));
    VTL0_CODE(LONG, write_8);
    me()->gpr[3] = TARGET_GPA + 0xffc;
    EQUAL(vtl0_run(), HV_MESSAGE_GPA_INTERCEPT);
    EXPECT(m->gpa >= TARGET_GPA + 0x1000 && m->gpa < TARGET_GPA + 0x1004);
}

TEST(memory_page_table_walk) {
    const struct hv_memory_intercept *m = message();

    // A table that VTL0 must not see, or not write: the walk is what is intercepted.
    for (unsigned access = 0; access <= R; access += R) {
        EQUAL(protect(PT_GPA, 1, access), REPS(1));
        VTL0_CODE(LONG, read_8);
        me()->gpr[3] = WINDOW + 0x2000;
        EQUAL(vtl0_run(), HV_MESSAGE_GPA_INTERCEPT);
        EQUAL(m->gpa & ~UINT64_C(7), PT_GPA + 2 * 8);
        EQUAL(m->header.rip, CODE_GPA);
        EQUAL(protect(PT_GPA, 1, ALL), REPS(1));
    }
}

TEST(memory_event_delivery) {
    // The IDT stands where VTL0 has no memory: the event is kept and comes once it can.
    struct guest *guest = &guests[0];
    const struct hv_memory_intercept *m = message();
    uint64_t limit = UINT64_C(4095) << 48, idt, pending;
    struct hv_register_value value;

    vtl0_function(NULL, NULL);
    EQUAL(get_register(VTL0, HV_REGISTER_IDTR, &value), 0);
    idt = value.high;
    vtl0_code(LONG, (const uint8_t *)"\xe7\xe0", 2);
    EQUAL(set_register(VTL0, HV_REGISTER_IDTR, limit, HOLE_GPA), 0);
    EQUAL(set_register(VTL0, HV_REGISTER_PENDING_EVENT0,
                       HV_EVENT_PENDING | HV_EVENT_EXC_ERROR_VALID | UINT64_C(13) << 16 |
                           UINT64_C(0x1238) << 32,
                       0),
          0);
    EQUAL(vtl0_run(), HV_MESSAGE_UNMAPPED_GPA);
    EXPECT(m->gpa >= HOLE_GPA + 13 * 16 && m->gpa < HOLE_GPA + 14 * 16);
    EXPECT(m->header.state & HV_STATE_INTERRUPTION_PENDING);
    EQUAL(m->header.rip, CODE_GPA);
    pending = vtl0_get(HV_REGISTER_PENDING_INTERRUPTION);
    EQUAL(pending, HV_PENDING_INTERRUPTION | HV_PENDING_TYPE_EXCEPTION << 1 |
                       HV_PENDING_ERROR_CODE | 13u << 16 | UINT64_C(0x1238) << 32);
    EQUAL(set_register(VTL0, HV_REGISTER_IDTR, limit, idt), 0);
    vtl0_finish();
    EQUAL(guest->exceptions, 1);
    EQUAL(guest->vector, 13);
    EQUAL(guest->error_code, 0x1238);
}

// ---- the hypercalls -----------------------------------------------------------------------------

/// CheckSparseGpaPageVtlAccess for one page. The result element.
static uint64_t check_sparse(uint64_t gpa, uint32_t access) {
    struct hv_check_sparse_input *in = (void *)me()->input;

    *in = (struct hv_check_sparse_input){
        .partition_id = HV_PARTITION_ID_SELF, .target_vtl = VTL0, .desired_access = access};
    *(uint64_t *)(in + 1) = gpa >> PAGE_SHIFT_4K;
    EQUAL(call(HV_CALL_CHECK_SPARSE_GPA_PAGE_VTL_ACCESS | REPS(1)), REPS(1));
    return *(uint64_t *)me()->output;
}

TEST(protection_agrees_with_check) {
    static const uint32_t rights[] = {0, R, R | W, R | X, ALL};
    static const uint32_t wanted[] = {R, R | W, R | X, ALL};

    for (unsigned i = 0; i < ARRAY_COUNT(rights); i++) {
        EQUAL(protect(TARGET_GPA, 1, rights[i]), REPS(1));
        for (unsigned j = 0; j < ARRAY_COUNT(wanted); j++) {
            uint64_t denied = wanted[j] & ~rights[i];

            EQUAL(check_sparse(TARGET_GPA, wanted[j]),
                  denied ? HV_CHECK_SPARSE_MEMORY_INTERCEPT | denied << 8 | 2u << 12 : 0);
        }
    }
    EXPECT(check_sparse(HOLE_GPA, R) != 0);
    EXPECT(check_sparse(0x1ff00000u, R) != 0);
}

TEST(protection_refused) {
    struct hv_modify_vtl_protection_input *in = (void *)me()->input;

    EQUAL(protect(TARGET_GPA, 1, W), HV_STATUS_INVALID_PARAMETER);
    EQUAL(protect(TARGET_GPA, 1, X), HV_STATUS_INVALID_PARAMETER);
    EQUAL(protect(TARGET_GPA, 1, 0x10), HV_STATUS_INVALID_PARAMETER);
    EQUAL(protect(HOLE_GPA, 1, R), HV_STATUS_INVALID_PARAMETER);
    EQUAL(protect(UINT64_C(1) << 50, 1, R), HV_STATUS_INVALID_PARAMETER);
    EQUAL(protect(0x1ff00000u, 1, ALL), HV_STATUS_INVALID_PARAMETER); // minihost's own
    protect(TARGET_GPA, 1, ALL);
    in->partition_id = 1;
    EQUAL(call(HV_CALL_MODIFY_VTL_PROTECTION_MASK | REPS(1)), HV_STATUS_INVALID_PARTITION_ID);
    in->partition_id = HV_PARTITION_ID_SELF;
    in->target_vtl = VTL0; // VTL0 protects nothing from anybody
    EQUAL(call(HV_CALL_MODIFY_VTL_PROTECTION_MASK | REPS(1)), HV_STATUS_INVALID_PARAMETER);
    in->target_vtl = HV_INPUT_VTL_USE_TARGET | 3;
    EQUAL(call(HV_CALL_MODIFY_VTL_PROTECTION_MASK | REPS(1)), HV_STATUS_ACCESS_DENIED);
}

TEST(protection_partial) {
    uint64_t *list = (uint64_t *)(me()->input + 16);

    // Three pages, the third is none: two are done and stay done.
    protect(TARGET_GPA, 4, ALL);
    ((struct hv_modify_vtl_protection_input *)me()->input)->map_flags = 0;
    list[2] = HOLE_GPA >> PAGE_SHIFT_4K;
    EQUAL(call(HV_CALL_MODIFY_VTL_PROTECTION_MASK | REPS(4)),
          REPS(2) | HV_STATUS_INVALID_PARAMETER);
    EXPECT(check_sparse(TARGET_GPA + 0x1000, R) != 0);
    EQUAL(check_sparse(TARGET_GPA + 0x3000, R), 0);
}

TEST(protection_many) {
    // As many as fit a page, in both directions; the neighbours stay.
    EQUAL(protect(TARGET_GPA + 0x2000, 510, 0), REPS(510));
    EQUAL(check_sparse(TARGET_GPA + 0x1000, ALL), 0);
    EXPECT(check_sparse(TARGET_GPA + 0x2000, R) != 0);
    EXPECT(check_sparse(TARGET_GPA + 0x1ff000, R) != 0);
    EQUAL(check_sparse(TARGET_GPA + 0x200000, ALL), 0);
    EQUAL(protect(TARGET_GPA + 0x2000, 510, ALL), REPS(510));
    EQUAL(check_sparse(TARGET_GPA + 0x1ff000, ALL), 0);
}

// ---- translation --------------------------------------------------------------------------------
#define READ    HV_TRANSLATE_VALIDATE_READ
#define WRITE   HV_TRANSLATE_VALIDATE_WRITE
#define EXECUTE HV_TRANSLATE_VALIDATE_EXECUTE
#define USER    HV_TRANSLATE_USER_ACCESS

static const struct hv_translate_output *translate(uint64_t linear, uint64_t flags) {
    *(struct hv_translate_input *)me()->input = (struct hv_translate_input){
        .partition_id = HV_PARTITION_ID_SELF,
        .vp_index = HV_VP_INDEX_SELF,
        .control_flags = flags | (uint64_t)VTL0 << HV_TRANSLATE_INPUT_VTL_SHIFT,
        .gva_page = linear >> PAGE_SHIFT_4K};
    EQUAL(call(HV_CALL_TRANSLATE_VIRTUAL_ADDRESS), 0);
    return (const void *)me()->output;
}

TEST(translate_long_mode) {
    uint64_t *table = at(PT_GPA);

    table[1] = (TARGET_GPA + 0x5000) | 5;                     // read-only, user
    table[2] = (TARGET_GPA + 0x6000) | 3;                     // supervisor
    table[3] = (TARGET_GPA + 0x7000) | 7 | UINT64_C(1) << 63; // not executable
    table[4] = 0;
    table[5] = (TARGET_GPA + 0x8000) | 7 | UINT64_C(1) << 51; // reserved bit
    VTL0_CODE(LONG, fetch);
    EQUAL(translate(WINDOW, READ)->result_code, HV_TRANSLATE_SUCCESS);
    EQUAL(translate(WINDOW, READ)->gpa_page, TARGET_GPA >> 12);
    EQUAL(translate(0x12345678, READ)->gpa_page, 0x12345);
    EQUAL(translate(WINDOW + 0x1000, READ)->gpa_page, (TARGET_GPA + 0x5000) >> 12);
    EQUAL(translate(WINDOW + 0x1000, WRITE)->result_code, HV_TRANSLATE_PRIVILEGE_VIOLATION);
    EQUAL(translate(WINDOW + 0x2000, WRITE)->result_code, HV_TRANSLATE_SUCCESS);
    EQUAL(translate(WINDOW + 0x2000, READ | USER)->result_code, HV_TRANSLATE_PRIVILEGE_VIOLATION);
    EQUAL(translate(WINDOW + 0x3000, EXECUTE)->result_code, HV_TRANSLATE_PRIVILEGE_VIOLATION);
    EQUAL(translate(WINDOW + 0x3000, READ)->result_code, HV_TRANSLATE_SUCCESS);
    EQUAL(translate(WINDOW + 0x4000, READ)->result_code, HV_TRANSLATE_PAGE_NOT_PRESENT);
    EQUAL(translate(WINDOW + 0x5000, READ)->result_code, HV_TRANSLATE_INVALID_PAGE_TABLE_FLAGS);
    EQUAL(translate(UINT64_C(1) << 40, READ)->result_code, HV_TRANSLATE_PAGE_NOT_PRESENT);
}

TEST(translate_sets_bits) {
    uint64_t *table = at(PT_GPA);

    VTL0_CODE(LONG, fetch);
    EQUAL(translate(WINDOW + 0x1000, WRITE)->result_code, 0);
    EQUAL(table[1] & 0x60, 0);
    EQUAL(translate(WINDOW + 0x1000, READ | HV_TRANSLATE_SET_PAGE_TABLE_BITS)->result_code, 0);
    EQUAL(table[1] & 0x60, 0x20);
    EQUAL(translate(WINDOW + 0x1000, WRITE | HV_TRANSLATE_SET_PAGE_TABLE_BITS)->result_code, 0);
    EQUAL(table[1] & 0x60, 0x60);
}

TEST(translate_without_paging) {
    VTL0_CODE(FLAT32, fetch);
    EQUAL(translate(0x12345000, READ)->result_code, HV_TRANSLATE_SUCCESS);
    EQUAL(translate(0x12345000, READ)->gpa_page, 0x12345);
}

TEST(translate_tables_out_of_reach) {
    VTL0_CODE(LONG, fetch);
    vtl0_set(HV_REGISTER_CR3, HOLE_GPA);
    EXPECT(translate(WINDOW, READ)->result_code >= HV_TRANSLATE_GPA_UNMAPPED);
}

TEST(translate_refused) {
    struct hv_translate_input *in = (void *)me()->input;

    translate(0, READ);
    in->vp_index = vp_count;
    EQUAL(call(HV_CALL_TRANSLATE_VIRTUAL_ADDRESS), HV_STATUS_INVALID_VP_INDEX);
    in->vp_index = HV_VP_INDEX_SELF;
    in->partition_id = 5;
    EQUAL(call(HV_CALL_TRANSLATE_VIRTUAL_ADDRESS), HV_STATUS_INVALID_PARTITION_ID);
}
