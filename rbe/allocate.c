/*
 * allocate.c - Lagrangian allocation of bytes (allocate.h).
 *
 * SPDX-License-Identifier: MIT
 */
#include "rbe/allocate.h"

#include <inttypes.h>
#include <math.h>

#include "kernels/format/format.h"

/* Every item takes its least cost + lambda * bytes, fewer bytes on a tie; returns the bytes. */
static uint64_t choose(struct rbe_allocate_item *items, size_t count, double lambda)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        struct rbe_allocate_item *t = &items[i];
        double least = INFINITY;

        for (size_t k = 0; k < t->count; k++) {
            const struct rbe_allocate_choice *c = &t->choices[k];
            const double v = c->cost + lambda * (double)c->bytes;

            if (v < least || (!(v > least) && c->bytes < t->choices[t->chosen].bytes)) {
                least = v;
                t->chosen = k;
            }
        }
        sum += t->choices[t->chosen].bytes;
    }
    return sum;
}

/* What is left of the budget goes where one more step saves the most cost per byte. */
static void spend(struct rbe_allocate_item *items, size_t count, uint64_t left)
{
    for (;;) {
        struct rbe_allocate_item *best = NULL;
        size_t to = 0;
        double most = 0;

        for (size_t i = 0; i < count; i++) {
            const struct rbe_allocate_choice *now = &items[i].choices[items[i].chosen];

            for (size_t k = 0; k < items[i].count; k++) {
                const struct rbe_allocate_choice *c = &items[i].choices[k];
                if (c->bytes <= now->bytes || c->bytes - now->bytes > left)
                    continue;
                const double gain = (now->cost - c->cost) / (double)(c->bytes - now->bytes);
                if (gain > most) {
                    most = gain;
                    best = &items[i];
                    to = k;
                }
            }
        }
        if (!best)
            return;
        left -= best->choices[to].bytes - best->choices[best->chosen].bytes;
        best->chosen = to;
    }
}

enum rbe_status rbe_allocate(struct rbe_allocate_item *items, size_t count, uint64_t budget,
                             struct rbe_diag *d)
{
    double low = 0, high = 1e-30;       /* lambda: too many bytes, few enough */
    uint64_t bytes = 0;

    for (size_t i = 0; i < count; i++) {
        uint64_t least = UINT64_MAX;

        items[i].chosen = 0;
        for (size_t k = 0; k < items[i].count; k++)
            least = items[i].choices[k].bytes < least ? items[i].choices[k].bytes : least;
        bytes += least;
    }
    if (bytes > budget)
        return rbe_fail(d, RBE_ERR_LIMIT, "%" PRIu64 " bytes are the least possible, the "
                        "budget is %" PRIu64, bytes, budget);
    while (choose(items, count, high) > budget && high < 1e30)
        high *= 16;
    for (int i = 0; i < 100; i++) {
        const double mid = low > 0 ? sqrt(low * high) : high / 1e6;
        if (choose(items, count, mid) > budget)
            low = mid;
        else
            high = mid;
    }
    bytes = choose(items, count, high);
    spend(items, count, budget - bytes);
    return RBE_OK;
}

size_t rbe_allocate_blocks(struct rbe_allocate_choice *choices, uint32_t *blocks, size_t room,
                           enum rbe_format format, uint32_t rows, uint32_t cols,
                           enum rbe_scales scales, double cost, double bits, double below,
                           double above)
{
    const struct rbe_format_facts *facts = rbe_format_facts(format);
    bool (*const is_fast)(unsigned) = rbe_format_ops(format)->is_fast;
    size_t n = 0;

    /* From the most bytes down: of the blocks that cost the same, the smallest errs least. */
    for (uint32_t b = facts->min_block; b <= facts->max_block && n < room; b++) {
        const struct rbe_encode_part p = {rows, format, b, 0};
        const struct rbe_matrix_size s = rbe_encode_part_size(&p, cols, scales);
        const uint64_t bytes = s.codes + s.scale + s.col_scale;
        const double own = (double)facts->strip_bits / b;

        if (own > bits + above || own < bits - below)
            continue;
        if (!s.codes || (is_fast && !is_fast(b)) || (n && choices[n - 1].bytes == bytes))
            continue;
        blocks[n] = b;
        choices[n++] = (struct rbe_allocate_choice){bytes, cost * exp2(2 * (bits - own))};
    }
    return n;
}
