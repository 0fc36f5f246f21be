#!/usr/bin/env bash
# install.sh - make install, the shared library, manual pages
#
# SPDX-License-Identifier: MIT
#
# Everything goes into temporary folders; the programs are then run from a folder that has
# nothing to do with the source.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
bad=0 checks=0

# check WHAT COMMAND...: its output is shown when it fails.
check() {
    local what=$1
    shift
    checks=$((checks + 1))
    "$@" > "$work/out" 2>&1 && return
    echo "FAIL $what"
    tail -n 8 "$work/out"
    bad=1
}
none() { [ -z "$1" ] || { echo "$1"; return 1; }; }

make -s -j"$(nproc)" install DESTDIR="$work/image" PREFIX=/opt/rbe || exit 1
at=$work/image/opt/rbe
bin=$at/bin

# --- programs, from elsewhere -------------------------------------------------------------
mkdir "$work/elsewhere"
unset RBE_DATA RBE_PROFILES RBE_BIN
elsewhere() { (cd "$work/elsewhere" && env PATH="$bin:/usr/bin:/bin" "$@"); }
check 'rbe info' elsewhere rbe info
check 'rbe-serve' elsewhere rbe-serve -q
check 'rbe generate' elsewhere rbe generate --tokens 4 --prompt 'The city'
check 'rbe-run generate' elsewhere rbe-run generate --tokens 4 --prompt 'The city'
check 'rbe convert' elsewhere rbe convert "$at/share/rbe-bench/rbe-mini" m.rbe --codec int8 -q
check 'rbe convert by profile' elsewhere rbe convert "$at/share/rbe-bench/rbe-mini" x.rbe \
    --profile seed-b44 --plan
check 'rbe eval' elsewhere rbe eval perplexity --model m.rbe --windows 1 --context 32 -q \
    --out results/p.jsonl
check 'rbe fetch' elsewhere rbe fetch --list
check 'rbe report' elsewhere rbe report results
check 'rbe report draws' test -s "$work/elsewhere/results/report/index.html"
check 'rbe-bench' elsewhere rbe-bench --quiet --kernels 'gemv_int8_*' --shapes 768x768 \
    --kinds product --threads 1 --min-time 0.001 --probe-time 0.001 --set-limit 8 \
    --tsv bench.tsv
check 'rbe-bench-plots' elsewhere test -x "$bin/rbe-bench-plots"
check 'rbe-measure --help' elsewhere rbe-measure --help
check 'no trace of the source tree in scripts' none "$(grep -rlI "$PWD" "$at" | head)"

# --- manual pages ---------------------------------------------------------------------------
pages=0
for page in "$at"/share/man/man1/*.1; do
    pages=$((pages + 1))
    check "$page: man --warnings" none "$(LC_ALL=C.UTF-8 MANWIDTH=80 \
        man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 > /dev/null)"
    if command -v mandoc > /dev/null; then
        check "$page: mandoc" mandoc -Tlint -Wwarning "$page"
    fi
done
for c in rbe rbe-run rbe-serve rbe-bench rbe-measure rbe-bench-plots \
    $(sed -n 's/^\(COMMAND\|GROUP\)(\([a-z]*\), ".*/rbe-\2/p' cli/commands.def) \
    $(sed -n 's/^EVALUATION(\([a-z]*\), ".*/rbe-eval-\1/p' cli/commands.def); do
    check "a page for $c" test -s "$at/share/man/man1/$c.1"
done
# Every long option that --help shows stands in the page.
for c in convert report 'eval perplexity'; do
    page=$at/share/man/man1/rbe-${c// /-}.1
    # shellcheck disable=SC2086
    for o in $("$bin/rbe" $c --help | grep -oE '^ +(-., )?--[a-z-]+' | grep -oE -- '--[a-z-]+'); do
        check "$page has $o" grep -qF -- "${o//-/\\-}" "$page"
    done
done

# --- completion -----------------------------------------------------------------------------
for p in rbe rbe-run rbe-serve rbe-bench; do
    check "completion of $p" grep -q "^complete -F .* $p\>" "$at/share/bash-completion/completions/$p"
    check "completion of $p for zsh" grep -q "^#compdef .*$p\>" -r "$at/share/zsh/site-functions"
done

# --- the library ----------------------------------------------------------------------------
so=$at/lib/librbe.so
exported=$(nm -D --defined-only "$so" | awk '{ print $3 }')
check 'only rbe_ names are exported' none "$(grep -v -e '^rbe_' -e '^RBE_2' <<< "$exported")"
check 'every name has the version' none "$(grep '^rbe_' <<< "$exported" | grep -v '@@RBE_2$')"
check 'enough is exported' test "$(wc -l <<< "$exported")" -gt 30
mkdir -p "$BUILDROOT/ci"
grep '^rbe_' <<< "$exported" | sed 's/@.*//' | LC_ALL=C sort > "$BUILDROOT/ci/librbe.symbols"
gone=$(LC_ALL=C comm -23 ci/librbe.symbols "$BUILDROOT/ci/librbe.symbols")
check 'no name is gone from the library (else raise SOVERSION and shorten ci/librbe.symbols)' \
    none "$gone"
come=$(LC_ALL=C comm -13 ci/librbe.symbols "$BUILDROOT/ci/librbe.symbols")
# A new name breaks no program.
[ -z "$come" ] || echo "new names, for which to cp $BUILDROOT/ci/librbe.symbols ci/:" $come
check 'soname' grep -q 'SONAME.*librbe\.so\.2' <(readelf -d "$so")
export PKG_CONFIG_PATH=$at/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$work/image
flags=$(pkg-config --cflags librbe) || bad=1
for h in $(cd "$at/include" && find . -name '*.h'); do
    echo "#include <${h#./}>" > "$work/h.c"
    # shellcheck disable=SC2086
    check "$h compiles alone" gcc -std=c11 -Wall -Werror $flags -fsyntax-only "$work/h.c"
done
cp ci/consumer.c "$work/consumer.c"
model=$at/share/rbe-bench/rbe-mini
# shellcheck disable=SC2046,SC2086
check 'a program with the shared library' gcc -std=c11 -Wall -Werror $flags -o "$work/shared" \
    "$work/consumer.c" $(pkg-config --libs librbe)
check 'it runs' env LD_LIBRARY_PATH="$at/lib" "$work/shared" "$model"
# As pkg-config says it, nothing taken out; and the library's archive alone, the rest shared.
# shellcheck disable=SC2046,SC2086
check 'a program linked statically' gcc -std=c11 -Wall -Werror -static $flags -o "$work/static" \
    "$work/consumer.c" $(pkg-config --libs --static librbe)
check 'it runs' "$work/static" "$model"
check 'it needs no library at all' none "$(readelf -d "$work/static" | grep NEEDED)"
# shellcheck disable=SC2046,SC2086
check 'a program with the static library' gcc -std=c11 -Wall -Werror $flags -o "$work/archive" \
    "$work/consumer.c" -Wl,-Bstatic $(pkg-config --libs-only-L --libs-only-l librbe) \
    -Wl,-Bdynamic $(pkg-config --libs --static librbe | sed 's/-lrbe//')
check 'it runs' "$work/archive" "$model"
check 'it needs no librbe.so' none "$(ldd "$work/archive" | grep librbe)"

echo "$checks checks, $pages manual pages, $(wc -l <<< "$exported") exported names"
exit $bad
