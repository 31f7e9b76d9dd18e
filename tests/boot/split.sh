#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# IOAPIC, PICs and PIT of Parapet's own under a real guest, on native with KVM's local APICs
# ("guest.own_chips"): the guest as it comes; with all of PCI on level-triggered lines; without the
# IOAPIC; and without local APIC, when the PIT is its only clock. Also a restart, and save and load
# of all devices under the running guest.
# platforms: native vsm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/variant.sh"

cat >"$dir/config.json" <<'JSON'
{
  "guest": {"command_line": "console=hvc0 quiet", "own_chips": true},
  "tpm": {"enabled": true},
  "host_may_set": ["disks", "guest.boot", "guest.vps", "guest.command_line_append"]
}
JSON
variant_image config="$dir/config.json" shell
add_disk disk0 64M

# again APPEND: the machine from its start, with this on the guest's command line.
again() {
    rm -f "$dir/host.json"
    GUEST_APPEND=$1 start_machine
}

# Every case's results have its name before them.
own_name=$test_name
start_case() {
    test_name=$own_name.$1
    again "$2"
    guest_ready
}

start_case as-it-comes ''
guest_test smp 2
guest_test pci 3
guest_test acpi TPM2
guest_test rtc
guest_test serial
guest_test disk /dev/vda
guest_test interrupts 'IO-APIC +8-edge' 1 rtc
shell_ready || give_up shell 'no shell in VTL2'
if shell 'parapet ctl inspect' && [[ $shell_output == *'"ioapic"'*'"pic"'* ]]; then
    result pass own-chips
else
    result fail own-chips "${shell_output:0:120}"
fi
if shell 'cat /proc/sys/kernel/modules_disabled' && [ "${shell_output%$'\n'}" = 1 ]; then
    result pass modules-closed
else
    result fail modules-closed "${shell_output:0:120}"
fi
if shell 'parapet ctl cycle'; then
    result pass cycle
else
    result fail cycle "${shell_output:0:120}"
fi
guest_test disk /dev/vda
guest_test rtc
guest_start reboot
guest_ready after-reboot
guest_test rtc
guest_test disk /dev/vda
guest_poweroff

start_case level 'pci=nomsi'
guest_test smp 2
guest_test disk /dev/vda
guest_test rng
guest_test interrupts 'IO-APIC.*fasteoi.*virtio' 100 intx
guest_poweroff

start_case noapic 'noapic pci=nomsi'
guest_test disk /dev/vda
guest_test rng
guest_test rtc
guest_test interrupts 'XT-PIC.*virtio' 100 intx
guest_poweroff

SMP=1
start_case nolapic 'nolapic noapic pci=nomsi'
guest_test disk /dev/vda
guest_test rtc
guest_test interrupts 'XT-PIC.*timer' 20 timer
guest_test interrupts 'XT-PIC.*virtio' 100 intx
guest_poweroff

# KVM's own chips route PCI's lines to the PICs as well.
IMAGE=$top/build/parapet.igvm VTL2_APPEND='' SMP=2
start_case kvm-noapic 'noapic pci=nomsi'
guest_test disk /dev/vda
guest_test rng
guest_test interrupts 'XT-PIC.*virtio' 100 intx
guest_poweroff
