#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A disk with a real operating system, build/guest/debian.img: the machine's own Debian release from
# Debian's packages, started as any Debian with Secure Boot is: shim, signed GRUB, signed kernel,
# systemd. Raw and sparse; cached by what made it. No privileges: mmdebstrap takes user namespaces
# where it is not root, the file systems are written by mke2fs and mtools, nothing is mounted.
#   GPT: ESP (FAT32) at 1 MiB, root (ext4) at 64 MiB
# Files of our own stand in tools/build/debian-disk/. Root has no password: it is a test machine.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/lib.sh"

CODENAME=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
case $CODENAME in bookworm | trixie) ;; *) CODENAME=trixie ;; esac
MIB=1048576
ESP_MIB=63 ROOT_MIB=640
ROOT_UUID=5061726a-7065-4d44-8562-69616e2f726f
DISK_GUID=50617261-7065-4d44-8562-69616e2f6469
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1767225600}
export E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH MTOOLS_SKIP_CHECK=1 MTOOLSRC=/dev/null TZ=UTC

# What a machine that is used over a console and lives for minutes wants; no recommendations.
PACKAGES=(
    systemd-sysv udev kmod dbus login util-linux procps
    linux-image-cloud-amd64 initramfs-tools zstd
    efibootmgr mokutil
    tpm2-tools libtss2-esys-3.0.2-0 libtss2-rc0 libtss2-tcti-device0
    cryptsetup-bin
)
case $CODENAME in
bookworm) PACKAGES+=(systemd-boot) ;;
*) PACKAGES+=(systemd-boot-tools systemd-boot-efi systemd-cryptsetup) ;;
esac

# Nothing in a test machine waits for these, and each costs seconds under emulation.
MASKED=(
    getty@tty1.service e2scrub_reap.service e2scrub_all.timer fstrim.timer dpkg-db-backup.timer
    systemd-boot-system-token.service systemd-boot-update.service systemd-boot-random-seed.service
    systemd-hwdb-update.service systemd-journal-catalog-update.service systemd-update-done.service
    systemd-random-seed.service systemd-machine-id-commit.service systemd-sysusers.service
    systemd-sysctl.service systemd-modules-load.service systemd-update-utmp.service
    systemd-update-utmp-runlevel.service systemd-firstboot.service ldconfig.service
    modprobe@configfs.service modprobe@dm_mod.service modprobe@drm.service
    modprobe@efi_pstore.service modprobe@fuse.service modprobe@loop.service
    sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount
    sys-fs-fuse-connections.mount dev-hugepages.mount dev-mqueue.mount
    proc-sys-fs-binfmt_misc.automount
)
UNWANTED=(/usr/share/{doc,man,info,locale,i18n,lintian,bug} /usr/lib/x86_64-linux-gnu/perl)

make_root() { # TAR
    local options=() path line unit
    for path in "${UNWANTED[@]}"; do
        options+=(--dpkgopt="path-exclude=$path/*")
    done
    # The machine's way to its mirror.
    while IFS= read -r line; do
        options+=(--aptopt="$line")
    done < <(apt-config dump | grep -iE '^Acquire::https?::(Proxy|[^ ]*::Proxy) ' || true)
    # shellcheck disable=SC2016 # $1 is the hook's: the new root
    for unit in "${MASKED[@]}"; do
        options+=(--customize-hook='ln -sf /dev/null "$1/etc/systemd/system/'"$unit"'"')
    done
    # The overlay goes in twice: the packages that make the initramfs look at it, and replace parts.
    # shellcheck disable=SC2016
    mmdebstrap --variant=essential --format=tar --include="$(IFS=,; echo "${PACKAGES[*]}")" \
        --aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "3"' \
        --aptopt='APT::Install-Recommends "false"' "${options[@]}" \
        --essential-hook="tar-in '$WORK/overlay.tar' /" \
        --customize-hook="tar-in '$WORK/overlay.tar' /" \
        --customize-hook='chroot "$1" passwd -q -d root' \
        --customize-hook='ln -s /lib/systemd/system/multi-user.target "$1/etc/systemd/system/default.target"' \
        --customize-hook='rm -rf "$1"/etc/resolv.conf "$1"/initrd.img.old "$1"/vmlinuz.old "$1"/var/cache/*/*' \
        "$CODENAME" "$1" "${SOURCES[@]}" </dev/null
}

make_overlay() { # TAR: our files, with root as their owner
    local dir=$WORK/overlay
    cp -r "$HERE/debian-disk" "$dir"
    printf 'parapet\n' >"$dir/etc/hostname"
    printf '127.0.0.1 localhost parapet\n' >"$dir/etc/hosts"
    tar --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --sort=name \
        -C "$dir" -cf "$1" .
}

# The ESP as Debian's installer leaves it, the removable path included: with no boot entry the
# firmware starts shim there, and its fallback makes the entry.
make_esp() { # IMAGE OFFSET
    local at="$1@@$2" name dir=$WORK/esp
    mkdir -p "$dir"
    cp "$SHIM"/usr/lib/shim/shimx64.efi.signed "$dir/shimx64.efi"
    cp "$HELPERS"/usr/lib/shim/fbx64.efi.signed "$dir/fbx64.efi"
    cp "$HELPERS"/usr/lib/shim/mmx64.efi.signed "$dir/mmx64.efi"
    cp "$GRUB"/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed "$dir/grubx64.efi"
    {
        printf '\xff\xfe'
        printf 'shimx64.efi,debian,,This is the boot entry for debian\n' | iconv -f ASCII -t UTF-16LE
    } >"$dir/BOOTX64.CSV"
    # shellcheck disable=SC2016 # GRUB's variables
    printf '%s\n' 'search.fs_label parapet-root root' 'set prefix=($root)/boot/grub' \
        'configfile $prefix/grub.cfg' >"$dir/grub.cfg"
    find "$dir" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
    mformat -i "$at" -F -c 1 -h 255 -s 63 -T $((ESP_MIB * MIB / 512)) -H $((MIB / 512)) \
        -N 50415241 -v PARAPETESP ::
    mmd -i "$at" ::/EFI ::/EFI/BOOT ::/EFI/debian
    for name in BOOTX64.CSV fbx64.efi grub.cfg grubx64.efi mmx64.efi shimx64.efi; do
        mcopy -m -i "$at" "$dir/$name" "::/EFI/debian/$name"
    done
    mcopy -m -i "$at" "$dir/shimx64.efi" ::/EFI/BOOT/BOOTX64.EFI
    mcopy -m -i "$at" "$dir/fbx64.efi" "$dir/mmx64.efi" ::/EFI/BOOT/
}

make_disk() { # IMAGE
    local as_root=()
    [ "$(id -u)" = 0 ] || as_root=(fakeroot) # files of root's, without being it
    truncate -s $(((ESP_MIB + ROOT_MIB + 2) * MIB)) "$1"
    sfdisk -q "$1" <<TABLE
label: gpt
label-id: $DISK_GUID
start=1MiB, size=${ESP_MIB}MiB, type=uefi, name=ESP, uuid=${DISK_GUID%?}1
start=$((ESP_MIB + 1))MiB, size=${ROOT_MIB}MiB, type=4f68bce3-e8cd-4db1-96e7-fbcaf984b709, name=root, uuid=${DISK_GUID%?}2
TABLE
    make_esp "$1" $MIB
    mkdir "$WORK/root"
    # shellcheck disable=SC2016 # the inner shell's
    # One machine-id for all: without it every start of a thrown-away disk is a first one. It comes this
    # late because mmdebstrap empties the file.
    "${as_root[@]}" sh -ec 'tar -C "$1/root" --numeric-owner -xpf "$1/root.tar"
        printf "%s\n" "$3" | tr -d - >"$1/root/etc/machine-id"
        mke2fs -q -F -t ext4 -m 0 -L parapet-root -U "$3" -E "hash_seed=$3,offset=$4,root_owner=0:0" \
            -d "$1/root" "$2" "$5"' sh "$WORK" "$1" "$ROOT_UUID" $(((ESP_MIB + 1) * MIB)) "${ROOT_MIB}M"
}

build() { # IMAGE
    make_overlay "$WORK/overlay.tar"
    chmod 755 "$WORK"
    tick debian "Debian $CODENAME from its packages" "$CACHE/log/debian-root" '' make_root "$WORK/root.tar"
    tick debian 'partitions and file systems' "$CACHE/log/debian-disk" '' make_disk "$1"
}

SHIM=$("$HERE/fetch.sh" deb shim-signed "$CODENAME" "$CODENAME-security")
HELPERS=$("$HERE/fetch.sh" deb shim-helpers-amd64-signed "$CODENAME" "$CODENAME-security")
GRUB=$("$HERE/fetch.sh" deb grub-efi-amd64-signed "$CODENAME" "$CODENAME-security")
mapfile -t own_files < <(find "$HERE/debian-disk" -type f | sort)
key=$(content_key "$HERE/debian-disk.sh" "${own_files[@]}" -- "$CODENAME" "$(cat "${SHIM%/root}/current" \
    "${HELPERS%/root}/current" "${GRUB%/root}/current")")
done_dir=$CACHE/debian/$key

lock debian debian-disk
if [ ! -e "$done_dir/debian.img" ]; then
    mapfile -t SOURCES < <("$HERE/fetch.sh" sources "$CODENAME" "$CODENAME-security")
    mkdir -p "$CACHE/debian"
    WORK=$(begin "$done_dir")
    build "$WORK/debian.img"
    # A name per step stays out of the cache: the image is all that is kept.
    find "$WORK" -mindepth 1 -maxdepth 1 ! -name debian.img -exec rm -rf {} +
    publish "$done_dir"
fi

OUT=$BUILD/guest
mkdir -p "$OUT"
if [ "$(cat "$OUT/debian.key" 2>/dev/null)" != "$key" ] || [ ! -e "$OUT/debian.img" ]; then
    cp --sparse=always --reflink=auto "$done_dir/debian.img" "$OUT/debian.img.part"
    mv "$OUT/debian.img.part" "$OUT/debian.img"
    printf '%s\n' "$key" >"$OUT/debian.key"
fi
say debian "build/guest/debian.img: Debian $CODENAME, $(du -m "$OUT/debian.img" | cut -f1) MB on disk"
