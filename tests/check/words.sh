#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# words.sh [ROOT]: no file of the project says that something is still to be done, or names a path
# that exists on one machine only.
set -eu
cd "${1:-$(dirname "$0")/../..}"

# Put together here, so that this file does not find itself.
unfinished="TO""DO|FIX""ME|XX""X"
local_path="(^|[^A-Za-z0-9_.~-])/wo""rk/"

if [ -e .git ] && command -v git >/dev/null && git rev-parse --git-dir >/dev/null 2>&1; then
    mapfile -d '' files < <(git ls-files -z --cached --others --exclude-standard)
else
    mapfile -d '' files < <(find . -path './.git' -prune -o -path './build*' -prune -o -type f -print0)
fi
kept=()
for file in "${files[@]}"; do
    case $file in
    *go.sum | *tests/fuzz/corpus/*) ;; # checksums and hostile input may hold any letters
    *) [ ! -f "$file" ] || kept+=("$file") ;;
    esac
done
if [ ${#kept[@]} -eq 0 ]; then
    echo "no files found in $PWD"
    exit 1
fi

bad=0
if grep -nIwE "$unfinished" /dev/null "${kept[@]}"; then
    echo "these words mark something unfinished: finish it, or say plainly what is not there"
    bad=1
fi
if grep -nIE "$local_path" /dev/null "${kept[@]}"; then
    echo "this path exists on one machine only"
    bad=1
fi
[ "$bad" = 0 ] || exit 1
echo "${#kept[@]} files looked through"
