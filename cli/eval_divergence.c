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
    const json_t *top = RBE_VALUE_AT(r, top1), *five = RBE_VALUE_AT(r, top5);
    const json_t *accepted = RBE_VALUE_AT(r, acceptance);

    (void)unused;
    printf("%s against %s, %s, %lld tokens\n"
           "  KL         mean %s +- %s nats, p50 %s, p90 %s, p99 %s, p99.9 %s, max %s\n"
           "  top-1      %s %% +- %s agree, top-5 %s %% +- %s\n"
           "  acceptance %s %% +- %s: the same token drawn, by the best coupling\n"
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
           rbe_show("%.2f", 100 * RBE_NUMBER_AT(five, agreement)).text,
           rbe_show("%.2f", 100 * RBE_NUMBER_AT(five, agreement_se)).text,
           rbe_show("%.2f", 100 * RBE_NUMBER_AT(accepted, rate)).text,
           rbe_show("%.2f", 100 * RBE_NUMBER_AT(accepted, rate_se)).text,
           rbe_show("%+.5f", RBE_NUMBER_AT(dp, mean)).text,
           rbe_show("%.5f", RBE_NUMBER_AT(dp, mean_se)).text,
           rbe_show("%.5f", RBE_NUMBER_AT(dp, rms)).text,
           rbe_show("%.5f", RBE_NUMBER_AT(dp, rms_se)).text,
           rbe_show("%.5f", RBE_NUMBER_AT(r, perplexity_ratio)).text);
}

static enum rbe_status measure(struct rbe_eval_options *o, struct rbe_runner *runners,
                               const struct rbe_text *text, const struct rbe_windows *w,
                               void *arg, struct rbe_diag *d)
{
    struct rbe_divergence_plan *plan = arg;
    const struct rbe_evaluation e = rbe_eval_given(o, runners, print_record, NULL);

    plan->text = text;
    plan->windows = w;
    return rbe_measure_divergence(&e, plan, d);
}

static enum rbe_status check(const struct rbe_eval_options *o,
                             const struct rbe_divergence_plan *plan, struct rbe_diag *d)
{
    if ((plan->record || plan->recorded) && (o->shard || o->resume || o->texts[1] ||
                                             (plan->record && plan->recorded)))
        return rbe_fail(d, RBE_ERR_ARG, "one of --record and --recorded, one text, no --shard "
                        "and no --resume");
    /* A recording does not say how special tokens were read. */
    if ((plan->record || plan->recorded) && o->special && strcmp(o->special, "text"))
        return rbe_fail(d, RBE_ERR_ARG, "--special %s: not with a recording", o->special);
    if (o->model_count < 2)
        return rbe_fail(d, RBE_ERR_ARG, "wants two or more --model, the original first");
    return RBE_OK;
}

enum rbe_status rbe_eval_divergence(struct rbe_eval_divergence_args *a, struct rbe_diag *d)
{
    struct rbe_eval_options *o = &a->o;
    struct rbe_divergence_plan plan = {.record = a->record, .recorded = a->recorded};
    enum rbe_protocol protocols[] = {RBE_PROTOCOL_COUNT, RBE_PROTOCOL_COUNT};
    /* Without a recording the work is done in lanes that share these models. */
    const uint32_t rows = plan.record || plan.recorded ? 0 : 1;
    enum rbe_status err;

    if (!(err = rbe_protocol_parse(protocols, a->protocol, d)) &&
        !(err = rbe_files_read(&o->files, plan.recorded, d)) &&
        !(err = rbe_eval_begin(o, true, d)) &&
        !(err = rbe_files_replace(&o->files, plan.record, d)) && !(err = check(o, &plan, d)))
        err = rbe_eval_each_text(o, rows, protocols, (uint32_t)a->context, measure, &plan, d);
    rbe_eval_end(o);
    return err;
}
