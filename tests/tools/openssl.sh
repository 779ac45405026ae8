#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# openssl.sh: the relay and OpenSSL's s_client: each cipher with each kind of certificate, what the
# relay must refuse, KeyUpdate of either side, no tickets.
. "$(dirname "$0")/common.sh"
needs openssl openssl

suites="TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256"
out=$scratch/out

# s_client OPTION...: with standard input; what it writes goes to $out.
s_client() {
    local name=(-servername $host)
    [[ " $* " != *" -noservername "* ]] || name=()
    timeout $patience openssl s_client -connect "127.0.0.1:$port" "${name[@]}" \
        -CAfile "$scratch/root.pem" -verify_hostname $host -verify_return_error "$@" >"$out" 2>&1
}

# asks OPTION...: the page comes, whole, and close_notify behind it.
asks() {
    s_client -ign_eof -msg "$@" <<<"$probe" &&
        says "$out" 'Verify return code: 0 \(ok\)' 'New, TLSv1\.3' '^HTTP/1\.1 200 ' \
            '<<< TLS 1\.3, Alert \[length 0002\], warning close_notify'
}

# refused ALERT OPTION...: no connection, and this alert.
refused() {
    local alert=$1
    shift
    if s_client -ign_eof "$@" <<<"$probe"; then
        cat "$out"
        return 1
    fi
    says "$out" "alert $alert"
}

suite_of() {
    asks -ciphersuites "$1" && says "$out" "Cipher is $1"
}

no_ticket() {
    rm -f "$scratch/session"
    asks -sess_out "$scratch/session" && says_not "$out" 'NewSessionTicket' 'TLS session ticket:' &&
        [ ! -s "$scratch/session" ]
}

retried() {
    asks -groups P-384:P-256 && says "$out" 'Server Temp Key: ECDH, prime256v1' &&
        [ "$(grep -c '>>> TLS 1.3, Handshake .*, ClientHello' "$out")" = 2 ]
}

unverified() {
    ! s_client -ign_eof -CAfile "$scratch/stranger.pem" <<<"$probe" &&
        says "$out" 'unable to get local issuer certificate'
}

# awaits PATTERN COUNT: until s_client, which runs beside, has written so many lines with it.
awaits() {
    timeout $patience grep -qaE -m "$2" -- "$1" < <(exec tail -n +1 -f "$out" 2>/dev/null) && return
    echo "no $2 lines with: $1"
    cat "$out"
    return 1
}

# updates KEY COUNT ANSWERS: so many KeyUpdates by s_client's command; the relay's in return come
# before what it sends next.
updates() {
    local i client
    rm -f "$scratch/in"
    mkfifo "$scratch/in"
    : >"$out"
    s_client -msg <"$scratch/in" &
    client=$!
    exec {in}>"$scratch/in"
    awaits 'Verify return code' 1 || return
    for ((i = 1; i <= $2; i++)); do
        echo "$1" >&$in
        awaits '^KEYUPDATE' "$i" || return
    done
    printf '%s' "$probe" >&$in
    wait $client || return
    exec {in}>&-
    says "$out" '^HTTP/1\.1 200 ' || return
    [ "$(grep -c '>>> TLS 1.3, Handshake .*, KeyUpdate' "$out")" = "$2" ] &&
        [ "$(grep -c '<<< TLS 1.3, Handshake .*, KeyUpdate' "$out")" = "$3" ] && return
    cat "$out"
    return 1
}

# In the clear to the port of TLS: the answer says what is wrong.
in_the_clear() {
    exec {tcp}<>"/dev/tcp/127.0.0.1/$port"
    printf '%s' "$probe" >&$tcp
    timeout $patience cat <&$tcp >"$out"
    exec {tcp}>&-
    says "$out" '^HTTP/1\.1 400 ' 'HTTPS'
}

make_authorities
for kind in p256 p384 rsa ed25519; do
    make_chain $kind
    start_relay $kind
    for suite in $suites; do
        passes "openssl: $kind, $suite" suite_of $suite
    done
    passes "openssl: $kind, the relay ends" stop_relay
    passes "openssl: $kind, handshakes counted" counted tls_ok 3
done

start_relay p256
passes "openssl: no session ticket" no_ticket
for group in X25519 P-256; do
    passes "openssl: $group alone" asks -groups $group
done
passes "openssl: a key share of another group" retried
passes "openssl: http/1.1" asks -alpn http/1.1
passes "openssl: h2 or http/1.1" asks -alpn h2,http/1.1
passes "openssl: records of at most 512 bytes from the client" asks -max_send_frag 512
passes "openssl: records padded to 4096 bytes" asks -record_padding 4096
passes "openssl: without middlebox compatibility" asks -no_middlebox
passes "openssl: a request for a stapled answer" asks -status
passes "openssl: no name asked for" asks -noservername
passes "openssl: 1 KeyUpdate" updates k 1 0
passes "openssl: 1 KeyUpdate that asks for one" updates K 1 1
passes "openssl: 20 KeyUpdates" updates k 20 0
passes "openssl: 20 KeyUpdates that ask for one, answered by one" updates K 20 1
passes "openssl: TLS 1.2 is refused" refused 'protocol version' -tls1_2
passes "openssl: other groups are refused" refused 'handshake failure' -groups P-384:P-521
passes "openssl: h2 alone is refused" refused 'no application protocol' -alpn h2
passes "openssl: a limit of the relay's records is refused" \
    refused 'handshake failure' -maxfraglen 512
passes "openssl: CCM alone is refused" refused 'handshake failure' -ciphersuites TLS_AES_128_CCM_SHA256
passes "openssl: RSA alone is refused with an ECDSA key" refused 'handshake failure' \
    -sigalgs rsa_pss_rsae_sha256
passes "openssl: a client that does not trust the relay" unverified
passes "openssl: HTTP in the clear" in_the_clear
passes "openssl: the relay ends" stop_relay
passes "openssl: refusals counted" counted tls_failed 7
passes "openssl: HTTP in the clear counted" counted tls_not_tls 1
passes "openssl: KeyUpdates counted" counted tls_key_updates 44
exit $failed
