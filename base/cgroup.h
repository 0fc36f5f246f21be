/*
 * cgroup.h - limits of the control groups that this process is in, of both versions.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BASE_CGROUP_H
#define RBE_BASE_CGROUP_H

#include <stdbool.h>

/* The limit of one group, ROOT/GROUP; 0: none. */
typedef double rbe_cgroup_fn(const char *root, const char *group);

/*
 * The least limit on the way up from this process's group of the controller ("cpu"), 0: none.
 * `groups` and `root` are "/proc/self/cgroup" and "/sys/fs/cgroup", but in tests.
 */
double rbe_cgroup_least(const char *groups, const char *root, const char *controller,
                        rbe_cgroup_fn *at);
/* The same of this process, in fs/cgroup of rbe_sysfs() (base/sensors.h). */
double rbe_cgroup_own(const char *controller, rbe_cgroup_fn *at);

/* The first line of ROOT/GROUP/FILE. */
bool rbe_cgroup_line(char *buf, int size, const char *root, const char *group,
                     const char *file);

#endif
