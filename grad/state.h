/*
 * state.h - what a rbe_grad holds; shared by the files that compute with it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_GRAD_STATE_H
#define RBE_GRAD_STATE_H

#include "grad/grad.h"
#include "grad/product.h"
#include "kernels/elementwise.h"
#include "kernels/vector.h"

/* A layer's activations that its backward pass reads; [tokens][...]. */
struct rbe_grad_kept {
    float *qkv;                 /* [queries, keys, values] turned by their positions */
    float *att;                 /* [queries] attention's output, before its product */
    float *mid;                 /* [n_embd] the residual stream after attention */
    float *ff;                  /* [outputs of FFN_UP] before the activation; the backward pass
                                 * puts it through GELU */
};

/* What a thread has to itself. */
struct rbe_grad_worker {
    float *h;                   /* [chunk][n_embd] */
    float *act;                 /* [chunk][n_inner] */
    float *part;                /* [chunk][widest input] of a product's gradient; NULL when
                                 * forward_only */
    float *pair;                /* [2][widest output] rows in hand; likewise */
    float *p, *dp;              /* [query block][padded time]; dp NULL when forward_only */
    float *vectors;             /* gradients of a layer's vectors; NULL when forward_only */
    struct rbe_loss_sums sums;
    struct rbe_product *product;
};

struct rbe_grad {
    struct rbe_model_config c;
    const struct rbe_arch *arch;
    struct rbe_grad_limits limits;
    struct rbe_pool *pool;
    const struct rbe_elementwise *e;
    const struct rbe_vector *v;
    struct rbe_grad_slice *slices;
    const struct rbe_grad_slice **roles;    /* [1 + layers][RBE_ROLE_COUNT]: the model's, then
                                             * each layer's; NULL: there is none */
    size_t slice_count, floats;

    float *arena;               /* everything below */
    float *params, *grads;
    float *zeros;               /* in the place of a vector that there is none of, or NULL */
    uint16_t *front, *rear;     /* the weights packed for products of the forward pass and of
                                 * the backward pass (NULL when forward_only), as the pass
                                 * began; NULL without bf16 */
    size_t *packed_at;          /* [slice_count] where a weight starts in them */
    bool packed;                /* they are of the present parameters */
    bool rounded_only;          /* of what is packed there are no f32 parameters */
    float *angles;              /* rbe_rope_table() of limits.time; NULL: none is rotated */
    float *back;                /* [limits.time][head / 2] its sines, negative: turns back */
    float *x;                   /* [layers + 1][tokens][n_embd] the residual stream, or one */
    size_t x_stride;            /* from layer to layer; 0 when there is one */
    float *hidden;              /* [tokens][n_embd] after the last norm */
    float *logits, *other_logits;       /* [head_rows][vocab]; the teacher's */
    size_t head_rows;
    struct rbe_grad_kept *kept;         /* [layers], all alike when only one is held */

    /* Gradients by activations, [tokens][...]; NULL when forward_only. */
    float *dx, *dmid, *datt;    /* [n_embd]; datt, which is [queries] at first, becomes the
                                 * layer before's dx */
    float *dff, *dqkv;          /* [outputs of FFN_UP], [queries, keys, values] */
    float *acts;                /* [n_inner] what gates let through; NULL: there are none */
    float *h1, *h2;             /* [n_embd] outputs of the norms */

    struct rbe_grad_worker *workers;
    rbe_grad_tap_fn *tap;       /* or NULL */
    void *tap_arg;
    size_t forwarded;           /* tokens whose hidden states are held */
};

/* In packed_at: no product takes it, or its first range is another. */
#define RBE_NOT_PACKED SIZE_MAX

/* Tokens a thread takes through a layer's products at a time, and queries through attention:
 * what it works on should stay in the second-level cache. */
enum { RBE_GRAD_CHUNK = 256, RBE_GRAD_QUERIES = 128 };

/* The tensor in this role of a layer, or of the model (RBE_WHOLE), or the first range of its
 * weight, behind which the others follow; NULL where the architecture has none. */
enum { RBE_WHOLE = -1 };
static inline const struct rbe_grad_slice *rbe_slice_of(const struct rbe_grad *t, int layer,
                                                        enum rbe_role k)
{
    return t->roles[(size_t)(1 + layer) * RBE_ROLE_COUNT + k];
}

/* Its parameters, which are stored, or zeros. */
static inline const float *rbe_param_of(const struct rbe_grad *t, int layer, enum rbe_role k)
{
    const struct rbe_grad_slice *s = rbe_slice_of(t, layer, k);

    return s ? t->params + s->at : t->zeros;
}

static inline const struct rbe_grad_slice *rbe_output_of(const struct rbe_grad *t)
{
    const struct rbe_grad_slice *s = rbe_slice_of(t, RBE_WHOLE, RBE_ROLE_OUTPUT);

    return s ? s : rbe_slice_of(t, RBE_WHOLE, RBE_ROLE_TOKENS);
}

static inline size_t rbe_grad_padded(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

/* A weight as the second factor of a product: W [out][in] as it is (backward), or turned
 * (forward). */
static inline struct rbe_factor rbe_grad_weight(const struct rbe_grad *t,
                                                const struct rbe_grad_slice *s, bool turned)
{
    return (struct rbe_factor){.v = s->at == RBE_NOT_STORED ? NULL : t->params + s->at,
                               .ld = s->cols, .t = turned,
                               .whole = turned ? s->cols : s->weight_rows,
                               .packed = !t->front ? NULL
                                                   : (turned ? t->front : t->rear) +
                                                     t->packed_at[s - t->slices]};
}

/* Packs thread i's panels of the weight that s begins, values [weight_rows][cols]. */
void rbe_grad_pack(const struct rbe_grad *t, const struct rbe_grad_slice *s,
                   const float *values, unsigned i, unsigned n);

/* Where the sums for a vector in role k start in a worker's `vectors`; for RBE_ROLE_COUNT,
 * their length. */
size_t rbe_grad_vector_at(const struct rbe_model_config *c, enum rbe_role k);

/* A micro-batch on its way. */
struct rbe_pass {
    struct rbe_grad *t;
    const struct rbe_grad_batch *b;
    size_t tokens;              /* batch * time */
    int layer;
    bool again;                 /* a layer is run a second time for its backward pass */
    rbe_grad_inputs_fn *inputs; /* of rbe_grad_layer(), or NULL: */
    enum rbe_role last;         /* then the layer ends before this product */
    void *inputs_arg;
};

/* Tells the tap, where there is one. */
static inline void rbe_pass_tap(const struct rbe_pass *p, const struct rbe_grad_slice *s,
                                const float *x, const float *dy, size_t tokens)
{
    if (p->t->tap)
        p->t->tap(p->t->tap_arg, s, x, dy, tokens);
}

/* --- sums.c: what a slice's `sums` ask for --- */

/* Thread i's sums of a slice: by row, behind them by column. */
float *rbe_sums_at(const struct rbe_grad_slice *s, unsigned i);
/* Whether a range of the weight that s begins wants sums, or sums by column. */
bool rbe_sums_wanted(const struct rbe_grad_slice *s, bool columns);
/* += dy y for the rows of a weight, `count` tokens: y is the product, or, where it was added to
 * something, what came of that less `before` and `bias` (each may be NULL). */
void rbe_sums_rows(const struct rbe_pass *p, struct rbe_grad_worker *w,
                   const struct rbe_grad_slice *s, const float *dy, const float *y,
                   const float *before, const float *bias, size_t ld, size_t count);
/* dx [count][in] = dy [count][ld] times the weight, and the sums by column from its inputs x
 * [count][in], which are read where rbe_sums_wanted(); count is at most a chunk. */
void rbe_sums_back(const struct rbe_pass *p, struct rbe_grad_worker *w,
                   const struct rbe_grad_slice *s, const float *dy, size_t ld, size_t count,
                   float *dx, const float *x);
/* Of a slice whose rows are looked up by tokens: += for row `row` of W [cols] and its gradient
 * dx [cols]. */
void rbe_sums_looked_up(const struct rbe_pass *p, struct rbe_grad_worker *w,
                        const struct rbe_grad_slice *s, size_t row, const float *dx);

/* Splits p->tokens over the pool and calls fn with chunks of each share. */
typedef void rbe_chunk_fn(struct rbe_pass *p, struct rbe_grad_worker *w, size_t first,
                          size_t count);
void rbe_pass_tokens(struct rbe_pass *p, rbe_chunk_fn *fn);

/* Splits p's (sequence, head) pairs, so many heads, over the pool. */
typedef void rbe_head_fn(struct rbe_pass *p, struct rbe_grad_worker *w, size_t sequence,
                         size_t head);
void rbe_pass_heads(struct rbe_pass *p, size_t heads, rbe_head_fn *fn);

/* A head of queries q and its keys k of a sequence: the scores of `rows` queries from q0 on
 * through the softmax, into w->p [rows][ld]; zeros where a query must not see.  Returns ld. */
size_t rbe_pass_scores(const struct rbe_pass *p, struct rbe_grad_worker *w, const float *q,
                       const float *k, size_t q0, size_t rows);

/* Where the queries of a head stand in a row of queries, keys and values; its keys, which it
 * may share; the values of these. */
struct rbe_head_at {
    size_t q, k, v;
};
static inline struct rbe_head_at rbe_head_at(const struct rbe_model_config *c, size_t head)
{
    const size_t k = rbe_config_queries(c) + head / (c->n_head / c->n_kv) * c->head;

    return (struct rbe_head_at){head * c->head, k, k + rbe_config_keys(c)};
}

/* Turns queries and keys in the row x of a token by its position, or back. */
void rbe_pass_turn(const struct rbe_pass *p, float *x, size_t token, bool back);

/* y = x by the norm in role `gain` of a layer, or of the model, and its bias. */
void rbe_pass_norm(const struct rbe_grad *t, float *y, const float *x, int layer,
                   enum rbe_role gain, enum rbe_role bias, size_t count);
/* to [count][n_inner]: the outputs ff of FFN_UP through the activation. */
void rbe_pass_activate(const struct rbe_pass *p, float *to, const float *ff, size_t count);

/* The forward pass: hidden states of all tokens.  False: an interrupt ended it. */
bool rbe_pass_forward(struct rbe_pass *p);
/* The only layer of a model from its input. */
void rbe_pass_layer(struct rbe_pass *p);
/* Layer p->layer once more from its input, up to what its backward pass reads. */
void rbe_pass_layer_again(struct rbe_pass *p);
/* From t->dmid, the gradient by the hidden states, to the parameters'; false
 * likewise. */
bool rbe_pass_backward(struct rbe_pass *p);

#endif
