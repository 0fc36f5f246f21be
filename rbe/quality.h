/*
 * quality.h - how far decoded weights are from the original, and the guards beside it.
 *
 * SPDX-License-Identifier: MIT
 *
 * Everything is computed from decoded bytes (rbe_decode_row) and in double.  Ratios divide
 * 4 * rows * cols bytes by the stored bytes, scales and padding counted.
 */
#ifndef RBE_RBE_QUALITY_H
#define RBE_RBE_QUALITY_H

#include <stddef.h>
#include <stdint.h>

#include "rbe/container.h"
#include "rbe/encode.h"

/* The chapter's quality levels: the least PSNR each one asks for. */
enum rbe_level { RBE_LEVEL_NONE, RBE_LEVEL_LOW, RBE_LEVEL_MEDIUM, RBE_LEVEL_HIGH,
                 RBE_LEVEL_ULTRA, RBE_LEVEL_COUNT };

/* "none", "Low", "Medium", "High", "Ultra". */
const char *rbe_level_name(enum rbe_level l);
/* RBE_LEVEL_COUNT when the name is unknown. */
enum rbe_level rbe_level_by_name(const char *name);
/* 20, 30, 40, 50 dB for Low to Ultra; -infinity for none. */
double rbe_level_psnr_db(enum rbe_level l);

struct rbe_quality {
    size_t weights, bytes;
    double bits;                /* per weight: 8 * bytes / weights */
    double ratio;               /* 4 * weights / bytes */
    double rms, peak;           /* of the original: root mean square, largest |w| */
    double rmse;                /* root mean square of decoded - original */
    double relative_rmse;       /* rmse / rms: 1 for all zeros; 0 when both are 0 */
    double bound;               /* 2^-bits: least relative RMSE for a white Gaussian source */
    size_t lost_rows;           /* that have weights and are decoded to zeros */
    size_t noisy_rows;          /* of zeros, and are decoded to others */
    double psnr_db;             /* 20 log10(peak / rmse); infinity when rmse is 0 */
};

/* Compares enc with w [enc->rows][enc->cols]. Same result for any number of threads. */
enum rbe_status rbe_quality_measure(struct rbe_quality *q, const float *w,
                                    const struct rbe_weight *enc, struct rbe_pool *pool,
                                    struct rbe_diag *d);

/* From sums of squares over `weights` values: of the originals and of the errors. */
void rbe_quality_fill(struct rbe_quality *q, size_t weights, size_t bytes, double sum_w2,
                      double sum_e2, double peak);

/* Relative error of layer outputs, sum e_m H e_m^T / sum w_m H w_m^T over rows, for inputs
 * with second moment h [cols][cols]. */
enum rbe_status rbe_quality_cost(double *cost, const float *w, const struct rbe_weight *enc,
                                 const float *h, struct rbe_pool *pool, struct rbe_diag *d);

/* 2^-bits. */
double rbe_rate_bound(double bits_per_weight);

/* Relative RMSE when every block x block tile (less at the edges) is replaced by its mean. */
double rbe_block_mean_error(const float *w, size_t rows, size_t cols, size_t block);

/* n independent standard normal values, the same on every machine to rounding of libm. */
void rbe_white_gaussian(float *w, size_t n, uint64_t seed);

/*
 * Encodes w [rows][cols] and measures the outcome.  With white Gaussian noise of the same shape
 * as w this is the control of every table: its relative_rmse cannot be below its bound; when it
 * is, sizes are not counted right.
 */
enum rbe_status rbe_quality_encode(struct rbe_quality *q, const float *w, uint32_t rows,
                                   uint32_t cols, const struct rbe_encode_options *o,
                                   struct rbe_pool *pool, struct rbe_diag *d);

#endif
