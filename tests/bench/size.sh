#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The image's size and its parts. The reference of the whole is the sum of the parts: what the
# format costs.
. "$(dirname "$0")/lib.sh"

bytes_of() {
    [ -f "$1" ] && stat -c %s "$1" || echo -
}

sum=0
part() { # NAME FILE GOAL NOTE
    local bytes
    bytes=$(bytes_of "$top/$2")
    row "size-$1" bytes "$bytes" - "$3" "$4"
    [ "$bytes" = - ] || sum=$((sum + bytes))
}
part shim build/bare/shim.bin - 'boot shim'
part vtl2-kernel build/kernel/bzImage '<=3145728 value' "VTL2's Linux"
part vtl2-initrd build/initrd.cpio - "VTL2's user space"
part firmware build/firmware/parapet.fd - "the guest's UEFI firmware"
part guest-kernel build/guest/vmlinuz - "Debian's kernel: the guest's, in this image"
part guest-initrd build/guest.cpio - "the guest's initramfs, in this image"
row size-image bytes "$(bytes_of "$IMAGE")" "$sum" '<=1.02' 'whole file; reference: the sum of its parts'
paravisor=$(($(bytes_of "$IMAGE") - $(bytes_of "$top/build/guest/vmlinuz") - $(bytes_of "$top/build/guest.cpio")))
row size-paravisor bytes "$paravisor" - - 'the file without the guest in it'
row size-vmm bytes "$(bytes_of "$top/build/vtl2/parapet")" - - 'the static binary in VTL2'
