/*
 * half.c - sums of x x^T by products of whole stripes.
 *
 * SPDX-License-Identifier: MIT
 */
#include "convert/half.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/bf16.h"
#include "model/dense.h"

enum { STRIPE = RBE_HALF_STRIPE, STEP = RBE_BF16_STEP };

struct rbe_half {
    struct rbe_pool *pool;
    const struct rbe_bf16 *bf16;        /* NULL: f32 */
    uint16_t *rows, *panels;            /* both factors of x^T x */
    size_t ld;                          /* of rows */
};

/* --- half a square ------------------------------------------------------------------------ */

/* Where the stripe from row `at` on begins; with at = n where all end. */
static size_t stripe_at(size_t n, size_t at)
{
    const size_t above = at / STRIPE, rest = at % STRIPE;

    return above * STRIPE * n - STRIPE * STRIPE * (above * (above - 1) / 2) +
           rest * (n - above * STRIPE);
}

static size_t rows_of_stripe(size_t n, size_t at)
{
    return n - at < STRIPE ? n - at : STRIPE;
}

size_t rbe_half_floats(size_t n)
{
    return stripe_at(n, n);
}

size_t rbe_half_diagonal(size_t n, size_t i)
{
    const size_t at = i / STRIPE * STRIPE;

    return stripe_at(n, at) + (i - at) * (n - at) + i - at;
}

void rbe_half_unfold(float *to, const float *half, size_t n, float factor)
{
    for (size_t at = 0; at < n; at += STRIPE) {
        const size_t rows = rows_of_stripe(n, at);
        const float *from = half + stripe_at(n, at);

        /* Within a stripe column by column: what is written below the diagonal is one run. */
        for (size_t k = at; k < n; k++)
            for (size_t i = at; i < at + rows && i <= k; i++)
                to[i * n + k] = to[k * n + i] = from[(i - at) * (n - at) + k - at] * factor;
    }
}

/* --- adding ------------------------------------------------------------------------------- */

/* Numbers of the rounded copies.  Rows have a gap, so that they do not all lie in the same
 * lines of the cache. */
static size_t row_of(size_t most)
{
    return rbe_bf16_padded(most) + STEP;
}

static size_t rows_size(size_t widest, size_t most)
{
    return rbe_bf16_padded(widest) * row_of(most);
}

size_t rbe_half_bytes(bool bf16, size_t widest, size_t most)
{
    return sizeof(struct rbe_half) +
           (bf16 ? (rows_size(widest, most) + rbe_bf16_packed(most, widest)) * sizeof(uint16_t)
                 : 0);
}

enum rbe_status rbe_half_open(struct rbe_half **out, bool bf16, size_t widest, size_t most,
                              struct rbe_pool *pool, struct rbe_diag *d)
{
    struct rbe_half *h;

    *out = NULL;
    if (bf16 && !rbe_bf16_best())
        return rbe_fail(d, RBE_ERR_ARG, "this CPU has no bf16 products");
    if (!(h = calloc(1, sizeof *h)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    h->pool = pool;
    h->bf16 = bf16 ? rbe_bf16_best() : NULL;
    h->ld = row_of(most);
    const size_t rows = rows_size(widest, most) * sizeof *h->rows;
    if (bf16 && (!(h->rows = aligned_alloc(64, rows)) ||
                 !(h->panels = aligned_alloc(64, rbe_bf16_packed(most, widest) *
                                                     sizeof *h->panels)))) {
        rbe_half_close(&h);
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    }
    /* Rows up to a multiple of the step are multiplied, used or not. */
    if (bf16)
        memset(h->rows, 0, rows);
    *out = h;
    return RBE_OK;
}

void rbe_half_close(struct rbe_half **ph)
{
    struct rbe_half *h = *ph;

    if (!h)
        return;
    free(h->rows);
    free(h->panels);
    free(h);
    *ph = NULL;
}

/* One call of rbe_half_add(). */
struct sum {
    const struct rbe_half *h;
    const float *x;
    size_t ldx, count, n;
    float *half;
    struct rbe_taken taken;
};

/* Thread i's columns of x, rounded. */
static void round_part(void *arg, unsigned i, unsigned n)
{
    const struct sum *s = arg;
    const struct rbe_half *h = s->h;
    size_t a, b;

    rbe_split(s->n, STEP, i, n, &a, &b);
    if (a == b)
        return;
    h->bf16->rows(h->rows + a * h->ld, h->ld, s->x + a, s->ldx, true, b - a, s->count, 1);
    h->bf16->panels(h->panels, s->x, s->ldx, false, s->count, s->n, a / STEP,
                    rbe_bf16_padded(b) / STEP);
}

/* Rows first..last from column `first` on, in a stripe that starts at `at`. */
static void add_rounded(const struct sum *s, size_t at, size_t first, size_t last)
{
    const struct rbe_half *h = s->h;
    const size_t k = rbe_bf16_padded(s->count), ld = s->n - at;
    float *to = s->half + stripe_at(s->n, at) + (first - at) * ld + first - at;

    h->bf16->product(last - first, s->n - first, k, h->rows + first * h->ld, h->ld,
                     h->panels + first * k, STEP * k, true, to, ld);
}

static void add_stripe(const struct sum *s, size_t at)
{
    const size_t n = s->n, rows = rows_of_stripe(n, at);

    if (!s->h->bf16) {
        rbe_sgemm(true, false, rows, n - at, s->count, 1, s->x + at, s->ldx, s->x + at, s->ldx,
                  1, s->half + stripe_at(n, at), n - at);
        return;
    }
    for (size_t i = 0; i < rows; i += STEP)
        add_rounded(s, at, at + i, at + (rows - i < STEP ? rows : i + STEP));
}

/* Whoever comes takes the next stripes: early ones are longer. */
static void add_part(void *arg, unsigned i, unsigned n)
{
    struct sum *s = arg;
    const size_t stripes = (s->n + STRIPE - 1) / STRIPE;
    size_t a, b;

    while (rbe_take(&s->taken, stripes, i, n, &a, &b))
        for (; a < b; a++)
            add_stripe(s, a * STRIPE);
}

void rbe_half_add(struct rbe_half *h, float *half, size_t n, const float *x, size_t ldx,
                  size_t count)
{
    struct sum s = {.h = h, .x = x, .ldx = ldx, .count = count, .n = n, .half = half};

    if (!count)
        return;
    if (h->bf16)
        rbe_pool_run(h->pool, round_part, &s);
    rbe_pool_share(h->pool, add_part, &s);
}
