#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A guest whose root writes garbage to configuration space, BARs and memory that is not there, with
# Debian's kernel under it: afterwards its devices must work again. Ports, MSRs, hypercalls and
# interrupt controllers: bare.sh.
# platforms: native vsm
. "$(dirname "$0")/lib.sh"

add_disk disk0 64M
start_machine
guest_ready
for part in pci mmio memory; do
    TEST_SECONDS=300 guest_test hostile "$part"
    guest_test disk /dev/vda
    guest_test rng
done
guest_test tpm
guest_test smp 2
guest_test rtc
guest_poweroff
lines=$(wc -l <"$dir/vtl2.log")
if [ "$lines" -lt 3000 ]; then
    result pass log-bounded "$lines lines in VTL2's log"
else
    result fail log-bounded "$lines lines in VTL2's log: what a guest triggers must be rate-limited"
fi
