/*
 * matrix.c - what is common to all formats: sizes, reference decoding, activations.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <string.h>

#include "kernels/f16.h"
#include "kernels/format/format.h"
#include "kernels/kernel.h"

static const struct rbe_format_ops *const formats[RBE_FORMAT_COUNT] = {
    [RBE_F32] = &rbe_format_f32,
    [RBE_SEED] = &rbe_format_seed,
    [RBE_SEED4] = &rbe_format_seed4,
};

struct rbe_matrix_size rbe_matrix_size(enum rbe_format f, uint32_t rows, uint32_t cols,
                                       uint32_t block, uint32_t aux)
{
    if ((unsigned)f >= RBE_FORMAT_COUNT || !formats[f] || !rows || !cols)
        return (struct rbe_matrix_size){0};
    return formats[f]->size(rows, cols, block, aux);
}

size_t rbe_row_step(const struct rbe_matrix *w)
{
    return formats[w->format]->steps_by_block ? w->block : 1;
}

void rbe_decode_row(const struct rbe_matrix *w, size_t r, float *out)
{
    formats[w->format]->decode_row(w, r, out);
}

static size_t padded(size_t cols)
{
    return (cols + 63) / 64 * 64;
}

size_t rbe_act_bytes(size_t count, size_t max_cols)
{
    const size_t n = count * padded(max_cols);
    return n * sizeof(float) + n * sizeof(int16_t) + (count + 15) / 16 * 16 * sizeof(float);
}

void rbe_act_init(struct rbe_act *a, void *mem, size_t count, size_t max_cols)
{
    const size_t stride = padded(max_cols);

    a->count = count;
    a->cols = 0;
    a->stride = stride;
    a->x = mem;
    a->q = (int16_t *)(a->x + count * stride);
    a->scale = (float *)(a->q + count * stride);
}

/*
 * q = round(x * s) with s as large as both limits allow: |q| <= 32767, and gmax * sum|q| <=
 * 2^31 - 1.  Rounding moves each |q| by at most 1/2, so s bounds the sum of |x| * s by what
 * is left after cols / 2.  The sums run in double over a fixed order and the roundings are
 * IEEE, so every machine finds the same q.
 */
static void quantise(struct rbe_act *a, size_t t, int gmax)
{
    const float *x = a->x + t * a->stride;
    int16_t *q = a->q + t * a->stride;
    double sum = 0, max = 0;

    for (size_t n = 0; n < a->cols; n++) {
        const double v = fabs((double)x[n]);
        sum += v;
        max = v > max ? v : max;
    }
    memset(q, 0, a->stride * sizeof *q);
    a->scale[t] = 0;
    if (!(max > 0) || !isfinite(sum)) {
        /* All zero, or poisoned: then the product must be NaN, not a number. */
        a->scale[t] = max > 0 || isnan(sum) ? NAN : 0;
        return;
    }
    const double room = floor(2147483647.0 / gmax) - (double)a->cols / 2;
    double s = room / sum;
    if (s * max > 32766.5)
        s = 32766.5 / max;
    const float inv = (float)s;
    for (size_t n = 0; n < a->cols; n++)
        q[n] = (int16_t)lrintf(x[n] * inv);
    a->scale[t] = 1 / inv;
}

void rbe_act_prepare(struct rbe_act *a, const struct rbe_matrix *w, const float *x,
                     size_t ldx, size_t count)
{
    const int gmax = formats[w->format]->gmax;

    a->count = count;
    a->cols = w->cols;
    for (size_t t = 0; t < count; t++) {
        float *to = a->x + t * a->stride;
        const float *from = x + t * ldx;

        memcpy(to, from, w->cols * sizeof *to);
        memset(to + w->cols, 0, (a->stride - w->cols) * sizeof *to);
        if (w->col_scale)
            for (size_t n = 0; n < w->cols; n++)
                to[n] *= rbe_f16_to_f32(w->col_scale[n]);
        if (gmax)
            quantise(a, t, gmax);
    }
}
