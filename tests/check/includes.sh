#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# includes.sh [ROOT]: dependencies point one way, memory <- wire <- tls <- io <- relay <- daemon; the client
# stands below the relay, whose links are clients. The daemon and the examples use the public headers alone, the public
# headers use nothing of lib/, and lib/wire does no I/O and reads no clock.
set -eu
cd "${1:-$(dirname "$0")/../..}"

# For each folder, the folders whose headers it may include besides system headers.
declare -A may=(
    [include/hyperderp]="include/hyperderp"
    [lib]="lib lib/io lib/tls lib/wire lib/memory include/hyperderp"
    [lib/memory]="lib/memory include/hyperderp"
    [lib/wire]="lib/wire lib/memory include/hyperderp"
    [lib/tls]="lib/tls lib/wire lib/memory include/hyperderp"
    [lib/io]="lib/io lib/tls lib/wire lib/memory include/hyperderp"
    [lib/relay]="lib/relay lib/client lib/io lib/tls lib/wire lib/memory include/hyperderp"
    [lib/client]="lib/client lib/tls lib/wire lib/memory include/hyperderp"
    [daemon]="daemon include/hyperderp"
    [examples]="include/hyperderp"
)
# Headers of I/O, clocks and threads, which lib/wire must not need.
no_io='^(sys/(socket|un|time|timerfd|epoll|eventfd|select|uio|ioctl|stat|mman|random)\.h|time\.h|unistd\.h|fcntl\.h|poll\.h|netdb\.h|signal\.h|pthread\.h|threads\.h|stdatomic\.h|netinet/.*|arpa/.*|linux/.*|liburing.*)$'

bad=0 seen=0
complain() {
    echo "$1: $2"
    bad=$((bad + 1))
}

check_file() {
    local file=$1 folder line number header home allowed found
    folder=$(dirname "$file")
    seen=$((seen + 1))
    if [ -z "${may[$folder]-}" ]; then
        complain "$file" "folder $folder has no place in the order of dependencies (tests/check/includes.sh)"
        return
    fi
    while IFS=: read -r number line; do
        header=$(sed -E 's/^[^<"]*[<"]([^>"]+)[>"].*/\1/' <<<"$line")
        if [ "$folder" = lib/wire ] && [[ $header =~ $no_io ]]; then
            complain "$file:$number" "lib/wire does no I/O and reads no clock, but includes <$header>"
            continue
        fi
        home=
        if [[ $line == *\"*\"* ]] && [ -e "$folder/$header" ]; then
            home=$(dirname "$(realpath -m --relative-to=. "$folder/$header")")
        elif [ -e "lib/$header" ]; then
            home=$(dirname "$(realpath -m --relative-to=. "lib/$header")")
        elif [ -e "include/$header" ]; then
            home=$(dirname "$(realpath -m --relative-to=. "include/$header")")
        elif [[ $line == *\"*\"* ]]; then
            complain "$file:$number" "\"$header\" is no file of this tree; system headers go in <>"
            continue
        fi
        [ -n "$home" ] || continue
        allowed=0
        for found in ${may[$folder]}; do
            [ "$found" = "$home" ] && allowed=1
        done
        [ "$allowed" = 1 ] ||
            complain "$file:$number" "$folder must not include $home ($header)"
    done < <(grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]' "$file" || true)
}

while IFS= read -r file; do
    check_file "$file"
done < <(find include lib daemon examples -name '*.[ch]' 2>/dev/null | sort)

if [ "$seen" = 0 ]; then
    echo "no C files found in $PWD"
    exit 1
fi
[ "$bad" = 0 ] || exit 1
echo "$seen files include only what they may"
