/*
 * case_search.c - the search for seeds, by one version of its step.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "base/rows.h"
#include "bench/case.h"
#include "kernels/cpu.h"
#include "kernels/format/seed.h"
#include "rbe/seed_search.h"

struct search {
    struct rbe_case base;
    struct rbe_search_case of;
    struct rbe_seed_search *run, *scalar;
    float *target;   /* [rows] */
    uint16_t *words; /* of a column */
};

static enum rbe_status make(struct rbe_case *base, struct rbe_diag *d)
{
    struct search *x = (struct search *)base;
    const struct rbe_search_case *s = &x->of;
    const size_t words = 8 * rbe_seed_strips(s->rows, s->block);
    const float sigma = rbe_seed_sigma(s->format) / 1.1F;
    uint32_t random = 1;

    x->target = malloc(s->rows * sizeof *x->target);
    x->words = malloc(words * sizeof *x->words);
    if (!x->target || !x->words)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    /* The sum of twelve uniform numbers is near enough to Gaussian. */
    for (size_t r = 0; r < s->rows; r++) {
        float sum = -6;
        for (int i = 0; i < 12; i++) {
            random = random * 1664525 + 1013904223;
            sum += (float)(random >> 8) * 0x1p-24F;
        }
        x->target[r] = sigma * sum;
    }
    const enum rbe_status err =
        rbe_seed_search_open(&x->run, s->format, s->block, s->bits, s->ops, d);
    return err ? err : rbe_seed_search_open(&x->scalar, s->format, s->block, s->bits,
                                            rbe_trellis_at(0), d);
}

/* One column, joint and all, into words. */
static void search_column(const struct search *x, struct rbe_seed_search *with)
{
    const size_t rows = x->of.rows;
    const uint16_t joint = rbe_seed_search_join(with, x->target, NULL, rows, 0);
    const struct rbe_seed_span span = {
        .target = x->target,
        .count = rows,
        .end = 16 * rbe_seed_column_words(rows, x->of.block),
        .start = joint,
        .tail = joint,
    };

    rbe_seed_search_run(with, &span, x->words);
}

static void one_search(struct rbe_case *base)
{
    const struct search *x = (const struct search *)base;

    search_column(x, x->run);
}

/* Costs are integers: every version finds the words that the scalar one finds. */
static enum rbe_status verify(struct rbe_case *base, struct rbe_diag *d)
{
    struct search *x = (struct search *)base;
    const size_t words = rbe_seed_column_words(x->of.rows, x->of.block);
    uint16_t *want = malloc(words * sizeof *want);
    enum rbe_status err = RBE_OK;

    if (!want)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    search_column(x, x->scalar);
    memcpy(want, x->words, words * sizeof *want);
    search_column(x, x->run);
    if (memcmp(want, x->words, words * sizeof *want))
        err = rbe_fail(d, RBE_ERR_NUMERIC, "other words than the scalar search");
    free(want);
    rbe_seed_search_close(&x->scalar);
    return err;
}

static void report(const struct rbe_case *c, struct rbe_gbench_state *g, double per)
{
    const struct rbe_search_case *of = &((const struct search *)c)->of;

    (void)per;
    rbe_gbench_counter(g, RBE_KEY(block), of->block);
    rbe_gbench_counter(g, RBE_KEY(window), of->bits);
    rbe_gbench_counter(g, RBE_KEY(rows), (double)of->rows);
}

static void close_search(struct rbe_case *base)
{
    struct search *x = (struct search *)base;

    rbe_seed_search_close(&x->run);
    rbe_seed_search_close(&x->scalar);
    free(x->target);
    free(x->words);
}

static const struct rbe_case_kind kind = {
    .name = "search", .size = sizeof(struct search), .make = make, .verify = verify,
    .iterate = one_search, .report = report, .close = close_search};

enum rbe_status rbe_suite_search(struct rbe_suite *s, const struct rbe_search_case *p,
                                 struct rbe_diag *d)
{
    const char *format = rbe_format_name(p->format);
    struct rbe_case *c;
    const enum rbe_status err = rbe_case_new(&c, s, &kind, 1, d);

    if (err)
        return err;
    ((struct search *)c)->of = *p;
    c->weights = (double)p->rows;
    c->isa = p->ops->isa;
    rbe_case_name(c, "search_%s_%s/L:%u/B:%u/t:1", format, p->ops->name, p->bits, p->block);
    rbe_case_facts(c, "search", format, p->ops->name,
                   p->ops == rbe_trellis_best(rbe_cpu_isa()));
    return rbe_case_register(c, d);
}
