# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Variants of the image, for what the product does not offer: another measured configuration,
# another guest, and a shell in VTL2 on a port of its own. Sourced after lib.sh.

# variant_image [config=FILE] [kernel=FILE] [shell]: builds build/test/boot/TEST/variant.igvm and
# makes it the test's image. A later cpio archive in an initrd overrides an earlier one.
variant_image() {
    local option stage=$dir/variant kernel=build/guest/vmlinuz
    [ -f build/initrd.cpio ] && [ -x build/host/igvmtool ] ||
        give_up variant 'build/initrd.cpio or build/host/igvmtool was not built'
    mkdir -p "$stage"
    for option in "$@"; do
        case $option in
        config=*) install -D -m 644 "${option#*=}" "$stage/etc/parapet.json" ;;
        kernel=*) kernel=${option#*=} ;;
        shell) add_vtl2_shell "$stage" ;;
        esac
    done
    tests/guest/pack.sh "$stage" "$dir/over.cpio"
    cat build/initrd.cpio "$dir/over.cpio" >"$dir/initrd.cpio"
    sed -e "s|\"\.\./build/initrd\.cpio\"|\"$dir/initrd.cpio\"|" \
        -e "s|\"\.\./build/guest/vmlinuz\"|\"$(realpath "$kernel")\"|" \
        -e "s|\"\.\./build/|\"$top/build/|" igvm/parapet.image.json >"$dir/image.json"
    build/host/igvmtool build "$dir/image.json" -o "$dir/variant.igvm" ||
        give_up variant 'igvmtool build failed'
    IMAGE=$dir/variant.igvm
    rm -rf "$stage" "$dir/over.cpio" "$dir/initrd.cpio"
}

# A busybox shell that takes commands from that port, started before init.
add_vtl2_shell() {
    local applet
    mkdir -p "$1/bin"
    ln -sf ../parapet "$1/bin/parapet"
    install -m 755 "$top/build/guest/busybox" "$1/bin/busybox"
    for applet in sh cat grep sed awk sleep stty ls ps kill head tail mount; do
        ln -sf busybox "$1/bin/$applet"
    done
    install -m 755 tests/boot/shell-init "$1/shell-init"
    VTL2_APPEND="${VTL2_APPEND:-} rdinit=/bin/sh -- /shell-init"
    [ "$PLATFORM" = native ] || VTL2_APPEND+=' hvc1'
    use_shell_port
}

# Gives the machine a COM2 whose two ends are FIFOs; where ISA interrupts reach nobody, a second
# virtio console.
use_shell_port() {
    rm -f "$dir/shell.in" "$dir/shell.out"
    mkfifo "$dir/shell.in" "$dir/shell.out"
    exec {shell_in}<>"$dir/shell.in" {shell_out}<>"$dir/shell.out"
    qemu_extra+=(-chardev "pipe,id=shell,path=$dir/shell")
    if [ "$PLATFORM" = native ]; then
        qemu_extra+=(-serial chardev:shell)
    else
        qemu_extra+=(-device virtconsole,chardev=shell)
    fi
}

# shell_line: the shell's next line in $line; 1 when it is not whole within a second: the next call
# goes on with it.
shell_part=''
shell_line() {
    local rest='' status=0
    IFS= read -r -t 1 -u "$shell_out" rest || status=1
    line=$shell_part$rest
    shell_part=''
    [ "$status" = 0 ] || shell_part=$line
    line=${line%$'\r'}
    return "$status"
}

# shell COMMAND: runs it; its output in $shell_output, its status as ours.
shell() {
    local line='' end=$((SECONDS + ${SHELL_SECONDS:-60}))
    shell_output=''
    printf '%s\n' "$1" >&"$shell_in"
    while [ "$SECONDS" -lt "$end" ]; do
        shell_line || continue
        case $line in
        'PT shell-end '*) return "${line##* }" ;;
        *) shell_output+=$line$'\n' ;;
        esac
    done
    shell_output+='(no answer)'
    return 124
}

# shell_ready: waits until it takes commands.
shell_ready() {
    local line='' end=$((SECONDS + TIMEOUT))
    while [ "$SECONDS" -lt "$end" ]; do
        shell_line || { qemu_runs || return 1; continue; }
        [[ $line == 'PT shell-ready'* ]] && return 0
    done
    return 1
}
