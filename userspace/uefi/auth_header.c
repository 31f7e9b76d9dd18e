// SPDX-License-Identifier: MIT
//
// EFI_VARIABLE_AUTHENTICATION_2: see auth_header.h. Proved in tests/proofs/uefi_auth_header.c.
#include "userspace/uefi/auth_header.h"

#include "igvm/base/bytes.h"

#define CERTIFICATE_REVISION  0x0200u
#define CERTIFICATE_UEFI_GUID 0x0EF1u // WIN_CERT_TYPE_EFI_GUID
#define CERTIFICATE_BYTES     24u     // dwLength, wRevision, wCertificateType, CertType

static const struct uefi_guid cert_type_pkcs7 =
    UEFI_GUID(0x4aafd29d, 0x68df, 0x49ee, 0x8a, 0xa9, 0x34, 0x7d, 0x37, 0x56, 0x65, 0xa7);

// EFI_TIME: year (2 bytes), month, day, hour, minute, second, pad, nanosecond (4), time zone (2),
// daylight, pad. An authenticated variable's has zeros from the first pad on, so that the bytes
// before it are the whole time. Their ranges are not checked: sbvarsign counts months from 0.
#define TIME_PAD_OFF 7u

const char *uefi_auth_header_parse(struct uefi_bytes payload, struct uefi_auth_header *out) {
    struct cursor c = cursor_init(payload.at, payload.size_bytes);
    const uint8_t *type;
    uint32_t length;
    uint16_t revision, kind;

    if (!cursor_take(&c, UEFI_TIME_BYTES, &out->time.at) || !cursor_le32(&c, &length) ||
        !cursor_le16(&c, &revision) || !cursor_le16(&c, &kind) ||
        !cursor_take(&c, sizeof(struct uefi_guid), &type)) {
        return "authentication header: cut off";
    }
    out->time.size_bytes = UEFI_TIME_BYTES;
    for (unsigned i = TIME_PAD_OFF; i < UEFI_TIME_BYTES; i++) {
        if (out->time.at[i] != 0) {
            return "authentication header: a time with more than year to second";
        }
    }
    if (revision != CERTIFICATE_REVISION || kind != CERTIFICATE_UEFI_GUID ||
        !uefi_guid_equal((const struct uefi_guid *)type, &cert_type_pkcs7)) {
        return "authentication header: not a PKCS#7 certificate";
    }
    if (length < CERTIFICATE_BYTES ||
        !cursor_take(&c, length - CERTIFICATE_BYTES, &out->pkcs7.at)) {
        return "authentication header: the certificate's length";
    }
    out->pkcs7.size_bytes = length - CERTIFICATE_BYTES;
    out->value = (struct uefi_bytes){c.base + c.off, cursor_left(&c)};
    return NULL;
}

int uefi_time_compare(const uint8_t a[UEFI_TIME_BYTES], const uint8_t b[UEFI_TIME_BYTES]) {
    const int years = (int)load_le16(a) - (int)load_le16(b);

    return years != 0 ? years : memcmp(a + 2, b + 2, TIME_PAD_OFF - 2);
}
