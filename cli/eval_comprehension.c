/*
 * eval_comprehension.c - `rbe eval comprehension`: LAMBADA, HellaSwag, Winogrande, BLiMP.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "base/rows.h"
#include "cli/evaluations.h"
#include "cli/options.h"
#include "eval/comprehension.h"
#include "eval/lanes.h"
#include "eval/merge.h"
#include "model/data.h"

/* Rows of logits a lane makes at once. */
enum { ROWS = 64 };

/* A record without its samples, or NULL: out of memory. */
static json_t *describe(struct rbe_eval_options *o, struct rbe_runner *r,
                        struct rbe_runner *base, const struct rbe_items *x, size_t first)
{
    json_t *record = rbe_eval_record(o, "comprehension", r);

    if (record && ((base && rbe_runner_record(base, record, RBE_KEY(base))) ||
                   rbe_result_set_text(record, x->name, x->sha256, x->bytes) ||
                   rbe_comprehension_describe(record, x, first))) {
        json_decref(record);
        record = NULL;
    }
    return record;
}

static json_t *make_record(struct rbe_eval_options *o, struct rbe_runner *r,
                           const struct rbe_items *x, const struct rbe_answer *a, size_t first,
                           size_t count, const json_t *base)
{
    json_t *record = describe(o, r, NULL, x, first);

    if (record && rbe_comprehension_summarise(record, x, a, first, count, base)) {
        json_decref(record);
        record = NULL;
    }
    return record;
}

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

static void print_record(const json_t *r)
{
    const char *key;
    json_t *m, *metrics = RBE_VALUE_AT(r, metrics);
    const json_t *paired = RBE_VALUE_AT(r, paired);
    const char *variant = json_string_value(RBE_VALUE_AT(r, variant));

    if (variant && strcmp(variant, "lm-eval"))
        printf("(variant %s) ", variant);
    printf("%-11s %-24s %6lld items", json_string_value(RBE_VALUE_AT(r, task)),
           rbe_show_model(r, "model").text,
           (long long)json_integer_value(RBE_VALUE_AT(r, items)));
    json_object_foreach(metrics, key, m) {
        const bool share = strcmp(key, "perplexity");
        const double scale = share ? 100 : 1;
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
        printf("    %-32s %s %% +- %s%s\n", key,
               rbe_show("%6.2f", 100 * RBE_NUMBER_AT(g, acc)).text,
               rbe_show("%.2f", 100 * RBE_NUMBER_AT(g, acc_se)).text,
               change_of(g, "", 100).text);
}

static enum rbe_status score_item(struct rbe_scorer *s, const struct rbe_items *x, size_t i,
                                  struct rbe_answer *a, struct rbe_diag *d)
{
    const struct rbe_item *it = &x->item[i];
    double log_p[RBE_MAX_CHOICES];
    bool greedy = false, each;
    enum rbe_status err = RBE_OK;

    /* Nothing is shared across items: a shard that starts here must round alike. */
    s->held_count = 0;
    for (unsigned k = 0; k < it->choices && !err; k++) {
        err = rbe_score(s, &it->choice[k], &log_p[k], &each, d);
        if (!k)
            greedy = each;
    }
    if (!err)
        *a = rbe_judge(it, x->task, log_p, greedy);
    return err;
}

struct job {
    struct rbe_eval_options *o;
    struct rbe_runner *runners;
    const struct rbe_items *x;
    size_t first, count, done;  /* items: the first of this shard, wanted, answered */
    struct rbe_answer *a;       /* [model][count] */
    struct rbe_scorer *scorer;  /* [lane][model] */
};

static enum rbe_status one_item(void *arg, unsigned lane, struct rbe_runner *r, size_t i,
                                struct rbe_diag *d)
{
    const struct job *j = arg;
    const size_t models = j->o->model_count;
    enum rbe_status err = RBE_OK;

    (void)r;                    /* each scorer has its own */
    for (size_t m = 0; m < models && !err; m++)
        err = score_item(&j->scorer[lane * models + m], j->x, i,
                         &j->a[m * j->count + i - j->first], d);
    return err;
}

static enum rbe_status measure(struct job *j, struct rbe_diag *d)
{
    const size_t models = j->o->model_count, left = j->count - j->done;
    struct rbe_lanes l;
    size_t done = 0;
    enum rbe_status err = rbe_lanes_open(&l, j->runners, models, left, ROWS, j->o->pool, d);

    if (err)
        return err;
    if (!(j->scorer = calloc(models * l.count + 1, sizeof *j->scorer)))
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < models * l.count && !err; i++)
        err = rbe_scorer_open(&j->scorer[i], &l.runner[i], d);
    if (!err)
        err = rbe_lanes_run(&l, j->first + j->done, left, one_item, j,
                            rbe_task_name(j->x->task), "items", &done, d);
    j->done += done;
    for (size_t i = 0; j->scorer && i < models * l.count; i++)
        rbe_scorer_close(&j->scorer[i]);
    free(j->scorer);
    rbe_lanes_close(&l);
    return err;
}

/* Items that all models have answered already, by their rows. */
static enum rbe_status resume(struct job *j, struct rbe_diag *d)
{
    size_t least = j->count;

    for (size_t m = 0; m < j->o->model_count; m++) {
        json_t *like = describe(j->o, &j->runners[m], m ? &j->runners[0] : NULL, j->x,
                                j->first);
        if (!like)
            return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        const size_t n = rbe_comprehension_restore(rbe_merge_find(j->o->old, like),
                                                   j->a + m * j->count, j->count);
        least = n < least ? n : least;
        json_decref(like);
    }
    j->done = least;
    return RBE_OK;
}

static enum rbe_status emit(struct job *j, struct rbe_diag *d)
{
    json_t *base = NULL;
    enum rbe_status err = RBE_OK;

    for (size_t m = 0; m < j->o->model_count && !err && j->done; m++) {
        json_t *r = make_record(j->o, &j->runners[m], j->x, j->a + m * j->count, j->first,
                                j->done, base);
        if (r && j->done < j->count)
            RBE_SET(r, RBE_JSON(complete, json_false()));
        if (!m)
            base = json_incref(r);
        if (r && !j->o->json)
            print_record(r);
        err = rbe_eval_emit(j->o, r, d);
    }
    if (!err && j->done < j->count)
        err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted after %zu of %zu items%s", j->done,
                       j->count, j->o->out ? "; --resume goes on" : "");
    json_decref(base);
    return err;
}

static enum rbe_status run(struct rbe_eval_options *o, struct rbe_runner *runners,
                           const struct rbe_items *x, struct rbe_diag *d)
{
    struct job j = {.o = o, .runners = runners, .x = x};
    /* The limit is one of each file, applied when they were loaded. */
    struct rbe_eval_options all = *o;
    all.limit = 0;
    enum rbe_status err = rbe_eval_share(&all, x->count, "items", &j.first, &j.count, d);

    if (err)
        return err;
    if (!(j.a = calloc(o->model_count * j.count + 1, sizeof *j.a)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if (o->old)
        err = resume(&j, d);
    if (!err && j.done < j.count)
        err = measure(&j, d);
    if (!err)
        err = emit(&j, d);
    free(j.a);
    return err;
}

/* "lambada=PATH": the task and where its data is. */
static enum rbe_status parse_task(const char *arg, enum rbe_task *task, const char **path,
                                  struct rbe_diag *d)
{
    char name[32];
    const char *eq = strchr(arg, '=');

    if (!eq || !eq[1] || eq - arg >= (ptrdiff_t)sizeof name)
        return rbe_fail(d, RBE_ERR_ARG,
                        "'%s': wants TASK=PATH, e.g. lambada=lambada_test.jsonl", arg);
    memcpy(name, arg, (size_t)(eq - arg));
    name[eq - arg] = 0;
    *path = eq + 1;
    return rbe_task_parse(task, name, d);
}

static enum rbe_status run_all(struct rbe_eval_options *o, const char **tasks,
                               struct rbe_diag *d)
{
    struct rbe_runner *runners = NULL;
    struct rbe_tokenizer *t = NULL;
    enum rbe_task task;
    const char *path;
    enum rbe_status err = RBE_OK;

    for (const char **a = tasks; *a && !err; a++)
        if (!(err = parse_task(*a, &task, &path, d)))
            err = rbe_files_read(&o->files, path, d);
    if (err || (err = rbe_eval_begin(o, false, d)) ||
        (err = rbe_eval_open_models(o, 1, &runners, d)) ||
        (err = rbe_eval_tokenizer(o, &runners[0], &t, d)))
        goto out;
    for (const char **a = tasks; *a && !err; a++) {
        struct rbe_items x;
        parse_task(*a, &task, &path, NULL);
        if ((err = rbe_items_load(&x, task, path, t, runners[0].n_ctx, (size_t)o->limit, d)))
            break;
        err = run(o, runners, &x, d);
        rbe_items_free(&x);
    }
out:
    rbe_tokenizer_close(&t);
    rbe_eval_close_models(o, &runners);
    rbe_eval_end(o);
    return err;
}

int rbe_eval_comprehension(int argc, const char **argv)
{
    static struct rbe_eval_options o;   /* popt's copies stay reachable */
    struct rbe_diag d = {""};
    int count, code;
    const char **args;
    const struct poptOption table[] = {
        RBE_EVAL_OPTIONS(&o),
        RBE_EVAL_SPECIAL_OPTION(&o),
        RBE_EVAL_SHARD_OPTION(&o),
        RBE_EVAL_RESUME_OPTION(&o),
        {"limit", 0, POPT_ARG_INT, &o.limit, 0, "only the first N items of each file", "N"},
        POPT_TABLEEND};

    if (!rbe_parse(argc, argv, table, "TASK=PATH...", "TASK is lambada, winogrande, "
                   "hellaswag (JSON lines; hellaswag also the text file of six lines an item) "
                   "or blimp (folder of JSON lines); scored by the conventions of "
                   "lm-evaluation-harness.", &args, &count, &code))
        return code;
    enum rbe_status err;
    if (!count)
        err = rbe_fail(&d, RBE_ERR_ARG, "wants TASK=PATH, e.g. lambada=lambada_test.jsonl");
    else
        err = run_all(&o, args, &d);
    return rbe_report_failure(argv[0], err, &d);
}
