/*
 * logits.h - predictions that llama.cpp keeps (--kl-divergence-base): two files compared.
 *
 * SPDX-License-Identifier: MIT
 *
 * The file, little-endian: "_logits_"; the context, the vocabulary and the number of chunks as
 * 32-bit integers; the tokens, [chunks][context] of 32 bits; then for every token that is
 * scored (those of the second half of a chunk but its last) a step and a least log-probability,
 * 32-bit floats, and for each word of the vocabulary the 16-bit number of steps above it.  A
 * word more fills up odd vocabularies.
 */
#ifndef RBE_GATE_LOGITS_H
#define RBE_GATE_LOGITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/stats.h"
#include "base/status.h"

struct rbe_logits_result {
    uint32_t context, vocabulary, chunks;
    uint64_t scored;            /* tokens */
    double base_perplexity, perplexity;
    struct rbe_ratio kl;        /* mean KL(base, new) in nats, its error over chunks */
    double kl_max, top1;        /* top1: share of tokens whose likeliest word is the same */
    struct rbe_ratio p_change;  /* of the true token's probability, mean, error over chunks */
};

/* Whether a file begins so. */
bool rbe_logits_is(const char *path);

/* RBE_ERR_FORMAT: damaged or cut off; RBE_ERR_MISMATCH: of other tokens, or another shape. */
enum rbe_status rbe_logits_compare(struct rbe_logits_result *r, const char *base,
                                   const char *fresh, struct rbe_diag *d);

#endif
