#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The machine that UEFI firmware finds and describes: from the reset vector to Debian's kernel on the
# translated disk, its tables and devices, the ROM, VTL2's memory kept out of the memory map, and a
# restart through the firmware with its variables kept. The guest asks for that restart to be a resume
# from S3, which would run code of its own as firmware: it is a start like the first, measured the same.
# platforms: native vsm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/uki.sh"

# An initramfs whose init is the test: PT lines as from the other guest's programs.
root=$dir/initrd
make_root "$root"
find build/guest/lib -name efivarfs.ko -exec cp {} "$root/" \;
make_resume_asker "$root/cmos"
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
. /begin
check() { # NAME FOUND WANTED
    if [ "$2" = "$3" ]; then echo "PT pass $1 $2"; else echo "PT fail $1 found $2, wanted $3"; fi
}
insmod /efivarfs.ko
vars=/sys/firmware/efi/efivars own=1f6a2f0e-5d0e-4b44-9b0a-7d3b1c2f9a55
mount -t efivarfs efivarfs $vars
kept=$vars/ParapetKept-$own
pcrs() { for pcr in 0 1 2 3 4 5 6 7; do cat /sys/class/tpm/tpm0/pcr-sha256/$pcr /sys/class/tpm/tpm0/pcr-sha384/$pcr | sha256sum | cut -c1-8; done | tr '\n' ' '; }
if [ -e $kept ]; then
    check variable-kept "$(tail -c +5 $kept | cut -d: -f1)" second
    check same-pcrs "$(pcrs)" "$(tail -c +5 $kept | cut -d: -f2)"
    poweroff -f
fi
check processors "$(nproc)" WANT_PROCESSORS
pci() { cat /sys/bus/pci/devices/0000:00:$1/vendor /sys/bus/pci/devices/0000:00:$1/device | tr -d '\n'; }
check pci-host "$(pci 00.0)" 0x80860x1237
check pci-isa "$(pci 01.0)" 0x80860x7000
check pci-pm "$(pci 01.3)" 0x80860x7113
check acpi "$(cd /sys/firmware/acpi/tables && echo [ADFT]*)" 'APIC DSDT FACP FACS TPM2'
check smbios "$(cat /sys/class/dmi/id/sys_vendor /sys/class/dmi/id/product_name | tr '\n' ' ')" 'Parapet Parapet VM '
check pci-disk "$(pci 04.0)" 0x1af40x1042
check ppi "$(cat /sys/class/tpm/tpm0/ppi/version)" 1.3
check ppi-request "$(echo 5 >/sys/class/tpm/tpm0/ppi/request; cat /sys/class/tpm/tpm0/ppi/request)" 5
echo 0 >/sys/class/tpm/tpm0/ppi/request
check pcr0 "$(grep -qE '[1-9A-F]' /sys/class/tpm/tpm0/pcr-sha256/0 && echo extended)" extended
# The first bytes of the reset vector are NOPs or a jump: not what a missing ROM reads as.
rom=$(devmem 0xFFFFFFF0 32)
check rom-there "$([ $rom != 0xFFFFFFFF ] && [ $rom != 0x00000000 ] && echo yes)" yes
devmem 0xFFFFFFF0 32 0x12345678
check rom-read-only "$(devmem 0xFFFFFFF0 32)" "$rom"
check variable-page "$(grep -c '^fef10000-fef10fff : Reserved' /proc/iomem)" 1
check memory-hole "$(sed -n 's/^[0-9a-f]*-\(1[0-9a-f]*\) : [Rr]eserved/\1/p' /proc/iomem)" "WANT_HOLE"
check tpm-ram "$(grep -ci "^$(printf %08x "$(devmem 0xFED4005C 32)")-[0-9a-f]* : Reserved" /proc/iomem)" 1
{ printf '\007\0\0\0second:'; pcrs; } >/kept
cat /kept >$kept
check asks-resume "$(/cmos && echo written)" written
echo 'PT restarts'
reboot -f
INIT
hole=''
[ "$PLATFORM" = native ] || hole=17ffffff
sed -i -e "s/WANT_PROCESSORS/$SMP/" -e "s/WANT_HOLE/$hole/" "$root/init"
start_uki "$root"

# results_until REGEX: PT lines as results; 1 when the machine ended or nothing came.
results_until() {
    while wait_console "^PT |$1"; do
        [[ $line =~ $1 ]] && return 0
        read -r _ word name detail <<<"$line"
        result "$word" "$name" "$detail"
    done
    return 1
}
results_until '^PT restarts' || give_up first-start 'the firmware did not bring the kernel up'
step_start=$EPOCHREALTIME
wait_vtl2 'the guest restarts' || give_up restart 'the machine does not restart'
results_until '^PT (pass|fail) same-pcrs' || give_up restart 'the kernel did not come back'
result pass restart 'through the firmware'
read -r _ word name detail <<<"$line"
result "$word" "$name" "$detail"
# A firmware that goes wrong on its way to a resume resets the machine once more.
restarts=$(grep -c 'the guest restarts' "$dir/vtl2.log")
if [ "$restarts" = 1 ]; then result pass one-restart; else result fail one-restart "$restarts restarts"; fi
if wait_exit "$TIMEOUT" && [ "$qemu_status" = 0 ]; then
    result pass power-off
else
    give_up power-off "QEMU did not end by itself (status ${qemu_status:-none})"
fi
vtl2_is_well
