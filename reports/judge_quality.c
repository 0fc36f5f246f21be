/*
 * judge_quality.c - what is left of the original's predictions: C3, C6, C7, C9.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/judge.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- C3: perplexity -------------------------------------------------------------------- */

/* Of wiki.test.raw, as in datasets/MANIFEST. */
static const char wikitext_sha256[] =
    "173c87a53759e0201f33e0ccf978e510c2042d7f2cb78229d9a50d79b9e7dd08";

/* Of rbe-mini's weights in datasets/embedded. */
static const char shipped_sha256[] =
    "b727ffbc4bb6222d5673f01f7aaf01767e8dffb34f112e15f33b2fef02e84a62";

bool rbe_is_shipped(const struct rbe_model_seen *m)
{
    return m && !strcmp(m->key, shipped_sha256);
}

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
        if (strcmp(row->kind, RBE_KIND(paired)) ||
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

/* x passes only where its interval does: without one nothing is said of it. */
static void settle(struct rbe_criterion *c, double x, const json_t *interval)
{
    if (interval)
        c->verdict = rbe_verdict_of(x, interval, c->limit);
    else
        rbe_not_measured(c, "the row has no 95 %% interval");
}

void rbe_judge_change(struct rbe_criterion *c, const struct rbe_pair *p)
{
    const struct rbe_row *b = rbe_criteria_paired(p->r, p->base, p->model);
    char ci[96];

    if (!b) {
        rbe_not_measured(c,
                         "no paired " RBE_CRITERIA_PROTOCOL " perplexity on WikiText-103 test");
        return;
    }
    const double x = RBE_NUMBER_AT(b->v, percent_change);
    rbe_say_interval(ci, sizeof ci, b->v, RBE_KEY(percent_change_ci95), "%+.2f");
    SAY(c->original, "perplexity %.3f", RBE_NUMBER_AT(b->v, base_perplexity));
    SAY(c->rbe, "%.3f: %+.2f %%%s", RBE_NUMBER_AT(b->v, perplexity), x, ci);
    SAY(c->margin, "%+.2f points", RBE_LIMIT(C3) - x);
    rbe_cite(c, b);
    if (!RBE_TRUE_AT(b->v, complete)) {
        rbe_not_measured(c, "only %.0f windows of the text: not the whole protocol",
                         RBE_NUMBER_AT(b->v, windows));
        return;
    }
    SAY(c->how,
        "protocol " RBE_CRITERIA_PROTOCOL ", the whole WikiText-103 test text, %.0f "
        "tokens scored in windows of %.0f, both models in the same program",
        RBE_NUMBER_AT(b->v, scored), RBE_NUMBER_AT(b->v, context));
    settle(c, x, RBE_INTERVAL_AT(b->v, percent_change_ci95));
}

void rbe_judge_perplexity(struct rbe_criterion *c, const struct rbe_pair *p)
{
    const struct rbe_row *b = rbe_criteria_paired(p->r, p->base, p->model);
    const struct rbe_model_seen *m = rbe_pair_model(p, true);

    if (!rbe_is_gpt2_small(m) || m->label) {
        rbe_not_measured(c,
                         "this number is for GPT-2 small, whose weights were not available; "
                         "see the ratio above");
        return;
    }
    if (!b || !RBE_TRUE_AT(b->v, complete)) {
        rbe_not_measured(c, "no whole paired " RBE_CRITERIA_PROTOCOL " run");
        return;
    }
    const double x = RBE_NUMBER_AT(b->v, perplexity);
    SAY(c->original, "%.3f", RBE_NUMBER_AT(b->v, base_perplexity));
    SAY(c->rbe, "%.3f", x);
    SAY(c->margin, "%+.3f", RBE_LIMIT(C3B) - x);
    SAY(c->how, "protocol " RBE_CRITERIA_PROTOCOL ", the whole WikiText-103 test text; the "
        "interval is that of the change from the original");
    rbe_cite(c, b);
    /* What the original has of this text is no estimate: only the change from it is. */
    const json_t *change = RBE_INTERVAL_AT(b->v, percent_change_ci95);
    json_t *interval = change ? json_array() : NULL;
    for (size_t i = 0; interval && i < 2; i++) {
        const double percent = json_number_value(json_array_get(change, i));
        const double end = RBE_NUMBER_AT(b->v, base_perplexity) * (1 + percent / 100);
        json_array_append_new(interval, json_real(end));
    }
    settle(c, x, interval);
    json_decref(interval);
}

/* --- C6: generation -------------------------------------------------------------------- */

/* What each measure of a generated text is, in its unit; that of fluency by its worst part. */
static const struct measure {
    const char *name, *format, *means;
    double scale;
} measures[] = {
    {RBE_KEY(coherence), "%.4g nats/token",
     "gain by the prompt: how much more likely a text is after its prompt than alone", 1},
    {RBE_KEY(fluency), "", "perplexity to the scorer, repetition and variety of the texts: the "
     "worst of the three, more and less than the original's alike", 1},
    {RBE_KEY(relevance), "%.1f %%",
     "how probable the true prompt is to the scorer among eight passages close by, most of the "
     "same article, given the text less its first tokens", 100},
}, parts[] = {
    {RBE_KEY(text_perplexity), "perplexity %.4g", NULL, 1},
    {RBE_KEY(rep4), "%.2f %% of 4-grams repeated", NULL, 100},
    {RBE_KEY(distinct2), "%.2f %% of pairs different", NULL, 100},
};

/* The measure itself, or the part of it that decides. */
static const struct measure *deciding(const struct measure *m, const json_t *row)
{
    const char *worst = RBE_STRING_AT(row, worst);

    for (size_t i = 0; worst && i < sizeof parts / sizeof *parts; i++)
        if (!strcmp(parts[i].name, worst))
            return &parts[i];
    return m;
}

void rbe_judge_generation(struct rbe_criterion *c, const struct rbe_pair *p)
{
    const ptrdiff_t which = c->limit - &rbe_limits[RBE_LIMIT_C6];
    const char *what = measures[which].name;
    const struct rbe_row *b = rbe_pair_row(p, RBE_KIND(generation), false);
    const json_t *m = b ? rbe_value_at(b->v, what) : NULL;
    char ci[96];

    const double x = RBE_NUMBER_AT(m, retained);
    if (b && json_is_false(RBE_VALUE_AT(b->v, complete))) {
        rbe_not_measured(c, "the generation row is a part of the prompts: no %s", what);
        return;
    }
    if (b && RBE_NUMBER_AT(b->v, candidates) != RBE_LIMIT(C6_CANDIDATES)) {
        rbe_not_measured(c, "the text has %.0f passages: the true one must be among %.0f (%s)",
                         RBE_NUMBER_AT(b->v, candidates), RBE_LIMIT(C6_CANDIDATES), what);
        rbe_cite(c, b);
        return;
    }
    if (b && !RBE_VALUE_AT(b->v, candidates_apart)) {
        rbe_not_measured(c, "the generation row is older than this measure of %s", what);
        return;
    }
    if (isnan(x)) {
        rbe_not_measured(
            c, b ? "the generation row has no %s" : "no generation row of the RBE model (%s)",
            what);
        return;
    }
    const struct measure *by = deciding(&measures[which], m);
    rbe_say_number(c->original, by->format, by->scale * RBE_NUMBER_AT(m, original));
    rbe_say_number(c->rbe, by->format, by->scale * RBE_NUMBER_AT(m, model));
    const json_t *range = RBE_INTERVAL_AT(m, retained_ci95);
    ci[0] = 0;
    if (range)
        SAY(ci, " (%.1f to %.1f)", 100 * json_number_value(json_array_get(range, 0)),
            100 * json_number_value(json_array_get(range, 1)));
    const size_t used = strlen(c->rbe);
    rbe_say(c->rbe + used, sizeof c->rbe - used, "%s%.1f %%%s", used ? ": " : "", 100 * x, ci);
    SAY(c->margin, "%+.1f points", 100 * (x - c->limit->value));
    SAY(c->how,
        "%s; %.0f prompts, texts of %.0f tokens by the same random numbers; the f32 original "
        "scores both texts",
        measures[which].means, RBE_NUMBER_AT(b->v, prompts), RBE_NUMBER_AT(b->v, tokens));
    settle(c, x, range);
    rbe_cite(c, b);
}

/* --- C7: ARM --------------------------------------------------------------------------- */

static bool same_at(const struct rbe_row *a, const struct rbe_row *b, const char *path)
{
    const json_t *x = rbe_value_at(a->v, path), *y = rbe_value_at(b->v, path);

    return x == y || json_equal(x, y); /* both missing: alike */
}

/* The sum of -log p of the same text from an aarch64 and from another machine, or false. */
static bool twin_rows(const struct rbe_pair *p, const struct rbe_row **arm,
                      const struct rbe_row **other)
{
    static const char *const alike[] = {
        RBE_KEY(protocol), RBE_KEY(text, sha256), RBE_KEY(context), RBE_KEY(stride),
        RBE_KEY(windows),  RBE_KEY(first_window), RBE_KEY(scored)};

    for (size_t i = 0; i < p->r->count; i++) {
        const struct rbe_row *a = &p->r->rows[i];
        const char *arch = RBE_STRING_AT(a->v, machine, arch);
        if (strcmp(a->kind, RBE_KIND(perplexity)) || !arch || strcmp(arch, "aarch64") ||
            isnan(RBE_NUMBER_AT(a->v, nll_sum)) ||
            rbe_results_model(p->r, RBE_VALUE_AT(a->v, model)) != p->model)
            continue;
        for (size_t k = 0; k < p->r->count; k++) {
            const struct rbe_row *b = &p->r->rows[k];
            const char *at = RBE_STRING_AT(b->v, machine, arch);
            size_t same = 0;
            if (strcmp(b->kind, RBE_KIND(perplexity)) || !at || !strcmp(at, "aarch64") ||
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

void rbe_judge_arm(struct rbe_criterion *c, const struct rbe_pair *p)
{
    const struct rbe_row *arm, *other;

    if (!twin_rows(p, &arm, &other)) {
        rbe_not_measured(
            c, "no row of the aarch64 program, on an ARM machine or under an emulator, for "
               "the same text as a row from here");
        return;
    }
    const double a = RBE_NUMBER_AT(arm->v, nll_sum), b = RBE_NUMBER_AT(other->v, nll_sum);
    const char *isa = RBE_STRING_AT(other->v, machine, isa);
    const char *emulator = RBE_STRING_AT(arm->v, machine, emulator);
    const bool real = json_is_null(RBE_VALUE_AT(arm->v, machine, emulator));
    rbe_cite(c, arm);
    SAY(c->original, "sum of -log p %.13g", b);
    SAY(c->rbe, "%.13g", a);
    if (a == b)
        SAY(c->margin, "equal, bit for bit");
    else
        SAY(c->margin, "%.2g relative", fabs(a - b) / b);
    /* From SSE4.1 on a library multiplies dense matrices, in an order of its own. */
    if (a != b && (!isa || strstr(isa, "sse41"))) {
        rbe_not_measured(c,
                         "the other sum was not made by the plain loops (features '%s'), the "
                         "only ones with the same order of summation",
                         isa ? isa : "?");
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

/* --- C9: schedules --------------------------------------------------------------------- */

static const struct {
    const char *profile;
    enum rbe_limit_name lowest, highest; /* ratios that the schedule promises */
} schedules[] = {
    {"chapter-8.3.1", RBE_LIMIT_C9_LOWEST, RBE_LIMIT_C9_HIGHEST},
    {"chapter-8.3.2", RBE_LIMIT_C9B_LOWEST, RBE_LIMIT_C9B_HIGHEST},
};

void rbe_judge_schedule(struct rbe_criterion *c, const struct rbe_pair *p)
{
    const struct rbe_row *b = NULL;
    double low = INFINITY, high = 0, rmse = 0, bound = 0;
    size_t i, n = 0;
    json_t *t;

    const int which = c->limit == &rbe_limits[RBE_LIMIT_C9B];
    const char *const profile = schedules[which].profile;
    const double lowest = rbe_limits[schedules[which].lowest].value;
    const double highest = rbe_limits[schedules[which].highest].value;

    SAY(c->target, "%.0f to %.0f : 1, at most %.0f %% worse", lowest, highest, c->limit->value);
    for (size_t k = 0; k < p->r->count; k++) {
        const struct rbe_row *row = &p->r->rows[k];
        if (!strcmp(row->kind, RBE_KIND(convert)) && p->base >= 0 &&
            !strcmp(RBE_STRING_AT(row->v, profile), profile) &&
            rbe_results_model(p->r, RBE_VALUE_AT(row->v, base)) == p->base)
            b = row;
    }
    if (!b) {
        rbe_not_measured(c, "no conversion of the original by profile %s", profile);
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
        rbe_not_measured(c, "the conversion by %s encoded no tensor", profile);
        return;
    }
    rbe_cite(c, b);
    const char *part =
        q && RBE_TRUE_AT(q->v, complete) ? "the whole text" : "a part of the text";
    SAY(c->how,
        "profile %s, %zu tensors (layer by layer below), bytes on disk; relative RMSE "
        "%.4f on average, rate-distortion bound %.4f; perplexity of "
        "protocol " RBE_CRITERIA_PROTOCOL ", %s",
        profile, n, rmse / (double)n, bound / (double)n, part);
    if (!q) {
        SAY(c->rbe, "%.0f to %.0f : 1", low, high);
        rbe_not_measured(c, "no perplexity of the model of this schedule (relative RMSE %.4f)",
                         rmse / (double)n);
        return;
    }
    const double change = RBE_NUMBER_AT(q->v, percent_change);
    SAY(c->original, "perplexity %.2f", RBE_NUMBER_AT(q->v, base_perplexity));
    SAY(c->rbe, "%.0f to %.0f : 1; perplexity %.*f: %+.*f %%", low, high, change < 1000,
        RBE_NUMBER_AT(q->v, perplexity), change < 1000, change);
    SAY(c->margin, "%+.*f points", change < 1000, c->limit->value - change);
    /* Rounded to whole ratios: a header may cost the last half per cent. */
    if (low >= .995 * lowest && high >= .995 * highest)
        settle(c, change, RBE_INTERVAL_AT(q->v, percent_change_ci95));
    else
        c->verdict = RBE_FAIL;
}
