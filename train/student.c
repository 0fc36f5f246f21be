/*
 * student.c - opening an RBE model for training: what of it can move, and what moves it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "train/student.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/student_private.h"

enum rbe_status rbe_student_find_zeros(struct tensor *t, const float *x, struct rbe_diag *d)
{
    const size_t rows = t->slice->rows, cols = t->slice->cols;

    for (size_t r = 0; r < rows; r++) {
        size_t c = 0;

        while (c < cols && x[r * cols + c] == 0)
            c++;
        if (c < cols)
            continue;
        if (!t->zeros && !(t->zeros = calloc(rows, sizeof *t->zeros)))
            return no_memory(d);
        t->zeros[r] = true;
    }
    return RBE_OK;
}

static float rms(const float *x, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return n ? (float)sqrt(sum / (double)n) : 0;
}

static bool is_plain_codec(const struct rbe_weight *w)
{
    for (size_t i = 0; i < w->part_count; i++)
        if (!rbe_format_facts(w->parts[i].m.format)->float_bytes)
            return false;
    return true;
}

/* A copy of a weight that owns its memory. */
static enum rbe_status copy_weight(struct rbe_weight *to, const struct rbe_weight *from,
                                   struct rbe_diag *d)
{
    struct rbe_encode_part *parts = calloc(from->part_count, sizeof *parts);
    const bool cols = from->parts[0].m.col_scale;
    enum rbe_status err;

    if (!parts)
        return no_memory(d);
    for (size_t i = 0; i < from->part_count; i++) {
        const struct rbe_matrix *m = &from->parts[i].m;
        parts[i] = (struct rbe_encode_part){m->rows, m->format, m->block, m->aux};
    }
    err = rbe_weight_alloc(to, from->rows, from->cols, parts, from->part_count,
                           cols ? RBE_SCALES_ROW_COL : RBE_SCALES_ROW, d);
    free(parts);
    if (err)
        return err;
    memcpy(to->name, from->name, sizeof to->name);
    to->hadamard = from->hadamard;
    to->sign_seed = from->sign_seed;
    for (size_t i = 0; i < from->part_count; i++) {
        const struct rbe_matrix *m = &from->parts[i].m, *own = &to->parts[i].m;
        const struct rbe_matrix_size n =
            rbe_matrix_size(m->format, m->rows, m->cols, m->block, m->aux);
        memcpy((void *)(uintptr_t)own->codes, m->codes, m->code_bytes);
        if (m->scale)
            memcpy((void *)(uintptr_t)own->scale, m->scale, n.scale);
        if (m->col_scale)
            memcpy((void *)(uintptr_t)own->col_scale, m->col_scale, n.col_scale);
    }
    return RBE_OK;
}

/* Whether a weight moves as it is: a vector or positions, or stored as floats. */
static bool is_plain(const struct rbe_source_tensor *t)
{
    return !t->matrix || !t->weight || is_plain_codec(t->weight);
}

static enum rbe_status open_encoded(struct tensor *t, unsigned threads, struct rbe_diag *d)
{
    const struct rbe_weight *w = t->own->weight;
    enum rbe_status err;

    if ((err = copy_weight(&t->w, w, d)))
        return err;
    t->kind = OPAQUE;
    if (is_plain(t->own)) {
        t->kind = PLAIN;
        t->dtype = RBE_DT_F32;
        if (!(t->master = malloc(t->slice->count * sizeof *t->master)))
            return no_memory(d);
        for (size_t r = 0; r < w->rows; r++)
            rbe_weight_decode_row(w, r, t->master + r * w->cols);
        return t->slice->matrix ? rbe_student_find_zeros(t, t->master, d) : RBE_OK;
    }
    if ((err = rbe_student_open_scales(t, threads, d)))
        return err;
    if (t->parts)
        t->kind = CODED;
    return RBE_OK;
}

static enum rbe_status open_tensor(const struct rbe_student *s, struct tensor *t,
                                   struct rbe_diag *d)
{
    const struct rbe_source *from = s->model ? s->model : s->source;
    enum rbe_status err;

    if (t->own->weight)
        return open_encoded(t, s->summed ? rbe_grad_threads(s->train) : 0, d);
    t->kind = PLAIN;
    t->dtype = s->model ? t->own->tensor->dtype : RBE_DT_F32;
    if ((err = rbe_source_read(&t->master, from, t->own, d)))
        return err;
    return t->slice->matrix ? rbe_student_find_zeros(t, t->master, d) : RBE_OK;
}

/* A step of the embedding's, few of whose rows a batch has, is no matrix's; nor is one of the
 * output layer's, for few tokens are likely. */
static struct rbe_optimizer_span latent_span(const struct rbe_source_tensor *t,
                                             enum rbe_optimizer_kind kind)
{
    return (struct rbe_optimizer_span){.rows = t->rows, .cols = t->cols,
                                       .kind = t->layer < 0 ? RBE_ADAMW : kind};
}

/* The spans the optimiser moves: scales and plain tensors, then latents. */
static void list_spans(struct rbe_student *s, const struct rbe_student_uses *uses)
{
    struct rbe_optimizer_span *to = s->spans;

    for (size_t i = 0; i < s->count; i++) {
        struct tensor *t = &s->tensors[i];

        t->span = NO_SPAN;
        for (size_t k = 0; t->kind == CODED && k < t->w.part_count; k++) {
            struct scales *p = &t->parts[k];
            p->row_span = (int)(to - s->spans);
            *to++ = (struct rbe_optimizer_span){.param = p->row_theta, .gradient = p->row_grad,
                                                .rows = 1, .cols = (size_t)p->rows * p->groups};
            p->col_span = p->col ? (int)(to - s->spans) : NO_SPAN;
            if (p->col)
                *to++ = (struct rbe_optimizer_span){.param = p->col_theta,
                                                    .gradient = p->col_grad, .rows = 1,
                                                    .cols = p->cols};
        }
        if (t->kind != PLAIN)
            continue;
        t->span = (int)(to - s->spans);
        *to++ = (struct rbe_optimizer_span){.param = t->master, .gradient = gradient_of(s, t),
                                            .rows = t->slice->rows, .cols = t->slice->cols};
    }
    s->settled = (size_t)(to - s->spans);
    for (size_t i = 0; uses->latent && i < s->count; i++) {
        struct tensor *t = &s->tensors[i];

        if (t->kind == PLAIN)
            continue;
        t->span = (int)(to - s->spans);
        *to++ = latent_span(t->own, uses->kind);
        to[-1].param = weights_of(s, t);
        to[-1].gradient = gradient_of(s, t);
    }
    s->span_count = (size_t)(to - s->spans);
}

enum rbe_status rbe_student_fits(const struct rbe_source *source,
                                 const struct rbe_source *model, struct rbe_diag *d)
{
    const char *sha = rbe_safetensors_meta(model->file, "rbe.source_sha256");
    const char *original = rbe_source_path(source), *path = rbe_source_path(model);
    const struct rbe_model_config *a = &source->config, *b = &model->config;
    /* The model may have got a place for the embedding's means. */
    const unsigned may = rbe_config_has(a, RBE_OPTION_EMBED_MEAN) ? 0
                                                                  : 1U << RBE_OPTION_EMBED_MEAN;
    char what[96];

    if (a->vocab != b->vocab)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s has a vocabulary of %u, %s one of %u",
                        original, a->vocab, path, b->vocab);
    if (rbe_model_config_difference(what, sizeof what, a, b))
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s and %s are models of two kinds: %s", original,
                        path, what);
    if (a->options != (b->options & ~may))
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s and %s have different tensors", original,
                        path);
    if (!sha || strcmp(sha, source->sha256) != 0)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s was not made from %s (sha256 %.16s..., not "
                        "%.16s...)", path, original, sha ? sha : "unknown", source->sha256);
    return RBE_OK;
}

/* Were the means of the embedding's columns moved to the positions? */
static enum rbe_status find_center(struct rbe_student *s, struct rbe_diag *d)
{
    struct tensor *t = s->tokens;
    const size_t rows = t->slice->rows, cols = t->slice->cols;
    double here = 0, there = 0;
    enum rbe_status err;
    float *x;

    if (!s->model || (err = rbe_source_read(&x, s->source, t->origin, d)))
        return s->model ? err : RBE_OK;
    for (size_t c = 0; c < cols; c++) {
        double a = 0, b = 0;
        for (size_t r = 0; r < rows; r++) {
            a += (double)x[r * cols + c];
            b += (double)weights_of(s, t)[r * cols + c];
        }
        there += a * a;
        here += (a - b) * (a - b);
    }
    /* The means are the original's, or nearly 0. */
    t->centered = here > there / 4;
    free(x);
    return RBE_OK;
}

static enum rbe_status open_student(struct rbe_student **out, struct rbe_grad *t,
                                    const struct rbe_source *source,
                                    const struct rbe_source *model,
                                    const struct rbe_student_uses *uses, struct rbe_pool *pool,
                                    struct rbe_diag *d)
{
    const struct rbe_source *own = model ? model : source;
    enum rbe_status err = RBE_OK;
    size_t spans = 0;

    *out = NULL;
    struct rbe_student *s = calloc(1, sizeof *s);
    if (!s)
        return no_memory(d);
    *s = (struct rbe_student){.train = t, .source = source, .model = model, .pool = pool,
                              .summed = uses->sums};
    if (model && (err = rbe_student_fits(source, model, d)))
        goto out;
    s->count = rbe_grad_slices(t);
    if (s->count != own->count) {
        err = rbe_fail(d, RBE_ERR_ARG, "%s: %zu tensors where %zu are trained",
                       rbe_source_path(own), own->count, s->count);
        goto out;
    }
    if (!(s->tensors = calloc(s->count, sizeof *s->tensors))) {
        err = no_memory(d);
        goto out;
    }
    for (size_t i = 0; i < s->count && !err; i++) {
        struct tensor *x = &s->tensors[i];
        x->slice = rbe_grad_slice(t, i);
        x->own = &own->tensors[i];
        x->origin = rbe_source_find(source, x->slice->name);
        s->tokens = x->slice->role == RBE_ROLE_TOKENS ? x : s->tokens;
        err = open_tensor(s, x, d);
        s->widest = x->slice->cols > s->widest ? x->slice->cols : s->widest;
        spans += 1 + 2 * x->w.part_count;
    }
    if (err)
        goto out;
    s->sums = malloc(CHUNKS * s->widest * sizeof *s->sums);
    s->buffer = malloc(CHUNKS * s->widest * sizeof *s->buffer);
    s->spans = calloc(spans, sizeof *s->spans);
    if (!s->sums || !s->buffer || !s->spans) {
        err = no_memory(d);
        goto out;
    }
    for (size_t i = 0; i < s->count; i++) {
        rbe_student_apply(s, &s->tensors[i]);
        s->tensors[i].size = rms(weights_of(s, &s->tensors[i]), s->tensors[i].slice->count);
    }
    if ((err = find_center(s, d)))
        goto out;
    list_spans(s, uses);
    err = rbe_optimizer_open(&s->optimizer, s->spans, s->span_count,
                             (struct rbe_optimizer_options){.decay = 1}, pool, d);
out:
    if (err)
        rbe_student_close(&s);
    *out = s;
    return err;
}

enum rbe_status rbe_student_open(struct rbe_student **out, struct rbe_grad *t,
                                 const struct rbe_source *source,
                                 const struct rbe_source *model,
                                 const struct rbe_student_uses *uses, struct rbe_pool *pool,
                                 struct rbe_diag *d)
{
    return open_student(out, t, source, model, uses, pool, d);
}

enum rbe_status rbe_student_open_plain(struct rbe_student **out, struct rbe_grad *t,
                                       const struct rbe_source *source, struct rbe_pool *pool,
                                       struct rbe_diag *d)
{
    return open_student(out, t, source, NULL, &(struct rbe_student_uses){.latent = false}, pool,
                        d);
}

void rbe_student_close(struct rbe_student **ps)
{
    struct rbe_student *s = *ps;

    if (!s)
        return;
    rbe_optimizer_close(&s->optimizer);
    for (size_t i = 0; s->tensors && i < s->count; i++) {
        struct tensor *t = &s->tensors[i];
        if (t->slice)
            t->slice->sums = NULL;
        rbe_student_free_scales(t);
        rbe_weight_free(&t->w);
        free(t->master);
        free(t->error);
        free(t->zeros);
    }
    free(s->tensors);
    free(s->means);
    free(s->spans);
    free(s->sums);
    free(s->buffer);
    free(s);
    *ps = NULL;
}

/* --- memory ------------------------------------------------------------------------------- */

/* What a training takes: arrays from the opening on, the spans of the optimiser, and the most
 * that one tensor takes for a while. */
struct need {
    size_t arrays, passing, widest, settled;    /* settled: numbers that have means */
    struct rbe_optimizer_span *spans;
    size_t count;
};

static void need_span(struct need *n, struct rbe_optimizer_span s)
{
    n->spans[n->count++] = s;
}

static void need_settled(struct need *n, size_t numbers)
{
    need_span(n, (struct rbe_optimizer_span){.rows = 1, .cols = numbers});
    n->settled += numbers;
}

static void need_codes(struct need *n, const struct rbe_weight *w, unsigned threads)
{
    bool scales = true;

    for (size_t i = 0; i < w->part_count; i++)
        scales = scales && rbe_student_has_scales(w->parts[i].m.format);
    for (size_t i = 0; i < w->part_count && scales; i++) {
        const struct rbe_matrix *m = &w->parts[i].m;
        const struct rbe_matrix_size size =
            rbe_matrix_size(m->format, m->rows, m->cols, m->block, m->aux);
        const size_t rows = size.scale / sizeof(uint16_t), cols = m->col_scale ? m->cols : 0;

        n->arrays += sizeof(struct scales) + (size_t)m->rows * m->cols * sizeof(int16_t) +
                     4 * (rows + cols) * sizeof(float);
        /* Their sums, where they have some. */
        n->arrays += threads * (rows + cols) * sizeof(float) + sizeof(uint32_t);
        need_settled(n, rows);
        if (cols)
            need_settled(n, cols);
    }
}

static void need_tensor(struct need *n, const struct rbe_source_tensor *t,
                        const struct rbe_student_uses *uses, unsigned threads)
{
    const size_t count = (size_t)t->rows * t->cols, floats = count * sizeof(float);
    /* Read and turned, as when it thaws or its rows of zeros are looked for. */
    size_t passing = (t->transposed ? 2 : 1) * floats;

    n->widest = t->cols > n->widest ? t->cols : n->widest;
    n->arrays += (t->weight ? t->weight->bytes : 0) + (t->matrix ? t->rows * sizeof(bool) : 0);
    if (is_plain(t)) {
        n->arrays += floats;
        need_settled(n, count);
    } else {
        need_codes(n, t->weight, uses->sums ? threads : 0);
    }
    if (t->weight && uses->latent) {
        const struct rbe_matrix *m = &t->weight->parts[0].m;
        const struct rbe_encode_options o = {
            .format = m->format, .block = m->block, .aux = m->aux,
            .scales = m->col_scale ? RBE_SCALES_ROW_COL : RBE_SCALES_ROW,
            .hadamard = t->weight->hadamard, .moment = t->matrix ? (const float[1]){0} : NULL};

        passing += rbe_encode_memory(t->rows, t->cols, &o, threads) +
                   (o.moment ? (size_t)t->cols * t->cols * sizeof(float) : 0);
    }
    if (uses->latent && !is_plain(t)) {
        need_span(n, latent_span(t, uses->kind));
        n->arrays += uses->errors ? floats : 0;
    }
    n->passing = passing > n->passing ? passing : n->passing;
}

size_t rbe_student_bytes(const struct rbe_source *source, const struct rbe_source *model,
                         const struct rbe_student_uses *uses, unsigned threads)
{
    const struct rbe_source *own = model ? model : source;
    struct need n = {0};
    size_t spans = 0;

    for (size_t i = 0; i < own->count; i++)
        spans += 2 + 2 * (own->tensors[i].weight ? own->tensors[i].weight->part_count : 0);
    if (!(n.spans = calloc(spans, sizeof *n.spans)))
        return SIZE_MAX;
    for (size_t i = 0; i < own->count; i++)
        need_tensor(&n, &own->tensors[i], uses, threads);
    const size_t optimizer = rbe_optimizer_bytes(n.spans, n.count);
    free(n.spans);
    return sizeof(struct rbe_student) + own->count * sizeof(struct tensor) +
           spans * sizeof *n.spans + CHUNKS * n.widest * (sizeof(double) + sizeof(float)) +
           n.arrays + optimizer + (uses->means ? n.settled * sizeof(float) : 0) + n.passing;
}
