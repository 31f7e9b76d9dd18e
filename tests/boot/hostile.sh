#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A guest that writes garbage to everything it reaches. First with the parts that a guest survives:
# afterwards its devices must work again. Then with those that it does not: the paravisor must start
# it anew when it resets itself.
. "$(dirname "$0")/lib.sh"

add_disk disk0 64M
GUEST_KEYS='"on_crash": "restart", ' start_machine
guest_ready
for part in pci mmio memory ports; do
    TEST_SECONDS=300 guest_test hostile "$part"
    guest_test disk /dev/vda
    guest_test rng
done
guest_test tpm
guest_test smp 2
vtl2_is_well well-after-garbage
guest_start hostile chips
wait_console '^PT value hostile-chips-started' || give_up chips 'it does not start'
guest_ready after-chips
guest_test disk /dev/vda
guest_poweroff
lines=$(wc -l <"$dir/vtl2.log")
if [ "$lines" -lt 3000 ]; then
    result pass log-bounded "$lines lines in VTL2's log"
else
    result fail log-bounded "$lines lines in VTL2's log: what a guest triggers must be rate-limited"
fi
