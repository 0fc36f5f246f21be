/*
 * grad.c - parameters, memory and the layout of a rbe_train.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tune/grad.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tune/train.h"

enum { ALIGN = 16 };            /* floats: 64 bytes */

static size_t padded(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

/* --- slices ------------------------------------------------------------------------------- */

static size_t slice_count(const struct rbe_gpt2_config *c)
{
    return 4 + RBE_TRAIN_LAYER_SLICES * (size_t)c->n_layer;
}

static void add_slice(struct rbe_train_slice **s, size_t *at, const char *name, bool matrix,
                      uint32_t rows, uint32_t cols)
{
    const size_t count = (size_t)rows * cols;

    if (*s) {
        **s = (struct rbe_train_slice){.matrix = matrix, .rows = rows, .cols = cols, .at = *at,
                                       .count = count};
        snprintf((*s)->name, sizeof (*s)->name, "%s", name);
        ++*s;
    }
    *at += padded(count);
}

/* Lists the slices into s (NULL: only counts); returns the floats of all. */
static size_t list_slices(const struct rbe_gpt2_config *c, struct rbe_train_slice *s)
{
    const uint32_t e = c->n_embd, f = c->n_inner;
    const struct {
        const char *name;
        bool matrix;
        uint32_t rows, cols;
    } layer[RBE_TRAIN_LAYER_SLICES] = {
        {"ln_1.weight", false, 1, e},        {"ln_1.bias", false, 1, e},
        {"attn.c_attn.weight", true, 3 * e, e}, {"attn.c_attn.bias", false, 1, 3 * e},
        {"attn.c_proj.weight", true, e, e},  {"attn.c_proj.bias", false, 1, e},
        {"ln_2.weight", false, 1, e},        {"ln_2.bias", false, 1, e},
        {"mlp.c_fc.weight", true, f, e},     {"mlp.c_fc.bias", false, 1, f},
        {"mlp.c_proj.weight", true, e, f},   {"mlp.c_proj.bias", false, 1, e}};
    size_t at = 0;

    add_slice(&s, &at, "wte.weight", true, c->vocab, e);
    add_slice(&s, &at, "wpe.weight", false, c->n_ctx, e);
    for (uint32_t i = 0; i < c->n_layer; i++)
        for (int k = 0; k < RBE_TRAIN_LAYER_SLICES; k++) {
            char name[64];
            snprintf(name, sizeof name, "h.%u.%s", i, layer[k].name);
            add_slice(&s, &at, name, layer[k].matrix, layer[k].rows, layer[k].cols);
        }
    add_slice(&s, &at, "ln_f.weight", false, 1, e);
    add_slice(&s, &at, "ln_f.bias", false, 1, e);
    return at;
}

/* --- open and close ----------------------------------------------------------------------- */

size_t rbe_train_bytes(const struct rbe_gpt2_config *c, struct rbe_train_limits l,
                       unsigned threads)
{
    (void)threads;
    return list_slices(c, NULL) * sizeof(float) * (l.forward_only ? 1 : 2);
}

enum rbe_status rbe_train_open(struct rbe_train **out, const struct rbe_gpt2_config *c,
                               struct rbe_train_limits l, struct rbe_pool *pool,
                               struct rbe_diag *d)
{
    *out = NULL;
    struct rbe_train *t = calloc(1, sizeof *t);
    const size_t bytes = rbe_train_bytes(c, l, rbe_pool_threads(pool)), count = slice_count(c);
    if (!t || !(t->slices = calloc(count, sizeof *t->slices)) ||
        !(t->arena = aligned_alloc(64, (bytes + 63) / 64 * 64))) {
        rbe_train_close(&t);
        return rbe_fail(d, RBE_ERR_NOMEM, "training needs %zu MB of memory", bytes >> 20);
    }
    memset(t->arena, 0, bytes);
    t->c = *c;
    t->limits = l;
    t->pool = pool;
    t->slice_count = count;
    t->floats = list_slices(c, t->slices);
    t->params = t->arena;
    t->grads = l.forward_only ? NULL : t->arena + t->floats;
    *out = t;
    return RBE_OK;
}

void rbe_train_close(struct rbe_train **pt)
{
    struct rbe_train *t = *pt;

    if (!t)
        return;
    free(t->slices);
    free(t->arena);
    free(t);
    *pt = NULL;
}

const struct rbe_gpt2_config *rbe_train_config(const struct rbe_train *t)
{
    return &t->c;
}

size_t rbe_train_slices(const struct rbe_train *t)
{
    return t->slice_count;
}

struct rbe_train_slice *rbe_train_slice(struct rbe_train *t, size_t i)
{
    return &t->slices[i];
}

struct rbe_train_slice *rbe_train_find(struct rbe_train *t, const char *name)
{
    for (size_t i = 0; i < t->slice_count; i++)
        if (!strcmp(t->slices[i].name, name))
            return &t->slices[i];
    return NULL;
}

size_t rbe_train_floats(const struct rbe_train *t)
{
    return t->floats;
}

float *rbe_train_params(struct rbe_train *t)
{
    return t->params;
}

float *rbe_train_gradients(struct rbe_train *t)
{
    return t->grads;
}

void rbe_train_zero(struct rbe_train *t)
{
    if (t->grads)
        memset(t->grads, 0, t->floats * sizeof *t->grads);
}

enum rbe_status rbe_train_load(struct rbe_train *t, const struct rbe_source *s,
                               struct rbe_diag *d)
{
    if (s->count != t->slice_count || s->config.n_head != t->c.n_head)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s: the configuration is another",
                        rbe_safetensors_path(s->file));
    for (size_t i = 0; i < s->count; i++) {
        const struct rbe_source_tensor *from = &s->tensors[i];
        const struct rbe_train_slice *to = &t->slices[i];
        float *values;
        if (from->rows != to->rows || from->cols != to->cols)
            return rbe_fail(d, RBE_ERR_MISMATCH, "%s: tensor '%s' is %u x %u, %u x %u is "
                            "wanted", rbe_safetensors_path(s->file), to->name, from->rows,
                            from->cols, to->rows, to->cols);
        const enum rbe_status err = rbe_source_read(&values, s, from, d);
        if (err)
            return err;
        memcpy(t->params + to->at, values, to->count * sizeof *values);
        free(values);
    }
    return RBE_OK;
}

/* --- not yet ------------------------------------------------------------------------------ */

enum rbe_status rbe_train_step(struct rbe_train *t, const struct rbe_train_batch *b,
                               const struct rbe_loss *loss, struct rbe_train *teacher,
                               float weight, struct rbe_loss_sums *sums, struct rbe_diag *d)
{
    (void)t, (void)b, (void)loss, (void)teacher, (void)weight, (void)sums;
    return rbe_fail(d, RBE_ERR_ARG, "the backward pass is not built yet");
}

enum rbe_status rbe_train_evaluate(struct rbe_train *t, const struct rbe_train_batch *b,
                                   const struct rbe_loss *loss, struct rbe_train *teacher,
                                   struct rbe_loss_sums *sums, struct rbe_diag *d)
{
    return rbe_train_step(t, b, loss, teacher, 0, sums, d);
}

enum rbe_status rbe_train_forward(struct rbe_train *t, const struct rbe_train_batch *b,
                                  struct rbe_diag *d)
{
    (void)t, (void)b;
    return rbe_fail(d, RBE_ERR_ARG, "the forward pass is not built yet");
}

enum rbe_status rbe_train_logits(struct rbe_train *t, size_t first, size_t count,
                                 float *logits, struct rbe_diag *d)
{
    (void)t, (void)first, (void)count, (void)logits;
    return rbe_fail(d, RBE_ERR_ARG, "the forward pass is not built yet");
}

double rbe_train_flops(const struct rbe_gpt2_config *c, struct rbe_train_limits l, bool teacher)
{
    return (double)rbe_gpt2_config_params(c) * l.batch * l.time * (teacher ? 8 : 6);
}
