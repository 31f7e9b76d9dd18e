#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Writes Secure Boot's keys of the template "microsoft" (OUT, the format of vars_json.h) from
# Debian's packages: PK, KEK, db and dbx that Debian enrols in OVMF_VARS_4M.ms.fd, and Microsoft's
# certificates of 2023 from virt-firmware, which sign what the ones of 2011 no longer may.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/lib.sh"

out=${1:?usage: uefi-keys.sh OUT}
ovmf=$("$HERE/fetch.sh" deb ovmf trixie bookworm)
virt=$("$HERE/fetch.sh" deb python3-virt-firmware trixie)
certs=$virt/usr/lib/python3/dist-packages/virt/firmware/certs
mkdir -p "$(dirname "$out")"
"$BUILD/host/uefikeys" --edk2 "$ovmf/usr/share/OVMF/OVMF_VARS_4M.ms.fd" \
    --owner 77fa9abd-0359-4d32-bd60-28f4e78f784b \
    --kek "$certs/MicrosoftCorporationKEK2KCA2023.pem" \
    --db "$certs/WindowsUEFICA2023.pem" --db "$certs/MicrosoftUEFICA2023.pem" -o "$out"
