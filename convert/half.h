/*
 * half.h - sums of x x^T: of a symmetric matrix half is kept and computed.
 *
 * SPDX-License-Identifier: MIT
 *
 * The half of an [n][n] are its rows in stripes of RBE_HALF_STRIPE, or what is left of them,
 * one behind the other: of each row the columns from the first of the stripe's on.  What stands
 * there left of the diagonal is undefined.
 */
#ifndef RBE_CONVERT_HALF_H
#define RBE_CONVERT_HALF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "base/threads.h"

enum { RBE_HALF_STRIPE = 64 };

/* Floats of one. */
size_t rbe_half_floats(size_t n);
/* Where the element (i, i) is. */
size_t rbe_half_diagonal(size_t n, size_t i);
/* to [n][n] = factor times it. */
void rbe_half_unfold(float *to, const float *half, size_t n, float factor);

/* What is needed to add: with bf16 the rounded copies of the x at hand. */
struct rbe_half;

/* Bytes of one for up to `most` vectors of up to `widest` numbers. */
size_t rbe_half_bytes(bool bf16, size_t widest, size_t most);
/* pool may be NULL and must outlive it.  bf16 where rbe_product_has_bf16() says no:
 * RBE_ERR_ARG. */
enum rbe_status rbe_half_open(struct rbe_half **out, bool bf16, size_t widest, size_t most,
                              struct rbe_pool *pool, struct rbe_diag *d);
void rbe_half_close(struct rbe_half **h);

/* half of [n][n] += the x x^T of x [count][n], rows ldx floats apart, in f32, with bf16 of
 * rounded x; the same bits by any number of threads. */
void rbe_half_add(struct rbe_half *h, float *half, size_t n, const float *x, size_t ldx,
                  size_t count);

#endif
