#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Packs a folder as an initramfs (newc cpio, uncompressed: unpacking costs more than the bytes under
# emulation). Same contents, same bytes.
#   tests/guest/pack.sh DIR OUT.cpio
set -euo pipefail
export LC_ALL=C
dir=${1:?usage: pack.sh DIR OUT} out=$(realpath -m "${2:?usage: pack.sh DIR OUT}")
find "$dir" -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH:-1767225600}" {} +
(cd "$dir" && find . -mindepth 1 -print0 | sort -z |
    cpio --null --create --quiet --format=newc --owner=0:0 --reproducible) >"$out.new"
mv "$out.new" "$out"
