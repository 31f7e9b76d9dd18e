# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the benchmarks share: the boot tests' machine (tests/boot/lib.sh), the nest (VTL2's kernel
# without Parapet, for floors and peers), and rows. A row is
#   name <TAB> unit <TAB> value <TAB> reference <TAB> ratio <TAB> goal <TAB> met|missed|- <TAB> note
# with "-" for what could not be had; the note says why. Times on a shared machine are noise; the
# ratios are against a reference measured minutes apart on the same one.
TEST_NAME=bench-$(basename "$0" .sh)
TEST_DIR=${PARAPET_TOP:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}/build/bench/$TEST_NAME
. "$(dirname "${BASH_SOURCE[0]}")/../boot/lib.sh"
. "$(dirname "${BASH_SOURCE[0]}")/../boot/variant.sh"

NEST=$top/build/bench/nest.cpio
VTL2_KERNEL=${VTL2_KERNEL:-$top/build/kernel/bzImage}
exec 3>>"${BENCH_ROWS:-/dev/stdout}"

# row NAME UNIT VALUE REFERENCE GOAL NOTE: GOAL is "<=1.5" or ">=0.9", of the ratio value/reference;
# "<=3.0 value" of the value itself; "-" for none.
row() {
    awk -v name="$1" -v unit="$2" -v value="$3" -v reference="$4" -v goal="$5" -v note="$6" 'BEGIN {
        OFS = "\t"
        ratio = (value != "-" && reference != "-" && reference + 0 != 0) ? value / reference : "-"
        judged = goal ~ / value$/ ? value : ratio
        met = "-"
        if (goal != "-" && judged != "-") {
            bound = substr(goal, 3) + 0
            met = (goal ~ /^<=/ ? judged <= bound : judged >= bound) ? "met" : "missed"
        }
        if (ratio != "-") ratio = sprintf("%.3f", ratio)
        if (value != "-") value = sprintf("%.10g", value)
        if (reference != "-") reference = sprintf("%.10g", reference)
        print name, unit, value, reference, ratio, goal, met, note
    }' >&3
}

# value_of NAME: the last "PT value NAME NUMBER UNIT" of the console, or "-".
value_of() {
    awk -v name="$1" '$1 == "PT" && $2 == "value" && $3 == name {v = $4} END {print v == "" ? "-" : v}' \
        "$dir/console.log"
}

# median NUMBER...
median() {
    printf '%s\n' "$@" | sort -g | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'
}

smallest() { # NUMBER...
    printf '%s\n' "$@" | sort -g | head -n 1
}

elapsed_since() { # START (EPOCHREALTIME): seconds
    awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.3f", b - a}'
}

# start_nest [DISK_SIZE]: VTL2's kernel with the floors and peers, and an NVMe disk like VTL2's.
start_nest() {
    if [ ! -f "$NEST" ] || [ "$top/build/guest.cpio" -nt "$NEST" ] ||
        [ -n "$(find "$top/tests/bench" -newer "$NEST")" ]; then
        "$top/tests/bench/nest.sh" "$NEST"
    fi
    [ -e "$dir/nest.img" ] || truncate -s "${1:-256M}" "$dir/nest.img"
    MEM=${NEST_MEM:-1536M} start_qemu -kernel "$VTL2_KERNEL" -initrd "$NEST" \
        -append 'console=ttyS0 no_timer_check rdinit=/bin/sh -- /init' \
        -drive "if=none,id=nest,format=raw,file=$dir/nest.img" -device nvme,drive=nest,serial=nest
    wait_console '^PT ask' || give_up nest 'the nest does not start'
}

# nest COMMAND...: runs it, waits for its end.
nest() {
    send "$*"
    wait_console "^PT end $1" "${NEST_SECONDS:-180}" || give_up nest "'$*' does not end"
    wait_console '^PT ask' 20
}

# peer_in_nest NAME VPS TESTS [COMMAND]: QEMU's guest in the nest, its value NAME in $peer_value.
# COMMAND is one of nest-init (qemu). That guest's timers stop now and then under emulation; then the
# nest is started anew, three times at most, and the value is 0.
peer_in_nest() {
    local attempt command=${4:-qemu}
    peer_value=0
    for attempt in 1 2 3; do
        qemu_runs || start_nest
        send "$command $2 $3"
        if wait_console "^PT end $command" "${PEER_SECONDS:-60}" && wait_console '^PT ask' 20; then
            peer_value=$(value_of "$1")
            return 0
        fi
        echo "the peer's guest hangs (attempt $attempt)"
        stop_qemu
    done
}

# start_bare MODES: Parapet with the guest without an operating system (tests/guest/bare/).
start_bare() {
    "$top/tests/guest/bare/build.sh" "$dir/bare"
    cat >"$dir/config.json" <<JSON
{
  "guest": {"command_line": "parapet.test=$1", "on_reset": "restart"},
  "console": {"kind": "serial", "backend": "/dev/hvc0"}
}
JSON
    variant_image config="$dir/config.json" kernel="$dir/bare"
    start_qemu -kernel "$MINIHOST" -initrd "$IMAGE" -append "$machine_append"
}
