#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The same static binary as a plain VMM on a Linux host with KVM: Debian's cloud kernel in QEMU. Here
# the control socket can be reached as well: inspect, the power button, stop.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/variant.sh"

kernel=$top/build/guest/vmlinuz
for file in build/vtl2/parapet build/guest.cpio "$kernel"; do
    [ -f "$file" ] || give_up start "$file was not built"
done

# The host: busybox, KVM's modules, the binary, the guest's files.
stage=$dir/host
mkdir -p "$stage"/{bin,dev,guest,modules,proc,run,sys,tmp}
add_vtl2_shell "$stage"
ln -sf busybox "$stage/bin/mknod"
order=()
add_module() {
    local file dependency
    # Debian 13's kernel has some of them built in.
    ! grep -qs "/${1//[-_]/[-_]}\.ko\$" build/guest/lib/modules/*/modules.builtin || return 0
    file=$(find build/guest/lib \( -name "${1//_/-}.ko" -o -name "${1//-/_}.ko" \) -print -quit)
    [ -n "$file" ] || give_up modules "the kernel has no module $1"
    for dependency in $(modinfo -F depends "$file" | tr , ' '); do
        add_module "$dependency"
    done
    [[ " ${order[*]} " == *" ${file##*/} "* ]] && return
    order+=("${file##*/}")
    cp "$file" "$stage/modules/"
}
for module in virtio_pci virtio_console kvm-amd; do
    add_module "$module"
done
tests/guest/build-probe.sh "$stage/bin/probe"
install -m 755 build/vtl2/parapet "$stage/parapet"
cp "$kernel" "$stage/guest/vmlinuz"
cp build/guest.cpio "$stage/guest/initrd"
cat >"$stage/guest/config.json" <<'JSON'
{
  "guest": {"command_line": "console=hvc0 quiet parapet.test=ask"},
  "console": {"kind": "virtio", "backend": "/dev/hvc0"},
  "tpm": {"enabled": false},
  "disks": [{"path": "/tmp/disk.img", "buffered": true}]
}
JSON
cat >"$stage/init" <<INIT
#!/bin/sh
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
probe modules ${order[*]/#//modules/}
busybox dd if=/dev/zero of=/tmp/disk.img bs=1M seek=63 count=1 2>/dev/null
parapet vmm --config /guest/config.json --kernel /guest/vmlinuz --initrd /guest/initrd \\
    --memory 384M --vps 2 --control /run/parapet.sock
echo "parapet vmm ended with status \$?"
busybox poweroff -f
INIT
chmod 755 "$stage/init"
tests/guest/pack.sh "$stage" "$dir/host.cpio"
rm -rf "$stage"

MEM=1536M start_qemu -kernel "$kernel" -initrd "$dir/host.cpio" -append "console=ttyS0 no_timer_check $VTL2_APPEND"
guest_ready
shell_ready || give_up shell 'no shell on the host'
guest_test smp 2
guest_test pci 3
guest_test disk /dev/vda
guest_test rtc
guest_test pmtimer

if shell 'parapet ctl inspect' && [[ $shell_output == *com1* || $shell_output == *virtio* ]]; then
    result pass inspect "$(wc -l <<<"$shell_output") lines"
else
    result fail inspect "${shell_output:0:100}"
fi
guest_start button 60
wait_console '^PT value button-waiting' || give_up button 'the guest does not wait for the button'
shell 'parapet ctl power-button' || result fail button-command "${shell_output:0:100}"
if wait_console '^PT (pass|fail) power-button' 90 && [[ $line == *pass* ]]; then
    result pass button 'pressed by parapet ctl, seen by the guest'
else
    result fail button "$line"
fi
wait_console '^PT ask'
if shell 'parapet ctl reset' && wait_console '^PT ready'; then
    result pass ctl-reset
else
    result fail ctl-reset "${shell_output:0:100}"
fi
wait_console '^PT ask'
guest_start poweroff
if wait_vtl2 'parapet vmm ended with status 0'; then
    result pass vmm-ends
else
    result fail vmm-ends "$(grep -m 1 'vmm ended' "$dir/vtl2.log" || echo 'it does not end')"
fi
wait_exit 30 || result fail poweroff 'the host does not end'
