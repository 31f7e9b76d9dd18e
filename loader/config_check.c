// SPDX-License-Identifier: MIT
//
// The measured configuration page: magic, version, strings, payloads in their places.

#include "loader/config_check.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define KNOWN_FLAGS (SHIM_FLAG_ALLOW_HOST_COMMAND_LINE | SHIM_FLAG_ALLOW_HOST_CONFIG)

static const struct gpa_range shim_area = {LAYOUT_SHIM_GPA,
                                           LAYOUT_SCRATCH_GPA + LAYOUT_SCRATCH_BYTES};

static const char *check_fixed(const struct shim_config *config) {
    if (config->magic != SHIM_CONFIG_MAGIC) {
        return "configuration page has no magic: image and shim do not belong together";
    }
    if (config->version != SHIM_CONFIG_VERSION) {
        return "configuration page has another version than this shim";
    }
    if (config->payload_count > SHIM_MAX_PAYLOADS) {
        return "configuration page lists more than 8 payloads";
    }
    if ((config->flags & ~(uint64_t)KNOWN_FLAGS) != 0) {
        return "configuration page has flags that this shim does not know";
    }
    if (!is_aligned(config->vtl2_ram_end_gpa, LAYOUT_VTL2_RAM_END_ALIGN) ||
        config->vtl2_ram_end_gpa <= shim_area.end) {
        return "end of VTL2's RAM is not 64 MiB aligned or below the shim's own area";
    }
    if (memchr(config->command_line, '\0', sizeof(config->command_line)) == NULL ||
        memchr(config->image_version, '\0', sizeof(config->image_version)) == NULL) {
        return "a text of the configuration page has no end";
    }
    return NULL;
}

static bool is_vtl0(const struct shim_payload *payload) {
    return payload->kind == SHIM_PAYLOAD_VTL0_KERNEL || payload->kind == SHIM_PAYLOAD_VTL0_INITRD ||
           payload->kind == SHIM_PAYLOAD_VTL0_FIRMWARE;
}

/// The whole pages that a payload occupies; sizes and alignment must have been checked.
static struct gpa_range pages_of(const struct shim_payload *payload) {
    uint64_t end = payload->gpa + payload->size_bytes; // checked before: does not wrap

    return (struct gpa_range){payload->gpa, align_down(end + PAGE_SIZE_4K - 1, PAGE_SIZE_4K)};
}

static const char *check_payload(const struct shim_config *config, uint64_t delta,
                                 const struct shim_payload *payload) {
    struct gpa_range vtl2 = {shim_area.end, config->vtl2_ram_end_gpa};
    struct gpa_range vtl0 = {config->vtl2_ram_end_gpa, LAYOUT_IDENTITY_END_GPA - delta};

    if (payload->flags != 0) {
        return "payload has flags that this shim does not know";
    }
    if (payload->size_bytes == 0 || !is_aligned(payload->gpa, PAGE_SIZE_4K)) {
        return "payload is empty or not page aligned";
    }
    if (!gpa_range_contains(is_vtl0(payload) ? vtl0 : vtl2, payload->gpa, payload->size_bytes)) {
        return is_vtl0(payload) ? "VTL0's payload is outside [end of VTL2's RAM, 4 GiB)"
                                : "VTL2's payload is outside VTL2's RAM, or in the shim's area";
    }
    return NULL;
}

/// Where the pointer to a payload of this kind belongs; NULL for an unknown kind.
static const struct shim_payload **slot_of(struct config_payloads *out, uint32_t kind) {
    switch (kind) {
    case SHIM_PAYLOAD_KERNEL:
        return &out->kernel;
    case SHIM_PAYLOAD_INITRD:
        return &out->initrd;
    case SHIM_PAYLOAD_VTL0_KERNEL:
        return &out->vtl0_kernel;
    case SHIM_PAYLOAD_VTL0_INITRD:
        return &out->vtl0_initrd;
    case SHIM_PAYLOAD_VTL0_FIRMWARE:
        return &out->vtl0_firmware;
    default:
        return NULL;
    }
}

static const char *check_overlaps(const struct shim_config *config, uint32_t idx) {
    for (uint32_t i = 0; i < idx; i++) {
        if (config->payloads[i].kind != SHIM_PAYLOAD_NONE &&
            gpa_ranges_overlap(pages_of(&config->payloads[i]), pages_of(&config->payloads[idx]))) {
            return "payload overlaps an earlier one";
        }
    }
    return NULL;
}

/// From the GPAs of loader/layout.h to where things are.
static void move(struct shim_config *config, uint64_t delta) {
    config->vtl2_ram_end_gpa += delta;
    for (uint32_t i = 0; i < config->payload_count; i++) {
        if (config->payloads[i].kind != SHIM_PAYLOAD_NONE) {
            config->payloads[i].gpa += delta;
        }
    }
}

int shim_config_check(struct shim_config *config, uint64_t delta, struct config_payloads *out,
                      const char **why, uint32_t *bad_idx) {
    memset(out, 0, sizeof(*out));
    *bad_idx = UINT32_MAX;
    *why = check_fixed(config);
    if (*why == NULL && (!is_aligned(delta, LAYOUT_VTL2_RAM_END_ALIGN) ||
                         config->vtl2_ram_end_gpa >= LAYOUT_IDENTITY_END_GPA ||
                         delta >= LAYOUT_IDENTITY_END_GPA - config->vtl2_ram_end_gpa)) {
        *why = "image was moved by a distance that is not 64 MiB aligned, or beyond 4 GiB";
    }
    if (*why != NULL) {
        return -EINVAL;
    }
    for (uint32_t i = 0; i < config->payload_count; i++) {
        const struct shim_payload *payload = &config->payloads[i];
        const struct shim_payload **slot = slot_of(out, payload->kind);

        if (payload->kind == SHIM_PAYLOAD_NONE) {
            continue;
        }
        *bad_idx = i;
        if (slot == NULL || *slot != NULL) {
            *why = slot == NULL ? "payload of an unknown kind" : "second payload of one kind";
            return -EINVAL;
        }
        *why = check_payload(config, delta, payload);
        if (*why == NULL) {
            *why = check_overlaps(config, i);
        }
        if (*why != NULL) {
            return -EINVAL;
        }
        *slot = payload;
    }
    *bad_idx = UINT32_MAX;
    if (out->kernel == NULL) {
        *why = "configuration page lists no kernel";
        return -EINVAL;
    }
    move(config, delta);
    *why = "";
    return 0;
}

int config_check_kernel_room(const struct shim_config *config, uint64_t delta,
                             const struct config_payloads *payloads,
                             const struct bzimage_info *image, struct gpa_range *run,
                             const char **why) {
    struct gpa_range room = {shim_area.end + delta, config->vtl2_ram_end_gpa};

    *why = "";
    if (bzimage_run_range(image, payloads->kernel->gpa + image->protected_mode_off, &run->start,
                          &run->end) != 0 ||
        !gpa_range_contains(room, run->start, run->end - run->start)) {
        *why = "kernel does not fit VTL2's RAM when it unpacks";
        return -ERANGE;
    }
    if (payloads->initrd != NULL && gpa_ranges_overlap(*run, pages_of(payloads->initrd))) {
        *why = "kernel would unpack over the initrd";
        return -ERANGE;
    }
    return 0;
}
