# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Shared by the build scripts (sourced, bash): where the cache is, progress lines, errors with the
# way out, locks, and publishing a finished folder in one step.

CACHE=${PARAPET_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/parapet}
case $CACHE in /?*) ;; *) echo "PARAPET_CACHE must be an absolute path, not '$CACHE'" >&2; exit 1 ;; esac
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=$ROOT/build
export LC_ALL=C
umask 022
# A failed command substitution ends the script: an empty answer must never become part of a path.
set -o pipefail
shopt -s inherit_errexit

# Progress goes to stderr: stdout carries results (paths).
say() { # TAG TEXT…
    local tag=$1
    shift
    printf '[%s] %s\n' "$tag" "$*" >&2
}

die() { # TAG MESSAGE WAY-OUT…: one readable screen, then exit 1
    local tag=$1 message=$2
    shift 2
    printf '\n[%s] error: %s\n' "$tag" "$message" >&2
    [ $# -eq 0 ] || printf '    %s\n' "$@" >&2
    exit 1
}

# Runs a command with its output in a log, and a line that ticks while it runs: elapsed seconds
# and, when COUNT_CMD is not empty, what it prints. On failure: the last lines of the log.
tick() { # TAG LABEL LOG COUNT_CMD COMMAND…
    local tag=$1 label=$2 log=$3 count=$4 start=$SECONDS last=-1 pid status=0 shown
    shift 4
    mkdir -p "$(dirname "$log")"
    "$@" >"$log" 2>&1 &
    pid=$!
    trap 'kill "$pid" 2>/dev/null || true' EXIT
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.5
        shown=$((SECONDS - start))
        if [ -t 2 ]; then
            [ "$shown" -eq "$last" ] || printf '\r[%s] %s: %d s %s\033[K' "$tag" "$label" "$shown" \
                "$([ -z "$count" ] || eval "$count" 2>/dev/null || true)" >&2
        elif [ $((shown % 30)) -eq 0 ] && [ "$shown" -gt 0 ] && [ "$shown" -ne "$last" ]; then
            say "$tag" "$label: $shown s $([ -z "$count" ] || eval "$count" 2>/dev/null || true)"
        fi
        last=$shown
    done
    wait "$pid" || status=$?
    trap - EXIT
    [ ! -t 2 ] || printf '\r\033[K' >&2
    [ "$status" -eq 0 ] || [ -z "${TICK_QUIET:-}" ] || return "$status"
    if [ "$status" -ne 0 ]; then
        printf '\n' >&2
        tail -n 25 "$log" | cut -c1-200 >&2
        die "$tag" "$label failed (status $status)" "full log: $log"
    fi
    say "$tag" "$label: done in $((SECONDS - start)) s"
}

# Takes the lock NAME of the cache for the rest of the (sub)shell; says so when it has to wait.
lock() { # TAG NAME
    mkdir -p "$CACHE/lock"
    exec {LOCK_FD}>"$CACHE/lock/$2"
    flock -n "$LOCK_FD" && return 0
    say "$1" "another run holds $CACHE/lock/$2: waiting for it"
    flock "$LOCK_FD"
}

# Everything that these scripts remove, replace or copy as a tree is below the cache or build/: a path
# that is not (an empty variable makes one) ends the script here.
ours() { # PATH…
    local path
    for path in "$@"; do
        case $path in
        */../* | */.. | */.) ;;
        "$CACHE"/?* | "$BUILD"/?*) continue ;;
        esac
        die build "internal: '$path' is neither below $CACHE nor below $BUILD" \
            "nothing was touched; this is a mistake in a script under tools/build or kernel"
    done
}

# A folder to work in, beside its final place; what an interrupted run left there is removed.
# The caller holds the lock that belongs to FINAL.
begin() { # FINAL: prints the work folder
    ours "$1"
    rm -rf "$1.part"
    mkdir -p "$1.part"
    printf '%s\n' "$1.part"
}

publish() { # FINAL: the work folder becomes FINAL
    ours "$1"
    rm -rf "$1"
    mv "$1.part" "$1"
}

# 16 hexadecimal digits that stand for the given files' content and the given words.
content_key() { # FILE… -- WORD…
    local files=()
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        files+=("$1")
        shift
    done
    shift || true
    {
        cat "${files[@]}"
        printf '%s\n' "$@"
    } | sha256sum | cut -c1-16
}

# Copies a cached folder over DEST, file by file with renames, so that readers see old or new.
install_tree() { # SRC DEST
    ours "$1" "$2"
    mkdir -p "$2"
    rsync -a --checksum --delay-updates "$1/" "$2/"
}

record_version() { # NAME VERSION SUITE: one line a name in build/deps/VERSIONS
    local file=$BUILD/deps/VERSIONS tested
    tested=$(awk -v name="$1" '$1 == name { print $2 }' "$ROOT/tools/build/versions.txt")
    [ -z "$tested" ] || [ "$tested" = "$2" ] || say fetch "$1 $2 from $3; last tested: $tested"
    mkdir -p "$BUILD/deps" "$CACHE/lock"
    (
        flock 9
        { [ ! -e "$file" ] || awk -v name="$1" '$1 != name' "$file"; printf '%s %s %s\n' "$1" "$2" "$3"; } \
            | sort >"$file.part"
        mv "$file.part" "$file"
    ) 9>"$CACHE/lock/versions"
}
