#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Images that minihost cannot play Hyper-V for on the machine at hand: a sentence that tells what is
# wrong, and the machine ends. They are the VTL2 test program's with one thing changed. (Machines:
# vsm-line.sh.)
. "$(dirname "$0")/lib.sh"

machine_for vsm
qemu_plays vsm || cannot_run "$why"
tests/guest/vtl2/build.sh "$dir/image"
good=$dir/image/vtl2.image.json

# image SED: the manifest with a change, built.
image() {
    sed "$1" "$good" >"$dir/image/bad.json"
    build/host/igvmtool build "$dir/image/bad.json" -o "$dir/bad.igvm" >"$dir/igvmtool.log" 2>&1 ||
        give_up image "igvmtool: $(tail -n 1 "$dir/igvmtool.log")"
}

# expect NAME REGEX: minihost stops with this sentence, by itself.
expect() {
    MEM=${MEM:-512M} NO_VIRTCONSOLE=1 start_qemu -kernel "$MINIHOST" -initrd "$dir/bad.igvm" \
        -append "$machine_append"
    if wait_exit 30 && grep -Eq "STOP: .*($2)" "$dir/vtl2.log" && [ "$qemu_status" = 33 ]; then
        result pass "$1" "$(grep -Em 1 STOP "$dir/vtl2.log" | sed 's/.*STOP: //' | cut -c1-110)"
    else
        result fail "$1" "status ${qemu_status:-none}, no line matches '$2': $(tail -n 1 "$dir/vtl2.log" | cut -c1-100)"
    fi
    stop_qemu
}

MEM=512M SMP=1
image 's/"type": "vsm", "highest_vtl": 2/"type": "native"/; s/, "vtl2_protectable": true//; s/"vtl": 2, //'
expect no-vsm-header 'the file is not for the platform VSM_ISOLATION'
image 's/"vtl": 2,/"vtl": 0,/'
expect other-vtl 'sets registers of another VTL than 2'
image 's/"vp_index": 0/"vp_index": 1/'
SMP=2 expect no-first-vp 'no VP context for the BSP on the platform VSM_ISOLATION'
SMP=1 expect vp-count 'VP context of a VP that the machine does not have'
image 's/0x01000000/0x08000000/'
MEM=256M expect memory-too-small 'no RAM there: give the machine more memory'
MEM=384M expect memory-of-minihost 'no RAM there: give the machine more memory' # at its end
MEM=512M
image 's/0x01000000/0x40000000/'
expect memory-too-large 'no RAM there: give the machine more memory'
