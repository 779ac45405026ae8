#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# format.sh [ROOT]: every C file is formatted as .clang-format says. Versions of clang-format differ
# in their taste, so only version 14 decides; with another one the check is skipped.
set -eu
cd "${1:-$(dirname "$0")/../..}"

tool=
for candidate in clang-format-14 clang-format; do
    if command -v "$candidate" >/dev/null; then
        tool=$candidate
        break
    fi
done
if [ -z "$tool" ]; then
    echo "clang-format 14 is not installed (./bootstrap --ci installs it)"
    exit 77
fi
version=$("$tool" --version | sed -E 's/.*version ([0-9]+).*/\1/')
if [ "$version" != 14 ]; then
    echo "clang-format is version $version here, and the style is that of version 14"
    exit 77
fi

folders=()
for folder in include lib daemon bench tests examples docs; do
    [ ! -d "$folder" ] || folders+=("$folder")
done
mapfile -d '' files < <(find "${folders[@]}" -name '*.[ch]' -print0 | sort -z)
if [ ${#files[@]} -eq 0 ]; then
    echo "no C files found in $PWD"
    exit 1
fi
if ! output=$("$tool" --dry-run -Werror --style=file "${files[@]}" 2>&1); then
    head -n 30 <<<"$output"
    mapfile -t bad < <(sed -nE 's/^([^ :]+):[0-9]+:[0-9]+: error: .*/\1/p' <<<"$output" | sort -u)
    echo "${#bad[@]} files are not formatted; to mend it: $tool -i ${bad[*]}"
    exit 1
fi
echo "${#files[@]} files are formatted"
