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
        bad |= json_array_append_new(relevant, json_integer((json_int_t)by->relevant[i]));
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
    if (!a->tokens || !a->text || !a->by.length)
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
    }
    return RBE_OK;
}

/* --- measures ---------------------------------------------------------------------------- */

static json_t *ratio_json(const struct author *original, const struct author *model,
                          rbe_measure_fn *measure, bool smaller_is_better, double target)
{
    const size_t n = model->count;
    const struct rbe_two_judged t = {&original->by, &model->by, measure, smaller_is_better};
    uint32_t *index = calloc(n, sizeof *index);

    if (!index) {
        rbe_shortage_note();
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        index[i] = (uint32_t)i;
    const struct rbe_interval ci =
        rbe_bootstrap(rbe_retained, &t, n, RBE_BOOTSTRAP, RBE_BOOTSTRAP_SEED);
    const double value = rbe_retained(&t, index, n);
    /* fmin() would make a value that is not a number 1. */
    json_t *o =
        RBE_OBJECT(RBE_REAL(original, measure(t.original, index, n)),
                   RBE_REAL(model, measure(t.model, index, n)),
                   RBE_REAL(retained, value > 1 ? 1 : value), RBE_REAL(ratio, value),
                   RBE_PAIR(retained_ci95, ci.low > 1 ? 1 : ci.low, ci.high > 1 ? 1 : ci.high),
                   RBE_REAL(target, target));
    free(index);
    return o;
}

static double repetition(const struct author *a)
{
    double sum = 0;

    for (size_t i = 0; i < a->count; i++)
        sum += rbe_repetition(a->text[i], a->by.length[i], REPETITION_GRAM);
    return sum / (double)a->count;
}

static double distinct(const struct author *a, size_t gram)
{
    return rbe_distinct(a->text, a->by.length, a->count, gram);
}

static json_t *both(double original, double model)
{
    return RBE_OBJECT(RBE_REAL(original, original), RBE_REAL(model, model));
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
    if (RBE_SET(record, RBE_INT(prompts, b.count),
                RBE_FLAG(complete, (double)b.count == RBE_NUMBER_AT(record, prompts_total)),
                RBE_JSON(fluency, ratio_json(&a, &b, rbe_fluency, true, RBE_LIMIT(C6B))),
                RBE_JSON(coherence, ratio_json(&a, &b, rbe_coherence, false, RBE_LIMIT(C6))),
                RBE_JSON(relevance, ratio_json(&a, &b, rbe_relevance, false, RBE_LIMIT(C6C))),
                RBE_JSON(rep4, both(repetition(&a), repetition(&b))),
                RBE_JSON(distinct1, both(distinct(&a, 1), distinct(&b, 1))),
                RBE_JSON(distinct2, both(distinct(&a, 2), distinct(&b, 2)))))
        err = RBE_ERR_NOMEM;
out:
    free_author(&a);
    free_author(&b);
    return err;
}
