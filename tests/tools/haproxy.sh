#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# haproxy.sh: the relay behind HAProxy, with the files of docs/proxies: both versions of the PROXY
# protocol, over TCP and over a socket in the file system.
. "$(dirname "$0")/proxy.sh"
PATH=$PATH:/usr/sbin:/sbin
needs haproxy haproxy --ci

# run_haproxy PORT EXAMPLE [SED_COMMAND]
run_haproxy() {
    sed -e "s/bind :443/bind 127.0.0.1:$1/" \
        -e "$(if has_ipv6; then echo "s/bind \[::\]:443/bind [::1]:$1/"; else echo '/bind \[::\]/d'; fi)" \
        -e "s/127\.0\.0\.1:8443/127.0.0.1:${port:-0} source $proxy_address/" \
        -e "s|/run/hyper-derp/derp.sock|$scratch/derp.sock|" -e 's/inter 10s/inter 200ms/' \
        -e "${3:-}" "$examples/$2" >"$scratch/haproxy.cfg"
    exec haproxy -db -f "$scratch/haproxy.cfg"
}

checks_are_local() {
    metric 'hyper_derp_proxy_headers_total\{outcome="local"\} [1-9]'
}

# behind NAME RELAY EXAMPLE [SED_COMMAND]
behind() {
    local name=$1 example=$3 change=${4:-}
    start_behind "$2"
    run_proxy() { run_haproxy "$1" "$example" "$change"; }
    start_proxy
    passes "haproxy: $name, packets flow" flows 127.0.0.1 '^127\.0\.0\.1:[0-9]+$'
    if has_ipv6; then
        passes "haproxy: $name, clients of IPv6" flows '[::1]' '^\[::1\]:[0-9]+$'
    fi
    # In version 1 they tell HAProxy's own address instead.
    if [ -z "$change" ]; then
        passes "haproxy: $name, its checks are its own" checks_are_local
    fi
    stop_proxy
    passes "haproxy: $name, the relay ends" stop_relay
    passes "haproxy: $name, no bad headers" counted proxy_headers_bad 0
    passes "haproxy: $name, nobody was refused" counted refused_untrusted_proxy 0
}

behind "version 2 with a checksum" behind-tcp.toml haproxy.cfg
behind "version 1" behind-tcp.toml haproxy.cfg 's/send-proxy-v2 proxy-v2-options crc32c/send-proxy/'
behind "a socket in the file system" behind-unix.toml haproxy-unix.cfg
passes "haproxy: the socket's file is gone" test ! -e "$scratch/derp.sock"
exit $failed
