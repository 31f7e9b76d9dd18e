#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# TPM commands per second in the guest: Parapet's vTPM against swtpm behind QEMU's CRB. Once where
# Parapet runs, in the nest under KVM: there both have the same processor, and the first row, a
# command without arithmetic, compares the ways to the TPM. And once on the bare machine, with the
# guest in QEMU TCG: there swtpm computes without emulation, which no goal can ask of Parapet.
. "$(dirname "$0")/lib.sh"
# shellcheck disable=SC2034,SC2154 # what lib.sh sets; an array by its name

names=(tpm-transport tpm-extend tpm-ecc-sign tpm-quote tpm-rsa-sign)
each=${TPM_SECONDS:-3} # seconds
declare -A ours peer direct

take() { # ARRAY: the values of the console
    local -n into=$1
    local name
    for name in "${names[@]}"; do
        into[$name]=$(value_of "$name")
    done
}

# One processor that hosts no VP, here and in the nest: QEMU's first one goes wrong at times.
machine_spare=1
start_machine
guest_ready
TEST_SECONDS=300 guest_test bench-tpm "$each"
take ours
stop_qemu

PEER_SECONDS=200 peer_in_nest tpm-transport 2 "bench-tpm:$each" qemu-tpm
take peer
stop_qemu

start_swtpm
qemu_extra+=("${swtpm_options[@]}")
start_direct "bench-tpm:$each"
wait_console '^PT end bench-tpm' 200 || give_up tpm 'the guest on swtpm does not end its bench'
take direct
stop_qemu
stop_side

for name in "${names[@]}"; do
    goal='>=2.0'
    [ "$name" = tpm-transport ] || goal=-
    row "$name" 1/s "${ours[$name]}" "${peer[$name]}" "$goal" 'reference: swtpm and QEMU with KVM in the nest'
done
for name in "${names[@]}"; do
    row "$name-direct" 1/s "${ours[$name]}" "${direct[$name]}" - 'reference: swtpm on the bare machine, its guest in QEMU TCG'
done
