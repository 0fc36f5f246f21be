/*
 * packed128.h - the stored layout of `packed128`, the chapter's published seed (codecs.md 1).
 *
 * SPDX-License-Identifier: MIT
 *
 * The matrix is cut into blocks of B x B (B = 4..512, the last ones cropped).
 * codes: struct rbe_packed128 [ceil(rows / B)][ceil(cols / B)].
 * Row i, column j of a block: W = scale * rbe_packed128_value() + offset.
 *
 * The value is defined by f32 operations, each rounded once, no FMA, so that every machine
 * renders the same bits; only sin and cos of theta come from the C library, in double, and
 * are rounded to f32.
 */
#ifndef RBE_KERNELS_FORMAT_PACKED128_H
#define RBE_KERNELS_FORMAT_PACKED128_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/f16.h"
#include "kernels/formats.h"

struct rbe_packed128 {
    uint64_t lo;        /* r: f32 bits 63..32; theta: f32 bits 31..0 */
    uint64_t hi;        /* 7..0: four states of 2 bits; 19..8: D; else zero */
    float scale, offset;
};

/* A seed's parameters, taken apart once per block. */
struct rbe_packed128_seed {
    float r, theta, sin_theta, cos_theta;
    float gain;         /* 1 + 0.1 (D / 4095 - 0.5) */
    unsigned states;    /* slot h has state (states >> 2 h) & 3 */
    float scale, offset;
};

static inline struct rbe_packed128_seed rbe_packed128_open(const struct rbe_packed128 *p)
{
    const float theta = rbe_f32_from_bits((uint32_t)p->lo);

    return (struct rbe_packed128_seed){
        .r = rbe_f32_from_bits((uint32_t)(p->lo >> 32)),
        .theta = theta,
        .sin_theta = (float)sin(theta),
        .cos_theta = (float)cos(theta),
        .gain = 1 + 0.1F * ((float)(p->hi >> 8 & 0xFFF) / 4095 - 0.5F),
        .states = (unsigned)p->hi & 0xFF,
        .scale = p->scale,
        .offset = p->offset,
    };
}

/* Coordinate of column j (or row i) inside a block: -1..1. */
static inline float rbe_packed128_coordinate(unsigned j, unsigned block)
{
    return block == 1 ? 0 : 2 * (float)j / (float)(block - 1) - 1;
}

/* 0 for NaN. */
static inline float rbe_packed128_clamp(float v, float low, float high)
{
    v = v > low ? v : low;
    return v < high ? v : high;
}

/*
 * e^x, x clamped to [-87, 88]: 2^n e^f with n = x log2(e) rounded by adding 1.5 * 2^23, f in
 * two pieces of ln 2, and the Taylor polynomial of degree 7 (|f| <= 0.347: its remainder is
 * below 6e-9).  Relative error below 2^-22.
 */
static inline float rbe_packed128_exp(float x)
{
    x = rbe_packed128_clamp(x, -87, 88);
    const float t = x * 0x1.715476p+0F + 0x1.8p+23F, n = t - 0x1.8p+23F;
    const float f = x - n * 0x1.62E4p-1F - n * 0x1.7F7D1Cp-20F;
    float e = 0x1.A01A02p-13F;
    e = e * f + 0x1.6C16C2p-10F;
    e = e * f + 0x1.111112p-7F;
    e = e * f + 0x1.555556p-5F;
    e = e * f + 0x1.555556p-3F;
    e = e * f + 0.5F;
    e = e * f + 1;
    e = e * f + 1;
    return rbe_f32_from_bits(rbe_bits_from_f32(e) + (rbe_bits_from_f32(t) << 23));
}

/* The four basis functions of a seed at (x, y), before gain and clamp. */
static inline float rbe_packed128_basis(const struct rbe_packed128_seed *s, unsigned state,
                                        float x, float y)
{
    const float d = sqrtf(x * x + y * y);
    const float sin_a = d > 0 ? y / d : 0, cos_a = d > 0 ? x / d : 1;
    const float dr = d * s->r;
    const float p = rbe_packed128_clamp(s->r - dr + s->theta, 0, 1);

    switch (state) {
    case 0:
        return p * fabsf(sin_a * s->cos_theta + cos_a * s->sin_theta);
    case 1:
        return p * fabsf(cos_a * s->cos_theta - sin_a * s->sin_theta);
    case 2:
        return p * (1 - 2 / (rbe_packed128_exp(2 * (dr + s->theta)) + 1));
    default:
        return p * (1 - rbe_packed128_exp(dr) * 0.5F);
    }
}

/* The published value at row i, column j of a block, in [0, 1]. */
static inline float rbe_packed128_value(const struct rbe_packed128_seed *s, unsigned i,
                                        unsigned j, unsigned block)
{
    const unsigned slot = (31 * i + j) & 3, state = s->states >> 2 * slot & 3;
    const float x = rbe_packed128_coordinate(j, block);
    const float y = rbe_packed128_coordinate(i, block);

    return rbe_packed128_clamp(rbe_packed128_basis(s, state, x, y) * s->gain, 0, 1);
}

static inline size_t rbe_packed128_blocks(size_t n, size_t block)
{
    return (n + block - 1) / block;
}

#endif
