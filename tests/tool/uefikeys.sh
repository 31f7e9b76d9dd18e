#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# uefikeys from the command line: certificates and lists in each form, what is no key, the template
# that the image carries, signed updates, there and back through vmgstool.
. "$(dirname "$0")/lib.sh" "${UEFIKEYS:-build/host/uefikeys}"

vectors=$top/tests/vectors/uefi
vmgstool=$top/build/host/vmgstool
OWNER=01234567-89ab-cdef-0123-456789abcdef

# A certificate out of a list of one: behind 28 bytes of header and 16 of owner.
der() { tail -c +45 "$vectors/$1.esl" >"$2"; }
pem() { { echo 'some text'; echo '-----BEGIN CERTIFICATE-----'; base64 "$1"; echo '-----END CERTIFICATE-----'; } >"$2"; }
der pk pk.der
der kek kek.der
der db db.der
der weak weak.der
pem kek.der kek.pem
cat kek.pem kek.pem >twice.pem
cat db.der kek.der >two.der
# value NAME FILE: the bytes of a variable's value, as hexadecimal digits
value() { grep -A 3 "\"name\": \"$1\"" "$2" | sed -n 's/.*"data": "\([0-9a-f]*\)".*/\1/p'; }
bytes() { od -An -v -tx1 "$1" | tr -d ' \n'; }

# ---- usage -----------------------------------------------------------------------------------------
status 2 "$tool"
says "usage: uefikeys"
status 2 "$tool" --pk pk.der
status 2 "$tool" -o out.json --frob x
status 2 "$tool" -o out.json --owner 1234
status 2 "$tool" --pk pk.der -o missing/out.json
says "missing/out.json: cannot write"

# ---- keys in each form -----------------------------------------------------------------------------
status 0 "$tool" --pk pk.der -o a.json
status 0 "$tool" --pk "$vectors/pk.esl" --owner "$OWNER" --kek kek.pem --db db.der --dbx "$vectors/dbx1.esl" -o a.json
[ "$(value PK a.json)" = "$(bytes "$vectors/pk.esl")" ] || fail "a list did not stay what it is"
[ "$(value dbx a.json)" = "$(bytes "$vectors/dbx1.esl")" ] || fail "hashes did not stay what they are"
wanted=$(bytes kek.der)
got=$(value KEK a.json)
[ "${got:88}" = "$wanted" ] || fail "PEM was not decoded"
[ "${got:56:32}" = 67452301ab89efcd0123456789abcdef ] || fail "owner: ${got:56:32}"
status 0 "$tool" --json a.json --kek twice.pem --owner "$OWNER" -o b.json
[ $((${#got} * 2)) = "$(value KEK b.json | tr -d '\n' | wc -c)" ] || fail "another owner's certificate is another signature"
status 0 "$tool" --json a.json --owner "$OWNER" --kek twice.pem -o b.json
cmp a.json b.json || fail "what is there already was added again"
"$tool" --json a.json -o - | cmp - a.json || fail "standard output"

# ---- refused ---------------------------------------------------------------------------------------
status 1 "$tool" --kek kek.der -o c.json
says "there is no PK"
[ ! -e c.json ] || fail "a file was written"
status 1 "$tool" --pk weak.der -o c.json
says "RSA key of 2048"
status 1 "$tool" --pk "$vectors/dbx1.esl" -o c.json
says "certificates only"
status 1 "$tool" --pk pk.der --db two.der -o c.json
says "neither certificates"
status 1 "$tool" --pk "$vectors/pk-self.auth" -o c.json
status 1 "$tool" --json pk.der -o c.json
says "not JSON"
status 1 "$tool" --edk2 pk.der -o c.json
says "no EDK II variable store"
status 2 "$tool" --json nowhere -o c.json
says "cannot open"
sed 's/"attr": 39/"attr": 7/' a.json >d.json
status 1 "$tool" --json d.json -o c.json
says "attr"

# ---- signed updates ----------------------------------------------------------------------------------
status 0 "$tool" --pk pk.der --kek kek.der --dbx "$vectors/dbx1.esl" -o e.json
status 0 "$tool" --json e.json --update-dbx "$vectors/dbx-append.auth" -o f.json
status 0 "$tool" --json e.json --dbx "$vectors/dbx2.esl" -o g.json
[ "$(value dbx f.json)" = "$(value dbx g.json)" ] || fail "an update adds something else than its list"
grep -A 4 '"name": "dbx"' f.json | grep -q '"time": "ea07' || fail "the update's time was not kept"
status 0 "$tool" --json f.json --update-dbx "$vectors/dbx-append.auth" -o g.json
cmp f.json g.json || fail "an update took effect twice"
cp e.json h.json
for what in "db $vectors/dbx-append.auth" "dbx $vectors/db-stranger.auth" "dbx $vectors/dbx1.auth" \
    "dbx $vectors/dbx1.esl" "dbx pk.der" "kek $vectors/kek-kek.auth"; do
    # shellcheck disable=SC2086 # two words
    set -- $what
    status 1 "$tool" --json e.json "--update-$1" "$2" -o h.json
    says "no update of"
    cmp -s e.json h.json || fail "--update-$1 $2: a file was written"
done
head -c 100 "$vectors/dbx-append.auth" >short.auth
status 1 "$tool" --json e.json --update-dbx short.auth -o h.json
status 1 "$tool" --kek kek.der --update-dbx "$vectors/dbx-append.auth" -o h.json
says "there is no PK yet"
status 2 "$tool" --json e.json --update-pk "$vectors/pk-next.auth" -o h.json
# What is no key stays out.
sed '0,/"variables": \[/s//&{"name": "Boot0001", "guid": "8be4df61-93ca-11d2-aa0d-00e098032b8c", "attr": 7, "data": "0102"},/' \
    e.json >h.json
status 0 "$tool" --json h.json -o i.json
says "Boot0001 is no key: left out"
cmp e.json i.json || fail "something else than keys was taken over"

# ---- the image's template --------------------------------------------------------------------------
if [ -f "$top/build/uefi/microsoft.json" ]; then
    status 0 "$tool" --json "$top/build/uefi/microsoft.json" --dbx "$vectors/dbx1.esl" -o more.json
    for name in PK KEK db dbx; do
        [ -n "$(value "$name" more.json)" ] || fail "the template has no $name"
    done
    value db more.json | grep -q "$(printf 'Microsoft UEFI CA 2023' | od -An -tx1 | tr -d ' \n')" || fail "db lacks Microsoft's CA of 2023"
    value db more.json | grep -q "$(printf 'Microsoft Corporation UEFI CA 2011' | od -An -v -tx1 | tr -d ' \n')" || fail "db lacks Microsoft's CA of 2011"
fi

# ---- vmgstool uefi-vars ----------------------------------------------------------------------------
[ -x "$vmgstool" ] || exit 0
tool=$vmgstool
status 2 "$tool" uefi-vars
says "list, export or import"
status 0 "$tool" create v.vmgs
status 3 "$tool" uefi-vars list v.vmgs
status 2 "$tool" uefi-vars import v.vmgs
says "-i IN is missing"
status 0 "$tool" uefi-vars import v.vmgs -i a.json
status 0 "$tool" uefi-vars list v.vmgs
says "PK"
says "NV,BS,RT,AT  1 signatures"
"$tool" uefi-vars export v.vmgs | cmp - a.json || fail "export is not what was imported"
# One more variable, one changed; then only those.
cat >e.json <<'EOF'
{"version": 2, "variables": [
 {"name": "Boot0001", "guid": "8be4df61-93ca-11d2-aa0d-00e098032b8c", "attr": 7, "data": "0102"},
 {"name": "dbx", "guid": "d719b2cb-3d3a-4596-a3bc-dad00e67656f", "attr": 39, "data": "00", "time": "ea070104121314000000000000000000"}]}
EOF
status 0 "$tool" uefi-vars import v.vmgs -i e.json
status 0 "$tool" uefi-vars list v.vmgs
says "Boot0001                      2 bytes  NV,BS,RT"
says "no list of signatures"
[ "$(wc -l <out)" = 5 ] || fail "import made $(wc -l <out) variables"
status 0 "$tool" uefi-vars export v.vmgs -o f.json
grep -q '"time": "ea070104121314000000000000000000"' f.json || fail "the time was lost"
status 0 "$tool" uefi-vars import v.vmgs -i e.json --replace
status 0 "$tool" uefi-vars list v.vmgs
[ "$(wc -l <out)" = 2 ] || fail "--replace left something"
status 2 "$tool" uefi-vars import v.vmgs -i pk.der
says "not JSON"
sed 's/"data": "00"/"data": "0"/' e.json >g.json
status 2 "$tool" uefi-vars import v.vmgs -i g.json
says "variable 1: data"
# Encrypted: with the key only.
head -c 32 /dev/urandom >key
status 0 "$tool" create s.vmgs --key key
status 4 "$tool" uefi-vars import s.vmgs -i a.json
status 0 "$tool" uefi-vars import s.vmgs -i a.json --key key
status 4 "$tool" uefi-vars list s.vmgs
status 0 "$tool" uefi-vars export s.vmgs --key key -o back.json
cmp a.json back.json || fail "encrypted: export is not what was imported"
# Something else in BIOS_NVRAM, and too much.
status 0 "$tool" write v.vmgs BIOS_NVRAM -i key
status 1 "$tool" uefi-vars list v.vmgs
says "BIOS_NVRAM, byte 0x"
status 1 "$tool" uefi-vars import v.vmgs -i a.json
{
    echo '{"version": 2, "variables": ['
    for i in 1 2 3 4 5 6; do
        printf '%s{"name": "V%d", "guid": "8be4df61-93ca-11d2-aa0d-00e098032b8c", "attr": 7, "data": "' "$([ $i = 1 ] || echo ,)" "$i"
        head -c 100000 /dev/zero | tr '\0' 5
        echo '"}'
    done
    echo ']}'
} >large.json
status 6 "$tool" uefi-vars import s.vmgs -i large.json --key key
says "no room for all these variables"
status 0 "$tool" uefi-vars export s.vmgs --key key -o back.json
cmp a.json back.json || fail "a refused import changed something"
