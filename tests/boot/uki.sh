# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What UEFI firmware boots in a test: Debian's kernel with an initramfs as a unified kernel image on
# a FAT disk. Sourced behind lib.sh.

# make_uki OUT COMMAND_LINE INITRD: sections go behind the stub's, each at the next page.
make_uki() {
    local codename stub end=0 size address section args=()
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
    stub=$(tools/build/fetch.sh deb systemd-boot-efi "$codename" 2>>"$dir/fetch.log") ||
        cannot_run "no systemd-boot-efi to be had: $(grep -m 1 error "$dir/fetch.log")"
    stub+=/usr/lib/systemd/boot/efi/linuxx64.efi.stub
    mkdir -p "$dir/uki"
    printf 'ID=parapet-test\n' >"$dir/uki/osrel"
    printf '%s' "$2" >"$dir/uki/cmdline"
    cp "${GUEST_KERNEL:-build/guest/vmlinuz}" "$dir/uki/linux"
    cp "$3" "$dir/uki/initrd"
    while read -r _ _ size address _; do
        ((end >= 16#$address + 16#$size)) || end=$((16#$address + 16#$size))
    done < <(objdump -h "$stub" | grep -E '^ *[0-9]+ \.')
    for section in osrel cmdline linux initrd; do
        end=$(((end + 0xfff) & ~0xfff))
        args+=(--add-section ".$section=$dir/uki/$section" --change-section-vma ".$section=$end")
        end=$((end + $(stat -c %s "$dir/uki/$section")))
    done
    objcopy "${args[@]}" "$stub" "$1"
    rm -r "$dir/uki"
}

# make_fat IMAGE UKI: a disk without partitions that firmware boots by its default path.
make_fat() {
    truncate -s 64M "$1"
    mformat -i "$1" -T 131072 ::
    mmd -i "$1" ::/EFI ::/EFI/BOOT
    mcopy -i "$1" "$2" ::/EFI/BOOT/BOOTX64.EFI
}

# make_root FOLDER: an initramfs without an init, which begins with ". /begin".
make_root() {
    mkdir -p "$1"/{bin,dev,proc,sys}
    install -m 755 build/guest/busybox "$1/bin/busybox"
    cat >"$1/begin" <<'BEGIN'
export PATH=/bin
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
BEGIN
}

# start_uki FOLDER: the machine, with the folder as the initramfs of what its firmware starts, without
# Secure Boot; the console is COM1.
start_uki() {
    local tool
    for tool in mformat mcopy objcopy; do
        command -v "$tool" >/dev/null || cannot_run "no $tool on this machine: tools/build/setup.sh test"
    done
    chmod 755 "$1/init"
    tests/guest/pack.sh "$1" "$dir/initrd.cpio"
    rm -r "$1"
    make_uki "$dir/uki.efi" 'console=ttyS0 quiet panic=-1 iomem=relaxed' "$dir/initrd.cpio"
    make_fat "$dir/disk0.img" "$dir/uki.efi"
    add_disk disk0 64M
    cat >"$dir/host.json" <<'JSON'
{
  "guest": {"boot": "uefi"},
  "secure_boot": {"enabled": false},
  "console": {"kind": "serial"},
  "disks": [{"nvme_serial": "disk0"}]
}
JSON
    start_machine
}

# make_resume_asker OUT: a program that tells firmware by the CMOS shutdown byte to resume from S3 at the
# next reset, and reads it back. Debian's cloud kernel has no /dev/port.
make_resume_asker() {
    musl-gcc -static -Os -x c -o "$1" - <<'PROGRAM'
#include <sys/io.h>
int main(void) {
    if (iopl(3) != 0) {
        return 1;
    }
    outb(0x0f, 0x70);
    outb(0xfe, 0x71);
    outb(0x0f, 0x70);
    return inb(0x71) == 0xfe ? 0 : 2;
}
PROGRAM
}
