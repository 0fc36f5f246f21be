/*
 * check_kept.c - which predictions are kept, when they are known, and what they take.
 *
 * SPDX-License-Identifier: MIT
 */
#include "train/kept.h"

#include <malloc.h>
#include <string.h>

#include "grad/top.h"
#include "kernels/test/check.h"
#include "train/tokens.h"

/* Bytes that malloc() has given out; 0 where another allocator stands in for it. */
static size_t given_out(void)
{
    const struct mallinfo2 m = mallinfo2();

    return m.uordblks + m.hblkhd;
}

/* Follows a whole training in micro-batches: what is known was kept before, at the same place
 * of the text; returns how many windows were known. */
static size_t follow(const struct rbe_kept_plan *plan, struct rbe_kept *k, uint64_t micro,
                     size_t slots)
{
    unsigned char **of = calloc(plan->count, sizeof *of);       /* by place in the text */
    uint64_t *first = calloc(plan->count, sizeof *first);
    size_t kept = 0, known = 0, wrong = 0;

    for (uint64_t from = 0; from < plan->windows; from += micro) {
        const uint64_t end = from + micro < plan->windows ? from + micro : plan->windows;
        for (uint64_t i = from; i < end; i++) {
            const struct rbe_kept_at a = rbe_kept_find(k, i, from);
            const size_t at = rbe_kept_window(k, plan, i);
            wrong += (a.state == RBE_KEPT_NOT) != !a.predictions;
            if (a.state == RBE_KEPT_FIRST) {
                wrong += of[at] || a.first != i || *a.there;
                memset(a.predictions, (int)(i % 251), plan->time * rbe_top_bytes(plan->vocab));
                of[at] = a.predictions;
                first[at] = i;
                kept++;
            } else if (a.state == RBE_KEPT_KNOWN) {
                wrong += of[at] != a.predictions || first[at] != a.first || a.first >= from ||
                         a.predictions[0] != a.first % 251 || !*a.there;
                known++;
            }
        }
        for (uint64_t i = from; i < end; i++) {
            const struct rbe_kept_at a = rbe_kept_find(k, i, from);
            if (a.state == RBE_KEPT_FIRST)
                *a.there = true;
        }
    }
    CHECK(!wrong && kept == slots);
    free(of);
    free(first);
    return known;
}

static void check_plan(struct rbe_kept_plan plan, size_t slots, size_t least, size_t most)
{
    const size_t bytes = rbe_kept_bytes(&plan), before = given_out();
    struct rbe_kept *k;

    if (!CHECK(bytes <= plan.limit) || !CHECK(!rbe_kept_open(&k, &plan, NULL)))
        return;
    const size_t taken = given_out() - before;
    CHECK(!k == !slots && !bytes == !slots);
    /* The allocator's own part: each piece is rounded up, large ones to pages. */
    if (!CHECK(taken <= bytes + 5 * 4096 + 64) || !CHECK(!before || taken >= bytes))
        printf("     %zu bytes taken, %zu planned\n", taken, bytes);
    for (uint64_t micro = 1; k && micro <= 3; micro += 2) {
        const size_t known = follow(&plan, k, micro, slots);
        if (!CHECK(known >= least && known <= most))
            printf("     %zu known\n", known);
        rbe_kept_close(&k);
        CHECK(!rbe_kept_open(&k, &plan, NULL));
    }
    if (!k && plan.count >= 22)
        CHECK(rbe_kept_window(NULL, &plan, 7) == rbe_tokens_window(plan.count, plan.time + 1,
                                                                   plan.seed, 7, false));
    rbe_kept_close(&k);
    CHECK(!k);
}

int main(void)
{
    /* 1000 tokens are 89 windows of 11, less one. */
    const struct rbe_kept_plan all = {.count = 1000, .time = 10, .vocab = 300, .seed = 3,
                                      .windows = 89 * 3, .limit = SIZE_MAX};
    const size_t slot = 10 * rbe_top_bytes(300);
    struct rbe_kept_plan p = all;
    size_t last = 0;

    check_plan(all, 89, 89 * 2 - 2, 89 * 2);
    p.windows = 89 + 20;        /* only those that come again */
    check_plan(p, 20, 18, 20);
    p.windows = 89 + 1;
    check_plan(p, 1, 0, 1);
    p.windows = 89;             /* none does */
    check_plan(p, 0, 0, 0);
    p.windows = UINT64_MAX;
    CHECK(rbe_kept_bytes(&p) == rbe_kept_bytes(&all));
    p = all;
    p.count = 21;
    check_plan(p, 0, 0, 0);
    p.count = 22;               /* a pass is one window */
    check_plan(p, 1, 264, 266);
    for (p = all; p.limit > 100000; p.limit = 100000)
        ;
    check_plan(p, (100000 - (rbe_kept_bytes(&all) - 89 * (slot + 1))) / (slot + 1), 70, 80);
    p.limit = 0;
    check_plan(p, 0, 0, 0);
    p.limit = 89 * 8 + slot;
    check_plan(p, 0, 0, 0);
    for (p.limit = 0; p.limit < 1000000; p.limit += 777) {
        const size_t bytes = rbe_kept_bytes(&p);
        if (!CHECK(bytes <= p.limit && bytes >= last))
            break;
        last = bytes;
    }
    CHECK(last == rbe_kept_bytes(&all));
    p = all;
    p.vocab = 100000;
    CHECK(rbe_kept_bytes(&p) - rbe_kept_bytes(&all) == 89 * 10 * 64 * 2);
    return check_done();
}
