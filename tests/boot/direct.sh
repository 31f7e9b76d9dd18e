#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The reference: the guest's checks on plain QEMU without a paravisor. When these fail, the checks
# (or the machine that runs them) are wrong, not Parapet.
. "$(dirname "$0")/lib.sh"

direct_disks=(disk0)
MEM=512M start_direct ask
guest_ready
guest_test smp 2
guest_test memory 400
guest_test pci 3
guest_test acpi
guest_test rtc
guest_test pmtimer
guest_test rng
guest_test serial
guest_test disk /dev/vda 512
guest_start echo
wait_console '^PT echo-waiting' 20
send 'console input 123'
if wait_console '^PT echoed' 20 && [[ $line == *'[console input 123]'* ]]; then
    result pass echo
else
    result fail echo "$line"
fi
wait_console '^PT ask' 20
guest_start button 60
if wait_console '^PT value button-waiting' 20 && qmp '{"execute":"system_powerdown"}' &&
    wait_console '^PT (pass|fail) power-button' 60 && [[ $line == *pass* ]]; then
    result pass button
else
    result fail button "$line"
fi
wait_console '^PT ask' 20
guest_poweroff
