#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A hostile guest without an operating system (tests/guest/bare/): from ring 0, garbage to every
# port in every size and string form, to PCI configuration space, to BARs and to unassigned memory by
# all kinds of instructions, to MSRs and hypercalls, at last to the interrupt controllers; then it
# resets itself, and the paravisor must start it anew and answer for itself.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/variant.sh"

tests/guest/bare/build.sh "$dir/bare"
cat >"$dir/config.json" <<'JSON'
{
  "guest": {"command_line": "parapet.test=memory,processor,mmio,ports,chips", "on_crash": "restart"},
  "console": {"kind": "serial", "backend": "/dev/hvc0"},
  "tpm": {"enabled": true},
  "host_may_set": ["disks", "guest.command_line_append"]
}
JSON
variant_image config="$dir/config.json" kernel="$dir/bare" shell
add_disk disk0 64M
start_machine

# storm WHICH: one life of the guest, from its first line to its last.
storm() {
    wait_console '^PT ready' || give_up "$1-starts" 'the guest does not start'
    result pass "$1-starts"
    while wait_console '^PT ' 240; do
        case $line in
        'PT pass '* | 'PT fail '*)
            read -r _ word what detail <<<"$line"
            result "$word" "$1-$what" "$detail"
            ;;
        'PT done'*) return 0 ;;
        'PT ready'*) give_up "$1" 'the guest was restarted in the middle' ;;
        esac
    done
    give_up "$1" "the guest does not come to its end; last line: $line"
}

shell_ready || give_up shell 'no shell in VTL2'
storm first
storm second
if shell 'parapet ctl inspect' && [[ $shell_output == *'"devices"'* ]]; then
    result pass still-reports "$(wc -c <<<"$shell_output") bytes from inspect"
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
