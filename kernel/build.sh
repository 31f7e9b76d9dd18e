#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Builds VTL2's Linux from Debian's newest linux-source-7.x into build/kernel/:
#   bzImage  System.map  config  modules/*.ko  include/ (for user space)  NOTES (what it is)
# The result is cached by content: options (not their comments), RECIPE, patches, source version,
# compiler.
# The build is reproducible: no time, user, host or path gets into the result.
#
# Variables: PARAPET_CACHE, PARAPET_JOBS (default: processors), KEEP=0 (remove source and objects
# afterwards, 0.9 GB; when they stay, the next build after a change of an option is incremental).
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/../tools/build/lib.sh"

RECIPE=1 # to be raised when this script changes what it makes
SUITE=trixie-backports
PACKAGE='linux-source-7.*'
MODULES='drivers/hv/mshv_vtl.ko'
OBJECTS=1408 # about as many as a whole build compiles: only for the progress line
OUT=$BUILD/kernel

export KBUILD_BUILD_TIMESTAMP='2026-01-01T00:00:00Z' KBUILD_BUILD_USER=parapet
export KBUILD_BUILD_HOST=parapet KBUILD_BUILD_VERSION=1
unset MAKEFLAGS MFLAGS MAKELEVEL CFLAGS LDFLAGS ARCH CROSS_COMPILE || true

# Left out when unpacking: what an x86 kernel without these drivers never reads (half of the tree).
# Kconfig files and makefiles of those folders stay: the configuration reads them.
EXCLUDE=('*/Documentation/*.rst' '*/Documentation/*.yaml' '*/Documentation/*.txt'
    '*/Documentation/*.svg' '*/drivers/gpu/*.[ch]' '*/drivers/media/*.[ch]'
    '*/drivers/staging/*.[ch]' '*/drivers/net/ethernet/*.[ch]' '*/drivers/net/wireless/*.[ch]'
    '*/sound/*.[ch]' '*/tools/testing' '*/tools/perf' 'linux-source-*/arch/[^xu]*/*.[chS]'
    'linux-source-*/arch/*.dts' 'linux-source-*/arch/*.dtsi')

unpack() { # TARBALL DEST: with patches, in one step
    local tarball=$1 dest=$2 patch
    begin "$dest" >/dev/null
    tick kernel "unpacking $(basename "$tarball")" "$CACHE/log/kernel-unpack" \
        "du -sm '$dest.part' | awk '{ print \$1 \" MB\" }'" \
        tar -C "$dest.part" --strip-components=1 "${EXCLUDE[@]/#/--exclude=}" -xf "$tarball"
    for patch in "$HERE"/patches/*.patch; do
        [ -e "$patch" ] || continue
        say kernel "applying ${patch##*/}"
        patch -d "$dest.part" -p1 --no-backup-if-mismatch -s <"$patch" \
            || die kernel "${patch##*/} does not apply to $VERSION" "refresh the patch in kernel/patches/"
    done
    publish "$dest"
}

# Options that the fragment demands and the final configuration does not have, one a line.
unmet_options() { # FINAL-CONFIG
    awk '
        FNR == NR { if (/^CONFIG_/) { split($0, kv, "="); have[kv[1]] = $0 }; next }
        /^CONFIG_[A-Z0-9_]+=/ { split($0, kv, "="); if (have[kv[1]] != $0)
            print "wanted " $0 ", got " (have[kv[1]] == "" ? "nothing" : have[kv[1]]) }
        /^# CONFIG_[A-Z0-9_]+ is not set/ { if ($2 in have) print "wanted " $2 " off, got " have[$2] }
    ' "$1" "$CONFIG"
}

configure() { # OBJ
    local unmet
    make -s -C "$SRC" O="$1" tinyconfig >"$1/log.config" 2>&1
    "$SRC/scripts/kconfig/merge_config.sh" -m -O "$1" "$1/.config" "$CONFIG" >>"$1/log.config" 2>&1
    make -s -C "$SRC" O="$1" olddefconfig >>"$1/log.config" 2>&1
    unmet=$(unmet_options "$1/.config")
    [ -z "$unmet" ] || {
        printf '%s\n' "$unmet" | sed 's/^/    /' >&2
        die kernel "Linux $VERSION does not keep these options of kernel/parapet.config" \
            "find what they depend on (make -C $SRC O=$1 menuconfig), then change the fragment"
    }
}

collect() { # OBJ DEST
    local module
    mkdir -p "$2/modules"
    cp "$1/arch/x86/boot/bzImage" "$1/System.map" "$2/"
    cp "$1/.config" "$2/config"
    for module in $MODULES; do
        strip --strip-debug -o "$2/modules/$(basename "$module")" "$1/$module"
    done
    make -s -C "$SRC" O="$1" INSTALL_HDR_PATH="$2" headers_install >"$1/log.headers" 2>&1
    find "$2/include" -type f ! -name '*.h' -delete
    size "$1/vmlinux" >"$2/size.txt"
    {
        echo "Linux $VERSION ($NAME), $(stat -c %s "$2/bzImage") bytes, sha256 $(sha256sum <"$2/bzImage" | cut -c1-64)"
        echo "compiler: $COMPILER"
        echo "bzImage is usable: boots under QEMU TCG; modules/ needs insmod (mshv_vtl: only on Hyper-V's VTL2)"
    } >"$2/NOTES"
}

build() { # into $DONE
    local started=$SECONDS part
    SRC=$CACHE/kernel/src-$(content_key "${PATCHES[@]}" /dev/null -- "$VERSION" "${EXCLUDE[@]}")
    OBJ=$CACHE/kernel/objects
    [ -e "$SRC/Makefile" ] || unpack "$TARBALL" "$SRC"
    # Objects of another source tree or compiler would only be in the way.
    [ "$(cat "$OBJ/made-from" 2>/dev/null)" = "$SRC $COMPILER" ] || rm -rf "$OBJ"
    mkdir -p "$OBJ"
    printf '%s\n' "$SRC $COMPILER" >"$OBJ/made-from"
    configure "$OBJ"
    tick kernel "compiling Linux $VERSION" "$OBJ/log.build" \
        "grep -cE '^  (CC|AS) ' '$OBJ/log.build' | awk '{ print \$1 \" of about $OBJECTS objects\" }'" \
        make -C "$SRC" O="$OBJ" -j"${PARAPET_JOBS:-$(nproc)}" bzImage modules
    part=$(begin "$DONE")
    collect "$OBJ" "$part"
    publish "$DONE"
    [ "${KEEP:-1}" = 1 ] || rm -rf "$OBJ" "$SRC"
    BUILT="built in $((SECONDS - started)) s"
}

main() {
    local rootfs options
    rootfs=$("$ROOT/tools/build/fetch.sh" deb "$PACKAGE" "$SUITE")
    read -r NAME VERSION <"${rootfs%/root}/current"
    TARBALL=$rootfs/usr/src/$NAME.tar.xz
    COMPILER="$(gcc --version | head -n 1); $(ld --version | head -n 1)"
    shopt -s nullglob
    PATCHES=("$HERE"/patches/*.patch)

    lock kernel kernel
    # The options as they are now, not as they are when the build comes to reading them.
    mkdir -p "$CACHE/kernel"
    options=$(grep -E '^(CONFIG_|# CONFIG_[A-Z0-9_]+ is not set)' "$HERE/parapet.config")
    CONFIG=$CACHE/kernel/parapet.config
    printf '%s\n' "$options" >"$CONFIG"
    DONE=$CACHE/kernel/$(content_key "$CONFIG" "${PATCHES[@]}" -- "$RECIPE" "$VERSION" "$COMPILER")
    BUILT=cached
    [ -e "$DONE/bzImage" ] || build
    install_tree "$DONE" "$OUT"
    say kernel "build/kernel/bzImage: $(stat -c %s "$OUT/bzImage" | awk '{ printf "%.2f MB", $1 / 1e6 }') ($BUILT)"
    exit 0 # this file may have been replaced meanwhile: bash reads on
}
main
