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
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/*
 * Runs fn(arg, i, n) once for each i in 0..n-1, n = rbe_pool_threads(), i = 0 on the caller;
 * returns when all are done.  Everything a worker wrote is visible to the caller then.
 * Not re-entrant.  p may be NULL: fn(arg, 0, 1).
 */
typedef void rbe_pool_fn(void *arg, unsigned i, unsigned n);
void rbe_pool_run(struct rbe_pool *p, rbe_pool_fn *fn, void *arg);

/*
 * The same for work that whoever comes takes piece by piece: when fn(arg, 0, n) returns nothing
 * may be left of it.  A worker that has not begun by then does not begin, and is not waited
 * for: fn may run for 0 alone.
 */
void rbe_pool_share(struct rbe_pool *p, rbe_pool_fn *fn, void *arg);

/* What was taken of such work: zeros at first. */
enum { RBE_SHARES = 16 };
struct rbe_taken {
    struct {
        _Alignas(64) atomic_uint pieces;
    } of[RBE_SHARES];
};

/*
 * Takes a piece of [0, total) for thread i of n; false when nothing is left.  A thread has a
 * share of its own, the same for the same total, and then takes from others: one that is
 * slower, or that lost its CPU for a while, is waited for no longer than one piece takes.
 */
bool rbe_take(struct rbe_taken *t, size_t total, unsigned i, unsigned n, size_t *begin,
              size_t *end);

/* Part i of n of [0, total), cut at multiples of step; the parts are disjoint and cover it. */
void rbe_split(size_t total, size_t step, unsigned i, unsigned n, size_t *begin, size_t *end);

#endif
