/*
 * simd_any.h - the operations of body/lanes.h and its users, in registers that every CPU of the
 * architecture has: the compiler's own vectors.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_KERNELS_SCALAR_SIMD_ANY_H
#define RBE_KERNELS_SCALAR_SIMD_ANY_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef __x86_64__
#include <xmmintrin.h>
#endif

#include "kernels/f16.h"

enum { F32_LANES = 4 };

typedef float f32x __attribute__((vector_size(16)));

static inline f32x f32_load(const float *p)
{
    f32x v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Four values, as often as they fit. */
static inline f32x f32_quads(const float *p)
{
    return f32_load(p);
}

static inline void f32_store(float *p, f32x v)
{
    memcpy(p, &v, sizeof v);
}

static inline f32x f32_load_half(const uint16_t *p)
{
    return (f32x){rbe_f16_to_f32(p[0]), rbe_f16_to_f32(p[1]), rbe_f16_to_f32(p[2]),
                  rbe_f16_to_f32(p[3])};
}

/* a > b ? a : b; b when either is NaN. */
static inline f32x f32_max(f32x a, f32x b)
{
#ifdef __x86_64__
    return _mm_max_ps(a, b);
#else
    typedef int bits __attribute__((vector_size(16)));
    const bits mask = a > b;
    return (f32x)(((bits)a & mask) | ((bits)b & ~mask));
#endif
}

/* a < b ? a : b; b when either is NaN. */
static inline f32x f32_min(f32x a, f32x b)
{
#ifdef __x86_64__
    return _mm_min_ps(a, b);
#else
    return -f32_max(-a, -b);
#endif
}

static inline f32x f32_sqrt(f32x a)
{
#ifdef __x86_64__
    return _mm_sqrt_ps(a);
#else
    return (f32x){sqrtf(a[0]), sqrtf(a[1]), sqrtf(a[2]), sqrtf(a[3])};
#endif
}

static inline float f32_sum(f32x v)
{
    return (v[0] + v[2]) + (v[1] + v[3]);
}

/* The largest lane; none is NaN. */
static inline float f32_largest(f32x v)
{
    const float a = v[0] > v[1] ? v[0] : v[1], b = v[2] > v[3] ? v[2] : v[3];
    return a > b ? a : b;
}

/* Rounded to nearest, ties to even; |v| < 2^15.  Adding 1.5 * 2^23 leaves the integer in the
 * low bits. */
static inline void f32_store_s16(int16_t *p, f32x v)
{
    typedef int32_t bits __attribute__((vector_size(16)));
    const bits q = (bits)(v + 0x1.8p23F);

    for (int i = 0; i < 4; i++)
        p[i] = (int16_t)q[i];
}

#endif
