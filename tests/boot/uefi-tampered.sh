#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# One bit of the shim, of GRUB or of the kernel has changed since it was signed, there is no signature
# at all, or a good one that dbx revokes: whoever would have started it refuses, in its own words, and
# nothing that comes later is reached; nor is anything when the guest's state is damaged. Each is a new
# machine: no boot entry, the template's keys.
# alone: Debian, with two VPs
# platforms: native vsm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/uefi.sh"

# refused NAME REGEX: starts the machine with the disk as it is now; the console says so, and nothing
# of what a started one would say.
refused() {
    local seen
    case $1 in
    revoked | store) ;; # the test's own state
    *) rm -f "$dir/vars.fd" "$dir/state.img" ;;
    esac
    truncate -s '>16M' "$dir/state.img"
    start_uefi
    if wait_output "$2" "$LOGIN_SECONDS"; then
        seen=${BASH_REMATCH[0]}
        # What comes next would have come by now.
        if wait_output "$started" 10; then
            result fail "$1" "refused ($seen), but started: ${BASH_REMATCH[0]}"
        else
            result pass "$1" "$seen"
        fi
    else
        result fail "$1" "the console does not say: $2"
        show_logs
    fi
    stop_qemu
    [ "$FIRMWARE" != parapet ] || vtl2_is_well "$1-vtl2-well"
    mv "$dir/console.log" "$dir/console-$1.log"
}

# hash_list FILE: a signature list (UEFI 32.4.1) with the SHA-256 that the file's signature is of.
hash_list() {
    local hash
    sbattach --detach "$dir/signature" "$1" >/dev/null 2>&1 || return 1
    hash=$(openssl asn1parse -inform DER -in "$dir/signature" |
        sed -n 's/.*OCTET STRING *\[HEX DUMP\]:\([0-9A-F]\{64\}\)$/\1/p' | head -n 1)
    [ -n "$hash" ] || return 1
    # EFI_CERT_SHA256_GUID; sizes of the list (76), its header (0), a signature (48); no owner
    printf '%b' "$(sed 's/../\\x&/g' <<<"2616c4c14c509240aca941f9369343284c0000000000000030000000$(printf '%032d' 0)$hash")"
}

debian_copy
add_state
cp --reflink=auto "$disk_image" "$dir/good.img"
again() { cp --sparse=always --reflink=auto "$dir/good.img" "$disk_image"; }

started='Welcome to GRUB'
flip_in_esp /EFI/BOOT/BOOTX64.EFI
refused shim 'Access Denied'

again
esp_get /EFI/BOOT/BOOTX64.EFI "$dir/signed"
# shim has several; each call takes the first one away.
for _ in 1 2 3 4; do
    sbattach --remove "$dir/signed" 2>/dev/null || true
done
esp_put "$dir/signed" /EFI/BOOT/BOOTX64.EFI
refused unsigned 'Access Denied'

if [ "$FIRMWARE" = parapet ]; then
    again
    rm -f "$dir/state.img"
    esp_get /EFI/BOOT/BOOTX64.EFI "$dir/shim"
    if hash_list "$dir/shim" >"$dir/shim.esl" &&
        build/host/uefikeys --json build/uefi/microsoft.json --dbx "$dir/shim.esl" -o "$dir/keys.json" &&
        build/host/vmgstool create "$dir/state.img" --size 16M &&
        build/host/vmgstool uefi-vars import "$dir/state.img" -i "$dir/keys.json"; then
        refused revoked 'Access Denied'
    else
        result fail revoked 'no guest state with another dbx'
    fi
    # A state that cannot be read is not an empty one: nobody knows what may start.
    dd if=/dev/urandom of="$dir/state.img" bs=4096 count=2 conv=notrunc status=none
    started='Access Denied|Welcome to GRUB'
    refused store 'the UEFI variable device has failed. Stopped'
    started='Welcome to GRUB'
fi

again
flip_in_esp /EFI/debian/grubx64.efi
refused grub 'Verification failed: \(0x1A\) Security Violation'

again
started='Linux version|parapet login'
flip_in_root "$(root_path /vmlinuz)"
refused kernel 'bad shim signature'
