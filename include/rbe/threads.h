/*
 * <rbe/threads.h> - a pool of worker threads.
 *
 * SPDX-License-Identifier: MIT
 *
 * Workers spin for a while before they sleep.  A pool serves one call at a time: two sessions
 * that run at once need one each.  NULL is good wherever a pool is asked for: the calling
 * thread alone.
 */
#ifndef RBE_INCLUDE_THREADS_H
#define RBE_INCLUDE_THREADS_H

#include <rbe/status.h>

struct rbe_pool;

/* A pool of `threads` in all, the caller included; 0 means one for each CPU this process can
 * use.  With 1, no thread is made. */
enum rbe_status rbe_pool_open(struct rbe_pool **out, unsigned threads, struct rbe_diag *d);
void rbe_pool_close(struct rbe_pool **p);

/* 1 of NULL. */
unsigned rbe_pool_threads(const struct rbe_pool *p);

#endif
