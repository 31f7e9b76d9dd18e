# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The jobs of the disk benchmarks, sourced after lib.sh or vsm.sh: 4 KiB at random with 32 in flight,
# 128 KiB in sequence with 8, the best of two rounds each, for the other users of the machine.
seconds=${BENCH_SECONDS:-4}
random=(rand 4096 32 "$seconds") sequential=(seq 131072 8 "$seconds")
raw_random=0 raw_sequential=0 guest_random=0 guest_sequential=0

# better NAME [VALUE]: keeps the larger of $NAME and the last result.
better() {
    local -n best=$1
    best=$(printf '%s\n' "$best" "${2:-$(value_of reads)}" | sort -g | tail -n 1)
}

# Written once, so that no read is of a hole.
make_disks() {
    yes 'parapet benchmark data' | dd of="$dir/nest.img" bs=1M count=256 iflag=fullblock status=none || true
    [ "$(stat -c %s "$dir/nest.img")" = 268435456 ] || give_up disk "no room for its images in $dir"
    cp "$dir/nest.img" "$dir/disk0.img"
}

# In the nest, on the raw device.
measure_raw() {
    for _ in 1 2; do
        nest probe bench-read /dev/nvme0n1 "${random[@]}"
        better raw_random
        nest probe bench-read /dev/nvme0n1 "${sequential[@]}"
        better raw_sequential
    done
}

# In the guest, from its start to its end.
measure_guest() {
    add_disk disk0 256M
    start_machine
    guest_ready
    for _ in 1 2; do
        guest_test bench-read /dev/vda "${random[@]}"
        better guest_random
        guest_test bench-read /dev/vda "${sequential[@]}"
        better guest_sequential
    done
    stop_qemu
}
