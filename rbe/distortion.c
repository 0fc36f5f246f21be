/*
 * distortion.c - the loss of the search on a white Gaussian matrix.
 *
 * SPDX-License-Identifier: MIT
 */
#include "rbe/distortion.h"

#include <math.h>

#include "base/progress.h"

/* What the project wants of `seed`, in dB over the bound. */
static double wanted(enum rbe_format f, uint32_t block, enum rbe_search s)
{
    static const struct {
        uint32_t block;
        double normal, best;
    } table[] = {{64, 0.9, 0.6}, {44, 1.0, 0.75}, {32, 1.4, 1.1}};

    for (size_t i = 0; i < sizeof table / sizeof *table && f == RBE_SEED; i++)
        if (table[i].block == block && s != RBE_SEARCH_FAST)
            return s == RBE_SEARCH_BEST ? table[i].best : table[i].normal;
    return NAN;
}

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
                                   .bits = 128.0 / block,
                                   .wanted_db = wanted(format, block, search)};
    err = rbe_quality_encode(&out->quality, w, rows, cols, &o, pool, d);
    out->loss_db = 20 * log10(out->quality.relative_rmse) + 20 * log10(2) * out->bits;
    out->seconds = rbe_now() - start;
    return err;
}
