/*
 * simd_scalar.h - the operations that kernels/body/ is written in, one lane at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_KERNELS_SCALAR_SIMD_SCALAR_H
#define RBE_KERNELS_SCALAR_SIMD_SCALAR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/f16.h"

enum { F32_LANES = 1, SIMD_REGISTERS = 16 };

typedef float f32x;

static inline f32x f32_set(float v)
{
    return v;
}

static inline f32x f32_load(const float *p)
{
    return *p;
}

static inline void f32_store(float *p, f32x v)
{
    *p = v;
}

static inline f32x f32_load_half(const uint16_t *p)
{
    return rbe_f16_to_f32(*p);
}

static inline f32x f32_add(f32x a, f32x b)
{
    return a + b;
}

static inline f32x f32_sub(f32x a, f32x b)
{
    return a - b;
}

static inline f32x f32_mul(f32x a, f32x b)
{
    return a * b;
}

static inline f32x f32_div(f32x a, f32x b)
{
    return a / b;
}

static inline f32x f32_sqrt(f32x a)
{
    return sqrtf(a);
}

/* a > b ? a : b; b when either is NaN. */
static inline f32x f32_max(f32x a, f32x b)
{
    return a > b ? a : b;
}

static inline f32x f32_min(f32x a, f32x b)
{
    return a < b ? a : b;
}

static inline f32x f32_abs(f32x a)
{
    return fabsf(a);
}

static inline f32x f32_if_positive(f32x a, f32x yes, f32x no)
{
    return a > 0 ? yes : no;
}

/* The bits of a, plus the bits of t moved up to the exponent. */
static inline f32x f32_add_exponent(f32x a, f32x t)
{
    return rbe_f32_from_bits(rbe_bits_from_f32(a) + (rbe_bits_from_f32(t) << 23));
}

static inline f32x f32_fma(f32x a, f32x b, f32x c)
{
    return a * b + c;
}

/* Lanes whose bit is set, negated. */
static inline f32x f32_flip(f32x v, uint32_t bits)
{
    return rbe_f32_from_bits(rbe_bits_from_f32(v) ^ bits << 31);
}

/* Lane i: v[i] + v[i + half] where i & half is 0, else v[i - half] - v[i]; half < F32_LANES. */
static inline f32x f32_butterfly(f32x v, int half)
{
    (void)half;
    return v;
}

/* Rounded to nearest, ties to even; |v| < 2^15. */
static inline void f32_store_s16(int16_t *p, f32x v)
{
    *p = (int16_t)lrintf(v);
}

/* As many doubles as f32x has floats. */
typedef double f64x;

static inline f64x f64_zero(void)
{
    return 0;
}

static inline f64x f64_add(f64x sum, f32x v)
{
    return sum + (double)v;
}

static inline void f64_store(double *p, f64x v)
{
    *p = v;
}

static inline float f32_sum(f32x v)
{
    return v;
}

/* The largest lane; none is NaN. */
static inline float f32_largest(f32x v)
{
    return v;
}

static inline void half4(float out[4], const uint16_t *h)
{
    for (int i = 0; i < 4; i++)
        out[i] = rbe_f16_to_f32(h[i]);
}

static inline float half1(uint16_t h)
{
    return rbe_f16_to_f32(h);
}

#endif
