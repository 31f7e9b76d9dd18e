#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# One and four virtual processors (two: machine.sh).
# platforms: native vsm
. "$(dirname "$0")/lib.sh"

add_disk disk0 64M
for SMP in 1 4; do
    start_machine
    guest_ready "$SMP-vp-boots"
    guest_test smp "$SMP"
    guest_test pci 3
    guest_test disk /dev/vda
    guest_poweroff "$SMP-vp-poweroff"
done
