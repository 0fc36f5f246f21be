/*
 * measure_sustained.c - speed over minutes without a pause, and how warm it gets.
 *
 * SPDX-License-Identifier: MIT
 *
 * Small machines slow down as they warm up: what the first tokens took says little of what a
 * token takes after half an hour.  Bursts of tokens follow each other at one depth of the
 * context, until each interval's time is over.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "base/rows.h"
#include "base/sensors.h"
#include "base/stats.h"
#include "eval/measure.h"
#include "eval/timing.h"

/* A burst is interrupted between its tokens no more. */
static const double burst_s = 0.3;
enum { MOST_BURST = 64 };

/* The machine while an interval lasted; NaN: not known. */
struct weather {
    double warmest, mhz_sum, bursts;
};

static void look(struct weather *w, const char *root)
{
    w->warmest = fmax(w->warmest, rbe_temperature(root));
    w->mhz_sum += rbe_frequency(root);
    w->bursts++;
}

static json_t *interval_json(const struct rbe_times *t, const struct weather *w, double at_s)
{
    json_t *o = rbe_times_json(t), *v = rbe_times_validity(t);

    RBE_SET(o, RBE_REAL(at_s, at_s), RBE_REAL(temperature_c, w->warmest),
            RBE_REAL(mhz, w->mhz_sum / w->bursts),
            RBE_SHARED(foreign_cpu, RBE_VALUE_AT(v, foreign_cpu)),
            RBE_SHARED(steal, RBE_VALUE_AT(v, steal)));
    json_decref(v);
    return o;
}

/* What the curve comes to: its first and last point. */
static int set_ends(json_t *r, const json_t *intervals)
{
    const size_t n = json_array_size(intervals);
    const json_t *first = json_array_get(intervals, 0);
    const json_t *last = json_array_get(intervals, n - 1);
    const double a = RBE_NUMBER_AT(first, tokens_per_s), b = RBE_NUMBER_AT(last, tokens_per_s);
    double warmest = NAN, tokens = 0;
    const json_t *x;
    size_t i;

    json_array_foreach(intervals, i, x) {
        warmest = fmax(warmest, RBE_NUMBER_AT(x, temperature_c));
        tokens += RBE_NUMBER_AT(x, tokens);
    }
    return RBE_SET(r, RBE_INT(tokens, tokens), RBE_REAL(first_tokens_per_s, a),
                   RBE_REAL(last_tokens_per_s, b), RBE_REAL(retained, n > 1 ? b / a : NAN),
                   RBE_SHARED(last_median_ms, RBE_VALUE_AT(last, median_ms)),
                   RBE_REAL(warmest_c, warmest));
}

struct run {
    const struct rbe_evaluation *e;
    const struct rbe_sustained_plan *how;
    const char *root;           /* of sysfs */
    struct rbe_progress bar;
    uint32_t first;             /* token after the prompt */
    size_t burst;
    double start;
};

/* Bursts until interval i is over, at least one. */
static enum rbe_status measure_interval(struct run *u, struct rbe_runner *r, unsigned i,
                                        struct rbe_times *t, struct weather *w,
                                        struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    do {
        if (!(err = rbe_time_decode(t, r, u->first, u->burst, 0, d)) && rbe_interrupted())
            err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted in interval %u", i + 1);
        look(w, u->root);
        rbe_progress_update(&u->bar, rbe_now() - u->start, NULL);
    } while (!err && rbe_now() - u->start < (i + 1) * u->how->interval_s);
    return err;
}

static enum rbe_status measure_model(struct run *u, struct rbe_runner *r, json_t *intervals,
                                     struct rbe_diag *d)
{
    const uint32_t n = u->how->prompt_tokens;
    uint32_t *prompt = malloc(n * sizeof *prompt);
    struct rbe_times t = {0};
    uint64_t random = 1;
    double ms;
    enum rbe_status err;

    if (!prompt)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (uint32_t i = 0; i < n; i++)
        prompt[i] = rbe_random_below(&random, r->vocab);
    u->burst = 1;
    if ((err = rbe_time_prefill(r, prompt, n, &ms, NULL, &u->first, d)) ||
        (err = rbe_time_decode(&t, r, u->first, 2, 0, d)))
        goto out;
    const double token_ms = t.ms[1];
    const double fits = fmin(MOST_BURST, u->e->runners[0].n_ctx - n);
    u->burst = (size_t)fmax(1, fmin(fits, ceil(1e3 * burst_s / token_ms)));
    rbe_progress_start(&u->bar, "sustained", "s", u->how->intervals * u->how->interval_s);
    u->start = rbe_now();
    for (unsigned i = 0; i < u->how->intervals && !err; i++) {
        struct weather w = {NAN, 0, 0};
        rbe_times_free(&t);
        err = measure_interval(u, r, i, &t, &w, d);
        /* An interval that was broken off says as much, if less surely. */
        if ((!err || err == RBE_ERR_INTERRUPTED) && t.count)
            json_array_append_new(intervals, interval_json(&t, &w, rbe_now() - u->start));
    }
    rbe_progress_end(&u->bar);
out:
    rbe_times_free(&t);
    free(prompt);
    return err;
}

enum rbe_status rbe_measure_sustained(const struct rbe_evaluation *e,
                                      const struct rbe_sustained_plan *p, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (size_t m = 0; m < e->model_count && !err; m++) {
        struct run u = {.e = e, .how = p, .root = rbe_sysfs()};
        json_t *intervals = json_array();
        err = measure_model(&u, &e->runners[m], intervals, d);
        if ((!err || err == RBE_ERR_INTERRUPTED) && json_array_size(intervals)) {
            json_t *r = rbe_evaluation_record(e, RBE_KIND(sustained), &e->runners[m]);
            struct rbe_diag why = {""};
            RBE_SET(r, RBE_FLAG(complete, !err),
                    RBE_REAL(minutes, (rbe_now() - u.start) / 60),
                    RBE_REAL(interval_s, p->interval_s),
                    RBE_INT(prompt_tokens, p->prompt_tokens),
                    RBE_JSON(intervals, json_incref(intervals)));
            if (set_ends(r, intervals)) {
                json_decref(r);
                r = NULL;
            }
            const enum rbe_status wrote = rbe_evaluation_emit(e, r, &why);
            if (wrote) {
                *d = why;
                err = wrote;
            }
        }
        json_decref(intervals);
    }
    return err;
}
