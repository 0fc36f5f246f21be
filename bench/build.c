/*
 * build.c - compiler, flags, and the state of the tree.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench/build.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

json_t *rbe_build_dirty(void)
{
    char path[PATH_MAX], line[8];
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

    if (n <= 0)
        return json_null();
    path[n] = 0;
    *strrchr(path, '/') = 0;
    /* By the environment: a path needs no quotes there. */
    if (setenv("RBE_BENCH_FOLDER", path, 1))
        return json_null();
    FILE *f = popen("git --no-optional-locks -C \"$RBE_BENCH_FOLDER\" status --porcelain "
                    "--untracked-files=no 2> /dev/null",
                    "r");
    if (!f)
        return json_null();
    const bool dirty = fgets(line, sizeof line, f) != NULL;
    while (fgets(line, sizeof line, f))
        ;
    return pclose(f) ? json_null() : json_boolean(dirty);
}
