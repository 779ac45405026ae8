#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# symbols.sh [LIBRARY INCLUDE_DIR SONAME]: the shared library exports exactly the functions that the
# public headers declare with HYPERDERP_API, all of them named hyperderp_*, under the right soname.
set -eu
cd "$(dirname "$0")/../.."
: "${BUILD:=build}" "${SONAME:=libhyperderp.so.0}"
library=${1:-$BUILD/$SONAME}
include=${2:-include}
soname=${3:-$SONAME}
bad=0

found=$(objdump -p "$library" | awk '$1 == "SONAME" { print $2 }')
if [ "$found" != "$soname" ]; then
    echo "$library: soname is '$found', expected '$soname'"
    bad=1
fi

# What the compiler takes for exported: the name before the first parenthesis behind the attribute.
declared=$(for header in "$include"/hyperderp/*.h; do
    "${CC:-cc}" -E -P -I"$include" -x c "$header"
done | tr '\n' ' ' | sed 's/;/;\n/g' |
    sed -nE 's/.*__attribute__\(\(visibility\("default"\)\)\)[^(]*[^A-Za-z0-9_(]([A-Za-z0-9_]+) *\(.*/\1/p' |
    sort -u)
# The version node itself is an absolute symbol, not a function.
exported=$(nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort -u)
if [ -z "$declared" ]; then
    echo "$include/hyperderp declares no function with HYPERDERP_API"
    exit 1
fi

while IFS= read -r name; do
    case $name in
    hyperderp_*) ;;
    '') continue ;;
    *) echo "$library exports $name: only hyperderp_* may be seen from outside"; bad=1 ;;
    esac
done <<<"$exported"
while IFS= read -r name; do
    [ -n "$name" ] || continue
    echo "$library does not export $name, which a public header declares"
    bad=1
done < <(comm -23 <(echo "$declared") <(echo "$exported"))
while IFS= read -r name; do
    [ -n "$name" ] || continue
    echo "$library exports $name, which no public header declares"
    bad=1
done < <(comm -13 <(echo "$declared") <(echo "$exported"))

[ "$bad" = 0 ] || exit 1
echo "$(wc -l <<<"$exported") functions are exported, as the headers say"
