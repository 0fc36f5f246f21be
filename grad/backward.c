/*
 * backward.c - gradients, from the hidden states' down to the embeddings'.
 *
 * SPDX-License-Identifier: MIT
 *
 * Four parallel regions a layer: by tokens down to attention, attention by (sequence, head of
 * keys), by tokens down to the layer's input, and the weights' gradients by their rows.
 * Gradients of vectors are summed by each thread over its tokens and then over the threads in
 * order.
 */
#include <math.h>
#include <string.h>

#include "base/progress.h"
#include "grad/state.h"

size_t rbe_grad_vector_at(const struct rbe_model_config *c, enum rbe_role k)
{
    const size_t e = rbe_grad_padded(c->n_embd);
    size_t at = 0;

    for (int i = 0; i < (int)k; i++)
        switch ((enum rbe_role)i) {
        case RBE_ROLE_QKV_BIAS: at += rbe_grad_padded(rbe_config_qkv(c)); break;
        case RBE_ROLE_FFN_UP_BIAS: at += rbe_grad_padded(rbe_config_up(c)); break;
        case RBE_ROLE_ATTN_NORM: case RBE_ROLE_ATTN_NORM_BIAS: case RBE_ROLE_ATTN_OUT_BIAS:
        case RBE_ROLE_FFN_NORM: case RBE_ROLE_FFN_NORM_BIAS: case RBE_ROLE_FFN_DOWN_BIAS:
        case RBE_ROLE_LAST_NORM: case RBE_ROLE_LAST_NORM_BIAS:
            at += e;
            break;
        default: break;
        }
    return at;
}

static float *vector(const struct rbe_pass *p, const struct rbe_grad_worker *w,
                     enum rbe_role k)
{
    return w->vectors + rbe_grad_vector_at(&p->t->c, k);
}

static void zero_vectors(const struct rbe_pass *p)
{
    const size_t n = rbe_grad_vector_at(&p->t->c, RBE_ROLE_COUNT);

    for (unsigned i = 0; i < rbe_pool_threads(p->t->pool); i++)
        memset(p->t->workers[i].vectors, 0, n * sizeof(float));
}

/* Adds the threads' sums for the vectors of a layer, or of the model, to their gradients. */
static void add_vectors(const struct rbe_pass *p, int layer)
{
    const struct rbe_grad_worker *w = p->t->workers;

    for (int k = 0; k < RBE_ROLE_COUNT && p->t->grads; k++) {
        const struct rbe_grad_slice *s = rbe_slice_of(p->t, layer, (enum rbe_role)k);

        if (!s || s->frozen || vector(p, w, k) == vector(p, w, k + 1))
            continue;
        for (unsigned i = 0; i < rbe_pool_threads(p->t->pool); i++)
            p->t->e->bias_add(p->t->grads + s->at, vector(p, &w[i], k), s->count);
    }
}

/* The sums for the layer's vector k, if it has one, += the rows of x [count][...]. */
static void add_rows(const struct rbe_pass *p, const struct rbe_grad_worker *w, enum rbe_role k,
                     const float *x, size_t count)
{
    const struct rbe_grad_slice *s = rbe_slice_of(p->t, p->layer, k);

    for (size_t i = 0; s && i < count; i++)
        p->t->e->bias_add(vector(p, w, k), x + i * s->cols, s->cols);
}

/* --- a layer ------------------------------------------------------------------------------ */

/* dx [count][in] = dy [count][out] times the layer's weight k, whose inputs were x (read where
 * sums by column are wanted). */
static void back(const struct rbe_pass *p, struct rbe_grad_worker *w, enum rbe_role k,
                 const float *dy, size_t count, float *dx, const float *x)
{
    const struct rbe_grad_slice *s = rbe_slice_of(p->t, p->layer, k);

    rbe_sums_back(p, w, s, dy, s->weight_rows, count, dx, x);
}

/* Adds to the sums by row of the layer's weight k: rbe_sums_rows(). */
static void rows(const struct rbe_pass *p, struct rbe_grad_worker *w, enum rbe_role k,
                 const float *dy, const float *y, const float *before, enum rbe_role bias,
                 size_t count)
{
    const struct rbe_grad_slice *s = rbe_slice_of(p->t, p->layer, k);
    const struct rbe_grad_slice *b = rbe_slice_of(p->t, p->layer, bias);

    rbe_sums_rows(p, w, s, dy, y, before, b ? p->t->params + b->at : NULL, s->weight_rows,
                  count);
}

static bool by_columns(const struct rbe_pass *p, enum rbe_role k)
{
    return rbe_sums_wanted(rbe_slice_of(p->t, p->layer, k), true);
}

/* Through the norm in role `gain`, and its bias, of a layer or of the model: dx = base (NULL:
 * zero) + the gradient by its inputs x, where dy is that by its outputs; y becomes these. */
static void back_norm(const struct rbe_pass *p, struct rbe_grad_worker *w, int layer,
                      enum rbe_role gain, enum rbe_role bias, size_t count, float *dx,
                      const float *base, float *y, const float *x, const float *dy)
{
    const struct rbe_grad *t = p->t;
    const float *by = rbe_param_of(t, layer, gain), *plus = rbe_param_of(t, layer, bias);
    const size_t e = t->c.n_embd;

    for (size_t i = 0; i < count * e; i += e)
        switch (t->arch->norm) {
        case RBE_LAYER_NORM:
            t->v->norm_back(dx + i, base ? base + i : NULL, y + i, x + i, by, plus, dy + i,
                            vector(p, w, gain), vector(p, w, bias), e, t->c.ln_eps);
            break;
        case RBE_RMS_NORM:
            t->v->rms_back(dx + i, base ? base + i : NULL, y + i, x + i, by, dy + i,
                           vector(p, w, gain), e, t->c.ln_eps);
            break;
        }
}

/* From dx, by the layer's output, to dmid and datt. */
static void to_attention(struct rbe_pass *p, struct rbe_grad_worker *w, size_t first,
                         size_t count)
{
    const struct rbe_grad *t = p->t;
    const size_t e = t->c.n_embd, f = t->c.n_inner, up = rbe_config_up(&t->c);
    const size_t queries = rbe_config_queries(&t->c);
    const int l = p->layer;
    const struct rbe_grad_kept *k = &t->kept[l];
    const float *dx = t->dx + first * e;
    float *dff = t->dff + first * up, *dmid = t->dmid + first * e, *ff = k->ff + first * up;

    add_rows(p, w, RBE_ROLE_FFN_DOWN_BIAS, dx, count);
    rows(p, w, RBE_ROLE_FFN_DOWN, dx, t->x + (size_t)(l + 1) * t->x_stride + first * e,
         k->mid + first * e, RBE_ROLE_FFN_DOWN_BIAS, count);
    if (by_columns(p, RBE_ROLE_FFN_DOWN))
        rbe_pass_activate(p, w->act, ff, count);
    switch (t->arch->activation) {
    case RBE_GELU:
        back(p, w, RBE_ROLE_FFN_DOWN, dx, count, dff, w->act);
        memcpy(w->act, ff, count * f * sizeof *ff);
        t->v->gelu_back(dff, ff, count * f);
        rows(p, w, RBE_ROLE_FFN_UP, dff, w->act, NULL, RBE_ROLE_FFN_UP_BIAS, count);
        break;
    case RBE_SWIGLU:
        back(p, w, RBE_ROLE_FFN_DOWN, dx, count, t->acts + first * f, w->act);
        for (size_t i = 0; i < count; i++)
            t->v->swiglu_back(dff + i * up, dff + i * up + f, t->acts + (first + i) * f,
                              ff + i * up, ff + i * up + f, f);
        rows(p, w, RBE_ROLE_FFN_UP, dff, ff, NULL, RBE_ROLE_FFN_UP_BIAS, count);
        break;
    }
    add_rows(p, w, RBE_ROLE_FFN_UP_BIAS, dff, count);
    if (by_columns(p, RBE_ROLE_FFN_UP))
        rbe_pass_norm(t, t->h2 + first * e, k->mid + first * e, l, RBE_ROLE_FFN_NORM,
                      RBE_ROLE_FFN_NORM_BIAS, count);
    back(p, w, RBE_ROLE_FFN_UP, dff, count, w->h, t->h2 + first * e);
    back_norm(p, w, l, RBE_ROLE_FFN_NORM, RBE_ROLE_FFN_NORM_BIAS, count, dmid, dx,
              t->h2 + first * e, k->mid + first * e, w->h);
    add_rows(p, w, RBE_ROLE_ATTN_OUT_BIAS, dmid, count);
    rows(p, w, RBE_ROLE_ATTN_OUT, dmid, k->mid + first * e,
         t->x + (size_t)l * t->x_stride + first * e, RBE_ROLE_ATTN_OUT_BIAS, count);
    back(p, w, RBE_ROLE_ATTN_OUT, dmid, count, t->datt + first * queries,
         k->att + first * queries);
}

/* From a head of datt to its part of dqkv, where keys and values are added to beta times what
 * is there.  The last block of queries sees all keys, so it comes first. */
static void head_back(const struct rbe_pass *p, struct rbe_grad_worker *w, size_t sequence,
                      size_t head, float beta)
{
    const struct rbe_grad *t = p->t;
    const struct rbe_model_config *c = &t->c;
    const size_t dim = c->head, wide = rbe_config_qkv(c), out = rbe_config_queries(c);
    const size_t time = p->b->time, row = sequence * time * wide;
    const struct rbe_head_at at = rbe_head_at(c, head);
    const float *qkv = t->kept[p->layer].qkv + row;
    const float *dout = t->datt + sequence * time * out + head * dim;
    const float scale = (float)(1 / sqrt((double)dim));
    float *dq = t->dqkv + row + at.q, *dk = t->dqkv + row + at.k, *dv = t->dqkv + row + at.v;

    for (size_t end = time; end > 0;) {
        const size_t q0 = (end - 1) / RBE_GRAD_QUERIES * RBE_GRAD_QUERIES, rows = end - q0;
        const size_t ld = rbe_pass_scores(p, w, qkv + at.q, qkv + at.k, q0, rows);
        rbe_product_run(w->product, end, dim, rows, 1,
                        (struct rbe_factor){.v = w->p, .ld = ld, .t = true},
                        (struct rbe_factor){.v = dout + q0 * out, .ld = out}, beta, dv, wide);
        rbe_product_run(w->product, rows, end, dim, 1,
                        (struct rbe_factor){.v = dout + q0 * out, .ld = out},
                        (struct rbe_factor){.v = qkv + at.v, .ld = wide, .t = true}, 0, w->dp,
                        ld);
        for (size_t r = 0; r < rows; r++) {
            const size_t seen = q0 + r + 1;
            t->v->softmax_back(w->dp + r * ld, w->p + r * ld, seen, scale);
            memset(w->dp + r * ld + seen, 0, (end - seen) * sizeof *w->dp);
        }
        rbe_product_run(w->product, rows, dim, end, 1,
                        (struct rbe_factor){.v = w->dp, .ld = ld},
                        (struct rbe_factor){.v = qkv + at.k, .ld = wide}, 0, dq + q0 * wide,
                        wide);
        rbe_product_run(w->product, end, dim, rows, 1,
                        (struct rbe_factor){.v = w->dp, .ld = ld, .t = true},
                        (struct rbe_factor){.v = qkv + at.q + q0 * wide, .ld = wide}, beta, dk,
                        wide);
        beta = 1;
        end = q0;
    }
}

/* All queries that share a head of keys and values, one after another. */
static void attend_back(struct rbe_pass *p, struct rbe_grad_worker *w, size_t sequence,
                        size_t head)
{
    const size_t group = p->t->c.n_head / p->t->c.n_kv;

    for (size_t i = 0; i < group; i++)
        head_back(p, w, sequence, head * group + i, i ? 1 : 0);
}

/* From dqkv and dmid to the gradient by the layer's input, in datt. */
static void to_input(struct rbe_pass *p, struct rbe_grad_worker *w, size_t first,
                     size_t count)
{
    const struct rbe_grad *t = p->t;
    const size_t e = t->c.n_embd, wide = rbe_config_qkv(&t->c);
    const int l = p->layer;
    float *dqkv = t->dqkv + first * wide, *qkv = t->kept[l].qkv + first * wide;
    const float *x = t->x + (size_t)l * t->x_stride + first * e;
    const bool summed = rbe_sums_wanted(rbe_slice_of(t, l, RBE_ROLE_QKV), false);

    switch (t->arch->positions) {
    case RBE_LEARNED:
        break;
    case RBE_ROTARY:
        for (size_t i = 0; i < count; i++) {
            rbe_pass_turn(p, dqkv + i * wide, first + i, true);
            if (summed)         /* the last to read them */
                rbe_pass_turn(p, qkv + i * wide, first + i, true);
        }
        break;
    }
    add_rows(p, w, RBE_ROLE_QKV_BIAS, dqkv, count);
    rows(p, w, RBE_ROLE_QKV, dqkv, qkv, NULL, RBE_ROLE_QKV_BIAS, count);
    if (by_columns(p, RBE_ROLE_QKV))
        rbe_pass_norm(t, t->h1 + first * e, x, l, RBE_ROLE_ATTN_NORM, RBE_ROLE_ATTN_NORM_BIAS,
                      count);
    back(p, w, RBE_ROLE_QKV, dqkv, count, w->h, t->h1 + first * e);
    back_norm(p, w, l, RBE_ROLE_ATTN_NORM, RBE_ROLE_ATTN_NORM_BIAS, count, t->datt + first * e,
              t->dmid + first * e, t->h1 + first * e, x, w->h);
}

/* Thread i's rows of the gradients of a weight's ranges: += dy^T x, dy [tokens][all rows],
 * x [tokens][cols]. */
static void weight_rows(const struct rbe_pass *p, enum rbe_role k, const float *dy,
                        const float *x, unsigned i, unsigned n)
{
    const struct rbe_grad_slice *s = rbe_slice_of(p->t, p->layer, k);
    const size_t all = s->weight_rows;
    size_t a, b;

    for (size_t row = 0; row < all && p->t->grads; row += s->rows, s++) {
        if (s->frozen || s->sums)
            continue;
        rbe_split(s->rows, 16, i, n, &a, &b);
        rbe_product_run(p->t->workers[i].product, b - a, s->cols, p->tokens, 1,
                        (struct rbe_factor){.v = dy + row + a, .ld = all, .t = true},
                        (struct rbe_factor){.v = x, .ld = s->cols}, 1,
                        p->t->grads + s->at + a * s->cols, s->cols);
    }
}

/* Of the layer's last product, once to_attention() was there. */
static const float *down_inputs(const struct rbe_pass *p)
{
    switch (p->t->arch->activation) {
    case RBE_GELU: return p->t->kept[p->layer].ff;
    case RBE_SWIGLU: return p->t->acts;
    }
    return NULL;
}

static void run_weights(void *arg, unsigned i, unsigned n)
{
    const struct rbe_pass *p = arg;
    const struct rbe_grad *t = p->t;
    const struct rbe_grad_kept *k = &t->kept[p->layer];

    weight_rows(p, RBE_ROLE_FFN_DOWN, t->dx, down_inputs(p), i, n);
    weight_rows(p, RBE_ROLE_FFN_UP, t->dff, t->h2, i, n);
    weight_rows(p, RBE_ROLE_ATTN_OUT, t->dmid, k->att, i, n);
    weight_rows(p, RBE_ROLE_QKV, t->dqkv, t->h1, i, n);
}

static void tap_layer(const struct rbe_pass *p)
{
    const struct rbe_grad *t = p->t;
    const int l = p->layer;
    const struct rbe_grad_kept *k = &t->kept[p->layer];

    rbe_pass_tap(p, rbe_slice_of(t, l, RBE_ROLE_FFN_DOWN), down_inputs(p), t->dx, p->tokens);
    rbe_pass_tap(p, rbe_slice_of(t, l, RBE_ROLE_FFN_UP), t->h2, t->dff, p->tokens);
    rbe_pass_tap(p, rbe_slice_of(t, l, RBE_ROLE_ATTN_OUT), k->att, t->dmid, p->tokens);
    rbe_pass_tap(p, rbe_slice_of(t, l, RBE_ROLE_QKV), t->h1, t->dqkv, p->tokens);
}

static void layer_back(struct rbe_pass *p)
{
    struct rbe_grad *t = p->t;

    if (t->limits.recompute)
        rbe_pass_layer_again(p);
    zero_vectors(p);
    rbe_pass_tokens(p, to_attention);
    rbe_pass_heads(p, t->c.n_kv, attend_back);
    rbe_pass_tokens(p, to_input);
    rbe_pool_run(t->pool, run_weights, p);
    tap_layer(p);
    add_vectors(p, p->layer);
    float *swap = t->dx;
    t->dx = t->datt;
    t->datt = swap;
}

/* --- both ends ---------------------------------------------------------------------------- */

/* Through the last norm. */
static void to_last(struct rbe_pass *p, struct rbe_grad_worker *w, size_t first, size_t count)
{
    const struct rbe_grad *t = p->t;
    const size_t e = t->c.n_embd;

    back_norm(p, w, RBE_WHOLE, RBE_ROLE_LAST_NORM, RBE_ROLE_LAST_NORM_BIAS, count,
              t->dx + first * e, NULL, w->h, t->x + t->c.n_layer * t->x_stride + first * e,
              t->dmid + first * e);
}

/* Thread i's columns of the embeddings' gradients. */
static void run_embeddings(void *arg, unsigned i, unsigned n)
{
    const struct rbe_pass *p = arg;
    const struct rbe_grad *t = p->t;
    const struct rbe_grad_slice *tokens = rbe_slice_of(t, RBE_WHOLE, RBE_ROLE_TOKENS);
    const struct rbe_grad_slice *positions = rbe_slice_of(t, RBE_WHOLE, RBE_ROLE_POSITIONS);
    const struct rbe_grad_slice *mean = rbe_slice_of(t, RBE_WHOLE, RBE_ROLE_EMBED_MEAN);
    const size_t e = t->c.n_embd;
    size_t a, b;

    rbe_split(e, 16, i, n, &a, &b);
    for (size_t k = 0; k < p->tokens; k++) {
        const float *dx = t->dx + k * e + a;
        if (!tokens->frozen && !tokens->sums)
            t->e->bias_add(t->grads + tokens->at + p->b->tokens[k] * e + a, dx, b - a);
        if (positions && !positions->frozen)
            t->e->bias_add(t->grads + positions->at + k % p->b->time * e + a, dx, b - a);
        if (mean && !mean->frozen)
            t->e->bias_add(t->grads + mean->at + a, dx, b - a);
    }
}

/* Thread i's tokens. */
static void look_up(struct rbe_pass *p, struct rbe_grad_worker *w, size_t first, size_t count)
{
    const struct rbe_grad_slice *tokens = rbe_slice_of(p->t, RBE_WHOLE, RBE_ROLE_TOKENS);

    for (size_t k = first; k < first + count; k++)
        rbe_sums_looked_up(p, w, tokens, p->b->tokens[k], p->t->dx + k * tokens->cols);
}

bool rbe_pass_backward(struct rbe_pass *p)
{
    struct rbe_grad *t = p->t;

    zero_vectors(p);
    rbe_pass_tokens(p, to_last);
    add_vectors(p, RBE_WHOLE);
    for (p->layer = (int)t->c.n_layer; p->layer-- > 0;) {
        if (rbe_interrupt_is_old())
            return false;
        layer_back(p);
    }
    if (t->grads)
        rbe_pool_run(t->pool, run_embeddings, p);
    if (rbe_sums_wanted(rbe_slice_of(t, RBE_WHOLE, RBE_ROLE_TOKENS), false))
        rbe_pass_tokens(p, look_up);
    rbe_pass_tap(p, rbe_slice_of(t, RBE_WHOLE, RBE_ROLE_TOKENS), NULL, t->dx, p->tokens);
    return true;
}
