# SPDX-License-Identifier: BSD-3-Clause
# What interop.sh and e2e.sh have in common: each runs a Go module of its own, whose folder is the
# current one. Without a Go that is recent enough, or without the modules, its tests are skipped; with
# REQUIRE_INTEROP=1 that is a failure.
export GOTOOLCHAIN=local

skip() {
    echo "$1"
    [ "${REQUIRE_INTEROP:-0}" != 1 ] || exit 1
    exit 77
}

# need_daemon TARGET: the daemon is there, as it is when make runs the target.
need_daemon() {
    if [ -z "${HYPER_DERP:-}" ] || [ ! -x "$HYPER_DERP" ]; then
        echo "HYPER_DERP must name the daemon to test; use make $1"
        exit 1
    fi
}

need_go() {
    local needed version
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
}

# need_modules FOLDER ARGUMENT...: what `go list` of the arguments needs is there or can be downloaded.
# Only a download that fails is a reason to skip: what else is wrong, the build shows.
need_modules() {
    local folder=$1 output
    local offline='dial tcp|no such host|i/o timeout|connection refused|network is unreachable|GOPROXY=off'
    shift
    if ! output=$(go list -deps -test "$@" 2>&1 >/dev/null) && grep -qE "$offline" <<<"$output"; then
        echo "$output"
        skip "the Go modules of $folder cannot be downloaded: $(grep -m 1 -E "$offline" <<<"$output")"
    fi
}
