#!/usr/bin/env bash
# results.sh - every figure of ci/expected.jsonl: shipped model, allocation, conversion, search
#
# SPDX-License-Identifier: MIT
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
make -s -j"$(nproc)" programs || exit 1
ci/expected.sh --whole
