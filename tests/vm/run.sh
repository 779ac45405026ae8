#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# run.sh: runs test programs on a kernel that has io_uring and kTLS for certain: Debian's, in a virtual
# machine with nothing but them in its memory. tests/vm/programs says which. A case that is skipped in
# there is a failure. Without qemu or a kernel all is skipped; with REQUIRE_VM=1 that is a failure
# too. The console's text is kept in $VM_CONSOLE.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${BUILD:?make check-vm sets it}"

skip() {
    echo "$1"
    [ "${REQUIRE_VM:-0}" != 1 ] || exit 1
    exit 77
}

[ "$(uname -m)" = x86_64 ] || skip "the virtual machine is one of x86_64, and this is $(uname -m)"
[ -z "${SAN:-}" ] || skip "the virtual machine is for programs without sanitizers"
for tool in qemu-system-x86_64 busybox cpio dpkg-deb; do
    command -v "$tool" >/dev/null || skip "$tool is not installed; ./bootstrap --ci installs it"
done
busybox=$(command -v busybox)
! ldd "$busybox" >/dev/null 2>&1 || skip "busybox is not the static one; ./bootstrap --ci installs that"
kernel=$BUILD/vm/kernel
tests/vm/kernel.sh "$kernel" || skip "there is no kernel for the virtual machine"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
console=${VM_CONSOLE:-$work/console}
mkdir -p "$root"/{bin,etc,tmp,tree,sbin}

# ---- what the machine has in its memory ----
# Those modules that kTLS may ask for, and the list by which modprobe finds them.
add_modules() {
    local version source folder
    version=$(ls "$kernel/lib/modules" | head -n 1)
    source=$kernel/lib/modules/$version
    for folder in net/tls crypto lib/crypto arch/x86/crypto; do
        mkdir -p "$root/lib/modules/$version/kernel/$folder"
        cp -r "$source/kernel/$folder/." "$root/lib/modules/$version/kernel/$folder/"
    done
    cp "$source"/modules.{order,builtin} "$root/lib/modules/$version/"
    busybox depmod -b "$root" "$version"
}
# A program and the libraries that it needs, each where the loader looks for it.
add_program() {
    local library
    mkdir -p "$(dirname "$root/$2")"
    cp "$1" "$root/$2"
    while read -r library; do
        [ -e "$root$library" ] || cp -L --parents "$library" "$root"
    done < <(ldd "$1" | grep -o '/[^ )]*')
}
cp "$busybox" "$root/bin/busybox"
cp tests/vm/init "$root/init"
chmod 755 "$root/init"
echo 'root:x:0:0:root:/tmp:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/sh' >"$root/etc/passwd"
echo '127.0.0.1 localhost' >"$root/etc/hosts"
add_modules
add_program "$BUILD/hyper-derp" tree/hyper-derp
add_program "$BUILD/hyper-derp-bench" tree/hyper-derp-bench
cat >"$root/environment" <<'END'
export HYPER_DERP=/tree/hyper-derp HYPER_DERP_BENCH=/tree/hyper-derp-bench RELAY_ENGINES=io_uring
END
programs=()
while read -r limit program settings; do
    programs+=("$program")
    echo "$limit $program $settings" >>"$root/programs"
    add_program "$BUILD/tests/$program" "tree/$program"
done < <(sed '/^#/d; /^left-out /d; /^$/d' tests/vm/programs)
(cd "$root" && find . -print0 | cpio --null --quiet -o -H newc -R 0:0 | gzip -1) >"$work/root.cpio.gz"

# ---- the machine ----
# By emulation, also where there is KVM: that is the same everywhere.
status=0
timeout 450 qemu-system-x86_64 -machine q35 -cpu max -accel tcg,thread=multi -smp 2 -m 1024 \
    -nodefaults -display none -serial stdio -no-reboot -kernel "$(ls "$kernel"/boot/vmlinuz-*)" \
    -initrd "$work/root.cpio.gz" -append 'console=ttyS0 quiet panic=-1 mitigations=off' \
    </dev/null >"$console" 2>&1 || status=$?

# ---- what it said ----
# A case is named after its program too. A program that failed without a case that did is one itself.
tr -d '\r' <"$console" | awk -v expected="${#programs[@]}" '
    function failed(what) { print "not ok - " what; bad = 1 }
    /^@vm booted / { print "kernel " $3 " was up after " $4 " s"; last = $4; next }
    /^@vm begin / {
        program = $3; sub(/.*\//, "", program); wrong = 0
        if (/FIXTURE_OFFLOAD=kernel/) program = program " with kTLS"
        next
    }
    /^@vm end / {
        printf "%s took %.1f s\n", program, $4 - last
        last = $4; ended++
        if ($3 != 0 && !wrong) failed(program ": exit status " $3)
        program = ""; next
    }
    /^@vm done/ { done = 1; next }
    program == "" || /^$/ { next }
    /\[  SKIPPED \]/ { sub(/SKIPPED \]/, "FAILED  ]"); wrong = bad = 1 }
    /\[  FAILED  \]/ { wrong = bad = 1 }
    { sub(/\[ RUN      \] |\[       OK \] |\[  FAILED  \] /, "&" program ": "); print }
    END {
        if (!last) { failed("the virtual machine did not boot"); exit 1 }
        if (program != "") failed(program " did not come to its end")
        if (!done || ended != expected) failed("only " ended + 0 " of " expected " programs have run")
        exit bad
    }' || status=1
sed -n 's/^left-out \([^ ]*\) /left out: \1: /p' tests/vm/programs
[ "$status" = 0 ] || { echo "the console's last lines:"; tail -n 20 "$console"; }
exit "$status"
