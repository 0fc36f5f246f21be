/*
 * product.h - the matrix products of training, in f32 or with inputs rounded to bf16.
 *
 * SPDX-License-Identifier: MIT
 *
 * With bf16 the inputs lose all but 8 bits of their significands while they are multiplied;
 * sums are f32, and so is everything that is kept.  With AVX512_BF16 this is twice as fast
 * as f32 at best, with AMX ten times.
 */
#ifndef RBE_GRAD_PRODUCT_H
#define RBE_GRAD_PRODUCT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/bf16.h"

/* Whether bf16 products run: the CPU has them. */
bool rbe_product_has_bf16(void);

/* What one thread needs for products: rounded copies of inputs. */
struct rbe_product;

/* Bytes of its buffers; oneDNN's own memory is not counted. */
size_t rbe_product_bytes(bool bf16);

/* RBE_ERR_ARG: bf16 is asked for and not there. */
enum rbe_status rbe_product_open(struct rbe_product **out, bool bf16, struct rbe_diag *d);
void rbe_product_close(struct rbe_product **p);

/* Inputs of a product; alpha scales the first. */
struct rbe_factor {
    const float *v;
    const uint16_t *packed;     /* the whole factor, rounded and packed (kernels/bf16.h), or
                                 * NULL; second factor only */
    size_t from;                /* v starts at this k of what is packed */
    size_t whole;               /* the k of all that is packed */
    size_t ld;                  /* floats between stored rows */
    bool t;                     /* stored transposed */
};

/* C = alpha op(A) op(B) + beta C as rbe_sgemm() has it; beta is 0 or 1. */
void rbe_product_run(struct rbe_product *p, size_t m, size_t n, size_t k, float alpha,
                     struct rbe_factor a, struct rbe_factor b, float beta, float *c,
                     size_t ldc);

#endif
