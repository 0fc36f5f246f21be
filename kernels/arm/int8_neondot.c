/*
 * int8_neondot.c - int8 by dot products of bytes, in the order of sums that int8.h fixes.
 *
 * SPDX-License-Identifier: MIT
 *
 * Activations are split, q = 256 high + low, and shared by four rows.  A 32-bit
 * lane of a dot product takes four bytes: the columns 2 l, 2 l + 1 of one part of 32 columns
 * and of the next, which int8.h adds in integers.
 */
#include "kernels/arm/simd_neon.h"

#include "kernels/body/unroll.h"
#include "kernels/format/int8.h"
#include "kernels/list.h"

enum { ROWS_AT_ONCE = 4 };

struct split {
    int8x16_t high, low;
};

/* Columns 8 j .. of a part and of the next: pairs of bytes by turns. */
static inline struct split split_pairs(const int16_t *part, const int16_t *next)
{
    const int32x4_t a = vreinterpretq_s32_s16(vld1q_s16(part));
    const int32x4_t b = vreinterpretq_s32_s16(vld1q_s16(next));
    const int16x8_t first = vreinterpretq_s16_s32(vzip1q_s32(a, b));
    const int16x8_t second = vreinterpretq_s16_s32(vzip2q_s32(a, b));
    return (struct split){vuzp1q_s8(vreinterpretq_s8_s16(vrshrq_n_s16(first, 8)),
                                    vreinterpretq_s8_s16(vrshrq_n_s16(second, 8))),
                          vuzp1q_s8(vreinterpretq_s8_s16(first), vreinterpretq_s8_s16(second))};
}

/* Sixteen columns of a part and of the next, of one row: lanes of columns 0 to 7, 8 to 15. */
static inline void add_products(int32x4_t high[2], int32x4_t low[2], const int8_t *code,
                                const struct split x[2])
{
    const int16x8_t part = vreinterpretq_s16_s8(vld1q_s8(code));
    const int16x8_t next = vreinterpretq_s16_s8(vld1q_s8(code + 32));
    const int8x16_t w0 = vreinterpretq_s8_s16(vzip1q_s16(part, next));
    const int8x16_t w1 = vreinterpretq_s8_s16(vzip2q_s16(part, next));

    high[0] = vdotq_s32(high[0], w0, x[0].high);
    low[0] = vdotq_s32(low[0], w0, x[0].low);
    high[1] = vdotq_s32(high[1], w1, x[1].high);
    low[1] = vdotq_s32(low[1], w1, x[1].low);
}

/* Columns 16 half .. of all four parts of a group, for `rows` rows. */
INLINE void multiply_half(const int rows, const int half, const int8_t *code,
                          const float *scale, size_t groups, const int16_t *q,
                          float32x4_t lane[][4])
{
    const int32x4_t zero = vdupq_n_s32(0);
    int32x4_t high[ROWS_AT_ONCE][2], low[ROWS_AT_ONCE][2];

    RBE_UNROLL
    for (int r = 0; r < rows; r++)
        high[r][0] = high[r][1] = low[r][0] = low[r][1] = zero;
    RBE_UNROLL
    for (int part = 0; part < 128; part += 64) {
        const int at = part + 16 * half;
        const struct split x[2] = {split_pairs(q + at, q + at + 32),
                                   split_pairs(q + at + 8, q + at + 40)};
        RBE_UNROLL
        for (int r = 0; r < rows; r++)
            add_products(high[r], low[r], code + (size_t)r * groups * 128 + at, x);
    }
    RBE_UNROLL
    for (int r = 0; r < rows; r++) {
        RBE_UNROLL
        for (int j = 0; j < 2; j++) {
            const float32x4_t sum = vcvtq_f32_s32(vmlaq_n_s32(low[r][j], high[r][j], 256));
            float32x4_t *to = &lane[r][2 * half + j];
            *to = vaddq_f32(*to, vmulq_n_f32(sum, scale[r]));
        }
    }
}

INLINE void multiply_rows(const int rows, const int8_t *code, const uint16_t *scale,
                          size_t groups, const int16_t *q, float act_scale, float *y)
{
    float32x4_t lane[ROWS_AT_ONCE][4];

    RBE_UNROLL
    for (int r = 0; r < rows; r++)
        lane[r][0] = lane[r][1] = lane[r][2] = lane[r][3] = vdupq_n_f32(0);
    for (size_t g = 0; g < groups; g++, code += 128, q += 128) {
        float s[ROWS_AT_ONCE];
        RBE_UNROLL
        for (int r = 0; r < rows; r++)
            s[r] = half1(scale[(size_t)r * groups + g]);
        multiply_half(rows, 0, code, s, groups, q, lane);
        multiply_half(rows, 1, code, s, groups, q, lane);
    }
    RBE_UNROLL
    for (int r = 0; r < rows; r++)
        y[r] = lanes_sum((lanes){lane[r][0], lane[r][1], lane[r][2], lane[r][3]}) * act_scale;
}

static void multiply(const struct rbe_matrix *w, const struct rbe_act *a, float *y, size_t ldy,
                     size_t row0, size_t row1)
{
    const size_t groups = rbe_int8_groups(w->cols);

    for (size_t r = row0; r < row1;) {
        const int8_t *code = (const int8_t *)w->codes + r * groups * 128;
        const uint16_t *scale = w->scale + r * groups;
        const size_t rows = row1 - r < ROWS_AT_ONCE ? 1 : ROWS_AT_ONCE;

        for (size_t t = 0; t < a->count; t++) {
            const int16_t *q = a->q + t * a->stride;
            if (rows == 1)
                multiply_rows(1, code, scale, groups, q, a->scale[t], y + t * ldy + r);
            else
                multiply_rows(ROWS_AT_ONCE, code, scale, groups, q, a->scale[t],
                              y + t * ldy + r);
        }
        r += rows;
    }
}

RBE_PRODUCT(gemv, int8, neondot, multiply)
RBE_PRODUCT(gemm, int8, neondot, multiply)
