/*
 * engine.c - answers requests, one after the other.
 *
 * SPDX-License-Identifier: MIT
 */
#include "deploy/serve/engine.h"

#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/progress.h"
#include "base/text.h"
#include "base/threads.h"
#include "deploy/pieces.h"
#include "model/data.h"
#include "model/lookup.h"
#include "model/model.h"

enum { BATCH = 32 };

/* A session, and the tokens that its cache holds. */
struct slot {
    struct rbe_session *session;
    struct rbe_lookup *lookup;
    uint32_t *ids, n;           /* while an answer is made, one more that is not run yet */
    uint64_t used;              /* when, in requests */
};

struct rbe_engine {
    struct rbe_engine_options o;
    struct rbe_model *model;
    struct rbe_tokenizer *tokenizer;
    struct rbe_pool *pool;
    struct slot *slots;
    struct rbe_request_limits limits;
    char *name;
    uint32_t vocab;             /* rows of logits */
    float *logits;              /* [BATCH][vocab] */
    uint64_t requests;
    struct rbe_engine_counts counts;
};

/* --- opening ------------------------------------------------------------------------------ */

static enum rbe_status open_slots(struct rbe_engine *e, size_t bytes, struct rbe_diag *d)
{
    const struct rbe_session_limits l = {.max_tokens = e->limits.context, .max_batch = BATCH,
                                         .max_logits = BATCH, .kv_cache = e->o.kv_cache};
    const enum rbe_guessing when = e->o.lookup ? RBE_GUESS_WHERE_IT_PAYS : RBE_GUESS_NEVER;
    const size_t logits = (size_t)rbe_lookup_rows(when) * e->vocab * sizeof *e->logits;
    enum rbe_status err = rbe_memory_check_quota(
        e->o.model, bytes + e->o.sessions * (logits + rbe_session_bytes(e->model, l)), d);

    for (uint32_t i = 0; i < e->o.sessions && !err; i++) {
        struct slot *s = &e->slots[i];
        if (!(s->ids = malloc(e->limits.context * sizeof *s->ids)))
            return rbe_fail(d, RBE_ERR_NOMEM, "out of memory for sessions");
        if (!(err = rbe_session_open(&s->session, e->model, l, e->pool, d)))
            err = rbe_lookup_open(&s->lookup, s->session, e->model, when, d);
    }
    return err;
}

static enum rbe_status open_engine(struct rbe_engine *e, struct rbe_diag *d)
{
    struct rbe_engine_options *o = &e->o;
    enum rbe_status err;
    size_t bytes;

    if ((err = rbe_model_open_bytes(&bytes, o->model, d)) ||
        (err = rbe_memory_check_quota(o->model, bytes, d)) ||
        (err = rbe_model_open(&e->model, o->model, d)))
        return err;
    const uint32_t all = rbe_model_context(e->model);
    if (o->context > all)
        return rbe_fail(d, RBE_ERR_ARG, "a context of %u tokens: %s has %u", o->context,
                        o->model, all);
    if ((err = rbe_find_tokenizer(&e->tokenizer, o->tokenizer, o->model,
                                  rbe_model_config(e->model), d)) ||
        (err = rbe_pool_open(&e->pool, o->threads, d)))
        return err;
    e->vocab = rbe_model_vocab(e->model);
    e->limits = (struct rbe_request_limits){.tokenizer = e->tokenizer,
                                            .context = o->context ? o->context : all,
                                            .plain = o->plain};
    e->limits.max_tokens = o->max_tokens;
    if (e->limits.max_tokens > e->limits.context)
        e->limits.max_tokens = e->limits.context;
    if (!(e->name = rbe_path_name(o->model)) ||
        !(e->logits = malloc((size_t)BATCH * e->vocab * sizeof *e->logits)) ||
        !(e->slots = calloc(o->sessions, sizeof *e->slots)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory for sessions");
    return open_slots(e, bytes, d);
}

enum rbe_status rbe_engine_open(struct rbe_engine **out, const struct rbe_engine_options *o,
                                struct rbe_diag *d)
{
    struct rbe_engine *e = calloc(1, sizeof *e);

    *out = NULL;
    if (!e)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    e->o = *o;
    const enum rbe_status err = open_engine(e, d);
    if (err)
        rbe_engine_close(&e);
    *out = e;
    return err;
}

void rbe_engine_close(struct rbe_engine **pp)
{
    struct rbe_engine *e = *pp;

    if (!e)
        return;
    for (uint32_t i = 0; e->slots && i < e->o.sessions; i++) {
        rbe_lookup_close(&e->slots[i].lookup);
        rbe_session_close(&e->slots[i].session);
        free(e->slots[i].ids);
    }
    free(e->slots);
    free(e->logits);
    free(e->name);
    rbe_pool_close(&e->pool);
    rbe_tokenizer_close(&e->tokenizer);
    rbe_model_close(&e->model);
    free(e);
    *pp = NULL;
}

const struct rbe_request_limits *rbe_engine_limits(const struct rbe_engine *e)
{
    return &e->limits;
}

const char *rbe_engine_name(const struct rbe_engine *e)
{
    return e->name;
}

const struct rbe_engine_counts *rbe_engine_counts(const struct rbe_engine *e)
{
    return &e->counts;
}

/* --- sessions ----------------------------------------------------------------------------- */

static uint32_t common(const struct slot *s, const struct rbe_prompt *p)
{
    uint32_t n = 0;

    while (n < s->n && n < p->n && s->ids[n] == p->ids[n])
        n++;
    return n;
}

/* The session for a prompt: *kept of its tokens are in the cache, never all, for the last one's
 * logits are needed. */
static struct slot *choose_slot(struct rbe_engine *e, const struct rbe_prompt *p,
                                uint32_t *kept)
{
    struct slot *best = &e->slots[0], *oldest = best;
    uint32_t most = 0;

    for (uint32_t i = 0; i < e->o.sessions; i++) {
        struct slot *s = &e->slots[i];
        const uint32_t n = common(s, p);
        if (n > most) {
            best = s;
            most = n;
        }
        if (s->used < oldest->used)
            oldest = s;
    }
    /* Another conversation with the same short beginning goes on to have its own cache; what
     * follows a prompt that is there whole was an answer to it. */
    if (best->n - most > most && most < p->n) {
        best = oldest;
        most = common(best, p);
    }
    *kept = most < p->n ? most : (uint32_t)p->n - 1;
    best->used = ++e->requests;
    return best;
}

static void cut(struct slot *s, uint32_t n)
{
    rbe_session_truncate(s->session, n);
    s->n = n;
}

static enum rbe_status run(struct slot *s, const uint32_t *ids, uint32_t n, struct rbe_diag *d)
{
    const enum rbe_status err = rbe_forward(s->session, ids, n, d);

    if (err) {
        cut(s, 0);
        return err;
    }
    memcpy(s->ids + s->n, ids, n * sizeof *ids);
    s->n += n;
    return RBE_OK;
}

/* --- log-probabilities -------------------------------------------------------------------- */

struct scores {
    json_t *tokens, *logprobs, *top, *offsets;
    size_t offset;              /* bytes of text so far */
    bool lost;                  /* out of memory */
};

/* A token's text; one that is a part of a character as OpenAI shows it: "bytes:\xe2\x80". */
static json_t *token_text(const struct rbe_engine *e, uint32_t id, size_t *size)
{
    const char *bytes = rbe_tokenizer_bytes(e->tokenizer, id, size);
    char shown[8 + 4 * 64];
    int n = 0;

    if (!bytes)
        *size = 0;
    if (!bytes || rbe_utf8_valid(bytes, *size) == *size)
        return json_stringn(bytes ? bytes : "", *size);
    n += snprintf(shown, sizeof shown, "bytes:");
    for (size_t i = 0; i < *size && i < 60; i++)
        n += snprintf(shown + n, sizeof shown - (size_t)n, "\\x%02x", (unsigned char)bytes[i]);
    return json_string(shown);
}

static double log_sum(const float *logits, uint32_t n)
{
    float most = logits[0];
    double sum = 0;

    for (uint32_t i = 1; i < n; i++)
        most = logits[i] > most ? logits[i] : most;
    for (uint32_t i = 0; i < n; i++)
        sum += exp((double)logits[i] - (double)most);
    return (double)most + log(sum);
}

/* One more token; logits, which it was chosen by, are NULL for the first. */
static void score(struct rbe_engine *e, struct scores *s, uint32_t id, const float *logits,
                  int count)
{
    uint32_t likely[RBE_REQUEST_LOGPROBS];
    int n = 0;
    size_t size;
    json_t *top = logits ? json_object() : json_null();
    const double sum = logits ? log_sum(logits, e->vocab) : 0;

    for (uint32_t i = 0; logits && i < e->vocab && count; i++) {
        if (n == count && logits[i] <= logits[likely[n - 1]])
            continue;
        int at = n < count ? n++ : n - 1;
        for (; at > 0 && logits[likely[at - 1]] < logits[i]; at--)
            likely[at] = likely[at - 1];
        likely[at] = i;
    }
    for (int i = n; i-- > 0;) { /* of two with the same text the likelier stays */
        json_t *text = token_text(e, likely[i], &size);
        s->lost |= !text || json_object_set_new_nocheck(
                                top, json_string_value(text),
                                json_real((double)logits[likely[i]] - sum)) != 0;
        json_decref(text);
    }
    s->lost |= json_array_append_new(s->tokens, token_text(e, id, &size)) ||
               json_array_append_new(s->logprobs, logits ? json_real((double)logits[id] - sum)
                                                         : json_null()) ||
               json_array_append_new(s->top, top) ||
               json_array_append_new(s->offsets, json_integer((json_int_t)s->offset));
    s->offset += size;
}

/* --- one answer --------------------------------------------------------------------------- */

struct answer {
    struct rbe_engine *e;
    const struct rbe_request *r;
    const struct rbe_prompt *prompt;
    size_t index;
    struct slot *slot;
    const atomic_bool *stop;
    double until;               /* rbe_now() */
    rbe_engine_part_fn *part;
    void *arg;
    struct rbe_pieces pieces;
    char *raw;                  /* bytes of the tokens */
    size_t raw_size, raw_sent;
    char *text;                 /* what went out */
    size_t size;
    uint32_t tokens;
    const char *finish;         /* NULL: goes on */
    bool left;                  /* nobody reads */
    bool lost;                  /* out of memory */
    struct scores scores;
};

static bool append(char **text, size_t *size, const char *more, size_t n)
{
    size_t room = 64;

    while (room <= *size + n)
        room *= 2;
    char *grown = realloc(*text, room);
    if (!grown)
        return false;
    *text = grown;
    memcpy(*text + *size, more, n);
    *size += n;
    (*text)[*size] = 0;
    return true;
}

/* A piece that is whole. */
static bool give(void *arg, const char *text, size_t n)
{
    struct answer *a = arg;

    if (a->r->chat && !a->size) {       /* the blank behind "Answer:" */
        const char *at = text;
        while (n && (*at == ' ' || *at == '\n'))
            at++, n--;
        text = at;
    }
    if (!n)
        return true;
    if (!append(&a->text, &a->size, text, n)) {
        a->lost = true;
        return false;
    }
    if (a->part && !a->part(a->arg, a->index, text, n))
        a->left = true;
    return !a->left;
}

/* Bytes at the end of raw that may be the beginning of a stop; *found: where one stands whole,
 * or SIZE_MAX. */
static size_t look_for_stops(const struct answer *a, size_t *found)
{
    size_t most = 0;

    *found = SIZE_MAX;
    for (size_t i = 0; i < a->r->stop_count; i++) {
        const char *stop = a->r->stops[i];
        const size_t n = strlen(stop);
        const char *at = memmem(a->raw + a->raw_sent, a->raw_size - a->raw_sent, stop, n);
        if (at && (size_t)(at - a->raw) < *found)
            *found = (size_t)(at - a->raw);
        for (size_t k = n - 1; k > most; k--)
            if (k <= a->raw_size - a->raw_sent &&
                !memcmp(a->raw + a->raw_size - k, stop, k))
                most = k;
    }
    return most;
}

/* Sends what of raw can no longer be taken back. */
static void send_on(struct answer *a, bool last)
{
    size_t found, hold = look_for_stops(a, &found), end = a->raw_size - (last ? 0 : hold);
    const char *newline = a->r->chat && a->r->end == UINT32_MAX
                              ? memchr(a->raw + a->raw_sent, '\n', a->raw_size - a->raw_sent)
                              : NULL;

    if (newline && (size_t)(newline - a->raw) < found)
        found = (size_t)(newline - a->raw);
    if (found != SIZE_MAX) {
        end = found;
        a->finish = "stop";
    }
    if (end > a->raw_sent)
        rbe_pieces_take(&a->pieces, a->raw + a->raw_sent, end - a->raw_sent);
    a->raw_sent = end > a->raw_sent ? end : a->raw_sent;
    if (last || a->finish)
        rbe_pieces_end(&a->pieces);
}

static bool is_over(struct answer *a)
{
    if (!a->finish && rbe_now() > a->until)
        a->finish = "time";
    return a->finish || a->left || a->lost || (a->stop && atomic_load(a->stop));
}

/* Reads the prompt, and scores it where that is asked for. */
static enum rbe_status read_prompt(struct answer *a, struct rbe_diag *d)
{
    struct rbe_engine *e = a->e;
    const struct rbe_prompt *p = a->prompt;
    const bool scored = a->r->echo && a->r->logprobs >= 0;
    uint32_t at;
    enum rbe_status err;

    a->slot = choose_slot(e, p, &at);
    if (scored)                 /* every token's logits are needed */
        at = 0;
    cut(a->slot, at);
    atomic_fetch_add(&e->counts.cached_tokens, at);
    if (scored)
        score(e, &a->scores, p->ids[0], NULL, 0);
    while (at < p->n && !is_over(a)) {
        const uint32_t left = (uint32_t)p->n - at, n = left < BATCH ? left : BATCH;
        if ((err = run(a->slot, p->ids + at, n, d)))
            return err;
        const uint32_t rows = scored ? n - (at + n == p->n) : 0;
        if (rows && (err = rbe_logits(a->slot->session, 0, rows, e->logits, d)))
            return err;
        for (uint32_t i = 0; i < rows; i++)
            score(e, &a->scores, p->ids[at + i + 1], e->logits + (size_t)i * e->vocab,
                  a->r->logprobs);
        at += n;
    }
    return RBE_OK;
}

/* The prompt's bytes, as the beginning of the answer. */
static void echo(struct answer *a)
{
    char *text = rbe_tokenizer_text(a->e->tokenizer, a->prompt->ids, a->prompt->n, NULL);

    a->lost |= !text || !append(&a->text, &a->size, text, strlen(text));
    free(text);
}

static enum rbe_status choose_tokens(struct answer *a, struct rbe_sampler *sampler,
                                     struct rbe_diag *d)
{
    struct rbe_engine *e = a->e;
    struct slot *const s = a->slot;
    const float *logits;
    enum rbe_status err;
    size_t size;

    while (!is_over(a)) {
        if (a->tokens == a->r->max_tokens) {
            a->finish = "length";
            break;
        }
        if ((err = rbe_lookup_logits(s->lookup, s->ids, s->n, &logits, d)))
            return err;
        const uint32_t id = rbe_sample(sampler, logits);
        a->tokens++;
        if (a->r->logprobs >= 0)
            score(e, &a->scores, id, logits, a->r->logprobs);
        if (id == rbe_tokenizer_eos(e->tokenizer) || id == a->r->end) {
            a->finish = "stop";
            break;
        }
        const char *bytes = rbe_tokenizer_bytes(e->tokenizer, id, &size);
        if (bytes && !append(&a->raw, &a->raw_size, bytes, size))
            a->lost = true;
        else if (bytes)
            send_on(a, false);
        /* The last token need not be run. */
        if (!a->finish && a->tokens < a->r->max_tokens)
            s->ids[s->n++] = id;
    }
    return RBE_OK;
}

static enum rbe_status make_tokens(struct answer *a, struct rbe_sampler *sampler,
                                   struct rbe_diag *d)
{
    struct slot *const s = a->slot;
    struct rbe_engine_counts *counts = &a->e->counts;
    const struct rbe_lookup_counts before = *rbe_lookup_counts(s->lookup);
    const enum rbe_status err = choose_tokens(a, sampler, d);

    rbe_lookup_end(s->lookup);
    const struct rbe_lookup_counts *now = rbe_lookup_counts(s->lookup);
    atomic_fetch_add(&counts->guessed_tokens, now->guessed - before.guessed);
    atomic_fetch_add(&counts->guessed_right, now->right - before.right);
    cut(s, err ? 0 : rbe_session_length(s->session));
    return err;
}

static enum rbe_status make(struct answer *a, struct rbe_diag *d)
{
    struct rbe_engine *e = a->e;
    /* Every prompt of a request by itself: the first does not change the second. */
    struct rbe_sampler *sampler = rbe_sampler_open(rbe_tokenizer_vocab(e->tokenizer),
                                                   a->r->sampling);
    enum rbe_status err = sampler ? read_prompt(a, d) : RBE_ERR_NOMEM;

    if (!err && a->r->echo)
        echo(a);
    if (!err)
        err = make_tokens(a, sampler, d);
    if (!err && a->raw)
        send_on(a, true);
    rbe_sampler_close(&sampler);
    if (!err && (a->left || (a->stop && atomic_load(a->stop))))
        err = rbe_fail(d, RBE_ERR_INTERRUPTED, "stopped");
    if (err == RBE_ERR_NOMEM || a->lost || a->scores.lost)
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory for an answer");
    atomic_fetch_add(&e->counts.prompt_tokens, a->prompt->n);
    atomic_fetch_add(&e->counts.answer_tokens, a->tokens);
    return err;
}

static json_t *choice_of(const struct answer *a)
{
    json_t *o = json_pack("{s:I, s:s, s:s}", "index", (json_int_t)a->index, "text",
                          a->text ? a->text : "", "finish_reason",
                          a->finish ? a->finish : "length");

    if (o && a->r->logprobs >= 0)
        json_object_set_new(o, "logprobs",
                            json_pack("{s:O, s:O, s:O, s:O}", "tokens", a->scores.tokens,
                                      "token_logprobs", a->scores.logprobs, "top_logprobs",
                                      a->scores.top, "text_offset", a->scores.offsets));
    return o;
}

static enum rbe_status answer_prompt(struct answer *a, json_t *choices, struct rbe_diag *d)
{
    struct scores *s = &a->scores;
    enum rbe_status err = RBE_ERR_NOMEM;

    a->pieces = (struct rbe_pieces){.fn = give, .arg = a};
    *s = (struct scores){.tokens = json_array(), .logprobs = json_array(), .top = json_array(),
                         .offsets = json_array()};
    if (s->tokens && s->logprobs && s->top && s->offsets)
        err = make(a, d);
    if (!err && json_array_append_new(choices, choice_of(a)))
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory for an answer");
    json_decref(s->tokens);
    json_decref(s->logprobs);
    json_decref(s->top);
    json_decref(s->offsets);
    free(a->raw);
    free(a->text);
    return err;
}

enum rbe_status rbe_engine_answer(struct rbe_engine *e, const struct rbe_request *r,
                                  const atomic_bool *stop, rbe_engine_part_fn *part, void *arg,
                                  json_t **out, struct rbe_diag *d)
{
    const double begun = rbe_now();
    json_t *choices = json_array();
    json_int_t asked = 0, made = 0;
    enum rbe_status err = RBE_OK;

    *out = NULL;
    for (size_t i = 0; i < r->count && !err; i++) {
        struct answer a = {.e = e, .r = r, .prompt = &r->prompts[i], .index = i, .stop = stop,
                           .until = begun + e->o.seconds, .part = part, .arg = arg};
        err = answer_prompt(&a, choices, d);
        asked += (json_int_t)a.prompt->n;
        made += a.tokens;
    }
    if (!err &&
        !(*out = json_pack("{s:O, s:{s:I, s:I, s:I}}", "choices", choices, "usage",
                           "prompt_tokens", asked, "completion_tokens", made, "total_tokens",
                           asked + made)))
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory for an answer");
    json_decref(choices);
    atomic_fetch_add(&e->counts.microseconds,
                     (unsigned long long)(1e6 * (rbe_now() - begun)));
    return err;
}

void rbe_engine_rest(struct rbe_engine *e)
{
    rbe_model_rest(e->model);
    malloc_trim(0);
}
