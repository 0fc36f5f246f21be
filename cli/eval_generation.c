/*
 * eval_generation.c - `rbe eval generation`: what quality of the original's texts is retained.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>

#include "base/rows.h"
#include "cli/evaluations.h"
#include "cli/options.h"
#include "eval/measure.h"
#include "model/data.h"

static void print_record(const json_t *r, void *unused)
{
    static const char *const ratios[] = {RBE_KEY(fluency), RBE_KEY(coherence),
                                         RBE_KEY(relevance)};
    static const char *const counts[] = {RBE_KEY(rep4), RBE_KEY(distinct1), RBE_KEY(distinct2)};

    (void)unused;
    printf("%s against %s, %lld texts of %lld tokens\n", rbe_show_model(r, "model").text,
           rbe_show_model(r, "base").text,
           (long long)json_integer_value(RBE_VALUE_AT(r, prompts)),
           (long long)json_integer_value(RBE_VALUE_AT(r, tokens)));
    for (int i = 0; i < 3; i++) {
        const json_t *x = json_object_get(r, ratios[i]);
        printf("  %-10s %s -> %s  retained %s %s, target %.2f\n", ratios[i],
               rbe_show("%8.3f", RBE_NUMBER_AT(x, original)).text,
               rbe_show("%8.3f", RBE_NUMBER_AT(x, model)).text,
               rbe_show("%.3f", RBE_NUMBER_AT(x, retained)).text,
               rbe_show_interval("%.3f", RBE_VALUE_AT(x, retained_ci95)).text,
               RBE_NUMBER_AT(x, target));
    }
    for (int i = 0; i < 3; i++) {
        const json_t *x = json_object_get(r, counts[i]);
        printf("  %-10s %s -> %s\n", counts[i],
               rbe_show("%8.3f", RBE_NUMBER_AT(x, original)).text,
               rbe_show("%8.3f", RBE_NUMBER_AT(x, model)).text);
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
        (err = rbe_eval_tokenizer(o, &runners[0], &t, d)))
        goto out;
    if ((uint32_t)(p->prompt_tokens + p->tokens) > runners[0].n_ctx) {
        err = rbe_fail(d, RBE_ERR_ARG, "%d tokens and %d more are beyond the model's %u",
                       p->prompt_tokens, p->tokens, runners[0].n_ctx);
        goto out;
    }
    p->text = o->texts[0];
    const struct rbe_evaluation e = rbe_eval_given(o, runners, print_record, NULL);
    err = rbe_measure_generation(&e, p, t, d);
out:
    rbe_tokenizer_close(&t);
    rbe_eval_close_models(o, &runners);
    rbe_eval_end(o);
    return err;
}

int rbe_eval_generation(int argc, const char **argv)
{
    static struct rbe_eval_options o;   /* popt's copies stay reachable */
    struct rbe_generation_plan p = {.prompts = 200, .tokens = 64, .prompt_tokens = 48,
                                    .samples = 6};
    int top_k = 40, seed = 1, count, code;
    float temperature = 0.8F, top_p = 1;
    struct rbe_diag d = {""};
    const char **args;
    const struct poptOption table[] = {
        RBE_EVAL_OPTIONS(&o),
        RBE_EVAL_SPECIAL_OPTION(&o),
        RBE_EVAL_SHARD_OPTION(&o),
        RBE_EVAL_RESUME_OPTION(&o),
        {"text", 0, POPT_ARG_ARGV, &o.texts, 0,
         "where the prompts come from (default: the embedded WikiText test)", "FILE"},
        {"prompts", 0, POPT_ARG_INT, &p.prompts, 0, "texts to write (default 200)", "N"},
        {"prompt", 0, POPT_ARG_INT, &p.prompt_tokens, 0, "tokens of a prompt (default 48)",
         "N"},
        {"tokens", 0, POPT_ARG_INT, &p.tokens, 0, "tokens of a text (default 64)", "N"},
        {"samples", 0, POPT_ARG_INT, &p.samples, 0, "texts kept in the result (default 6)",
         "N"},
        {"temperature", 0, POPT_ARG_FLOAT, &temperature, 0, "0: greedy (default 0.8)", "X"},
        {"top-k", 0, POPT_ARG_INT, &top_k, 0, "0: all (default 40)", "N"},
        {"top-p", 0, POPT_ARG_FLOAT, &top_p, 0, "1: all (default 1)", "X"},
        {"seed", 0, POPT_ARG_INT, &seed, 0, "of the random numbers (default 1)", "N"},
        POPT_TABLEEND};

    if (!rbe_parse(argc, argv, table, "", "Fluency, coherence and relevance retained, judged "
                   "by the first model; repetition; samples side by side.", &args, &count,
                   &code))
        return code;
    enum rbe_status err;
    if (count)
        err = rbe_fail(&d, RBE_ERR_ARG, "unexpected argument '%s'", args[0]);
    else if (p.prompts < 2 || p.tokens < 2 || p.prompt_tokens < 1 || p.samples < 0 ||
             top_k < 0 || !(temperature >= 0 && temperature <= 100) ||
             !(top_p > 0 && top_p <= 1))
        err = rbe_fail(&d, RBE_ERR_ARG, "a number is out of range");
    else {
        p.how = (struct rbe_sampling){temperature, (uint32_t)top_k, top_p, (uint64_t)seed};
        err = run(&o, &p, &d);
    }
    return rbe_report_failure(argv[0], err, &d);
}
