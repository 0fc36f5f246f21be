/*
 * seed_scalar.h - seeds a weight at a time: the reference, bit for bit, of every ISA.
 *
 * SPDX-License-Identifier: MIT
 *
 * The includer defines weight(u, i), the integer weight of row i of a strip by its window u.
 */
#ifndef RBE_KERNELS_BODY_SEED_SCALAR_H
#define RBE_KERNELS_BODY_SEED_SCALAR_H

#include <string.h>

#include "kernels/f16.h"
#include "kernels/format/seed.h"

enum { VECTORS = 64 };      /* at a time: the sums stay on the stack */

static void gemv_seeds(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                       size_t ldy, size_t row0, size_t row1)
{
    (void)ldy;
    for (size_t r = row0; r < row1; r++) {
        const struct rbe_seed_window at = rbe_seed_window_at(w, r);
        const unsigned i = (unsigned)(r % w->block);
        int32_t sum = 0;        /* exact: rbe_act_prepare() bounds every partial sum */

        for (size_t n = 0; n < w->cols; n++)
            sum += weight(rbe_seed_window(&at, n), i) * a->q[n];
        y[r] = (float)sum * (rbe_f16_to_f32(w->scale[r]) * a->scale[0]);
    }
}

/* Each weight is decoded once. */
static void gemm_seeds(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
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
                const int g = weight(rbe_seed_window(&at, n), i);
                for (size_t t = 0; t < count; t++)
                    sum[t] += g * a->q[(t0 + t) * a->stride + n];
            }
            for (size_t t = 0; t < count; t++)
                y[(t0 + t) * ldy + r] =
                    (float)sum[t] * (rbe_f16_to_f32(w->scale[r]) * a->scale[t0 + t]);
        }
    }
}

#endif
