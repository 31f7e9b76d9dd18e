#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# `make bench`: runs the benchmarks (B=name for one, or a pattern: B='vsm-*'), prints a table and
# writes build/bench.json, a list of objects with name, unit, value, reference, ratio, goal (and met,
# note). null is what could not be measured; the note says why.
set -euo pipefail
export LC_ALL=C
top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top"
export PARAPET_TOP=$top
only=${B:-}
mkdir -p build/bench
export BENCH_ROWS=$top/build/bench/rows.tsv
: >"$BENCH_ROWS"

pid=''
interrupted() {
    [ -z "$pid" ] || kill -TERM "$pid" 2>/dev/null || true
    wait || true
    exit 130
}
trap interrupted INT TERM

names=(size memory start port disk tpm uefi-vars uefi-boot vsm-memory vsm-start vsm-exit vsm-disk)
ran=0 failed=0
for name in "${names[@]}"; do
    # shellcheck disable=SC2053 # a pattern
    [ -z "$only" ] || [[ $name == $only ]] || continue
    ran=$((ran + 1))
    echo "bench: $name ..." >&2
    bash "tests/bench/$name.sh" </dev/null >"build/bench/$name.log" 2>&1 &
    pid=$!
    if ! wait "$pid"; then
        failed=$((failed + 1))
        echo "bench: $name failed; the last lines of build/bench/$name.log:" >&2
        tail -n 15 "build/bench/$name.log" >&2
        printf '%s\t-\t-\t-\t-\t-\t-\t%s\n' "$name" "failed, see build/bench/$name.log" >>"$BENCH_ROWS"
    fi
    pid=''
done
if [ "$ran" = 0 ]; then
    echo "make bench: B=$only is none of ${names[*]}" >&2
    exit 2
fi

awk -F '\t' '
    BEGIN { printf "%-34s %-12s %12s %12s %8s %12s %-7s %s\n", "what", "unit", "value", "reference", "ratio", "goal", "", "note" }
    { printf "%-34s %-12s %12s %12s %8s %12s %-7s %s\n", $1, $2, $3, $4, $5, $6, $7 == "-" ? "" : $7, $8 }
' "$BENCH_ROWS"
awk -F '\t' '
    function text(s) { gsub(/\\/, "\\\\", s); gsub(/"/, "\\\"", s); return s == "-" ? "null" : "\"" s "\"" }
    function number(s) { return s == "-" ? "null" : s }
    BEGIN { print "[" }
    {
        printf "%s  {\"name\": %s, \"unit\": %s, \"value\": %s, \"reference\": %s, \"ratio\": %s, \"goal\": %s, \"met\": %s, \"note\": %s}",
            (NR > 1 ? ",\n" : ""), text($1), text($2), number($3), number($4), number($5), text($6),
            ($7 == "-" ? "null" : ($7 == "met" ? "true" : "false")), text($8)
    }
    END { print "\n]" }
' "$BENCH_ROWS" >build/bench.json
echo "written: build/bench.json"
[ "$failed" = 0 ]
