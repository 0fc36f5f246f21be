/*
 * eval_inference.c - `rbe eval inference`: time per token, first token, prefill, memory.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/criteria.h"
#include "base/rows.h"
#include "cli/arguments.h"
#include "eval/measure.h"

static void print_sequences(const struct rbe_inference_plan *p, const json_t *r)
{
    const double peak = RBE_NUMBER_AT(r, peak_bytes) / 1e6;

    printf("  %-24s %s ms/token in all, decode median %s ms, prefill %s tokens/s, first token "
           "%s ms, peak %s MB, %s CPUs busy (%lld sequences of %d)\n",
           rbe_show_model(r, "model").text,
           rbe_show("%7.3f", RBE_NUMBER_AT(r, ms_per_token)).text,
           rbe_show("%.3f", RBE_NUMBER_AT(r, decode_median_ms)).text,
           rbe_show("%.0f", RBE_NUMBER_AT(r, prefill, tokens_per_s)).text,
           rbe_show("%.1f", RBE_NUMBER_AT(r, first_token_ms)).text, rbe_show("%.1f", peak).text,
           rbe_show("%.2f", RBE_NUMBER_AT(r, cpu_utilisation)).text,
           (long long)json_integer_value(RBE_VALUE_AT(r, sequences)), p->length);
}

static void print_latency(const struct rbe_inference_plan *p, const json_t *r)
{
    const json_t *x, *hundred = RBE_VALUE_AT(r, hundred);
    size_t i;

    printf("%s\n", rbe_show_model(r, "model").text);
    printf("  %8s %8s %9s %9s %9s %9s %9s\n", "depth", "tokens", "median ms", "mad", "p95",
           "p99", "tokens/s");
    json_array_foreach(RBE_VALUE_AT(r, decode), i, x)
        printf("  %8lld %8lld %s %s %s %s %s\n",
               (long long)json_integer_value(RBE_VALUE_AT(x, depth)),
               (long long)json_integer_value(RBE_VALUE_AT(x, tokens)),
               rbe_show("%9.3f", RBE_NUMBER_AT(x, median_ms)).text,
               rbe_show("%9.3f", RBE_NUMBER_AT(x, mad_ms)).text,
               rbe_show("%9.3f", RBE_NUMBER_AT(x, p95_ms)).text,
               rbe_show("%9.3f", RBE_NUMBER_AT(x, p99_ms)).text,
               rbe_show("%9.1f", RBE_NUMBER_AT(x, tokens_per_s)).text);
    printf("  prefill %s tokens/s, first token after %d tokens %s ms, %s MB a token, %s GB/s\n",
           rbe_show("%.0f", RBE_NUMBER_AT(r, prefill, tokens_per_s)).text,
           p->prompt_tokens, rbe_show("%.1f", RBE_NUMBER_AT(r, first_token_ms)).text,
           rbe_show("%.2f", RBE_NUMBER_AT(r, bytes_per_token) / 1e6).text,
           rbe_show("%.1f", RBE_NUMBER_AT(r, gb_per_s)).text);
    if (hundred)
        printf("  alone: 100 tokens in %s s (load %s s), resident %s MB, peak %s MB, file %s "
               "MB\n",
               rbe_show("%.2f", RBE_NUMBER_AT(hundred, wall_s)).text,
               rbe_show("%.2f", RBE_NUMBER_AT(hundred, load_s)).text,
               rbe_show("%.1f", RBE_NUMBER_AT(r, resident_bytes) / 1e6).text,
               rbe_show("%.1f", RBE_NUMBER_AT(r, peak_bytes) / 1e6).text,
               rbe_show("%.2f", RBE_NUMBER_AT(r, model_bytes) / 1e6).text);
    x = RBE_VALUE_AT(r, speedup_ci95);
    if (x)
        printf("  %s times as fast as the first model %s\n",
               rbe_show("%.2f", RBE_NUMBER_AT(r, speedup)).text,
               rbe_show_interval("%.2f", x).text);
    x = RBE_VALUE_AT(r, launches);
    if (x)
        printf("  %lld launches: times differ by %s %% (standard deviation) between them, by "
               "%s %% within one\n", (long long)json_integer_value(RBE_VALUE_AT(x, count)),
               rbe_show("%.1f", 100 * RBE_NUMBER_AT(x, between)).text,
               rbe_show("%.1f", 100 * RBE_NUMBER_AT(x, within)).text);
    x = RBE_VALUE_AT(r, validity);
    printf("  other processes used %s %% of the CPUs; %lld bursts repeated, %lld kept above "
           "the limit\n",
           rbe_show("%.1f", 100 * RBE_NUMBER_AT(x, foreign_cpu)).text,
           (long long)json_integer_value(RBE_VALUE_AT(x, repeats)),
           (long long)json_integer_value(RBE_VALUE_AT(x, tainted)));
}

static void print_row(const json_t *r, void *plan)
{
    const struct rbe_inference_plan *p = plan;

    (p->sequences ? print_sequences : print_latency)(p, r);
}

/* Tokens after a depth, at least. */
enum { LEAST_BURST = 4, FULL_BURST = 16 };

static bool has_depth(const struct rbe_inference_plan *p, unsigned long depth)
{
    for (int i = 0; i < p->depth_count; i++)
        if (p->depths[i] == depth)
            return true;
    return false;
}

/* The list, each depth once, and the depth after the prompt.  What was asked for and does not
 * fit is refused. */
static enum rbe_status plan_depths(struct rbe_inference_plan *p, const char *asked,
                                   uint32_t n_ctx, struct rbe_diag *d)
{
    const char *list = asked ? asked : USUAL_DEPTHS;
    static const char full[] = "full";

    p->c2 = -1;
    do {
        char *end = (char *)list;
        unsigned long x = *list >= '0' && *list <= '9' ? strtoul(list, &end, 10) : 0;
        if (!strncmp(list, full, sizeof full - 1)) {
            end += sizeof full - 1;
            x = n_ctx > FULL_BURST ? n_ctx - FULL_BURST : 0;
        }
        if (end == list || (*end && *end != ',') || p->depth_count == RBE_INFERENCE_DEPTHS)
            return rbe_fail(d, RBE_ERR_ARG, "--depths %s: wants at most %d numbers from 0 on, "
                            "or `full`, with commas", asked, RBE_INFERENCE_DEPTHS);
        if (x > n_ctx || x + LEAST_BURST > n_ctx) {
            if (asked)
                return rbe_fail(d, RBE_ERR_ARG, "--depths %s: %.*s and %d tokens more are "
                                "beyond the model's %u", asked, (int)(end - list), list,
                                LEAST_BURST, n_ctx);
        } else if (!has_depth(p, x)) {
            if (x == (unsigned long)p->prompt_tokens)
                p->c2 = p->depth_count;
            p->depths[p->depth_count++] = (uint32_t)x;
        }
        list = *end ? end + 1 : NULL;
    } while (list);
    if (p->c2 < 0) {
        p->c2 = p->depth_count;
        p->depths[p->depth_count++] = (uint32_t)p->prompt_tokens;
    }
    return RBE_OK;
}

/* That the context has room for what is asked for; of sequences, the usual length too. */
static enum rbe_status plan_tokens(struct rbe_inference_plan *p, uint32_t n_ctx,
                                   struct rbe_diag *d)
{
    if (!p->sequences)
        return (uint32_t)p->prompt_tokens + LEAST_BURST > n_ctx
                   ? rbe_fail(d, RBE_ERR_ARG, "--prompt %d: %d and %d tokens more are beyond "
                              "the model's %u", p->prompt_tokens, p->prompt_tokens,
                              LEAST_BURST, n_ctx)
                   : RBE_OK;
    if (!p->length)
        p->length = n_ctx < SEQUENCE_TOKENS ? (int)n_ctx : SEQUENCE_TOKENS;
    if ((uint32_t)p->length > n_ctx)
        return rbe_fail(d, RBE_ERR_ARG, "--length %d: beyond the model's %u tokens", p->length,
                        n_ctx);
    return p->length < p->prompt_tokens
               ? rbe_fail(d, RBE_ERR_ARG, "sequences of %d tokens (--length) have no room for "
                          "a prompt of %d (--prompt)", p->length, p->prompt_tokens)
               : RBE_OK;
}

static enum rbe_status run(struct rbe_eval_options *o, struct rbe_inference_plan *p,
                           const char *depths, struct rbe_diag *d)
{
    struct rbe_runner *runners = NULL;
    enum rbe_status err;

    if ((err = rbe_eval_begin(o, false, d)))
        goto out;
    if (p->launches > 1) {
        const struct rbe_evaluation each = rbe_eval_given(o, NULL, print_row, p);
        p->depth_list = depths;
        err = rbe_measure_launches(&each, p, d);
        goto out;
    }
    if ((err = rbe_eval_open_models(o, 1, &runners, d)))
        goto out;
    const uint32_t n_ctx = runners[0].n_ctx;
    if ((err = rbe_runners_hold(runners, o->model_count, n_ctx, d)) ||
        (err = plan_tokens(p, n_ctx, d)))
        goto out;
    const struct rbe_evaluation e = rbe_eval_given(o, runners, print_row, p);
    if (p->sequences || !(err = plan_depths(p, depths, n_ctx, d)))
        err = rbe_measure_inference(&e, p, d);
out:
    rbe_eval_close_models(o, &runners);
    rbe_eval_end(o);
    return err;
}

enum rbe_status rbe_eval_inference(struct rbe_eval_inference_args *a, struct rbe_diag *d)
{
    struct rbe_inference_plan *p = &a->plan;

    if (p->length && !p->sequences)
        return rbe_fail(d, RBE_ERR_ARG, "only sequences have a --length: --sequences N");
    if (p->sequences && (p->launches > 1 || a->depths))
        return rbe_fail(d, RBE_ERR_ARG, "--%s and --sequences exclude one another",
                        a->depths ? "depths" : "launches");
    const enum rbe_status err =
        p->sequences ? RBE_OK : rbe_eval_refuse_shard(&a->o, "only sequences have parts: "
                                                      "--sequences N", d);
    return err ? err : run(&a->o, p, a->depths, d);
}
