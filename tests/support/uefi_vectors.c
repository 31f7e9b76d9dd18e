// SPDX-License-Identifier: MIT
//
// The vectors of tests/vectors/uefi: see uefi_vectors.h.
#include "tests/support/uefi_vectors.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_FILES 128u

static struct {
    const char *name;
    struct uefi_bytes bytes;
} files[MAX_FILES];

struct uefi_bytes vector(const char *file) {
    char path[256];
    uint8_t *bytes;
    FILE *in;
    unsigned i;

    if (file == NULL) {
        return (struct uefi_bytes){NULL, 0};
    }
    for (i = 0; i < MAX_FILES && files[i].name != NULL; i++) {
        if (strcmp(files[i].name, file) == 0) {
            return files[i].bytes;
        }
    }
    snprintf(path, sizeof(path), "tests/vectors/uefi/%s", file);
    in = fopen(path, "rb");
    bytes = malloc(VECTOR_MAX_BYTES);
    if (i == MAX_FILES || in == NULL || bytes == NULL) {
        fprintf(stderr, "no vector %s (tests run from the repository's root)\n", path);
        abort();
    }
    files[i].name = file;
    files[i].bytes = (struct uefi_bytes){bytes, fread(bytes, 1, VECTOR_MAX_BYTES, in)};
    fclose(in);
    return files[i].bytes;
}

static struct uefi_guid guid_of(const char *name) {
    static const struct uefi_guid global = UEFI_GUID_GLOBAL, security = UEFI_GUID_IMAGE_SECURITY;
    static const struct uefi_guid mine = {{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
                                           0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}};

    if (strcmp(name, "PK") == 0 || strcmp(name, "KEK") == 0) {
        return global;
    }
    return name[0] == 'd' && name[1] == 'b' ? security : mine;
}

enum uefi_status vector_set(const struct vector_setting *setting, const char *name,
                            uint32_t attributes, struct uefi_bytes payload,
                            struct uefi_auth_result *result) {
    static uint8_t room[0x10000];
    uint8_t wide[64];
    const size_t length = strlen(name);
    const struct uefi_auth_request request = {
        .guid = guid_of(name),
        .name = {wide, 2 * length},
        .attributes = attributes,
        .payload = payload,
        .stored = setting->stored,
        .pk = vector(setting->pk),
        .kek = vector(setting->kek),
        .room = room,
        .room_bytes = sizeof(room),
    };

    for (size_t i = 0; i < length; i++) {
        wide[2 * i] = (uint8_t)name[i];
        wide[2 * i + 1] = 0;
    }
    return uefi_auth_check(&request, result);
}

enum uefi_status vector_set_file(const struct vector_setting *setting, const char *name,
                                 uint32_t attributes, const char *file,
                                 struct uefi_auth_result *result) {
    return vector_set(setting, name, attributes, vector(file), result);
}

struct uefi_auth_stored vector_stored(uint32_t attributes, const struct uefi_auth_result *result) {
    struct uefi_auth_stored stored = {
        .attributes = attributes & ~UEFI_ATTR_APPEND,
        .value = result->value,
    };

    memcpy(stored.time, result->time, sizeof(stored.time));
    memcpy(stored.digest, result->digest, sizeof(stored.digest));
    return stored;
}
