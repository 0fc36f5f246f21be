/*
 * cpus.h - how many CPUs this process can really use.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BASE_CPUS_H
#define RBE_BASE_CPUS_H

#include <stdbool.h>

/* CPUs in this thread's affinity; 1 where the system does not tell. */
unsigned rbe_cpus_allowed(void);

/*
 * CPUs' worth of time that the control groups of this process give it: the least cpu.max (or
 * cpu.cfs_quota_us) on the way up from its group.  0: no limit.  `groups` and `root` are
 * "/proc/self/cgroup" and "/sys/fs/cgroup", but in tests.
 */
double rbe_cpu_quota_of(const char *groups, const char *root);
double rbe_cpu_quota(void);     /* of this process, read once */

/* Threads that can run at once: of both the less, whole, at least 1. */
unsigned rbe_cpus_usable(void);

/* More threads than CPUs allowed, or than the quota pays for: they wait for each other, and
 * times say nothing of a machine that has them. */
bool rbe_oversubscribed(unsigned threads);

#endif
