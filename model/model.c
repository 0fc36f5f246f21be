/*
 * model.c - loads the weights of a model, plain or RBE.
 *
 * SPDX-License-Identifier: MIT
 *
 * What the file must hold, and whether it does, model/source.h knows.  A plain checkpoint is
 * turned into the same form as a container: matrices as [out][in] weights of one f32 part
 * each, in one arena.  A container's codes stay in the mapped file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/source.h"
#include "model/weights.h"

/* Where tensors come from, and where the f32 copies of them go. */
struct loader {
    struct rbe_model *m;
    const struct rbe_source *source;
    float *next;                /* in the arena */
    float *scratch;             /* a matrix before it is transposed */
    struct rbe_diag *d;
};

static size_t padded(size_t n)
{
    return (n + 15) / 16 * 16;
}

/* What a model of this shape needs: floats of the arena, matrices, values of the largest matrix
 * that has to be turned, and of a vector of zeros where the architecture leaves one out. */
struct room {
    size_t floats, matrices, largest, zeros;
};

static struct room room_of(const struct rbe_model_config *c, bool plain)
{
    const size_t count = rbe_source_count(c), e = c->n_embd, f = c->n_inner;
    bool has[RBE_ROLE_COUNT] = {false};
    struct room r = {0};

    for (size_t i = 0; i < count; i++) {
        const struct rbe_source_tensor t = rbe_source_tensor(c, i);
        const size_t n = (size_t)t.rows * t.cols;

        has[t.role] = true;
        r.matrices += t.matrix;
        r.floats += plain || !t.matrix ? padded(n) : 0;
        r.largest = t.transposed && n > r.largest ? n : r.largest;
    }
    for (int k = 0; k < RBE_ROLE_COUNT; k++)
        if (!has[k])
            r.zeros = padded(3 * e > f ? 3 * e : f);
    r.floats += r.zeros;
    return r;
}

/* Copies t into the arena; *out is where. */
static enum rbe_status take(struct loader *l, const struct rbe_source_tensor *t,
                            const float **out)
{
    float *const to = l->next;
    enum rbe_status err;

    /* Looked up, never multiplied: encoded ones are decoded here. */
    if (!t->matrix && t->weight && !l->m->verified &&
        (err = rbe_container_check(l->m->container, t->weight, l->d)))
        return err;

    *out = to;
    l->next += padded((size_t)t->rows * t->cols);
    return rbe_source_read_to(to, l->scratch, l->source, t, l->d);
}

/* A matrix: the container's, or a copy as f32. */
static enum rbe_status take_weight(struct loader *l, const struct rbe_source_tensor *t,
                                   const struct rbe_weight **out)
{
    struct rbe_model *m = l->m;
    const float *codes;

    *out = t->weight;
    if (t->weight) {
        m->rotated |= t->weight->hadamard != 0;
        return RBE_OK;
    }
    struct rbe_weight *w = &m->own_weights[m->own_count];
    struct rbe_part *p = &m->own_parts[m->own_count++];
    const size_t bytes = (size_t)t->rows * t->cols * sizeof *codes;
    const enum rbe_status err = take(l, t, &codes);

    *p = (struct rbe_part){.m = {.format = RBE_F32, .rows = t->rows, .cols = t->cols,
                                 .codes = codes, .code_bytes = bytes}};
    *w = (struct rbe_weight){.rows = t->rows, .cols = t->cols, .part_count = 1, .parts = p,
                             .bytes = bytes};
    snprintf(w->name, sizeof w->name, "%s", t->name);
    *out = w;
    return err;
}

static enum rbe_status load(struct rbe_model *m, const struct rbe_source *s, struct rbe_diag *d)
{
    const bool plain = !m->container;
    const struct room room = room_of(&m->config, plain);
    struct loader l = {.m = m, .source = s, .d = d};
    enum rbe_status err = RBE_OK;

    m->layers = calloc(m->config.n_layer, sizeof *m->layers);
    m->arena = aligned_alloc(64, room.floats * sizeof(float));
    if (plain) {
        m->own_weights = calloc(room.matrices, sizeof *m->own_weights);
        m->own_parts = calloc(room.matrices, sizeof *m->own_parts);
        l.scratch = malloc(room.largest * sizeof(float));
    }
    if (!m->layers || !m->arena ||
        (plain && (!m->own_weights || !m->own_parts || (room.largest && !l.scratch)))) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: %zu MB of memory are not to be had", m->path,
                       room.floats * sizeof(float) / 1000000);
        goto out;
    }
    memset(m->arena, 0, room.zeros * sizeof(float));
    for (int64_t i = -1; i < m->config.n_layer; i++)
        for (int k = 0; k < RBE_ROLE_COUNT; k++)
            (i < 0 ? &m->whole : &m->layers[i])->values[k] = m->arena;
    l.next = m->arena + room.zeros;
    for (size_t i = 0; i < s->count && !err; i++) {
        const struct rbe_source_tensor *t = &s->tensors[i];
        struct rbe_tensors *to = t->layer < 0 ? &m->whole : &m->layers[t->layer];

        err = t->matrix ? take_weight(&l, t, &to->weight[t->role])
                        : take(&l, t, &to->values[t->role]);
        if (!err && t->matrix)
            m->bytes_per_token += to->weight[t->role]->bytes;
    }
out:
    free(l.scratch);
    return err;
}

enum rbe_status rbe_model_open(struct rbe_model **out, const char *path, struct rbe_diag *d)
{
    struct rbe_source *s = NULL;
    enum rbe_status err;

    *out = NULL;
    struct rbe_model *m = calloc(1, sizeof *m);
    if (!m) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
        goto out;
    }
    if ((err = rbe_source_open_head(&s, path, d)) || (err = rbe_source_find_all(s, d)))
        goto out;
    m->config = s->config;
    m->file_bytes = rbe_safetensors_file_bytes(s->file);
    m->stamp = rbe_safetensors_stamp(s->file);
    m->container = s->container;
    m->verified = !s->container || rbe_no_verify;
    if (!(m->path = strdup(rbe_safetensors_path(s->file))) ||
        (s->label && !(m->label = strdup(s->label))))
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
    else
        err = load(m, s, d);
    if (s->container) {         /* the model's from here on */
        s->container = NULL;
        s->file = NULL;
    }
out:
    rbe_source_close(&s);
    if (err)
        rbe_model_close(&m);
    *out = m;
    return err;
}

enum rbe_status rbe_model_open_bytes(size_t *bytes, const char *path, struct rbe_diag *d)
{
    struct rbe_source *s;
    const enum rbe_status err = rbe_source_open_head(&s, path, d);

    *bytes = 0;
    if (err)
        return err;
    const bool plain = !rbe_container_is(s->file);
    const struct room room = room_of(&s->config, plain);
    *bytes = rbe_safetensors_file_bytes(s->file) +
             (room.floats + (plain ? room.largest : 0)) * sizeof(float);
    rbe_source_close(&s);
    return RBE_OK;
}

void rbe_model_close(struct rbe_model **pm)
{
    struct rbe_model *m = *pm;

    if (!m)
        return;
    rbe_container_close(&m->container);
    free(m->layers);
    free(m->own_weights);
    free(m->own_parts);
    free(m->arena);
    free(m->label);
    free(m->path);
    free(m);
    *pm = NULL;
}

uint32_t rbe_model_vocab(const struct rbe_model *m)
{
    return m->config.vocab;
}

uint32_t rbe_model_context(const struct rbe_model *m)
{
    return m->config.n_ctx;
}

uint32_t rbe_model_eos(const struct rbe_model *m)
{
    return m->config.eos;
}

const struct rbe_model_config *rbe_model_config(const struct rbe_model *m)
{
    return &m->config;
}

const char *rbe_model_path(const struct rbe_model *m)
{
    return m->path;
}

size_t rbe_model_file_bytes(const struct rbe_model *m)
{
    return m->file_bytes;
}

bool rbe_model_is_rbe(const struct rbe_model *m)
{
    return m->container;
}

enum rbe_status rbe_model_hash(struct rbe_model *m, struct rbe_diag *d)
{
    struct rbe_safetensors *again = NULL;
    enum rbe_status err = RBE_OK;

    /* A checkpoint's file was closed once its weights were copied. */
    if (m->sha256[0] || (!m->container && (err = rbe_safetensors_open(&again, m->path, d))))
        return err;
    if (again && rbe_safetensors_stamp(again) != m->stamp)
        err = rbe_fail(d, RBE_ERR_MISMATCH, "%s: was replaced or written to after it was read",
                       m->path);
    else
        err = rbe_safetensors_sha256(m->sha256,
                                     again ? again : rbe_container_file(m->container));
    rbe_safetensors_close(&again);
    return err;
}

const char *rbe_model_sha256(const struct rbe_model *m)
{
    return m->sha256[0] ? m->sha256 : NULL;
}

const char *rbe_model_label(const struct rbe_model *m)
{
    return m->label;
}

size_t rbe_model_bytes_per_token(const struct rbe_model *m)
{
    return m->bytes_per_token;
}
