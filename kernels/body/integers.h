/*
 * integers.h - the body of every vector kernel of int8 and int4.
 *
 * SPDX-License-Identifier: MIT
 *
 * Written in the operations of an ISA's simd header, which the kernel file includes first.
 * The order of the float sums is fixed by int8.h and int4.h: all ISAs agree bit for bit, and
 * so do gemv and gemm.
 */
#ifndef RBE_KERNELS_BODY_INTEGERS_H
#define RBE_KERNELS_BODY_INTEGERS_H

#include "kernels/body/unroll.h"
#include "kernels/format/int4.h"
#include "kernels/format/int8.h"
#include "kernels/kernel.h"

/* How far ahead of their use codes that are read in order are asked for. */
enum { STREAM_AHEAD = 4096 };

/* Asks for the lines that lie STREAM_AHEAD bytes behind p..p + bytes; they may not exist. */
INLINE void stream_ahead(const void *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch((const void *)((uintptr_t)p + STREAM_AHEAD + i));
}

INLINE void dot_int8(const int8_t *code, const uint16_t *scale, size_t groups,
                     const struct rbe_act *a, size_t t, float *y)
{
    const int16_t *q = a->q + t * a->stride;
    lanes sum = lanes_zero();

    for (size_t g = 0; g < groups; g++, code += 128, q += 128) {
        stream_ahead(code, 128);
        const s32x low =
            s32_dot_add(s32_dot(s16_bytes(code), q), s16_bytes(code + 32), q + 32);
        const s32x high =
            s32_dot_add(s32_dot(s16_bytes(code + 64), q + 64), s16_bytes(code + 96), q + 96);
        sum = lanes_add(sum, s32_add(low, high), half1(scale[g]));
    }
    *y = lanes_sum(sum) * a->scale[t];
}

INLINE void dot_int4(const uint16_t *code, const uint16_t *scale, size_t units,
                     const struct rbe_act *a, size_t t, float *y)
{
    const int16_t *q = a->q + t * a->stride;
    lanes sum = lanes_zero();

    for (size_t u = 0; u < units; u++, code += 32, scale += 4, q += 128) {
        stream_ahead(code, 64);
        const s16x w = s16_load(code);
        float s[4];
        half4(s, scale);
        sum = lanes_add(sum, s32_dot(s16_nibble(w, 0), q), s[0]);
        sum = lanes_add(sum, s32_dot(s16_nibble(w, 1), q + 32), s[1]);
        sum = lanes_add(sum, s32_dot(s16_nibble(w, 2), q + 64), s[2]);
        sum = lanes_add(sum, s32_dot(s16_nibble(w, 3), q + 96), s[3]);
    }
    *y = lanes_sum(sum) * a->scale[t];
}

/* Vectors that share one decoding of the weights: what the registers hold. */
enum { BATCH = F32_LANES == 16 ? 4 : 2 };

/* Rows whose codes stay in the first-level or second-level cache while the vectors pass. */
enum { INTEGER_PANEL = 32 };

static inline void batch_int8(const int8_t *code, const uint16_t *scale, size_t groups,
                              const struct rbe_act *a, size_t t0, float *y, size_t ldy)
{
    const int16_t *q = a->q + t0 * a->stride;
    lanes sum[BATCH];

    RBE_UNROLL
    for (int t = 0; t < BATCH; t++)
        sum[t] = lanes_zero();
    for (size_t g = 0; g < groups; g++, code += 128, q += 128) {
        const float s = half1(scale[g]);
        const s16x w0 = s16_bytes(code), w1 = s16_bytes(code + 32), w2 = s16_bytes(code + 64),
                   w3 = s16_bytes(code + 96);
        RBE_UNROLL
        for (int t = 0; t < BATCH; t++) {
            const int16_t *qt = q + t * a->stride;
            const s32x low = s32_dot_add(s32_dot(w0, qt), w1, qt + 32);
            const s32x high = s32_dot_add(s32_dot(w2, qt + 64), w3, qt + 96);
            sum[t] = lanes_add(sum[t], s32_add(low, high), s);
        }
    }
    RBE_UNROLL
    for (int t = 0; t < BATCH; t++)
        y[t * ldy] = lanes_sum(sum[t]) * a->scale[t0 + t];
}

/* weight: [units][128], widened. */
static inline void batch_int4(const uint16_t *weight, const uint16_t *scale, size_t units,
                              const struct rbe_act *a, size_t t0, float *y, size_t ldy)
{
    const int16_t *q = a->q + t0 * a->stride;
    lanes sum[BATCH];

    RBE_UNROLL
    for (int t = 0; t < BATCH; t++)
        sum[t] = lanes_zero();
    for (size_t u = 0; u < units; u++, weight += 128, scale += 4, q += 128) {
        float s[4];
        half4(s, scale);
        RBE_UNROLL
        for (int k = 0; k < 4; k++) {
            const s16x w = s16_load(weight + 32 * k);
            RBE_UNROLL
            for (int t = 0; t < BATCH; t++)
                sum[t] = lanes_add(sum[t], s32_dot(w, q + t * a->stride + 32 * k), s[k]);
        }
    }
    RBE_UNROLL
    for (int t = 0; t < BATCH; t++)
        y[t * ldy] = lanes_sum(sum[t]) * a->scale[t0 + t];
}

static inline void gemv_int8(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                             size_t ldy, size_t row0, size_t row1)
{
    const size_t groups = rbe_int8_groups(w->cols);

    (void)ldy;
    for (size_t r = row0; r < row1; r++)
        dot_int8((const int8_t *)w->codes + r * groups * 128, w->scale + r * groups, groups, a,
                 0, y + r);
}

static inline void gemv_int4(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                             size_t ldy, size_t row0, size_t row1)
{
    const size_t units = rbe_int4_units(w->cols);

    (void)ldy;
    for (size_t r = row0; r < row1; r++)
        dot_int4((const uint16_t *)w->codes + r * units * 32, w->scale + r * units * 4, units,
                 a, 0, y + r);
}

static inline void gemm_int8(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                             size_t ldy, size_t row0, size_t row1)
{
    const size_t n = rbe_int8_groups(w->cols);

    for (size_t panel = row0; panel < row1; panel += INTEGER_PANEL) {
        const size_t end = panel + INTEGER_PANEL < row1 ? panel + INTEGER_PANEL : row1;
        size_t t = 0;
        for (; t + BATCH <= a->count; t += BATCH)
            for (size_t r = panel; r < end; r++)
                batch_int8((const int8_t *)w->codes + r * n * 128, w->scale + r * n, n, a, t,
                           y + t * ldy + r, ldy);
        for (; t < a->count; t++)
            for (size_t r = panel; r < end; r++)
                dot_int8((const int8_t *)w->codes + r * n * 128, w->scale + r * n, n, a, t,
                         y + t * ldy + r);
    }
}

/* Nibbles are widened a tile of rows at a time: for int8 that gains nothing. */
enum {
    INT4_TILE = 16384,          /* weights: 32 KiB of scratch */
    INT4_ROWS = 16,             /* rows of a tile, at most */
    INT4_AT_ONCE = 262144,      /* activations a tile meets, which stay in L2 */
};

static inline void widen_int4(uint16_t *to, const uint16_t *code, size_t units)
{
    for (size_t u = 0; u < units; u++, code += 32, to += 128) {
        const s16x w = s16_load(code);
        RBE_UNROLL
        for (int k = 0; k < 4; k++)
            s16_store(to + 32 * k, s16_nibble(w, k));
    }
}

/* Vectors t0..t0 + count, whole batches of them, of matrices that a tile holds a row of. */
static inline void tiles_int4(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                              size_t ldy, size_t row0, size_t row1, size_t t0, size_t count)
{
    const size_t n = rbe_int4_units(w->cols), fit = INT4_TILE / 128 / n;
    const size_t most = fit < INT4_ROWS ? fit : INT4_ROWS;
    _Alignas(64) uint16_t tile[INT4_TILE];

    for (size_t r0 = row0; r0 < row1; r0 += most) {
        const size_t rows = row1 - r0 < most ? row1 - r0 : most;
        widen_int4(tile, (const uint16_t *)w->codes + r0 * n * 32, rows * n);
        for (size_t t = t0; t < t0 + count; t += BATCH)
            for (size_t r = 0; r < rows; r++)
                batch_int4(tile + r * n * 128, w->scale + (r0 + r) * n * 4, n, a, t,
                           y + t * ldy + r0 + r, ldy);
    }
}

static inline void gemm_int4(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                             size_t ldy, size_t row0, size_t row1)
{
    const size_t n = rbe_int4_units(w->cols), most = INT4_AT_ONCE / 128 / n / BATCH * BATCH;
    /* Wider matrices, and vectors left over, are taken one vector at a time. */
    const size_t whole = n * 128 <= INT4_TILE ? a->count / BATCH * BATCH : 0;

    for (size_t t = 0; t < whole; t += most)
        tiles_int4(w, a, y, ldy, row0, row1, t, whole - t < most ? whole - t : most);
    for (size_t r = row0; r < row1; r++)
        for (size_t t = whole; t < a->count; t++)
            dot_int4((const uint16_t *)w->codes + r * n * 32, w->scale + r * n * 4, n, a, t,
                     y + t * ldy + r);
}

#endif
