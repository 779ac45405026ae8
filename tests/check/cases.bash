# SPDX-License-Identifier: BSD-3-Clause
# cases.bash: cases of a shell script. Who sources it has a folder of its own, $work, and ends with
# exit status $failed.
failed=0

# check NAME COMMAND...: the command, in this shell, succeeds; otherwise the end of what it says is
# shown.
check() {
    local what=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        echo "ok - $what"
    else
        tail -n 60 "$work/out"
        echo "not ok - $what"
        failed=1
        return 1
    fi
}
