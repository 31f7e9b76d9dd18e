#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# minihost's Hyper-V interface, from the inside: the VTL2 test program (tests/guest/vtl2/) instead of
# a paravisor, on one and two processors. Its "PT" lines on the serial port are the results.
. "$(dirname "$0")/lib.sh"

machine_for vsm
qemu_plays vsm || cannot_run "$why"
tests/guest/vtl2/build.sh "$dir/image"

# run SMP: the program from its start to the power-off that it asks for.
run() {
    local word name detail
    SMP=$1 MEM=512M NO_VIRTCONSOLE=1 start_qemu -kernel "$MINIHOST" -initrd "$dir/image/vtl2.igvm" \
        -append "$machine_append"
    wait_exit 60 || true
    while read -r _ word name detail; do
        result "$word" "$1-vp-$name" "${detail%$'\r'}"
    done < <(grep -E '^PT (pass|fail|skip) ' "$dir/vtl2.log")
    if ! grep -q "^PT end $1 VPs" "$dir/vtl2.log"; then
        give_up "$1-vp-end" "the program did not come to its end (QEMU's status: ${qemu_status:-runs})"
    fi
    if [ "$qemu_status" = 0 ]; then
        result pass "$1-vp-power-off"
    else
        result fail "$1-vp-power-off" "QEMU's status: ${qemu_status:-runs}"
    fi
    if grep -q 'the text of a crash that was asked for' "$dir/vtl2.log"; then
        result pass "$1-vp-crash-text"
    else
        result fail "$1-vp-crash-text" 'minihost does not print what VTL2 says of its crash'
    fi
    stop_qemu
}

run 1
run 2
