#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# From the start of QEMU's process to the guest's userspace: through the whole stack, directly in
# QEMU, and (peer) under QEMU with KVM in VTL2's kernel. Median of three, taken in turn.
. "$(dirname "$0")/lib.sh"

rounds=${ROUNDS:-3}
full=() direct=() peer=()

timed() { # COMMAND...: seconds until "PT ready", in $took
    local start=$EPOCHREALTIME
    "$@"
    wait_console '^PT ready' || give_up start "no guest: $*"
    took=$(elapsed_since "$start")
    stop_qemu
}

for ((round = 0; round < rounds; round++)); do
    MEM=512M timed start_direct ask
    direct+=("$took")
    MEM=1G timed start_machine ask
    full+=("$took")
done
start_nest
for ((round = 0; round < rounds; round++)); do
    send 'qemu 2 none'
    wait_console '^PT qemu-starts' 20
    start=$EPOCHREALTIME
    wait_console '^PT ready' || give_up start 'no guest under the peer'
    peer+=("$(elapsed_since "$start")")
    wait_console '^PT end qemu' 60 && wait_console '^PT ask' 20
done
stop_qemu

# The peer's guest starts when its host has booted already: that boot belongs to its way, too.
NO_VIRTCONSOLE='' start=$EPOCHREALTIME
start_nest
nest_boot=$(elapsed_since "$start")
stop_qemu
full_s=$(median "${full[@]}") direct_s=$(median "${direct[@]}") peer_s=$(median "${peer[@]}")
row start-to-guest s "$full_s" "$direct_s" '<=1.5' 'whole stack; reference: same kernel and initramfs directly in QEMU TCG'
row start-to-guest-peer s "$full_s" "$(awk -v a="$peer_s" -v b="$nest_boot" 'BEGIN {print a + b}')" '<=1.0' \
    "reference: QEMU with KVM in the same nest, $peer_s s, after its kernel's boot, $nest_boot s"
