#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Third-party libraries into build/deps/, each cached by content:
#   musl/include, musl/lib   for static musl programs: liburing, yyjson, Mbed TLS (crypto, X.509),
#                            libfdt, libtpms with a minimal libcrypto, Zydis (decoder only)
#   src/NAME                 sources for host and freestanding builds: yyjson, mbedtls, libfdt, zydis
#   VERSIONS                 name, version and suite of what was taken
# Without arguments: all of them; else those named.
# shellcheck disable=SC2086,SC2048 # flags and names are words
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/lib.sh"

JOBS=${PARAPET_JOBS:-$(nproc)}
unset MAKEFLAGS MFLAGS MAKELEVEL CC CFLAGS LDFLAGS || true
COMPILER="$(gcc --version | head -n 1) $(dpkg-query -W -f '${Version}' musl-dev)"
CFLAGS_MUSL='-O2 -g0 -fstack-protector-strong -fstack-clash-protection -ffunction-sections -fdata-sections -Wa,--noexecstack -w'

# Kernel headers for musl: linux-libc-dev's own folders only, never glibc's headers beside them.
uapi_headers() { # DEST
    mkdir -p "$1"
    ln -sfn /usr/include/linux /usr/include/asm-generic "$1/"
    ln -sfn "/usr/include/$(gcc -print-multiarch)/asm" "$1/asm"
}

# build_NAME runs in a fresh folder W: source in W/source (when there is one), result in W/out with
# include/, lib/ and src/.
build_liburing() {
    cd "$W/source"
    ./configure --cc="$MUSL" --use-libc >/dev/null
    make -s -C src -j"$JOBS" liburing.a CC="$MUSL" ENABLE_SHARED=0 CFLAGS="$CFLAGS_LIB" CPPFLAGS="-D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DLIBURING_INTERNAL -I./include/ -include ../config-host.h"
    cp -r src/include/liburing src/include/liburing.h "$W/out/include/"
    cp src/liburing.a "$W/out/lib/"
}

build_yyjson() {
    cd "$W/source/src"
    $MUSL $CFLAGS_LIB -std=c11 -c yyjson.c -o yyjson.o
    ar rcsD "$W/out/lib/libyyjson.a" yyjson.o
    cp yyjson.h "$W/out/include/"
    mkdir -p "$W/out/src/yyjson/src"
    cp yyjson.[ch] "$W/out/src/yyjson/src/"
}

build_mbedtls() {
    cd "$W/source"
    # PKCS#7 (Secure Boot signatures) is off by default.
    perl scripts/config.pl set MBEDTLS_PKCS7_C 2>/dev/null \
        || sed -i 's|^//#define MBEDTLS_PKCS7_C|#define MBEDTLS_PKCS7_C|' include/mbedtls/mbedtls_config.h
    make -s -C library -j"$JOBS" libmbedcrypto.a libmbedx509.a CC="$MUSL" AR=ar ARFLAGS=rcsD \
        GEN_FILES= CFLAGS="$CFLAGS_LIB" WARNING_CFLAGS=-w
    cp library/libmbedcrypto.a library/libmbedx509.a "$W/out/lib/"
    cp -r include/mbedtls include/psa "$W/out/include/"
    mkdir -p "$W/out/src/mbedtls"
    cp -r include LICENSE "$W/out/src/mbedtls/"
    mkdir "$W/out/src/mbedtls/library"
    cp library/*.[ch] "$W/out/src/mbedtls/library/"
}

build_libfdt() {
    local file
    cd "$W/source/libfdt"
    for file in fdt*.c; do
        $MUSL $CFLAGS_LIB -I. -c "$file" -o "${file%.c}.o"
    done
    ar rcsD "$W/out/lib/libfdt.a" fdt*.o
    cp fdt.h libfdt.h libfdt_env.h "$W/out/include/"
    mkdir -p "$W/out/src/libfdt"
    cp ./*.[ch] "$W/out/src/libfdt/"
}

# The decoder without text, encoder and AVX-512, as one source file that carries its own options: host
# builds compile src/zydis/zydis.c with -I src/zydis/include -I src/zydis/src.
build_zydis() {
    local zycore
    zycore=$("$HERE/fetch.sh" source zycore-c trixie bookworm)
    mkdir -p "$W/out/src/zydis/src" "$W/zycore"
    tar -xf "$zycore" -C "$W/zycore" --strip-components=1
    cp -r "$W/source/include/Zydis" "$W/zycore/include/Zycore" "$W/out/include/"
    cp -r "$W/out/include" "$W/source/LICENSE" "$W/out/src/zydis/"
    cd "$W/out/src/zydis"
    cp -r "$W/source/src/"{Decoder,DecoderData,Register,SharedData}.c "$W/source/src/Generated" src/
    {
        printf '#define %s\n' ZYAN_NO_LIBC ZYDIS_STATIC_BUILD ZYCORE_STATIC_BUILD ZYDIS_DISABLE_FORMATTER \
            ZYDIS_DISABLE_ENCODER ZYDIS_DISABLE_AVX512 ZYDIS_DISABLE_KNC ZYDIS_DISABLE_SEGMENT
        printf '#include "src/%s.c"\n' Decoder DecoderData Register SharedData
    } >zydis.c
    $MUSL $CFLAGS_LIB -std=c11 -Iinclude -Isrc -c zydis.c -o "$W/zydis.o"
    ar rcsD "$W/out/lib/libZydis.a" "$W/zydis.o"
}

# Only what libtpms calls: no TLS, no engines, no loadable modules, no threads. no-async because
# musl has no ucontext.
OPENSSL_OFF='shared dso engine module threads async tests legacy ssl tls dtls sock ui-console err
    autoload-config autoerrinit filenames aria bf blake2 cast chacha cmac cmp cms comp ct dh dsa ec2m
    gost idea md2 md4 mdc2 multiblock nextprotoneg ocb ocsp poly1305 psk rc2 rc4 rc5 rfc3779 rmd160
    scrypt seed siphash siv sm2 sm3 sm4 srp srtp ts whirlpool'
build_openssl() {
    cd "$W/source"
    # shellcheck disable=SC2046 # words
    CC="$MUSL" ./Configure linux-x86_64 $(printf 'no-%s ' $OPENSSL_OFF) --with-rand-seed=getrandom \
        --prefix=/nowhere --openssldir=/nowhere $CFLAGS_LIB >/dev/null
    make -s -j"$JOBS" build_generated >/dev/null
    make -s -j"$JOBS" libcrypto.a
    cp libcrypto.a "$W/out/lib/"
    cp -r include/openssl "$W/out/include/"
    rm -f "$W/out/include/openssl/"*.in
}

build_libtpms() {
    local root=$FETCHED
    cp "$root/usr/lib/$(gcc -print-multiarch)/libtpms.a" "$W/out/lib/"
    cp -r "$root/usr/include/libtpms" "$W/out/include/"
    $MUSL $CFLAGS_LIB -std=gnu17 -c "$HERE/libtpms_fortify.c" -o "$W/libtpms_fortify.o"
    ar rsD "$W/out/lib/libtpms.a" "$W/libtpms_fortify.o"
}

run_build() { # NAME: in a shell of its own, so that tick can watch it
    set -e
    [ ! -f "$FETCHED" ] || {
        mkdir "$W/source"
        tar -C "$W/source" --strip-components=1 -xf "$FETCHED"
    }
    mkdir -p "$W/out/include" "$W/out/lib" "$W/out/src"
    uapi_headers "$W/uapi"
    CFLAGS_LIB="$CFLAGS_MUSL -idirafter $W/uapi -ffile-prefix-map=$W=."
    "build_$1"
}

dep() { # NAME KIND PACKAGE SUITE…: fetch, build when not cached, install
    local name=$1 kind=$2 package=$3 key built
    shift 3
    FETCHED=$("$HERE/fetch.sh" "$kind" "$package" "$@")
    # The library's own recipe, so that another library's change does not rebuild this one.
    key=$(content_key "$HERE/libtpms_fortify.c" "$(dirname "$FETCHED")/current" -- "$COMPILER" "$CFLAGS_MUSL" \
        "$(declare -f run_build "build_$name")" "$([ "$name" != openssl ] || echo "$OPENSSL_OFF")")
    built=$CACHE/deps/$name-$key
    (
        lock deps "deps-$name"
        [ ! -e "$built/lib" ] || exit 0
        W=$(begin "$CACHE/deps/work-$name")
        tick deps "building $name ($(cut -d' ' -f2 "$(dirname "$FETCHED")/current"))" \
            "$CACHE/log/deps-$name" '' run_build "$name"
        rm -rf "$built"
        mv "$W/out" "$built"
        rm -rf "$W"
    )
    install_tree "$built/include" "$BUILD/deps/musl/include"
    install_tree "$built/lib" "$BUILD/deps/musl/lib"
    install_tree "$built/src" "$BUILD/deps/src"
}

MUSL=musl-gcc
started=$SECONDS
ALL='liburing yyjson libfdt mbedtls openssl libtpms zydis'
for name in ${*:-$ALL}; do
    case $name in
    liburing) dep liburing source liburing trixie bookworm-backports bookworm ;;
    yyjson) dep yyjson source yyjson bookworm trixie ;;
    libfdt) dep libfdt source device-tree-compiler trixie bookworm ;;
    mbedtls) dep mbedtls source mbedtls trixie trixie-security ;;
    openssl) dep openssl source openssl bookworm-security bookworm bookworm-updates ;;
    libtpms) dep libtpms deb libtpms-dev bookworm bookworm-security trixie ;;
    zydis) dep zydis source zydis bookworm trixie ;;
    *) die deps "no library '$name'" "known: $ALL" ;;
    esac
done
say deps "build/deps is complete ($((SECONDS - started)) s)"
