/*
 * model.c - loads the weights of a model, plain or RBE.
 *
 * SPDX-License-Identifier: MIT
 *
 * What the file must hold, and whether it does, model/source.h knows.  A plain checkpoint, or
 * GGUF file, is turned into the same form as a container: the matrix of each role as an
 * [out][in] weight of one f32 part, in one arena.  A container's codes stay in the mapped file;
 * where a role's matrix is several of its weights, their parts follow each other in one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "kernels/cpu.h"
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
    const size_t count = rbe_source_count(c), e = c->n_embd;
    const size_t qkv = rbe_config_qkv(c), up = rbe_config_up(c), wide = qkv > up ? qkv : up;
    struct room r = {.zeros = padded(wide > e ? wide : e)};

    for (size_t i = 0; i < count; i++) {
        const struct rbe_source_tensor t = rbe_source_tensor(c, i);
        const size_t n = (size_t)t.rows * t.cols;

        r.matrices += t.matrix;
        r.floats += plain || !t.matrix ? padded(n) : 0;
        r.largest = t.transposed && n > r.largest ? n : r.largest;
    }
    r.floats += r.zeros;
    return r;
}

/* Tensors from t on that are ranges of one weight. */
static size_t range_count(const struct rbe_source *s, const struct rbe_source_tensor *t)
{
    size_t n = 1;

    while (t + n < s->tensors + s->count && t[n].row0)
        n++;
    return n;
}

/* Copies the n ranges from t on into the arena, below each other; *out is where. */
static enum rbe_status take(struct loader *l, const struct rbe_source_tensor *t, size_t n,
                            const float **out)
{
    const struct rbe_source_tensor *last = &t[n - 1];
    float *const to = l->next;
    enum rbe_status err = RBE_OK;

    l->next += padded((size_t)(last->row0 + last->rows) * t->cols);
    *out = to;
    for (size_t i = 0; i < n && !err; i++) {
        /* Looked up, never multiplied: encoded ones are decoded here. */
        if (!t[i].matrix && t[i].weight && !l->m->verified &&
            (err = rbe_container_check(l->m->container, t[i].weight, l->d)))
            return err;
        err = rbe_source_read_to(to + (size_t)t[i].row0 * t->cols, l->scratch, l->source, &t[i],
                                 l->d);
    }
    return err;
}

/* A fresh weight of the model's own, for the n ranges from t on. */
static struct rbe_weight *add_weight(struct rbe_model *m, const struct rbe_source_tensor *t,
                                     size_t n)
{
    struct rbe_weight *w = &m->own_weights[m->own_count++];

    *w = (struct rbe_weight){.rows = t[n - 1].row0 + t[n - 1].rows, .cols = t->cols,
                             .parts = &m->own_parts[m->own_part_count]};
    snprintf(w->name, sizeof w->name, "%s", t->name);
    return w;
}

/* Column scales that an earlier part has too are known by their address: then inputs are made
 * ready once for both. */
static void share_scales(const struct rbe_part *parts, struct rbe_part *p, size_t cols)
{
    for (; parts < p && p->m.col_scale; parts++)
        if (parts->m.col_scale &&
            !memcmp(parts->m.col_scale, p->m.col_scale, cols * sizeof *p->m.col_scale))
            p->m.col_scale = parts->m.col_scale;
}

/* Those of a container as one: their parts in a row.  All are rotated alike, or none is. */
static enum rbe_status join(struct loader *l, const struct rbe_source_tensor *t, size_t n,
                            const struct rbe_weight **out)
{
    struct rbe_weight *w = add_weight(l->m, t, n);

    *out = w;
    w->hadamard = t->weight->hadamard;
    w->sign_seed = t->weight->sign_seed;
    for (size_t i = 0; i < n; i++) {
        const struct rbe_weight *from = t[i].weight;
        if (from->hadamard != w->hadamard || (w->hadamard && from->sign_seed != w->sign_seed))
            return rbe_fail(l->d, RBE_ERR_MISMATCH, "%s: '%s' and '%s' are rotated "
                            "differently, and have the same inputs", l->m->path, w->name,
                            from->name);
        for (size_t k = 0; k < from->part_count; k++) {
            struct rbe_part *p = &l->m->own_parts[l->m->own_part_count++];
            *p = from->parts[k];
            p->row0 += t[i].row0;
            share_scales(w->parts, p, t->cols);
        }
        w->part_count += from->part_count;
        w->bytes += from->bytes;
    }
    return RBE_OK;
}

/* The matrix of a role, of n ranges: the container's, or a copy as f32. */
static enum rbe_status take_weight(struct loader *l, const struct rbe_source_tensor *t,
                                   size_t n, struct rbe_tensors *to)
{
    struct rbe_model *m = l->m;
    const struct rbe_weight **out = &to->weight[t->role];
    enum rbe_status err = RBE_OK;
    const float *codes;

    *out = t->weight;
    if (t->weight) {
        for (size_t i = 0; i < n; i++)
            to->stored[t->role][i] = t[i].weight;
        if (n > 1)
            err = join(l, t, n, out);
        m->rotated |= (*out)->hadamard != 0;
        return err;
    }
    struct rbe_weight *w = add_weight(m, t, n);
    struct rbe_part *p = &m->own_parts[m->own_part_count++];

    w->bytes = (size_t)w->rows * w->cols * sizeof *codes;
    w->part_count = 1;
    err = take(l, t, n, &codes);
    *p = (struct rbe_part){.m = {.format = RBE_F32, .rows = w->rows, .cols = w->cols,
                                 .codes = codes, .code_bytes = w->bytes}};
    *out = w;
    return err;
}

/* Parts of the weights that the model has to put together itself. */
static size_t own_parts(const struct rbe_source *s)
{
    size_t parts = 0;

    for (size_t i = 0; i < s->count; i++)
        parts += !s->tensors[i].weight ? s->tensors[i].matrix
                                       : s->tensors[i].weight->part_count;
    return parts;
}

static enum rbe_status load(struct rbe_model *m, const struct rbe_source *s, struct rbe_diag *d)
{
    const bool plain = !m->container;
    const struct room room = room_of(&m->config, plain);
    struct loader l = {.m = m, .source = s, .d = d};
    enum rbe_status err = RBE_OK;

    m->layers = calloc(m->config.n_layer, sizeof *m->layers);
    m->arena = aligned_alloc(64, room.floats * sizeof(float));
    m->own_weights = calloc(room.matrices, sizeof *m->own_weights);
    m->own_parts = calloc(own_parts(s), sizeof *m->own_parts);
    if (plain && room.largest)
        l.scratch = malloc(room.largest * sizeof(float));
    if (!m->layers || !m->arena || !m->own_weights || !m->own_parts ||
        (plain && room.largest && !l.scratch)) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: %zu MB of memory are not to be had", m->path,
                       room.floats * sizeof(float) / 1000000);
        goto out;
    }
    memset(m->arena, 0, room.zeros * sizeof(float));
    for (int64_t i = -1; i < m->config.n_layer; i++)
        for (int k = 0; k < RBE_ROLE_COUNT; k++)
            (i < 0 ? &m->whole : &m->layers[i])->values[k] = m->arena;
    l.next = m->arena + room.zeros;
    for (size_t i = 0, n; i < s->count && !err; i += n) {
        const struct rbe_source_tensor *t = &s->tensors[i];
        struct rbe_tensors *to = t->layer < 0 ? &m->whole : &m->layers[t->layer];

        n = range_count(s, t);
        err = t->matrix ? take_weight(&l, t, n, to) : take(&l, t, n, &to->values[t->role]);
        if (!err && t->matrix)
            m->bytes_per_token += to->weight[t->role]->bytes;
    }
    if (err)
        goto out;
    /* Of a token embedding that is not the output layer too, one row is read. */
    if (m->whole.weight[RBE_ROLE_OUTPUT])
        m->bytes_per_token -= m->whole.weight[RBE_ROLE_TOKENS]->bytes;
    else
        m->whole.weight[RBE_ROLE_OUTPUT] = m->whole.weight[RBE_ROLE_TOKENS];
out:
    free(l.scratch);
    return err;
}

/* Whether the kernel for the part's products is of those that need the sums of its rows. */
static bool needs_sums(const struct rbe_part *p)
{
    const struct rbe_kernel *k =
        rbe_kernel_best_for(RBE_GEMV, p->m.format, rbe_cpu_isa(),
                            rbe_format_act_bits(p->m.format), true);

    return k && k->sums;
}

/*
 * The sums of the rows of what is multiplied, from `to` on; NULL: only counts them.  Returns
 * how many there are.
 */
static size_t sum_weights(const struct rbe_model *m, int32_t *to)
{
    size_t rows = 0;

    for (int64_t i = -1; i < m->config.n_layer; i++)
        for (int k = 0; k < RBE_ROLE_COUNT; k++) {
            const struct rbe_weight *w = (i < 0 ? &m->whole : &m->layers[i])->weight[k];
            if (i < 0 && k != RBE_ROLE_OUTPUT)          /* looked up */
                continue;
            for (size_t j = 0; w && j < w->part_count; j++) {
                struct rbe_part *p = &w->parts[j];
                if (!needs_sums(p))
                    continue;
                if (to && rbe_row_sums(&p->m, to + rows))
                    p->m.row_sum = to + rows;
                rows += p->m.rows;
            }
        }
    return rows;
}

static enum rbe_status add_sums(struct rbe_model *m, struct rbe_diag *d)
{
    const size_t rows = m->container ? sum_weights(m, NULL) : 0;

    if (!rows)
        return RBE_OK;
    if (!(m->row_sums = malloc(rows * sizeof *m->row_sums)))
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", m->path);
    sum_weights(m, m->row_sums);
    return RBE_OK;
}

enum rbe_status rbe_model_open(struct rbe_model **out, const char *path, struct rbe_diag *d)
{
    struct rbe_source *s = NULL;
    enum rbe_status err;

    if (out)
        *out = NULL;
    if (!out || !path)
        return rbe_fail_null(d);
    struct rbe_model *m = calloc(1, sizeof *m);
    if (!m) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
        goto out;
    }
    if ((err = rbe_source_open_head(&s, path, d)) || (err = rbe_source_find_all(s, d)))
        goto out;
    m->config = s->config;
    m->file_bytes = rbe_source_file_bytes(s);
    m->stamp = rbe_source_stamp(s);
    m->container = s->container;
    m->verified = !s->container || rbe_no_verify;
    if (!(m->path = strdup(rbe_source_path(s))) ||
        (s->label && !(m->label = strdup(s->label))))
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
    else if (!(err = load(m, s, d)))
        err = add_sums(m, d);
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
    const bool plain = s->gguf || !rbe_container_is(s->file);
    const struct room room = room_of(&s->config, plain);
    *bytes = rbe_source_file_bytes(s) +
             (room.floats + (plain ? room.largest : 0)) * sizeof(float);
    rbe_source_close(&s);
    return RBE_OK;
}

void rbe_model_close(struct rbe_model **pm)
{
    struct rbe_model *m = pm ? *pm : NULL;

    if (!m)
        return;
    rbe_container_close(&m->container);
    free(m->layers);
    free(m->own_weights);
    free(m->own_parts);
    free(m->arena);
    free(m->row_sums);
    free(m->label);
    free(m->path);
    free(m);
    *pm = NULL;
}

uint32_t rbe_model_vocab(const struct rbe_model *m)
{
    return m ? m->config.vocab : 0;
}

uint32_t rbe_model_context(const struct rbe_model *m)
{
    return m ? m->config.n_ctx : 0;
}

uint32_t rbe_model_eos(const struct rbe_model *m)
{
    return m ? m->config.eos : 0;
}

const struct rbe_model_config *rbe_model_config(const struct rbe_model *m)
{
    return &m->config;
}

const char *rbe_model_path(const struct rbe_model *m)
{
    return m ? m->path : NULL;
}

size_t rbe_model_file_bytes(const struct rbe_model *m)
{
    return m ? m->file_bytes : 0;
}

bool rbe_model_is_rbe(const struct rbe_model *m)
{
    return m && m->container;
}

void rbe_model_rest(const struct rbe_model *m)
{
    const struct rbe_safetensors *f = m->container ? rbe_container_file(m->container) : NULL;

    for (size_t i = 0; f && i < rbe_safetensors_count(f); i++) {
        const struct rbe_tensor *t = rbe_safetensors_at(f, i);
        rbe_map_forget(t->data, t->bytes);
    }
}

enum rbe_status rbe_model_hash(struct rbe_model *m, struct rbe_diag *d)
{
    struct rbe_safetensors *again = NULL;
    struct rbe_gguf *gguf = NULL;
    enum rbe_status err = RBE_OK;
    uint64_t stamp = m->stamp;

    if (m->sha256[0])
        return RBE_OK;
    /* A checkpoint's file was closed once its weights were copied. */
    if (m->container)
        return rbe_safetensors_sha256(m->sha256, rbe_container_file(m->container));
    if (rbe_gguf_is(m->path)) {
        if (!(err = rbe_gguf_open(&gguf, m->path, d)))
            stamp = rbe_gguf_stamp(gguf);
    } else if (!(err = rbe_safetensors_open(&again, m->path, d))) {
        stamp = rbe_safetensors_stamp(again);
    }
    if (!err && stamp != m->stamp)
        err = rbe_fail(d, RBE_ERR_MISMATCH, "%s: was replaced or written to after it was read",
                       m->path);
    else if (!err)
        err = gguf ? rbe_gguf_sha256(m->sha256, gguf)
                   : rbe_safetensors_sha256(m->sha256, again);
    rbe_safetensors_close(&again);
    rbe_gguf_close(&gguf);
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
    return m ? m->bytes_per_token : 0;
}
