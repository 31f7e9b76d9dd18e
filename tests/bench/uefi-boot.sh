#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The Debian disk under UEFI firmware with Secure Boot: from the start of QEMU's process to
# ReadyToBoot (the boot manager's line) and to the user's prompt, through the whole stack and (peer)
# the same disk in QEMU with Debian's OVMF, which measures nothing. Both have their boot entry
# already. In processor time of QEMU's process too, which a busy machine disturbs less.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/../boot/uefi.sh"

rounds=${ROUNDS:-2}
declare -A ready=() login=() login_cpu=()

# timed FIRMWARE: seconds in $ready_s and $login_s, processor time in $cpu
timed() {
    local start=$EPOCHREALTIME
    FIRMWARE=$1
    machine_for native
    start_uefi
    wait_output 'BdsDxe: (loading|starting) Boot' "$LOGIN_SECONDS" || give_up uefi "$1: no boot manager"
    ready_s=$(elapsed_since "$start")
    wait_prompt 'root@parapet:~# ' "$LOGIN_SECONDS" || give_up uefi "$1: no prompt"
    login_s=$(elapsed_since "$start")
    cpu=$(awk -v hz="$(getconf CLK_TCK)" '{print ($14 + $15) / hz}' "/proc/$qemu_pid/stat")
    stop_qemu
}

debian_disk
add_state
timed ovmf
timed parapet
for ((round = 0; round < rounds; round++)); do
    for firmware in ovmf parapet; do
        timed "$firmware"
        ready[$firmware]+=" $ready_s" login[$firmware]+=" $login_s" login_cpu[$firmware]+=" $cpu"
    done
done
# shellcheck disable=SC2086 # lists
{
    row uefi-ready-to-boot s "$(smallest ${ready[parapet]})" "$(smallest ${ready[ovmf]})" - \
        "power-on to ReadyToBoot; reference: QEMU TCG with Debian's OVMF (SMM, no TPM)"
    row uefi-login s "$(smallest ${login[parapet]})" "$(smallest ${login[ovmf]})" - \
        'power-on to the prompt of Debian; reference: the same'
    row uefi-login-cpu s "$(smallest ${login_cpu[parapet]})" "$(smallest ${login_cpu[ovmf]})" - \
        'the same in processor time of QEMU'
}
