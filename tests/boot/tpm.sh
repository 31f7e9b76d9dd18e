#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The vTPM: commands, garbage, and what a restart of the guest resets (PCRs) and keeps (seeds).
# platforms: native vsm
. "$(dirname "$0")/lib.sh"

# The identity of the storage primary key, which follows from the owner seed.
last_primary() {
    grep '^PT primary' "$dir/console.log" | tail -n 1 || true
}

start_machine
guest_ready
guest_test tpm
first=$(last_primary)
guest_test tpm-garbage 300
guest_test tpm
guest_test tpm-extend
guest_start reboot
guest_ready after-reboot
guest_test tpm-fresh
guest_test tpm
second=$(last_primary)
if [ -n "$first" ] && [ "$first" = "$second" ]; then
    result pass same-seed "${first#PT primary }"
else
    result fail same-seed "first boot '$first', second '$second'"
fi
guest_poweroff
