#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Writes VTL2's initrd (newc cpio, uncompressed) from userspace/initrd.list. The result depends on
# the contents of the listed files only: names sorted, owner 0:0, one fixed time, inodes renumbered.
# Uncompressed on purpose: unpacking under emulation costs more than the bytes.
set -euo pipefail
export LC_ALL=C

out=${1:?usage: mkinitrd.sh OUT}
top=$(cd "$(dirname "$0")/../.." && pwd)
list=$top/userspace/initrd.list
stage=$(mktemp -d "$top/build/initrd.XXXXXX")
trap 'rm -rf "$stage"' EXIT

line_no=0
while read -r kind path rest; do
    line_no=$((line_no + 1))
    case $kind in
    '' | '#'*) ;;
    dir)
        mkdir -p "$stage$path"
        chmod "$rest" "$stage$path"
        ;;
    file)
        read -r source mode <<<"$rest"
        if [ ! -f "$top/$source" ]; then
            echo "$list:$line_no: $source does not exist; 'make image' builds it" >&2
            exit 1
        fi
        mkdir -p "$stage$(dirname "$path")"
        install -m "$mode" "$top/$source" "$stage$path"
        ;;
    link) ln -s "$rest" "$stage$path" ;;
    *)
        echo "$list:$line_no: '$kind' is none of dir, file, link" >&2
        exit 1
        ;;
    esac
done <"$list"

find "$stage" -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH:-0}" {} +
(cd "$stage" && find . -mindepth 1 -print0 | sort -z |
    cpio --null --create --quiet --format=newc --owner=0:0 --reproducible) >"$out.new"
mv "$out.new" "$out"
