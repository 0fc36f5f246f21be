/*
 * conversation.c - turns of a conversation with a model, streamed and timed.
 *
 * SPDX-License-Identifier: MIT
 */
#include "model/conversation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "base/utf8.h"

struct rbe_conversation {
    struct rbe_session *s;
    const struct rbe_tokenizer *t;
    uint32_t n_ctx;
    struct rbe_conversation_options o;
    bool chatml;
    uint32_t message, stop;     /* with chatml: <|im_start|>, <|im_end|> */
    struct rbe_sampler *sampler;
    uint32_t *ids;              /* [n_ctx]: everything said and not forgotten */
    uint32_t count, held;       /* in ids; of them in the session's cache */
    uint32_t *starts;           /* [n_ctx]: where each turn begins in ids */
    uint32_t turns;
    struct rbe_lookup *lookup;
    double *token_ms;           /* [max_tokens]: nothing is allocated while timing */
    uint32_t dropped;           /* by the turn under way */
};

void rbe_turn_free(struct rbe_turn *t)
{
    free(t->token_ms);
    free(t->answer);
    free(t->ids);
    memset(t, 0, sizeof *t);
}

static bool find_chatml(const struct rbe_tokenizer *t, uint32_t *message, uint32_t *stop)
{
    return rbe_tokenizer_special(t, "<|im_start|>", message) &&
           rbe_tokenizer_special(t, "<|im_end|>", stop);
}

bool rbe_has_chatml(const struct rbe_tokenizer *t)
{
    uint32_t message, stop;

    return find_chatml(t, &message, &stop);
}

enum rbe_status rbe_conversation_open(struct rbe_conversation **out, struct rbe_session *s,
                                      const struct rbe_model *m, const struct rbe_tokenizer *t,
                                      struct rbe_conversation_options o, struct rbe_diag *d)
{
    struct rbe_conversation *c = calloc(1, sizeof *c);
    const uint32_t all = rbe_model_context(m), n_ctx = o.context ? o.context : all;

    *out = NULL;
    if (!o.max_tokens || o.max_tokens > n_ctx || n_ctx - o.max_tokens < 8 || n_ctx > all) {
        free(c);
        return rbe_fail(d, RBE_ERR_ARG, "answers of %u tokens do not fit a context of %u",
                        o.max_tokens, n_ctx);
    }
    if (!c || !(c->sampler = rbe_sampler_open(rbe_tokenizer_vocab(t), o.sampling)) ||
        !(c->ids = calloc(n_ctx, sizeof *c->ids)) ||
        !(c->starts = calloc(n_ctx, sizeof *c->starts)) ||
        !(c->token_ms = calloc(o.max_tokens, sizeof *c->token_ms))) {
        rbe_conversation_close(&c);
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory for a conversation");
    }
    const enum rbe_status err = rbe_lookup_open(&c->lookup, s, m, o.lookup, d);
    if (err) {
        rbe_conversation_close(&c);
        return err;
    }
    c->s = s;
    c->n_ctx = n_ctx;
    c->t = t;
    c->o = o;
    c->chatml = !o.plain && find_chatml(t, &c->message, &c->stop);
    *out = c;
    return RBE_OK;
}

void rbe_conversation_close(struct rbe_conversation **c)
{
    if (!*c)
        return;
    rbe_sampler_close(&(*c)->sampler);
    free((*c)->ids);
    free((*c)->starts);
    rbe_lookup_close(&(*c)->lookup);
    free((*c)->token_ms);
    free(*c);
    *c = NULL;
}

void rbe_conversation_reset(struct rbe_conversation *c)
{
    c->count = c->held = c->turns = 0;
}

/* Drops the oldest turns until n more tokens and an answer fit; down to three quarters of the
 * context when any must go, so that not every turn reads all again. */
static void make_room(struct rbe_conversation *c, uint32_t n)
{
    const uint32_t need = n + c->o.max_tokens, all = c->n_ctx;
    uint32_t drop = 0;

    c->dropped = 0;
    if (c->count + need <= all)
        return;
    while (c->dropped < c->turns && c->count - drop + need > all - all / 4) {
        c->dropped++;
        drop = c->dropped < c->turns ? c->starts[c->dropped] : c->count;
    }
    memmove(c->ids, c->ids + drop, (c->count - drop) * sizeof *c->ids);
    for (uint32_t i = c->dropped; i < c->turns; i++)
        c->starts[i - c->dropped] = c->starts[i] - drop;
    c->turns -= c->dropped;
    c->count -= drop;
    c->held = 0;
}

char *rbe_detokenise(const struct rbe_tokenizer *t, const uint32_t *ids, size_t n)
{
    size_t size = 0, at = 0, k;

    for (size_t i = 0; i < n; i++)
        if (rbe_tokenizer_bytes(t, ids[i], &k))
            size += k;
    char *s = malloc(size + 1);
    if (!s)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        const char *bytes = rbe_tokenizer_bytes(t, ids[i], &k);
        if (bytes) {
            memcpy(s + at, bytes, k);
            at += k;
        }
    }
    /* A token may be part of a character, and a model may put parts together wrongly: what
     * is not UTF-8 becomes a question mark, but is cut off at the end. */
    s[at] = 0;
    for (size_t i; (i = rbe_utf8_valid(s, at)) < at;) {
        if (at - i < 4 && (s[i] & 0xC0) == 0xC0)
            at = i;
        else
            s[i] = '?';
        s[at] = 0;
    }
    return s;
}

static bool is_stopped(const struct rbe_conversation *c)
{
    return c->o.stop && atomic_load(c->o.stop);
}

/* Runs what the session does not hold yet. */
static enum rbe_status read_on(struct rbe_conversation *c, struct rbe_diag *d)
{
    const uint32_t batch = c->o.batch ? c->o.batch : c->n_ctx;
    enum rbe_status err = RBE_OK;

    while (!err && c->held < c->count) {
        const uint32_t left = c->count - c->held, n = left < batch ? left : batch;
        if (is_stopped(c))
            return rbe_fail(d, RBE_ERR_INTERRUPTED, "stopped");
        if (!(err = rbe_forward(c->s, c->ids + c->held, n, d)))
            c->held += n;
    }
    return err;
}

/* Chooses tokens into ids until the answer ends. */
static enum rbe_status answer(struct rbe_conversation *c, double arrived, rbe_stream_fn *stream,
                              void *arg, struct rbe_turn *turn, struct rbe_diag *d)
{
    const float *logits;
    double last = arrived;
    size_t size;
    enum rbe_status err = read_on(c, d);

    if (err)
        return err;

    for (uint32_t i = 0; i < c->o.max_tokens; i++) {
        if (i && is_stopped(c))
            break;
        if ((err = rbe_lookup_logits(c->lookup, c->ids, c->count, &logits, d)))
            return err;
        c->held = c->count;
        const uint32_t token = rbe_sample(c->sampler, logits);
        const double now = rbe_now();
        if (i)
            c->token_ms[i - 1] = 1e3 * (now - last);
        else
            turn->first_ms = 1e3 * (now - arrived);
        last = now;
        const bool stop = c->chatml && token == c->stop;
        if ((stop || token == rbe_tokenizer_eos(c->t)) && i)
            break;
        c->ids[c->count++] = token;
        turn->tokens++;
        const char *bytes = rbe_tokenizer_bytes(c->t, token, &size);
        if (stop)               /* an empty answer */
            break;
        const bool newline = !c->chatml && bytes && memchr(bytes, '\n', size);
        if (stream && bytes && !stream(arg, bytes, size))
            break;
        if (newline && turn->tokens >= c->o.min_tokens)
            break;
    }
    return RBE_OK;
}

static struct rbe_lookup_counts counted_since(const struct rbe_lookup_counts *before,
                                              const struct rbe_lookup *k)
{
    struct rbe_lookup_counts n = *rbe_lookup_counts(k);

    n.tokens -= before->tokens;
    n.guessed -= before->guessed;
    n.right -= before->right;
    n.spent -= before->spent;
    return n;
}

static enum rbe_status keep_turn(struct rbe_conversation *c, struct rbe_turn *turn,
                                 struct rbe_diag *d)
{
    const uint32_t intervals = turn->tokens ? turn->tokens - 1 : 0;

    turn->answer = rbe_detokenise(c->t, c->ids + turn->context_tokens, turn->tokens);
    turn->ids = malloc((c->count + 1) * sizeof *turn->ids);
    turn->token_ms = malloc((intervals + 1) * sizeof *turn->token_ms);
    if (!turn->answer || !turn->ids || !turn->token_ms)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory for a turn");
    memcpy(turn->ids, c->ids, c->count * sizeof *turn->ids);
    memcpy(turn->token_ms, c->token_ms, intervals * sizeof *turn->token_ms);
    return RBE_OK;
}

/* --- what stands around a question ------------------------------------------------------- */

struct frame {
    uint32_t *ids;
    size_t n, room;
};

static enum rbe_status frame_id(struct frame *f, uint32_t id, struct rbe_diag *d)
{
    if (f->n == f->room) {
        const size_t room = 2 * f->room + 64;
        uint32_t *ids = realloc(f->ids, room * sizeof *ids);
        if (!ids)
            return rbe_fail(d, RBE_ERR_NOMEM, "out of memory for a turn");
        f->ids = ids;
        f->room = room;
    }
    f->ids[f->n++] = id;
    return RBE_OK;
}

/* before, text and after in one. */
static enum rbe_status frame_text(struct frame *f, const struct rbe_tokenizer *t,
                                  const char *before, const char *text, const char *after,
                                  struct rbe_diag *d)
{
    const size_t room = strlen(before) + strlen(text) + strlen(after) + 1;
    char *all = malloc(room);
    uint32_t *ids = NULL;
    size_t n = 0;

    if (!all)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory for a turn");
    snprintf(all, room, "%s%s%s", before, text, after);
    enum rbe_status err = rbe_tokenizer_encode(t, all, room - 1, false, &ids, &n, d);
    for (size_t i = 0; i < n && !err; i++)
        err = frame_id(f, ids[i], d);
    free(all);
    free(ids);
    return err;
}

/* ChatML: who speaks, a newline, what is said. */
static enum rbe_status frame_message(struct frame *f, const struct rbe_tokenizer *t,
                                     uint32_t message, uint32_t stop, const char *role,
                                     const char *text, struct rbe_diag *d)
{
    char before[32];
    enum rbe_status err;

    snprintf(before, sizeof before, "%s\n", role);
    if ((err = frame_id(f, message, d)) || (err = frame_text(f, t, before, text, "", d)) ||
        (err = frame_id(f, stop, d)))
        return err;
    return frame_text(f, t, "\n", "", "", d);
}

/* ...and where the model goes on. */
static enum rbe_status frame_answer(struct frame *f, const struct rbe_tokenizer *t,
                                    uint32_t message, struct rbe_diag *d)
{
    const enum rbe_status err = frame_id(f, message, d);

    return err ? err : frame_text(f, t, "assistant\n", "", "", d);
}

/* The answer before ends here, too; *lead tokens belong to it. */
static enum rbe_status frame_question(struct frame *f, size_t *lead,
                                      const struct rbe_conversation *c, const char *question,
                                      struct rbe_diag *d)
{
    const struct rbe_tokenizer *t = c->t;
    enum rbe_status err;
    uint32_t begin;

    *lead = 0;
    if (!c->turns && rbe_tokenizer_begin(t, &begin) && (err = frame_id(f, begin, d)))
        return err;
    if (!c->chatml)
        return frame_text(f, t, c->turns ? "\nQuestion: " : "Question: ", question, "\nAnswer:",
                          d);
    if (c->turns &&
        ((err = frame_id(f, c->stop, d)) || (err = frame_text(f, t, "\n", "", "", d))))
        return err;
    *lead = c->turns ? f->n : 0;
    if ((err = frame_message(f, t, c->message, c->stop, "user", question, d)))
        return err;
    return frame_answer(f, t, c->message, d);
}

/* What was said, without ChatML: the plain frame knows questions and answers. */
static enum rbe_status frame_plain(struct frame *f, const struct rbe_tokenizer *t,
                                   const struct rbe_message *m, size_t count,
                                   struct rbe_diag *d)
{
    enum rbe_status err;

    for (size_t i = 0; i < count; i++) {
        const bool answers = !strcmp(m[i].role, "assistant");
        const bool asks = !strcmp(m[i].role, "user");
        const bool follows = answers && i && !strcmp(m[i - 1].role, "user");
        const char *before = follows ? " " : answers ? "\nAnswer: " : asks ? "\nQuestion: "
                                                                          : "\n";
        if ((err = frame_text(f, t, i ? before : before + 1, m[i].text,
                              asks ? "\nAnswer:" : "", d)))
            return err;
    }
    return RBE_OK;
}

enum rbe_status rbe_conversation_tokens(uint32_t **ids, size_t *n, uint32_t *end,
                                        const struct rbe_tokenizer *t, bool plain,
                                        const struct rbe_message *m, size_t count,
                                        struct rbe_diag *d)
{
    struct frame f = {0};
    uint32_t begin, message, stop;
    enum rbe_status err = RBE_OK;

    *ids = NULL;
    *n = 0;
    const bool chatml = !plain && find_chatml(t, &message, &stop);
    *end = chatml ? stop : UINT32_MAX;
    if (rbe_tokenizer_begin(t, &begin))
        err = frame_id(&f, begin, d);
    if (!err && !chatml)
        err = frame_plain(&f, t, m, count, d);
    for (size_t i = 0; i < count && chatml && !err; i++)
        err = frame_message(&f, t, message, stop, m[i].role, m[i].text, d);
    if (!err && chatml)
        err = frame_answer(&f, t, message, d);
    if (err) {
        free(f.ids);
        return err;
    }
    *ids = f.ids;
    *n = f.n;
    return RBE_OK;
}

enum rbe_status rbe_conversation_turn(struct rbe_conversation *c, const char *question,
                                      rbe_stream_fn *stream, void *arg, struct rbe_turn *turn,
                                      struct rbe_diag *d)
{
    const double arrived = rbe_now();
    struct frame f = {0};
    size_t lead;
    enum rbe_status err;

    memset(turn, 0, sizeof *turn);
    if ((err = frame_question(&f, &lead, c, question, d)))
        goto out;
    if (f.n + c->o.max_tokens > c->n_ctx) {
        err = rbe_fail(d, RBE_ERR_LIMIT, "a question of %zu tokens and an answer of %u do not "
                       "fit a context of %u", f.n, c->o.max_tokens, c->n_ctx);
        goto out;
    }
    make_room(c, (uint32_t)f.n);
    if (!c->count) {            /* no answer is left that could end */
        f.n -= lead;
        memmove(f.ids, f.ids + lead, f.n * sizeof *f.ids);
        lead = 0;
    }
    /* The last token of the answer before was never run: it goes with this question. */
    rbe_session_truncate(c->s, c->held);
    c->starts[c->turns++] = c->count + (uint32_t)lead;
    memcpy(c->ids + c->count, f.ids, f.n * sizeof *f.ids);
    c->count += (uint32_t)f.n;
    turn->prompt_tokens = (uint32_t)f.n;
    turn->context_tokens = c->count;
    turn->dropped = c->dropped;
    const struct rbe_lookup_counts before = *rbe_lookup_counts(c->lookup);
    err = answer(c, arrived, stream, arg, turn, d);
    rbe_lookup_end(c->lookup);
    turn->run = counted_since(&before, c->lookup);
    if (!err)
        err = keep_turn(c, turn, d);
    if (err) {
        c->count = c->starts[--c->turns] - (uint32_t)lead;
        c->held = c->held < c->count ? c->held : c->count;
    }
out:
    if (err)
        rbe_turn_free(turn);
    free(f.ids);
    return err;
}
