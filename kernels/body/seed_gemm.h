/*
 * seed_gemm.h - the one seed GEMM, in the words of seed_gemv.h.
 *
 * SPDX-License-Identifier: MIT
 *
 * DECODE_ROWS rows of DECODE_COLS columns are decoded to 16-bit integers on the stack and
 * multiplied by every vector, TILE_ROWS x TILE_VECTORS sums at a time in registers.  Matrices
 * with more columns are cut: until the last columns are done, y holds the 32-bit sums.
 *
 * Besides what seed_gemv.h asks for, the includer defines u16_store, TILE_ROWS and
 * TILE_VECTORS, at most 4 each.
 */
#ifndef RBE_KERNELS_BODY_SEED_GEMM_H
#define RBE_KERNELS_BODY_SEED_GEMM_H

#include <string.h>

#include "kernels/body/seed_map.h"
#include "kernels/body/unroll.h"
#include "kernels/format/seed.h"

enum {
    DECODE_ROWS = 8,            /* with DECODE_COLS: 16 kB of L1, 8 kB more for the vectors */
    DECODE_COLS = 1024,
    VECTORS_AT_ONCE = 256,      /* times DECODE_COLS: 512 kB of activations stay in L2 */
    TILE_SUMS = TILE_ROWS * TILE_VECTORS,
};

/* Decoded weights g + OFFSET of some rows and columns. */
struct decoded {
    _Alignas(64) int16_t g[DECODE_ROWS][DECODE_COLS];
};

/* Rows past the last are zeros. */
static void decode(struct decoded *d, const struct rbe_matrix *w, size_t r, size_t rows,
                   size_t col, size_t cols)
{
    for (size_t i = 0; i < DECODE_ROWS; i++) {
        int16_t *to = d->g[i];
        if (i >= rows) {
            memset(to, 0, cols * sizeof *to);
            continue;
        }
        const struct rbe_seed_window at = rbe_seed_window_at(w, r + i);
        const uint16_t *low = at.low + col / RBE_SEED_LANES * at.low_step;
        const uint16_t *high = at.high + col / RBE_SEED_LANES * at.high_step;
        struct row_const k;

        set_row(&k, at.shift, (unsigned)((r + i) % w->block));
        for (size_t n = 0; n < cols; n += RBE_SEED_LANES) {
            for (size_t l = 0; l < RBE_SEED_LANES; l += U16_LANES)
                u16_store(to + n + l, map(window(u16_load(low + l), u16_load(high + l),
                                                 &k.shifts), &k));
            low += at.low_step;
            high += at.high_step;
        }
    }
}

/* Sums of TILE_ROWS rows from g on and `vectors` vectors from q on: [vector][row]. */
INLINE void multiply_tile(const unsigned vectors, const int16_t *g, const int16_t *q,
                          size_t stride, size_t cols, int32_t *total)
{
#define EACH_SUM(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) \
                     DO(12) DO(13) DO(14) DO(15)
#define START(i) u16x sum##i = u16_set(0);
    EACH_SUM(START)
#undef START
    for (size_t n = 0; n < cols; n += U16_LANES) {
        const u16x none = u16_set(0);
        const u16x g0 = u16_load(g + n);
        const u16x g1 = TILE_ROWS > 1 ? u16_load(g + DECODE_COLS + n) : none;
        const u16x g2 = TILE_ROWS > 2 ? u16_load(g + 2 * DECODE_COLS + n) : none;
        const u16x g3 = TILE_ROWS > 3 ? u16_load(g + 3 * DECODE_COLS + n) : none;
        const u16x x0 = u16_load(q + n);
        const u16x x1 = vectors > 1 ? u16_load(q + stride + n) : none;
        const u16x x2 = vectors > 2 ? u16_load(q + 2 * stride + n) : none;
        const u16x x3 = vectors > 3 ? u16_load(q + 3 * stride + n) : none;
#define PICK(i, v) ((i) == 0 ? v##0 : (i) == 1 ? v##1 : (i) == 2 ? v##2 : v##3)
#define STEP(i)                                                                                \
    if (i < TILE_ROWS * vectors)                                                               \
        sum##i = dot(sum##i, PICK(i % TILE_ROWS, g), PICK(i / TILE_ROWS, x));
        EACH_SUM(STEP)
#undef STEP
    }
    u16x sums[16];
#define STORE(i) sums[i] = sum##i;
    EACH_SUM(STORE)
#undef STORE
    reduce(total, sums, TILE_ROWS * (int)vectors);
}

/* Where the sums of one decoded block go. */
struct block_out {
    float *y;                   /* [vector][ldy], of the first row */
    size_t ldy, rows;
    const uint16_t *scale;      /* of the first row */
    const float *act_scale;     /* of the first vector */
    const int32_t *offset;      /* of the first vector: OFFSET * sum of q */
    bool first, last;           /* columns: y holds nothing yet; y gets its floats */
};

static void put_vector(const struct block_out *o, int32_t *sum, size_t vector)
{
    float *y = o->y + vector * o->ldy;

    for (size_t r = 0; !o->first && r < o->rows; r++) {
        int32_t before;
        memcpy(&before, &y[r], sizeof before);
        sum[r] = (int32_t)((uint32_t)sum[r] + (uint32_t)before);
    }
    if (!o->last) {
        memcpy(y, sum, o->rows * sizeof *sum);
        return;
    }
    for (size_t r = 0; OFFSET != 0 && r < o->rows; r++)
        sum[r] = (int32_t)((uint32_t)sum[r] - (uint32_t)o->offset[vector]);
    finish(y, sum, o->scale, o->act_scale[vector], o->rows);
}

static void multiply_block(const struct decoded *d, const int16_t *q, size_t stride,
                           size_t cols, size_t count, const struct block_out *o)
{
    for (size_t t = 0; t < count; t += TILE_VECTORS) {
        const size_t vectors = count - t < TILE_VECTORS ? count - t : TILE_VECTORS;
        int32_t sum[TILE_VECTORS][DECODE_ROWS], total[16];

        for (size_t r = 0; r < o->rows; r += TILE_ROWS) {
            const int16_t *g = d->g[r], *x = q + t * stride;
            if (vectors == TILE_VECTORS)
                multiply_tile(TILE_VECTORS, g, x, stride, cols, total);
            else if (vectors == 1)
                multiply_tile(1, g, x, stride, cols, total);
            else if (vectors == 2)
                multiply_tile(2, g, x, stride, cols, total);
            else
                multiply_tile(3, g, x, stride, cols, total);
            for (size_t v = 0; v < vectors; v++)
                memcpy(&sum[v][r], total + v * TILE_ROWS, TILE_ROWS * sizeof *total);
        }
        for (size_t v = 0; v < vectors; v++)
            put_vector(o, sum[v], t + v);
    }
}

static void multiply_vectors(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                             size_t ldy, size_t row0, size_t row1, size_t t0, size_t count)
{
    const size_t padded = rbe_seed_groups(w->cols) * RBE_SEED_LANES;
    const int16_t *q = a->q + t0 * a->stride;
    int32_t offset[VECTORS_AT_ONCE] = {0};
    struct decoded d;

    for (size_t t = 0; OFFSET != 0 && t < count; t++) {
        uint32_t sum = 0;
        for (size_t n = 0; n < w->cols; n++)
            sum += (uint32_t)q[t * a->stride + n];
        offset[t] = (int32_t)(sum * OFFSET);
    }
    for (size_t col = 0; col < padded; col += DECODE_COLS) {
        const size_t cols = padded - col < DECODE_COLS ? padded - col : DECODE_COLS;
        for (size_t r = row0; r < row1; r += DECODE_ROWS) {
            const struct block_out o = {
                .y = y + t0 * ldy + r,
                .ldy = ldy,
                .rows = row1 - r < DECODE_ROWS ? row1 - r : DECODE_ROWS,
                .scale = w->scale + r,
                .act_scale = a->scale + t0,
                .offset = offset,
                .first = col == 0,
                .last = col + cols == padded,
            };
            decode(&d, w, r, o.rows, col, cols);
            multiply_block(&d, q + col, a->stride, cols, count, &o);
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
