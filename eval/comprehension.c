/*
 * comprehension.c - the list of tasks, their scoring, and the sums of it in records.
 *
 * SPDX-License-Identifier: MIT
 */
#include "eval/comprehension.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/nearest.h"
#include "base/result.h"
#include "base/rows.h"
#include "base/stats.h"
#include "eval/task.h"
#include "model/data.h"

static const struct rbe_task_kind *const kinds[RBE_TASK_COUNT] = {
    [RBE_LAMBADA] = &rbe_task_lambada, [RBE_HELLASWAG] = &rbe_task_hellaswag,
    [RBE_WINOGRANDE] = &rbe_task_winogrande, [RBE_BLIMP] = &rbe_task_blimp,
    [RBE_CHOICES] = &rbe_task_choices};

const struct rbe_task_kind *rbe_task_kind(enum rbe_task t)
{
    return kinds[t];
}

const char *rbe_task_name(enum rbe_task t)
{
    return kinds[t]->name;
}

enum rbe_status rbe_task_parse(enum rbe_task *t, const char *name, struct rbe_diag *d)
{
    for (int i = 0; i < RBE_TASK_COUNT; i++)
        if (!strcasecmp(name, kinds[i]->name)) {
            *t = (enum rbe_task)i;
            return RBE_OK;
        }
    return rbe_fail(d, RBE_ERR_ARG,
                    "unknown task '%s'%s; valid: lambada, hellaswag, winogrande, blimp, "
                    "choices", name,
                    rbe_nearest_in(name, "lambada hellaswag winogrande blimp choices").text);
}

enum rbe_status rbe_task_data(char **out, enum rbe_task t, struct rbe_diag *d)
{
    const char *name = kinds[t]->name, *data = kinds[t]->data;

    *out = data ? rbe_data_path(strrchr(data, '/') + 1) : NULL;
    if (data && !*out)
        *out = rbe_fetched_path(data);
    if (*out)
        return RBE_OK;
    if (data)
        return rbe_fail(d, RBE_ERR_IO, "the data of %s are not here: rbe fetch %s brings them "
                        "into data/; or name them: %s=PATH", name, data, name);
    return rbe_fail(d, RBE_ERR_ARG, "%s: where are its data: %s=PATH", name, name);
}

size_t rbe_task_columns(const char *name, const char *columns[RBE_TASK_COLUMNS])
{
    const struct rbe_task_kind *kind = NULL;
    size_t n = 0;

    for (int i = 0; name && i < RBE_TASK_COUNT; i++)
        if (!strcmp(name, kinds[i]->name))
            kind = kinds[i];
    columns[n++] = RBE_KEY(acc);
    if (kind && kind->metric)
        columns[n++] = kind->metric;
    if (kind && !kind->greedy)
        columns[n++] = RBE_KEY(log_odds);
    return n;
}

/* --- scoring ----------------------------------------------------------------------------- */

enum rbe_status rbe_scorer_open(struct rbe_scorer *s, struct rbe_runner *r, struct rbe_diag *d)
{
    memset(s, 0, sizeof *s);
    s->r = r;
    s->held = calloc(r->n_ctx + 1, sizeof *s->held);
    s->nll = calloc(r->n_ctx + 1, sizeof *s->nll);
    s->greedy = calloc(r->n_ctx + 1, 1);
    if (s->held && s->nll && s->greedy)
        return RBE_OK;
    rbe_scorer_close(s);
    return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
}

void rbe_scorer_close(struct rbe_scorer *s)
{
    free(s->held);
    free(s->nll);
    free(s->greedy);
    memset(s, 0, sizeof *s);
}

enum rbe_status rbe_score(struct rbe_scorer *s, const struct rbe_choice *c, double *log_p,
                          bool *greedy, struct rbe_diag *d)
{
    const uint32_t inputs = c->count - 1, n = c->count - c->first;
    uint32_t keep = 0;
    enum rbe_status err;

    while (keep < s->held_count && keep < inputs && s->held[keep] == c->tokens[keep])
        keep++;
    /* The hidden state before the first scored token is needed: it must be run. */
    if (keep > c->first - 1)
        keep = c->first - 1;
    s->held_count = 0;
    if ((err = rbe_runner_forward(s->r, keep, c->tokens + keep, inputs - keep, d)) ||
        (err = rbe_runner_nll(s->r, c->first - 1 - keep, n, c->tokens + c->first, s->nll,
                              s->greedy, d)))
        return err;
    memcpy(s->held, c->tokens, inputs * sizeof *s->held);
    s->held_count = inputs;
    s->run += inputs - keep;
    s->skipped += keep;
    *log_p = 0;
    *greedy = true;
    for (uint32_t i = 0; i < n; i++) {
        *log_p -= s->nll[i];
        *greedy = *greedy && s->greedy[i];
    }
    return RBE_OK;
}

struct rbe_answer rbe_judge(const struct rbe_item *item, enum rbe_task task,
                            const double *log_p, bool greedy)
{
    struct rbe_answer a = {.log_p = log_p[item->answer]};
    double others = -INFINITY, sum = 0;
    unsigned best = 0, best_norm = 0;

    if (kinds[task]->greedy) {
        a.acc = greedy;
        return a;
    }
    for (unsigned k = 1; k < item->choices; k++) {
        if (log_p[k] > log_p[best])
            best = k;
        if (log_p[k] / item->choice[k].characters >
            log_p[best_norm] / item->choice[best_norm].characters)
            best_norm = k;
    }
    a.acc = best == item->answer;
    a.acc_norm = best_norm == item->answer;
    for (unsigned k = 0; k < item->choices; k++)
        if (k != item->answer)
            others = fmax(others, log_p[k]);
    for (unsigned k = 0; k < item->choices; k++)
        if (k != item->answer)
            sum += exp(log_p[k] - others);
    a.log_odds = log_p[item->answer] - others - log(sum);
    return a;
}

/* --- records ----------------------------------------------------------------------------- */

/* The member of an answer that a column of samples holds. */
static double *value_of(struct rbe_answer *a, const char *name)
{
    return !strcmp(name, RBE_KEY(log_p))      ? &a->log_p
           : !strcmp(name, RBE_KEY(log_odds)) ? &a->log_odds
           : !strcmp(name, RBE_KEY(acc_norm)) ? &a->acc_norm
                                              : &a->acc;
}

/* 0 or 1. */
static bool is_share(const char *name)
{
    return !strcmp(name, RBE_KEY(acc)) || !strcmp(name, RBE_KEY(acc_norm));
}

static double *column(const json_t *record, const char *name, size_t *n)
{
    const json_t *a = json_object_get(RBE_VALUE_AT(record, samples), name);

    *n = json_array_size(a);
    double *x = json_is_array(a) ? calloc(*n + 1, sizeof *x) : NULL;
    for (size_t i = 0; x && i < *n; i++)
        x[i] = json_number_value(json_array_get(a, i));
    return x;
}

static json_t *value_se(double value, double se)
{
    return RBE_OBJECT(RBE_REAL(value, value), RBE_REAL(se, se));
}

/* mean and error of a column as a metric, and its paired change from the base's column. */
static int set_metric(json_t *metrics, json_t *paired, const json_t *record, const json_t *base,
                      const char *name)
{
    size_t n, m;
    double *x = column(record, name, &n), *y = base ? column(base, name, &m) : NULL;
    int bad = !x;

    if (x) {
        const struct rbe_ratio r = rbe_mean_se(x, n);
        /* perplexity = exp(-mean); d exp(x) = exp(x) dx */
        if (!strcmp(name, RBE_KEY(log_p)))
            bad |= RBE_SET(metrics,
                           RBE_JSON(perplexity, value_se(exp(-r.value), exp(-r.value) * r.se)));
        else
            bad |= json_object_set_new(metrics, name, value_se(r.value, r.se));
    }
    if (x && y && m == n) {
        for (size_t i = 0; i < n; i++)
            x[i] -= y[i];
        const struct rbe_ratio r = rbe_mean_se(x, n);
        bad |= json_object_set_new(
            paired, name, RBE_OBJECT(RBE_REAL(change, r.value), RBE_REAL(change_se, r.se)));
    }
    free(x);
    free(y);
    return bad;
}

/* Of the items whose sample `in` is g: accuracy, its error, and against the base's on the
 * same. */
static json_t *group_row(const json_t *record, const json_t *base, const char *in, json_int_t g)
{
    const json_t *group = json_object_get(RBE_VALUE_AT(record, samples), in);
    size_t n, m = 0, k = 0;
    double *x = column(record, RBE_KEY(acc), &n),
           *y = base ? column(base, RBE_KEY(acc), &m) : NULL;
    json_t *row = NULL;

    if (!x)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (json_integer_value(json_array_get(group, i)) == g) {
            x[k] = x[i];
            if (y && m == n)
                y[k] = y[i];
            k++;
        }
    const struct rbe_ratio acc = rbe_mean_se(x, k);
    row = RBE_OBJECT(RBE_REAL(acc, acc.value), RBE_REAL(acc_se, acc.se), RBE_INT(items, k));
    if (y && m == n) {
        for (size_t i = 0; i < k; i++)
            x[i] -= y[i];
        const struct rbe_ratio change = rbe_mean_se(x, k);
        RBE_SET(row, RBE_REAL(change, change.value), RBE_REAL(change_se, change.se));
    }
    free(x);
    free(y);
    return row;
}

static json_t *group_table(const json_t *record, const json_t *base, const json_t *all,
                           const char *in)
{
    json_t *table = json_object();

    for (size_t g = 0; g < json_array_size(all); g++)
        json_object_set_new(table, json_string_value(json_array_get(all, g)),
                            group_row(record, base, in, (json_int_t)g));
    return table;
}

int rbe_comprehension_summarise_samples(json_t *record, const json_t *base)
{
    const char *columns[RBE_TASK_COLUMNS];
    const size_t many = rbe_task_columns(RBE_STRING_AT(record, task), columns);
    const json_t *groups = RBE_VALUE_AT(record, group_names);
    const json_t *paradigms = RBE_VALUE_AT(record, paradigm_names);
    const json_t *samples = RBE_VALUE_AT(record, samples);
    const size_t n = json_array_size(RBE_VALUE_AT(samples, acc));
    json_t *metrics = json_object(), *paired = json_object();
    int bad = RBE_SET(record, RBE_INT(items, n));

    const double total = RBE_NUMBER_AT(record, items_total);
    const bool from_start = !json_integer_value(RBE_VALUE_AT(record, first_item));
    bad |= RBE_SET(record, RBE_FLAG(complete, (double)n == total && from_start));
    for (size_t k = 0; k < many; k++)
        bad |= set_metric(metrics, paired, record, base, columns[k]);
    bad |= RBE_SET(record, RBE_JSON(metrics, metrics));
    if (json_array_size(groups))
        bad |= RBE_SET(record,
                       RBE_JSON(groups, group_table(record, base, groups, RBE_KEY(group))));
    if (json_array_size(paradigms))
        bad |= RBE_SET(record, RBE_JSON(paradigms, group_table(record, base, paradigms,
                                                               RBE_KEY(paradigm))));
    if (base) {
        bad |= RBE_SET(record, RBE_SHARED(base, RBE_VALUE_AT(base, model)),
                       RBE_JSON(paired, paired));
    } else {
        json_decref(paired);
    }
    return bad;
}

static json_t *names_json(const struct rbe_names *x)
{
    json_t *names = json_array();

    for (size_t g = 0; g < x->count; g++)
        json_array_append_new(names, json_string(x->name[g]));
    return names;
}

int rbe_comprehension_describe(json_t *record, const struct rbe_items *x, size_t first)
{
    int bad =
        RBE_SET(record, RBE_WORD(task, rbe_task_name(x->task)), RBE_WORD(variant, x->variant));

    /* With a limit, how many there are is not known. */
    bad |= RBE_SET(
        record,
        RBE_JSON(items_total, x->limit ? json_null() : json_integer((json_int_t)x->count)),
        RBE_JSON(limit, x->limit ? json_integer((json_int_t)x->limit) : json_null()),
        RBE_INT(items_refused, x->refused),
        RBE_JSON(first_refused, x->refused ? json_string(x->first_refused) : json_null()),
        RBE_INT(items_cut, x->cut), RBE_INT(first_item, first),
        RBE_JSON(group_names, names_json(&x->groups)));
    if (x->paradigms.count)
        bad |= RBE_SET(record, RBE_JSON(paradigm_names, names_json(&x->paradigms)));
    return bad;
}

int rbe_comprehension_summarise(json_t *record, const struct rbe_items *x,
                                const struct rbe_answer *a, size_t first, size_t count,
                                const json_t *base)
{
    const char *columns[RBE_TASK_COLUMNS];
    const size_t many = rbe_task_columns(rbe_task_name(x->task), columns);
    json_t *group = json_array(), *paradigm = json_array(), *samples = json_object();

    for (size_t k = 0; k < many; k++) {
        json_t *column = json_array();
        for (size_t i = 0; i < count; i++) {
            struct rbe_answer one = a[i];
            const double v = *value_of(&one, columns[k]);
            json_array_append_new(column, is_share(columns[k]) ? json_integer((json_int_t)v)
                                                               : rbe_result_real(v));
        }
        json_object_set_new(samples, columns[k], column);
    }
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(group, json_integer(x->item[first + i].group));
        json_array_append_new(paradigm, json_integer(x->item[first + i].paradigm));
    }
    if (x->groups.count)
        RBE_SET(samples, RBE_SHARED(group, group));
    if (x->paradigms.count)
        RBE_SET(samples, RBE_SHARED(paradigm, paradigm));
    json_decref(group);
    json_decref(paradigm);
    if (rbe_comprehension_describe(record, x, first) ||
        RBE_SET(record, RBE_JSON(samples, samples)))
        return -1;
    return rbe_comprehension_summarise_samples(record, base);
}

size_t rbe_comprehension_restore(const json_t *record, struct rbe_answer *a, size_t most)
{
    const char *columns[RBE_TASK_COLUMNS];
    const size_t many = rbe_task_columns(RBE_STRING_AT(record, task), columns);
    const json_t *samples = RBE_VALUE_AT(record, samples);
    size_t n = 0;

    /* An item whose numbers are not all there is measured again. */
    for (; n < most; n++) {
        struct rbe_answer one = {.acc = 0};
        for (size_t k = 0; k < many; k++) {
            const json_t *x = json_array_get(json_object_get(samples, columns[k]), n);
            if (!json_is_number(x))
                return n;
            *value_of(&one, columns[k]) = json_number_value(x);
        }
        a[n] = one;
    }
    return n;
}
