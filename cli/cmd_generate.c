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

#include "base/cpus.h"
#include "base/memory.h"
#include "base/progress.h"
#include "base/result.h"
#include "base/text.h"
#include "cli/command.h"
#include "model/data.h"
#include "model/model.h"

static const char command[] = "generate";

struct options {
    const char *model, *prompt, *prompt_file, *tokenizer, *special;
    int tokens, threads, top_k, json, ignore_eos;
    float temperature, top_p;
    long long seed, memory_limit;
};

struct generation {
    struct options o;
    struct rbe_model *model;
    struct rbe_tokenizer *tokenizer;    /* NULL: ids only */
    struct rbe_diag no_tokenizer;       /* why */
    struct rbe_pool *pool;
    struct rbe_session *session;
    struct rbe_sampler *sampler;
    float *logits;
    uint32_t *ids;                      /* the prompt, then what is generated */
    size_t prompt_count, count;
    double started, load_s, first_s, total_s;
};

/* From here on the kernel refuses what passes the limit. */
static enum rbe_status set_limit(const struct options *o, struct rbe_diag *d)
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

    if (g->o.prompt_file && (err = rbe_read_text(&text, &size, NULL, g->o.prompt_file, d)))
        return err;
    if (!text && g->o.prompt) {
        if (!(text = strdup(g->o.prompt)))
            return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        size = strlen(g->o.prompt);
    }
    if (size && !g->tokenizer)
        err = rbe_fail(d, RBE_ERR_MISMATCH, "a prompt needs a tokenizer: %s",
                       g->no_tokenizer.text);
    else if (size && (err = rbe_tokenizer_encode(g->tokenizer, text, size,
                                                 !strcmp(g->o.special, "parse"), &g->ids,
                                                 &g->prompt_count, &why)))
        err = rbe_fail(d, err, "%s: %s", g->o.prompt_file ? g->o.prompt_file : "--prompt",
                       why.text);
    free(text);
    if (err || (err = begin_prompt(g, d)))
        return err;
    /* Without a prompt the text starts after an end of text. */
    const size_t given = g->prompt_count ? g->prompt_count : 1;
    if (given + (size_t)g->o.tokens > c->n_ctx)
        return rbe_fail(d, RBE_ERR_ARG, "%zu tokens of prompt and %d to generate: the context "
                        "is %u", given, g->o.tokens, c->n_ctx);
    uint32_t *ids = realloc(g->ids, (given + (size_t)g->o.tokens) * sizeof *ids);
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
    const struct options *o = &g->o;
    enum rbe_status err;
    size_t bytes;

    if ((err = rbe_model_open_bytes(&bytes, o->model, d)) ||
        (err = rbe_memory_check(o->model, bytes, (size_t)o->memory_limit, d)) ||
        (err = set_limit(o, d)) ||
        (err = rbe_model_open(&g->model, o->model, d)))
        return err;
    const struct rbe_model_config *c = rbe_model_config(g->model);
    /* A synthetic model runs without a tokenizer; one that was named or lies beside the model
     * must be right. */
    err = rbe_find_tokenizer(&g->tokenizer, o->tokenizer, o->model, c, &g->no_tokenizer);
    if (err && (o->tokenizer || err == RBE_ERR_NOMEM || rbe_has_tokenizer(o->model))) {
        *d = g->no_tokenizer;
        return err;
    }
    if ((err = read_prompt(g, d)))
        return err;
    const uint32_t room = (uint32_t)(g->prompt_count + (size_t)o->tokens);
    const struct rbe_session_limits l = {.max_tokens = room,
                                         .max_batch = o->memory_limit ? 32 : 0};
    const size_t logits = c->vocab * sizeof(float);
    if ((err = rbe_memory_check("the session", rbe_session_bytes(g->model, l) + 3 * logits,
                                (size_t)o->memory_limit, d)) ||
        (err = rbe_pool_open(&g->pool, (unsigned)o->threads, d)) ||
        (err = rbe_session_open(&g->session, g->model, l, g->pool, d)))
        return err;
    rbe_warn_threads("generate", rbe_pool_threads(g->pool));
    const struct rbe_sampling how = {.temperature = o->temperature, .top_p = o->top_p,
                                     .top_k = (uint32_t)o->top_k, .seed = (uint64_t)o->seed};
    /* Rows of padding have no text. */
    g->sampler = rbe_sampler_open(g->tokenizer ? rbe_tokenizer_vocab(g->tokenizer) : c->vocab,
                                  how);
    g->logits = malloc(logits);
    if (!g->sampler || !g->logits)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    g->load_s = rbe_now() - g->started;
    return RBE_OK;
}

static void print_token(const struct generation *g, uint32_t id)
{
    size_t size;

    if (g->o.json)
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
    const size_t end = g->count + (size_t)g->o.tokens;
    const double t0 = rbe_now();
    size_t fed = 0;
    enum rbe_status err = RBE_OK;

    rbe_session_stop_early(g->session, true);
    /* Whoever read it may have gone. */
    while (g->count < end && !rbe_interrupted() && !ferror(stdout)) {
        if ((err = rbe_forward(g->session, g->ids + fed, g->count - fed, d)) ||
            (err = rbe_logits(g->session, RBE_LAST, 1, g->logits, d)))
            break;
        /* Not before: a damaged model prints nothing. */
        if (!fed)
            rbe_progress_release(true);
        for (size_t i = 0; !fed && i < g->prompt_count; i++)
            if (g->ids[i] != eos)
                print_token(g, g->ids[i]);
        fed = g->count;
        const uint32_t id = rbe_sample(g->sampler, g->logits);
        if (g->count == g->prompt_count)
            g->first_s = rbe_now() - t0;
        if (id == eos && !g->o.ignore_eos)
            break;
        g->ids[g->count++] = id;
        print_token(g, id);
    }
    g->total_s = rbe_now() - t0;
    if (!g->o.json && fed)
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
        "s:I, s:s}",
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
        (json_int_t)ru.ru_maxrss * 1024, "seed", (json_int_t)g->o.seed, "special",
        g->o.special);
    free(text);
    if (!j)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    json_dumpf(j, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(j);
    return RBE_OK;
}

/* RBE_ERR_ARG for what no model could do. */
static enum rbe_status check_options(const struct options *o, struct rbe_diag *d)
{
    if (o->prompt && o->prompt_file)
        return rbe_fail(d, RBE_ERR_ARG, "--prompt and --prompt-file exclude each other");
    if (o->tokens < 1)
        return rbe_fail(d, RBE_ERR_ARG, "--tokens %d: at least 1", o->tokens);
    if (strcmp(o->special, "parse") && strcmp(o->special, "text"))
        return rbe_fail(d, RBE_ERR_ARG, "--special %s: parse or text", o->special);
    if (!(o->temperature >= 0 && o->temperature <= 100))
        return rbe_fail(d, RBE_ERR_ARG, "--temperature: from 0 to 100");
    if (o->top_k < 0)
        return rbe_fail(d, RBE_ERR_ARG, "--top-k %d: 0 (all) or more", o->top_k);
    if (!(o->top_p > 0 && o->top_p <= 1))
        return rbe_fail(d, RBE_ERR_ARG, "--top-p: above 0, at most 1");
    if (o->threads < 0)
        return rbe_fail(d, RBE_ERR_ARG, "--threads %d: 0 (one for each CPU) or more",
                        o->threads);
    if (o->memory_limit < 0)
        return rbe_fail(d, RBE_ERR_ARG, "--memory-limit: 0 (none) or more bytes");
    return RBE_OK;
}

int rbe_cmd_generate(int argc, const char **argv)
{
    static struct generation g;     /* popt's copies stay reachable */
    g = (struct generation){.o = {.tokens = 100, .temperature = 0.8F, .top_p = 1,
                                  .special = "parse"},
                            .started = rbe_now()};
    struct options *o = &g.o;
    const struct poptOption table[] = {
        {"prompt", 'p', POPT_ARG_STRING, &o->prompt, 0, "text to go on from", "TEXT"},
        {"prompt-file", 0, POPT_ARG_STRING, &o->prompt_file, 0, "the same from a file", "FILE"},
        {"tokens", 'n', POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o->tokens, 0,
         "how many tokens to generate", "N"},
        {"temperature", 't', POPT_ARG_FLOAT | POPT_ARGFLAG_SHOW_DEFAULT, &o->temperature, 0,
         "0 always takes the likeliest", "X"},
        {"top-k", 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o->top_k, 0,
         "only among the K likeliest; 0: all", "K"},
        {"top-p", 0, POPT_ARG_FLOAT | POPT_ARGFLAG_SHOW_DEFAULT, &o->top_p, 0,
         "only among the likeliest that make up P", "P"},
        {"seed", 's', POPT_ARG_LONGLONG | POPT_ARGFLAG_SHOW_DEFAULT, &o->seed, 0,
         "same seed, same text", "N"},
        {"threads", 'j', POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o->threads, 0,
         "0: one for each CPU", "N"},
        {"tokenizer", 0, POPT_ARG_STRING, &o->tokenizer, 0,
         "folder of tokenizer.json, or of vocab.json and merges.txt", "FOLDER"},
        {"special", 0, POPT_ARG_STRING, &o->special, 0,
         "<|endoftext|> and other special tokens in the prompt: parse, the tokens, or text, "
         "the characters (default parse)", "HOW"},
        {"memory-limit", 0, POPT_ARG_LONGLONG, &o->memory_limit, 0,
         "run within this much address space, or refuse", "BYTES"},
        {"ignore-eos", 0, POPT_ARG_NONE, &o->ignore_eos, 0,
         "go on after an end of text", NULL},
        RBE_NO_VERIFY_OPTION,
        {"json", 0, POPT_ARG_NONE, &o->json, 0, "print ids, text and timing as JSON", NULL},
        POPT_TABLEEND};
    struct rbe_diag d = {""};
    enum rbe_status err;
    const char **args;
    char *shipped = NULL;
    int count, code;

    if (!rbe_parse(argc, argv, table, "[MODEL]",
                   "MODEL is a folder with config.json and model.safetensors (or the index of "
                   "its shards),\nor an RBE file; "
                   "without it, the model that ships.", &args, &count, &code))
        return code;
    o->model = count ? args[0] : (shipped = rbe_data_path("rbe-mini"));
    if (count > 1)
        err = rbe_fail(&d, RBE_ERR_ARG, "one model, not %d", count);
    else if (!o->model)
        err = rbe_fail(&d, RBE_ERR_IO, "the model that ships is nowhere; $RBE_DATA names its "
                       "folder");
    else if (!(err = check_options(o, &d))) {
        rbe_catch_interrupt();
        if (!(err = prepare(&g, &d)))
            err = run(&g, &d);
        /* What was made before an interrupt is kept. */
        struct rbe_diag more;
        const bool interrupted = err == RBE_ERR_INTERRUPTED && g.count > g.prompt_count;
        if (o->json && (!err || interrupted) && print_json(&g, interrupted, &more)) {
            err = RBE_ERR_NOMEM;
            d = more;
        }
    }
    free(g.logits);
    free(g.ids);
    rbe_sampler_close(&g.sampler);
    rbe_session_close(&g.session);
    rbe_pool_close(&g.pool);
    rbe_tokenizer_close(&g.tokenizer);
    rbe_model_close(&g.model);
    code = rbe_report_failure(command, err, &d);
    free(shipped);
    return code;
}
