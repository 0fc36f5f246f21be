/*
 * judge_speed.c - times: C2, C4, C5, C11.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/judge.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- C2: speed ------------------------------------------------------------------------- */

/* Only where each token was timed after that prompt. */
const struct rbe_row *rbe_criteria_timed(const struct rbe_results *r, int model,
                                         const char *field)
{
    for (size_t i = r->count; model >= 0 && i-- > 0;) {
        const struct rbe_row *row = &r->rows[i];
        if (!strcmp(row->kind, RBE_KIND(inference)) && !isnan(rbe_number_at(row->v, field)) &&
            !strcmp(RBE_STRING_AT(row->v, mode), "latency") &&
            RBE_NUMBER_AT(row->v, prompt_tokens) == RBE_LIMIT(C2_PROMPT) &&
            rbe_results_model(r, RBE_VALUE_AT(row->v, model)) == model)
            return row;
    }
    return NULL;
}

/* Why there is no such row of the RBE model. */
static void not_timed(struct rbe_criterion *c, const struct rbe_pair *p, const char *field)
{
    const struct rbe_row *other = rbe_pair_inference(p, false, field);

    if (!other) {
        rbe_not_measured(c, !strcmp(field, RBE_KEY(speedup))
                                ? "no inference run that interleaves the "
                                  "original and the RBE model"
                                : "no inference row of the RBE model");
        return;
    }
    rbe_not_measured(c,
                     "timed in mode '%s' after a prompt of %.0f tokens, not each token after "
                     "%.0f",
                     RBE_STRING_AT(other->v, mode), RBE_NUMBER_AT(other->v, prompt_tokens),
                     RBE_LIMIT(C2_PROMPT));
    rbe_cite(c, other);
}

void rbe_judge_time(struct rbe_criterion *c, const struct rbe_pair *p)
{
    const struct rbe_row *a = rbe_criteria_timed(p->r, p->base, RBE_KEY(decode_median_ms));
    const struct rbe_row *b = rbe_criteria_timed(p->r, p->model, RBE_KEY(decode_median_ms));

    if (!b) {
        not_timed(c, p, RBE_KEY(decode_median_ms));
        return;
    }
    const double x = RBE_NUMBER_AT(b->v, decode_median_ms);
    if (a)
        SAY(c->original, "%.3g ms", RBE_NUMBER_AT(a->v, decode_median_ms));
    SAY(c->rbe, "%.3g ms", x);
    SAY(c->margin, "%.3g ms under", RBE_LIMIT(C2) - x);
    if (!RBE_MEETS(C2, x))
        SAY(c->margin, "%.3g ms over", x - RBE_LIMIT(C2));
    SAY(c->how,
        "median time of a decoded token at batch 1 after a prompt of %.0f tokens, "
        "%.0f threads",
        RBE_NUMBER_AT(b->v, prompt_tokens), RBE_NUMBER_AT(b->v, machine, threads));
    rbe_cite(c, b);
    if (!rbe_timed_in_vain(c, b))
        c->verdict = RBE_MEETS(C2, x) ? RBE_PASS : RBE_FAIL;
}

void rbe_judge_speedup(struct rbe_criterion *c, const struct rbe_pair *p)
{
    const struct rbe_row *b = rbe_criteria_timed(p->r, p->model, RBE_KEY(speedup));
    char ci[96];

    if (!b) {
        not_timed(c, p, RBE_KEY(speedup));
        return;
    }
    const double x = RBE_NUMBER_AT(b->v, speedup);
    rbe_say_interval(ci, sizeof ci, b->v, RBE_KEY(speedup_ci95), "%.2f");
    SAY(c->original, "1 x");
    SAY(c->rbe, "%.2f x%s", x, ci);
    SAY(c->margin, "%+.2f", x - RBE_LIMIT(C2B));
    SAY(c->how,
        "ratio of the median decode times after a prompt of %.0f tokens, original and "
        "RBE interleaved in one run, %.0f threads",
        RBE_LIMIT(C2_PROMPT), RBE_NUMBER_AT(b->v, machine, threads));
    rbe_cite(c, b);
    if (!rbe_timed_in_vain(c, b))
        c->verdict = rbe_verdict_of(x, RBE_INTERVAL_AT(b->v, speedup_ci95), c->limit);
}

/* --- C4, C5: a hundred tokens, a conversation ----------------------------------------- */

void rbe_judge_hundred(struct rbe_criterion *c, const struct rbe_pair *p)
{
    const struct rbe_row *a = rbe_pair_inference(p, true, RBE_KEY(hundred, wall_s));
    const struct rbe_row *b = rbe_pair_inference(p, false, RBE_KEY(hundred, wall_s));
    const struct rbe_row *talk = rbe_pair_row(p, RBE_KIND(conversation), false), *timed = NULL;
    double x = NAN;

    if (b && RBE_NUMBER_AT(b->v, hundred, tokens) >= RBE_LIMIT(C4_TOKENS)) {
        x = RBE_NUMBER_AT(b->v, hundred, wall_s);
        SAY(c->how,
            "wall clock of a separate process that loads the model (%.2f s of it) "
            "and writes %.0f tokens",
            RBE_NUMBER_AT(b->v, hundred, load_s), RBE_NUMBER_AT(b->v, hundred, tokens));
        timed = b;
    } else if (talk) {
        x = RBE_NUMBER_AT(talk->v, summary, hundred_tokens_s);
        SAY(c->how, "wall clock of the conversation tester, loading included");
        timed = talk;
    }
    if (timed)
        rbe_cite(c, timed);
    if (isnan(x)) {
        rbe_not_measured(c, "no run that loads the RBE model and writes %.0f tokens",
                         RBE_LIMIT(C4_TOKENS));
        return;
    }
    if (a)
        SAY(c->original, "%.2f s", RBE_NUMBER_AT(a->v, hundred, wall_s));
    SAY(c->rbe, "%.2f s", x);
    SAY(c->margin, "%+.2f s", RBE_LIMIT(C4) - x);
    if (!rbe_timed_in_vain(c, timed))
        c->verdict = RBE_MEETS(C4, x) ? RBE_PASS : RBE_FAIL;
}

/* A turn's 95th percentile of the time between tokens; its largest, which is more, where there
 * were too few for one.  NAN: the row has neither. */
static double turn_p95(const json_t *turn)
{
    const json_t *all = RBE_VALUE_AT(turn, token_ms), *x;
    double most = RBE_NUMBER_AT(turn, p95_ms);
    size_t i;

    if (isnan(most))
        json_array_foreach(all, i, x)
            most = fmax(most, json_number_value(x));
    return most;
}

void rbe_judge_conversation(struct rbe_criterion *c, const struct rbe_pair *p)
{
    const struct rbe_row *a = rbe_pair_row(p, RBE_KIND(conversation), true);
    const struct rbe_row *b = rbe_pair_row(p, RBE_KIND(conversation), false);

    SAY(c->target, "each of %.0f turns: first token < %.0f s, 95 %% of tokens <= %.0f ms",
        RBE_LIMIT(C5_TURNS), RBE_LIMIT(C5_FIRST) / 1e3, RBE_LIMIT(C5));
    if (!b) {
        rbe_not_measured(c, "no conversation with the RBE model");
        return;
    }
    const json_t *turns = RBE_VALUE_AT(b->v, turns), *turn;
    const size_t n = json_array_size(turns);
    size_t i, within = 0, unknown = 0;
    double first = 0, p95 = 0;
    json_array_foreach(turns, i, turn) {
        const double f = RBE_NUMBER_AT(turn, first_token_ms);
        const double q = turn_p95(turn);
        within += RBE_MEETS(C5_FIRST, f) && RBE_MEETS(C5, q);
        unknown +=
            !(f >= RBE_LIMIT(C5_FIRST)) && !(q > RBE_LIMIT(C5)) && (isnan(f) || isnan(q));
        first = fmax(first, f);
        p95 = fmax(p95, q);
    }
    if (a)
        SAY(c->original, "worst turn %.3g ms, %.3g ms",
            RBE_NUMBER_AT(a->v, summary, first_token_ms_max),
            RBE_NUMBER_AT(a->v, summary, p95_ms_max));
    SAY(c->rbe, "%zu of %zu turns; worst turn %.3g ms, %.3g ms", within, n, first, p95);
    SAY(c->margin, "%+.3g ms, %+.3g ms", RBE_LIMIT(C5_FIRST) - first, RBE_LIMIT(C5) - p95);
    rbe_cite(c, b);
    if ((double)n < RBE_LIMIT(C5_TURNS)) {
        rbe_not_measured(c, "the conversation had %zu turns, not %.0f", n, RBE_LIMIT(C5_TURNS));
        return;
    }
    if (rbe_timed_in_vain(c, b))
        return;
    if (unknown && within + unknown == n) {
        rbe_not_measured(c, "%zu of %zu turns have no time between tokens", unknown, n);
        return;
    }
    SAY(c->how,
        "scripted conversation, streamed; the worst turn's time to its first token, "
        "and the worst turn's 95th percentile (p95) of the time between tokens, the largest "
        "where a turn is too short for one");
    c->verdict = within == n ? RBE_PASS : RBE_FAIL;
}

/* --- C11: devices, when they are warm --------------------------------------------------- */

/* The run of the pair's model on such a device; of several the last. */
static const struct rbe_row *sustained_on(const struct rbe_pair *p, const char *device,
                                          bool base)
{
    const int m = base ? p->base : p->model;

    for (size_t i = p->r->count; m >= 0 && i-- > 0;) {
        const struct rbe_row *row = &p->r->rows[i];
        const char *is = RBE_STRING_AT(row->v, machine, device);
        if (!strcmp(row->kind, RBE_KIND(sustained)) && is && !strcmp(is, device) &&
            rbe_results_model(p->r, RBE_VALUE_AT(row->v, model)) == m)
            return row;
    }
    return NULL;
}

static const char *or(const char *s, const char *other)
{
    return s ? s : other;
}

/* What instructions counted under an emulator would take on a core of such a device: of any
 * model, which it names; else why the run made none.  It is beside the verdict. */
static void project(struct rbe_criterion *c, const struct rbe_results *r, const char *device)
{
    const char *why = NULL;

    for (size_t i = r->count; i-- > 0;) {
        const json_t *v = r->rows[i].v;
        const char *step = RBE_STRING_AT(v, step), *is = RBE_STRING_AT(v, device);
        if (!why && !strcmp(r->rows[i].kind, RBE_KIND(step)) && step &&
            !strcmp(step, "projection") && !RBE_TRUE_AT(v, ok))
            why = or(RBE_STRING_AT(v, reason), "no reason given");
        if (strcmp(r->rows[i].kind, RBE_KIND(projection)) || !is || strcmp(is, device))
            continue;
        const json_t *ipc = RBE_VALUE_AT(v, instructions_per_cycle);
        const double least = json_number_value(json_array_get(ipc, 0));
        const double most = json_number_value(json_array_get(ipc, 1));
        const double count = RBE_NUMBER_AT(v, instructions_per_token);
        const double ghz = RBE_NUMBER_AT(v, ghz);
        SAY(c->projection,
            "projection, not a measurement: %.3g to %.3g ms/token = %.4g million instructions "
            "(%.48s%s, one thread of the aarch64 program, counted under %.32s) / (%.3g GHz x "
            "%.3g to %.3g instructions per cycle x 1 core), clock and rate assumed of a %.32s "
            "that never waits for memory and stays cool (%s:%zu)",
            1e-6 * count / ghz / most, 1e-6 * count / ghz / least, 1e-6 * count,
            or(RBE_STRING_AT(v, model, name), "?"),
            RBE_STRING_AT(v, model, label) ? ", generated weights" : "",
            or(RBE_STRING_AT(v, machine, emulator), "an emulator"), ghz, least, most,
            or(RBE_STRING_AT(v, core), "?"), r->rows[i].file, r->rows[i].line);
        return;
    }
    if (why)
        SAY(c->projection, "projection: NOT MEASURED, the step 'projection' did not run: %s",
            why);
}

void rbe_judge_device(struct rbe_criterion *c, const struct rbe_pair *p)
{
    const char *device = rbe_device_of(c->limit);
    const struct rbe_row *b = sustained_on(p, device, false);
    const struct rbe_row *a = sustained_on(p, device, true);
    const char *emulator = b ? RBE_STRING_AT(b->v, machine, emulator) : NULL;

    if (!b) {
        project(c, p->r, device);
        rbe_not_measured(c, "no run on such a device; there: RBE_DEVICE=%s rbe-run eval "
                         "sustained --model FILE.rbe --out %s.jsonl, and put this file next "
                         "to the others", device, device);
        return;
    }
    const double x = RBE_NUMBER_AT(b->v, last_median_ms);
    if (a)
        SAY(c->original, "%.3g ms", RBE_NUMBER_AT(a->v, last_median_ms));
    SAY(c->rbe, "%.3g ms", x);
    SAY(c->margin, "%+.3g ms", c->limit->value - x);
    rbe_cite(c, b);
    if (emulator && *emulator) {
        rbe_not_measured(c, "an emulator (%s) is not that device", emulator);
        return;
    }
    if (!RBE_MEETS(C11_MINUTES, RBE_NUMBER_AT(b->v, minutes))) {
        rbe_not_measured(c, "it ran for %.3g minutes, not %.0f",
                         RBE_NUMBER_AT(b->v, minutes), RBE_LIMIT(C11_MINUTES));
        return;
    }
    SAY(c->how, "median time of a token in the last %.0f s of %.0f minutes without a pause, "
        "%.0f threads; speed left of the first: %.0f %%", RBE_NUMBER_AT(b->v, interval_s),
        RBE_NUMBER_AT(b->v, minutes), RBE_NUMBER_AT(b->v, machine, threads),
        100 * RBE_NUMBER_AT(b->v, retained));
    if (!rbe_timed_in_vain(c, b))
        c->verdict = rbe_verdict_of(x, NULL, c->limit);
}
