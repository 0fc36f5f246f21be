/*
 * lanes.h - sums in sixteen lanes, and e^x.
 *
 * SPDX-License-Identifier: MIT
 *
 * For bodies that must agree bit for bit on every ISA.  Sums run in sixteen lanes whatever the
 * width of f32x: lane i takes elements i, i + 16, ..., and the lanes are added over a fixed
 * tree.  Multiply and add are never fused (-ffp-contract=off).  Loads, maxima, roots and sums
 * are words of the simd header that comes first; f32x is a vector of the compiler's there, and
 * formulas of many terms are written in its operators.
 */
#ifndef RBE_KERNELS_BODY_LANES_H
#define RBE_KERNELS_BODY_LANES_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "kernels/body/unroll.h"

#define LANES 16
enum { EXP_AT_ONCE = 4 };
typedef int32_t s32_bits __attribute__((vector_size(sizeof(f32x))));

/* The first n of a register, the rest `fill`. */
INLINE f32x f32_load_part(const float *p, size_t n, float fill)
{
    float part[F32_LANES];
    for (size_t i = 0; i < F32_LANES; i++)
        part[i] = i < n ? p[i] : fill;
    return f32_load(part);
}

INLINE void f32_store_part(float *p, f32x v, size_t n)
{
    memcpy(p, &v, n * sizeof *p);
}

/*
 * e^x to about 1e-7 of itself; x is held to [-87, 88], NaN stays NaN.  x = n ln 2 + r with
 * |r| <= ln 2 / 2; ln 2 in two parts, the first short enough that n times it is exact; the
 * polynomial is that of the Cephes library.
 *
 * Of `count` registers side by side: a step waits for the one before it, and processors look
 * ahead less far than one register's steps.
 */
INLINE void exp_registers(f32x *x, const int count)
{
    const f32x zero = {0};
    f32x biased[EXP_AT_ONCE], r[EXP_AT_ONCE], p[EXP_AT_ONCE];

#define EACH(formula)                                                                          \
    RBE_UNROLL                                                                                 \
    for (int k = 0; k < count; k++)                                                            \
        formula
    EACH(x[k] = f32_max(zero - 87, x[k]));
    EACH(x[k] = f32_min(zero + 88, x[k]));
    /* Adding 1.5 * 2^23 leaves the rounded integer in the low bits. */
    EACH(biased[k] = x[k] * 1.44269504F + 0x1.8p23F);
    EACH(p[k] = biased[k] - 0x1.8p23F);
    EACH(r[k] = (x[k] - p[k] * 0.693359375F) - p[k] * -2.12194440e-4F);
    EACH(p[k] = r[k] * 1.9875691500e-4F + 1.3981999507e-3F);
    EACH(p[k] = p[k] * r[k] + 8.3334519073e-3F);
    EACH(p[k] = p[k] * r[k] + 4.1665795894e-2F);
    EACH(p[k] = p[k] * r[k] + 1.6666665459e-1F);
    EACH(p[k] = p[k] * r[k] + 5.0000001201e-1F);
    EACH(p[k] = (p[k] * (r[k] * r[k]) + r[k]) + 1);
    /* 2^n from its bits: those of `biased` are 0x4B400000 + n. */
    EACH(x[k] = p[k] * (f32x)(((s32_bits)biased[k] + (127 - 0x4B400000)) << 23));
#undef EACH
}

INLINE f32x exp_lanes(f32x x)
{
    exp_registers(&x, 1);
    return x;
}

/* --- sums --------------------------------------------------------------------------------- */

/* Sixteen lanes; registers past the sixteenth lane stay unused. */
struct sixteen {
    f32x a, b, c, d;
};

/* Lanes of values that f(i) gives for the register at element i of sixteen. */
#define ADD_LANES(sum, f)                                                                      \
    do {                                                                                       \
        (sum).a += f(0);                                                                       \
        if (F32_LANES < LANES)                                                                 \
            (sum).b += f(F32_LANES);                                                           \
        if (2 * F32_LANES < LANES) {                                                           \
            (sum).c += f(2 * F32_LANES);                                                       \
            (sum).d += f(3 * F32_LANES);                                                       \
        }                                                                                      \
    } while (0)

/* The tree: lanes i and i + 8, then i and i + 4, then 0 + 2 and 1 + 3, then both. */
INLINE float sum_lanes(struct sixteen v)
{
    if (F32_LANES == 16)
        return f32_sum(v.a);
    if (F32_LANES == 8)
        return f32_sum(v.a + v.b);
    return f32_sum((v.a + v.c) + (v.b + v.d));
}

/* The last n < 16 of a row, copied to `to` and padded to sixteen. */
INLINE void pad(float *to, const float *from, size_t n, float fill)
{
    for (size_t i = 0; i < LANES; i++)
        to[i] = i < n ? from[i] : fill;
}

/* x - from, added up; squared: its squares.  Sixteen lanes at a time, the last ones padded. */
INLINE float row_sum(const float *x, size_t n, float from, bool squared)
{
    const size_t whole = n / LANES * LANES;
    struct sixteen sum = {.a = {0}};
    float last[LANES];

#define VALUE(k)  (f32_load(x + (k)) - from)
#define SQUARE(k) (VALUE(k) * VALUE(k))
    for (const float *end = x + whole; x < end; x += LANES)
        if (squared)
            ADD_LANES(sum, SQUARE);
        else
            ADD_LANES(sum, VALUE);
    if (whole < n) {
        pad(last, x, n - whole, from);
        x = last;
        if (squared)
            ADD_LANES(sum, SQUARE);
        else
            ADD_LANES(sum, VALUE);
    }
#undef VALUE
#undef SQUARE
    return sum_lanes(sum);
}

INLINE float row_max(const float *x, size_t n)
{
    f32x m = (f32x){0} - INFINITY;
    size_t i = 0;

    for (; i + F32_LANES <= n; i += F32_LANES)
        m = f32_max(f32_load(x + i), m);
    if (i < n)
        m = f32_max(f32_load_part(x + i, n - i, -INFINITY), m);
    return f32_largest(m);
}

#endif
