/*
 * launches.c - inference times of several processes, one after the other, joined.
 *
 * SPDX-License-Identifier: MIT
 *
 * Between launches times move by more than within one: memory is laid out anew, threads are
 * placed anew.  So a launch is the unit: what is reported is the median of the launches'
 * medians, and the interval of the speed-up holds what they differ by.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/progress.h"
#include "base/rows.h"
#include "base/stats.h"
#include "eval/child.h"
#include "eval/measure.h"
#include "eval/timing.h"

enum { RESAMPLES = 2000, WORDS = 32, NUMBER_TEXT = 16 };

/* --- one launch --------------------------------------------------------------------------- */

/* How many of `all` one of n launches takes, at least one. */
static int share_of(int all, int n)
{
    return (all + n - 1) / n;
}

/* This launch's rows, one for each model. */
static enum rbe_status launch(json_t **rows, const struct rbe_evaluation *e,
                              const struct rbe_inference_plan *p, bool alone,
                              struct rbe_diag *d)
{
    char **argv = calloc(WORDS + 2 * e->model_count, sizeof *argv), number[5][NUMBER_TEXT];
    const char *const option[5] = {"--threads", "--prompt", "--tokens", "--retries",
                                   "--prefills"};
    const int value[5] = {(int)rbe_pool_threads(e->pool), p->prompt_tokens,
                          share_of(p->tokens, p->launches), p->retries,
                          share_of(p->prefills, p->launches)};
    int n = 0;

    if (!argv)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    const char *const first[] = {"rbe", "eval", "inference", "--quiet", "--output", "jsonl"};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        argv[n++] = (char *)first[i];
    for (size_t m = 0; m < e->model_count; m++) {
        argv[n++] = "--model";
        argv[n++] = e->models[m];
    }
    for (int i = 0; i < 5; i++) {
        snprintf(number[i], sizeof number[i], "%d", value[i]);
        argv[n++] = (char *)option[i];
        argv[n++] = number[i];
    }
    if (p->depth_list) {
        argv[n++] = "--depths";
        argv[n++] = (char *)p->depth_list;
    }
    if (e->kv != RBE_KV_DEFAULT) {
        argv[n++] = "--kv-cache";
        argv[n++] = (char *)rbe_kv_cache_name(e->kv);
    }
    if (!alone)
        argv[n++] = "--no-child";
    if (rbe_no_verify)
        argv[n++] = "--no-verify";
    enum rbe_status err = rbe_child_rows(rows, argv, d);
    if (!err && json_array_size(*rows) != e->model_count)
        err = rbe_fail(d, RBE_ERR_FORMAT, "a launch gave %zu rows of %zu models",
                       json_array_size(*rows), e->model_count);
    /* What failed is no limit's fault: there was none. */
    if (err == RBE_ERR_LIMIT)
        err = RBE_ERR_IO;
    free(argv);
    return err;
}

/* --- joining ------------------------------------------------------------------------------ */

/* A model's rows, one of each launch. */
struct launches {
    json_t **row;
    size_t count;
    double *x, *scratch;        /* [count] */
};

static double median(struct launches *l)
{
    memcpy(l->scratch, l->x, l->count * sizeof *l->x);
    rbe_sort(l->scratch, l->count);
    return rbe_median(l->scratch, l->count);
}

/* Median of what stands at this path in each row. */
static double median_at(struct launches *l, const char *path)
{
    for (size_t i = 0; i < l->count; i++)
        l->x[i] = rbe_number_at(l->row[i], path);
    return median(l);
}

static json_t *list_of(const struct launches *l)
{
    json_t *all = json_array();

    for (size_t i = 0; i < l->count; i++)
        json_array_append_new(all, rbe_result_real(l->x[i]));
    return all;
}

static const json_t *depth_of(const json_t *row, size_t depth)
{
    return json_array_get(RBE_VALUE_AT(row, decode), depth);
}

/* Of the row (depth < 0) or of one of its depths: shares are means, counts sums. */
static void join_validity(json_t *to, struct launches *l, int depth)
{
    static const char *const mean[] = {RBE_KEY(foreign_cpu), RBE_KEY(steal),
                                       RBE_KEY(cpu_utilisation)};
    static const char *const sum[] = {RBE_KEY(repeats), RBE_KEY(tainted)};

    for (size_t k = 0; k < 5; k++) {
        const char *key = k < 3 ? mean[k] : sum[k - 3];
        double all = 0;
        for (size_t i = 0; i < l->count; i++) {
            const json_t *at = depth < 0 ? l->row[i] : depth_of(l->row[i], (size_t)depth);
            all += rbe_number_at(RBE_VALUE_AT(at, validity), key);
        }
        json_object_set_new(to, key, k < 3 ? rbe_result_real(all / (double)l->count)
                                           : json_integer((json_int_t)all));
    }
}

/* The tokens of all launches at one depth; samples gets them too. */
static json_t *join_depth(struct launches *l, size_t depth, json_t *samples)
{
    const json_t *first = depth_of(l->row[0], depth), *x;
    struct rbe_times t = {0};
    json_t *times = json_array();
    char key[NUMBER_TEXT];
    size_t k;

    snprintf(key, sizeof key, "%.0f", RBE_NUMBER_AT(first, depth));
    for (size_t i = 0; i < l->count; i++)
        json_array_extend(times, json_object_get(RBE_VALUE_AT(l->row[i], samples_ms), key));
    t.ms = calloc(json_array_size(times) + 1, sizeof *t.ms);
    if (!t.ms)
        rbe_shortage_note();
    json_array_foreach(times, k, x)
        if (t.ms)
            t.ms[t.count++] = json_number_value(x);
    json_t *o = rbe_times_json(&t), *validity = json_deep_copy(RBE_VALUE_AT(first, validity));
    for (size_t i = 0; i < l->count; i++)
        l->x[i] = RBE_NUMBER_AT(depth_of(l->row[i], depth), median_ms);
    join_validity(validity, l, (int)depth);
    RBE_SET(o, RBE_REAL(median_ms, median(l)), RBE_SHARED(depth, RBE_VALUE_AT(first, depth)),
            RBE_JSON(validity, validity));
    json_object_set_new(samples, key, times);
    rbe_times_free(&t);
    return o;
}

/* Standard deviation of l->x over its median. */
static double relative_deviation(struct launches *l)
{
    const double m = median(l), se = rbe_mean_se(l->x, l->count).se;

    return se * sqrt((double)l->count) / m;
}

/* Near enough to a standard normal number. */
static double normal(uint64_t *rng)
{
    double sum = -6;

    for (int i = 0; i < 12; i++)
        sum += (double)(rbe_random_next(rng) >> 11) * 0x1p-53;
    return sum;
}

/* 95 % interval of the speed-up: launches drawn anew, each with its own uncertainty. */
static struct rbe_interval speedup_interval(struct launches *l)
{
    double *drawn = calloc(RESAMPLES, sizeof *drawn);
    struct rbe_interval ci = {NAN, NAN};
    uint64_t rng = RBE_BOOTSTRAP_SEED;

    if (!drawn) {
        rbe_shortage_note();
        return ci;
    }
    for (int b = 0; b < RESAMPLES; b++) {
        for (size_t i = 0; i < l->count; i++) {
            const json_t *r = l->row[rbe_random_below(&rng, (uint32_t)l->count)];
            const json_t *own = RBE_VALUE_AT(r, speedup_ci95);
            const double low = json_number_value(json_array_get(own, 0));
            const double high = json_number_value(json_array_get(own, 1));
            const double width = low > 0 && high > 0 ? log(high / low) / (2 * 1.96) : 0;
            l->x[i] = log(RBE_NUMBER_AT(r, speedup)) + width * normal(&rng);
        }
        drawn[b] = exp(median(l));
    }
    rbe_sort(drawn, RESAMPLES);
    ci = (struct rbe_interval){rbe_quantile(drawn, RESAMPLES, .025),
                               rbe_quantile(drawn, RESAMPLES, .975)};
    free(drawn);
    return ci;
}

/* The first launch's row, which has what a process of its own told, with the times of all. */
static json_t *join(const struct rbe_evaluation *e, struct launches *l, bool base,
                    const char *group, bool complete)
{
    json_t *r = json_deep_copy(l->row[0]), *decode = json_array(), *samples = json_object();
    json_t *said = rbe_evaluation_record(e, RBE_KIND(inference), NULL);
    json_t *validity = RBE_VALUE_AT(r, validity), *prefill = RBE_VALUE_AT(r, prefill);
    const double prompt = RBE_NUMBER_AT(r, prompt_tokens);
    const double bytes = RBE_NUMBER_AT(r, bytes_per_token);

    for (size_t i = 0; i < json_array_size(RBE_VALUE_AT(r, decode)); i++)
        json_array_append_new(decode, join_depth(l, i, samples));
    const double ms = median_at(l, RBE_KEY(decode_median_ms));
    json_t *o = RBE_OBJECT(RBE_INT(count, l->count), RBE_JSON(median_ms, list_of(l)),
                           RBE_REAL(between, relative_deviation(l)));
    if (!base) {
        const double x = median_at(l, RBE_KEY(speedup));
        RBE_SET(o, RBE_JSON(speedup, list_of(l)));
        const struct rbe_interval ci = speedup_interval(l);
        RBE_SET(r, RBE_REAL(speedup, x), RBE_PAIR(speedup_ci95, ci.low, ci.high));
    }
    /* 1.4826 MAD is the standard deviation of normal numbers. */
    for (size_t i = 0; i < l->count; i++) {
        const json_t *t;
        size_t k;
        l->x[i] = NAN;
        json_array_foreach(RBE_VALUE_AT(l->row[i], decode), k, t)
            if (RBE_NUMBER_AT(t, depth) == prompt)
                l->x[i] = 1.4826 * RBE_NUMBER_AT(t, mad_ms) / RBE_NUMBER_AT(t, median_ms);
    }
    RBE_SET(o, RBE_REAL(within, median(l)));
    const double read = median_at(l, RBE_KEY(prefill, median_ms));
    RBE_SET(prefill, RBE_REAL(median_ms, read), RBE_REAL(tokens_per_s, 1e3 * prompt / read));
    RBE_SET(r, RBE_REAL(first_token_ms, median_at(l, RBE_KEY(first_token_ms))),
            RBE_REAL(decode_median_ms, ms), RBE_REAL(gb_per_s, rbe_gb_per_s(bytes, ms)));
    join_validity(validity, l, -1);
    RBE_SET(r, RBE_SHARED(cpu_utilisation, RBE_VALUE_AT(validity, cpu_utilisation)),
            RBE_JSON(decode, decode), RBE_JSON(launches, o), RBE_JSON(samples_ms, samples));
    RBE_SET(r, RBE_WORD(group, group), RBE_FLAG(complete, complete),
            RBE_SHARED(command, RBE_VALUE_AT(said, command)),
            RBE_SHARED(time_utc, RBE_VALUE_AT(said, time_utc)));
    json_decref(said);
    return r;
}

enum rbe_status rbe_measure_launches(const struct rbe_evaluation *e,
                                     const struct rbe_inference_plan *p, struct rbe_diag *d)
{
    const size_t wanted = (size_t)p->launches;
    json_t **rows = calloc(wanted, sizeof *rows), **own = calloc(wanted, sizeof *own);
    double *x = calloc(2 * wanted, sizeof *x);
    struct launches l = {.row = own, .x = x, .scratch = x ? x + wanted : NULL};
    struct rbe_progress bar;
    struct rbe_diag why = {""};
    char group[64];
    enum rbe_status err = RBE_OK;

    if (!rows || !own || !x) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    snprintf(group, sizeof group, "%lld-%d", (long long)time(NULL), (int)getpid());
    rbe_progress_start(&bar, "launches", "launches", (double)wanted);
    while (l.count < wanted && !err) {
        err = launch(&rows[l.count], e, p, !l.count && !p->no_child, &why);
        l.count += !err;
        rbe_progress_update(&bar, (double)l.count, NULL);
    }
    rbe_progress_end(&bar);
    if (err)
        *d = why;
    /* What was finished before an interrupt is a result, too. */
    if (err && err != RBE_ERR_INTERRUPTED)
        goto out;
    for (size_t m = 0; m < e->model_count && l.count; m++) {
        for (size_t i = 0; i < l.count; i++)
            own[i] = json_array_get(rows[i], m);
        const enum rbe_status bad = rbe_evaluation_emit(
            e, join(e, &l, !m, group, l.count == wanted), err ? NULL : d);
        if (bad && !err)
            err = bad;
    }
out:
    for (size_t i = 0; rows && i < wanted; i++)
        json_decref(rows[i]);
    free(rows);
    free(own);
    free(x);
    return err;
}
