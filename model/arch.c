/*
 * arch.c - the tables of model/arch.def, and what they say of a model.
 *
 * SPDX-License-Identifier: MIT
 */
#include "model/arch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/config.h"

enum { TENSORS = 40, SPARES = 8 };      /* of an architecture, and an end */

#define RBE_ARCH(id, ...) [RBE_ARCH_##id] = {
#define RBE_END_ARCH },
#define RBE_TENSOR(role, name, gguf, rows, cols, class, form)                                  \
    {name, gguf, RBE_ROLE_##role, RBE_CLASS_##class, RBE_##form, 0},
#define RBE_TENSOR_IF(option, role, name, gguf, rows, cols, class, form)                       \
    {name, gguf, RBE_ROLE_##role, RBE_CLASS_##class, RBE_##form, 1U << RBE_OPTION_##option},
static const struct rbe_arch_tensor tensors[RBE_ARCH_COUNT][TENSORS] = {
#include "model/arch.def"
};

#define RBE_ARCH(id, ...) [RBE_ARCH_##id] = {
#define RBE_END_ARCH },
#define RBE_SPARE(name, role) {name, RBE_ROLE_##role},
static const struct rbe_arch_spare spares[RBE_ARCH_COUNT][SPARES] = {
#include "model/arch.def"
};

#define RBE_ARCH(id, type, title, prefix, norm, positions, activation, profile)                \
    [RBE_ARCH_##id] = {type, title, prefix, RBE_##norm, RBE_##positions, RBE_##activation,     \
                       tensors[RBE_ARCH_##id], spares[RBE_ARCH_##id], profile},
static const struct rbe_arch archs[RBE_ARCH_COUNT] = {
#include "model/arch.def"
};

#define RBE_CLASS(id, ...) [RBE_CLASS_##id] = {__VA_ARGS__},
static const struct {
    const char *word;
    bool matrix, layers;
    const char *part;
} classes[RBE_CLASS_COUNT] = {
#include "model/arch.def"
};

const struct rbe_arch *rbe_arch_at(enum rbe_arch_id id)
{
    return (unsigned)id < RBE_ARCH_COUNT ? &archs[id] : NULL;
}

const char *rbe_class_name(enum rbe_class c)
{
    return (unsigned)c < RBE_CLASS_COUNT ? classes[c].word : NULL;
}

bool rbe_class_is_matrix(enum rbe_class c)
{
    return classes[c].matrix;
}

const char *rbe_class_part(enum rbe_class c)
{
    return classes[c].part;
}

bool rbe_class_in_layers(enum rbe_class c)
{
    return classes[c].layers;
}

/* --- which tensor ------------------------------------------------------------------------- */

static bool of_layers(const struct rbe_arch_tensor *t)
{
    return strstr(t->name, "%u");
}

static bool has(const struct rbe_model_config *c, const struct rbe_arch_tensor *t)
{
    return (t->options & ~c->options) == 0;
}

/* How many tensors stand before the layers, in each of them, and behind them. */
static void count(const struct rbe_model_config *c, size_t *before, size_t *each,
                  size_t *behind)
{
    *before = *each = *behind = 0;
    for (const struct rbe_arch_tensor *t = archs[c->arch].tensors; t->name; t++)
        if (has(c, t))
            ++*(of_layers(t) ? each : *each ? behind : before);
}

size_t rbe_arch_count(const struct rbe_model_config *c)
{
    size_t before, each, behind;

    count(c, &before, &each, &behind);
    return before + each * c->n_layer + behind;
}

const struct rbe_arch_tensor *rbe_arch_find(const struct rbe_model_config *c, size_t i,
                                            int *layer)
{
    const struct rbe_arch_tensor *t = archs[c->arch].tensors;
    size_t before, each, behind;

    count(c, &before, &each, &behind);
    *layer = -1;
    if (i >= before + each * c->n_layer) {
        i -= each * c->n_layer - each;
    } else if (i >= before) {
        *layer = (int)((i - before) / each);
        i = before + (i - before) % each;
    }
    for (;; t++)
        if (has(c, t) && !i--)
            return t;
}

const struct rbe_arch_tensor *rbe_arch_first(const struct rbe_arch *a,
                                             const struct rbe_arch_tensor *t)
{
    while (t > a->tensors && t[-1].role == t->role)
        t--;
    return t;
}

void rbe_arch_shape(const struct rbe_arch_tensor *t, const struct rbe_model_config *c,
                    uint32_t *rows, uint32_t *cols)
{
    const uint32_t width = c->n_embd, inner = c->n_inner, vocab = c->vocab, context = c->n_ctx;
    const uint32_t queries = c->n_head * c->head, keys = c->n_kv * c->head, half = c->head / 2;
#define RBE_ARCH(id, ...) [RBE_ARCH_##id] = {
#define RBE_END_ARCH },
#define RBE_TENSOR(role, name, gguf, rows, cols, class, form) {rows, cols},
    const uint32_t shapes[RBE_ARCH_COUNT][TENSORS][2] = {
#include "model/arch.def"
    };

    *rows = shapes[c->arch][t - tensors[c->arch]][0];
    *cols = shapes[c->arch][t - tensors[c->arch]][1];
}

/* --- names -------------------------------------------------------------------------------- */

bool rbe_arch_is_name(const char *listed, const char *name, uint32_t layers, int *layer)
{
    const char *at = strstr(listed, "%u");

    *layer = -1;
    if (!at)
        return !strcmp(listed, name);
    const size_t n = (size_t)(at - listed);
    if (strncmp(listed, name, n))
        return false;
    const size_t digits = strspn(name + n, "0123456789");
    if (!digits || digits > 5 || strcmp(at + 2, name + n + digits) != 0)
        return false;
    const unsigned long l = strtoul(name + n, NULL, 10);
    *layer = (int)l;
    return l < layers;
}

const char *rbe_arch_bare(const struct rbe_arch *a, const char *name)
{
    const size_t n = strlen(a->prefix);

    return strncmp(name, a->prefix, n) ? name : name + n;
}

const struct rbe_arch_tensor *rbe_arch_by_name(const char *name, int *layer)
{
    for (int a = 0; a < RBE_ARCH_COUNT; a++)
        for (const struct rbe_arch_tensor *t = archs[a].tensors; t->name; t++)
            if (rbe_arch_is_name(t->name, rbe_arch_bare(&archs[a], name), UINT32_MAX, layer))
                return t;
    *layer = -1;
    return NULL;
}
