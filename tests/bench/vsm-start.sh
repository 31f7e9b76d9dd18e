#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# From the start of QEMU's process to the guest's userspace on vsm, and directly in QEMU; median of
# three, taken in turn; the same in processor time of QEMU's process, which a busy machine disturbs
# less (best of the three). At last a boot that ends with power-off: minihost then says how many VTL
# switches it took, and how many exits.
. "$(dirname "$0")/vsm.sh"

rounds=${ROUNDS:-3}
full=() direct=() full_cpu=() direct_cpu=()

timed() { # COMMAND...: seconds until "PT ready", in $took, and of processor time, in $cpu
    local start=$EPOCHREALTIME
    "$@"
    wait_console '^PT ready' || give_up vsm-start "no guest: $*"
    took=$(elapsed_since "$start")
    cpu=$(awk -v hz="$(getconf CLK_TCK)" '{print ($14 + $15) / hz}' "/proc/$qemu_pid/stat")
    stop_qemu
}

for ((round = 0; round < rounds; round++)); do
    machine_for native
    MEM=512M timed start_direct ask
    direct+=("$took") direct_cpu+=("$cpu")
    machine_for vsm
    MEM=1G timed start_machine ask
    full+=("$took") full_cpu+=("$cpu")
done
row vsm-start-to-guest s "$(median "${full[@]}")" "$(median "${direct[@]}")" '<=2.0' \
    'whole stack under minihost playing Hyper-V; reference: same kernel and initramfs directly in QEMU TCG'
row vsm-start-to-guest-cpu s "$(smallest "${full_cpu[@]}")" "$(smallest "${direct_cpu[@]}")" - \
    'the same in processor time of QEMU'

# counted VPS: boots and powers off; numbers of minihost's line in $switches, $vtl0 and $vtl2.
counted() {
    SMP=$1 start_machine
    guest_ready
    guest_poweroff
    local line
    line=$(grep -Eo '[0-9]+ VTL switches; exits: VTL0 [0-9]+, VTL2 [0-9]+' "$dir/vtl2.log") ||
        give_up vsm-start 'minihost prints no statistics'
    read -r switches _ _ _ _ vtl0 _ vtl2 <<<"${line//,/}"
}
for vps in 1 2 4; do
    counted "$vps"
    row "vsm-boot-switches-$vps-vps" switches "$switches" - - \
        "VTL switches from power-on to power-off of the guest; exits: VTL0 $vtl0, VTL2 $vtl2"
done
