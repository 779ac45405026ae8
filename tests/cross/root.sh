#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# root.sh DIR ARCHITECTURE: puts the headers and libraries of another architecture of Debian 12 below
# DIR, where they stay for the next time: what ./bootstrap asks for, unpacked and not installed, so
# that nothing of it needs to run and the machine around it keeps its own packages. Prints why when it
# cannot be had.
set -eu
dir=$1 architecture=$2
packages=libc6-dev,libcmocka-dev,libcurl4-openssl-dev,libjansson-dev,libmicrohttpd-dev,libseccomp-dev
packages+=,libsodium-dev,libssl-dev,libsystemd-dev,liburing-dev,libwslay-dev,libyaml-dev

# Another list, another root.
if [ "$(cat "$dir/complete" 2>/dev/null)" = "$packages" ]; then
    exit 0
fi
command -v mmdebstrap >/dev/null || {
    echo "mmdebstrap is not installed; ./bootstrap --ci installs it"
    exit 1
}
rm -rf "$dir"
mkdir -p "$dir"
if ! mmdebstrap --variant=extract --architectures="$architecture" --include="$packages" \
    --skip=check/qemu --skip=check/empty bookworm "$dir" >"$dir.said" 2>&1; then
    tail -n 3 "$dir.said"
    echo "the libraries for $architecture cannot be had: $(grep '^E: ' "$dir.said" | tail -n 1)"
    exit 1
fi
# As the linker and the emulator take them from where they are, links must not lead out of there.
find "$dir" -type l -lname '/*' -print0 | while IFS= read -r -d '' link; do
    target=$(readlink "$link")
    ln -sfn "$(realpath -sm --relative-to="$(dirname "$link")" "$dir$target")" "$link"
done
rm -rf "$dir"/usr/share/{doc,info,locale,man} "$dir/var" "$dir.said"
echo "$packages" >"$dir/complete"
