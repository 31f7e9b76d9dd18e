#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The whole stack with two VPs: every device of the guest's machine found by Debian's own drivers
# and working, the console both ways, and a clean end.
# platforms: native vsm
. "$(dirname "$0")/lib.sh"

add_disk disk0 64M
start_machine
guest_ready
guest_test smp 2
guest_test pci 3
guest_test acpi TPM2
guest_test rtc
guest_test pmtimer
guest_test rng
guest_test serial
guest_test memory 400 strict

guest_start echo
wait_console '^PT echo-waiting' || give_up echo 'the guest does not wait for input'
send 'console input 123 with spaces'
if wait_console '^PT echoed' && [[ $line == *'[console input 123 with spaces]'* ]]; then
    result pass echo
else
    result fail echo "$line"
fi
wait_console '^PT ask'

# 500 numbered lines in one go: none lost, none twice, in order.
guest_start output 500
next=0
while wait_console '^PT (line|end)' && [[ $line == 'PT line '* ]]; do
    [[ $line == "PT line $next abcdefghijklmnopqrstuvwxyz0123456789" ]] || break
    next=$((next + 1))
done
if [ "$next" = 500 ]; then
    result pass output '500 lines in order'
else
    result fail output "after $next good lines: $line"
fi
wait_console '^PT ask'

guest_poweroff
