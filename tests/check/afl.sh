#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# afl.sh FUZZER SECONDS: runs a fuzz target that was built by afl-clang-fast with AFL++, from the
# committed corpus. What it finds stays beside the program. A crash or a hang is a failure.
set -euo pipefail
fuzzer=$1
seconds=$2
name=$(basename "$fuzzer")
name=${name#fuzz_}
out=$(dirname "$fuzzer")/afl/$name
mkdir -p "$out"
rm -rf "$out/default" # of another build

arguments=()
[ ! -f "tests/fuzz/$name.dict" ] || arguments+=(-x "tests/fuzz/$name.dict")
# No screen, no demands on how this machine dumps cores or sets its clock, and any core will do.
export AFL_NO_UI=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_SKIP_CPUFREQ=1 AFL_NO_AFFINITY=1
# A finding of a sanitizer has to end the program as AFL++ expects it.
export ASAN_OPTIONS=abort_on_error=1:symbolize=0:detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1
if ! afl-fuzz -V "$seconds" -t 2000 -m none "${arguments[@]}" -i "tests/fuzz/corpus/$name" -o "$out" -- "$fuzzer" \
    >"$out/log" 2>&1; then
    tail -n 20 "$out/log"
    exit 1
fi
stat() { sed -nE "s/^$1 *: *//p" "$out/default/fuzzer_stats"; }
echo "$name: $(stat execs_done) inputs in $seconds s, $(stat corpus_count) kept, edges $(stat edges_found) of $(stat total_edges)"
found=$(find "$out/default/crashes" "$out/default/hangs" -name 'id:*')
if [ -n "$found" ]; then
    echo "to run an input again: $fuzzer FILE"
    echo "$found"
    exit 1
fi
