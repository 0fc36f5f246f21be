/*
 * eval_divergence.c - `rbe eval divergence`: models against the first one, token by token.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>

#include "base/rows.h"
#include "cli/arguments.h"
#include "eval/measure.h"
#include "model/data.h"

static void print_record(const json_t *r, void *unused)
{
    const json_t *kl = RBE_VALUE_AT(r, kl), *dp = RBE_VALUE_AT(r, true_token);
    const json_t *top = RBE_VALUE_AT(r, top1);

    (void)unused;
    printf("%s against %s, %s, %lld tokens\n"
           "  KL         mean %s +- %s nats, p50 %s, p90 %s, p99 %s, p99.9 %s, max %s\n"
           "  top-1      %s %% +- %s agree\n"
           "  true token probability changes by %s +- %s (mean), %s +- %s (RMS)\n"
           "  perplexity ratio %s\n",
           rbe_show_model(r, "model").text, rbe_show_model(r, "base").text,
           json_string_value(RBE_VALUE_AT(r, protocol)),
           (long long)json_integer_value(RBE_VALUE_AT(r, tokens)),
           rbe_show("%.5f", RBE_NUMBER_AT(kl, mean)).text,
           rbe_show("%.5f", RBE_NUMBER_AT(kl, mean_se)).text,
           rbe_show("%.5f", RBE_NUMBER_AT(kl, p50)).text,
           rbe_show("%.5f", RBE_NUMBER_AT(kl, p90)).text,
           rbe_show("%.4f", RBE_NUMBER_AT(kl, p99)).text,
           rbe_show("%.4f", RBE_NUMBER_AT(kl, p999)).text,
           rbe_show("%.3f", RBE_NUMBER_AT(kl, max)).text,
           rbe_show("%.2f", 100 * RBE_NUMBER_AT(top, agreement)).text,
           rbe_show("%.2f", 100 * RBE_NUMBER_AT(top, agreement_se)).text,
           rbe_show("%+.5f", RBE_NUMBER_AT(dp, mean)).text,
           rbe_show("%.5f", RBE_NUMBER_AT(dp, mean_se)).text,
           rbe_show("%.5f", RBE_NUMBER_AT(dp, rms)).text,
           rbe_show("%.5f", RBE_NUMBER_AT(dp, rms_se)).text,
           rbe_show("%.5f", RBE_NUMBER_AT(r, perplexity_ratio)).text);
}

static enum rbe_status run_all(struct rbe_eval_options *o, const char *protocol,
                               uint32_t context, struct rbe_divergence_plan *plan,
                               struct rbe_diag *d)
{
    struct rbe_runner *runners = NULL;
    struct rbe_tokenizer *t = NULL;
    enum rbe_protocol p;
    enum rbe_status err;

    if ((err = rbe_protocol_parse(&p, protocol, d)) ||
        (err = rbe_files_read(&o->files, plan->recorded, d)) ||
        (err = rbe_eval_begin(o, true, d)) ||
        (err = rbe_files_replace(&o->files, plan->record, d)))
        goto out;
    if ((plan->record || plan->recorded) && (o->shard || o->resume || o->texts[1] ||
                                             (plan->record && plan->recorded))) {
        err = rbe_fail(d, RBE_ERR_ARG, "one of --record and --recorded, one text, no --shard "
                       "and no --resume");
        goto out;
    }
    /* A recording does not say how special tokens were read. */
    if ((plan->record || plan->recorded) && o->special && strcmp(o->special, "text")) {
        err = rbe_fail(d, RBE_ERR_ARG, "--special %s: not with a recording", o->special);
        goto out;
    }
    if (o->model_count < 2) {
        err = rbe_fail(d, RBE_ERR_ARG, "wants two or more --model, the original first");
        goto out;
    }
    /* Without a recording the work is done in lanes that share these models. */
    const uint32_t rows = plan->record || plan->recorded ? 0 : 1;
    if ((err = rbe_eval_open_models(o, rows, &runners, d)) ||
        (err = rbe_eval_tokenizer(o, &runners[0], &t, d)))
        goto out;
    for (char **path = o->texts; *path && !err; path++) {
        struct rbe_text text;
        struct rbe_windows w;
        if ((err = rbe_text_open(&text, *path, d)))
            break;
        if (!(err = rbe_windows_make(&w, p, &text, t, runners[0].n_ctx, context, d))) {
            rbe_eval_note_bytes(&text, p);
            const struct rbe_evaluation e = rbe_eval_given(o, runners, print_record, NULL);
            plan->text = &text;
            plan->windows = &w;
            err = rbe_measure_divergence(&e, plan, d);
            rbe_windows_free(&w);
        }
        rbe_text_close(&text);
    }
out:
    rbe_tokenizer_close(&t);
    rbe_eval_close_models(o, &runners);
    rbe_eval_end(o);
    return err;
}

enum rbe_status rbe_eval_divergence(struct rbe_eval_divergence_args *a, struct rbe_diag *d)
{
    struct rbe_divergence_plan plan = {.record = a->record, .recorded = a->recorded};

    return run_all(&a->o, a->protocol, (uint32_t)a->context, &plan, d);
}
