/*
 * schedule.c - learning rates over time.
 *
 * SPDX-License-Identifier: MIT
 */
#include "train/schedule.h"

#include <math.h>
#include <string.h>

static const char *const names[RBE_SCHEDULE_COUNT] = {
    [RBE_SCHEDULE_COSINE] = "cosine",
    [RBE_SCHEDULE_LINEAR] = "linear",
    [RBE_SCHEDULE_CONSTANT] = "constant",
    [RBE_SCHEDULE_ADAPTIVE] = "adaptive",
    [RBE_SCHEDULE_PUBLISHED] = "published",
};

const char *rbe_schedule_name(enum rbe_schedule s)
{
    return (unsigned)s < RBE_SCHEDULE_COUNT ? names[s] : NULL;
}

enum rbe_schedule rbe_schedule_by_name(const char *name)
{
    int s = 0;

    while (s < RBE_SCHEDULE_COUNT && strcmp(names[s], name) != 0)
        s++;
    return (enum rbe_schedule)s;
}

double rbe_schedule_factor(enum rbe_schedule s, uint64_t step, uint64_t total, uint64_t warmup,
                           double floor)
{
    if (step < warmup)
        return (double)(step + 1) / (double)warmup;
    if (total <= warmup + 1 || (s != RBE_SCHEDULE_COSINE && s != RBE_SCHEDULE_LINEAR))
        return 1;
    const double at = (double)(step - warmup) / (double)(total - 1 - warmup);
    const double fall = s == RBE_SCHEDULE_LINEAR ? 1 - at : 0.5 * (1 + cos(acos(-1) * at));
    return floor + (1 - floor) * (at < 1 ? fall : 0);
}

double rbe_adaptive_factor(struct rbe_adaptive *a, double perplexity)
{
    double sum = 0, factor = 1;

    if (a->count == RBE_ADAPTIVE_HISTORY) {
        for (int i = 0; i < RBE_ADAPTIVE_HISTORY; i++)
            sum += a->history[i];
        const double recent = sum / RBE_ADAPTIVE_HISTORY;
        factor = perplexity < recent * 0.98 ? 1 : perplexity > recent * 1.02 ? 0.5 : 1.1;
        memmove(a->history, a->history + 1, sizeof a->history - sizeof a->history[0]);
        a->count--;
    }
    a->history[a->count++] = perplexity;
    return factor;
}
