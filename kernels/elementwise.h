/*
 * elementwise.h - what a forward pass does besides matrix products.
 *
 * SPDX-License-Identifier: MIT
 *
 * Compiled several times from one source (body/elementwise.h), for wider and wider registers.
 * Every version adds in the same order, in sixteen lanes, and never fuses a multiply with an
 * add, so that all machines and instruction sets agree bit for bit.
 */
#ifndef RBE_KERNELS_ELEMENTWISE_H
#define RBE_KERNELS_ELEMENTWISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rbe_elementwise {
    const char *name;
    uint32_t isa;               /* RBE_ISA_* bits it needs */

    /* y = (x - mean) / sqrt(variance + eps) * gain + bias; n values. */
    void (*layer_norm)(float *y, const float *x, const float *gain, const float *bias,
                       size_t n, float eps);
    /* x = GELU(x + bias), GPT-2's tanh form. */
    void (*bias_gelu)(float *x, const float *bias, size_t n);
    /* x += bias. */
    void (*bias_add)(float *x, const float *bias, size_t n);
    /* x += y + bias. */
    void (*residual_add)(float *x, const float *y, const float *bias, size_t n);
    /* x = exp(x - max) / sum, n >= 1. */
    void (*softmax)(float *x, size_t n);
    /* log of the sum of exp(x), n >= 1; exponentials in f32, their sum in double. NaN when an
     * x is. */
    double (*log_sum_exp)(const float *x, size_t n);
    /* y = x / sqrt(mean of x^2 + eps) * gain; n values. */
    void (*rms_norm)(float *y, const float *x, const float *gain, size_t n, float eps);
    /* x = x / (1 + e^-x) * y. */
    void (*swiglu)(float *x, const float *y, size_t n);
    /* Pairs (x[i], x[i + half]), i < half, turned by the angles of these cosines and sines;
     * y may be x. */
    void (*rotate)(float *y, const float *x, const float *cosines, const float *sines,
                   size_t half);
    /* Where the first of the largest stands; NaN is passed over, n >= 1. */
    size_t (*largest)(const float *x, size_t n);
    /* Whether none is infinite or NaN. */
    bool (*all_finite)(const float *x, size_t n);
};

/* The version at i, narrowest first; NULL past the end. */
const struct rbe_elementwise *rbe_elementwise_at(size_t i);

/* The widest that `isa` can run. */
const struct rbe_elementwise *rbe_elementwise_best(uint32_t isa);

#endif
