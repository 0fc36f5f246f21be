#!/usr/bin/env bash
# isa.sh - the kernels' tests with features masked one after the other, newest first.
#
# SPDX-License-Identifier: MIT
#
# At every step the set of kernels that say 'ok' must be exactly those of kernels.def whose
# ISA bits are left: a kernel that silently is not run fails the job.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
arch=$(${CC:-gcc} -dumpmachine)
arch=${arch%%-*}
bin=$BUILDROOT/$arch-release/kernels/test

make -s "$bin/check_kernels" "$bin/check_cpu" || exit 1

# NAME BITS for each kernel, from the preprocessor's view of the one list.
list=$(printf '%s\n' '#include "kernels/isa.h"' \
    '#define RBE_KERNEL(op, format, isa) RBE_ON(isa, KERNEL op##_##format##_##isa RBE_BITS(isa))' \
    '#include "kernels/kernels.def"' | ${CC:-gcc} -E -P -I. - | sed 's/KERNEL/\nKERNEL/g' |
    tr -d '|()' | awk '$1 == "KERNEL" { $1 = ""; print }')
[ -n "$list" ] || { echo "FAIL the list of kernels is empty"; exit 1; }

# expected MASK-OF-NAMES: kernels all of whose bits are among the names.
expected() {
    local have=" $1 " name bits b ok
    while read -r name bits; do
        ok=1
        for b in $bits; do
            case $b in
            0) ;;
            *) [[ $have == *" $b "* ]] || ok=0 ;;
            esac
        done
        if [ $ok = 1 ]; then echo "$name"; fi
    done <<< "$list" | sort
}

bits_of() {     # sse41+avx2 -> RBE_ISA_SSE41 RBE_ISA_AVX2
    local s=${1^^}
    s=" ${s//+/ }"
    [ "$1" = scalar ] && return
    echo "${s// / RBE_ISA_}"
}

bad=0 steps=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
# What a kernel computes on every shape, the whole test has shown (make check); here a part shows
# that the right ones run.  Levels side by side.
names=('' vbmi2 vnni avx512 avxvnni avx2 sse41 dotprod neon all)
masks=() mask=
for next in "${names[@]}"; do
    mask=${mask:+$mask,}$next
    masks+=("$mask")
done
level() {   # NUMBER MASK
    RBE_DISABLE_ISA=$2 RBE_CHECK_EVERY=${RBE_CHECK_EVERY:-16} ${EMULATOR:-} "$bin/check_kernels" \
        > "$work/$1.out"
    echo $? > "$work/$1.rc"
}
export -f level
export work bin
for ((i = 0; i < ${#masks[@]}; i++)); do
    # This CPU lacks it: nothing would change.
    isa=$(RBE_DISABLE_ISA=${masks[i]} RBE_CHECK_FORMAT=none ${EMULATOR:-} "$bin/check_kernels" |
        sed -n 's/^isa \([^,]*\),.*/\1/p')
    [ "$isa" != "${last-none}" ] || continue
    last=$isa
    printf '%s\0' "$i" "${masks[i]}"
done | xargs -0 -n 2 -P "$(nproc)" bash -c 'level "$@"' level
for ((i = 0; i < ${#masks[@]}; i++)); do
    [ -s "$work/$i.rc" ] || continue
    rc=$(< "$work/$i.rc")
    isa=$(sed -n 's/^isa \([^,]*\),.*/\1/p' "$work/$i.out")
    steps=$((steps + 1))
    ok=$(sed -n 's/^ok  *\([a-z0-9_]*\) .*/\1/p' "$work/$i.out" | sort)
    want=$(expected "$(bits_of "$isa")")
    if [ "$rc" != 0 ] || [ "$ok" != "$want" ]; then
        echo "FAIL with '${masks[i]}' masked ($isa): exit $rc"
        grep FAIL "$work/$i.out" | head -n 10
        diff <(echo "$want") <(echo "$ok") | sed -n 's/^</not run:/p; s/^>/not expected:/p'
        bad=1
    else
        echo "ok   $isa: $(wc -l <<< "$ok") kernels"
    fi
done
${EMULATOR:-} "$bin/check_cpu" || bad=1
RBE_DISABLE_ISA=avx3 ${EMULATOR:-} "$bin/check_kernels" > /dev/null
[ $? = 2 ] || { echo "FAIL an unknown name in RBE_DISABLE_ISA is not refused"; bad=1; }
# However few shapes are asked for: some for every kernel.
RBE_CHECK_EVERY=100000 RBE_CHECK_FROM=99999 ${EMULATOR:-} "$bin/check_kernels" > "$work/few" ||
    { echo 'FAIL a part of the shapes passes kernels by'; grep -m 5 FAIL "$work/few"; bad=1; }
echo "$steps levels"
[ $bad = 0 ] && [ $steps -ge 2 ]
