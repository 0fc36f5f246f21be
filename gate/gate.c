/*
 * gate.c - looks, intervals and verdicts of the gate.
 *
 * SPDX-License-Identifier: MIT
 */
#include "gate/gate.h"

#include <math.h>
#include <stdlib.h>

#include "base/stats.h"
#include "gate/compare.h"
#include "gate/rank.h"

/* Each look comes after 1.3 times the rounds of the one before. */
enum { LOOKS = 12, MOST_BLOCKS = 64 };
static const double growth = 1.3, cut_share = 2.0 / 3;

const char *rbe_gate_verdict_name(enum rbe_gate_verdict v)
{
    static const char *const names[] = {"go on", "pass", "regression", "too noisy"};

    return names[v];
}

struct rbe_gate_rule rbe_gate_defaults(unsigned metrics)
{
    return (struct rbe_gate_rule){.threshold = RBE_THRESHOLD / 100.0,
                                  .alpha = 0.01, .beta = 0.05,
                                  .metrics = metrics};
}

double rbe_gate_cut(const struct rbe_gate_rule *r)
{
    return log1p(r->threshold) * cut_share;
}

static double alpha_of_look(const struct rbe_gate_rule *r)
{
    return r->alpha / (LOOKS * (r->metrics ? r->metrics : 1));
}

size_t rbe_gate_look_at(const struct rbe_gate_rule *r, unsigned k)
{
    /* The first look is where all rounds above the cut are rare enough: 2^-n <= alpha. */
    size_t n = (size_t)ceil(-log2(alpha_of_look(r)) - 1e-9);

    if (k >= LOOKS)
        return 0;
    while (k--)
        n = (size_t)ceil((double)n * growth);
    return n;
}

struct rbe_gate_figure rbe_gate_judge(const struct rbe_gate_rule *r, const double *x, size_t n,
                                      bool last)
{
    const double cut = rbe_gate_cut(r), limit = log1p(r->threshold);
    const struct rbe_centre c = rbe_signed_rank_centre(x, n, alpha_of_look(r), r->beta / LOOKS);
    struct rbe_gate_figure f = {exp(c.value), exp(c.low), exp(c.high), n, RBE_GATE_GO_ON};

    if (c.low > cut)
        f.verdict = RBE_GATE_REGRESSION;
    else if (c.high < cut)
        f.verdict = RBE_GATE_PASS;
    else if (last && c.value > cut && c.low > 0)
        f.verdict = RBE_GATE_REGRESSION;
    else if (last)
        f.verdict = c.high < limit ? RBE_GATE_PASS : RBE_GATE_NOISY;
    return f;
}

double rbe_gate_round(const double *base, const double *fresh, size_t blocks)
{
    double v[MOST_BLOCKS];

    blocks = blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS;
    for (size_t i = 0; i < blocks; i++)
        v[i] = (log(fresh[2 * i]) + log(fresh[2 * i + 1]) - log(base[2 * i]) -
                log(base[2 * i + 1])) / 2;
    rbe_sort(v, blocks);
    return rbe_median(v, blocks);
}
