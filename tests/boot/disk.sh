#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# NVMe of VTL2 as the guest's virtio-blk: integrity inside, and against the image file outside.
# platforms: native vsm
. "$(dirname "$0")/lib.sh"

add_disk disk0 64M
printf 'written by the host' | dd of="$dir/disk0.img" bs=1 seek=$((20 * 1048576)) conv=notrunc status=none
start_machine
guest_ready
guest_test disks
guest_test disk /dev/vda 512
guest_test disk-pattern /dev/vda
guest_poweroff

# What the guest flushed stands in the file, at its place and nowhere else.
expected=$(seq 0 32767 | awk '{printf "parapet %-23d\n", $1}' | sha256sum)
found=$(dd if="$dir/disk0.img" bs=1M skip=16 count=1 status=none | sha256sum)
if [ "$expected" = "$found" ]; then
    result pass image-file '1 MiB at 16 MiB is what the guest wrote'
else
    result fail image-file 'the image file differs from what the guest wrote'
fi
zeroes=$(dd if="$dir/disk0.img" bs=1M skip=4 count=1 status=none | tr -d '\0' | wc -c)
if [ "$zeroes" = 0 ]; then
    result pass image-zeroes
else
    result fail image-zeroes "$zeroes bytes are not zero"
fi
