/*
 * merge.c - joining the result files of shards into the unsharded result.
 *
 * SPDX-License-Identifier: MIT
 */
#include "eval/merge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/result.h"
#include "base/rows.h"
#include "eval/comprehension.h"
#include "eval/divergence.h"
#include "eval/generation.h"
#include "eval/perplexity.h"
#include "eval/sequences.h"

/* What can be joined, the fields that say which part a record is, and those that say of what
 * or go into the joined one. */
static const struct kind {
    const char *name, *unit, *first, *total;    /* unit: the field that counts them, too */
    const char *needs[6];
} kinds[] = {
    {RBE_KIND(perplexity),
     RBE_KEY(windows),
     RBE_KEY(first_window),
     RBE_KEY(windows_total),
     {RBE_KEY(model), RBE_KEY(text), RBE_KEY(protocol), RBE_KEY(protocol_name),
      RBE_KEY(context), RBE_KEY(stride)}},
    {RBE_KIND(paired),
     RBE_KEY(windows),
     RBE_KEY(first_window),
     RBE_KEY(windows_total),
     {RBE_KEY(model), RBE_KEY(base), RBE_KEY(text)}},
    {RBE_KIND(divergence),
     RBE_KEY(windows),
     RBE_KEY(first_window),
     RBE_KEY(windows_total),
     {RBE_KEY(model), RBE_KEY(base), RBE_KEY(text)}},
    {RBE_KIND(comprehension),
     RBE_KEY(items),
     RBE_KEY(first_item),
     RBE_KEY(items_total),
     {RBE_KEY(model), RBE_KEY(text)}},
    {RBE_KIND(inference),
     RBE_KEY(sequences),
     RBE_KEY(first_sequence),
     RBE_KEY(sequences_total),
     {RBE_KEY(model), RBE_KEY(prompt_tokens), RBE_KEY(length)}},
    {RBE_KIND(generation),
     RBE_KEY(prompts),
     RBE_KEY(first_prompt),
     RBE_KEY(prompts_total),
     {RBE_KEY(model), RBE_KEY(base)}},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* A shard's record, where it came from, and what it covers: [first, first + count). */
struct part {
    const json_t *record;
    const char *file;
    size_t index;               /* of the file */
    bool taken;                 /* joined already */
    json_int_t first, count;
};

static const char *text_of(const json_t *r, const char *path)
{
    const char *s = rbe_string_at(r, path);

    return s ? s : "";
}

static bool is(const json_t *r, const char *kind)
{
    return !strcmp(text_of(r, RBE_KEY(kind)), kind);
}

#define IS(r, name) is(r, RBE_KIND(name))

/* The record's kind, or NULL when it is not one that has shards. */
static const struct kind *kind_of(const json_t *r)
{
    for (int i = 0; i < KINDS; i++)
        if (is(r, kinds[i].name))
            return &kinds[i];
    return NULL;
}

static bool same_object(const json_t *a, const json_t *b, const char *key)
{
    return !strcmp(text_of(rbe_value_at(a, key), RBE_KEY(sha256)),
                   text_of(rbe_value_at(b, key), RBE_KEY(sha256)));
}

/* What the caches of these models held; a text has none. */
static bool same_cache(const json_t *a, const json_t *b, const char *key)
{
    return !strcmp(text_of(rbe_value_at(a, key), RBE_KEY(kv_cache)),
                   text_of(rbe_value_at(b, key), RBE_KEY(kv_cache)));
}

/* Members of the same value; both may be missing. */
static bool same_member(const json_t *a, const json_t *b, const char *key)
{
    const json_t *x = json_object_get(a, key), *y = json_object_get(b, key);

    return (!x && !y) || json_equal(x, y);
}

struct difference {
    unsigned count;
    const char *first;          /* field */
};

static void compare(struct difference *x, bool same, const char *field)
{
    if (!same && !x->count++)
        x->first = field;
}

/* In how many fields two records differ that are the same in all parts of one result. */
static struct difference differences(const json_t *a, const json_t *b)
{
    static const char *const equal[] = {
        RBE_KEY(kind),          RBE_KEY(protocol),    RBE_KEY(context),
        RBE_KEY(windows_total), RBE_KEY(task),        RBE_KEY(variant),
        RBE_KEY(items_total),   RBE_KEY(group_names), RBE_KEY(prompts_total),
        RBE_KEY(prompt_tokens), RBE_KEY(candidates),  RBE_KEY(sampling),
        RBE_KEY(samples_kept),  RBE_KEY(recorded),    RBE_KEY(limit),
        RBE_KEY(bootstrap),     RBE_KEY(mode),        RBE_KEY(sequences_total),
        RBE_KEY(length),        RBE_KEY(special),     RBE_KEY(protocol_name),
        RBE_KEY(stride),        RBE_KEY(words),       RBE_KEY(white_space_words),
        RBE_KEY(text_bytes),    RBE_KEY(pages),       RBE_KEY(begin_token),
        RBE_KEY(limited_total)};
    static const char *const machine[] = {RBE_KEY(cpu), RBE_KEY(isa), RBE_KEY(threads),
                                          RBE_KEY(oversubscribed)};
    static const char *const objects[] = {RBE_KEY(model), RBE_KEY(base), RBE_KEY(text)};
    struct difference x = {0};

    for (size_t i = 0; i < sizeof objects / sizeof objects[0]; i++)
        compare(&x, same_object(a, b, objects[i]), objects[i]);
    for (size_t i = 0; i < sizeof objects / sizeof objects[0]; i++)
        compare(&x, same_cache(a, b, objects[i]), RBE_KEY(kv_cache));
    for (size_t i = 0; i < sizeof equal / sizeof equal[0]; i++)
        compare(&x, same_member(a, b, equal[i]), equal[i]);
    /* Elsewhere `tokens` are those of the part. */
    if (IS(a, generation) || IS(a, perplexity))
        compare(&x, same_member(a, b, RBE_KEY(tokens)), RBE_KEY(tokens));
    compare(&x, same_member(RBE_VALUE_AT(a, machine), RBE_VALUE_AT(b, machine),
                            RBE_KEY(activations)), RBE_KEY(activations));
    /* Times of different machines have no mean. */
    for (size_t i = 0; IS(a, inference) && i < sizeof machine / sizeof machine[0]; i++)
        compare(&x, same_member(RBE_VALUE_AT(a, machine), RBE_VALUE_AT(b, machine), machine[i]),
                machine[i]);
    return x;
}

/* Whether two records are parts of one result. */
static bool same_key(const json_t *a, const json_t *b)
{
    return !differences(a, b).count;
}

const json_t *rbe_merge_find(const json_t *old, const json_t *like)
{
    const char *first = kind_of(like)->first;
    const json_t *r, *found = NULL;
    size_t i;

    json_array_foreach(old, i, r)
        if (same_key(r, like) &&
            json_equal(json_object_get(r, first), json_object_get(like, first)))
            found = r;
    return found;
}

/* For messages: "perplexity P1 of rbe-mini on wiki.test.raw". */
static void describe(char *buf, size_t size, const json_t *r)
{
    const char *how = text_of(r, IS(r, comprehension) ? RBE_KEY(task) : RBE_KEY(protocol));

    snprintf(buf, size, "%.20s%s%.12s of %.40s on %.60s", text_of(r, RBE_KEY(kind)),
             *how ? " " : "", how, text_of(r, RBE_KEY(model, name)),
             text_of(r, RBE_KEY(text, name)));
}

/* How many all parts have together; NULL: that is not known. */
static const json_t *total_of(const json_t *r)
{
    const json_t *limited = RBE_VALUE_AT(r, limited_total);

    return limited ? limited : json_object_get(r, kind_of(r)->total);
}

static int by_first(const void *a, const void *b)
{
    const struct part *x = a, *y = b;

    return (x->first > y->first) - (x->first < y->first);
}

/* Where the next part is missing: one that begins there and is of another result, and why. */
static enum rbe_status missing(const struct part *first, json_int_t at, const struct part *all,
                               size_t count, struct rbe_diag *d)
{
    const struct kind *kind = kind_of(first->record);
    const json_int_t total = json_integer_value(total_of(first->record));
    struct difference least = {0};
    const char *file = NULL;
    char what[200];

    describe(what, sizeof what, first->record);
    for (size_t i = 0; i < count; i++) {
        if (all[i].first != at || kind_of(all[i].record) != kind)
            continue;
        const struct difference x = differences(first->record, all[i].record);
        if (x.count && (!file || x.count < least.count)) {
            least = x;
            file = all[i].file;
        }
    }
    if (file)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s: %s from %lld on are missing (of %lld): those "
                        "of %s are of another '%s' than those of %s", what, kind->unit,
                        (long long)at, (long long)total, file, least.first, first->file);
    return rbe_fail(d, RBE_ERR_MISMATCH, "%s: %s from %lld on are missing (of %lld)", what,
                    kind->unit, (long long)at, (long long)total);
}

bool rbe_merge_same_program(const json_t *a, const json_t *b)
{
    return same_member(a, b, RBE_KEY(commit)) && same_member(a, b, RBE_KEY(dirty));
}

/* Parts of one result are of one program. */
static enum rbe_status check_program(const struct part *p, size_t n, struct rbe_diag *d)
{
    for (size_t i = 1; i < n; i++) {
        const struct part *const two[] = {&p[0], &p[i]};
        const char *commit[2], *changes[2];
        if (rbe_merge_same_program(p[0].record, p[i].record))
            continue;
        for (int k = 0; k < 2; k++) {
            commit[k] = text_of(two[k]->record, RBE_KEY(commit));
            commit[k] = *commit[k] ? commit[k] : "unknown";
            changes[k] =
                json_is_true(RBE_VALUE_AT(two[k]->record, dirty)) ? " with changes" : "";
        }
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s is of commit %.40s%s, %s of commit %.40s%s: "
                        "parts of different programs are not joined", p[0].file, commit[0],
                        changes[0], p[i].file, commit[1], changes[1]);
    }
    return RBE_OK;
}

/* Parts in order must cover [0, total) once each. */
static enum rbe_status check_cover(struct part *p, size_t n, const struct part *all,
                                   size_t count, struct rbe_diag *d)
{
    const json_t *r = p[0].record;
    const char *unit = kind_of(r)->unit;
    const json_t *total = total_of(r);
    json_int_t at = 0;
    char what[200];

    describe(what, sizeof what, r);
    if (!json_is_integer(total))
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s: measured with a limit: nothing to join",
                        what);
    qsort(p, n, sizeof *p, by_first);
    for (size_t i = 0; i < n; i++) {
        if (p[i].first < at)
            return rbe_fail(d, RBE_ERR_MISMATCH, "%s: %s %lld to %lld are there twice (%s)",
                            what, unit, (long long)p[i].first, (long long)at - 1, p[i].file);
        if (p[i].first > at)
            break;
        at += p[i].count;
    }
    if (at != json_integer_value(total))
        return missing(&p[0], at, all, count, d);
    return RBE_OK;
}

/* More windows, items, prompts or tokens, and more resamples, than any run has. */
#define MOST_PARTS ((json_int_t)1 << 40)
enum { MOST_RESAMPLES = 1000000 };

/* A count that stands in a record, at least 0; missing is 0. */
static bool is_count(const json_t *r, const char *key)
{
    const json_t *x = json_object_get(r, key);
    const json_int_t n = json_integer_value(x);

    return !x || json_is_null(x) || (json_is_integer(x) && n >= 0 && n < MOST_PARTS);
}

/* Sums of more than this are no measurement, and their squares no number. */
#define MOST_SAMPLE 1e150

/* samples.NAME of a record: as many numbers as it has units. */
static enum rbe_status check_column(const json_t *r, const struct kind *kind, const char *name,
                                    const char *file, struct rbe_diag *d)
{
    const json_t *a = json_object_get(RBE_VALUE_AT(r, samples), name), *x;
    const char *task = text_of(r, IS(r, comprehension) ? RBE_KEY(task) : RBE_KEY(kind));
    const json_int_t n = json_integer_value(json_object_get(r, kind->unit));
    size_t i;

    if (!json_is_array(a) || (json_int_t)json_array_size(a) != n)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: a record of %.40s without samples.%s of its "
                        "%lld %s", file, task, name, (long long)n, kind->unit);
    json_array_foreach(a, i, x) {
        if (!json_is_number(x))
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: a record of %.40s: samples.%s[%zu] is no "
                            "number", file, task, name, i);
        if (!(fabs(json_number_value(x)) <= MOST_SAMPLE))
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: a record of %.40s: samples.%s[%zu] is %g: "
                            "too large", file, task, name, i, json_number_value(x));
    }
    return RBE_OK;
}

/* samples.NAME of a record count tokens, each at least so many; *sum: all together. */
static enum rbe_status check_tokens(json_int_t *sum, const json_t *r, const struct kind *kind,
                                    const char *name, json_int_t least, const char *file,
                                    struct rbe_diag *d)
{
    const enum rbe_status err = check_column(r, kind, name, file, d);
    const json_t *x;
    size_t i;

    *sum = 0;
    if (err)
        return err;
    json_array_foreach(json_object_get(RBE_VALUE_AT(r, samples), name), i, x) {
        if (!json_is_integer(x) || json_integer_value(x) < least ||
            json_integer_value(x) > MOST_PARTS)
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: a record of %s: samples.%s[%zu] is no "
                            "count of tokens", file, kind->name, name, i);
        *sum += json_integer_value(x);
    }
    return RBE_OK;
}

/* The same of the samples whose sum the record has under their name. */
static enum rbe_status check_total(const json_t *r, const struct kind *kind, const char *name,
                                   const char *file, struct rbe_diag *d)
{
    json_int_t sum;
    const enum rbe_status err = check_tokens(&sum, r, kind, name, 1, file, d);
    const json_t *total = json_object_get(r, name);

    if (!err && total && !(json_is_integer(total) && json_integer_value(total) == sum))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: a record of %s: %s is not the sum of its "
                        "samples, %lld", file, kind->name, name, (long long)sum);
    return err;
}

/* Whether the columns of an item-wise record are there, and of one length and of numbers. */
static enum rbe_status check_items(const json_t *r, const struct kind *kind, const char *file,
                                   struct rbe_diag *d)
{
    const char *task = text_of(r, RBE_KEY(task));
    const char *names[RBE_TASK_COLUMNS];
    const size_t many = rbe_task_columns(task, names);
    const json_t *x;
    size_t i;

    for (size_t k = 0; k < many; k++) {
        const enum rbe_status err = check_column(r, kind, names[k], file, d);
        if (err)
            return err;
    }
    json_array_foreach(RBE_VALUE_AT(r, group_names), i, x)
        if (!json_is_string(x))
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: a record of %.40s: group_names[%zu] is no "
                            "name", file, task, i);
    return RBE_OK;
}

/* The same of a divergence record: whatever it has. */
static enum rbe_status check_sums(const json_t *r, const struct kind *kind, const char *file,
                                  struct rbe_diag *d)
{
    enum rbe_status err = check_total(r, kind, RBE_KEY(tokens), file, d);
    const char *name;
    json_int_t sum;
    json_t *x;

    json_object_foreach(RBE_VALUE_AT(r, samples), name, x)
        err = err ? err : check_column(r, kind, name, file, d);
    err = err ? err : check_tokens(&sum, r, kind, RBE_KEY(top1), 0, file, d);
    return err ? err : check_tokens(&sum, r, kind, RBE_KEY(top5), 0, file, d);
}

/* What the joining reads of a record, before it is trusted. */
static enum rbe_status check_record(const json_t *r, const struct kind *kind, const char *file,
                                    struct rbe_diag *d)
{
    const char *const counts[] = {kind->first, kind->unit, kind->total,
                                  RBE_KEY(limited_total)};
    const json_t *draws = RBE_VALUE_AT(r, bootstrap, resamples);

    for (size_t i = 0; i < sizeof kind->needs / sizeof kind->needs[0] && kind->needs[i]; i++)
        if (!json_object_get(r, kind->needs[i]))
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: a record of %s without %s", file,
                            kind->name, kind->needs[i]);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        if (!is_count(r, counts[i]))
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: a %s record: %s is no count", file,
                            kind->name, counts[i]);
    if (draws && (!json_is_integer(draws) || json_integer_value(draws) < 0 ||
                  json_integer_value(draws) > MOST_RESAMPLES))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: a %s record: bootstrap.resamples is no count "
                        "up to %d", file, kind->name, MOST_RESAMPLES);
    if (IS(r, perplexity)) {
        const enum rbe_status err = check_column(r, kind, RBE_KEY(nll), file, d);
        return err ? err : check_total(r, kind, RBE_KEY(scored), file, d);
    }
    if (IS(r, divergence))
        return check_sums(r, kind, file, d);
    return IS(r, comprehension) ? check_items(r, kind, file, d) : RBE_OK;
}

/* Appends arrays of b to those of a; members of objects one by one. */
static int extend(json_t *a, json_t *b)
{
    const char *name;
    json_t *x;
    int bad = 0;

    if (json_is_array(a))
        return json_array_extend(a, b);
    json_object_foreach(a, name, x)
        bad |= extend(x, json_object_get(b, name));
    return bad;
}

/* r[key]: the samples of all parts, end to end. */
static enum rbe_status join_samples(json_t *r, const struct part *p, size_t n, const char *key,
                                    struct rbe_diag *d)
{
    json_t *all = json_deep_copy(json_object_get(p[0].record, key));

    for (size_t i = 0; i < n; i++)
        if (!all || (i && extend(all, json_object_get(p[i].record, key)))) {
            json_decref(all);
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: a record without its samples", p[i].file);
        }
    return json_object_set_new(r, key, all) ? RBE_ERR_NOMEM : RBE_OK;
}

static double total_seconds(const struct part *p, size_t n)
{
    double s = 0;

    for (size_t i = 0; i < n; i++)
        s += RBE_NUMBER_AT(p[i].record, seconds);
    return s;
}

static enum rbe_status join_perplexity(json_t *r, const struct part *p, size_t n,
                                       struct rbe_diag *d)
{
    double *nll = NULL, *scored = NULL;
    size_t count;
    enum rbe_status err = join_samples(r, p, n, RBE_KEY(samples), d);

    if (!err)
        err = rbe_perplexity_samples(r, &nll, &scored, &count, d);
    const unsigned draws = (unsigned)json_integer_value(RBE_VALUE_AT(r, bootstrap, resamples));
    if (!err && rbe_perplexity_summarise(r, nll, scored, count, 0, total_seconds(p, n), draws))
        err = RBE_ERR_NOMEM;
    free(nll);
    free(scored);
    return err;
}

static enum rbe_status join_divergence(json_t *r, const struct part *p, size_t n,
                                       struct rbe_diag *d)
{
    struct rbe_divergence v;
    enum rbe_status err = rbe_divergence_init(&v, 0, d);

    for (size_t i = 0; i < n && !err; i++) {
        struct rbe_diag why = {""};
        if ((err = rbe_divergence_read(&v, p[i].record, &why)))
            rbe_fail(d, err, "%s: %s", p[i].file, why.text);
    }
    if (!err && rbe_divergence_summarise(r, &v, v.windows, 0))
        err = RBE_ERR_NOMEM;
    rbe_divergence_free(&v);
    return err;
}

/* The joined record of the same task and text whose model is r's base, or NULL. */
static const json_t *find_base(const json_t *joined, const json_t *r)
{
    const json_t *x;
    size_t i;

    json_array_foreach(joined, i, x)
        if (!strcmp(text_of(x, RBE_KEY(kind)), text_of(r, RBE_KEY(kind))) &&
            !strcmp(text_of(x, RBE_KEY(task)), text_of(r, RBE_KEY(task))) &&
            same_object(x, r, RBE_KEY(text)) && same_member(x, r, RBE_KEY(limited_total)) &&
            !strcmp(text_of(x, RBE_KEY(model, sha256)), text_of(r, RBE_KEY(base, sha256))))
            return x;
    return NULL;
}

static enum rbe_status join_comprehension(json_t *r, const struct part *p, size_t n,
                                          const json_t *joined, struct rbe_diag *d)
{
    const json_t *base = RBE_VALUE_AT(r, base) ? find_base(joined, r) : NULL;
    char what[200];

    describe(what, sizeof what, r);
    if (RBE_VALUE_AT(r, base) && !base)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s: the base's record is missing", what);
    const enum rbe_status err = join_samples(r, p, n, RBE_KEY(samples), d);
    if (err)
        return err;
    RBE_SET(r, RBE_INT(first_item, 0));
    return rbe_comprehension_summarise_samples(r, base) ? RBE_ERR_NOMEM : RBE_OK;
}

static enum rbe_status join_generation(json_t *r, const struct part *p, size_t n,
                                       struct rbe_diag *d)
{
    enum rbe_status err = join_samples(r, p, n, RBE_KEY(samples), d);

    if (!err)
        err = join_samples(r, p, n, RBE_KEY(per_prompt), d);
    return err ? err : rbe_generation_summarise(r, d);
}

static enum rbe_status join_inference(json_t *r, const struct part *p, size_t n,
                                      struct rbe_diag *d)
{
    static const char *const memory[] = {RBE_KEY(resident_bytes), RBE_KEY(peak_bytes)};
    const enum rbe_status err = join_samples(r, p, n, RBE_KEY(samples), d);

    /* A process for each part: the largest. */
    for (size_t k = 0; k < sizeof memory / sizeof memory[0]; k++)
        for (size_t i = 1; i < n; i++) {
            json_t *x = json_object_get(p[i].record, memory[k]);
            if (json_number_value(x) > json_number_value(json_object_get(r, memory[k])))
                json_object_set(r, memory[k], x);
        }
    RBE_SET(r, RBE_INT(first_sequence, 0));
    return err ? err : rbe_sequences_summarise(r, d);
}

static enum rbe_status join(json_t *joined, struct part *p, size_t n, const struct part *all,
                            size_t count, struct rbe_diag *d)
{
    enum rbe_status err = check_cover(p, n, all, count, d);

    if (err)
        return err;
    json_t *r = json_deep_copy(p[0].record);
    if (!r)
        return RBE_ERR_NOMEM;
    if (IS(r, divergence))
        err = join_divergence(r, p, n, d);
    else if (IS(r, inference))
        err = join_inference(r, p, n, d);
    else if (IS(r, comprehension))
        err = join_comprehension(r, p, n, joined, d);
    else if (IS(r, generation))
        err = join_generation(r, p, n, d);
    else
        err = join_perplexity(r, p, n, d);
    RBE_SET(r, RBE_INT(shards, n));
    if (err || json_array_append(joined, r)) {
        json_decref(r);
        return err ? err : RBE_ERR_NOMEM;
    }
    json_decref(r);
    return RBE_OK;
}

/* Pairs joined perplexity records as the shards' paired records say. */
static enum rbe_status join_pair(json_t *joined, const json_t *pair, struct rbe_diag *d)
{
    const json_t *x, *base = NULL, *model = NULL;
    size_t i;
    const int resamples = (int)json_integer_value(RBE_VALUE_AT(pair, bootstrap, resamples));

    json_array_foreach(joined, i, x) {
        if (strcmp(text_of(x, RBE_KEY(kind)), RBE_KIND(perplexity)) ||
            !same_object(x, pair, RBE_KEY(text)) ||
            !same_member(x, pair, RBE_KEY(limited_total)) ||
            !json_equal(RBE_VALUE_AT(x, protocol), RBE_VALUE_AT(pair, protocol)))
            continue;
        if (!strcmp(text_of(x, RBE_KEY(model, sha256)), text_of(pair, RBE_KEY(base, sha256))))
            base = x;
        if (!strcmp(text_of(x, RBE_KEY(model, sha256)), text_of(pair, RBE_KEY(model, sha256))))
            model = x;
    }
    if (!base || !model)
        return rbe_fail(d, RBE_ERR_MISMATCH, "a paired record of %s without its perplexity",
                        text_of(pair, RBE_KEY(model, name)));
    json_t *r = json_deep_copy(pair);
    const enum rbe_status err =
        r ? rbe_perplexity_pair(r, base, model, (unsigned)resamples, d) : RBE_ERR_NOMEM;
    if (err || json_array_append(joined, r)) {
        json_decref(r);
        return err ? err : RBE_ERR_NOMEM;
    }
    json_decref(r);
    return RBE_OK;
}

static enum rbe_status collect(struct part **out, size_t *count, json_t *const *files,
                               const char *const *names, size_t n, struct rbe_diag *d)
{
    struct part *parts = NULL;
    size_t total = 0, used = 0;

    for (size_t f = 0; f < n; f++)
        total += json_array_size(files[f]);
    if (!(parts = calloc(total + 1, sizeof *parts)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t f = 0; f < n; f++) {
        const json_t *r;
        size_t i;
        json_array_foreach(files[f], i, r) {
            const struct kind *kind = kind_of(r);
            if (!kind || (IS(r, inference) && !json_object_get(r, kind->total))) {
                free(parts);
                return rbe_fail(d, RBE_ERR_ARG, "%s: a record of kind '%s' has no shards",
                                names[f], text_of(r, RBE_KEY(kind)));
            }
            const enum rbe_status err = check_record(r, kind, names[f], d);
            if (err) {
                free(parts);
                return err;
            }
            const struct part p = {
                .record = r, .file = names[f], .index = f,
                .first = json_integer_value(json_object_get(r, kind->first)),
                .count = json_integer_value(json_object_get(r, kind->unit))};
            /* Saved again while it went on: the later one is the fuller. */
            size_t old = 0;
            while (old < used && !(parts[old].index == f && parts[old].first == p.first &&
                                   same_key(parts[old].record, r)))
                old++;
            parts[old] = p;
            used += old == used;
        }
    }
    *out = parts;
    *count = used;
    return RBE_OK;
}

enum rbe_status rbe_merge(json_t **out, json_t *const *files, const char *const *names,
                          size_t count, struct rbe_diag *d)
{
    struct part *parts = NULL, *group = NULL;
    size_t n = 0;
    json_t *joined = json_array();
    enum rbe_status err = collect(&parts, &n, files, names, count, d);

    *out = NULL;
    if (!err && !(group = calloc(n + 1, sizeof *group)))
        err = RBE_ERR_NOMEM;
    if (!err && !n)
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: no records", names[0]);
    for (size_t i = 0; i < n && !err; i++) {
        size_t k = 0;
        const json_t *first = parts[i].record;
        if (parts[i].taken)
            continue;
        const bool paired = !strcmp(text_of(first, RBE_KEY(kind)), RBE_KIND(paired));
        for (size_t j = i; j < n; j++)
            if (!parts[j].taken && same_key(first, parts[j].record)) {
                group[k++] = parts[j];
                parts[j].taken = true;
            }
        if (!(err = check_program(group, k, d)))
            err = paired ? join_pair(joined, first, d) : join(joined, group, k, parts, n, d);
    }
    free(parts);
    free(group);
    /* What only parts say. */
    json_t *r;
    size_t at;
    json_array_foreach(joined, at, r)
        json_object_del(r, RBE_KEY(limited_total));
    if (err) {
        json_decref(joined);
        joined = NULL;
    }
    *out = joined;
    return err;
}
