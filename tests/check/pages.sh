#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# pages.sh [--write]: the pages that are made from something else are what that gives today: the
# configuration's pages from its schema, the metrics from their table, the reference (section 3 of
# the manual, docs/reference) from the public headers, the drawings from docs/generate/drawings.py.
# With --write it puts them in their places, and removes what is made no more: `make docs`.
set -eu
cd "$(dirname "$0")/../.."
pages=$BUILD/config-pages
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
made=$work/made
mkdir -p "$made"/{docs,man,dist}

"$pages" markdown >"$made/docs/configuration.md"
"$pages" man >"$made/man/hyper-derp.toml.5"
"$pages" toml >"$made/dist/config.toml"
{
    echo '<!-- Made by `make docs` from daemon/metrics.c: change that. -->'
    echo '# Metrics'
    echo
    echo 'What `/metrics` shows, in the text format of Prometheus. Counters count from the start of the'
    echo 'process. A scrape stops no worker.'
    echo
    "$pages" metrics
} >"$made/docs/metrics.md"

stale() { :; }
if command -v python3 >/dev/null; then
    python3 -B docs/generate/reference.py include/hyperderp "$made/man" "$made/docs"
    python3 -B docs/generate/drawings.py "$made/docs/images"
    # All pages of section 3 are made, and so is all that is in docs/reference.
    stale() {
        local place
        for place in man/*.3 docs/reference/*; do
            [ ! -e "$place" ] || [ -e "$made/$place" ] || echo "$place"
        done
    }
elif [ "${1:-}" = --write ]; then
    echo "python3 is not installed, which makes the reference and the drawings"
    exit 1
fi

bad=0
count=0
while IFS= read -r -d '' page; do
    place=${page#"$made/"}
    count=$((count + 1))
    if [ "${1:-}" = --write ]; then
        mkdir -p "$(dirname "$place")"
        cmp -s "$page" "$place" || cp "$page" "$place"
    elif ! cmp -s "$page" "$place"; then
        echo "$place is not what it is made from: run make docs"
        diff "$place" "$page" | head -5 || true
        bad=1
    fi
done < <(find "$made" -type f -print0 | sort -z)
for place in $(stale); do
    if [ "${1:-}" = --write ]; then
        rm "$place"
    else
        echo "$place is made no more: run make docs"
        bad=1
    fi
done
[ "$bad" = 0 ] || exit 1
command -v python3 >/dev/null || echo "python3 is not installed: the reference was not looked at"
echo "$count pages are what they are made from"
