// SPDX-License-Identifier: MIT
//
// igvmtool: a manifest in memory (docs/igvm.md describes the JSON, igvm/manifest.schema.json its
// form).
#pragma once

#include "igvm/igvm_desc.h"
#include "loader/layout.h"
#include "tools/igvmtool/json.h"

#define MANIFEST_MAX_PLATFORMS  IGVM_PLATFORM_NAME_COUNT
#define MANIFEST_MAX_REGIONS    256u
#define MANIFEST_MAX_PARAMETERS 16u

enum manifest_kind {
    MANIFEST_DATA,            // a raw file (or nothing) at a GPA
    MANIFEST_PAGE_TABLES,     // generated: identity map
    MANIFEST_SHIM_CONFIG,     // generated: struct shim_config
    MANIFEST_PARAMETER_AREA,  // filled by the host
    MANIFEST_REQUIRED_MEMORY, // must be there
    MANIFEST_VP_CONTEXT,      // first registers
    MANIFEST_HEADER,          // any header type, field by field
    MANIFEST_KIND_COUNT,
};
extern const char *const manifest_kind_names[MANIFEST_KIND_COUNT];

struct manifest_parameter {
    enum igvm_header_type type;
    uint32_t byte_offset;
};

/// A payload of the shim's configuration: which region, and what it is to the shim.
struct manifest_payload {
    uint32_t kind; // enum shim_payload_kind
    const char *region;
};

struct manifest_shim_config {
    uint64_t vtl2_ram_end_gpa;
    uint64_t flags;
    const char *command_line;
    const char *image_version;
    struct manifest_payload payloads[SHIM_MAX_PAYLOADS];
    size_t payload_count;
};

/// Start registers, independent of the platform's format; a platform's writer takes what it can
/// say.
struct manifest_vp {
    struct igvm_native_vp_context_x64 registers;
    uint64_t pat; // VSM and SNP only; the native format has none
    uint16_t vp_index;
    uint8_t vtl;           // VSM only
    uint64_t sev_features; // SNP only
};

/// One region or directive, in file order. Strings belong to the document.
struct manifest_region {
    enum manifest_kind kind;
    const char *name;
    char path[32];              // "$.regions[3]", for messages
    const char *file;           // as in the manifest, NULL if none
    uint32_t mask;              // compatibility mask
    uint32_t all_platforms;     // ... together with the regions made of the same entry
    size_t origin;              // index of the first region made of the same entry
    uint64_t delta;             // part of gpa that comes from the platforms
    uint64_t gpa;               // of regions that have one
    uint32_t data_off;          // file offset of its first page with data (emit.c)
    uint64_t size_bytes;        // of the region, whole pages; 0 until known
    uint64_t max_bytes;         // data: what the file may have; 0: anything
    uint32_t flags;             // data: IGVM_PAGE_*; required memory: IGVM_REQUIRED_MEMORY_*
    uint16_t page_type;         // enum igvm_page_data_type
    uint64_t map_bytes;         // page tables: how much is mapped
    uint64_t entry_bits;        // page tables: set in every entry (the encryption bit)
    struct igvmtool_bytes data; // contents: of the file, or generated; exact size
    struct manifest_parameter parameters[MANIFEST_MAX_PARAMETERS];
    size_t parameter_count;
    struct manifest_shim_config config;
    struct manifest_vp vp;
    const struct igvm_header_desc *header; // kind header: type and content
    uint8_t content[sizeof(struct igvm_vbs_measurement)];
};

struct manifest {
    yyjson_doc *doc;
    char *folder; // of the manifest: files are relative to it
    uint32_t format_version;
    enum igvm_architecture architecture;
    struct igvm_supported_platform platforms[MANIFEST_MAX_PLATFORMS];
    uint64_t gpa_delta[MANIFEST_MAX_PLATFORMS]; // of each platform
    size_t platform_count;
    struct manifest_region *regions;
    size_t region_count;
    const char *file; // path of the manifest, for messages
    struct igvmtool_error *error;
};

/// Parses JSON text; nothing but text is read, no file is opened. name stands for it in messages
/// and names the folder of the files. 0, or -EINVAL/-ENOMEM with *error filled; the manifest is to
/// be released either way. name and error must outlive it.
int manifest_parse(struct manifest *manifest, const char *name, const void *text, size_t text_bytes,
                   struct igvmtool_error *error);

/// Reads the regions' files and makes the generated contents; then every region's size is known.
int manifest_load(struct manifest *manifest);

/// Checks that no two regions of a platform overlap. 0, or -EINVAL with the error filled.
int manifest_check_layout(const struct manifest *manifest);

/// Builds the file into *image. 0, or a negative errno with the error filled. Deterministic.
int manifest_emit(struct manifest *manifest, struct igvmtool_bytes *image);

/// Prints the guest-physical layout, one line per region and gap, lowest address first.
void manifest_print_map(const struct manifest *manifest, FILE *out);

void manifest_free(struct manifest *manifest);

// ---- between the files of this folder
// ------------------------------------------------------------

/// Reports an error of a region: "file: path (name): text". Returns -EINVAL.
int manifest_region_fail(const struct manifest *manifest, const struct manifest_region *region,
                         const char *format, ...) __attribute__((format(printf, 3, 4)));

/// Moves the platforms' regions by their gpa_delta; a region may become several. 0, -EINVAL or
/// -ENOMEM with the error filled (manifest_delta.c).
int manifest_apply_deltas(struct manifest *manifest);

/// Parses what the region's kind has of its own (manifest_kinds.c).
int manifest_parse_kind(struct manifest *manifest, const struct igvmtool_json *node,
                        struct manifest_region *region);

/// Parses "mode" and "registers" of a VP context (manifest_vp.c).
int manifest_parse_vp(const struct igvmtool_json *node, struct manifest_vp *vp);

/// Parses "fields" of a header by its descriptor (manifest_header.c).
int manifest_parse_header(const struct igvmtool_json *node, struct manifest_region *region);

/// Makes page tables or the shim's configuration as region->data (generate.c).
int manifest_generate(struct manifest *manifest, struct manifest_region *region);

/// The first region of that name, NULL if there is none.
const struct manifest_region *manifest_find(const struct manifest *manifest, const char *name);

/// Whether the region occupies guest memory [gpa, gpa + size_bytes).
bool manifest_occupies(const struct manifest_region *region);
