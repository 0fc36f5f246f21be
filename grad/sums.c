/*
 * sums.c - gradients of the scales of rows and columns, without those of the matrices.
 *
 * SPDX-License-Identifier: MIT
 *
 * For y = W x the gradient by W is g = sum of dy x^T.  So the sum over columns of g W is that
 * over tokens of dy y, and with W R as it is encoded the sum over rows of (g R) (W R) is that
 * over tokens of (R^T dx) (R^T x), where dx = W^T dy, which is computed anyway.
 */
#include <string.h>

#include "grad/state.h"
#include "rbe/container.h"

float *rbe_sums_at(const struct rbe_grad_slice *s, unsigned i)
{
    return s->sums->sums + i * (s->rows + (size_t)s->sums->parts * s->cols);
}

static unsigned index_of(const struct rbe_pass *p, const struct rbe_grad_worker *w)
{
    return (unsigned)(w - p->t->workers);
}

static bool wanted(const struct rbe_grad_slice *s, bool columns)
{
    return s->sums && !s->frozen && (!columns || s->sums->columns);
}

bool rbe_sums_wanted(const struct rbe_grad_slice *s, bool columns)
{
    const size_t all = s->weight_rows;

    for (size_t row = 0; row < all; row += s->rows, s++)
        if (wanted(s, columns))
            return true;
    return false;
}

void rbe_sums_rows(const struct rbe_pass *p, struct rbe_grad_worker *w,
                   const struct rbe_grad_slice *s, const float *dy, const float *y,
                   const float *before, const float *bias, size_t ld, size_t count)
{
    const struct rbe_grad *t = p->t;
    const size_t all = s->weight_rows;

    for (size_t row = 0; row < all; row += s->rows, s++) {
        if (!wanted(s, false))
            continue;
        float *sum = rbe_sums_at(s, index_of(p, w));
        for (size_t i = 0; i < count; i++) {
            const size_t at = i * ld + row;
            const float *out = y + at;
            if (before || bias) {
                memcpy(w->pair, out, s->rows * sizeof *out);
                if (before)
                    t->v->blend(w->pair, before + at, s->rows, 1, -1);
                if (bias)
                    t->v->blend(w->pair, bias + row, s->rows, 1, -1);
                out = w->pair;
            }
            t->v->multiply_add(sum, dy + at, out, s->rows);
        }
    }
}

/* += the rotated rows a and b, multiplied. */
static void columns(const struct rbe_pass *p, struct rbe_grad_worker *w,
                    const struct rbe_grad_slice *s, size_t part, const float *a, const float *b)
{
    const size_t n = s->cols;
    float *sum = rbe_sums_at(s, index_of(p, w)) + s->rows + part * n;
    float *second = w->pair + n;

    if (s->sums->rotation) {
        memcpy(w->pair, a, n * sizeof *a);
        memcpy(second, b, n * sizeof *b);
        rbe_rotate(w->pair, n, 2, n, s->sums->rotation, s->sums->seed);
        a = w->pair;
        b = second;
    }
    p->t->v->multiply_add(sum, a, b, n);
}

/* to [count][in] = dy [count][ld] times rows first..first + rows of the weight. */
static void back_rows(const struct rbe_pass *p, struct rbe_grad_worker *w,
                      const struct rbe_grad_slice *s, const float *dy, size_t ld, size_t count,
                      size_t first, size_t rows, float *to)
{
    struct rbe_factor by = rbe_grad_weight(p->t, s, false);

    if (first) {
        by.v += first * by.ld;
        by.from = first;
    }
    rbe_product_run(w->product, count, s->cols, rows, 1,
                    (struct rbe_factor){.v = dy + first, .ld = ld}, by, 0, to, s->cols);
}

void rbe_sums_back(const struct rbe_pass *p, struct rbe_grad_worker *w,
                   const struct rbe_grad_slice *s, const float *dy, size_t ld, size_t count,
                   float *dx, const float *x)
{
    const struct rbe_grad_slice *const whole = s;
    const size_t all = s->weight_rows, cols = s->cols;

    if (!rbe_sums_wanted(s, true)) {
        back_rows(p, w, whole, dy, ld, count, 0, all, dx);
        return;
    }
    for (size_t row = 0; row < all; row += s->rows, s++) {
        const size_t parts = wanted(s, true) ? s->sums->parts : 1;
        for (size_t k = 0; k < parts; k++) {
            const size_t begin = parts > 1 ? s->sums->row0[k] : 0;
            const size_t end = k + 1 < parts ? s->sums->row0[k + 1] : s->rows;
            const bool first = row + begin == 0;
            float *to = first ? dx : w->part;
            back_rows(p, w, whole, dy, ld, count, row + begin, end - begin, to);
            for (size_t i = 0; i < count && wanted(s, true); i++)
                columns(p, w, s, k, x + i * cols, to + i * cols);
            if (!first)
                p->t->e->bias_add(dx, to, count * cols);
        }
    }
}

void rbe_sums_looked_up(const struct rbe_pass *p, struct rbe_grad_worker *w,
                        const struct rbe_grad_slice *s, size_t row, const float *dx)
{
    const float *own = p->t->params + s->at + row * s->cols;
    size_t part = 0;

    if (!wanted(s, false))
        return;
    float *sum = rbe_sums_at(s, index_of(p, w)) + row;
    for (size_t c = 0; c < s->cols; c++)
        *sum += dx[c] * own[c];
    if (!s->sums->columns)
        return;
    while (part + 1 < s->sums->parts && s->sums->row0[part + 1] <= row)
        part++;
    columns(p, w, s, part, own, dx);
}
