# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2154 # sourced by init
#
# The user's shell in the guest, sourced by init: says what the machine has, and how to leave.

hostname parapet-guest
acpid -p /tmp/acpid.pid 2>/dev/null # the ACPI power button: /etc/acpi/PWRF/00000080
mkdir -p /mnt

memory_kib=$(awk '/^MemTotal/ {print $2}' /proc/meminfo)
tpm=none
[ -e /dev/tpm0 ] && tpm="$(cat /sys/class/tpm/tpm0/tpm_version_major).0 at /dev/tpm0"
disks=''
for disk in /sys/class/block/vd?; do
    [ -e "$disk" ] && disks="$disks /dev/${disk##*/} ($(($(cat "$disk/size") / 2048)) MiB)"
done

cat <<BANNER

  This is a guest under Parapet: Debian's own kernel $(uname -r), unmodified.
  Its console, disk, clock, random numbers and TPM come from the paravisor.

    processors  $(nproc)
    memory      $((memory_kib / 1024)) MiB
    disks      ${disks:- none}
    TPM         $tpm
    started in  $uptime s

  Leave with 'poweroff' here, or Ctrl-A X at any time. 'probe tpm', 'probe disk /dev/vda'
  and 'probe smp' are the checks of the project's own tests.

BANNER
while true; do
    setsid -c sh -l
    echo "(the shell ended: 'poweroff' turns the machine off)"
done
