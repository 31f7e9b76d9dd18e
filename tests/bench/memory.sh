#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# VTL2's memory at idle, with 1, 2 and 4 VPs: of the RAM that VTL2 was given, what is not available
# any more once the guest's userspace is up (the kernel's own image and page structs included), read
# in VTL2 itself. The reference is what VTL2 was given. The shell that reads it is inside the number.
. "$(dirname "$0")/lib.sh"

variant_image shell

# take NAME WHAT: the row of the machine that runs.
take() {
    local total available given
    shell_ready || give_up memory 'no shell in VTL2'
    sleep 3
    shell 'cat /proc/meminfo' || give_up memory "$shell_output"
    total=$(awk '$1 == "MemTotal:" {print $2}' <<<"$shell_output")
    available=$(awk '$1 == "MemAvailable:" {print $2}' <<<"$shell_output")
    given=$(grep -Eo 'memory: [0-9]+ MiB for VTL2' "$dir/vtl2.log" | awk '{print $2 * 1024}')
    shell 'ps -o pid,rss,args | grep exe' && result pass "processes-$1" "$shell_output"
    row "${row_prefix:-}vtl2-memory-$1" KiB $((given - available)) "$given" - \
        "$2in use of what VTL2 was given; $((given - total)) KiB of it the kernel's image and page structs"
}

for SMP in 1 2 4; do
    add_disk disk0 64M
    start_machine
    guest_ready
    take "$SMP-vps" ''
    guest_poweroff
    qemu_disks=() config_disks=()
done

# Trusted Launch: firmware, its variables' process, the guest state's vault. The firmware's menu is
# as far as the guest needs to come.
rm "$dir/host.json"
SMP=2 add_state
GUEST_BOOT=uefi
SMP=2 start_machine
wait_vtl2 'guest' 120
sleep 20
take 2-vps-uefi 'UEFI, guest state: '
stop_qemu
