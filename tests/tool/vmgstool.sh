#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# vmgstool from the command line: exit codes, contents there and back, damage in each block, wrong
# keys, a full image, repair, and an independent look at the layout with od and gzip's CRC-32.
. "$(dirname "$0")/lib.sh" "${VMGSTOOL:-build/host/vmgstool}"

flip() { # FILE OFFSET: one bit
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
    # shellcheck disable=SC2059 # the format is the byte
    printf "\\x$(printf %02x $((byte ^ 16)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

head -c 20000 /dev/urandom >nvram
head -c 5000 /dev/urandom >tpm
head -c 32 /dev/urandom >key
head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >key2
echo >>key2
printf short >bad-key

# ---- usage -----------------------------------------------------------------------------------------
status 2 "$tool"
says "usage: vmgstool COMMAND"
status 0 "$tool" help
status 2 "$tool" frobnicate
status 2 "$tool" list
status 2 "$tool" list missing.vmgs
says "missing.vmgs: cannot open"
status 2 "$tool" read a.vmgs NOBODY
says "neither a file's name nor its number"
status 2 "$tool" list a.vmgs --key bad-key
says "32 bytes or 64 hexadecimal digits"
status 2 "$tool" create a.vmgs --size 1000
status 2 "$tool" list a.vmgs --frob x

# ---- a plain image -----------------------------------------------------------------------------------
status 0 "$tool" create a.vmgs
[ "$(stat -c %s a.vmgs)" = 4194304 ] || fail "the default size is not 4 MiB"
status 2 "$tool" create a.vmgs
says "--force"
status 0 "$tool" write a.vmgs BIOS_NVRAM -i nvram
status 0 "$tool" write a.vmgs 3 -i tpm
status 0 "$tool" list a.vmgs
says " 1  BIOS_NVRAM               20000 bytes"
says " 3  TPM_NVRAM                 5000 bytes"
status 0 "$tool" read a.vmgs BIOS_NVRAM -o back
cmp nvram back || fail "BIOS_NVRAM came back changed"
"$tool" read a.vmgs TPM_NVRAM | cmp - tpm || fail "TPM_NVRAM came back changed"
status 3 "$tool" read a.vmgs ATTEST -o back
says "file 5 (ATTEST)"
status 3 "$tool" delete a.vmgs 12
status 2 "$tool" delete a.vmgs 63
status 4 "$tool" list a.vmgs --key key
says "a key is for an encrypted file system"
status 0 "$tool" check a.vmgs
status 0 "$tool" check a.vmgs --json
status 0 "$tool" dump a.vmgs
says "header 0 at 0x0: sequence 3"
status 0 "$tool" dump a.vmgs --json
if command -v python3 >/dev/null; then
    python3 -c 'import json,sys; d=json.load(sys.stdin); assert d["active_header"]==1 and [f["id"] for f in d["files"]]==[1,3] and d["headers"][1]["sequence"]==4, d' <out ||
        fail "dump --json"
    "$tool" list a.vmgs --json | python3 -c 'import json,sys; json.load(sys.stdin)' || fail "list --json"
    "$tool" check a.vmgs --json | python3 -c 'import json,sys; json.load(sys.stdin)' || fail "check --json"
fi

# ---- the layout, from outside --------------------------------------------------------------------------
# gzip's trailer has the CRC-32 of what it packed: header 1 with its checksum field as zero.
head -c 8 <(dd if=a.vmgs bs=1 skip=512 count=8 status=none) | cmp - <(printf GUESTRTS) || fail "signature"
{
    dd if=a.vmgs bs=1 skip=512 count=12 status=none
    printf '\0\0\0\0'
    dd if=a.vmgs bs=1 skip=528 count=152 status=none
} | gzip -c >crc.gz
[ "$(u32 crc.gz $(($(stat -c %s crc.gz) - 8)))" = "$(u32 a.vmgs 524)" ] || fail "header checksum"
table=$(($(u32 a.vmgs 536) * 4096))
place=$(u32 a.vmgs $((table + 64)))
cmp <(dd if=a.vmgs bs=4096 skip="$place" count=5 status=none | head -c 20000) nvram || fail "file data is not where the table says"

# ---- encryption ----------------------------------------------------------------------------------------
cp a.vmgs plain.vmgs
echo 'key material' >protector
status 0 "$tool" write a.vmgs KEY_PROTECTOR -i protector
status 0 "$tool" encrypt a.vmgs --key key
status 4 "$tool" encrypt a.vmgs --key key2
status 0 "$tool" list a.vmgs
says "encrypted"
status 4 "$tool" read a.vmgs TPM_NVRAM -o back
says "with the key"
status 4 "$tool" read a.vmgs TPM_NVRAM -o back --key key2
says "the key opens one of the two key slots"
status 0 "$tool" read a.vmgs TPM_NVRAM -o back --key key
cmp tpm back || fail "TPM_NVRAM after encryption"
status 0 "$tool" read a.vmgs KEY_PROTECTOR -o back
cmp protector back || fail "KEY_PROTECTOR is not plain"
# Nothing of the plain text is left: 16 bytes of each file at a time.
tpm_piece=$(od -An -v -tx1 -N 16 tpm | tr -d ' \n')
od -An -v -tx1 -w16 a.vmgs | tr -d ' ' | grep -q "$tpm_piece" && fail "plain text is left in a free block"
status 4 "$tool" write a.vmgs TPM_NVRAM -i nvram
status 4 "$tool" write a.vmgs TPM_NVRAM -i nvram --key key --plain
says "is not written in plain text"
status 0 "$tool" write a.vmgs TPM_NVRAM -i nvram --key key
status 4 "$tool" delete a.vmgs TPM_NVRAM
status 0 "$tool" rekey a.vmgs --key key --new-key key2
status 4 "$tool" read a.vmgs 3 -o back --key key
status 0 "$tool" read a.vmgs 3 -o back --key key2
cmp nvram back || fail "TPM_NVRAM after the change of key"
status 0 "$tool" check a.vmgs --key key2
status 4 "$tool" check a.vmgs --key key
status 2 flock a.vmgs "$tool" create a.vmgs --force
says "in use by another program"
status 0 "$tool" check a.vmgs --key key2

# ---- full, empty, foreign -----------------------------------------------------------------------------------
status 0 "$tool" create small.vmgs --size 64K --sector 4096 --key key
status 0 "$tool" write small.vmgs 1 -i nvram --key key
status 6 "$tool" write small.vmgs 2 -i nvram --key key
says "file 2 (TPM_PPI) at byte 0x10000: rule broken: free blocks in one piece"
status 0 "$tool" read small.vmgs 1 --key key -o back
cmp nvram back || fail "the full image lost its file"
head -c 65536 /dev/zero >zero.vmgs
status 5 "$tool" list zero.vmgs
says "the file is not empty"
cp zero.vmgs gpt.vmgs
printf 'EFI PART' | dd of=gpt.vmgs bs=1 seek=512 conv=notrunc status=none
status 5 "$tool" list gpt.vmgs
head -c 5000 a.vmgs >cut.vmgs
status 1 "$tool" list cut.vmgs
says "room for at least 6 blocks"
head -c 16384 a.vmgs >cut.vmgs
truncate -s 24576 cut.vmgs
status 1 "$tool" list cut.vmgs
says "byte 0x"
{ cat plain.vmgs; printf conectix; head -c 504 /dev/zero; } >fixed.vhd
status 0 "$tool" read fixed.vhd 1 -o back
cmp nvram back || fail "a fixed VHD"

# ---- damage in each block that counts: said with a byte and a rule --------------------------------------------
status 0 "$tool" create c.vmgs --size 96K --key key
status 0 "$tool" write c.vmgs 3 -i tpm --key key
status 0 "$tool" dump c.vmgs --json
newest=$(sed -n 's/.*"active_header": \([01]\).*/\1/p' out)
table=$(($(u32 c.vmgs $((newest * 512 + 24))) * 4096))
extended=$(($(u32 c.vmgs $((table + 63 * 64))) * 4096))
data=$(($(u32 c.vmgs $((table + 3 * 64))) * 4096))
for at in $((table + 3 * 64)) $((table + 3 * 64 + 16)) $((table + 63 * 64 + 30)) "$extended" $((extended + 4095)) "$data" $((data + 4999)); do
    cp c.vmgs d.vmgs
    flip d.vmgs "$at"
    status 1 "$tool" read d.vmgs 3 -o back --key key
    says "at byte 0x"
    says "rule broken"
done

# ---- repair ---------------------------------------------------------------------------------------------------
cp c.vmgs d.vmgs
flip d.vmgs $(((1 - newest) * 512 + 16)) # the header not in use
status 0 "$tool" read d.vmgs 3 -o back --key key
status 1 "$tool" check d.vmgs --key key
says "CRC-32"
status 0 "$tool" repair d.vmgs --key key
status 0 "$tool" check d.vmgs --key key
cmp tpm back || fail "the repaired image's file"
cp c.vmgs d.vmgs
flip d.vmgs "$extended" # the newest state cannot be opened, the one before can
status 1 "$tool" repair d.vmgs --key key
says "--older goes back to it"
status 0 "$tool" repair d.vmgs --key key --older
status 0 "$tool" check d.vmgs --key key
status 3 "$tool" read d.vmgs 3 -o back --key key
cp c.vmgs d.vmgs
flip d.vmgs 20
flip d.vmgs 532
status 1 "$tool" repair d.vmgs --key key
says "nothing was changed"
cmp <(head -c 4096 d.vmgs | tail -c 3500) <(head -c 4096 c.vmgs | tail -c 3500) || fail "repair changed what it refused"
