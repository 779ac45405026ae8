#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# abi.sh [LIBRARY INCLUDE_DIR BASELINE]: programs that were built against the last release work with
# this library. abidiff (libabigail) compares it with tests/abi: what is there must be as it was; what
# has been added is listed. The structs of tests/abi/growing may get further members at their end.
# abi.sh --write [LIBRARY BASELINE]: takes this library for the one to compare with (make abi-baseline).
set -eu
cd "$(dirname "$0")/../.."
: "${BUILD:=build}" "${SONAME:=libhyperderp.so.0}"
mode=compare
[ "${1-}" != --write ] || { mode=write; shift; }
if [ $mode = write ]; then set -- "${1-}" '' "${2-}"; fi
library=${1:-$BUILD/$SONAME} include=${2:-include}
baseline=${3:-tests/abi/${SONAME%.so.*}-${SONAME##*.so.}.abi}

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

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Types of other headers than the public ones are none of a program's business. libabigail has an
# option for that, but goes by the names of files alone, and there are two of the name relay.h.
cat >"$folder/private" <<'EOT'
[suppress_type]
  label = Artificial private types suppression specification
  source_location_not_regexp = (^|/)include/hyperderp/
  drop = yes
EOT
write() {
    abidw --suppressions "$folder/private" --drop-private-types --exported-interfaces-only \
        --no-show-locs --no-corpus-path --no-comp-dir-path --no-elf-needed --no-parameter-names \
        --out-file "$1" "$library"
}
if [ $mode = write ]; then
    write "$baseline"
    echo "$baseline is that of $library"
    exit
fi
write "$folder/now.abi"
architecture() { sed -nE "s/.*<abi-corpus .*architecture='([^']*)'.*/\1/p" "$1"; }
if [ "$(architecture "$baseline")" != "$(architecture "$folder/now.abi")" ]; then
    echo "tests/abi is of $(architecture "$baseline"), and this is $(architecture "$folder/now.abi")"
    exit 77
fi

# Of the structs that may grow, further members behind all others are told and taken away, so that
# abidiff sees whether all else is as it was. (Its own way to ignore them, has_data_member_inserted_at,
# ignores other changes of the same struct as well.) A member that has got the padding behind the last
# one is an error: programs of before have anything there.
names=$(grep -v '^#' tests/abi/growing | paste -sd '|')
awk -F "'" -v names="^($names)\$" -v now="$folder/now-cut.abi" '
    /<class-decl .* size-in-bits=/ {
        struct = $2 ~ names && (FNR == NR || $2 in size) ? $2 : ""
        count = 0
        if (struct && FNR == NR)
            size[struct] = $4
        else if (struct)
            sub(/size-in-bits=.[0-9]+./, "size-in-bits=\047" size[struct] "\047")
    }
    struct && /<data-member / { count++; offset = $4 }
    FNR == NR {
        if (struct && /<var-decl /)
            known[struct] = count
        if (/<\/class-decl>/)
            struct = ""
        next
    }
    struct && count > known[struct] && !/<\/class-decl>/ {
        if (/<var-decl / && offset < size[struct]) {
            print struct "." $2 " is at byte " offset / 8 ", in the padding behind the last member of before"
            bad = 1
        } else if (/<var-decl /) {
            print "added: " struct "." $2
        }
        next
    }
    /<\/class-decl>/ { struct = "" }
    { print >now }
    END { exit bad }' "$baseline" "$folder/now.abi" || status=1

compare() {
    abidiff "$@" "$baseline" "$folder/now-cut.abi"
}
compare --no-added-syms >"$folder/changes" || { cat "$folder/changes"; status=1; }
if [ "${status-0}" != 0 ]; then
    echo "the library is no longer what programs of the last release expect"
    exit 1
fi
# It answers 4 when something was added.
compare >"$folder/additions" || [ $? = 4 ]
sed -nE "s/^ *\[A\] '(function|variable) (.*)'.*/added: \2/p" "$folder/additions"
echo "programs of the last release ($(grep -c '<elf-symbol ' "$baseline") symbols) find what they know"
