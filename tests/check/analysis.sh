#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# analysis.sh: clang's static analyzer and gcc's -fanalyzer over the library and the daemon. Fails
# on a finding that is not in analysis.known, and on a line there that is not found any more. Other
# versions of the tools than those of Debian 12 find other things: theirs are shown, and fail
# nothing. ANALYSIS_FLAGS are those of a compilation.
set -u
cd "$(dirname "$0")/../.." || exit 1
: "${ANALYSIS_FLAGS:?make check-analysis sets it}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
export ANALYSIS_FLAGS LC_ALL=C

analyze_clang() {
    # shellcheck disable=SC2086
    clang --analyze --analyzer-output text $ANALYSIS_FLAGS "$1" 2>&1
}
# A cache of compilations keeps no findings, so it is passed by. The analyzer sees more of a program
# that is optimized.
analyze_gcc() {
    # shellcheck disable=SC2086
    CCACHE_DISABLE=1 gcc -O2 -fanalyzer $ANALYSIS_FLAGS -c -o /dev/null "$1" 2>&1
}
export -f analyze_clang analyze_gcc

# The findings of a tool, as lines of analysis.known; all that it said is in $work/said.
find_all() {
    mkdir "$work/$1"
    # The longest first, so that the cores end together.
    find lib daemon -name '*.c' -printf '%s %p\n' | sort -rn | cut -d' ' -f2 |
        xargs -P "$(nproc)" -I{} bash -c \
            "analyze_$1 {} >$work/$1/\$(tr / _ <<<{}) || echo '1 {} is not analyzed'" >"$work/broken"
    cat "$work/$1"/* >"$work/said"
    {
        cat "$work/broken"
        sed -nE 's/^([^: ]+):[0-9]+:[0-9]+: warning: .*\[([^] ]+)\]$/\1 \2/p' "$work/said" | sort | uniq -c
    } | awk -v tool="$2" '{ $1 = tool " " $1; print }' | sort
}

failed=0
for tool in clang gcc; do
    if ! command -v $tool >/dev/null; then
        echo "skip - $tool: not installed; ./bootstrap --ci installs clang"
        continue
    fi
    version=$($tool -dumpversion)
    version=$tool-${version%%.*}
    find_all $tool "$version" >"$work/found"
    grep "^$version " tests/check/analysis.known | sort >"$work/known"
    if ! changes=$(diff "$work/known" "$work/found"); then
        cat "$work/said"
        sed -n 's/^< /not found any more: /p; s/^> /new: /p' <<<"$changes"
        case $version in
        clang-14 | gcc-12)
            echo "not ok - $version"
            failed=1
            ;;
        *) echo "skip - $version: it finds something else than Debian 12's" ;;
        esac
    else
        echo "ok - $version"
    fi
done
exit $failed
