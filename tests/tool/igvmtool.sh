#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# igvmtool from the command line: exit codes, what is left on disk after a failure, and an
# independent reading of what it wrote, with od and the published numbers instead of our library.
. "$(dirname "$0")/lib.sh" "${IGVMTOOL:-build/host/igvmtool}"

head -c 10000 /dev/zero | tr '\0' 'x' >payload
manifest() {
    cat <<JSON
{ "platforms": [ { "type": "native" }, { "type": "vsm", "highest_vtl": 2 } ],
  "regions": [
    { "kind": "data", "name": "low", "gpa": "0x200000", "file": "payload", "unmeasured": true },
    { "kind": "data", "name": "zero", "gpa": "${1:-0x204000}", "size": "8K", "platforms": ["vsm"] },
    { "kind": "parameter_area", "gpa": "0x300000", "size": "4K",
      "parameters": [ { "type": "vp_count", "offset": 64 } ] },
    { "kind": "vp_context", "platforms": ["native"],
      "registers": { "rip": "0x200010", "rdi": ${2:-0} } }
  ] }
JSON
}
manifest >a.json

# ---- exit codes ------------------------------------------------------------------------------------
status 2 "$tool"
says "usage: igvmtool COMMAND"
status 0 "$tool" help
status 0 "$tool" help types
says "0x302 page_data: gpa compatibility_mask file_offset flags data_type"
status 2 "$tool" frobnicate
status 2 "$tool" build a.json
status 2 "$tool" build missing.json -o a.igvm
says "missing.json: cannot open"
status 0 "$tool" build a.json -o a.igvm --verbose
says "+ 0000000000200000  0000000000203000"
status 0 "$tool" check a.igvm
status 2 "$tool" check missing.igvm
status 2 "$tool" check
status 0 "$tool" dump a.igvm
says "page_data              gpa=0x200000 compatibility_mask=0x3"
says "... 3 pages, up to gpa 0x203000"
status 0 "$tool" dump --json a.igvm

# ---- determinism; differences ----------------------------------------------------------------------
status 0 "$tool" build a.json -o b.igvm
cmp a.igvm b.igvm || fail "two builds of one manifest differ"
status 0 "$tool" diff a.igvm b.igvm
manifest 0x205000 7 >b.json
status 0 "$tool" build b.json -o b.igvm
status 1 "$tool" diff a.igvm b.igvm
says "< page_data gpa=0x204000"
says "> page_data gpa=0x206000"
says "data at 0x38: 00 | 07"
status 2 "$tool" diff a.igvm

# ---- a failed build leaves the old file and nothing else ---------------------------------------------
cp a.igvm old.igvm
manifest 0x202000 >c.json
status 2 "$tool" build c.json -o a.igvm
says "c.json: \$.regions[1] (zero): [0x202000, 0x204000) overlaps low"
cmp a.igvm old.igvm || fail "a failed build changed the output"
[ "$(find . -name 'a.igvm*' | wc -l)" = 1 ] || fail "a temporary file was left behind"

# ---- damage ------------------------------------------------------------------------------------------
cp a.igvm bad.igvm
printf '\377' | dd of=bad.igvm bs=1 seek=40 conv=notrunc status=none
status 1 "$tool" check bad.igvm
says "bad.igvm: fixed header at file offset 0x14: rule broken: the checksum"
head -c 100 a.igvm >bad.igvm
status 1 "$tool" check bad.igvm
says "total_file_size is the size of the file"

# ---- extraction --------------------------------------------------------------------------------------
status 0 "$tool" extract a.igvm --region low --manifest a.json -o x
cmp x payload || fail "the extracted region differs"
status 0 "$tool" extract a.igvm --gpa 0x200000 -o x
[ "$(stat -c %s x)" = 12288 ] || fail "the run of pages is not 3 pages long"
status 0 "$tool" extract a.igvm --gpa 0x200ff0 --size 32 -o x
cmp -n 32 x payload || fail "a range across pages differs"
status 2 "$tool" extract a.igvm --gpa 0x204000 -o x
says "imports no page at 0x204000"
status 0 "$tool" extract a.igvm --gpa 0x204000 --platform vsm -o x
status 0 "$tool" extract a.igvm --index 2 -o x
[ "$(stat -c %s x)" = 4096 ] || fail "a page's data is not 4096 bytes"
status 2 "$tool" extract a.igvm --index 999 -o x
status 2 "$tool" extract a.igvm -o x

# ---- read once more, without our library -------------------------------------------------------------
[ "$(head -c 4 a.igvm)" = IGVM ] || fail "magic"
[ "$(u32 a.igvm 4)" = 2 ] || fail "version"
[ "$(u32 a.igvm 16)" = "$(stat -c %s a.igvm)" ] || fail "total file size"
[ "$(u32 a.igvm 24)" = 0 ] || fail "architecture"
[ "$(u32 a.igvm 28)" = 4096 ] || fail "page size"
off=$(u32 a.igvm 8)
end=$((off + $(u32 a.igvm 12)))
types=
while [ "$off" -lt "$end" ]; do
    type=$(u32 a.igvm "$off")
    length=$(u32 a.igvm $((off + 4)))
    types="$types $(printf %x "$type"):$length"
    if [ "$type" = $((0x302)) ] && [ "$(u64 a.igvm $((off + 8)))" = $((0x202000)) ]; then
        [ "$(u32 a.igvm $((off + 16)))" = 3 ] || fail "page data: mask"
        [ "$(u32 a.igvm $((off + 24)))" = 2 ] || fail "page data: flags"
        data=$(u32 a.igvm $((off + 20)))
    fi
    if [ "$type" = $((0x304)) ]; then
        context=$(u32 a.igvm $((off + 20)))
        [ "$(u64 a.igvm $((context + 128)))" = $((0x200010)) ] || fail "VP context: RIP"
    fi
    off=$((off + 8 + (length + 7) / 8 * 8))
done
[ "$off" = "$end" ] || fail "the headers do not end where they should"
wanted=" 1:16 1:16 302:24 302:24 302:24 302:24 302:24 301:16 307:8 303:16 304:20"
[ "$types" = "$wanted" ] || fail "headers are$types, not$wanted"
# part FILE OFFSET COUNT: dd, because a pipe into head would end its writer with SIGPIPE.
part() { dd if="$1" iflag=skip_bytes,count_bytes skip="$2" count="$3" status=none; }
# The third page of the payload: 10000 - 8192 bytes, then zeroes.
part a.igvm "$data" 4096 >page
part payload 8192 1808 >want
head -c 2288 /dev/zero >>want
cmp page want || fail "page data"
# gzip's trailer holds the same CRC-32: fixed and variable headers with the checksum as zero.
(part a.igvm 0 20; printf '\0\0\0\0'; part a.igvm 24 $((end - 24))) | gzip -c >headers.gz
[ "$(u32 headers.gz $(($(stat -c %s headers.gz) - 8)))" = "$(u32 a.igvm 20)" ] || fail "checksum"

# ---- measurement, computed again with sha384sum ------------------------------------------------------
cat >m.json <<JSON
{ "platforms": [ { "type": "snp" }, { "type": "tdx" } ],
  "regions": [
    { "kind": "header", "type": "guest_policy", "platforms": ["snp"], "fields": { "policy": "0x30000" } },
    { "kind": "data", "gpa": "0x1000", "file": "page" },
    { "kind": "data", "gpa": "0x2000", "file": "page", "unmeasured": true },
    { "kind": "data", "gpa": "0x3000", "size": "4K", "shared": true },
    { "kind": "data", "gpa": "0x4000", "size": "4K" },
    { "kind": "data", "gpa": "0x5000", "size": "4K", "page_type": "secrets", "platforms": ["snp"] },
    { "kind": "parameter_area", "gpa": "0x6000", "size": "4K", "parameters": [ { "type": "madt" } ] },
    { "kind": "vp_context", "platforms": ["snp"], "gpa": "0x7000", "file": "page" } ] }
JSON
head -c 4096 /dev/zero >zero
status 0 "$tool" build m.json -o m.igvm
status 2 "$tool" measure m.igvm
status 2 "$tool" measure --platform snp a.igvm

le64() { printf '%016x' "$1" | sed 's/\(..\)\(..\)\(..\)\(..\)\(..\)\(..\)\(..\)\(..\)/\\x\8\\x\7\\x\6\\x\5\\x\4\\x\3\\x\2\\x\1/'; }
# shellcheck disable=SC2001 # bash 5.1 has no back-reference to what it replaces
escape() { sed 's/../\\x&/g' <<<"$1"; }
nothing=$(printf '%096d' 0)
digest=$nothing
snp() { # TYPE GPA [FILE]: one more PAGE_INFO
    local contents=$nothing
    [ -z "${3:-}" ] || contents=$(sha384sum <"$3" | cut -c1-96)
    digest=$(printf '%b' "$(escape "$digest")$(escape "$contents")\\x70\\x00\\x0$1\\x00\\x00\\x00\\x00\\x00$(le64 "$2")" |
        sha384sum | cut -c1-96)
}
snp 1 $((0x1000)) page
snp 4 $((0x2000))
snp 1 $((0x4000)) zero
snp 5 $((0x5000))
snp 4 $((0x6000))
snp 2 $((0x7000)) page
status 0 "$tool" measure --platform snp m.igvm
[ "$(cat out)" = "$digest" ] || fail "SNP launch digest is $(cat out), not $digest"

record() { # NAME GPA
    printf '%s' "$1"
    head -c $((16 - ${#1})) /dev/zero
    printf '%b' "$(le64 "$2")"
    head -c 104 /dev/zero
}
tdx() { # GPA [FILE]
    local chunk
    record MEM.PAGE.ADD "$1"
    for chunk in $([ -z "${2:-}" ] || seq 0 256 4095); do
        record MR.EXTEND $(($1 + chunk))
        part "$2" "$chunk" 256
    done
}
{
    tdx $((0x1000)) page
    tdx $((0x2000))
    tdx $((0x4000)) zero
    tdx $((0x6000))
} >records
status 0 "$tool" measure --platform tdx m.igvm
[ "$(cat out)" = "$(sha384sum <records | cut -c1-96)" ] || fail "MRTD is $(cat out)"
echo "igvmtool: all as documented"
