// SPDX-License-Identifier: MIT
//
// igvmtool measure: the launch digest that a file gives, computed from its directives in order.
//
//   snp   SEV-SNP firmware ABI, SNP_LAUNCH_UPDATE: SHA-384 over a chain of PAGE_INFO structures
//   tdx   TDX module ABI, TDH.MEM.PAGE.ADD and TDH.MR.EXTEND: one SHA-384 over all of them (MRTD)
//
// Shared pages and error ranges are not part of either; parameter areas and unmeasured pages count
// with their address alone.

#include "tools/igvmtool/tool.h"

#include "igvm/base/bytes.h"
#include "igvm/igvm_load.h"

#include <errno.h>
#include <getopt.h>
#include <mbedtls/sha512.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_BYTES 48u

enum snp_page_type {
    SNP_PAGE_NORMAL = 1,
    SNP_PAGE_VMSA = 2,
    SNP_PAGE_UNMEASURED = 4,
    SNP_PAGE_SECRETS = 5,
    SNP_PAGE_CPUID = 6,
};

/// SEV-SNP: PAGE_INFO, whose hash is the next digest.
struct snp_page_info {
    uint8_t digest_current[DIGEST_BYTES];
    uint8_t contents[DIGEST_BYTES]; // hash of the page; zero for types that are not measured
    uint16_t length;                // of this structure
    uint8_t page_type;
    uint8_t imi_page;
    uint8_t vmpl_permissions[4];
    uint64_t gpa;
} IGVM_PACKED;
_Static_assert(sizeof(struct snp_page_info) == 0x70, "PAGE_INFO is measured as it is");

#define TDX_RECORD_BYTES 128u // operation's name, GPA at 16, zeroes
#define TDX_CHUNK_BYTES  256u

/// A host that hashes instead of loading.
struct measurement {
    bool is_snp;
    uint8_t digest[DIGEST_BYTES];             // SNP: so far
    mbedtls_sha512_context tdx;               // TDX: running
    uint8_t *areas[IGVM_MAX_PARAMETER_AREAS]; // on the heap
    size_t area_count;
};

static const uint8_t zero_page[IGVM_PAGE_SIZE];

static int snp_page(struct measurement *m, enum snp_page_type type, uint64_t at,
                    const uint8_t *data) {
    struct snp_page_info info = {.length = sizeof(info), .page_type = (uint8_t)type, .gpa = at};

    memcpy(info.digest_current, m->digest, DIGEST_BYTES);
    if (data != NULL && mbedtls_sha512(data, IGVM_PAGE_SIZE, info.contents, 1) != 0) {
        return -EIO;
    }
    return mbedtls_sha512((const uint8_t *)&info, sizeof(info), m->digest, 1) != 0 ? -EIO : 0;
}

static int tdx_record(struct measurement *m, const char *operation, uint64_t at) {
    uint8_t record[TDX_RECORD_BYTES] = {0};

    memcpy(record, operation, strlen(operation));
    store_le64(record + 16, at);
    return mbedtls_sha512_update(&m->tdx, record, sizeof(record)) != 0 ? -EIO : 0;
}

static int tdx_page(struct measurement *m, uint64_t at, const uint8_t *data) {
    int rc = tdx_record(m, "MEM.PAGE.ADD", at);

    for (uint32_t off = 0; rc == 0 && data != NULL && off < IGVM_PAGE_SIZE;
         off += TDX_CHUNK_BYTES) {
        rc = tdx_record(m, "MR.EXTEND", at + off);
        if (rc == 0 && mbedtls_sha512_update(&m->tdx, data + off, TDX_CHUNK_BYTES) != 0) {
            rc = -EIO;
        }
    }
    return rc;
}

static enum snp_page_type snp_type(const struct igvm_load_page *page) {
    if (page->data_type == IGVM_PAGE_SECRETS) {
        return SNP_PAGE_SECRETS;
    }
    if (page->data_type == IGVM_PAGE_CPUID_DATA || page->data_type == IGVM_PAGE_CPUID_XF) {
        return SNP_PAGE_CPUID;
    }
    return (page->flags & IGVM_PAGE_UNMEASURED) != 0 ? SNP_PAGE_UNMEASURED : SNP_PAGE_NORMAL;
}

static int on_page(void *host, const struct igvm_load_page *page) {
    struct measurement *m = host;
    const uint8_t *contents = page->data != NULL ? page->data : zero_page;
    const bool is_measured =
        m->is_snp ? snp_type(page) == SNP_PAGE_NORMAL : (page->flags & IGVM_PAGE_UNMEASURED) == 0;

    if ((page->flags & IGVM_PAGE_SHARED) != 0) {
        return 0;
    }
    if (page->size_bytes != IGVM_PAGE_SIZE) {
        return -ENOTSUP; // 2 MiB pages are measured by hosts in ways that differ
    }
    return m->is_snp ? snp_page(m, snp_type(page), page->gpa.value, is_measured ? contents : NULL)
                     : tdx_page(m, page->gpa.value, is_measured ? contents : NULL);
}

static uint8_t *on_area(void *host, uint32_t area_idx, uint64_t size_bytes) {
    struct measurement *m = host;

    (void)area_idx;
    if (size_bytes > UINT32_MAX || m->area_count == IGVM_MAX_PARAMETER_AREAS) {
        return NULL;
    }
    m->areas[m->area_count] = malloc(size_bytes);
    return m->areas[m->area_count++];
}

static int on_insert(void *host, gpa_t at, const uint8_t *buffer, uint64_t size_bytes) {
    struct measurement *m = host;
    int rc = 0;

    (void)buffer; // what the host deposits does not count
    for (uint64_t off = 0; rc == 0 && off < size_bytes; off += IGVM_PAGE_SIZE) {
        rc = m->is_snp ? snp_page(m, SNP_PAGE_UNMEASURED, at.value + off, NULL)
                       : tdx_page(m, at.value + off, NULL);
    }
    return rc;
}

static int on_vp(void *host, const struct igvm_vp *vp) {
    return snp_page(host, SNP_PAGE_VMSA, vp->vmsa_gpa.value, vp->data);
}

/// Runs the load with a host that only hashes. 0, or -EINVAL with *error filled.
static int measure(struct measurement *m, const char *path, const struct igvm_file *file,
                   struct igvmtool_error *error) {
    static const struct igvm_load_ops ops = {
        .page_data = on_page,
        .area_buffer = on_area,
        .area_insert = on_insert,
        .vp_context = on_vp,
    };
    const struct igvm_blob none = {zero_page, 0};
    // Parameters are not measured: any value will do.
    const struct igvm_host_params params = {
        .memory_map = (const struct igvm_memory_map_entry *)(const void *)zero_page,
        .command_line = "",
        .device_tree = none,
        .srat = none,
        .madt = none,
        .slit = none,
        .pptt = none,
    };
    struct igvm_error broken;
    char line[384];
    int host_errno = 0;

    if (igvm_load(file, m->is_snp ? IGVM_PLATFORM_SEV_SNP : IGVM_PLATFORM_TDX, &params, &ops, m,
                  &broken, &host_errno) == 0) {
        return 0;
    }
    igvm_error_format(&broken, line, sizeof(line));
    return igvmtool_error_set(error, "%s: %s%s", path, line,
                              host_errno == -ENOTSUP ? " (2 MiB pages are not supported)" : "");
}

static int print_digest(struct measurement *m, const char *path, const struct igvm_file *file,
                        struct igvmtool_error *error) {
    int rc;

    mbedtls_sha512_init(&m->tdx);
    rc = mbedtls_sha512_starts(&m->tdx, 1) != 0 ? igvmtool_error_set(error, "SHA-384 failed")
                                                : measure(m, path, file, error);
    if (rc == 0 && !m->is_snp && mbedtls_sha512_finish(&m->tdx, m->digest) != 0) {
        rc = igvmtool_error_set(error, "SHA-384 failed");
    }
    mbedtls_sha512_free(&m->tdx);
    for (size_t i = 0; i < m->area_count; i++) {
        free(m->areas[i]);
    }
    for (size_t i = 0; rc == 0 && i < DIGEST_BYTES; i++) {
        printf(i == DIGEST_BYTES - 1 ? "%02x\n" : "%02x", m->digest[i]);
    }
    return rc;
}

int igvmtool_measure(int argc, char **argv) {
    static const struct option options[] = {{"platform", required_argument, NULL, 'p'}, {0}};
    struct measurement measurement = {0};
    struct igvmtool_error error = {""};
    const char *platform = "";
    struct igvmtool_bytes bytes;
    struct igvm_file file;
    int option;
    int rc;

    while ((option = getopt_long(argc, argv, "p:", options, NULL)) != -1) {
        if (option != 'p') {
            return IGVMTOOL_FAILED;
        }
        platform = optarg;
    }
    measurement.is_snp = strcmp(platform, "snp") == 0;
    if ((!measurement.is_snp && strcmp(platform, "tdx") != 0) || argc - optind != 1) {
        igvmtool_error_set(&error, "measure needs --platform snp or tdx, and one FILE");
        igvmtool_complain(&error);
        return IGVMTOOL_FAILED;
    }
    rc = igvmtool_open_image(argv[optind], &bytes, &file, &error);
    if (rc == 0) {
        rc = print_digest(&measurement, argv[optind], &file, &error);
        igvmtool_bytes_free(&bytes);
    }
    if (rc != 0) {
        igvmtool_complain(&error);
    }
    return rc == 0 ? IGVMTOOL_OK : IGVMTOOL_FAILED;
}
