#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Builds the test program (probe.h) for the guest, VTL2's Linux and the peers: static, musl.
#   tests/guest/build-probe.sh OUT
set -euo pipefail
out=${1:?usage: build-probe.sh OUT}
top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top"
# The kernel's user headers come after musl's own. musl's ioctl() takes an int: requests with the
# top bit set are "overflows" by intent.
musl-gcc -std=gnu17 -Wall -Wextra -Wpedantic -Wshadow -Wundef -Wmissing-prototypes \
    -Wstrict-prototypes -Wtype-limits -Wimplicit-fallthrough -Wvla -Werror -Wno-overflow \
    -D_GNU_SOURCE -Os -static -s -I. -ffile-prefix-map="$top"=. \
    -idirafter /usr/include -idirafter "/usr/include/$(gcc -print-multiarch)" \
    -Wl,--build-id=none tests/guest/*.c -o "$out"
