#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A disk whose sector 65536 cannot be read, and a disk that disappears while the guest reads it: the
# guest gets errors, its other disk works, the paravisor lives.
# platforms: native vsm
. "$(dirname "$0")/lib.sh"

truncate -s 64M "$dir/bad.img"
add_disk good 64M
add_disk bad 64M '' "driver=blkdebug,image.driver=raw,image.file.driver=file,image.file.filename=$dir/bad.img,inject-error.0.event=none,inject-error.0.iotype=read,inject-error.0.sector=65536,inject-error.0.errno=5,inject-error.0.once=off"
add_disk gone 64M
start_machine
guest_ready
guest_test disk-errors /dev/vdb $((65536 * 512))
guest_test disk /dev/vda

guest_start disk-busy /dev/vdc 60
wait_console '^PT value disk-busy-started' || give_up gone 'the job does not start'
read_console || true
qmp '{"execute":"human-monitor-command","arguments":{"command-line":"drive_del gone"}}' ||
    result fail gone-removed "QMP: $qmp_answer"
if wait_console '^PT (pass|fail) disk-gone' && [[ $line == *pass* ]]; then
    result pass gone "${line#PT pass disk-gone }"
else
    result fail gone "$line"
fi
wait_console '^PT ask'
guest_test disk /dev/vda
guest_poweroff
