#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Secure Boot's keys under attack by the guest's root, through the real kernel and firmware: deletes
# and writes without a signature, with another's, and again; and updates that are signed right. The
# keys are those of tests/vectors/uefi, so that there are signatures for them; nothing of the disk is
# signed by them, so Secure Boot is not enforced. Then the process that keeps them is killed: under the
# guest, which goes on without, and under its firmware, which stops. The next start has another one
# with what was taken.
# alone: Debian, with two VPs
# platforms: native vsm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/uefi.sh"
. "$(dirname "$0")/variant.sh"

vectors=$top/tests/vectors/uefi
EFIVARS=/sys/firmware/efi/efivars
GLOBAL=8be4df61-93ca-11d2-aa0d-00e098032b8c
SECURITY=d719b2cb-3d3a-4596-a3bc-dad00e67656f

# efivar FILE ATTRIBUTES VECTOR: what is written to a variable's file: attributes, then the payload.
efivar() {
    { printf '%b' "\\x$2\0\0\0"; [ -z "$3" ] || cat "$vectors/$3"; } >"$dir/$1"
    esp_put "$dir/$1" "/$1"
}

# Linux marks these files immutable against accidents: root takes the mark off. Debian's small disk
# has no chattr; FS_IOC_SETFLAGS is what it would call.
# shellcheck disable=SC2016 # perl's variables
FREE='free() { [ ! -e "$1" ] || perl -e '"'open F, q(<), \$ARGV[0] or die; \$none = pack(q(l), 0); ioctl F, 0x40086602, \$none or die'"' "$1"; }'

# write_key NAME VARIABLE FILE WANTED: one write of it; what the shell says, and the file's size after.
write_key() {
    guest_says "$1" "$4" "{ free $EFIVARS/$2; dd if=/boot/efi/$3 of=$EFIVARS/$2 bs=64K conv=notrunc status=none && echo taken
stat -c 'size %s' $EFIVARS/$2; } 2>&1 | tr '\\n' ' '"
}
# unlink_key NAME VARIABLE WANTED
unlink_key() {
    guest_says "$1" "$3" "{ free $EFIVARS/$2; rm $EFIVARS/$2; stat -c 'size %s' $EFIVARS/$2; } 2>&1 | tr '\\n' ' '"
}

size_of() { echo "size $((4 + $(stat -c %s "$vectors/$1")))"; }

[ -f "$DEBIAN" ] || { echo "${DEBIAN#"$top"/} was not built"; exit 77; }
debian_copy
for vector in db-stranger db-later dbx1 pk-foreign pk-next kek-kek; do
    efivar "$vector" 27 "$vector.auth"
done
efivar append 67 dbx-append-later.auth
efivar nothing 27 ''
efivar value 06 ''
printf '\1' >>"$dir/value"
esp_put "$dir/value" /value

add_state
if ! "$top/build/host/uefikeys" --pk "$vectors/pk.esl" --kek "$vectors/kek.esl" --db "$vectors/db.esl" -o "$dir/keys.json" ||
    ! "$top/build/host/vmgstool" create "$dir/state.img" --size 16M --force ||
    ! "$top/build/host/vmgstool" uefi-vars import "$dir/state.img" -i "$dir/keys.json"; then
    give_up start 'no guest state with these keys'
fi
config_more+='"secure_boot": {"enabled": false}, '
variant_image shell
start_uefi
guest_login
guest_do "$FREE" || true
guest_says user-mode '^ *0 *$' "od -An -tu1 -j4 $EFIVARS/SetupMode-$GLOBAL"

before=$(size_of db.esl)
refused='error writing .*: (Permission denied|Invalid argument|Read-only file system|Input/output error)'
gone='cannot remove .*: (Permission denied|Invalid argument|Read-only file system|Input/output error)'
write_key delete-db "db-$SECURITY" nothing "$refused $before"
write_key delete-pk "PK-$GLOBAL" nothing "$refused $(size_of pk.esl)"
unlink_key unlink-db "db-$SECURITY" "$gone $before"
unlink_key unlink-pk "PK-$GLOBAL" "$gone $(size_of pk.esl)"
write_key stranger "db-$SECURITY" db-stranger "$refused $before"
write_key foreign-pk "PK-$GLOBAL" pk-foreign "$refused $(size_of pk.esl)"
write_key kek-by-kek "KEK-$GLOBAL" kek-kek "$refused $(size_of kek.esl)"
guest_says setup-mode "$refused" "free $EFIVARS/SetupMode-$GLOBAL; dd if=/boot/efi/value of=$EFIVARS/SetupMode-$GLOBAL bs=64K conv=notrunc status=none && echo taken"

write_key signed-db "db-$SECURITY" db-later "^taken $(size_of dbx1.esl)"
write_key replayed-db "db-$SECURITY" db-later "$refused $(size_of dbx1.esl)"
write_key signed-dbx "dbx-$SECURITY" dbx1 "^taken $(size_of dbx1.esl)"
write_key append "dbx-$SECURITY" append "^taken size $((4 + 76 + 28 + 2 * 48))"
write_key next-pk "PK-$GLOBAL" pk-next "^taken $(size_of pk2.esl)"

# The process dies under the guest: every call fails, at once, and nothing else does. There is no other
# one before the guest's next start, which could not know what phase the guest is in.
services() { shell 'ps | grep -c "[u]efi-vars --"' || true; }
kill_service() {
    shell 'kill -KILL "$(ps | sed -n "s/^ *\([0-9]*\) .*[u]efi-vars --.*/\1/p" | head -n 1)"' ||
        give_up kill "the shell in VTL2: $shell_output"
}
killed='worker uefi-vars died of signal 9'
vtl2_is_well before-kill
shell_ready || give_up shell 'no shell in VTL2'
# The last answer was a success, and must not count as the next one.
guest_says read-before "^$(($(stat -c %s "$vectors/pk2.esl") + 4))\$" "cat $EFIVARS/PK-$GLOBAL | wc -c"
kill_service
wait_vtl2 "$killed" 30 || give_up kill 'the process was not killed'
guest_says read-without 'Input/output error' "cat $EFIVARS/PK-$GLOBAL"
write_key write-without "db-$SECURITY" db-later 'Input/output error'
guest_says runs-without '^running 4096$' 'echo $(systemctl is-system-running) $(dd if=/dev/vda bs=4096 count=1 iflag=direct status=none | wc -c)'
services
if wait_vtl2 'the variable service is lost' 30 && [ "$shell_output" = $'0\n' ]; then
    result pass told "$(grep -o 'the variable service is lost.*' "$dir/vtl2.log" | head -n 1)"
else
    result fail told "no word in the log, or another process: $shell_output"
fi

# The next start has another one. It dies too, and the firmware starts nothing that it cannot judge.
guest_do 'systemctl reboot' || true
wait_vtl2 'a new process keeps the restarted guest' || give_up new-process 'no new process'
kill_service
if wait_output 'the UEFI variable device has failed. Stopped' && ! wait_output 'GRUB|Linux|login' 5; then
    result pass firmware-stops
else
    result fail firmware-stops
fi

# What was taken is there after a reset, what was refused is not.
shell 'parapet ctl reset' || true
guest_login after-reboot
services
if [ "$shell_output" = $'1\n' ]; then result pass service-again; else result fail service-again "$shell_output processes"; fi
guest_says lasting "$(size_of pk2.esl) $(size_of dbx1.esl)" "stat -c 'size %s' $EFIVARS/PK-$GLOBAL $EFIVARS/db-$SECURITY | tr '\\n' ' '"
guest_says still-user-mode '^ *0 *$' "od -An -tu1 -j4 $EFIVARS/SetupMode-$GLOBAL"
guest_ends poweroff 'systemctl poweroff'
vtl2_is_well vtl2-well "$killed" 2
if "$top/build/host/vmgstool" uefi-vars list "$dir/state.img" >"$dir/list.log" 2>&1 && grep -q ' PK  .*1 signatures' "$dir/list.log"; then
    result pass exported "$(wc -l <"$dir/list.log") variables"
else
    result fail exported "$(tail -n 1 "$dir/list.log")"
fi
