/*
 * case_attention.c - attention of one token over a KV cache: all heads of a GPT-2, by one
 * version and kind of cache.
 *
 * SPDX-License-Identifier: MIT
 *
 * Layers have caches of their own, as in generation: what a token reads comes from memory where
 * the caches of all do not fit.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"
#include "bench/case.h"
#include "kernels/cpu.h"
#include "kernels/elementwise.h"

struct attention {
    struct rbe_case base;
    struct rbe_attention_case of;
    char *arena;
    size_t head_bytes, scale_bytes, query_bytes;
    float *x, *y, *scores;      /* [heads][dim], the same, [heads][positions] */
    char *queries;              /* [heads] query_bytes */
};

static size_t aligned(size_t n)
{
    return (n + 63) / 64 * 64;
}

static struct rbe_kv head_at(const struct attention *a, size_t layer, size_t head)
{
    const size_t one = 2 * (a->head_bytes + a->scale_bytes);
    char *p = a->arena + (layer * a->of.heads + head) * one;

    return (struct rbe_kv){.keys = p,
                           .values = p + a->head_bytes,
                           .key_scales = (uint16_t *)(p + 2 * a->head_bytes),
                           .value_scales =
                               (uint16_t *)(p + 2 * a->head_bytes + a->scale_bytes),
                           .dim = a->of.dim};
}

/* Numbers between -1 and 1. */
static void fill(float *x, size_t n, uint32_t *random)
{
    for (size_t i = 0; i < n; i++) {
        *random = *random * 1664525 + 1013904223;
        x[i] = (float)(*random >> 8) * 0x1p-23F - 1;
    }
}

static enum rbe_status make(struct rbe_case *base, struct rbe_diag *d)
{
    struct attention *a = (struct attention *)base;
    const struct rbe_attention_case *c = &a->of;
    const size_t values = c->heads * c->dim;
    uint32_t random = 1;

    a->arena = aligned_alloc(64, c->layers * c->heads * 2 * (a->head_bytes + a->scale_bytes));
    a->queries = aligned_alloc(64, c->heads * a->query_bytes + 64);
    a->x = malloc(values * sizeof *a->x);
    a->y = malloc(values * sizeof *a->y);
    a->scores = malloc(c->heads * c->positions * sizeof *a->scores);
    float *row = malloc(2 * c->dim * sizeof *row);
    if (!a->arena || !a->queries || !a->x || !a->y || !a->scores || !row) {
        free(row);
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    }
    fill(a->x, values, &random);
    for (size_t l = 0; l < c->layers; l++)
        for (size_t h = 0; h < c->heads; h++) {
            const struct rbe_kv kv = head_at(a, l, h);
            for (size_t t = 0; t < c->positions; t++) {
                fill(row, 2 * c->dim, &random);
                c->version->of[c->type].place(&kv, t, row, row + c->dim);
            }
        }
    free(row);
    return RBE_OK;
}

static void attend(struct attention *a, const struct rbe_attention *by, size_t layer,
                   size_t head)
{
    const struct rbe_attention_case *c = &a->of;
    const struct rbe_kv kv = head_at(a, layer, head);
    float *scores = a->scores + head * c->positions;
    struct rbe_kv_queries q;

    rbe_kv_ask(&q, c->type, a->queries + head * a->query_bytes, a->x + head * c->dim, c->dim, 1,
               c->dim, 0.125F);
    by->of[c->type].scores(scores, c->positions, &q, &kv, c->positions);
    rbe_elementwise_best(rbe_cpu_isa())->softmax(scores, c->positions);
    by->of[c->type].mix(a->y + head * c->dim, c->dim, scores, c->positions, 1, &kv,
                        c->positions, false);
}

static void run_layers(void *arg, unsigned i, unsigned n)
{
    struct attention *a = arg;
    size_t first, last;

    rbe_split(a->of.heads, 1, i, n, &first, &last);
    for (size_t l = 0; l < a->of.layers; l++)
        for (size_t h = first; h < last; h++)
            attend(a, a->of.version, l, h);
}

static void one_token(struct rbe_case *base)
{
    rbe_pool_run(rbe_case_team(base)->pool, run_layers, base);
}

/* The narrowest version's bits, of every head of a layer. */
static enum rbe_status verify(struct rbe_case *base, struct rbe_diag *d)
{
    struct attention *a = (struct attention *)base;
    const size_t n = a->of.heads * a->of.dim;
    float *want = malloc(n * sizeof *want);
    enum rbe_status err = RBE_OK;

    if (!want)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t h = 0; h < a->of.heads; h++)
        attend(a, rbe_attention_at(0), 0, h);
    memcpy(want, a->y, n * sizeof *want);
    for (size_t h = 0; h < a->of.heads; h++)
        attend(a, a->of.version, 0, h);
    if (memcmp(want, a->y, n * sizeof *want) || !isfinite(a->y[0]))
        err = rbe_fail(d, RBE_ERR_NUMERIC, "other bits than the version for every CPU");
    free(want);
    return err;
}

static void close_attention(struct rbe_case *base)
{
    struct attention *a = (struct attention *)base;

    free(a->arena);
    free(a->queries);
    free(a->x);
    free(a->y);
    free(a->scores);
}

static const struct rbe_case_kind kind = {
    .name = "attention", .size = sizeof(struct attention), .make = make, .verify = verify,
    .iterate = one_token, .close = close_attention};

enum rbe_status rbe_suite_attention(struct rbe_suite *s, const struct rbe_attention_case *p,
                                    struct rbe_diag *d)
{
    const char *type = rbe_kv_type_name(p->type);
    const double read = 2.0 * (double)(p->layers * p->heads * p->positions);
    struct rbe_case *c;
    const enum rbe_status err = rbe_case_new(&c, s, &kind, p->threads, d);
    struct attention *a = (struct attention *)c;

    if (err)
        return err;
    a->of = *p;
    a->head_bytes = aligned(rbe_kv_bytes(p->type, p->positions, p->dim));
    a->scale_bytes = aligned(rbe_kv_scale_bytes(p->type, p->positions));
    a->query_bytes = aligned(rbe_kv_query_bytes(p->type, 1, p->dim));
    c->working_set = p->layers * p->heads * 2 * (a->head_bytes + a->scale_bytes);
    c->bytes = (double)c->working_set;
    c->multiply_adds = read * (double)p->dim * (p->type == RBE_KV_TYPE_INT8 &&
                                                p->version->isa & (RBE_ISA_VNNI |
                                                                   RBE_ISA_DOTPROD) ? 2 : 1);
    c->arithmetic = p->type != RBE_KV_TYPE_INT8            ? RBE_PROBE_FMA_F32
                    : p->version->isa & RBE_ISA_DOTPROD    ? RBE_PROBE_DOT_I8
                                                           : RBE_PROBE_DOT_I16;
    if (p->type == RBE_KV_TYPE_INT8 && p->version->isa & RBE_ISA_VNNI)
        c->multiply_adds /= 2;  /* twice as many as the probe's in one instruction */
    c->isa = p->version->isa;
    rbe_case_name(c, "attention_%s_%s/%s/%u/t:%u", type, p->version->name, p->size,
                  p->positions, p->threads);
    rbe_case_facts(c, "attention", type, p->version->name,
                   p->version == rbe_attention_best(rbe_cpu_isa()));
    return rbe_case_register(c, d);
}
