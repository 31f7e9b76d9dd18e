// SPDX-License-Identifier: MIT
//
// IGVM: every rule that igvm_open() and igvm_validate() hold a file to, and the sentence that names
// it.
//
// One list, so that the error code, its text and the test that every rule is really enforced stay
// together. The rules are those of the published definition; docs/igvm.md marks the few that are
// ours.
#pragma once

// clang-format off
#define IGVM_RULES(X)                                                                                    \
    X(NONE,                  "no rule is broken")                                                        \
    X(FIXED_HEADER,          "the file holds a whole fixed header")                                      \
    X(MAGIC,                 "the file starts with the bytes IGVM")                                      \
    X(VERSION,               "the format version is 1 or 2")                                             \
    X(ARCHITECTURE,          "the architecture is x64 (0) or AArch64 (1)")                               \
    X(PAGE_SIZE,             "the page size is 4096, the only one supported")                            \
    X(FILE_SIZE,             "total_file_size is the size of the file")                                  \
    X(HEADER_REGION,         "the variable headers lie in the file, after the fixed header, 8-byte aligned") \
    X(CHECKSUM,              "the checksum is the CRC-32 of fixed and variable headers")                 \
    X(HEADER_TRUNCATED,      "a header with its padding ends inside the variable header region")         \
    X(HEADER_LENGTH,         "a header has the length of its type")                                      \
    X(HEADER_PADDING,        "padding between headers is zero")                                          \
    X(HEADER_TYPE,           "a header type is known or marked optional")                                \
    X(ORDER,                 "platform headers come first, then initialization, then directives")       \
    X(RESERVED,              "reserved fields are zero")                                                 \
    X(FLAGS,                 "only defined flag bits are set")                                           \
    X(ENUMERATION,           "a field holds one of the values defined for it")                           \
    X(MASK_EMPTY,            "a compatibility mask names at least one platform")                         \
    X(MASK_UNDECLARED,       "a compatibility mask names only declared platforms")                       \
    X(GPA_ALIGNMENT,         "a guest-physical address is aligned to its page size")                     \
    X(SIZE_ALIGNMENT,        "a size is a whole number of pages")                                        \
    X(SIZE_EMPTY,            "a range is not empty")                                                     \
    X(GPA_WRAP,              "a range of guest-physical addresses ends below 2^64")                      \
    X(FILE_DATA,             "file data lies after the headers and inside the file")                     \
    X(PLATFORM_MISSING,      "the file declares at least one platform")                                  \
    X(PLATFORM_MASK,         "a platform's compatibility mask has exactly one bit set")                  \
    X(PLATFORM_DUPLICATE,    "a platform type and a compatibility mask are declared once")               \
    X(PLATFORM_VTL,          "the highest VTL is 0 or 2")                                                \
    X(PLATFORM_VERSION,      "the platform version is the one defined for its type")                     \
    X(PLATFORM_ARCHITECTURE, "the platform exists on the file's architecture")                           \
    X(PLATFORM_BOUNDARY,     "a platform without isolation in hardware has no shared GPA boundary")      \
    X(POLICY_PLATFORM,       "a policy header names only platforms that have such a policy")              \
    X(POLICY_DUPLICATE,      "a platform has one policy")                                                \
    X(POLICY_BITS,           "a policy has its must-be-one bits set and its undefined bits clear")       \
    X(POLICY_CONFLICT,       "no attribute is required to be both zero and one")                         \
    X(RELOCATION_ALIGNMENT,  "a relocatable region's addresses are multiples of its alignment")          \
    X(RELOCATION_BOUNDS,     "a relocatable region fits between its minimum and maximum address")        \
    X(RELOCATION_OVERLAP,    "relocatable and page table regions of a platform do not overlap")          \
    X(RELOCATION_CONTEXT,    "the VP and VTL that a relocation names has a VP context")                  \
    X(RELOCATION_LIMIT,      "a file has at most 32 relocatable and page table regions (our limit)")     \
    X(PAGE_TABLE_DUPLICATE,  "a platform has one page table relocation region")                          \
    X(PAGE_TABLE_USED,       "the used part of a page table region lies inside it")                      \
    X(CORIM_DUPLICATE,       "a platform has one CoRIM document and one signature")                      \
    X(CORIM_ORDER,           "a CoRIM signature follows the document it signs")                          \
    X(AREA_DUPLICATE,        "a parameter area index is declared once")                                  \
    X(AREA_UNDECLARED,       "a parameter area is declared before its use")                              \
    X(AREA_INSERTED,         "a parameter area is not used after its insertion")                         \
    X(AREA_ROOM,             "a parameter fits its area at the given offset")                            \
    X(AREA_PAGE_TABLE,       "a parameter area is not inserted into a page table region")                \
    X(AREA_LIMIT,            "a file has at most 64 parameter areas (our limit)")                        \
    X(CONTEXT_PLATFORM,      "a VP context names platforms that share one context format")               \
    X(CONTEXT_VERSION,       "a native VP context needs format version 2")                               \
    X(CONTEXT_DUPLICATE,     "a VP has one context per platform")                                        \
    X(CONTEXT_GPA,           "a VP context that is not deposited in memory has GPA zero")                \
    X(CONTEXT_TAIL,          "a VP context's reserved fields and the rest of its page are zero")         \
    X(CONTEXT_SEGMENT,       "bits 11:8 of segment attributes are zero")                                 \
    X(CONTEXT_REGISTERS,     "a register list has 1 to 256 (ours) entries of one VTL (0 to 2), padded with zeroes") \
    X(ID_BLOCK_PLATFORM,     "an SNP ID block names only SNP")                                           \
    X(ID_BLOCK_AUTHOR,       "author key fields are zero unless the author key is enabled")              \
    X(MEASUREMENT_PLATFORM,  "a VBS measurement names only VSM isolation")                               \
    X(MEASUREMENT_DUPLICATE, "a platform has one ID block or measurement")                               \
    X(GPA_OVERLAP,           "pages, inserted areas and VP contexts of a platform do not overlap")       \
    X(PLATFORM_ABSENT,       "the file supports the platform that it is loaded on")                      \
    X(HOST_PARAMETER,        "the host has a value for the requested parameter")                         \
    X(HOST_ROOM,             "a parameter's value fits the room that its area has")                      \
    X(HOST_REFUSED,          "the host carries out the directive")
// clang-format on

enum igvm_rule {
#define IGVM_RULE_ENUM(name, text) IGVM_RULE_##name,
    IGVM_RULES(IGVM_RULE_ENUM)
#undef IGVM_RULE_ENUM
        IGVM_RULE_COUNT
};
