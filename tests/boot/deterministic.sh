#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The same inputs give the same bytes, in another folder, at another time, under another umask: the
# guest's initramfs, VTL2's initrd, the image.
. "$(dirname "$0")/lib.sh"

same() { # NAME FILE FILE
    if cmp -s "$2" "$3"; then
        result pass "$1" "$(sha256sum <"$2" | cut -c1-16)"
    else
        result fail "$1" "$(cmp "$2" "$3" 2>&1 | head -n 1)"
    fi
}

for file in build/guest.cpio build/initrd.cpio build/host/igvmtool "$IMAGE"; do
    [ -f "$file" ] || give_up start "$file was not built"
done
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1767225600} # as the Makefile has it
mkdir -p "$dir/elsewhere"
umask 077
tests/guest/build.sh "$dir/elsewhere/guest.cpio"
same guest-initramfs build/guest.cpio "$dir/elsewhere/guest.cpio"
tools/build/mkinitrd.sh "$dir/elsewhere/initrd.cpio"
same vtl2-initrd build/initrd.cpio "$dir/elsewhere/initrd.cpio"
sed "s|\"\.\./build/|\"$top/build/|" igvm/parapet.image.json >"$dir/elsewhere/image.json"
build/host/igvmtool build "$dir/elsewhere/image.json" -o "$dir/elsewhere/other.igvm"
same image "$IMAGE" "$dir/elsewhere/other.igvm"
