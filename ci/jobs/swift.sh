#!/usr/bin/env bash
# swift.sh - the Swift package: its C target and module map by clang; all of it where swift is
#
# SPDX-License-Identifier: MIT
#
#   ARCHIVES=FOLDER ci/jobs/swift.sh    jansson's and xxHash's sources out of a folder
#
# The C target is compiled as SwiftPM does, each source with the same flags, and a program over
# its module map must give the answer that the Makefile's library gives.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
command -v clang > /dev/null || { echo 'SKIP no clang'; exit 77; }
out=$BUILDROOT/swift package=deploy/swift
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL $*"; exit 1; }

$package/prepare.sh "${ARCHIVES:-}" > "$work/log" 2>&1 ||
    { tail -n 3 "$work/log"; fail 'prepare.sh'; }
tail -n 1 "$work/log"
c=$package/Sources/CRBE
flags=(-std=c11 -O2 -fPIC -DRBE_NO_OPENSSL -D_GNU_SOURCE -DHAVE_STDINT_H -I"$c/include" -I"$c/tree"
       -I"$c/config" -I"$c/third-party/jansson/src" -I"$c/third-party/xxhash")
mkdir -p "$out"
one() { clang "${@:2}" -w -c -o "$0/$(basename "$1" .c).o" "$1" || exit 255; }
export -f one
printf '%s\0' "$c"/made/*.c |
    xargs -0 -P "$(nproc)" -I{} bash -c "$(declare -f one); one \"\$@\"" "$out" {} "${flags[@]}" ||
    fail 'the C target does not compile'
# The module map, as Swift's importer reads it: only its headers, under their module's name.
cat > "$work/ask.c" << 'END'
#pragma clang module import CRBE
#include <stdio.h>

int main(int argc, char **argv)
{
    struct rbe_edge_config how = rbe_edge_config_board();
    struct rbe_diag d = {""};
    struct rbe_chat *c;

    how.threads = 1;
    if (argc < 4 || rbe_init(&d) || rbe_chat_open(&c, argv[1], argv[2], &how, &d) ||
        rbe_chat_say(c, argv[3], NULL, NULL, &d)) {
        fprintf(stderr, "%s\n", d.text);
        return 1;
    }
    puts(rbe_chat_answer(c));
    rbe_chat_close(&c);
    return 0;
}
END
clang -fmodules -fmodules-cache-path="$work/modules" -fmodule-map-file="$c/include/module.modulemap" \
    -Werror -std=c11 -I"$c/include" -o "$work/ask" "$work/ask.c" "$out"/*.o -lm -ldl -pthread ||
    fail 'the module map'
# The same over the Makefile's library.
sed 's/^#pragma clang.*/#include <rbe\/chat.h>/' "$work/ask.c" > "$work/plain.c"
make -s libraries || fail 'the library'
"${CC:-gcc}" -Iinclude -o "$work/plain" "$work/plain.c" \
    "$BUILDROOT/$(${CC:-gcc} -dumpmachine | cut -d- -f1)-release/lib/librbe.a" -ljansson -lxxhash -ldl -lm \
    -pthread || fail 'a program with the library'
models=datasets/embedded
for question in 'Who was the king?' 'Where does the river rise?'; do
    for program in ask plain; do
        "$work/$program" $models/mini-2.89-tuned.rbe $models/rbe-mini "$question" > "$work/$program.text" ||
            fail "$program: '$question'"
    done
    cmp -s "$work/ask.text" "$work/plain.text" || fail "another answer to '$question'"
done
if command -v swift > /dev/null; then
    (cd $package && RBE_MODELS=$PWD/../../$models swift test --scratch-path "$work/swift") || fail 'swift test'
    echo 'the Swift package passes its tests; its C target gives the same answers'
else
    echo 'the C target gives the same answers; SKIP swift: the package itself was not compiled'
fi
