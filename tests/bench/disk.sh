#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Reads of the guest's disk: 4 KiB at random with 32 in flight, 128 KiB in sequence with 8, by the
# same program in three places: in the guest, in VTL2's kernel on the raw NVMe device, and in the
# guest under QEMU (KVM, virtio-blk, iothread, io_uring) in VTL2's kernel. The best of two rounds
# each, for the other users of the machine.
. "$(dirname "$0")/lib.sh"

seconds=${BENCH_SECONDS:-4}
random=(rand 4096 32 "$seconds") sequential=(seq 131072 8 "$seconds")

joined() {
    local IFS=:
    echo "$*"
}

# better NAME [VALUE]: keeps the larger of $NAME and the last result.
better() {
    local -n best=$1
    best=$(printf '%s\n' "$best" "${2:-$(value_of reads)}" | sort -g | tail -n 1)
}
raw_random=0 raw_sequential=0 peer_random=0 peer_sequential=0 guest_random=0 guest_sequential=0

# Written once, so that no read is of a hole.
yes 'parapet benchmark data' | dd of="$dir/nest.img" bs=1M count=256 iflag=fullblock status=none || true
cp "$dir/nest.img" "$dir/disk0.img"

start_nest
for _ in 1 2; do
    nest probe bench-read /dev/nvme0n1 "${random[@]}"
    better raw_random
    nest probe bench-read /dev/nvme0n1 "${sequential[@]}"
    better raw_sequential
done
for _ in 1 2; do
    peer_in_nest reads 2 "bench-read:/dev/vda:$(joined "${random[@]}")"
    better peer_random "$peer_value"
    peer_in_nest reads 2 "bench-read:/dev/vda:$(joined "${sequential[@]}")"
    better peer_sequential "$peer_value"
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

raw="reference: the raw NVMe device in VTL2's kernel"
peer="reference: QEMU's virtio-blk in the same nest"
row disk-4k-random reads/s "$guest_random" "$raw_random" '>=0.9' "$raw"
row disk-4k-random-peer reads/s "$guest_random" "$peer_random" '>=1.5' "$peer"
row disk-128k-sequential reads/s "$guest_sequential" "$raw_sequential" '>=0.9' "$raw"
row disk-128k-sequential-peer reads/s "$guest_sequential" "$peer_sequential" '>=1.5' "$peer"
