#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# nginx.sh: the relay behind nginx, with the files of docs/proxies: TCP passed on with the PROXY
# protocol, and TLS done by nginx with HTTP behind it.
. "$(dirname "$0")/proxy.sh"
PATH=$PATH:/usr/sbin:/sbin
needs openssl openssl
needs nginx nginx --ci

module=/usr/lib/nginx/modules/ngx_stream_module.so
stream_there=yes
[ -e $module ] || nginx -V 2>&1 | grep -qE -- '--with-stream( |$)' || stream_there=

# A configuration around the file, in which nginx keeps to the scratch folder. As root it would
# run its workers as somebody who may not enter that.
# write_config PORT EXAMPLE [http]
write_config() {
    local path
    [ "$(id -u)" != 0 ] || echo "user root;"
    [ ! -e $module ] || echo "load_module $module;"
    printf 'daemon off;\nworker_processes 1;\npid %s/nginx.pid;\nerror_log stderr;\nevents {}\n' "$scratch"
    if [ -n "${3:-}" ]; then
        echo "http {"
        echo "access_log off;"
        for path in client_body proxy fastcgi uwsgi scgi; do
            echo "${path}_temp_path $scratch/$path;"
        done
    fi
    sed -e "s/listen 443/listen 127.0.0.1:$1/" \
        -e "$(if has_ipv6; then echo "s/listen \[::\]:443/listen [::1]:$1/"; else echo '/listen \[::\]/d'; fi)" \
        -e "s/proxy_pass 127\.0\.0\.1:8443;/proxy_pass 127.0.0.1:$port; proxy_bind $proxy_address;/" \
        -e "s|/run/hyper-derp/derp.sock|$scratch/derp.sock|" \
        -e "s|/etc/hyper-derp/certs/fullchain.pem|$scratch/p256.chain|" \
        -e "s|/etc/hyper-derp/certs/privkey.pem|$scratch/p256.key|" "$examples/$2"
    [ -z "${3:-}" ] || echo "}"
}

run_stream() {
    write_config "$1" nginx-stream.conf >"$scratch/nginx.conf"
    exec nginx -e stderr -p "$scratch" -c "$scratch/nginx.conf"
}

run_http() {
    write_config "$1" nginx-http.conf http >"$scratch/nginx.conf"
    exec nginx -e stderr -p "$scratch" -c "$scratch/nginx.conf"
}

# Who comes past nginx is closed.
past_the_proxy() {
    local connection
    exec {connection}<>"/dev/tcp/127.0.0.1/$port" || return
    timeout $patience cat <&$connection >"$scratch/out" 2>/dev/null
    [ $? != 124 ] && exec {connection}>&- && [ ! -s "$scratch/out" ]
}

# upgrade HEADER...: nginx hands the relay's answer on, and ServerKey behind it.
upgrade() {
    {
        printf 'GET /derp HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n' $host
        [ $# = 0 ] || printf '%s\r\n' "$@"
        printf '\r\n'
    } >"$scratch/request"
    timeout $patience openssl s_client -quiet -connect "127.0.0.1:$proxy_port" -servername $host \
        -CAfile "$scratch/root.pem" -verify_hostname $host -verify_return_error \
        <"$scratch/request" 2>"$scratch/errors" | grep -qa -m 1 '🔑' && return
    cat "$scratch/errors"
    return 1
}

page() {
    printf '%s' "$probe" >"$scratch/request"
    timeout $patience openssl s_client -quiet -connect "127.0.0.1:$proxy_port" -servername $host \
        -CAfile "$scratch/root.pem" -verify_return_error <"$scratch/request" >"$scratch/out" 2>&1
    says "$scratch/out" '^HTTP/1\.1 200 '
}

if [ -n "$stream_there" ]; then
    start_behind behind-tcp.toml
    run_proxy() { run_stream "$1"; }
    start_proxy
    passes "nginx: TCP passed on" flows 127.0.0.1 '^127\.0\.0\.1:[0-9]+$'
    if has_ipv6; then
        passes "nginx: TCP passed on, clients of IPv6" flows '[::1]' '^\[::1\]:[0-9]+$'
    fi
    passes "nginx: nobody comes past it" past_the_proxy
    passes "nginx: headers are counted" metric 'hyper_derp_proxy_headers_total\{outcome="ok"\} [1-9]'
    stop_proxy
    passes "nginx: the relay ends" stop_relay
    passes "nginx: no bad headers" counted proxy_headers_bad 0
    passes "nginx: who came past it was counted" counted refused_untrusted_proxy 1
else
    echo "skip - nginx: TCP passed on: its module stream is not installed; ./bootstrap --ci installs it (package libnginx-mod-stream)"
fi

make_authorities
make_chain p256
start_behind behind-http.toml
run_proxy() { run_http "$1"; }
start_proxy
passes "nginx: HTTP, packets flow" flows 127.0.0.1 '^unix$'
passes "nginx: HTTP, a page" page
passes "nginx: HTTP, an upgrade" upgrade
passes "nginx: HTTP, an upgrade with fast start" upgrade 'Derp-Fast-Start: 1'
stop_proxy
passes "nginx: HTTP, the relay ends" stop_relay
passes "nginx: HTTP, all handshakes were good" counted handshakes_failed 0
passes "nginx: HTTP, the socket's file is gone" test ! -e "$scratch/derp.sock"
exit $failed
