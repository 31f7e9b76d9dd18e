// SPDX-License-Identifier: MIT
//
// IGVM writer: the same sequence of calls is made twice, first to measure, then to emit.
//
//     struct igvm_writer w;
//     igvm_writer_measure(&w, IGVM_FORMAT_VERSION_2, IGVM_ARCH_X64);
//     put_everything(&w);
//     size = igvm_writer_size(&w);                 // the caller finds a buffer of this size
//     igvm_writer_emit(&w, buffer, size);
//     put_everything(&w);
//     rc = igvm_writer_finish(&w);                 // fixed header and checksum
//
// No allocation; the output depends on the calls alone. Errors stick: the first one is kept, later
// calls do nothing, finish reports it. What is written is well formed, not yet valid: run
// igvm_validate() over the result.
#pragma once

#include "igvm/igvm.h"

struct igvm_writer {
    uint8_t *out; // NULL while measuring
    uint32_t format_version;
    uint32_t architecture;
    uint64_t headers_bytes; // put so far in this pass
    uint64_t data_bytes;
    uint64_t measured_headers_bytes; // by the measuring pass
    uint64_t measured_data_bytes;
    int section; // of the last header put
    int status;  // 0, or the first error
};

/// Starts the measuring pass. architecture counts for version 2 only.
void igvm_writer_measure(struct igvm_writer *writer, uint32_t format_version,
                         enum igvm_architecture architecture);

/// The whole file's size after the measuring pass.
uint64_t igvm_writer_size(const struct igvm_writer *writer);

/// Ends the measuring pass and starts emitting into out, igvm_writer_size() bytes long. -ENOSPC
/// when size_bytes is less, -EFBIG when the file would not fit the format's 32-bit offsets.
int igvm_writer_emit(struct igvm_writer *writer, uint8_t *out, size_t size_bytes);

/// Appends a header of the type (IGVM_VHT_OPTIONAL may be set) with the content that igvm_defs.h
/// lays out for it. -EINVAL for an unknown type, or one of an earlier section than its
/// predecessor's.
int igvm_put_header(struct igvm_writer *writer, uint32_t type, const void *content);

/// Appends a header of any type and length: for types that this library does not know.
int igvm_put_raw_header(struct igvm_writer *writer, uint32_t type, const void *content,
                        uint32_t length_bytes);

/// Appends file data, filled up with zeroes to padded_bytes (if that is more). Returns its file
/// offset; while measuring some other non-zero number, fit only to be put into a header.
uint32_t igvm_put_data(struct igvm_writer *writer, const void *data, size_t size_bytes,
                       size_t padded_bytes);

/// Appends a native VP context: its page and its header.
int igvm_put_native_vp(struct igvm_writer *writer, uint32_t mask, uint16_t vp_index,
                       const struct igvm_native_vp_context_x64 *registers);

/// Appends a VSM VP context: its register list and its header.
int igvm_put_vbs_vp(struct igvm_writer *writer, uint32_t mask, uint16_t vp_index,
                    const struct igvm_vbs_vp_context_register *registers, uint32_t count);

/// Writes the fixed header. 0, the first error of the pass, or -EINVAL when the two passes
/// differed.
int igvm_writer_finish(struct igvm_writer *writer);
