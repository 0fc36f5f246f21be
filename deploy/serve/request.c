/*
 * request.c - what a client asks for, read from JSON.
 *
 * SPDX-License-Identifier: MIT
 */
#include "deploy/serve/request.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/json.h"
#include "base/utf8.h"
#include "model/conversation.h"

/* What is known, and what is taken without being looked at. */
static const char *const known[] = {
    "id", "prompt", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p",
    "top_k", "seed", "stop", "stream", "echo", "logprobs", "n", "best_of", "presence_penalty",
    "frequency_penalty",
    "model", "user", "metadata", "store", "stream_options", "service_tier"};

struct reader {
    struct rbe_request *r;
    const json_t *o;
    const struct rbe_request_limits *l;
    struct rbe_diag *d;
};

/* The member, or NULL where it is missing or null. */
static const json_t *member(const struct reader *p, const char *name)
{
    const json_t *v = json_object_get(p->o, name);

    return json_is_null(v) ? NULL : v;
}

static enum rbe_status read_number(const struct reader *p, const char *name, double least,
                                   double most, bool integer, double *out)
{
    const json_t *v = member(p, name);

    if (!v)
        return RBE_OK;
    const double x = json_number_value(v);
    if (!json_is_number(v) || (integer && !json_is_integer(v)) || !(x >= least && x <= most))
        return rbe_fail(p->d, RBE_ERR_ARG, "\"%s\": want %s from %g to %g", name,
                        integer ? "an integer" : "a number", least, most);
    *out = x;
    return RBE_OK;
}

static enum rbe_status read_bool(const struct reader *p, const char *name, bool *out)
{
    const json_t *v = member(p, name);

    if (v && !json_is_boolean(v))
        return rbe_fail(p->d, RBE_ERR_ARG, "\"%s\": want true or false", name);
    *out = json_is_true(v);
    return RBE_OK;
}

/* An id goes into topics and heads of HTTP, and to people's terminals. */
static enum rbe_status read_id(const struct reader *p)
{
    const json_t *v = member(p, "id");
    const size_t n = json_string_length(v);

    if (!v)
        return RBE_OK;
    if (!json_is_string(v) || !n || n > RBE_REQUEST_ID)
        return rbe_fail(p->d, RBE_ERR_ARG, "\"id\": want a text of 1 to %d bytes",
                        (int)RBE_REQUEST_ID);
    for (size_t i = 0; i < n; i++)
        if (json_string_value(v)[i] < '!' || json_string_value(v)[i] > '~')
            return rbe_fail(p->d, RBE_ERR_ARG,
                            "\"id\": want letters, digits and signs of ASCII, no blanks");
    if (!(p->r->id = strdup(json_string_value(v))))
        return rbe_fail(p->d, RBE_ERR_NOMEM, "out of memory");
    return RBE_OK;
}

static enum rbe_status refuse_unknown(const struct reader *p)
{
    const char *name;
    json_t *v;

    json_object_foreach((json_t *)(uintptr_t)p->o, name, v) {
        bool found = json_is_null(v);
        for (size_t i = 0; i < sizeof known / sizeof known[0] && !found; i++)
            found = !strcmp(name, known[i]);
        if (!found)
            return rbe_fail(p->d, RBE_ERR_ARG, "\"%.100s\": not known here", name);
    }
    return RBE_OK;
}

static enum rbe_status read_settings(const struct reader *p)
{
    struct rbe_request *r = p->r;
    double tokens = -1, temperature = 1, top_p = 1, top_k = 0, seed = 0, one = 1, none = 0;
    double logprobs = -1;
    enum rbe_status err;

    if ((err = read_number(p, "max_tokens", 0, p->l->max_tokens, true, &tokens)) ||
        (err = read_number(p, "max_completion_tokens", 0, p->l->max_tokens, true, &tokens)) ||
        (err = read_number(p, "temperature", 0, 100, false, &temperature)) ||
        (err = read_number(p, "top_p", 1e-6, 1, false, &top_p)) ||
        (err = read_number(p, "top_k", 0, 1e6, true, &top_k)) ||
        (err = read_number(p, "seed", -0x1p53, 0x1p53, true, &seed)) ||
        (err = read_number(p, "n", 1, 1, true, &one)) ||
        (err = read_number(p, "best_of", 1, 1, true, &one)) ||
        (err = read_number(p, "presence_penalty", 0, 0, false, &none)) ||
        (err = read_number(p, "frequency_penalty", 0, 0, false, &none)) ||
        (err = read_bool(p, "stream", &r->stream)) || (err = read_bool(p, "echo", &r->echo)))
        return err;
    /* Chat completions say "logprobs": false. */
    if (!json_is_false(member(p, "logprobs")) &&
        (err = read_number(p, "logprobs", 0, RBE_REQUEST_LOGPROBS, true, &logprobs)))
        return err;
    r->max_tokens = tokens < 0 ? UINT32_MAX : (uint32_t)tokens;
    r->logprobs = (int)logprobs;
    r->seeded = member(p, "seed") != NULL;
    r->sampling = (struct rbe_sampling){.temperature = (float)temperature,
                                        .top_p = (float)top_p, .top_k = (uint32_t)top_k,
                                        .seed = (uint64_t)(int64_t)seed};
    if (r->stream && (r->logprobs >= 0 || r->echo))
        return rbe_fail(p->d, RBE_ERR_ARG, "\"stream\" with \"echo\" or \"logprobs\"");
    return RBE_OK;
}

static enum rbe_status read_stops(const struct reader *p)
{
    const json_t *v = member(p, "stop");
    const size_t n = json_is_array(v) ? json_array_size(v) : v ? 1 : 0;

    if (n > RBE_REQUEST_STOPS)
        return rbe_fail(p->d, RBE_ERR_ARG, "\"stop\": want at most %d texts",
                        (int)RBE_REQUEST_STOPS);
    for (size_t i = 0; i < n; i++) {
        const json_t *s = json_is_array(v) ? json_array_get(v, i) : v;
        if (!json_is_string(s) || !json_string_length(s) || json_string_length(s) > 256)
            return rbe_fail(p->d, RBE_ERR_ARG, "\"stop\": want texts of 1 to 256 bytes");
        if (!(p->r->stops[p->r->stop_count] = strdup(json_string_value(s))))
            return rbe_fail(p->d, RBE_ERR_NOMEM, "out of memory");
        p->r->stop_count++;
    }
    return RBE_OK;
}

/* --- prompts ----------------------------------------------------------------------------- */

static bool is_tokens(const json_t *v)
{
    return json_is_array(v) && json_array_size(v) && json_is_integer(json_array_get(v, 0));
}

static enum rbe_status read_tokens(const struct reader *p, const json_t *v,
                                   struct rbe_prompt *out)
{
    const size_t n = json_array_size(v);
    const uint32_t vocab = rbe_tokenizer_vocab(p->l->tokenizer);

    if (n > p->l->context)
        return rbe_fail(p->d, RBE_ERR_ARG, "a prompt of %zu tokens: the context is %u", n,
                        p->l->context);
    if (!(out->ids = malloc(n * sizeof *out->ids)))
        return rbe_fail(p->d, RBE_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const json_t *t = json_array_get(v, i);
        const json_int_t id = json_integer_value(t);
        if (!json_is_integer(t) || id < 0 || id >= (json_int_t)vocab)
            return rbe_fail(p->d, RBE_ERR_ARG, "\"prompt\": token %zu is not of the vocabulary",
                            i);
        out->ids[i] = (uint32_t)id;
    }
    out->n = n;
    return RBE_OK;
}

static enum rbe_status read_prompt(const struct reader *p, const json_t *v,
                                   struct rbe_prompt *out)
{
    const struct rbe_tokenizer *t = p->l->tokenizer;
    uint32_t *ids, begin;
    size_t n;

    if (is_tokens(v))
        return read_tokens(p, v, out);
    if (!json_is_string(v))
        return rbe_fail(p->d, RBE_ERR_ARG,
                        "\"prompt\": want a text, a list of tokens, or a list of these");
    enum rbe_status err = rbe_tokenizer_encode(t, json_string_value(v), json_string_length(v),
                                               false, &ids, &n, p->d);
    if (err)
        return err == RBE_ERR_FORMAT ? RBE_ERR_ARG : err;
    const size_t lead = rbe_tokenizer_begin(t, &begin) ? 1 : 0;
    if ((out->ids = malloc((n + lead + 1) * sizeof *out->ids))) {
        if (lead)
            out->ids[0] = begin;
        if (n)
            memcpy(out->ids + lead, ids, n * sizeof *ids);
        out->n = n + lead;
    } else {
        err = rbe_fail(p->d, RBE_ERR_NOMEM, "out of memory");
    }
    free(ids);
    return err;
}

static enum rbe_status read_prompts(const struct reader *p, const json_t *v)
{
    const bool many = json_is_array(v) && !is_tokens(v);
    const size_t n = many ? json_array_size(v) : 1;
    enum rbe_status err = RBE_OK;

    if (!n || n > RBE_REQUEST_PROMPTS)
        return rbe_fail(p->d, RBE_ERR_ARG, "\"prompt\": want 1 to %d of them",
                        (int)RBE_REQUEST_PROMPTS);
    if (!(p->r->prompts = calloc(n, sizeof *p->r->prompts)))
        return rbe_fail(p->d, RBE_ERR_NOMEM, "out of memory");
    p->r->count = n;
    for (size_t i = 0; i < n && !err; i++)
        err = read_prompt(p, many ? json_array_get(v, i) : v, &p->r->prompts[i]);
    return err;
}

static enum rbe_status read_messages(const struct reader *p, const json_t *v)
{
    const size_t n = json_array_size(v);
    struct rbe_request *r = p->r;
    enum rbe_status err = RBE_OK;

    if (!json_is_array(v) || !n || n > 1000)
        return rbe_fail(p->d, RBE_ERR_ARG, "\"messages\": want a list of 1 to 1000");
    if (r->echo || r->logprobs >= 0)
        return rbe_fail(p->d, RBE_ERR_ARG, "\"messages\" with \"echo\" or \"logprobs\"");
    struct rbe_message *m = calloc(n, sizeof *m);
    r->prompts = calloc(1, sizeof *r->prompts);
    if (!m || !r->prompts) {
        free(m);
        return rbe_fail(p->d, RBE_ERR_NOMEM, "out of memory");
    }
    r->chat = true;
    r->count = 1;
    for (size_t i = 0; i < n && !err; i++) {
        const json_t *o = json_array_get(v, i);
        m[i].role = json_string_value(json_object_get(o, "role"));
        m[i].text = json_string_value(json_object_get(o, "content"));
        if (!m[i].role || !m[i].text ||
            (strcmp(m[i].role, "system") && strcmp(m[i].role, "user") &&
             strcmp(m[i].role, "assistant")))
            err = rbe_fail(p->d, RBE_ERR_ARG, "\"messages\": want each with a \"role\" "
                           "(system, user, assistant) and a text as \"content\"");
    }
    if (!err && strcmp(m[n - 1].role, "user"))
        err = rbe_fail(p->d, RBE_ERR_ARG, "\"messages\": want the last one of a user");
    if (!err) {
        err = rbe_conversation_tokens(&r->prompts->ids, &r->prompts->n, &r->end,
                                      p->l->tokenizer, p->l->plain, m, n, p->d);
        err = err == RBE_ERR_FORMAT ? RBE_ERR_ARG : err;
    }
    free(m);
    return err;
}

/* Does each fit, with an answer? */
static enum rbe_status check_room(const struct reader *p)
{
    struct rbe_request *r = p->r;
    const uint32_t context = p->l->context;
    size_t longest = 0;

    for (size_t i = 0; i < r->count; i++) {
        const size_t n = r->prompts[i].n;
        longest = n > longest ? n : longest;
        if (!n)
            return rbe_fail(p->d, RBE_ERR_ARG, "an empty prompt");
    }
    if (longest > context)
        return rbe_fail(p->d, RBE_ERR_ARG, "a prompt of %zu tokens: the context is %u", longest,
                        context);
    if (r->max_tokens == UINT32_MAX) {
        const uint32_t left = context - (uint32_t)longest;
        r->max_tokens = left < p->l->max_tokens ? left : p->l->max_tokens;
        if (!left)
            return rbe_fail(p->d, RBE_ERR_ARG, "a prompt of %zu tokens fills the context",
                            longest);
    }
    if (longest + r->max_tokens > context)
        return rbe_fail(p->d, RBE_ERR_ARG, "a prompt of %zu tokens and an answer of %u: the "
                        "context is %u", longest, r->max_tokens, context);
    return RBE_OK;
}

/* The request as it is compared and kept. */
static enum rbe_status keep_text(const struct reader *p)
{
    json_t *o = json_copy((json_t *)(uintptr_t)p->o);

    json_object_del(o, "id");
    json_object_del(o, "stream");
    p->r->text = o ? json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(o);
    if (!p->r->text)
        return rbe_fail(p->d, RBE_ERR_NOMEM, "out of memory");
    p->r->hash = XXH3_64bits(p->r->text, strlen(p->r->text));
    return RBE_OK;
}

/* Levels of lists and objects; more than `most` count as one more. */
static size_t depth(const json_t *v, size_t most)
{
    size_t deepest = 0, i;
    const char *name;
    json_t *one;

    if (!json_is_array(v) && !json_is_object(v))
        return 0;
    if (!most)
        return 1;
    json_array_foreach((json_t *)(uintptr_t)v, i, one) {
        const size_t n = depth(one, most - 1);
        deepest = n > deepest ? n : deepest;
    }
    json_object_foreach((json_t *)(uintptr_t)v, name, one) {
        const size_t n = depth(one, most - 1);
        deepest = n > deepest ? n : deepest;
    }
    return deepest + 1;
}

static enum rbe_status read_all(const struct reader *p)
{
    enum rbe_status err;

    if (!json_is_object(p->o))
        return rbe_fail(p->d, RBE_ERR_ARG, "want a JSON object");
    /* It is kept as a part of others, which must be read again. */
    if (depth(p->o, RBE_REQUEST_DEPTH) > RBE_REQUEST_DEPTH)
        return rbe_fail(p->d, RBE_ERR_ARG, "more than %d levels of lists and objects",
                        (int)RBE_REQUEST_DEPTH);
    if ((err = read_id(p)) || (err = refuse_unknown(p)))
        return err;
    const json_t *prompt = member(p, "prompt"), *messages = member(p, "messages");
    p->r->asks = p->r->id && json_object_size(p->o) == 1;
    if (p->r->asks)
        return RBE_OK;
    if (!prompt == !messages)
        return rbe_fail(p->d, RBE_ERR_ARG, "want either \"prompt\" or \"messages\"");
    if ((err = read_settings(p)) || (err = read_stops(p)) ||
        (err = prompt ? read_prompts(p, prompt) : read_messages(p, messages)) ||
        (err = check_room(p)))
        return err;
    return keep_text(p);
}

enum rbe_status rbe_request_read(struct rbe_request **out, const json_t *o,
                                 const struct rbe_request_limits *l, struct rbe_diag *d)
{
    struct rbe_request *r = *out = calloc(1, sizeof *r);

    if (!r)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    r->end = UINT32_MAX;
    r->logprobs = -1;
    const enum rbe_status err = read_all(&(struct reader){r, o, l, d});
    if (err) {
        char *id = r->id;
        r->id = NULL;
        rbe_request_free(out);
        if (id && (*out = calloc(1, sizeof *r)))
            (*out)->id = id;
        else
            free(id);
    }
    return err;
}

enum rbe_status rbe_request_parse(struct rbe_request **out, const char *text, size_t size,
                                  const struct rbe_request_limits *l, struct rbe_diag *d)
{
    json_t *o;
    json_error_t e;

    *out = NULL;
    enum rbe_status err = rbe_json_load(&o, text, size, JSON_REJECT_DUPLICATES, &e, "request",
                                        d);
    if (err == RBE_ERR_FORMAT)
        return rbe_fail(d, RBE_ERR_ARG, "not JSON: %s", e.text);
    if (!err)
        err = rbe_request_read(out, o, l, d);
    json_decref(o);
    return err;
}

void rbe_request_free(struct rbe_request **pp)
{
    struct rbe_request *r = *pp;

    if (!r)
        return;
    for (size_t i = 0; i < r->count; i++)
        free(r->prompts[i].ids);
    free(r->prompts);
    for (size_t i = 0; i < r->stop_count; i++)
        free(r->stops[i]);
    free(r->id);
    free(r->text);
    free(r);
    *pp = NULL;
}
