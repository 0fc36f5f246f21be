/*
 * distortion.c - the loss of the search on a white Gaussian matrix.
 *
 * SPDX-License-Identifier: MIT
 */
#include "rbe/distortion.h"

#include <math.h>

#include "base/progress.h"

enum rbe_status rbe_distortion_measure(struct rbe_distortion *out, const float *w,
                                       uint32_t rows, uint32_t cols, enum rbe_format format,
                                       uint32_t block, enum rbe_search search,
                                       struct rbe_pool *pool, struct rbe_diag *d)
{
    const struct rbe_encode_options o = {.format = format, .block = block, .search = search,
                                          .progress = rbe_not_interrupted};
    const double start = rbe_now();
    enum rbe_status err;

    *out = (struct rbe_distortion){.format = format, .block = block, .search = search,
                                   .bits = (double)rbe_format_facts(format)->strip_bits / block,
                                   .wanted_db = rbe_encode_wanted_db(format, block, search)};
    err = rbe_quality_encode(&out->quality, w, rows, cols, &o, pool, d);
    out->loss_db = 20 * log10(out->quality.relative_rmse) + 20 * log10(2) * out->bits;
    out->seconds = rbe_now() - start;
    return err;
}
