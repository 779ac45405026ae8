#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# compatibility.sh [ROOT]: docs/compatibility.md says what is the same as with derper, what is better
# and what is left out. Each row but those of what is left out names tests in its last column, and
# each test that is named exists: "TestName" of a suite in Go, "test_file" or "test_file: case" of
# one in C, "tools/script.sh" or "check/script.sh". So does each promise in the tables of SECURITY.md.
set -eu
cd "${1:-$(dirname "$0")/../..}"
page=docs/compatibility.md

bad=0 rows=0
complain() {
    echo "$page:$1: $2"
    bad=$((bad + 1))
}

has_test() {
    local name=$1 file
    case $name in
    Test*) grep -qs "^func $name(" tests/interop/*_test.go tests/e2e/*_test.go ;;
    tools/*.sh | check/*.sh) [ -e "tests/$name" ] ;;
    test_*:*)
        file=$(find tests -name "${name%%:*}.c")
        [ -n "$file" ] && grep -q "^static void \(test_\)\?${name##*: }(" "$file"
        ;;
    test_*) [ -n "$(find tests -name "$name.c")" ] ;;
    *) return 1 ;;
    esac
}

check_row() {
    local number=$1 line=$2 verdict tests name
    verdict=$(awk -F ' *[|] *' '{ print $4 }' <<<"$line")
    tests=$(awk -F ' *[|] *' '{ print $5 }' <<<"$line")
    case $verdict in
    same | better | other | "left out") ;;
    *) complain "$number" "\"$verdict\" is none of same, better, other, left out" ;;
    esac
    grep -oE '`[^`]+`' <<<"$tests" | tr -d '`' >"$names" || true
    [ -s "$names" ] || [ "$verdict" = "left out" ] ||
        complain "$number" "no test is named"
    while IFS= read -r name; do
        has_test "$name" || complain "$number" "there is no test \"$name\""
    done <"$names"
}

names=$(mktemp)
trap 'rm -f "$names"' EXIT
number=0
while IFS= read -r line; do
    number=$((number + 1))
    [[ $line == "| "* && $line != "| ---"* && $line != "| of derper "* ]] || continue
    rows=$((rows + 1))
    check_row "$number" "$line"
done <"$page"
# A last column that names no test is none of a promise.
page=SECURITY.md number=0 promises=0
while IFS= read -r line; do
    number=$((number + 1))
    case $line in
    "| promised |"*) inside=1 ;;
    "| ---"*) ;;
    "| "*)
        [ "${inside:-0}" = 1 ] || continue
        promises=$((promises + 1))
        awk -F ' *[|] *' '{ print $3 }' <<<"$line" | grep -oE '`[^`]+`' | tr -d '`' |
            grep -v '^make ' >"$names" || complain "$number" "no test is named"
        while IFS= read -r name; do
            has_test "$name" || complain "$number" "there is no test \"$name\""
        done <"$names"
        ;;
    *) inside=0 ;;
    esac
done <"$page"
if [ "$promises" -lt 20 ]; then
    echo "$page: only $promises promises"
    bad=$((bad + 1))
fi
page=docs/compatibility.md
if [ "$rows" -lt 20 ]; then
    echo "$page: only $rows rows"
    bad=$((bad + 1))
fi
[ "$bad" = 0 ]
