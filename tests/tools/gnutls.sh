#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# gnutls.sh: the relay and GnuTLS's client, an implementation that shares nothing with OpenSSL.
. "$(dirname "$0")/common.sh"
needs openssl openssl
needs gnutls-cli gnutls-bin

ciphers="AES-128-GCM AES-256-GCM CHACHA20-POLY1305"
out=$scratch/out

# client PRIORITY OPTION...: with standard input; what it writes goes to $out.
client() {
    local priority=$1
    shift
    timeout $patience gnutls-cli --x509cafile "$scratch/root.pem" --verify-hostname $host \
        --sni-hostname $host --port "$port" --priority "NORMAL:-VERS-ALL:+VERS-TLS1.3$priority" \
        "$@" 127.0.0.1 >"$out" 2>&1
}

asks() {
    client "$@" <<<"$probe" && says "$out" 'The certificate is trusted' '^HTTP/1\.1 200 ' \
        'Peer has closed the GnuTLS connection' && says_not "$out" 'Fatal error'
}

cipher_of() {
    asks ":-CIPHER-ALL:+$1" && says "$out" "TLS1\\.3.*\\($1\\)"
}

refused() {
    local alert=$1
    shift
    if client "$@" <<<"$probe"; then
        cat "$out"
        return 1
    fi
    says "$out" "alert .*$alert|$alert"
}

# updates COMMAND COUNT: a KeyUpdate by the client's command, and so many by the relay in return.
updates() {
    printf '%s\n%s' "$1" "$probe" >"$scratch/in"
    client "" --inline-commands -d 4 <"$scratch/in" &&
        says "$out" 'Rekey was completed' '^HTTP/1\.1 200 ' || return
    [ "$(grep -c 'KEY_UPDATE (24) was received' "$out")" = "$2" ] && return
    cat "$out"
    return 1
}

make_authorities
for kind in p256 p384 rsa ed25519; do
    make_chain $kind
    start_relay $kind
    for cipher in $ciphers; do
        passes "gnutls: $kind, $cipher" cipher_of $cipher
    done
    passes "gnutls: $kind, the relay ends" stop_relay
    passes "gnutls: $kind, handshakes counted" counted tls_ok 3
done

start_relay p256
passes "gnutls: X25519 alone" asks ":-GROUP-ALL:+GROUP-X25519"
passes "gnutls: P-256 alone" asks ":-GROUP-ALL:+GROUP-SECP256R1"
passes "gnutls: a key share of another group" \
    asks ":-GROUP-ALL:+GROUP-SECP521R1:+GROUP-SECP256R1" --single-key-share
passes "gnutls: http/1.1" asks "" --alpn=http/1.1
passes "gnutls: a KeyUpdate" updates "^rekey1^" 0
passes "gnutls: a KeyUpdate that asks for one" updates "^rekey^" 1
passes "gnutls: TLS 1.2 is refused" refused 'protocol version' ":-VERS-ALL:+VERS-TLS1.2"
passes "gnutls: other groups are refused" refused 'Handshake failed' ":-GROUP-ALL:+GROUP-SECP384R1"
passes "gnutls: h2 alone is refused" refused 'No supported application protocol' "" --alpn=h2
passes "gnutls: the relay ends" stop_relay
passes "gnutls: handshakes counted" counted tls_ok 6
passes "gnutls: refusals counted" counted tls_failed 3
exit $failed
