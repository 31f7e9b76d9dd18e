#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Images that are cut, flipped or empty: a sentence on the serial port that says what is wrong, and
# the machine stops. No guest is started.
# platforms: native vsm
. "$(dirname "$0")/lib.sh"

[ -f "$IMAGE" ] || give_up start "${IMAGE#"$top"/} was not built"
good=$IMAGE size=$(stat -c %s "$IMAGE")

# flip OFFSET: inverts one byte of $dir/bad.igvm
flip() {
    local byte
    byte=$(dd if="$dir/bad.igvm" bs=1 skip="$1" count=1 status=none | od -An -tu1)
    # shellcheck disable=SC2059
    printf "\\x$(printf %02x $((byte ^ 255)))" |
        dd of="$dir/bad.igvm" bs=1 seek="$1" count=1 conv=notrunc status=none
}

# expect_stop NAME REGEX: the machine says REGEX on a line with "STOP:" and ends.
expect_stop() {
    IMAGE=$dir/bad.igvm
    start_machine
    if wait_vtl2 "STOP:.*($2)|($2)" 60; then
        result pass "$1" "$(grep -Em 1 "STOP:|$2" "$dir/vtl2.log" | cut -c1-110)"
    else
        result fail "$1" "no line matches '$2'; last: $(tail -n 1 "$dir/vtl2.log" | cut -c1-100)"
    fi
    wait_exit 20 || result fail "$1-ends" 'QEMU still runs'
    stop_qemu
}

copy() { cp "$good" "$dir/bad.igvm"; }

: >"$dir/bad.igvm"
truncate -s 1 "$dir/bad.igvm"
expect_stop one-byte 'STOP:'
head -c 4096 /dev/zero >"$dir/bad.igvm"
expect_stop zeroes 'STOP:'
copy
truncate -s $((size / 2)) "$dir/bad.igvm"
expect_stop truncated 'STOP:'
copy
truncate -s 100 "$dir/bad.igvm"
expect_stop header-truncated 'STOP:'
copy
flip 0
expect_stop magic 'STOP:.*fixed header'
copy
flip 4
expect_stop version 'STOP:.*version'
copy
flip 60
expect_stop variable-header 'STOP:.*(checksum|CRC)'

# flip_payload FILE OFFSET: inverts the byte of the image that holds that byte of a payload. Page
# data keeps the order of its bytes within a page, so 16 bytes of the payload find the place.
flip_payload() {
    local pattern at
    [ -f "$1" ] || give_up payload "$1 was not built"
    pattern=$(dd if="$1" bs=1 skip="$2" count=16 status=none | od -An -v -tx1 | sed 's/ /\\x/g')
    at=$(grep -abobUP -m 1 "$pattern" "$dir/bad.igvm" | head -n 1 | cut -d: -f1)
    [ -n "$at" ] || give_up payload "byte $2 of $1 is not in the image"
    flip "$at"
}

# The shim verifies VTL2's kernel and initrd; the VMM the guest's.
copy
flip_payload build/kernel/bzImage 1048576
expect_stop kernel-flipped 'STOP:.*kernel'
copy
flip_payload "${VTL2_INITRD:-build/initrd.cpio}" 200000
expect_stop initrd-flipped 'STOP:.*initrd'
copy
flip_payload build/guest/vmlinuz 1048576
expect_stop guest-kernel-flipped 'not what the image measured'
