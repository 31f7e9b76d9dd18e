#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# `make run`: boots build/parapet.igvm in QEMU and gives the user the guest's console on this
# terminal. Ctrl-A X ends it, `poweroff` in the guest too. Variables:
#   PLATFORM=native  how the paravisor is kept apart from the guest: native (nested virtualisation),
#                or vsm (minihost plays Hyper-V with VTLs)
#   SMP=2        virtual processors          MEM=1G     the machine's memory, VTL2's share included
#   DISK=file    the guest's disk: an image file (default: a sparse scratch disk, build/run/disk.img)
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
disk=${DISK:-$run/disk.img}

stop_because() {
    echo "make run: $1" >&2
    exit 1
}

for file in "$image" "$minihost"; do
    [ -f "$file" ] || stop_because "$file does not exist; 'make image' builds it"
done
mkdir -p "$run"
if [ -z "${DISK:-}" ]; then
    [ -f "$disk" ] || truncate -s 1G "$disk"
elif [ ! -e "$disk" ]; then
    stop_because "DISK=$disk does not exist"
elif [ ! -w "$disk" ]; then
    stop_because "DISK=$disk cannot be written; copy it, or change its permissions"
fi
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

# What the host says: the NVMe drive below is the guest's first disk. CONFIG=file says it otherwise.
config=${CONFIG:-$run/host.json}
if [ -z "${CONFIG:-}" ]; then
    echo '{ "disks": [{ "nvme_serial": "disk0" }] }' >"$config"
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

echo "Parapet: $image, platform $platform, $smp processors, $mem memory, disk $disk, ${accel^^}."
echo "The guest's console follows in a few seconds. Ctrl-A X ends; VTL2's log is in $log."
rm -f "$log"
status=0
qemu-system-x86_64 "${machine[@]}" -m "$mem" -smp "$(machine_smp "$smp")" \
    -nodefaults -display none -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=4 \
    -kernel "$minihost" -initrd "$image" -append "$machine_append ${APPEND:-}" -fw_cfg "name=opt/parapet/config,file=$config" \
    -serial "file:$log" \
    -chardev stdio,id=guest,mux=on,signal=off -mon chardev=guest,mode=readline \
    -device virtio-serial-pci -device virtconsole,chardev=guest \
    -drive "if=none,id=disk0,format=$format,discard=unmap,file=$disk" \
    -device nvme,drive=disk0,serial=disk0 || status=$?
restore_terminal
if [ "$status" != 0 ]; then
    echo
    echo "make run: the machine ended with status $status; the last lines of $log:"
    tail -n 20 "$log" 2>/dev/null || echo '(none)'
    exit 1
fi
echo
echo "make run: the machine is off."
