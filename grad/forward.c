/*
 * forward.c - the forward pass of training, keeping what the backward pass reads.
 *
 * SPDX-License-Identifier: MIT
 *
 * Two parallel regions a layer: attention by (sequence, head); everything else by tokens, in
 * chunks that go through all products while they are in the cache.
 */
#include <math.h>
#include <string.h>

#include "base/progress.h"
#include "grad/state.h"
#include "model/rope.h"

/* --- sharing work out --------------------------------------------------------------------- */

struct region {
    struct rbe_pass *p;
    rbe_chunk_fn *chunk;
    rbe_head_fn *head;
    size_t heads;
};

static void run_chunks(void *arg, unsigned i, unsigned n)
{
    const struct region *r = arg;
    size_t t0, t1;

    rbe_split(r->p->tokens, 16, i, n, &t0, &t1);
    for (size_t t = t0; t < t1; t += RBE_GRAD_CHUNK)
        r->chunk(r->p, &r->p->t->workers[i], t,
                 t1 - t < RBE_GRAD_CHUNK ? t1 - t : RBE_GRAD_CHUNK);
}

void rbe_pass_tokens(struct rbe_pass *p, rbe_chunk_fn *fn)
{
    struct region r = {.p = p, .chunk = fn};

    rbe_pool_run(p->t->pool, run_chunks, &r);
}

static void run_heads(void *arg, unsigned i, unsigned n)
{
    const struct region *r = arg;
    size_t k0, k1;

    rbe_split(r->p->b->batch * r->heads, 1, i, n, &k0, &k1);
    for (size_t k = k0; k < k1; k++)
        r->head(r->p, &r->p->t->workers[i], k / r->heads, k % r->heads);
}

void rbe_pass_heads(struct rbe_pass *p, size_t heads, rbe_head_fn *fn)
{
    struct region r = {.p = p, .head = fn, .heads = heads};

    rbe_pool_run(p->t->pool, run_heads, &r);
}

/* --- attention ---------------------------------------------------------------------------- */

size_t rbe_pass_scores(const struct rbe_pass *p, struct rbe_grad_worker *w, const float *q,
                       const float *k, size_t q0, size_t rows)
{
    const struct rbe_grad *t = p->t;
    const size_t dim = t->c.head, wide = rbe_config_qkv(&t->c), keys = q0 + rows;
    const size_t ld = rbe_grad_padded(keys);

    rbe_product_run(w->product, rows, keys, dim, (float)(1 / sqrt((double)dim)),
                    (struct rbe_factor){.v = q + q0 * wide, .ld = wide},
                    (struct rbe_factor){.v = k, .ld = wide, .t = true}, 0, w->p, ld);
    for (size_t r = 0; r < rows; r++) {
        const size_t seen = q0 + r + 1;
        t->e->softmax(w->p + r * ld, seen);
        memset(w->p + r * ld + seen, 0, (keys - seen) * sizeof *w->p);
    }
    return ld;
}

static void attend(struct rbe_pass *p, struct rbe_grad_worker *w, size_t sequence, size_t head)
{
    const struct rbe_grad *t = p->t;
    const struct rbe_model_config *c = &t->c;
    const size_t dim = c->head, wide = rbe_config_qkv(c), queries = rbe_config_queries(c);
    const size_t time = p->b->time;
    const struct rbe_grad_kept *k = &t->kept[p->layer];
    const struct rbe_head_at at = rbe_head_at(c, head);
    const float *qkv = k->qkv + sequence * time * wide;
    float *out = k->att + sequence * time * queries + head * dim;

    for (size_t q0 = 0; q0 < time; q0 += RBE_GRAD_QUERIES) {
        const size_t rows = time - q0 < RBE_GRAD_QUERIES ? time - q0 : RBE_GRAD_QUERIES;
        const size_t ld = rbe_pass_scores(p, w, qkv + at.q, qkv + at.k, q0, rows);
        rbe_product_run(w->product, rows, dim, q0 + rows, 1,
                        (struct rbe_factor){.v = w->p, .ld = ld},
                        (struct rbe_factor){.v = qkv + at.v, .ld = wide}, 0,
                        out + q0 * queries, queries);
    }
}

void rbe_pass_turn(const struct rbe_pass *p, float *x, size_t token, bool back)
{
    const struct rbe_grad *t = p->t;
    const struct rbe_model_config *c = &t->c;
    const size_t at = token % p->b->time, half = c->head / 2;
    const float *cosines = t->angles + at * c->head;
    const float *sines = back ? t->back + at * half : cosines + half;
    const size_t heads = c->n_head + c->n_kv;

    for (size_t h = 0; h < heads; h++, x += c->head)
        t->e->rotate(x, x, cosines, sines, half);
}

/* The angles of all positions; their factors, where there are some, may be new. */
static void make_angles(const struct rbe_pass *p)
{
    const struct rbe_grad *t = p->t;
    const size_t half = t->c.head / 2;
    const struct rbe_grad_slice *factors = rbe_slice_of(t, RBE_WHOLE, RBE_ROLE_ROPE_FACTORS);

    rbe_rope_table(t->angles, &t->c, factors ? t->params + factors->at : NULL, 0, p->b->time);
    for (size_t i = 0; t->back && i < p->b->time; i++)
        for (size_t k = 0; k < half; k++)
            t->back[i * half + k] = -t->angles[i * t->c.head + half + k];
}

/* --- the rest ----------------------------------------------------------------------------- */

static float *stream(const struct rbe_pass *p, int layer, size_t token)
{
    return p->t->x + (size_t)layer * p->t->x_stride + token * p->t->c.n_embd;
}

void rbe_pass_norm(const struct rbe_grad *t, float *y, const float *x, int layer,
                   enum rbe_role gain, enum rbe_role bias, size_t count)
{
    const float *by = rbe_param_of(t, layer, gain), *plus = rbe_param_of(t, layer, bias);
    const size_t e = t->c.n_embd;

    for (size_t i = 0; i < count; i++)
        switch (t->arch->norm) {
        case RBE_LAYER_NORM:
            t->e->layer_norm(y + i * e, x + i * e, by, plus, e, t->c.ln_eps);
            break;
        case RBE_RMS_NORM:
            t->e->rms_norm(y + i * e, x + i * e, by, e, t->c.ln_eps);
            break;
        }
}

/* y [count][...] += the layer's vector k, if it has one. */
static void add_own(const struct rbe_pass *p, float *y, enum rbe_role k, size_t count)
{
    const struct rbe_grad *t = p->t;
    const struct rbe_grad_slice *s = rbe_slice_of(t, p->layer, k);

    for (size_t i = 0; s && i < count; i++)
        t->e->bias_add(y + i * s->cols, t->params + s->at, s->cols);
}

/* y [count][out] = x [count][in] times the layer's weight k, plus beta y. */
static void apply(const struct rbe_pass *p, struct rbe_grad_worker *w, enum rbe_role k,
                  const float *x, size_t count, float beta, float *y)
{
    const struct rbe_grad_slice *s = rbe_slice_of(p->t, p->layer, k);

    rbe_product_run(w->product, count, s->weight_rows, s->cols, 1,
                    (struct rbe_factor){.v = x, .ld = s->cols},
                    rbe_grad_weight(p->t, s, true), beta, y, s->weight_rows);
}

/* Whether the inputs x of the layer's product k, which is added to `onto` or to nothing, were
 * all that is wanted; they are passed on then. */
static bool ends_at(const struct rbe_pass *p, enum rbe_role k, const float *x,
                    const float *onto, size_t first, size_t count)
{
    if (!p->inputs || p->last != k)
        return false;
    p->inputs(p->inputs_arg, x, onto, first, count);
    return true;
}

/* The layer's Q, K and V from its input. */
static void into_attention(struct rbe_pass *p, struct rbe_grad_worker *w, size_t first,
                           size_t count)
{
    const struct rbe_grad *t = p->t;
    const size_t wide = rbe_config_qkv(&t->c);
    const int l = p->layer;
    float *qkv = t->kept[l].qkv + first * wide;

    rbe_pass_norm(t, w->h, stream(p, l, first), l, RBE_ROLE_ATTN_NORM, RBE_ROLE_ATTN_NORM_BIAS,
                  count);
    if (ends_at(p, RBE_ROLE_QKV, w->h, NULL, first, count))
        return;
    apply(p, w, RBE_ROLE_QKV, w->h, count, 0, qkv);
    add_own(p, qkv, RBE_ROLE_QKV_BIAS, count);
    switch (t->arch->positions) {
    case RBE_LEARNED:           /* added to the embedding */
        break;
    case RBE_ROTARY:
        for (size_t i = 0; i < count; i++)
            rbe_pass_turn(p, qkv + i * wide, first + i, false);
        break;
    }
}

/* A row of the token embedding, in the parameters or in w->h. */
static const float *looked_up(const struct rbe_grad *t, struct rbe_grad_worker *w, size_t token)
{
    const struct rbe_grad_slice *s = rbe_slice_of(t, RBE_WHOLE, RBE_ROLE_TOKENS);

    if (s->at != RBE_NOT_STORED)
        return t->params + s->at + token * s->cols;
    rbe_bf16_row(w->h, t->rear + t->packed_at[s - t->slices], token, s->rows, s->cols);
    return w->h;
}

static void embed(struct rbe_pass *p, struct rbe_grad_worker *w, size_t first, size_t count)
{
    const struct rbe_grad *t = p->t;
    const size_t e = t->c.n_embd;
    const float *positions = rbe_param_of(t, RBE_WHOLE, RBE_ROLE_POSITIONS);
    const struct rbe_grad_slice *mean = rbe_slice_of(t, RBE_WHOLE, RBE_ROLE_EMBED_MEAN);

    for (size_t i = first; i < first + count; i++) {
        const float *token = looked_up(t, w, p->b->tokens[i]);
        switch (t->arch->positions) {
        case RBE_LEARNED:
            t->v->add(stream(p, 0, i), token, positions + i % p->b->time * e, e);
            break;
        case RBE_ROTARY:                /* in attention */
            memcpy(stream(p, 0, i), token, e * sizeof *token);
            break;
        }
        if (mean)
            t->e->bias_add(stream(p, 0, i), t->params + mean->at, e);
    }
    into_attention(p, w, first, count);
}

/* to = from + bias, row by row: what a product is then added to. */
static void add_bias(const struct rbe_grad *t, float *to, const float *from,
                     const float *bias, size_t count)
{
    const size_t e = t->c.n_embd;

    for (size_t i = 0; i < count; i++)
        t->v->add(to + i * e, from + i * e, bias, e);
}

void rbe_pass_activate(const struct rbe_pass *p, float *to, const float *ff, size_t count)
{
    const struct rbe_grad *t = p->t;
    const size_t f = t->c.n_inner, up = rbe_config_up(&t->c);

    switch (t->arch->activation) {
    case RBE_GELU:
        t->v->gelu(to, ff, count * f);
        break;
    case RBE_SWIGLU:
        for (size_t i = 0; i < count; i++) {
            memcpy(to + i * f, ff + i * up, f * sizeof *ff);
            t->e->swiglu(to + i * f, ff + i * up + f, f);
        }
        break;
    }
}

/* From attention's output to the layer's, then into the next layer's attention. */
static void after_attention(struct rbe_pass *p, struct rbe_grad_worker *w, size_t first,
                            size_t count)
{
    const struct rbe_grad *t = p->t;
    const size_t e = t->c.n_embd, up = rbe_config_up(&t->c);
    const size_t queries = rbe_config_queries(&t->c);
    const int l = p->layer;
    const struct rbe_grad_kept *k = &t->kept[l];
    float *mid = k->mid + first * e, *ff = k->ff + first * up, *next = stream(p, l + 1, first);

    add_bias(t, mid, stream(p, l, first), rbe_param_of(t, l, RBE_ROLE_ATTN_OUT_BIAS), count);
    if (ends_at(p, RBE_ROLE_ATTN_OUT, k->att + first * queries, mid, first, count))
        return;
    apply(p, w, RBE_ROLE_ATTN_OUT, k->att + first * queries, count, 1, mid);
    rbe_pass_norm(t, w->h, mid, l, RBE_ROLE_FFN_NORM, RBE_ROLE_FFN_NORM_BIAS, count);
    if (ends_at(p, RBE_ROLE_FFN_UP, w->h, NULL, first, count))
        return;
    apply(p, w, RBE_ROLE_FFN_UP, w->h, count, 0, ff);
    add_own(p, ff, RBE_ROLE_FFN_UP_BIAS, count);
    if (p->again)
        return;
    rbe_pass_activate(p, w->act, ff, count);
    add_bias(t, next, mid, rbe_param_of(t, l, RBE_ROLE_FFN_DOWN_BIAS), count);
    if (ends_at(p, RBE_ROLE_FFN_DOWN, w->act, next, first, count))
        return;
    apply(p, w, RBE_ROLE_FFN_DOWN, w->act, count, 1, next);
    if (l + 1 < (int)t->c.n_layer) {
        struct rbe_pass following = *p;
        following.layer = l + 1;
        into_attention(&following, w, first, count);
    } else {
        rbe_pass_norm(t, t->hidden + first * e, next, RBE_WHOLE, RBE_ROLE_LAST_NORM,
                      RBE_ROLE_LAST_NORM_BIAS, count);
    }
}

/* Thread i's panels of every weight. */
static void run_pack(void *arg, unsigned i, unsigned n)
{
    const struct rbe_grad *t = arg;

    for (size_t k = 0; k < t->slice_count; k++)
        if (t->packed_at[k] != RBE_NOT_PACKED)
            rbe_grad_pack(t, &t->slices[k], t->params + t->slices[k].at, i, n);
}

/* What a pass of these parameters needs besides. */
static void prepare(struct rbe_pass *p)
{
    if (p->t->front && !p->t->packed && !p->t->rounded_only)
        rbe_pool_run(p->t->pool, run_pack, p->t);
    p->t->packed = true;
    if (p->t->angles)
        make_angles(p);
}

bool rbe_pass_forward(struct rbe_pass *p)
{
    prepare(p);
    rbe_pass_tokens(p, embed);
    for (p->layer = 0; p->layer < (int)p->t->c.n_layer; p->layer++) {
        if (rbe_interrupt_is_old())
            return false;
        rbe_pass_heads(p, p->t->c.n_head, attend);
        rbe_pass_tokens(p, after_attention);
    }
    p->t->forwarded = p->tokens;
    return true;
}

void rbe_pass_layer(struct rbe_pass *p)
{
    prepare(p);
    rbe_pass_tokens(p, into_attention);
    if (p->inputs && p->last == RBE_ROLE_QKV)
        return;
    rbe_pass_heads(p, p->t->c.n_head, attend);
    rbe_pass_tokens(p, after_attention);
}

void rbe_pass_layer_again(struct rbe_pass *p)
{
    p->again = true;
    rbe_pass_tokens(p, into_attention);
    rbe_pass_heads(p, p->t->c.n_head, attend);
    rbe_pass_tokens(p, after_attention);
    p->again = false;
}
