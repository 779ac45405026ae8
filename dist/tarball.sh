#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# tarball.sh NAME FILE: the sources of this tree as FILE, a tar.gz with all in the folder NAME. The same
# sources give the same bytes, wherever and whenever: names sorted, owner 0, modes and times not those
# of this machine. Times are $SOURCE_DATE_EPOCH, or those of the last commit. The list of what belongs
# to the tree comes from git; it goes along as MANIFEST, from which a tree without git knows it.
set -euo pipefail
if [ $# != 2 ]; then
    echo "usage: tarball.sh NAME FILE" >&2
    exit 64
fi
name=$1 file=$(realpath -m "$2")
cd "$(dirname "$0")/.."
export LC_ALL=C

work=$(mktemp -d)
trap 'rm -rf "$work" "$file.new"' EXIT
if [ -e .git ] && git rev-parse --git-dir >/dev/null; then
    git -c core.quotePath=true ls-files | sort >"$work/MANIFEST"
    epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
    [ -z "$(git status --porcelain --untracked-files=no)" ] ||
        echo "tarball.sh: with changes that are not committed" >&2
elif [ -f MANIFEST ]; then
    cp MANIFEST "$work/MANIFEST"
    epoch=${SOURCE_DATE_EPOCH:-$(stat -c %Y MANIFEST)}
else
    echo "tarball.sh: neither git nor a MANIFEST tells what belongs to this tree" >&2
    exit 1
fi

tar --create --format=ustar --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime="@$epoch" \
    --transform="s|^|$name/|S" --no-recursion -C "$work" MANIFEST -C "$PWD" --verbatim-files-from \
    --files-from="$work/MANIFEST" | gzip -9n >"$file.new"
mv "$file.new" "$file"
echo "$file: $(wc -l <"$work/MANIFEST") files"
