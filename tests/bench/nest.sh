#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Builds the initramfs of the nest: VTL2's own kernel with the floors' programs and, as the peer,
# the machine's QEMU with the libraries and firmware that it needs, the guest's kernel and initramfs.
#   tests/bench/nest.sh OUT.cpio
set -euo pipefail
export LC_ALL=C
out=${1:?usage: nest.sh OUT.cpio}
top=$(cd "$(dirname "$0")/../.." && pwd)
kernel=${GUEST_KERNEL:-$top/build/guest/vmlinuz}
initrd=${GUEST_INITRD:-$top/build/guest.cpio}

mkdir -p "$(dirname "$out")"
stage=$(mktemp -d "$(dirname "$out")/nest-stage.XXXXXX")
trap 'rm -rf "$stage"' EXIT
umask 022
mkdir -p "$stage"/{bin,dev,guest,proc,sys,tmp}

install -m 755 "$top/build/guest/busybox" "$stage/bin/busybox"
for applet in sh mount cat awk grep sed sleep poweroff dmesg stty taskset seq head tail ls; do
    ln -s busybox "$stage/bin/$applet"
done
"$top/tests/guest/build-probe.sh" "$stage/bin/probe"
musl-gcc -std=gnu17 -Wall -Wextra -Werror -Wno-overflow -D_GNU_SOURCE -O2 -static -s \
    -idirafter /usr/include -idirafter "/usr/include/$(gcc -print-multiarch)" \
    "$top/tests/bench/kvm_exit_floor.c" -o "$stage/bin/kvm_exit_floor"
install -m 755 "$top/tests/bench/nest-init" "$stage/init"
install -m 644 "$kernel" "$stage/guest/vmlinuz"
install -m 644 "$initrd" "$stage/guest/initrd"

# The peer and its TPM. Their libraries keep their paths, so that nothing needs to be told where they are.
qemu=$(command -v qemu-system-x86_64)
swtpm=$(command -v swtpm)
install -m 755 "$qemu" "$stage/bin/qemu"
install -m 755 "$swtpm" "$stage/bin/swtpm"
ldd "$qemu" "$swtpm" | awk '$2 == "=>" {print $3} NF == 2 && $1 ~ /^\// {print $1}' | sort -u | while read -r library; do
    mkdir -p "$stage$(dirname "$library")"
    cp -L "$library" "$stage$library"
done
mkdir -p "$stage/usr/share/qemu"
for firmware in bios-256k.bin kvmvapic.bin linuxboot_dma.bin pvh.bin; do
    for folder in /usr/share/seabios /usr/share/qemu; do
        if [ -f "$folder/$firmware" ]; then
            cp -L "$folder/$firmware" "$stage/usr/share/qemu/"
            break
        fi
    done
done
"$top/tests/guest/pack.sh" "$stage" "$out"
