/*
 * floats.h - the body of every vector kernel of f32 and f16.
 *
 * SPDX-License-Identifier: MIT
 *
 * Written in the operations of an ISA's simd header, which the kernel file includes first.
 * Weights are read row after row, so that the hardware prefetcher sees one stream; four
 * accumulators a row hide the latency of the multiply-add.
 */
#ifndef RBE_KERNELS_BODY_FLOATS_H
#define RBE_KERNELS_BODY_FLOATS_H

#include "kernels/body/unroll.h"
#include "kernels/kernel.h"

/* The first n < F32_LANES weights from p, then zeros: a row may end at the last byte. */
static inline f32x weights_f32_tail(const float *p, size_t n)
{
    float v[F32_LANES] = {0};
    memcpy(v, p, n * sizeof *p);
    return f32_load(v);
}

static inline f32x weights_f16_tail(const uint16_t *p, size_t n)
{
    uint16_t v[F32_LANES] = {0};
    memcpy(v, p, n * sizeof *p);
    return f32_load_half(v);
}

INLINE float dot_f32(const float *row, const float *x, size_t cols)
{
    f32x s0 = f32_set(0), s1 = s0, s2 = s0, s3 = s0;
    size_t c = 0;

    for (; c + 4 * F32_LANES <= cols; c += 4 * F32_LANES) {
        s0 = f32_fma(f32_load(row + c), f32_load(x + c), s0);
        s1 = f32_fma(f32_load(row + c + F32_LANES), f32_load(x + c + F32_LANES), s1);
        s2 = f32_fma(f32_load(row + c + 2 * F32_LANES), f32_load(x + c + 2 * F32_LANES), s2);
        s3 = f32_fma(f32_load(row + c + 3 * F32_LANES), f32_load(x + c + 3 * F32_LANES), s3);
    }
    for (; c + F32_LANES <= cols; c += F32_LANES)
        s0 = f32_fma(f32_load(row + c), f32_load(x + c), s0);
    if (c < cols)
        s1 = f32_fma(weights_f32_tail(row + c, cols - c), f32_load(x + c), s1);
    return f32_sum(f32_add(f32_add(s0, s1), f32_add(s2, s3)));
}

INLINE float dot_f16(const uint16_t *row, const float *x, size_t cols)
{
    f32x s0 = f32_set(0), s1 = s0, s2 = s0, s3 = s0;
    size_t c = 0;

    for (; c + 4 * F32_LANES <= cols; c += 4 * F32_LANES) {
        const uint16_t *p = row + c;
        s0 = f32_fma(f32_load_half(p), f32_load(x + c), s0);
        s1 = f32_fma(f32_load_half(p + F32_LANES), f32_load(x + c + F32_LANES), s1);
        s2 = f32_fma(f32_load_half(p + 2 * F32_LANES), f32_load(x + c + 2 * F32_LANES), s2);
        s3 = f32_fma(f32_load_half(p + 3 * F32_LANES), f32_load(x + c + 3 * F32_LANES), s3);
    }
    for (; c + F32_LANES <= cols; c += F32_LANES)
        s0 = f32_fma(f32_load_half(row + c), f32_load(x + c), s0);
    if (c < cols)
        s1 = f32_fma(weights_f16_tail(row + c, cols - c), f32_load(x + c), s1);
    return f32_sum(f32_add(f32_add(s0, s1), f32_add(s2, s3)));
}

static inline void gemv_f32(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                            size_t ldy, size_t row0, size_t row1)
{
    (void)ldy;
    for (size_t r = row0; r < row1; r++)
        y[r] = dot_f32((const float *)w->codes + r * w->cols, a->x, w->cols);
}

static inline void gemv_f16(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                            size_t ldy, size_t row0, size_t row1)
{
    (void)ldy;
    for (size_t r = row0; r < row1; r++)
        y[r] = dot_f16((const uint16_t *)w->codes + r * w->cols, a->x, w->cols);
}

/*
 * Products of several vectors: tiles of TILE_ROWS x TILE_COUNT accumulators, as many as the
 * registers hold, inside panels of PANEL rows that stay in the second-level cache while all
 * the vectors pass by.  A tile that would stick out is taken further up or earlier instead,
 * where there is room for it, and computes some results twice; small shapes fall to dot().
 */
enum { TILE_ROWS = SIMD_REGISTERS / 8, TILE_COUNT = 4, PANEL = 32 };

#define TILE_STEP(s, v, x, stride)                                                             \
    RBE_UNROLL                                                                                 \
    for (int t = 0; t < TILE_COUNT; t++) {                                                     \
        const f32x xt = f32_load((x) + t * (stride));                                          \
        RBE_UNROLL                                                                             \
        for (int r = 0; r < TILE_ROWS; r++)                                                    \
            s[r][t] = f32_fma(v[r], xt, s[r][t]);                                              \
    }

#define GEMM_TILE(format, type, load, load_tail)                                               \
    static inline void tile_##format(const type *row, size_t cols, const float *x,             \
                                     size_t stride, float *y, size_t ldy)                      \
    {                                                                                          \
        f32x s[TILE_ROWS][TILE_COUNT];                                                         \
        size_t c = 0;                                                                          \
                                                                                               \
        RBE_UNROLL                                                                             \
        for (int r = 0; r < TILE_ROWS; r++)                                                    \
            RBE_UNROLL                                                                         \
            for (int t = 0; t < TILE_COUNT; t++)                                               \
                s[r][t] = f32_set(0);                                                          \
        for (; c + F32_LANES <= cols; c += F32_LANES) {                                        \
            f32x v[TILE_ROWS];                                                                 \
            RBE_UNROLL                                                                         \
            for (int r = 0; r < TILE_ROWS; r++)                                                \
                v[r] = load(row + r * cols + c);                                               \
            TILE_STEP(s, v, x + c, stride)                                                     \
        }                                                                                      \
        if (c < cols) {                                                                        \
            f32x v[TILE_ROWS];                                                                 \
            RBE_UNROLL                                                                         \
            for (int r = 0; r < TILE_ROWS; r++)                                                \
                v[r] = load_tail(row + r * cols + c, cols - c);                                \
            TILE_STEP(s, v, x + c, stride)                                                     \
        }                                                                                      \
        RBE_UNROLL                                                                             \
        for (int r = 0; r < TILE_ROWS; r++)                                                    \
            RBE_UNROLL                                                                         \
            for (int t = 0; t < TILE_COUNT; t++)                                               \
                y[t * ldy + r] = f32_sum(s[r][t]);                                             \
    }                                                                                          \
                                                                                               \
    static inline void gemm_##format(const struct rbe_matrix *w, const struct rbe_act *a,      \
                                     float *y, size_t ldy, size_t row0, size_t row1)           \
    {                                                                                          \
        const type *codes = w->codes;                                                          \
        const size_t cols = w->cols, count = a->count;                                         \
                                                                                               \
        if (row1 - row0 < TILE_ROWS || count < TILE_COUNT) {                                   \
            for (size_t r = row0; r < row1; r++)                                               \
                for (size_t t = 0; t < count; t++)                                             \
                    y[t * ldy + r] = dot_##format(codes + r * cols, a->x + t * a->stride,      \
                                                  cols);                                       \
            return;                                                                            \
        }                                                                                      \
        for (size_t panel = row0; panel < row1; panel += PANEL) {                              \
            const size_t end = panel + PANEL < row1 ? panel + PANEL : row1;                    \
            for (size_t t0 = 0; t0 < count; t0 += TILE_COUNT) {                                \
                const size_t t = t0 + TILE_COUNT <= count ? t0 : count - TILE_COUNT;           \
                for (size_t r0 = panel; r0 < end; r0 += TILE_ROWS) {                           \
                    const size_t r = r0 + TILE_ROWS <= row1 ? r0 : row1 - TILE_ROWS;           \
                    tile_##format(codes + r * cols, cols, a->x + t * a->stride, a->stride,     \
                                  y + t * ldy + r, ldy);                                       \
                }                                                                              \
            }                                                                                  \
        }                                                                                      \
    }

GEMM_TILE(f32, float, f32_load, weights_f32_tail)
GEMM_TILE(f16, uint16_t, f32_load_half, weights_f16_tail)

#undef GEMM_TILE
#undef TILE_STEP

enum { HALF_TILE = 16384 };     /* weights: 64 KiB of scratch */

/* f16 where no instruction converts it: as many rows as fit are converted for all vectors. */
static inline void gemm_f16_converted(const struct rbe_matrix *w, const struct rbe_act *a,
                                      float *y, size_t ldy, size_t row0, size_t row1)
{
    const size_t cols = w->cols, fit = HALF_TILE / cols;
    float tile[HALF_TILE + F32_LANES];

    if (fit == 0) {
        gemm_f16(w, a, y, ldy, row0, row1);
        return;
    }
    for (size_t r = row0; r < row1; r += fit) {
        const size_t rows = row1 - r < fit ? row1 - r : fit, n = rows * cols;
        const uint16_t *code = (const uint16_t *)w->codes + r * cols;
        const struct rbe_matrix converted = {
            .format = RBE_F32, .rows = (uint32_t)rows, .cols = w->cols, .codes = tile};
        size_t i = 0;
        for (; i + F32_LANES <= n; i += F32_LANES)
            f32_store(tile + i, f32_load_half(code + i));
        if (i < n)
            f32_store(tile + i, weights_f16_tail(code + i, n - i));
        gemm_f32(&converted, a, y + r, ldy, 0, rows);
    }
}

#endif
