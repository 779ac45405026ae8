#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# install.sh: installs below a temporary DESTDIR, looks at what came there, builds and runs programs
# against it through pkg-config and CMake, shared and static, from C and from C++, and uninstalls.
set -u
cd "$(dirname "$0")/../.." || exit 1
: "${BUILD:=build}" "${GNUMAKE:=make}" "${CC:=cc}" "${CXX:=c++}" "${SONAME:=libhyperderp.so.0}"
if [ -n "${SAN:-}" ]; then
    echo "a library with sanitizers is not for installing"
    exit 77
fi

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
trap 'exit 1' INT TERM
failed=0

# try NAME COMMAND...: one case. Its output is shown when it fails.
try() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        echo "ok - $name"
    else
        [ -z "$output" ] || echo "$output"
        echo "not ok - $name"
        failed=1
    fi
}

# The make around this script hands its variables down, but its job server is not for us.
run_make() {
    MAKEFLAGS=$(sed -E 's/(^| )-j[0-9]*//; s/ ?--jobserver-[a-z]+=[^ ]+//' <<<"${MAKEFLAGS:-}") \
        "$GNUMAKE" --no-print-directory "$@"
}

staged_pkg_config() {
    PKG_CONFIG_PATH=$stage/usr/local/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$stage \
        pkg-config "$@" libhyperderp
}

has_expected_files() {
    {
        printf 'bin/%s\n' hyper-derp hyper-derp-bench
        printf 'lib/%s\n' "$SONAME" libhyperderp.so libhyperderp.a pkgconfig/libhyperderp.pc \
            cmake/hyperderp/hyperderp-config.cmake cmake/hyperderp/hyperderp-config-version.cmake
        printf 'lib/%s\n' sysctl.d/60-hyper-derp.conf systemd/system/hyper-derp.service \
            sysusers.d/hyper-derp.conf tmpfiles.d/hyper-derp.conf
        printf 'share/hyper-derp/%s\n' grafana/hyper-derp.json prometheus/hyper-derp.rules.yml
        (cd include && printf 'include/%s\n' hyperderp/*.h)
        for page in man/*.[1-8]; do
            [ ! -e "$page" ] || echo "share/man/man${page##*.}/${page#man/}"
        done
    } | sort >"$stage/expected"
    (cd "$stage/usr/local" && find . ! -type d | sed 's|^\./||' | sort) >"$stage/found"
    diff "$stage/expected" "$stage/found" || return 1
    # Readable by everyone, writable by none but the owner, and only programs can be started.
    local odd
    odd=$(find "$stage/usr/local" -type f \( ! -perm -444 -o -perm /022 \) -print
        find "$stage/usr/local/bin" -type f ! -perm -111 -print
        find "$stage/usr/local/include" "$stage/usr/local/lib" -type f -perm /111 -print)
    [ -z "$odd" ] || { echo "wrong mode: $odd"; return 1; }
    grep -q "^ExecStart=/usr/local/bin/hyper-derp -c /etc/hyper-derp/config.toml\$" \
        "$stage/usr/local/lib/systemd/system/hyper-derp.service" || { echo "the unit starts another program"; return 1; }
    cmp dist/config.toml "$stage/etc/hyper-derp/config.toml" || return 1
    [ "$(stat -c %a "$stage/etc/hyper-derp/certs")" = 700 ] || { echo "certs is open to others"; return 1; }
}

# What systemd holds to be open to a service, from 0 to 10.
exposure_is_low() {
    systemd-analyze security --offline=true --no-pager --threshold=20 \
        "$stage/usr/local/lib/systemd/system/hyper-derp.service"
}

pc_is_right() {
    local pc=$stage/usr/local/lib/pkgconfig/libhyperderp.pc
    ! grep -n "$stage\|@" "$pc" || return 1
    [ "$(staged_pkg_config --modversion)" = "$VERSION" ] || { echo "modversion"; return 1; }
    # Who links the shared library needs none of the libraries below it.
    local libs
    libs=$(PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --libs libhyperderp) || return 1
    [ "$(xargs <<<"$libs")" = "-L/usr/local/lib -lhyperderp" ] || { echo "libs: $libs"; return 1; }
}

# What the library itself is linked with is what the .pc file names as private: somebody who links
# the static one gets no more from it.
pc_names_what_is_needed() {
    local library name libs
    libs=" $(staged_pkg_config --static --libs) " || return 1
    while read -r library; do
        name=-l$(sed -E 's/^lib(.*)\.so.*/\1/' <<<"$library")
        case $library in
        libc.so.* | libpthread.so.* | ld-linux*) ;; # -pthread, and what every program has
        *) [[ $libs == *" $name "* ]] || { echo "$library is not in: $libs"; return 1; } ;;
        esac
    done < <(objdump -p "$stage/usr/local/lib/$SONAME" | awk '$1 == "NEEDED" { print $2 }')
    [[ $libs == *" -pthread "* ]] || { echo "no -pthread in: $libs"; return 1; }
}

# With archives of those below it too, as far as there are any, a linker has to resolve all that they
# need in turn with what --static says, in that order.
build_all_static() {
    local cflags libs library
    cflags=$(staged_pkg_config --cflags) && libs=$(staged_pkg_config --static --libs) || return 1
    for library in $libs; do
        [[ $library == -l* && $($CC -print-file-name="lib${library#-l}.a") == /* ]] || [ "$library" = -lhyperderp ] ||
            continue
        libs=" $libs "
        libs=${libs// $library / -l:lib${library#-l}.a }
    done
    # shellcheck disable=SC2086
    $CC -o "$stage/embed-all-static" $cflags examples/embed.c $libs || return 1
    ! objdump -p "$stage/embed-all-static" | grep -E 'NEEDED +lib(hyperderp|ssl|crypto|sodium|jansson|uring)'
}

# Internal names such as conn_close() must not meet those of the program around the library.
archive_hides_internals() {
    local names
    names=$(nm --extern-only --defined-only "$stage/usr/local/lib/libhyperderp.a" |
        awk 'NF == 3 && $3 !~ /^hyperderp_/ { print $3 }')
    [ -z "$names" ] || { echo "visible in libhyperderp.a: $names"; return 1; }
}

header_stands_alone() {
    echo "#include <hyperderp/$1>" >"$stage/header.c"
    local flags compiler standard
    flags=$(staged_pkg_config --cflags) || return 1
    # The library's own compiler, and the others that are there.
    # shellcheck disable=SC2086
    for compiler in "$CC" gcc clang; do
        command -v ${compiler%% *} >/dev/null || continue
        for standard in c11 c17; do
            $compiler -std=$standard -Wall -Wextra -pedantic -Werror $flags -fsyntax-only \
                "$stage/header.c" || return 1
        done
    done
    # shellcheck disable=SC2086
    for compiler in "$CXX" g++ clang++; do
        command -v ${compiler%% *} >/dev/null || continue
        $compiler -std=c++17 -Wall -Wextra -pedantic -Werror $flags -fsyntax-only -x c++ \
            "$stage/header.c" || return 1
    done
}

# build COMPILER STANDARD SOURCE shared|static PROGRAM
build() {
    local cflags libs
    cflags=$(staged_pkg_config --cflags) || return 1
    if [ "$4" = static ]; then
        # By file name, as -lhyperderp would find the shared library beside it.
        libs=$(staged_pkg_config --static --libs | sed 's/-lhyperderp/-l:libhyperderp.a/') || return 1
    else
        libs=$(staged_pkg_config --libs) || return 1
    fi
    # shellcheck disable=SC2086
    $1 -std="$2" -O1 -Wall -Wextra -pedantic -Werror $cflags -o "$stage/$5" "$3" $libs || return 1
    local needed
    needed=$(objdump -p "$stage/$5" | grep -c "NEEDED.*$SONAME")
    [ "$4 $needed" = "shared 1" ] || [ "$4 $needed" = "static 0" ] ||
        { echo "$5 was to be $4"; return 1; }
}

# configure FOLDER ARGUMENT...: CMake's first half, with only the staged library to be found.
configure() {
    local folder=$1
    shift
    env -u MAKEFLAGS -u CFLAGS -u LDFLAGS cmake -S tests/install/cmake -B "$stage/$folder" \
        -DCMAKE_PREFIX_PATH="$stage/usr/local" -DEXAMPLES="$PWD/examples" \
        -DPUBLIC="$PWD/tests/install/public.cc" "$@"
}
cmake_builds() {
    configure cmake -DCMAKE_C_COMPILER="${CC%% *}" -DCMAKE_CXX_COMPILER="${CXX%% *}" || return 1
    env -u MAKEFLAGS -u CFLAGS -u LDFLAGS cmake --build "$stage/cmake" || return 1
    local kind needed
    for kind in shared static; do
        needed=$(objdump -p "$stage/cmake/embed-$kind" | grep -c "NEEDED.*$SONAME")
        [ "$kind $needed" = "shared 1" ] || [ "$kind $needed" = "static 0" ] ||
            { echo "embed-$kind was to be $kind"; return 1; }
    done
}
# cmake_finds ARGUMENTS, cmake_refuses ARGUMENTS MESSAGE: what find_package() is given besides the name.
cmake_finds() { configure "find-$RANDOM" -DWANT="$1"; }
cmake_refuses() {
    local output
    if output=$(cmake_finds "$1" 2>&1); then
        echo "$output"
        return 1
    fi
    # CMake wraps lines.
    tr -s ' \n' ' ' <<<"$output" | grep -F "$2" || { echo "$output"; return 1; }
}
# The shared library asks for nothing of those below it.
cmake_shared_needs_no_other() {
    PKG_CONFIG_LIBDIR=$stage/nowhere PKG_CONFIG_PATH='' cmake_finds "COMPONENTS shared" || return 1
    PKG_CONFIG_LIBDIR=$stage/nowhere PKG_CONFIG_PATH='' cmake_refuses "COMPONENTS static" \
        "The static library lacks liburing, libsodium"
}

embed_runs() {
    relays "$stage/$1"
}

embed_refuses() {
    local output status
    output=$(LD_LIBRARY_PATH=$stage/usr/local/lib "$stage/embed-shared-c11" "$@" 2>&1)
    status=$?
    echo "exit status $status: $output"
    [ "$status" != 0 ] && [ "$status" -lt 126 ]
}

public_cc_runs() {
    [ "$(LD_LIBRARY_PATH=$stage/usr/local/lib "$stage/$1")" = "$VERSION" ]
}

daemon_runs() {
    "$stage/usr/local/bin/hyper-derp" --version | tee /dev/stderr | grep -qF "$VERSION"
}

# As distributions call it.
other_folders() {
    run_make install DESTDIR="$stage/other" PREFIX=/usr LIBDIR=/usr/lib/some-triplet || return 1
    local pc=$stage/other/usr/lib/some-triplet/pkgconfig
    [ "$(PKG_CONFIG_PATH=$pc pkg-config --variable=libdir libhyperderp)" = /usr/lib/some-triplet ] &&
        [ -f "$stage/other/usr/lib/some-triplet/libhyperderp.a" ] &&
        [ -f "$stage/other/usr/include/hyperderp/relay.h" ] || return 1
    ! command -v cmake >/dev/null || configure other-cmake -DWANT="COMPONENTS shared" \
        -DCMAKE_PREFIX_PATH= -Dhyperderp_DIR="$stage/other/usr/lib/some-triplet/cmake/hyperderp"
}

# A configuration that is there is the operator's.
second_install_keeps_the_configuration() {
    echo '# mine' >>"$stage/etc/hyper-derp/config.toml"
    run_make install DESTDIR="$stage" PREFIX=/usr/local || return 1
    [ "$(tail -n 1 "$stage/etc/hyper-derp/config.toml")" = '# mine' ]
}

uninstall_leaves_nothing() {
    run_make uninstall DESTDIR="$stage" PREFIX=/usr/local || return 1
    local left
    left=$(find "$stage/usr" ! -type d)
    [ -z "$left" ] || { echo "left: $left"; return 1; }
}

# shellcheck source=examples.bash
. tests/install/examples.bash

mkfifo "$stage/fifo"
umask 077 # an administrator's umask must not make the library unreadable
try "make install" run_make install DESTDIR="$stage" PREFIX=/usr/local
if [ "$failed" = 1 ]; then
    exit 1
fi
try "installed files" has_expected_files
try "a second install keeps the configuration" second_install_keeps_the_configuration
if systemd-analyze security --help 2>/dev/null | grep -q -- --offline; then
    try "exposure of the unit is at most 2.0" exposure_is_low
else
    echo "skip - exposure of the unit: no systemd-analyze of systemd 250 or newer"
fi
try "libhyperderp.pc" pc_is_right
try "libhyperderp.pc names what is needed" pc_names_what_is_needed
try "static library hides internal names" archive_hides_internals
for header in include/hyperderp/*.h; do
    try "${header#include/} alone, C and C++" header_stands_alone "${header#include/hyperderp/}"
done
for kind in shared static; do
    for standard in c11 c17; do
        try "embed.c, $standard, $kind" build "$CC" $standard examples/embed.c $kind "embed-$kind-$standard"
    done
    try "public.cc, c++17, $kind" build "$CXX" c++17 tests/install/public.cc $kind "public-$kind"
    try "public.cc runs, $kind" public_cc_runs "public-$kind"
    try "embed.c runs, $kind" embed_runs "embed-$kind-c11"
done
try "embed.c, all static" build_all_static
try "embed.c runs, all static" embed_runs embed-all-static
if command -v cmake >/dev/null; then
    try "CMake project" cmake_builds
    for kind in shared static; do
        try "CMake project runs, $kind" embed_runs "cmake/embed-$kind"
        try "CMake project runs from C++, $kind" public_cc_runs "cmake/public-$kind"
    done
    series=${VERSION%.*}
    for want in "$series" "$VERSION EXACT" "$VERSION COMPONENTS shared"; do
        try "CMake finds $want" cmake_finds "$want"
    done
    try "CMake finds no older version" cmake_refuses 0.0.9 "version: $VERSION"
    try "CMake finds no newer version" cmake_refuses "${VERSION%%.*}.9999" "version: $VERSION"
    try "CMake finds no other component" cmake_refuses "COMPONENTS client" "no component client, only shared"
    try "CMake finds the shared library alone" cmake_shared_needs_no_other
else
    echo "skip - CMake project: cmake is not installed; ./bootstrap --ci installs it"
fi
try "embed.c refuses a wrong key" embed_refuses 127.0.0.1:0 nodekey:12
try "embed.c refuses a wrong address" embed_refuses nonsense
try_examples
try "installed daemon" daemon_runs
try "make uninstall" uninstall_leaves_nothing
try "other PREFIX and LIBDIR" other_folders
run_make "$BUILD/libhyperderp.pc" "$BUILD/install/hyperderp-config.cmake" >/dev/null # for the default PREFIX again
exit "$failed"
