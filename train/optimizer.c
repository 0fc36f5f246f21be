/*
 * optimizer.c - AdamW and Muon over spans.
 *
 * SPDX-License-Identifier: MIT
 *
 * AdamW goes over fixed blocks of a span, shared out to the pool: no sum crosses elements.
 * Muon takes one matrix after the other and cuts its products by rows.
 */
#include "train/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/vector.h"
#include "model/dense.h"

/* The norm's partial sums are of this many values, whatever the number of threads. */
enum { BLOCK = 65536, NEWTON_STEPS = 5 };

struct span {
    struct rbe_optimizer_span s;
    size_t count, at;           /* values; where its state starts */
    size_t block;               /* index of its first block */
};

struct rbe_optimizer {
    struct rbe_optimizer_options options;
    struct rbe_pool *pool;
    const struct rbe_vector *v;
    struct span *spans;
    uint64_t *steps;            /* [spans] */
    size_t count, floats, blocks;
    float *state;               /* [floats] */
    float *x, *next;            /* Muon: [largest matrix] each */
    float *gram, *gram2;        /* Muon: [smaller side]^2 each */
    double *partial;            /* [blocks] */

    /* The step being made. */
    float rate, gradient;
    struct span *matrix;        /* Muon: the span in hand, and what is done to it */
    bool wide;                  /* x is [rows][cols] with rows <= cols, else turned */
    size_t small, large;
};

enum rbe_status rbe_optimizer_named(enum rbe_optimizer_kind *k, const char *name,
                                    struct rbe_diag *d)
{
    *k = RBE_ADAMW;
    if (!strcmp(name, "adamw"))
        return RBE_OK;
    if (!strcmp(name, "muon")) {
        *k = RBE_MUON;
        return RBE_OK;
    }
    return rbe_fail(d, RBE_ERR_ARG, "unknown optimiser '%s'; valid: adamw, muon", name);
}

const char *rbe_optimizer_name(enum rbe_optimizer_kind k)
{
    return k == RBE_MUON ? "muon" : "adamw";
}

/* --- memory ------------------------------------------------------------------------------- */

struct sizes {
    size_t floats, blocks, matrix, gram;
};

static size_t smaller(const struct rbe_optimizer_span *s)
{
    return s->rows < s->cols ? s->rows : s->cols;
}

/* A first moment, and AdamW's second. */
static size_t state_floats(const struct rbe_optimizer_span *s)
{
    return (s->kind == RBE_MUON ? 1 : 2) * s->rows * s->cols;
}

static struct sizes sizes_of(const struct rbe_optimizer_span *spans, size_t count)
{
    struct sizes z = {0};

    for (size_t i = 0; i < count; i++) {
        const struct rbe_optimizer_span *s = &spans[i];
        const size_t n = s->rows * s->cols, small = smaller(s);
        z.blocks += (n + BLOCK - 1) / BLOCK;
        z.floats += state_floats(s);
        if (s->kind == RBE_MUON) {
            z.matrix = n > z.matrix ? n : z.matrix;
            z.gram = small * small > z.gram ? small * small : z.gram;
        }
    }
    return z;
}

size_t rbe_optimizer_bytes(const struct rbe_optimizer_span *spans, size_t count)
{
    const struct sizes z = sizes_of(spans, count);

    return sizeof(struct rbe_optimizer) + count * (sizeof(struct span) + sizeof(uint64_t)) +
           z.blocks * sizeof(double) + (z.floats + 2 * z.matrix + 2 * z.gram) * sizeof(float);
}

/* calloc() that answers no bytes with memory, too. */
static void *zeroed(size_t n, size_t size)
{
    return calloc(n ? n : 1, size);
}

static enum rbe_status check_options(struct rbe_optimizer_options *o, struct rbe_diag *d)
{
    o->beta1 = o->beta1 == 0 ? 0.9F : o->beta1;
    o->beta2 = o->beta2 == 0 ? 0.95F : o->beta2;
    o->eps = o->eps == 0 ? 1e-8F : o->eps;
    o->momentum = o->momentum == 0 ? 0.95F : o->momentum;
    if (!(o->beta1 > 0 && o->beta1 < 1 && o->beta2 > 0 && o->beta2 < 1 && o->eps > 0 &&
          o->momentum > 0 && o->momentum < 1 && o->decay >= 0))
        return rbe_fail(d, RBE_ERR_ARG, "optimiser: beta1 %g, beta2 %g, eps %g, momentum %g, "
                        "decay %g: one is out of its range", (double)o->beta1,
                        (double)o->beta2, (double)o->eps, (double)o->momentum,
                        (double)o->decay);
    return RBE_OK;
}

enum rbe_status rbe_optimizer_open(struct rbe_optimizer **out,
                                   const struct rbe_optimizer_span *spans, size_t count,
                                   struct rbe_optimizer_options options, struct rbe_pool *pool,
                                   struct rbe_diag *d)
{
    const struct sizes z = sizes_of(spans, count);
    size_t at = 0, block = 0;

    *out = NULL;
    enum rbe_status err = check_options(&options, d);
    if (err)
        return err;
    for (size_t i = 0; i < count; i++)
        if (spans[i].kind == RBE_MUON && smaller(&spans[i]) < 2)
            return rbe_fail(d, RBE_ERR_ARG, "optimiser: span %zu is %zu x %zu, muon needs a "
                            "matrix", i, spans[i].rows, spans[i].cols);
    struct rbe_optimizer *o = calloc(1, sizeof *o);
    if (!o || !(o->spans = zeroed(count, sizeof *o->spans)) ||
        !(o->steps = zeroed(count, sizeof *o->steps)) ||
        !(o->partial = zeroed(z.blocks, sizeof *o->partial)) ||
        !(o->state = zeroed(z.floats, sizeof *o->state)) ||
        !(o->x = zeroed(z.matrix, sizeof *o->x)) ||
        !(o->next = zeroed(z.matrix, sizeof *o->next)) ||
        !(o->gram = zeroed(z.gram, sizeof *o->gram)) ||
        !(o->gram2 = zeroed(z.gram, sizeof *o->gram2))) {
        rbe_optimizer_close(&o);
        return rbe_fail(d, RBE_ERR_NOMEM, "the optimiser needs %zu MB of memory",
                        rbe_optimizer_bytes(spans, count) >> 20);
    }
    o->options = options;
    o->pool = pool;
    o->v = rbe_vector_best(rbe_cpu_isa());
    o->count = count;
    o->floats = z.floats;
    o->blocks = z.blocks;
    for (size_t i = 0; i < count; i++) {
        struct span *s = &o->spans[i];
        *s = (struct span){.s = spans[i], .count = spans[i].rows * spans[i].cols, .at = at,
                           .block = block};
        at += state_floats(&spans[i]);
        block += (s->count + BLOCK - 1) / BLOCK;
    }
    *out = o;
    return RBE_OK;
}

void rbe_optimizer_close(struct rbe_optimizer **po)
{
    struct rbe_optimizer *o = *po;

    if (!o)
        return;
    free(o->spans);
    free(o->steps);
    free(o->partial);
    free(o->state);
    free(o->x);
    free(o->next);
    free(o->gram);
    free(o->gram2);
    free(o);
    *po = NULL;
}

void rbe_optimizer_set(struct rbe_optimizer *o, size_t i, float rate, float decay)
{
    o->spans[i].s.rate = rate;
    o->spans[i].s.decay = decay;
}

void rbe_optimizer_forget(struct rbe_optimizer *o, size_t i)
{
    const struct span *s = &o->spans[i];

    memset(o->state + s->at, 0, state_floats(&s->s) * sizeof *o->state);
    o->steps[i] = 0;
}

float *rbe_optimizer_state(struct rbe_optimizer *o, size_t *floats)
{
    *floats = o->floats;
    return o->state;
}

uint64_t *rbe_optimizer_steps(struct rbe_optimizer *o, size_t *spans)
{
    *spans = o->count;
    return o->steps;
}

/* --- the norm ----------------------------------------------------------------------------- */

/* Calls fn for thread i's share of the moved spans' blocks. */
typedef void block_fn(struct rbe_optimizer *o, struct span *s, size_t first, size_t count,
                      size_t block);

static void each_block(struct rbe_optimizer *o, unsigned i, unsigned n, block_fn *fn)
{
    size_t b0, b1;

    rbe_split(o->blocks, 1, i, n, &b0, &b1);
    for (size_t k = 0; k < o->count; k++) {
        struct span *s = &o->spans[k];
        const size_t blocks = (s->count + BLOCK - 1) / BLOCK;
        if (s->s.rate == 0)
            continue;
        for (size_t b = 0; b < blocks; b++)
            if (s->block + b >= b0 && s->block + b < b1) {
                const size_t left = s->count - b * BLOCK;
                fn(o, s, b * BLOCK, left < BLOCK ? left : BLOCK, s->block + b);
            }
    }
}

static void square_block(struct rbe_optimizer *o, struct span *s, size_t first, size_t count,
                         size_t block)
{
    o->partial[block] = o->v->squares(s->s.gradient + first, count);
}

static void run_squares(void *arg, unsigned i, unsigned n)
{
    each_block(arg, i, n, square_block);
}

static double norm(struct rbe_optimizer *o)
{
    double sum = 0;

    memset(o->partial, 0, o->blocks * sizeof *o->partial);
    rbe_pool_run(o->pool, run_squares, o);
    for (size_t b = 0; b < o->blocks; b++)
        sum += o->partial[b];
    return sqrt(sum);
}

/* --- AdamW -------------------------------------------------------------------------------- */

static void adam_block(struct rbe_optimizer *o, struct span *s, size_t first, size_t count,
                       size_t block)
{
    const struct rbe_optimizer_options *p = &o->options;
    const double steps = (double)o->steps[s - o->spans];
    const double rate = (double)o->rate * (double)s->s.rate;

    (void)block;
    if (s->s.kind != RBE_ADAMW)
        return;
    const struct rbe_vector_adam c = {
        .gradient = o->gradient, .b1 = p->beta1, .b2 = p->beta2,
        .keep = (float)(1 - rate * (double)p->decay * (double)s->s.decay),
        .step = (float)(rate / (1 - pow((double)p->beta1, steps))),
        .root = (float)(1 / sqrt(1 - pow((double)p->beta2, steps))), .eps = p->eps};
    float *m = o->state + s->at + first;
    o->v->adam(s->s.param + first, m, m + s->count, s->s.gradient + first, count, &c);
}

static void run_adam(void *arg, unsigned i, unsigned n)
{
    each_block(arg, i, n, adam_block);
}

/* --- Muon --------------------------------------------------------------------------------- */

static void run_momentum(void *arg, unsigned i, unsigned n)
{
    struct rbe_optimizer *o = arg;
    const struct span *s = o->matrix;
    size_t a, b;

    rbe_split(s->count, 16, i, n, &a, &b);
    o->v->momentum(o->x + a, o->state + s->at + a, s->s.gradient + a, b - a,
                   o->options.momentum, o->gradient);
}

/* x x^T or x^T x, whichever is smaller. */
static void run_gram(void *arg, unsigned i, unsigned n)
{
    struct rbe_optimizer *o = arg;
    const size_t cols = o->matrix->s.cols;
    size_t a, b;

    rbe_split(o->small, 16, i, n, &a, &b);
    if (o->wide)
        rbe_sgemm(false, true, b - a, o->small, o->large, 1, o->x + a * cols, cols, o->x, cols,
                  0, o->gram + a * o->small, o->small);
    else
        rbe_sgemm(true, false, b - a, o->small, o->large, 1, o->x + a, cols, o->x, cols, 0,
                  o->gram + a * o->small, o->small);
}

/* The quintic x <- A x + (B g + C g^2) x of Jordan and others, g the Gram matrix: it drives
 * all singular values from (0, 1] to about 0.7..1.2 in five steps. */
#define NEWTON_A 3.4445F
#define NEWTON_B -4.7750F
#define NEWTON_C 2.0315F

static void run_polynomial(void *arg, unsigned i, unsigned n)
{
    struct rbe_optimizer *o = arg;
    const size_t m = o->small;
    size_t a, b;

    rbe_split(m, 16, i, n, &a, &b);
    memcpy(o->gram2 + a * m, o->gram + a * m, (b - a) * m * sizeof *o->gram);
    rbe_sgemm(false, false, b - a, m, m, NEWTON_C, o->gram + a * m, m, o->gram, m, NEWTON_B,
              o->gram2 + a * m, m);
}

static void run_next(void *arg, unsigned i, unsigned n)
{
    struct rbe_optimizer *o = arg;
    const size_t rows = o->matrix->s.rows, cols = o->matrix->s.cols;
    size_t a, b;

    rbe_split(rows, 16, i, n, &a, &b);
    memcpy(o->next + a * cols, o->x + a * cols, (b - a) * cols * sizeof *o->x);
    if (o->wide)
        rbe_sgemm(false, false, b - a, cols, rows, 1, o->gram2 + a * rows, rows, o->x, cols,
                  NEWTON_A, o->next + a * cols, cols);
    else
        rbe_sgemm(false, false, b - a, cols, cols, 1, o->x + a * cols, cols, o->gram2, cols,
                  NEWTON_A, o->next + a * cols, cols);
}

static void muon(struct rbe_optimizer *o, struct span *s)
{
    const size_t rows = s->s.rows, cols = s->s.cols;
    const double rate = (double)o->rate * (double)s->s.rate;

    o->matrix = s;
    o->wide = rows <= cols;
    o->small = o->wide ? rows : cols;
    o->large = o->wide ? cols : rows;
    rbe_pool_run(o->pool, run_momentum, o);
    /* The Frobenius norm bounds the largest singular value; a zero gradient stays zero. */
    const float scale = (float)(1 / (sqrt(o->v->squares(o->x, s->count)) + 1e-20));
    o->v->blend(o->x, o->x, s->count, scale, 0);
    for (int k = 0; k < NEWTON_STEPS; k++) {
        rbe_pool_run(o->pool, run_gram, o);
        rbe_pool_run(o->pool, run_polynomial, o);
        rbe_pool_run(o->pool, run_next, o);
        float *swap = o->x;
        o->x = o->next;
        o->next = swap;
    }
    o->v->blend(s->s.param, o->x, s->count,
                (float)(1 - rate * (double)o->options.decay * (double)s->s.decay),
                (float)(-0.2 * rate * sqrt((double)o->large)));
}

enum rbe_status rbe_optimizer_step(struct rbe_optimizer *o, float rate, float max_norm,
                                   double *norm_out, struct rbe_diag *d)
{
    *norm_out = norm(o);
    if (!isfinite(*norm_out))
        return rbe_fail(d, RBE_ERR_NUMERIC, "the gradients' norm is not finite");
    o->rate = rate;
    o->gradient = max_norm > 0 && *norm_out > (double)max_norm
                      ? (float)((double)max_norm / *norm_out) : 1;
    for (size_t i = 0; i < o->count; i++)
        o->steps[i] += o->spans[i].s.rate != 0;
    rbe_pool_run(o->pool, run_adam, o);
    for (size_t i = 0; i < o->count; i++)
        if (o->spans[i].s.kind == RBE_MUON && o->spans[i].s.rate != 0)
            muon(o, &o->spans[i]);
    return RBE_OK;
}
