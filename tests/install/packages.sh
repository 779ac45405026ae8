#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# packages.sh: builds the Debian packages from a copy of the tree, lets lintian judge them, then in a
# minimal Debian of its own installs them, runs the service, and removes them again. With a kernel
# and qemu that Debian boots in a virtual machine, under its own systemd; without them the unit's own
# command line, user and notify socket are used in a chroot. Says which it was.
set -u
cd "$(dirname "$0")/../.."
version=$(sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)
for tool in dpkg-buildpackage dh lintian mmdebstrap; do
    if ! command -v "$tool" >/dev/null; then
        echo "$tool is not installed; ./bootstrap --ci installs it"
        exit 77
    fi
done
if [ "$(id -u)" != 0 ]; then
    echo "a Debian of its own needs root"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. tests/check/cases.bash

# ---- the packages ----
copy_tree() { dist/tarball.sh hyper-derp "$work/tree.tar.gz" && tar -xf "$work/tree.tar.gz" -C "$work"; }
build_packages() { (cd "$work/hyper-derp" && env -u MAKEFLAGS -u MFLAGS -u BUILD -u SAN -u CC -u VERSION dpkg-buildpackage -us -uc -b); }
same_version() { [ "$version" = "$(awk '$2 == "HYPERDERP_VERSION" { gsub(/"/, "", $3); print $3 }' include/hyperderp/version.h)" ]; }
check versions_agree same_version
check tree_is_copied copy_tree || exit 1
check packages_are_built build_packages || exit 1
unpack() {
    local package
    for package in "$work"/hyper-derp_*.deb "$work"/libhyperderp0_*.deb; do
        dpkg-deb -x "$package" "$work/unpacked" || return 1
    done
}
packages_are_hardened() {
    tests/check/hardening.sh "$work"/unpacked/usr/bin/* "$work"/unpacked/usr/lib/*/libhyperderp.so.0
}
check packages_are_unpacked unpack
check packages_are_hardened packages_are_hardened
# Who installs the -dev package gets all that its files for pkg-config and CMake ask for.
owner() { dpkg -S "$(realpath -s "$1")" 2>/dev/null | sed -n '1s/:.*//p'; }
development_package_is_whole() {
    local deb depends module file package
    deb=$(echo "$work"/libhyperderp-dev_*.deb)
    dpkg-deb -x "$deb" "$work/development" || return 1
    depends=" $(dpkg-deb -f "$deb" Depends | tr -d ',') "
    for file in "$work"/development/usr/lib/*/{pkgconfig/libhyperderp.pc,cmake/hyperderp/hyperderp-config{,-version}.cmake} \
        "$work"/development/usr/include/hyperderp/version.h; do
        [ -f "$file" ] || { echo "$file is missing"; return 1; }
    done
    for module in $(sed -n 's/^Requires.private: //p' "$work"/development/usr/lib/*/pkgconfig/libhyperderp.pc); do
        package=$(owner "$(pkg-config --variable=pcfiledir "$module")/$module.pc")
        [[ $depends == *" $package "* ]] || { echo "it depends on no ${package:-package} for $module"; return 1; }
    done
    for module in $(sed -n 's/^Libs.private: //p' "$work"/development/usr/lib/*/pkgconfig/libhyperderp.pc); do
        [[ $module == -l* ]] || continue
        package=$(owner "$(cc -print-file-name="lib${module#-l}.so")")
        [[ $depends == *" $package "* ]] || { echo "it depends on no ${package:-package} for $module"; return 1; }
    done
}
check development_package_is_whole development_package_is_whole
# Long texts are compressed.
check security_policy_is_in_the_package zgrep -q "Reporting a vulnerability" "$work/unpacked/usr/share/doc/hyper-derp/SECURITY.md.gz"
check lintian_finds_no_error lintian --fail-on error --allow-root "$work"/hyper-derp_*.changes

# ---- a Debian to install them in ----
machine=x86_64
kernel=
make_root() {
    local include=systemd-sysv,libcurl4,libipsec-mb1,libjansson4,libmicrohttpd12,libseccomp2,libsodium23,libsystemd0,liburing2,libwslay1,libyaml-0-2
    if command -v qemu-system-x86_64 >/dev/null && [ "$(uname -m)" = $machine ]; then
        include=$include,linux-image-cloud-amd64
    fi
    mmdebstrap --variant=apt --include="$include" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        bookworm "$work/root"
}
if ! make_root >"$work/out" 2>&1; then
    tail -n 3 "$work/out"
    echo "skip - service: no Debian could be made: $(tail -n 1 "$work/out")"
    exit "$failed"
fi
cp "$work"/hyper-derp_*.deb "$work"/libhyperderp0_*.deb "$work/root/root/"
cp tests/install/service-steps.sh "$work/root/root/steps.sh"
kernel=$(ls "$work"/root/boot/vmlinuz-* 2>/dev/null | head -n 1)

report() { # the lines of the steps, from the console's output
    tr -d '\r' <"$1" | sed -n 's/^\(.*\] \)\?\(ok\|not ok\|skip\) - /\2 - /p'
}
if [ -n "$kernel" ]; then
    echo "the service runs under systemd in a virtual machine ($(basename "$kernel"))"
    cat >"$work/root/etc/systemd/system/steps.service" <<'END'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/bash /root/steps.sh systemd
ExecStopPost=/bin/systemctl --no-block poweroff -f
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
TimeoutStartSec=400
[Install]
WantedBy=multi-user.target
END
    chroot "$work/root" systemctl enable steps.service >/dev/null 2>&1
    # The console is the steps' alone, and the watchdog need not take its minute and a half.
    chroot "$work/root" systemctl mask serial-getty@ttyS0.service apt-daily.timer \
        apt-daily-upgrade.timer dpkg-db-backup.timer systemd-networkd-wait-online.service >/dev/null 2>&1
    mkdir -p "$work/root/etc/systemd/system/hyper-derp.service.d"
    printf '[Service]\nWatchdogSec=8\nTimeoutAbortSec=2\nRestartSec=1\n' \
        >"$work/root/etc/systemd/system/hyper-derp.service.d/test.conf"
    cp "$kernel" "$work/kernel"
    rm -rf "$work"/root/boot/* "$work"/root/var/cache/apt/* "$work"/root/var/lib/apt/lists/*
    ln -sf sbin/init "$work/root/init"
    (cd "$work/root" && find . -print0 | cpio --null --quiet -o -H newc | gzip -1) >"$work/root.cpio.gz"
    timeout 480 qemu-system-x86_64 -machine q35 -cpu max -accel tcg,thread=multi -smp 2 -m 3072 \
        -nographic -no-reboot -net none -kernel "$work/kernel" -initrd "$work/root.cpio.gz" \
        -append 'console=ttyS0 quiet systemd.show_status=false systemd.default_timeout_start_sec=300s' \
        </dev/null >"$work/console" 2>&1
    report "$work/console"
    if ! grep -q '^.*ok - all_steps' "$work/console"; then
        tail -n 60 "$work/console"
        echo "not ok - the virtual machine came to its end"
        failed=1
    fi
    ! report "$work/console" | grep -q '^not ok' || failed=1
else
    echo "no virtual machine (no qemu or kernel): the unit's command line in a chroot"
    chroot "$work/root" /bin/bash /root/steps.sh chroot >"$work/console" 2>&1
    report "$work/console"
    grep -q '^ok - all_steps' "$work/console" || { tail -n 40 "$work/console"; failed=1; }
fi
exit "$failed"
