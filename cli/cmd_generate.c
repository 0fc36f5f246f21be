/*
 * cmd_generate.c - `rbe generate`: text after a prompt, streamed, with its timing.
 *
 * SPDX-License-Identifier: MIT
 */
#include <jansson.h>
#include <malloc.h>
#include <rbe/sampler.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cpus.h"
#include "base/memory.h"
#include "base/progress.h"
#include "base/result.h"
#include "base/text.h"
#include "cli/arguments.h"
#include "model/data.h"
#include "model/lookup.h"
#include "model/model.h"

struct generation {
    const struct rbe_generate_args *a;
    const char *path;
    struct rbe_model *model;
    struct rbe_tokenizer *tokenizer;    /* NULL: ids only */
    struct rbe_diag no_tokenizer;       /* why */
    struct rbe_pool *pool;
    struct rbe_session *session;
    struct rbe_sampler *sampler;
    struct rbe_lookup *lookup;
    uint32_t *ids;                      /* the prompt, then what is generated */
    size_t prompt_count, count;
    enum rbe_kv_cache kv;
    double started, load_s, first_s, total_s;
};

/* From here on the kernel refuses what passes the limit. */
static enum rbe_status set_limit(const struct rbe_generate_args *o, struct rbe_diag *d)
{
    const struct rlimit r = {.rlim_cur = (rlim_t)o->memory_limit,
                             .rlim_max = (rlim_t)o->memory_limit};

    if (!o->memory_limit)
        return RBE_OK;
    /* One heap for all threads: each of its own would reserve 64 MB of addresses. */
    mallopt(M_ARENA_MAX, 1);
    return setrlimit(RLIMIT_AS, &r) ? rbe_fail_errno(d, "--memory-limit") : RBE_OK;
}

/* The token that belongs before a text, unless the prompt has it. */
static enum rbe_status begin_prompt(struct generation *g, struct rbe_diag *d)
{
    uint32_t begin;

    if (!g->prompt_count || !rbe_tokenizer_begin(g->tokenizer, &begin) || g->ids[0] == begin)
        return RBE_OK;
    uint32_t *ids = realloc(g->ids, (g->prompt_count + 1) * sizeof *ids);
    if (!ids)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    g->ids = ids;
    memmove(ids + 1, ids, g->prompt_count++ * sizeof *ids);
    ids[0] = begin;
    return RBE_OK;
}

static enum rbe_status read_prompt(struct generation *g, struct rbe_diag *d)
{
    const struct rbe_model_config *c = rbe_model_config(g->model);
    enum rbe_status err = RBE_OK;
    char *text = NULL;
    size_t size = 0;
    struct rbe_diag why = {""};

    if (g->a->prompt_file && (err = rbe_read_text(&text, &size, NULL, g->a->prompt_file, d)))
        return err;
    if (!text && g->a->prompt) {
        if (!(text = strdup(g->a->prompt)))
            return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        size = strlen(g->a->prompt);
    }
    if (size && !g->tokenizer)
        err = rbe_fail(d, RBE_ERR_MISMATCH, "a prompt needs a tokenizer: %s",
                       g->no_tokenizer.text);
    else if (size && (err = rbe_tokenizer_encode(g->tokenizer, text, size,
                                                 !strcmp(g->a->special, "parse"), &g->ids,
                                                 &g->prompt_count, &why)))
        err = rbe_fail(d, err, "%s: %s", g->a->prompt_file ? g->a->prompt_file : "--prompt",
                       why.text);
    free(text);
    if (err || (err = begin_prompt(g, d)))
        return err;
    /* Without a prompt the text starts after an end of text. */
    const size_t given = g->prompt_count ? g->prompt_count : 1;
    if (given + (size_t)g->a->tokens > c->n_ctx)
        return rbe_fail(d, RBE_ERR_ARG, "%zu tokens of prompt and %d to generate: the context "
                        "is %u", given, g->a->tokens, c->n_ctx);
    uint32_t *ids = realloc(g->ids, (given + (size_t)g->a->tokens) * sizeof *ids);
    if (!ids)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    g->ids = ids;
    if (!g->prompt_count)
        ids[0] = c->eos;
    g->prompt_count = g->count = given;
    return RBE_OK;
}

static enum rbe_status prepare(struct generation *g, struct rbe_diag *d)
{
    const struct rbe_generate_args *o = g->a;
    const enum rbe_guessing when = o->lookup ? RBE_GUESS_WHERE_IT_PAYS : RBE_GUESS_NEVER;
    enum rbe_status err;
    size_t bytes;

    if ((err = rbe_model_open_bytes(&bytes, g->path, d)) ||
        (err = rbe_memory_check(g->path, bytes, (size_t)o->memory_limit, d)) ||
        (err = rbe_memory_check_quota(g->path, bytes, d)) ||
        (err = set_limit(o, d)) ||
        (err = rbe_model_open(&g->model, g->path, d)))
        return err;
    const struct rbe_model_config *c = rbe_model_config(g->model);
    /* A synthetic model runs without a tokenizer; one that was named or lies beside the model
     * must be right. */
    err = rbe_find_tokenizer(&g->tokenizer, o->tokenizer, g->path, c, &g->no_tokenizer);
    if (err && (o->tokenizer || err == RBE_ERR_NOMEM || rbe_has_tokenizer(g->path))) {
        *d = g->no_tokenizer;
        return err;
    }
    if ((err = read_prompt(g, d)))
        return err;
    const uint32_t room = (uint32_t)(g->prompt_count + (size_t)o->tokens);
    const struct rbe_session_limits l = {.max_tokens = room,
                                         .max_batch =
                                             o->memory_limit || rbe_memory_quota() ? 32 : 0,
                                         .max_logits = rbe_lookup_rows(when),
                                         .kv_cache = g->kv};
    const size_t logits = c->vocab * sizeof(float);
    const size_t session = rbe_session_bytes(g->model, l) + (2 + l.max_logits) * logits;
    if ((err = rbe_memory_check("the session", session, (size_t)o->memory_limit, d)) ||
        (err = rbe_memory_check_quota(g->path, bytes + session, d)) ||
        (err = rbe_pool_open(&g->pool, (unsigned)o->threads, d)) ||
        (err = rbe_session_open(&g->session, g->model, l, g->pool, d)))
        return err;
    rbe_warn_threads(g->a->call.name, rbe_pool_threads(g->pool));
    /* Rows of padding have no text. */
    g->sampler = rbe_sampler_open(g->tokenizer ? rbe_tokenizer_vocab(g->tokenizer) : c->vocab,
                                  o->how);
    if (!g->sampler)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if ((err = rbe_lookup_open(&g->lookup, g->session, g->model, when, d)))
        return err;
    g->load_s = rbe_now() - g->started;
    return RBE_OK;
}

static void print_token(const struct generation *g, uint32_t id)
{
    size_t size;

    if (g->a->json)
        return;
    if (g->tokenizer) {
        const char *b = rbe_tokenizer_bytes(g->tokenizer, id, &size);
        fwrite(b, 1, size, stdout);
    } else {
        printf(" %u", id);
    }
    fflush(stdout);
}

static enum rbe_status run(struct generation *g, struct rbe_diag *d)
{
    const uint32_t eos = rbe_model_config(g->model)->eos;
    const size_t end = g->count + (size_t)g->a->tokens;
    const double t0 = rbe_now();
    const float *logits;
    size_t fed = 0;
    enum rbe_status err = RBE_OK;

    rbe_session_stop_early(g->session, true);
    /* Whoever read it may have gone. */
    while (g->count < end && !rbe_interrupted() && !ferror(stdout)) {
        if ((err = rbe_lookup_logits(g->lookup, g->ids, g->count, &logits, d)))
            break;
        /* Not before: a damaged model prints nothing. */
        if (!fed)
            rbe_progress_release(true);
        for (size_t i = 0; !fed && i < g->prompt_count; i++)
            if (g->ids[i] != eos)
                print_token(g, g->ids[i]);
        fed = g->count;
        const uint32_t id = rbe_sample(g->sampler, logits);
        if (g->count == g->prompt_count)
            g->first_s = rbe_now() - t0;
        if (id == eos && !g->a->ignore_eos)
            break;
        g->ids[g->count++] = id;
        print_token(g, id);
    }
    g->total_s = rbe_now() - t0;
    if (!g->a->json && fed)
        putchar('\n');
    if (err)
        return err;
    return rbe_interrupted() ? rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted") : RBE_OK;
}

static enum rbe_status print_json(const struct generation *g, bool interrupted,
                                  struct rbe_diag *d)
{
    const size_t made = g->count - g->prompt_count;
    json_t *prompt = json_array(), *ids = json_array();
    struct rusage ru = {0};
    char *text = NULL;

    getrusage(RUSAGE_SELF, &ru);
    for (size_t i = 0; i < g->count; i++)
        json_array_append_new(i < g->prompt_count ? prompt : ids, json_integer(g->ids[i]));
    if (g->tokenizer)
        text = rbe_tokenizer_text(g->tokenizer, g->ids + g->prompt_count, made, NULL);
    const char *path = rbe_model_path(g->model), *slash = strrchr(path, '/');
    json_t *j = json_pack(
        "{s:o, s:s?, s:b, s:o, s:o, s:s?, s:b, s:f, s:f, s:f, s:o, s:i, s:b, s:I, s:I, s:I, "
        "s:I, s:s, s:s}",
        "model", rbe_result_string(slash ? slash + 1 : path), "label",
        rbe_model_label(g->model), "rbe", rbe_model_is_rbe(g->model), "prompt_ids", prompt,
        "ids", ids, "text", text, "interrupted", interrupted, "load_s", g->load_s,
        "first_token_s", g->first_s, "total_s", g->total_s, "ms_per_token",
        made > 1 ? json_real((g->total_s - g->first_s) * 1e3 / (double)(made - 1))
                 : json_null(),
        "threads", (int)rbe_pool_threads(g->pool), "oversubscribed",
        rbe_oversubscribed(rbe_pool_threads(g->pool)), "model_bytes",
        (json_int_t)rbe_model_file_bytes(g->model), "bytes_per_token",
        (json_int_t)rbe_model_bytes_per_token(g->model), "peak_memory_bytes",
        (json_int_t)ru.ru_maxrss * 1024, "seed", (json_int_t)g->a->how.seed, "special",
        g->a->special, "kv_cache", rbe_kv_cache_name(rbe_session_kv_cache(g->session)));
    free(text);
    if (!j)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    json_dumpf(j, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(j);
    return RBE_OK;
}

static enum rbe_status find_model(const char **path, struct rbe_generate_args *a,
                                  struct rbe_diag *d)
{
    *path = a->model;
    if (a->model && a->call.count)
        return rbe_fail(d, RBE_ERR_ARG, "'%.60s': the model is already named by --model; a "
                        "prompt is given by -p", a->call.args[0]);
    if (a->call.count > 1 && !a->prompt)
        return rbe_fail(d, RBE_ERR_ARG, "one model, not %d; a prompt is given by -p",
                        a->call.count);
    if (a->call.count == 1 && strchr(a->call.args[0], ' ') && access(a->call.args[0], F_OK))
        return rbe_fail(d, RBE_ERR_ARG, "'%.60s': no such model; a prompt is given by -p",
                        a->call.args[0]);
    return a->model ? RBE_OK : rbe_call_only_model(path, &a->call, RBE_USUAL_MODEL, d);
}

/* RBE_ERR_ARG for what no model could do. */
enum rbe_status rbe_cmd_generate(struct rbe_generate_args *a, struct rbe_diag *d)
{
    struct generation g = {.a = a, .started = rbe_now()};
    enum rbe_status err = find_model(&g.path, a, d);

    if (err) {
        return err;
    } else if (a->prompt && a->prompt_file) {
        err = rbe_fail(d, RBE_ERR_ARG, "--prompt and --prompt-file exclude each other");
    } else if (strcmp(a->special, "parse") && strcmp(a->special, "text")) {
        err = rbe_fail(d, RBE_ERR_ARG, "--special %s: parse or text", a->special);
    } else if (!(err = rbe_kv_cache_parse(&g.kv, a->kv_cache, d))) {
        rbe_catch_interrupt();
        if (!(err = prepare(&g, d)))
            err = run(&g, d);
        /* What was made before an interrupt is kept. */
        struct rbe_diag more;
        const bool interrupted = err == RBE_ERR_INTERRUPTED && g.count > g.prompt_count;
        if (a->json && (!err || interrupted) && print_json(&g, interrupted, &more)) {
            err = RBE_ERR_NOMEM;
            *d = more;
        }
    }
    free(g.ids);
    rbe_sampler_close(&g.sampler);
    rbe_lookup_close(&g.lookup);
    rbe_session_close(&g.session);
    rbe_pool_close(&g.pool);
    rbe_tokenizer_close(&g.tokenizer);
    rbe_model_close(&g.model);
    return err;
}
