#!/usr/bin/env bash
# asan.sh - every test under AddressSanitizer and LeakSanitizer
#
# SPDX-License-Identifier: MIT
set -eu
cd "$(dirname "$0")/../.."
make -j"$(nproc)" CONFIG=asan programs tests
# The values of options, which popt allocates, live as long as the program does.
supp=$(mktemp)
trap 'rm -f "$supp"' EXIT
printf 'leak:%s\n' poptGetNextOpt poptSaveString > "$supp"
export LSAN_OPTIONS=suppressions=$supp:print_suppressions=0
# Sizes that no machine has are asked for on purpose.
export ASAN_OPTIONS=allocator_may_return_null=1
make CONFIG=asan check
