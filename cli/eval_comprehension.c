/*
 * eval_comprehension.c - `rbe eval comprehension`: LAMBADA, HellaSwag, Winogrande, BLiMP; and
 * `rbe eval choices`: items of one's own.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
        printf("    %-32.60s %s %% +- %s%s\n", key,
               rbe_show("%6.2f", 100 * RBE_NUMBER_AT(g, acc)).text,
               rbe_show("%.2f", 100 * RBE_NUMBER_AT(g, acc_se)).text,
               change_of(g, "", 100).text);
}

/* "lambada=PATH", or "lambada" for what is here of it: the task and where its data is, a fresh
 * string. */
static enum rbe_status parse_task(const char *arg, enum rbe_task *task, char **path,
                                  struct rbe_diag *d)
{
    const size_t n = strcspn(arg, "=");
    enum rbe_status err;
    char name[32];

    *path = NULL;
    if (!n || (arg[n] && !arg[n + 1]) || n >= sizeof name)
        return rbe_fail(d, RBE_ERR_ARG,
                        "'%s': wants TASK or TASK=PATH, e.g. lambada=lambada_test.jsonl", arg);
    memcpy(name, arg, n);
    name[n] = 0;
    if ((err = rbe_task_parse(task, name, d)))
        return err;
    if (!arg[n])
        return rbe_task_data(path, *task, d);
    *path = strdup(arg + n + 1);
    return *path ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
}

static enum rbe_status run_all(struct rbe_eval_options *o, const char *const *tasks,
                               const char *log_samples, struct rbe_diag *d)
{
    struct rbe_outfile log = {.f = NULL};
    struct rbe_runner *runners = NULL;
    struct rbe_tokenizer *t = NULL;
    enum rbe_task task;
    char *path = NULL;
    enum rbe_status err = RBE_OK;

    if (log_samples && o->resume)
        return rbe_fail(d, RBE_ERR_ARG, "--log-samples: not together with --resume, whose rows "
                        "have no texts");
    for (const char *const *a = tasks; *a && !err; a++) {
        if (!(err = parse_task(*a, &task, &path, d)))
            err = rbe_files_read(&o->files, path, d);
        free(path);
        path = NULL;
    }
    if (err || (err = rbe_eval_begin(o, false, d)) ||
        (err = rbe_files_replace(&o->files, log_samples, d)) ||
        (log_samples && (err = rbe_outfile_open(&log, log_samples, d))) ||
        (err = rbe_eval_open_models(o, 1, &runners, d)) ||
        (err = rbe_eval_tokenizer(o, runners, &t, d)) ||
        (err = rbe_runners_hold(runners, o->model_count, runners[0].n_ctx, d)) ||
        (err = rbe_runners_same_end(runners, o->model_count, d)))
        goto out;
    for (const char *const *a = tasks; *a && !err; a++) {
        struct rbe_items x;
        if ((err = parse_task(*a, &task, &path, d)) ||
            (err = rbe_items_load(&x, task, path, t, runners[0].n_ctx, (size_t)o->limit, d)))
            break;
        const struct rbe_evaluation e = rbe_eval_given(o, runners, print_record, NULL);
        err = rbe_measure_comprehension(&e, &x, log.f, d);
        rbe_items_free(&x);
        free(path);
        path = NULL;
    }
    /* What was scored before an interrupt stands in rows, and in the samples. */
    if (log_samples && (!err || err == RBE_ERR_INTERRUPTED)) {
        const enum rbe_status kept = rbe_outfile_commit(&log, err ? NULL : d);
        err = err ? err : kept;
    }
out:
    rbe_outfile_discard(&log);
    free(path);
    rbe_tokenizer_close(&t);
    rbe_eval_close_models(o, &runners);
    rbe_eval_end(o);
    return err;
}

enum rbe_status rbe_eval_comprehension(struct rbe_eval_comprehension_args *a,
                                       struct rbe_diag *d)
{
    if (!a->call.count)
        return rbe_fail(d, RBE_ERR_ARG, "wants TASK or TASK=PATH, e.g. lambada");
    return run_all(&a->o, a->call.args, a->log_samples, d);
}

enum rbe_status rbe_eval_choices(struct rbe_eval_choices_args *a, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    size_t n = 0;

    while (a->file && a->file[n])
        n++;
    if (!n)
        return rbe_fail(d, RBE_ERR_ARG, "wants --file FILE, more than once for more");
    char **tasks = calloc(n + 1, sizeof *tasks);
    for (size_t i = 0; tasks && i < n && !err; i++) {
        const size_t size = sizeof "choices=" + strlen(a->file[i]);
        if ((tasks[i] = malloc(size)))
            snprintf(tasks[i], size, "%s=%s", rbe_task_name(RBE_CHOICES), a->file[i]);
        else
            err = RBE_ERR_NOMEM;
    }
    if (!tasks || err)
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    else
        err = run_all(&a->o, (const char *const *)tasks, a->log_samples, d);
    for (size_t i = 0; tasks && i < n; i++)
        free(tasks[i]);
    free(tasks);
    return err;
}
