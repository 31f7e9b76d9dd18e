// SPDX-License-Identifier: MIT
// cbmc-sources: igvm/igvm_read.c igvm/igvm_desc.c
// cbmc-flags: --unwind 28
//
// Proof: opening any file of up to 72 bytes and walking its headers never reads outside the file,
// never overflows, and ends after at most one step for every 8 bytes of headers.

#include "igvm/igvm.h"
#include "igvm/igvm_vp.h"
#include "tests/proofs/proof.h"

#define FILE_BYTES 72u // room for five of the smallest headers

void *__builtin_memcpy(void *to, const void *from, size_t count);

/// Both sides are checked; what is copied stays nondeterministic, which is more than any file can
/// say.
void *__builtin_memcpy(void *to, const void *from, size_t count) {
    __CPROVER_assert(__CPROVER_w_ok(to, count), "the copy stays inside its target");
    __CPROVER_assert(__CPROVER_r_ok(from, count), "the copy stays inside the file");
    return to;
}

/// Any checksum may match: the proof holds whatever the CRC says.
uint32_t igvm_crc32(uint32_t crc, const void *bytes, size_t size_bytes) {
    __CPROVER_assert(__CPROVER_r_ok(bytes, size_bytes), "the checksum covers bytes of the file");
    return crc ^ nondet_u32();
}

int igvm_fail(struct igvm_error *error, enum igvm_rule rule, uint32_t header_type,
              uint64_t offset) {
    error->code = rule;
    error->header_type = header_type;
    error->offset = offset;
    return -22;
}

enum igvm_vp_format igvm_vp_format(uint32_t platform_type) {
    return platform_type == IGVM_PLATFORM_VSM_ISOLATION ? IGVM_VP_FORMAT_VBS
                                                        : IGVM_VP_FORMAT_NATIVE;
}

int main(void) {
    static uint8_t bytes[FILE_BYTES]; // contents are nondeterministic: see below
    const size_t size_bytes = nondet_size();
    struct igvm_error error;
    struct igvm_header header;
    struct igvm_iter iter;
    struct igvm_file file;
    uint32_t steps = 0;

    __CPROVER_assume(size_bytes <= FILE_BYTES);
    __CPROVER_havoc_object(bytes);
    if (igvm_open(&file, bytes, size_bytes, &error) != 0) {
        return 0;
    }
    __CPROVER_assert(file.headers_end <= size_bytes, "headers end inside the file");
    iter = igvm_iter_start(&file);
    while (igvm_iter_next(&iter, &header, &error) > 0) {
        steps++;
        __CPROVER_assert(iter.off > header.file_off, "the walk moves on");
        __CPROVER_assert(iter.off <= file.headers_end, "and stays among the headers");
        __CPROVER_assert(steps <= (file.headers_end - file.headers_off) / 8, "so it ends");
    }
    return 0;
}
