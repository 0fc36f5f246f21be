#!/usr/bin/env bash
# oldcpu.sh - the same binaries on an emulated x86-64 CPU without AVX, then on the first one.
#
# SPDX-License-Identifier: MIT
#
# An instruction that leaked into code for every CPU traps there.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
qemu=$(command -v qemu-x86_64 || command -v qemu-x86_64-static) ||
    { echo "SKIP no qemu-x86_64 (Debian: qemu-user)"; exit 77; }
case $(${CC:-gcc} -dumpmachine) in
x86_64*) ;;
*) echo "SKIP not an x86-64 build"; exit 77 ;;
esac
bin=$BUILDROOT/x86_64-release/kernels/test
make -s "$bin/check_kernels" "$bin/check_cpu" "$bin/check_format" "$bin/check_act" || exit 1

bad=0
# cpu, what it must report
while read -r cpu isa; do
    out=$(RBE_CHECK_EVERY=${RBE_CHECK_EVERY:-25} "$qemu" -cpu "$cpu" "$bin/check_kernels" 2> /dev/null)
    rc=$?
    got=$(sed -n 's/^isa \([^,]*\),.*/\1/p' <<< "$out")
    n=$(grep -c '^ok' <<< "$out")
    if [ $rc != 0 ] || [ "$got" != "$isa" ]; then
        echo "FAIL $cpu: exit $rc, isa '$got', expected '$isa'"
        grep FAIL <<< "$out" | head
        bad=1
    else
        echo "ok   $cpu ($isa): $n kernels"
    fi
    for t in check_cpu check_format check_act; do
        "$qemu" -cpu "$cpu" "$bin/$t" > /dev/null 2>&1 || { echo "FAIL $cpu $t"; bad=1; }
    done
done << 'END'
Nehalem sse41
Conroe scalar
END
exit $bad
