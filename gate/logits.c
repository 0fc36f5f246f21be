/*
 * logits.c - reads llama.cpp's files of predictions, and compares two.
 *
 * SPDX-License-Identifier: MIT
 */
#include "gate/logits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/progress.h"

static const char magic[] = "_logits_";

enum { MAGIC = 8, HEAD = MAGIC + 3 * 4, MOST_CONTEXT = 1 << 24, MOST_VOCABULARY = 1 << 24 };

struct file {
    struct rbe_map map;
    const char *path;
    uint32_t context, vocabulary, chunks, scored;   /* scored: of a chunk */
    size_t token_bytes;         /* of one token's predictions */
    const uint8_t *tokens, *predictions;
};

static uint32_t word_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static float float_at(const uint8_t *p)
{
    const uint32_t bits = word_at(p);
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

bool rbe_logits_is(const char *path)
{
    char head[MAGIC] = "";
    struct stat st;
    /* What is read of a pipe is gone from it. */
    FILE *f = !stat(path, &st) && S_ISREG(st.st_mode) ? fopen(path, "rb") : NULL;
    const bool is = f && fread(head, 1, MAGIC, f) == MAGIC && !memcmp(head, magic, MAGIC);

    if (f)
        fclose(f);
    return is;
}

static enum rbe_status open_file(struct file *f, const char *path, struct rbe_diag *d)
{
    const enum rbe_status err = rbe_map_open(&f->map, path, d);

    f->path = path;
    if (err)
        return err;
    const uint8_t *p = f->map.bytes;
    if (f->map.size < HEAD || memcmp(p, magic, MAGIC) != 0)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: no file of predictions", path);
    f->context = word_at(p + MAGIC);
    f->vocabulary = word_at(p + MAGIC + 4);
    f->chunks = word_at(p + MAGIC + 8);
    if (f->context < 4 || f->context > MOST_CONTEXT || !f->vocabulary ||
        f->vocabulary > MOST_VOCABULARY || !f->chunks)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: damaged: a context of %u, a "
                        "vocabulary of %u, %u chunks", path, f->context, f->vocabulary,
                        f->chunks);
    f->scored = f->context - 1 - f->context / 2;
    f->token_bytes = 2 * (2 * (((size_t)f->vocabulary + 1) / 2) + 4);
    /* In doubles nothing overflows; such sizes are far from where they round. */
    const double head = HEAD + 4.0 * f->chunks * f->context;
    const double want = head + (double)f->chunks * f->scored * (double)f->token_bytes;
    if ((double)f->map.size != want)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: %zu bytes instead of %.0f: %s", path,
                        f->map.size, want, (double)f->map.size < want ? "cut off" : "too long");
    f->tokens = p + HEAD;
    f->predictions = f->tokens + (size_t)4 * f->chunks * f->context;
    return RBE_OK;
}

/* The log-probabilities of one token into out [vocabulary]; the place of the largest. */
static uint32_t decode(float *out, const uint8_t *p, uint32_t vocabulary)
{
    const float step = float_at(p), least = float_at(p + 4);
    uint32_t best = 0;

    p += 8;
    for (uint32_t i = 0; i < vocabulary; i++) {
        out[i] = step * (float)(p[2 * i] | p[2 * i + 1] << 8) + least;
        if (out[i] > out[best])
            best = i;
    }
    return best;
}

/* Sums of one chunk. */
struct chunk {
    double kl, p_change, nll[2];
    uint64_t same;
};

static enum rbe_status compare_chunk(struct chunk *c, const struct file *a,
                                     const struct file *b, size_t n, float *x, double *most,
                                     struct rbe_diag *d)
{
    const uint8_t *tokens = a->tokens + 4 * (n * a->context + a->context / 2);
    float *y = x + a->vocabulary;

    *c = (struct chunk){0};
    for (uint32_t i = 0; i < a->scored; i++) {
        const size_t at = (n * a->scored + i) * a->token_bytes;
        const uint32_t token = word_at(tokens + 4 * (i + 1));
        if (token >= a->vocabulary)
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: token %u of a vocabulary of %u", a->path,
                            token, a->vocabulary);
        c->same += decode(x, a->predictions + at, a->vocabulary) ==
                   decode(y, b->predictions + at, a->vocabulary);
        double kl = 0;
        /* Both were cut at 16 below the largest: what is left out there is nothing. */
        for (uint32_t k = 0; k < a->vocabulary; k++)
            if (x[k] > -16)
                kl += exp(x[k]) * ((double)x[k] - y[k]);
        c->kl += kl;
        *most = kl > *most ? kl : *most;
        c->nll[0] -= x[token];
        c->nll[1] -= y[token];
        c->p_change += exp(y[token]) - exp(x[token]);
    }
    if (!isfinite(c->kl + c->nll[0] + c->nll[1]))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: chunk %zu: predictions that are no numbers",
                        isfinite(c->nll[0]) ? b->path : a->path, n);
    return RBE_OK;
}

static enum rbe_status compare(struct rbe_logits_result *r, const struct file *a,
                               const struct file *b, struct rbe_diag *d)
{
    float *x = malloc(2 * (size_t)a->vocabulary * sizeof *x);
    double *sums = malloc((size_t)a->chunks * 3 * sizeof *sums), nll[2] = {0, 0};
    double *kl = sums, *p = sums ? sums + a->chunks : NULL, *n = p ? p + a->chunks : NULL;
    struct rbe_progress bar = {0};
    enum rbe_status err = RBE_OK;
    uint64_t same = 0;

    if (!x || !sums) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    rbe_progress_start(&bar, "compare", "chunks", a->chunks);
    for (uint32_t i = 0; i < a->chunks && !err; i++) {
        struct chunk c;
        if (rbe_interrupted())
            err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
        else if (!(err = compare_chunk(&c, a, b, i, x, &r->kl_max, d))) {
            kl[i] = c.kl;
            p[i] = c.p_change;
            n[i] = a->scored;
            nll[0] += c.nll[0];
            nll[1] += c.nll[1];
            same += c.same;
            rbe_progress_update(&bar, i + 1, NULL);
        }
    }
    rbe_progress_end(&bar);
    r->scored = (uint64_t)a->chunks * a->scored;
    const double all = (double)r->scored;
    if (!err) {
        r->base_perplexity = exp(nll[0] / all);
        r->perplexity = exp(nll[1] / all);
        r->kl = rbe_ratio_of_sums(kl, n, a->chunks);
        r->p_change = rbe_ratio_of_sums(p, n, a->chunks);
        r->top1 = (double)same / all;
    }
out:
    free(x);
    free(sums);
    return err;
}

enum rbe_status rbe_logits_compare(struct rbe_logits_result *r, const char *base,
                                   const char *fresh, struct rbe_diag *d)
{
    struct file a = {0}, b = {0};
    enum rbe_status err;

    *r = (struct rbe_logits_result){0};
    if ((err = open_file(&a, base, d)) || (err = open_file(&b, fresh, d)))
        goto out;
    if (a.context != b.context || a.vocabulary != b.vocabulary || a.chunks != b.chunks)
        err = rbe_fail(d, RBE_ERR_MISMATCH, "other shapes: context %u, vocabulary %u, %u "
                       "chunks in %s; %u, %u, %u in %s", a.context, a.vocabulary, a.chunks,
                       base, b.context, b.vocabulary, b.chunks, fresh);
    else if (memcmp(a.tokens, b.tokens, (size_t)(a.predictions - a.tokens)) != 0)
        err = rbe_fail(d, RBE_ERR_MISMATCH, "%s and %s are of other tokens", base, fresh);
    if (err)
        goto out;
    r->context = a.context;
    r->vocabulary = a.vocabulary;
    r->chunks = a.chunks;
    err = compare(r, &a, &b, d);
out:
    rbe_map_close(&a.map);
    rbe_map_close(&b.map);
    return err;
}
