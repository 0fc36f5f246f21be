/*
 * eval_comprehension.c - `rbe eval comprehension`: LAMBADA, HellaSwag, Winogrande, BLiMP; and
 * `rbe eval choices`: items of one's own.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "base/rows.h"
#include "cli/arguments.h"
#include "eval/measure.h"
#include "model/data.h"

/* " (+0.3 +- 0.1)" of a change, times scale; empty where nothing was compared. */
static struct rbe_shown change_of(const json_t *paired, const char *what, double scale)
{
    struct rbe_shown s = {""};

    if (paired && RBE_VALUE_AT(paired, change))
        snprintf(s.text, sizeof s.text, " (%s%.40s +- %.40s)", what,
                 rbe_show("%+.3g", RBE_NUMBER_AT(paired, change) * scale).text,
                 rbe_show("%.2g", RBE_NUMBER_AT(paired, change_se) * scale).text);
    return s;
}

static void print_record(const json_t *r, void *unused)
{
    const char *key;
    json_t *m, *metrics = RBE_VALUE_AT(r, metrics);
    const json_t *paired = RBE_VALUE_AT(r, paired);
    const char *variant = json_string_value(RBE_VALUE_AT(r, variant));

    (void)unused;
    if (variant && strcmp(variant, "lm-eval"))
        printf("(variant %s) ", variant);
    printf("%-11s %-24s %6lld items", json_string_value(RBE_VALUE_AT(r, task)),
           rbe_show_model(r, "model").text,
           (long long)json_integer_value(RBE_VALUE_AT(r, items)));
    json_object_foreach(metrics, key, m) {
        const bool share = strcmp(key, "perplexity") != 0;
        const double scale = share && strcmp(key, RBE_KEY(log_odds)) ? 100 : 1;
        printf("  %s %s +- %s%s", key, rbe_show("%.4g", scale * RBE_NUMBER_AT(m, value)).text,
               rbe_show("%.2g", scale * RBE_NUMBER_AT(m, se)).text,
               change_of(json_object_get(paired, share ? key : RBE_KEY(log_p)),
                         share ? "" : "log p ", scale)
                   .text);
    }
    putchar('\n');
    const double refused = RBE_NUMBER_AT(r, items_refused);
    const double cut = RBE_NUMBER_AT(r, items_cut);
    if (refused > 0)
        printf("    of the file %.0f item%s refused, the first at %s\n", refused,
               refused > 1 ? "s" : "", json_string_value(RBE_VALUE_AT(r, first_refused)));
    if (cut > 0)
        printf("    of the file %.0f item%s with a context cut at its left to fit\n", cut,
               cut > 1 ? "s" : "");
    json_t *groups = RBE_VALUE_AT(r, groups), *g;
    json_object_foreach(groups, key, g)
        printf("    %-32s %s %% +- %s%s\n", rbe_show_text(key, 60).text,
               rbe_show("%6.2f", 100 * RBE_NUMBER_AT(g, acc)).text,
               rbe_show("%.2f", 100 * RBE_NUMBER_AT(g, acc_se)).text,
               change_of(g, "", 100).text);
}

/* A task that is asked for. */
struct asked {
    enum rbe_task task;
    char *path;                 /* where its data are */
    struct rbe_items items;
    struct rbe_scores scores;   /* for --log-samples */
};

/* "lambada=PATH", or "lambada" for what is here of it. */
static enum rbe_status parse_task(struct asked *t, const char *arg, struct rbe_diag *d)
{
    const size_t n = strcspn(arg, "=");
    enum rbe_status err;
    char name[32];

    if (!n || (arg[n] && !arg[n + 1]) || n >= sizeof name)
        return rbe_fail(d, RBE_ERR_ARG,
                        "'%s': wants TASK or TASK=PATH, e.g. lambada=lambada_test.jsonl", arg);
    memcpy(name, arg, n);
    name[n] = 0;
    if ((err = rbe_task_parse(&t->task, name, d)))
        return err;
    if (!arg[n])
        return rbe_task_data(&t->path, t->task, d);
    t->path = strdup(arg + n + 1);
    return t->path ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
}

static enum rbe_status parse_file(struct asked *t, const char *arg, struct rbe_diag *d)
{
    t->task = RBE_CHOICES;
    if (!*arg)
        return rbe_fail(d, RBE_ERR_ARG, "--file '': a file needs a name");
    t->path = strdup(arg);
    return t->path ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
}

/* Reads all items before one is scored: a malformed line must not end hours of work. */
static enum rbe_status load_all(struct asked *tasks, size_t count,
                                const struct rbe_evaluation *e, const struct rbe_tokenizer *t,
                                struct rbe_diag *d)
{
    struct rbe_evaluation all = *e;
    size_t first, share;
    enum rbe_status err = RBE_OK;

    all.limit = 0;              /* is one of each file */
    for (size_t i = 0; i < count && !err; i++) {
        struct asked *a = &tasks[i];
        if (rbe_interrupted())
            err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted before an item was scored");
        else if (!(err = rbe_items_load(&a->items, a->task, a->path, t, e->runners[0].n_ctx,
                                        e->limit, d)))
            err = rbe_evaluation_share(&all, a->items.count, "items", &first, &share, d);
    }
    return err;
}

static enum rbe_status write_samples(const char *path, const struct rbe_evaluation *e,
                                     const struct asked *tasks, size_t count,
                                     struct rbe_diag *d)
{
    struct rbe_outfile out;
    enum rbe_status err = rbe_outfile_open(&out, path, d);

    for (size_t i = 0; i < count && !err; i++)
        err = rbe_scores_write(&tasks[i].scores, e, &tasks[i].items, &out, d);
    if (!err)
        err = rbe_outfile_commit(&out, d);
    rbe_outfile_discard(&out);
    return err;
}

static enum rbe_status run_all(struct rbe_eval_options *o, struct asked *tasks, size_t count,
                               const char *log_samples, struct rbe_diag *d)
{
    struct rbe_runner *runners = NULL;
    struct rbe_tokenizer *t = NULL;
    struct rbe_diag why = {""};
    enum rbe_status err = RBE_OK, wrote;

    if (log_samples && o->resume)
        return rbe_fail(d, RBE_ERR_ARG, "--log-samples: not together with --resume, whose rows "
                        "have no texts");
    for (size_t i = 0; i < count && !err; i++)
        err = rbe_files_read(&o->files, tasks[i].path, d);
    if (err || (err = rbe_eval_begin(o, false, d)) ||
        (err = rbe_files_replace(&o->files, log_samples, d)) ||
        (err = rbe_eval_open_models(o, 1, &runners, d)) ||
        (err = rbe_eval_tokenizer(o, runners, &t, d)) ||
        (err = rbe_runners_hold(runners, o->model_count, runners[0].n_ctx, d)) ||
        (err = rbe_runners_same_end(runners, o->model_count, d)))
        goto out;
    const struct rbe_evaluation e = rbe_eval_given(o, runners, print_record, NULL);
    if ((err = load_all(tasks, count, &e, t, d)))
        goto out;
    for (size_t i = 0; i < count && !err; i++)
        err = rbe_measure_comprehension(&e, &tasks[i].items,
                                        log_samples ? &tasks[i].scores : NULL, d);
    /* After all rows: they stand, whatever the samples come to.  What was scored before an
     * interrupt stands in both. */
    if (log_samples && (!err || err == RBE_ERR_INTERRUPTED) &&
        (wrote = write_samples(log_samples, &e, tasks, count, &why)))
        err = err ? rbe_fail(d, err, "%s; %s", d->text, why.text)
                  : rbe_fail(d, wrote, "%s", why.text);
out:
    rbe_tokenizer_close(&t);
    rbe_eval_close_models(o, &runners);
    rbe_eval_end(o);
    return err;
}

/* The tasks that `parse` makes of these words, in turn. */
static enum rbe_status run_words(struct rbe_eval_options *o, const char *const *words,
                                 size_t count,
                                 enum rbe_status (*parse)(struct asked *, const char *,
                                                          struct rbe_diag *),
                                 const char *log_samples, struct rbe_diag *d)
{
    struct asked *tasks = calloc(count + 1, sizeof *tasks);
    enum rbe_status err = tasks ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");

    for (size_t i = 0; i < count && !err; i++)
        err = parse(&tasks[i], words[i], d);
    if (!err)
        err = run_all(o, tasks, count, log_samples, d);
    for (size_t i = 0; tasks && i < count; i++) {
        rbe_items_free(&tasks[i].items);
        free(tasks[i].scores.scored);
        free(tasks[i].path);
    }
    free(tasks);
    return err;
}

enum rbe_status rbe_eval_comprehension(struct rbe_eval_comprehension_args *a,
                                       struct rbe_diag *d)
{
    if (!a->call.count)
        return rbe_fail(d, RBE_ERR_ARG, "wants TASK or TASK=PATH, e.g. lambada");
    return run_words(&a->o, a->call.args, (size_t)a->call.count, parse_task, a->log_samples,
                     d);
}

enum rbe_status rbe_eval_choices(struct rbe_eval_choices_args *a, struct rbe_diag *d)
{
    size_t n = 0;

    while (a->file && a->file[n])
        n++;
    if (!n)
        return rbe_fail(d, RBE_ERR_ARG, "wants --file FILE, more than once for more");
    return run_words(&a->o, (const char *const *)a->file, n, parse_file, a->log_samples, d);
}
