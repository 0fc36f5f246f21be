/*
 * check_allocate.c - the allocation is within the budget and as good as trying everything.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>

#include "kernels/format/seed.h"
#include "kernels/test/check.h"
#include "rbe/allocate.h"

enum { ITEMS = 5, CHOICES = 6, ALL = 7776 };    /* 6^5 */

static double best_by_trial(const struct rbe_allocate_item *items, uint64_t budget)
{
    double best = INFINITY;

    for (unsigned n = 0; n < ALL; n++) {
        uint64_t bytes = 0;
        double cost = 0;
        unsigned rest = n;
        for (int i = 0; i < ITEMS; i++, rest /= CHOICES) {
            bytes += items[i].choices[rest % CHOICES].bytes;
            cost += items[i].choices[rest % CHOICES].cost;
        }
        if (bytes <= budget && cost < best)
            best = cost;
    }
    return best;
}

static void check_random(struct check_rng *r)
{
    struct rbe_allocate_choice c[ITEMS][CHOICES];
    struct rbe_allocate_item items[ITEMS];
    uint64_t least = 0, most = 0;

    for (int i = 0; i < ITEMS; i++) {
        const double scale = 1 + check_below(r, 50);
        const uint64_t unit = 10 + check_below(r, 10);
        for (unsigned k = 0; k < CHOICES; k++)
            c[i][k] = (struct rbe_allocate_choice){unit * (k + 1), scale * exp2(-2.0 * k)};
        least += unit;
        most += CHOICES * unit;
        items[i] = (struct rbe_allocate_item){c[i], CHOICES, 0};
    }
    const uint64_t budget = least + check_below(r, (uint32_t)(most - least + 20));
    uint64_t bytes = 0;
    double cost = 0;
    CHECK(rbe_allocate(items, ITEMS, budget, NULL) == RBE_OK);
    for (int i = 0; i < ITEMS; i++) {
        bytes += c[i][items[i].chosen].bytes;
        cost += c[i][items[i].chosen].cost;
    }
    CHECK(bytes <= budget);
    /* The last step may not fit: then the loss is at most one item's, seen below a third. */
    CHECK(cost <= 1.35 * best_by_trial(items, budget) + 1e-9);
    CHECK(rbe_allocate(items, ITEMS, least - 1, NULL) == RBE_ERR_LIMIT);
    CHECK(rbe_allocate(items, ITEMS, most, NULL) == RBE_OK);
    for (int i = 0; i < ITEMS; i++)
        CHECK(items[i].chosen == CHOICES - 1);
}

/* What the common price leaves over goes where a byte saves most: the choices in the midst are
 * above the line between the others, so that no price picks them. */
static void check_spending(void)
{
    const struct rbe_allocate_choice little[] = {{10, 10}, {15, 9.9}, {40, 0}};
    const struct rbe_allocate_choice much[] = {{10, 10}, {15, 9}, {40, 0}};

    for (int first = 0; first < 2; first++) {
        struct rbe_allocate_item items[2] = {{little, 3, 0}, {little, 3, 0}};
        items[first].choices = much;
        CHECK(rbe_allocate(items, 2, 25, NULL) == RBE_OK);
        CHECK(items[first].chosen == 1 && items[!first].chosen == 0);
        CHECK(rbe_allocate(items, 2, 24, NULL) == RBE_OK);
        CHECK(items[first].chosen == 0 && items[!first].chosen == 0);
        CHECK(rbe_allocate(items, 2, 30, NULL) == RBE_OK);
        CHECK(items[first].chosen == 1 && items[!first].chosen == 1);
    }
    /* By the byte, not by the step: the larger step saves more in all. */
    const struct rbe_allocate_choice steps[] = {{10, 10}, {12, 9.7}, {20, 9}, {100, 0}};
    struct rbe_allocate_item one[2] = {{steps, 4, 0}, {little, 3, 0}};
    CHECK(rbe_allocate(one, 2, 22, NULL) == RBE_OK);
    CHECK(one[0].chosen == 1 && one[1].chosen == 0);
}

static void check_seed_choices(void)
{
    struct rbe_allocate_choice c[4096];
    uint32_t blocks[4096];
    const size_t n = rbe_allocate_blocks(c, blocks, 4096, RBE_SEED, 256, 256,
                                         RBE_SCALES_ROW_COL, 8, 4, 4, 4);

    /* Every size once, at its smallest block: 256 rows take as much at 128 rows a strip as at
     * any number up to 136. */
    CHECK(n >= 20 && blocks[0] == 16 && blocks[n - 1] > 256);
    for (size_t i = 1; i < n; i++)
        CHECK(c[i].bytes < c[i - 1].bytes && c[i].cost > c[i - 1].cost);
    /* Only what kernels are fast at: 32 and 36, and nothing between. */
    for (size_t i = 0; i < n; i++)
        CHECK(rbe_seed_is_fast(blocks[i]) && (blocks[i] <= 32 || blocks[i] >= 36));
    for (size_t i = 0; i < n; i++)
        if (blocks[i] == 32)
            CHECK_NEAR(c[i].cost, 8, 1e-12);
    /* Near 4 bits only: 28, 32 and 36 rows a strip. */
    const size_t near = rbe_allocate_blocks(c, blocks, 4096, RBE_SEED, 256, 256,
                                            RBE_SCALES_ROW_COL, 8, 4, 0.5, 1);
    CHECK(near == 3 && blocks[0] == 28 && blocks[near - 1] == 36);
    /* Without column scales, an f16 for each column less. */
    const uint64_t both = c[0].bytes;
    rbe_allocate_blocks(c, blocks, 1, RBE_SEED, 256, 256, RBE_SCALES_ROW, 8, 4, 0.5, 1);
    CHECK(c[0].bytes == both - 512);
}

int main(int argc, char **argv)
{
    struct check_rng r = check_seed(argc, argv);

    for (int i = 0; i < 100; i++)
        check_random(&r);
    check_spending();
    check_seed_choices();
    return check_done();
}
