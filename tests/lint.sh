#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# make lint: everything a reviewer should not have to say. Checks the files that git knows, prints
# one line per check, exits 1 when any check complains. LINT=format|spdx|headers|size|tidy|cppcheck|shell
# runs one of them.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C

mapfile -t c_files < <(git ls-files '*.c' '*.h')
mapfile -t headers < <(git ls-files '*.h')
mapfile -t sources < <(git ls-files 'igvm/*.c' 'devices/*.c' 'vtl2/*.c' 'userspace/*.c' 'loader/*.c' 'tools/*.c')
mapfile -t scripts < <(git ls-files '*.sh' '.ci/run')
includes=(-I. -Ibuild/gen -isystem build/deps/musl/include -isystem build/deps/src/mbedtls/library)
failed=0

check() { # NAME FUNCTION: runs it, shows its output only when it complains
    local name=$1 output
    [ -n "${LINT:-}" ] && [ "$LINT" != "$name" ] && return
    if output=$("$2" 2>&1); then
        echo "ok    $name"
    else
        echo "FAIL  $name"
        printf '%s\n' "$output" | head -n 60 | sed 's/^/      /'
        failed=1
    fi
}

# The looks are those of Debian 12's clang-format: later ones set some macros and tables otherwise.
FORMAT_VERSION=14
format() {
    clang-format --dry-run --Werror "${c_files[@]}"
}

spdx() {
    local bad=0 f
    while read -r f; do
        case $f in
        *.json | *.md | LICENSE | .gitignore | */corpus/* | *.1 | *.auth | *.esl) continue ;;
        esac
        if ! head -n 2 "$f" | grep -q 'SPDX-License-Identifier: '; then
            echo "$f: no SPDX-License-Identifier in its first two lines"
            bad=1
        fi
    done < <(git ls-files)
    return $bad
}

self_standing() {
    local bad=0 h
    for h in "${headers[@]}"; do
        case $h in tests/guest/* | firmware/*) continue ;; esac # not for this C library
        if ! echo "#include \"$h\"" | gcc -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -Wundef \
            "${includes[@]}" -fsyntax-only -x c -; then
            echo "$h: does not compile on its own"
            bad=1
        fi
    done
    return $bad
}

sizes() {
    local bad=0 f n
    for f in "${c_files[@]}"; do
        n=$(wc -l <"$f")
        # The aim is 400; the longest is a list of constants (vtl2/hv/tlfs.h).
        if [ "$n" -gt 480 ]; then
            echo "$f: $n lines; is it two parts?"
            bad=1
        fi
    done
    return $bad
}

tidy() {
    # One call per file, as many as there are processors: all in one takes a quarter of an hour.
    printf '%s\0' "${sources[@]}" |
        xargs -0 -P "$(nproc)" -I{} clang-tidy --quiet --warnings-as-errors='*' {} -- \
            -std=gnu17 -D_GNU_SOURCE "${includes[@]}" 2> >(grep -v 'warnings generated' >&2)
}

cpp_check() {
    cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 \
        --suppress=missingIncludeSystem --suppress=normalCheckLevelMaxBranches -I. "${sources[@]}"
}

shell_syntax() {
    local bad=0 s
    for s in "${scripts[@]}"; do
        bash -n "$s" || bad=1
    done
    return $bad
}

version=$(clang-format --version | sed -n 's/.*version \([0-9]*\).*/\1/p')
if [ "$version" = "$FORMAT_VERSION" ]; then
    check format format
elif [ "${LINT:-format}" = format ]; then
    echo "skip  format: this is clang-format $version, $FORMAT_VERSION decides"
fi
check spdx spdx
check headers self_standing
check size sizes
check shell shell_syntax
check cppcheck cpp_check
check tidy tidy
exit $failed
