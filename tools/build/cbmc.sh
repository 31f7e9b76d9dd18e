#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Runs CBMC: the machine's own when it has one, else trixie's, fetched into the cache on first use
# and started with its own loader and C library, so that it runs on Debian 12 as well.
#   cbmc.sh ARGS…
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/lib.sh"

own=$(command -v cbmc || true)
[ -z "$own" ] || exec "$own" "$@"

TREE=$CACHE/cbmc/root
if [ ! -e "$TREE/usr/bin/cbmc" ]; then
    (
        lock cbmc cbmc
        [ ! -e "$TREE/usr/bin/cbmc" ] || exit 0
        part=$(begin "$TREE")
        for package in cbmc minisat libc6 libstdc++6 libgcc-s1 zlib1g; do
            unpacked=$("$HERE/fetch.sh" deb "$package" trixie trixie-security)
            install_tree "$unpacked" "$part"
        done
        publish "$TREE"
        say cbmc "CBMC is in $TREE"
    )
fi
loader=$(find "$TREE" -name 'ld-linux-x86-64.so.2' -type f -print -quit)
lib=$TREE/usr/lib/x86_64-linux-gnu:$TREE/usr/lib
# CBMC runs the C preprocessor `gcc -E`: the machine's own, so nothing of ours in its environment.
exec "$loader" --library-path "$lib" "$TREE/usr/bin/cbmc" "$@"
