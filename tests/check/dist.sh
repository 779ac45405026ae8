#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# dist.sh: what is shipped beside the programs holds: the systemd unit, the alert rules and their
# tests, the metrics of a running daemon as promtool sees them, and that dashboard and rules ask for
# no metric that the daemon does not export. What cannot be checked here is named and skipped.
set -u
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
daemon=
clean_up() {
    [ -z "$daemon" ] || kill "$daemon" 2>/dev/null
    rm -rf "$work"
}
trap clean_up EXIT
. tests/check/cases.bash
. tests/check/relay.bash

# ---- systemd ----
verify_unit() {
    sed "s|@BINDIR@|$BUILD|" dist/systemd/hyper-derp.service >"$work/hyper-derp.service"
    systemd-analyze verify --man=no "$work/hyper-derp.service" 2>"$work/said"
    cat "$work/said"
    ! grep -q "hyper-derp.service" "$work/said"
}
# The score of `systemd-analyze security`, 0 (best) to 10: docs/operations.md names it.
MOST_EXPOSED=2.0
judge_unit() {
    local score
    score=$(systemd-analyze security --offline=true "$work/hyper-derp.service" |
        sed -n 's/.*exposure level for hyper-derp.service: \([0-9.]*\).*/\1/p')
    echo "score ${score:-unknown}"
    awk -v score="${score:-10}" -v most="$MOST_EXPOSED" 'BEGIN { exit !(score <= most) }'
}
if command -v systemd-analyze >/dev/null; then
    check systemd_unit_verifies verify_unit
    check systemd_unit_is_hardened judge_unit
else
    echo "skip - systemd_unit: systemd-analyze is not installed"
fi

# ---- the daemon's metrics ----
cat >"$work/config.toml" <<END
key_file = "$work/derp.key"
[[listener]]
address = "127.0.0.1:0"
tls = false
[metrics]
address = "127.0.0.1:0"
[stun]
address = "127.0.0.1:0"
END
fetch() {
    exec 3<>"/dev/tcp/${address%:*}/${address##*:}" || return 1
    printf 'GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' "$1" >&3
    sed '1,/^\r$/d' <&3
    exec 3>&-
}
"$HYPER_DERP" -c "$work/config.toml" 2>"$work/log" &
daemon=$!
if ! address=$(await_said $daemon "$work/log" 'metrics on http://(.*)/'); then
    echo "not ok - daemon_starts"
    exit 1
fi
fetch /metrics >"$work/metrics"
sed -n 's/^# TYPE \([^ ]*\) .*/\1/p' "$work/metrics" | sort >"$work/names"

if command -v promtool >/dev/null; then
    lint() { promtool check metrics <"$work/metrics" && [ -z "$(promtool check metrics <"$work/metrics" 2>&1)" ]; }
    check promtool_finds_nothing_in_the_metrics lint
    check alert_rules_are_valid promtool check rules dist/prometheus/hyper-derp.rules.yml
    check alert_rules_fire promtool test rules dist/prometheus/hyper-derp.rules.test.yml
else
    echo "skip - promtool: it is not installed; ./bootstrap --ci installs it"
fi

names_are_exported() {
    local name
    grep -ohE '\b(hyper_derp|process)_[a-z_]+' "$1" | sort -u >"$work/asked"
    [ -s "$work/asked" ] || { echo "$1 asks for no metric"; return 1; }
    while read -r name; do
        grep -qx "$name" "$work/names" || { echo "$1 asks for $name, which is not exported"; return 1; }
    done <"$work/asked"
}
check dashboard_asks_for_what_there_is names_are_exported dist/grafana/hyper-derp.json
check rules_ask_for_what_there_is names_are_exported dist/prometheus/hyper-derp.rules.yml
documented() {
    local name
    while read -r name; do
        grep -q "| \`$name\` |" docs/metrics.md || { echo "docs/metrics.md lacks $name"; return 1; }
    done <"$work/names"
}
check every_metric_is_documented documented

# Shipped keys are all comments, and a configuration with and without these.
shipped_config() {
    "$HYPER_DERP" -c dist/config.toml --check-config &&
        sed 's/^#\([a-z_]* = \)/\1/; s/^#\[\[listener\]\]/[[listener]]/' dist/config.toml \
            >"$work/all.toml" && "$HYPER_DERP" -c "$work/all.toml" --check-config
}
check shipped_configuration_is_good shipped_config

exit "$failed"
