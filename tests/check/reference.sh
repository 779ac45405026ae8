#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# reference.sh: what makes the reference from the headers, and the drawings, does what it should, and
# refuses headers that do not say enough.
set -eu
cd "$(dirname "$0")"
if ! command -v python3 >/dev/null; then
    echo "python3 is not installed; make docs needs it"
    exit 77
fi
output=$(python3 -B -m unittest -v test_reference 2>&1) || {
    echo "$output"
    exit 1
}
sed -nE 's/^(test_\w+) .*\.\.\. ok$/ok - \1/p' <<<"$output"
