/*
 * gemm_seed4_scalar.c - seeds of four nibbles times several quantised vectors, each weight
 * decoded once.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "kernels/f16.h"
#include "kernels/format/seed.h"
#include "kernels/list.h"

enum { VECTORS = 64 };      /* at a time: the sums stay on the stack */

void rbe_gemm_seed4_scalar(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                          size_t ldy, size_t row0, size_t row1)
{
    for (size_t t0 = 0; t0 < a->count; t0 += VECTORS) {
        const size_t count = a->count - t0 < VECTORS ? a->count - t0 : VECTORS;
        for (size_t r = row0; r < row1; r++) {
            const struct rbe_seed_window at = rbe_seed_window_at(w, r);
            const unsigned i = (unsigned)(r % w->block);
            int32_t sum[VECTORS];

            memset(sum, 0, sizeof sum);
            for (size_t n = 0; n < w->cols; n++) {
                const int g = rbe_seed4_map(rbe_seed_window(&at, n), i);
                for (size_t t = 0; t < count; t++)
                    sum[t] += g * a->q[(t0 + t) * a->stride + n];
            }
            for (size_t t = 0; t < count; t++)
                y[(t0 + t) * ldy + r] =
                    (float)sum[t] * (rbe_f16_to_f32(w->scale[r]) * a->scale[t0 + t]);
        }
    }
}
