/*
 * cpus.c - how many CPUs this process can really use.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/cpus.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned rbe_cpus_allowed(void)
{
    cpu_set_t set;
    const int n = sched_getaffinity(0, sizeof set, &set) ? 0 : CPU_COUNT(&set);

    return n > 0 ? (unsigned)n : 1;
}

/* The first line of root/group/file. */
static bool first_line(char *buf, int size, const char *root, const char *group,
                       const char *file)
{
    char path[4096];

    if (snprintf(path, sizeof path, "%s%s/%s", root, group, file) >= (int)sizeof path)
        return false;
    FILE *f = fopen(path, "r");
    const bool ok = f && fgets(buf, size, f);
    if (f)
        fclose(f);
    return ok;
}

/* The quota of one group, 0 when it has none. */
static double quota_at(const char *root, const char *group)
{
    char line[128];
    double quota, period;

    /* Version 2: "200000 100000", or "max 100000"; version 1: two files, -1 for no limit. */
    if (first_line(line, sizeof line, root, group, "cpu.max")) {
        if (sscanf(line, "%lf %lf", &quota, &period) != 2)
            return 0;
    } else {
        if (!first_line(line, sizeof line, root, group, "cpu.cfs_quota_us"))
            return 0;
        quota = atof(line);
        if (!first_line(line, sizeof line, root, group, "cpu.cfs_period_us"))
            return 0;
        period = atof(line);
    }
    return quota > 0 && period > 0 ? quota / period : 0;
}

/* Is "cpu" among the n bytes of "cpuacct,cpu"? */
static bool has_cpu(const char *list, size_t n)
{
    for (size_t at = 0; at < n;) {
        const char *comma = memchr(list + at, ',', n - at);
        const size_t end = comma ? (size_t)(comma - list) : n;
        if (end - at == 3 && !memcmp(list + at, "cpu", 3))
            return true;
        at = end + 1;
    }
    return false;
}

double rbe_cpu_quota_of(const char *groups, const char *root)
{
    char line[4096], mount[4096];
    double least = 0;
    FILE *f = fopen(groups, "r");

    /* "HIERARCHY:CONTROLLERS:/GROUP"; version 2 names no controllers. */
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *list = strchr(line, ':'), *group = list ? strchr(++list, ':') : NULL;
        if (!group)
            continue;
        const size_t n = (size_t)(group++ - list);
        if (n && !has_cpu(list, n))
            continue;
        if (snprintf(mount, sizeof mount, "%s%s", root, n ? "/cpu" : "") >= (int)sizeof mount)
            continue;
        /* A group that is not seen from in here is limited by those above it. */
        for (;;) {
            char *slash = strrchr(group, '/');
            if (slash && !slash[1])
                *slash = 0;
            const double quota = quota_at(mount, group);
            if (quota > 0 && (!least || quota < least))
                least = quota;
            if (!(slash = strrchr(group, '/')))
                break;
            *slash = 0;
        }
    }
    if (f)
        fclose(f);
    return least;
}

double rbe_cpu_quota(void)
{
    static double known = -1;

    if (known < 0)
        known = rbe_cpu_quota_of("/proc/self/cgroup", "/sys/fs/cgroup");
    return known;
}

unsigned rbe_cpus_usable(void)
{
    const unsigned allowed = rbe_cpus_allowed();
    const double quota = rbe_cpu_quota();

    return quota > 0 && quota < allowed ? quota < 1 ? 1 : (unsigned)quota : allowed;
}

bool rbe_oversubscribed(unsigned threads)
{
    const double quota = rbe_cpu_quota();

    return threads > rbe_cpus_allowed() || (quota > 0 && threads > quota);
}
