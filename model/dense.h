/*
 * dense.h - dense f32 matrix products through oneDNN.
 *
 * SPDX-License-Identifier: MIT
 *
 * Built without RBE_HAVE_DNNL, or on a CPU (or mask) below SSE4.1, plain loops stand in:
 * right, and slow.
 */
#ifndef RBE_MODEL_DENSE_H
#define RBE_MODEL_DENSE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* Whether the library does the work; when not, weights had better go through the registry's
 * kernels. */
bool rbe_dense_fast(void);

/*
 * To be called before `besides` bytes are allocated for work that will use it.  Where the
 * address space is limited the library would die for want of room for its code and buffers:
 * when they would not fit too, the first call leaves the library alone from then on
 * (rbe_dense_fast() is false), and later ones are RBE_ERR_LIMIT, which names `what`.
 */
enum rbe_status rbe_dense_room(const char *what, size_t besides, struct rbe_diag *d);

/* "oneDNN 2.6.3 dnnl_sgemm" or "plain loops". */
const char *rbe_dense_name(void);

/*
 * C = alpha op(A) op(B) + beta C, row-major: op(A) is m x k, op(B) k x n, C m x n; op
 * transposes when ta or tb says so; ld* are elements between stored rows.  Runs on the
 * calling thread alone; split C over a pool (base/threads.h) for more.  The library allocates
 * scratch memory inside.
 */
void rbe_sgemm(bool ta, bool tb, size_t m, size_t n, size_t k, float alpha, const float *a,
               size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc);

#endif
