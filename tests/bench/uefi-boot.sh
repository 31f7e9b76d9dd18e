#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The Debian disk under UEFI firmware with Secure Boot: from the start of QEMU's process to
# ReadyToBoot (the boot manager's line) and to the user's prompt, through the whole stack and (peer)
# the same firmware, variables and disk in QEMU TCG, with QEMU's own variable device, disk and swtpm.
# All have their boot entry already. In processor time of QEMU's process too, which a busy machine
# disturbs less.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/../boot/uefi.sh"
. "$(dirname "$0")/../boot/qemu10.sh"

rounds=${ROUNDS:-2}
declare -A ready=() login=() login_cpu=()

# start_peer: our firmware on QEMU's devices.
start_peer() {
    take_qemu10 || cannot_run "$why"
    start_swtpm
    machine_options=(-M pc)
    # It resets a machine whose TPM has other banks than the firmware wants.
    REBOOT=-no-user-config NO_VIRTCONSOLE=1 SERIAL=chardev:guest CPU=max start_qemu -bios "$top/build/firmware/parapet.fd" \
        -device "uefi-vars-x64,jsonfile=$dir/variables.json" \
        -drive "if=none,id=disk0,format=raw,snapshot=on,file=$disk_image" \
        -device virtio-blk-pci,drive=disk0,disable-legacy=on -device virtio-rng-pci,disable-legacy=on \
        "${swtpm_options[@]}"
}

# timed parapet|peer: seconds in $ready_s and $login_s, processor time in $cpu
timed() {
    local start=$EPOCHREALTIME
    if [ "$1" = peer ]; then
        start_peer
    else
        machine_for native
        start_uefi
    fi
    wait_output 'BdsDxe: (loading|starting) Boot' "$LOGIN_SECONDS" || give_up uefi "$1: no boot manager"
    ready_s=$(elapsed_since "$start")
    wait_prompt 'root@parapet:~# ' "$LOGIN_SECONDS" || give_up uefi "$1: no prompt"
    login_s=$(elapsed_since "$start")
    cpu=$(awk -v hz="$(getconf CLK_TCK)" '{print ($14 + $15) / hz}' "/proc/$qemu_pid/stat")
    stop_qemu
    stop_side
}

debian_disk
add_state
timed parapet
"$top/build/host/vmgstool" uefi-vars export "$dir/state.img" -o "$dir/variables.json" ||
    give_up uefi 'the variables cannot be exported'
timed peer
for ((round = 0; round < rounds; round++)); do
    for machine in peer parapet; do
        timed "$machine"
        ready[$machine]+=" $ready_s" login[$machine]+=" $login_s" login_cpu[$machine]+=" $cpu"
    done
done
# shellcheck disable=SC2086 # lists
{
    row uefi-ready-to-boot s "$(smallest ${ready[parapet]})" "$(smallest ${ready[peer]})" - \
        'power-on to ReadyToBoot; reference: the same firmware, variables and disk in QEMU TCG with swtpm'
    row uefi-login s "$(smallest ${login[parapet]})" "$(smallest ${login[peer]})" - \
        'power-on to the prompt of Debian; reference: the same'
    row uefi-login-cpu s "$(smallest ${login_cpu[parapet]})" "$(smallest ${login_cpu[peer]})" - \
        'the same in processor time of QEMU'
}
