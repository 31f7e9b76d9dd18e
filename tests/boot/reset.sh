#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The guest restarts itself: by its kernel's choice, and by a panic; each time the paravisor starts
# it again, with its devices as after power-on. The host's machine is not reset meanwhile.
# platforms: native vsm
. "$(dirname "$0")/lib.sh"

add_disk disk0 64M
GUEST_APPEND='panic=-1' start_machine
guest_ready
guest_test pci 3
guest_start reboot
wait_console '^PT rebooting' || give_up reboot 'the guest does not reboot'
guest_ready after-reboot
guest_test pci 3
guest_test disk /dev/vda
guest_start panic
wait_console '^PT panicking' || give_up panic 'the guest does not panic'
guest_ready after-panic
guest_test smp 2
guest_test disk /dev/vda
if [ "$(grep -c 'Parapet boot shim' "$dir/vtl2.log")" = 1 ]; then
    result pass host-kept 'VTL2 was started once'
else
    result fail host-kept "the shim ran $(grep -c 'Parapet boot shim' "$dir/vtl2.log") times"
fi
guest_poweroff
