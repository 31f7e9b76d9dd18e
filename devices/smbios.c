// SPDX-License-Identifier: MIT
//
// SMBIOS structures (DSP0134, chapter 7), each followed by its strings. Numbered offsets are the
// specification's.
#include "devices/smbios.h"

#include "igvm/base/bytes.h"
#include "igvm/base/check.h"

#include <string.h>

#define HEADER_BYTES     4u
#define MAX_STRING_BYTES 32u
#define TYPE_SYSTEM      1u
#define TYPE_CHASSIS     3u
#define TYPE_END         127u
#define SYSTEM_BYTES     0x1Bu
#define CHASSIS_BYTES    0x15u
#define WAKE_UP_POWER    6u ///< power switch
#define CHASSIS_OTHER    1u
#define STATE_SAFE       3u
#define SECURITY_UNKNOWN 2u
#define ENTRY_MAJOR      3u
#define ENTRY_MINOR      0u
#define ENTRY_DOCREV     0u
#define ENTRY_REVISION   1u

/// Starts a structure of length bytes (zero but for the header); its strings follow.
static uint8_t *begin(struct smbios *s, uint8_t type, uint8_t length, uint16_t handle) {
    uint8_t *at = s->tables + s->tables_bytes;

    CHECK(s->tables_bytes + length <= sizeof(s->tables));
    at[0] = type;
    at[1] = length;
    store_le16(at + 2, handle);
    s->tables_bytes += length;
    return at;
}

static void add_string(struct smbios *s, const char *text) {
    size_t length = strnlen(text, MAX_STRING_BYTES);

    CHECK(s->tables_bytes + length + 1 <= sizeof(s->tables));
    memcpy(s->tables + s->tables_bytes, text, length);
    s->tables_bytes += length + 1; // the rest of the area is zero
}

/// The second NUL behind the last string; two where there are none (6.1.3).
static void end(struct smbios *s, unsigned string_count) {
    s->tables_bytes += string_count > 0 ? 1 : 2;
    CHECK(s->tables_bytes <= sizeof(s->tables));
}

void smbios_build(const char *version, struct smbios *out) {
    uint8_t *at;

    memset(out, 0, sizeof(*out));
    at = begin(out, TYPE_SYSTEM, SYSTEM_BYTES, 0x100);
    at[4] = 1;              // manufacturer
    at[5] = 2;              // product name
    at[6] = 3;              // version
    at[24] = WAKE_UP_POWER; // the UUID at 8 stays 0: not present
    add_string(out, "Parapet");
    add_string(out, "Parapet VM");
    add_string(out, version[0] ? version : "unknown"); // an empty string would end the list
    end(out, 3);

    at = begin(out, TYPE_CHASSIS, CHASSIS_BYTES, 0x300);
    at[4] = 1; // manufacturer
    at[5] = CHASSIS_OTHER;
    at[9] = STATE_SAFE;  // boot-up state
    at[10] = STATE_SAFE; // power supply
    at[11] = STATE_SAFE; // thermal
    at[12] = SECURITY_UNKNOWN;
    add_string(out, "Parapet");
    end(out, 1);

    begin(out, TYPE_END, HEADER_BYTES, 0x7F00);
    end(out, 0);

    memcpy(out->anchor, "_SM3_", 5);
    out->anchor[6] = SMBIOS_ANCHOR_BYTES;
    out->anchor[7] = ENTRY_MAJOR;
    out->anchor[8] = ENTRY_MINOR;
    out->anchor[9] = ENTRY_DOCREV;
    out->anchor[10] = ENTRY_REVISION;
    store_le32(out->anchor + 12, (uint32_t)out->tables_bytes);
    for (unsigned i = 0; i < SMBIOS_ANCHOR_BYTES; i++) { // the address at 16 is firmware's to fill
        out->anchor[5] = (uint8_t)(out->anchor[5] - (i == 5 ? 0 : out->anchor[i]));
    }
}
