#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Crashes are reported in one readable screen: the guest's triple fault, and a fault of the VM
# worker itself. Each time the machine ends, and does not hang.
# platforms: native vsm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/variant.sh"

# expect_lines NAME REGEX...: all of them are in VTL2's log.
expect_lines() {
    local name=$1 regex
    shift
    for regex in "$@"; do
        if ! wait_vtl2 "$regex" 30; then
            result fail "$name" "no line like: $regex"
            return 0
        fi
    done
    result pass "$name" "$(grep -Em 1 "$1" "$dir/vtl2.log" | cut -c1-110)"
}

ends() { # NAME
    if wait_exit 60; then
        result pass "$1"
    else
        give_up "$1" 'the machine did not end'
    fi
}

tests/guest/bare/build.sh "$dir/bare"
cat >"$dir/config.json" <<'JSON'
{
  "guest": {"command_line": "parapet.test=triple_fault", "on_crash": "stop"},
  "console": {"kind": "serial", "backend": "/dev/hvc0"}
}
JSON
variant_image config="$dir/config.json" kernel="$dir/bare"
printf '{}' >"$dir/host.json"
start_machine
expect_lines triple-fault 'crash: VP 0 stopped: triple fault' 'crash: +rip [0-9a-f]{16}' 'crash: +cs +[0-9a-f]{4} base' \
    'the guest crashed'
ends triple-fault-ends

IMAGE=$top/build/parapet.igvm
rm -f "$dir/host.json"
variant_image shell
start_machine
guest_ready worker-guest
shell_ready || give_up shell 'no shell in VTL2'
shell 'kill -SEGV "$(ps | sed -n "s/^ *\([0-9]*\) .*[v]mm.*--.*/\1/p" | head -n 1)"' || true
expect_lines worker-crash 'vmm CRASH: SIGSEGV, sent by a process, at rip [0-9a-f]{16}' '  rip [0-9a-f]{16} rsp' 'stack [0-9a-f]{16}' \
    'worker vmm died of signal 11'
ends worker-crash-ends
