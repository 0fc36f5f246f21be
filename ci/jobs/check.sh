#!/usr/bin/env bash
# check.sh - every test, release build
#
# SPDX-License-Identifier: MIT
set -eu
cd "$(dirname "$0")/../.."
make -j"$(nproc)" programs tests
make check
