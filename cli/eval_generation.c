/*
 * eval_generation.c - `rbe eval generation`: what quality of the original's texts is retained.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>

#include "base/rows.h"
#include "cli/arguments.h"
#include "eval/measure.h"
#include "model/data.h"

static void print_record(const json_t *r, void *unused)
{
    static const struct {
        const char *key, *name;
    } shown[] = {{RBE_KEY(fluency), "fluency"}, {RBE_KEY(text_perplexity), "  perplexity"},
                 {RBE_KEY(rep4), "  rep-4"}, {RBE_KEY(distinct2), "  distinct-2"},
                 {RBE_KEY(distinct1), "distinct-1"}, {RBE_KEY(coherence), "prompt gain"},
                 {RBE_KEY(relevance), "relevance"}};

    (void)unused;
    printf("%s against %s, %lld texts of %lld tokens\n", rbe_show_model(r, "model").text,
           rbe_show_model(r, "base").text,
           (long long)json_integer_value(RBE_VALUE_AT(r, prompts)),
           (long long)json_integer_value(RBE_VALUE_AT(r, tokens)));
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        const json_t *x = json_object_get(r, shown[i].key);
        const char *worst = RBE_STRING_AT(x, worst);
        printf("  %-12s %s -> %s  retained %s %s", shown[i].name,
               rbe_show("%8.3f", RBE_NUMBER_AT(x, original)).text,
               rbe_show("%8.3f", RBE_NUMBER_AT(x, model)).text,
               rbe_show("%.3f", RBE_NUMBER_AT(x, retained)).text,
               rbe_show_interval("%.3f", RBE_VALUE_AT(x, retained_ci95)).text);
        if (RBE_VALUE_AT(x, target))
            printf(", target %.2f", RBE_NUMBER_AT(x, target));
        printf("%s%s\n", worst ? ", the worst of three: " : "", worst ? worst : "");
    }
}

static enum rbe_status run(struct rbe_eval_options *o, struct rbe_generation_plan *p,
                           struct rbe_diag *d)
{
    struct rbe_runner *runners = NULL;
    struct rbe_tokenizer *t = NULL;
    enum rbe_status err = rbe_eval_begin(o, true, d);

    if (!err && o->model_count < 2)
        err = rbe_fail(d, RBE_ERR_ARG, "wants two or more --model, the original first");
    if (err || (err = rbe_eval_open_models(o, 1, &runners, d)) ||
        (err = rbe_eval_tokenizer(o, runners, &t, d)) ||
        (err = rbe_runners_same_end(runners, o->model_count, d)))
        goto out;
    const uint32_t context = (uint32_t)(p->prompt_tokens + p->tokens);
    if (context > runners[0].n_ctx) {
        err = rbe_fail(d, RBE_ERR_ARG, "%d tokens and %d more are beyond the model's %u",
                       p->prompt_tokens, p->tokens, runners[0].n_ctx);
        goto out;
    }
    if ((err = rbe_runners_hold(runners, o->model_count, context, d)))
        goto out;
    p->text = o->texts[0];
    const struct rbe_evaluation e = rbe_eval_given(o, runners, print_record, NULL);
    err = rbe_measure_generation(&e, p, t, d);
out:
    rbe_tokenizer_close(&t);
    rbe_eval_close_models(o, &runners);
    rbe_eval_end(o);
    return err;
}

enum rbe_status rbe_eval_generation(struct rbe_eval_generation_args *a, struct rbe_diag *d)
{
    a->plan.how = a->how;
    return run(&a->o, &a->plan, d);
}
