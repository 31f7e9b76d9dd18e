#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The guest that tests and `make run` boot, into build/guest/: Debian's own cloud kernel of the
# machine's release, unmodified (vmlinuz, lib/modules/VERSION), and busybox-static's binary.
# Nothing is installed on the machine; both are cached.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/lib.sh"

# A release that Debian does not know (a derivative) gets the newest that we know.
CODENAME=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
case $CODENAME in bookworm | trixie) ;; *) CODENAME=trixie ;; esac
OUT=$BUILD/guest

kernel=$("$HERE/fetch.sh" deb 'linux-image-*-cloud-amd64' "$CODENAME" "$CODENAME-security")
busybox=$("$HERE/fetch.sh" deb busybox-static "$CODENAME" "$CODENAME-security")
read -r name version <"${kernel%/root}/current"
release=${name#linux-image-}

lock guest guest
if [ "$(cat "$OUT/NOTES" 2>/dev/null)" != "$name $version" ] || [ ! -e "$OUT/vmlinuz" ]; then
    mkdir -p "$OUT"
    rm -rf "${OUT:?}/lib" "${OUT:?}/lib.part"
    mkdir -p "$OUT/lib.part/modules"
    modules=$kernel/lib/modules
    [ -d "$modules" ] || modules=$kernel/usr/lib/modules # merged /usr inside the package
    cp -r "$modules/$release" "$OUT/lib.part/modules/"
    # Debian 13 compresses modules; the guest's insmod wants them plain.
    find "$OUT/lib.part" -name '*.ko.xz' -exec xz -d -- {} +
    mv "$OUT/lib.part" "$OUT/lib"
    for file in "$kernel/boot/vmlinuz-$release:vmlinuz" "$busybox/bin/busybox:busybox" \
        "$busybox/usr/bin/busybox:busybox"; do
        [ ! -e "${file%:*}" ] || {
            cp "${file%:*}" "$OUT/new"
            mv "$OUT/new" "$OUT/${file##*:}"
        }
    done
    chmod 644 "$OUT/vmlinuz"
    printf '%s %s\n' "$name" "$version" >"$OUT/NOTES"
fi
say guest "build/guest: $name $version, $(stat -c %s "$OUT/vmlinuz" | awk '{ printf "%.1f MB", $1 / 1e6 }')"
