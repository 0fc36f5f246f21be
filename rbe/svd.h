/*
 * svd.h - the best low-rank matrix of a given size, as a baseline to measure against.
 *
 * SPDX-License-Identifier: MIT
 *
 * Stored it would be two f16 factors, U [rows][rank] and V [cols][rank].  There is no kernel
 * and no format for it: only its error, and what a model made of it predicts, are of interest.
 */
#ifndef RBE_RBE_SVD_H
#define RBE_RBE_SVD_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/threads.h"

/* Bytes of the factors, and the largest rank that takes no more than `bytes`. */
size_t rbe_svd_bytes(uint32_t rows, uint32_t cols, uint32_t rank);
uint32_t rbe_svd_rank(uint32_t rows, uint32_t cols, size_t bytes);

/* Bytes rbe_svd_error() allocates with a pool of `threads`. */
size_t rbe_svd_memory(uint32_t rows, uint32_t cols, uint32_t rank, unsigned threads);

/*
 * *error = relative RMSE of w [rows][cols] against its projection to the leading `rank`
 * (<= min(rows, cols)) right singular vectors, both factors rounded to f16.  The vectors come
 * from a subspace iteration with a fixed start: deterministic, within a fraction of a percent
 * of the optimum where singular values decay slowly.  The projection itself goes to
 * `approximation` [rows][cols], which may be w, unless that is NULL.
 */
enum rbe_status rbe_svd_error(double *error, const float *w, uint32_t rows, uint32_t cols,
                              uint32_t rank, float *approximation, struct rbe_pool *pool,
                              struct rbe_diag *d);

#endif
