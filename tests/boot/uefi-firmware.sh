#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The guest's firmware alone, on the implementation of the variable device that is not ours: QEMU 10's
# uefi-vars-x64. Boots Debian's kernel as a unified kernel image from a FAT disk, with DMA and PIO,
# with and without Secure Boot; keeps variables; refuses an unsigned image; stops without the device.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/uki.sh"
. "$(dirname "$0")/qemu10.sh"

FIRMWARE=${FIRMWARE:-$top/build/firmware/parapet.fd}
[ -f "$FIRMWARE" ] || give_up start "${FIRMWARE#"$top"/} was not built"
for tool in mcopy sbsign openssl python3 objcopy; do
    command -v "$tool" >/dev/null || cannot_run "no $tool on this machine: tools/build/setup.sh test"
done

take_qemu10 || cannot_run "$why"

# ---- what it boots ---------------------------------------------------------------------------------

# An initramfs whose init says what the system knows of its firmware, and writes a variable.
make_initrd() { # OUT
    local root=$dir/initrd
    make_root "$root"
    find build/guest/lib -name efivarfs.ko -exec cp {} "$root/" \;
    make_resume_asker "$root/cmos"
    cat >"$root/init" <<'INIT'
#!/bin/busybox sh
. /begin
insmod /efivarfs.ko 2>/dev/null
vars=/sys/firmware/efi/efivars
mount -t efivarfs efivarfs $vars
global=8be4df61-93ca-11d2-aa0d-00e098032b8c
own=1f6a2f0e-5d0e-4b44-9b0a-7d3b1c2f9a55
value() { tail -c +5 "$vars/$1" | od -An -v -tx1 | tr -d ' \n'; }
echo "PT secure-boot $(value SecureBoot-$global) setup-mode $(value SetupMode-$global)"
echo "PT before $([ -e $vars/ParapetTest-$own ] && value ParapetTest-$own || echo none)"
[ -e $vars/ParapetTest-$own ] || printf '\007\000\000\000hello' >$vars/ParapetTest-$own
echo "PT after $(value ParapetTest-$own)"
resumed=$vars/ParapetResume-$own
if grep -q parapet.resume /proc/cmdline && [ ! -e $resumed ]; then
    # "Resume from S3" to the CMOS shutdown byte, then a reset.
    printf '\007\000\000\000x' >$resumed
    /cmos && reboot -f
fi
[ ! -e $resumed ] || echo 'PT cold'
mount -t securityfs securityfs /sys/kernel/security
for bank in sha256 sha384; do
    for pcr in /sys/class/tpm/tpm0/pcr-$bank/*; do
        [ ! -e $pcr ] || echo "PCR $bank $(basename $pcr) $(cat $pcr)"
    done
done
if [ -e /dev/tpm0 ]; then
    # TPM2_GetCapability of TPM_PT_STARTUP_CLEAR: which hierarchies are on.
    exec 3<>/dev/tpm0
    printf '\200\001\000\000\000\026\000\000\001\172\000\000\000\006\000\000\002\001\000\000\000\001' >&3
    echo "PT hierarchies $(dd bs=64 count=1 <&3 2>/dev/null | tail -c 1 | od -An -v -tx1 | tr -d ' \n')"
fi
log=/sys/kernel/security/tpm0/binary_bios_measurements
[ ! -e $log ] || { echo 'LOG begin'; base64 $log; echo 'LOG end'; }
poweroff -f
INIT
    chmod 755 "$root/init"
    tests/guest/pack.sh "$root" "$1"
}

# Self-signed keys, as the JSON that QEMU's device starts from. $1: names of variables to seed.
make_key() { # NAME
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=parapet test $1/" \
        -keyout "$dir/$1.key" -out "$dir/$1.pem" 2>/dev/null
    openssl x509 -in "$dir/$1.pem" -outform DER -out "$dir/$1.der"
}

seed_keys() { # JSON
    python3 - "$dir" >"$1" <<'PYTHON'
import json, struct, sys, uuid
folder = sys.argv[1]
X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
GLOBAL, DATABASE = "8be4df61-93ca-11d2-aa0d-00e098032b8c", "d719b2cb-3d3a-4596-a3bc-dad00e67656f"

def variable(name, guid):
    der = open(f"{folder}/{name}.der", "rb").read()
    value = X509.bytes_le + struct.pack("<III", 28 + 16 + len(der), 0, 16 + len(der)) + uuid.uuid4().bytes_le + der
    return {"name": name, "guid": guid, "attr": 0x27, "data": value.hex(), "time": "e8070101" + "00" * 12}

print(json.dumps({"version": 2, "variables": [variable("PK", GLOBAL), variable("KEK", GLOBAL), variable("db", DATABASE)]}))
PYTHON
}

variables() { # JSON: names, a space before and after each
    python3 -c 'import json, sys; print("", *[v["name"] for v in json.load(open(sys.argv[1]))["variables"]], "")' "$1"
}

make_initrd "$dir/initrd.cpio"
command_line='console=ttyS0 quiet panic=-1 no_timer_check'
make_uki "$dir/plain.efi" "$command_line" "$dir/initrd.cpio"
make_uki "$dir/resume.efi" "$command_line parapet.resume" "$dir/initrd.cpio"
for name in PK KEK db; do make_key "$name"; done
sbsign --key "$dir/db.key" --cert "$dir/db.pem" --output "$dir/signed.efi" "$dir/plain.efi" >/dev/null 2>&1
make_fat "$dir/plain.img" "$dir/plain.efi"
make_fat "$dir/signed.img" "$dir/signed.efi"
make_fat "$dir/resume.img" "$dir/resume.efi"
result pass makes-images

# ---- the machine -----------------------------------------------------------------------------------

# Two CPUs, but one where the machine is reset on the way: one such start was seen in which Linux's second
# CPU had no timer from its beginning, and stood still. The cause, QEMU's or the firmware's, is not known.
machine_options=(-M pc) machine_cpu=max MEM=512M NO_VIRTCONSOLE=1

start() { # JSON IMAGE [OPTIONS OF THE VARIABLE DEVICE [DISK [MORE OF QEMU'S…]]]
    local json=$1 image=$2 device=${3:-} disk=${4:-virtio-blk-pci,disable-legacy=on}
    shift $(($# < 4 ? $# : 4))
    [ -e "$json" ] || : >"$json"
    rm -f "$dir/vtl2.log" # COM1
    start_qemu -bios "$FIRMWARE" -device "uefi-vars-x64,jsonfile=$json${device:+,$device}" \
        -drive "if=none,id=disk0,format=raw,snapshot=on,file=$image" -device "$disk,drive=disk0" \
        -device virtio-rng-pci,disable-legacy=on "$@"
}

# booted NAME REGEX...: the system came up, its lines match, and it powered off.
booted() {
    local name=$1 pattern
    shift
    wait_exit "$TIMEOUT" || give_up "$name" 'the system did not power off'
    for pattern in "$@"; do
        grep -Eq "$pattern" "$dir/vtl2.log" || give_up "$name" "COM1 does not say: $pattern"
    done
    result pass "$name"
}

start "$dir/a.json" "$dir/plain.img"
booted first-start '^PT secure-boot 00 setup-mode 01' '^PT before none' '^PT after 68656c6c6f'
stored=$(variables "$dir/a.json")
if [[ $stored == *" BootOrder "* && $stored == *" ParapetTest "* ]]; then
    result pass variables-are-stored
else
    result fail variables-are-stored "$stored"
fi
start "$dir/a.json" "$dir/plain.img"
booted second-start '^PT before 68656c6c6f' '^PT after 68656c6c6f'
start "$dir/b.json" "$dir/plain.img" use-pio=on
booted pio '^PT after 68656c6c6f'
start "$dir/b.json" "$dir/plain.img" '' nvme,serial=disk0
booted nvme '^PT before 68656c6c6f'

# A guest that asks for a resume from S3 gets a start like any other: one reset, its own. (A firmware
# that tries to resume crashes, resets again, and starts because the byte is cleared by then.)
SMP=1 REBOOT=-no-user-config start "$dir/b.json" "$dir/resume.img"
qmp '{"execute":"query-status"}' || give_up no-resume 'no QMP'
TIMEOUT=$((2 * TIMEOUT)) booted resume-asked '^PT cold'
resets=0
while IFS= read -r -t 1 -u "$qmp_out" event; do
    [[ $event != *'"RESET"'* ]] || resets=$((resets + 1))
done
if [ "$resets" = 1 ]; then
    result pass no-resume
else
    result fail no-resume "$resets resets"
fi

seed_keys "$dir/keys.json"
start "$dir/keys.json" "$dir/plain.img"
if wait_vtl2 'Access Denied' && ! grep -q '^PT' "$dir/vtl2.log"; then
    result pass refuses-unsigned "$(grep -aom 1 'BdsDxe: failed to.*Access Denied' "$dir/vtl2.log" | cut -c1-80)"
else
    result fail refuses-unsigned
fi
stop_qemu
start "$dir/keys.json" "$dir/signed.img"
booted takes-signed '^PT secure-boot 01 setup-mode 00'
# One bit of the kernel, and the signature is not right any more.
python3 - "$dir/signed.efi" <<'PYTHON'
import sys
image = bytearray(open(sys.argv[1], "rb").read())
image[len(image) // 2] ^= 1
open(sys.argv[1], "wb").write(image)
PYTHON
make_fat "$dir/changed.img" "$dir/signed.efi"
start "$dir/keys.json" "$dir/changed.img"
if wait_vtl2 'Access Denied' && ! grep -q '^PT' "$dir/vtl2.log"; then
    result pass refuses-changed
else
    result fail refuses-changed
fi
stop_qemu

# ---- measured boot ---------------------------------------------------------------------------------

# The event log that Linux got from the firmware, replayed, gives the TPM's PCRs.
measured() {
    if ! command -v swtpm >/dev/null; then
        result skip measured-boot 'no swtpm on this machine: tools/build/setup.sh test'
        return
    fi
    start_swtpm
    # Its TPM has four banks: the firmware switches two off and resets the machine once.
    SMP=1 REBOOT=-no-user-config start "$dir/keys.json" "$dir/signed.img" '' '' "${swtpm_options[@]}"
    # 0e: owner and endorsement hierarchy and platform NV; not the platform hierarchy (bit 0).
    TIMEOUT=$((2 * TIMEOUT)) booted measured-boots '^PT secure-boot 01' '^PT hierarchies 0e' '^LOG end'
    stop_side
    tr -d '\r' <"$dir/vtl2.log" | sed -n 's/^PCR //p' >"$dir/pcrs"
    tr -d '\r' <"$dir/vtl2.log" | sed -n '/^LOG begin/,/^LOG end/{/^LOG/d;p}' | base64 -d >"$dir/event-log"
    if python3 tests/support/event_log.py "$dir/event-log" "$dir/pcrs" --list >"$dir/events" 2>&1; then
        result pass measured-boot "$(head -n 1 "$dir/events")"
    else
        result fail measured-boot "$(grep -m 1 wrong: "$dir/events" || tail -n 1 "$dir/events")"
        cat "$dir/events"
    fi
}
measured

start_qemu -bios "$FIRMWARE"
if wait_vtl2 'announces no UEFI variable device. Stopped' 60; then
    result pass stops-without-device
else
    result fail stops-without-device
fi
stop_qemu
