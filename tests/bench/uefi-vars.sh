#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A call of the variable service, from the VM worker's thread to the variable process and back, on
# this machine without a guest. Reference: a bare round trip of as many bytes between two processes.
. "$(dirname "$0")/lib.sh"

program=$dir/uefi_vars_latency
${CC:-gcc} -O2 -D_GNU_SOURCE -std=gnu17 -I"$top" -o "$program" "$top/tests/bench/uefi_vars_latency.c" \
    "$top/userspace/uefi_vars_client.c" "$top/userspace/uefi_vars_protocol.c" -lpthread ||
    give_up uefi-vars 'the client does not build'
timeout 120 "$program" "$top/build/vtl2/parapet" >"$dir/console.log" || give_up uefi-vars 'the variable process fails'
floor=$(value_of uefi-vars-floor)
row uefi-vars-get ns "$(value_of uefi-vars-get)" "$floor" - 'GetVariable of 1 KiB; reference: a socket round trip of as many bytes'
row uefi-vars-set ns "$(value_of uefi-vars-set)" "$floor" - 'SetVariable of 1 KiB, the store in memory'
