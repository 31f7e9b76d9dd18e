#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# TPM commands per second in the guest: Parapet's vTPM, and swtpm beside a QEMU whose guest has no
# paravisor. The peer's TPM runs on the bare machine, Parapet's inside the emulated one: the first
# row, a command without arithmetic, compares the ways there; the others what a user sees.
. "$(dirname "$0")/lib.sh"
# shellcheck disable=SC2034,SC2154 # what lib.sh sets; an array by its name

names=(tpm-transport tpm-extend tpm-ecc-sign tpm-quote tpm-rsa-sign)
each=${TPM_SECONDS:-3} # seconds
declare -A ours direct

take() { # ARRAY: the values of the console
    local -n into=$1
    local name
    for name in "${names[@]}"; do
        into[$name]=$(value_of "$name")
    done
}

start_machine
guest_ready
TEST_SECONDS=300 guest_test bench-tpm "$each"
take ours
stop_qemu

mkdir -p "$dir/swtpm"
swtpm socket --tpm2 --tpmstate "dir=$dir/swtpm" --ctrl "type=unixio,path=$dir/swtpm.sock" --terminate &
swtpm_pid=$!
for _ in {1..50}; do
    [ ! -S "$dir/swtpm.sock" ] || break
    sleep 0.1
done
qemu_extra+=(-chardev "socket,id=t,path=$dir/swtpm.sock" -tpmdev emulator,id=tpm0,chardev=t -device tpm-crb,tpmdev=tpm0)
start_direct "bench-tpm:$each"
wait_console '^PT end bench-tpm' 200 || give_up tpm 'the guest on swtpm does not end its bench'
take direct
stop_qemu
kill "$swtpm_pid" 2>/dev/null || true
wait "$swtpm_pid" || true

for name in "${names[@]}"; do
    goal='>=2.0'
    [ "$name" = tpm-transport ] || goal=-
    row "$name" 1/s "${ours[$name]}" "${direct[$name]}" "$goal" 'reference: swtpm on the bare machine, its guest in QEMU TCG'
done
