#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Images that are cut, flipped or empty: a sentence on the serial port that says what is wrong, and
# the machine stops. No guest is started.
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
    rm -f "$dir/vtl2.log"
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
expect_stop magic 'STOP:.*(magic|signature)'
copy
flip 4
expect_stop version 'STOP:.*version'
copy
flip 60
expect_stop variable-header 'STOP:.*(checksum|CRC)'

# The first bzImage in the file is VTL2's kernel (loader/layout.h: lowest address first).
header=$(grep -abo HdrS "$good" | head -n 1 | cut -d: -f1)
if [ -n "$header" ]; then
    copy
    flip $((header + 1048576))
    expect_stop kernel-flipped 'STOP:.*kernel'
fi
