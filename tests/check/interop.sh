#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# interop.sh: runs the tests in tests/interop, which talk to the daemon with Tailscale's own client.
set -euo pipefail
cd "$(dirname "$0")/../interop"
. ../check/go.bash
need_daemon check-interop
need_go
need_modules tests/interop ./...

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
go test -count=1 -v -timeout 14m ./... 2>&1 | tee "$log" || status=1
# A package without tests passes for go.
if [ "$status" = 0 ] && ! grep -q '^--- ' "$log"; then
    echo "tests/interop ran no test"
    exit 1
fi
exit "$status"
