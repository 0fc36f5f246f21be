/*
 * memory.h - the memory-limited mode: what does not fit is refused before it is asked for.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BASE_MEMORY_H
#define RBE_BASE_MEMORY_H

#include <stddef.h>

#include "base/status.h"

/* Whether `more` bytes for `what` fit under `limit` bytes of address space (0: no limit)
 * beside what this process has mapped already; RBE_ERR_LIMIT names all of them. */
enum rbe_status rbe_memory_check(const char *what, size_t more, size_t limit,
                                 struct rbe_diag *d);

/* RLIMIT_AS of this process; 0 when there is none. */
size_t rbe_memory_limit(void);

/*
 * Bytes of memory that the control groups of this process leave it: the least memory.max (or
 * memory.limit_in_bytes) on the way up from its group; 0: no limit.  `groups` and `root` as
 * rbe_cgroup_least() takes them (base/cgroup.h).
 */
double rbe_memory_quota_of(const char *groups, const char *root);
double rbe_memory_quota(void);  /* of this process, read once */

/* Whether `bytes` for `what`, all that is planned, fit that quota; RBE_ERR_LIMIT names both.
 * More would run, but drop and read the model's pages again and again. */
enum rbe_status rbe_memory_check_quota(const char *what, size_t bytes, struct rbe_diag *d);

#endif
