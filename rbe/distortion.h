/*
 * distortion.h - how far the search for seeds stays from the rate-distortion bound.
 *
 * SPDX-License-Identifier: MIT
 *
 * A white Gaussian matrix has the bound 2^-2R at R bits a weight, and nothing to exploit: what
 * the encoder loses there in dB is the loss of its search and of its output map alone.
 */
#ifndef RBE_RBE_DISTORTION_H
#define RBE_RBE_DISTORTION_H

#include "base/status.h"
#include "rbe/encode.h"
#include "rbe/quality.h"

struct rbe_distortion {
    enum rbe_format format;     /* one with strips */
    uint32_t block;
    enum rbe_search search;
    double bits;                /* of the codes: strip_bits / block, scales apart */
    double loss_db;             /* 10 log10(relative squared error) over -20 log10(2) * bits */
    double wanted_db;           /* the project's target for this rate and effort, or NAN */
    struct rbe_quality quality; /* scales counted */
    double seconds;
};

/*
 * Fills format, block and search's row for w [rows][cols], white Gaussian
 * (rbe_white_gaussian()).  pool may be NULL.
 */
enum rbe_status rbe_distortion_measure(struct rbe_distortion *out, const float *w,
                                       uint32_t rows, uint32_t cols, enum rbe_format format,
                                       uint32_t block, enum rbe_search search,
                                       struct rbe_pool *pool, struct rbe_diag *d);

#endif
