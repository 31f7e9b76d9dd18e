# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# How each suite's jobs are found (list_SUITE prints names) and run (run_SUITE NAME). Sourced by
# tests/run.sh; a run_ function is executed in a subshell whose output is the job's log and reports
# its tests with `report`.

# report pass|fail|skip NAME SECONDS [DETAIL]
report() {
    printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "${4:-}" >>"$JOB_LINES"
}

now_ms() {
    local t=$EPOCHREALTIME
    echo $(((${t%.*} * 1000000 + 10#${t#*.}) / 1000))
}

# since_ms START_MS: seconds with two digits
since_ms() {
    local d=$(($(now_ms) - $1))
    printf '%d.%02d' $((d / 1000)) $((d % 1000 / 10))
}

# job_matches SUITE NAME GLOB: T=name matches a job's name with or without its test_/fuzz_ prefix; what
# follows a first dot names a single test inside of it.
job_matches() {
    local glob=${3%%.*}
    [ -z "$3" ] && return 0
    # shellcheck disable=SC2053 # the right side is a pattern
    [[ $2 == $glob || ${2#test_} == $glob || ${2#fuzz_} == $glob || $1.$2 == $3 ]]
}

# job_is_alone SUITE NAME: a boot test whose first lines say "# alone:" has a small machine to itself.
# An emulated processor that waits a second for a real one makes an operating system give up what
# it would have done.
job_is_alone() {
    local script=tests/boot/${2%@*}.sh
    [ "$1" = boot ] && [ "$(nproc)" -lt $((4 * parallel)) ] && grep -q '^# alone:' < <(head -n 12 "$script")
}

# run_and_wait COMMAND...: as its own process, so that a TERM from run.sh reaches the program it runs.
run_and_wait() {
    "$@" &
    local pid=$!
    # shellcheck disable=SC2064 # the pid of now
    trap "kill -TERM $pid 2>/dev/null" TERM INT
    local status=0
    wait "$pid" || status=$?
    trap - TERM INT
    return "$status"
}

# ---- unit and device: cmocka programs, each case counts --------------------------------------

list_programs() { # DIR: sources say what must exist; a program that was not built is a failure
    local source
    for source in "tests/$1"/test_*.c; do
        [ -f "$source" ] && basename "$source" .c
    done
    return 0
}
list_unit() { list_programs unit; }
list_device() { list_programs device; }
run_unit() { run_cmocka unit "$1"; }
run_device() { run_cmocka device "$1"; }

run_cmocka() {
    local program=build/test/$1/$2 name=$2 start status=0 tap case_glob=''
    if [ ! -x "$program" ]; then
        report fail "$name" 0.00 "$program was not built"
        return 0
    fi
    [[ $only == *.* ]] && case_glob=${only#*.}
    tap=$JOB_LINES.tap
    start=$(now_ms)
    CMOCKA_MESSAGE_OUTPUT=TAP ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 \
        run_and_wait timeout -k 5 "${UNIT_SECONDS:-120}" "$program" >"$tap" || status=$?
    cat "$tap"
    cmocka_cases "$name" "$case_glob" "$(since_ms "$start")" "$status" <"$tap"
    rm -f "$tap"
}

# Reads TAP; reports each case. cmocka prints the time of none, so the program's time stands at the
# first. A plan that was not fulfilled (crash, sanitizer report, exit) is one failed test more.
cmocka_cases() {
    local name=$1 glob=$2 seconds=$3 status=$4 line planned=0 seen=0 bad=0 word
    while IFS= read -r line; do
        word=''
        if [[ $line == 1..* ]]; then
            planned=$((planned + ${line#1..}))
        elif [[ $line =~ ^(not\ )?ok\ .*#\ SKIP\ *(.*) ]]; then
            word=skip line=${BASH_REMATCH[2]}
        elif [[ $line =~ ^ok\ [0-9]+\ -\ (.*) ]]; then
            word=pass line=${BASH_REMATCH[1]}
        elif [[ $line =~ ^not\ ok\ [0-9]+\ -\ (.*) ]]; then
            word=fail line=${BASH_REMATCH[1]} bad=$((bad + 1))
        fi
        [ -n "$word" ] || continue
        seen=$((seen + 1))
        # shellcheck disable=SC2053 # a pattern
        if [ -z "$glob" ] || [[ $line == $glob ]]; then
            report "$word" "$name.$line" "$seconds"
            seconds=0.00
        fi
    done
    if [ "$status" = 124 ]; then
        report fail "$name" "$seconds" "timed out; $seen of $planned cases reported"
    elif [ "$seen" -lt "$planned" ] || [ "$seen" = 0 ]; then
        report fail "$name" "$seconds" "ended early (exit status $status); $seen of $planned cases reported"
    elif [ "$status" != 0 ] && [ "$bad" = 0 ]; then
        report fail "$name" "$seconds" "all cases passed, but the exit status is $status (a sanitizer's report?)"
    fi
}

# ---- tool: scripts that call the host's tools ------------------------------------------------

list_tool() {
    local script
    for script in tests/tool/*.sh; do
        [ -f "$script" ] && [[ $script != */lib.sh && $script != */variant.sh ]] && basename "$script" .sh
    done
    return 0
}

run_tool() { run_script "tests/tool/$1.sh" "$1" "${TOOL_SECONDS:-300}"; }

# A script reports its tests itself (see report in tests/boot/lib.sh), or its exit status is its
# result: 77 is "cannot run", with the reason in its last line of output.
run_script() {
    local script=$1 name=$2 start status=0 why
    start=$(now_ms)
    run_and_wait timeout -k 20 "$3" bash "$script" >"$JOB_LINES.out" 2>&1 || status=$?
    cat "$JOB_LINES.out"
    why=$(tail -n 1 "$JOB_LINES.out")
    rm -f "$JOB_LINES.out"
    case $status in
    77) report skip "$name" "$(since_ms "$start")" "$why" ;;
    124) report fail "$name" "$(since_ms "$start")" "timed out after $3 s" ;;
    0) [ -s "$JOB_LINES" ] || report pass "$name" "$(since_ms "$start")" ;;
    *) grep -q '^fail' "$JOB_LINES" 2>/dev/null || report fail "$name" "$(since_ms "$start")" "$why" ;;
    esac
    return 0
}

# ---- fuzz: each target for FUZZ_SECONDS over its corpus ---------------------------------------

list_fuzz() {
    local source
    for source in tests/fuzz/fuzz_*.c; do
        [ -f "$source" ] && basename "$source" .c
    done
    return 0
}

run_fuzz() {
    local name=$1 short=${1#fuzz_} program=build/fuzz/$1 start status=0 args=() kept runs dict
    if [ ! -x "$program" ]; then
        report fail "$name" 0.00 "$program was not built"
        return 0
    fi
    kept=build/test/fuzz/$short
    mkdir -p "$kept/corpus" "$kept/found"
    args=(-max_total_time="${FUZZ_SECONDS:-5}" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
        -seed="${FUZZ_SEED:-1}" -artifact_prefix="$kept/found/")
    for dict in "tests/fuzz/$short.dict" "tests/fuzz/$name.dict" "tests/fuzz/corpus/$short.dict"; do
        [ -f "$dict" ] && args+=(-dict="$dict")
    done
    # What is found goes to the first folder, outside the tree; the tree's corpus is only read.
    args+=("$kept/corpus")
    for dict in "tests/fuzz/corpus/$short" "tests/fuzz/corpus/$name"; do
        [ -d "$dict" ] && args+=("$dict")
    done
    start=$(now_ms)
    run_and_wait timeout -k 5 $((${FUZZ_SECONDS:-5} + 120)) "$program" "${args[@]}" \
        >"$JOB_LINES.out" 2>&1 || status=$?
    cat "$JOB_LINES.out"
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$JOB_LINES.out" | tail -n 1)
    if [ "$status" = 0 ]; then
        report pass "$name" "$(since_ms "$start")" "${runs:-?} runs"
    else
        report fail "$name" "$(since_ms "$start")" \
            "exit status $status; input kept: $(sed -n 's/.*Test unit written to //p' "$JOB_LINES.out" | tail -n 1)"
    fi
    rm -f "$JOB_LINES.out"
}

# ---- prove: CBMC harnesses ---------------------------------------------------------------------

list_prove() {
    local source
    for source in tests/proofs/*.c; do
        [ -f "$source" ] && basename "$source" .c
    done
    return 0
}

# A harness names its sources and its bounds in its first lines:
#   // cbmc-sources: igvm/base/x.c ...
#   // cbmc-flags: --unwind 20 ...
run_prove() {
    local name=$1 harness=tests/proofs/$1.c start status=0 sources flags
    read -r -a sources < <(sed -n 's|^// cbmc-sources:||p' "$harness" | tr '\n' ' '; echo)
    read -r -a flags < <(sed -n 's|^// cbmc-flags:||p' "$harness" | tr '\n' ' '; echo)
    start=$(now_ms)
    run_and_wait timeout -k 5 "${PROVE_SECONDS:-600}" tools/build/cbmc.sh -I . -D PARAPET_PROOF=1 \
        --bounds-check --pointer-check --pointer-overflow-check --signed-overflow-check \
        --conversion-check --div-by-zero-check --undefined-shift-check --unwinding-assertions \
        --no-malloc-may-fail "${flags[@]}" "$harness" "${sources[@]}" >"$JOB_LINES.out" 2>&1 || status=$?
    if [ "$status" = 0 ] && grep -q '^VERIFICATION SUCCESSFUL' "$JOB_LINES.out"; then
        report pass "$name" "$(since_ms "$start")" "$(sed -n 's/^[*][*] \([0-9].*\)$/\1/p' "$JOB_LINES.out" | head -n 1)"
    elif [ "$status" = 77 ]; then
        report skip "$name" "$(since_ms "$start")" "$(tail -n 1 "$JOB_LINES.out")"
    elif [ "$status" = 124 ]; then
        report fail "$name" "$(since_ms "$start")" "no answer within ${PROVE_SECONDS:-600} s"
    else
        report fail "$name" "$(since_ms "$start")" "$(grep -m 1 FAILURE "$JOB_LINES.out" || tail -n 1 "$JOB_LINES.out")"
    fi
    # Success is thousands of lines; the log keeps what is not.
    grep -v ': SUCCESS$' "$JOB_LINES.out" || true
    rm -f "$JOB_LINES.out"
}

# ---- boot: whole machines in QEMU ---------------------------------------------------------------

# One list for all platforms: a script says in its first lines where it runs beside native,
#   # platforms: native vsm
# and is then also the test NAME@vsm.
list_boot() {
    local script name platform
    for script in tests/boot/*.sh; do
        name=$(basename "$script" .sh)
        case $name in '*' | lib | variant | uefi | uki) continue ;; esac # what tests source
        echo "$name"
        for platform in $(sed -n '1,12s/^# platforms: native//p' "$script"); do
            echo "$name@$platform"
        done
    done
}

# Ten minutes, and more for each start that UEFI_STARTS asks of uefi-debian.
run_boot() {
    local platform=native
    [[ $1 != *@* ]] || platform=${1#*@}
    TEST_NAME=$1 PLATFORM=$platform run_script "tests/boot/${1%@*}.sh" "$1" "${BOOT_SECONDS:-$((600 + 150 * ${UEFI_STARTS:-2}))}"
}
