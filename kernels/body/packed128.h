/*
 * packed128.h - the body of every kernel of `packed128`: rendered as it is multiplied.
 *
 * SPDX-License-Identifier: MIT
 *
 * Row by row of a row of blocks: where a weight stands in its block fixes d and the angle, so
 * these are found once for all blocks beside each other; then each seed renders as many
 * weights as a register holds, by the very operations of format/packed128.h, so that every
 * ISA renders the same bits, and only the sum over columns rounds differently.
 *
 * Written in the operations of an ISA's simd header, which the kernel file includes first.
 * Scratch is on the stack, bounded for every shape.
 */
#ifndef RBE_KERNELS_BODY_PACKED128_H
#define RBE_KERNELS_BODY_PACKED128_H

#include <stdbool.h>

#include "kernels/body/unroll.h"
#include "kernels/format/packed128.h"
#include "kernels/kernel.h"

enum {
    PACKED128_BATCH = 4,        /* vectors that share a rendering */
    PACKED128_SEEDS = 64,       /* blocks beside each other, at most ... */
    PACKED128_COLUMNS = 2048,   /* ... and their columns, padded to whole registers */
};

/* A seed, ready to render: `is[s]` is positive in the columns whose state is s, starting with
 * the slot of column 0 in row 0; row i reads it from -i mod 4 on. */
struct packed128_seed {
    struct rbe_packed128_seed p;
    bool used[4];
    float is[4][F32_LANES + 4];
};

static inline void packed128_open(struct packed128_seed *s, const struct rbe_packed128 *code)
{
    s->p = rbe_packed128_open(code);
    for (unsigned state = 0; state < 4; state++) {
        s->used[state] = false;
        for (unsigned j = 0; j < F32_LANES + 4; j++) {
            const bool here = (s->p.states >> 2 * (j & 3) & 3) == state;
            s->is[state][j] = here ? 1 : -1;
            s->used[state] |= here;
        }
    }
}

static inline f32x packed128_clamp(f32x v, float low, float high)
{
    return f32_min(f32_max(v, f32_set(low)), f32_set(high));
}

/* rbe_packed128_exp(), operation by operation. */
static inline f32x packed128_exp(f32x x)
{
    x = packed128_clamp(x, -87, 88);
    const f32x t = f32_add(f32_mul(x, f32_set(0x1.715476p+0F)), f32_set(0x1.8p+23F));
    const f32x n = f32_sub(t, f32_set(0x1.8p+23F));
    const f32x f = f32_sub(f32_sub(x, f32_mul(n, f32_set(0x1.62E4p-1F))),
                           f32_mul(n, f32_set(0x1.7F7D1Cp-20F)));
    f32x e = f32_set(0x1.A01A02p-13F);
    e = f32_add(f32_mul(e, f), f32_set(0x1.6C16C2p-10F));
    e = f32_add(f32_mul(e, f), f32_set(0x1.111112p-7F));
    e = f32_add(f32_mul(e, f), f32_set(0x1.555556p-5F));
    e = f32_add(f32_mul(e, f), f32_set(0x1.555556p-3F));
    e = f32_add(f32_mul(e, f), f32_set(0.5F));
    e = f32_add(f32_mul(e, f), f32_set(1));
    e = f32_add(f32_mul(e, f), f32_set(1));
    return f32_add_exponent(e, t);
}

/* F32_LANES weights of a block's row, at distance d and angle a; turn: -i mod 4 of the row,
 * plus the column, mod 4. */
static inline f32x packed128_render(const struct packed128_seed *s, unsigned turn, f32x d,
                                    f32x sin_a, f32x cos_a)
{
    const f32x r = f32_set(s->p.r), theta = f32_set(s->p.theta), one = f32_set(1);
    const f32x sin_t = f32_set(s->p.sin_theta), cos_t = f32_set(s->p.cos_theta);
    const f32x dr = f32_mul(d, r);
    const f32x p = packed128_clamp(f32_add(f32_sub(r, dr), theta), 0, 1);
    f32x v = f32_set(0), f;

    if (s->used[0])
        v = f32_mul(p, f32_abs(f32_add(f32_mul(sin_a, cos_t), f32_mul(cos_a, sin_t))));
    if (s->used[1]) {
        f = f32_mul(p, f32_abs(f32_sub(f32_mul(cos_a, cos_t), f32_mul(sin_a, sin_t))));
        v = f32_if_positive(f32_load(s->is[1] + turn), f, v);
    }
    if (s->used[2]) {
        const f32x e = packed128_exp(f32_mul(f32_set(2), f32_add(dr, theta)));
        f = f32_mul(p, f32_sub(one, f32_div(f32_set(2), f32_add(e, one))));
        v = f32_if_positive(f32_load(s->is[2] + turn), f, v);
    }
    if (s->used[3]) {
        f = f32_mul(p, f32_sub(one, f32_mul(packed128_exp(dr), f32_set(0.5F))));
        v = f32_if_positive(f32_load(s->is[3] + turn), f, v);
    }
    v = packed128_clamp(f32_mul(v, f32_set(s->p.gain)), 0, 1);
    return f32_add(f32_mul(f32_set(s->p.scale), v), f32_set(s->p.offset));
}

struct packed128_scratch {
    struct packed128_seed seed[PACKED128_SEEDS];
    float coordinate[RBE_PACKED128_MAX_BLOCK + 16];
    float x[PACKED128_BATCH][PACKED128_COLUMNS];    /* block after block, padded with zeros */
};

/* Rows r0..r0 + n of one row of blocks times `count` vectors, over the blocks in scratch. */
static inline void packed128_rows(const struct packed128_scratch *s, size_t block,
                                  size_t padded, size_t blocks, size_t n, size_t count,
                                  float *y, size_t ldy)
{
    for (size_t i = 0; i < n; i++) {
        const f32x row = f32_set(s->coordinate[i]), row2 = f32_mul(row, row);
        f32x sum[PACKED128_BATCH];
        RBE_UNROLL
        for (int t = 0; t < PACKED128_BATCH; t++)
            sum[t] = f32_set(0);
        for (size_t j = 0; j < block; j += F32_LANES) {
            const f32x column = f32_load(s->coordinate + j);
            const f32x d = f32_sqrt(f32_add(f32_mul(column, column), row2));
            const f32x sin_a = f32_if_positive(d, f32_div(row, d), f32_set(0));
            const f32x cos_a = f32_if_positive(d, f32_div(column, d), f32_set(1));
            const unsigned turn = (unsigned)(j - i) & 3;
            for (size_t c = 0; c < blocks; c++) {
                const f32x w = packed128_render(&s->seed[c], turn, d, sin_a, cos_a);
                RBE_UNROLL
                for (int t = 0; t < PACKED128_BATCH; t++)
                    sum[t] = f32_fma(w, f32_load(s->x[t] + c * padded + j), sum[t]);
            }
        }
        for (size_t t = 0; t < count; t++)
            y[t * ldy + i] += f32_sum(sum[t]);
    }
}

static inline void gemm_packed128(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                                  size_t ldy, size_t row0, size_t row1)
{
    const size_t block = w->block, padded = (block + F32_LANES - 1) / F32_LANES * F32_LANES;
    const size_t wide = rbe_packed128_blocks(w->cols, block);
    const size_t most = PACKED128_COLUMNS / padded < PACKED128_SEEDS
                            ? PACKED128_COLUMNS / padded
                            : PACKED128_SEEDS;
    struct packed128_scratch s;

    memset(s.coordinate, 0, sizeof s.coordinate);
    for (unsigned j = 0; j < block; j++)
        s.coordinate[j] = rbe_packed128_coordinate(j, w->block);
    for (size_t t = 0; t < a->count; t++)
        for (size_t r = row0; r < row1; r++)
            y[t * ldy + r] = 0;
    for (size_t t0 = 0; t0 < a->count; t0 += PACKED128_BATCH)
        for (size_t c0 = 0; c0 < wide; c0 += most) {
            const size_t blocks = wide - c0 < most ? wide - c0 : most;
            const size_t count =
                a->count - t0 < PACKED128_BATCH ? a->count - t0 : PACKED128_BATCH;
            memset(s.x, 0, sizeof s.x);
            for (size_t t = 0; t < count; t++)
                for (size_t c = 0; c < blocks; c++) {
                    const size_t n0 = (c0 + c) * block;
                    memcpy(s.x[t] + c * padded, a->x + (t0 + t) * a->stride + n0,
                           (w->cols - n0 < block ? w->cols - n0 : block) * sizeof(float));
                }
            for (size_t r = row0; r < row1; r += block) {
                const struct rbe_packed128 *code =
                    (const struct rbe_packed128 *)w->codes + r / block * wide + c0;
                for (size_t c = 0; c < blocks; c++)
                    packed128_open(&s.seed[c], code + c);
                packed128_rows(&s, block, padded, blocks, row1 - r < block ? row1 - r : block,
                               count, y + t0 * ldy + r, ldy);
            }
        }
}

/* One vector: rendering costs so much more than the three idle multiply-adds. */
static inline void gemv_packed128(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                                  size_t row0, size_t row1)
{
    gemm_packed128(w, a, y, w->rows, row0, row1);
}

#endif
