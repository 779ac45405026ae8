#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# service-steps.sh systemd | chroot: what an operator does with the packages, step by step, inside a
# Debian that is thrown away. Run by packages.sh.
mode=$1
cd /root || exit 1
check() {
    local name=$1
    shift
    if output=$("$@" 2>&1); then
        echo "ok - $name"
    else
        echo "$output" | tail -n 30
        echo "not ok - $name"
    fi
}
await() { # up to a minute: emulated machines are slow
    for _ in $(seq 300); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.2
    done
    "$@"
}
fetch() {
    exec 3<>/dev/tcp/127.0.0.1/9090 || return 1
    printf 'GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' "$1" >&3
    cat <&3
    exec 3>&-
}
connect_all_the_time() { # until there is a file "enough"
    while [ ! -e /root/enough ]; do
        (exec 3<>/dev/tcp/127.0.0.1/443) 2>>/root/refused && echo >>/root/connected
    done
}
counter() { fetch /metrics | sed -n "s/^$1 //p"; }

check install dpkg -i ./*.deb
check user_is_made id hyper-derp
check not_started_by_itself bash -c '! ls -l /proc/[0-9]*/exe 2>/dev/null | grep "bin/hyper-derp\$"'
check shipped_file_is_good hyper-derp -c /etc/hyper-derp/config.toml --check-config
sed -i 's/^#hostname = ""/hostname = "203.0.113.5"/' /etc/hyper-derp/config.toml
cat >>/etc/hyper-derp/config.toml <<'END'
[[listener]]
address = "127.0.0.1:443"
tls = false
[[listener]]
address = "127.0.0.1:8443"
END
check configuration_is_good hyper-derp -c /etc/hyper-derp/config.toml --check-config

[ "$mode" = systemd ] || install -d -m 700 -o hyper-derp /etc/hyper-derp/certs
# By root, before the first start: the daemon must be able to read what that makes.
check derpmap bash -c 'hyper-derp derpmap -c /etc/hyper-derp/config.toml | grep "\"CertName\": \"sha256-raw:"'

if [ "$mode" = systemd ]; then
    ip link set lo up 2>/dev/null
    check start systemctl start hyper-derp
    check is_active_after_ready systemctl is-active hyper-derp
else
    setpriv --reuid hyper-derp --regid hyper-derp --clear-groups --inh-caps +net_bind_service \
        --ambient-caps +net_bind_service --no-new-privs \
        hyper-derp -c /etc/hyper-derp/config.toml 2>/root/log &
    pid=$!
fi
check metrics await fetch /metrics
check health bash -c "$(declare -f fetch); fetch /health | grep '\"status\":\"ok\"'"
main=$([ "$mode" = systemd ] && systemctl show -p MainPID --value hyper-derp || echo "$pid")
check calls_are_filtered grep -q '^Seccomp:[[:space:]]*2$' "/proc/$main/status"
check it_may_bind_and_no_more grep -q '^CapEff:[[:space:]]*0*400$' "/proc/$main/status"
[ "$mode" != systemd ] || check nothing_of_the_sandbox_is_missing bash -c '! journalctl -u hyper-derp | grep sandbox:'
check key_is_private bash -c '[ "$(stat -c %a:%U /etc/hyper-derp/certs/derp.key)" = 600:hyper-derp ]'
check certificate_is_private bash -c '[ "$(stat -c %a:%U /etc/hyper-derp/certs/self-signed.key)" = 600:hyper-derp ]'
check certificate_is_in_use bash -c "$(declare -f fetch counter); [ \"\$(counter hyper_derp_tls_certificate_expiry_seconds)\" -gt 2000000000 ]"
check packets_are_relayed hyper-derp-bench --relay 127.0.0.1:443 --pairs 2 --rate 200 --duration 3
echo "delivered: $(counter hyper_derp_packets_delivered_total), engine: $(fetch /metrics | grep -o 'engine="[^"]*"'), kernel $(uname -r)"
check they_are_counted bash -c "$(declare -f fetch counter); [ \"\$(counter hyper_derp_packets_delivered_total)\" -gt 500 ]"

if [ "$mode" = systemd ]; then
    sed -i 's/^\[limits\]/[limits]\nkeepalive = "30s"/' /etc/hyper-derp/config.toml
    check reload systemctl reload hyper-derp
    check reload_is_applied await bash -c 'journalctl -u hyper-derp | grep -q "keepalive \"60s\" -> \"30s\""'
    sed -i 's/^keepalive = "30s"/keepalive = 30/' /etc/hyper-derp/config.toml
    systemctl reload hyper-derp
    check broken_reload_changes_nothing await bash -c 'journalctl -u hyper-derp | grep -q "everything stays as it was"'
    check still_active systemctl is-active hyper-derp
    sed -i 's/^keepalive = 30/keepalive = "30s"/' /etc/hyper-derp/config.toml
    # Restarts while somebody connects all the time: the sockets are with systemd meanwhile.
    check sockets_are_stored await bash -c '[ "$(systemctl show -p NFileDescriptorStore --value hyper-derp)" = 4 ]'
    connect_all_the_time &
    check restart systemctl restart hyper-derp
    check restart_again systemctl restart hyper-derp
    before=$(systemctl show -p MainPID --value hyper-derp)
    check upgrade dpkg -i ./*.deb
    check upgrade_restarts_it await bash -c \
        "pid=\$(systemctl show -p MainPID --value hyper-derp); [ \"\$pid\" != 0 ] && [ \"\$pid\" != $before ] && systemctl is-active hyper-derp"
    check restarted_with_its_sockets bash -c 'journalctl -u hyper-derp | grep -c "listening on 127.0.0.1:443" | grep -q "^4$"'
    touch /root/enough
    wait $!
    check somebody_connected test -s /root/connected
    check restart_refuses_nobody bash -c '! grep . /root/refused'
    check still_stored bash -c '[ "$(systemctl show -p NFileDescriptorStore --value hyper-derp)" = 4 ]'
    # The watchdog: a daemon that does nothing is replaced.
    before=$(systemctl show -p MainPID --value hyper-derp)
    kill -STOP "$before"
    check watchdog_restarts_it await bash -c \
        "pid=\$(systemctl show -p MainPID --value hyper-derp); [ \"\$pid\" != 0 ] && [ \"\$pid\" != $before ] && systemctl is-active hyper-derp"
    check status_tells_of_it bash -c 'systemctl show -p NRestarts --value hyper-derp | grep -qv "^0$"'
    check stop systemctl stop hyper-derp
    check stopped_cleanly bash -c '[ "$(systemctl show -p ExecMainStatus --value hyper-derp)" = 0 ]'
else
    kill -HUP $pid
    check reload await grep -q reloaded /root/log
    kill -TERM $pid
    wait $pid
    check stopped_cleanly test $? = 0
fi
check remove dpkg -r hyper-derp libhyperderp0
check configuration_stays test -e /etc/hyper-derp/config.toml
check purge dpkg -P hyper-derp libhyperderp0
rm -rf /etc/systemd/system/hyper-derp.service.d
check nothing_is_left bash -c '! find / -xdev \( -name "*hyper-derp*" -o -name "*hyperderp*" \) -not -path "/proc/*" -not -path "/root/*" -not -path "/var/log/*" -not -path "/run/*" | grep .'
echo "ok - all_steps"
sync
