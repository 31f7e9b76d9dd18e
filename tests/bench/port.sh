#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# One emulated port access and one MMIO access of the guest, against a loop of KVM_RUN that does
# nothing else, in TSC ticks. Once in time, which a busy machine disturbs (the best of three, taken in turn), and once in
# instructions (QEMU's -icount makes the TSC count them), which is repeatable and is what a change is
# judged by.
. "$(dirname "$0")/lib.sh"

# measure: $floor, $access, $mmio_floor and $mmio of the machine as ACCEL and qemu_extra have it.
measure() {
    SMP=1 start_nest
    nest floor 20000
    floor=$(value_of kvm-exit-floor) mmio_floor=$(value_of kvm-mmio-floor)
    stop_qemu
    SMP=1 start_bare bench
    wait_console '^PT (value mmio-access|fail)' 300 || give_up port 'the guest says nothing'
    access=$(value_of port-access) mmio=$(value_of mmio-access)
    stop_qemu
}

floors=() accesses=() mmio_floors=() mmios=()
for _ in 1 2 3; do
    measure
    floors+=("$floor")
    accesses+=("$access")
    mmio_floors+=("$mmio_floor") mmios+=("$mmio")
done
row port-access ticks "$(smallest "${accesses[@]}")" "$(smallest "${floors[@]}")" '<=1.15' \
    'one IN from COM1 in ring 0; reference: bare KVM_RUN loop in the same nest'
row mmio-access ticks "$(smallest "${mmios[@]}")" "$(smallest "${mmio_floors[@]}")" '<=1.15' \
    'one MOV from a virtio register; reference: bare KVM_RUN loop in the same nest'
qemu_extra+=(-icount 'shift=0,sleep=off')
ACCEL=tcg measure
row port-access-instructions ticks "$access" "$floor" '<=1.15' 'the same, counted in instructions (-icount)'
row mmio-access-instructions ticks "$mmio" "$mmio_floor" '<=1.15' 'the same, counted in instructions (-icount)'
