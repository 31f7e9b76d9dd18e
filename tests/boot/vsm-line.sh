#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# QEMU lines that lack what minihost's platform vsm needs end in a sentence that names the option;
# lines that are only unusual do not.
. "$(dirname "$0")/lib.sh"

machine_for vsm
qemu_plays vsm || cannot_run "$why"
[ -f "$IMAGE" ] || give_up start "${IMAGE#"$top"/} was not built"
right=("${machine_options[@]}")

# expect NAME REGEX: the machine, as the variables say it, prints a line that matches.
expect() {
    start_qemu -kernel "$MINIHOST" -initrd "$IMAGE" -append "$machine_append"
    if wait_vtl2 "STOP:|$2" 60 && grep -Eq "$2" "$dir/vtl2.log"; then
        result pass "$1" "$(grep -Em 1 "$2" "$dir/vtl2.log" | cut -c1-110)"
    else
        result fail "$1" "no line matches '$2'; last: $(tail -n 1 "$dir/vtl2.log" | cut -c1-100)"
    fi
    stop_qemu
}

CPU=max,-svm expect no-svm 'STOP:.*no SVM.*-cpu max,\+svm'
CPU=qemu64,+svm expect no-nested-paging 'STOP:.*-cpu max'
machine_options=(-M q35,smm=off,hpet=off)
expect no-hpet 'STOP:.*no HPET'
machine_options=(-M q35,smm=off)
expect no-hpet-messages 'STOP:.*-global hpet.msi=on'
machine_options=(-M q35,smm=off -global hpet.msi=on -global hpet.timers=3)
SMP=4 expect few-hpet-timers 'STOP:.*-global hpet.timers=4'
machine_options=("${right[@]}")
MEM=300M expect little-memory 'STOP:.*give the machine more memory'
machine_append=platform=vbs expect unknown-platform 'STOP:.*the platforms are native and vsm'
MEM=6G SMP=3 expect much-memory-odd-cpus "entering VTL2's Linux"
machine_append='loglevel=4 platform=vsm quiet' expect platform-in-the-middle 'command line: .* loglevel=4 quiet'
