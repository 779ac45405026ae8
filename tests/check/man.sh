#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# man.sh: mandoc finds nothing to say about the manual pages; pages that are another name of one
# name one that is there; each public function has a page.
set -eu
cd "$(dirname "$0")/../.."
if ! command -v mandoc >/dev/null; then
    echo "mandoc is not installed; ./bootstrap --ci installs it"
    exit 77
fi
bad=0
for page in man/*.[1-8]; do
    if target=$(sed -n 's/^\.so man[1-8]\///p' "$page") && [ -n "$target" ]; then
        [ -e "man/$target" ] || { echo "$page: there is no man/$target"; bad=1; }
    else
        mandoc -T lint -W warning "$page" || bad=1
    fi
done
for function in $(sed -n 's/^HYPERDERP_API.*[ *]\(hyperderp_[a-z_]*\)(.*/\1/p' include/hyperderp/*.h); do
    [ -e "man/$function.3" ] || { echo "$function has no page in man/"; bad=1; }
done
[ "$bad" = 0 ] || exit 1
echo "$(ls man/*.[1-8] | wc -l) manual pages are clean"
