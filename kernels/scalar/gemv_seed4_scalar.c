/*
 * gemv_seed4_scalar.c - seeds of four nibbles times quantised activations, one weight at a
 * time.
 *
 * SPDX-License-Identifier: MIT
 *
 * The reference of the integer kernels: every other one gives the same bits.
 */
#include "kernels/f16.h"
#include "kernels/format/seed.h"
#include "kernels/list.h"

void rbe_gemv_seed4_scalar(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                          size_t ldy, size_t row0, size_t row1)
{
    (void)ldy;
    for (size_t r = row0; r < row1; r++) {
        const struct rbe_seed_window at = rbe_seed_window_at(w, r);
        const unsigned i = (unsigned)(r % w->block);
        int32_t sum = 0;        /* exact: rbe_act_prepare() bounds every partial sum */

        for (size_t n = 0; n < w->cols; n++)
            sum += rbe_seed4_map(rbe_seed_window(&at, n), i) * a->q[n];
        y[r] = (float)sum * (rbe_f16_to_f32(w->scale[r]) * a->scale[0]);
    }
}
