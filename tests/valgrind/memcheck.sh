#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# memcheck.sh WITHOUT_IO_URING PROGRAM: runs a unit test under valgrind's memcheck. valgrind runs one
# thread at a time, and one that waits in io_uring_enter() keeps its turn: so io_uring is forbidden,
# and the tests of that engine are skipped. A program that makes no sense here is skipped as well.
set -u
cd "$(dirname "$0")/../.." || exit 1
without=$1 program=$2

if ! command -v valgrind >/dev/null; then
    echo "valgrind is not installed; ./bootstrap --ci installs it"
    exit 77
fi
if [ -n "${SAN:-}" ]; then
    echo "a build with sanitizers does not run under valgrind"
    exit 77
fi
name=$(basename "$program")
reason=$(sed -n "s/^$name: *//p" tests/valgrind/skipped)
if grep -qs 'relay_fixture.h' "tests/unit/$name.c"; then
    reason="clients and deadlines of a running relay, at a fiftieth of its speed; the sanitizers run it"
fi
if [ -n "$reason" ]; then
    echo "$reason"
    exit 77
fi
# A block that can still be reached at the end is no leak; one that only a pointer into its middle
# leads to is.
VALGRIND=1 exec "$without" valgrind -q --error-exitcode=99 --num-callers=30 --leak-check=full \
    --show-leak-kinds=definite,indirect,possible --errors-for-leak-kinds=definite,indirect,possible \
    --suppressions=tests/valgrind/libraries.supp "$program"
