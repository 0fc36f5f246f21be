/*
 * measure_conversation.c - the latency tester of 8.6.2 (docs/CHAPTER.md).
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
#include "eval/measure.h"
#include "eval/quality.h"
#include "eval/said.h"
#include "eval/talker.h"
#include "eval/timing.h"
#include "model/data.h"

struct talk {
    const struct rbe_evaluation *e;
    const struct rbe_conversation_plan *plan;
    struct rbe_runner *runners;
    const struct rbe_tokenizer *t;
    struct rbe_text script;
    const char **line;
    int lines;
    struct rbe_talker **talker;     /* [model] */
    double *load_s;                 /* [model] */
    struct rbe_said *said;          /* [model][lines] */
};

/* The script's turns; what they point to stays in script.bytes. */
static enum rbe_status load_script(struct talk *k, struct rbe_diag *d)
{
    const char *path = k->plan->script;
    const int turns = k->plan->turns;
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
    const struct rbe_evaluation *e = k->e;
    const struct rbe_conversation_plan *p = k->plan;
    enum rbe_status err = RBE_OK;

    if (!(k->talker = calloc(e->model_count, sizeof *k->talker)) ||
        !(k->load_s = calloc(e->model_count, sizeof *k->load_s)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t m = 0; m < e->model_count && !err; m++)
        err = rbe_talker_open(&k->talker[m],
                              &(struct rbe_talker_options){
                                  .model = e->models[m], .tokenizer = p->tokenizer,
                                  .vocabulary_of = e->models[0], .how = p->how,
                                  .parse_special = !strcmp(e->special, "parse"),
                                  .kv = rbe_runner_kv(e->kv, m, e->model_count),
                                  .threads = p->threads, .stream = p->announce != NULL}, d);
    return err;
}

static enum rbe_status talk(struct talk *k, int *done, struct rbe_diag *d)
{
    const size_t models = k->e->model_count;
    struct rbe_progress p;
    enum rbe_status err = RBE_OK;

    for (size_t m = 0; m < models && !err; m++)
        err = rbe_talker_load(k->talker[m], &k->load_s[m], d);
    rbe_progress_start(&p, "conversation", "turns", k->lines);
    p.quiet |= k->plan->announce != NULL;      /* the text itself shows where it is */
    for (*done = 0; *done < k->lines && !err && !rbe_interrupted(); *done += !err) {
        for (size_t m = 0; m < models && !err; m++) {
            struct rbe_said *s = &k->said[m * (size_t)k->lines + (size_t)*done];
            if (k->plan->announce)
                k->plan->announce(*done + 1, k->runners[m].name, k->line[*done]);
            err = rbe_talker_turn(k->talker[m], k->line[*done], s, d);
            if (!err && s->turn.dropped && !k->plan->quiet) {
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
    const size_t said = k->e->model_count * (size_t)k->lines;
    enum rbe_status err = rbe_scorer_open(&s, &k->runners[0], d);

    for (size_t m = 0; m < k->e->model_count && !err; m++)
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
    if (k->plan->how.lookup)
        RBE_SET(o, RBE_INT(guessed, t->run.guessed), RBE_INT(guessed_right, t->run.right));
    free(ms);
    return o;
}

static json_t *make_record(struct talk *k, size_t m, int turns, double wall_s)
{
    json_t *r = rbe_evaluation_record(k->e, RBE_KIND(conversation), &k->runners[m]);
    json_t *all = json_array();
    const struct rbe_said *s = k->said + m * (size_t)k->lines;
    const struct rbe_sampling *how = &k->plan->how.sampling;

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
            RBE_INT(min_tokens, k->plan->how.min_tokens),
            RBE_INT(max_tokens, k->plan->how.max_tokens),
            RBE_REAL(load_s, k->load_s[m]), RBE_REAL(wall_s, wall_s),
            RBE_FLAG(complete, turns == k->lines),
            RBE_JSON(summary, rbe_said_summary(s, turns, k->load_s[m])));
    for (int i = 0; i < turns; i++)
        json_array_append_new(
            all, turn_json(k, i, &s[i],
                           (json_int_t)rbe_model_file_bytes(k->runners[m].model)));
    RBE_SET(r, RBE_JSON(turns, all));
    if (!k->plan->how.plain && rbe_has_chatml(k->t))
        RBE_SET(r, RBE_FLAG(chatml, true));
    return r;
}

enum rbe_status rbe_measure_conversation(const struct rbe_evaluation *e,
                                         const struct rbe_conversation_plan *p,
                                         struct rbe_diag *d)
{
    struct talk talks = {.e = e, .plan = p}, *k = &talks;
    struct rbe_tokenizer *t = NULL;
    int done = 0;
    enum rbe_status err;

    if ((err = load_script(k, d)) || (err = open_talkers(k, d)) ||
        (err = rbe_runners_open(&k->runners, e->models, e->model_count, 64, e->kv,
                                e->pool, d)) ||
        (err = rbe_runners_same_end(k->runners, e->model_count, d)) ||
        (err = rbe_runners_tokenizer(&t, k->runners, e->models, e->model_count, p->tokenizer,
                                     true, d)))
        goto out;
    /* A larger one would forget less. */
    for (size_t m = 1; m < e->model_count; m++)
        if (k->runners[m].n_ctx != k->runners[0].n_ctx) {
            err = rbe_fail(d, RBE_ERR_MISMATCH, "%s and %s have different contexts (%u and %u)",
                           k->runners[0].name, k->runners[m].name, k->runners[0].n_ctx,
                           k->runners[m].n_ctx);
            goto out;
        }
    if (!strcmp(e->special, "parse"))
        rbe_tokenizer_parse_special(t);
    k->t = t;
    err = RBE_ERR_NOMEM;
    if (!(k->said = calloc(e->model_count * (size_t)k->lines, sizeof *k->said)))
        goto out;
    const double start = rbe_now();
    err = talk(k, &done, d);
    const double wall_s = rbe_now() - start;
    if (!err)
        err = judge(k, done, d);
    if (p->announce)
        p->announce(0, NULL, NULL);
    for (size_t m = 0; m < e->model_count && !err && done; m++)
        err = rbe_evaluation_emit(e, make_record(k, m, done, wall_s), d);
    if (!err && done < k->lines)
        err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted after %d of %d turns", done,
                       k->lines);
out:
    for (size_t m = 0; k->talker && m < e->model_count; m++)
        rbe_talker_close(&k->talker[m]);
    free(k->talker);
    free(k->load_s);
    for (size_t i = 0; k->said && i < e->model_count * (size_t)k->lines; i++)
        rbe_turn_free(&k->said[i].turn);
    free(k->said);
    free(k->line);
    rbe_text_close(&k->script);
    rbe_tokenizer_close(&t);
    rbe_runners_close(&k->runners, e->model_count);
    return err;
}
