# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # what lib.sh sets
#
# A QEMU that has the device uefi-vars-x64; sourced behind lib.sh. The machine's own where it is new
# enough, otherwise Debian's next one, unpacked in the cache.

has_device() { "$@" -M none -device uefi-vars-x64,help 2>&1 | grep -q jsonfile; }

# take_qemu10: from now on qemu-system-x86_64 is one that has it. 1 with $why when there is none.
# shellcheck disable=SC2034 # why: the caller's
take_qemu10() {
    local codename
    has_device qemu-system-x86_64 && return 0
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
    unpacked() { tools/build/fetch.sh deb "$@" 2>>"$dir/fetch.log"; }
    if ! qemu_root=$(unpacked qemu-system-x86 "$codename-backports") ||
        ! common_root=$(unpacked qemu-system-common "$codename-backports") ||
        ! data_root=$(unpacked qemu-system-data "$codename-backports") ||
        ! vde_root=$(unpacked libvdeplug2 "$codename") ||
        ! bios_root=$(unpacked seabios trixie); then
        why="no QEMU 10 to be had: $(grep -m 1 error "$dir/fetch.log")"
        return 1
    fi
    # Runs in the background of start_qemu: exec keeps the process id that the test ends.
    qemu-system-x86_64() {
        export LD_LIBRARY_PATH=$vde_root/usr/lib/x86_64-linux-gnu
        export QEMU_MODULE_DIR=$common_root/usr/lib/x86_64-linux-gnu/qemu
        exec "$qemu_root/usr/bin/qemu-system-x86_64" -L "$data_root/usr/share/qemu" \
            -L "$bios_root/usr/share/seabios" "$@"
    }
    works() { (qemu-system-x86_64 "$@"); }
    has_device works && return 0
    unset -f qemu-system-x86_64
    why="Debian's QEMU 10 does not run here, or has no uefi-vars-x64"
    return 1
}
