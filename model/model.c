/*
 * model.c - loads the weights of a GPT-2, plain or RBE.
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
    struct rbe_gpt2 *m;
    const struct rbe_source *source;
    float *next;                /* in the arena */
    float *scratch;             /* a matrix before it is transposed */
    struct rbe_diag *d;
};

static size_t padded(size_t n)
{
    return (n + 15) / 16 * 16;
}

/* Floats of the arena. */
static size_t arena_floats(const struct rbe_gpt2_config *c, bool plain)
{
    const size_t e = c->n_embd, f = c->n_inner;
    size_t layer = 4 * padded(e) + padded(3 * e) + 2 * padded(e) + padded(f);

    if (plain)
        layer += padded(3 * e * e) + padded(e * e) + 2 * padded(e * f);
    return c->n_layer * layer + padded(c->n_ctx * e) + 2 * padded(e) +
           (plain ? padded(c->vocab * e) : 0);
}

/* Values of the largest matrix that has to be transposed. */
static size_t largest_matrix(const struct rbe_gpt2_config *c)
{
    return (size_t)c->n_embd * (3 * c->n_embd > c->n_inner ? 3 * c->n_embd : c->n_inner);
}

/* Copies t into the arena; *out is where. */
static enum rbe_status take(struct loader *l, const struct rbe_source_tensor *t,
                            const float **out)
{
    float *const to = l->next;

    *out = to;
    l->next += padded((size_t)t->rows * t->cols);
    return rbe_source_read_to(to, l->scratch, l->source, t, l->d);
}

/* Weight number `index` of the model: the container's, or a copy as f32. */
static enum rbe_status take_weight(struct loader *l, size_t index,
                                   const struct rbe_source_tensor *t,
                                   const struct rbe_weight **out)
{
    struct rbe_gpt2 *m = l->m;
    const float *codes;

    *out = t->weight;
    if (t->weight) {
        m->rotated |= t->weight->hadamard != 0;
        return RBE_OK;
    }
    struct rbe_weight *w = &m->own_weights[index];
    struct rbe_part *p = &m->own_parts[index];
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

/* Positions are looked up, never multiplied: encoded ones are decoded here. */
static enum rbe_status take_positions(struct loader *l)
{
    const struct rbe_source_tensor *t = &l->source->tensors[RBE_SOURCE_WPE];
    struct rbe_gpt2 *m = l->m;
    enum rbe_status err;

    if (t->weight && !m->verified && (err = rbe_container_check(m->container, t->weight, l->d)))
        return err;
    return take(l, t, &m->wpe);
}

static enum rbe_status load_layer(struct loader *l, uint32_t i)
{
    struct rbe_layer *layer = &l->m->layers[i];
    const struct rbe_source_tensor *t =
        &l->source->tensors[RBE_SOURCE_LAYERS + RBE_SOURCE_PER_LAYER * (size_t)i];
    /* In the order of the source: a norm stands before the products of its half. */
    const float **norms[] = {&layer->ln1_gain, &layer->ln1_bias, &layer->ln2_gain,
                             &layer->ln2_bias};
    enum rbe_status err = RBE_OK;

    for (unsigned k = 0; !err && k < RBE_LINEARS; k++) {
        if (k % 2 == 0 &&
            ((err = take(l, t++, norms[k])) || (err = take(l, t++, norms[k + 1]))))
            break;
        if (!(err = take_weight(l, 1 + RBE_LINEARS * (size_t)i + k, t++, &layer->weight[k])))
            err = take(l, t++, &layer->bias[k]);
    }
    return err;
}

static size_t layer_bytes(const struct rbe_gpt2 *m)
{
    size_t n = m->wte->bytes;

    for (uint32_t i = 0; i < m->config.n_layer; i++)
        for (int k = 0; k < RBE_LINEARS; k++)
            n += m->layers[i].weight[k]->bytes;
    return n;
}

static enum rbe_status load(struct rbe_gpt2 *m, const struct rbe_source *s, struct rbe_diag *d)
{
    const struct rbe_gpt2_config *c = &m->config;
    const struct rbe_source_tensor *end = s->tensors + s->count;
    struct loader l = {.m = m, .source = s, .d = d};
    const size_t count = 1 + RBE_LINEARS * (size_t)c->n_layer;
    const bool plain = !m->container;
    const size_t floats = arena_floats(c, plain);
    enum rbe_status err = RBE_OK;

    m->layers = calloc(c->n_layer, sizeof *m->layers);
    m->arena = aligned_alloc(64, floats * sizeof(float));
    if (plain) {
        m->own_weights = calloc(count, sizeof *m->own_weights);
        m->own_parts = calloc(count, sizeof *m->own_parts);
        l.scratch = malloc(largest_matrix(c) * sizeof(float));
    }
    if (!m->layers || !m->arena ||
        (plain && (!m->own_weights || !m->own_parts || !l.scratch))) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: %zu MB of memory are not to be had", m->path,
                       floats * sizeof(float) / 1000000);
        goto out;
    }
    l.next = m->arena;
    if ((err = take_weight(&l, 0, &s->tensors[RBE_SOURCE_WTE], &m->wte)) ||
        (err = take_positions(&l)) || (err = take(&l, end - 2, &m->lnf_gain)) ||
        (err = take(&l, end - 1, &m->lnf_bias)))
        goto out;
    for (uint32_t i = 0; !err && i < c->n_layer; i++)
        err = load_layer(&l, i);
    if (!err)
        m->bytes_per_token = layer_bytes(m);
out:
    free(l.scratch);
    return err;
}

enum rbe_status rbe_gpt2_open(struct rbe_gpt2 **out, const char *path, struct rbe_diag *d)
{
    struct rbe_source *s = NULL;
    enum rbe_status err;

    *out = NULL;
    struct rbe_gpt2 *m = calloc(1, sizeof *m);
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
        rbe_gpt2_close(&m);
    *out = m;
    return err;
}

enum rbe_status rbe_gpt2_open_bytes(size_t *bytes, const char *path, struct rbe_diag *d)
{
    struct rbe_source *s;
    const enum rbe_status err = rbe_source_open_head(&s, path, d);

    *bytes = 0;
    if (err)
        return err;
    const bool plain = !rbe_container_is(s->file);
    *bytes = rbe_safetensors_file_bytes(s->file) +
             arena_floats(&s->config, plain) * sizeof(float) +
             (plain ? largest_matrix(&s->config) * sizeof(float) : 0);
    rbe_source_close(&s);
    return RBE_OK;
}

void rbe_gpt2_close(struct rbe_gpt2 **pm)
{
    struct rbe_gpt2 *m = *pm;

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

uint32_t rbe_gpt2_vocab(const struct rbe_gpt2 *m)
{
    return m->config.vocab;
}

uint32_t rbe_gpt2_context(const struct rbe_gpt2 *m)
{
    return m->config.n_ctx;
}

uint32_t rbe_gpt2_eos(const struct rbe_gpt2 *m)
{
    return m->config.eos;
}

const struct rbe_gpt2_config *rbe_gpt2_config(const struct rbe_gpt2 *m)
{
    return &m->config;
}

const char *rbe_gpt2_path(const struct rbe_gpt2 *m)
{
    return m->path;
}

size_t rbe_gpt2_file_bytes(const struct rbe_gpt2 *m)
{
    return m->file_bytes;
}

bool rbe_gpt2_is_rbe(const struct rbe_gpt2 *m)
{
    return m->container;
}

enum rbe_status rbe_gpt2_hash(struct rbe_gpt2 *m, struct rbe_diag *d)
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

const char *rbe_gpt2_sha256(const struct rbe_gpt2 *m)
{
    return m->sha256[0] ? m->sha256 : NULL;
}

const char *rbe_gpt2_label(const struct rbe_gpt2 *m)
{
    return m->label;
}

size_t rbe_gpt2_bytes_per_token(const struct rbe_gpt2 *m)
{
    return m->bytes_per_token;
}
