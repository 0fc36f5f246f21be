/*
 * measure_inference.c - time per token, first token, prefill, memory.
 *
 * SPDX-License-Identifier: MIT
 *
 * The models take turns, burst by burst, at every depth, so that a slow minute of the machine
 * hits all of them.  Memory and start-up are measured in a process per model.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/criteria.h"
#include "base/progress.h"
#include "base/rows.h"
#include "base/stats.h"
#include "eval/child.h"
#include "eval/measure.h"
#include "eval/sequences.h"
#include "eval/timing.h"

enum { MAX_DEPTHS = RBE_INFERENCE_DEPTHS, PREFILLS = RBE_INFERENCE_PREFILLS, MAX_BURST = 64 };

/* Written by the process that loads the model itself. */
#define CHILD_TOKENS ((int)RBE_LIMIT(C4_TOKENS))

/* The clock of other processes' CPU use ticks in 10 ms: a shorter burst could not be judged. */
static const double burst_s = 0.3;

struct plan {
    const struct rbe_evaluation *e;
    const struct rbe_inference_plan *how;
    uint32_t *prompt;           /* random tokens, n_ctx of them */
    int depth_count;            /* those that were measured, at last */
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
    for (size_t m = 0; m < p->e->model_count && !err; m++) {
        struct rbe_times few = {0};
        double ms = 0;
        uint32_t token = 0;
        err = rbe_time_prefill(&p->e->runners[m], p->prompt, (size_t)p->how->prompt_tokens,
                               &ms, NULL, &token, d);
        if (!err)
            err = rbe_time_decode(&few, &p->e->runners[m], token, 4, 0, d);
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

    if (!err)
        rbe_progress_say("inference: %zu model(s), %.0f tokens each: about %.0f s (prefill of "
                         "%d tokens %.0f ms, a token %.1f ms, all models together)\n",
                         p->e->model_count, tokens,
                         1e-3 * (prefills * prefill_ms + tokens * token_ms),
                         p->how->prompt_tokens, prefill_ms, token_ms);
    return err;
}

/* --- decoding at depths ------------------------------------------------------------------ */

/* Brings every session, which holds *filled tokens of the prompt, to the depth and returns
 * tokens a burst should have. */
static enum rbe_status prepare_depth(struct plan *p, uint32_t depth, uint32_t *filled,
                                     size_t *burst, struct rbe_diag *d)
{
    double slowest = 0;
    enum rbe_status err = RBE_OK;
    const size_t room = p->e->runners[0].n_ctx - depth;

    for (size_t m = 0; m < p->e->model_count && !err; m++) {
        struct rbe_runner *r = &p->e->runners[m];
        struct rbe_times warm = {0};
        /* A shallower depth before this one left the prompt's beginning there. */
        const uint32_t had = *filled < depth ? *filled : depth;
        rbe_session_truncate(r->session, had);
        if (depth > had)
            err = rbe_forward(r->session, p->prompt + had, depth - had, d);
        if (!err)
            err = rbe_time_decode(&warm, r, p->prompt[0], room < 4 ? room : 4, 0, d);
        if (!err && rbe_times_median(&warm) > slowest)
            slowest = rbe_times_median(&warm);
        rbe_times_free(&warm);
    }
    *filled = depth;
    size_t n = slowest > 0 ? (size_t)ceil(1e3 * burst_s / slowest) : MAX_BURST;
    n = n > MAX_BURST ? MAX_BURST : n < 4 ? 4 : n;
    *burst = n < room ? n : room;
    return err;
}

static enum rbe_status measure_depth(struct plan *p, int i, struct figures *f, uint32_t *filled,
                                     struct rbe_progress *bar, double *done,
                                     struct rbe_diag *d)
{
    size_t burst;
    enum rbe_status err = prepare_depth(p, p->how->depths[i], filled, &burst, d);

    for (int taken = 0; taken < p->how->tokens && !err; taken += (int)burst) {
        for (size_t m = 0; m < p->e->model_count && !err; m++)
            err = rbe_time_decode(&f[m].at[i], &p->e->runners[m], p->prompt[0], burst,
                                  (unsigned)p->how->retries, d);
        if (!err && rbe_interrupted())
            err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted at depth %u",
                           p->how->depths[i]);
        *done += (double)burst;
        rbe_progress_update(bar, *done, NULL);
    }
    return err;
}

static enum rbe_status measure_prefill(struct plan *p, struct figures *f, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (int k = -1; k < p->how->prefills && !err; k++)     /* the first one warms up */
        for (size_t m = 0; m < p->e->model_count && !err; m++) {
            const int at = k < 0 ? 0 : k;
            err = rbe_time_prefill(&p->e->runners[m], p->prompt, (size_t)p->how->prompt_tokens,
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
    uint32_t filled = 0;
    enum rbe_status err;

    double prefills = p->how->prefills + 1;
    double tokens = (double)p->depth_count * (p->how->tokens + 4);
    for (int i = 0; i < p->depth_count; i++)
        prefills += (double)p->how->depths[i] / p->how->prompt_tokens;
    if (!p->how->no_child) {
        prefills++;
        tokens += CHILD_TOKENS;
    }
    /* Nobody reads it: the prompt is read once less. */
    if ((rbe_progress_shown() && (err = project(p, prefills, tokens, d))) ||
        (err = measure_prefill(p, f, d)))
        return err;
    rbe_progress_start(&bar, "decode", "tokens", (double)p->depth_count * p->how->tokens);
    for (*finished = 0; *finished < p->depth_count && !err; *finished += !err)
        err = measure_depth(p, *finished, f, &filled, &bar, &done, d);
    rbe_progress_end(&bar);
    for (size_t m = 0; m < p->e->model_count && !err && !p->how->no_child; m++)
        err = rbe_child_generate(&f[m].child, p->e->models[m], rbe_pool_threads(p->e->pool),
                                 (unsigned)p->how->prompt_tokens, CHILD_TOKENS,
                                 rbe_runner_kv(p->e->kv, m, p->e->model_count),
                                 (struct rbe_child_limits){0}, d);
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
        RBE_SET(o, RBE_INT(depth, p->how->depths[i]),
                RBE_JSON(validity, rbe_times_validity(&f->at[i])));
        json_array_append_new(all, o);
        for (size_t k = 0; k < f->at[i].count; k++)
            json_array_append_new(times, rbe_result_real(f->at[i].ms[k]));
        snprintf(key, sizeof key, "%u", p->how->depths[i]);
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
    struct rbe_runner *run = &p->e->runners[m];
    json_t *r = rbe_evaluation_record(p->e, RBE_KIND(inference), run), *raw = json_object();
    const double prefill = median_of(f->prefill_ms, (size_t)p->how->prefills);
    const double median = rbe_times_median(&f->at[p->how->c2]);
    const size_t bytes = rbe_model_bytes_per_token(run->model);

    if (!r) {
        json_decref(raw);
        return NULL;
    }
    RBE_SET(r, RBE_WORD(group, p->group), RBE_WORD(mode, "latency"),
            RBE_INT(prompt_tokens, p->how->prompt_tokens), RBE_REAL(decode_median_ms, median));
    if (m)
        set_speedup(r, &all[0].at[p->how->c2], &f->at[p->how->c2]);
    RBE_SET(r, RBE_JSON(decode, decode_array(p, f, raw)),
            RBE_JSON(prefill,
                     RBE_OBJECT(RBE_INT(tokens, p->how->prompt_tokens),
                                RBE_REAL(median_ms, prefill),
                                RBE_REAL(tokens_per_s, 1e3 * p->how->prompt_tokens / prefill))),
            RBE_REAL(first_token_ms, median_of(f->first_ms, (size_t)p->how->prefills)),
            RBE_INT(model_bytes, rbe_model_file_bytes(run->model)),
            RBE_INT(bytes_per_token, bytes),
            RBE_REAL(gb_per_s, rbe_gb_per_s((double)bytes, median)));
    set_child(r, f);
    json_t *validity = rbe_times_validity(&f->at[p->how->c2]);
    RBE_SET(r, RBE_SHARED(cpu_utilisation, RBE_VALUE_AT(validity, cpu_utilisation)));
    RBE_SET(validity, RBE_JSON(thread_affinity, affinity_array(p->e->pool)),
            RBE_INT(page_bytes, sysconf(_SC_PAGESIZE)));
    RBE_SET(r, RBE_JSON(validity, validity), RBE_JSON(samples_ms, raw));
    return r;
}

static enum rbe_status run_latency(struct plan *p, struct rbe_diag *d)
{
    struct figures *f = calloc(p->e->model_count, sizeof *f);
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
    for (size_t m = 0; m < p->e->model_count && !err && finished; m++) {
        json_t *r = latency_record(p, m, f);
        if (r)
            RBE_SET(r, RBE_FLAG(complete, finished == asked));
        err = rbe_evaluation_emit(p->e, r, d);
    }
    if (!err && interrupted)
        err = rbe_fail(d, RBE_ERR_INTERRUPTED, "%.200s", why.text);
    free_figures(f, p->e->model_count);
    return err;
}

/* --- sequences (docs/CHAPTER.md, 8.6.1) -------------------------------------------------- */

/* One sequence by every model; each prompt follows from its sequence's number alone, so that
 * a shard has the same ones. */
static enum rbe_status one_sequence(struct plan *p, size_t s, json_t *const *samples,
                                    struct rbe_diag *d)
{
    const uint32_t prompt = (uint32_t)p->how->prompt_tokens, length = (uint32_t)p->how->length;
    uint64_t rng = 7 + s;
    enum rbe_status err = RBE_OK;

    for (uint32_t i = 0; i < prompt; i++)
        p->prompt[i] = rbe_random_below(&rng, p->e->runners[0].vocab);
    for (size_t m = 0; m < p->e->model_count && !err; m++) {
        struct rbe_times t = {0};
        double prefill, first;
        uint32_t token;
        err = rbe_time_prefill(&p->e->runners[m], p->prompt, prompt, &prefill, &first, &token,
                               d);
        if (!err && length > prompt)
            err = rbe_time_decode(&t, &p->e->runners[m], token, length - prompt, 0, d);
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
    const struct rbe_model *model = p->e->runners[m].model;
    json_t *r = rbe_evaluation_record(p->e, RBE_KIND(inference), &p->e->runners[m]);

    *out = r;
    if (!r) {
        json_decref(samples);
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    }
    RBE_SET(r, RBE_WORD(group, p->group), RBE_WORD(mode, "sequences"),
            RBE_INT(sequences_total, p->how->sequences), RBE_INT(first_sequence, first),
            RBE_INT(length, p->how->length), RBE_INT(prompt_tokens, p->how->prompt_tokens),
            RBE_INT(model_bytes, rbe_model_file_bytes(model)),
            RBE_INT(bytes_per_token, rbe_model_bytes_per_token(model)));
    if (child) {
        RBE_SET(r, RBE_SHARED(resident_bytes, RBE_VALUE_AT(child, resident_bytes)),
                RBE_SHARED(peak_bytes, RBE_VALUE_AT(child, peak_bytes)));
    }
    RBE_SET(r, RBE_JSON(samples, samples));
    return rbe_sequences_summarise(r, d);
}

static enum rbe_status run_sequences(struct plan *p, struct rbe_diag *d)
{
    const size_t models = p->e->model_count;
    json_t **samples = calloc(2 * models, sizeof *samples), **child = samples + models;
    const uint32_t prompt = (uint32_t)p->how->prompt_tokens, length = (uint32_t)p->how->length;
    struct rbe_progress bar;
    size_t first, n, done = 0;
    enum rbe_status err = samples ? RBE_OK : RBE_ERR_NOMEM;

    if (err ||
        (err = rbe_evaluation_share(p->e, (size_t)p->how->sequences, "sequences", &first, &n,
                                    d)) ||
        (err = project(p, (double)n, (double)n * (length - prompt), d)))
        goto out;
    for (size_t m = 0; m < models && !err; m++) {
        if (!(samples[m] = rbe_sequences_samples()))
            err = RBE_ERR_NOMEM;
        /* Memory of one sequence, in a process that holds this model alone. */
        else if (!p->how->no_child && length > prompt)
            err = rbe_child_generate(&child[m], p->e->models[m], rbe_pool_threads(p->e->pool),
                                     prompt, length - prompt,
                                     rbe_runner_kv(p->e->kv, m, models),
                                     (struct rbe_child_limits){0}, d);
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
        err = rbe_evaluation_emit(p->e, r, d);
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

enum rbe_status rbe_measure_inference(const struct rbe_evaluation *e,
                                      const struct rbe_inference_plan *how, struct rbe_diag *d)
{
    const uint32_t n_ctx = e->runners[0].n_ctx;
    struct plan p = {.e = e, .how = how, .depth_count = how->depth_count,
                     .prompt = calloc(n_ctx, sizeof *p.prompt)};
    uint64_t rng = 3;

    if (!p.prompt)
        return RBE_ERR_NOMEM;
    for (uint32_t i = 0; i < n_ctx; i++)
        p.prompt[i] = rbe_random_below(&rng, e->runners[0].vocab);
    snprintf(p.group, sizeof p.group, "%lld-%d", (long long)time(NULL), (int)getpid());
    const enum rbe_status err = how->sequences ? run_sequences(&p, d) : run_latency(&p, d);
    free(p.prompt);
    return err;
}
