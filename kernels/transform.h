/*
 * transform.h - what is done to activations before a product, for every ISA.
 *
 * SPDX-License-Identifier: MIT
 *
 * Compiled several times from one source (body/transform.h).  Every version adds in the same
 * order, so that all machines and instruction sets agree bit for bit.
 */
#ifndef RBE_KERNELS_TRANSFORM_H
#define RBE_KERNELS_TRANSFORM_H

#include <stddef.h>
#include <stdint.h>

/* What quantising needs to know of a vector. */
struct rbe_magnitude {
    double sum;                 /* of |x|; not finite when an x is not */
    float max;                  /* of |x|; NaN is passed over */
};

struct rbe_transform {
    const char *name;
    uint32_t isa;               /* RBE_ISA_* bits it needs */

    /* to = from * scale (f16; NULL for ones), n values, then zeros to the next multiple of
     * RBE_ACT_PAD. */
    struct rbe_magnitude (*scale)(float *to, const float *from, const uint16_t *scale,
                                  size_t n);
    /* The same, but for the sum, which is 0 or, when an x is not finite, NaN. */
    struct rbe_magnitude (*scale_only)(float *to, const float *from, const uint16_t *scale,
                                       size_t n);
    /* q = x * s to the nearest integer, ties to even; n is a multiple of 16, |x * s| < 2^15. */
    void (*quantise)(int16_t *q, const float *x, size_t n, float s);
    /* The same, and pair = the byte q + 128, twice; n is a multiple of RBE_ACT_PAD, |x * s| at
     * most RBE_ACT8_MAX. */
    void (*quantise_pairs)(int16_t *q, uint16_t *pair, const float *x, size_t n, float s);
    /* Changes the signs that `seed` names. */
    void (*flip_signs)(float *x, size_t n, uint64_t seed);
    /* Orthonormal fast Walsh-Hadamard transform of each block of n values; symmetric, so its
     * own inverse.  block is a power of two that divides n. */
    void (*hadamard)(float *x, size_t n, size_t block);
    /* to = hadamard() of `from` with its signs changed; to may be from. */
    void (*rotate)(float *to, const float *from, size_t n, size_t block, uint64_t seed);
};

/* The version at i, narrowest first; NULL past the end. */
const struct rbe_transform *rbe_transform_at(size_t i);

/* The widest that `isa` can run. */
const struct rbe_transform *rbe_transform_best(uint32_t isa);

#endif
