#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# embedding.sh [PAGE...]: the code on docs/embedding.md and README.md is true. Every block between ```
# is compiled against the headers and the library of this tree, and every name of the library that the
# pages mention is in a header. What a block is, the words behind its ``` say:
#   c program      a whole program, which is linked as well; `c run`: and run, and ends well
#   c functions    functions and types, which blocks further down may use
#   c statements   what stands in a function; both see what tests/check/embedding.h gives them
#   cpp run, go run, rust run, python run      the same
#   sh, toml, ...  not looked at, but for sh, which the shell must be able to read
set -u
cd "$(dirname "$0")/../.." || exit 1
root=$PWD
: "${BUILD:=build}" "${CC:=cc}" "${CXX:=c++}" "${SONAME:=libhyperderp.so.0}"
if [ -n "${SAN:-}" ]; then
    echo "programs are not linked with a library with sanitizers"
    exit 77
fi
[ $# -gt 0 ] || set -- docs/embedding.md README.md
library=$(realpath "$BUILD")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

try() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        echo "ok - $name"
    else
        [ -z "$output" ] || head -n 60 <<<"$output"
        echo "not ok - $name"
        failed=1
    fi
}

# skip NAME REASON
skip() {
    if [ "${REQUIRE_INTEROP:-0}" = 1 ]; then
        echo "$2"
        echo "not ok - $1"
        failed=1
    else
        echo "skip - $1: $2"
    fi
}

# take_apart PAGE: puts each block into $work/LINE, and prints a line "LINE LANGUAGE KIND" for it.
take_apart() {
    awk -v folder="$work" '
        /^```/ && !inside { inside = 1; file = folder "/" (NR + 1); printf "" >file
            print NR + 1, substr($1, 4), $2; next }
        /^```/ { inside = 0; close(file); next }
        inside { print >file }' "$1"
}

# What a program that is built finds, instead of what may be installed.
mkdir "$work/pc"
cat >"$work/pc/libhyperderp.pc" <<END
Name: libhyperderp
Description: the one of this tree
Version: 0
Cflags: -I$root/include
Libs: -L$library -lhyperderp
END
export PKG_CONFIG_PATH=$work/pc LD_LIBRARY_PATH=$library${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
strict="-Wall -Wextra -pedantic -Werror"

run() {
    timeout --kill-after=5 60 "$@" </dev/null
}

c_program() { # FILE PAGE
    { echo "#line $(basename "$1") \"$2\""; cat "$1"; } >"$work/program.c"
    # shellcheck disable=SC2086
    $CC -std=c11 $strict -Iinclude -o "$work/program" "$work/program.c" -L"$library" -lhyperderp
}

c_run() {
    c_program "$@" && run "$work/program"
}

cpp_run() {
    { echo "#line $(basename "$1") \"$2\""; cat "$1"; } >"$work/program.cc"
    # shellcheck disable=SC2086
    $CXX -std=c++17 $strict -Iinclude -o "$work/program" "$work/program.cc" -L"$library" -lhyperderp &&
        run "$work/program"
}

go_run() {
    mkdir -p "$work/go" && cp "$1" "$work/go/main.go" && cp examples/go/go.mod "$work/go/" || return 1
    (cd "$work/go" && CGO_ENABLED=1 GOTOOLCHAIN=local GOPROXY=off GOFLAGS=-mod=mod GOWORK=off \
        go build -o "$work/program" .) && run "$work/program"
}

rust_run() {
    cp "$1" "$work/program.rs"
    rustc --edition 2021 -D warnings -L native="$library" -o "$work/program" "$work/program.rs" &&
        run "$work/program"
}

python_run() {
    run python3 -B "$1"
}

# Whether the language is here; where not, says what is missing.
can_go() { (cd examples/go && . ../../tests/check/go.bash && REQUIRE_INTEROP=0 need_go); }
can_rust() { command -v rustc >/dev/null || { echo "rustc is not installed"; return 1; }; }
can_python() { command -v python3 >/dev/null || { echo "python3 is not installed"; return 1; }; }
can_cpp() { :; }
can_c() { :; }

# fragments PAGE: functions and statements of a page, as one file.
fragments() {
    # shellcheck disable=SC2086
    $CC -std=c11 -D_GNU_SOURCE $strict -Wno-unused -Iinclude -Itests/check -c -o "$work/fragments.o" \
        "$work/fragments.c"
}

check_page() {
    local page=$1 line language kind reason count=0
    echo '#include "embedding.h"' >"$work/fragments.c"
    take_apart "$page" >"$work/blocks"
    while read -r line language kind; do
        case $language-$kind in
        c-functions)
            { echo "#line $line \"$page\""; cat "$work/$line"; } >>"$work/fragments.c"
            count=$((count + 1)) ;;
        c-statements)
            { printf 'void block_%s(void);\nvoid block_%s(void)\n{\n#line %s "%s"\n' "$line" "$line" "$line" "$page"
              cat "$work/$line"
              echo '}'; } >>"$work/fragments.c"
            count=$((count + 1)) ;;
        c-program | c-run | cpp-run | go-run | rust-run | python-run)
            if reason=$("can_$language"); then
                try "$page:$line: $language" "${language}_$kind" "$work/$line" "$page"
            elif [ "$language" = rust ]; then
                echo "skip - $page:$line: $language: $reason" # nothing else here needs it
            else
                skip "$page:$line: $language" "$reason"
            fi ;;
        sh-) try "$page:$line: sh" bash -n "$work/$line" ;;
        json-)
            if reason=$(can_python); then
                try "$page:$line: json" python3 -m json.tool "$work/$line"
            else
                skip "$page:$line: json" "$reason"
            fi ;;
        toml-) ;;
        *)
            echo "not ok - $page:$line: a block of '$language $kind', which nothing checks"
            failed=1 ;;
        esac
    done <"$work/blocks"
    [ "$count" = 0 ] || try "$page: $count pieces of C" fragments
}

# Prose and code name only what there is: functions, types, enum constants, macros, targets of CMake.
names_exist() {
    local name bad=0
    grep -ohE '\b(hyperderp|HYPERDERP)_[A-Za-z0-9_]*[A-Za-z0-9]' include/hyperderp/*.h pkgconfig/* |
        sort -u >"$work/known"
    while IFS=: read -r line name; do
        echo "$1:$line: $name is in no header, and no target"
        bad=1
    done < <(grep -noE '\b(hyperderp|HYPERDERP)_[A-Za-z0-9_]*[A-Za-z0-9]' "$1" |
        awk -F: 'NR == FNR { known[$1] = 1; next } !($2 in known)' "$work/known" -)
    return "$bad"
}

for page; do
    [ -f "$page" ] || { echo "there is no $page"; exit 1; }
    try "$page: names of the library" names_exist "$page"
    check_page "$page"
done
exit "$failed"
