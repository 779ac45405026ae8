#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# status_page.sh [SCREENSHOT.png]: the status page in headless Chromium shows the relay's figures.
# With an argument it also keeps a picture of the page, with traffic on it.
set -u
cd "$(dirname "$0")/../.."
. tests/check/relay.bash
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -z "$browser" ]; then
    echo "Chromium is not installed; ./bootstrap --ci installs it"
    exit 77
fi
if [ -n "${SAN:-}" ]; then
    echo "the page is the same with sanitizers, and is tested without"
    exit 77
fi
work=$(mktemp -d)
pids=()
clean_up() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; done
    rm -rf "$work"
}
trap clean_up EXIT

cat >"$work/config.toml" <<END
workers = 2
key_file = "$work/derp.key"
[[listener]]
address = "127.0.0.1:0"
tls = false
[[listener]]
address = "127.0.0.1:0"
[tls]
hostname = "127.0.0.1"
[metrics]
address = "127.0.0.1:0"
[stun]
address = "127.0.0.1:0"
END
"$HYPER_DERP" -c "$work/config.toml" 2>"$work/log" &
pids+=($!)
page=$(await_said "${pids[0]}" "$work/log" 'metrics on (http://[^ ]*)') || exit 1
relay=$(said "$work/log" 'listening on ([^ ]*) \(DERP, plain TCP\)')
over_tls=$(said "$work/log" 'listening on ([^ ]*) \(DERP, TLS 1.3\)')

browse() {
    timeout 60 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
        --hide-scrollbars --user-data-dir="$work/browser" --virtual-time-budget=3000 "$@" 2>"$work/browser.log"
}

# Not TLS on the port of TLS: counted, and closed.
exec 3<>"/dev/tcp/${over_tls%:*}/${over_tls##*:}"
printf 'GET / HTTP/1.1\r\n\r\n' >&3
cat <&3 >/dev/null
exec 3>&-

# Known traffic: 1,000 packets exactly, and 25 peers that stay.
"$HYPER_DERP_BENCH" --relay "$relay" --pairs 1 --rate 1000 --duration 1 --warmup 0 >"$work/bench.log" 2>&1 ||
    { cat "$work/bench.log"; exit 1; }
"$HYPER_DERP_BENCH" --relay "$relay" --peers 0 --idle 25 --duration 120 >/dev/null 2>&1 &
pids+=($!)
if [ -n "${1:-}" ]; then
    "$HYPER_DERP_BENCH" --relay "$relay" --peers 60 --random --rate 12000 --duration 100 >/dev/null 2>&1 &
    pids+=($!)
    sleep 75
    browse --window-size=1200,720 --screenshot="$1" "$page" >/dev/null
    exit
fi
figure() { # the text of the element with this id, without tags
    sed -n "s/.*id=\"$1\"[^>]*>\(.*\)/\1/p" "$work/dom" | head -n 1 | sed 's|</div>.*||; s|</p>.*||; s/<[^>]*>//g'
}
bad=0
expect() {
    if [[ $2 == *"$3"* ]]; then
        echo "ok - $1: $2"
    else
        echo "not ok - $1: \"$2\" is not \"$3\""
        bad=1
    fi
}
# The peers have come, and there is a sample to plot.
for _ in $(seq 100); do
    browse --dump-dom "$page" >"$work/dom"
    [[ $(figure peers) != 25* ]] || ! grep -q '<polyline' "$work/dom" || break
done
expect state "$(figure state)" "running"
expect peers "$(figure peers)" "25 peers"
expect connections "$(figure connections)" "25 connections"
expect about "$(figure about)" "version $VERSION"
# What the relay itself says by now.
address=${page#http://}
address=${address%/}
exec 3<>"/dev/tcp/${address%:*}/${address##*:}"
printf 'GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' >&3
joined=$(sed -n 's/^hyper_derp_handshakes_total{outcome="ok"} \([0-9]*\).*/\1/p' <&3)
exec 3>&-
expect joined "$(tr -d '\n' <"$work/dom" | sed 's/.*clients joined<\/td><td>\([0-9]*\).*/\1/')" "$joined"
expect drops "$(tr -d '\n' <"$work/dom" | sed 's/.*queue full<\/td><td>\([0-9]*\)<\/td><td>\([0-9]*\).*/\1 \2/')" "0 0"
expect certificate "$(figure expiry)" "days of the certificate left"
expect not_tls "$(tr -d '\n' <"$work/dom" | sed 's/.*not TLS<\/td><td>\([0-9]*\).*/\1/')" "1"
plots=$(grep -o '<polyline' "$work/dom" | wc -l)
expect plots "$plots lines" "8 lines"
errors=$(grep -ciE 'uncaught|violates the following content security policy' "$work/browser.log" || true)
expect console "$errors errors" "0 errors"
exit "$bad"
