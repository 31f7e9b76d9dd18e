#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Reads of the guest's disk on vsm: in the guest, and in VTL2's kernel on the raw NVMe device, both
# under minihost playing Hyper-V. The jobs: disk-jobs.sh.
. "$(dirname "$0")/vsm.sh"
. "$(dirname "$0")/disk-jobs.sh"

make_disks
start_vsm_nest
measure_raw
stop_qemu
measure_guest

raw="reference: the raw NVMe device in VTL2's kernel, on vsm too"
row vsm-disk-4k-random reads/s "$guest_random" "$raw_random" '>=0.9' "$raw"
row vsm-disk-128k-sequential reads/s "$guest_sequential" "$raw_sequential" '>=0.9' "$raw"
