#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# toml.sh: the public toml-test suite against our reader. An ordinary Go tool; without Go it is
# skipped.
set -eu
cd "$(dirname "$0")/../toml"
if ! command -v go >/dev/null; then
    echo "go is not installed: the toml-test suite is written in it"
    exit 77
fi
export GOTOOLCHAIN=local GOFLAGS=-mod=readonly
offline='dial tcp|no such host|i/o timeout|connection refused|network is unreachable|GOPROXY=off'
if ! output=$(go build -o /dev/null tool 2>&1) && grep -qE "$offline" <<<"$output"; then
    echo "the Go module of toml-test cannot be downloaded: $(grep -m 1 -E "$offline" <<<"$output")"
    exit 77
fi
go tool toml-test -toml 1.0.0 "$BUILD/tests/toml-decoder"
