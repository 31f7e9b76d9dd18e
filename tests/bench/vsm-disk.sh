#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Reads of the guest's disk on vsm, as disk.sh does: in the guest, and in VTL2's kernel on the raw
# NVMe device, both under minihost playing Hyper-V. The best of two rounds each.
. "$(dirname "$0")/vsm.sh"

seconds=${BENCH_SECONDS:-4}
random=(rand 4096 32 "$seconds") sequential=(seq 131072 8 "$seconds")

# better NAME: keeps the larger of $NAME and the last result.
better() {
    local -n best=$1
    best=$(printf '%s\n' "$best" "$(value_of reads)" | sort -g | tail -n 1)
}
raw_random=0 raw_sequential=0 guest_random=0 guest_sequential=0

# Written once, so that no read is of a hole.
yes 'parapet benchmark data' | dd of="$dir/nest.img" bs=1M count=256 iflag=fullblock status=none || true
cp "$dir/nest.img" "$dir/disk0.img"

start_vsm_nest
for _ in 1 2; do
    nest probe bench-read /dev/nvme0n1 "${random[@]}"
    better raw_random
    nest probe bench-read /dev/nvme0n1 "${sequential[@]}"
    better raw_sequential
done
stop_qemu

add_disk disk0 256M
start_machine
guest_ready
for _ in 1 2; do
    guest_test bench-read /dev/vda "${random[@]}"
    better guest_random
    guest_test bench-read /dev/vda "${sequential[@]}"
    better guest_sequential
done
stop_qemu

raw="reference: the raw NVMe device in VTL2's kernel, on vsm too"
row vsm-disk-4k-random reads/s "$guest_random" "$raw_random" '>=0.9' "$raw"
row vsm-disk-128k-sequential reads/s "$guest_sequential" "$raw_sequential" '>=0.9' "$raw"
