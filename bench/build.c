/*
 * build.c - compiler and flags.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench/build.h"

#ifndef RBE_BUILD_FLAGS
#error "the Makefile defines RBE_BUILD_FLAGS"
#endif

const char *rbe_build_compiler(void)
{
#ifdef __clang__
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}

const char *rbe_build_flags(void)
{
    return RBE_BUILD_FLAGS;
}
