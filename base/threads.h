/*
 * threads.h - a pool of worker threads that spin for a while before they sleep.
 *
 * SPDX-License-Identifier: MIT
 *
 * A token needs some fifty short parallel regions, and waking a sleeping thread costs tens
 * of microseconds in a virtual machine (evaluation.md 6): workers spin first.
 */
#ifndef RBE_BASE_THREADS_H
#define RBE_BASE_THREADS_H

#include <rbe/threads.h>
#include <stddef.h>

#include "base/status.h"

/*
 * Runs fn(arg, i, n) once for each i in 0..n-1, n = rbe_pool_threads(), i = 0 on the caller;
 * returns when all are done.  Everything a worker wrote is visible to the caller then.
 * Not re-entrant.  p may be NULL: fn(arg, 0, 1).
 */
typedef void rbe_pool_fn(void *arg, unsigned i, unsigned n);
void rbe_pool_run(struct rbe_pool *p, rbe_pool_fn *fn, void *arg);

/* Part i of n of [0, total), cut at multiples of step; the parts are disjoint and cover it. */
void rbe_split(size_t total, size_t step, unsigned i, unsigned n, size_t *begin, size_t *end);

#endif
