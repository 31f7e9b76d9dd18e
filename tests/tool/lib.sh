# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the tests of the command-line tools share, sourced with the tool's path as argument: a folder
# of their own to work in, and checks that end the test with a sentence.
set -euo pipefail
export LC_ALL=C

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tool=$1
[[ $tool == /* ]] || tool=$top/$tool
[ -x "$tool" ] || { echo "no $tool: run make ${tool#"$top"/}"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

fail() { echo "FAIL: $*"; exit 1; }

# status WANTED COMMAND...: its output stays in $dir/out.
status() {
    local wanted=$1 got=0
    shift
    "$@" >out 2>&1 || got=$?
    [ "$got" = "$wanted" ] || { cat out; fail "exit status $got, not $wanted: $*"; }
}

says() { grep -qF -- "$1" out || { cat out; fail "did not say: $1"; }; }

u32() { od -An -tu4 --endian=little -j "$2" -N 4 "$1" | tr -d ' '; } # FILE OFFSET
u64() { od -An -tu8 --endian=little -j "$2" -N 8 "$1" | tr -d ' '; }
