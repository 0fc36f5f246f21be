/*
 * gate.h - when to stop measuring two revisions in turns, and what to say then.
 *
 * SPDX-License-Identifier: MIT
 *
 * A round starts both programs anew and gives one number for each metric: log(time of the new
 * one / time of the base), the median of its A B B A blocks.  Rounds of one build against
 * itself are symmetric around 0 because which program starts is drawn, so signed ranks need
 * no other assumption.  After some of the rounds (looks) the interval on the centre is
 * compared with one cut, 2/3 of the threshold:
 *     all of it above the cut: a regression; all of it below: passed; else more rounds.
 * The error of an interval is divided by the number of looks and of metrics (Bonferroni), so
 * that stopping early does not add false alarms.  docs/GATE.md has the reasons and figures.
 */
#ifndef RBE_GATE_GATE_H
#define RBE_GATE_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum rbe_gate_verdict {
    RBE_GATE_GO_ON,             /* more rounds */
    RBE_GATE_PASS,
    RBE_GATE_REGRESSION,
    RBE_GATE_NOISY,             /* rounds or time are used up, and it cannot be told */
};
const char *rbe_gate_verdict_name(enum rbe_gate_verdict v);

struct rbe_gate_rule {
    double threshold;           /* slow-down that must be caught: 0.03 */
    double alpha;               /* of a false regression at the cut, all metrics together */
    double beta;                /* of a false pass at the cut, for each metric */
    unsigned metrics;           /* how many are judged side by side */
};

/* The rule's defaults: 3 %, 0.01, 0.05. */
struct rbe_gate_rule rbe_gate_defaults(unsigned metrics);

/* The slow-down, a log ratio, that separates pass from regression. */
double rbe_gate_cut(const struct rbe_gate_rule *r);

/* Rounds after which look k (0, 1, ...) is taken; 0 past the last look. */
size_t rbe_gate_look_at(const struct rbe_gate_rule *r, unsigned k);

struct rbe_gate_figure {
    double ratio, low, high;    /* time of new over base; the interval the verdict used */
    size_t rounds;
    enum rbe_gate_verdict verdict;
};

/*
 * Judges log ratios x [n].  last: nothing more will be measured, so RBE_GATE_GO_ON is not an
 * answer: a regression if the estimate is above the cut and the interval above 0, passed if
 * the interval is below the threshold, else too noisy.
 */
struct rbe_gate_figure rbe_gate_judge(const struct rbe_gate_rule *r, const double *x, size_t n,
                                      bool last);

/* The log ratio of a round from `blocks` blocks of four times a, b, b, a (order given by
 * base_first): the median over blocks of (log b + log b - log a - log a) / 2. */
double rbe_gate_round(const double *base, const double *fresh, size_t blocks);

#endif
