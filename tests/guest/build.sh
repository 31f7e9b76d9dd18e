#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Builds the guest's initramfs: busybox, the modules of the guest's kernel that it needs, the test
# program, init. The bytes depend on the inputs only: names sorted, owner root, one fixed time.
#   tests/guest/build.sh OUT.cpio
# build/guest/ (tools/build/guest.sh) has the kernel package's contents.
set -euo pipefail
export LC_ALL=C
out=${1:?usage: build.sh OUT.cpio}
top=$(cd "$(dirname "$0")/../.." && pwd)
guest=${GUEST_DIR:-$top/build/guest}
busybox=${BUSYBOX:-$guest/busybox}

# What Debian's cloud kernels have as modules or built in (that differs between releases),
# dependencies first (resolved below).
wanted='virtio_pci virtio_blk virtio_console virtio-rng button evdev'

# A module's file name has - or _ where its name has _.
module_file() {
    find "$guest" \( -name "${1//_/-}.ko" -o -name "${1//-/_}.ko" \) -print -quit
}

# "kernel/drivers/virtio/virtio_pci.ko", one per line, in the package's modules.builtin.
is_built_in() {
    grep -qs "/${1//[-_]/[-_]}\.ko\$" "$guest"/lib/modules/*/modules.builtin
}

modules=()
add_module() {
    local file dependency
    file=$(module_file "$1")
    if [ -z "$file" ] && is_built_in "$1"; then
        return
    fi
    if [ -z "$file" ]; then
        echo "$0: the guest's kernel has no module $1 under $guest" >&2
        exit 1
    fi
    for dependency in $(modinfo -F depends "$file" | tr , ' '); do
        add_module "$dependency"
    done
    [[ " ${modules[*]} " == *" $file "* ]] || modules+=("$file")
}
for name in $wanted; do
    add_module "$name"
done

mkdir -p "$(dirname "$out")"
stage=$(mktemp -d "$(dirname "$out")/guest-stage.XXXXXX")
trap 'rm -rf "$stage"' EXIT
umask 022

"$top/tests/guest/build-probe.sh" "$stage/probe"
mkdir -p "$stage"/{bin,dev,etc/acpi/PWRF,lib/modules,proc,root,sys,tmp}
install -m 755 "$busybox" "$stage/bin/busybox"
mv "$stage/probe" "$stage/bin/probe"
for applet in $("$busybox" --list); do
    case $applet in
    busybox | '') ;;
    *) [ -e "$stage/bin/$applet" ] || ln -s busybox "$stage/bin/$applet" ;;
    esac
done
for file in "${modules[@]}"; do
    install -m 644 "$file" "$stage/lib/modules/"
    echo "/lib/modules/$(basename "$file")" >>"$stage/lib/modules/list"
done
install -m 755 "$top/tests/guest/init" "$stage/init"
install -m 644 "$top/tests/guest/tests.sh" "$top/tests/guest/shell.sh" "$stage/"
printf '#!/bin/sh\nexec poweroff -f\n' >"$stage/etc/acpi/PWRF/00000080"
chmod 755 "$stage/etc/acpi/PWRF/00000080"
printf 'root::0:0:root:/root:/bin/sh\n' >"$stage/etc/passwd"
cat >"$stage/etc/profile" <<'PROFILE'
export PS1='guest:\w# '
# PID 1 is a script: it does not answer to signals as an init does.
poweroff() { sync; busybox poweroff -f; }
reboot() { sync; busybox reboot -f; }
halt() { poweroff; }
PROFILE

"$top/tests/guest/pack.sh" "$stage" "$out"
