# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2154 # what lib.sh sets
#
# Boot tests of the Debian disk (tools/build/debian-disk.sh) under UEFI firmware; sourced after
# lib.sh. With FIRMWARE=ovmf the same test runs in plain QEMU with Debian's OVMF, without Parapet
# and without a TPM: what a test expects is then compared with a firmware that others wrote.

DEBIAN=${DEBIAN:-$top/build/guest/debian.img}
FIRMWARE=${FIRMWARE:-parapet}
OVMF=/usr/share/OVMF
ESP_AT=1M ROOT_AT=67108864 # where the file systems stand in the image
LOGIN_SECONDS=${LOGIN_SECONDS:-400}
PROMPT='root@parapet:~# '

# debian_disk [OPTIONS]: the disk as the guest's first; what is written to it ends with QEMU.
debian_disk() {
    [ -f "$DEBIAN" ] || give_up start "${DEBIAN#"$top"/} was not built"
    disk_image=$DEBIAN
    add_disk disk0 0 '' "format=raw,snapshot=on,discard=unmap,file=$disk_image"
}

# debian_copy: the same, as a copy that the test changes beforehand and that keeps what is written.
debian_copy() {
    [ -f "$DEBIAN" ] || give_up start "${DEBIAN#"$top"/} was not built"
    disk_image=$dir/disk0.img
    cp --sparse=always --reflink=auto "$DEBIAN" "$disk_image"
    add_disk disk0 0
}

# esp_get PATH FILE, esp_put FILE PATH: a file of the copy's EFI system partition.
esp_get() { MTOOLS_SKIP_CHECK=1 mcopy -n -i "$disk_image@@$ESP_AT" "::$1" "$2"; }
esp_put() { MTOOLS_SKIP_CHECK=1 mcopy -o -i "$disk_image@@$ESP_AT" "$1" "::$2"; }

# flip_bit FILE OFFSET: one bit of that byte.
flip_bit() {
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf '%b' "\\x$(printf %x $((byte ^ 16)))" |
        dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# flip_in_esp PATH: a bit in the middle of an EFI program, where its code or data is.
flip_in_esp() {
    esp_get "$1" "$dir/flip"
    flip_bit "$dir/flip" $(($(stat -c %s "$dir/flip") / 2))
    esp_put "$dir/flip" "$1"
}

# flip_in_root PATH: a bit in the middle of a file of the root file system, in its place.
flip_in_root() {
    local size block
    size=$(debugfs -R "stat $1" "$disk_image?offset=$ROOT_AT" 2>/dev/null | sed -n 's/.*Size: \([0-9]*\).*/\1/p' | head -n 1)
    block=$(debugfs -R "bmap $1 $((size / 2 / 4096))" "$disk_image?offset=$ROOT_AT" 2>/dev/null)
    flip_bit "$disk_image" $((ROOT_AT + block * 4096 + 100))
}

# root_path PATH: what a symbolic link in the root file system's top folder leads to.
root_path() {
    printf '/%s\n' "$(debugfs -R "stat $1" "$disk_image?offset=$ROOT_AT" 2>/dev/null |
        sed -n 's/^Fast link dest: "\(.*\)"/\1/p')"
}

# ---- the machine ---------------------------------------------------------------------------------

# start_uefi: the machine of the test with its disks and the console on its firmware's terminal.
start_uefi() {
    local disk drives=()
    if [ "$FIRMWARE" = parapet ]; then
        # A processor that no VP runs on, on native too: Debian hits the fault of QEMU's first one
        # (docs/STATUS.md) once in some starts.
        machine_spare=1
        uefi_host_config >"$dir/host.json"
        start_machine
        return
    fi
    [ -e "$dir/vars.fd" ] || cp "$OVMF/OVMF_VARS_4M.ms.fd" "$dir/vars.fd"
    for disk in "${qemu_disks[@]}"; do
        case $disk in
        nvme,*) drives+=("virtio-blk-pci,${disk#*,*,}") ;;
        *) drives+=("$disk") ;;
        esac
    done
    # shellcheck disable=SC2034,SC2054 # start_qemu's
    machine_options=(-M 'q35,smm=on' -global 'driver=cfi.pflash01,property=secure,value=on')
    REBOOT=-no-fd-bootchk NO_VIRTCONSOLE=1 SERIAL=chardev:guest CPU=max start_qemu \
        -drive "if=pflash,unit=0,format=raw,readonly=on,file=$OVMF/OVMF_CODE_4M${OVMF_KEYS-.ms}.fd" \
        -drive "if=pflash,unit=1,format=raw,file=$dir/vars.fd" "${drives[@]}"
}

# What the host says: UEFI firmware, which speaks to COM1, the test's disks, its state.
uefi_host_config() {
    local config_more="$config_more\"console\": {\"kind\": \"serial\"}, "
    GUEST_BOOT=uefi GUEST_KEYS="\"vps\": $SMP, " host_config ''
}

# ---- the guest's shell ---------------------------------------------------------------------------

# wait_prompt TEXT [SECONDS]: until a line of the console has the text, ended or not: a message of
# systemd's may come right behind the prompt.
wait_prompt() {
    local end=$((SECONDS + ${2:-$TIMEOUT})) part='' ended
    while [ "$SECONDS" -lt "$end" ]; do
        ended=0
        read_console || ended=$?
        part+=$line
        [[ $part != *"$1"* ]] || return 0
        if [ "$ended" = 0 ]; then
            part=''
        else
            qemu_runs || return 1
        fi
    done
    return 1
}

# wait_output REGEX [SECONDS]: until the console has it, whole lines or not; firmware draws menus.
wait_output() {
    local end=$((SECONDS + ${2:-$TIMEOUT})) seen='' part=''
    while [ "$SECONDS" -lt "$end" ]; do
        if read_console; then
            seen=$part$line part=''
        else
            part+=$line seen=$part
        fi
        # shellcheck disable=SC2001
        seen=$(sed 's/\x1b\[[0-9;?=]*[a-zA-Z]//g' <<<"$seen")
        [[ ! $seen =~ $1 ]] || return 0
        qemu_runs || return 1
    done
    return 1
}

# guest_login [NAME [STATE]]: Debian is up, in the state that systemd calls running or as said; its
# shell then takes commands without showing them.
guest_login() {
    local name=${1:-login} state=${2:-running}
    if ! wait_prompt "$PROMPT" "$LOGIN_SECONDS"; then
        send '' # does the guest stand still, or has only its prompt not come?
        wait_prompt "$PROMPT" 20 && give_up "$name" 'no prompt of Debian before Enter was pressed'
        give_up "$name" "no prompt of Debian; last: $(tail -n 1 "$dir/console.log" | tr -d '\000-\037' | cut -c1-100)"
    fi
    send "stty -echo; bind 'set enable-bracketed-paste off'; PS1= PS2= TERM=dumb PAGER=cat; echo PT-\"shell\""
    wait_console 'PT-shell$' || give_up "$name" "Debian's shell does not answer"
    guest_do 'systemctl is-system-running --wait' || true
    # The console may show other things, too.
    if [[ $'\n'$guest_output == *$'\n'"$state" ]]; then
        result pass "$name"
    else
        guest_do 'systemctl --failed --no-legend | head -n 3; systemctl is-system-running' || true
        result fail "$name" "not $state: ${guest_output:0:200}"
    fi
}

# guest_do COMMAND: runs it in Debian's shell; what it prints in $guest_output, its status as ours.
guest_do() {
    local end=$((SECONDS + ${DO_SECONDS:-200}))
    guest_output=''
    send "{ $1
} 2>&1; PT=\$?; echo; echo \"PT-\"end \$PT"
    while wait_console '' $((end - SECONDS)); do
        # shellcheck disable=SC2001 # control sequences are for terminals
        line=$(sed 's/\x1b\[[0-9;?]*[a-zA-Z]//g' <<<"$line")
        if [[ $line =~ PT-end\ ([0-9]+)$ ]]; then
            guest_output=${guest_output%$'\n'}
            return "${BASH_REMATCH[1]}"
        fi
        guest_output+=${guest_output:+$'\n'}$line
    done
    qemu_runs || give_up guest "the machine ended during: $1"
    give_up guest "no end of: $1"
}

# guest_says NAME REGEX COMMAND: one result.
guest_says() {
    guest_do "$3" || true
    if [[ $guest_output =~ $2 ]]; then
        result pass "$1" "${BASH_REMATCH[0]:0:100}"
    else
        result fail "$1" "$3: ${guest_output:0:200}"
    fi
}

# guest_ends NAME COMMAND: it ends the machine.
guest_ends() {
    send "$2"
    if wait_exit "$TIMEOUT" && [ "$qemu_status" = 0 ]; then
        result pass "$1"
    else
        give_up "$1" "QEMU did not end by itself (status ${qemu_status:-none})"
    fi
}
