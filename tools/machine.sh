# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The QEMU machine that each platform of the image needs; sourced by tools/run.sh and the tests.

# qemu_plays PLATFORM: whether minihost is known to work there with this QEMU; a sentence in $why if
# not. What another one emulates of SVM may differ (docs/minihost.md).
# shellcheck disable=SC2034
qemu_plays() {
    local version
    [ "$1" != native ] || return 0
    version=$(qemu-system-x86_64 --version | sed -n '1s/.*version \([0-9]*\.[0-9]*\).*/\1/p')
    why="platform $1 is tested with QEMU 7.2 and 10.0, not with this one ($version)"
    [ "$version" = 7.2 ] || [ "$version" = 10.0 ]
}

# machine_for PLATFORM: sets machine_options (an array), machine_cpu (for TCG), machine_append (what
# minihost is told) and machine_spare (see machine_smp). 1 for a platform that there is none for.
# shellcheck disable=SC2034 # the caller uses them
machine_for() {
    machine_append='' machine_spare=0
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
        machine_append=platform=vsm machine_spare=1
        ;;
    *) return 1 ;;
    esac
}

# machine_smp VPS: how many processors QEMU is to have: minihost on vsm leaves the first of several
# out (docs/minihost.md).
machine_smp() {
    echo $(($1 > 1 ? $1 + machine_spare : $1))
}
