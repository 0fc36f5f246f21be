/*
 * generation.c - what quality of the original's texts a model retains, from a record's samples.
 *
 * SPDX-License-Identifier: MIT
 *
 * The measures are those of quality.h.  Intervals by bootstrap over prompts, the same draws for
 * both models.
 */
#include "eval/generation.h"

#include <math.h>
#include <stdlib.h>

#include "base/criteria.h"
#include "base/result.h"
#include "base/rows.h"
#include "base/stats.h"

enum { REPETITION_GRAM = 4 };

/* What one model wrote, and what the original thinks of it: arrays of [count]. */
struct author {
    uint32_t *tokens;           /* of all texts, one after the other */
    const uint32_t **text;      /* where each begins */
    struct rbe_judged by;
    size_t count;
};

/* --- samples ----------------------------------------------------------------------------- */

json_t *rbe_generation_samples(const uint32_t *text, size_t room, const struct rbe_judged *by,
                               size_t first, size_t count)
{
    json_t *texts = json_array(), *alone = json_array(), *after = json_array();
    json_t *relevant = json_array();
    int bad = 0;

    for (size_t i = first; i < first + count; i++) {
        json_t *ids = json_array();
        for (size_t k = 0; k < by->length[i]; k++)
            bad |= json_array_append_new(ids, json_integer(text[i * room + k]));
        bad |= json_array_append_new(texts, ids);
        bad |= json_array_append_new(alone, rbe_result_real(by->alone[i]));
        bad |= json_array_append_new(after, rbe_result_real(by->after[i]));
        bad |= json_array_append_new(relevant, rbe_result_real(by->relevant[i]));
    }
    json_t *o = RBE_OBJECT(RBE_JSON(tokens, texts), RBE_JSON(alone, alone),
                           RBE_JSON(after, after), RBE_JSON(relevant, relevant));
    if (bad) {
        json_decref(o);
        return NULL;
    }
    return o;
}

size_t rbe_generation_restore(const json_t *member, uint32_t *text, size_t room,
                              struct rbe_judged *by, size_t first, size_t most)
{
    const json_t *texts = RBE_VALUE_AT(member, tokens);
    const json_t *alone = RBE_VALUE_AT(member, alone);
    const json_t *after = RBE_VALUE_AT(member, after);
    const json_t *relevant = RBE_VALUE_AT(member, relevant);
    size_t n = 0;

    for (; n < most; n++) {
        const json_t *ids = json_array_get(texts, n), *a = json_array_get(alone, n);
        const json_t *b = json_array_get(after, n), *c = json_array_get(relevant, n);
        const size_t i = first + n, length = json_array_size(ids);
        if (!length || length > room || !json_is_number(a) || !json_is_number(b) ||
            !json_is_number(c))
            break;
        for (size_t k = 0; k < length; k++)
            text[i * room + k] = (uint32_t)json_integer_value(json_array_get(ids, k));
        by->length[i] = length;
        by->alone[i] = json_number_value(a);
        by->after[i] = json_number_value(b);
        by->relevant[i] = json_number_value(c);
    }
    return n;
}

static void free_author(struct author *a)
{
    free(a->tokens);
    free(a->text);
    free(a->by.length);
    free(a->by.alone);
    free(a->by.after);
    free(a->by.relevant);
    free(a->by.repeated);
}

/* [n] numbers into *out, NaN for what could not be measured. */
static enum rbe_status column(double **out, const json_t *o, const char *name, size_t n,
                              struct rbe_diag *d)
{
    const json_t *a = json_object_get(o, name);

    if (!n || json_array_size(a) != n)
        return rbe_fail(d, RBE_ERR_FORMAT, "a generation record without its samples");
    if (!(*out = malloc(n * sizeof **out)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory for %zu texts", n);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(a, i);
        (*out)[i] = json_is_number(v) ? json_number_value(v) : NAN;
    }
    return RBE_OK;
}

static enum rbe_status read_author(struct author *a, const json_t *o, struct rbe_diag *d)
{
    const json_t *texts = RBE_VALUE_AT(o, tokens);
    const size_t n = json_array_size(texts);
    size_t all = 0, at = 0;

    for (size_t i = 0; i < n; i++) {
        all += json_array_size(json_array_get(texts, i));
        if (!json_array_size(json_array_get(texts, i)))
            return rbe_fail(d, RBE_ERR_FORMAT, "a generation record with an empty text");
    }
    a->count = n;
    a->tokens = malloc((all + 1) * sizeof *a->tokens);
    a->text = malloc((n + 1) * sizeof *a->text);
    a->by.length = malloc((n + 1) * sizeof *a->by.length);
    a->by.repeated = malloc((n + 1) * sizeof *a->by.repeated);
    if (!a->tokens || !a->text || !a->by.length || !a->by.repeated)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory for %zu texts", n);
    enum rbe_status err;
    if ((err = column(&a->by.alone, o, RBE_KEY(alone), n, d)) ||
        (err = column(&a->by.after, o, RBE_KEY(after), n, d)) ||
        (err = column(&a->by.relevant, o, RBE_KEY(relevant), n, d)))
        return err;
    for (size_t i = 0; i < n; i++) {
        const json_t *ids = json_array_get(texts, i);
        a->text[i] = a->tokens + at;
        a->by.length[i] = json_array_size(ids);
        for (size_t k = 0; k < a->by.length[i]; k++)
            a->tokens[at++] = (uint32_t)json_integer_value(json_array_get(ids, k));
        a->by.repeated[i] = rbe_repetition(a->text[i], a->by.length[i], REPETITION_GRAM);
    }
    return RBE_OK;
}

/* --- measures ---------------------------------------------------------------------------- */

/* What of a measure is retained. */
struct kept {
    double original, model, ratio;      /* 1: as good; less: worse, and so is more two-sided */
    double retained;                    /* at most 1 */
    struct rbe_interval ratio_ci, ci;
};

static json_t *kept_json(const struct kept *k)
{
    return RBE_OBJECT(RBE_REAL(original, k->original), RBE_REAL(model, k->model),
                      RBE_REAL(ratio, k->ratio),
                      RBE_PAIR(ratio_ci95, k->ratio_ci.low, k->ratio_ci.high),
                      RBE_REAL(retained, k->retained),
                      RBE_PAIR(retained_ci95, k->ci.low, k->ci.high));
}

static void set_two_sided(struct kept *k)
{
    k->retained = rbe_two_sided(k->ratio);
    k->ci = rbe_two_sided_interval(k->ratio_ci);
}

/* What is retained of a measure, by bootstrap. */
static enum rbe_status keep(struct kept *k, const struct author *original,
                            const struct author *model, rbe_measure_fn *measure,
                            bool smaller_is_better, struct rbe_diag *d)
{
    const size_t n = model->count;
    const struct rbe_two_judged t = {&original->by, &model->by, measure, smaller_is_better};
    uint32_t *index = calloc(n, sizeof *index);

    if (!index)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory for %zu texts", n);
    for (size_t i = 0; i < n; i++)
        index[i] = (uint32_t)i;
    k->original = measure(t.original, index, n);
    k->model = measure(t.model, index, n);
    k->ratio = rbe_retained(&t, index, n);
    k->ratio_ci = rbe_bootstrap(rbe_retained, &t, n, RBE_BOOTSTRAP, RBE_BOOTSTRAP_SEED);
    /* fmin() would make a value that is not a number 1. */
    k->retained = k->ratio > 1 ? 1 : k->ratio;
    k->ci = k->ratio_ci;
    k->ci.low = k->ci.low > 1 ? 1 : k->ci.low;
    k->ci.high = k->ci.high > 1 ? 1 : k->ci.high;
    free(index);
    return RBE_OK;
}

/* The same of the share of different n-grams in all texts together: one that is drawn twice
 * would count as repeated, so not by bootstrap. */
static enum rbe_status keep_distinct(struct kept *k, const struct author *original,
                                     const struct author *model, size_t gram,
                                     struct rbe_diag *d)
{
    const size_t n = model->count;
    double *a = calloc(2 * n, sizeof *a), *b = a ? a + n : NULL;
    enum rbe_status err = a ? RBE_OK : RBE_ERR_NOMEM;

    k->original = rbe_distinct(original->text, original->by.length, n, gram);
    k->model = rbe_distinct(model->text, model->by.length, n, gram);
    k->ratio = k->model / k->original;
    if (!err && !(err = rbe_distinct_without(a, original->text, original->by.length, n, gram)))
        err = rbe_distinct_without(b, model->text, model->by.length, n, gram);
    if (err)
        rbe_fail(d, err, "out of memory for %zu texts", n);
    else
        k->ratio_ci = rbe_jackknife_ratio(k->ratio, a, b, n);
    set_two_sided(k);
    free(a);
    return err;
}

static json_t *judged_json(const struct kept *k, double target)
{
    json_t *o = kept_json(k);

    if (o && RBE_SET(o, RBE_REAL(target, target))) {
        json_decref(o);
        o = NULL;
    }
    return o;
}

/* Unlike fmin(): one that is not a number leaves no other. */
static double least(double a, double b)
{
    return isnan(a) || a < b ? a : b;
}

/* Fluency is retained as far as the worst of its parts: all must be, in either direction. */
static json_t *fluency_json(const struct kept *const *parts, const char *const *names, size_t n)
{
    struct rbe_interval ci = parts[0]->ci;
    size_t worst = 0;

    for (size_t i = 1; i < n; i++) {
        if (!isnan(parts[worst]->retained) && !(parts[i]->retained >= parts[worst]->retained))
            worst = i;
        ci.low = least(ci.low, parts[i]->ci.low);
        ci.high = least(ci.high, parts[i]->ci.high);
    }
    return RBE_OBJECT(RBE_REAL(original, parts[worst]->original),
                      RBE_REAL(model, parts[worst]->model), RBE_WORD(worst, names[worst]),
                      RBE_REAL(retained, parts[worst]->retained),
                      RBE_PAIR(retained_ci95, ci.low, ci.high),
                      RBE_REAL(target, RBE_LIMIT(C6B)));
}

enum rbe_status rbe_generation_summarise(json_t *record, struct rbe_diag *d)
{
    const json_t *samples = RBE_VALUE_AT(record, per_prompt);
    struct author a = {0}, b = {0};
    enum rbe_status err = read_author(&a, RBE_VALUE_AT(samples, original), d);

    if (!err)
        err = read_author(&b, RBE_VALUE_AT(samples, model), d);
    if (!err && a.count != b.count)
        err = rbe_fail(d, RBE_ERR_FORMAT, "a generation record of %zu texts against %zu",
                       b.count, a.count);
    if (err)
        goto out;
    struct kept perplexity, fresh, one, two, gain, relevance;
    if ((err = keep(&perplexity, &a, &b, rbe_fluency, true, d)) ||
        (err = keep(&fresh, &a, &b, rbe_novelty, false, d)) ||
        (err = keep(&gain, &a, &b, rbe_coherence, false, d)) ||
        (err = keep(&relevance, &a, &b, rbe_relevance, false, d)) ||
        (err = keep_distinct(&one, &a, &b, 1, d)) || (err = keep_distinct(&two, &a, &b, 2, d)))
        goto out;
    set_two_sided(&perplexity);
    set_two_sided(&fresh);
    /* Judged by what is not repeated, shown as what is. */
    fresh.original = 1 - fresh.original;
    fresh.model = 1 - fresh.model;
    const struct kept *const parts[] = {&perplexity, &fresh, &two};
    const char *const names[] = {RBE_KEY(text_perplexity), RBE_KEY(rep4), RBE_KEY(distinct2)};
    if (RBE_SET(record, RBE_INT(prompts, b.count),
                RBE_FLAG(complete, (double)b.count == RBE_NUMBER_AT(record, prompts_total)),
                RBE_JSON(fluency, fluency_json(parts, names, 3)),
                RBE_JSON(coherence, judged_json(&gain, RBE_LIMIT(C6))),
                RBE_JSON(relevance, judged_json(&relevance, RBE_LIMIT(C6C))),
                RBE_JSON(text_perplexity, kept_json(&perplexity)),
                RBE_JSON(rep4, kept_json(&fresh)), RBE_JSON(distinct1, kept_json(&one)),
                RBE_JSON(distinct2, kept_json(&two))))
        err = RBE_ERR_NOMEM;
out:
    free_author(&a);
    free_author(&b);
    return err;
}
