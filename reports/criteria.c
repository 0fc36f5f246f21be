/*
 * criteria.c - each success criterion: which rows it reads, and when it is met.
 *
 * SPDX-License-Identifier: MIT
 *
 * The targets are those of the chapter (8.1.1, 8.8.1, 8.9.2).  The chapter speaks of GPT-2
 * small; on another model a size means the same share of that model's f32 bytes.
 */
#include "reports/criteria.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rows.h"

const double rbe_budget_bits = 45e6 * 8 / 124439808;

/* What a criterion is judged on. */
struct pair {
    const struct rbe_results *r;
    int base, model;
};

const char *rbe_verdict_name(enum rbe_verdict v)
{
    static const char *const names[] = {"PASS", "FAIL", "WITHIN ERROR", "NOT MEASURED"};
    return names[v];
}

void rbe_megabytes(char *out, size_t size, double bytes)
{
    if (isnan(bytes))
        snprintf(out, size, "?");
    else
        snprintf(out, size, bytes < 99.95e6 ? "%.2f MB" : "%.1f MB", bytes / 1e6);
}

static void say(char *out, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void say(char *out, size_t size, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(out, size, fmt, ap);
    va_end(ap);
}
#define SAY(field, ...) say((field), sizeof(field), __VA_ARGS__)

/* The reason stands where "how" would. */
static void not_measured(struct rbe_criterion *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void not_measured(struct rbe_criterion *c, const char *fmt, ...)
{
    va_list ap;

    c->verdict = RBE_NOT_MEASURED;
    va_start(ap, fmt);
    vsnprintf(c->how, sizeof c->how, fmt, ap);
    va_end(ap);
}

static void cite(struct rbe_criterion *c, const struct rbe_row *row)
{
    SAY(c->source, "%s:%zu", row->file, row->line);
}

static const struct rbe_model_seen *seen(const struct pair *p, bool base)
{
    const int i = base ? p->base : p->model;
    return i < 0 ? NULL : &p->r->models[i];
}

static bool is_gpt2_small(const struct rbe_model_seen *m)
{
    return m && m->parameters > 117e6 && m->parameters < 130e6;
}

static const struct rbe_row *row_of(const struct pair *p, const char *kind, bool base)
{
    const int i = base ? p->base : p->model;
    return i < 0 ? NULL : rbe_results_last(p->r, kind, i);
}

/* The last inference row of this model that holds `field`. */
static const struct rbe_row *inference(const struct pair *p, bool base, const char *field)
{
    const int m = base ? p->base : p->model;

    for (size_t i = p->r->count; m >= 0 && i-- > 0; ) {
        const struct rbe_row *row = &p->r->rows[i];
        if (!strcmp(row->kind, "inference") && !isnan(rbe_number_at(row->v, field)) &&
            rbe_results_model(p->r, RBE_VALUE_AT(row->v, model)) == m)
            return row;
    }
    return NULL;
}

static void interval(char *out, size_t size, const json_t *v, const char *path,
                     const char *format)
{
    const json_t *ci = rbe_interval_at(v, path);
    char fmt[64];

    out[0] = 0;
    if (!ci)
        return;
    snprintf(fmt, sizeof fmt, " (%s to %s)", format, format);
    snprintf(out, size, fmt, json_number_value(json_array_get(ci, 0)),
             json_number_value(json_array_get(ci, 1)));
}

/* One number into a text, by a format of our own tables; no text for NAN. */
static void number(char out[RBE_CRITERION_TEXT], const char *format, double x)
{
    out[0] = 0;
    if (isnan(x))
        return;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(out, RBE_CRITERION_TEXT, format, x);
#pragma GCC diagnostic pop
}

/* x, and its 95 % interval where there is one (else NULL), against a limit that is to be
 * reached, or not to be passed. */
static enum rbe_verdict verdict_of(double x, const json_t *ci, double limit, bool at_least)
{
    const double sign = at_least ? 1 : -1;
    const double low = ci ? json_number_value(json_array_get(ci, 0)) : x;
    const double high = ci ? json_number_value(json_array_get(ci, 1)) : x;
    const double all[] = {x, low, high};
    size_t met = 0;

    for (size_t i = 0; i < 3; i++)
        met += sign * (all[i] - limit) >= 0;
    return met == 3 ? RBE_PASS : met ? RBE_WITHIN_ERROR : RBE_FAIL;
}

bool rbe_oversubscribed_row(const json_t *row, char *out, size_t size)
{
    const double threads = RBE_NUMBER_AT(row, machine, threads);
    const double cores = RBE_NUMBER_AT(row, machine, cores);
    const double quota = RBE_NUMBER_AT(row, machine, cpu_quota);
    const double cpus = quota < cores || isnan(cores) ? quota : cores;

    out[0] = 0;
    if (!(threads > cpus))
        return false;
    snprintf(out, size, "%.0f thread%s on %.3g CPU%s", threads, threads > 1 ? "s" : "", cpus,
             cpus > 1 ? "s" : "");
    return true;
}

/* A time of such a row says nothing of the model. */
static bool timed_in_vain(struct rbe_criterion *c, const struct rbe_row *row)
{
    char why[64];

    if (!rbe_oversubscribed_row(row->v, why, sizeof why))
        return false;
    not_measured(c, "timed with %s, which wait for each other", why);
    return true;
}

/* The last row, whatever it measures, that gives the bytes of the RBE model. */
static const struct rbe_row *sized(const struct pair *p)
{
    for (size_t i = p->r->count; i-- > 0; ) {
        const struct rbe_row *row = &p->r->rows[i];
        if (!isnan(RBE_NUMBER_AT(row->v, model, bytes)) &&
            rbe_results_model(p->r, RBE_VALUE_AT(row->v, model)) == p->model)
            return row;
    }
    return NULL;
}

/* --- C1: memory ------------------------------------------------------------------------ */

static void c1_file(struct rbe_criterion *c, const struct pair *p)
{
    const struct rbe_model_seen *m = seen(p, false);

    SAY(c->target, "90 %% of f32 saved (GPT-2: 468 to 45 MB)");
    if (!m || isnan(m->bytes) || isnan(m->parameters)) {
        not_measured(c, "no row gives the bytes and parameters of an RBE model");
        return;
    }
    const double original = 4 * m->parameters, saved = 1 - m->bytes / original;
    rbe_megabytes(c->original, sizeof c->original, original);
    rbe_megabytes(c->rbe, sizeof c->rbe, m->bytes);
    SAY(c->margin, "%.2f %% saved: %+.2f points", 100 * saved, 100 * (saved - .9));
    SAY(c->how, "bytes of the model file on disk against 4 bytes for each of %.0f parameters",
        m->parameters);
    const struct rbe_row *row = row_of(p, "convert", false);
    if (row || (row = inference(p, false, RBE_KEY(model_bytes))) || (row = sized(p)))
        cite(c, row);
    const bool fits = !is_gpt2_small(m) || m->bytes <= 45e6;
    c->verdict = saved >= .9 && fits ? RBE_PASS : RBE_FAIL;
    if (!fits)
        SAY(c->margin, "%.2f MB over 45 MB", m->bytes / 1e6 - 45);
}

static void c1_peak(struct rbe_criterion *c, const struct pair *p)
{
    const struct rbe_row *a = inference(p, true, RBE_KEY(peak_bytes));
    const struct rbe_row *b = inference(p, false, RBE_KEY(peak_bytes));

    SAY(c->target, "90 %% of the original's saved");
    if (!a || !b) {
        not_measured(c, "no inference row with the peak memory of %s", !b ? "the RBE model"
                     : "the original");
        return;
    }
    const double o = RBE_NUMBER_AT(a->v, peak_bytes), x = RBE_NUMBER_AT(b->v, peak_bytes);
    rbe_megabytes(c->original, sizeof c->original, o);
    rbe_megabytes(c->rbe, sizeof c->rbe, x);
    SAY(c->margin, "%.1f %% saved: %+.1f points", 100 * (1 - x / o), 100 * (.1 - x / o));
    SAY(c->how, "peak resident bytes of a process of its own that generates with this model "
        "only: weights, cache, program and libraries");
    c->verdict = x <= .1 * o ? RBE_PASS : RBE_FAIL;
    cite(c, b);
}

/* --- C2: speed ------------------------------------------------------------------------- */

enum { PROMPT = 128 };          /* tokens before those that are timed */

/* Only where each token was timed after that prompt. */
const struct rbe_row *rbe_criteria_timed(const struct rbe_results *r, int model,
                                         const char *field)
{
    for (size_t i = r->count; model >= 0 && i-- > 0; ) {
        const struct rbe_row *row = &r->rows[i];
        if (!strcmp(row->kind, "inference") && !isnan(rbe_number_at(row->v, field)) &&
            !strcmp(RBE_STRING_AT(row->v, mode), "latency") &&
            RBE_NUMBER_AT(row->v, prompt_tokens) == PROMPT &&
            rbe_results_model(r, RBE_VALUE_AT(row->v, model)) == model)
            return row;
    }
    return NULL;
}

/* Why there is no such row of the RBE model. */
static void not_timed(struct rbe_criterion *c, const struct pair *p, const char *field)
{
    const struct rbe_row *other = inference(p, false, field);

    if (!other) {
        not_measured(c, !strcmp(field, RBE_KEY(speedup))
                            ? "no inference run that interleaves the "
                              "original and the RBE model"
                            : "no inference row of the RBE model");
        return;
    }
    not_measured(c, "timed in mode '%s' after a prompt of %.0f tokens, not each token after %d",
                 RBE_STRING_AT(other->v, mode), RBE_NUMBER_AT(other->v, prompt_tokens), PROMPT);
    cite(c, other);
}

static void c2_time(struct rbe_criterion *c, const struct pair *p)
{
    const struct rbe_row *a = rbe_criteria_timed(p->r, p->base, RBE_KEY(decode_median_ms));
    const struct rbe_row *b = rbe_criteria_timed(p->r, p->model, RBE_KEY(decode_median_ms));

    SAY(c->target, "< 50 ms/token");
    if (!b) {
        not_timed(c, p, RBE_KEY(decode_median_ms));
        return;
    }
    const double x = RBE_NUMBER_AT(b->v, decode_median_ms);
    if (a)
        SAY(c->original, "%.3g ms", RBE_NUMBER_AT(a->v, decode_median_ms));
    SAY(c->rbe, "%.3g ms", x);
    SAY(c->margin, "%.3g ms under", 50 - x);
    if (!(x < 50))
        SAY(c->margin, "%.3g ms over", x - 50);
    SAY(c->how,
        "median time of a decoded token at batch 1 after a prompt of %.0f tokens, "
        "%.0f threads",
        RBE_NUMBER_AT(b->v, prompt_tokens), RBE_NUMBER_AT(b->v, machine, threads));
    cite(c, b);
    if (!timed_in_vain(c, b))
        c->verdict = x < 50 ? RBE_PASS : RBE_FAIL;
}

static void c2_ratio(struct rbe_criterion *c, const struct pair *p)
{
    const struct rbe_row *b = rbe_criteria_timed(p->r, p->model, RBE_KEY(speedup));
    char ci[96];

    SAY(c->target, ">= 2 x the original, same run");
    if (!b) {
        not_timed(c, p, RBE_KEY(speedup));
        return;
    }
    const double x = RBE_NUMBER_AT(b->v, speedup);
    interval(ci, sizeof ci, b->v, RBE_KEY(speedup_ci95), "%.2f");
    SAY(c->original, "1 x");
    SAY(c->rbe, "%.2f x%s", x, ci);
    SAY(c->margin, "%+.2f", x - 2);
    SAY(c->how,
        "ratio of the median decode times after a prompt of %d tokens, original and "
        "RBE interleaved in one run, %.0f threads",
        PROMPT, RBE_NUMBER_AT(b->v, machine, threads));
    cite(c, b);
    if (!timed_in_vain(c, b))
        c->verdict = verdict_of(x, RBE_INTERVAL_AT(b->v, speedup_ci95), 2, true);
}

/* --- C3: perplexity -------------------------------------------------------------------- */

/* Of wiki.test.raw, as in datasets/MANIFEST. */
static const char wikitext_sha256[] =
    "173c87a53759e0201f33e0ccf978e510c2042d7f2cb78229d9a50d79b9e7dd08";

bool rbe_is_wikitext(const json_t *row)
{
    const char *sha256 = RBE_STRING_AT(row, text, sha256);
    return sha256 && !strcmp(sha256, wikitext_sha256);
}

const struct rbe_row *rbe_criteria_paired(const struct rbe_results *r, int base, int model)
{
    const struct rbe_row *best = NULL;

    for (size_t i = 0; i < r->count; i++) {
        const struct rbe_row *row = &r->rows[i];
        if (strcmp(row->kind, "paired") ||
            strcmp(RBE_STRING_AT(row->v, protocol), RBE_CRITERIA_PROTOCOL) ||
            !rbe_is_wikitext(row->v) ||
            rbe_results_model(r, RBE_VALUE_AT(row->v, model)) != model ||
            rbe_results_model(r, RBE_VALUE_AT(row->v, base)) != base)
            continue;
        if (!best || RBE_NUMBER_AT(row->v, windows) >= RBE_NUMBER_AT(best->v, windows))
            best = row;
    }
    return best;
}

static void c3_ratio(struct rbe_criterion *c, const struct pair *p)
{
    const struct rbe_row *b = rbe_criteria_paired(p->r, p->base, p->model);
    char ci[96];

    SAY(c->target, "at most 5 %% worse");
    if (!b) {
        not_measured(c, "no paired " RBE_CRITERIA_PROTOCOL " perplexity on WikiText-103 test");
        return;
    }
    const double x = RBE_NUMBER_AT(b->v, percent_change);
    interval(ci, sizeof ci, b->v, RBE_KEY(percent_change_ci95), "%+.2f");
    SAY(c->original, "perplexity %.3f", RBE_NUMBER_AT(b->v, base_perplexity));
    SAY(c->rbe, "%.3f: %+.2f %%%s", RBE_NUMBER_AT(b->v, perplexity), x, ci);
    SAY(c->margin, "%+.2f points", 5 - x);
    cite(c, b);
    if (!RBE_TRUE_AT(b->v, complete)) {
        not_measured(c, "only %.0f windows of the text: not the whole protocol",
                     RBE_NUMBER_AT(b->v, windows));
        return;
    }
    SAY(c->how,
        "protocol " RBE_CRITERIA_PROTOCOL ", the whole WikiText-103 test text, %.0f "
        "tokens scored in windows of %.0f, both models in the same program",
        RBE_NUMBER_AT(b->v, scored), RBE_NUMBER_AT(b->v, context));
    c->verdict = verdict_of(x, RBE_INTERVAL_AT(b->v, percent_change_ci95), 5, false);
}

static void c3_value(struct rbe_criterion *c, const struct pair *p)
{
    const struct rbe_row *b = rbe_criteria_paired(p->r, p->base, p->model);
    const struct rbe_model_seen *m = seen(p, true);

    SAY(c->target, "< 31.0 where the original has 29.4");
    if (!is_gpt2_small(m) || m->label) {
        not_measured(c, "the number is one of GPT-2 small, whose weights were not there; see "
                     "the ratio above");
        return;
    }
    if (!b || !RBE_TRUE_AT(b->v, complete)) {
        not_measured(c, "no whole paired " RBE_CRITERIA_PROTOCOL " run");
        return;
    }
    const double x = RBE_NUMBER_AT(b->v, perplexity);
    SAY(c->original, "%.3f", RBE_NUMBER_AT(b->v, base_perplexity));
    SAY(c->rbe, "%.3f", x);
    SAY(c->margin, "%+.3f", 31 - x);
    SAY(c->how, "protocol " RBE_CRITERIA_PROTOCOL ", the whole WikiText-103 test text");
    c->verdict = x < 31 ? RBE_PASS : RBE_FAIL;
    cite(c, b);
}

/* --- C4, C5: a hundred tokens, a conversation ----------------------------------------- */

static void c4(struct rbe_criterion *c, const struct pair *p)
{
    const struct rbe_row *a = inference(p, true, RBE_KEY(hundred, wall_s));
    const struct rbe_row *b = inference(p, false, RBE_KEY(hundred, wall_s));
    const struct rbe_row *talk = row_of(p, "conversation", false), *timed = NULL;
    double x = NAN;

    SAY(c->target, "100 tokens within 10 s");
    if (b && RBE_NUMBER_AT(b->v, hundred, tokens) >= 100) {
        x = RBE_NUMBER_AT(b->v, hundred, wall_s);
        SAY(c->how,
            "wall clock of a process of its own that loads the model (%.2f s of it) "
            "and writes %.0f tokens",
            RBE_NUMBER_AT(b->v, hundred, load_s), RBE_NUMBER_AT(b->v, hundred, tokens));
        timed = b;
    } else if (talk) {
        x = RBE_NUMBER_AT(talk->v, summary, hundred_tokens_s);
        SAY(c->how, "wall clock of the conversation tester, loading included");
        timed = talk;
    }
    if (timed)
        cite(c, timed);
    if (isnan(x)) {
        not_measured(c, "no run that loads the RBE model and writes 100 tokens");
        return;
    }
    if (a)
        SAY(c->original, "%.2f s", RBE_NUMBER_AT(a->v, hundred, wall_s));
    SAY(c->rbe, "%.2f s", x);
    SAY(c->margin, "%+.2f s", 10 - x);
    if (!timed_in_vain(c, timed))
        c->verdict = x <= 10 ? RBE_PASS : RBE_FAIL;
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

static void c5(struct rbe_criterion *c, const struct pair *p)
{
    const struct rbe_row *a = row_of(p, "conversation", true);
    const struct rbe_row *b = row_of(p, "conversation", false);

    SAY(c->target, "each of 50 turns: first token < 1 s, 95 %% of tokens <= 50 ms");
    if (!b) {
        not_measured(c, "no conversation with the RBE model");
        return;
    }
    const json_t *turns = RBE_VALUE_AT(b->v, turns), *turn;
    const size_t n = json_array_size(turns);
    size_t i, within = 0, unknown = 0;
    double first = 0, p95 = 0;
    json_array_foreach(turns, i, turn) {
        const double f = RBE_NUMBER_AT(turn, first_token_ms);
        const double q = turn_p95(turn);
        within += f < 1000 && q <= 50;
        unknown += !(f >= 1000) && !(q > 50) && (isnan(f) || isnan(q));
        first = fmax(first, f);
        p95 = fmax(p95, q);
    }
    if (a)
        SAY(c->original, "worst turn %.3g ms, %.3g ms",
            RBE_NUMBER_AT(a->v, summary, first_token_ms_max),
            RBE_NUMBER_AT(a->v, summary, p95_ms_max));
    SAY(c->rbe, "%zu of %zu turns; worst turn %.3g ms, %.3g ms", within, n, first, p95);
    SAY(c->margin, "%+.3g ms, %+.3g ms", 1000 - first, 50 - p95);
    cite(c, b);
    if (n < 50) {
        not_measured(c, "the conversation had %zu turns, not 50", n);
        return;
    }
    if (timed_in_vain(c, b))
        return;
    if (unknown && within + unknown == n) {
        not_measured(c, "%zu of %zu turns have no time between tokens", unknown, n);
        return;
    }
    SAY(c->how, "scripted conversation, streamed; the worst turn's time to its first token, "
        "and the worst turn's 95th percentile (p95) of the time between tokens, the largest "
        "where a turn is too short for one");
    c->verdict = within == n ? RBE_PASS : RBE_FAIL;
}

/* --- C6: generation -------------------------------------------------------------------- */

/* What each measure of a generated text is, in its unit. */
static const struct {
    const char *name, *format, *means;
    double scale;
} measures[] = {
    {RBE_KEY(coherence), "%.4g nats/token",
     "how much likelier a text is after its prompt than alone", 1},
    {RBE_KEY(fluency), "perplexity %.4g", "the scorer's perplexity of the text", 1},
    {RBE_KEY(relevance), "%.1f %% right",
     "how often the scorer picks the true prompt among eight", 100},
};

/* Prompts that the true one is picked from; fewer make the picking easier. */
enum { CANDIDATES = 8 };

static void c6(struct rbe_criterion *c, const struct pair *p, const char *what, double target)
{
    size_t k = 0;

    while (strcmp(measures[k].name, what))
        k++;
    const struct rbe_row *b = row_of(p, "generation", false);
    char path[48], ci[96];

    SAY(c->target, ">= %.0f %% retained", 100 * target);
    snprintf(path, sizeof path, "%s.retained", what);
    const double x = b ? rbe_number_at(b->v, path) : NAN;
    if (b && json_is_false(RBE_VALUE_AT(b->v, complete))) {
        not_measured(c, "the generation row is a part of the prompts: no %s", what);
        return;
    }
    if (b && RBE_NUMBER_AT(b->v, candidates) != CANDIDATES) {
        not_measured(c, "measured on %.0f prompts: the true one must be among %d (%s)",
                     RBE_NUMBER_AT(b->v, prompts), CANDIDATES, what);
        cite(c, b);
        return;
    }
    if (isnan(x)) {
        not_measured(c, b ? "the generation row has no %s"
                     : "no generation row of the RBE model (%s)", what);
        return;
    }
    snprintf(path, sizeof path, "%s.original", what);
    number(c->original, measures[k].format, measures[k].scale * rbe_number_at(b->v, path));
    snprintf(path, sizeof path, "%s.model", what);
    number(c->rbe, measures[k].format, measures[k].scale * rbe_number_at(b->v, path));
    snprintf(path, sizeof path, "%s.retained_ci95", what);
    const json_t *range = rbe_interval_at(b->v, path);
    ci[0] = 0;
    if (range)
        SAY(ci, " (%.1f to %.1f)", 100 * json_number_value(json_array_get(range, 0)),
            100 * json_number_value(json_array_get(range, 1)));
    const size_t used = strlen(c->rbe);
    say(c->rbe + used, sizeof c->rbe - used, "%s%.1f %%%s", used ? ": " : "", 100 * x, ci);
    SAY(c->margin, "%+.1f points", 100 * (x - target));
    SAY(c->how,
        "%s; %.0f prompts, %d candidates each, texts of %.0f tokens by the same random "
        "numbers; the f32 original scores both texts",
        measures[k].means, RBE_NUMBER_AT(b->v, prompts), CANDIDATES,
        RBE_NUMBER_AT(b->v, tokens));
    c->verdict = verdict_of(x, range, target, true);
    cite(c, b);
}

/* --- C7: ARM --------------------------------------------------------------------------- */

static bool same_at(const struct rbe_row *a, const struct rbe_row *b, const char *path)
{
    const json_t *x = rbe_value_at(a->v, path), *y = rbe_value_at(b->v, path);

    return x == y || json_equal(x, y);  /* both missing: alike */
}

/* The sum of -log p of the same text from an aarch64 and from another machine, or false. */
static bool twin_rows(const struct pair *p, const struct rbe_row **arm,
                      const struct rbe_row **other)
{
    static const char *const alike[] = {
        RBE_KEY(protocol), RBE_KEY(text, sha256), RBE_KEY(context), RBE_KEY(stride),
        RBE_KEY(windows),  RBE_KEY(first_window), RBE_KEY(scored)};

    for (size_t i = 0; i < p->r->count; i++) {
        const struct rbe_row *a = &p->r->rows[i];
        const char *arch = RBE_STRING_AT(a->v, machine, arch);
        if (strcmp(a->kind, "perplexity") || !arch || strcmp(arch, "aarch64") ||
            isnan(RBE_NUMBER_AT(a->v, nll_sum)) ||
            rbe_results_model(p->r, RBE_VALUE_AT(a->v, model)) != p->model)
            continue;
        for (size_t k = 0; k < p->r->count; k++) {
            const struct rbe_row *b = &p->r->rows[k];
            const char *at = RBE_STRING_AT(b->v, machine, arch);
            size_t same = 0;
            if (strcmp(b->kind, "perplexity") || !at || !strcmp(at, "aarch64") ||
                isnan(RBE_NUMBER_AT(b->v, nll_sum)) ||
                rbe_results_model(p->r, RBE_VALUE_AT(b->v, model)) != p->model)
                continue;
            while (same < sizeof alike / sizeof *alike && same_at(a, b, alike[same]))
                same++;
            if (same < sizeof alike / sizeof *alike)
                continue;
            *arm = a;
            *other = b;
            return true;
        }
    }
    return false;
}

static void c7(struct rbe_criterion *c, const struct pair *p)
{
    const struct rbe_row *arm, *other;

    SAY(c->target, "runs the same model, bit for bit");
    if (!twin_rows(p, &arm, &other)) {
        not_measured(c, "no row of the model from the aarch64 program, on an ARM machine or by "
                     "an emulator, beside one of the same text from here");
        return;
    }
    const double a = RBE_NUMBER_AT(arm->v, nll_sum), b = RBE_NUMBER_AT(other->v, nll_sum);
    const char *isa = RBE_STRING_AT(other->v, machine, isa);
    const char *emulator = RBE_STRING_AT(arm->v, machine, emulator);
    const bool real = json_is_null(RBE_VALUE_AT(arm->v, machine, emulator));
    cite(c, arm);
    SAY(c->original, "sum of -log p %.13g", b);
    SAY(c->rbe, "%.13g", a);
    if (a == b)
        SAY(c->margin, "equal to the last bit");
    else
        SAY(c->margin, "%.2g relative", fabs(a - b) / b);
    /* From SSE4.1 on a library multiplies dense matrices, in an order of its own. */
    if (a != b && (!isa || strstr(isa, "sse41"))) {
        not_measured(c, "the other sum is not by the plain loops (features '%s'), whose order "
                     "of summation alone is the same", isa ? isa : "?");
        return;
    }
    SAY(c->how,
        "-log p summed over %.0f tokens by the aarch64 program%s%s, and by the program "
        "for %s with features '%s'%s",
        RBE_NUMBER_AT(arm->v, scored),
        emulator ? " under the emulator "
        : real   ? " on an ARM machine"
                 : "",
        emulator ? emulator : "", RBE_STRING_AT(other->v, machine, arch), isa ? isa : "?",
        emulator ? "; speed on ARM: not measured" : "");
    c->verdict = a == b ? RBE_PASS : RBE_FAIL;
}

/* --- C8: edge -------------------------------------------------------------------------- */

static void c8(struct rbe_criterion *c, const struct pair *p)
{
    const struct rbe_row *a = row_of(p, "edge", true), *b = row_of(p, "edge", false);

    SAY(c->target, "inside 256 MiB: 4 threads, batch 1, 256 tokens");
    if (!b) {
        not_measured(c, "no run of the RBE model under a memory limit");
        return;
    }
    const double limit = RBE_NUMBER_AT(b->v, limit_bytes);
    const double tokens = RBE_NUMBER_AT(b->v, tokens);
    const double peak = RBE_NUMBER_AT(b->v, peak_bytes);
    const char *reason = RBE_STRING_AT(b->v, reason);
    if (a)
        SAY(c->original, "%s", RBE_TRUE_AT(a->v, passed) ? "runs" : "does not run");
    cite(c, b);
    const double threads = RBE_NUMBER_AT(b->v, threads), batch = RBE_NUMBER_AT(b->v, batch);
    const bool passed = RBE_TRUE_AT(b->v, passed);
    /* A run inside less than 256 MB shows enough; one that fails there shows nothing. */
    if (limit > 256 * 1048576.0 || (!passed && limit < 256e6) || tokens < 256 || threads != 4 ||
        batch != 1) {
        not_measured(c, "measured with %.0f bytes, %.0f threads, batch %.0f and %.0f tokens, "
                     "not 256 MB, 4, 1 and 256", limit, threads, batch, tokens);
        return;
    }
    if (!passed) {
        SAY(c->rbe, "does not run: %s", reason ? reason : "no reason given");
        SAY(c->how, "generation in a process limited to %.0f bytes of address space", limit);
        c->verdict = RBE_FAIL;
        return;
    }
    rbe_megabytes(c->rbe, sizeof c->rbe, peak);
    const double left = limit - RBE_NUMBER_AT(b->v, peak_virtual_bytes);
    const double ms = RBE_NUMBER_AT(b->v, median_ms);
    char crowd[64];
    if (!isnan(left))
        SAY(c->margin, "%.1f MB left", left / 1e6);
    /* It fits all the same; how fast it would be, such a run does not say. */
    const bool crowded = rbe_oversubscribed_row(b->v, crowd, sizeof crowd);
    const size_t said = strlen(c->margin);
    if (crowded)
        say(c->margin + said, sizeof c->margin - said, "%s%s", said ? "; " : "", crowd);
    char pace[96] = "";
    if (!isnan(ms))
        SAY(pace, " %.3g ms/token%s;", ms, crowded ? " (no pace of a device: too few CPUs)"
            : "");
    SAY(c->how, "%.0f tokens by %.0f threads in a process limited to %.0f bytes of address "
        "space;%s resident peak shown", tokens, threads, limit, pace);
    c->verdict = RBE_PASS;
}

/* --- C9: schedules --------------------------------------------------------------------- */

static const struct {
    const char *profile;
    double lowest, highest;     /* ratios that the schedule promises */
} schedules[] = {
    {"chapter-8.3.1", 500, 1000},
    {"chapter-8.3.2", 200, 1200},
};

static void c9(struct rbe_criterion *c, const struct pair *p, size_t s)
{
    const struct rbe_row *b = NULL;
    double low = INFINITY, high = 0, rmse = 0, bound = 0;
    size_t i, n = 0;
    json_t *t;

    SAY(c->target, "%.0f to %.0f : 1, at most 5 %% worse", schedules[s].lowest,
        schedules[s].highest);
    for (size_t k = 0; k < p->r->count; k++) {
        const struct rbe_row *row = &p->r->rows[k];
        if (!strcmp(row->kind, "convert") && p->base >= 0 &&
            !strcmp(RBE_STRING_AT(row->v, profile), schedules[s].profile) &&
            rbe_results_model(p->r, RBE_VALUE_AT(row->v, base)) == p->base)
            b = row;
    }
    if (!b) {
        not_measured(c, "no conversion of the original by profile %s", schedules[s].profile);
        return;
    }
    const int model = rbe_results_model(p->r, RBE_VALUE_AT(b->v, model));
    json_array_foreach(RBE_VALUE_AT(b->v, tensors), i, t) {
        const char *codec = RBE_STRING_AT(t, codec);
        const double ratio = RBE_NUMBER_AT(t, ratio);
        if (!codec || rbe_codec_is_float(codec) || !(ratio > 0))
            continue;
        low = fmin(low, ratio);
        high = fmax(high, ratio);
        rmse += RBE_NUMBER_AT(t, relative_rmse);
        bound += RBE_NUMBER_AT(t, bound);
        n++;
    }
    const struct rbe_row *q = rbe_criteria_paired(p->r, p->base, model);
    if (!n) {
        not_measured(c, "the conversion by %s encoded no tensor", schedules[s].profile);
        return;
    }
    cite(c, b);
    const char *part =
        q && RBE_TRUE_AT(q->v, complete) ? "the whole text" : "a part of the text";
    SAY(c->how, "profile %s, %zu tensors (layer by layer below), bytes on disk; relative RMSE "
        "%.4f on average, rate-distortion bound %.4f; perplexity of protocol "
        RBE_CRITERIA_PROTOCOL ", %s", schedules[s].profile, n, rmse / (double)n,
        bound / (double)n, part);
    if (!q) {
        SAY(c->rbe, "%.0f to %.0f : 1", low, high);
        not_measured(c, "no perplexity of the model of this schedule (relative RMSE %.4f)",
                     rmse / (double)n);
        return;
    }
    const double change = RBE_NUMBER_AT(q->v, percent_change);
    SAY(c->original, "perplexity %.2f", RBE_NUMBER_AT(q->v, base_perplexity));
    SAY(c->rbe, "%.0f to %.0f : 1; perplexity %.*f: %+.*f %%", low, high, change < 1000,
        RBE_NUMBER_AT(q->v, perplexity), change < 1000, change);
    SAY(c->margin, "%+.*f points", change < 1000, 5 - change);
    /* Rounded to whole ratios: a header may cost the last half per cent. */
    const bool ratios = low >= .995 * schedules[s].lowest &&
                        high >= .995 * schedules[s].highest;
    c->verdict = !ratios
                     ? RBE_FAIL
                     : verdict_of(change, RBE_INTERVAL_AT(q->v, percent_change_ci95), 5, false);
}

/* --- C10: compressed parameters --------------------------------------------------------- */

static void c10(struct rbe_criterion *c, const struct pair *p)
{
    const struct rbe_model_seen *m = seen(p, false);
    const double share = 12e6 / 117210240;

    SAY(c->target, "under %.2f %% left (GPT-2: 117M to 12M)", 100 * share);
    if (!m || isnan(m->bytes) || isnan(m->parameters)) {
        not_measured(c, "no row gives the bytes and parameters of an RBE model");
        return;
    }
    const struct rbe_row *row = rbe_results_conversion(p->r, p->model);
    /* One recorded elsewhere, maybe by another version, counts for nothing. */
    if (row && row >= p->r->rows + p->r->count)
        row = NULL;
    const char *definition = row ? RBE_STRING_AT(row->v, totals, compressed_definition) : NULL;
    double words = row ? RBE_NUMBER_AT(row->v, totals, compressed_parameters) : NAN;
    const char *trained =
        row && rbe_results_model(p->r, RBE_VALUE_AT(row->v, model)) != p->model
            ? ", as converted: training changes no size"
            : "";
    if (isnan(words) || !definition) {
        words = m->bytes / 4;
        definition = "32-bit words of the model file, header and all";
        trained = "";
        row = sized(p);
    }
    if (row)
        cite(c, row);
    SAY(c->original, "%.2fM parameters", m->parameters / 1e6);
    SAY(c->rbe, "%.3fM (%.2f %%)", words / 1e6, 100 * words / m->parameters);
    SAY(c->margin, "%+.3fM", (share * m->parameters - words) / 1e6);
    SAY(c->how, "definition: %s%s; the target is the chapter's share of the original's "
        "parameters", definition, trained);
    c->verdict = words < share * m->parameters ? RBE_PASS : RBE_FAIL;
}

/* --- the table --------------------------------------------------------------------------- */

static struct rbe_criterion *add(struct rbe_criteria *out, const struct pair *p,
                                 const char *id, const char *what)
{
    struct rbe_criterion *rows = realloc(out->rows, (out->count + 1) * sizeof *rows);

    if (!rows)
        return NULL;
    out->rows = rows;
    struct rbe_criterion *c = &rows[out->count++];
    *c = (struct rbe_criterion){.id = id, .what = what};
    const struct rbe_model_seen *m = seen(p, true) ? seen(p, true) : seen(p, false);
    if (m)
        SAY(c->model, "%s%s%s%s", m->name ? m->name : "?", m->label ? " (" : "",
            m->label ? m->label : "", m->label ? ")" : "");
    return c;
}

typedef void judge_fn(struct rbe_criterion *c, const struct pair *p);

static const struct {
    const char *id, *what;
    judge_fn *judge;            /* NULL: C6 and C9, which take an argument */
    bool every_pair;            /* size, speed and memory: judged on other models too */
} list[] = {
    {"C1", "size of the model file", c1_file, true},
    {"C1b", "peak memory while generating", c1_peak, true},
    {"C2", "time for a token", c2_time, true},
    {"C2b", "speed against the original", c2_ratio, true},
    {"C3", "perplexity against the original", c3_ratio, true},
    {"C3b", "perplexity of GPT-2 small", c3_value, false},
    {"C4", "a hundred tokens", c4, true},
    {"C5", "conversation in real time", c5, true},
    {"C6", "coherence of generated text", NULL, false},
    {"C6b", "fluency of generated text", NULL, false},
    {"C6c", "relevance of generated text", NULL, false},
    {"C7", "ARM NEON build", c7, false},
    {"C8", "edge device", c8, true},
    {"C9", "the chapter's ratios by depth", NULL, false},
    {"C9b", "the same, feed-forward and attention", NULL, false},
    {"C10", "compressed parameters", c10, true},
};
enum { LIST = sizeof list / sizeof *list };

static void judge(struct rbe_criterion *c, const struct pair *p)
{
    if (!strcmp(c->id, "C6"))
        c6(c, p, RBE_KEY(coherence), .95);
    else if (!strcmp(c->id, "C6b"))
        c6(c, p, RBE_KEY(fluency), .98);
    else if (!strcmp(c->id, "C6c"))
        c6(c, p, RBE_KEY(relevance), .93);
    else if (!strcmp(c->id, "C9"))
        c9(c, p, 0);
    else if (!strcmp(c->id, "C9b"))
        c9(c, p, 1);
    else
        for (int i = 0; i < LIST; i++)
            if (list[i].id == c->id)
                list[i].judge(c, p);
}

/* A step of the run that was to measure this and failed is the better reason. */
static void blame(struct rbe_criterion *c, const struct rbe_results *r)
{
    for (size_t i = 0; i < r->count && c->verdict == RBE_NOT_MEASURED; i++) {
        const json_t *v = r->rows[i].v, *id;
        size_t k;
        if (strcmp(r->rows[i].kind, "step") || RBE_TRUE_AT(v, ok))
            continue;
        json_array_foreach(RBE_VALUE_AT(v, criteria), k, id)
            if (json_is_string(id) && !strcmp(json_string_value(id), c->id)) {
                const char *reason = RBE_STRING_AT(v, reason);
                not_measured(c, "the step '%s' did not run: %s", RBE_STRING_AT(v, step),
                             reason ? reason : "no reason given");
                cite(c, &r->rows[i]);
            }
    }
}

/* How good a pair is for the first table: the whole perplexity counts most, then any, then
 * nearness to the budget. */
static double merit(const struct pair *p)
{
    const struct rbe_row *q = rbe_criteria_paired(p->r, p->base, p->model);
    const struct rbe_model_seen *m = seen(p, false), *b = seen(p, true);
    double x = 0;

    if (q)
        x += RBE_TRUE_AT(q->v, complete) ? 200 : 100;
    if (b && !b->label)
        x += 50;
    if (!isnan(m->bits))
        x -= fmin(fabs(m->bits - rbe_budget_bits), 40);
    else
        x -= 40;
    /* Of two of the same size the one within the budget, then the one converted last. */
    if (m->bits > rbe_budget_bits * 1.005)
        x -= .5;
    return x;
}

enum rbe_status rbe_criteria_judge(struct rbe_criteria *out, const struct rbe_results *r,
                                   const char *named, struct rbe_diag *d)
{
    double best = -INFINITY;
    bool named_seen = false;

    *out = (struct rbe_criteria){.base = -1, .model = -1};
    for (size_t i = 0; i < r->model_count; i++) {
        const struct pair p = {r, r->models[i].base, (int)i};
        if (!r->models[i].rbe || !r->models[i].measured)
            continue;
        if (named && (!r->models[i].name || strcmp(named, r->models[i].name)))
            continue;
        named_seen = true;
        if (merit(&p) >= best) {
            best = merit(&p);
            out->base = p.base;
            out->model = p.model;
        }
    }
    if (named && !named_seen)
        return rbe_fail(d, RBE_ERR_ARG, "no row speaks of an RBE model '%s'", named);

    /* First the pair in question, all criteria; then the best model of each other original. */
    for (int first = 1; first >= 0; first--)
        for (size_t i = 0; i < r->model_count; i++) {
            struct pair p = {r, out->base, out->model};
            if (first && i > 0)
                break;
            if (!first) {
                if (r->models[i].rbe || !r->models[i].measured || (int)i == out->base)
                    continue;
                p = (struct pair){r, (int)i, -1};
                best = -INFINITY;
                for (size_t k = 0; k < r->model_count; k++) {
                    const struct pair t = {r, (int)i, (int)k};
                    if (r->models[k].base == (int)i && r->models[k].rbe &&
                        r->models[k].measured && merit(&t) >= best) {
                        best = merit(&t);
                        p.model = (int)k;
                    }
                }
                if (p.model < 0)
                    continue;
            }
            for (int k = 0; k < LIST; k++) {
                if (!first && !list[k].every_pair)
                    continue;
                struct rbe_criterion *c = add(out, &p, list[k].id, list[k].what);
                if (!c)
                    return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
                c->other = !first;
                judge(c, &p);
                if (first)
                    blame(c, r);
                if (!first && c->verdict == RBE_NOT_MEASURED)
                    out->count--;   /* said once, above, is enough */
            }
        }
    for (size_t i = 0; i < out->count && !out->rows[i].other; i++) {
        out->judged++;
        out->pass += out->rows[i].verdict == RBE_PASS;
        out->fail += out->rows[i].verdict == RBE_FAIL;
        out->within_error += out->rows[i].verdict == RBE_WITHIN_ERROR;
        out->not_measured += out->rows[i].verdict == RBE_NOT_MEASURED;
    }
    return RBE_OK;
}

void rbe_criteria_free(struct rbe_criteria *c)
{
    free(c->rows);
    *c = (struct rbe_criteria){.base = -1, .model = -1};
}
