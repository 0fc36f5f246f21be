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

#include "bench/suite.h"
#include "rbe/status.h"

enum { RBE_LIST_MAX = 64 };

struct rbe_list {
    unsigned count;
    uint32_t v[RBE_LIST_MAX];
};

struct rbe_shape {
    uint32_t rows, cols;
};

/* A list that is empty was not given: then the default set applies. */
struct rbe_selection {
    bool kernel[256];   /* by index in the registry */
    bool kernels_given; /* --kernels, --formats or --isa */
    unsigned shapes_count;
    struct rbe_shape shapes[RBE_LIST_MAX];
    struct rbe_list blocks, threads, vectors;
    bool cold, hot; /* both false: not given */
    bool product, model, prepare, probe, dense;
    double slowest; /* seconds a product may last to be in the default set */
};

/* Texts of the options; NULL: not given.  isa: what this CPU runs; max_threads: pinned CPUs. */
struct rbe_selection_texts {
    const char *kernels, *formats, *isa, *shapes, *blocks, *threads, *vectors, *cache, *kinds;
};

/* RBE_ERR_ARG: a name that is not known, with the valid ones. */
enum rbe_status rbe_selection_parse(struct rbe_selection *s,
                                    const struct rbe_selection_texts *t, uint32_t isa,
                                    unsigned max_threads, struct rbe_diag *d);

/* Registers them.  *left_out counts cases of the default set that are slower than
 * s->slowest. */
enum rbe_status rbe_plan(struct rbe_suite *suite, const struct rbe_selection *s, uint32_t isa,
                         unsigned *left_out, struct rbe_diag *d);

/* Block and aux a format is measured at when none is asked for: that of 45 MB for GPT-2 small
 * (11 : 1) where the format can choose. */
void rbe_plan_default(enum rbe_format f, uint32_t *block, uint32_t *aux);

#endif
