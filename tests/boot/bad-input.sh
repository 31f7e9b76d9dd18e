#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What the host may get wrong: too little memory, a configuration that is not JSON, that names what
# does not exist, that is too large. Each time a sentence that tells what to change.
# platforms: native vsm
. "$(dirname "$0")/lib.sh"

# expect NAME REGEX: a line of VTL2's log matches, and the machine ends.
expect() {
    if wait_vtl2 "$2" 90; then
        result pass "$1" "$(grep -Em 1 "$2" "$dir/vtl2.log" | cut -c1-110)"
    else
        result fail "$1" "no line matches '$2'; last: $(tail -n 1 "$dir/vtl2.log" | cut -c1-100)"
    fi
    wait_exit 30 || result fail "$1-ends" 'QEMU still runs'
    stop_qemu
}

MEM=80M start_machine
expect memory-80M 'STOP:.*memory'
MEM=128M start_machine
expect memory-128M 'STOP:.*memory'
MEM=200M start_machine
expect memory-200M 'STOP:.*memory'

printf '{"disks": [' >"$dir/host.json"
start_machine
expect json-broken 'ERROR: config: host-config:1:'
printf '{"no_such_key": 1}' >"$dir/host.json"
start_machine
expect json-unknown-key 'no_such_key'
printf '{"disks": "many"}' >"$dir/host.json"
start_machine
expect json-wrong-type 'disks.*array'
printf '{"disks": [{"nvme_serial": "nobody"}]}' >"$dir/host.json"
start_machine
expect disk-missing 'nobody'
head -c 40000 /dev/zero | tr '\0' ' ' >"$dir/host.json"
start_machine
expect json-too-large 'larger than'
