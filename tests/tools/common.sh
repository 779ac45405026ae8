# SPDX-License-Identifier: BSD-3-Clause
# common.sh: what the tests here share: certificates made with openssl, a relay that shows them, and
# cases. Each script sources it.
set -u
: "${HYPER_DERP:?must name the daemon to test; use make check-tools}"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
host=derp.test
patience=30 # seconds that no command here needs
failed=0
relay=

scratch=$(mktemp -d)
trap 'finish' EXIT
finish() {
    [ -z "$relay" ] || kill -KILL "$relay" 2>/dev/null
    rm -rf "$scratch"
}

# needs PROGRAM PACKAGE [OPTION]: without it the script is skipped.
needs() {
    command -v "$1" >/dev/null && return
    echo "$1 is not installed; ./bootstrap${3:+ $3} installs it (package $2)"
    exit 77
}

# ---- Cases ----

# passes NAME COMMAND...: the command, in this shell, succeeds.
passes() {
    local name=$1
    shift
    if "$@" >"$scratch/said" 2>&1; then
        echo "ok - $name"
    else
        # Indented: an answer must not look like a case.
        sed 's/^/    /' "$scratch/said"
        echo "not ok - $name"
        failed=1
    fi
}

# says FILE PATTERN...: each pattern is found in it. Otherwise shows the file, and fails.
says() {
    local file=$1 pattern
    shift
    for pattern in "$@"; do
        grep -qaE -- "$pattern" "$file" && continue
        echo "no line with: $pattern"
        cat "$file"
        return 1
    done
}

# says_not FILE PATTERN...: none of them is.
says_not() {
    local file=$1 pattern
    shift
    for pattern in "$@"; do
        grep -qaE -- "$pattern" "$file" || continue
        echo "a line with: $pattern"
        cat "$file"
        return 1
    done
}

# ---- Certificates ----

quiet() {
    local output
    output=$("$@" 2>&1) && return
    echo "$*: $output" >&2
    exit 1
}

# make_key NAME KIND
make_key() {
    local options=(-algorithm EC -pkeyopt ec_paramgen_curve:P-256)
    case $2 in
    p384) options=(-algorithm EC -pkeyopt ec_paramgen_curve:P-384) ;;
    rsa) options=(-algorithm RSA -pkeyopt rsa_keygen_bits:2048) ;;
    ed25519) options=(-algorithm ED25519) ;;
    esac
    quiet openssl genpkey "${options[@]}" -out "$scratch/$1.key"
}

# issue NAME ISSUER EXTENSION...: ISSUER may be NAME itself.
issue() {
    local name=$1 issuer=$2 signer=()
    shift 2
    printf '[req]\ndistinguished_name = name\n[name]\n' >"$scratch/request.cnf"
    printf '%s\n' "$@" >"$scratch/extensions.cnf"
    quiet openssl req -new -key "$scratch/$name.key" -subj "/CN=$name" \
        -config "$scratch/request.cnf" -out "$scratch/$name.csr"
    if [ "$issuer" = "$name" ]; then
        signer=(-signkey "$scratch/$name.key")
    else
        signer=(-CA "$scratch/$issuer.pem" -CAkey "$scratch/$issuer.key" -CAcreateserial)
    fi
    quiet openssl x509 -req -in "$scratch/$name.csr" "${signer[@]}" -days 60 \
        -extfile "$scratch/extensions.cnf" -out "$scratch/$name.pem"
}

authority=("basicConstraints = critical, CA:TRUE" "keyUsage = critical, keyCertSign"
    "subjectKeyIdentifier = hash")

# A root, which clients know, an intermediate, and another root that knows nothing of them.
make_authorities() {
    local name
    for name in root intermediate stranger; do
        make_key $name p256
    done
    issue root root "${authority[@]}"
    issue stranger stranger "${authority[@]}"
    issue intermediate root "${authority[@]}"
}

# make_chain KIND: KIND.chain and KIND.key for the relay.
make_chain() {
    make_key "$1" "$1"
    issue "$1" intermediate "subjectAltName = DNS:$host" "keyUsage = critical, digitalSignature" \
        "extendedKeyUsage = serverAuth" "basicConstraints = critical, CA:FALSE"
    cat "$scratch/$1.pem" "$scratch/intermediate.pem" >"$scratch/$1.chain"
}

# ---- The relay ----

# start_relay KIND: sets port; its log goes to relay.log.
start_relay() {
    cat >"$scratch/config.toml" <<EOF
workers = 1
key_file = "$scratch/derp.key"
[[listener]]
address = "127.0.0.1:0"
tls = true
[tls]
cert = "$scratch/$1.chain"
key = "$scratch/$1.key"
hostname = "$host"
[metrics]
address = ""
[stun]
address = ""
EOF
    launch_relay
    [ -z "$port" ] || return 0
    echo "the relay names no port:"
    cat "$scratch/relay.log"
    exit 1
}

# launch_relay: with config.toml, until it is ready. Sets port and metrics_port, where there are any.
launch_relay() {
    local line ready=
    port= metrics_port=
    : >"$scratch/relay.log"
    exec {relay_output}< <(exec "$HYPER_DERP" -c "$scratch/config.toml" 2>&1)
    relay=$!
    while read -r -t $patience line <&$relay_output; do
        echo "$line" >>"$scratch/relay.log"
        [[ $line =~ listening\ on\ 127\.0\.0\.1:([0-9]+) ]] && port=${BASH_REMATCH[1]}
        [[ $line =~ metrics\ on\ http://127\.0\.0\.1:([0-9]+) ]] && metrics_port=${BASH_REMATCH[1]}
        [[ $line == *"public key"* ]] && ready=1 && break
    done
    if [ -z "$ready" ]; then
        echo "the relay did not start:"
        cat "$scratch/relay.log"
        exit 1
    fi
    cat <&$relay_output >>"$scratch/relay.log" &
    relay_reader=$!
}

# stop_relay: it ends in order; its counters are in relay.log then.
stop_relay() {
    local status
    kill -TERM "$relay"
    wait "$relay"
    status=$?
    wait "$relay_reader"
    exec {relay_output}<&-
    relay=
    [ "$status" = 0 ] && says "$scratch/relay.log" 'counters: .*connections=0' && return
    echo "the relay ended with exit status $status"
    cat "$scratch/relay.log"
    return 1
}

# counter NAME: what the relay counted, once it has ended.
counter() {
    grep -oE "(^| )$1=[0-9]+" "$scratch/relay.log" | tail -n 1 | cut -d= -f2
}

# counted NAME VALUE
counted() {
    local value
    value=$(counter "$1")
    [ "$value" = "$2" ] && return
    echo "counter $1 is ${value:-not there}, want $2"
    grep 'counters:' "$scratch/relay.log"
    return 1
}

probe=$'GET /derp/probe HTTP/1.1\r\nHost: derp.test\r\nConnection: close\r\n\r\n'
