#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# abi.sh [LIBRARY INCLUDE_DIR BASELINE]: programs that were built against the last release work with
# this library. abidiff (libabigail) compares it with tests/abi, which `make abi-baseline` writes:
# what is there must be as it was; what has been added is listed. The structs of tests/abi/growing
# begin with their size, or have it told, and may get further members at their end.
set -eu
cd "$(dirname "$0")/../.."
: "${BUILD:=build}" "${SONAME:=libhyperderp.so.0}"
library=${1:-$BUILD/$SONAME} include=${2:-include} baseline=${3:-tests/abi/$SONAME.abi}

if [ -n "${SAN:-}" ]; then
    echo "a library with sanitizers is not the one that is released"
    exit 77
fi
if ! command -v abidiff >/dev/null; then
    echo "abidiff is not installed; ./bootstrap --ci installs it"
    exit 77
fi
if ! readelf -S "$library" | grep -q '\.debug_info'; then
    echo "$library was built without -g, which tells of its types"
    exit 77
fi
machine=$(sed -nE "s/.*<abi-corpus .*architecture='([^']*)'.*/\1/p" "$baseline")
if [ "$machine" != elf-amd-x86_64 ] || [ "$(uname -m)" != x86_64 ]; then
    echo "the release was of $machine, and this is $(uname -m)"
    exit 77
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
names=$(grep -v '^#' tests/abi/growing | paste -sd '|')
cat >"$folder/growing.abignore" <<EOT
[suppress_type]
  type_kind = struct
  name_regexp = ^($names)\$
  has_data_member_inserted_at = end
  has_size_change = yes
EOT
compare() {
    abidiff --suppressions "$folder/growing.abignore" --headers-dir2 "$include/hyperderp" \
        --drop-private-types "$@" "$baseline" "$library"
}

# Bit 2 (4) stands for any change, bit 3 (8) for one that cannot be compatible.
status=0
compare --no-added-syms >"$folder/changes" || status=$?
if [ "$status" != 0 ]; then
    cat "$folder/changes"
    echo "the library is no longer what programs of the last release expect"
    exit 1
fi
compare >"$folder/additions" || [ $? = 4 ] || exit 1
sed -nE "s/^ *\[A\] '(function|variable) (.*)' .*/added: \2/p" "$folder/additions"
echo "programs of the last release ($(grep -c '<elf-symbol ' "$baseline") symbols) find what they know"
