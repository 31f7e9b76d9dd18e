#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Builds the guest's UEFI firmware from Debian's edk2 source and firmware/ParapetPkg into
# build/firmware/:
#   parapet.fd  2 MiB, ends at 4 GiB in the guest, read-only     NOTES  what it is
# With the argument `debug`: parapet-debug.fd, which writes a log to port 0x402.
# The result is cached by content: ParapetPkg, RECIPE, patches (Debian's and ours), source version, compilers.
# The build is reproducible: no time, user or path gets into the result. It needs no network once the
# two tarballs are in the cache.
#
# Variables: PARAPET_CACHE, PARAPET_JOBS (default: processors), KEEP=0 (remove source and objects
# afterwards, 0.7 GB; when they stay, the next build after a change of a driver is incremental).
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/lib.sh"

RECIPE=1 # to be raised when this script changes what it makes
SUITE=trixie
MODULES=210 # about as many modules and libraries as a whole build compiles: only for the progress line
OUT=$BUILD/firmware
FLAVOUR=${1:-release}
case $FLAVOUR in
release) TARGET=RELEASE FD=parapet.fd NOTES=NOTES ;;
debug) TARGET=DEBUG FD=parapet-debug.fd NOTES=NOTES-debug ;;
*) die firmware "no flavour '$FLAVOUR'" "firmware.sh [release|debug]" ;;
esac

export SOURCE_DATE_EPOCH=1767225600 PYTHON3_ENABLE=TRUE PYTHON_COMMAND=python3 PYTHONHASHSEED=0
unset MAKEFLAGS MFLAGS MAKELEVEL CFLAGS LDFLAGS CC ARCH WORKSPACE PACKAGES_PATH CONF_PATH \
    EDK_TOOLS_PATH GCC5_BIN GCC_BIN || true

# Of Debian's patches, those that touch what is built here. brotlicompress: the tarball lacks the
# compressor's source.
PATCHES='
    no-stack-protector-all-archs.diff
    brotlicompress-disable.diff
    x64-baseline-abi.patch
    OvmfPkg-X64-add-opt-org.tianocore-UninstallMemAttrPr.patch
    0001-SecurityPkg-Out-of-bound-read-in-HashPeImageByType.patch
    0002-SecurityPkg-Improving-HashPeImageByType-logic.patch
    0003-SecurityPkg-Improving-SecureBootConfigImpl-HashPeIma.patch
    0001-Fix-timing-side-channel-in-ECDSA-signature-computati.patch'

# Packages of the tarball that no module of ParapetPkg uses.
EXCLUDE=('*/ArmPkg' '*/ArmPlatformPkg' '*/ArmVirtPkg' '*/DynamicTablesPkg' '*/EmulatorPkg'
    '*/IntelFsp2Pkg' '*/IntelFsp2WrapperPkg' '*/RedfishPkg' '*/SignedCapsulePkg' '*/UefiPayloadPkg'
    '*/UnitTestFrameworkPkg/Library/*Lib/*Tests')

unpack() { # DEST
    local dest=$1 patches patch
    begin "$dest" >/dev/null
    say firmware "unpacking $(basename "$SOURCE")"
    tar -C "$dest.part" --strip-components=1 "${EXCLUDE[@]/#/--exclude=}" -xf "$SOURCE"
    tar -C "$dest.part" -xf "$DEBIAN" debian/patches
    for patch in $PATCHES; do
        patch -d "$dest.part" -p1 --no-backup-if-mismatch -s <"$dest.part/debian/patches/$patch" \
            || die firmware "Debian's $patch does not apply to $VERSION" "see PATCHES in $0"
    done
    for patch in "${OURS[@]}"; do
        patch -d "$dest.part" -p1 --no-backup-if-mismatch -s <"$patch" \
            || die firmware "${patch##*/} does not apply to $VERSION" "refresh the patch in firmware/patches/"
    done
    publish "$dest"
}

# EDK II's own tools, then the image. In a subshell: its environment is read by `.`.
compile() { # WORK
    (
        set +u
        export WORKSPACE=$1 PACKAGES_PATH=$1:$SRC EDK_TOOLS_PATH=$SRC/BaseTools CONF_PATH=$1/Conf
        mkdir -p "$CONF_PATH"
        cd "$WORKSPACE"
        set --
        . "$SRC/edksetup.sh"
        make -C "$SRC/BaseTools" ARCH=X64 -j"$JOBS"
        build -n "$JOBS" -a X64 -t GCC5 -b "$TARGET" -p ParapetPkg/ParapetPkg.dsc \
            -D "FIRMWARE_VERSION=$VERSION"
    )
}

build_firmware() { # into $DONE
    local started=$SECONDS work part
    SRC=$CACHE/firmware/src-$(content_key "${OURS[@]}" -- "$VERSION $COMPILER" "$PATCHES" "${EXCLUDE[@]}")
    work=$CACHE/firmware/objects
    [ -e "$SRC/edksetup.sh" ] || unpack "$SRC"
    # Objects of another source tree or compiler would only be in the way.
    [ "$(cat "$work/made-from" 2>/dev/null)" = "$SRC" ] || rm -rf "$work"
    mkdir -p "$work"
    printf '%s\n' "$SRC" >"$work/made-from"
    rsync -a --delete "$PACKAGE/" "$work/ParapetPkg/"
    tick firmware "compiling EDK II $VERSION ($FLAVOUR)" "$CACHE/log/firmware-$FLAVOUR" \
        "grep -c '^Building ' '$CACHE/log/firmware-$FLAVOUR' | awk '{ print \$1 \" of about $MODULES modules\" }'" \
        compile "$work"
    part=$(begin "$DONE")
    cp "$work/Build/Parapet/${TARGET}_GCC5/FV/PARAPET.fd" "$part/$FD"
    {
        echo "EDK II $VERSION with ParapetPkg, $TARGET, $(stat -c %s "$part/$FD") bytes, sha256 $(sha256sum <"$part/$FD" | cut -c1-64)"
        echo "compilers: $COMPILER"
        echo "for a machine with a UEFI variable device (fw_cfg etc/hardware-info); see docs/uefi.md"
    } >"$part/$NOTES"
    publish "$DONE"
    [ "${KEEP:-1}" = 1 ] || rm -rf "$work" "$SRC"
    BUILT="built in $((SECONDS - started)) s"
}

main() {
    SOURCE=$("$HERE/fetch.sh" source edk2 "$SUITE")
    DEBIAN=$("$HERE/fetch.sh" debian edk2 "$SUITE")
    VERSION=${DEBIAN##*/edk2_}
    VERSION=${VERSION%.debian.tar.*}
    case $VERSION in
    "$(basename "${SOURCE%.orig.tar.*}" | sed 's/^edk2_//')"-*) ;;
    *) die firmware "Debian's patches are for $VERSION, the source is ${SOURCE##*/}" "remove $(dirname "$SOURCE") and run again" ;;
    esac
    COMPILER="$(gcc --version | head -n 1); $(ld --version | head -n 1); $(nasm --version); $(iasl -v | grep version | xargs)"
    JOBS=${PARAPET_JOBS:-$(nproc)}

    OURS=("$ROOT"/firmware/patches/*.patch)

    lock firmware firmware
    # The package as it is now, not as it is when the build comes to reading it.
    PACKAGE=$CACHE/firmware/ParapetPkg
    mkdir -p "$PACKAGE"
    rsync -a --delete "$ROOT/firmware/ParapetPkg/" "$PACKAGE/"
    mapfile -t files < <(cd "$PACKAGE" && find . -type f | sort)
    DONE=$CACHE/firmware/$(content_key "${files[@]/#./$PACKAGE}" "${OURS[@]}" -- "${files[@]}" "$RECIPE" "$TARGET" "$VERSION" \
        "$COMPILER" "$PATCHES")
    BUILT=cached
    [ -e "$DONE/$FD" ] || build_firmware
    install_tree "$DONE" "$OUT"
    say firmware "build/firmware/$FD: sha256 $(sha256sum <"$OUT/$FD" | cut -c1-16)… ($BUILT)"
    exit 0 # this file may have been replaced meanwhile: bash reads on
}
main
