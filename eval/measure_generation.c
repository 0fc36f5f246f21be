/*
 * measure_generation.c - what quality of the original's texts is retained.
 *
 * SPDX-License-Identifier: MIT
 *
 * Both models go on from the same beginnings with the same random numbers; the original
 * judges both (evaluation.md 4).
 *   fluency    perplexity of the texts alone, repeated 4-grams, different pairs: the worst of
 *              the three, more and less than the original's alike
 *   coherence  log p(text | prompt) - log p(text), per token, as a ratio
 *   relevance  how probable the true prompt is among eight, given the text without its first
 *              tokens (equal priors), as a ratio; the other seven are passages close by in the
 *              file, mostly of the same article
 * What one text is worth does not depend on which others are measured: shards take prompts.
 */
#include <math.h>
#include <rbe/sampler.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/criteria.h"
#include "base/rows.h"
#include "model/conversation.h"
#include "eval/generation.h"
#include "eval/lanes.h"
#include "eval/measure.h"
#include "eval/merge.h"
#include "eval/quality.h"
#include "eval/text.h"

enum { ROWS = 64, MOST_CANDIDATES = 16 };

/* What one model wrote after every prompt, and what the original thinks of it. */
struct author {
    uint32_t *text;             /* [prompts][tokens] */
    struct rbe_judged by;       /* arrays of [prompts] */
};

struct generation {
    const struct rbe_evaluation *e;
    const struct rbe_generation_plan *p;
    const struct rbe_tokenizer *t;
    size_t first, end;          /* prompts of this shard */
    uint32_t *ids;              /* the text's */
    size_t id_count, apart;     /* how many; from one candidate to the next */
    size_t *at;                 /* [prompts]: where each begins */
    struct author *author;      /* [model] */
    char text_name[256], text_sha256[65];
    size_t text_bytes;
};

static void free_authors(struct generation *g)
{
    for (size_t m = 0; g->author && m < g->e->model_count; m++) {
        free(g->author[m].text);
        free(g->author[m].by.length);
        free(g->author[m].by.alone);
        free(g->author[m].by.after);
        free(g->author[m].by.relevant);
    }
    free(g->author);
    free(g->at);
    free(g->ids);
}

static const uint32_t *prompt_of(const struct generation *g, size_t i)
{
    return g->ids + g->at[i];
}

static enum rbe_status allocate(struct generation *g, struct rbe_diag *d)
{
    const size_t n = (size_t)g->p->prompts;

    g->at = calloc(n, sizeof *g->at);
    g->author = calloc(g->e->model_count, sizeof *g->author);
    bool ok = g->at && g->author;
    for (size_t m = 0; ok && m < g->e->model_count; m++) {
        struct author *a = &g->author[m];
        a->text = calloc(n * (size_t)g->p->tokens, sizeof *a->text);
        a->by.length = calloc(n, sizeof *a->by.length);
        a->by.alone = calloc(n, sizeof *a->by.alone);
        a->by.after = calloc(n, sizeof *a->by.after);
        a->by.relevant = calloc(n, sizeof *a->by.relevant);
        ok = a->text && a->by.length && a->by.alone && a->by.after && a->by.relevant;
    }
    return ok ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "out of memory for %zu texts", n);
}

static size_t candidates(void)
{
    const double wanted = RBE_LIMIT(C6_CANDIDATES);

    return wanted < MOST_CANDIDATES ? (size_t)wanted : MOST_CANDIDATES;
}

/* Beginnings at equal distances through the text. */
static enum rbe_status take_prompts(struct generation *g, struct rbe_diag *d)
{
    struct rbe_text text;
    enum rbe_status err = rbe_text_open(&text, g->p->text, d);

    if (err)
        return err;
    snprintf(g->text_name, sizeof g->text_name, "%s", text.name);
    memcpy(g->text_sha256, text.sha256, sizeof text.sha256);
    g->text_bytes = text.file_bytes;
    err = rbe_tokenizer_encode(g->t, text.bytes, text.size, false, &g->ids, &g->id_count, d);
    const size_t step = g->id_count / (size_t)g->p->prompts;
    const size_t len = (size_t)g->p->prompt_tokens;
    if (!err && step < len)
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: too short for %d prompts of %d tokens",
                       text.name, g->p->prompts, g->p->prompt_tokens);
    for (size_t i = 0; !err && i < (size_t)g->p->prompts; i++)
        g->at[i] = i * step + (step - len) / 2;
    /* Two prompts from one to the next, where the text is long enough for so many; then as far
     * as they do not overlap. */
    const size_t room = g->id_count / candidates();
    g->apart = room < len ? len : room < 2 * len ? room : 2 * len;
    rbe_text_close(&text);
    return err;
}

/* The passages that the true prompt is looked for among: itself first, then those nearest to
 * it by turns before and behind, as many as the text has.  How many. */
static size_t take_candidates(const struct generation *g, size_t i, const uint32_t **out)
{
    const size_t most = candidates(), len = (size_t)g->p->prompt_tokens;
    size_t n = 1;

    out[0] = prompt_of(g, i);
    for (size_t k = 1; n < most && k * g->apart < g->id_count; k++) {
        if (k * g->apart <= g->at[i])
            out[n++] = g->ids + g->at[i] - k * g->apart;
        if (n < most && g->at[i] + k * g->apart + len <= g->id_count)
            out[n++] = g->ids + g->at[i] + k * g->apart;
    }
    return n;
}

static enum rbe_status write_one(struct generation *g, struct rbe_runner *r, size_t m, size_t i,
                                 struct rbe_diag *d)
{
    struct author *a = &g->author[m];
    struct rbe_sampling how = g->p->how;
    uint32_t *text = a->text + i * (size_t)g->p->tokens;
    const uint32_t *next = prompt_of(g, i);
    size_t n = (size_t)g->p->prompt_tokens;
    enum rbe_status err = RBE_OK;

    how.seed += i;
    struct rbe_sampler *s = rbe_sampler_open(rbe_tokenizer_vocab(g->t), how);
    if (!s)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    rbe_session_truncate(r->session, 0);
    while (a->by.length[i] < (size_t)g->p->tokens) {
        if ((err = rbe_forward(r->session, next, n, d)) ||
            (err = rbe_logits(r->session, RBE_LAST, 1, r->logits, d)))
            break;
        const uint32_t token = rbe_sample(s, r->logits);
        /* An end at once would leave nothing to judge. */
        if (token == rbe_tokenizer_eos(g->t) && a->by.length[i])
            break;
        next = &text[a->by.length[i]];
        text[a->by.length[i]++] = token;
        n = 1;
    }
    rbe_sampler_close(&s);
    return err;
}

/* Every text alone, then behind each candidate: the texts of all models one after the other, so
 * that a candidate is read once. */
static enum rbe_status judge(struct generation *g, struct rbe_scorer *s, size_t i,
                             struct rbe_diag *d)
{
    const uint32_t eos = rbe_tokenizer_eos(g->t);
    const size_t models = g->e->model_count, tokens = (size_t)g->p->tokens;
    const uint32_t *candidate[MOST_CANDIDATES];
    const size_t count = take_candidates(g, i, candidate);
    double *rest = calloc(models * MOST_CANDIDATES, sizeof *rest), log_p;
    enum rbe_status err = rest ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");

    for (size_t m = 0; m < models && !err; m++) {
        struct author *a = &g->author[m];
        err = rbe_log_p(s, eos, NULL, 0, a->text + i * tokens, a->by.length[i], &a->by.alone[i],
                        d);
    }
    for (size_t k = 0; k < count && !err; k++)
        for (size_t m = 0; m < models && !err; m++) {
            struct author *a = &g->author[m];
            err = rbe_log_p(s, eos, candidate[k], (size_t)g->p->prompt_tokens,
                            a->text + i * tokens, a->by.length[i], &log_p, d);
            if (!k)
                a->by.after[i] = log_p;
            for (size_t t = RBE_RELEVANCE_SKIP; t < a->by.length[i] && !err; t++)
                rest[m * MOST_CANDIDATES + k] -= s->nll[t];
        }
    for (size_t m = 0; m < models && !err; m++)
        g->author[m].by.relevant[i] = rbe_posterior(rest + m * MOST_CANDIDATES, count);
    free(rest);
    return err;
}

/* --- records ----------------------------------------------------------------------------- */

static json_t *samples_json(const struct generation *g, size_t m)
{
    json_t *all = json_array();

    for (size_t i = g->first; i < g->end && i < (size_t)g->p->samples; i++) {
        const size_t at = i * (size_t)g->p->tokens;
        char *p = rbe_detokenise(g->t, prompt_of(g, i), (size_t)g->p->prompt_tokens);
        char *a = rbe_detokenise(g->t, g->author[0].text + at, g->author[0].by.length[i]);
        char *b = rbe_detokenise(g->t, g->author[m].text + at, g->author[m].by.length[i]);
        if (p && a && b)
            json_array_append_new(all, RBE_OBJECT(RBE_WORD(prompt, p), RBE_WORD(original, a),
                                                  RBE_WORD(model, b)));
        free(p);
        free(a);
        free(b);
    }
    return all;
}

static json_t *author_json(const struct generation *g, size_t m)
{
    const struct author *a = &g->author[m];

    return rbe_generation_samples(a->text, (size_t)g->p->tokens, &a->by, g->first,
                                  g->end - g->first);
}

/* A record without its samples, or NULL: out of memory. */
static json_t *describe(struct generation *g, size_t m)
{
    json_t *r = rbe_evaluation_record(g->e, RBE_KIND(generation), &g->e->runners[m]);

    if (!r || rbe_runner_record(&g->e->runners[0], r, RBE_KEY(base)) ||
        rbe_result_set_text(r, g->text_name, g->text_sha256, g->text_bytes)) {
        json_decref(r);
        return NULL;
    }
    const uint32_t *candidate[MOST_CANDIDATES];
    size_t fewest = MOST_CANDIDATES;
    for (size_t i = 0; i < (size_t)g->p->prompts; i++) {
        const size_t n = take_candidates(g, i, candidate);
        fewest = n < fewest ? n : fewest;
    }
    RBE_SET(r, RBE_INT(prompts_total, g->p->prompts), RBE_INT(first_prompt, g->first),
            RBE_INT(prompt_tokens, g->p->prompt_tokens), RBE_INT(tokens, g->p->tokens),
            RBE_INT(candidates, fewest), RBE_INT(candidates_apart, g->apart),
            RBE_INT(relevance_skips, RBE_RELEVANCE_SKIP),
            RBE_JSON(sampling, RBE_OBJECT(RBE_REAL(temperature, (double)g->p->how.temperature),
                                          RBE_INT(top_k, g->p->how.top_k),
                                          RBE_REAL(top_p, (double)g->p->how.top_p),
                                          RBE_INT(seed, g->p->how.seed))),
            RBE_INT(samples_kept,
                    g->p->samples < g->p->prompts ? g->p->samples : g->p->prompts));
    return r;
}

/* A fresh record in *out. */
static enum rbe_status make_record(json_t **out, struct generation *g, size_t m,
                                   struct rbe_diag *d)
{
    json_t *r = describe(g, m);

    *out = NULL;
    if (!r)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    RBE_SET(r, RBE_JSON(samples, samples_json(g, m)),
            RBE_JSON(per_prompt, RBE_OBJECT(RBE_JSON(original, author_json(g, 0)),
                                            RBE_JSON(model, author_json(g, m)))));
    const enum rbe_status err = rbe_generation_summarise(r, d);
    if (err)
        json_decref(r);
    else
        *out = r;
    return err;
}

/* --- measuring --------------------------------------------------------------------------- */

/* What is finished already, by the rows of all models. */
static enum rbe_status resume(struct generation *g, size_t *done, struct rbe_diag *d)
{
    const size_t count = g->end - g->first;

    *done = count;
    for (size_t m = 1; m < g->e->model_count; m++) {
        json_t *like = describe(g, m);
        if (!like)
            return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        const json_t *r = RBE_VALUE_AT(rbe_merge_find(g->e->old, like), per_prompt);
        const size_t room = (size_t)g->p->tokens;
        const size_t a = rbe_generation_restore(RBE_VALUE_AT(r, original), g->author[0].text,
                                                room, &g->author[0].by, g->first, count);
        const size_t b = rbe_generation_restore(RBE_VALUE_AT(r, model), g->author[m].text, room,
                                                &g->author[m].by, g->first, count);
        *done = a < *done ? a : *done;
        *done = b < *done ? b : *done;
        json_decref(like);
    }
    /* What one model had more than another is written again. */
    for (size_t m = 0; m < g->e->model_count; m++)
        for (size_t i = g->first + *done; i < g->end; i++)
            g->author[m].by.length[i] = 0;
    return RBE_OK;
}

struct lane_work {
    struct generation *g;
    struct rbe_scorer *scorer;  /* [lane], on the lane's session of the original */
};

static enum rbe_status write_and_judge(void *arg, unsigned lane, struct rbe_runner *r, size_t i,
                                       struct rbe_diag *d)
{
    const struct lane_work *w = arg;
    const size_t models = w->g->e->model_count;
    struct rbe_scorer *s = &w->scorer[lane];
    enum rbe_status err = RBE_OK;

    for (size_t m = 0; m < models && !err; m++)
        err = write_one(w->g, &r[m], m, i, d);
    /* The author has used the judge's session. */
    s->held_count = 0;
    return err ? err : judge(w->g, s, i, d);
}

static enum rbe_status work(struct generation *g, struct rbe_diag *d)
{
    const size_t models = g->e->model_count, count = g->end - g->first;
    struct rbe_lanes l;
    struct lane_work w = {.g = g};
    size_t before = 0, done = 0;
    enum rbe_status err = g->e->old ? resume(g, &before, d) : RBE_OK;

    if (err || (err = rbe_lanes_open(&l, g->e->runners, models, count, ROWS, g->e->pool, d)))
        return err;
    if (!(w.scorer = calloc(l.count, sizeof *w.scorer)))
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (unsigned t = 0; t < l.count && !err; t++)
        err = rbe_scorer_open(&w.scorer[t], &l.runner[t * models], d);
    if (!err)
        err = rbe_lanes_run(&l, g->first + before, count - before, write_and_judge, &w,
                            "generation", "prompts", &done, d);
    for (unsigned t = 0; w.scorer && t < l.count; t++)
        rbe_scorer_close(&w.scorer[t]);
    free(w.scorer);
    rbe_lanes_close(&l);
    done += before;
    g->end = g->first + done;
    for (size_t m = 1; m < models && !err && done; m++) {
        json_t *r;
        if ((err = make_record(&r, g, m, d)))
            break;
        err = rbe_evaluation_emit(g->e, r, d);
    }
    if (!err && done < count)
        err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted after %zu of %zu prompts%s", done,
                       count, g->e->saved ? "; --resume goes on" : "");
    return err;
}

enum rbe_status rbe_measure_generation(const struct rbe_evaluation *e,
                                       const struct rbe_generation_plan *p,
                                       const struct rbe_tokenizer *t, struct rbe_diag *d)
{
    struct generation g = {.e = e, .p = p, .t = t};
    size_t count;
    enum rbe_status err =
        rbe_evaluation_share(e, (size_t)p->prompts, "prompts", &g.first, &count, d);

    if (err)
        return err;
    g.end = g.first + count;
    if (!(err = allocate(&g, d)) && !(err = take_prompts(&g, d)))
        err = work(&g, d);
    free_authors(&g);
    return err;
}
