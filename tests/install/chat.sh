#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# chat.sh CLIENT_CHAT HYPER_DERP: two of examples/client-chat.c talk through a relay, in the clear and
# over TLS with the relay's certificate pinned; one with another pin is refused, and says why.
set -eu
chat=$1 relay=$2
folder=$(mktemp -d)
started=()
declare -A said # NAME: the descriptor that what it says is read from
finish() {
    [ ${#started[@]} = 0 ] || kill "${started[@]}" 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT

fail() {
    echo "$1"
    exit 1
}

# start NAME COMMAND...: in the background; what it says is kept for expect.
start() {
    local name=$1 fd
    shift
    mkfifo "$folder/$name.out"
    exec {fd}<>"$folder/$name.out"
    said[$name]=$fd
    "$@" >"$folder/$name.out" 2>&1 &
    started+=($!)
}

# expect NAME PATTERN: reads on until a line matches, and sets line to that.
expect() {
    while IFS= read -r -t 20 -u "${said[$1]}" line; do
        [[ ! $line =~ $2 ]] || return 0
        echo "$1: $line"
    done
    fail "$1 says nothing like: $2"
}

# start_relay NAME TLS: sets address and pin.
start_relay() {
    cat >"$folder/$1.toml" <<END
key_file = "$folder/$1.key"
workers = 1
[[listener]]
address = "127.0.0.1:0"
tls = $2
[tls]
hostname = "127.0.0.1"
[metrics]
address = ""
[stun]
address = ""
END
    start "$1" "$relay" -c "$folder/$1.toml"
    if [ "$2" = true ]; then
        expect "$1" CertName
        pin=$(grep -oE 'sha256-raw:[0-9a-f]{64}' <<<"$line")
    fi
    expect "$1" 'listening on (127\.0\.0\.1:[0-9]+)'
    address=${BASH_REMATCH[1]}
}

# chat_with FILE ARGUMENT...: what is written to the file is typed there.
chat_with() {
    local typed=$1
    shift
    exec "$chat" "$@" <"$typed"
}

# talk NAME ARGUMENT...: two of them talk, and end when nothing is typed any more.
talk() {
    local a=$1-a b=$1-b key
    shift
    mkfifo "$folder/$a.in" "$folder/$b.in"
    start "$a" chat_with "$folder/$a.in" "$@"
    exec 5>"$folder/$a.in"
    expect "$a" '^this is (nodekey:[0-9a-f]{64})$'
    key=${BASH_REMATCH[1]}
    expect "$a" '^connected$'
    start "$b" chat_with "$folder/$b.in" "$@" "$key"
    exec 6>"$folder/$b.in"
    expect "$b" '^connected$'
    echo "nobody hears that" >&5
    expect "$a" '^nobody has written yet$'
    echo "a line from b" >&6
    expect "$a" '^nodekey:[0-9a-f]{8}> a line from b$'
    printf 'and \033 \233 back\n' >&5
    expect "$b" '^nodekey:[0-9a-f]{8}> and \? \? back$'
    printf "the last words" >&6
    exec 6>&-
    expect "$a" '> the last words$'
    wait "${started[-1]}" || fail "$b: exit status $?"
    exec 5>&-
    wait "${started[-2]}" || fail "$a: exit status $?"
    unset 'started[-1]' 'started[-1]'
}

start_relay clear false
talk plain --plain "$address"
start_relay secure true
talk pinned --pin "$pin" "$address"

wrong=sha256-raw:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
if words=$("$chat" --pin "$wrong" "$address" 2>&1 </dev/null); then
    fail "a relay with another certificate was taken"
fi
grep -q "the certificate is not accepted: it is another than the pinned one" <<<"$words" ||
    fail "it says: $words"
if words=$("$chat" --plain nonsense 2>&1 </dev/null); then
    fail "an address that is none was taken"
fi
grep -q "HOST:PORT" <<<"$words" || fail "it says: $words"
