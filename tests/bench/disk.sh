#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Reads of the guest's disk: 4 KiB at random with 32 in flight, 128 KiB in sequence with 8, by the
# same program in three places: in the guest, in VTL2's kernel on the raw NVMe device, and in the
# guest under QEMU (KVM, virtio-blk, iothread, io_uring) in VTL2's kernel.
. "$(dirname "$0")/lib.sh"

seconds=${BENCH_SECONDS:-4}
random="rand:4096:32:$seconds" sequential="seq:131072:8:$seconds"

# Written once, so that no read is of a hole.
make_image() {
    yes 'parapet benchmark data' | dd of="$1" bs=1M count=256 iflag=fullblock status=none || true
}

make_image "$dir/nest.img"
start_nest
nest probe bench-read /dev/nvme0n1 ${random//:/ }
raw_random=$(value_of reads)
nest probe bench-read /dev/nvme0n1 ${sequential//:/ }
raw_sequential=$(value_of reads)
nest qemu 2 "bench-read:/dev/vda:$random"
peer_random=$(value_of reads)
nest qemu 2 "bench-read:/dev/vda:$sequential"
peer_sequential=$(value_of reads)
stop_qemu

make_image "$dir/disk0.img"
add_disk disk0 256M
start_machine
guest_ready
guest_test bench-read /dev/vda ${random//:/ }
random_reads=$(value_of reads)
guest_test bench-read /dev/vda ${sequential//:/ }
sequential_reads=$(value_of reads)
stop_qemu

row disk-4k-random reads/s "$random_reads" "$raw_random" '>=0.9' "reference: the raw NVMe device in VTL2's kernel"
row disk-4k-random-peer reads/s "$random_reads" "$peer_random" '>=1.5' "reference: QEMU's virtio-blk in the same nest"
row disk-128k-sequential reads/s "$sequential_reads" "$raw_sequential" '>=0.9' "reference: the raw NVMe device in VTL2's kernel"
row disk-128k-sequential-peer reads/s "$sequential_reads" "$peer_sequential" '>=1.5' "reference: QEMU's virtio-blk in the same nest"
