/*
 * bf16_avx512bf16.c - kernels/bf16.h with the dot products of AVX512_BF16.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/bf16_pack.h"

enum { ROWS = 8 };              /* with two registers of columns: 16 sums */

/* `rows` rows from a on, 32 columns. */
INLINE void strip(size_t rows, size_t k, const uint16_t *a, size_t lda, const uint16_t *b,
                  bool add, float *c, size_t ldc)
{
    __m512 sum[ROWS][2];

    RBE_UNROLL
    for (size_t i = 0; i < ROWS; i++) {
        sum[i][0] = add && i < rows ? _mm512_loadu_ps(c + i * ldc) : _mm512_setzero_ps();
        sum[i][1] = add && i < rows ? _mm512_loadu_ps(c + i * ldc + 16) : _mm512_setzero_ps();
    }
    for (size_t l = 0; l < k; l += STEP, b += STEP * STEP)
        for (size_t pair = 0; pair < 16; pair++) {
            const __m512bh b0 = (__m512bh)_mm512_loadu_si512(b + pair * 32);
            const __m512bh b1 = (__m512bh)_mm512_loadu_si512(b + 512 + pair * 32);
    RBE_UNROLL
            for (size_t i = 0; i < ROWS; i++) {
                int two;
                memcpy(&two, a + i * lda + l + 2 * pair, sizeof two);
                const __m512bh x = (__m512bh)_mm512_set1_epi32(two);
                sum[i][0] = _mm512_dpbf16_ps(sum[i][0], x, b0);
                sum[i][1] = _mm512_dpbf16_ps(sum[i][1], x, b1);
            }
        }
    RBE_UNROLL
    for (size_t i = 0; i < ROWS; i++)
        if (i < rows) {
            _mm512_storeu_ps(c + i * ldc, sum[i][0]);
            _mm512_storeu_ps(c + i * ldc + 16, sum[i][1]);
        }
}

/* Columns first..last of `rows` rows. */
static void strips(size_t rows, size_t n, size_t first, size_t last, size_t k,
                   const uint16_t *a, size_t lda, const uint16_t *b, size_t panel, bool add,
                   float *c, size_t ldc)
{
    float edge[ROWS * STEP];

    for (size_t j = first; j < last; j += STEP) {
        const uint16_t *from = b + j / STEP * panel;

        if (rows == ROWS && n - j >= STEP) {
            strip(ROWS, k, a, lda, from, add, c + j, ldc);
            continue;
        }
        edge_in(edge, add ? c + j : NULL, ldc, rows, n - j);
        strip(rows, k, a, lda, from, add, edge, STEP);
        edge_out(c + j, edge, ldc, rows, n - j);
    }
}

static void product(size_t m, size_t n, size_t k, const uint16_t *a, size_t lda,
                    const uint16_t *b, size_t panel, bool add, float *c, size_t ldc)
{
    const size_t some = columns_at_once(k);

    for (size_t j = 0; j < n; j += some)
        for (size_t i = 0; i < m; i += ROWS)
            strips(m - i < ROWS ? m - i : ROWS, n, j, n - j < some ? n : j + some, k,
                   a + i * lda, lda, b, panel, add, c + i * ldc, ldc);
}

const struct rbe_bf16 rbe_bf16_avx512bf16 = {"avx512bf16", pack_rows, pack_panels, product};
