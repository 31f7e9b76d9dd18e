#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The guest state disk: a TPM that lasts over power cycles of the machine, the wrong key, a damaged
# disk. What is refused is left as it is, and the guest runs on without a TPM.
# platforms: native vsm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/variant.sh"

STATE=$dir/state.img
KEY=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
OTHER=${KEY/0011/0012}
VMGSTOOL=$top/build/host/vmgstool
truncate -s 4M "$STATE"
qemu_disks+=(-drive "if=none,id=state,format=raw,file=$STATE" -device nvme,drive=state,serial=state)

# boot KEY: a machine whose guest state has this key ("": none).
boot() {
    local key=${1:+, \"key\": \"$1\"}
    cat >"$dir/host.json" <<JSON
{
  "guest": {"command_line_append": "parapet.test=ask"},
  "guest_state": {"nvme_serial": "state"$key}
}
JSON
    start_machine
}

last_ek() {
    grep '^PT ek' "$dir/console.log" | tail -n 1 || true
}

# bytes HEX: as bytes.
bytes() {
    printf '%b' "$(sed 's/../\\x&/g' <<<"$1")"
}

# extended TEXT...: the SHA-256 PCR after these events, in hexadecimal digits.
extended() {
    local text value
    printf -v value '%064d' 0
    for text in "$@"; do
        value=$({ bytes "$value"; printf '%s' "$text" | sha256sum | cut -c1-64 | { read -r hex; bytes "$hex"; }; } |
            sha256sum | cut -c1-64)
    done
    echo "$value"
}

# measured NAME PCR TEXT...: the guest has found that PCR as the texts make it.
measured() {
    local name=$1 pcr=$2 found
    shift 2
    found=$(sed -n "s/^PT pcr$pcr //p" "$dir/console.log" | tail -n 1)
    if [ "$found" = "$(extended "$@")" ]; then
        result pass "measured-$name"
    else
        result fail "measured-$name" "PCR $pcr is $found, expected $(extended "$@")"
    fi
}

digest_of() {
    sha384sum "$1" | cut -c1-96
}

boot "$KEY"
guest_ready
guest_test tpm
guest_test tpm-state write
first=$(last_ek)
measured kernel 4 "kernel sha384 $(digest_of build/guest/vmlinuz)"
measured command-line-initrd 9 'command line console=hvc0 quiet parapet.test=ask' \
    "initrd sha384 $(digest_of build/guest.cpio)"
# A restart of the guest is a TPM reset, not another TPM.
guest_start reboot
guest_ready after-reboot
guest_test tpm-state check
guest_poweroff

boot "$KEY"
guest_ready second-power-on
guest_test tpm-state check
second=$(last_ek)
if [ -n "$first" ] && [ "$first" = "$second" ]; then
    result pass same-ek "${first#PT ek }"
else
    result fail same-ek "first power-on '$first', second '$second'"
fi
guest_poweroff poweroff-again

bytes "$KEY" >"$dir/key"
if "$VMGSTOOL" check "$STATE" --key "$dir/key" >"$dir/check.log" 2>&1 &&
    ! grep -q "$KEY" "$dir"/vtl2.log; then
    result pass state-is-sound
else
    result fail state-is-sound "$(tail -n 1 "$dir/check.log")"
fi

# refused NAME KEY REGEX: the log says why, there is no TPM, the guest runs, the disk is untouched.
refused() {
    cp "$STATE" "$dir/before.img"
    boot "$2"
    guest_ready "$1-boots"
    if wait_vtl2 "$3" 30; then
        result pass "$1-told"
    else
        result fail "$1-told" "$(grep -m 1 vault "$dir/vtl2.log" | cut -c1-150)"
    fi
    guest_poweroff "$1-poweroff"
    if cmp -s "$STATE" "$dir/before.img"; then
        result pass "$1-untouched"
    else
        result fail "$1-untouched" 'the disk has changed'
    fi
}
refused wrong-key "$OTHER" 'vault: the guest state is refused.*the key is wrong'
[ "$PLATFORM" = native ] || exit 0 # what follows is the same process on the same disk
cp "$STATE" "$dir/good.img"
dd if=/dev/urandom of="$STATE" bs=4096 count=2 conv=notrunc status=none
refused damaged "$KEY" 'vault: the guest state is refused.*damaged, or none of ours'
mv "$dir/good.img" "$STATE"

# The vault dies: the TPM with it, and both are there again after the guest's next restart.
variant_image shell
boot "$KEY"
guest_ready vault-guest
shell_ready || give_up shell 'no shell in VTL2'
shell 'kill -KILL "$(ps | sed -n "s/^ *\([0-9]*\) .*[v]ault.*--.*/\1/p" | head -n 1)"' || true
if wait_vtl2 'worker vtpm ends with the vault' 30; then
    result pass vault-dies
else
    result fail vault-dies 'the vTPM goes on without its vault'
fi
guest_start reboot
guest_ready vault-after-reboot
guest_test tpm-state check
if [ "$(last_ek)" = "$first" ]; then
    result pass vault-same-ek
else
    result fail vault-same-ek "$(last_ek) is not $first"
fi
guest_start poweroff
wait_exit "$TIMEOUT" || give_up vault-poweroff 'QEMU did not end by itself'
