#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# allocations.sh [ROOT]: the library takes memory through lib/memory alone, so that an allocator of
# the program's gets to see all of it, and gets back no block that another one has made.
set -eu
cd "${1:-$(dirname "$0")/../..}"

# Comments and strings are left out; a member of a struct, x->free, is none of these functions.
mapfile -t files < <(find lib -name '*.[ch]' ! -path 'lib/memory/*' | sort)
if [ ${#files[@]} -eq 0 ]; then
    echo "no C files found in $PWD/lib"
    exit 1
fi
awk '
BEGIN {
    names = "(malloc|calloc|realloc|reallocarray|free|aligned_alloc|posix_memalign|memalign|valloc|" \
        "strdup|strndup|asprintf|vasprintf|open_memstream|getline|getdelim|realpath)"
}
FNR == 1 { inside = 0 }
{
    rest = $0
    code = ""
    gsub(/"([^"\\]|\\.)*"/, "\"\"", rest)
    while (rest != "") {
        at = index(rest, inside ? "*/" : "/*")
        if (!inside)
            code = code (at ? substr(rest, 1, at - 1) " " : rest)
        if (!at)
            break
        rest = substr(rest, at + 2)
        inside = !inside
    }
    sub(/\/\/.*/, "", code)
    if (match(code, "(^|[^A-Za-z0-9_.>])" names " *\\(") ||
        match(code, "[(,=?:] *&?" names " *[,);]")) {
        print FILENAME ":" FNR ": takes or gives memory past memory/memory.h: " $0
        bad = 1
    }
}
END { exit bad }
' "${files[@]}"
echo "${#files[@]} files take their memory from lib/memory"
