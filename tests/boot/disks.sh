#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# No disk, two disks of which one has 4 KiB sectors and one cannot be written.
# platforms: native vsm
. "$(dirname "$0")/lib.sh"

start_machine
guest_ready no-disk
guest_start disks
if wait_console '^PT disks' && [[ $line == 'PT disks none' ]]; then
    result pass no-disk-seen
else
    result fail no-disk-seen "$line"
fi
wait_console '^PT ask'
guest_poweroff no-disk-poweroff

rm -f "$dir/host.json"
add_disk big 64M logical_block_size=4096,physical_block_size=4096
truncate -s 32M "$dir/fixed.img"
printf 'keep this' | dd of="$dir/fixed.img" conv=notrunc status=none
before=$(sha256sum <"$dir/fixed.img")
add_disk fixed 32M '' "format=raw,readonly=on,file=$dir/fixed.img" '"read_only": true'
start_machine
guest_ready two-disks
guest_start disks
if wait_console '^PT disks' && [[ $line == 'PT disks vda=131072 vdb=65536' ]]; then
    result pass two-disks-seen "$line"
else
    result fail two-disks-seen "$line"
fi
wait_console '^PT ask'
guest_test disk /dev/vda 4096
guest_test disk-readonly /dev/vdb
guest_poweroff two-disks-poweroff
if [ "$before" = "$(sha256sum <"$dir/fixed.img")" ]; then
    result pass readonly-kept
else
    result fail readonly-kept 'the read-only disk was changed'
fi
