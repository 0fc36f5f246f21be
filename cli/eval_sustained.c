/*
 * eval_sustained.c - `rbe eval sustained`: speed over minutes without a pause.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/criteria.h"
#include "base/rows.h"
#include "cli/arguments.h"
#include "eval/measure.h"

static void print_record(const json_t *r, void *unused)
{
    const json_t *x;
    size_t i;

    (void)unused;
    printf("%s\n  %8s %9s %9s %9s %9s %9s\n", rbe_show_model(r, "model").text, "after s",
           "tokens/s", "ms/token", "deg C", "MHz", "others");
    json_array_foreach(RBE_VALUE_AT(r, intervals), i, x)
        printf("  %8.0f %s %s %s %s %s\n", RBE_NUMBER_AT(x, at_s),
               rbe_show("%9.1f", RBE_NUMBER_AT(x, tokens_per_s)).text,
               rbe_show("%9.3f", RBE_NUMBER_AT(x, median_ms)).text,
               rbe_show("%9.1f", RBE_NUMBER_AT(x, temperature_c)).text,
               rbe_show("%9.0f", RBE_NUMBER_AT(x, mhz)).text,
               rbe_show("%8.1f%%", 100 * RBE_NUMBER_AT(x, foreign_cpu)).text);
    printf("  %s tokens/s at first, %s at last: %s %% of it\n",
           rbe_show("%.1f", RBE_NUMBER_AT(r, first_tokens_per_s)).text,
           rbe_show("%.1f", RBE_NUMBER_AT(r, last_tokens_per_s)).text,
           rbe_show("%.1f", 100 * RBE_NUMBER_AT(r, retained)).text);
}

/* A word that no criterion knows would be found out after the half hour. */
static enum rbe_status check_device(struct rbe_diag *d)
{
    const char *device = getenv("RBE_DEVICE");

    return !device || !*device || rbe_is_device(device)
               ? RBE_OK
               : rbe_fail(d, RBE_ERR_ARG, "RBE_DEVICE=%s: valid: " RBE_DEVICE_NAMES(", "),
                          device);
}

enum rbe_status rbe_eval_sustained(struct rbe_eval_sustained_args *a, struct rbe_diag *d)
{
    struct rbe_eval_options *o = &a->o;
    struct rbe_runner *runners = NULL;
    enum rbe_status err;

    if ((err = check_device(d)) ||
        (err = rbe_eval_refuse_shard(o, "one run over minutes has no parts", d)) ||
        (err = rbe_eval_begin(o, false, d)) ||
        (err = rbe_eval_open_models(o, 1, &runners, d)) ||
        (err = rbe_runners_hold(runners, o->model_count, runners[0].n_ctx, d)))
        goto out;
    const double count = round(60 * a->minutes / a->interval);
    const struct rbe_sustained_plan plan = {.interval_s = a->interval,
                                            .intervals = count < 1 ? 1 : (unsigned)count,
                                            .prompt_tokens = (uint32_t)a->prompt};
    if (plan.prompt_tokens + 2 > runners[0].n_ctx) {
        err = rbe_fail(d, RBE_ERR_ARG, "%u tokens are beyond the model's %u",
                       plan.prompt_tokens + 2, runners[0].n_ctx);
        goto out;
    }
    const struct rbe_evaluation e = rbe_eval_given(o, runners, print_record, NULL);
    err = rbe_measure_sustained(&e, &plan, d);
out:
    rbe_eval_close_models(o, &runners);
    rbe_eval_end(o);
    return err;
}
