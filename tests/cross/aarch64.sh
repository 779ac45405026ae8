#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# aarch64.sh: builds everything for 64-bit ARM with Debian's cross compiler, and runs unit tests, the
# daemon and the load generator with qemu's user emulation, which has no io_uring, no seccomp and no
# Landlock: it is the epoll engine that runs. tests/cross/programs says which tests. What is missing is
# named, and all skipped; with REQUIRE_CROSS=1 that is a failure.
set -u
cd "$(dirname "$0")/../.."
: "${BUILD:?make check-aarch64 sets it}" "${GNUMAKE:=make}" "${SONAME:=libhyperderp.so.0}"
triplet=aarch64-linux-gnu
out=$BUILD/aarch64 root=$BUILD/aarch64-root
work=$(mktemp -d)
daemon=
clean_up() {
    [ -z "$daemon" ] || kill -KILL "$daemon" 2>/dev/null
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM
. tests/check/cases.bash
. tests/check/relay.bash

skip() {
    echo "$1"
    [ "${REQUIRE_CROSS:-0}" != 1 ] || exit 1
    exit 77
}
took() { echo "$1 took $((SECONDS - begin)) s"; begin=$SECONDS; }
begin=$SECONDS

[ -z "${SAN:-}" ] || skip "the emulator is for programs without sanitizers"
for tool in $triplet-gcc qemu-aarch64 mmdebstrap; do
    command -v "$tool" >/dev/null || skip "$tool is not installed; ./bootstrap --ci installs it"
done
tests/cross/root.sh "$root" arm64 || skip "there are no libraries for aarch64"
took "the root"
emulated() { qemu-aarch64 -L "$root" "$@"; }

# ---- the build ----
mapfile -t programs < <(sed '/^#/d; /^left-out /d; /^$/d' tests/cross/programs)
cross_make() {
    env -u MAKEFLAGS -u MFLAGS -u CC "$GNUMAKE" -j"$(nproc)" CROSS_COMPILE=$triplet- SYSROOT="$root" \
        BUILD="$out" "$@"
}
targets=("$out/hyper-derp" "$out/hyper-derp-bench" "$out/$SONAME" "$out/libhyperderp.a")
for line in "${programs[@]}"; do
    targets+=("$out/tests/${line%% *}")
done
check build cross_make "${targets[@]}" || exit 1
took "the build"
check installs cross_make install DESTDIR="$work/installed" PREFIX=/usr LIBDIR=/usr/lib/$triplet
machine_is_right() {
    local file
    for file in "$work"/installed/usr/bin/* "$work/installed/usr/lib/$triplet"/*.so.*; do
        readelf -h "$file" | grep -q 'Machine: *AArch64' || { echo "$file is for another machine"; return 1; }
    done
}
check machine_is_right machine_is_right
check hardening env BUILD="$out" tests/check/hardening.sh

# ---- unit tests, as many at once as there are cores ----
# A case is named after its program too; a program that failed without a case that did is one itself.
# Cases that need io_uring are counted and not listed: the emulator never has it.
run_program() {
    local program=$1 status=0 log
    shift
    log=$work/$(tr '/ =*[]' '______' <<<"$program $*").log
    env "$@" timeout --kill-after=5 300 qemu-aarch64 -L "$root" "$out/tests/$program" \
        >"$log" 2>&1 </dev/null || status=$?
    awk -v program="${program##*/}" -v status=$status '
        /\[  FAILED  \]/ { bad = 1 }
        /\[  SKIPPED \]/ && said ~ /io_uring/ { without++; said = ""; next }
        /\[==========\] .* run\./ { over = 1 }
        !over { sub(/\[ RUN      \] |\[       OK \] |\[  FAILED  \] |\[  SKIPPED \] /, "&" program ": "); print }
        NF { said = $0 }
        END {
            if (without) print program ": " without " cases left out, as they need io_uring"
            if (status != 0 && !bad) print "not ok - " program ": exit status " status
        }' "$log" >"$log.named"
    [ $status = 0 ] || echo "$program" >>"$work/failed"
    (flock 9 && cat "$log.named") 9>"$work/lock"
}
export -f run_program
export root out work
printf '%s\n' "${programs[@]}" | xargs -P "$(nproc)" -I{} bash -fc 'run_program {}'
[ ! -e "$work/failed" ] || failed=1
sed -n 's/^left-out \([^ ]*\) /left out: \1: /p' tests/cross/programs
took "the unit tests"

# ---- the daemon, and packets through it ----
cat >"$work/config.toml" <<END
key_file = "$work/derp.key"
workers = 2
[[listener]]
address = "127.0.0.1:0"
tls = false
[[listener]]
address = "127.0.0.1:0"
[tls]
hostname = "127.0.0.1"
[metrics]
address = "127.0.0.1:0"
[stun]
address = ""
END
start_daemon() {
    qemu-aarch64 -L "$root" "$out/hyper-derp" -c "$work/config.toml" >"$work/log" 2>&1 &
    daemon=$!
    await_said $daemon "$work/log" '(metrics on) ' 60
}
# It fails for a damaged or misordered packet; of lost ones a hundredth may be.
bench() {
    emulated "$out/hyper-derp-bench" --pairs 2 --rate 200 --duration 2 "$@" >"$work/figures" || {
        cat "$work/figures"
        return 1
    }
    cat "$work/figures"
    awk '$1 == "delivered" { gsub(/,/, "", $2); some = $2 > 300 } $1 == "lost" { few = $3 < 1 }
        END { exit !(some && few) }' "$work/figures"
}
stops() {
    local status
    kill -TERM "$daemon"
    wait "$daemon"
    status=$?
    daemon=
    cat "$work/log"
    [ $status = 0 ] || { echo "exit status $status"; return 1; }
}
if check daemon_starts start_daemon; then
    cat "$work/log"
    check it_runs_on_epoll grep -q 'on epoll' "$work/log"
    check packets_in_the_clear bench --relay "$(said "$work/log" 'listening on (127[0-9.:]+) \(DERP, plain TCP')"
    check packets_over_tls bench --tls --pin "$(said "$work/log" '(sha256-raw:[0-9a-f]+)')" --relay "$(said "$work/log" 'listening on (127[0-9.:]+) \(DERP, TLS')"
    check stops_cleanly stops
else
    daemon=
fi
took "the daemon"
exit "$failed"
