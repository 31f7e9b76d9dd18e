# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the boot tests share: a machine in QEMU (TCG, always), the guest's console as a pair of
# FIFOs, VTL2's log as a file, QMP, and results. A test is a bash script that sources this file:
#
#   . "$(dirname "$0")/lib.sh"
#   add_disk disk0 64M
#   start_machine
#   guest_ready
#   guest_test smp 2          each PT pass/fail/skip line of the guest becomes one result
#   guest_poweroff
#
# Started alone (bash tests/boot/NAME.sh) it prints its results; under tests/run.sh they go to
# $JOB_LINES. Everything that a test starts ends with it; its folder stays when a test failed.
set -euo pipefail
export LC_ALL=C

top=${PARAPET_TOP:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
cd "$top"
test_name=${TEST_NAME:-$(basename "$0" .sh)}
dir=${TEST_DIR:-$top/build/test/boot/$test_name}
IMAGE=${IMAGE:-$top/build/parapet.igvm}
MINIHOST=${MINIHOST:-$top/build/bare/minihost}
SMP=${SMP:-2} MEM=${MEM:-1G}
PLATFORM=${PLATFORM:-native}
# shellcheck source=tools/machine.sh
. tools/machine.sh
machine_for "$PLATFORM"
TIMEOUT=${BOOT_TIMEOUT:-120}    # seconds for one step: a busy machine is slow, a hung one is hung
VTL2_APPEND=${VTL2_APPEND:-}    # added to VTL2's kernel command line
GUEST_APPEND=${GUEST_APPEND:-}  # added to the guest's
qemu_disks=() config_disks=() direct_disks=() qemu_extra=()
config_more=''                  # further keys of the host's configuration, each with its comma
qemu_pid='' qemu_status='' side_pid='' failures=0
has_vmm=''                      # whether the machine runs the image, so that VTL2 has a log
step_start=$EPOCHREALTIME

rm -rf "$dir"
mkdir -p "$dir"

# ---- results -------------------------------------------------------------------------------------

# step_seconds: time since the last call (or since the step began), in $seconds.
step_seconds() {
    local now=$EPOCHREALTIME us
    us=$(((${now%.*} - ${step_start%.*}) * 1000000 + 10#${now#*.} - 10#${step_start#*.}))
    step_start=$now
    printf -v seconds '%d.%02d' $((us / 1000000)) $((us % 1000000 / 10000))
}

# result pass|fail|skip NAME [DETAIL]
result() {
    [ "$1" = fail ] && failures=$((failures + 1))
    step_seconds
    printf '%s\t%s\t%s\t%s\n' "$1" "$test_name.$2" "$seconds" "${3:-}" |
        tee -a "${JOB_LINES:-/dev/null}"
}

show_logs() {
    local log
    for log in "$dir"/console.log "$dir"/vtl2.log "$dir"/qemu.log; do
        if [ -s "$log" ]; then
            echo "---- ${log#"$top"/}, last 20 lines"
            tail -n 20 "$log" | cut -c1-200
        fi
    done
}

# monitor COMMAND: what QEMU's monitor answers.
monitor() {
    qmp "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"$1\"}}" || return 0
    printf '%b\n' "$qmp_answer" | tr -d '\r'
}

# show_processors: where each is and what its local APIC waits for: a machine that stands still has
# the reason there.
show_processors() {
    local cpu
    qemu_runs || return 0
    echo '---- processors'
    monitor 'info registers -a' | grep -E '^CPU#|[RE]IP=' || true
    for ((cpu = 0; cpu < $(machine_smp "$SMP"); cpu++)); do
        monitor "info lapic $cpu" | grep -E '^(dumping|LVTT\s|Timer|ISR|IRR)' || true
    done
}

# give_up NAME DETAIL: the machine cannot be used any more.
give_up() {
    result fail "$1" "$2"
    show_logs
    show_processors
    exit 1
}

# cannot_run REASON: counts as skipped (never for something that the build should have made).
cannot_run() {
    echo "$1"
    exit 77
}
qemu_plays "$PLATFORM" || cannot_run "$why"

# ---- the end -------------------------------------------------------------------------------------

stop_qemu() {
    if [ -n "$qemu_pid" ]; then
        kill -TERM "$qemu_pid" 2>/dev/null || true
        qemu_status=0
        wait "$qemu_pid" 2>/dev/null || qemu_status=$?
        qemu_pid=''
    fi
}

# start_swtpm: a TPM on the bare machine for the next QEMU, which gets $swtpm_options. Ends with
# stop_side.
start_swtpm() {
    mkdir -p "$dir/swtpm"
    swtpm socket --tpm2 --tpmstate "dir=$dir/swtpm" --ctrl "type=unixio,path=$dir/swtpm.sock" --terminate &
    side_pid=$!
    for _ in {1..50}; do
        [ ! -S "$dir/swtpm.sock" ] || break
        sleep 0.1
    done
    # shellcheck disable=SC2034 # the caller's
    swtpm_options=(-chardev "socket,id=tpm,path=$dir/swtpm.sock" -tpmdev emulator,id=tpm0,chardev=tpm
        -device tpm-crb,tpmdev=tpm0)
}

# stop_side: what was started beside QEMU, in $side_pid.
stop_side() {
    if [ -n "$side_pid" ]; then
        kill "$side_pid" 2>/dev/null || true
        wait "$side_pid" 2>/dev/null || true
        side_pid=''
    fi
}

at_exit() {
    local status=$?
    trap - EXIT INT TERM
    stop_qemu
    stop_side
    rm -f "$dir"/*.fifo "$dir"/qmp.in "$dir"/qmp.out
    if [ "$status" = 0 ] && [ "$failures" = 0 ]; then
        rm -rf "$dir"
    elif [ "$status" = 0 ]; then
        show_logs
        status=1
    fi
    exit "$status"
}
trap at_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- disks and configuration ---------------------------------------------------------------------

# add_disk NAME SIZE [NVME_OPTIONS [DRIVE_OPTIONS [CONFIG]]]: an NVMe disk of VTL2 that the guest
# gets; CONFIG is added to its entry in the host's configuration.
add_disk() {
    local name=$1 size=$2 nvme=${3:+,$3} drive=${4:-} file=$dir/$1.img
    [ -e "$file" ] || truncate -s "$size" "$file"
    [ -n "$drive" ] || drive="format=raw,discard=unmap,detect-zeroes=off,file=$file"
    qemu_disks+=(-drive "if=none,id=$name,$drive" -device "nvme,id=dev-$name,drive=$name,serial=$name$nvme")
    config_disks+=("{\"nvme_serial\": \"$name\"${5:+, $5}}")
}

# add_state [CONFIG]: the disk of the guest's state (TPM, UEFI variables), $dir/state.img; CONFIG is
# added to its entry in the host's configuration.
add_state() {
    [ -e "$dir/state.img" ] || truncate -s 16M "$dir/state.img"
    qemu_disks+=(-drive "if=none,id=state,format=raw,file=$dir/state.img" -device "nvme,id=dev-state,drive=state,serial=state")
    config_more+="\"guest_state\": {\"nvme_serial\": \"state\"${1:+, $1}}, "
}

# The host's configuration: what the test needs over what the image has measured.
# The keys are those of docs/configuration.md; this is the only place of the tests that knows them.
host_config() {
    local disks
    disks=$(IFS=,; echo "${config_disks[*]}")
    cat <<JSON
{
  "guest": {"boot": "${GUEST_BOOT:-linux}", ${GUEST_KEYS:-}"command_line_append": "$1"},
  ${config_more}"disks": [$disks]
}
JSON
}

# ---- the machine ---------------------------------------------------------------------------------

# start_machine [GUEST_TESTS]: by default the guest takes its tests from the console.
start_machine() {
    local file
    for file in "$IMAGE" "$MINIHOST"; do
        [ -f "$file" ] || give_up start "${file#"$top"/} was not built"
    done
    [ -f "$dir/host.json" ] ||
        host_config "iomem=relaxed parapet.test=${1:-ask} $GUEST_APPEND" >"$dir/host.json"
    has_vmm=yes
    start_qemu -kernel "$MINIHOST" -initrd "$IMAGE" -append "$machine_append $VTL2_APPEND" \
        -fw_cfg "name=opt/parapet/config,file=$dir/host.json" "${qemu_disks[@]}"
}

# start_qemu ARGUMENTS...: QEMU with our chardevs: VTL2's serial port in vtl2.log, and "guest" on the
# console FIFOs (added as virtconsole unless NO_VIRTCONSOLE is set).
start_qemu() {
    local virtconsole=(-device virtio-serial-pci -device "virtconsole,chardev=guest")
    [ -z "${NO_VIRTCONSOLE:-}" ] || virtconsole=()
    rm -f "$dir"/*.fifo "$dir"/qmp.in "$dir"/qmp.out
    mkfifo "$dir/in.fifo" "$dir/out.fifo" "$dir/qmp.in" "$dir/qmp.out"
    # Opened for reading and writing: no end sees the other one go away, and opening never blocks.
    exec {console_in}<>"$dir/in.fifo" {console_out}<>"$dir/out.fifo"
    exec {qmp_in}<>"$dir/qmp.in" {qmp_out}<>"$dir/qmp.out"
    rm -f "$dir/vtl2.log" "$dir/qmp-ready"
    : >"$dir/console.log"
    qemu-system-x86_64 "${machine_options[@]}" -accel "${ACCEL:-tcg,thread=multi}" -cpu "${CPU:-$machine_cpu}" -m "$MEM" -smp "$(machine_smp "$SMP")" \
        -nodefaults -display none "${REBOOT:--no-reboot}" -device isa-debug-exit,iobase=0xf4,iosize=4 \
        -chardev stdio,id=guest,signal=off -serial "${SERIAL:-file:$dir/vtl2.log}" "${virtconsole[@]}" \
        -chardev "pipe,id=qmp,path=$dir/qmp" -mon chardev=qmp,mode=control \
        "$@" "${qemu_extra[@]}" \
        <&"$console_in" >&"$console_out" 2>"$dir/qemu.log" &
    qemu_pid=$!
    qemu_status=''
}

qemu_runs() {
    [ -n "$qemu_pid" ] && kill -0 "$qemu_pid" 2>/dev/null
}

# read_console: the next line in $line; 1 when there is none within a second.
read_console() {
    if IFS= read -r -t 1 -u "$console_out" line; then
        line=${line%$'\r'}
        printf '%s\n' "$line" >>"$dir/console.log"
        return 0
    fi
    [ -z "$line" ] || printf '%s' "$line" >>"$dir/console.log"
    return 1
}

# wait_console REGEX [SECONDS]: reads lines until one matches (it is in $line then).
wait_console() {
    local end=$((SECONDS + ${2:-$TIMEOUT})) part=''
    while [ "$SECONDS" -lt "$end" ]; do
        if read_console; then
            line=$part$line part=''
            [[ $line =~ $1 ]] && return 0
        else
            part+=$line
            qemu_runs || return 1
        fi
    done
    return 1
}

# wait_vtl2 REGEX [SECONDS]: until VTL2's log has a matching line.
wait_vtl2() {
    local end=$((SECONDS + ${2:-$TIMEOUT}))
    while [ "$SECONDS" -lt "$end" ]; do
        grep -Eq "$1" "$dir/vtl2.log" 2>/dev/null && return 0
        if ! qemu_runs; then
            grep -Eq "$1" "$dir/vtl2.log" 2>/dev/null && return 0
            return 1
        fi
        # The console must not fill up meanwhile; without lines this is the pause.
        read_console || true
    done
    return 1
}

# wait_exit [SECONDS]: until QEMU has ended; its status in $qemu_status.
wait_exit() {
    local end=$((SECONDS + ${1:-60}))
    while qemu_runs; do
        [ "$SECONDS" -lt "$end" ] || return 1
        read_console || true
    done
    qemu_status=0
    wait "$qemu_pid" || qemu_status=$?
    qemu_pid=''
    while read_console; do :; done
}

# qmp JSON: sends a command, returns when it is answered; the answer in $qmp_answer.
qmp() {
    if [ ! -e "$dir/qmp-ready" ]; then
        : >"$dir/qmp-ready"
        qmp '{"execute":"qmp_capabilities"}'
    fi
    printf '%s\n' "$1" >&"$qmp_in"
    while IFS= read -r -t 20 -u "$qmp_out" qmp_answer; do
        case $qmp_answer in
        *'"return"'*) return 0 ;;
        *'"error"'*) return 1 ;;
        esac
    done
    qmp_answer='no answer'
    return 1
}

# ---- the guest -----------------------------------------------------------------------------------

# guest_ready [NAME]: the guest's userspace is there and waits for a test's name.
guest_ready() {
    if wait_console '^PT ready ([0-9.]+)'; then
        result pass "${1:-boots}" "guest's userspace at its ${BASH_REMATCH[1]} s"
    else
        give_up "${1:-boots}" "the guest's userspace did not come up"
    fi
    wait_console '^PT ask' 30 || give_up "${1:-boots}" "the guest does not ask for a test"
}

send() {
    printf '%s\n' "$1" >&"$console_in"
}

# guest_test NAME [ARGUMENT...]: runs it; its PT lines become results. TEST_SECONDS bounds it.
guest_test() {
    local name=$1 end=$((SECONDS + ${TEST_SECONDS:-$TIMEOUT})) reported=0
    step_start=$EPOCHREALTIME
    send "$(IFS=:; echo "$*")"
    while wait_console '^PT ' $((end - SECONDS)); do
        case $line in
        'PT end '*)
            local status=${line##* }
            wait_console '^PT ask' 30 || give_up "$name" 'the guest does not ask for the next test'
            [ "$reported" -gt 0 ] || [ "$status" = 0 ] || result fail "$name" "exit status $status"
            return 0
            ;;
        'PT pass '* | 'PT fail '* | 'PT skip '*)
            reported=$((reported + 1))
            read -r _ word what detail <<<"$line"
            result "$word" "$what" "$detail"
            ;;
        esac
    done
    qemu_runs || give_up "$name" 'the machine ended in the middle of it'
    give_up "$name" "no end within ${TEST_SECONDS:-$TIMEOUT} s"
}

# guest_start NAME [ARGUMENT...]: like guest_test, but the caller waits for what it wants.
guest_start() {
    step_start=$EPOCHREALTIME
    send "$(IFS=:; echo "$*")"
}

guest_poweroff() {
    guest_start poweroff
    if wait_exit "$TIMEOUT" && [ "$qemu_status" = 0 ]; then
        result pass "${1:-poweroff}" 'the machine ended'
    else
        give_up "${1:-poweroff}" "QEMU did not end by itself (status ${qemu_status:-none})"
    fi
    vtl2_is_well
}

# vtl2_is_well [NAME [BUT [TIMES]]]: the VMM has written a log, and VTL2 nothing that must never be there,
# but for lines with this text, as often (once) as the test has brought them about.
vtl2_is_well() {
    local bad='Kernel panic|BUG:|Oops|Call Trace|general protection|CHECK failed|STOP:|segfault|core dumped|worker .* (died|killed)'
    local found
    found=$(grep -E "$bad" "$dir/vtl2.log" | awk -v but="${2:-}" -v times="${3:-1}" \
        'but != "" && times > 0 && index($0, but) { times--; next } { print; exit }' | cut -c1-120) || true
    if [ -n "$found" ]; then
        result fail "${1:-vtl2-well}" "$found"
    elif [ -n "$has_vmm" ] && ! grep -q 'vmm info: machine: platform' "$dir/vtl2.log"; then
        result fail "${1:-vtl2-well}" 'the VMM has written nothing'
    else
        result pass "${1:-vtl2-well}"
    fi
}

# ---- the same guest without a paravisor ----------------------------------------------------------

# start_direct TESTS: the guest's kernel and initramfs in plain QEMU, with QEMU's virtio devices.
# Proves the checks themselves, and is what the start-up time is compared with.
start_direct() {
    local kernel=${GUEST_KERNEL:-$top/build/guest/vmlinuz} initrd=${GUEST_INITRD:-$top/build/guest.cpio}
    local disk disks=() file
    for file in "$kernel" "$initrd"; do
        [ -f "$file" ] || give_up start "${file#"$top"/} was not built"
    done
    for disk in "${direct_disks[@]}"; do
        truncate -s 64M "$dir/$disk.img"
        disks+=(-drive "if=none,id=$disk,format=raw,discard=unmap,file=$dir/$disk.img"
            -device "virtio-blk-pci,drive=$disk,serial=$disk,disable-legacy=on")
    done
    NO_VIRTCONSOLE=1 CPU=${CPU:-max} start_qemu -kernel "$kernel" -initrd "$initrd" \
        -append "console=hvc0 quiet no_timer_check iomem=relaxed parapet.test=$1 $GUEST_APPEND" \
        -device virtio-serial-pci,disable-legacy=on -device virtconsole,chardev=guest \
        -device virtio-rng-pci,disable-legacy=on "${disks[@]}"
}
