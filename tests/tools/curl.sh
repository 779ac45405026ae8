#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# curl.sh: the relay's HTTP over TLS, as curl sees it.
. "$(dirname "$0")/common.sh"
needs openssl openssl
needs curl curl

body=$scratch/body
report=$scratch/report

# client OPTION... PATH: the body goes to $body; status and version of HTTP to $report.
client() {
    local path=${*: -1}
    timeout $patience curl -q --silent --show-error --noproxy '*' --cacert "$scratch/root.pem" \
        --resolve "$host:$port:127.0.0.1" --output "$body" --dump-header "$scratch/head" \
        --write-out '%{http_code} HTTP/%{http_version}\n' "${@:1:$#-1}" \
        "https://$host:$port$path" >"$report" 2>&1
}

# answers STATUS OPTION... PATH
answers() {
    local status=$1
    shift
    if client "$@" && says "$report" "^$status HTTP/1\\.1\$"; then
        return
    fi
    cat "$report"
    return 1
}

# fails EXIT_STATUS OPTION... PATH
fails() {
    local wanted=$1 status
    shift
    client "$@"
    status=$?
    [ "$status" = "$wanted" ] && return
    echo "curl ended with exit status $status, want $wanted"
    cat "$report"
    return 1
}

page_is_short() {
    answers 200 / && says "$body" '<title>DERP relay</title>' && says "$scratch/head" \
        '^Content-Type: text/html' && [ "$(wc -c <"$body")" -lt 4096 ]
}

cross_origin() {
    answers 200 /derp/probe && says "$scratch/head" '^Access-Control-Allow-Origin: \*'
}

in_the_clear() {
    timeout $patience curl -q --silent --show-error --noproxy '*' --write-out '%{http_code}\n' \
        "http://127.0.0.1:$port/" >"$report" 2>&1 && says "$report" 'HTTPS' '^400$'
}

many() {
    local i urls=()
    for ((i = 0; i < 50; i++)); do
        urls+=("https://$host:$port/derp/probe")
    done
    timeout $patience curl -q --silent --show-error --noproxy '*' --cacert "$scratch/root.pem" \
        --header 'Connection: close' --resolve "$host:$port:127.0.0.1" --parallel --parallel-immediate --parallel-max 50 \
        --write-out '%{http_code}\n' "${urls[@]}" >"$report" 2>"$scratch/errors" || return
    [ "$(grep -c '^200$' "$report")" = 50 ] && return
    cat "$report"
    return 1
}

make_authorities
for kind in p256 rsa; do
    make_chain $kind
    start_relay $kind
    passes "curl: $kind, GET /" page_is_short
    passes "curl: $kind, GET /derp/probe" cross_origin
    passes "curl: $kind, HEAD /derp/probe" answers 200 --head /derp/probe
    passes "curl: $kind, GET /derp/latency-check" answers 200 /derp/latency-check
    passes "curl: $kind, POST /derp/probe" answers 405 --data x /derp/probe
    passes "curl: $kind, GET /derp without an upgrade" answers 426 /derp
    passes "curl: $kind, an upgrade to something else" \
        answers 426 --header "Upgrade: h2c" --header "Connection: Upgrade" /derp
    passes "curl: $kind, GET /nope" answers 404 /nope
    for suite in TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256; do
        passes "curl: $kind, $suite" answers 200 --tls13-ciphers $suite /
    done
    passes "curl: $kind, a client that knows HTTP/2" answers 200 --http2 /
    passes "curl: $kind, 50 connections at once" many
    passes "curl: $kind, TLS 1.2 is refused" fails 35 --tlsv1.2 --tls-max 1.2 /
    passes "curl: $kind, a client that does not trust the relay" \
        fails 60 --cacert "$scratch/stranger.pem" /
    passes "curl: $kind, HTTP in the clear" in_the_clear
    passes "curl: $kind, the relay ends" stop_relay
    passes "curl: $kind, requests counted" counted http_requests 62
    passes "curl: $kind, handshakes counted" counted tls_ok 62
done
exit $failed
