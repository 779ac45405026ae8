#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# websocket.sh: headless Chromium reaches the relay by WebSocket, in the clear and over TLS. It gets
# ServerKey; the text that it sends then is no DERP, and its socket is closed with that status.
set -u
cd "$(dirname "$0")/../.."
. tests/check/relay.bash
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -z "$browser" ]; then
    echo "Chromium is not installed; ./bootstrap --ci installs it"
    exit 77
fi
if [ -n "${SAN:-}" ]; then
    echo "the tests of the units and with Go's client run with sanitizers, this one does not"
    exit 77
fi
work=$(mktemp -d)
relay=
clean_up() {
    [ -z "$relay" ] || { kill "$relay" 2>/dev/null; wait "$relay" 2>/dev/null; }
    rm -rf "$work"
}
trap clean_up EXIT

cat >"$work/config.toml" <<END
key_file = "$work/derp.key"
[[listener]]
address = "127.0.0.1:0"
tls = false
[[listener]]
address = "127.0.0.1:0"
[tls]
hostname = "127.0.0.1"
[metrics]
address = ""
[stun]
address = ""
END
"$HYPER_DERP" -c "$work/config.toml" 2>"$work/log" &
relay=$!
key=$(await_said $relay "$work/log" 'public key nodekey:([0-9a-f]*)') || exit 1
address() { said "$work/log" "listening on ([^ ]*) \\(DERP, $1\\)"; }

timeout 60 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
    --ignore-certificate-errors --user-data-dir="$work/browser" --virtual-time-budget=10000 --dump-dom \
    "file://$PWD/tests/check/websocket.html?url=ws://$(address 'plain TCP')/derp&url=wss://$(address 'TLS 1.3')/derp" \
    >"$work/dom" 2>"$work/browser.log"
kill "$relay"
wait "$relay"
status=$?
relay=

bad=0
expect() {
    if grep -qF -- "$2" "$work/$3"; then
        echo "ok - $1"
    else
        echo "not ok - $1: no \"$2\""
        bad=1
    fi
}
for name in ws wss; do
    expect "$name: the subprotocol" "$name open derp" dom
    # Type 1, 40 bytes: "DERP", a key in UTF-8, and the relay's.
    expect "$name: ServerKey" "$name message 010000002844455250f09f9491$key" dom
    expect "$name: a text" "$name closed 1003 clean" dom
done
expect "counters" "websocket_upgrades=2 websocket_connections=0" log
[ "$status" = 0 ] || { echo "not ok - the relay ended with exit status $status"; bad=1; }
[ "$bad" = 0 ] || { sed -n '/id="said"/,/<\/pre>/p' "$work/dom"; cat "$work/log"; }
exit "$bad"
