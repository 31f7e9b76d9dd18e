#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Runs the tests that `make test` has built and counts them. Called by the Makefile with
#   SUITE  all (default) | unit | device | tool | fuzz | prove | boot
#   T      a glob on test names: T=test_igvm  T='disk*'  T=test_igvm.reads_fixed_header
# One line per test with its time; below a failed one what its job printed last. At the end the failed
# ones' names, and as the very last line "N passed, N failed, N skipped". Exit status 1 when one
# failed or nothing matched.
#
# A job is one program or script. It reports its tests in a file of lines
#   pass|fail|skip <TAB> name <TAB> seconds <TAB> detail
# and its output in a log; both stand in build/test/results/ afterwards. tests/jobs.sh knows how
# each suite's jobs are run.
set -euo pipefail
export LC_ALL=C

top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
suite=${SUITE:-all}
only=${T:-}
results=$top/build/test/results
parallel=${TEST_JOBS:-2}
export PARAPET_TOP=$top

. tests/jobs.sh

case $suite in
all) suites='unit device tool prove fuzz boot' ;;
unit | device | tool | prove | fuzz | boot) suites=$suite ;;
*)
    echo "tests/run.sh: SUITE=$suite is none of all, unit, device, tool, prove, fuzz, boot" >&2
    exit 2
    ;;
esac
# `make test SUITE=unit` builds the device tests too: both are fast and need nothing else.
if [ "$suite" = unit ]; then
    suites='unit device'
fi

mkdir -p "$results"
rm -f "$results"/*.lines "$results"/*.log

# ---- running ---------------------------------------------------------------------------------

declare -A job_of_pid=()
passed=0 failed=0 skipped=0
failed_names=()

# Ctrl-C or TERM: every job is told to end (boot tests end their own QEMU) and awaited.
interrupted() {
    trap '' INT TERM
    local pid
    for pid in "${!job_of_pid[@]}"; do
        kill -TERM "$pid" 2>/dev/null || true
    done
    wait
    echo
    echo "interrupted: $passed passed, $failed failed, $skipped skipped so far"
    exit 130
}
trap interrupted INT TERM

# reap_one: waits for one job, prints its tests, adds them up.
reap_one() {
    local pid status=0 job status_word name seconds detail seen=0 job_failed=0
    wait -n -p pid || status=$?
    job=${job_of_pid[$pid]}
    unset "job_of_pid[$pid]"
    if [ -f "$results/$job.lines" ]; then
        while IFS=$'\t' read -r status_word name seconds detail; do
            seen=$((seen + 1))
            case $status_word in
            pass) passed=$((passed + 1)) status_word=ok ;;
            skip) skipped=$((skipped + 1)) ;;
            *) failed=$((failed + 1)) status_word=FAIL job_failed=1 failed_names+=("$name") ;;
            esac
            printf '%-4s  %-58s %7s s  %s\n' "$status_word" "$name" "$seconds" "$detail"
        done <"$results/$job.lines"
    fi
    # A job that says nothing, or ends badly without naming a failed test, is itself a failure.
    if [ "$seen" = 0 ] || { [ "$status" != 0 ] && [ "$job_failed" = 0 ]; }; then
        failed=$((failed + 1)) job_failed=1
        failed_names+=("$job")
        printf '%-4s  %-58s            exit status %s\n' FAIL "$job" "$status"
    fi
    if [ "$job_failed" = 1 ]; then
        show_log "$results/$job.log"
    fi
}

# show_log FILE: its end, set off from the tests' lines. Control characters of a guest's console
# would go to the reader's terminal.
show_log() {
    local lines=${TEST_LOG_LINES:-60}
    printf '      ---- %s (last %s lines)\n' "${1#"$top"/}" "$lines"
    tail -n "$lines" "$1" | tr -d '\000-\010\013-\037' | cut -c1-200 | sed 's/^/      | /'
}

# start_job SUITE NAME: in the background, at most $parallel at once.
start_job() {
    local job=$1.$2
    while [ "${#job_of_pid[@]}" -ge "$parallel" ]; do
        reap_one
    done
    (
        export JOB_LINES=$results/$job.lines
        "run_$1" "$2"
    ) </dev/null >"$results/$job.log" 2>&1 &
    job_of_pid[$!]=$job
}

# wait_all: until no job runs.
wait_all() {
    while [ "${#job_of_pid[@]}" -gt 0 ]; do
        reap_one
    done
}

matched=0
for s in $suites; do
    while read -r name; do
        if [ -n "$name" ] && job_matches "$s" "$name" "$only"; then
            matched=$((matched + 1))
            if job_is_alone "$s" "$name"; then
                wait_all
                start_job "$s" "$name"
                wait_all
            else
                start_job "$s" "$name"
            fi
        fi
    done < <("list_$s")
    # One suite after the other: an emulated machine next to a fuzzer is slow for both.
    wait_all
done

# ---- the end ---------------------------------------------------------------------------------

if [ "$failed" -gt 0 ]; then
    printf '\nfailed: %s\n' "${failed_names[*]}"
fi
if [ "$matched" = 0 ]; then
    echo "no test matches SUITE=$suite T=$only" >&2
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$matched" -gt 0 ]
