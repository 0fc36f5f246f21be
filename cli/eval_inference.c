/*
 * eval_inference.c - `rbe eval inference`: time per token, first token, prefill, memory.
 *
 * SPDX-License-Identifier: MIT
 *
 * The models take turns, burst by burst, at every depth, so that a slow minute of the machine
 * hits all of them.  Memory and start-up are measured in a process per model.
 */
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/progress.h"
#include "base/rows.h"
#include "base/stats.h"
#include "cli/evaluations.h"
#include "cli/options.h"
#include "eval/child.h"
#include "eval/sequences.h"
#include "eval/timing.h"

enum { MAX_DEPTHS = 16, PREFILLS = 5, MAX_BURST = 64, CHILD_TOKENS = 100 };

/* The clock of other processes' CPU use ticks in 10 ms: a shorter burst could not be judged. */
static const double burst_s = 0.3;
static const unsigned max_retries = 2;

struct plan {
    struct rbe_eval_options *o;
    struct rbe_runner *runners;
    uint32_t *prompt;           /* random tokens, n_ctx of them */
    uint32_t depths[MAX_DEPTHS + 1];
    int depth_count, c2;        /* c2: index of the depth after the prompt */
    int prompt_tokens, tokens, retries, no_child, sequences, length;
    char group[64];
};

/* What was measured of one model. */
struct figures {
    struct rbe_times at[MAX_DEPTHS + 1];
    double prefill_ms[PREFILLS], first_ms[PREFILLS];
    json_t *child;
};

static void free_figures(struct figures *f, size_t count)
{
    for (size_t m = 0; f && m < count; m++) {
        for (int i = 0; i <= MAX_DEPTHS; i++)
            rbe_times_free(&f[m].at[i]);
        json_decref(f[m].child);
    }
    free(f);
}

/* Milliseconds that a prefill of the prompt and a decoded token take, of all models together,
 * from one prefill and a few tokens of each. */
static enum rbe_status warm_up(struct plan *p, double *prefill_ms, double *token_ms,
                               struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    *prefill_ms = *token_ms = 0;
    for (size_t m = 0; m < p->o->model_count && !err; m++) {
        struct rbe_times few = {0};
        double ms = 0;
        uint32_t token = 0;
        err = rbe_time_prefill(&p->runners[m], p->prompt, (size_t)p->prompt_tokens, &ms, NULL,
                               &token, d);
        if (!err)
            err = rbe_time_decode(&few, &p->runners[m], token, 4, 0, d);
        *prefill_ms += ms;
        *token_ms += err ? 0 : rbe_times_median(&few);
        rbe_times_free(&few);
    }
    return err;
}

/* Says how long the run will take, before it starts.  tokens: decoded by each model;
 * prefills: of the prompt's length. */
static enum rbe_status project(struct plan *p, double prefills, double tokens,
                               struct rbe_diag *d)
{
    double prefill_ms, token_ms;
    enum rbe_status err = warm_up(p, &prefill_ms, &token_ms, d);

    if (!err && !p->o->quiet)
        fprintf(stderr, "inference: %zu model(s), %.0f tokens each: about %.0f s (prefill of "
                "%d tokens %.0f ms, a token %.1f ms, all models together)\n",
                p->o->model_count, tokens, 1e-3 * (prefills * prefill_ms + tokens * token_ms),
                p->prompt_tokens, prefill_ms, token_ms);
    return err;
}

/* --- decoding at depths ------------------------------------------------------------------ */

/* Brings every session to the depth and returns tokens a burst should have. */
static enum rbe_status prepare_depth(struct plan *p, uint32_t depth, size_t *burst,
                                     struct rbe_diag *d)
{
    double slowest = 0;
    enum rbe_status err = RBE_OK;
    const size_t room = p->runners[0].n_ctx - depth;

    for (size_t m = 0; m < p->o->model_count && !err; m++) {
        struct rbe_runner *r = &p->runners[m];
        struct rbe_times warm = {0};
        rbe_session_truncate(r->session, 0);
        if (depth)
            err = rbe_forward(r->session, p->prompt, depth, d);
        if (!err)
            err = rbe_time_decode(&warm, r, p->prompt[0], room < 4 ? room : 4, 0, d);
        if (!err && rbe_times_median(&warm) > slowest)
            slowest = rbe_times_median(&warm);
        rbe_times_free(&warm);
    }
    size_t n = slowest > 0 ? (size_t)ceil(1e3 * burst_s / slowest) : MAX_BURST;
    n = n > MAX_BURST ? MAX_BURST : n < 4 ? 4 : n;
    *burst = n < room ? n : room;
    return err;
}

static enum rbe_status measure_depth(struct plan *p, int i, struct figures *f,
                                     struct rbe_progress *bar, double *done,
                                     struct rbe_diag *d)
{
    size_t burst;
    enum rbe_status err = prepare_depth(p, p->depths[i], &burst, d);

    for (int taken = 0; taken < p->tokens && !err; taken += (int)burst) {
        for (size_t m = 0; m < p->o->model_count && !err; m++)
            err = rbe_time_decode(&f[m].at[i], &p->runners[m], p->prompt[0], burst,
                                  (unsigned)p->retries, d);
        if (!err && rbe_interrupted())
            err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted at depth %u", p->depths[i]);
        *done += (double)burst;
        rbe_progress_update(bar, *done, NULL);
    }
    return err;
}

static enum rbe_status measure_prefill(struct plan *p, struct figures *f, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (int k = -1; k < PREFILLS && !err; k++)     /* the first one warms up */
        for (size_t m = 0; m < p->o->model_count && !err; m++) {
            const int at = k < 0 ? 0 : k;
            err = rbe_time_prefill(&p->runners[m], p->prompt, (size_t)p->prompt_tokens,
                                   &f[m].prefill_ms[at], &f[m].first_ms[at], NULL, d);
        }
    return err;
}

/* *finished: depths that were measured, fewer than asked for after an interrupt. */
static enum rbe_status measure_latency(struct plan *p, struct figures *f, int *finished,
                                       struct rbe_diag *d)
{
    struct rbe_progress bar;
    double done = 0;
    enum rbe_status err;

    double prefills = PREFILLS + 1, tokens = (double)p->depth_count * (p->tokens + 4);
    for (int i = 0; i < p->depth_count; i++)
        prefills += (double)p->depths[i] / p->prompt_tokens;
    if (!p->no_child) {
        prefills++;
        tokens += CHILD_TOKENS;
    }
    if ((err = project(p, prefills, tokens, d)) || (err = measure_prefill(p, f, d)))
        return err;
    rbe_progress_start(&bar, "decode", "tokens", (double)p->depth_count * p->tokens);
    for (*finished = 0; *finished < p->depth_count && !err; *finished += !err)
        err = measure_depth(p, *finished, f, &bar, &done, d);
    rbe_progress_end(&bar);
    for (size_t m = 0; m < p->o->model_count && !err && !p->no_child; m++)
        err = rbe_child_generate(&f[m].child, p->o->models[m], rbe_pool_threads(p->o->pool),
                                 (unsigned)p->prompt_tokens, CHILD_TOKENS,
                                 (struct rbe_child_limits){0}, d);
    return err;
}

/* --- sequences (chapter 8.6.1) ----------------------------------------------------------- */

/* One sequence by every model; each prompt follows from its sequence's number alone, so that
 * a shard has the same ones. */
static enum rbe_status one_sequence(struct plan *p, size_t s, json_t *const *samples,
                                    struct rbe_diag *d)
{
    const uint32_t prompt = (uint32_t)p->prompt_tokens, length = (uint32_t)p->length;
    uint64_t rng = 7 + s;
    enum rbe_status err = RBE_OK;

    for (uint32_t i = 0; i < prompt; i++)
        p->prompt[i] = rbe_random_below(&rng, p->runners[0].vocab);
    for (size_t m = 0; m < p->o->model_count && !err; m++) {
        struct rbe_times t = {0};
        double prefill, first;
        uint32_t token;
        err = rbe_time_prefill(&p->runners[m], p->prompt, prompt, &prefill, &first, &token, d);
        if (!err && length > prompt)
            err = rbe_time_decode(&t, &p->runners[m], token, length - prompt, 0, d);
        if (!err && rbe_sequences_add(samples[m], prefill, first, token, &t))
            err = RBE_ERR_NOMEM;
        rbe_times_free(&t);
    }
    return err;
}

/* A fresh record in *out; takes the reference to the samples. */
static enum rbe_status sequence_record(json_t **out, struct plan *p, size_t m, size_t first,
                                       json_t *samples, const json_t *child,
                                       struct rbe_diag *d)
{
    const struct rbe_gpt2 *model = p->runners[m].model;
    json_t *r = rbe_eval_record(p->o, "inference", &p->runners[m]);

    *out = r;
    if (!r) {
        json_decref(samples);
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    }
    RBE_SET(r, RBE_WORD(group, p->group), RBE_WORD(mode, "sequences"),
            RBE_INT(sequences_total, p->sequences), RBE_INT(first_sequence, first),
            RBE_INT(length, p->length), RBE_INT(prompt_tokens, p->prompt_tokens),
            RBE_INT(model_bytes, rbe_gpt2_file_bytes(model)),
            RBE_INT(bytes_per_token, rbe_gpt2_bytes_per_token(model)));
    if (child) {
        RBE_SET(r, RBE_SHARED(resident_bytes, RBE_VALUE_AT(child, resident_bytes)),
                RBE_SHARED(peak_bytes, RBE_VALUE_AT(child, peak_bytes)));
    }
    RBE_SET(r, RBE_JSON(samples, samples));
    return rbe_sequences_summarise(r, d);
}

static void print_sequences(const struct plan *p, const json_t *r)
{
    const double peak = RBE_NUMBER_AT(r, peak_bytes) / 1e6;

    printf("  %-24s %s ms/token in all, decode median %s ms, prefill %s tokens/s, first token "
           "%s ms, peak %s MB, %s CPUs busy (%lld sequences of %d)\n",
           rbe_show_model(r, "model").text,
           rbe_show("%7.3f", RBE_NUMBER_AT(r, ms_per_token)).text,
           rbe_show("%.3f", RBE_NUMBER_AT(r, decode_median_ms)).text,
           rbe_show("%.0f", RBE_NUMBER_AT(r, prefill, tokens_per_s)).text,
           rbe_show("%.1f", RBE_NUMBER_AT(r, first_token_ms)).text, rbe_show("%.1f", peak).text,
           rbe_show("%.2f", RBE_NUMBER_AT(r, cpu_utilisation)).text,
           (long long)json_integer_value(RBE_VALUE_AT(r, sequences)), p->length);
}

static enum rbe_status run_sequences(struct plan *p, struct rbe_diag *d)
{
    const size_t models = p->o->model_count;
    json_t **samples = calloc(2 * models, sizeof *samples), **child = samples + models;
    const uint32_t prompt = (uint32_t)p->prompt_tokens, length = (uint32_t)p->length;
    struct rbe_progress bar;
    size_t first, n, done = 0;
    enum rbe_status err = samples ? RBE_OK : RBE_ERR_NOMEM;

    if (err || (err = rbe_eval_share(p->o, (size_t)p->sequences, "sequences", &first, &n, d)) ||
        (err = project(p, (double)n, (double)n * (length - prompt), d)))
        goto out;
    for (size_t m = 0; m < models && !err; m++) {
        if (!(samples[m] = rbe_sequences_samples()))
            err = RBE_ERR_NOMEM;
        /* Memory of one sequence, in a process that holds this model alone. */
        else if (!p->no_child && length > prompt)
            err = rbe_child_generate(&child[m], p->o->models[m], rbe_pool_threads(p->o->pool),
                                     prompt, length - prompt, (struct rbe_child_limits){0}, d);
    }
    rbe_progress_start(&bar, "sequences", "sequences", (double)n);
    while (done < n && !err && !rbe_interrupted()) {
        err = one_sequence(p, first + done, samples, d);
        done += !err;
        rbe_progress_update(&bar, (double)done, NULL);
    }
    rbe_progress_end(&bar);
    for (size_t m = 0; m < models && !err && done; m++) {
        json_t *r;
        err = sequence_record(&r, p, m, first, samples[m], child[m], d);
        samples[m] = NULL;
        if (err) {
            json_decref(r);
            break;
        }
        if (!p->o->json)
            print_sequences(p, r);
        err = rbe_eval_emit(p->o, r, d);
    }
    if (!err && done < n)
        err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted after %zu of %zu sequences", done,
                       n);
out:
    for (size_t i = 0; samples && i < 2 * models; i++)
        json_decref(samples[i]);
    free(samples);
    return err;
}

/* --- records ----------------------------------------------------------------------------- */

static int set_speedup(json_t *r, const struct rbe_times *base, const struct rbe_times *own)
{
    const struct rbe_interval ci = rbe_times_speedup_ci(base, own);

    return RBE_SET(r, RBE_REAL(speedup, rbe_times_median(base) / rbe_times_median(own))) ||
           RBE_SET(r, RBE_PAIR(speedup_ci95, ci.low, ci.high));
}

static double median_of(const double *x, size_t n)
{
    double copy[PREFILLS];

    memcpy(copy, x, n * sizeof *x);
    rbe_sort(copy, n);
    return rbe_median(copy, n);
}

static json_t *decode_array(const struct plan *p, const struct figures *f, json_t *raw)
{
    json_t *all = json_array();

    for (int i = 0; i < p->depth_count; i++) {
        json_t *o = rbe_times_json(&f->at[i]), *times = json_array();
        char key[16];
        RBE_SET(o, RBE_INT(depth, p->depths[i]),
                RBE_JSON(validity, rbe_times_validity(&f->at[i])));
        json_array_append_new(all, o);
        for (size_t k = 0; k < f->at[i].count; k++)
            json_array_append_new(times, rbe_result_real(f->at[i].ms[k]));
        snprintf(key, sizeof key, "%u", p->depths[i]);
        json_object_set_new(raw, key, times);
    }
    return all;
}

/* CPUs each thread of the pool may run on, as the kernel tells the thread itself. */
struct affinity {
    char text[64][64];
};

static void read_affinity(void *arg, unsigned i, unsigned n)
{
    struct affinity *a = arg;

    (void)n;
    if (i < 64)
        rbe_affinity_string(a->text[i], sizeof a->text[i]);
}

static json_t *affinity_array(struct rbe_pool *pool)
{
    struct affinity a = {{{0}}};
    const unsigned n = rbe_pool_threads(pool);
    json_t *all = json_array();

    rbe_pool_run(pool, read_affinity, &a);
    for (unsigned i = 0; i < n && i < 64; i++)
        json_array_append_new(all, json_string(a.text[i]));
    return all;
}

static void set_child(json_t *r, const struct figures *f)
{
    if (!f->child)
        return;
    RBE_SET(
        r,
        RBE_JSON(hundred,
                 RBE_OBJECT(RBE_INT(tokens, CHILD_TOKENS),
                            RBE_SHARED(load_s, RBE_VALUE_AT(f->child, load_s)),
                            RBE_SHARED(generate_s, RBE_VALUE_AT(f->child, generate_s)),
                            RBE_SHARED(first_token_ms, RBE_VALUE_AT(f->child, first_token_ms)),
                            RBE_SHARED(wall_s, RBE_VALUE_AT(f->child, wall_s)))),
        RBE_SHARED(resident_bytes, RBE_VALUE_AT(f->child, resident_bytes)),
        RBE_SHARED(peak_bytes, RBE_VALUE_AT(f->child, peak_bytes)),
        RBE_SHARED(session_bytes, RBE_VALUE_AT(f->child, session_bytes)));
}

static json_t *latency_record(struct plan *p, size_t m, const struct figures *all)
{
    const struct figures *f = &all[m];
    struct rbe_runner *run = &p->runners[m];
    json_t *r = rbe_eval_record(p->o, "inference", run), *raw = json_object();
    const double prefill = median_of(f->prefill_ms, PREFILLS);
    const double median = rbe_times_median(&f->at[p->c2]);
    const size_t bytes = rbe_gpt2_bytes_per_token(run->model);

    if (!r) {
        json_decref(raw);
        return NULL;
    }
    RBE_SET(r, RBE_WORD(group, p->group), RBE_WORD(mode, "latency"),
            RBE_INT(prompt_tokens, p->prompt_tokens), RBE_REAL(decode_median_ms, median));
    if (m)
        set_speedup(r, &all[0].at[p->c2], &f->at[p->c2]);
    RBE_SET(r, RBE_JSON(decode, decode_array(p, f, raw)),
            RBE_JSON(prefill,
                     RBE_OBJECT(RBE_INT(tokens, p->prompt_tokens), RBE_REAL(median_ms, prefill),
                                RBE_REAL(tokens_per_s, 1e3 * p->prompt_tokens / prefill))),
            RBE_REAL(first_token_ms, median_of(f->first_ms, PREFILLS)),
            RBE_INT(model_bytes, rbe_gpt2_file_bytes(run->model)),
            RBE_INT(bytes_per_token, bytes),
            RBE_REAL(gb_per_s, rbe_gb_per_s((double)bytes, median)));
    set_child(r, f);
    json_t *validity = rbe_times_validity(&f->at[p->c2]);
    RBE_SET(r, RBE_SHARED(cpu_utilisation, RBE_VALUE_AT(validity, cpu_utilisation)));
    RBE_SET(validity, RBE_JSON(thread_affinity, affinity_array(p->o->pool)),
            RBE_INT(page_bytes, sysconf(_SC_PAGESIZE)));
    RBE_SET(r, RBE_JSON(validity, validity), RBE_JSON(samples_ms, raw));
    return r;
}

static void print_latency(const struct plan *p, const json_t *r)
{
    const json_t *x, *hundred = RBE_VALUE_AT(r, hundred);
    size_t i;

    printf("%s\n", rbe_show_model(r, "model").text);
    printf("  %8s %8s %9s %9s %9s %9s %9s\n", "depth", "tokens", "median ms", "mad", "p95",
           "p99", "tokens/s");
    json_array_foreach(RBE_VALUE_AT(r, decode), i, x)
        printf("  %8lld %8lld %s %s %s %s %s\n",
               (long long)json_integer_value(RBE_VALUE_AT(x, depth)),
               (long long)json_integer_value(RBE_VALUE_AT(x, tokens)),
               rbe_show("%9.3f", RBE_NUMBER_AT(x, median_ms)).text,
               rbe_show("%9.3f", RBE_NUMBER_AT(x, mad_ms)).text,
               rbe_show("%9.3f", RBE_NUMBER_AT(x, p95_ms)).text,
               rbe_show("%9.3f", RBE_NUMBER_AT(x, p99_ms)).text,
               rbe_show("%9.1f", RBE_NUMBER_AT(x, tokens_per_s)).text);
    printf("  prefill %s tokens/s, first token after %d tokens %s ms, %s MB a token, %s GB/s\n",
           rbe_show("%.0f", RBE_NUMBER_AT(r, prefill, tokens_per_s)).text,
           p->prompt_tokens, rbe_show("%.1f", RBE_NUMBER_AT(r, first_token_ms)).text,
           rbe_show("%.2f", RBE_NUMBER_AT(r, bytes_per_token) / 1e6).text,
           rbe_show("%.1f", RBE_NUMBER_AT(r, gb_per_s)).text);
    if (hundred)
        printf("  alone: 100 tokens in %s s (load %s s), resident %s MB, peak %s MB, file %s "
               "MB\n",
               rbe_show("%.2f", RBE_NUMBER_AT(hundred, wall_s)).text,
               rbe_show("%.2f", RBE_NUMBER_AT(hundred, load_s)).text,
               rbe_show("%.1f", RBE_NUMBER_AT(r, resident_bytes) / 1e6).text,
               rbe_show("%.1f", RBE_NUMBER_AT(r, peak_bytes) / 1e6).text,
               rbe_show("%.2f", RBE_NUMBER_AT(r, model_bytes) / 1e6).text);
    x = RBE_VALUE_AT(r, speedup_ci95);
    if (x)
        printf("  %s times as fast as the first model %s\n",
               rbe_show("%.2f", RBE_NUMBER_AT(r, speedup)).text,
               rbe_show_interval("%.2f", x).text);
    x = RBE_VALUE_AT(r, validity);
    printf("  other processes used %s %% of the CPUs; %lld bursts repeated, %lld kept above "
           "the limit\n",
           rbe_show("%.1f", 100 * RBE_NUMBER_AT(x, foreign_cpu)).text,
           (long long)json_integer_value(RBE_VALUE_AT(x, repeats)),
           (long long)json_integer_value(RBE_VALUE_AT(x, tainted)));
}

static enum rbe_status run_latency(struct plan *p, struct rbe_diag *d)
{
    struct figures *f = calloc(p->o->model_count, sizeof *f);
    struct rbe_diag why = {""};
    const int asked = p->depth_count;
    int finished = 0;
    enum rbe_status err = f ? measure_latency(p, f, &finished, &why) : RBE_ERR_NOMEM;
    const bool interrupted = err == RBE_ERR_INTERRUPTED;

    if (err && !interrupted)
        *d = why;
    else
        err = RBE_OK;
    /* What was finished before an interrupt is a result, too. */
    p->depth_count = finished;
    for (size_t m = 0; m < p->o->model_count && !err && finished; m++) {
        json_t *r = latency_record(p, m, f);
        if (r)
            RBE_SET(r, RBE_FLAG(complete, finished == asked));
        if (r && !p->o->json)
            print_latency(p, r);
        err = rbe_eval_emit(p->o, r, d);
    }
    if (!err && interrupted)
        err = rbe_fail(d, RBE_ERR_INTERRUPTED, "%.200s", why.text);
    free_figures(f, p->o->model_count);
    return err;
}

/* --- the command ------------------------------------------------------------------------- */

/* Depths measured where none were named, as far as they fit the context. */
static const char *const usual_depths = "0,128,256,512,960";
enum { LEAST_BURST = 4 };

/* The list, and the depth after the prompt.  What was asked for and does not fit is refused. */
static enum rbe_status plan_depths(struct plan *p, const char *asked, struct rbe_diag *d)
{
    const uint32_t n_ctx = p->runners[0].n_ctx;
    const char *list = asked ? asked : usual_depths;

    p->c2 = -1;
    do {
        char *end = (char *)list;
        const unsigned long x = *list >= '0' && *list <= '9' ? strtoul(list, &end, 10) : 0;
        if (end == list || (*end && *end != ',') || p->depth_count == MAX_DEPTHS)
            return rbe_fail(d, RBE_ERR_ARG, "--depths %s: wants at most %d numbers from 0 on "
                            "with commas", asked, MAX_DEPTHS);
        if (x > n_ctx || x + LEAST_BURST > n_ctx) {
            if (asked)
                return rbe_fail(d, RBE_ERR_ARG, "--depths %s: %lu and %d tokens more are "
                                "beyond the model's %u", asked, x, LEAST_BURST, n_ctx);
        } else {
            if (x == (unsigned long)p->prompt_tokens)
                p->c2 = p->depth_count;
            p->depths[p->depth_count++] = (uint32_t)x;
        }
        list = *end ? end + 1 : NULL;
    } while (list);
    if (p->c2 < 0) {
        p->c2 = p->depth_count;
        p->depths[p->depth_count++] = (uint32_t)p->prompt_tokens;
    }
    return RBE_OK;
}

static enum rbe_status run_plan(struct plan *p, const char *depths, struct rbe_diag *d)
{
    enum rbe_status err;
    uint64_t rng = 3;

    if ((err = rbe_eval_begin(p->o, false, d)) ||
        (err = rbe_eval_open_models(p->o, 1, &p->runners, d)))
        goto out;
    const uint32_t n_ctx = p->runners[0].n_ctx;
    if (p->sequences && !p->length)
        p->length = n_ctx < 512 ? (int)n_ctx : 512;
    if ((uint32_t)p->prompt_tokens + LEAST_BURST > n_ctx || (uint32_t)p->length > n_ctx) {
        err = rbe_fail(d, RBE_ERR_ARG, "%d tokens are beyond the model's %u",
                       p->length > p->prompt_tokens ? p->length : p->prompt_tokens, n_ctx);
        goto out;
    }
    if (!(p->prompt = calloc(n_ctx, sizeof *p->prompt))) {
        err = RBE_ERR_NOMEM;
        goto out;
    }
    for (uint32_t i = 0; i < n_ctx; i++)
        p->prompt[i] = rbe_random_below(&rng, p->runners[0].vocab);
    snprintf(p->group, sizeof p->group, "%lld-%d", (long long)time(NULL), (int)getpid());
    if (p->sequences)
        err = run_sequences(p, d);
    else if (!(err = plan_depths(p, depths, d)))
        err = run_latency(p, d);
out:
    free(p->prompt);
    rbe_eval_close_models(p->o, &p->runners);
    rbe_eval_end(p->o);
    return err;
}

int rbe_eval_inference(int argc, const char **argv)
{
    static struct rbe_eval_options o;   /* popt's copies stay reachable */
    struct plan p = {.o = &o, .prompt_tokens = 128, .tokens = 128,
                     .retries = (int)max_retries};
    static char *depths;
    struct rbe_diag d = {""};
    int count, code;
    const char **args;
    const struct poptOption table[] = {
        RBE_EVAL_OPTIONS(&o),
        RBE_EVAL_SHARD_OPTION(&o),
        {"prompt", 0, POPT_ARG_INT, &p.prompt_tokens, 0, "prompt tokens (default 128)", "N"},
        {"tokens", 0, POPT_ARG_INT, &p.tokens, 0,
         "tokens timed at each depth (default 128; p99 needs 100)", "N"},
        {"depths", 0, POPT_ARG_STRING, &depths, 0,
         "tokens in the cache before (default 0,128,256,512,960, as far as they fit)", "LIST"},
        {"retries", 0, POPT_ARG_INT, &p.retries, 0,
         "repeats of a burst disturbed by other processes (default 2)", "N"},
        {"no-child", 0, POPT_ARG_NONE, &p.no_child, 0,
         "leave out memory and the hundred tokens", NULL},
        {"sequences", 0, POPT_ARG_INT, &p.sequences, 0,
         "whole sequences instead of depths; the long mode is 100", "N"},
        {"length", 0, POPT_ARG_INT, &p.length, 0,
         "tokens of a sequence, the prompt included (default 512)", "N"},
        POPT_TABLEEND};

    if (!rbe_parse(argc, argv, table, "", "Time per token at several depths, first token, "
                   "prefill, memory; several models take turns.", &args, &count, &code))
        return code;
    enum rbe_status err;
    if (count)
        err = rbe_fail(&d, RBE_ERR_ARG, "unexpected argument '%s'", args[0]);
    else if (p.prompt_tokens < 1 || p.tokens < 1 || p.retries < 0 || p.sequences < 0 ||
             p.length < 0 || (p.length && p.length < p.prompt_tokens))
        err = rbe_fail(&d, RBE_ERR_ARG, "a number is out of range");
    else if (p.sequences || !(err = rbe_eval_refuse_shard(&o, "only sequences have parts: "
                                                          "--sequences N", &d)))
        err = run_plan(&p, depths, &d);
    return rbe_report_failure(argv[0], err, &d);
}
