/*
 * seed_gemm.h - the one seed GEMM, in the words of seed_gemv.h.
 *
 * SPDX-License-Identifier: MIT
 *
 * Some rows and columns are decoded to 16-bit integers on the stack, two columns of all the
 * rows beside each other, and multiplied by every vector, whose activations are spread two by
 * two: a lane is a row, so no sum runs across lanes.  Matrices with more columns are cut: until
 * the last columns are done, y holds the 32-bit sums.
 *
 * Besides what seed_gemv.h asks for, the includer defines u16_store, u16_pair and
 *   TILE_ROWS, TILE_VECTORS     registers of rows, and vectors, of a tile of sums
 * and, with SPLIT_PAIRS, where dot() does not add neighbours,
 *   act_pair(q)                 activations q[0] and q[1] for every row
 *   row_pairs(v)                v, four rows with two weights each, as dot() wants them
 */
#ifndef RBE_KERNELS_BODY_SEED_GEMM_H
#define RBE_KERNELS_BODY_SEED_GEMM_H

#include <string.h>

#include "kernels/body/seed_map.h"
#include "kernels/body/unroll.h"
#include "kernels/f16.h"
#include "kernels/format/seed.h"

enum {
    ROW_LANES = U16_LANES / 2,  /* sums in a register */
    DECODE_ROWS = TILE_ROWS * ROW_LANES,
    DECODE_COLS = 8192 / DECODE_ROWS,   /* 16 kB of L1 */
    VECTORS_AT_ONCE = 256,      /* times DECODE_COLS: at most 512 kB of activations in L2 */
    QUAD = 4,                   /* rows that 16 bytes hold, two weights each */
};

/* Decoded weights g + OFFSET. */
struct decoded {
    _Alignas(64) int16_t g[DECODE_COLS / 2][DECODE_ROWS][2];
};

#ifndef SPLIT_PAIRS
static inline u16x act_pair(const int16_t *q)
{
    return u16_pair(q);
}

static inline u16x row_pairs(u16x v)
{
    return v;
}
#endif

/* U16_LANES columns of four rows, to those of the first two. */
INLINE void put_quad(int16_t (*to)[DECODE_ROWS][2], size_t i, const u16x *g)
{
    const u16x a = u16_zip32_low(g[0], g[1]), b = u16_zip32_low(g[2], g[3]);
    const u16x c = u16_zip32_high(g[0], g[1]), d = u16_zip32_high(g[2], g[3]);
    const u16x pairs[] = {u16_zip64_low(a, b), u16_zip64_high(a, b), u16_zip64_low(c, d),
                          u16_zip64_high(c, d)};

    /* 16 bytes of a register had four pairs. */
    RBE_UNROLL
    for (int k = 0; k < 4; k++)
        u16_store_parts((uint16_t *)to[k][i], sizeof to[0] / sizeof(int16_t) * 4,
                        row_pairs(pairs[k]));
}

/* In the place of rows past the last, that one. */
static void decode(struct decoded *d, const struct rbe_matrix *w, size_t r, size_t rows,
                   size_t col, size_t cols)
{
    for (size_t i = 0; i < DECODE_ROWS; i += QUAD) {
        struct rbe_seed_window at[QUAD];
        struct row_const k[QUAD];

        for (size_t j = 0; j < QUAD; j++) {
            const size_t row = r + (i + j < rows ? i + j : rows - 1);
            at[j] = rbe_seed_window_at(w, row);
            at[j].low += col / RBE_SEED_LANES * at[j].low_step;
            at[j].high += col / RBE_SEED_LANES * at[j].high_step;
            set_row(&k[j], at[j].shift, (unsigned)(row % w->block));
        }
        for (size_t n = 0; n < cols; n += RBE_SEED_LANES) {
            for (size_t l = 0; l < RBE_SEED_LANES; l += U16_LANES) {
                u16x g[QUAD];
                RBE_UNROLL
                for (int j = 0; j < QUAD; j++)
                    g[j] = map(window(u16_load(at[j].low + l), u16_load(at[j].high + l),
                                      &k[j].shifts), &k[j]);
                put_quad(d->g + (n + l) / 2, i, g);
            }
            for (int j = 0; j < QUAD; j++) {
                at[j].low += at[j].low_step;
                at[j].high += at[j].high_step;
            }
        }
    }
}

/* Where the sums of one decoded block go. */
struct block_out {
    float *y;                   /* [vector][ldy], of the first row; gets DECODE_ROWS */
    size_t ldy;
    const float *scale;         /* [DECODE_ROWS] */
    const float *act_scale;     /* of the first vector */
    const uint32_t *offset;     /* of the first vector: OFFSET * sum of q */
    bool first, last;           /* columns: y holds nothing yet; y gets its floats */
};

/* The same for the vectors from t on. */
INLINE struct block_out from_vector(struct block_out o, size_t t)
{
    o.y += t * o.ldy;
    o.act_scale += t;
    o.offset += t;
    return o;
}

typedef uint32_t u32_lanes __attribute__((vector_size(sizeof(u16x))));
typedef int32_t s32_lanes __attribute__((vector_size(sizeof(u16x))));

INLINE void put_floats(float *y, u16x sum, const float *scale, float act_scale)
{
    const f32x v = __builtin_convertvector((s32_lanes)sum, f32x);

    f32_store(y, f32_mul(v, f32_mul(f32_load(scale), f32_set(act_scale))));
}

INLINE void multiply_tile(const unsigned vectors, const struct decoded *d, const int16_t *q,
                          size_t stride, size_t cols, const struct block_out *o)
{
    u16x s[TILE_ROWS][TILE_VECTORS];

    RBE_UNROLL
    for (unsigned v = 0; v < vectors; v++) {
        const u32_lanes none = {0}, start = none - (OFFSET ? o->offset[v] : 0);
        RBE_UNROLL
        for (unsigned r = 0; r < TILE_ROWS; r++)
            s[r][v] = o->first ? (u16x)start : u16_load(o->y + v * o->ldy + r * ROW_LANES);
    }
    for (size_t n = 0; n < cols / 2; n++) {
        u16x g[TILE_ROWS];
        RBE_UNROLL
        for (unsigned r = 0; r < TILE_ROWS; r++)
            g[r] = u16_load(d->g[n][r * ROW_LANES]);
        RBE_UNROLL
        for (unsigned v = 0; v < vectors; v++) {
            const u16x x = act_pair(q + v * stride + 2 * n);
            RBE_UNROLL
            for (unsigned r = 0; r < TILE_ROWS; r++)
                s[r][v] = dot(s[r][v], g[r], x);
        }
    }
    RBE_UNROLL
    for (unsigned v = 0; v < vectors; v++) {
        RBE_UNROLL
        for (unsigned r = 0; r < TILE_ROWS; r++) {
            float *y = o->y + v * o->ldy + r * ROW_LANES;
            if (o->last)
                put_floats(y, s[r][v], o->scale + r * ROW_LANES, o->act_scale[v]);
            else
                u16_store(y, s[r][v]);
        }
    }
}

static void multiply_block(const struct decoded *d, const int16_t *q, size_t stride,
                           size_t cols, size_t count, const struct block_out *o)
{
    size_t t = 0;

    for (; t + TILE_VECTORS <= count; t += TILE_VECTORS) {
        const struct block_out to = from_vector(*o, t);
        multiply_tile(TILE_VECTORS, d, q + t * stride, stride, cols, &to);
    }
    for (; t + 2 <= count; t += 2) {
        const struct block_out to = from_vector(*o, t);
        multiply_tile(2, d, q + t * stride, stride, cols, &to);
    }
    if (t < count) {
        const struct block_out to = from_vector(*o, t);
        multiply_tile(1, d, q + t * stride, stride, cols, &to);
    }
}

/* The same with fewer rows than a block has: a few vectors at a time, by way of the stack. */
static void multiply_few_rows(const struct decoded *d, const int16_t *q, size_t stride,
                              size_t cols, size_t count, const struct block_out *o,
                              size_t rows)
{
    float y[TILE_VECTORS][DECODE_ROWS] = {{0}};

    for (size_t t = 0; t < count; t += TILE_VECTORS) {
        const size_t vectors = count - t < TILE_VECTORS ? count - t : TILE_VECTORS;
        struct block_out to = from_vector(*o, t);
        float *const out = to.y;
        to.y = y[0];
        to.ldy = DECODE_ROWS;
        for (size_t v = 0; v < vectors && !o->first; v++)
            memcpy(y[v], out + v * o->ldy, rows * sizeof *out);
        multiply_block(d, q + t * stride, stride, cols, vectors, &to);
        for (size_t v = 0; v < vectors; v++)
            memcpy(out + v * o->ldy, y[v], rows * sizeof *out);
    }
}

static void multiply_vectors(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                             size_t ldy, size_t row0, size_t row1, size_t t0, size_t count)
{
    const size_t padded = rbe_seed_groups(w->cols) * RBE_SEED_LANES;
    const int16_t *q = a->q + t0 * a->stride;
    uint32_t offset[VECTORS_AT_ONCE] = {0};
    struct decoded d;

    for (size_t t = 0; OFFSET != 0 && t < count; t++) {
        uint32_t sum = 0;
        for (size_t n = 0; n < w->cols; n++)
            sum += (uint32_t)q[t * a->stride + n];
        offset[t] = sum * OFFSET;
    }
    for (size_t col = 0; col < padded; col += DECODE_COLS) {
        const size_t cols = padded - col < DECODE_COLS ? padded - col : DECODE_COLS;
        for (size_t r = row0; r < row1; r += DECODE_ROWS) {
            const size_t rows = row1 - r < DECODE_ROWS ? row1 - r : DECODE_ROWS;
            float scale[DECODE_ROWS] = {0};
            const struct block_out o = {
                .y = y + t0 * ldy + r,
                .ldy = ldy,
                .scale = scale,
                .act_scale = a->scale + t0,
                .offset = offset,
                .first = col == 0,
                .last = col + cols == padded,
            };
            for (size_t i = 0; o.last && i < rows; i++)
                scale[i] = rbe_f16_to_f32(w->scale[r + i]);
            decode(&d, w, r, rows, col, cols);
            if (rows == DECODE_ROWS)
                multiply_block(&d, q + col, a->stride, cols, count, &o);
            else
                multiply_few_rows(&d, q + col, a->stride, cols, count, &o, rows);
        }
    }
}

static void gemm_seeds(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                       size_t ldy, size_t row0, size_t row1)
{
    for (size_t t = 0; t < a->count; t += VECTORS_AT_ONCE)
        multiply_vectors(w, a, y, ldy, row0, row1, t,
                         a->count - t < VECTORS_AT_ONCE ? a->count - t : VECTORS_AT_ONCE);
}

#endif
