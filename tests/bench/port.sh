#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# One emulated port access of the guest, against a loop of KVM_RUN that does nothing else. TSC ticks:
# the guest's clock and the nest's need not agree about nanoseconds.
. "$(dirname "$0")/lib.sh"

start_nest
nest floor 20000
floor=$(value_of kvm-exit-floor)
stop_qemu
bare_machine bench
wait_console '^PT (value port-access|fail)' || give_up port 'the guest says nothing'
access=$(value_of port-access)
stop_qemu
row port-access ticks "$access" "$floor" '<=1.15' 'one IN from COM1 in ring 0; reference: bare KVM_RUN loop in the same nest'
