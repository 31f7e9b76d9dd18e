#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Builds the VTL2 test program and its image.
#   tests/guest/vtl2/build.sh FOLDER     makes FOLDER/vtl2.igvm
#   VTL2_DEFINES="-DNAME=value …"        other random numbers, see t_random.c
set -euo pipefail
out=$(realpath -m "${1:?usage: build.sh FOLDER}")
cd "$(dirname "$0")/../../.."
mkdir -p "$out"
read -r -a defines <<<"${VTL2_DEFINES:-}"
gcc -std=gnu17 -Wall -Wextra -Wshadow -Wundef -Wmissing-prototypes -Wstrict-prototypes -Wvla -Werror \
    -O2 -g -I. -ffreestanding -nostdlib -static -fno-pie -no-pie -mno-red-zone -mgeneral-regs-only -mcmodel=small \
    -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none -fno-toplevel-reorder -fno-tree-loop-distribute-patterns \
    -Wl,--build-id=none -Wl,-T,tests/guest/vtl2/vtl2.lds -Wl,-z,max-page-size=4096 -Wl,--no-warn-rwx-segments \
    "${defines[@]}" tests/guest/vtl2/*.S tests/guest/vtl2/*.c loader/bare/{serial,format,string}.c -o "$out/vtl2.elf"
objcopy -O binary -j .text -j .rodata -j .data "$out/vtl2.elf" "$out/vtl2.bin"
cp tests/guest/vtl2/vtl2.image.json "$out/"
build/host/igvmtool build "$out/vtl2.image.json" -o "$out/vtl2.igvm"
