#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# One emulated port access and one MMIO access of a guest on vsm, against a loop of VTL switches that
# does nothing else, in TSC ticks: as port.sh does, in time and in instructions. The instructions
# are everybody's: minihost's, VTL2's Linux's and the VMM's.
. "$(dirname "$0")/vsm.sh"

# measure: $floor_port, $floor_mmio, $port and $mmio of the machine as ACCEL and qemu_extra have it.
measure() {
    SMP=1 start_vsm_nest
    nest vsm-floor "${COUNT:-20000}"
    floor_port=$(value_of vsm-port-floor) floor_mmio=$(value_of vsm-mmio-floor)
    stop_qemu
    SMP=1 start_bare bench
    wait_console '^PT (value mmio-access|fail|done)' 300 || give_up vsm-exit 'the guest says nothing'
    port=$(value_of port-access) mmio=$(value_of mmio-access)
    stop_qemu
}

floors_port=() floors_mmio=() ports=() mmios=()
for _ in 1 2 3; do
    measure
    floors_port+=("$floor_port") floors_mmio+=("$floor_mmio") ports+=("$port") mmios+=("$mmio")
done
floor="reference: bare VTL switch loop, both ways, in VTL2's kernel"
row vsm-port-access ticks "$(smallest "${ports[@]}")" "$(smallest "${floors_port[@]}")" - \
    "one IN from COM1 in ring 0; $floor"
row vsm-mmio-access ticks "$(smallest "${mmios[@]}")" "$(smallest "${floors_mmio[@]}")" - \
    "one MOV from a virtio register, decoded and emulated; $floor"
qemu_extra+=(-icount 'shift=0,sleep=off')
ACCEL=tcg measure
row vsm-port-access-instructions ticks "$port" "$floor_port" - 'the same, counted in instructions (-icount)'
row vsm-mmio-access-instructions ticks "$mmio" "$floor_mmio" - 'the same, counted in instructions (-icount)'
