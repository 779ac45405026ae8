#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# tarball.sh: what `make dist` makes is the same bytes wherever it is made, is all of the sources, and
# builds, tests and installs itself on a machine without git; a second build of it elsewhere gives
# the same programs and libraries.
set -u
cd "$(dirname "$0")/../.."
: "${GNUMAKE:=make}" "${VERSION:?make distcheck sets it}"
if [ -n "${SAN:-}" ]; then
    echo "the sources are the same with sanitizers"
    exit 77
fi
name=hyper-derp-$VERSION
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
. tests/check/cases.bash

if ! dist/tarball.sh "$name" "$work/$name.tar.gz" >"$work/out" 2>&1; then
    tail -n 1 "$work/out"
    exit 77
fi
echo "$(wc -c <"$work/$name.tar.gz") bytes, $(tar -tf "$work/$name.tar.gz" | wc -l) files"

# Whoever calls git from here on is told on.
mkdir "$work/bin"
printf '#!/bin/sh\necho "$0 $*" >>%s/git-was-called\nexit 127\n' "$work" >"$work/bin/git"
chmod 755 "$work/bin/git"
without_git() { PATH=$work/bin:$PATH "$@"; }

again_is_the_same() {
    (
        umask 077
        TZ=Pacific/Kiritimati LC_ALL=C.UTF-8 dist/tarball.sh "$name" "$work/again.tar.gz"
    ) && cmp "$work/$name.tar.gz" "$work/again.tar.gz"
}
check the_same_again again_is_the_same
check unpacks tar -xf "$work/$name.tar.gz" -C "$work" || exit 1
tree=$work/$name
from_itself_is_the_same() {
    touch "$tree/README.md" && without_git "$tree/dist/tarball.sh" "$name" "$work/itself.tar.gz" &&
        cmp "$work/$name.tar.gz" "$work/itself.tar.gz"
}
check the_same_from_itself from_itself_is_the_same
stray_files_stay_out() {
    echo stray >"$tree/stray.c" && without_git "$tree/dist/tarball.sh" "$name" "$work/itself.tar.gz" &&
        rm "$tree/stray.c" && cmp "$work/$name.tar.gz" "$work/itself.tar.gz"
}
check stray_files_stay_out stray_files_stay_out

# ---- as somebody who has nothing else ----
run_make() {
    env -u MAKEFLAGS -u MFLAGS -u BUILD CCACHE_DISABLE=1 PATH="$work/bin:$PATH" "$GNUMAKE" -C "$tree" \
        -j"$(nproc)" BUILD=build "$@"
}
begin=$(date +%s)
tests=(tests/unit/test_frame tests/unit/test_hello tests/unit/test_route tests/unit/test_tls_record
    tests/daemon/test_toml)
check builds run_make install DESTDIR="$work/installed" "${tests[@]/#/build/}" || exit 1
echo "the build took $(($(date +%s) - begin)) s"
for test in "${tests[@]}"; do
    check "${test##*/}" env -C "$tree" "build/$test"
done
check installed_program_runs "$work/installed/usr/local/bin/hyper-derp" --version
# Headers, pkg-config, CMake, man pages, uninstall: this suite's own, from the tarball.
installs() { without_git env -u MAKEFLAGS -u MFLAGS BUILD=build "$tree/tests/install/install.sh"; }
check install_suite installs
git_is_not_needed() { ! cat "$work/git-was-called" 2>/dev/null; }
check git_is_not_needed git_is_not_needed

tests/check/reproducible.sh "$tree" || failed=1
exit "$failed"
