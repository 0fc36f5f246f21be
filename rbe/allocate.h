/*
 * allocate.h - which rate each part of a model gets under a byte budget.
 *
 * SPDX-License-Identifier: MIT
 *
 * Every item (a matrix, or a range of its rows) offers choices of bytes and cost, and the
 * costs of items add up.  The allocation of least cost within the budget lies, but for the
 * last few bytes, where every item minimises cost + lambda * bytes for one common lambda.
 */
#ifndef RBE_RBE_ALLOCATE_H
#define RBE_RBE_ALLOCATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "rbe/encode.h"

struct rbe_allocate_choice {
    uint64_t bytes;
    double cost;                /* at least 0 */
};

struct rbe_allocate_item {
    const struct rbe_allocate_choice *choices;  /* in any order */
    size_t count;               /* at least 1 */
    size_t chosen;              /* out */
};

/*
 * Sets `chosen` of every item so that the bytes stay within the budget and the sum of the
 * costs is least, or nearly so.  RBE_ERR_LIMIT: even the smallest choices need more; the
 * message says how much.
 */
enum rbe_status rbe_allocate(struct rbe_allocate_item *items, size_t count, uint64_t budget,
                             struct rbe_diag *d);

/*
 * The choices of a matrix of this shape in a format whose B a budget may choose (strip_bits),
 * one for each fast block (kernels/format/format.h): the cost at `bits` a weight is given, and
 * falls by 4 with each bit more.  That law holds near the rate it was measured at, so only
 * blocks from bits - below to bits + above are offered.  Fills at most `room` choices and their
 * blocks, only those that no other undercuts in both bytes and cost; returns how many.
 */
size_t rbe_allocate_blocks(struct rbe_allocate_choice *choices, uint32_t *blocks, size_t room,
                           enum rbe_format format, uint32_t rows, uint32_t cols,
                           enum rbe_scales scales, double cost, double bits, double below,
                           double above);

#endif
