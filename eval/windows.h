/*
 * windows.h - the perplexity protocols: which tokens are seen, and which are scored.
 *
 * SPDX-License-Identifier: MIT
 *
 *   P1 hf         rows joined by two newlines; disjoint windows of n_ctx, the ragged tail too;
 *                 all but the first token of a window are scored
 *   P2 hf-stride  the same text; windows of n_ctx moved by n_ctx / 2; only tokens that were
 *                 not scored before
 *   P3 llamacpp   the raw file without its last newline; disjoint windows of min(512, n_ctx),
 *                 the tail dropped; the second half of a window but its first token
 *   P4 lm-eval    page by page, detokenised, <|endoftext|> before each page; every token once,
 *                 in windows of n_ctx that share one token of context; the last one reaches
 *                 back to be full, as lm-eval's rolling windows do
 *
 * A token that the tokenizer puts before every text (rbe_tokenizer_begin()) stands where those
 * programs have it: P1 and P2 once before the text, P3 there and in the place of each window's
 * first token, P4 in the place of <|endoftext|>.
 */
#ifndef RBE_EVAL_WINDOWS_H
#define RBE_EVAL_WINDOWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "eval/text.h"
#include "model/tokenizer.h"

enum rbe_protocol { RBE_P1, RBE_P2, RBE_P3, RBE_P4, RBE_PROTOCOL_COUNT };

const char *rbe_protocol_name(enum rbe_protocol p);     /* "P1" */
const char *rbe_protocol_alias(enum rbe_protocol p);    /* "hf" */
/* From either name, any case; RBE_ERR_ARG lists the valid ones. */
enum rbe_status rbe_protocol_parse(enum rbe_protocol *p, const char *name, struct rbe_diag *d);

/* Tokens [start, start + length) of the stream: the model reads all but the last, and the
 * tokens at first .. length - 1 (1 <= first) are scored, each from those before it. */
struct rbe_window {
    size_t start;
    uint32_t length, first;
};

struct rbe_windows {
    enum rbe_protocol protocol;
    uint32_t context, stride;
    uint32_t *tokens;
    size_t token_count;         /* of the stream; P4: with an <|endoftext|> for each page */
    size_t text_tokens;         /* without those, and without a token before the text */
    bool begins;                /* the tokenizer puts one there: */
    uint32_t begin;
    struct rbe_window *w;
    size_t count;
    size_t pages;               /* P4; else 0 */
    size_t words;               /* white-space words; P4: as lm-eval counts them */
    size_t space_words;         /* white-space words of the text */
    size_t bytes;               /* of the text; P4: of the pages before detokenising */
};

/*
 * context 0: n_ctx of the model (P3: at most 512); another is at least 4 and at most n_ctx.
 * A text shorter than one window is an error (P4: a text without a page).
 */
enum rbe_status rbe_windows_make(struct rbe_windows *out, enum rbe_protocol p,
                                 const struct rbe_text *text, const struct rbe_tokenizer *t,
                                 uint32_t n_ctx, uint32_t context, struct rbe_diag *d);
void rbe_windows_free(struct rbe_windows *w);

/* The cutting alone, over a stream of n tokens (P4: one page of n tokens after its
 * <|endoftext|>, n + 1 in all, starting at `base`): appends to w->w.  For tests too. */
enum rbe_status rbe_windows_cut(struct rbe_windows *w, size_t base, size_t n,
                                struct rbe_diag *d);

#endif
