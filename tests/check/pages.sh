#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# pages.sh [--write]: the pages that are made from the configuration's schema and the table of
# metrics are what these give today. With --write it puts them in their places: `make docs`.
set -eu
cd "$(dirname "$0")/../.."
pages=$BUILD/config-pages
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$pages" markdown >"$work/configuration.md"
"$pages" man >"$work/hyper-derp.toml.5"
"$pages" toml >"$work/config.toml"
{
    echo '<!-- Made by `make docs` from daemon/metrics.c: change that. -->'
    echo '# Metrics'
    echo
    echo 'What `/metrics` shows, in the text format of Prometheus. Counters count from the start of the'
    echo 'process. A scrape stops no worker.'
    echo
    "$pages" metrics
} >"$work/metrics.md"

places="docs/configuration.md man/hyper-derp.toml.5 dist/config.toml docs/metrics.md"
bad=0
for place in $places; do
    made=$work/$(basename "$place")
    if [ "${1:-}" = --write ]; then
        cp "$made" "$place"
    elif ! cmp -s "$made" "$place"; then
        echo "$place is not what the schema gives: run make docs"
        diff "$place" "$made" | head -5 || true
        bad=1
    fi
done
[ "$bad" = 0 ] || exit 1
echo "$(echo $places | wc -w) pages are what the schema gives"
