/*
 * <rbe/sampler.h> - choosing the next token, reproducibly.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_INCLUDE_SAMPLER_H
#define RBE_INCLUDE_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

struct rbe_sampling {
    float temperature;          /* 0: greedy */
    uint32_t top_k;             /* 0: all */
    float top_p;                /* 1: all */
    uint64_t seed;
};

struct rbe_sampler;

/* NULL when out of memory.  Allocates for `vocab` once. */
struct rbe_sampler *rbe_sampler_open(size_t vocab, struct rbe_sampling how);
void rbe_sampler_close(struct rbe_sampler **s);
/* Same logits and same seed: same tokens, on every machine that computes the same logits. */
uint32_t rbe_sample(struct rbe_sampler *s, const float *logits);

#endif
