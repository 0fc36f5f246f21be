#!/usr/bin/env bash
# leak.sh - no AVX register in code for every CPU, no global name but rbe_.
#
# SPDX-License-Identifier: MIT
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
arch=$(${CC:-gcc} -dumpmachine)
arch=${arch%%-*}
b=$BUILDROOT/$arch-release
make -s "$b/librbe.a" || exit 1

# A file whose last word has flags in the Makefile may use what they allow.
isas=$(sed -n 's|^$(B)/%_\([a-z0-9]*\)\.o: *ISA.*|\1|p' Makefile | tr '\n' ' ')
[ -n "$isas" ] || { echo 'FAIL no flags of ISAs in the Makefile'; exit 1; }
read -r -a rooms < <(sed -n 's/^ROOMS *:= //p' Makefile)
bad=0 seen=0
while read -r o; do
    seen=$((seen + 1))
    word=${o##*_}
    case " $isas " in
    *" ${word%.o} "*) ;;
    *)
        if [ "$arch" = x86_64 ] && objdump -d "$b/$o" | grep -m 1 -E '%(ymm|zmm)'; then
            echo "FAIL $o: AVX registers in an object that every CPU runs"
            bad=1
        fi
        ;;
    esac
    # SSE4.1 files may not use AVX encodings either.
    case $o in
    *_sse41.o)
        if objdump -d "$b/$o" | grep -m 1 -E '%(ymm|zmm)|[[:space:]]v(mov|add|mul|sub)[a-z]*[[:space:]]'; then
            echo "FAIL $o: AVX instructions in an SSE4.1 object"
            bad=1
        fi
        ;;
    esac
done < <(cd "$b" && find kernels "${rooms[@]}" -name '*.o' ! -path '*/test/*' \
    ! -path cli/main.o 2> /dev/null | sort)

# Defined globals of the library.
names=$(nm -g --defined-only "$b/librbe.a" 2> /dev/null | awk 'NF == 3 { print $3 }' | sort -u)
odd=$(grep -v '^rbe_' <<< "$names" | grep -v '^__' || true)
if [ -n "$odd" ]; then
    echo "FAIL global names without rbe_: ${odd//$'\n'/ }"
    bad=1
fi
echo "$seen objects, $(wc -l <<< "$names") global names"
[ $bad = 0 ] && [ $seen -gt 20 ] && [ "$(wc -l <<< "$names")" -gt 20 ]
