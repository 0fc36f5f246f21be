/*
 * turns.h - two programs measured in turns, round by round, until every metric is judged.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_GATE_TURNS_H
#define RBE_GATE_TURNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "gate/gate.h"

enum { RBE_TURNS_METRICS = 24 };

struct rbe_turns_options {
    const char *base, *fresh;   /* command lines of the workers (ci/gate_worker.c) */
    double threshold;           /* of every timed metric, 0.03 */
    double floor_ms;            /* and a slow-down by less than this is none, 0 */
    double budget_s;            /* no round starts after this */
    double patience_s;          /* a worker that takes longer for an answer has failed */
    double sample_ms;           /* one sample of one metric lasts about this long */
    double quantile;            /* of the units' times: the sample's time */
    unsigned blocks;            /* A B B A blocks of each metric in a round */
    unsigned rounds;            /* take exactly so many rounds; 0: until decided */
    bool pin;                   /* both on one CPU, another one in the next round */
    uint64_t seed;              /* draws who begins */
};

struct rbe_turns_metric {
    char name[32];
    bool exact;                 /* memory: a number a round, judged by its median */
    unsigned long count;        /* units in a sample */
    double *x, *base, *fresh;   /* [rounds]: log ratio; the sides' medians, ns (bytes) */
    size_t rounds, room;
    struct rbe_gate_figure figure;
    double base_value, fresh_value; /* medians over rounds */
};

struct rbe_turns {
    struct rbe_turns_metric metric[RBE_TURNS_METRICS];
    size_t count;
    unsigned rounds;
    double seconds;
    bool base_failed;           /* rbe_turns_run() failed, in the worker of the base */
};

/* Metrics by name, with commas; "memory" is known to be exact. */
enum rbe_status rbe_turns_init(struct rbe_turns *t, const char *metrics, struct rbe_diag *d);
void rbe_turns_free(struct rbe_turns *t);

/*
 * Measures.  record (may be NULL) is called after each round of a metric that was measured in
 * it, with the round's number and how long the whole round lasted.
 */
typedef enum rbe_status rbe_turns_record_fn(void *arg, const struct rbe_turns_metric *m,
                                            unsigned round, double seconds, struct rbe_diag *d);
enum rbe_status rbe_turns_run(struct rbe_turns *t, const struct rbe_turns_options *o,
                              rbe_turns_record_fn *record, void *arg, struct rbe_diag *d);

#endif
