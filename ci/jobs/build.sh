#!/usr/bin/env bash
# build.sh - gcc and clang, release and debug, warnings as errors; a second make is silent
#
# SPDX-License-Identifier: MIT
#
# CI_COMPILERS and CI_CONFIGS narrow it.
set -eu
cd "$(dirname "$0")/../.."
root=${BUILDROOT:-build}
if [ "$(make -npq 2> /dev/null | sed -n 's/^\.DEFAULT_GOAL := //p')" != all ]; then
    echo "FAIL: make alone does not build the programs"
    exit 1
fi
for cc in ${CI_COMPILERS:-gcc clang}; do
    case $cc in
    gcc) cxx=g++ ;;
    *) cxx=$cc++ ;;
    esac
    for config in ${CI_CONFIGS:-release debug}; do
        echo "== $cc $config"
        args=(CC="$cc" CXX="$cxx" CONFIG="$config" BUILDROOT="$root/ci/build-$cc"
              CFLAGS=-Werror CXXFLAGS=-Werror)
        make -j"$(nproc)" "${args[@]}" programs tests
        again=$(make "${args[@]}" programs tests)
        if [ -n "$again" ]; then
            echo "FAIL: the second make is not silent: $again"
            exit 1
        fi
    done
done
echo "built, no warnings, second make silent"
