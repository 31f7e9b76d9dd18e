#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Fetches packages of other Debian suites without touching the machine: a private apt root in the
# cache, the mirror that the machine itself uses, everything verified with the installed keyring.
# What is in the cache already is taken from there, without network.
#
#   fetch.sh source NAME SUITE…   upstream tarball of source package NAME: prints its path
#   fetch.sh debian NAME SUITE…   the tarball with Debian's patches to it: prints its path
#   fetch.sh deb NAME SUITE…      binary package, unpacked: prints the folder
#   fetch.sh sources SUITE…       apt source lines of those suites that there is a mirror for
#
# The first suite that serves NAME wins. NAME may be a pattern for `deb` ('linux-source-7.*'):
# the newest name is taken. The version taken is recorded in build/deps/VERSIONS.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# "URI SUITE" for every enabled binary source of component main that the machine's apt has.
machine_sources() {
    local file
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -e "$file" ] || continue
        awk '
            function flush(  i, j, n, m, u, s) {
                if (types ~ /(^| )deb( |$)/ && comps ~ /(^| )main( |$)/ && enabled !~ /no|false|0/) {
                    n = split(uris, u, " "); m = split(suites, s, " ")
                    for (i = 1; i <= n; i++) for (j = 1; j <= m; j++) print u[i], s[j]
                }
                types = uris = suites = comps = enabled = field = ""
            }
            /^#/ { next }
            /^[ \t]*$/ { flush(); next }
            /^[^ \t]/ { field = tolower($0); sub(/:.*/, "", field); sub(/^[^:]*:/, "") }
            { gsub(/[ \t]+/, " "); sub(/^ /, "") }
            field == "types" { types = types " " $0 }
            field == "uris" { uris = uris " " $0 }
            field == "suites" { suites = suites " " $0 }
            field == "components" { comps = comps " " $0 }
            field == "enabled" { enabled = $0 }
            END { flush() }' "$file"
    done
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -e "$file" ] || continue
        awk '$1 == "deb" { sub(/#.*/, ""); sub(/\[[^]]*\]/, ""); for (i = 4; i <= NF; i++) if ($i == "main") print $2, $3 }' "$file"
    done
}

# The mirror for SUITE: the one that serves the machine's own release, or its security archive.
mirror_of() { # SUITE
    local codename own uri suite
    codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-sid}")
    own=$codename
    case $1 in *-security) own=$codename-security ;; esac
    while read -r uri suite; do
        case $uri in *://* | file:* | copy:*) ;; *) continue ;; esac # not cdrom:
        if [ "$suite" = "$own" ]; then
            printf '%s\n' "$uri"
            return 0
        fi
    done < <(machine_sources)
    return 1
}

APT=() # options that confine apt to the private root of one suite
open_suite() { # SUITE: sets APT; refreshes the index when it is older than a day
    local suite=$1 dir=$CACHE/apt/$1 mirror keyring candidate
    keyring=
    for candidate in /usr/share/keyrings/debian-archive-keyring.gpg /usr/share/keyrings/debian-archive-keyring.pgp; do
        [ ! -e "$candidate" ] || keyring=$candidate
    done
    [ -n "$keyring" ] || die fetch "no Debian archive keyring on this machine" "apt-get install debian-archive-keyring"
    mirror=$(mirror_of "$suite") || {
        say fetch "no mirror for $suite: this machine's apt sources name none of that kind"
        return 1
    }
    mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial" "$dir/log" "$dir/etc"
    printf 'deb [signed-by=%s] %s %s main\ndeb-src [signed-by=%s] %s %s main\n' \
        "$keyring" "$mirror" "$suite" "$keyring" "$mirror" "$suite" >"$dir/etc/sources.list.new"
    cmp -s "$dir/etc/sources.list.new" "$dir/etc/sources.list" || rm -f "$dir/updated"
    mv "$dir/etc/sources.list.new" "$dir/etc/sources.list"
    : >"$dir/state/status"
    # Hooks of the machine (cleaning its cache, telling its desktop) have nothing to do with this root.
    printf '#clear %s;\n' APT::Update::Post-Invoke APT::Update::Post-Invoke-Success APT::Update::Pre-Invoke \
        >"$dir/etc/apt.conf"
    APT=(-qq -c "$dir/etc/apt.conf" -o "Dir::Etc::sourcelist=$dir/etc/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
        -o "Dir::State=$dir/state" -o "Dir::State::status=$dir/state/status"
        -o "Dir::Cache=$dir/cache" -o "Dir::Log=$dir/log" -o APT::Sandbox::User=root
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
        -o APT::Update::Error-Mode=any -o Acquire::Retries=3 -o Acquire::http::Timeout=60)
    (
        lock fetch "apt-$suite"
        [ -z "$(find "$dir/updated" -mtime -1 2>/dev/null)" ] || exit 0
        say fetch "reading the index of $suite"
        if apt-get "${APT[@]}" update >"$dir/log/update" 2>&1; then
            touch "$dir/updated"
        elif [ -e "$dir/updated" ]; then
            say fetch "the mirror does not answer: using the index of $(date -r "$dir/updated" +%F)"
        else
            say fetch "cannot read the index of $suite: $(grep -m 1 -E '^(W: Failed|E: )' "$dir/log/update" || tail -n 1 "$dir/log/update")"
            exit 1
        fi
    )
}

mebibytes() { awk -v n="$1" 'BEGIN { printf "%.1f MB", n / 1048576 }'; }

# Downloads URI, checks size and SHA-256, and renames it into place.
download() { # URI SIZE SHA256 DEST
    local part=$4.part
    rm -f "$part"
    say fetch "fetching ${4##*/} ($(mebibytes "$2"))"
    mkdir -p "$(dirname "$4")"
    ( TICK_QUIET=1 tick fetch "${4##*/}" "$CACHE/log/download-${4##*/}" \
        "stat -c %s '$part' 2>/dev/null | awk -v all=$2 '{ printf \"%d %%\", 100 * \$1 / all }'" \
        /usr/lib/apt/apt-helper -o APT::Sandbox::User=root -o Acquire::Retries=3 \
        download-file "$1" "$part" "SHA256:$3" ) || {
        say fetch "the mirror does not serve ${4##*/}: $(grep -m 1 -oE "[0-9]{3}  .*" "$CACHE/log/download-${4##*/}" || echo "see $CACHE/log")"
        return 1
    }
    if [ "$(sha256sum <"$part" | cut -d' ' -f1)" != "$3" ]; then
        rm -f "$part"
        die fetch "${4##*/} does not match its SHA-256 in the index" "run again; if it stays, the mirror is broken"
    fi
    mv "$part" "$4"
}

# Both tarballs of a source package are taken by the index's SHA-256, so its .dsc is not needed.
fetch_source() { # PART NAME SUITE…: PART is orig or debian
    local part=$1 name=$2 current=current suite line uri file size sum version dir
    shift 2
    [ "$part" = orig ] || current=current-$part
    for suite in "$@"; do
        dir=$CACHE/source/$suite/$name
        mkdir -p "$dir"
        if [ ! -e "$dir/$current" ]; then
            open_suite "$suite" || continue
            # Lines are: 'URI' FILE SIZE SHA256:SUM
            line=$(apt-get "${APT[@]}" source --print-uris --download-only --only-source "$name" 2>/dev/null \
                | grep -E "\.$part\.tar\.[a-z0-9]+ " | head -n 1) || continue
            read -r uri file size sum <<<"$line"
            uri=${uri//\'/}
            download "$uri" "$size" "${sum#SHA256:}" "$dir/$file" || continue
            version=${file#*_}
            printf '%s %s\n' "$file" "${version%".$part".tar.*}" >"$dir/$current.part"
            mv "$dir/$current.part" "$dir/$current"
        fi
        read -r file version <"$dir/$current"
        [ "$part" = orig ] || name=$name-$part
        record_version "$name" "$version" "$suite"
        printf '%s\n' "$dir/$file"
        return 0
    done
    die fetch "no suite serves the source of $name (tried: $*)" \
        "is the mirror in /etc/apt reachable? logs: $CACHE/apt/SUITE/log/update"
}

fetch_deb() { # NAME-OR-PATTERN SUITE…
    local pattern=$1 suite name uri file size sum dir version
    shift
    for suite in "$@"; do
        dir=$CACHE/deb/$suite/${pattern//\*/_}
        mkdir -p "$dir"
        if [ ! -e "$dir/current" ]; then
            open_suite "$suite" || continue
            name=$pattern
            case $pattern in *\**)
                # * stands for a version: a digit, then anything that a package name may hold.
                name=$(apt-cache "${APT[@]}" pkgnames \
                    | { grep -Ex -- "${pattern//\*/[0-9][0-9a-z.+-]*}" || true; } | sort -V | tail -n 1)
                [ -n "$name" ] || continue
                ;;
            esac
            read -r uri file size sum < <(apt-get "${APT[@]}" download --print-uris "$name" 2>/dev/null) || continue
            uri=${uri//\'/}
            version=$(apt-cache "${APT[@]}" show --no-all-versions "$name" | awk '/^Version: / { print $2; exit }')
            download "$uri" "$size" "${sum#SHA256:}" "$dir/$file" || continue
            say fetch "unpacking $file"
            begin "$dir/root" >/dev/null
            dpkg-deb -x "$dir/$file" "$dir/root.part"
            publish "$dir/root"
            rm -f "$dir/$file"
            printf '%s %s\n' "$name" "$version" >"$dir/current.part"
            mv "$dir/current.part" "$dir/current"
        fi
        read -r name version <"$dir/current"
        record_version "$name" "$version" "$suite"
        printf '%s\n' "$dir/root"
        return 0
    done
    die fetch "no suite serves $pattern (tried: $*)" \
        "is the mirror in /etc/apt reachable? logs: $CACHE/apt/SUITE/log/update"
}

# For tools that bring an apt of their own.
print_sources() { # SUITE…
    local suite
    for suite in "$@"; do
        open_suite "$suite" || continue
        grep '^deb ' "$CACHE/apt/$suite/etc/sources.list"
    done
}

[ $# -ge 2 ] || die fetch "usage: fetch.sh source|debian|deb NAME SUITE…, fetch.sh sources SUITE…"
kind=$1
shift
lock fetch "fetch-${1//\*/_}"
case $kind in
source) fetch_source orig "$@" ;;
debian) fetch_source debian "$@" ;;
deb) fetch_deb "$@" ;;
sources) print_sources "$@" ;;
*) die fetch "unknown kind '$kind'" "fetch.sh source|debian|deb NAME SUITE…, fetch.sh sources SUITE…" ;;
esac
