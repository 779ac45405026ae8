#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# hardening.sh [FILE...]: what the compiler and the linker can do against an attacker who finds a
# fault was done, read from the programs and libraries themselves: those of the build, or those
# that are named (an archive's members are looked at as objects).
set -eu
cd "$(dirname "$0")/../.."
: "${BUILD:=build}" "${SONAME:=libhyperderp.so.0}"
if [ -n "${SAN:-}" ]; then
    echo "a build with sanitizers is hardened by them alone"
    exit 77
fi
[ $# -gt 0 ] || set -- "$BUILD/hyper-derp" "$BUILD/hyper-derp-bench" "$BUILD/$SONAME" \
    "$BUILD/libhyperderp.a" "$BUILD/install/libhyperderp.a" "$BUILD"/obj/daemon/*.o
export LC_ALL=C
failed=0 objects=0

# What an object says of itself for the processor: that each place to which calls and jumps through
# a pointer lead is marked, and that returns can be checked.
case $(readelf -hW "$1" | sed -n '/^ *Machine: */{s///p;q}') in
*X86-64) marks='IBT, SHSTK' linked='SHSTK' ;;
AArch64) marks='BTI, PAC' linked='' ;;
*) marks='' linked='' ;;
esac

# need WHAT TEXT PATTERN, refuse WHAT TEXT PATTERN: TEXT must, must not, have such a line.
need() { grep -qE -- "$3" <<<"$2" || faults+="  $1"$'\n'; }
refuse() { ! grep -qE -- "$3" <<<"$2" || faults+="  $1"$'\n'; }

look_at_linked() {
    local file=$1 head segments dynamic symbols
    head=$(readelf -hW "$file") segments=$(readelf -lW "$file")
    dynamic=$(readelf -dW "$file") symbols=$(readelf -W --dyn-syms "$file")
    need "is not position-independent" "$head" '^ *Type: +DYN'
    case $file in
    *.so*) ;;
    *) need "is no position-independent program" "$dynamic" '\(FLAGS_1\).*\bPIE\b' ;;
    esac
    need "has no RELRO" "$segments" '^ *GNU_RELRO'
    need "is not bound at its start (-z now)" "$dynamic" '\(FLAGS\).*BIND_NOW|\(BIND_NOW\)|\(FLAGS_1\).*\bNOW\b'
    need "says nothing of its stack" "$segments" '^ *GNU_STACK'
    refuse "has a stack that can be executed" "$segments" '^ *GNU_STACK.* RWE '
    refuse "has memory that can be both written and executed" "$segments" '^ *LOAD.* RWE '
    refuse "is changed where its code is (TEXTREL)" "$dynamic" 'TEXTREL'
    refuse "looks for libraries by RPATH or RUNPATH" "$dynamic" '\((RPATH|RUNPATH)\)'
    need "has no stack protector" "$symbols" '__stack_chk_fail'
    need "has no checked functions (_FORTIFY_SOURCE)" "$symbols" '__[a-z]+_chk(@|$)'
    [ -z "$linked" ] || need "is not marked for shadow stacks" "$(readelf -nW "$file")" "Properties:.*$linked"
}

# Each object of the archive, or the one that this is.
look_at_objects() {
    local file=$1 notes without
    [ -n "$marks" ] || return 0
    notes=$(readelf -nW "$file")
    without=$(awk -v marks="$marks" '
        function tell() { if (name != "" && !good) print name }
        /^File: / { tell(); name = $2; good = 0 }
        index($0, marks) { good = 1 }
        END { tell(); if (name == "" && !good) print "it" }' <<<"$notes")
    [ -z "$without" ] || faults+=$(sed "s/\$/ is not marked $marks/; s/^/  /" <<<"$without")$'\n'
}

for file; do
    faults=
    case $file in
    *.a | *.o) look_at_objects "$file" ;;
    *) look_at_linked "$file" ;;
    esac
    if [ -n "$faults" ]; then
        printf 'not ok - %s\n%s' "$file" "$faults"
        failed=1
    elif [[ $file == *.o ]]; then
        objects=$((objects + 1))
    else
        echo "ok - $file"
    fi
done
[ $objects = 0 ] || echo "ok - $objects objects"
exit $failed
