#!/usr/bin/env bash
# ubsan.sh - every test under UndefinedBehaviorSanitizer
#
# SPDX-License-Identifier: MIT
set -eu
cd "$(dirname "$0")/../.."
make -j"$(nproc)" CONFIG=ubsan programs tests
make CONFIG=ubsan check
