/*
 * matrix.c - what is common to all formats: sizes, reference decoding, activations.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/format/format.h"
#include "kernels/kernel.h"
#include "kernels/transform.h"

static const struct rbe_format_ops *const formats[RBE_FORMAT_COUNT] = {
#define RBE_FORMAT(name, NAME, ...) [RBE_##NAME] = &rbe_format_##name,
#include "kernels/formats.def"
#undef RBE_FORMAT
};

const struct rbe_format_ops *rbe_format_ops(enum rbe_format f)
{
    return formats[f];
}

struct rbe_matrix_size rbe_matrix_size(enum rbe_format f, uint32_t rows, uint32_t cols,
                                       uint32_t block, uint32_t aux)
{
    if ((unsigned)f >= RBE_FORMAT_COUNT || !rows || !cols || !rbe_format_takes_block(f, block))
        return (struct rbe_matrix_size){0};
    return formats[f]->size(rows, cols, block, aux);
}

size_t rbe_row_step(const struct rbe_matrix *w)
{
    return rbe_format_facts(w->format)->max_block ? w->block : 1;
}

void rbe_decode_row(const struct rbe_matrix *w, size_t r, float *out)
{
    formats[w->format]->decode_row(w, r, out);
}

static size_t padded(size_t cols)
{
    return (cols + RBE_ACT_PAD - 1) / RBE_ACT_PAD * RBE_ACT_PAD;
}

size_t rbe_act_bytes(size_t count, size_t max_cols)
{
    const size_t n = count * padded(max_cols);
    return n * sizeof(float) + 2 * n * sizeof(int16_t) + (count + 15) / 16 * 16 * sizeof(float);
}

void rbe_act_init(struct rbe_act *a, void *mem, size_t count, size_t max_cols)
{
    const size_t stride = padded(max_cols);

    a->count = count;
    a->cols = 0;
    a->stride = stride;
    a->x = mem;
    a->q = (int16_t *)(a->x + count * stride);
    a->pair = (uint16_t *)(a->q + count * stride);
    a->scale = (float *)(a->pair + count * stride);
    a->bits = 16;
}

static unsigned chosen;

void rbe_act_choose_bits(unsigned bits)
{
    chosen = bits;
}

const char *rbe_act_bits_init(void)
{
    const char *s = getenv("RBE_ACTIVATIONS");

    if (s && *s && strcmp(s, "8") != 0 && strcmp(s, "16") != 0)
        return s;
    chosen = !s || !*s ? 0 : *s == '8' ? 8 : 16;
    return NULL;
}

unsigned rbe_format_act_bits(enum rbe_format f)
{
    const struct rbe_format_facts *facts = rbe_format_facts(f);

    return !facts->gmax ? 0 : chosen ? chosen : facts->act_bits ? facts->act_bits : 16;
}

char *rbe_act_bits_string(char *buf, size_t size)
{
    size_t used = 0;

    buf[0] = 0;
    for (int f = 0; f < RBE_FORMAT_COUNT && used < size; f++)
        if (rbe_format_act_bits((enum rbe_format)f))
            used += (size_t)snprintf(buf + used, size - used, "%s%s:%u", used ? " " : "",
                                     rbe_format_name((enum rbe_format)f),
                                     rbe_format_act_bits((enum rbe_format)f));
    return buf;
}

/*
 * q = round(x * s) with s as large as both limits allow: |q| <= RBE_ACT_MAX, of 8 bits
 * RBE_ACT8_MAX, and gmax * sum|q| <= 2^31 - 1 over the columns an int32 sum spans.  Rounding
 * moves each |q| by at most 1/2, so s bounds the sum of |x| * s by what is left after cols / 2;
 * rounding s and x * s to f32 adds less than 2^-22 of it.  The sums run in double over a fixed
 * order and the roundings are IEEE, so every machine finds the same q.
 *
 * The sum of |x| is at most cols times the largest, so that with 8 bits and few columns the
 * first limit is always the smaller one: then no sum is made.
 */
static bool sum_is_small(const struct rbe_act *a, const struct rbe_format_facts *facts)
{
    const double room = floor(2147483647.0 / facts->gmax) - (double)a->cols / 2;

    return a->bits == 8 && room * (1 - 0x1p-21) >= (double)RBE_ACT8_MAX * (double)a->cols;
}

static void quantise(struct rbe_act *a, size_t t, const struct rbe_format_facts *facts,
                     const struct rbe_transform *f, struct rbe_magnitude m)
{
    int16_t *q = a->q + t * a->stride;
    uint16_t *pair = a->pair + t * a->stride;
    const size_t n = padded(a->cols);       /* x is zero past cols */

    if (!(m.max > 0) || !isfinite(m.sum)) {
        /* All zero, or poisoned: then the product must be NaN, not a number. */
        memset(q, 0, n * sizeof *q);
        for (size_t i = 0; a->bits == 8 && i < n; i++)
            pair[i] = 0x8080;
        a->scale[t] = m.max > 0 || isnan(m.sum) ? NAN : 0;
        return;
    }
    double limit = (a->bits == 8 ? RBE_ACT8_MAX : RBE_ACT_MAX - 0.5) / (double)m.max;
    if (!sum_is_small(a, facts) &&
        (facts->group == 0 || (double)facts->group * facts->gmax * 32767 > 2147483647.0)) {
        const double room = floor(2147483647.0 / facts->gmax) - (double)a->cols / 2;
        const double s = room / m.sum * (1 - 0x1p-22);
        limit = s < limit ? s : limit;
    }
    /* x below 2^-112 may then round to zero; its products are next to nothing in f32. */
    const float s = (float)(limit < 0x1p+126 ? limit : 0x1p+126);
    if (a->bits == 8)
        f->quantise_pairs(q, pair, a->x + t * a->stride, n, s);
    else
        f->quantise(q, a->x + t * a->stride, n, s);
    a->scale[t] = 1 / s;
}

void rbe_act_prepare(struct rbe_act *a, const struct rbe_matrix *w, const float *x,
                     size_t ldx, size_t count)
{
    const struct rbe_format_facts *facts = rbe_format_facts(w->format);
    const struct rbe_transform *f = rbe_transform_best(rbe_cpu_isa());

    a->count = count;
    a->cols = w->cols;
    for (size_t t = 0; t < count; t++) {
        const bool only = !facts->gmax || sum_is_small(a, facts);
        const struct rbe_magnitude m = (only ? f->scale_only : f->scale)(
            a->x + t * a->stride, x + t * ldx, w->col_scale, w->cols);
        if (facts->gmax)
            quantise(a, t, facts, f, m);
    }
}

/* The product with a vector of ones, whose floats are exact. */
bool rbe_row_sums(const struct rbe_matrix *w, int32_t *sums)
{
    enum { ONE = 0x3C00, EXACT = 1 << 24 };     /* 1 as f16; floats up to here are exact */
    const struct rbe_format_facts *facts = rbe_format_facts(w->format);
    const struct rbe_kernel *k = rbe_kernel_best(RBE_GEMV, w->format, rbe_cpu_isa());
    const size_t n = padded(w->cols);
    struct rbe_matrix plain = *w;
    float one = 1;
    struct rbe_act a = {.count = 1, .cols = n, .stride = n, .scale = &one, .bits = 16};

    /* Columns beyond the matrix' are known of strips alone: they are stored by 32. */
    if (!facts->strip_bits || !k || n * (size_t)facts->gmax >= EXACT)
        return false;
    plain.cols = (w->cols + 31) / 32 * 32;      /* as many as are stored */
    uint16_t *ones = malloc((w->rows + n) * sizeof *ones);
    if (!ones)
        return false;
    for (size_t r = 0; r < w->rows; r++)
        ones[r] = ONE;
    plain.scale = ones;
    a.q = (int16_t *)ones + w->rows;
    for (size_t i = 0; i < n; i++)
        a.q[i] = 1;
    k->run(&plain, &a, (float *)sums, w->rows, 0, w->rows);
    for (size_t r = 0; r < w->rows; r++) {
        float sum;
        memcpy(&sum, sums + r, sizeof sum);
        sums[r] = (int32_t)sum;
    }
    free(ones);
    return true;
}
