# SPDX-License-Identifier: BSD-3-Clause
# relay.bash: a daemon in the background, and what its log says of it.

# said LOG PATTERN: the first thing in a log that the group in the pattern (sed -E) stands for.
said() { sed -nE "s|.*$2.*|\1|p" "$1" | head -n 1; }

# await_said PID LOG PATTERN [SECONDS]: the same as soon as the daemon has said it, which may take 10
# seconds. Shows the log when it has ended instead, or is too slow.
await_said() {
    local what running=1
    for _ in $(seq $((${4:-10} * 20))); do
        kill -0 "$1" 2>/dev/null || running=0
        what=$(said "$2" "$3")
        if [ -n "$what" ]; then
            echo "$what"
            return 0
        fi
        [ $running = 1 ] || break
        sleep 0.05
    done
    cat "$2" >&2
    return 1
}
