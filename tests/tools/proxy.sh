# SPDX-License-Identifier: BSD-3-Clause
# proxy.sh: what the tests with proxies share: the relay and the proxy run with the files of
# docs/proxies, but for ports and paths, and hyper-derp-bench sends through both. Sourced.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
: "${HYPER_DERP_BENCH:?must name the load generator; use make check-tools}"
examples=$here/../../docs/proxies
proxy=
trap 'stop_proxy; finish' EXIT

# The proxy connects from here, and its clients from 127.0.0.1: nobody takes one for the other.
proxy_address=127.0.0.2

has_ipv6() {
    [ -n "$(cat /proc/net/if_inet6 2>/dev/null)" ]
}

# ---- The relay ----

# start_behind NAME: the relay, with a file of docs/proxies.
start_behind() {
    {
        # At the top, before all tables.
        printf 'workers = 2\nkey_file = "%s"\n' "$scratch/derp.key"
        sed -e 's/^address = "127\.0\.0\.1:8443"/address = "127.0.0.1:0"/' \
            -e "s|^address = \"unix:/run/hyper-derp/derp.sock\"|address = \"unix:$scratch/derp.sock\"|" \
            -e "s/^trusted_proxies = \[\"127\.0\.0\.1\"\]/trusted_proxies = [\"$proxy_address\"]/" \
            "$examples/$1"
        printf '[metrics]\naddress = "127.0.0.1:0"\ndebug_endpoints = true\n[stun]\naddress = ""\n'
    } >"$scratch/config.toml"
    launch_relay
}

# fetch PATH: of the metrics address, to standard output.
fetch() {
    local connection
    exec {connection}<>"/dev/tcp/127.0.0.1/$metrics_port" || return
    printf 'GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' "$1" >&$connection
    timeout $patience cat <&$connection | sed '1,/^\r$/d'
    exec {connection}>&-
}

# metric PATTERN: waits for a line of the metrics.
metric() {
    local until=$((SECONDS + patience))
    while ! fetch /metrics >"$scratch/metrics" || ! grep -qE "$1" "$scratch/metrics"; do
        if [ $SECONDS -ge $until ]; then
            echo "no metric: $1"
            grep '^hyper_derp_proxy' "$scratch/metrics"
            return 1
        fi
        sleep 0.05
    done
}

# ---- The proxy ----

is_open() {
    local connection
    { exec {connection}<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null && exec {connection}>&-
}

# start_proxy: runs the function run_proxy, which gets a port and executes the proxy in the
# foreground, until it listens there. A proxy cannot be told to choose one itself, so another is
# tried when somebody has that one. Sets proxy_port.
start_proxy() {
    local attempt
    for attempt in 1 2 3 4 5 6 7 8; do
        proxy_port=$((20000 + (RANDOM + 32768 * attempt) % 12000))
        ! is_open $proxy_port || continue
        (run_proxy $proxy_port) >"$scratch/proxy.log" 2>&1 &
        proxy=$!
        while kill -0 $proxy 2>/dev/null; do
            ! is_open $proxy_port || return 0
            sleep 0.05
        done
        wait $proxy
        proxy=
        grep -q 'Address already in use' "$scratch/proxy.log" || break
    done
    echo "the proxy did not start:"
    cat "$scratch/proxy.log"
    exit 1
}

stop_proxy() {
    [ -n "$proxy" ] || return 0
    kill -TERM "$proxy" 2>/dev/null
    wait "$proxy" 2>/dev/null
    proxy=
}

# ---- Clients ----

# addresses: of the clients, as /debug/peers tells them, one a line.
addresses() {
    fetch /debug/peers | grep -oE '"address": ?"[^"]*"' | cut -d'"' -f4
}

# flows HOST PATTERN: packets of four clients pass; while they do, the relay has for all four an
# address of this form.
flows() {
    local until=$((SECONDS + patience)) bench status
    timeout $patience "$HYPER_DERP_BENCH" --relay "$1:$proxy_port" --tls --insecure --pairs 2 \
        --both-ways --rate 400 --warmup 0 --duration 3 --json >"$scratch/bench.json" \
        2>"$scratch/bench.log" &
    bench=$!
    : >"$scratch/addresses"
    while [ "$(wc -l <"$scratch/addresses")" != 4 ] && kill -0 $bench 2>/dev/null &&
        [ $SECONDS -lt $until ]; do
        addresses >"$scratch/addresses"
        sleep 0.05
    done
    wait $bench
    status=$?
    if [ "$status" != 0 ] || [ "$(wc -l <"$scratch/addresses")" != 4 ] ||
        grep -qvE "$2" "$scratch/addresses"; then
        echo "hyper-derp-bench ended with exit status $status; the addresses of its clients:"
        cat "$scratch/addresses" "$scratch/bench.log" "$scratch/proxy.log"
        return 1
    fi
    delivered
}

# All that was sent has arrived.
delivered() {
    local sent received
    sent=$(grep -oE '"sent": ?[0-9]+' "$scratch/bench.json" | grep -oE "[0-9]+$" | head -n 1)
    received=$(grep -oE '"delivered": ?[0-9]+' "$scratch/bench.json" | grep -oE "[0-9]+$" | head -n 1)
    [ "${sent:-0}" -gt 0 ] && [ "$sent" = "$received" ] && return
    cat "$scratch/bench.json"
    return 1
}
