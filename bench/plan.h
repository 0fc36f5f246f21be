/*
 * plan.h - which cases a run registers: a default set worth a few minutes, or what the
 * options ask for.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BENCH_PLAN_H
#define RBE_BENCH_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "bench/suite.h"

/* Seconds a product of the default set may last. */
#define RBE_BENCH_SLOWEST 0.5

enum { RBE_LIST_MAX = 64 };

struct rbe_list {
    unsigned count;
    uint32_t v[RBE_LIST_MAX];
};

struct rbe_shape {
    uint32_t rows, cols;
};

enum { RBE_PLAN_KERNELS = 256 };

/* A list that is empty was not given: then the default set applies. */
struct rbe_selection {
    bool kernel[RBE_PLAN_KERNELS]; /* by rbe_kernel_at() */
    bool kernels_given; /* --kernels, --formats or --isa */
    unsigned shapes_count;
    struct rbe_shape shapes[RBE_LIST_MAX];
    struct rbe_list blocks, threads, vectors;
    bool cold, hot; /* both false: not given */
    bool product, model, prepare, probe, dense, search, attention;
    bool full; /* what is not given takes all its values, not those of the default set */
    /* Seconds a product may last to be registered; 0: no limit; negative: half a second in
     * the default set, none where rows are asked for. */
    double slowest;
};

/* Texts of the options; NULL: not given.  isa: what this CPU runs; max_threads: pinned CPUs. */
struct rbe_selection_texts {
    const char *kernels, *formats, *isa, *shapes, *blocks, *threads, *vectors, *cache, *kinds;
};

/* Sets all but s->full and s->slowest.  RBE_ERR_ARG: a name that is not known, with the valid
 * ones. */
enum rbe_status rbe_selection_parse(struct rbe_selection *s,
                                    const struct rbe_selection_texts *t, uint32_t isa,
                                    unsigned max_threads, struct rbe_diag *d);

/* Whether the run needs a team of t threads, of at most `cpus`: those asked for, or 1, 2, 4,
 * ... and all; 1 always, as what speed-ups refer to. */
bool rbe_plan_uses(const struct rbe_selection *s, unsigned cpus, unsigned t);

/* Registers them, on the teams that are open.  *left_out counts the products that take longer
 * than the limit; without one nothing is timed here. */
enum rbe_status rbe_plan(struct rbe_suite *suite, const struct rbe_selection *s, uint32_t isa,
                         unsigned *left_out, struct rbe_diag *d);

/* The K that makes a block of B 11 : 1; 0 for formats without K. */
uint32_t rbe_plan_aux(enum rbe_format f, uint32_t block);

#endif
