/*
 * memory.c - address space in use, and its limit.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cgroup.h"

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

static double quota_at(const char *root, const char *group)
{
    char line[128];

    if (!rbe_cgroup_line(line, sizeof line, root, group, "memory.max") &&
        !rbe_cgroup_line(line, sizeof line, root, group, "memory.limit_in_bytes"))
        return 0;
    /* "max" of version 2; version 1 has a number near 2^63 for no limit. */
    const double bytes = strtod(line, NULL);
    return bytes < 0x1p62 ? bytes : 0;
}

double rbe_memory_quota_of(const char *groups, const char *root)
{
    return rbe_cgroup_least(groups, root, "memory", quota_at);
}

double rbe_memory_quota(void)
{
    static double known = -1;

    if (known < 0)
        known = rbe_cgroup_own("memory", quota_at);
    return known;
}

enum rbe_status rbe_memory_check_quota(const char *what, size_t bytes, struct rbe_diag *d)
{
    const double quota = rbe_memory_quota();

    if (!(quota > 0) || (double)bytes <= quota)
        return RBE_OK;
    return rbe_fail(d, RBE_ERR_LIMIT, "%s: needs %.1f MB: more than the %.1f MB of the control "
                    "group", what, (double)bytes / 1e6, quota / 1e6);
}
