#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Replays a TPM event log (TCG PC Client Platform Firmware Profile, section 10) and compares the
result with PCR values.

    event_log.py LOG PCRS [--list]

LOG is binary_bios_measurements of the guest's kernel; PCRS has lines "BANK INDEX HEX" (sha256 0 ab...).
Prints one line a bank; with --list the events too. Exit status 1: a PCR is not what the log says, or
an event that firmware owes is missing.
"""
import hashlib
import struct
import sys

ALGORITHMS = {0x4: "sha1", 0xB: "sha256", 0xC: "sha384", 0xD: "sha512"}
EVENTS = {
    0x3: "NO_ACTION", 0x4: "SEPARATOR", 0x6: "EVENT_TAG", 0x7: "S_CRTM_CONTENTS", 0x8: "S_CRTM_VERSION", 0xA: "PLATFORM_CONFIG_FLAGS", 0xD: "IPL",
    0x80000001: "VARIABLE_DRIVER_CONFIG", 0x80000002: "VARIABLE_BOOT", 0x80000003: "BOOT_SERVICES_APPLICATION",
    0x80000004: "BOOT_SERVICES_DRIVER", 0x80000006: "GPT", 0x80000007: "ACTION", 0x80000008: "PLATFORM_FIRMWARE_BLOB",
    0x80000009: "HANDOFF_TABLES", 0x8000000A: "PLATFORM_FIRMWARE_BLOB2", 0x8000000B: "HANDOFF_TABLES2",
    0x8000000C: "VARIABLE_BOOT2", 0x800000E0: "VARIABLE_AUTHORITY",
}
SEPARATOR, S_CRTM_VERSION, BLOB, VARIABLE, APPLICATION, BOOT = 0x4, 0x8, 0x80000008, 0x80000001, 0x80000003, 0x80000002
# Kinds whose digest is that of the event's own data.
SELF_DESCRIBING = (SEPARATOR, S_CRTM_VERSION, VARIABLE, 0x80000007)


def parse(log):
    """Yields (pcr, kind, {algorithm: digest}, data) after the header event."""
    pcr, kind = struct.unpack_from("<II", log)
    size = struct.unpack_from("<I", log, 28)[0]
    header = log[32 : 32 + size]
    if kind != 0x3 or not header.startswith(b"Spec ID Event03\0"):
        raise ValueError("not a log of the crypto-agile format")
    count = struct.unpack_from("<I", header, 24)[0]
    sizes = dict(struct.unpack_from("<HH", header, 28 + 4 * i) for i in range(count))
    at = 32 + size
    while at < len(log):
        pcr, kind, count = struct.unpack_from("<III", log, at)
        at += 12
        digests = {}
        for _ in range(count):
            algorithm = struct.unpack_from("<H", log, at)[0]
            digests[algorithm] = log[at + 2 : at + 2 + sizes[algorithm]]
            at += 2 + sizes[algorithm]
        size = struct.unpack_from("<I", log, at)[0]
        yield pcr, kind, digests, log[at + 4 : at + 4 + size]
        at += 4 + size


def variable_name(data):
    length = struct.unpack_from("<Q", data, 16)[0]
    return data[32 : 32 + 2 * length].decode("utf-16-le")


def main():
    events = list(parse(open(sys.argv[1], "rb").read()))
    wanted = [line.split() for line in open(sys.argv[2])]
    wrong = []
    for name in sorted({bank for bank, _, _ in wanted}):
        algorithm = next(number for number, text in ALGORITHMS.items() if text == name)
        size = hashlib.new(name).digest_size
        pcrs = {index: bytes(size) for index in range(24)}
        for pcr, kind, digests, data in events:
            if kind == 0x3 or pcr > 23:
                continue
            if kind in SELF_DESCRIBING and hashlib.new(name, data).digest() != digests[algorithm]:
                wrong.append(f"PCR {pcr}: {EVENTS[kind]} has a digest of something else")
            pcrs[pcr] = hashlib.new(name, pcrs[pcr] + digests[algorithm]).digest()
        mine = {int(index): value.lower() for bank, index, value in wanted if bank == name}
        # Not 10, which Linux's IMA extends without this log, and not 16 and up, which start otherwise.
        differ = [index for index, value in mine.items() if index < 16 and index != 10 and pcrs[index].hex() != value]
        print(f"{name}: {len(mine)} PCRs, {len(events)} events, wrong: {differ or 'none'}")
        wrong += differ
    present = [(pcr, kind) for pcr, kind, _, _ in events]
    names = [variable_name(data) for pcr, kind, _, data in events if (pcr, kind) == (7, VARIABLE)]
    for pcr in range(8):
        if present.count((pcr, SEPARATOR)) != 1:
            wrong.append(f"PCR {pcr}: {present.count((pcr, SEPARATOR))} separators")
    for text, event in (("version", (0, S_CRTM_VERSION)), ("volume", (0, BLOB)), ("boot variable", (1, BOOT)), ("image", (4, APPLICATION))):
        if event not in present:
            wrong.append(f"PCR {event[0]}: no {text}")
    if names[:5] != ["SecureBoot", "PK", "KEK", "db", "dbx"]:
        wrong.append(f"PCR 7: variables {names}")
    if "--list" in sys.argv:
        for pcr, kind, digests, data in events:
            note = variable_name(data) if kind in (VARIABLE, BOOT, 0x800000E0) else ascii(data[:48])
            print(f"{pcr:3} {EVENTS.get(kind, hex(kind)):26} {digests.get(0xB, b'').hex()[:16]} {note}")
    for text in wrong:
        print(f"wrong: {text}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
