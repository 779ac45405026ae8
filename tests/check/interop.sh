#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# interop.sh: runs the tests in tests/interop, which talk to the daemon with Tailscale's own client.
# They are a Go module of their own. Without a Go that is recent enough, or without its modules, they
# are skipped; with REQUIRE_INTEROP=1 that is a failure.
set -euo pipefail
cd "$(dirname "$0")/../interop"
export GOTOOLCHAIN=local

skip() {
    echo "$1"
    [ "${REQUIRE_INTEROP:-0}" != 1 ] || exit 1
    exit 77
}

if [ -z "${HYPER_DERP:-}" ] || [ ! -x "$HYPER_DERP" ]; then
    echo "HYPER_DERP must name the daemon to test; use make check-interop"
    exit 1
fi
needed=$(awk '$1 == "go" { print $2; exit }' go.mod)
command -v go >/dev/null ||
    skip "go is not installed; Go $needed or newer is at https://go.dev/dl/"
# Asked outside the module: an older go refuses to say anything inside it.
version=$(cd / && go env GOVERSION)
version=${version#go}
version=${version%% *}
if [[ $version == [0-9]* ]] &&
    [ "$(printf '%s\n%s\n' "$needed" "$version" | sort -V | head -n 1)" != "$needed" ]; then
    skip "go is version $version, and the tests need $needed; it is at https://go.dev/dl/"
fi
# Only a download that fails is a reason to skip: what else is wrong here, go test shows.
offline='dial tcp|no such host|i/o timeout|connection refused|network is unreachable|GOPROXY=off'
if ! output=$(go list -deps -test ./... 2>&1 >/dev/null) && grep -qE "$offline" <<<"$output"; then
    echo "$output"
    skip "the Go modules of tests/interop cannot be downloaded: $(grep -m 1 -E "$offline" <<<"$output")"
fi

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
