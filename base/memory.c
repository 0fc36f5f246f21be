/*
 * memory.c - address space in use, and its limit.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/memory.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static size_t address_space(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;

    if (f && fscanf(f, "%lu", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

size_t rbe_memory_limit(void)
{
    struct rlimit r;

    return getrlimit(RLIMIT_AS, &r) || r.rlim_cur == RLIM_INFINITY ? 0 : (size_t)r.rlim_cur;
}

enum rbe_status rbe_memory_check(const char *what, size_t more, size_t limit,
                                 struct rbe_diag *d)
{
    const size_t now = limit ? address_space() : 0;

    if (!limit || now + more <= limit)
        return RBE_OK;
    return rbe_fail(d, RBE_ERR_LIMIT, "%s needs %.1f MB besides the %.1f MB in use, %.1f MB in "
                    "all: more than the limit of %.1f MB", what, (double)more / 1e6,
                    (double)now / 1e6, (double)(now + more) / 1e6, (double)limit / 1e6);
}
