/*
 * cpus.c - how many CPUs this process can really use.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/cpus.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#ifndef __linux__
#include <unistd.h>
#endif

#include "base/cgroup.h"

unsigned rbe_cpus_allowed(void)
{
#ifdef __linux__
    cpu_set_t set;
    const int n = sched_getaffinity(0, sizeof set, &set) ? 0 : CPU_COUNT(&set);
#else
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
#endif

    return n > 0 ? (unsigned)n : 1;
}

/* The quota of one group, 0 when it has none. */
static double quota_at(const char *root, const char *group)
{
    char line[128];
    double quota, period;

    /* Version 2: "200000 100000", or "max 100000"; version 1: two files, -1 for no limit. */
    if (rbe_cgroup_line(line, sizeof line, root, group, "cpu.max")) {
        if (sscanf(line, "%lf %lf", &quota, &period) != 2)
            return 0;
    } else {
        if (!rbe_cgroup_line(line, sizeof line, root, group, "cpu.cfs_quota_us"))
            return 0;
        quota = atof(line);
        if (!rbe_cgroup_line(line, sizeof line, root, group, "cpu.cfs_period_us"))
            return 0;
        period = atof(line);
    }
    return quota > 0 && period > 0 ? quota / period : 0;
}

double rbe_cpu_quota_of(const char *groups, const char *root)
{
    return rbe_cgroup_least(groups, root, "cpu", quota_at);
}

double rbe_cpu_quota(void)
{
    static double known = -1;

    if (known < 0)
        known = rbe_cgroup_own("cpu", quota_at);
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
