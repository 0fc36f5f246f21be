/*
 * lanes.h - vectors whose width follows from the flags the including file is compiled with.
 *
 * SPDX-License-Identifier: MIT
 *
 * For files that are compiled once for each instruction set and must agree bit for bit.  Sums
 * run in sixteen lanes whatever the width: lane i takes elements i, i + 16, ..., and the lanes
 * are added over a fixed tree.  Multiply and add are never fused (-ffp-contract=off).
 */
#ifndef RBE_KERNELS_LANES_H
#define RBE_KERNELS_LANES_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

#if defined(__AVX512F__)
#define WIDTH 16
#elif defined(__AVX2__)
#define WIDTH 8
#else
#define WIDTH 4
#endif
#define LANES 16
typedef float vf __attribute__((vector_size(4 * WIDTH)));
typedef int32_t vi __attribute__((vector_size(4 * WIDTH)));

INLINE vf load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void store(float *p, vf v)
{
    memcpy(p, &v, sizeof v);
}

/* The first n of a register, the rest `fill`. */
INLINE vf load_part(const float *p, size_t n, float fill)
{
    float part[WIDTH];
    for (size_t i = 0; i < WIDTH; i++)
        part[i] = i < n ? p[i] : fill;
    return load(part);
}

INLINE void store_part(float *p, vf v, size_t n)
{
    memcpy(p, &v, n * sizeof *p);
}

/* a where a > b, else b: a NaN in a is passed over, one in b is kept. */
INLINE vf max(vf a, vf b)
{
#if defined(__AVX512F__)
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__x86_64__)
    return (vf)_mm_max_ps((__m128)a, (__m128)b);
#else
    const vi mask = a > b;
    return (vf)(((vi)a & mask) | ((vi)b & ~mask));
#endif
}

/*
 * e^x to about 1e-7 of itself; x is held to [-87, 88], NaN stays NaN.  x = n ln 2 + r with
 * |r| <= ln 2 / 2; ln 2 in two parts, the first short enough that n times it is exact; the
 * polynomial is that of the Cephes library.
 */
INLINE vf exp_lanes(vf x)
{
    const vf zero = {0};

    x = max(zero - 87, x);
    x = -max(zero - 88, -x);
    /* Adding 1.5 * 2^23 leaves the rounded integer in the low bits. */
    const vf biased = x * 1.44269504F + 0x1.8p23F, n = biased - 0x1.8p23F;
    const vf r = (x - n * 0.693359375F) - n * -2.12194440e-4F;
    vf p = r * 1.9875691500e-4F + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = (p * (r * r) + r) + 1;
    /* 2^n from its bits: those of `biased` are 0x4B400000 + n. */
    return p * (vf)(((vi)biased + (127 - 0x4B400000)) << 23);
}

/* --- sums --------------------------------------------------------------------------------- */

/* Sixteen lanes; registers past the sixteenth lane stay unused. */
struct lanes {
    vf a, b, c, d;
};

/* Lanes of values that f(i) gives for the register at element i of sixteen. */
#define ADD_LANES(sum, f)                                                                      \
    do {                                                                                       \
        (sum).a += f(0);                                                                       \
        if (WIDTH < LANES)                                                                     \
            (sum).b += f(WIDTH);                                                               \
        if (2 * WIDTH < LANES) {                                                               \
            (sum).c += f(2 * WIDTH);                                                           \
            (sum).d += f(3 * WIDTH);                                                           \
        }                                                                                      \
    } while (0)

/* The tree: lanes i and i + 8, then i and i + 4, then 0 + 2 and 1 + 3, then both. */
INLINE float sum_lanes(struct lanes v)
{
    float s[4];
#if defined(__AVX512F__)
    const __m512 x = (__m512)v.a;
    const __m256 y = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    _mm_storeu_ps(s, _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1)));
#elif defined(__AVX2__)
    const __m256 y = (__m256)(v.a + v.b);
    _mm_storeu_ps(s, _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1)));
#else
    store(s, (v.a + v.c) + (v.b + v.d));
#endif
    return (s[0] + s[2]) + (s[1] + s[3]);
}

/* The last n < 16 of a row, copied to `to` and padded to sixteen. */
INLINE void pad(float *to, const float *from, size_t n, float fill)
{
    for (size_t i = 0; i < LANES; i++)
        to[i] = i < n ? from[i] : fill;
}

INLINE float max_lanes(vf v)
{
    float s[WIDTH], m;

    store(s, v);
    m = s[0];
    for (int i = 1; i < WIDTH; i++)
        m = s[i] > m ? s[i] : m;
    return m;
}

INLINE float row_max(const float *x, size_t n)
{
    vf m = (vf){0} - INFINITY;
    size_t i = 0;

    for (; i + WIDTH <= n; i += WIDTH)
        m = max(load(x + i), m);
    if (i < n)
        m = max(load_part(x + i, n - i, -INFINITY), m);
    return max_lanes(m);
}

#endif
