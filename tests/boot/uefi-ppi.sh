#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Physical presence: the guest asks for its TPM to be cleared; the firmware asks at the next start who
# is at the console. ESC refuses, F12 clears: the owner's seed is another one then, and the guest is
# told what came of its request.
# platforms: native vsm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/uki.sh"

root=$dir/initrd
make_root "$root"
tests/guest/build-probe.sh "$root/bin/probe"
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
. /begin
ppi=/sys/class/tpm/tpm0/ppi
probe tpm | grep '^PT primary'
echo "PT response $(cat $ppi/response)"
echo 'PT ask'
read -r what
[ "$what" = clear ] || poweroff -f
echo 5 >$ppi/request
reboot -f
INIT
start_uki "$root"

# look NAME: the TPM's owner in $primary, the last request's end in $response.
look() {
    step_start=$EPOCHREALTIME
    wait_console '^PT primary ' || give_up "$1" 'the guest does not come up'
    primary=${line#PT primary }
    wait_console '^PT response ' 30 || give_up "$1" 'no response'
    response=${line#PT response }
    wait_console '^PT ask' 30 || give_up "$1" 'the guest does not ask'
}

# ask KEYS: the guest wants its TPM cleared; who is at the console presses these.
ask() {
    send clear
    wait_console 'F12' || give_up asked 'the firmware does not ask'
    sleep 1 # the prompt has more lines
    printf '%b' "$1" >&"$console_in"
}

look first
first=$primary
ask '\033'
look refused
if [ "$primary" = "$first" ] && [[ $response == *'User Abort'* ]]; then
    result pass refused "$response"
else
    result fail refused "owner '$first', now '$primary'; response '$response'"
fi
ask '\033@'
look cleared
if [ -n "$primary" ] && [ "$primary" != "$first" ] && [[ $response == *Success* ]]; then
    result pass cleared "$response"
else
    result fail cleared "owner '$first', now '$primary'; response '$response'"
fi
send off
if wait_exit "$TIMEOUT" && [ "$qemu_status" = 0 ]; then
    result pass power-off
else
    give_up power-off "QEMU did not end by itself (status ${qemu_status:-none})"
fi
vtl2_is_well
