#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# platforms: native vsm
#
# A hostile guest without an operating system (tests/guest/bare/), from ring 0; docs/hostile-guest.md.
# First its list of attacks, each in a guest that was just started: on VTL2's memory, by descriptors,
# overlays and hypercalls, with interrupts, in odd processor modes. Whatever becomes of the guest, the
# paravisor must start it anew, say why it ended, and keep its own memory as it was. Then the storm:
# garbage to every port in every size and string form, to PCI configuration space, to BARs and to
# unassigned memory, to MSRs and hypercalls, at last to the interrupt controllers; twice.
#
# ATTACKS="name storm" runs these only.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/variant.sh"

DIES=1 HANGS=2 VSM=4 OTHER=8
CRASH='VP [0-9]+ stopped: '

tests/guest/bare/build.sh "$dir/bare"
cat >"$dir/config.json" <<'JSON'
{
  "guest": {"command_line": "parapet.test=ask", "on_crash": "restart"},
  "console": {"kind": "serial", "backend": "/dev/hvc0"},
  "tpm": {"enabled": true},
  "host_may_set": ["disks", "guest.boot", "guest.command_line_append"]
}
JSON
variant_image config="$dir/config.json" kernel="$dir/bare" shell
add_disk disk0 64M
start_machine

is_wanted() {
    [ -z "${ATTACKS:-}" ] || [[ " $ATTACKS " == *" $1 "* ]]
}

crash_reports() {
    grep -Ec "$CRASH" "$dir/vtl2.log" || true
}

# said_why COUNT: whether there are more crash reports than COUNT; VTL2's console may lag behind.
said_why() {
    local tries
    for ((tries = 0; tries < 50; tries++)); do
        [ "$(crash_reports)" = "$1" ] || return 0
        sleep 0.1
    done
    return 1
}

# attack NAME FLAGS: one attack and the start behind it.
attack() {
    local name=$1 flags=$2 may_end="" patience=60 reports
    reports=$(crash_reports)
    step_start=$EPOCHREALTIME
    send "$name"
    while wait_console "^PT " "$patience"; do
        case $line in
        'PT pass '* | 'PT fail '* | 'PT skip '*)
            read -r _ word what detail <<<"$line"
            result "$word" "attack-$what" "$detail"
            ;;
        'PT dying '*) may_end=1 ;;
        'PT hanging '*) may_end=1 patience=2 ;;
        'PT end '*)
            wait_console '^PT ask' 60 || give_up "attack-$name" 'the guest does not start again'
            return 0
            ;;
        'PT ready'*)
            if [ -z "$may_end" ] || [ $((flags & (DIES | HANGS))) = 0 ]; then
                result fail "attack-$name" 'the guest was started anew in the middle'
            elif said_why "$reports"; then
                result pass "attack-$name" "ended: $(grep -E "$CRASH" "$dir/vtl2.log" | tail -n 1 | cut -c1-90)"
                for ((reports = $(crash_reports) - reports; reports > 0; reports--)); do
                    reported_at+=("$SECONDS") # each VP may have one
                done
            elif [ "${#reported_at[@]}" -ge 10 ] && [ $((SECONDS - reported_at[-10])) -le 25 ]; then
                # Ten in ten seconds are what the log takes; seen here a little later.
                result pass "attack-$name" 'ended: more reports than the limit of lines'
            else
                result fail "attack-$name" 'the guest ended and nobody says why'
            fi
            wait_console '^PT ask' 60 || give_up "attack-$name" 'the guest does not start again'
            return 0
            ;;
        esac
    done
    qemu_runs || give_up "attack-$name" 'the machine ended'
    if [ $((flags & HANGS)) != 0 ] && [ -n "$may_end" ]; then
        result pass "attack-$name" 'the guest stands still; the host resets it'
    else
        result fail "attack-$name" "no end; last line: ${line:0:80}"
    fi
    shell 'parapet ctl reset' || give_up "attack-$name" "no reset: ${shell_output:0:80}"
    wait_console '^PT ask' 60 || give_up "attack-$name" 'the guest does not start again'
    # It may have come to its end at this very moment: then it starts twice.
    if wait_console '^PT ready' 1; then
        wait_console '^PT ask' 60 || give_up "attack-$name" 'the guest does not start again'
    fi
}

# storm WHICH: one life of the guest, from its first line to its last.
storm() {
    send 'memory,processor,mmio,ports,chips'
    while wait_console '^PT ' 240; do
        case $line in
        'PT pass '* | 'PT fail '*)
            read -r _ word what detail <<<"$line"
            result "$word" "$1-$what" "$detail"
            ;;
        'PT done'*)
            wait_console '^PT ask' 60 || give_up "$1" 'the guest does not start again'
            return 0
            ;;
        'PT ready'*) give_up "$1" 'the guest was restarted in the middle' ;;
        esac
    done
    give_up "$1" "the guest does not come to its end; last line: $line"
}

# canary: what VTL2 keeps in its memory, as one line of text.
canary() {
    shell "busybox sha256sum /canary" && echo "${shell_output%% *}"
}

shell_ready || give_up shell 'no shell in VTL2'
shell "busybox head -c 8388608 /dev/urandom >/canary" ||
    give_up shell "no canary: ${shell_output:0:120}"
before=$(canary) || give_up shell 'no canary'
wait_console '^PT ask' || give_up starts 'the guest does not start'
result pass starts
send list
names=() flags=() reported_at=()
while wait_console '^PT (attack|listed)' 20; do
    [[ $line == 'PT attack '* ]] || break
    read -r _ _ name flag <<<"$line"
    names+=("$name") flags+=("$flag")
done
[[ $line == "PT listed ${#names[@]}" ]] || give_up list "not all attacks are listed: $line"
wait_console '^PT ask' 20 || give_up list 'the guest does not ask'
for i in "${!names[@]}"; do
    [ "$PLATFORM" = vsm ] || [ $((flags[i] & VSM)) = 0 ] || continue
    [ "$SMP" -gt 1 ] || [ $((flags[i] & OTHER)) = 0 ] || continue
    if is_wanted "${names[i]}"; then
        attack "${names[i]}" "${flags[i]}"
    fi
done
if is_wanted storm; then
    storm first
    storm second
fi
if [ "$(canary)" = "$before" ]; then
    result pass canary "8 MiB of VTL2's memory are as they were"
else
    result fail canary "VTL2's memory has changed"
fi
if shell 'parapet ctl inspect >/inspect; busybox wc -c </inspect; grep -q devices /inspect'; then
    result pass still-reports "${shell_output%%$'\n'*} bytes from inspect"
else
    result fail still-reports "${shell_output:0:120}"
fi
vtl2_is_well
lines=$(wc -l <"$dir/vtl2.log")
if [ "$lines" -lt 3000 ]; then
    result pass log-bounded "$lines lines in VTL2's log"
else
    result fail log-bounded "$lines lines in VTL2's log: what a guest triggers must be rate-limited"
fi
if shell 'parapet ctl stop' && wait_exit 60; then
    result pass stops
else
    result fail stops "${shell_output:0:120}"
fi
