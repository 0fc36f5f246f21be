/*
 * attention.c - sizes of a KV cache, and queries made ready for it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/attention.h"

#include <math.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/kernel.h"
#include "kernels/transform.h"

static size_t padded(size_t dim)
{
    return (dim + 15) / 16 * 16;
}

const char *rbe_kv_type_name(enum rbe_kv_type t)
{
    static const char *const names[] = {"f32", "f16", "int8"};

    return names[t];
}

size_t rbe_kv_bytes(enum rbe_kv_type t, size_t positions, size_t dim)
{
    switch (t) {
    case RBE_KV_TYPE_F32: return positions * dim * sizeof(float);
    case RBE_KV_TYPE_F16: return positions * dim * sizeof(uint16_t);
    default: return positions * padded(dim);
    }
}

size_t rbe_kv_scale_bytes(enum rbe_kv_type t, size_t positions)
{
    return t == RBE_KV_TYPE_INT8 ? positions * sizeof(uint16_t) : 0;
}

/* Floats that rbe_transform's functions fill for a vector. */
static size_t scratch(size_t dim)
{
    return (dim + RBE_ACT_PAD - 1) / RBE_ACT_PAD * RBE_ACT_PAD;
}

size_t rbe_kv_query_bytes(enum rbe_kv_type t, size_t count, size_t dim)
{
    if (t != RBE_KV_TYPE_INT8)
        return 0;
    return scratch(dim) * sizeof(float) + count * padded(dim) * (sizeof(int16_t) + 2) +
           count * (sizeof(float) + sizeof(int32_t));
}

/* Of each four bytes the second and the third change places. */
static uint64_t swapped(uint64_t v)
{
    return (v & 0xFF0000FFFF0000FF) | (v >> 8 & 0x0000FF000000FF00) |
           (v << 8 & 0x00FF000000FF0000);
}

/* q [n] as high and low bytes in the order of the cache; returns the sum.  n is a multiple of
 * 16. */
static int32_t split_bytes(int8_t *high, int8_t *low, const int16_t *q, size_t n)
{
    typedef int16_t s16x8 __attribute__((vector_size(16)));     /* the compiler's own */
    typedef int8_t s8x8 __attribute__((vector_size(8)));
    int32_t sum = 0, part[4] = {0};

    for (size_t k = 0; k < n; k += 8) {
        s16x8 v;
        memcpy(&v, q + k, sizeof v);
        const s16x8 rest = (v << 8) >> 8;       /* the low byte, with its sign */
        const uint64_t l = swapped((uint64_t)__builtin_convertvector(rest, s8x8));
        const uint64_t h = swapped((uint64_t)__builtin_convertvector((v - rest) >> 8, s8x8));
        memcpy(low + k, &l, sizeof l);
        memcpy(high + k, &h, sizeof h);
        for (size_t j = 0; j < 8; j++)
            part[j % 4] += v[j];
    }
    for (int j = 0; j < 4; j++)
        sum += part[j];
    return sum;
}

/* Queries keep 16 bits: in 8 they would add an error as large as the keys' own. */
static void ask_int8(struct rbe_kv_queries *q, size_t i, float *tmp, size_t dim,
                     const struct rbe_transform *f)
{
    const size_t n = padded(dim), at = i * n;
    const struct rbe_magnitude m = f->scale_only(tmp, q->x + i * q->ldx, NULL, dim);
    /* |sum of q * key| <= 127 * largest * n, and as much as 128 * largest * n on the way;
     * beyond 2^31 sums wrap and come back. */
    const double room = 2147483647.0 / 127 / (double)n - 1;
    const double largest = room < RBE_ACT_MAX ? room : RBE_ACT_MAX;

    if (!(m.max > 0) || !isfinite(m.sum)) {
        memset(q->q + at, 0, n * sizeof *q->q);
        q->unit[i] = m.max > 0 || isnan(m.sum) ? NAN : 0;
    } else {
        /* Of what is next to nothing in f32 most becomes 0. */
        const double s = (largest - 0.5) / (double)m.max;
        const float by = (float)(s < 0x1p+126 ? s : 0x1p+126);
        f->quantise(q->q + at, tmp, n, by);
        q->unit[i] = q->scale / by;
    }
    const int32_t sum = split_bytes(q->high + at, q->low + at, q->q + at, n);
    q->shift[i] = (int32_t)(128U * (uint32_t)sum);
}

void rbe_kv_ask(struct rbe_kv_queries *q, enum rbe_kv_type t, void *mem, const float *x,
                size_t ldx, size_t count, size_t dim, float scale)
{
    *q = (struct rbe_kv_queries){.x = x, .ldx = ldx, .count = count, .scale = scale};
    if (t != RBE_KV_TYPE_INT8)
        return;
    float *tmp = mem;
    q->q = (int16_t *)(tmp + scratch(dim));
    q->high = (int8_t *)(q->q + count * padded(dim));
    q->low = q->high + count * padded(dim);
    q->unit = (float *)(q->low + count * padded(dim));
    q->shift = (int32_t *)(q->unit + count);
    const struct rbe_transform *f = rbe_transform_best(rbe_cpu_isa());
    for (size_t i = 0; i < count; i++)
        ask_int8(q, i, tmp, dim, f);
}
