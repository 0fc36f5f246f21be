/*
 * transform.h - the functions of kernels/transform.h, for any width of registers.
 *
 * SPDX-License-Identifier: MIT
 *
 * Written in the operations of an ISA's simd header, which the file that defines the table
 * includes first.  Sums run in sixteen lanes whatever the width: lane i takes elements i,
 * i + 16, ..., and the lanes are added by halves.  A Hadamard transform takes its stages in
 * the order of their strides, several to a pass over memory: the same additions everywhere.
 */
#ifndef RBE_KERNELS_BODY_TRANSFORM_H
#define RBE_KERNELS_BODY_TRANSFORM_H

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/body/unroll.h"
#include "kernels/f16.h"
#include "kernels/kernel.h"
#include "kernels/transform.h"

enum { SUM_LANES = 16, SUM_VECS = SUM_LANES / F32_LANES };

struct magnitudes {
    f64x sum[SUM_VECS];
    f32x max[SUM_VECS], odd[SUM_VECS];
};

/* Sixteen more values: their sum, or whether they are finite (x - x is 0, or NaN). */
static inline void measure(const bool add, struct magnitudes *m, int i, f32x v)
{
    const f32x a = f32_abs(v);
    if (add)
        m->sum[i] = f64_add(m->sum[i], a);
    else
        m->odd[i] = f32_add(m->odd[i], f32_sub(a, a));
    m->max[i] = f32_max(a, m->max[i]);
}

static inline struct rbe_magnitude total(const bool add, const struct magnitudes *m)
{
    double sum[SUM_LANES];
    f32x max = m->max[0], odd = m->odd[0];

    for (int i = 1; i < SUM_VECS; i++) {
        max = f32_max(m->max[i], max);
        odd = f32_add(m->odd[i], odd);
    }
    if (!add)
        return (struct rbe_magnitude){(double)f32_sum(odd), f32_largest(max)};
    for (int i = 0; i < SUM_VECS; i++)
        f64_store(sum + i * F32_LANES, m->sum[i]);
    for (int half = SUM_LANES / 2; half; half /= 2)
        for (int l = 0; l < half; l++)
            sum[l] += sum[l + half];
    return (struct rbe_magnitude){sum[0], f32_largest(max)};
}

static inline struct rbe_magnitude scale_as(const bool add, float *to, const float *from,
                                            const uint16_t *scales, size_t n)
{
    const size_t end = (n + RBE_ACT_PAD - 1) / RBE_ACT_PAD * RBE_ACT_PAD;
    struct magnitudes m;
    size_t k = 0;

    RBE_UNROLL
    for (int i = 0; i < SUM_VECS; i++) {
        m.sum[i] = f64_zero();
        m.max[i] = m.odd[i] = f32_set(0);
    }
    for (; k + SUM_LANES <= n; k += SUM_LANES) {
        RBE_UNROLL
        for (int i = 0; i < SUM_VECS; i++) {
            const size_t at = k + (size_t)i * F32_LANES;
            f32x v = f32_load(from + at);
            if (scales)
                v = f32_mul(v, f32_load_half(scales + at));
            f32_store(to + at, v);
            measure(add, &m, i, v);
        }
    }
    for (size_t i = k; i < n; i++)
        to[i] = scales ? from[i] * rbe_f16_to_f32(scales[i]) : from[i];
    memset(to + n, 0, (end - n) * sizeof *to);
    if (k < n) {
        RBE_UNROLL
        for (int i = 0; i < SUM_VECS; i++)
            measure(add, &m, i, f32_load(to + k + (size_t)i * F32_LANES));
    }
    return total(add, &m);
}

static struct rbe_magnitude scale(float *to, const float *from, const uint16_t *scales,
                                  size_t n)
{
    return scale_as(true, to, from, scales, n);
}

static struct rbe_magnitude scale_only(float *to, const float *from, const uint16_t *scales,
                                       size_t n)
{
    return scale_as(false, to, from, scales, n);
}

static void quantise(int16_t *q, const float *x, size_t n, float s)
{
    const f32x by = f32_set(s);

    for (size_t i = 0; i < n; i += F32_LANES)
        f32_store_s16(q + i, f32_mul(f32_load(x + i), by));
}

/* A piece at a time, which is then in registers or near them. */
static void quantise_pairs(int16_t *q, uint16_t *pair, const float *x, size_t n, float s)
{
    typedef uint16_t u16x16 __attribute__((vector_size(32)));   /* the compiler's own */

    for (size_t i = 0; i < n; i += RBE_ACT_PAD) {
        quantise(q + i, x + i, RBE_ACT_PAD, s);
        for (size_t k = i; k < i + RBE_ACT_PAD; k += 16) {
            u16x16 v;
            memcpy(&v, q + k, sizeof v);
            v = (v & 0xFF) ^ 0x80;
            v |= v << 8;
            memcpy(pair + k, &v, sizeof v);
        }
    }
}

/* splitmix64's output function: 64 signs of columns 64 word .. 64 word + 63. */
static inline uint64_t sign_word(uint64_t seed, uint64_t word)
{
    uint64_t z = seed + (word + 1) * 0x9E3779B97F4A7C15ULL;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
    return z ^ z >> 31;
}

static void flip_signs(float *x, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i += 64) {
        const uint64_t s = sign_word(seed, i / 64);
        const size_t count = n - i < 64 ? n - i : 64;
        size_t k = 0;

        for (; k + F32_LANES <= count; k += F32_LANES) {
            const uint32_t bits = (uint32_t)(s >> k) & ((1U << F32_LANES) - 1);
            f32_store(x + i + k, f32_flip(f32_load(x + i + k), bits));
        }
        for (; k < count; k++) {
            const uint32_t sign = (uint32_t)(s >> k & 1) << 31;
            x[i + k] = rbe_f32_from_bits(rbe_bits_from_f32(x[i + k]) ^ sign);
        }
    }
}

/* The stages whose strides are shorter than a register. */
static inline f32x stages_inside(f32x v)
{
    RBE_UNROLL
    for (int half = 1; half < F32_LANES; half *= 2)
        v = f32_butterfly(v, half);
    return v;
}

/* The stage of stride `half`. */
static inline void one_stage(float *x, size_t block, size_t half, float factor)
{
    const f32x f = f32_set(factor);

    for (size_t i = 0; i < block; i += 2 * half)
        for (size_t k = i; k < i + half; k += F32_LANES) {
            const f32x a = f32_load(x + k), b = f32_load(x + k + half);
            f32_store(x + k, f32_mul(f32_add(a, b), f));
            f32_store(x + k + half, f32_mul(f32_sub(a, b), f));
        }
}

/* The stages of strides `half` and 2 half. */
static inline void two_stages(float *x, size_t block, size_t half, float factor)
{
    const f32x f = f32_set(factor);

    for (size_t i = 0; i < block; i += 4 * half)
        for (size_t k = i; k < i + half; k += F32_LANES) {
            float *const p = x + k;
            const f32x a = f32_load(p), b = f32_load(p + half), c = f32_load(p + 2 * half),
                       d = f32_load(p + 3 * half);
            const f32x ab = f32_add(a, b), a_b = f32_sub(a, b), cd = f32_add(c, d),
                       c_d = f32_sub(c, d);
            f32_store(p, f32_mul(f32_add(ab, cd), f));
            f32_store(p + half, f32_mul(f32_add(a_b, c_d), f));
            f32_store(p + 2 * half, f32_mul(f32_sub(ab, cd), f));
            f32_store(p + 3 * half, f32_mul(f32_sub(a_b, c_d), f));
        }
}

/* A block narrower than a register. */
static void hadamard_narrow(float *x, size_t block, float norm)
{
    for (size_t half = 1; half < block; half *= 2)
        for (size_t i = 0; i < block; i += 2 * half)
            for (size_t k = i; k < i + half; k++) {
                const float a = x[k], b = x[k + half];
                x[k] = a + b;
                x[k + half] = a - b;
            }
    for (size_t k = 0; k < block; k++)
        x[k] *= norm;
}

/* The stages behind those inside registers.  Factors of 1 change nothing; the last pass brings
 * the norm. */
static inline void stages_between(float *x, size_t n, size_t block, float norm)
{
    size_t first = F32_LANES, passes = 0;

    for (size_t h = first; h < block; h *= 2)
        passes++;
    for (const float *const end = x + n; x < end && passes; x += block) {
        size_t half = first;
        if (passes % 2) {
            one_stage(x, block, half, passes == 1 ? norm : 1);
            half *= 2;
        }
        for (; half < block; half *= 4)
            two_stages(x, block, half, 4 * half == block ? norm : 1);
    }
}

static void hadamard(float *x, size_t n, size_t block)
{
    const float norm = (float)(1 / sqrt((double)block));
    const f32x f = f32_set(block == F32_LANES ? norm : 1);

    if (block < F32_LANES) {
        for (const float *const end = x + n; x < end; x += block)
            hadamard_narrow(x, block, norm);
        return;
    }
    for (size_t i = 0; i < n; i += F32_LANES)
        f32_store(x + i, f32_mul(stages_inside(f32_load(x + i)), f));
    stages_between(x, n, block, norm);
}

/* Signs and the first stages in one pass. */
static void rotate(float *to, const float *from, size_t n, size_t block, uint64_t seed)
{
    const float norm = (float)(1 / sqrt((double)block));
    const f32x f = f32_set(block == F32_LANES ? norm : 1);

    if (block < F32_LANES) {
        memmove(to, from, n * sizeof *to);
        flip_signs(to, n, seed);
        hadamard(to, n, block);
        return;
    }
    for (size_t i = 0; i < n; i += 64) {
        const uint64_t s = sign_word(seed, i / 64);
        const size_t count = n - i < 64 ? n - i : 64;
        for (size_t k = 0; k < count; k += F32_LANES) {
            const uint32_t bits = (uint32_t)(s >> k) & ((1U << F32_LANES) - 1);
            const f32x v = stages_inside(f32_flip(f32_load(from + i + k), bits));
            f32_store(to + i + k, f32_mul(v, f));
        }
    }
    stages_between(to, n, block, norm);
}

#define FUNCTIONS scale, scale_only, quantise, quantise_pairs, flip_signs, hadamard, rotate

#endif
