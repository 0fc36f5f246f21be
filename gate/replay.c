/*
 * replay.c - resampled decisions.
 *
 * SPDX-License-Identifier: MIT
 */
#include "gate/replay.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/result.h"
#include "base/rows.h"
#include "base/stats.h"

enum { NEIGHBOURS = 4, LEAST_ROUNDS = 16 };

struct pool {
    double *x[RBE_TURNS_METRICS], *seconds;     /* [rounds] */
    size_t metrics, rounds;
};

static void free_pool(struct pool *p)
{
    for (size_t i = 0; i < p->metrics; i++)
        free(p->x[i]);
    free(p->seconds);
}

/* The recordings of one metric, in order. */
static enum rbe_status read_metric(struct pool *p, const json_t *rows, const char *name,
                                   const char *path, struct rbe_diag *d)
{
    double *x = calloc(json_array_size(rows) + 1, sizeof *x);
    json_t *r;
    size_t i, n = 0;

    if (!x)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    p->x[p->metrics++] = x;
    json_array_foreach(rows, i, r) {
        const char *kind = RBE_STRING_AT(r, kind), *metric = RBE_STRING_AT(r, metric);
        if (!kind || strcmp(kind, RBE_KIND(gate_round)) || !metric || strcmp(metric, name))
            continue;
        x[n] = RBE_NUMBER_AT(r, log_ratio);
        const double s = RBE_NUMBER_AT(r, seconds);
        if (!isfinite(x[n]) || !(s > 0))
            return rbe_fail(d, RBE_ERR_FORMAT, "%s:%zu: a round without log_ratio or seconds",
                            path, i + 1);
        if (p->metrics == 1)
            p->seconds[n] = s;
        n++;
    }
    if (n < LEAST_ROUNDS)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: %zu rounds of %s; at least %d are needed", path,
                        n, name, LEAST_ROUNDS);
    if (p->metrics > 1 && n != p->rounds)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: %zu rounds of %s, %zu of others", path, n, name,
                        p->rounds);
    p->rounds = n;
    return RBE_OK;
}

struct outcome {
    enum rbe_gate_verdict verdict;
    size_t rounds;
    double seconds;
};

/* One decision; scratch [metrics][most] holds the drawn log ratios. */
static struct outcome decide(const struct pool *p, const struct rbe_gate_rule *rule,
                             double budget_s, double *scratch, size_t most, uint64_t *rng)
{
    enum rbe_gate_verdict verdict[RBE_TURNS_METRICS] = {0};
    struct outcome r = {RBE_GATE_GO_ON, 0, 0};
    unsigned look = 0;
    size_t at = 0;

    for (bool open = true; open;) {
        at = r.rounds % NEIGHBOURS ? (at + 1) % p->rounds
             : rbe_random_below(rng, (uint32_t)p->rounds);
        for (size_t m = 0; m < p->metrics; m++)
            scratch[m * most + r.rounds] = p->x[m][at];
        r.seconds += p->seconds[at];
        r.rounds++;
        const bool at_look = r.rounds >= rbe_gate_look_at(rule, look);
        const bool last = r.seconds >= budget_s || r.rounds == most;
        open = false;
        for (size_t m = 0; m < p->metrics; m++) {
            if ((at_look || last) && verdict[m] == RBE_GATE_GO_ON)
                verdict[m] = rbe_gate_judge(rule, scratch + m * most, r.rounds, last).verdict;
            open |= verdict[m] == RBE_GATE_GO_ON;
        }
        look += at_look;
    }
    r.verdict = RBE_GATE_PASS;
    for (size_t m = 0; m < p->metrics; m++)
        if (verdict[m] == RBE_GATE_REGRESSION ||
            (verdict[m] == RBE_GATE_NOISY && r.verdict == RBE_GATE_PASS))
            r.verdict = verdict[m];
    return r;
}

static enum rbe_status decide_all(FILE *out, const struct pool *p,
                                  const struct rbe_turns_options *o, unsigned decisions,
                                  struct rbe_diag *d)
{
    struct rbe_gate_rule rule = rbe_gate_defaults((unsigned)p->metrics);
    unsigned counts[4] = {0}, k = 0;
    size_t most = 0;
    uint64_t rng = o->seed;

    rule.threshold = o->threshold;
    for (size_t n; (n = rbe_gate_look_at(&rule, k)); k++)
        most = n;
    double *scratch = calloc(p->metrics * most, sizeof *scratch);
    double *rounds = calloc(decisions, sizeof *rounds);
    double *seconds = calloc(decisions, sizeof *seconds);
    if (scratch && rounds && seconds) {
        for (unsigned i = 0; i < decisions; i++) {
            const struct outcome r = decide(p, &rule, o->budget_s, scratch, most, &rng);
            counts[r.verdict]++;
            rounds[i] = (double)r.rounds;
            seconds[i] = r.seconds;
        }
        rbe_sort(rounds, decisions);
        rbe_sort(seconds, decisions);
        fprintf(out, "%u decisions from %zu rounds: %u regression, %u pass, %u too noisy; "
                "rounds median %.0f, 95 %% %.0f; seconds median %.1f, 95 %% %.1f, most %.1f\n",
                decisions, p->rounds, counts[RBE_GATE_REGRESSION], counts[RBE_GATE_PASS],
                counts[RBE_GATE_NOISY], rbe_median(rounds, decisions),
                rbe_quantile(rounds, decisions, 0.95), rbe_median(seconds, decisions),
                rbe_quantile(seconds, decisions, 0.95), seconds[decisions - 1]);
    }
    const enum rbe_status err = scratch && rounds && seconds ? RBE_OK
                                : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    free(scratch);
    free(rounds);
    free(seconds);
    return err;
}

enum rbe_status rbe_replay(FILE *out, const char *path, const char *metrics,
                           const struct rbe_turns_options *o, unsigned decisions,
                           struct rbe_diag *d)
{
    struct rbe_turns names = {0};
    struct pool p = {0};
    json_t *rows = NULL;
    enum rbe_status err;

    if ((err = rbe_turns_init(&names, metrics, d)) ||
        (err = rbe_result_read(&rows, path, NULL, d)))
        goto out;
    if (!(p.seconds = calloc(json_array_size(rows) + 1, sizeof *p.seconds))) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    for (size_t i = 0; i < names.count && !err; i++)
        if (!names.metric[i].exact)
            err = read_metric(&p, rows, names.metric[i].name, path, d);
    if (!err && !p.metrics)
        err = rbe_fail(d, RBE_ERR_ARG, "no timed metric in '%s'", metrics);
    if (!err)
        err = decide_all(out, &p, o, decisions, d);
out:
    free_pool(&p);
    rbe_turns_free(&names);
    json_decref(rows);
    return err;
}
