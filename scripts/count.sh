#!/usr/bin/env bash
# count.sh CPU PROGRAM [ARGUMENT...] - how many instructions a static aarch64 program executes
#
# SPDX-License-Identifier: MIT
#
# The program runs under QEMU's user emulator, as on CPU (qemu-aarch64 -cpu help lists them), with
# the plugin deploy/edge/count.c; what it prints goes to standard error.  Without an emulator that
# takes plugins this says what is missing and exits 77.  Only programs of one thread are counted.
set -eu
above=$(cd "$(dirname "$0")/.." && pwd)
[ $# -ge 2 ] || { echo 'usage: count.sh CPU PROGRAM [ARGUMENT...]' >&2; exit 2; }
cpu=$1
shift
emulator=$(command -v qemu-aarch64) || { echo 'qemu-aarch64 is not installed'; exit 77; }
"$emulator" -h 2>&1 | grep -q '^-plugin ' || { echo 'qemu-aarch64 was built without plugins'; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${CC:-gcc}" -std=c11 -O2 -shared -fPIC -o "$work/libcount.so" "$above/deploy/edge/count.c"
"$emulator" -cpu "$cpu" -d plugin -D "$work/said" -plugin "$work/libcount.so" "$@" >&2 ||
    { rc=$? && echo "count.sh: $1 ended with $rc under the emulator" >&2 && exit $rc; }
read -r _ count _ threads < <(grep '^instructions [0-9]* threads [0-9]*$' "$work/said") ||
    { echo "count.sh: the plugin said nothing" >&2; exit 1; }
[ "$threads" = 1 ] || { echo "count.sh: $threads threads, which are not counted" >&2; exit 1; }
echo "$count"
