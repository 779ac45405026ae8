#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# kernel.sh DIR: puts Debian's kernel for virtual machines below DIR, where it stays for the next time:
# DIR/boot/vmlinuz-VERSION and DIR/lib/modules/VERSION. The package is unpacked and not installed, so
# that the machine it runs on keeps the kernel it has. Prints why when it cannot be had.
set -eu
dir=$1
meta=linux-image-cloud-amd64

if [ -e "$dir/complete" ]; then
    exit 0
fi
command -v apt-get >/dev/null || {
    echo "the kernel comes from Debian's package $meta, and there is no apt-get here"
    exit 1
}
package=$(apt-cache depends --important "$meta" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9]\)/\1/p' |
    head -n 1)
if [ -z "$package" ]; then
    echo "apt knows no package $meta (apt-get update may be needed; Debian alone has it)"
    exit 1
fi
rm -rf "$dir"
mkdir -p "$dir"
if ! (cd "$dir" && apt-get download -q "$package") >"$dir/said" 2>&1; then
    grep -v '^W: ' "$dir/said" | tail -n 3
    echo "the package $package cannot be downloaded; apt-get update may be needed"
    exit 1
fi
dpkg-deb -x "$dir"/linux-image-*.deb "$dir"
rm -f "$dir"/linux-image-*.deb "$dir/said"
touch "$dir/complete"
