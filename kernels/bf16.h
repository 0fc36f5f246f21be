/*
 * bf16.h - matrix products whose inputs are rounded to bf16, with sums in f32.
 *
 * SPDX-License-Identifier: MIT
 *
 * C [m][n] = A [m][k] B [k][n].  A is rounded into rows, B into panels of 32 columns: for every
 * 32 of k two tiles of 16 columns, each 16 rows of pairs (k, k + 1), as both AMX and
 * AVX512_BF16 read them.  All lengths are filled up with zeros to multiples of RBE_BF16_STEP.
 * Subnormal inputs and sums count as zeros.
 */
#ifndef RBE_KERNELS_BF16_H
#define RBE_KERNELS_BF16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { RBE_BF16_STEP = 32 };

static inline size_t rbe_bf16_padded(size_t n)
{
    return (n + RBE_BF16_STEP - 1) / RBE_BF16_STEP * RBE_BF16_STEP;
}

/* Numbers of a packed B. */
static inline size_t rbe_bf16_packed(size_t k, size_t n)
{
    return rbe_bf16_padded(k) * rbe_bf16_padded(n);
}

/* Row `row` of a packed B [k][n], as it was rounded. */
static inline void rbe_bf16_row(float *to, const uint16_t *packed, size_t row, size_t k,
                                size_t n)
{
    const size_t step = RBE_BF16_STEP, panel = step * rbe_bf16_padded(k);

    packed += row / step * step * step + row % step / 2 * step + row % 2;
    for (size_t i = 0; i < n; i++) {
        const size_t at = i / step * panel + i % step / 16 * 512 + i % 16 * 2;
        const uint32_t bits = (uint32_t)packed[at] << 16;
        memcpy(&to[i], &bits, sizeof bits);
    }
}

struct rbe_bf16 {
    const char *name;

    /* to [m][ld] = scale times A, [m][k] in `from` with `stored` floats between rows, or where
     * `turned` [k][m]; columns k.. are zeros up to padded k; ld is a multiple of the step. */
    void (*rows)(uint16_t *to, size_t ld, const float *from, size_t stored, bool turned,
                 size_t m, size_t k, float scale);
    /* Panels first..last of B, [k][n] in `from`, or where `turned` [n][k]; each takes padded k
     * times 32 numbers of `to`, where panel 0 starts. */
    void (*panels)(uint16_t *to, const float *from, size_t stored, bool turned, size_t k,
                   size_t n, size_t first, size_t last);
    /* C = A B, plus C where `add`.  a: padded m rows of lda; b: panel 0, at k = 0 of this
     * product, with `panel` numbers from one to the next.  k is a multiple of the step. */
    void (*product)(size_t m, size_t n, size_t k, const uint16_t *a, size_t lda,
                    const uint16_t *b, size_t panel, bool add, float *c, size_t ldc);
};

/* The versions that run here, slowest first; NULL past the end.  Masked with AVX-512. */
const struct rbe_bf16 *rbe_bf16_at(size_t i);

/* The fastest, or NULL. */
const struct rbe_bf16 *rbe_bf16_best(void);

#endif
