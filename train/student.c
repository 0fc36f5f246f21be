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

static enum rbe_status open_encoded(struct rbe_student *s, struct tensor *t,
                                    const struct rbe_weight *w, struct rbe_diag *d)
{
    enum rbe_status err;

    if (w->rows != t->slice->rows || w->cols != t->slice->cols)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s: weight '%s' is %u x %u, not %u x %u",
                        rbe_safetensors_path(rbe_container_file(s->model)), w->name, w->rows,
                        w->cols, t->slice->rows, t->slice->cols);
    if ((err = copy_weight(&t->w, w, d)))
        return err;
    t->kind = OPAQUE;
    if (!t->slice->matrix || is_plain_codec(w)) {
        t->kind = PLAIN;
        t->dtype = RBE_DT_F32;
        if (!(t->master = malloc(t->slice->count * sizeof *t->master)))
            return no_memory(d);
        for (size_t r = 0; r < w->rows; r++)
            rbe_weight_decode_row(w, r, t->master + r * w->cols);
        return t->slice->matrix ? rbe_student_find_zeros(t, t->master, d) : RBE_OK;
    }
    if ((err = rbe_student_open_scales(t, d)))
        return err;
    if (t->parts)
        t->kind = CODED;
    return RBE_OK;
}

static enum rbe_status open_tensor(struct rbe_student *s, struct tensor *t, struct rbe_diag *d)
{
    const char *name = t->slice->name;
    enum rbe_status err;

    if (!s->model) {
        t->kind = PLAIN;
        t->dtype = RBE_DT_F32;
        if ((err = rbe_source_read(&t->master, s->source, t->origin, d)))
            return err;
        return t->slice->matrix ? rbe_student_find_zeros(t, t->master, d) : RBE_OK;
    }
    const struct rbe_weight *w = rbe_container_weight(s->model, name);
    if (w)
        return open_encoded(s, t, w, d);
    const struct rbe_safetensors *f = rbe_container_file(s->model);
    const struct rbe_tensor *from = rbe_safetensors_find(f, name);
    if (!from || from->count != t->slice->count)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s: tensor '%s' is missing or has another shape",
                        rbe_safetensors_path(f), name);
    t->kind = PLAIN;
    t->dtype = from->dtype;
    if (!(t->master = malloc(t->slice->count * sizeof *t->master)))
        return no_memory(d);
    if ((err = rbe_tensor_to_f32(from, t->master, d)))
        return err;
    return RBE_OK;
}

/* The spans the optimiser moves: scales and plain tensors, then latents. */
static void list_spans(struct rbe_student *s, bool latent, enum rbe_optimizer_kind kind)
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
    for (size_t i = 0; latent && i < s->count; i++) {
        struct tensor *t = &s->tensors[i];

        if (t->kind == PLAIN)
            continue;
        t->span = (int)(to - s->spans);
        /* A step of the embedding's, few of whose rows a batch has, is no matrix's. */
        *to++ = (struct rbe_optimizer_span){.param = weights_of(s, t),
                                            .gradient = gradient_of(s, t),
                                            .rows = t->slice->rows, .cols = t->slice->cols,
                                            .kind = t == s->tokens ? RBE_ADAMW : kind};
    }
    s->span_count = (size_t)(to - s->spans);
}

static enum rbe_status check_same(const struct rbe_student *s, struct rbe_diag *d)
{
    const struct rbe_safetensors *f = rbe_container_file(s->model);
    const char *config = rbe_safetensors_meta(f, "rbe.config"), *path = rbe_safetensors_path(f);
    const char *sha = rbe_safetensors_meta(f, "rbe.source_sha256");
    const char *original = rbe_source_path(s->source);
    const struct rbe_model_config *a = &s->source->config;
    struct rbe_model_config b;
    enum rbe_status err;

    if (!config)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: rbe.config is missing", path);
    if ((err = rbe_model_config_parse(&b, config, strlen(config), path, d)))
        return err;
    if (a->vocab != b.vocab)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s has a vocabulary of %u, %s one of %u",
                        original, a->vocab, path, b.vocab);
    if (a->n_layer != b.n_layer || a->n_embd != b.n_embd || a->n_ctx != b.n_ctx ||
        a->n_head != b.n_head || a->n_inner != b.n_inner)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s has %u layers of %u and a context of %u, %s "
                        "%u of %u and %u", original, a->n_layer, a->n_embd, a->n_ctx, path,
                        b.n_layer, b.n_embd, b.n_ctx);
    if (!sha || strcmp(sha, s->source->sha256) != 0)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s was not made from %s (sha256 %.16s..., not "
                        "%.16s...)", path, original, sha ? sha : "unknown", s->source->sha256);
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

/* What training has not learned yet, though grad/ has. */
static enum rbe_status check_parts(const struct rbe_source *source, bool control,
                                   struct rbe_diag *d)
{
    const struct rbe_model_config *c = &source->config;
    const struct rbe_arch *a = rbe_arch_at(c->arch);

    if (a->positions != RBE_LEARNED || c->options)
        return rbe_fail(d, RBE_ERR_ARG, "%s: training of a %s%s is not built",
                        rbe_source_path(source), a->title,
                        c->options >> RBE_OPTION_UNTIED & 1 ? " with an output layer of its own"
                                                            : "");
    if (control && source->gguf)
        return rbe_fail(d, RBE_ERR_ARG, "%s: the control is trained from safetensors, not from "
                        "GGUF", rbe_source_path(source));
    return RBE_OK;
}

static enum rbe_status open_student(struct rbe_student **out, struct rbe_grad *t,
                                    const struct rbe_source *source,
                                    const struct rbe_container *model, bool latent,
                                    enum rbe_optimizer_kind kind, struct rbe_pool *pool,
                                    struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    size_t spans = 0;

    *out = NULL;
    if ((err = check_parts(source, !model, d)))
        return err;
    struct rbe_student *s = calloc(1, sizeof *s);
    if (!s)
        return no_memory(d);
    *s = (struct rbe_student){.train = t, .source = source, .model = model, .pool = pool};
    if (model && (err = check_same(s, d)))
        goto out;
    s->count = rbe_grad_slices(t);
    if (!(s->tensors = calloc(s->count, sizeof *s->tensors))) {
        err = no_memory(d);
        goto out;
    }
    for (size_t i = 0; i < s->count && !err; i++) {
        struct tensor *x = &s->tensors[i];
        x->slice = rbe_grad_slice(t, i);
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
    list_spans(s, latent, kind);
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
                                 const struct rbe_container *model, bool latent,
                                 enum rbe_optimizer_kind kind, struct rbe_pool *pool,
                                 struct rbe_diag *d)
{
    return open_student(out, t, source, model, latent, kind, pool, d);
}

enum rbe_status rbe_student_open_plain(struct rbe_student **out, struct rbe_grad *t,
                                       const struct rbe_source *source, struct rbe_pool *pool,
                                       struct rbe_diag *d)
{
    return open_student(out, t, source, NULL, false, RBE_ADAMW, pool, d);
}

void rbe_student_close(struct rbe_student **ps)
{
    struct rbe_student *s = *ps;

    if (!s)
        return;
    rbe_optimizer_close(&s->optimizer);
    for (size_t i = 0; s->tensors && i < s->count; i++) {
        struct tensor *t = &s->tensors[i];
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

size_t rbe_student_bytes(const struct rbe_model_config *c, bool latent,
                         enum rbe_optimizer_kind kind)
{
    const size_t e = c->n_embd, params = (size_t)rbe_model_config_params(c);
    const size_t layer = 4 * e + 3 * e + e + c->n_inner + e + 4 * e;
    const size_t plain = (c->n_layer * layer + 2 * e + c->n_ctx * e) * sizeof(float) * 4;
    const size_t scales = (c->n_layer * (layer + 8 * e) + c->vocab + e) * sizeof(float) * 7;
    const size_t largest = e * (c->n_inner > 3 * e ? c->n_inner : 3 * e);
    size_t latents = 3 * params;        /* an error and two moments */

    if (kind == RBE_MUON)
        latents = 2 * params + e * c->vocab + 2 * largest + 2 * e * e;
    /* Codes' values in 16 bits, the codes. */
    return params * 3 + plain + scales + (latent ? latents * sizeof(float) : 0);
}
