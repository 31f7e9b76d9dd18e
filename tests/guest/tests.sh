# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2154 # sourced by init
#
# The guest's side of the boot tests, sourced by init. A test is a command of probe or one of the
# functions below: "NAME" or "NAME:ARG:ARG".

# The host types a line; it must come back whole. Tells that console input works.
test_echo() {
    echo "PT echo-waiting"
    read -r line
    echo "PT echoed [$line]"
}

# BYTES of console output at once, in numbered lines that the host counts.
test_output() {
    i=0
    while [ $i -lt "${1:-500}" ]; do
        echo "PT line $i abcdefghijklmnopqrstuvwxyz0123456789"
        i=$((i + 1))
    done
}

# Which disks there are, by name: "vda vdb", or "none".
test_disks() {
    found=''
    for disk in /sys/class/block/vd?; do
        [ -e "$disk" ] && found="$found ${disk##*/}=$(cat "$disk/size")"
    done
    echo "PT disks${found:- none}"
}

# PATTERN MINIMUM NAME: how many interrupts came on the lines of /proc/interrupts that match.
test_interrupts() {
    count=$(grep -E "$1" /proc/interrupts |
        awk '{ for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) n += $i } END { print n + 0 }')
    if [ "$count" -ge "$2" ]; then
        echo "PT pass interrupts-$3 $count"
    else
        echo "PT fail interrupts-$3 $count, expected at least $2: $(grep -E "$1" /proc/interrupts | tr -s ' \n' ' ')"
    fi
}

test_show_interrupts() { cat /proc/interrupts; }
test_dmesg() { dmesg | tail -n "${1:-40}"; }
test_iomem() { grep -E 'System RAM|Reserved' /proc/iomem; }
test_poweroff() { echo "PT done"; poweroff -f; }
test_reboot() { echo "PT rebooting"; reboot -f; }

# Resets by the reset register and by a triple fault, not by the kernel's choice.
test_panic() { echo "PT panicking"; echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger; }

run_one() {
    old_ifs=$IFS
    IFS=:
    # shellcheck disable=SC2086 # split at the colons
    set -- $1
    IFS=$old_ifs
    name=$1
    shift
    if type "test_$name" >/dev/null 2>&1; then
        "test_$name" "$@"
    else
        probe "$name" "$@"
    fi
    echo "PT end $name $?"
}

run_tests() {
    stty -echo 2>/dev/null
    echo "PT ready $uptime"
    if [ "$1" = ask ]; then
        echo "PT ask"
        while read -r line; do
            [ -n "$line" ] && run_one "$line"
            echo "PT ask"
        done
    else
        for test in $(echo "$1" | tr , ' '); do
            run_one "$test"
        done
    fi
    echo "PT done"
}
