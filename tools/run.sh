#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# `make run`: boots build/parapet.igvm in QEMU and gives the user the guest's console on this
# terminal. Ctrl-A X ends it, `poweroff` in the guest too. Variables:
#   BOOT=uefi    what the guest starts with: UEFI firmware, or a Linux kernel of the image's (linux)
#   PLATFORM=native  how the paravisor is kept apart from the guest: native (nested virtualisation),
#                or vsm (minihost plays Hyper-V with VTLs)
#   SMP=2        virtual processors          MEM=1G     the machine's memory, VTL2's share included
#   DISK=file    the guest's disk: an image file, raw or .qcow2. It is only read: what the guest writes
#                is gone when QEMU ends. Default: with uefi Debian, build/guest/debian.img, likewise; with
#                linux a sparse scratch disk that keeps what is written, build/run/disk.img
#   DISK_WRITE=1 the guest writes to DISK itself
#   SECURE_BOOT=0 with uefi: what has no signature, or none that the Microsoft keys vouch for, starts too
#   STATE=file   with uefi, the guest's TPM and UEFI variables (default: build/run/state.vmgs, made when
#                it is not there; remove it for a new machine)
#   ACCEL=tcg    or kvm, where nested virtualisation works
#   CONFIG=file  the host's configuration for the VMM (docs/configuration.md)
#   APPEND=text  added to VTL2's kernel command line
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"

# shellcheck source=tools/machine.sh
. tools/machine.sh
platform=${PLATFORM:-native} smp=${SMP:-2} mem=${MEM:-1G} accel=${ACCEL:-tcg}
image=${IMAGE:-build/parapet.igvm} minihost=${MINIHOST:-build/bare/minihost}
run=build/run
log=$run/vtl2.log
boot=${BOOT:-uefi}
state=${STATE:-$run/state.vmgs}

stop_because() {
    echo "make run: $1" >&2
    exit 1
}

for file in "$image" "$minihost"; do
    [ -f "$file" ] || stop_because "$file does not exist; 'make image' builds it"
done
mkdir -p "$run"
case $boot in
uefi) default_disk=build/guest/debian.img ;;
linux)
    default_disk=$run/disk.img
    [ -f "$default_disk" ] || truncate -s 1G "$default_disk"
    [ -n "${DISK:-}" ] || DISK_WRITE=1
    ;;
*) stop_because "BOOT=$boot is neither uefi nor linux" ;;
esac
disk=${DISK:-$default_disk}
[ -e "$disk" ] || stop_because "DISK=$disk does not exist"
case ${DISK_WRITE:-0} in
0) disk_write='snapshot=on' disk_says="$disk (changes are thrown away; DISK_WRITE=1 keeps them)" ;;
1)
    disk_write='snapshot=off' disk_says=$disk
    [ -w "$disk" ] || stop_because "DISK=$disk cannot be written; copy it, or change its permissions"
    ;;
*) stop_because "DISK_WRITE=$DISK_WRITE is neither 0 nor 1" ;;
esac
format=raw
case $disk in
*.qcow2) format=qcow2 ;;
esac

machine_for "$platform" || stop_because "PLATFORM=$platform is neither native nor vsm"
qemu_plays "$platform" || echo "make run: $why" >&2
case $accel in
tcg) machine=("${machine_options[@]}" -accel 'tcg,thread=multi' -cpu "$machine_cpu") ;;
kvm)
    [ -w /dev/kvm ] || stop_because "ACCEL=kvm, but /dev/kvm cannot be opened; ACCEL=tcg works everywhere"
    machine=("${machine_options[@]}" -accel kvm -cpu host)
    ;;
*) stop_because "ACCEL=$accel is neither tcg nor kvm" ;;
esac

# What the host says: the NVMe drives below are the guest's first disk and its state. CONFIG=file
# says it otherwise.
config=${CONFIG:-$run/host.json} state_drive=() guest_state=''
if [ "$boot" = uefi ]; then
    [ -e "$state" ] || truncate -s 16M "$state"
    state_drive=(-drive "if=none,id=state,format=raw,file=$state" -device "nvme,drive=state,serial=state")
    # Firmware, shim and GRUB speak to COM1: so the user's terminal is that.
    guest_state='"guest_state": { "nvme_serial": "state" }, "console": { "kind": "serial" }, '
    case ${SECURE_BOOT:-1} in
    1) ;;
    0) guest_state+='"secure_boot": { "enabled": false }, ' ;;
    *) stop_because "SECURE_BOOT=$SECURE_BOOT is neither 0 nor 1" ;;
    esac
fi
if [ -z "${CONFIG:-}" ]; then
    # One processor more than VPs: QEMU's first one cannot run a nested guest safely (docs/STATUS.md).
    [ "$accel" = kvm ] || machine_spare=1
    echo "{ \"guest\": { \"boot\": \"$boot\", \"vps\": $smp }, $guest_state\"disks\": [{ \"nvme_serial\": \"disk0\" }] }" >"$config"
elif [ ! -r "$config" ]; then
    stop_because "CONFIG=$config cannot be read"
fi

# The terminal is the guest's: the escape key is QEMU's (Ctrl-A X ends, Ctrl-A C is its monitor,
# Ctrl-A H helps), Ctrl-C goes to the guest.
saved=''
if [ -t 0 ]; then
    saved=$(stty -g)
fi
restore_terminal() {
    [ -z "$saved" ] || stty "$saved" || true
}
trap restore_terminal EXIT

echo "Parapet: $image, platform $platform, $smp processors, $mem memory, ${accel^^}."
echo "Disk: $disk_says"
[ "$boot" = linux ] || echo "Guest state (TPM, UEFI variables): $state"
echo "The guest's console follows in a few seconds. Ctrl-A X ends; VTL2's log is in $log."
rm -f "$log"
status=0
qemu-system-x86_64 "${machine[@]}" -m "$mem" -smp "$(machine_smp "$smp")" \
    -nodefaults -display none -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=4 \
    -kernel "$minihost" -initrd "$image" -append "$machine_append ${APPEND:-}" -fw_cfg "name=opt/parapet/config,file=$config" \
    -serial "file:$log" \
    -chardev stdio,id=guest,mux=on,signal=off -mon chardev=guest,mode=readline \
    -device virtio-serial-pci -device virtconsole,chardev=guest \
    -drive "if=none,id=disk0,format=$format,$disk_write,discard=unmap,file=$disk" \
    -device nvme,drive=disk0,serial=disk0 "${state_drive[@]}" || status=$?
restore_terminal
if [ "$status" != 0 ]; then
    echo
    echo "make run: the machine ended with status $status; the last lines of $log:"
    tail -n 20 "$log" 2>/dev/null || echo '(none)'
    exit 1
fi
echo
echo "make run: the machine is off."
