/*
 * session.c - the forward pass: batched prefill and decoding with a KV cache.
 *
 * SPDX-License-Identifier: MIT
 *
 * One arena holds the cache and every buffer; its layout follows from the model and the
 * limits alone, not from the number of threads.  Matrix products are cut by rows, attention
 * by heads, the rest by tokens, and no sum is ever cut, so the number of threads does not
 * change what a sum adds up, nor in which order (the dense library's own blocking excepted).
 *
 * A batch of one token goes through the GEMV kernels.  Longer ones go through the dense
 * library where all of a weight is f32, else through the GEMM kernels, or those for few
 * vectors.  For formats of integers that makes no difference to the bits.
 *
 * Attention over a cache in f32 takes blocks of queries through that library.  Over one in f16
 * or int8 a few queries meet a key at once, of several tokens or of the heads that share it;
 * each gets the bits that it gets alone.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/progress.h"
#include "kernels/attention.h"
#include "kernels/cpu.h"
#include "kernels/elementwise.h"
#include "kernels/transform.h"
#include "model/dense.h"
#include "model/rope.h"
#include "model/weights.h"

/* The kernels of RBE models gain nothing beyond 64 tokens at once, the dense library does. */
enum { RBE_BATCH = 64, PLAIN_BATCH = 512, QUERY_BLOCK = 64, QUERIES = 4 };

struct rbe_session {
    struct rbe_model *m;         /* read only, but for its mark of being verified */
    struct rbe_pool *pool;
    struct rbe_session_limits limits;
    const struct rbe_elementwise *e;
    const struct rbe_transform *transform;
    const struct rbe_attention *attention;
    const struct rbe_kernel *gemv[RBE_FORMAT_COUNT], *gemm[RBE_FORMAT_COUNT];
    const struct rbe_kernel *few[RBE_FORMAT_COUNT];     /* or NULL */
    unsigned bits[RBE_FORMAT_COUNT];    /* of activations */
    bool no_sums[RBE_FORMAT_COUNT];     /* some matrix has no sums of its rows */
    bool floats;                /* some matrix is of floats */
    rbe_session_tap_fn *tap;
    void *tap_arg;

    void *arena;
    char *cache;                /* [layer][kv head][keys, values], head_bytes() each */
    char *scales;               /* the same of their scales; NULL if there are none */
    size_t joined;              /* bytes from `cache` on whose pages were made huge */
    char *queries;              /* [head] query_bytes(); NULL if none are made ready */
    float *x;                   /* [batch][n_embd] the residual stream */
    float *h;                   /* [batch][n_embd] normed, or a layer's output */
    float *qkv;                 /* [batch][queries, keys, values]; attention's output replaces
                                 * the queries */
    float *ff;                  /* [batch][outputs of FFN_UP], in the place of qkv */
    float *angles;              /* rbe_rope_table() of max_tokens; NULL if none is rotated */
    float *rotated;             /* [batch or logits][widest input]; NULL if no weight is */
    float *scores;              /* [head][query_rows()][positions()] */
    uint32_t *units;            /* [unit_count + 1] first heads of what attention is cut into */
    size_t unit_count;
    struct rbe_act act;
    size_t act_room;            /* vectors in it */

    uint32_t length;            /* tokens in the cache */
    uint32_t turned;            /* positions whose angles are there */
    uint32_t kept;              /* final hidden states in h */
    float *trace;               /* the residual stream before each layer, or NULL */
    uint32_t from;              /* layer to begin at, with what is there */
    bool stop_early;
};

/* --- memory ------------------------------------------------------------------------------- */

/* Zero means the default; nothing beyond what the model has. */
static struct rbe_session_limits settle(const struct rbe_model_config *c, bool rbe,
                                        struct rbe_session_limits l)
{
    if (l.kv_cache == RBE_KV_DEFAULT)
        l.kv_cache = rbe ? RBE_KV_INT8 : RBE_KV_F32;
    if (!l.max_tokens || l.max_tokens > c->n_ctx)
        l.max_tokens = c->n_ctx;
    if (!l.max_batch)
        l.max_batch = !rbe ? PLAIN_BATCH : l.max_logits > RBE_BATCH ? l.max_logits : RBE_BATCH;
    if (l.max_batch > l.max_tokens)
        l.max_batch = l.max_tokens;
    if (!l.max_logits)
        l.max_logits = 1;
    if (l.max_logits > l.max_batch)
        l.max_logits = l.max_batch;
    return l;
}

static bool all_f32(const struct rbe_weight *w)
{
    for (size_t i = 0; w && i < w->part_count; i++)
        if (rbe_format_facts(w->parts[i].m.format)->float_bytes != sizeof(float))
            return false;
    return true;
}

/* Whether any product of several tokens goes through kernels, and so needs a batch of
 * prepared activations. */
static bool needs_batch_act(const struct rbe_model *m)
{
    bool dense = all_f32(m->whole.weight[RBE_ROLE_OUTPUT]);

    for (uint32_t i = 0; dense && i < m->config.n_layer; i++)
        for (int k = 0; dense && k < RBE_ROLE_COUNT; k++)
            dense = all_f32(m->layers[i].weight[k]);
    /* Asked last: the answer loads the library. */
    return !dense || !rbe_dense_fast();
}

static size_t widest(const struct rbe_model_config *c)
{
    const size_t e = c->n_embd, f = c->n_inner, q = rbe_config_queries(c);
    const size_t wide = e > f ? e : f;

    return wide > q ? wide : q;
}

_Static_assert((int)RBE_KV_F32 == RBE_KV_TYPE_F32 + 1 &&
               (int)RBE_KV_F16 == RBE_KV_TYPE_F16 + 1 &&
               (int)RBE_KV_INT8 == RBE_KV_TYPE_INT8 + 1, "the two enums go together");

static enum rbe_kv_type type_of(struct rbe_session_limits l)
{
    return (enum rbe_kv_type)(l.kv_cache - RBE_KV_F32);
}

static size_t aligned(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Of a head's cache. */
static size_t positions(struct rbe_session_limits l)
{
    return ((size_t)l.max_tokens + RBE_KV_STEP - 1) / RBE_KV_STEP * RBE_KV_STEP;
}

/* Bytes of a head's keys, of their scales, and of its queries made ready at once. */
static size_t head_bytes(const struct rbe_model_config *c, struct rbe_session_limits l)
{
    return aligned(rbe_kv_bytes(type_of(l), positions(l), c->head));
}

static size_t cache_bytes(const struct rbe_model_config *c, struct rbe_session_limits l)
{
    return 2 * (size_t)c->n_layer * c->n_kv * head_bytes(c, l);
}

static size_t scale_bytes(struct rbe_session_limits l)
{
    return rbe_kv_scale_bytes(type_of(l), positions(l));
}

/* Batches shorter than this are attended token by token. */
enum { MIN_BLOCK = 8 };

/* Parts of a weight whose activations are held at once. */
enum { PARTS_AT_ONCE = 4 };

/* Up to so many tokens, what is done token by token is no work to share. */
enum { FEW_TOKENS = 4 };

/* Whether batches of MIN_BLOCK tokens and more are attended through the dense library. */
static bool dense_attention(struct rbe_session_limits l)
{
    return l.kv_cache == RBE_KV_F32 && rbe_dense_fast() && l.max_batch >= MIN_BLOCK;
}

/* Queries of a head whose scores are held at once. */
static uint32_t query_rows(struct rbe_session_limits l)
{
    const uint32_t most = dense_attention(l) ? QUERY_BLOCK : QUERIES;

    return l.max_batch < most ? l.max_batch : most;
}

static size_t query_bytes(const struct rbe_model_config *c, struct rbe_session_limits l)
{
    return aligned(rbe_kv_query_bytes(type_of(l), query_rows(l), c->head));
}

/* The vectors of activations that a batch of these many tokens needs; for one token those of
 * all parts of a weight are held at once. */
static size_t act_vectors(const struct rbe_model *m, uint32_t max_batch)
{
    const size_t batch = needs_batch_act(m) ? max_batch : 1;
    size_t most = 1;

    for (uint32_t i = 0; i < m->config.n_layer; i++)
        for (int k = 0; k < RBE_ROLE_COUNT; k++) {
            const struct rbe_weight *w = m->layers[i].weight[k];
            most = w && w->part_count > most ? w->part_count : most;
        }
    most = most < PARTS_AT_ONCE ? most : PARTS_AT_ONCE;
    return batch > most ? batch : most;
}

/* Lays the arena out; with s, sets its pointers.  Returns the bytes. */
static size_t layout(const struct rbe_model_config *c, size_t act_count, bool rotated,
                     struct rbe_session_limits l, struct rbe_session *s)
{
    const size_t e = c->n_embd, batch = l.max_batch, heads = 2 * (size_t)c->n_layer * c->n_kv;
    const size_t qkv = rbe_config_qkv(c), up = rbe_config_up(c);
    const bool turned = rbe_arch_at(c->arch)->positions == RBE_ROTARY;
    const size_t sizes[] = {
        cache_bytes(c, l),
        heads * scale_bytes(l),
        c->n_head * query_bytes(c, l),
        batch * e * sizeof(float),
        batch * e * sizeof(float),
        batch * (qkv > up ? qkv : up) * sizeof(float),
        turned ? (size_t)l.max_tokens * c->head * sizeof(float) : 0,
        rotated ? batch * widest(c) * sizeof(float) : 0,
        (size_t)c->n_head * query_rows(l) * positions(l) * sizeof(float),
        rbe_act_bytes(act_count, widest(c)),
        (c->n_head + 1) * sizeof *s->units};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    void *place[COUNT] = {0};
    size_t at = 0;

    for (int i = 0; i < COUNT; i++) {
        if (s && sizes[i])
            place[i] = (char *)s->arena + at;
        at += aligned(sizes[i]);
    }
    if (s) {
        s->cache = place[0];
        s->scales = place[1];
        s->queries = place[2];
        s->x = place[3];
        s->h = place[4];
        s->qkv = s->ff = place[5];
        s->angles = place[6];
        s->rotated = place[7];
        s->scores = place[8];
        rbe_act_init(&s->act, place[9], act_count, widest(c));
        s->act_room = act_count;
        s->units = place[10];
    }
    return at;
}

size_t rbe_session_bytes(const struct rbe_model *m, struct rbe_session_limits l)
{
    if (!m)
        return 0;
    l = settle(&m->config, m->container, l);
    return sizeof(struct rbe_session) +
           layout(&m->config, act_vectors(m, l.max_batch), m->rotated, l, NULL);
}

size_t rbe_session_plain_bytes(const struct rbe_model_config *c, struct rbe_session_limits l)
{
    l = settle(c, false, l);
    return sizeof(struct rbe_session) +
           layout(c, rbe_dense_fast() ? 1 : l.max_batch, false, l, NULL);
}

/* --- opening ------------------------------------------------------------------------------ */

/* Every format of the weight, if there is one, must have a kernel here. */
static enum rbe_status pick_kernels(struct rbe_session *s, const struct rbe_weight *w,
                                    struct rbe_diag *d)
{
    const uint32_t isa = rbe_cpu_isa();

    for (size_t i = 0; w && i < w->part_count; i++) {
        const enum rbe_format f = w->parts[i].m.format;
        s->bits[f] = rbe_format_act_bits(f);
        s->no_sums[f] |= !w->parts[i].m.row_sum;
        s->gemv[f] = rbe_kernel_best_for(RBE_GEMV, f, isa, s->bits[f], !s->no_sums[f]);
        s->few[f] = rbe_kernel_best_for(RBE_FEW, f, isa, s->bits[f], !s->no_sums[f]);
        s->gemm[f] = rbe_kernel_best(RBE_GEMM, f, isa);
        s->floats |= !rbe_format_facts(f)->gmax;
        if (!s->gemv[f])
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: weight '%s': no kernel for the format %s",
                            s->m->path, w->name, rbe_format_name(f));
        /* Token by token through a fast kernel beats a batch through the scalar one. */
        if (s->gemm[f] && !s->gemm[f]->isa && s->gemv[f]->isa)
            s->gemm[f] = NULL;
        if (s->few[f] && (!s->few[f]->isa || s->few[f]->bits != s->gemv[f]->bits) &&
            s->gemv[f]->isa)
            s->few[f] = NULL;
    }
    return RBE_OK;
}

/* Heads that share keys are taken together, as far as one thread's share has them. */
static void cut_heads(struct rbe_session *s)
{
    const struct rbe_model_config *c = &s->m->config;
    const size_t heads = c->n_head, group = heads / c->n_kv;
    const size_t threads = rbe_pool_threads(s->pool);

    s->unit_count = 0;
    for (size_t h = 0; h < heads; h++) {
        /* The first share that begins here or later. */
        const size_t share = (h * threads + heads - 1) / heads;
        if (h % group == 0 || heads * share / threads == h)
            s->units[s->unit_count++] = (uint32_t)h;
    }
    s->units[s->unit_count] = (uint32_t)heads;
}

enum rbe_status rbe_session_open(struct rbe_session **out, struct rbe_model *m,
                                 struct rbe_session_limits l, struct rbe_pool *pool,
                                 struct rbe_diag *d)
{
    enum rbe_status err;

    if (out)
        *out = NULL;
    if (!out || !m)
        return rbe_fail_null(d);
    if ((unsigned)l.kv_cache > RBE_KV_INT8)
        return rbe_fail(d, RBE_ERR_ARG, "a KV cache of a kind that is not known: %d",
                        (int)l.kv_cache);
    l = settle(&m->config, m->container, l);
    struct rbe_session *s = calloc(1, sizeof *s);
    if (!s)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    s->m = m;
    s->pool = pool;
    s->limits = l;
    s->e = rbe_elementwise_best(rbe_cpu_isa());
    s->transform = rbe_transform_best(rbe_cpu_isa());
    s->attention = rbe_attention_best(rbe_cpu_isa());
    err = pick_kernels(s, m->whole.weight[RBE_ROLE_OUTPUT], d);
    for (uint32_t i = 0; i < m->config.n_layer; i++)
        for (int k = 0; !err && k < RBE_ROLE_COUNT; k++)
            err = pick_kernels(s, m->layers[i].weight[k], d);
    if (!err)
        err = rbe_dense_room("a session", layout(&m->config, l.max_batch, m->rotated, l, NULL),
                             d);
    const size_t act_count = act_vectors(m, l.max_batch);
    const size_t bytes = layout(&m->config, act_count, m->rotated, l, NULL);
    if (!err && !(s->arena = aligned_alloc(64, bytes)))
        err = rbe_fail(d, RBE_ERR_NOMEM, "a session needs %zu MB of memory, which are not to "
                       "be had", bytes / 1000000);
    if (!err) {
        layout(&m->config, act_count, m->rotated, l, s);
        cut_heads(s);
    } else {
        rbe_session_close(&s);
    }
    *out = s;
    return err;
}

void rbe_session_close(struct rbe_session **ps)
{
    if (!ps || !*ps)
        return;
    free((*ps)->arena);
    free(*ps);
    *ps = NULL;
}

void rbe_session_tap(struct rbe_session *s, rbe_session_tap_fn *fn, void *arg)
{
    s->tap = fn;
    s->tap_arg = arg;
}

const float *rbe_session_hidden(const struct rbe_session *s)
{
    return s->h;
}

enum rbe_kv_cache rbe_session_kv_cache(const struct rbe_session *s)
{
    return s->limits.kv_cache;
}

const char *rbe_kv_cache_name(enum rbe_kv_cache k)
{
    return rbe_kv_type_name((enum rbe_kv_type)(k - RBE_KV_F32));
}

enum rbe_status rbe_kv_cache_parse(enum rbe_kv_cache *out, const char *name, struct rbe_diag *d)
{
    *out = RBE_KV_DEFAULT;
    if (!name)
        return RBE_OK;
    for (int t = 0; t < RBE_KV_TYPES; t++)
        if (!strcmp(name, rbe_kv_type_name((enum rbe_kv_type)t))) {
            *out = (enum rbe_kv_cache)(RBE_KV_F32 + t);
            return RBE_OK;
        }
    return rbe_fail(d, RBE_ERR_ARG, "--kv-cache %s: f32, f16 or int8", name);
}

uint32_t rbe_session_length(const struct rbe_session *s)
{
    return s ? s->length : 0;
}

void rbe_session_truncate(struct rbe_session *s, uint32_t n)
{
    if (s && n < s->length)
        s->length = n;
}

uint32_t rbe_session_alike(const struct rbe_session *s)
{
    const struct rbe_session_limits *l = &s->limits;
    const uint32_t room = l->max_tokens - s->length;
    uint32_t n = l->max_logits < l->max_batch ? l->max_logits : l->max_batch;

    /* Floats are added in another order in batches, and so are blocks of queries over f32. */
    if (s->floats || l->kv_cache == RBE_KV_F32)
        return room < 1 ? 0 : 1;
    n = n < RBE_FEW_MAX ? n : RBE_FEW_MAX;
    return n < room ? n : room;
}

/* --- matrix products ---------------------------------------------------------------------- */

/* What happens to the outputs once they are there. */
enum after { NOTHING, ADD_BIAS, ADD_BIAS_GELU, ADD_BIAS_SWIGLU, CHECK_FINITE };

static enum after after_of(enum rbe_activation a)
{
    switch (a) {
    case RBE_GELU: return ADD_BIAS_GELU;
    case RBE_SWIGLU: return ADD_BIAS_SWIGLU;
    }
    return NOTHING;
}

/* y [count][ldy] = x [count][ldx] times w, plus bias. */
struct product {
    struct rbe_session *s;
    const struct rbe_weight *w;
    size_t first, parts;        /* of w, multiplied at once */
    size_t act[PARTS_AT_ONCE];  /* where their activations begin, in vectors */
    const float *x, *bias;
    float *y;
    size_t ldx, ldy, count;
    enum after after;
    bool gated;                 /* gates and values are made together, row by row */
    _Atomic bool odd;           /* set where an output is not finite */
    struct rbe_taken taken;
};

static void finish(struct product *p, size_t row0, size_t row1)
{
    const struct rbe_elementwise *e = p->s->e;

    if (p->after == NOTHING || row0 == row1)
        return;
    for (size_t t = 0; t < p->count; t++) {
        float *y = p->y + t * p->ldy + row0;
        switch (p->after) {
        case NOTHING: break;
        case ADD_BIAS:
        case ADD_BIAS_SWIGLU:   /* a gate needs its value: run_gates() */
            if (p->bias)
                e->bias_add(y, p->bias + row0, row1 - row0);
            break;
        case ADD_BIAS_GELU: e->bias_gelu(y, p->bias + row0, row1 - row0); break;
        case CHECK_FINITE:
            if (!e->all_finite(y, row1 - row0))
                p->odd = true;
            break;
        }
    }
}

/* Cut where a cache line of outputs ends, for any thread count. */
static void run_dense(void *arg, unsigned i, unsigned n)
{
    struct product *p = arg;
    size_t row0, row1;

    for (size_t k = 0; k < p->w->part_count; k++) {
        const struct rbe_part *part = &p->w->parts[k];
        rbe_split(part->m.rows, 16, i, n, &row0, &row1);
        rbe_sgemm(false, true, p->count, row1 - row0, p->w->cols, 1, p->x, p->ldx,
                  (const float *)part->m.codes + row0 * p->w->cols, p->w->cols, 0,
                  p->y + part->row0 + row0, p->ldy);
        finish(p, part->row0 + row0, part->row0 + row1);
    }
}

/* `count` of the activations from vector t on. */
static struct rbe_act act_at(const struct rbe_session *s, size_t t, size_t count, size_t cols)
{
    struct rbe_act a = s->act;

    a.count = count;
    a.cols = cols;
    a.x += t * a.stride;
    a.q += t * a.stride;
    a.pair += t * a.stride;
    a.scale += t;
    return a;
}

/* Whether both get the same activations from the same inputs. */
static bool prepared_alike(const struct rbe_session *s, const struct rbe_matrix *a,
                           const struct rbe_matrix *b)
{
    const struct rbe_format_facts *f = rbe_format_facts(a->format);
    const struct rbe_format_facts *g = rbe_format_facts(b->format);

    return a->col_scale == b->col_scale && s->bits[a->format] == s->bits[b->format] &&
           f->gmax == g->gmax && f->group == g->group;
}

static void run_prepare(void *arg, unsigned i, unsigned n)
{
    struct product *p = arg;
    const struct rbe_part *part = p->w->parts + p->first;
    size_t t0, t1;

    rbe_split(p->count, 1, i, n, &t0, &t1);
    for (size_t k = 0; k < p->parts && t0 < t1; k++) {
        struct rbe_act a = act_at(p->s, p->act[k] + t0, t1 - t0, p->w->cols);
        size_t same = 0;
        while (same < k && p->act[same] != p->act[k])
            same++;
        if (same < k)
            continue;
        a.bits = p->s->bits[part[k].m.format];
        rbe_act_prepare(&a, &part[k].m, p->x + t0 * p->ldx, p->ldx, t1 - t0);
    }
}

/* As many parts as there is room for the activations of, from p->first on. */
static void choose_parts(struct product *p)
{
    const struct rbe_session *s = p->s;
    const struct rbe_part *part = p->w->parts + p->first;
    const size_t left = p->w->part_count - p->first;
    size_t used = 0;

    for (p->parts = 0; p->parts < left && p->parts < PARTS_AT_ONCE; p->parts++) {
        size_t k = 0;
        while (k < p->parts && !prepared_alike(s, &part[k].m, &part[p->parts].m))
            k++;
        if (k == p->parts && (used + 1) * p->count > s->act_room)
            break;
        p->act[p->parts] = k < p->parts ? p->act[k] : used++ * p->count;
    }
}

/* Rows that a product may be cut at: whole strips, or whole cache lines of outputs. */
static size_t row_unit(const struct rbe_matrix *m)
{
    const size_t step = rbe_row_step(m);

    return step == 1 ? 16 : step;
}

static size_t units_of(const struct rbe_matrix *m)
{
    return (m->rows + row_unit(m) - 1) / row_unit(m);
}

static void multiply_rows(struct product *p, size_t k, size_t row0, size_t row1)
{
    const struct rbe_part *part = &p->w->parts[p->first + k];
    const struct rbe_matrix *m = &part->m;
    const struct rbe_kernel *gemv = p->s->gemv[m->format], *few = p->s->few[m->format];
    const struct rbe_kernel *gemm = p->count <= RBE_FEW_MAX && few ? few
                                                                   : p->s->gemm[m->format];
    float *y = p->y + part->row0;

    if (p->count > 1 && gemm) {
        const struct rbe_act a = act_at(p->s, p->act[k], p->count, m->cols);
        gemm->run(m, &a, y, p->ldy, row0, row1);
    } else
        for (size_t t = 0; t < p->count; t++) {
            const struct rbe_act one = act_at(p->s, p->act[k] + t, 1, m->cols);
            gemv->run(m, &one, y + t * p->ldy, p->ldy, row0, row1);
        }
    finish(p, part->row0 + row0, part->row0 + row1);
}

/* Units first .. end - 1 of those of all the parts. */
static void multiply_units(struct product *p, size_t first, size_t end)
{
    for (size_t k = 0, at = 0; k < p->parts && at < end; k++) {
        const struct rbe_matrix *m = &p->w->parts[p->first + k].m;
        const size_t unit = row_unit(m), count = units_of(m);
        const size_t from = first > at ? first - at : 0;
        const size_t to = end - at < count ? end - at : count;
        if (from < to)
            multiply_rows(p, k, from * unit, to * unit < m->rows ? to * unit : m->rows);
        at += count;
    }
}

/* Rows of the first half, which are gates, become what they let through of their values. */
static void gate(const struct product *p, size_t t, size_t row0, size_t row1)
{
    const size_t half = p->w->rows / 2;
    float *y = p->y + t * p->ldy;

    p->s->e->swiglu(y + row0, y + half + row0, row1 - row0);
}

static void run_gates(void *arg, unsigned i, unsigned n)
{
    const struct product *p = arg;
    size_t t0, t1;

    rbe_split(p->count, 1, i, n, &t0, &t1);
    for (size_t t = t0; t < t1; t++)
        gate(p, t, 0, p->w->rows / 2);
}

/* Whether one part has the gates and one the values, cut alike. */
static bool gates_pair(const struct product *p)
{
    const struct rbe_matrix *a = &p->w->parts[0].m, *b = &p->w->parts[1].m;

    return p->after == ADD_BIAS_SWIGLU && p->w->part_count == 2 && p->parts == 2 &&
           a->rows == b->rows && row_unit(a) == row_unit(b);
}

static void multiply_gated(struct product *p, size_t first, size_t end)
{
    const struct rbe_matrix *m = &p->w->parts[0].m;
    const size_t unit = row_unit(m), row0 = first * unit;
    const size_t row1 = end * unit < m->rows ? end * unit : m->rows;

    multiply_rows(p, 0, row0, row1);
    multiply_rows(p, 1, row0, row1);
    for (size_t t = 0; t < p->count; t++)
        gate(p, t, row0, row1);
}

static void run_kernel(void *arg, unsigned i, unsigned n)
{
    struct product *p = arg;
    size_t total = 0, first, end;

    for (size_t k = 0; k < (p->gated ? 1 : p->parts); k++)
        total += units_of(&p->w->parts[p->first + k].m);
    while (rbe_take(&p->taken, total, i, n, &first, &end))
        if (p->gated)
            multiply_gated(p, first, end);
        else
            multiply_units(p, first, end);
}

static void run_rotate(void *arg, unsigned i, unsigned n)
{
    const struct product *p = arg;
    const size_t cols = p->w->cols;
    float *to = p->s->rotated;
    size_t t0, t1;

    rbe_split(p->count, 1, i, n, &t0, &t1);
    for (size_t t = t0; t < t1; t++)
        p->s->transform->rotate(to + t * cols, p->x + t * p->ldx, cols, p->w->hadamard,
                                p->w->sign_seed);
}

/* For few tokens the caller's thread is done before others wake. */
static void run_tokens(struct rbe_session *s, size_t count, rbe_pool_fn *fn, void *arg)
{
    rbe_pool_run(count > FEW_TOKENS ? s->pool : NULL, fn, arg);
}

/* False where CHECK_FINITE was asked for and an output is not. */
static bool multiply(struct rbe_session *s, const struct rbe_weight *w, const float *x,
                     size_t ldx, size_t count, float *y, size_t ldy, const float *bias,
                     enum after after)
{
    struct product p = {.s = s, .w = w, .x = x, .ldx = ldx, .count = count, .y = y,
                        .ldy = ldy, .bias = bias, .after = after};

    if (bias == s->m->arena && after != ADD_BIAS_GELU)  /* zeros: there is none */
        p.bias = NULL;
    if (s->tap)
        s->tap(s->tap_arg, w->name, x, ldx, count, w->cols);
    if (w->hadamard) {
        run_tokens(s, count, run_rotate, &p);
        p.x = s->rotated;
        p.ldx = w->cols;
    }
    if (count > 1 && all_f32(w) && rbe_dense_fast()) {
        rbe_pool_run(s->pool, run_dense, &p);
        p.first = w->part_count;
    }
    for (; p.first < w->part_count; p.first += p.parts) {
        choose_parts(&p);
        p.gated = gates_pair(&p);
        run_tokens(s, count, run_prepare, &p);
        p.taken = (struct rbe_taken){0};
        rbe_pool_share(s->pool, run_kernel, &p);
    }
    if (after == ADD_BIAS_SWIGLU && !p.gated)
        run_tokens(s, count, run_gates, &p);
    return !p.odd;
}

/* --- the layers --------------------------------------------------------------------------- */

/* A batch going through: tokens at positions first, first + 1, ... */
struct batch {
    struct rbe_session *s;
    const uint32_t *tokens;
    uint32_t first, count, layer;
    const float *gain, *bias;   /* of the norm to apply */
    const float *add_bias;      /* of the product in h to add to x first, or NULL */
    struct rbe_taken taken;
};

static void run_embed(void *arg, unsigned i, unsigned n)
{
    const struct batch *b = arg;
    const struct rbe_model *m = b->s->m;
    const struct rbe_weight *tokens = m->whole.weight[RBE_ROLE_TOKENS];
    const float *positions = m->whole.values[RBE_ROLE_POSITIONS];
    const float *mean = m->whole.values[RBE_ROLE_EMBED_MEAN];
    const struct rbe_arch *arch = rbe_arch_at(m->config.arch);
    const size_t e = m->config.n_embd;
    size_t t0, t1;

    rbe_split(b->count, 1, i, n, &t0, &t1);
    for (size_t t = t0; t < t1; t++) {
        const struct rbe_part *part = tokens->parts;
        float *x = b->s->x + t * e;
        while (b->tokens[t] >= part->row0 + part->m.rows)
            part++;
        rbe_decode_row(&part->m, b->tokens[t] - part->row0, x);
        if (tokens->hadamard)
            rbe_unrotate(x, e, 1, e, tokens->hadamard, tokens->sign_seed);
        if (rbe_config_has(&m->config, RBE_OPTION_EMBED_MEAN))
            b->s->e->bias_add(x, mean, e);
        switch (arch->positions) {
        case RBE_LEARNED:
            b->s->e->bias_add(x, positions + (b->first + t) * e, e);
            break;
        case RBE_ROTARY:        /* in attention */
            break;
        }
    }
}

/* x += h + bias, if asked; h = norm(x). */
static void run_norm(void *arg, unsigned i, unsigned n)
{
    const struct batch *b = arg;
    struct rbe_session *s = b->s;
    const struct rbe_arch *arch = rbe_arch_at(s->m->config.arch);
    const size_t e = s->m->config.n_embd;
    size_t t0, t1;

    rbe_split(b->count, 1, i, n, &t0, &t1);
    for (size_t t = t0; t < t1; t++) {
        float *x = s->x + t * e, *h = s->h + t * e;
        if (b->add_bias)
            s->e->residual_add(x, h, b->add_bias, e);
        switch (arch->norm) {
        case RBE_LAYER_NORM:
            s->e->layer_norm(h, x, b->gain, b->bias, e, s->m->config.ln_eps);
            break;
        case RBE_RMS_NORM:
            s->e->rms_norm(h, x, b->gain, e, s->m->config.ln_eps);
            break;
        }
    }
}

/* By the norm in this role of t, and its bias. */
static void norm(struct batch *b, const float *add_bias, const struct rbe_tensors *t,
                 enum rbe_role gain, enum rbe_role bias)
{
    b->add_bias = add_bias;
    b->gain = t->values[gain];
    b->bias = t->values[bias];
    run_tokens(b->s, b->count, run_norm, b);
}

/* Keys and values of a head in a layer. */
static struct rbe_kv kv_of(const struct rbe_session *s, size_t layer, size_t head)
{
    const struct rbe_model_config *c = &s->m->config;
    const size_t bytes = head_bytes(c, s->limits), scales = scale_bytes(s->limits);
    const size_t i = 2 * (layer * c->n_kv + head);
    const bool has = s->scales != NULL;

    return (struct rbe_kv){
        .keys = s->cache + i * bytes, .values = s->cache + (i + 1) * bytes,
        .next = s->cache + (i + 2) * bytes,     /* the next head's; at last what follows */
        .key_scales = has ? (uint16_t *)(s->scales + i * scales) : NULL,
        .value_scales = has ? (uint16_t *)(s->scales + (i + 1) * scales) : NULL,
        .dim = c->head};
}

/* `count` queries from x on, ldx apart: of heads that share kv, from `first` on, of a token
 * that sees `seen` positions; or of one head, of that token and later ones. */
static void attend_few(const struct batch *b, const struct rbe_kv *kv, size_t first, float *x,
                       size_t ldx, size_t count, size_t seen, bool later, float scale)
{
    const struct rbe_session *s = b->s;
    const enum rbe_kv_type type = type_of(s->limits);
    const struct rbe_attention_of *f = &s->attention->of[type];
    const size_t max = positions(s->limits);
    char *room = s->queries ? s->queries + first * query_bytes(&s->m->config, s->limits) : NULL;
    float *scores = s->scores + first * query_rows(s->limits) * max;
    struct rbe_kv_queries q;

    rbe_kv_ask(&q, type, room, x, ldx, count, kv->dim, scale);
    /* What a query must not see is scored and then left alone. */
    f->scores(scores, max, &q, kv, seen + (later ? count - 1 : 0));
    for (size_t i = 0; i < count; i++)
        s->e->softmax(scores + i * max, seen + (later ? i : 0));
    f->mix(x, ldx, scores, max, count, kv, seen, later);
}

/* Queries of heads first .. end - 1, which share kv, over the keys up to their token's. */
static void attend_singly(const struct batch *b, const struct rbe_kv *kv, size_t first,
                          size_t end, float scale)
{
    const size_t ld = rbe_config_qkv(&b->s->m->config), most = query_rows(b->s->limits);

    if (b->count == 1) {
        attend_few(b, kv, first, b->s->qkv + first * kv->dim, kv->dim, end - first,
                   b->first + 1, false, scale);
        return;
    }
    for (size_t head = first; head < end; head++)
        for (size_t t = 0; t < b->count; t += most)
            attend_few(b, kv, head, b->s->qkv + t * ld + head * kv->dim, ld,
                       b->count - t < most ? b->count - t : most, b->first + t + 1, true,
                       scale);
}

/* A block of queries at a time; what a query must not see is computed and then zeroed. */
static void attend_blocks(const struct batch *b, const struct rbe_kv *kv, size_t head,
                          float scale)
{
    const struct rbe_session *s = b->s;
    const size_t ld = rbe_config_qkv(&s->m->config), block = query_rows(s->limits);
    const size_t dim = kv->dim;
    float *q = s->qkv + head * dim, *scores = s->scores + head * block * positions(s->limits);

    for (size_t t0 = 0; t0 < b->count; t0 += block) {
        const size_t rows = b->count - t0 < block ? b->count - t0 : block;
        const size_t keys = b->first + t0 + rows;
        rbe_sgemm(false, true, rows, keys, dim, scale, q + t0 * ld, ld, kv->keys, dim, 0,
                  scores, keys);
        for (size_t r = 0; r < rows; r++) {
            const size_t seen = b->first + t0 + r + 1;
            s->e->softmax(scores + r * keys, seen);
            memset(scores + r * keys + seen, 0, (keys - seen) * sizeof *scores);
        }
        rbe_sgemm(false, false, rows, dim, keys, 1, scores, keys, kv->values, dim, 0,
                  q + t0 * ld, ld);
    }
}

/* Heads first .. end - 1 of queries, or of keys behind them, turned by their positions. */
static void turn(const struct batch *b, size_t t0, size_t t1, size_t first, size_t end)
{
    const struct rbe_session *s = b->s;
    const size_t dim = s->m->config.head, half = dim / 2, ld = rbe_config_qkv(&s->m->config);

    for (size_t t = t0; t < t1 && s->angles; t++) {
        const float *angle = s->angles + (b->first + t) * dim;
        for (size_t h = first; h < end; h++) {
            float *head = s->qkv + t * ld + h * dim;
            s->e->rotate(head, head, angle, angle + half, half);
        }
    }
}

/* Puts heads first .. end - 1 of keys and values into the cache, keys turned. */
static void place(const struct batch *b, size_t t0, size_t t1, size_t first, size_t end)
{
    const struct rbe_session *s = b->s;
    const struct rbe_model_config *c = &s->m->config;
    const size_t dim = c->head, ld = rbe_config_qkv(c), keys = rbe_config_keys(c);
    const struct rbe_attention_of *f = &s->attention->of[type_of(s->limits)];

    turn(b, t0, t1, c->n_head + first, c->n_head + end);
    for (size_t h = first; h < end; h++) {
        const struct rbe_kv kv = kv_of(s, b->layer, h);
        const float *from = s->qkv + rbe_config_queries(c) + h * dim;
        for (size_t t = t0; t < t1; t++)
            f->place(&kv, b->first + t, from + t * ld, from + t * ld + keys);
    }
}

/* Many tokens, before attention. */
static void run_place(void *arg, unsigned i, unsigned n)
{
    const struct batch *b = arg;
    const struct rbe_model_config *c = &b->s->m->config;
    const size_t before = b->first % RBE_KV_STEP;
    size_t t0, t1;

    /* Cut where the cache is, not where the batch begins. */
    rbe_split(before + b->count, RBE_KV_STEP, i, n, &t0, &t1);
    t0 = t0 > before ? t0 - before : 0;
    t1 = t1 > before ? t1 - before : 0;
    turn(b, t0, t1, 0, c->n_head);
    place(b, t0, t1, 0, c->n_kv);
}

/* Whether a unit has all heads that look at its keys: then it places them as well. */
static bool has_group(const struct rbe_session *s, size_t unit)
{
    return s->units[unit + 1] - s->units[unit] == s->m->config.n_head / s->m->config.n_kv;
}

/* Of few tokens, the keys that several units look at, before attention. */
static void place_shared(const struct batch *b)
{
    const struct rbe_session *s = b->s;
    const size_t group = s->m->config.n_head / s->m->config.n_kv;

    for (size_t u = 0; u < s->unit_count; u++)
        if (!has_group(s, u) && s->units[u] % group == 0)
            place(b, 0, b->count, s->units[u] / group, s->units[u] / group + 1);
}

static void attend(const struct batch *b, size_t unit)
{
    struct rbe_session *s = b->s;
    const struct rbe_model_config *c = &s->m->config;
    const size_t first = s->units[unit], end = s->units[unit + 1];
    const size_t keys = first / (c->n_head / c->n_kv);
    const float scale = (float)(1 / sqrt((double)c->head));
    const struct rbe_kv kv = kv_of(s, b->layer, keys);

    if (b->count <= FEW_TOKENS) {
        if (has_group(s, unit))
            place(b, 0, b->count, keys, keys + 1);
        turn(b, 0, b->count, first, end);
    }
    if (b->count < MIN_BLOCK || !dense_attention(s->limits))
        attend_singly(b, &kv, first, end, scale);
    else
        for (size_t head = first; head < end; head++)
            attend_blocks(b, &kv, head, scale);
}

static void run_attention(void *arg, unsigned i, unsigned n)
{
    struct batch *b = arg;
    size_t first, end;

    while (rbe_take(&b->taken, b->s->unit_count, i, n, &first, &end))
        while (first < end)
            attend(b, first++);
}

/* The first use of weights: their checksums. */
struct check {
    const struct rbe_container *c;
    const struct rbe_weight *const *w;  /* [count], NULL for none */
    size_t count;
    _Atomic bool damaged;
};

static void run_check(void *arg, unsigned i, unsigned n)
{
    struct check *k = arg;
    unsigned turn = 0;

    for (size_t w = 0; w < k->count; w++)
        if (k->w[w] && turn++ % n == i && rbe_container_check(k->c, k->w[w], NULL))
            k->damaged = true;
}

static enum rbe_status check_weights(const struct rbe_session *s,
                                     const struct rbe_weight *const *w, size_t count,
                                     struct rbe_diag *d)
{
    struct check k = {.c = s->m->container, .w = w, .count = count};
    enum rbe_status err = RBE_OK;

    if (s->m->verified)
        return RBE_OK;
    rbe_pool_run(s->pool, run_check, &k);
    /* Once more for which it is. */
    for (size_t i = 0; k.damaged && i < count && !err; i++)
        err = w[i] ? rbe_container_check(k.c, w[i], d) : RBE_OK;
    return err;
}

/* Has the angles of positions below `end` ready. */
static void turn_to(struct rbe_session *s, uint32_t end)
{
    const struct rbe_model *m = s->m;
    const bool own = rbe_config_has(&m->config, RBE_OPTION_ROPE_FACTORS);

    if (!s->angles || end <= s->turned)
        return;
    rbe_rope_table(s->angles + (size_t)s->turned * m->config.head, &m->config,
                   own ? m->whole.values[RBE_ROLE_ROPE_FACTORS] : NULL, s->turned,
                   end - s->turned);
    s->turned = end;
}

/*
 * Reading a cache of 19 MB from pages of 4 kB takes 1.6 to 1.8 times as long as from huge ones
 * (docs/log/KERNELS.md).  But heads lie one after another, so that a short conversation has a
 * bit of every huge page: pages are joined once most of the cache is in use, and then it takes
 * what a full one does.  One huge page a batch, about half a millisecond of copying; where the
 * kernel cannot, nothing happens.
 */
static void join_pages(struct rbe_session *s)
{
#ifdef __linux__
    enum { HUGE_PAGE = 1 << 21, JOIN = 25 };    /* MADV_COLLAPSE of Linux 6.1 */
    const size_t all = cache_bytes(&s->m->config, s->limits);
    char *const from = s->cache + s->joined;
    const size_t skip = -(uintptr_t)from % HUGE_PAGE, end = s->joined + skip + HUGE_PAGE;

    if (s->length < s->limits.max_tokens / 4 * 3 || end > all)
        return;
    madvise(from + skip, HUGE_PAGE, JOIN);
    s->joined = end;
#else
    (void)s;
#endif
}

/* On failure nothing is appended. */
static enum rbe_status forward_batch(struct rbe_session *s, const uint32_t *tokens,
                                     uint32_t count, struct rbe_diag *d)
{
    const struct rbe_model *m = s->m;
    const size_t e = m->config.n_embd, qkv = rbe_config_qkv(&m->config);
    const size_t up = rbe_config_up(&m->config);
    struct batch b = {.s = s, .tokens = tokens, .first = s->length, .count = count};
    const struct rbe_arch *arch = rbe_arch_at(m->config.arch);
    const enum after after = after_of(arch->activation);
    const float *add = NULL;
    enum { STORED = RBE_ROLE_COUNT * RBE_RANGES_MAX };
    enum rbe_status err = check_weights(s, m->whole.stored[0], STORED, d);

    if (err)
        return err;
    turn_to(s, b.first + count);
    if (!s->from)
        run_tokens(s, count, run_embed, &b);
    for (b.layer = s->from; b.layer < m->config.n_layer; b.layer++) {
        const struct rbe_tensors *l = &m->layers[b.layer];
        float *trace = s->trace ? s->trace + b.layer * count * e : NULL;
        if (s->stop_early && rbe_interrupt_is_old())
            return rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
        if ((err = check_weights(s, l->stored[0], STORED, d)))
            return err;
        if (trace && s->from && b.layer == s->from)
            memcpy(s->x, trace, count * e * sizeof *trace);
        norm(&b, add, l, RBE_ROLE_ATTN_NORM, RBE_ROLE_ATTN_NORM_BIAS);
        if (trace && !s->from)
            memcpy(trace, s->x, count * e * sizeof *trace);
        multiply(s, l->weight[RBE_ROLE_QKV], s->h, e, count, s->qkv, qkv,
                 l->values[RBE_ROLE_QKV_BIAS], ADD_BIAS);
        if (count > FEW_TOKENS)
            rbe_pool_run(s->pool, run_place, &b);
        else
            place_shared(&b);
        b.taken = (struct rbe_taken){0};
        rbe_pool_share(s->pool, run_attention, &b);
        multiply(s, l->weight[RBE_ROLE_ATTN_OUT], s->qkv, qkv, count, s->h, e, NULL, NOTHING);
        norm(&b, l->values[RBE_ROLE_ATTN_OUT_BIAS], l, RBE_ROLE_FFN_NORM,
             RBE_ROLE_FFN_NORM_BIAS);
        multiply(s, l->weight[RBE_ROLE_FFN_UP], s->h, e, count, s->ff, up,
                 l->values[RBE_ROLE_FFN_UP_BIAS], after);
        multiply(s, l->weight[RBE_ROLE_FFN_DOWN], s->ff, up, count, s->h, e, NULL, NOTHING);
        add = l->values[RBE_ROLE_FFN_DOWN_BIAS];
    }
    norm(&b, add, &m->whole, RBE_ROLE_LAST_NORM, RBE_ROLE_LAST_NORM_BIAS);
    s->m->verified = true;
    s->length += count;
    s->kept = count;
    join_pages(s);
    return RBE_OK;
}

void rbe_session_trace(struct rbe_session *s, float *trace, uint32_t from)
{
    s->trace = trace;
    s->from = trace ? from : 0;
}

void rbe_session_stop_early(struct rbe_session *s, bool stop)
{
    s->stop_early = stop;
}

enum rbe_status rbe_forward(struct rbe_session *s, const uint32_t *tokens, size_t n,
                            struct rbe_diag *d)
{
    if (!s || (n && !tokens))
        return rbe_fail_null(d);
    const uint32_t vocab = s->m->config.vocab;
    if (n > s->limits.max_tokens - s->length)
        return rbe_fail(d, RBE_ERR_ARG, "%zu tokens after %u: the session holds %u", n,
                        s->length, s->limits.max_tokens);
    for (size_t i = 0; i < n; i++)
        if (tokens[i] >= vocab)
            return rbe_fail(d, RBE_ERR_ARG, "token %u at %zu: the vocabulary has %u", tokens[i],
                            i, vocab);
    while (n) {
        const uint32_t batch = n < s->limits.max_batch ? (uint32_t)n : s->limits.max_batch;
        const enum rbe_status err = forward_batch(s, tokens, batch, d);
        if (err)
            return err;
        tokens += batch;
        n -= batch;
    }
    return RBE_OK;
}

enum rbe_status rbe_logits(struct rbe_session *s, size_t first, size_t count, float *logits,
                           struct rbe_diag *d)
{
    if (!s || (count && !logits))
        return rbe_fail_null(d);
    const size_t e = s->m->config.n_embd;
    if (first == RBE_LAST && count == 1 && s->kept)
        first = s->kept - 1;
    if (first >= s->kept || !count || count > s->kept - first || count > s->limits.max_logits)
        return rbe_fail(d, RBE_ERR_ARG, "logits of %zu positions from %zu: %u are kept, %u fit",
                        count, first, s->kept, s->limits.max_logits);
    if (s->stop_early && rbe_interrupt_is_old())
        return rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
    const size_t vocab = s->m->config.vocab;
    /* Finite weights can overflow on the way; a token chosen from NaN would mean nothing. */
    if (!multiply(s, s->m->whole.weight[RBE_ROLE_OUTPUT], s->h + first * e, e, count, logits,
                  vocab, NULL, CHECK_FINITE))
        return rbe_fail(d, RBE_ERR_NUMERIC, "%s: logits are not finite", s->m->path);
    return RBE_OK;
}
