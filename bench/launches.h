/*
 * launches.h - the same run in several processes, one after the other, joined.
 *
 * SPDX-License-Identifier: MIT
 *
 * Between launches times differ by more than within one (memory is laid out anew, threads
 * are placed anew), so many short launches say more than many samples of one.
 */
#ifndef RBE_BENCH_LAUNCHES_H
#define RBE_BENCH_LAUNCHES_H

#include <jansson.h>

#include "bench/bench.h"

/*
 * Starts this program o->launches times with o's command line, less what names files, and
 * joins the results: every row gets "launch": 0, 1, ...  *out is NULL if no launch gave a
 * result.  samples: where every launch's samples go, appended; or NULL.
 */
enum rbe_status rbe_launches(json_t **out, const struct rbe_bench_options *o,
                             const char *samples, struct rbe_diag *d);

#endif
