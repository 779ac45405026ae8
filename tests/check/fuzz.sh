#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# fuzz.sh FUZZER SECONDS: runs a libFuzzer program. It starts from the committed corpus and keeps
# what it finds, and the input of a crash, beside the program, never in the source tree.
set -eu
fuzzer=$1
seconds=$2
name=$(basename "$fuzzer")
name=${name#fuzz_}
scratch=$(dirname "$fuzzer")/corpus/$name
seeds=tests/fuzz/corpus/$name
mkdir -p "$scratch"

# Seconds that an input may take: a whole simulation takes longer than a codec.
limit=10
[ "$name" != relay ] || limit=60
arguments=(-max_total_time="$seconds" -timeout="$limit" -rss_limit_mb=2048 -print_final_stats=1
    -artifact_prefix="$(dirname "$fuzzer")/$name-")
[ ! -f "tests/fuzz/$name.dict" ] || arguments+=(-dict="tests/fuzz/$name.dict")
folders=("$scratch")
[ ! -d "$seeds" ] || folders+=("$seeds")
if ! "$fuzzer" "${arguments[@]}" "${folders[@]}"; then
    echo "to run the input again: $fuzzer FILE (its name is on the line 'Test unit written to')"
    exit 1
fi
