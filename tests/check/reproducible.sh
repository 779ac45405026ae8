#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# reproducible.sh [TREE]: two builds give the same bytes, though nothing but the sources is the same:
# not the folder, its length, the order of the files in it, the user's mask, time, time zone, language,
# home or number of jobs. TREE is where the first was made already, in TREE/build. No cache of a
# compiler may answer for the second.
set -u
cd "$(dirname "$0")/../.."
: "${GNUMAKE:=make}" "${SONAME:=libhyperderp.so.0}"
if [ -n "${SAN:-}" ]; then
    echo "builds with sanitizers are not for others"
    exit 77
fi
files=("$SONAME" libhyperderp.a install/libhyperderp.a hyper-derp hyper-derp-bench libhyperderp.pc
    install/hyperderp-config.cmake install/hyperderp-config-version.cmake)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
failed=0

build() { # TREE JOBS
    env -u MAKEFLAGS -u MFLAGS -u BUILD CCACHE_DISABLE=1 "$GNUMAKE" -C "$1" -j"$2" BUILD=build \
        "${files[@]/#/build/}" >"$work/said" 2>&1 || { tail -n 30 "$work/said"; return 1; }
}

# What is in one and not in the other, as far as it can be told in words.
explain() {
    local section
    case $1 in
    *.a) section=$(ar t "$1" | head -n 1) ;;
    *.pc | *.cmake) diff "$1" "$2"; return ;;
    esac
    [ -z "${section:-}" ] || { diff <(ar tv "$1") <(ar tv "$2") | head -n 20; }
    diff <(readelf -SW "$1" 2>/dev/null) <(readelf -SW "$2" 2>/dev/null) | head -n 20
    diff <(strings -a "$1") <(strings -a "$2") | head -n 20
}

sources=$work/sources.tar.gz
if ! dist/tarball.sh tree "$sources" >"$work/said" 2>&1; then
    tail -n 1 "$work/said"
    exit 77
fi
first=${1:-$work/first/tree}
if [ $# = 0 ]; then
    mkdir "$work/first"
    tar -xf "$sources" -C "$work/first"
    if ! build "$first" "$(nproc)"; then
        echo "not ok - the first build"
        exit 1
    fi
fi

second=$work/a-folder-whose-name-is-longer/and-deeper
mkdir -p "$second"
begin=$(date +%s)
(
    umask 077
    export TZ=Pacific/Kiritimati LC_ALL=C.UTF-8 LANGUAGE=de HOME=$second USER=somebody LOGNAME=somebody
    tar -tf "$sources" | tac >"$work/backwards"
    mkdir "$work/once"
    tar -xf "$sources" -C "$work/once"
    tar -cf - -C "$work/once" --no-recursion -T "$work/backwards" | tar -xm -C "$second" --strip-components=1
    build "$second" $(($(nproc) + 1))
) || { echo "not ok - the second build"; exit 1; }
echo "the second build took $(($(date +%s) - begin)) s"

for file in "${files[@]}"; do
    if cmp "$first/build/$file" "$second/build/$file"; then
        echo "ok - $file is the same, $(sha256sum <"$second/build/$file" | cut -c 1-16)"
    else
        explain "$first/build/$file" "$second/build/$file"
        echo "not ok - $file differs"
        failed=1
    fi
done
exit "$failed"
