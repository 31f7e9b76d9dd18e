# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The QEMU machine that each platform of the image needs; sourced by tools/run.sh and the tests.

# qemu_plays PLATFORM: whether minihost is known to work there with this QEMU; a sentence in $why if
# not. With 10.0 VTL0 hangs with more than one VP (docs/STATUS.md).
# shellcheck disable=SC2034
qemu_plays() {
    local version
    [ "$1" != native ] || return 0
    version=$(qemu-system-x86_64 --version | sed -n '1s/.*version \([0-9]*\.[0-9]*\).*/\1/p')
    why="platform $1 is tested with QEMU 7.2; with this one ($version) only one VP is known to work"
    [ "$version" = 7.2 ]
}

# machine_for PLATFORM: sets machine_options (an array), machine_cpu (for TCG) and machine_append
# (what minihost is told). 1 for a platform that there is none for.
# shellcheck disable=SC2034 # the caller uses them
machine_for() {
    machine_append=''
    case $1 in
    native)
        machine_options=(-M q35)
        machine_cpu=max,+svm
        ;;
    vsm)
        # No SMM: its memory would be under VTL0's. HPET messages are minihost's timers. 48 bits:
        # physical addresses up to the top of what nested page tables reach.
        machine_options=(-M q35,smm=off -global hpet.msi=on -global hpet.timers=8)
        machine_cpu=max,+svm,phys-bits=48
        machine_append=platform=vsm
        ;;
    *) return 1 ;;
    esac
}
