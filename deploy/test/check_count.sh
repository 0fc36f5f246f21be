#!/usr/bin/env bash
# check_count.sh - instructions under the emulator: a loop of known length, and what is refused
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
here=$(cd "$(dirname "$0")/../.." && pwd)
count=$here/scripts/count.sh cc=aarch64-linux-gnu-gcc

# What an emulator says decides, not that it ran.
mkdir "$work/bin"
said='instructions 5 threads 1'
fake() {
    cat > "$work/bin/qemu-aarch64" << END
#!/bin/sh
[ "\$1" != -h ] || { echo '$1 FILE'; exit 0; }
echo '$said' > "\$6"
exit ${2:-0}
END
    chmod +x "$work/bin/qemu-aarch64"
}
faked() { PATH=$work/bin:$PATH "$count" max program > "$work/out" 2> "$work/err"; }
fake -plugin
faked
check 'it prints the number' test "$?:$(cat "$work/out")" = 0:5
fake -other
faked
check 'an emulator without plugins: skipped, with the reason' test "$?:$(cat "$work/out")" = \
    '77:qemu-aarch64 was built without plugins'
fake -plugin 3
faked
check 'a program that fails is not counted' test "$?:$(cat "$work/out")" = 3:
said='instructions 5 threads 2'
fake -plugin
faked
check 'nor one of two threads' test "$?:$(cat "$work/out")" = 1:
check 'which is said' grep -q '2 threads' "$work/err"
said='instructions many threads 1'
fake -plugin
faked
check 'nor by a plugin that says no number' test "$?:$(cat "$work/out")" = 1:
"$count" max 2> "$work/err"
check 'usage' test "$?:$(cat "$work/err")" = '2:usage: count.sh CPU PROGRAM [ARGUMENT...]'

if ! command -v $cc > /dev/null || ! command -v qemu-aarch64 > /dev/null; then
    echo 'SKIP no cross compiler or no emulator: nothing was counted'
    finish
    exit
fi
# 1 + 2 N + 2 instructions, N = 2^16 * $1.
loop() {
    $cc -nostdlib -static -x assembler -o "$work/loop" - << END
.global _start
_start: movz x0, #$1, lsl #16
again:  subs x0, x0, #1
        b.ne again
        mov x8, #93
        svc #0
END
}
for n in 1 30; do
    loop $n
    check "a loop of 65536 x $n turns" test "$("$count" cortex-a72 "$work/loop")" = $((131072 * n + 3))
done
# A plugin that counts blocks for instructions: the test above would not have passed.
mkdir -p "$work/broken/scripts" "$work/broken/deploy/edge"
cp "$count" "$work/broken/scripts"
sed 's/qemu_plugin_tb_n_insns(tb));/1);/' "$here/deploy/edge/count.c" > "$work/broken/deploy/edge/count.c"
check 'a plugin that counts blocks is another' test \
    "$("$work/broken/scripts/count.sh" cortex-a72 "$work/loop")" -lt $((131072 * 29))
finish
