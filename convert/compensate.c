/*
 * compensate.c - two copies of a layer at a time, the original's and the encoded one's.
 *
 * SPDX-License-Identifier: MIT
 *
 * Both residual streams of the whole text are held before the layer at hand, so each layer is
 * run only for its own matrices, and once more to bring the streams past it.
 */
#include "convert/compensate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "convert/convert_private.h"
#include "convert/half.h"
#include "grad/grad.h"
#include "grad/product.h"
#include "model/dense.h"
#include "rbe/feedback.h"

enum {
    WINDOW = 512,               /* tokens of a window at most */
    BATCH = 2048,               /* of a batch, about */
    ROWS = 256,                 /* of a product that a thread takes at a time */
    PER_INPUT = 8,              /* tokens for each input of a matrix, at least: fewer would be
                                 * fitted, not what is behind them */
};

/* One of both models. */
struct side {
    struct rbe_grad *layer;     /* a model of the layer at hand alone */
    float *stream;              /* [tokens][n_embd] before it */
    float *x, *onto;            /* [BATCH][widest], [BATCH][n_embd] of a product at hand */
    size_t cols, embd;          /* of these */
};

struct rbe_compensation {
    const struct rbe_convert *c;
    size_t tokens, widest, tallest;
    uint32_t window, batch;     /* windows of a batch */
    unsigned threads;
    struct side original, encoded;
    struct rbe_half *half;
    struct rbe_product **products;      /* [threads] */
    int layer;                  /* at hand; -1: none yet */
    bool *loaded;               /* [entries] finished, and in encoded.layer */
    const struct rbe_convert_entry *first;      /* of the weight at hand; NULL: none */
    float *targets;             /* its [weight rows][cols] */
};

static uint32_t window_of(const struct rbe_model_config *c)
{
    return c->n_ctx < WINDOW ? c->n_ctx : WINDOW;
}

static uint32_t batch_of(const struct rbe_model_config *c)
{
    return (BATCH + window_of(c) - 1) / window_of(c);
}

/* A model of one layer, of which nothing before and after the layer is used. */
static struct rbe_model_config one_layer(const struct rbe_model_config *c)
{
    struct rbe_model_config one = *c;

    one.n_layer = 1;
    one.vocab = 1;
    return one;
}

static struct rbe_grad_limits limits_of(const struct rbe_model_config *c, bool bf16)
{
    return (struct rbe_grad_limits){.batch = batch_of(c), .time = window_of(c),
                                    .forward_only = true, .bf16 = bf16};
}

/* The most inputs, and outputs, of a layer's weight. */
static void largest(const struct rbe_model_config *c, size_t *widest, size_t *tallest)
{
    const struct rbe_model_config one = one_layer(c);

    *widest = *tallest = 0;
    for (size_t i = 0; i < rbe_source_count(&one); i++) {
        const struct rbe_source_tensor t = rbe_source_tensor(&one, i);
        const size_t rows = (size_t)t.row0 + t.rows;

        if (t.layer < 0 || !t.matrix)
            continue;
        *widest = t.cols > *widest ? t.cols : *widest;
        *tallest = rows > *tallest ? rows : *tallest;
    }
}

size_t rbe_compensation_bytes(const struct rbe_model_config *c, size_t tokens, bool bf16,
                              unsigned threads)
{
    const struct rbe_model_config one = one_layer(c);
    const size_t together = (size_t)batch_of(c) * window_of(c), e = c->n_embd;
    size_t widest, tallest;

    largest(c, &widest, &tallest);
    /* Sums and factors of the widest weight, and its targets and their changes. */
    const size_t squares = 4 * widest * widest + rbe_half_floats(widest) + e * widest;
    const size_t floats = 2 * (tokens * e + together * (widest + e)) + squares +
                          4 * tallest * (e > widest / 2 ? e : widest / 2);
    const size_t table = (size_t)c->vocab * e;
    return 2 * rbe_grad_bytes(&one, limits_of(c, bf16), threads) +
           (floats > 2 * tokens * e + table ? floats : 2 * tokens * e + table) * sizeof(float) +
           rbe_half_bytes(bf16, widest, together) + threads * rbe_product_bytes(bf16) +
           rbe_inverse_root_bytes(widest);
}

static enum rbe_status open_side(struct side *s, const struct rbe_compensation *k, bool bf16,
                                 struct rbe_diag *d)
{
    const struct rbe_model_config *config = &k->c->source->config;
    const struct rbe_model_config one = one_layer(config);
    const size_t together = (size_t)k->batch * k->window;

    s->embd = config->n_embd;
    s->stream = malloc(k->tokens * s->embd * sizeof *s->stream);
    s->x = malloc(together * k->widest * sizeof *s->x);
    s->onto = malloc(together * s->embd * sizeof *s->onto);
    if (!s->stream || !s->x || !s->onto)
        return no_memory(d);
    return rbe_grad_open(&s->layer, &one, limits_of(config, bf16), k->c->o.pool, d);
}

static void close_side(struct side *s)
{
    rbe_grad_close(&s->layer);
    free(s->stream);
    free(s->x);
    free(s->onto);
}

enum rbe_status rbe_compensation_open(struct rbe_compensation **out,
                                      const struct rbe_convert *c, size_t tokens,
                                      struct rbe_diag *d)
{
    const struct rbe_model_config *config = &c->source->config;
    const bool bf16 = rbe_calibration_is_bf16(c->o.calibration);
    const size_t text = rbe_calibration_tokens(c->o.calibration);
    struct rbe_compensation *k = calloc(1, sizeof *k);
    enum rbe_status err;

    *out = NULL;
    if (!k)
        return no_memory(d);
    k->c = c;
    k->window = window_of(config);
    k->batch = batch_of(config);
    k->tokens = (tokens < text ? tokens : text) / k->window * k->window;
    k->threads = rbe_pool_threads(c->o.pool);
    k->layer = -1;
    largest(config, &k->widest, &k->tallest);
    k->loaded = calloc(c->count, sizeof *k->loaded);
    k->targets = malloc(k->tallest * k->widest * sizeof *k->targets);
    k->products = calloc(k->threads, sizeof *k->products);
    if (!k->loaded || !k->targets || !k->products)
        err = no_memory(d);
    else if (!(err = open_side(&k->original, k, bf16, d)) &&
             !(err = open_side(&k->encoded, k, bf16, d)))
        err = rbe_half_open(&k->half, bf16, k->widest, (size_t)k->batch * k->window,
                            c->o.pool, d);
    for (unsigned i = 0; !err && i < k->threads; i++)
        err = rbe_product_open(&k->products[i], bf16, d);
    if (err)
        rbe_compensation_close(&k);
    *out = k;
    return err;
}

void rbe_compensation_close(struct rbe_compensation **pk)
{
    struct rbe_compensation *k = *pk;

    if (!k)
        return;
    close_side(&k->original);
    close_side(&k->encoded);
    rbe_half_close(&k->half);
    for (unsigned i = 0; k->products && i < k->threads; i++)
        rbe_product_close(&k->products[i]);
    free(k->products);
    free(k->loaded);
    free(k->targets);
    free(k);
    *pk = NULL;
}

/* --- the streams -------------------------------------------------------------------------- */

static size_t index_of(const struct rbe_convert *c, enum rbe_role role)
{
    const struct rbe_convert_entry *r = rbe_convert_entry_of(c, role);

    return r ? (size_t)(r - c->entries) : c->count;
}

/* A tensor as the file has it, or as the original does, fresh. */
static enum rbe_status read_entry(float **out, const struct rbe_convert *c, size_t i,
                                  bool encoded, struct rbe_diag *d)
{
    return encoded ? rbe_convert_stored(out, c, i, d)
                   : rbe_source_read(out, c->source, c->entries[i].tensor, d);
}

/* What stands before the first layer. */
static enum rbe_status embed(struct rbe_compensation *k, struct side *s, bool encoded,
                             struct rbe_diag *d)
{
    const struct rbe_convert *c = k->c;
    const uint32_t *text = rbe_calibration_text(c->o.calibration);
    const size_t e = s->embd;
    const size_t others[] = {index_of(c, RBE_ROLE_POSITIONS), index_of(c, RBE_ROLE_EMBED_MEAN)};
    enum rbe_status err;
    float *x;

    if ((err = read_entry(&x, c, index_of(c, RBE_ROLE_TOKENS), encoded, d)))
        return err;
    for (size_t t = 0; t < k->tokens; t++)
        memcpy(s->stream + t * e, x + text[t] * e, e * sizeof *x);
    free(x);
    for (size_t o = 0; o < sizeof others / sizeof *others; o++) {
        if (others[o] == c->count ||
            (!encoded && c->entries[others[o]].tensor == &c->embed_mean))
            continue;
        if ((err = read_entry(&x, c, others[o], encoded, d)))
            return err;
        const size_t rows = c->entries[others[o]].tensor->role == RBE_ROLE_POSITIONS
                                ? k->window : 1;
        for (size_t t = 0; t < k->tokens; t++)
            for (size_t i = 0; i < e; i++)
                s->stream[t * e + i] += x[t % rows * e + i];
        free(x);
    }
    return RBE_OK;
}

/* Tensor i into the layer at hand of a side. */
static enum rbe_status load(const struct rbe_compensation *k, const struct side *s, size_t i,
                            bool encoded, struct rbe_diag *d)
{
    const struct rbe_convert_entry *r = &k->c->entries[i];
    struct rbe_grad_slice *to = NULL;
    enum rbe_status err;
    float *x;

    for (size_t n = 0; n < rbe_grad_slices(s->layer) && !to; n++) {
        struct rbe_grad_slice *slice = rbe_grad_slice(s->layer, n);
        if (slice->role == r->tensor->role && slice->row0 == r->tensor->row0)
            to = slice;
    }
    if ((err = read_entry(&x, k->c, i, encoded, d)))
        return err;
    memcpy(rbe_grad_params(s->layer) + to->at, x, to->count * sizeof *x);
    free(x);
    return RBE_OK;
}

/* Of the layer at hand, and of what layers have in common, what goes into its copies: that not
 * encoded yet as the original has it. */
static enum rbe_status load_layer(struct rbe_compensation *k, struct rbe_diag *d)
{
    const struct rbe_convert *c = k->c;
    enum rbe_status err = RBE_OK;

    for (size_t i = 0; i < c->count && !err; i++) {
        const struct rbe_convert_entry *r = &c->entries[i];

        if (r->layer != k->layer && r->tensor->role != RBE_ROLE_ROPE_FACTORS)
            continue;
        if (!(err = load(k, &k->original, i, false, d)))
            err = load(k, &k->encoded, i, !r->encoded, d);
    }
    return err;
}

/* What has been finished of the layer at hand. */
static enum rbe_status load_finished(struct rbe_compensation *k, struct rbe_diag *d)
{
    const struct rbe_convert *c = k->c;
    enum rbe_status err = RBE_OK;

    for (size_t i = 0; i < c->count && !err; i++)
        if (c->entries[i].layer == k->layer && c->finished[i] && !k->loaded[i]) {
            err = load(k, &k->encoded, i, true, d);
            k->loaded[i] = true;
        }
    return err;
}

/* Both streams past the layer at hand. */
static enum rbe_status pass_layer(struct rbe_compensation *k, struct rbe_diag *d)
{
    const size_t step = (size_t)k->batch * k->window, e = k->original.embd;
    enum rbe_status err = load_finished(k, d);

    for (size_t at = 0; at < k->tokens && !err; at += step) {
        const size_t left = (k->tokens - at) / k->window;
        const uint32_t batch = left < k->batch ? (uint32_t)left : k->batch;
        float *a = k->original.stream + at * e, *b = k->encoded.stream + at * e;

        if (rbe_interrupted())
            return rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
        if (!(err = rbe_grad_layer(k->original.layer, batch, k->window, a, a, 0, NULL, NULL,
                                   d)))
            err = rbe_grad_layer(k->encoded.layer, batch, k->window, b, b, 0, NULL, NULL, d);
    }
    return err;
}

/* Layer `to` at hand. */
static enum rbe_status move_to(struct rbe_compensation *k, int to, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    if (k->layer < 0 && !(err = embed(k, &k->original, false, d)))
        err = embed(k, &k->encoded, true, d);
    while (k->layer < to && !err) {
        if (k->layer >= 0 && (err = pass_layer(k, d)))
            break;
        k->layer++;
        err = load_layer(k, d);
    }
    return err ? err : load_finished(k, d);
}

/* --- targets ------------------------------------------------------------------------------ */

static void keep_inputs(void *arg, const float *x, const float *onto, size_t first,
                        size_t count)
{
    const struct side *s = arg;

    memcpy(s->x + first * s->cols, x, count * s->cols * sizeof *x);
    if (onto)
        memcpy(s->onto + first * s->embd, onto, count * s->embd * sizeof *onto);
}

/* c [m][n] = beta c + op(a) op(b). */
struct multiply {
    struct rbe_product **products;      /* NULL: in f32 */
    size_t m, n, k;
    struct rbe_factor a, b;
    float beta, *c;
};

/* Thread i's pieces, the same ones for any number of threads. */
static void run_multiply(void *arg, unsigned i, unsigned n)
{
    const struct multiply *m = arg;

    for (size_t at = i * (size_t)ROWS; at < m->m; at += n * (size_t)ROWS) {
        const size_t rows = m->m - at < ROWS ? m->m - at : ROWS;
        struct rbe_factor a = m->a;
        float *c = m->c + at * m->n;
        a.v += a.t ? at : at * a.ld;
        if (m->products)
            rbe_product_run(m->products[i], rows, m->n, m->k, 1, a, m->b, m->beta, c, m->n);
        else
            rbe_sgemm(a.t, m->b.t, rows, m->n, m->k, 1, a.v, a.ld, m->b.v, m->b.ld, m->beta, c,
                      m->n);
    }
}

/* += a^T b, a [count][m], b [count][n]. */
static void add_product(const struct rbe_compensation *k, size_t m, size_t n, size_t count,
                        const float *a, const float *b, float *c)
{
    struct multiply all = {.products = k->products, .m = m, .n = n, .k = count, .beta = 1,
                           .a = {.v = a, .ld = m, .t = true}, .b = {.v = b, .ld = n}, .c = c};

    rbe_pool_run(k->c->o.pool, run_multiply, &all);
}

/* c [m][n] = a b or, turned, a b^T, in f32: b [n][n] is far from orthogonal. */
static void multiply(const struct rbe_compensation *k, size_t m, size_t n, const float *a,
                     const float *b, bool turned, float *c)
{
    struct multiply all = {.m = m, .n = n, .k = n, .a = {.v = a, .ld = n},
                           .b = {.v = b, .ld = n, .t = turned}, .c = c};

    rbe_pool_run(k->c->o.pool, run_multiply, &all);
}

/* Sums over the text for a weight. */
struct sums {
    float *moment;              /* half of x' x'^T */
    float *inputs;              /* (x - x') x'^T [cols][cols] */
    float *stream;              /* (r - r') x'^T [n_embd][cols], or NULL */
};

/* Tokens at hand: what they differ by, into a. */
struct difference {
    struct side *a, *b;
    size_t count;
    bool adds;                  /* to the stream, which counts, too */
};

static void subtract(float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        a[i] -= b[i];
}

/*
 * What is added to a stream is normalised with it before it is used, so there a token counts by
 * the inverse square of its stream's size: of Llama models a few are hundreds of times larger
 * than all others.  Scales what is summed up by the root.
 */
static void weigh(const struct difference *g, size_t t)
{
    const size_t e = g->a->embd, cols = g->a->cols;
    float *has = g->b->onto + t * e, *lacks = g->a->onto + t * e;
    double sum = 0;

    for (size_t i = 0; i < e; i++)
        sum += (double)has[i] * (double)has[i];
    const float w = sum > 0 ? (float)sqrt((double)e / sum) : 0;
    for (size_t i = 0; i < e; i++)
        lacks[i] *= w;
    for (size_t i = 0; i < cols; i++) {
        g->a->x[t * cols + i] *= w;
        g->b->x[t * cols + i] *= w;
    }
}

static void run_difference(void *arg, unsigned i, unsigned n)
{
    const struct difference *g = arg;
    const size_t e = g->a->embd, cols = g->a->cols;
    size_t from, to;

    rbe_split(g->count, 1, i, n, &from, &to);
    for (size_t t = from; t < to; t++) {
        subtract(g->a->x + t * cols, g->b->x + t * cols, cols);
        if (!g->adds)
            continue;
        subtract(g->a->onto + t * e, g->b->onto + t * e, e);
        weigh(g, t);
    }
}

static enum rbe_status gather(struct rbe_compensation *k, const struct rbe_source_tensor *t,
                              const struct sums *s, struct rbe_diag *d)
{
    const size_t step = (size_t)k->batch * k->window, e = k->original.embd, cols = t->cols;
    struct side *a = &k->original, *b = &k->encoded;
    enum rbe_status err = RBE_OK;

    a->cols = b->cols = cols;
    for (size_t at = 0; at < k->tokens && !err; at += step) {
        const size_t left = (k->tokens - at) / k->window;
        const uint32_t batch = left < k->batch ? (uint32_t)left : k->batch;
        const size_t count = (size_t)batch * k->window;

        if (rbe_interrupted())
            return rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
        if ((err = rbe_grad_layer(a->layer, batch, k->window, a->stream + at * e, NULL, t->role,
                                  keep_inputs, a, d)) ||
            (err = rbe_grad_layer(b->layer, batch, k->window, b->stream + at * e, NULL, t->role,
                                  keep_inputs, b, d)))
            return err;
        struct difference g = {.a = a, .b = b, .count = count, .adds = s->stream != NULL};
        rbe_pool_run(k->c->o.pool, run_difference, &g);
        rbe_half_add(k->half, s->moment, cols, b->x, cols, count);
        add_product(k, cols, cols, count, a->x, b->x, s->inputs);
        if (s->stream)
            add_product(k, e, cols, count, a->onto, b->x, s->stream);
    }
    return err;
}

/* k->targets [rows][cols] from the original's, in their place. */
static enum rbe_status solve(struct rbe_compensation *k, size_t rows, size_t cols,
                             const struct sums *s, struct rbe_diag *d)
{
    float *moment = malloc(cols * cols * sizeof *moment);
    float *root = malloc(cols * cols * sizeof *root);
    float *change = malloc(rows * cols * sizeof *change);
    float *half = malloc(rows * cols * sizeof *half);
    const float share = (float)rbe_profile_compensate_share(k->c->o.profile);
    enum rbe_status err = RBE_OK;
    double trace = 0;

    if (!moment || !root || !change || !half) {
        err = no_memory(d);
        goto out;
    }
    rbe_half_unfold(moment, s->moment, cols, 1);
    for (size_t i = 0; i < cols; i++)
        trace += (double)moment[i * cols + i];
    if (trace == 0 || (err = rbe_inverse_root(root, moment, cols, 0, k->c->o.pool, d)))
        goto out;               /* of inputs that are zero throughout nothing follows */
    multiply(k, rows, cols, k->targets, s->inputs, false, change);
    for (size_t i = 0; i < rows * cols; i++) {
        change[i] *= share;
        if (s->stream)
            change[i] += RBE_COMPENSATE_STREAM * s->stream[i];
    }
    multiply(k, rows, cols, change, root, true, half);
    multiply(k, rows, cols, half, root, false, change);
    for (size_t r = 0; r < rows; r++) {
        float *w = k->targets + r * cols, most = 0;
        for (size_t i = 0; i < cols; i++)
            most = fmaxf(most, fabsf(w[i]));
        for (size_t i = 0; most > 0 && i < cols; i++)
            w[i] += change[r * cols + i];
    }
out:
    free(moment);
    free(root);
    free(change);
    free(half);
    return err;
}

/* The weight that r is of: its original rows into k->targets. */
static enum rbe_status read_weight(struct rbe_compensation *k,
                                   const struct rbe_convert_entry *r, size_t *rows,
                                   struct rbe_diag *d)
{
    const struct rbe_convert *c = k->c;
    enum rbe_status err;
    float *x;

    *rows = 0;
    for (size_t i = 0; i < c->count; i++) {
        const struct rbe_source_tensor *t = c->entries[i].tensor;
        if (strcmp(t->weight_name, r->tensor->weight_name) != 0)
            continue;
        if ((err = rbe_convert_weights(&x, c, &c->entries[i], d)))
            return err;
        memcpy(k->targets + (size_t)t->row0 * t->cols, x,
               (size_t)t->rows * t->cols * sizeof *x);
        free(x);
        *rows += t->rows;
    }
    return RBE_OK;
}

static enum rbe_status make_targets(struct rbe_compensation *k,
                                    const struct rbe_convert_entry *r, struct rbe_diag *d)
{
    const struct rbe_source_tensor *t = r->tensor;
    const bool adds = t->role == RBE_ROLE_ATTN_OUT || t->role == RBE_ROLE_FFN_DOWN;
    const size_t e = k->original.embd, cols = t->cols;
    struct sums s = {.moment = calloc(rbe_half_floats(cols), sizeof *s.moment),
                     .inputs = calloc(cols * cols, sizeof *s.inputs),
                     .stream = adds ? calloc(e * cols, sizeof *s.stream) : NULL};
    enum rbe_status err;
    size_t rows;

    if (!s.moment || !s.inputs || (adds && !s.stream)) {
        err = no_memory(d);
        goto out;
    }
    if ((err = move_to(k, r->layer, d)) || (err = read_weight(k, r, &rows, d)) ||
        k->tokens < PER_INPUT * cols || (err = gather(k, t, &s, d)))
        goto out;
    err = solve(k, rows, cols, &s, d);
out:
    free(s.moment);
    free(s.inputs);
    free(s.stream);
    return err;
}

enum rbe_status rbe_compensation_prepare(struct rbe_compensation *k,
                                         const struct rbe_convert_entry *r, struct rbe_diag *d)
{
    enum rbe_status err;

    if (k->first && !strcmp(k->first->tensor->weight_name, r->tensor->weight_name))
        return RBE_OK;
    k->first = NULL;
    if (!(err = make_targets(k, r, d)))
        k->first = r;
    return err;
}

const float *rbe_compensation_targets(const struct rbe_compensation *k,
                                      const struct rbe_convert_entry *r)
{
    return k->targets + (size_t)r->tensor->row0 * r->tensor->cols;
}
