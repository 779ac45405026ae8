#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# e2e.sh: runs the tests in tests/e2e, in which two tailscaled talk through the daemon. Where the
# machine gives them no namespaces they are skipped as well; with REQUIRE_INTEROP=1 that is a failure.
set -euo pipefail
cd "$(dirname "$0")/../e2e"
. ../check/go.bash
: "${BUILD:?make check-e2e sets it}"
need_daemon check-e2e
need_go
# Without the compiler of C this builds in half the time, and the programs need no libraries.
export CGO_ENABLED=0

# What the tests need of tailscaled, and the command line in the same program.
features=cli,debug,gro,health,ipnbus,netstack,outboundproxy,unixsocketidentity
need_modules tests/e2e . tailscale.com/cmd/tailscaled tailscale.com/cmd/featuretags
tags=$(go tool featuretags --min --add="$features")

out=$BUILD/e2e
mkdir -p "$out"
echo "building tailscaled, which takes minutes the first time"
go build -tags "$tags" -o "$out/tailscaled" tailscale.com/cmd/tailscaled
echo "building the tests"
go vet .
go test -c -o "$out/e2e.test" .
echo "built in $SECONDS s"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
TAILSCALED=$out/tailscaled "$out/e2e.test" -test.v -test.timeout 8m 2>&1 | tee "$log" || status=$?
if [ "$status" = 77 ]; then
    skip "$(tail -n 1 "$log")"
fi
# A program without tests passes.
if [ "$status" = 0 ] && ! grep -q '^--- ' "$log"; then
    echo "tests/e2e ran no test"
    exit 1
fi
exit "$status"
