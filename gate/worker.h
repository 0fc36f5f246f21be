/*
 * worker.h - a program that answers a line with a line, over pipes.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_GATE_WORKER_H
#define RBE_GATE_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/status.h"

struct rbe_worker {
    pid_t pid;
    FILE *in;                   /* to it */
    int out;                    /* from it */
    const char *name;           /* for messages; not owned */
    double patience_s;          /* how long an answer may take */
    char *line;                 /* last answer */
    size_t size;
    bool failed;                /* the last call failed; outlives rbe_worker_close() */
};

/* Runs `command` by /bin/sh and waits for its line "ready".  An answer that takes longer than
 * patience_s is RBE_ERR_LIMIT, here and in rbe_worker_ask(). */
enum rbe_status rbe_worker_open(struct rbe_worker *w, const char *name, const char *command,
                                double patience_s, struct rbe_diag *d);
/* Ends it and what it started, by force if need be; harmless on a zeroed struct. */
void rbe_worker_close(struct rbe_worker *w);

/* Sends "WHAT N" and reads `count` numbers, none below 0, from its answer into v; count 0:
 * the answer must be "ok". */
enum rbe_status rbe_worker_ask(struct rbe_worker *w, const char *what, unsigned long n,
                               double *v, size_t count, struct rbe_diag *d);

#endif
