/*
 * schedule.h - how the learning rate goes over a stage.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_TRAIN_SCHEDULE_H
#define RBE_TRAIN_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

enum rbe_schedule { RBE_SCHEDULE_COSINE, RBE_SCHEDULE_LINEAR, RBE_SCHEDULE_CONSTANT,
                    RBE_SCHEDULE_ADAPTIVE, RBE_SCHEDULE_PUBLISHED, RBE_SCHEDULE_COUNT };

/* "cosine", "linear", "constant", "adaptive", "published"; NULL past the end. */
const char *rbe_schedule_name(enum rbe_schedule s);
/* RBE_SCHEDULE_COUNT when the name is unknown. */
enum rbe_schedule rbe_schedule_by_name(const char *name);

/*
 * Factor of the stage's rate at step 0 .. total-1.  The first `warmup` steps rise in equal
 * steps to 1, which the last of them has; then cosine falls along half a cosine and linear
 * along a line, both to `floor` at the last step; the others stay at 1.
 */
double rbe_schedule_factor(enum rbe_schedule s, uint64_t step, uint64_t total, uint64_t warmup,
                           double floor);

/*
 * The chapter's rate driven by performance (docs/CHAPTER.md, 8.4.3).  As published it looks at
 * the mean of the last five perplexities: 2 % below it, the base rate; 2 % above, half of it;
 * in between 1.1 times.  Each answer is a factor of the base rate: they do not add up over
 * time.
 *
 * The published code never puts anything into its history.  So its first branch, which waits
 * for five entries, is taken for ever, the three others are dead, and it is a constant rate:
 * RBE_SCHEDULE_PUBLISHED.  RBE_SCHEDULE_ADAPTIVE is the same with the one line that is missing:
 * each epoch's perplexity goes into the history after it was judged.
 */
enum { RBE_ADAPTIVE_HISTORY = 5 };

struct rbe_adaptive {
    double history[RBE_ADAPTIVE_HISTORY];       /* the latest, oldest first */
    uint32_t count;
};

/* Factor of the base rate after an epoch (an evaluation) that gave this perplexity. */
double rbe_adaptive_factor(struct rbe_adaptive *a, double perplexity);

#endif
