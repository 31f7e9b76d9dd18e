#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A LUKS volume whose key the TPM keeps for PCR 7: it opens by itself on the next start, in another
# run of the machine with the same state, and does not with Secure Boot off.
# alone: Debian, with two VPs
# platforms: native vsm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/uefi.sh"

debian_copy
add_disk disk1 32M
add_state
start_uefi
guest_login
guest_says enrolled 'New TPM2 token enrolled' 'printf secret >/run/key
cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /dev/vdb /run/key &&
PASSWORD=secret systemd-cryptenroll --tpm2-device=auto --tpm2-pcrs=7 /dev/vdb &&
cryptsetup open -d /run/key /dev/vdb new && echo what-was-sealed | dd of=/dev/mapper/new conv=fsync,sync status=none &&
cryptsetup close new'
guest_do 'echo "sealed /dev/vdb none tpm2-device=auto,headless=1,nofail" >/etc/crypttab; sync'
guest_ends off 'systemctl poweroff'

start_uefi
guest_login second-start
guest_says unlocked what-was-sealed 'head -c 15 /dev/mapper/sealed'
guest_ends off-again 'systemctl poweroff'

config_more+='"secure_boot": {"enabled": false}, '
start_uefi
guest_login secure-boot-off degraded # a service could not do its work
guest_says is-off 'SecureBoot disabled' 'mokutil --sb-state'
guest_says stays-locked 'locked' 'systemctl is-active systemd-cryptsetup@sealed; test -e /dev/mapper/sealed || echo locked'
guest_ends off-third 'systemctl poweroff'
vtl2_is_well
