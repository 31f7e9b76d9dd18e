#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Makes the vectors of tests/unit/test_uefi_auth*.c anew: keys, signature lists (*.esl) and signed
# payloads (*.auth, EFI_VARIABLE_AUTHENTICATION_2 and value). The keys are made for this and thrown
# away. Needs openssl 3, and for two files sbsigntool and efitools as independent peers. The results
# are committed, so that tests need none of them; a new run makes other keys and all files anew.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -f ./*.auth ./*.esl

GLOBAL=61dfe48bca93d211aa0d00e098032b8c
SECURITY=cbb219d73a3d9645a3bcdad00e67656f
PRIVATE=00112233445566778899aabbccddeeff
OWNER=ffeeddccbbaa99887766554433221100
X509=a159c0a5e494a74a87b5ab155c2bf072
SHA256=2616c4c14c509240aca941f936934328
PKCS7=9dd2af4adf68ee498aa9347d375665a7

hex() { tr -d ' \n' | sed 's/../\\x&/g' | xargs -0 printf '%b'; }
le32() { printf '%08x' "$1" | sed 's/\(..\)\(..\)\(..\)\(..\)/\4\3\2\1/' | hex; }
le16() { printf '%04x' "$1" | sed 's/\(..\)\(..\)/\2\1/' | hex; }
ucs2() { printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n' | sed 's/../&00/g' | hex; }
size() { stat -c %s "$1"; }

key() { # NAME SUBJECT BITS [OPENSSL-OPTION…]: self-signed
    local name=$1 subject=$2 bits=$3
    shift 3
    openssl req -x509 -newkey "rsa:$bits" -nodes -subj "$subject" -days 36500 -keyout "$work/$name.key" \
        -out "$work/$name.pem" "$@" 2>/dev/null
    openssl x509 -in "$work/$name.pem" -outform der -out "$work/$name.der"
}
issue() { # NAME SUBJECT CA EXTENSIONS [OPENSSL-OPTION…]
    local name=$1 subject=$2 ca=$3 extensions=$4
    shift 4
    openssl req -new -newkey rsa:2048 -nodes -subj "$subject" -keyout "$work/$name.key" -out "$work/$name.csr" 2>/dev/null
    printf '%s\n' "$extensions" >"$work/ext"
    openssl x509 -req -in "$work/$name.csr" -CA "$work/$ca.pem" -CAkey "$work/$ca.key" -days 36500 \
        -extfile "$work/ext" -out "$work/$name.pem" "$@" 2>/dev/null
    openssl x509 -in "$work/$name.pem" -outform der -out "$work/$name.der"
}
certificates() { # OUT NAME…: one list each
    local out=$1 name bytes
    shift
    for name; do
        bytes=$(size "$work/$name.der")
        hex <<<"$X509"; le32 $((28 + 16 + bytes)); le32 0; le32 $((16 + bytes)); hex <<<"$OWNER"
        cat "$work/$name.der"
    done >"$out"
}
hashes() { # OUT TEXT…: one list of SHA-256
    local out=$1 text
    shift
    { hex <<<"$SHA256"; le32 $((28 + 48 * $#)); le32 0; le32 48
        for text; do hex <<<"$OWNER"; printf %s "$text" | openssl dgst -sha256 -binary; done; } >"$out"
}
signed_bytes() { # NAME GUID ATTRIBUTES SECOND VALUE: 2026-01-02 03:04:SECOND
    ucs2 "$1"; hex <<<"$2"; le32 "$3"; time_bytes "$4"; cat "$5"
}
time_bytes() { le16 2026; hex <<<"01020304"; printf '%02x' "$1" | hex; hex <<<"000000000000000000"; }
strip() { # PKCS7: without ContentInfo
    local off
    off=$(openssl asn1parse -inform DER -in "$1" | sed -n '4s/^ *\([0-9]*\):.*/\1/p')
    tail -c +$((off + 1)) "$1"
}
payload() { # OUT SECOND PKCS7 VALUE
    { time_bytes "$2"; le32 $((24 + $(size "$3"))); le16 0x0200; le16 0x0ef1; hex <<<"$PKCS7"; cat "$3" "$4"; } >"$1"
}
# sign OUT NAME GUID ATTRIBUTES SECOND VALUE SIGNER [OPENSSL-OPTION…]. COMMAND=cms and KEEP=1 (the
# ContentInfo) change how.
sign() {
    local out=$1 second=$5 value=$6 signer=$7
    signed_bytes "$2" "$3" "$4" "$5" "$6" >"$work/tbs"
    shift 7
    [ $# -gt 0 ] || set -- -noattr
    openssl "${COMMAND:-smime}" -sign -binary -in "$work/tbs" -signer "$work/$signer.pem" -inkey "$work/$signer.key" \
        -outform DER -out "$work/p7" "$@"
    if [ -n "${KEEP:-}" ]; then cp "$work/p7" "$work/stripped"; else strip "$work/p7" >"$work/stripped"; fi
    payload "$out" "$second" "$work/stripped" "$value"
}

key pk '/CN=Test PK' 2048
key pk2 '/CN=Test PK 2' 3072
key kek '/O=Test/CN=Test KEK' 2048
key kek4096 '/CN=Test KEK 4096' 4096 -sha512
key weak '/CN=Test weak' 1024
key stranger '/CN=Test stranger' 2048
key twin '/CN=Test private' 2048
key private '/CN=Test private' 2048
key root '/CN=Test root' 2048 -sha384
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=Test EC' -days 36500 \
    -keyout "$work/ec.key" -out "$work/ec.pem" 2>/dev/null
openssl x509 -in "$work/ec.pem" -outform der -out "$work/ec.der"
issue middle '/CN=Test middle' root 'basicConstraints=critical,CA:TRUE'
issue leaf '/CN=Test leaf' middle 'basicConstraints=CA:FALSE'
issue leaf2 '/CN=Test leaf' middle 'basicConstraints=CA:FALSE'
issue other '/CN=Test other leaf' middle 'basicConstraints=CA:FALSE'
issue sha1 '/CN=Test SHA-1 leaf' root 'basicConstraints=CA:FALSE' -sha1
issue below '/CN=Test below a leaf' leaf 'basicConstraints=CA:FALSE'

certificates pk.esl pk
certificates pk2.esl pk2
certificates two.esl pk pk2
certificates kek.esl kek
certificates keks.esl stranger kek kek4096
certificates weak.esl weak
certificates ec.esl ec
certificates root.esl root
certificates middle.esl middle
certificates leaf.esl leaf
certificates db.esl stranger
hashes dbx1.esl one
hashes dbx2.esl two one three two
: >"$work/empty"
printf 'private value' >"$work/value"
cat "$work/middle.pem" "$work/root.pem" >"$work/chain.pem"

A=0x27 APPEND=0x67
sign pk-self.auth PK $GLOBAL $A 10 pk.esl pk
sign pk-foreign.auth PK $GLOBAL $A 10 pk.esl stranger
sign pk-next.auth PK $GLOBAL $A 20 pk2.esl pk
sign pk-two.auth PK $GLOBAL $A 20 two.esl pk
sign pk-hash.auth PK $GLOBAL $A 20 dbx1.esl pk
sign pk-weak.auth PK $GLOBAL $A 20 weak.esl pk
sign pk-ec.auth PK $GLOBAL $A 20 ec.esl pk
sign pk-append.auth PK $GLOBAL $APPEND 20 pk2.esl pk
sign pk-delete.auth PK $GLOBAL $A 30 "$work/empty" pk
sign pk-delete-kek.auth PK $GLOBAL $A 30 "$work/empty" kek
sign kek-pk.auth KEK $GLOBAL $A 10 keks.esl pk
sign kek-kek.auth KEK $GLOBAL $A 10 keks.esl kek
sign db-kek.auth db $SECURITY $A 10 db.esl kek
sign db-pk.auth db $SECURITY $A 10 db.esl pk
sign db-stranger.auth db $SECURITY $A 10 db.esl stranger
sign db-later.auth db $SECURITY $A 20 dbx1.esl kek
sign db-delete.auth db $SECURITY $A 20 "$work/empty" kek
sign dbt.auth dbt $SECURITY $A 10 db.esl kek
sign dbx1.auth dbx $SECURITY $A 10 dbx1.esl kek
sign dbx-append.auth dbx $SECURITY $APPEND 5 dbx2.esl kek
sign dbx-append-later.auth dbx $SECURITY $APPEND 20 dbx2.esl kek
sign db-4096.auth db $SECURITY $A 10 dbx1.esl kek4096
sign db-attributes.auth db $SECURITY $A 10 dbx1.esl kek -nosmimecap
sign db-smimecap.auth db $SECURITY $A 10 dbx1.esl kek -md sha256
KEEP=1 sign db-contentinfo.auth db $SECURITY $A 10 dbx1.esl kek
sign db-sha384.auth db $SECURITY $A 10 dbx1.esl kek -noattr -md sha384
sign db-sha512.auth db $SECURITY $A 10 dbx1.esl kek -md sha512
sign db-sha1.auth db $SECURITY $A 10 dbx1.esl kek -noattr -md sha1
sign db-weak.auth db $SECURITY $A 10 dbx1.esl weak
COMMAND=cms sign db-ec.auth db $SECURITY $A 10 dbx1.esl ec
COMMAND=cms sign db-pss.auth db $SECURITY $A 10 dbx1.esl kek -noattr -keyopt rsa_padding_mode:pss
COMMAND=cms sign db-keyid.auth db $SECURITY $A 10 dbx1.esl kek -noattr -keyid
sign db-content.auth db $SECURITY $A 10 dbx1.esl kek -noattr -nodetach
sign db-nocerts.auth db $SECURITY $A 10 dbx1.esl kek -noattr -nocerts
sign db-two-signers.auth db $SECURITY $A 10 dbx1.esl kek -noattr -signer "$work/pk.pem" -inkey "$work/pk.key"
sign db-chain.auth db $SECURITY $A 10 dbx1.esl leaf -noattr -certfile "$work/chain.pem"
sign db-gap.auth db $SECURITY $A 10 dbx1.esl leaf -noattr -certfile "$work/root.pem"
sign db-leaf.auth db $SECURITY $A 10 dbx1.esl leaf
sign db-below.auth db $SECURITY $A 10 dbx1.esl below -noattr -certfile <(cat "$work/leaf.pem" "$work/chain.pem")
sign db-sha1-leaf.auth db $SECURITY $A 10 dbx1.esl sha1
sign private.auth Mine $PRIVATE $A 10 "$work/value" private
sign private-again.auth Mine $PRIVATE $A 20 "$work/value" private
sign private-append.auth Mine $PRIVATE $APPEND 5 "$work/value" private
sign private-delete.auth Mine $PRIVATE $A 20 "$work/empty" private
sign private-twin.auth Mine $PRIVATE $A 20 "$work/value" twin
sign private-leaf.auth Mine $PRIVATE $A 10 "$work/value" leaf -noattr -certfile "$work/chain.pem"
sign private-leaf2.auth Mine $PRIVATE $A 20 "$work/value" leaf2 -noattr -certfile "$work/chain.pem"
sign private-other.auth Mine $PRIVATE $A 20 "$work/value" other -noattr -certfile "$work/chain.pem"
sign private-chain-alone.auth Mine $PRIVATE $A 20 "$work/value" leaf2

# Signatures whose padding is not exactly PKCS#1's, by the right key: the last 256 bytes of a good
# PKCS#7 are exchanged. DigestInfo of SHA-256 and the digest:
sign db-padding.auth db $SECURITY $A 10 dbx1.esl kek
digest=$(openssl dgst -sha256 -binary "$work/tbs" | od -An -v -tx1 | tr -d ' \n')
info=3031300d060960864801650304020105000420$digest
bare=302f300b06096086480165030402010420$digest
repeat() { printf "%.0s$1" $(seq "$2"); }
forge() { # OUT BLOCK: 256 bytes as hex
    [ ${#2} = 512 ] || { echo "block of $1: ${#2}"; exit 1; }
    hex <<<"$2" >"$work/block"
    openssl pkeyutl -decrypt -inkey "$work/kek.key" -pkeyopt rsa_padding_mode:none -in "$work/block" -out "$work/signature"
    { head -c -256 "$work/stripped"; cat "$work/signature"; } >"$work/forged"
    payload "$1" 10 "$work/forged" dbx1.esl
}
forge pad-good.auth "0001$(repeat ff 202)00$info"
forge pad-garbage.auth "0001$(repeat ff 8)00$info$(repeat ab 194)"
forge pad-short.auth "0001$(repeat ff 201)0000$info"
forge pad-type2.auth "0002$(repeat ff 202)00$info"
forge pad-zeros.auth "0001$(repeat 00 202)00$info"
forge pad-no-null.auth "0001$(repeat ff 204)00$bare"
rm db-padding.auth

# Independent peers, where they are installed.
if command -v sbvarsign >/dev/null && command -v sign-efi-sig-list >/dev/null; then
    sbvarsign --key "$work/kek.key" --cert "$work/kek.pem" --output sbvarsign.auth \
        --attr NON_VOLATILE,BOOTSERVICE_ACCESS,RUNTIME_ACCESS,TIME_BASED_AUTHENTICATED_WRITE_ACCESS db dbx1.esl
    sign-efi-sig-list -k "$work/kek.key" -c "$work/kek.pem" -t '2026-01-02 03:04:10' db dbx1.esl efitools.auth >/dev/null
    sign-efi-sig-list -a -k "$work/kek.key" -c "$work/kek.pem" -t '2026-01-02 03:04:10' dbx dbx1.esl efitools-append.auth >/dev/null
else
    echo 'sbvarsign and sign-efi-sig-list are missing: no vectors of theirs' >&2
fi
