/*
 * eval_worker.c - `rbe eval worker`: one generation in a process of its own, measured.
 *
 * SPDX-License-Identifier: MIT
 *
 * What eval inference and eval edge start as a child: loads a model, reads a prompt, makes
 * tokens greedily with batch 1, and prints one JSON object: load_s, prefill_ms,
 * first_token_ms, token_ms, generate_s, resident_bytes, peak_bytes, peak_virtual_bytes,
 * session_bytes.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/progress.h"
#include "base/result.h"
#include "base/rows.h"
#include "base/stats.h"
#include "cli/arguments.h"
#include "eval/child.h"
#include "eval/softmax.h"
#include "model/model.h"

static int report(const struct rbe_eval_worker_args *w, const double *ms, double load_s,
                  double prefill_ms, double generate_s, const struct rbe_usage *u,
                  size_t session_bytes)
{
    json_t *times = json_array();

    for (int i = 0; i < w->tokens; i++)
        json_array_append_new(times, json_real(ms[i]));
    json_t *o = RBE_OBJECT(
        RBE_INT(threads, w->threads), RBE_INT(prompt_tokens, w->prompt),
        RBE_INT(tokens, w->tokens), RBE_REAL(load_s, load_s), RBE_REAL(prefill_ms, prefill_ms),
        RBE_REAL(first_token_ms, prefill_ms + ms[0]), RBE_REAL(generate_s, generate_s),
        RBE_INT(resident_bytes, u->resident_bytes), RBE_INT(peak_bytes, u->peak_bytes),
        RBE_INT(peak_virtual_bytes, u->peak_virtual_bytes),
        RBE_INT(session_bytes, session_bytes), RBE_JSON(token_ms, times));
    if (!o)
        return -1;
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(o);
    return 0;
}

/* token_ms[0] is from the end of the prefill to the first token, the others from token to
 * token. */
static enum rbe_status work(const struct rbe_eval_worker_args *w, struct rbe_diag *d)
{
    struct rbe_pool *pool = NULL;
    struct rbe_model *m = NULL;
    struct rbe_session *s = NULL;
    float *logits = NULL;
    uint32_t *prompt = NULL;
    double *ms = NULL;
    uint64_t rng = 1;
    enum rbe_kv_cache kv;
    size_t bytes;
    enum rbe_status err;

    const double start = rbe_now();
    if ((err = rbe_kv_cache_parse(&kv, w->kv_cache, d)))
        return err;
    /* The threads' stacks count too: they are there before anything is compared. */
    if ((err = rbe_pool_open(&pool, (unsigned)w->threads, d)) ||
        (err = rbe_model_open_bytes(&bytes, w->model, d)) ||
        (err = rbe_memory_check("the model", bytes, rbe_memory_limit(), d)) ||
        (err = rbe_model_open(&m, w->model, d)))
        goto out;
    const struct rbe_model_config *c = rbe_model_config(m);
    const struct rbe_session_limits l = {.max_tokens = (uint32_t)(w->prompt + w->tokens),
                                         .max_batch = (uint32_t)w->prompt, .max_logits = 1,
                                         .kv_cache = kv};
    if (l.max_tokens > c->n_ctx) {
        err = rbe_fail(d, RBE_ERR_ARG, "%d tokens and %d more are beyond the model's %u",
                       w->prompt, w->tokens, c->n_ctx);
        goto out;
    }
    bytes = rbe_session_bytes(m, l) + c->vocab * sizeof *logits;
    if ((err = rbe_memory_check("the session", bytes, rbe_memory_limit(), d)))
        goto out;
    err = RBE_ERR_NOMEM;
    if (!(logits = malloc(c->vocab * sizeof *logits)) ||
        !(prompt = malloc((size_t)w->prompt * sizeof *prompt)) ||
        !(ms = calloc((size_t)w->tokens, sizeof *ms)))
        goto out;
    if ((err = rbe_session_open(&s, m, l, pool, d)))
        goto out;
    const double loaded = rbe_now();
    for (int i = 0; i < w->prompt; i++)
        prompt[i] = rbe_random_below(&rng, c->vocab);
    if ((err = rbe_forward(s, prompt, (size_t)w->prompt, d)))
        goto out;
    const double prefilled = rbe_now();
    double last = prefilled;
    for (int i = 0; i < w->tokens; i++) {
        if ((err = rbe_logits(s, RBE_LAST, 1, logits, d)))
            goto out;
        const uint32_t token = rbe_argmax(logits, c->vocab);
        const double now = rbe_now();
        ms[i] = 1e3 * (now - last);
        last = now;
        if (i + 1 < w->tokens && (err = rbe_forward(s, &token, 1, d)))
            goto out;
    }
    const struct rbe_usage u = rbe_usage_now();
    if (report(w, ms, loaded - start, 1e3 * (prefilled - loaded), last - loaded, &u,
               rbe_session_bytes(m, l)))
        err = RBE_ERR_NOMEM;
out:
    free(logits);
    free(prompt);
    free(ms);
    rbe_session_close(&s);
    rbe_model_close(&m);
    rbe_pool_close(&pool);
    return err;
}

enum rbe_status rbe_eval_worker(struct rbe_eval_worker_args *a, struct rbe_diag *d)
{
    /* glibc reserves 64 MiB of addresses for each thread's arena: one arena is enough. */
    mallopt(M_ARENA_MAX, 1);
    const enum rbe_status err =
        a->model ? work(a, d)
                 : rbe_fail(d, RBE_ERR_ARG, "wants --model PATH and no other argument");
    if (err == RBE_ERR_FORMAT || err == RBE_ERR_MISMATCH || err == RBE_ERR_NUMERIC)
        a->call.code = RBE_CHILD_FAULTY;
    return err;
}
