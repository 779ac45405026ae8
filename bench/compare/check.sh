#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# check.sh: runs the tests of the comparison; each prints a line "ok - NAME" or "not ok - NAME".
set -u
cd "$(dirname "$0")" || exit 1
if ! command -v python3 >/dev/null; then
    echo "python3 is not installed; make bench needs it"
    exit 77
fi
output=$(python3 -B -m unittest -v test_compare test_scaling 2>&1)
status=$?
echo "$output"
sed -nE 's/^(test_[a-z_]+) .*\.\.\. ok$/ok - \1/p; s/^(test_[a-z_]+) .*\.\.\. (FAIL|ERROR)$/not ok - \1/p' \
    <<<"$output"
exit "$status"
