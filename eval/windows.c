/*
 * windows.c - the perplexity protocols.
 *
 * SPDX-License-Identifier: MIT
 */
#include "eval/windows.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/nearest.h"

static const struct {
    const char *name, *alias;
} protocols[RBE_PROTOCOL_COUNT] = {
    [RBE_P1] = {"P1", "hf"},
    [RBE_P2] = {"P2", "hf-stride"},
    [RBE_P3] = {"P3", "llamacpp"},
    [RBE_P4] = {"P4", "lm-eval"},
};

enum { P3_CONTEXT = 512, LEAST_CONTEXT = 4 };

const char *rbe_protocol_name(enum rbe_protocol p)
{
    return protocols[p].name;
}

const char *rbe_protocol_alias(enum rbe_protocol p)
{
    return protocols[p].alias;
}

enum rbe_status rbe_protocol_parse(enum rbe_protocol *p, const char *name, struct rbe_diag *d)
{
    for (int i = 0; i < RBE_PROTOCOL_COUNT; i++)
        if (!strcasecmp(name, protocols[i].name) || !strcasecmp(name, protocols[i].alias)) {
            *p = (enum rbe_protocol)i;
            return RBE_OK;
        }
    struct rbe_nearest near = rbe_nearest_to(name);
    for (int i = 0; i < RBE_PROTOCOL_COUNT; i++) {
        rbe_nearest_try(&near, protocols[i].name);
        rbe_nearest_try(&near, protocols[i].alias);
    }
    return rbe_fail(d, RBE_ERR_ARG, "unknown protocol '%s'%s; valid: P1 (hf), P2 (hf-stride), "
                    "P3 (llamacpp), P4 (lm-eval)", name, rbe_nearest_hint(&near).text);
}

static enum rbe_status add(struct rbe_windows *w, size_t start, size_t length, size_t first,
                           struct rbe_diag *d)
{
    if ((w->count & (w->count - 1)) == 0) {     /* 0, 1, 2, 4, ...: full */
        const size_t room = w->count ? 2 * w->count : 1;
        struct rbe_window *more = realloc(w->w, room * sizeof *more);
        if (!more)
            return rbe_fail(d, RBE_ERR_NOMEM, "out of memory for windows");
        w->w = more;
    }
    w->w[w->count++] = (struct rbe_window){start, (uint32_t)length, (uint32_t)first};
    return RBE_OK;
}

enum rbe_status rbe_windows_cut(struct rbe_windows *w, size_t base, size_t n,
                                struct rbe_diag *d)
{
    const size_t c = w->context;
    enum rbe_status err = RBE_OK;

    switch (w->protocol) {
    case RBE_P1:
        for (size_t at = 0; at < n && !err; at += c)
            if (n - at > 1)     /* a lone token has nothing before it */
                err = add(w, base + at, n - at < c ? n - at : c, 1, d);
        break;
    case RBE_P2:
        for (size_t at = 0, done = 1; done < n && !err; at += w->stride) {
            const size_t end = n - at < c ? n : at + c;
            err = add(w, base + at, end - at, done - at, d);
            done = end;
        }
        break;
    case RBE_P3:
        for (size_t at = 0; n - at >= c && !err; at += c)
            err = add(w, base + at, c, c / 2 + 1, d);
        break;
    case RBE_P4:
        /* Tokens 1 .. n of the page's stream are scored; a window reads up to c. */
        for (size_t done = 0; done < n && !err;) {
            const size_t take = n - done < c ? n - done : c;
            const size_t end = done + take;     /* last one scored */
            const size_t start = end > c ? end - c : 0;
            err = add(w, base + start, end - start + 1, done + 1 - start, d);
            done = end;
        }
        break;
    default:
        break;
    }
    return err;
}

static enum rbe_status make_pages(struct rbe_windows *w, const struct rbe_text *text,
                                  const struct rbe_tokenizer *t, struct rbe_diag *d)
{
    struct rbe_text_page *pages = NULL;
    char *plain = NULL;
    uint32_t *ids = NULL;
    size_t n, size;
    enum rbe_status err = rbe_text_pages(text->bytes, text->size, &pages, &w->pages, d);

    for (size_t i = 0; i < w->pages && !err; i++) {
        const char *page = text->bytes + pages[i].begin;
        const size_t bytes = pages[i].end - pages[i].begin;
        if ((err = rbe_text_detokenise(page, bytes, &plain, &size, d)) ||
            (err = rbe_tokenizer_encode(t, plain, size, false, &ids, &n, d)))
            break;
        uint32_t *more = realloc(w->tokens, (w->token_count + n + 1) * sizeof *more);
        if (!more) {
            err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory for tokens");
            break;
        }
        w->tokens = more;
        w->tokens[w->token_count] = w->begins ? w->begin : rbe_tokenizer_eos(t);
        memcpy(w->tokens + w->token_count + 1, ids, n * sizeof *ids);
        err = rbe_windows_cut(w, w->token_count, n, d);
        w->token_count += n + 1;
        w->text_tokens += n;
        w->words += rbe_count_fields(page, bytes);
        w->space_words += rbe_count_words(page, bytes);
        w->bytes += bytes;
        free(plain);
        free(ids);
        plain = NULL;
        ids = NULL;
    }
    free(plain);
    free(ids);
    free(pages);
    return err;
}

/* The token that stands before a text, before the stream. */
static enum rbe_status put_begin(struct rbe_windows *w, struct rbe_diag *d)
{
    uint32_t *more = realloc(w->tokens, (w->token_count + 1) * sizeof *more);

    if (!more)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory for tokens");
    memmove(more + 1, more, w->token_count * sizeof *more);
    more[0] = w->begin;
    w->tokens = more;
    w->token_count++;
    return RBE_OK;
}

static enum rbe_status make_stream(struct rbe_windows *w, const struct rbe_text *text,
                                   const struct rbe_tokenizer *t, struct rbe_diag *d)
{
    char *joined = NULL;
    const bool raw = w->protocol == RBE_P3 && text->raw;
    const char *s = raw ? text->raw : text->bytes;
    size_t size = raw ? text->raw_size : text->size;
    enum rbe_status err;

    w->bytes = size;
    w->words = w->space_words = rbe_count_words(s, size);
    if (w->protocol == RBE_P3) {
        size -= size && s[size - 1] == '\n';
    } else {
        if ((err = rbe_text_join_rows(s, size, &joined, &size, d)))
            return err;
        s = joined;
    }
    err = rbe_tokenizer_encode(t, s, size, false, &w->tokens, &w->token_count, d);
    free(joined);
    if (err)
        return err;
    w->text_tokens = w->token_count;
    if (w->begins && (err = put_begin(w, d)))
        return err;
    if (w->token_count < w->context)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: %zu tokens, shorter than one window of %u",
                        text->name, w->token_count, w->context);
    err = rbe_windows_cut(w, 0, w->token_count, d);
    /* As llama.cpp has it: in the place of each window's first token, which is not scored. */
    for (size_t i = 0; w->begins && w->protocol == RBE_P3 && i < w->count; i++)
        w->tokens[w->w[i].start] = w->begin;
    return err;
}

enum rbe_status rbe_windows_make(struct rbe_windows *out, enum rbe_protocol p,
                                 const struct rbe_text *text, const struct rbe_tokenizer *t,
                                 uint32_t n_ctx, uint32_t context, struct rbe_diag *d)
{
    enum rbe_status err;

    memset(out, 0, sizeof *out);
    if (context > n_ctx)
        return rbe_fail(d, RBE_ERR_ARG, "context %u is beyond the model's %u", context, n_ctx);
    if (!context)
        context = p == RBE_P3 && n_ctx > P3_CONTEXT ? P3_CONTEXT : n_ctx;
    if (context < LEAST_CONTEXT)
        return rbe_fail(d, RBE_ERR_ARG, "context %u is below %d", context, LEAST_CONTEXT);
    out->protocol = p;
    out->context = context;
    out->begins = rbe_tokenizer_begin(t, &out->begin);
    out->stride = p == RBE_P2 ? context / 2 : context;
    err = p == RBE_P4 ? make_pages(out, text, t, d) : make_stream(out, text, t, d);
    if (!err && !out->count)
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: nothing to score", text->name);
    if (err)
        rbe_windows_free(out);
    return err;
}

void rbe_windows_free(struct rbe_windows *w)
{
    free(w->tokens);
    free(w->w);
    memset(w, 0, sizeof *w);
}
