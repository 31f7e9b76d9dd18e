#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Builds the guest without an operating system, in the shape of a bzImage.
#   tests/guest/bare/build.sh OUT
set -euo pipefail
out=$(realpath -m "${1:?usage: build.sh OUT}")
cd "$(dirname "$0")/../../.."
mkdir -p "$(dirname "$out")"
gcc -std=gnu17 -Wall -Wextra -Wshadow -Wundef -Wmissing-prototypes -Wstrict-prototypes -Wvla -Werror \
    -O2 -I. -ffreestanding -nostdlib -static -fpie -no-pie -mno-red-zone -mgeneral-regs-only \
    -fno-toplevel-reorder -fno-stack-protector -fno-asynchronous-unwind-tables -Wl,--build-id=none \
    -Wl,-T,tests/guest/bare/bare.lds -Wl,-z,max-page-size=4096 -Wl,--no-warn-rwx-segments \
    tests/guest/bare/*.S tests/guest/bare/*.c -o "$out.elf"
objcopy -O binary -j .header -j .text -j .rodata -j .data "$out.elf" "$out"
