#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Reads of the guest's disk, by the same program in three places: in the guest, in VTL2's kernel on
# the raw NVMe device, and in the guest under QEMU (KVM, virtio-blk, iothread, io_uring) in VTL2's
# kernel. The jobs: disk-jobs.sh.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk-jobs.sh"

peer_random=0 peer_sequential=0

joined() {
    local IFS=:
    echo "$*"
}

make_disks
start_nest
measure_raw
for _ in 1 2; do
    peer_in_nest reads 2 "bench-read:/dev/vda:$(joined "${random[@]}")"
    better peer_random "$peer_value"
    peer_in_nest reads 2 "bench-read:/dev/vda:$(joined "${sequential[@]}")"
    better peer_sequential "$peer_value"
done
stop_qemu
measure_guest

raw="reference: the raw NVMe device in VTL2's kernel"
peer="reference: QEMU's virtio-blk in the same nest"
row disk-4k-random reads/s "$guest_random" "$raw_random" '>=0.9' "$raw"
row disk-4k-random-peer reads/s "$guest_random" "$peer_random" '>=1.5' "$peer"
row disk-128k-sequential reads/s "$guest_sequential" "$raw_sequential" '>=0.9' "$raw"
row disk-128k-sequential-peer reads/s "$guest_sequential" "$peer_sequential" '>=1.5' "$peer"
