/*
 * encode_float.c - f32 and f16: a copy and a rounding.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <string.h>

#include "kernels/f16.h"
#include "rbe/encode.h"

static enum rbe_status encode_f32(const struct rbe_encode_job *j, struct rbe_diag *d)
{
    (void)d;
    memcpy(j->codes, j->w, (size_t)j->m->rows * j->m->cols * sizeof *j->w);
    return RBE_OK;
}

static enum rbe_status encode_f16(const struct rbe_encode_job *j, struct rbe_diag *d)
{
    const size_t n = (size_t)j->m->rows * j->m->cols;
    uint16_t *to = j->codes;

    for (size_t i = 0; i < n; i++) {
        to[i] = rbe_f16_from_f32(j->w[i]);
        if (!isfinite(rbe_f16_to_f32(to[i])))
            return rbe_fail(d, RBE_ERR_NUMERIC, "%g at row %zu, column %zu does not fit f16",
                            (double)j->w[i], i / j->m->cols, i % j->m->cols);
    }
    return RBE_OK;
}

const struct rbe_encoder rbe_encoder_f32 = {.encode = encode_f32};
const struct rbe_encoder rbe_encoder_f16 = {.encode = encode_f16};
