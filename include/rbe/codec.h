/*
 * <rbe/codec.h> - a weight matrix in a codec: encoded, decoded, multiplied by.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_INCLUDE_CODEC_H
#define RBE_INCLUDE_CODEC_H

#include <rbe/status.h>
#include <rbe/threads.h>
#include <stddef.h>
#include <stdint.h>

/* A matrix W [rows = outputs][cols = inputs] in codes; read-only. */
struct rbe_coded;

/* Zeros are the defaults of all but the codec. */
struct rbe_coding {
    const char *codec;          /* "seed", "int4", ...: `rbe codecs --help` lists them */
    uint32_t block;             /* B, of codecs that have one */
    uint32_t k;                 /* K, of codecs that have one */
    uint32_t hadamard;          /* rotates inputs in blocks of so many: a power of two that
                                 * divides cols; 0: not rotated */
    const char *search;         /* fast, default, best; NULL: default */
    /* What an error costs: sum over m of importance[m] e_m H e_m^T, e_m the error of row m. */
    const float *importance;    /* [rows], positive; NULL: ones */
    const float *moment;        /* [cols][cols], H = mean of x x^T over inputs x, symmetric;
                                 * NULL: the identity */
};

/*
 * Encodes w [rows][cols].  RBE_ERR_ARG: an unknown codec, or a shape or option that it cannot
 * have.  RBE_ERR_NUMERIC: NaN or infinity in w, or values that the codec cannot hold.
 */
enum rbe_status rbe_coded_open(struct rbe_coded **out, const float *w, uint32_t rows,
                               uint32_t cols, const struct rbe_coding *how,
                               struct rbe_pool *pool, struct rbe_diag *d);
void rbe_coded_close(struct rbe_coded **c);

/* Bytes of codes and scales. */
size_t rbe_coded_bytes(const struct rbe_coded *c);

/* Row r of what the codes stand for, in the basis of w: out [cols]. */
void rbe_coded_row(const struct rbe_coded *c, uint32_t r, float *out);

/*
 * y [count][rows] = x [count][cols] W^T by the fastest kernels that this CPU can run.  Integer
 * codecs round x to 16 bits and give the same bits on every CPU.
 */
enum rbe_status rbe_coded_multiply(const struct rbe_coded *c, const float *x, size_t count,
                                   float *y, struct rbe_pool *pool, struct rbe_diag *d);

/* The kernel that multiplies by one vector here: "gemv_seed_avx2". */
const char *rbe_coded_kernel(const struct rbe_coded *c);

#endif
