/*
 * eval_conversation.c - `rbe eval conversation`: a script of questions, answered and timed.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>

#include "base/rows.h"
#include "cli/arguments.h"

static void print_record(const json_t *r, void *unused)
{
    const json_t *s = RBE_VALUE_AT(r, summary);

    (void)unused;
    printf("%-24s %lld turns, %lld tokens: first token at most %s ms; ms/token p50 %s, p95 %s, "
           "p99 %s, worst turn's p95 %s\n",
           rbe_show_model(r, "model").text,
           (long long)json_integer_value(RBE_VALUE_AT(s, turns)),
           (long long)json_integer_value(RBE_VALUE_AT(s, tokens)),
           rbe_show("%.1f", RBE_NUMBER_AT(s, first_token_ms_max)).text,
           rbe_show("%.2f", RBE_NUMBER_AT(s, p50_ms)).text,
           rbe_show("%.2f", RBE_NUMBER_AT(s, p95_ms)).text,
           rbe_show("%.2f", RBE_NUMBER_AT(s, p99_ms)).text,
           rbe_show("%.2f", RBE_NUMBER_AT(s, p95_ms_max)).text);
    printf("%-24s %lld turns within 1 s and 50 ms/token; 100 tokens in %s s with loading; "
           "coherence %s nats/token, quality (perplexity) %s; file %s MB, resident at most %s "
           "MB\n",
           "", (long long)json_integer_value(RBE_VALUE_AT(s, turns_within)),
           rbe_show("%.2f", RBE_NUMBER_AT(s, hundred_tokens_s)).text,
           rbe_show("%.3f", RBE_NUMBER_AT(s, coherence)).text,
           rbe_show("%.1f", RBE_NUMBER_AT(s, quality)).text,
           rbe_show("%.2f", RBE_NUMBER_AT(r, model, bytes) / 1e6).text,
           rbe_show("%.1f", RBE_NUMBER_AT(s, resident_bytes_max) / 1e6).text);
}

/* --stream: before each answer, and when all is said. */
static void announce(int turn, const char *model, const char *question)
{
    if (question)
        printf("\n[%d %s] %s\n>", turn, model, question);
    else
        putchar('\n');
    fflush(stdout);
}

enum rbe_status rbe_eval_conversation(struct rbe_eval_conversation_args *a, struct rbe_diag *d)
{
    struct rbe_eval_options *o = &a->o;
    struct rbe_conversation_plan plan = {
        .script = a->script, .turns = a->turns,
        .how = {.sampling = a->how, .max_tokens = (uint32_t)a->max_tokens,
                .min_tokens = (uint32_t)a->min_tokens, .plain = a->plain,
                .lookup = a->lookup ? RBE_GUESS_WHERE_IT_PAYS : RBE_GUESS_NEVER},
        .tokenizer = o->tokenizer, .threads = (unsigned)o->threads,
        .announce = a->stream ? announce : NULL, .quiet = o->quiet};
    enum rbe_status err;

    if (!(err = rbe_eval_refuse_shard(o, "every turn of a conversation needs the ones before: "
                                      "it has no parts", d)) &&
        !(err = rbe_files_read(&o->files, a->script, d)) &&
        !(err = rbe_eval_begin(o, false, d))) {
        if (!o->special)
            o->special = SPECIAL_TOKENS;
        const struct rbe_evaluation e = rbe_eval_given(o, NULL, print_record, NULL);
        err = rbe_measure_conversation(&e, &plan, d);
    }
    rbe_eval_end(o);
    return err;
}
