# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the benchmarks on vsm share, sourced instead of lib.sh: the platform, and its nest: VTL2's
# kernel under minihost playing Hyper-V, without Parapet, with the floor's program. The peers (QEMU
# with KVM) have no place there: VTL2 sees no SVM.
PLATFORM=vsm
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

VSM_NEST=$top/build/bench/vsm-nest.igvm

build_vsm_nest() {
    local stage applet initrd=$dir/vsm-nest.cpio
    stage=$(mktemp -d "$dir/stage.XXXXXX")
    mkdir -p "$stage"/{bin,dev,lib,proc,sys,tmp}
    install -m 755 "$top/build/guest/busybox" "$stage/bin/busybox"
    for applet in sh mount insmod poweroff dmesg stty cat; do
        ln -s busybox "$stage/bin/$applet"
    done
    "$top/tests/guest/build-probe.sh" "$stage/bin/probe"
    musl-gcc -std=gnu17 -Wall -Wextra -Werror -Wno-overflow -D_GNU_SOURCE -O2 -static -s -I"$top" \
        -idirafter /usr/include -idirafter "/usr/include/$(gcc -print-multiarch)" \
        "$top/tests/bench/vsm_floor.c" -o "$stage/bin/vsm_floor"
    install -m 755 "$top/tests/bench/nest-init" "$stage/init"
    install -m 644 "$top/build/kernel/modules/mshv_vtl.ko" "$stage/lib/mshv_vtl.ko"
    "$top/tests/guest/pack.sh" "$stage" "$initrd"
    sed -e "s|\"\.\./build/initrd\.cpio\"|\"$initrd\"|" -e "s|\"\.\./build/|\"$top/build/|" \
        "$top/igvm/parapet.image.json" >"$dir/vsm-nest.json"
    "$top/build/host/igvmtool" build "$dir/vsm-nest.json" -o "$VSM_NEST" ||
        give_up nest 'igvmtool build failed'
    rm -rf "$stage"
}

# start_vsm_nest [DISK_SIZE]: takes the commands of nest-init (nest COMMAND...).
start_vsm_nest() {
    if [ ! -f "$VSM_NEST" ] || [ "$top/build/parapet.igvm" -nt "$VSM_NEST" ] ||
        [ -n "$(find "$top/tests/bench" -newer "$VSM_NEST")" ]; then
        build_vsm_nest
    fi
    [ -e "$dir/nest.img" ] || truncate -s "${1:-64M}" "$dir/nest.img"
    start_qemu -kernel "$MINIHOST" -initrd "$VSM_NEST" \
        -append "$machine_append rdinit=/bin/sh -- /init" \
        -drive "if=none,id=nest,format=raw,file=$dir/nest.img" -device nvme,drive=nest,serial=nest
    wait_console '^PT ask' || give_up nest 'the nest does not start'
}
