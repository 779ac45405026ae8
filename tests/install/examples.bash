# SPDX-License-Identifier: BSD-3-Clause
# The examples, for install.sh: each is built against the library that has just been installed below
# $stage, runs, has a client talk through it, and is ended by SIGTERM. A further example in C is a
# line in try_examples() that builds it and one that says what it must do.

# run PROGRAM ARGUMENT...: starts it, and waits until it says "listening on ADDRESS" on a line.
# Sets $pid and $address, and $said to the lines before. finish() is the other half.
run() {
    local line
    said=
    rm -f "$stage/fifo" && mkfifo "$stage/fifo" || return 1
    LD_LIBRARY_PATH=$stage/usr/local/lib timeout --kill-after=5 60 "$@" >"$stage/fifo" &
    pid=$!
    # This runs in a subshell of its own; nothing of it may outlive a failure.
    trap 'kill "$pid" 2>/dev/null' EXIT
    exec 3<"$stage/fifo"
    while IFS= read -r -t 30 line <&3; do
        [[ $line == "listening on "* ]] && { address=${line#listening on }; return 0; }
        said+=$line$'\n'
    done
    echo "$1 does not say where it listens"
    return 1
}

# finish [PATTERN]: ends what run() started, which must then end well. The last line that it says
# must match the pattern, an extended regular expression for the whole line.
finish() {
    local line last='' status
    kill -TERM "$pid"
    while IFS= read -r -t 30 line <&3; do
        last=$line
    done
    wait "$pid"
    status=$?
    [ "$status" = 0 ] || { echo "exit status $status after SIGTERM"; return 1; }
    [ $# = 0 ] || grep -qxE -- "$1" <<<"$last" || { echo "unexpected last line: $last"; return 1; }
}

# bench ARGUMENT...: a thousand packets through $address, of which none may be lost.
bench() {
    local output
    output=$("$stage/usr/local/bin/hyper-derp-bench" --relay "$address" --pairs 1 --rate 1000 \
        --warmup 0 --duration 1 "$@" 2>&1) && grep -qE '^lost +0 ' <<<"$output" ||
        { echo "$output"; return 1; }
}

# relays PROGRAM ARGUMENT...: a relay that everybody may join, and that tells its counters.
relays() {
    run "$@" 127.0.0.1:0 && bench &&
        finish '[1-9][0-9]* clients joined, 0 were denied, ([1-9][0-9]*) of \1 packets delivered'
}

# denies PROGRAM ARGUMENT...: it lets nobody in but the one key that it is told, which is not the
# client's.
denies() {
    local status
    run "$@" 127.0.0.1:0 "nodekey:$(printf '11%.0s' {1..32})" || return 1
    "$stage/usr/local/bin/hyper-derp-bench" --relay "$address" --peers 2 >/dev/null 2>&1
    status=$?
    [ "$status" = 69 ] || { echo "a client that was to be denied: exit status $status"; return 1; }
    finish '0 clients joined, [1-9][0-9]* were denied, 0 of 0 packets delivered'
}

# refuses PROGRAM ARGUMENT...: these arguments are none, and it says so and ends.
refuses() {
    local output status
    output=$(LD_LIBRARY_PATH=$stage/usr/local/lib timeout --kill-after=5 60 "$@" 2>&1)
    status=$?
    echo "exit status $status: $output"
    [ -n "$output" ] && [ "$status" != 0 ] && [ "$status" -lt 124 ]
}

# ---- metrics-exporter.c ----

# scrape [PATH]: what it serves on $port.
scrape() {
    exec 4<>"/dev/tcp/127.0.0.1/$port" || return 1
    # In one piece, and should it hang up it is cat that meets SIGPIPE.
    printf 'GET %s HTTP/1.1\r\nHost: x\r\n\r\n' "${1:-/metrics}" | cat >&4
    timeout 20 cat <&4
    exec 4>&-
}

# What it exports under a name of the daemon's is what the daemon exports under it.
names_are_the_daemons() {
    local name type
    while read -r name type; do
        [[ $name == hyper_derp_peer_* ]] || grep -q "^| \`$name\` | $type |" docs/metrics.md ||
            { echo "docs/metrics.md has no $type $name"; return 1; }
    done < <(sed -n 's/^# TYPE //p' <<<"$1")
}

exports_metrics() {
    local port page
    run "$stage/metrics-exporter" 127.0.0.1:0 0 || return 1
    port=$(sed -nE 's|^metrics on http://127\.0\.0\.1:([0-9]+)/metrics$|\1|p' <<<"$said")
    [ -n "$port" ] || { echo "it does not say where its metrics are: $said"; return 1; }
    [[ $(scrape /) == "HTTP/1.1 404 "* ]] || { echo "no 404 for /"; return 1; }
    bench --duration 3 &
    local talking=$!
    # While it runs it is among the peers.
    until page=$(scrape) &&
        grep -qE '^hyper_derp_peer_packets_delivered_total\{peer="nodekey:[0-9a-f]{64}"\} [1-9]' <<<"$page"; do
        kill -0 "$talking" 2>/dev/null || { echo "$page"; echo "no peers"; return 1; }
    done
    wait "$talking" || return 1
    page=$(scrape | sed '1,/^\r$/d')
    grep -qE '^hyper_derp_packets_delivered_total [1-9][0-9]*$' <<<"$page" &&
        grep -qE '^hyper_derp_handshakes_total\{outcome="ok"\} [1-9]' <<<"$page" &&
        grep -qx 'hyper_derp_drops_total{reason="queue_full",kind="data"} 0' <<<"$page" ||
        { echo "$page"; return 1; }
    names_are_the_daemons "$page" || return 1
    if command -v promtool >/dev/null; then
        promtool check metrics <<<"$page" || return 1
    fi
    finish
}

# ---- client-chat.c, control-plane.c ----

chat_runs() {
    LD_LIBRARY_PATH=$stage/usr/local/lib tests/install/chat.sh "$stage/$1" \
        "$stage/usr/local/bin/hyper-derp"
}

# The next line that begins so; others are skipped. From file descriptor 3, into $line.
await_line() {
    while IFS= read -r -t 20 line <&3; do
        [[ $line != "$1"* ]] || return 0
    done
    echo "there came no $1"
    return 1
}

# Starts the relay with nobody in its list of keys, lets everyone in, drains it.
control_plane_runs() {
    local port status line
    echo '# nobody' >"$stage/keys"
    # Not by timeout, which passes SIGHUP on but once. Each wait below is bounded.
    LD_LIBRARY_PATH=$stage/usr/local/lib "$stage/$1" 127.0.0.1:0 "$stage/keys" >"$stage/fifo" &
    plane_pid=$!
    trap 'kill "$plane_pid" 2>/dev/null' EXIT
    exec 3<"$stage/fifo"
    await_line '{"event":"listening"' || return 1
    port=$(sed -nE 's/.*"127\.0\.0\.1:([0-9]+)"\}$/\1/p' <<<"$line")
    bench() {
        LD_LIBRARY_PATH=$stage/usr/local/lib "$stage/usr/local/bin/hyper-derp-bench" \
            --relay "127.0.0.1:$port" --duration 0.5 --warmup 0 --rate 1000 2>&1
    }
    ! bench || { echo "who is not in the list was let in"; return 1; }
    await_line '{"event":"denied","key":"nodekey:' || return 1
    echo nonsense >"$stage/keys"
    kill -HUP "$plane_pid"
    await_line '{"event":"keys","read":false}' || return 1
    echo '*' >"$stage/keys"
    kill -HUP "$plane_pid"
    await_line '{"event":"keys","read":true}' || return 1
    bench || return 1
    await_line '{"event":"up","key":"nodekey:' || return 1
    await_line '{"event":"down","key":"nodekey:' || return 1
    [[ $line == *'"address":"127.0.0.1:'*'"ms":'* ]] || { echo "unexpected line: $line"; return 1; }
    kill -TERM "$plane_pid"
    await_line '{"event":"end"' || return 1
    exec 3<&-
    wait "$plane_pid"
    status=$?
    [ "$status" = 0 ] || { echo "exit status $status after SIGTERM"; return 1; }
    echo "$line" | awk -F '[:,}]' '$4 >= 20 && $6 > 0 && $8 > 400 && $8 == $10 { found = 1 } END { exit !found }' ||
        { echo "unexpected last line: $line"; return 1; }
}

# ---- Other languages ----

# missing NAME REASON: what is needed for this example is not here.
missing() {
    if [ "${REQUIRE_INTEROP:-0}" = 1 ]; then
        echo "$2"
        echo "not ok - $1"
        failed=1
    else
        echo "skip - $1: $2"
    fi
}

# go_in_example ARGUMENT...: the go command, which finds the library, and asks no network. Its cache
# does not notice that pkg-config names another folder than the time before: these flags it does.
go_in_example() {
    (cd examples/go && PKG_CONFIG_PATH=$stage/usr/local/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$stage \
        CGO_LDFLAGS=-L$stage/usr/local/lib CGO_CFLAGS=-I$stage/usr/local/include \
        LD_LIBRARY_PATH=$stage/usr/local/lib CGO_ENABLED=1 GOTOOLCHAIN=local GOPROXY=off \
        GOFLAGS=-mod=mod GOWORK=off go "$@")
}

go_is_formatted() {
    local odd
    odd=$("$(go env GOROOT)/bin/gofmt" -l examples/go) && [ -z "$odd" ] ||
        { echo "not formatted: $odd"; return 1; }
}

try_go() {
    local reason
    if ! reason=$(cd examples/go && . ../../tests/check/go.bash && need_go); then
        missing "go: the example" "$reason"
        return
    fi
    try "go: is formatted" go_is_formatted
    try "go: vet" go_in_example vet .
    try "go: builds" go_in_example build -o "$stage/relay-go" .
    try "go: relays" relays "$stage/relay-go"
    try "go: denies" denies "$stage/relay-go"
    try "go: refuses a wrong key" refuses "$stage/relay-go" 127.0.0.1:0 nodekey:12
    try "go: refuses a wrong address" refuses "$stage/relay-go" nonsense
}

# The structs that the program has written down lie as in the headers.
python_structs_are_the_headers() {
    local flags
    flags=$(staged_pkg_config --cflags) || return 1
    LD_LIBRARY_PATH=$stage/usr/local/lib PYTHONPATH=examples/python python3 -B - \
        >"$stage/structs.c" <<'END' || return 1
import relay
print("#include <stddef.h>\n#include <hyperderp/hyperderp.h>")
for name, struct in (("key", relay.Key), ("client_info", relay.ClientInfo),
                     ("relay_options", relay.RelayOptions), ("listener_options", relay.ListenerOptions),
                     ("counters", relay.Counters)):
    c = "hyperderp_" + name
    print(f'_Static_assert(sizeof({c}) >= {relay.sizeof(struct)}, "{c} is smaller");')
    for field, _ in struct._fields_:
        at = getattr(struct, field)
        print(f'_Static_assert(offsetof({c}, {field}) == {at.offset}, "{c}.{field} is elsewhere");')
        print(f'_Static_assert(sizeof((({c} *)0)->{field}) == {at.size}, "{c}.{field} has another size");')
for name, value in (("ALLOW", relay.ALLOW), ("DENY", relay.DENY), ("LATER", relay.LATER),
                    ("DROP_REASONS", relay.DROP_REASONS), ("PACKET_KINDS", relay.PACKET_KINDS)):
    print(f'_Static_assert(HYPERDERP_{name} == {value}, "{name} has another value");')
END
    # shellcheck disable=SC2086
    $CC -std=c11 $flags -fsyntax-only "$stage/structs.c"
}

try_python() {
    if ! python3 -c 'import sys, ctypes; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then
        missing "python: the example" "there is no Python 3.8 or newer with ctypes"
        return
    fi
    try "python: the structs are those of the headers" python_structs_are_the_headers
    try "python: relays" relays python3 -B examples/python/relay.py
    try "python: denies" denies python3 -B examples/python/relay.py
    try "python: refuses a wrong key" refuses python3 -B examples/python/relay.py 127.0.0.1:0 nodekey:12
    try "python: refuses a wrong address" refuses python3 -B examples/python/relay.py nonsense
}

# Those in C as `build` of install.sh makes them; embed.c, from which a newcomer starts, is built and
# run there in more ways.
try_examples() {
    try "embed.c denies" denies "$stage/embed-shared-c11"
    try "metrics-exporter.c" build "$CC" c17 examples/metrics-exporter.c shared metrics-exporter
    try "metrics-exporter.c exports its metrics" exports_metrics
    for kind in shared static; do
        try "client-chat.c, $kind" build "$CC" c11 examples/client-chat.c $kind "chat-$kind"
        try "client-chat.c runs, $kind" chat_runs "chat-$kind"
        try "control-plane.c, $kind" build "$CC" c11 examples/control-plane.c $kind "plane-$kind"
        try "control-plane.c runs, $kind" control_plane_runs "plane-$kind"
    done
    try_go
    try_python
}
