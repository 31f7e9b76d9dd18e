// SPDX-License-Identifier: MIT
// cbmc-sources: igvm/igvm_read.c igvm/igvm_desc.c
// cbmc-flags: --unwind 28
//
// Proof: whatever a header says, the file data that igvm_header_data() and igvm_vp_data() hand out
// lies between the end of the headers and the end of the file.

#include "igvm/igvm.h"
#include "igvm/igvm_vp.h"
#include "tests/proofs/proof.h"

#define FILE_BYTES 4160u // a page and a little

void *__builtin_memcpy(void *to, const void *from, size_t count);

// Not reached: no header is walked here.
void *__builtin_memcpy(void *to, const void *from, size_t count) {
    (void)from;
    (void)count;
    return to;
}

uint32_t igvm_crc32(uint32_t crc, const void *bytes, size_t size_bytes) {
    (void)bytes;
    return crc ^ (uint32_t)size_bytes;
}

int igvm_fail(struct igvm_error *error, enum igvm_rule rule, uint32_t header_type,
              uint64_t offset) {
    (void)error;
    (void)rule;
    (void)header_type;
    (void)offset;
    return -22;
}

enum igvm_vp_format igvm_vp_format(uint32_t platform_type) {
    (void)platform_type;
    return IGVM_VP_FORMAT_NATIVE;
}

static void check(const struct igvm_file *file, const uint8_t *data, uint64_t size_bytes) {
    const uint64_t off = (uint64_t)(data - file->bytes);

    __CPROVER_assert(off >= file->headers_end, "data lies after the headers");
    __CPROVER_assert(off <= file->size_bytes, "data starts inside the file");
    __CPROVER_assert(size_bytes <= file->size_bytes - off, "data ends inside the file");
}

static void check_header(const struct igvm_file *file, const struct igvm_header *header) {
    const uint8_t *data;
    uint64_t size_bytes;

    if (igvm_header_data(file, header, &data, &size_bytes) == 0 && data != NULL) {
        check(file, data, size_bytes);
    }
}

int main(void) {
    uint8_t bytes[FILE_BYTES]; // nondeterministic
    struct igvm_file file = {.bytes = bytes, .size_bytes = nondet_size()};
    struct igvm_header header; // nondeterministic
    const uint8_t *data = NULL;
    uint64_t size_bytes = 0;

    file.headers_end = nondet_u32();
    __CPROVER_assume(file.size_bytes <= FILE_BYTES && file.headers_end <= file.size_bytes);
    // One known type after the other: the VP context's search for a platform is not part of this.
    header.type = IGVM_VHT_PAGE_DATA;
    check_header(&file, &header);
    header.type = IGVM_VHT_PARAMETER_AREA;
    check_header(&file, &header);
    header.type = IGVM_VHT_CORIM_DOCUMENT;
    check_header(&file, &header);
    for (uint32_t format = IGVM_VP_FORMAT_NATIVE; format <= IGVM_VP_FORMAT_CCA; format++) {
        if (igvm_vp_data(&file, nondet_u32(), (enum igvm_vp_format)format, &data, &size_bytes) ==
            0) {
            check(&file, data, size_bytes);
        }
    }
    return 0;
}
