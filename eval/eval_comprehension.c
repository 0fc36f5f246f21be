/*
 * eval_comprehension.c - `rbe eval comprehension`: LAMBADA, HellaSwag, Winogrande, BLiMP.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/comprehension.h"
#include "eval/evaluations.h"
#include "eval/options.h"
#include "gpt2/data.h"
#include "rbe/progress.h"

static json_t *make_record(struct rbe_eval_options *o, struct rbe_runner *r,
                           const struct rbe_items *x, const struct rbe_answer *a, size_t first,
                           size_t count, const json_t *base)
{
    json_t *record = rbe_eval_record(o, "comprehension", r);

    if (record && (rbe_result_set_text(record, x->name, x->sha256, x->bytes) ||
                   rbe_comprehension_summarise(record, x, a, first, count, base))) {
        json_decref(record);
        record = NULL;
    }
    return record;
}

static void print_record(const json_t *r)
{
    const char *key;
    json_t *m, *metrics = json_object_get(r, "metrics");
    const json_t *paired = json_object_get(r, "paired");
    const char *variant = json_string_value(json_object_get(r, "variant"));

    if (variant && strcmp(variant, "lm-eval"))
        printf("(variant %s) ", variant);
    printf("%-11s %-24s %6lld items", json_string_value(json_object_get(r, "task")),
           json_string_value(json_object_get(json_object_get(r, "model"), "name")),
           (long long)json_integer_value(json_object_get(r, "items")));
    json_object_foreach(metrics, key, m) {
        const bool share = strcmp(key, "perplexity");
        const json_t *p = json_object_get(paired, share ? key : "log_p");
        printf("  %s %.4g +- %.2g", key, rbe_eval_number(m, "value") * (share ? 100 : 1),
               rbe_eval_number(m, "se") * (share ? 100 : 1));
        if (p)
            printf(" (%s%+.3g +- %.2g)", share ? "" : "log p ",
                   rbe_eval_number(p, "change") * (share ? 100 : 1),
                   rbe_eval_number(p, "change_se") * (share ? 100 : 1));
    }
    putchar('\n');
    json_t *groups = json_object_get(r, "groups"), *g;
    json_object_foreach(groups, key, g)
        printf("    %-32s %6.2f %%\n", key, 100 * rbe_eval_number(g, "acc"));
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

static enum rbe_status run(struct rbe_eval_options *o, struct rbe_runner *runners,
                           const struct rbe_items *x, struct rbe_diag *d)
{
    const size_t models = o->model_count;
    size_t first, end, done = 0;
    struct rbe_scorer *s = calloc(models, sizeof *s);
    struct rbe_progress p;
    json_t *base = NULL;
    enum rbe_status err = s ? RBE_OK : RBE_ERR_NOMEM;

    rbe_eval_range(o, x->count, &first, &end);
    const size_t count = end - first;
    struct rbe_answer *a = calloc(models * count + 1, sizeof *a);
    if (!a)
        err = RBE_ERR_NOMEM;
    for (size_t m = 0; m < models && !err; m++)
        err = rbe_scorer_open(&s[m], &runners[m], d);
    rbe_progress_start(&p, rbe_task_name(x->task), "items", (double)count);
    while (!err && done < count && !rbe_interrupted()) {
        for (size_t m = 0; m < models && !err; m++)
            err = score_item(&s[m], x, first + done, &a[m * count + done], d);
        done += !err;
        rbe_progress_update(&p, (double)done, NULL);
    }
    rbe_progress_end(&p);
    for (size_t m = 0; m < models && !err && done; m++) {
        json_t *r = make_record(o, &runners[m], x, a + m * count, first, done, base);
        if (r && done < count)
            json_object_set_new(r, "complete", json_false());
        if (!m)
            base = json_incref(r);
        if (r && !o->json)
            print_record(r);
        err = rbe_eval_emit(o, r, d);
    }
    if (!err && done < count)
        err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted after %zu of %zu items", done,
                       count);
    json_decref(base);
    for (size_t m = 0; s && m < models; m++)
        rbe_scorer_close(&s[m]);
    free(s);
    free(a);
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
        err = parse_task(*a, &task, &path, d);
    if (err)
        return err;
    if ((err = rbe_eval_begin(o, false, d)) ||
        (err = rbe_eval_open_models(o, 64, &runners, d)) ||
        (err = rbe_find_tokenizer(&t, o->tokenizer, o->models[0],
                                  rbe_gpt2_config(runners[0].model), d)))
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
        RBE_EVAL_SHARD_OPTION(&o),
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
