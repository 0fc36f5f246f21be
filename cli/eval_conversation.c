/*
 * eval_conversation.c - `rbe eval conversation`: the latency tester of 8.6.2 (docs/CHAPTER.md).
 *
 * SPDX-License-Identifier: MIT
 *
 * Every model answers the same script with the same random numbers, each in a process of its
 * own, turn by turn in alternation; when all is said, the first model, the original, judges
 * every answer.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "base/rows.h"
#include "base/stats.h"
#include "cli/evaluations.h"
#include "cli/options.h"
#include "eval/conversation.h"
#include "eval/quality.h"
#include "eval/said.h"
#include "eval/talker.h"
#include "eval/text.h"
#include "eval/timing.h"
#include "model/data.h"

struct talk {
    struct rbe_eval_options *o;
    struct rbe_runner *runners;
    const struct rbe_tokenizer *t;
    struct rbe_text script;
    const char **line;
    int lines, stream;
    struct rbe_conversation_options how;
    struct rbe_talker **talker;     /* [model] */
    double *load_s;                 /* [model] */
    struct rbe_said *said;          /* [model][lines] */
};

/* The script's turns; what they point to stays in script.bytes. */
static enum rbe_status load_script(struct talk *k, const char *path, int turns,
                                   struct rbe_diag *d)
{
    char *found = path ? NULL : rbe_data_path("conversation.txt");
    enum rbe_status err;

    if (!path && !found)
        return rbe_fail(d, RBE_ERR_IO,
                        "the shipped conversation.txt is not found; set RBE_DATA");
    err = rbe_text_open(&k->script, path ? path : found, d);
    free(found);
    if (err)
        return err;
    if (!(k->line = calloc(k->script.size + 1, sizeof *k->line)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory for the script");
    for (char *s = strtok(k->script.bytes, "\r\n"); s; s = strtok(NULL, "\r\n"))
        if (*s != '#' && rbe_count_words(s, strlen(s)) && (!turns || k->lines < turns))
            k->line[k->lines++] = s;
    if (!k->lines)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: no turns in it", k->script.name);
    return RBE_OK;
}

static enum rbe_status open_talkers(struct talk *k, struct rbe_diag *d)
{
    const struct rbe_eval_options *o = k->o;
    enum rbe_status err = RBE_OK;

    if (!(k->talker = calloc(o->model_count, sizeof *k->talker)) ||
        !(k->load_s = calloc(o->model_count, sizeof *k->load_s)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t m = 0; m < o->model_count && !err; m++)
        err = rbe_talker_open(&k->talker[m],
                              &(struct rbe_talker_options){
                                  .model = o->models[m], .tokenizer = o->tokenizer,
                                  .vocabulary_of = o->models[0], .how = k->how,
                                  .parse_special =
                                      o->special && !strcmp(o->special, "parse"),
                                  .threads = (unsigned)o->threads, .stream = k->stream}, d);
    return err;
}

static enum rbe_status talk(struct talk *k, int *done, struct rbe_diag *d)
{
    const size_t models = k->o->model_count;
    struct rbe_progress p;
    enum rbe_status err = RBE_OK;

    for (size_t m = 0; m < models && !err; m++)
        err = rbe_talker_load(k->talker[m], &k->load_s[m], d);
    rbe_progress_start(&p, "conversation", "turns", k->lines);
    p.quiet |= k->stream != 0;      /* the text itself shows where it is */
    for (*done = 0; *done < k->lines && !err && !rbe_interrupted(); *done += !err) {
        for (size_t m = 0; m < models && !err; m++) {
            struct rbe_said *s = &k->said[m * (size_t)k->lines + (size_t)*done];
            if (k->stream) {
                printf("\n[%d %s] %s\n>", *done + 1, k->runners[m].name, k->line[*done]);
                fflush(stdout);
            }
            err = rbe_talker_turn(k->talker[m], k->line[*done], s, d);
            if (!err && s->turn.dropped && !k->o->quiet) {
                rbe_progress_clear();
                fprintf(stderr, "turn %d, %s: context of %u full, %u oldest turns dropped\n",
                        *done + 1, k->runners[m].name, k->runners[m].n_ctx, s->turn.dropped);
            }
        }
        rbe_progress_update(&p, *done + 1, NULL);
    }
    rbe_progress_end(&p);
    return err == RBE_ERR_INTERRUPTED ? RBE_OK : err;
}

/* The original's opinion of every answer, or of none after an interrupt. */
static enum rbe_status judge(struct talk *k, int done, struct rbe_diag *d)
{
    const uint32_t eos = rbe_tokenizer_eos(k->t);
    struct rbe_scorer s;
    const size_t said = k->o->model_count * (size_t)k->lines;
    enum rbe_status err = rbe_scorer_open(&s, &k->runners[0], d);

    for (size_t m = 0; m < k->o->model_count && !err; m++)
        for (int i = 0; i < done && !err; i++) {
            struct rbe_said *x = &k->said[m * (size_t)k->lines + (size_t)i];
            const uint32_t *text = x->turn.ids + x->turn.context_tokens;
            double after, alone;
            if ((err = rbe_log_p(&s, eos, x->turn.ids, x->turn.context_tokens, text,
                                 x->turn.tokens, &after, d)) ||
                (err = rbe_log_p(&s, eos, NULL, 0, text, x->turn.tokens, &alone, d)))
                break;
            x->coherence = (after - alone) / x->turn.tokens;
            x->quality = exp(-after / x->turn.tokens);
        }
    rbe_scorer_close(&s);
    if (err != RBE_ERR_INTERRUPTED)
        return err;
    for (size_t i = 0; i < said; i++)
        k->said[i].coherence = k->said[i].quality = NAN;
    return RBE_OK;
}

/* --- records ----------------------------------------------------------------------------- */

static json_t *turn_json(const struct talk *k, int i, const struct rbe_said *s,
                         json_int_t model_bytes)
{
    const struct rbe_turn *t = &s->turn;
    const size_t n = t->tokens ? t->tokens - 1 : 0;
    double *ms = calloc(n + 1, sizeof *ms);
    json_t *raw = json_array();

    if (!ms) {
        json_decref(raw);
        return NULL;
    }
    for (size_t j = 0; j < n; j++)
        json_array_append_new(raw, rbe_result_real(t->token_ms[j]));
    if (n)
        memcpy(ms, t->token_ms, n * sizeof *ms);
    const double mean = rbe_mean_se(ms, n).value;
    rbe_sort(ms, n);
    json_t *o = RBE_OBJECT(
        RBE_INT(turn, i + 1), RBE_WORD(prompt, k->line[i]), RBE_WORD(response, t->answer),
        RBE_INT(prompt_tokens, t->prompt_tokens), RBE_INT(tokens, t->tokens),
        RBE_INT(context_tokens, t->context_tokens), RBE_INT(dropped_turns, t->dropped),
        RBE_REAL(first_token_ms, t->first_ms), RBE_REAL(p50_ms, rbe_quantile(ms, n, 0.5)),
        RBE_REAL(p95_ms, rbe_percentile_if_enough(ms, n, 0.95)),
        RBE_REAL(p99_ms, rbe_percentile_if_enough(ms, n, 0.99)), RBE_REAL(mean_ms, mean),
        RBE_INT(model_bytes, model_bytes), RBE_INT(resident_bytes, s->usage.resident_bytes),
        RBE_REAL(cpu_utilisation, s->share.own_cpus), RBE_REAL(coherence, s->coherence),
        RBE_REAL(quality, s->quality), RBE_JSON(token_ms, raw));
    free(ms);
    return o;
}

static json_t *make_record(struct talk *k, size_t m, int turns, double wall_s)
{
    json_t *r = rbe_eval_record(k->o, "conversation", &k->runners[m]), *all = json_array();
    const struct rbe_said *s = k->said + m * (size_t)k->lines;
    const struct rbe_sampling *how = &k->how.sampling;

    if (!r || rbe_runner_record(&k->runners[0], r, RBE_KEY(scorer))) {
        json_decref(all);
        json_decref(r);
        return NULL;
    }
    RBE_SET(r,
            RBE_JSON(script,
                     RBE_OBJECT(RBE_TEXT(name, k->script.name),
                                RBE_WORD(sha256, k->script.sha256), RBE_INT(turns, k->lines))),
            RBE_JSON(sampling,
                     RBE_OBJECT(RBE_REAL(temperature, (double)how->temperature),
                                RBE_INT(top_k, how->top_k), RBE_REAL(top_p, (double)how->top_p),
                                RBE_INT(seed, how->seed))),
            RBE_INT(min_tokens, k->how.min_tokens), RBE_INT(max_tokens, k->how.max_tokens),
            RBE_REAL(load_s, k->load_s[m]), RBE_REAL(wall_s, wall_s),
            RBE_FLAG(complete, turns == k->lines),
            RBE_JSON(summary, rbe_said_summary(s, turns, k->load_s[m])));
    for (int i = 0; i < turns; i++)
        json_array_append_new(
            all, turn_json(k, i, &s[i],
                           (json_int_t)rbe_model_file_bytes(k->runners[m].model)));
    RBE_SET(r, RBE_JSON(turns, all));
    if (!k->how.plain && rbe_has_chatml(k->t))
        RBE_SET(r, RBE_FLAG(chatml, true));
    return r;
}

static void print_record(const json_t *r)
{
    const json_t *s = RBE_VALUE_AT(r, summary);

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

static enum rbe_status run(struct talk *k, const char *script, int turns, struct rbe_diag *d)
{
    struct rbe_eval_options *o = k->o;
    struct rbe_tokenizer *t = NULL;
    int done = 0;
    enum rbe_status err;

    if ((err = load_script(k, script, turns, d)) ||
        (err = rbe_files_read(&o->files, script, d)) || (err = rbe_eval_begin(o, false, d)) ||
        (err = open_talkers(k, d)) ||
        (err = rbe_eval_open_models(o, 64, &k->runners, d)) ||
        (err = rbe_eval_tokenizer(o, &k->runners[0], &t, d)))
        goto out;
    k->t = t;
    err = RBE_ERR_NOMEM;
    if (!(k->said = calloc(o->model_count * (size_t)k->lines, sizeof *k->said)))
        goto out;
    const double start = rbe_now();
    err = talk(k, &done, d);
    const double wall_s = rbe_now() - start;
    if (!err)
        err = judge(k, done, d);
    if (k->stream)
        putchar('\n');
    for (size_t m = 0; m < o->model_count && !err && done; m++) {
        json_t *r = make_record(k, m, done, wall_s);
        if (r && !o->json)
            print_record(r);
        err = rbe_eval_emit(o, r, d);
    }
    if (!err && done < k->lines)
        err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted after %d of %d turns", done,
                       k->lines);
out:
    for (size_t m = 0; k->talker && m < o->model_count; m++)
        rbe_talker_close(&k->talker[m]);
    free(k->talker);
    free(k->load_s);
    for (size_t i = 0; k->said && i < o->model_count * (size_t)k->lines; i++)
        rbe_turn_free(&k->said[i].turn);
    free(k->said);
    free(k->line);
    rbe_text_close(&k->script);
    rbe_tokenizer_close(&t);
    rbe_eval_close_models(o, &k->runners);
    rbe_eval_end(o);
    return err;
}

int rbe_eval_conversation(int argc, const char **argv)
{
    static struct rbe_eval_options o;   /* popt's copies stay reachable */
    struct talk k = {.o = &o};
    static char *script;
    int turns = 0, max_tokens = 48, min_tokens = 24, top_k = 40, seed = 1, plain = 0, count,
        code;
    float temperature = 0.8F, top_p = 1;
    struct rbe_diag d = {""};
    const char **args;
    const struct poptOption table[] = {
        RBE_EVAL_OPTIONS(&o),
        RBE_EVAL_SPECIAL_OPTION(&o),
        RBE_EVAL_NO_SHARD_OPTION(&o),
        {"script", 0, POPT_ARG_STRING, &script, 0,
         "a question a line, # for comments (default: the shipped one of 50)", "FILE"},
        {"turns", 0, POPT_ARG_INT, &turns, 0, "only the first N turns", "N"},
        {"max-tokens", 0, POPT_ARG_INT, &max_tokens, 0, "longest answer (default 48)", "N"},
        {"min-tokens", 0, POPT_ARG_INT, &min_tokens, 0,
         "a newline ends an answer from here on (default 24: a p95 needs 20 intervals)", "N"},
        {"plain", 0, POPT_ARG_NONE, &plain, 0,
         "Question: and Answer: also where the vocabulary has ChatML's tokens", NULL},
        {"temperature", 0, POPT_ARG_FLOAT, &temperature, 0, "0: greedy (default 0.8)", "X"},
        {"top-k", 0, POPT_ARG_INT, &top_k, 0, "0: all (default 40)", "N"},
        {"top-p", 0, POPT_ARG_FLOAT, &top_p, 0, "1: all (default 1)", "X"},
        {"seed", 0, POPT_ARG_INT, &seed, 0, "of the random numbers (default 1)", "N"},
        {"stream", 0, POPT_ARG_NONE, &k.stream, 0, "print the conversation as it goes", NULL},
        POPT_TABLEEND};

    if (!rbe_parse(argc, argv, table, "", "Every model answers a script of questions, "
                   "streaming; times per turn, and the first model's judgement of the answers.",
                   &args, &count, &code))
        return code;
    enum rbe_status err;
    if (count)
        err = rbe_fail(&d, RBE_ERR_ARG, "unexpected argument '%s'", args[0]);
    else if (turns < 0 || max_tokens < 2 || min_tokens < 0 || top_k < 0 ||
             !(temperature >= 0 && temperature <= 100) || !(top_p > 0 && top_p <= 1))
        err = rbe_fail(&d, RBE_ERR_ARG, "a number is out of range");
    else if (!(err = rbe_eval_refuse_shard(&o, "every turn of a conversation needs the ones "
                                           "before: it has no parts", &d))) {
        k.how = (struct rbe_conversation_options){
            {temperature, (uint32_t)top_k, top_p, (uint64_t)seed}, (uint32_t)max_tokens,
            (uint32_t)min_tokens, plain != 0};
        err = run(&k, script, turns, &d);
    }
    return rbe_report_failure(argv[0], err, &d);
}
