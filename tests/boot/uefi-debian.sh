#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A stock Debian boots with Secure Boot enforced and measured: shim, signed GRUB, signed kernel,
# systemd. What it says about its firmware is right, its tools work with the vTPM, and the firmware's
# event log, replayed, gives PCRs 0 to 7 of both banks. It restarts, again and again, and powers off.
# alone: Debian, with two VPs
# platforms: native vsm
# UEFI_STARTS=10 for ten starts; two by default, for time.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/uefi.sh"

# event_log_says NAME: tpm2_eventlog adds up the log; the kernel reads the PCRs.
# shellcheck disable=SC2016 # the guest's shell
event_log_says() {
    guest_do 'tpm2_eventlog /sys/kernel/security/tpm0/binary_bios_measurements >/tmp/log && sed -n "/^pcrs:/,\$p" /tmp/log >/tmp/sums' || {
        result fail "$1" "tpm2_eventlog: ${guest_output: -200}"
        return
    }
    guest_do 'for bank in sha256 sha384; do for pcr in 0 1 2 3 4 5 6 7; do
sum=$(awk -v b=$bank: -v p=$pcr "\$1 ~ /^sha/ { on = \$1 == b } on && \$1 == p { print \$NF }" /tmp/sums)
[ "$sum" = "0x$(tr A-F a-f </sys/class/tpm/tpm0/pcr-$bank/$pcr)" ] && echo same || echo "$bank:$pcr differs: log ${sum:-none}"
done; done | sort | uniq -c | tr -s " "' || true
    if [ "$guest_output" = ' 16 same' ]; then
        guest_do 'grep -c EventType: /tmp/log' || true
        result pass "$1" "$guest_output events"
    else
        result fail "$1" "${guest_output:0:300}"
    fi
}

secure_says() { # SUFFIX: what holds at every start
    guest_says "secure-boot$1" '^SecureBoot enabled' 'mokutil --sb-state'
    guest_says "lockdown$1" '\[(integrity|confidentiality)\]' 'cat /sys/kernel/security/lockdown'
    guest_says "boot-entry$1" 'Boot[0-9A-F]{4}\* debian' efibootmgr
    [ "$FIRMWARE" = parapet ] || return 0
    event_log_says "event-log$1"
}

pcr_4_and_7() {
    guest_do 'cat /sys/class/tpm/tpm0/pcr-sha256/[47] | tr "\n" " "' || true
    printf '%s\n' "$guest_output"
}

debian_disk
add_state
start_uefi
guest_login
secure_says ''
guest_says bootctl 'Secure Boot: enabled \((user|deployed)\)' 'bootctl --no-pager status'
guest_says bootctl-entry 'EFI/debian/shimx64.efi' 'bootctl --no-pager status'
pcrs=''
if [ "$FIRMWARE" = parapet ]; then
    guest_says pcrread '7 *: 0x[0-9A-F]{96}' 'tpm2_pcrread sha256:0,4,7+sha384:0,4,7'
    guest_says quote 'quoted:' 'cd /tmp && tpm2_createek -Q -c ek -G ecc -u ek.pub &&
tpm2_createak -Q -C ek -c ak -G ecc -g sha256 -s ecdsa -u ak.pub && tpm2_quote -c ak -l sha256:0,7 -q c0ffee'
    pcrs=$(pcr_4_and_7)
fi
for ((start = 2; start <= ${UEFI_STARTS:-2}; start++)); do
    guest_do 'systemctl reboot' || true
    guest_login "login-$start"
    secure_says "-$start"
done
if [ -n "$pcrs" ]; then
    now=$(pcr_4_and_7)
    if [[ $now =~ ^[0-9A-F]{64}\ [0-9A-F]{64}\ *$ && $pcrs = "$now" ]]; then
        result pass same-pcrs "PCR 4 ${now:0:16}..."
    else
        result fail same-pcrs "first '$pcrs', then '$now'"
    fi
fi
guest_says one-entry '^1$' 'efibootmgr | grep -c "\* debian"'
guest_ends poweroff 'systemctl poweroff'
[ "$FIRMWARE" != parapet ] || vtl2_is_well
