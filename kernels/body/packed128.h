/*
 * packed128.h - the body of every kernel of `packed128`: rendered as it is multiplied.
 *
 * SPDX-License-Identifier: MIT
 *
 * A tile of a few rows is rendered to scratch and then serves all vectors.  Where a weight
 * stands in its block fixes d and the angle, so these are found once a row for all blocks
 * beside each other; then each seed renders as many weights as a register holds, by the very
 * operations of format/packed128.h, so that every ISA renders the same bits, and only the sum
 * over columns rounds differently.
 *
 * Written in the operations of an ISA's simd header, which the kernel file includes first.
 * Scratch is on the stack, bounded for every shape.
 */
#ifndef RBE_KERNELS_BODY_PACKED128_H
#define RBE_KERNELS_BODY_PACKED128_H

#include <stdbool.h>

#include "kernels/body/floats.h"
#include "kernels/body/unroll.h"
#include "kernels/format/packed128.h"
#include "kernels/kernel.h"

enum {
    PACKED128_SEEDS = 64,       /* blocks beside each other in a tile, at most ... */
    PACKED128_COLUMNS = 512,    /* ... and their columns: with 8 rows 16 KiB */
    PACKED128_WIDTH = PACKED128_COLUMNS + 16,
    PACKED128_ROWS = 8,
    PACKED128_PASS = SIMD_REGISTERS / 8,    /* rows whose sums are in registers at once, ... */
    PACKED128_VECTORS = 4,      /* ... times vectors */
    PACKED128_AT_ONCE = 256,    /* vectors a tile meets: 512 KiB of them stay in L2 */
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
    float d[RBE_PACKED128_MAX_BLOCK + 16];          /* of one row's columns */
    float sin_a[RBE_PACKED128_MAX_BLOCK + 16], cos_a[RBE_PACKED128_MAX_BLOCK + 16];
    float w[PACKED128_ROWS][PACKED128_WIDTH];
};

/* Row i of the blocks in scratch to `out`; `cols` of its columns exist, then come zeros up to
 * the end of a register. */
static inline void packed128_row(struct packed128_scratch *s, size_t block, size_t blocks,
                                 size_t i, float *out, size_t cols)
{
    const f32x row = f32_set(s->coordinate[i]), row2 = f32_mul(row, row);

    for (size_t j = 0; j < block; j += F32_LANES) {
        const f32x column = f32_load(s->coordinate + j);
        const f32x d = f32_sqrt(f32_add(f32_mul(column, column), row2));
        f32_store(s->d + j, d);
        f32_store(s->sin_a + j, f32_if_positive(d, f32_div(row, d), f32_set(0)));
        f32_store(s->cos_a + j, f32_if_positive(d, f32_div(column, d), f32_set(1)));
    }
    /* The last register of a block overlaps the next one, which is written after it. */
    for (size_t c = 0; c < blocks; c++)
        for (size_t j = 0; j < block; j += F32_LANES)
            f32_store(out + c * block + j,
                      packed128_render(&s->seed[c], (unsigned)(j - i) & 3, f32_load(s->d + j),
                                       f32_load(s->sin_a + j), f32_load(s->cos_a + j)));
    for (size_t n = cols; n % F32_LANES; n++)
        out[n] = 0;
}

struct packed128_sums {
    f32x v[PACKED128_PASS][PACKED128_VECTORS];
};

/* One register of columns; `n` of them exist, past which activations may be anything. */
INLINE void packed128_step(struct packed128_sums *sum, const int vectors, const float *w,
                           const float *x, size_t stride, size_t n)
{
    f32x v[PACKED128_PASS];

    RBE_UNROLL
    for (int r = 0; r < PACKED128_PASS; r++)
        v[r] = f32_load(w + r * PACKED128_WIDTH);
    RBE_UNROLL
    for (int t = 0; t < vectors; t++) {
        const f32x xt = n < F32_LANES ? weights_f32_tail(x + t * stride, n)
                                      : f32_load(x + t * stride);
        RBE_UNROLL
        for (int r = 0; r < PACKED128_PASS; r++)
            sum->v[r][t] = f32_fma(v[r], xt, sum->v[r][t]);
    }
}

/* Adds the products of PACKED128_PASS rows from w on, `rows` of which are wanted, and of
 * `vectors` vectors from x on to y. */
INLINE void packed128_multiply(const int vectors, const float *w, size_t cols, const float *x,
                               size_t stride, float *y, size_t ldy, size_t rows)
{
    struct packed128_sums sum;
    size_t c = 0;

    RBE_UNROLL
    for (int r = 0; r < PACKED128_PASS; r++) {
        RBE_UNROLL
        for (int t = 0; t < vectors; t++)
            sum.v[r][t] = f32_set(0);
    }
    for (; c + F32_LANES <= cols; c += F32_LANES)
        packed128_step(&sum, vectors, w + c, x + c, stride, F32_LANES);
    if (c < cols)
        packed128_step(&sum, vectors, w + c, x + c, stride, cols - c);
    RBE_UNROLL
    for (int r = 0; r < PACKED128_PASS; r++) {
        RBE_UNROLL
        for (int t = 0; t < vectors; t++)
            if ((size_t)r < rows)
                y[t * ldy + r] += f32_sum(sum.v[r][t]);
    }
}

/* The tile's n rows times `count` vectors. */
static inline void packed128_tile(const struct packed128_scratch *s, size_t n, size_t cols,
                                  const float *x, size_t stride, size_t count, float *y,
                                  size_t ldy)
{
    for (size_t t = 0; t < count;) {
        const bool all = count - t >= PACKED128_VECTORS;
        for (size_t r = 0; r < n; r += PACKED128_PASS) {
            const float *w = s->w[r], *xt = x + t * stride;
            float *yt = y + t * ldy + r;
            if (all)
                packed128_multiply(PACKED128_VECTORS, w, cols, xt, stride, yt, ldy, n - r);
            else
                packed128_multiply(1, w, cols, xt, stride, yt, ldy, n - r);
        }
        t += all ? PACKED128_VECTORS : 1;
    }
}

/* Rows row0..row1 of `blocks` blocks from c0 on, times `count` vectors from t0 on. */
static inline void packed128_columns(struct packed128_scratch *s, const struct rbe_matrix *w,
                                     const struct rbe_act *a, size_t t0, size_t count,
                                     size_t c0, size_t blocks, float *y, size_t ldy,
                                     size_t row0, size_t row1)
{
    const size_t block = w->block, n0 = c0 * block;
    const size_t wide = rbe_packed128_blocks(w->cols, block);
    const size_t cols = w->cols - n0 < blocks * block ? w->cols - n0 : blocks * block;

    for (size_t r = row0; r < row1; r += block) {
        const struct rbe_packed128 *code =
            (const struct rbe_packed128 *)w->codes + r / block * wide + c0;
        const size_t rows = row1 - r < block ? row1 - r : block;

        for (size_t c = 0; c < blocks; c++)
            packed128_open(&s->seed[c], code + c);
        for (size_t i = 0; i < rows; i += PACKED128_ROWS) {
            const size_t n = rows - i < PACKED128_ROWS ? rows - i : PACKED128_ROWS;
            for (size_t k = 0; k < n; k++)
                packed128_row(s, block, blocks, i + k, s->w[k], cols);
            packed128_tile(s, n, cols, a->x + t0 * a->stride + n0, a->stride, count,
                           y + t0 * ldy + r + i, ldy);
        }
    }
}

static inline void multiply_packed128(const struct rbe_matrix *w, const struct rbe_act *a,
                                      float *y, size_t ldy, size_t row0, size_t row1)
{
    const size_t wide = rbe_packed128_blocks(w->cols, w->block);
    const size_t most = PACKED128_COLUMNS / w->block < PACKED128_SEEDS
                            ? PACKED128_COLUMNS / w->block
                            : PACKED128_SEEDS;
    struct packed128_scratch s;

    memset(s.w, 0, sizeof s.w);     /* rows that no tile reaches are multiplied, too */
    memset(s.coordinate, 0, sizeof s.coordinate);
    for (unsigned j = 0; j < w->block; j++)
        s.coordinate[j] = rbe_packed128_coordinate(j, w->block);
    for (size_t t = 0; t < a->count; t++)
        for (size_t r = row0; r < row1; r++)
            y[t * ldy + r] = 0;
    for (size_t t = 0; t < a->count; t += PACKED128_AT_ONCE) {
        const size_t left = a->count - t;
        for (size_t c = 0; c < wide; c += most)
            packed128_columns(&s, w, a, t, left < PACKED128_AT_ONCE ? left : PACKED128_AT_ONCE,
                              c, wide - c < most ? wide - c : most, y, ldy, row0, row1);
    }
}

#endif
