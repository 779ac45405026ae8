#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# selftest.sh: the other checks find what they are there to find. Each one is given a small correct
# tree, which it must accept, and the same tree with one fault, which it must refuse by name.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
: "${CC:=cc}"
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failed=0

fresh_tree() {
    rm -rf "${tree:?}"/*
    mkdir -p "$tree"/include/hyperderp "$tree"/lib/{wire,tls,io,relay,client} "$tree"/{daemon,examples}
    cp "$root/.clang-format" "$tree/"
    cat >"$tree/include/hyperderp/key.h" <<'EOF'
#include <stdint.h>
#define HYPERDERP_API __attribute__((visibility("default")))
/** Not a declaration: HYPERDERP_API int hyperderp_in_a_comment(void); */
HYPERDERP_API int hyperderp_one(const char *text, int (*callback)(void *));
HYPERDERP_API const char *hyperderp_two(uint8_t bytes[32],
                                        const char *a_name_that_is_too_long_for_one_line);
EOF
    echo '#include <hyperderp/key.h>' >"$tree/lib/wire/frame.h"
    printf '#include "frame.h"\n#include <string.h>\n' >"$tree/lib/wire/frame.c"
    echo '#include "wire/frame.h"' >"$tree/lib/tls/record.h"
    printf '#include "tls/record.h"\n#include <sys/socket.h>\n' >"$tree/lib/io/loop.h"
    printf '#include "io/loop.h"\n#include "wire/frame.h"\n' >"$tree/lib/relay/conn.h"
    echo '#include "wire/frame.h"' >"$tree/lib/client/client.h"
    printf '#include "config.h"\n#include <hyperderp/key.h>\n' >"$tree/daemon/main.c"
    : >"$tree/daemon/config.h"
    echo '#include <hyperderp/key.h>' >"$tree/examples/embed.c"
    cat >"$tree/library.c" <<'EOF'
#include <hyperderp/key.h>
int hyperderp_one(const char *text, int (*callback)(void *))
{
    return text && callback;
}
const char *hyperderp_two(uint8_t bytes[32], const char *name)
{
    return bytes && name ? "" : "?";
}
int conn_close(void);
int conn_close(void)
{
    return 0;
}
EOF
    cp "$root/lib/libhyperderp.map" "$tree/"
}

# accepts NAME COMMAND...  /  refuses NAME PATTERN COMMAND...
accepts() {
    local name=$1 output status
    shift
    output=$("$@" 2>&1)
    status=$?
    if [ "$status" = 77 ]; then
        echo "skip - $name: $(tail -n 1 <<<"$output")"
    elif [ "$status" = 0 ]; then
        echo "ok - $name"
    else
        printf '%s\nnot ok - %s\n' "$output" "$name"
        failed=1
    fi
}

refuses() {
    local name=$1 pattern=$2 output status
    shift 2
    output=$("$@" 2>&1)
    status=$?
    if [ "$status" = 77 ]; then
        echo "skip - $name: $(tail -n 1 <<<"$output")"
    elif [ "$status" != 0 ] && grep -qE -- "$pattern" <<<"$output"; then
        echo "ok - $name"
    else
        printf 'exit status %s, expected a failure that says: %s\n%s\n' "$status" "$pattern" "$output"
        echo "not ok - $name"
        failed=1
    fi
}

# include_fault FILE LINE: a tree with this line in this file is refused.
include_fault() {
    fresh_tree
    echo "$2" >>"$tree/$1"
    refuses "includes: $1 with $2" "^$1:[0-9]+: " "$here/includes.sh" "$tree"
}

fresh_tree
accepts "includes: a correct tree" "$here/includes.sh" "$tree"
include_fault lib/wire/frame.c '#include "tls/record.h"'
include_fault lib/wire/frame.c '#include "../tls/record.h"'
include_fault lib/wire/frame.c '#include <sys/socket.h>'
include_fault lib/wire/frame.h '#  include <time.h>'
include_fault lib/tls/record.h '#include "io/loop.h"'
include_fault lib/io/loop.h '#include "relay/conn.h"'
include_fault lib/io/loop.h '#include "client/client.h"'
include_fault lib/client/client.h '#include "io/loop.h"'
include_fault lib/client/client.h '#include "relay/conn.h"'
include_fault daemon/main.c '#include "wire/frame.h"'
include_fault daemon/main.c '#include "../lib/wire/frame.h"'
include_fault examples/embed.c '#include "wire/frame.h"'
include_fault include/hyperderp/key.h '#include <wire/frame.h>'
include_fault lib/relay/conn.h '#include "absent.h"'
fresh_tree
mkdir "$tree/lib/new"
: >"$tree/lib/new/new.c"
refuses "includes: a folder that nobody placed" '^lib/new/new.c: ' "$here/includes.sh" "$tree"
refuses "includes: an empty tree" 'no C files' "$here/includes.sh" "$(mktemp -d -p "$tree")"

library() {
    # shellcheck disable=SC2086
    $CC -shared -fPIC -fvisibility=hidden -I"$tree/include" -Wl,-soname,libhyperderp.so.0 \
        -Wl,--version-script="$tree/libhyperderp.map" -o "$tree/library.so" "$tree/library.c"
}
check_symbols() {
    library && "$here/symbols.sh" "$tree/library.so" "$tree/include" "${1:-libhyperderp.so.0}"
}
fresh_tree
accepts "symbols: a correct library" check_symbols
refuses "symbols: another soname" 'soname' check_symbols libhyperderp.so.1
fresh_tree
echo '__attribute__((visibility("default"))) int hyperderp_stray(void) { return 0; }' >>"$tree/library.c"
refuses "symbols: a function in no header" 'exports hyperderp_stray, which no' check_symbols
fresh_tree
echo 'HYPERDERP_API int hyperderp_three(void);' >>"$tree/include/hyperderp/key.h"
refuses "symbols: a declared function that is missing" 'does not export hyperderp_three' check_symbols
fresh_tree
echo '__attribute__((visibility("default"))) int stray(void) { return 0; }' >>"$tree/library.c"
sed -i 's/hyperderp_\*;/*;/; /local:/,/\*;/d' "$tree/libhyperderp.map"
refuses "symbols: another name" 'exports stray: only' check_symbols

# Memory that an allocator of the program's would not see.
allocation_fault() {
    fresh_tree
    echo "$1" >>"$tree/lib/relay/conn.c"
    refuses "allocations: $1" '^lib/relay/conn.c:[0-9]+: takes or gives' "$here/allocations.sh" "$tree"
}
fresh_tree
mkdir "$tree/lib/memory"
echo 'void *memory_alloc(unsigned long n) { return malloc(n); }' >"$tree/lib/memory/memory.c"
cat >"$tree/lib/relay/conn.c" <<'EOT'
/* free(x) is not called, nor is
 * malloc(x) */
const char *text = "free(x)"; /* free(x) */ void (*f)(void *) = conn_free;
void conn_free(struct pool *pool) { pool->free(pool); memory_free(pool); pool->free--; } // free(pool)
EOT
accepts "allocations: a correct tree" "$here/allocations.sh" "$tree"
allocation_fault 'void *a = malloc(3);'
allocation_fault 'int b(void) { free(c); }'
allocation_fault 'char *d = /* a copy */ strdup("e");'
allocation_fault 'list_destroy(&f, free);'
allocation_fault 'x = (struct g){.h = calloc(1, 2)};'

# The last release had these; programs were built against them.
abi_limits='unsigned first; unsigned second; unsigned char last;'
abi_two='int hyperderp_two(const hyperderp_key *key, hyperderp_engine engine) { return key && engine; }'
# abi_library LIMITS ENGINES NUMBER KEY DECLARATION INNER TWO: with another text in place of one that is
# not empty.
abi_library() {
    local limits=${1:-$abi_limits} engines=${2:-HYPERDERP_ENGINE_EPOLL = 1}
    local number=${3:-int number} key=${4:-unsigned char bytes[32];} inner=${6:-inner} two=${7:-$abi_two}
    cat >"$tree/include/hyperderp/key.h" <<EOT
#include <stddef.h>
#define HYPERDERP_API __attribute__((visibility("default")))
typedef enum hyperderp_engine { HYPERDERP_ENGINE_AUTO = 0, $engines } hyperderp_engine;
typedef struct hyperderp_key { $key } hyperderp_key;
typedef struct hyperderp_limits { size_t size; $limits } hyperderp_limits;
typedef struct hyperderp_relay hyperderp_relay;
HYPERDERP_API int hyperderp_one(hyperderp_relay *relay, const hyperderp_limits *limits, $number);
HYPERDERP_API int hyperderp_two(const hyperderp_key *key, hyperderp_engine engine);
${5-}
EOT
    cat >"$tree/library.c" <<EOT
#include <hyperderp/key.h>
struct hyperderp_relay { int $inner; };
int hyperderp_one(hyperderp_relay *relay, const hyperderp_limits *limits, $number)
{
    return relay && limits && (long)number ? relay->$inner : 0;
}
$two
EOT
    # shellcheck disable=SC2086
    $CC -g -shared -fPIC -fvisibility=hidden -I"$tree/include" -Wl,-soname,libhyperderp.so.0 \
        -Wl,--version-script="$tree/libhyperderp.map" -o "$tree/library.so" "$tree/library.c"
}
abi_check() {
    "$here/abi.sh" "$tree/library.so" "$tree/include" "$tree/baseline.abi"
}
# same NAME ARGUMENTS...  /  differs NAME PATTERN ARGUMENTS...: of abi_library().
same() {
    local name=$1
    shift
    abi_library "$@" || exit 1
    accepts "abi: $name" abi_check
}
differs() {
    local name=$1 pattern=$2
    shift 2
    abi_library "$@" || exit 1
    refuses "abi: $name" "$pattern" abi_check
}
fresh_tree
if command -v abidw >/dev/null; then
    abi_library
    "$here/abi.sh" --write "$tree/library.so" "$tree/baseline.abi" >/dev/null || exit 1
    same "nothing changed"
    same "a further function" '' '' '' '' 'HYPERDERP_API int hyperderp_three(void);' '' \
        "$abi_two int hyperderp_three(void) { return 3; }"
    same "a struct of a known size has grown at its end" "$abi_limits size_t third;"
    same "it has grown twice" "$abi_limits size_t third; const char *fourth; struct { int sixth; } fifth;"
    same "a further value of an enum" '' 'HYPERDERP_ENGINE_EPOLL = 1, HYPERDERP_ENGINE_OTHER = 2'
    same "what is inside of an opaque type" '' '' '' '' '' 'renamed'
    differs "a function is gone" 'hyperderp_two' '' '' '' '' '' '' ' '
    for end in '' ' size_t third;'; do
        more=${end:+, and one more at the end}
        differs "a member is gone$more" 'second' "unsigned first; unsigned char last;$end"
        differs "members in another order$more" 'first' "unsigned second; unsigned first; unsigned char last;$end"
        differs "a member in the midst$more" 'between' "unsigned first; unsigned between; unsigned second; unsigned char last;$end"
        differs "another type of a member$more" 'first' "int *first; unsigned second; unsigned char last;$end"
        differs "another type of the same size$more" 'first' "float first; unsigned second; unsigned char last;$end"
        differs "a shorter type of a member$more" 'first' "unsigned char first; unsigned second; unsigned char last;$end"
        differs "a member in the padding$more" 'in_padding is at byte 20' "$abi_limits unsigned in_padding;$end"
    done
    differs "another value of an enum" 'HYPERDERP_ENGINE_EPOLL' '' 'HYPERDERP_ENGINE_OTHER = 1, HYPERDERP_ENGINE_EPOLL = 2'
    differs "an argument of another type" 'hyperderp_one' '' '' 'const char *number'
    differs "a further argument" 'hyperderp_one' '' '' 'int number, int more'
    differs "a struct without a size has grown" 'hyperderp_key' '' '' '' 'unsigned char bytes[32]; unsigned char more;'
else
    echo "skip - abi: abidiff is not installed; ./bootstrap --ci installs it"
fi

# The words are in pieces here, as words.sh reads this file too.
word_fault() {
    fresh_tree
    echo "$1" >"$tree/notes.md"
    refuses "words: $2" '^(\./)?notes.md:1:' "$here/words.sh" "$tree"
}
fresh_tree
printf 'mktemp /tmp/XXXX''XX\nhttps://example.org/wo''rk/list, net''work/, methTO''DOS\n' >"$tree/notes.md"
accepts "words: a correct tree" "$here/words.sh" "$tree"
word_fault "/* TO""DO: later */" "something to do"
word_fault "# FIX""ME" "something to mend"
word_fault "XX""X: why?" "something to think about"
word_fault "see /wo""rk/main/notes" "a path of one machine"
word_fault "(cd '/wo""rk/main')" "a path of one machine, quoted"

fresh_tree
accepts "format: a correct tree" "$here/format.sh" "$tree"
echo 'int  x( void ){return 1;}' >"$tree/lib/wire/frame.c"
refuses "format: a file of another style" '1 files are not formatted.*lib/wire/frame.c' "$here/format.sh" "$tree"

# page LINE...: what embedding.sh is given, which compiles it against the real headers.
page() {
    fresh_tree
    printf '%s\n' "$@" >"$tree/page.md"
}
page 'See `hyperderp_relay_new()`.' '```c functions' 'static void end(void)' '{' \
    '    hyperderp_relay_free(relay);' '}' '```' '```c statements' 'end();' '```'
accepts "embedding: a correct page" "$here/embedding.sh" "$tree/page.md"
page 'See `hyperderp_relay_absent()`.'
refuses "embedding: a name that is in no header" 'page.md:1: hyperderp_relay_absent' \
    "$here/embedding.sh" "$tree/page.md"
page '' '```c statements' 'hyperderp_relay_free(relay, 0);' '```'
refuses "embedding: code that does not compile" 'page.md:3:' "$here/embedding.sh" "$tree/page.md"
page '' '```c run' 'int main(void)' '{' '    return 3;' '}' '```'
refuses "embedding: a program that fails" 'not ok - .*page.md:3: c' "$here/embedding.sh" "$tree/page.md"
page '' '```' 'hyperderp_relay_free(relay);' '```'
refuses "embedding: code that says nothing of itself" 'page.md:3: a block' "$here/embedding.sh" "$tree/page.md"

# The runner that counts for all of them.
runner() {
    local results=$tree/results
    "$root/tests/run-tests" --results "$results" start
    "$root/tests/run-tests" --results "$results" --timeout 2 run self "program:$tree/program"
    "$root/tests/run-tests" --results "$results" sum
}
program() {
    fresh_tree
    printf '#!/bin/sh\n%s\n' "$1" >"$tree/program"
    chmod +x "$tree/program"
}
# counts NAME CLOSING_LINE: what the runner says of $tree/program, and that it fails when it must.
counts() {
    local output status
    output=$(runner 2>&1)
    status=$?
    if [ "$(tail -n 1 <<<"$output")" = "$2" ] &&
        { [[ $2 == *" 0 failed"* ]] && [ "$status" = 0 ] || [[ $2 != *" 0 failed"* && $status != 0 ]]; }; then
        echo "ok - run-tests: $1"
    else
        sed 's/^/    /' <<<"exit status $status, expected '$2'"$'\n'"$output"
        echo "not ok - run-tests: $1"
        failed=1
    fi
}
program 'echo fine'
counts "a program without cases" "1 passed, 0 failed, 0 skipped"
program 'echo "ok - a"; echo "skip - b: no IPv6"; echo "ok - c"'
counts "cases" "2 passed, 0 failed, 1 skipped"
program 'echo "ok - a"; echo "not ok - b"'
counts "a failed case, though the exit status is 0" "1 passed, 1 failed, 0 skipped"
program 'echo "ok - a"; exit 3'
counts "an exit status" "1 passed, 1 failed, 0 skipped"
program 'echo "ok - a"; kill -SEGV $$'
counts "a crash" "1 passed, 1 failed, 0 skipped"
program 'sleep 60'
counts "a program that hangs" "0 passed, 1 failed, 0 skipped"
program 'echo "no compiler"; exit 77'
counts "a skipped program" "0 passed, 0 failed, 1 skipped"
program 'printf "[==========] Running 2 test(s).\n[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n"
printf "[  FAILED  ] b\n[==========] 2 test(s) run.\n[  PASSED  ] 1 test(s).\n"
printf "[  FAILED  ] 1 test(s), listed below:\n[  FAILED  ] b\n"; exit 1'
counts "cases of cmocka" "1 passed, 1 failed, 0 skipped"
program 'printf -- "--- PASS: A (0.1s)\n    --- PASS: A/b (0.1s)\n--- FAIL: C (0.1s)\n"; exit 1'
counts "cases of go test" "1 passed, 1 failed, 0 skipped"
fresh_tree
counts "a program that is not there" "0 passed, 1 failed, 0 skipped"

exit "$failed"
