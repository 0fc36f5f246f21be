#!/usr/bin/env bash
# arm.sh MODEL OUT.jsonl - the same perplexity from the aarch64 program and from this machine's.
#
# SPDX-License-Identifier: MIT
#
# On an ARM machine there is nothing to emulate, and this does nothing.  Elsewhere it needs the
# cross compiler, the emulator and the arm64 packages of the libraries; without them it says
# what is missing and exits 77.  The sums of -log p must agree to the last bit (criterion C7).
set -eu
cd "$(dirname "$0")/.."
[ $# = 2 ] || { echo 'usage: arm.sh MODEL OUT.jsonl' >&2; exit 2; }
model=$1 out=$2
cc=aarch64-linux-gnu-gcc
[ "$(uname -m)" != aarch64 ] || exit 0
for tool in $cc qemu-aarch64; do
    command -v "$tool" > /dev/null || { echo "$tool is not installed"; exit 77; }
done
for library in jansson popt pcre2-8 xxhash; do
    [ -e /usr/lib/aarch64-linux-gnu/lib$library.a ] ||
        { echo "lib$library of arm64 is not installed"; exit 77; }
done
# The program of devices: the same code, and a third of it.
arm=${BUILDROOT:-build}/aarch64-release/bin/rbe-run
make -s -j"$(nproc)" CC=$cc "$arm"
args=(eval perplexity --model "$model" --protocol P1 --windows 1 --context 128 --threads 1 --quiet
      --out "$out")
# The dense library sums in an order of its own, which depends on the machine: without it.
RBE_DISABLE_ISA=all rbe "${args[@]}"
# The row must say who ran it: from inside, an emulated machine looks like a real one.
emulator=$(qemu-aarch64 --version | sed -n '1s, (.*,,p')
qemu-aarch64 -L /usr/aarch64-linux-gnu -E RBE_EMULATOR="$emulator" "$arm" "${args[@]}"
