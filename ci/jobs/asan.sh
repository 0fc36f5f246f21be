#!/usr/bin/env bash
# asan.sh - every test under AddressSanitizer and LeakSanitizer
#
# SPDX-License-Identifier: MIT
set -eu
cd "$(dirname "$0")/../.."
make -j"$(nproc)" CONFIG=asan programs tests
make CONFIG=asan check
