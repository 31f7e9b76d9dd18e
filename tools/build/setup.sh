#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Installs the Debian packages that the build needs, from the machine's own apt sources (Debian 12
# and 13). Groups: run (build and boot the image), test (tests, fuzzing, lint). When everything is
# there, it only asks dpkg and says nothing. Without root and without passwordless sudo it prints
# the one command to run.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# The comments say what needs them.
RUN=(
    gcc libc6-dev make musl-tools patch perl   # everything compiled; OpenSSL's and Mbed TLS's scripts
    flex bison bc libelf-dev libssl-dev kmod   # kernel
    xz-utils bzip2 zstd lz4 cpio rsync dpkg-dev # sources, kernel image, initrds
    qemu-system-x86 acpica-tools               # boot; ACPI tables
    nasm uuid-dev g++ python3                  # UEFI firmware
    mmdebstrap fakeroot uidmap fdisk mtools e2fsprogs # the Debian disk
)
TEST=(
    libcmocka-dev liburing-dev libfdt-dev libtpms-dev # unit tests on the host
    clang clang-format clang-tidy cppcheck # fuzzing, lint
    ovmf qemu-utils sbsigntool openssl swtpm # boot tests of firmware and Debian disk, the TPM bench
)

installed() { # PACKAGE
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# libFuzzer and the sanitizers of the default clang are in a package with its version in the name.
clang_runtime() {
    local depends
    depends=$(dpkg-query -W -f '${Depends}' clang 2>/dev/null) || true
    [ -n "$depends" ] || depends=$(apt-cache show --no-all-versions clang 2>/dev/null | grep '^Depends:')
    [[ $depends =~ clang-([0-9]+) ]] && printf 'libclang-rt-%s-dev\n' "${BASH_REMATCH[1]}"
}

install_packages() { # PACKAGE…
    local as_root=() log=$CACHE/log/setup
    if [ "$(id -u)" -ne 0 ]; then
        if sudo -n true 2>/dev/null; then
            as_root=(sudo -n)
        else
            die setup "packages are missing, and this user may not install them; run:" \
                "sudo apt-get install --no-install-recommends $*"
        fi
    fi
    mkdir -p "$CACHE/log"
    # Package lists that are absent or old lead to 404s half-way through an installation.
    if [ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mtime -1 2>/dev/null | head -n 1)" ]; then
        tick setup "apt-get update" "$log" '' "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 update
    fi
    tick setup "installing $# packages" "$log" "grep -c '^Setting up' '$log' | sed 's/\$/ set up/'" \
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install "$@"
}

wanted=()
for group in "${@:-run}"; do
    case $group in
    run) wanted+=("${RUN[@]}") ;;
    test) wanted+=("${TEST[@]}") ;;
    *) die setup "no package group '$group'" "known: run, test" ;;
    esac
done

if ! command -v dpkg-query >/dev/null; then
    die setup "this is not a Debian system" "install the equivalents of:" "${wanted[*]}"
fi
case " $* " in *' test '*) wanted+=("$(clang_runtime || true)") ;; esac

missing=()
for package in "${wanted[@]}"; do
    [ -z "$package" ] || installed "$package" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

. /etc/os-release
case ${ID:-}:${VERSION_ID:-} in
debian:12 | debian:13) ;;
*) say setup "made for Debian 12 and 13; this is ${PRETTY_NAME:-unknown}: trying the same names" ;;
esac
say setup "missing: ${missing[*]}"
install_packages "${missing[@]}"
# Known only once clang is there, when its package lists were absent before.
case " $* " in *' test '*)
    runtime=$(clang_runtime || true)
    [ -z "$runtime" ] || installed "$runtime" || install_packages "$runtime"
    ;;
esac
