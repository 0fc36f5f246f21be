/*
 * bf16_pack.h - how the factors of kernels/bf16.h are rounded and laid out: AVX-512 and
 * AVX512_BF16.
 *
 * SPDX-License-Identifier: MIT
 *
 * Everything goes in blocks of 32 x 32 numbers.  In `pairs` a register holds 16 pairs.
 */
#ifndef RBE_KERNELS_X86_BF16_PACK_H
#define RBE_KERNELS_X86_BF16_PACK_H

#include <immintrin.h>
#include <string.h>

#include "kernels/bf16.h"
#include "kernels/body/unroll.h"

#ifndef __AVX512BF16__
#error "needs -mavx512bf16: the Makefile takes ISA flags from the file name's suffix"
#endif

enum { STEP = RBE_BF16_STEP };

/* Columns to be taken together, for sums of length k: rows of C are written in pieces that are
 * not too short, and these columns of B stay in the second-level cache. */
INLINE size_t columns_at_once(size_t k)
{
    const size_t n = (1 << 17) / (k + STEP) / STEP * STEP;

    return n < 2 * STEP ? 2 * STEP : n;
}

/* 32 numbers of two registers in their order. */
INLINE __m512i round_two(__m512 low, __m512 high)
{
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* 16 x 16 pairs, rows to columns. */
INLINE void turn_pairs(__m512i r[16])
{
    __m512i t[16];

    RBE_UNROLL
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    /* r[4 q + c]: of four rows from 4 q on the column c of every quarter. */
    RBE_UNROLL
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    RBE_UNROLL
    for (int c = 0; c < 4; c++) {
        const __m512i a = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88);
        const __m512i b = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xDD);
        const __m512i d = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88);
        const __m512i e = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xDD);
        t[c] = _mm512_shuffle_i32x4(a, d, 0x88);
        t[4 + c] = _mm512_shuffle_i32x4(b, e, 0x88);
        t[8 + c] = _mm512_shuffle_i32x4(a, d, 0xDD);
        t[12 + c] = _mm512_shuffle_i32x4(b, e, 0xDD);
    }
    RBE_UNROLL
    for (int i = 0; i < 16; i++)
        r[i] = t[i];
}

/* Rows 2 i and 2 i + 1 of 16 columns from x on, as pairs by column. */
INLINE void pair_rows(__m512i r[16], const float *x, size_t stored, __m512 scale)
{
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25,
                                           9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2,
                                           17, 1, 16, 0);

    RBE_UNROLL
    for (size_t i = 0; i < 16; i++) {
        const __m512 even = _mm512_mul_ps(_mm512_loadu_ps(x + 2 * i * stored), scale);
        const __m512 odd = _mm512_mul_ps(_mm512_loadu_ps(x + (2 * i + 1) * stored), scale);
        r[i] = _mm512_permutexvar_epi16(order, round_two(even, odd));
    }
}

/* 16 rows of 32 numbers. */
INLINE void whole_rows(__m512i r[16], const float *x, size_t stored, __m512 scale)
{
    RBE_UNROLL
    for (size_t i = 0; i < 16; i++)
        r[i] = round_two(_mm512_mul_ps(_mm512_loadu_ps(x + i * stored), scale),
                         _mm512_mul_ps(_mm512_loadu_ps(x + i * stored + 16), scale));
}

INLINE void put_rows(uint16_t *to, size_t ld, const __m512i r[16], size_t rows)
{
    if (rows >= 16) {
    RBE_UNROLL
        for (size_t i = 0; i < 16; i++)
            _mm512_storeu_si512(to + i * ld, r[i]);
    } else {
        for (size_t i = 0; i < rows; i++)
            _mm512_storeu_si512(to + i * ld, r[i]);
    }
}

/* A block of `rows` x `cols` numbers, up to 32 x 32, with zeros around it where it is less. */
INLINE const float *block_at(float edge[STEP * STEP], const float *x, size_t *stored,
                             size_t rows, size_t cols)
{
    if (rows >= STEP && cols >= STEP)
        return x;
    memset(edge, 0, STEP * STEP * sizeof *edge);
    for (size_t i = 0; i < rows && i < STEP; i++)
        memcpy(edge + i * STEP, x + i * *stored, (cols < STEP ? cols : STEP) * sizeof *edge);
    *stored = STEP;
    return edge;
}

static void pack_rows(uint16_t *to, size_t ld, const float *from, size_t stored, bool turned,
                      size_t m, size_t k, float scale)
{
    const __m512 by = _mm512_set1_ps(scale);
    float edge[STEP * STEP];
    __m512i r[16];

    for (size_t i = 0; i < m; i += STEP)
        for (size_t l = 0; l < k; l += STEP) {
            const float *x = turned ? from + l * stored + i : from + i * stored + l;
            size_t between = stored;

            x = block_at(edge, x, &between, turned ? k - l : m - i, turned ? m - i : k - l);
            for (size_t half = 0; half < STEP && i + half < m; half += 16) {
                if (turned) {
                    pair_rows(r, x + half, between, by);
                    turn_pairs(r);
                } else {
                    whole_rows(r, x + half * between, between, by);
                }
                put_rows(to + (i + half) * ld + l, ld, r, m - i - half);
            }
        }
}

static void pack_panels(uint16_t *to, const float *from, size_t stored, bool turned, size_t k,
                        size_t n, size_t first, size_t last)
{
    const __m512 by = _mm512_set1_ps(1);
    float edge[STEP * STEP];
    __m512i r[16];

    to += first * STEP * rbe_bf16_padded(k);
    for (size_t j = first * STEP; j < n && j < last * STEP; j += STEP)
        for (size_t l = 0; l < k; l += STEP) {
            const float *x = turned ? from + j * stored + l : from + l * stored + j;
            size_t between = stored;

            x = block_at(edge, x, &between, turned ? n - j : k - l, turned ? k - l : n - j);
            for (size_t half = 0; half < STEP; half += 16, to += 512) {
                if (turned) {
                    whole_rows(r, x + half * between, between, by);
                    turn_pairs(r);
                } else {
                    pair_rows(r, x + half, between, by);
                }
                put_rows(to, 32, r, 16);
            }
        }
}

/* `rows` x `cols` numbers of C beside zeros (NULL: not read), and back. */
INLINE void edge_in(float *edge, const float *c, size_t ldc, size_t rows, size_t cols)
{
    for (size_t i = 0; c && i < rows; i++)
        memcpy(edge + i * STEP, c + i * ldc, (cols < STEP ? cols : STEP) * sizeof *edge);
}

INLINE void edge_out(float *c, const float *edge, size_t ldc, size_t rows, size_t cols)
{
    for (size_t i = 0; i < rows; i++)
        memcpy(c + i * ldc, edge + i * STEP, (cols < STEP ? cols : STEP) * sizeof *edge);
}

#endif
