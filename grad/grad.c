/*
 * grad.c - parameters, memory, the output layer and the steps of a rbe_grad.
 *
 * SPDX-License-Identifier: MIT
 */
#include "grad/grad.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/progress.h"
#include "grad/state.h"
#include "grad/top.h"
#include "kernels/cpu.h"
#include "model/dense.h"

/* Logits held at a time: about 8 MB, but not so few rows that to read the output layer takes
 * longer than to multiply by it (64 of 49152: almost twice the time of 256; half as many will
 * do where it is packed).  A tap's gradients stand beside them, and what a calibration may take
 * is bounded: half as many. */
enum { HEAD_FLOATS = 1 << 21, HEAD_ROWS_MIN = 256, HEAD_ROWS_BF16 = 128, HEAD_ROWS_TAP = 128,
       HEAD_ROWS_MAX = 1024 };

enum { HUGE = 1 << 21 };        /* bytes of a large page */

/* --- slices ------------------------------------------------------------------------------- */

/* Whether products take a tensor, as a weight or a range of one; of a model whose output layer
 * is the token embedding, or is one of its own (untied). */
static bool is_taken(const struct rbe_source_tensor *t, bool untied)
{
    return t->matrix && (t->layer >= 0 || t->role == RBE_ROLE_OUTPUT ||
                         (t->role == RBE_ROLE_TOKENS && !untied));
}

static bool is_untied(const struct rbe_model_config *c)
{
    bool untied = false;

    for (size_t i = 0; i < rbe_source_count(c); i++)
        untied |= rbe_source_tensor(c, i).role == RBE_ROLE_OUTPUT;
    return untied;
}

static bool is_rounded_only(struct rbe_grad_limits l)
{
    return l.bf16 && l.tap_only;
}

/* Lists the slices into s (NULL: only counts); returns the floats of all. */
static size_t list_slices(const struct rbe_model_config *c, struct rbe_grad_limits l,
                          struct rbe_grad_slice *s)
{
    const size_t n = rbe_source_count(c);
    const bool untied = is_untied(c);
    size_t at = 0, first = 0;

    for (size_t i = 0; i < n; i++) {
        const struct rbe_source_tensor t = rbe_source_tensor(c, i);
        const size_t count = (size_t)t.rows * t.cols;
        const bool stored = !is_rounded_only(l) || !is_taken(&t, untied);
        if (!t.row0) {
            at = rbe_grad_padded(at);
            first = i;
        }
        if (s) {
            s[i] = (struct rbe_grad_slice){.role = t.role, .layer = t.layer,
                                           .matrix = t.matrix, .rows = t.rows, .cols = t.cols,
                                           .row0 = t.row0,
                                           .at = stored ? at : RBE_NOT_STORED, .count = count};
            snprintf(s[i].name, sizeof s[i].name, "%s", t.name);
            for (size_t k = first; k <= i; k++)
                s[k].weight_rows = t.row0 + t.rows;
        }
        at += stored ? count : 0;
    }
    return rbe_grad_padded(at);
}

/* The slices by role, of several the first. */
static void list_roles(struct rbe_grad *t)
{
    for (size_t i = 0; i < t->slice_count; i++) {
        const struct rbe_grad_slice *s = &t->slices[i];
        if (!s->row0)
            t->roles[(size_t)(1 + s->layer) * RBE_ROLE_COUNT + s->role] = s;
    }
}

/* Where each weight that products take starts among the packed ones, and their numbers in all.
 * at may be NULL. */
static size_t list_packed(const struct rbe_model_config *c, size_t *at)
{
    const size_t n = rbe_source_count(c);
    const bool untied = is_untied(c);
    size_t sum = 0, rows = 0;

    for (size_t i = 0; i < n; i++) {
        const struct rbe_source_tensor t = rbe_source_tensor(c, i);
        const bool taken = is_taken(&t, untied);
        if (at)
            at[i] = taken && !t.row0 ? sum : RBE_NOT_PACKED;
        if (!taken)
            continue;
        rows = t.row0 + t.rows;
        /* Of several ranges the last one knows the rows of all. */
        if (i + 1 == n || !rbe_source_tensor(c, i + 1).row0)
            sum += rbe_bf16_packed(t.cols, rows);
    }
    return sum;
}

/* Floats of the zeros that stand for vectors which the architecture has not. */
static size_t zeros_of(const struct rbe_model_config *c)
{
    const size_t e = c->n_embd, qkv = rbe_config_qkv(c), up = rbe_config_up(c);
    const size_t n = rbe_source_count(c), wide = qkv > up ? qkv : up;
    unsigned roles = 0;

    for (size_t i = 0; i < n; i++)
        roles |= 1U << rbe_source_tensor(c, i).role;
    return roles + 1 == 1U << RBE_ROLE_COUNT ? 0 : wide > e ? wide : e;
}

/* --- memory ------------------------------------------------------------------------------- */

/* The arena as it is cut up: with `arena` NULL only counted. */
struct cut {
    float *arena;
    size_t at;
    bool overflow;
};

/* The next a * b floats. */
static float *take(struct cut *c, size_t a, size_t b)
{
    size_t n, end;

    if (__builtin_mul_overflow(a, b, &n) || n > SIZE_MAX / 8 ||
        __builtin_add_overflow(c->at, rbe_grad_padded(n), &end)) {
        c->overflow = true;
        return NULL;
    }
    float *p = c->arena ? c->arena + c->at : NULL;
    c->at = end;
    return p;
}

static void take_kept(struct cut *c, const struct rbe_model_config *g, size_t tokens,
                      struct rbe_grad_kept *k)
{
    k->qkv = take(c, tokens, rbe_config_qkv(g));
    k->att = take(c, tokens, rbe_config_queries(g));
    k->mid = take(c, tokens, g->n_embd);
    k->ff = take(c, tokens, rbe_config_up(g));
}

static void take_worker(struct cut *c, const struct rbe_model_config *g,
                        struct rbe_grad_limits l, struct rbe_grad_worker *w)
{
    const size_t asked = l.time < RBE_GRAD_QUERIES ? l.time : RBE_GRAD_QUERIES;

    w->h = take(c, RBE_GRAD_CHUNK, g->n_embd);
    w->act = take(c, RBE_GRAD_CHUNK, g->n_inner);
    w->p = take(c, asked, rbe_grad_padded(l.time));
    w->dp = w->vectors = w->part = w->pair = NULL;
    if (!l.forward_only) {
        const size_t e = g->n_embd, f = g->n_inner, queries = rbe_config_queries(g);
        const size_t in = e > f ? e : f, wide = in > queries ? in : queries;
        const size_t qkv = rbe_config_qkv(g), up = rbe_config_up(g);
        const size_t out = qkv > up ? qkv : up, row = wide > out ? wide : out;
        w->part = take(c, RBE_GRAD_CHUNK, wide);
        w->pair = take(c, 2, row > g->vocab ? row : g->vocab);
        w->dp = take(c, asked, rbe_grad_padded(l.time));
        w->vectors = take(c, 1, rbe_grad_vector_at(g, RBE_ROLE_COUNT));
    }
}

/* Positions whose logits are held at a time. */
static size_t head_rows(const struct rbe_model_config *c, struct rbe_grad_limits l,
                        size_t tokens)
{
    const size_t least = l.tap_only ? HEAD_ROWS_TAP : l.bf16 ? HEAD_ROWS_BF16 : HEAD_ROWS_MIN;
    size_t rows = HEAD_FLOATS / c->vocab / 16 * 16;

    rows = rows < least ? least : rows > HEAD_ROWS_MAX ? HEAD_ROWS_MAX : rows;
    return rows < tokens ? rows : tokens;
}

/* Lays everything out; t's arrays kept and workers exist, or t is a throw-away to count. */
static size_t layout(struct rbe_grad *t, const struct rbe_model_config *c,
                     struct rbe_grad_limits l, unsigned threads, float *arena)
{
    const size_t tokens = (size_t)l.batch * l.time, e = c->n_embd;
    const size_t queries = rbe_config_queries(c), wide = e > queries ? e : queries;
    const struct rbe_arch *arch = rbe_arch_at(c->arch);
    const bool all = !l.forward_only && !l.recompute;
    struct cut cut = {.arena = arena};
    struct rbe_grad_kept kept = {0};
    struct rbe_grad_worker worker;

    t->floats = list_slices(c, l, NULL);
    t->params = take(&cut, 1, t->floats);
    t->zeros = take(&cut, 1, zeros_of(c));
    t->grads = l.forward_only || l.tap_only ? NULL : take(&cut, 1, t->floats);
    t->front = t->rear = NULL;
    if (l.bf16) {
        const size_t halves = list_packed(c, NULL) / 2;
        t->front = (uint16_t *)(void *)take(&cut, 1, halves);
        t->rear = l.forward_only ? NULL : (uint16_t *)(void *)take(&cut, 1, halves);
    }
    if (arch->positions == RBE_ROTARY) {
        t->angles = take(&cut, l.time, c->head);
        t->back = l.forward_only ? NULL : take(&cut, l.time, c->head / 2);
    }
    t->x_stride = l.forward_only ? 0 : rbe_grad_padded(tokens * e);
    t->x = take(&cut, l.forward_only ? 1 : (size_t)c->n_layer + 1,
                rbe_grad_padded(tokens * e));
    t->hidden = take(&cut, tokens, e);
    t->head_rows = head_rows(c, l, tokens);
    t->logits = take(&cut, t->head_rows, c->vocab);
    t->other_logits = take(&cut, t->head_rows, c->vocab);
    for (uint32_t i = 0; i < c->n_layer; i++) {
        if (!i || all)
            take_kept(&cut, c, tokens, &kept);
        if (arena)
            t->kept[i] = kept;
    }
    if (!l.forward_only) {
        t->dx = take(&cut, tokens, wide);
        t->dmid = take(&cut, tokens, e);
        t->datt = take(&cut, tokens, wide);
        t->dff = take(&cut, tokens, rbe_config_up(c));
        t->acts = arch->activation == RBE_SWIGLU ? take(&cut, tokens, c->n_inner) : NULL;
        t->dqkv = take(&cut, tokens, rbe_config_qkv(c));
        t->h1 = take(&cut, tokens, e);
        t->h2 = take(&cut, tokens, e);
    }
    for (unsigned i = 0; i < threads; i++)
        take_worker(&cut, c, l, arena ? &t->workers[i] : &worker);
    return cut.overflow ? SIZE_MAX : cut.at * sizeof(float);
}

size_t rbe_grad_bytes(const struct rbe_model_config *c, struct rbe_grad_limits l,
                      unsigned threads)
{
    struct rbe_grad counted = {.c = *c};
    const size_t arena = layout(&counted, c, l, threads, NULL);
    const size_t rest = sizeof counted +
                        rbe_source_count(c) *
                            (sizeof *counted.slices + sizeof *counted.packed_at) +
                        c->n_layer * sizeof *counted.kept +
                        (1 + (size_t)c->n_layer) * RBE_ROLE_COUNT * sizeof *counted.roles +
                        threads * (sizeof *counted.workers + rbe_product_bytes(l.bf16));

    return arena > SIZE_MAX - rest ? SIZE_MAX : arena + rest;
}

static enum rbe_status check_limits(const struct rbe_model_config *c, struct rbe_grad_limits l,
                                    struct rbe_diag *d)
{
    if (!l.batch || !l.time || l.time > c->n_ctx || l.batch > UINT32_MAX / l.time)
        return rbe_fail(d, RBE_ERR_ARG, "a micro-batch of %u sequences of %u tokens: the model "
                        "holds 1 to %u tokens", l.batch, l.time, c->n_ctx);
    if (!c->head || !c->n_kv || c->n_head % c->n_kv ||
        (rbe_arch_at(c->arch)->positions == RBE_ROTARY && c->head % 2))
        return rbe_fail(d, RBE_ERR_ARG, "%u heads of %u for %u of keys and values are no %s",
                        c->n_head, c->head, c->n_kv, rbe_arch_at(c->arch)->title);
    return RBE_OK;
}

enum rbe_status rbe_grad_open(struct rbe_grad **out, const struct rbe_model_config *c,
                              struct rbe_grad_limits l, struct rbe_pool *pool,
                              struct rbe_diag *d)
{
    const unsigned threads = rbe_pool_threads(pool);
    struct rbe_grad *t = NULL, counted = {.c = *c};
    enum rbe_status err;

    *out = NULL;
    if ((err = check_limits(c, l, d)))
        return err;
    const size_t bytes = layout(&counted, c, l, threads, NULL), count = rbe_source_count(c);
    const size_t unit = bytes < 8 * HUGE ? 64 : HUGE;
    if (bytes <= SIZE_MAX / 2 && (err = rbe_dense_room("a training", bytes, d)))
        return err;
    if (bytes > SIZE_MAX - HUGE || !(t = calloc(1, sizeof *t)) ||
        !(t->slices = calloc(count, sizeof *t->slices)) ||
        !(t->packed_at = calloc(count, sizeof *t->packed_at)) ||
        !(t->roles = calloc((1 + (size_t)c->n_layer) * RBE_ROLE_COUNT, sizeof *t->roles)) ||
        !(t->kept = calloc(c->n_layer, sizeof *t->kept)) ||
        !(t->workers = calloc(threads, sizeof *t->workers)) ||
        !(t->arena = aligned_alloc(unit, (bytes + unit - 1) / unit * unit))) {
        rbe_grad_close(&t);
        return rbe_fail(d, RBE_ERR_NOMEM, "training %u x %u tokens at a time needs %.0f MB of "
                        "memory", l.batch, l.time, (double)bytes * 1e-6);
    }
#ifdef MADV_HUGEPAGE
    /* Products write rows that lie pages apart. */
    madvise(t->arena, bytes, MADV_HUGEPAGE);
#endif
    t->c = *c;
    t->arch = rbe_arch_at(c->arch);
    t->limits = l;
    t->pool = pool;
    t->e = rbe_elementwise_best(rbe_cpu_isa());
    t->v = rbe_vector_best(rbe_cpu_isa());
    t->slice_count = count;
    list_slices(c, l, t->slices);
    t->rounded_only = is_rounded_only(l);
    list_packed(c, t->packed_at);
    list_roles(t);
    layout(t, c, l, threads, t->arena);
    for (unsigned i = 0; i < threads; i++)
        if ((err = rbe_product_open(&t->workers[i].product, l.bf16, d))) {
            rbe_grad_close(&t);
            return err;
        }
    memset(t->params, 0, t->floats * sizeof *t->params);
    if (t->rounded_only) {
        const size_t packed = list_packed(c, NULL) * sizeof *t->front;
        memset(t->front, 0, packed);
        memset(t->rear, 0, packed);
    }
    memset(t->zeros, 0, zeros_of(c) * sizeof *t->zeros);
    if (t->grads)
        memset(t->grads, 0, t->floats * sizeof *t->grads);
    *out = t;
    return RBE_OK;
}

void rbe_grad_close(struct rbe_grad **pt)
{
    struct rbe_grad *t = *pt;

    if (!t)
        return;
    for (unsigned i = 0; t->workers && i < rbe_pool_threads(t->pool); i++)
        rbe_product_close(&t->workers[i].product);
    free(t->slices);
    free(t->packed_at);
    free(t->roles);
    free(t->kept);
    free(t->workers);
    free(t->arena);
    free(t);
    *pt = NULL;
}

const struct rbe_model_config *rbe_grad_config(const struct rbe_grad *t)
{
    return &t->c;
}

unsigned rbe_grad_threads(const struct rbe_grad *t)
{
    return rbe_pool_threads(t->pool);
}

void rbe_grad_tap(struct rbe_grad *t, rbe_grad_tap_fn *fn, void *arg)
{
    t->tap = fn;
    t->tap_arg = arg;
}

size_t rbe_grad_slices(const struct rbe_grad *t)
{
    return t->slice_count;
}

struct rbe_grad_slice *rbe_grad_slice(struct rbe_grad *t, size_t i)
{
    return &t->slices[i];
}

struct rbe_grad_slice *rbe_grad_find(struct rbe_grad *t, const char *name)
{
    for (size_t i = 0; i < t->slice_count; i++)
        if (!strcmp(t->slices[i].name, name))
            return &t->slices[i];
    return NULL;
}

size_t rbe_grad_floats(const struct rbe_grad *t)
{
    return t->floats;
}

float *rbe_grad_params(struct rbe_grad *t)
{
    t->packed = false;
    return t->params;
}

float *rbe_grad_gradients(struct rbe_grad *t)
{
    return t->grads;
}

void rbe_grad_zero(struct rbe_grad *t)
{
    for (size_t i = 0; t->grads && i < t->slice_count; i++) {
        const struct rbe_grad_slice *s = &t->slices[i];
        const struct rbe_grad_sums *sums = s->sums;
        if (sums)
            memset(sums->sums, 0, rbe_pool_threads(t->pool) *
                                      (s->rows + (size_t)sums->parts * s->cols) *
                                      sizeof *sums->sums);
        else
            memset(t->grads + s->at, 0, s->count * sizeof *t->grads);
    }
}

/* A weight on its way to its packed forms. */
struct packing {
    const struct rbe_grad *t;
    const struct rbe_grad_slice *s;
    const float *values;
};

void rbe_grad_pack(const struct rbe_grad *t, const struct rbe_grad_slice *s,
                   const float *values, unsigned i, unsigned n)
{
    const struct rbe_bf16 *v = rbe_bf16_best();
    const size_t rows = s->weight_rows, cols = s->cols, at = t->packed_at[s - t->slices];
    size_t a, b;

    rbe_split(rbe_bf16_padded(rows) / RBE_BF16_STEP, 1, i, n, &a, &b);
    v->panels(t->front + at, values, cols, true, cols, rows, a, b);
    if (!t->rear)
        return;
    rbe_split(rbe_bf16_padded(cols) / RBE_BF16_STEP, 1, i, n, &a, &b);
    v->panels(t->rear + at, values, cols, false, rows, cols, a, b);
}

static void run_packing(void *arg, unsigned i, unsigned n)
{
    const struct packing *p = arg;

    rbe_grad_pack(p->t, p->s, p->values, i, n);
}

/* The weight that slice `first` begins, all its ranges. */
static enum rbe_status load_rounded(struct rbe_grad *t, const struct rbe_source *s,
                                    size_t first, struct rbe_diag *d)
{
    struct packing p = {.t = t, .s = &t->slices[first]};
    const size_t count = (size_t)p.s->weight_rows * p.s->cols;
    enum rbe_status err = RBE_OK;
    float *values = malloc(count * sizeof *values);
    float *scratch = s->tensors[first].transposed ? malloc(count * sizeof *scratch) : NULL;

    if (!values || (s->tensors[first].transposed && !scratch))
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t i = first; !err && (i == first || (i < t->slice_count && t->slices[i].row0));
         i++)
        err = rbe_source_read_to(values + (size_t)t->slices[i].row0 * p.s->cols, scratch, s,
                                 &s->tensors[i], d);
    p.values = values;
    if (!err)
        rbe_pool_run(t->pool, run_packing, &p);
    free(values);
    free(scratch);
    return err;
}

static enum rbe_status load_slice(struct rbe_grad *t, const struct rbe_source *s, size_t i,
                                  struct rbe_diag *d)
{
    const struct rbe_grad_slice *to = &t->slices[i];
    float *values;

    if (to->at == RBE_NOT_STORED)
        return to->row0 ? RBE_OK : load_rounded(t, s, i, d);
    const enum rbe_status err = rbe_source_read(&values, s, &s->tensors[i], d);
    if (err)
        return err;
    memcpy(t->params + to->at, values, to->count * sizeof *values);
    free(values);
    return RBE_OK;
}

enum rbe_status rbe_grad_load(struct rbe_grad *t, const struct rbe_source *s,
                              struct rbe_diag *d)
{
    const struct rbe_model_config *c = &s->config;
    enum rbe_status err = RBE_OK;

    if (c->arch != t->c.arch || s->count != t->slice_count || c->n_head != t->c.n_head ||
        c->n_kv != t->c.n_kv || c->options != t->c.options)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s: the configuration is another",
                        rbe_source_path(s));
    t->packed = false;
    for (size_t i = 0; i < s->count; i++) {
        const struct rbe_source_tensor *from = &s->tensors[i];
        const struct rbe_grad_slice *to = &t->slices[i];
        if (from->rows != to->rows || from->cols != to->cols)
            return rbe_fail(d, RBE_ERR_MISMATCH, "%s: tensor '%s' is %u x %u, %u x %u is "
                            "wanted", rbe_source_path(s), to->name, from->rows,
                            from->cols, to->rows, to->cols);
    }
    for (size_t i = 0; i < s->count && !err; i++)
        err = load_slice(t, s, i, d);
    return err;
}

/* --- the head: logits, losses and the output layer's gradients ---------------------------- */

/* Positions first..first + count on their way through the output layer. */
struct head {
    struct rbe_pass *p;
    const struct rbe_loss *loss;
    struct rbe_grad *teacher;   /* NULL: the loss needs none */
    float weight;
    bool backward;
    size_t first, count;
    size_t taught;              /* positions before the first whose prediction is known */
};

/* Where the prediction of a position is kept; NULL: nowhere. */
static unsigned char *kept_of(const struct rbe_pass *p, size_t at)
{
    const struct rbe_grad_batch *b = p->b;
    unsigned char *sequence = b->kept ? b->kept[at / b->time] : NULL;

    return sequence ? sequence + at % b->time * rbe_top_bytes(p->t->c.vocab) : NULL;
}

/* logits [count][vocab] of positions from first on, on thread i. */
static void project(const struct rbe_grad *t, unsigned i, size_t first, size_t count,
                    float *logits)
{
    const size_t e = t->c.n_embd, vocab = t->c.vocab;

    rbe_product_run(t->workers[i].product, count, vocab, e, 1,
                    (struct rbe_factor){.v = t->hidden + first * e, .ld = e},
                    rbe_grad_weight(t, rbe_output_of(t), true), 0, logits, vocab);
}

/* The token at `u` of the predictions' cumulative sum; p [vocab] is scratch. */
static uint32_t draw(const struct rbe_grad *t, const float *logits, float *p, float u)
{
    double sum = 0;
    uint32_t k = 0;

    memcpy(p, logits, t->c.vocab * sizeof *p);
    t->e->softmax(p, t->c.vocab);
    while (k + 1 < t->c.vocab && (sum += (double)p[k]) <= (double)u)
        k++;
    return k;
}

static void run_losses(void *arg, unsigned i, unsigned n)
{
    const struct head *h = arg;
    struct rbe_grad *t = h->p->t;
    const size_t e = t->c.n_embd, vocab = t->c.vocab;
    size_t a, b;

    struct rbe_grad_worker *w = &t->workers[i];
    const bool summed = h->backward && rbe_sums_wanted(rbe_output_of(t), false);

    rbe_split(h->count, 1, i, n, &a, &b);
    float *s = t->logits + a * vocab, *o = t->other_logits + a * vocab;
    project(t, i, h->first + a, b - a, s);
    const bool taught = h->first < h->taught;
    if (h->teacher && taught)
        project(h->teacher, i, h->first + a, b - a, o);
    for (size_t k = 0; k < b - a; k++) {
        const size_t at = h->first + a + k;
        const uint32_t target =
            h->p->b->draws ? draw(t, s + k * vocab, o + k * vocab, h->p->b->draws[at])
                           : h->p->b->targets[at];

        unsigned char *const kept = h->teacher ? kept_of(h->p, at) : NULL;
        if (kept && taught)
            rbe_top_take(kept, o + k * vocab, w->pair, vocab, h->loss->temperature);
        else if (kept)
            rbe_top_logits(o + k * vocab, kept, s + k * vocab, vocab, h->loss->temperature);
        if (summed)
            memcpy(w->pair + vocab, s + k * vocab, vocab * sizeof *s);
        rbe_loss_row(h->loss, s + k * vocab, h->teacher ? o + k * vocab : NULL, vocab, target,
                     h->weight, h->backward, &w->sums);
        if (summed)
            rbe_sums_rows(h->p, w, rbe_output_of(t), s + k * vocab, w->pair + vocab, NULL, NULL,
                          vocab, 1);
    }
    for (size_t k = a, some; h->backward && k < b; k += some) {
        some = b - k < RBE_GRAD_CHUNK ? b - k : RBE_GRAD_CHUNK;
        rbe_sums_back(h->p, w, rbe_output_of(t), t->logits + k * vocab, vocab, some,
                      t->dmid + (h->first + k) * e, t->hidden + (h->first + k) * e);
    }
}

/* Thread i's rows of the output layer's gradient. */
static void run_head_weights(void *arg, unsigned i, unsigned n)
{
    const struct head *h = arg;
    const struct rbe_grad *t = h->p->t;
    const size_t e = t->c.n_embd, vocab = t->c.vocab;
    size_t a, b;

    rbe_split(vocab, 16, i, n, &a, &b);
    rbe_product_run(t->workers[i].product, b - a, e, h->count, 1,
                    (struct rbe_factor){.v = t->logits + a, .ld = vocab, .t = true},
                    (struct rbe_factor){.v = t->hidden + h->first * e, .ld = e}, 1,
                    t->grads + rbe_output_of(t)->at + a * e, e);
}

/* How many positions come next, of all `tokens`: taught and known ones are not taken together,
 * so that what the teacher computes does not depend on what is known. */
static size_t next_count(const struct rbe_grad *t, size_t first, size_t taught, size_t tokens)
{
    const size_t left = (first < taught ? taught : tokens) - first;

    return left < t->head_rows ? left : t->head_rows;
}

/* Leaves the gradient by the hidden states in dmid and adds that of the output layer. */
static bool run_head(struct head *h, struct rbe_loss_sums *sums)
{
    struct rbe_grad *t = h->p->t;
    const struct rbe_grad_slice *output = rbe_output_of(t);
    const size_t tokens = h->p->tokens;
    const unsigned threads = rbe_pool_threads(t->pool);

    for (unsigned i = 0; i < threads; i++)
        t->workers[i].sums = (struct rbe_loss_sums){0};
    for (h->first = 0; h->first < tokens; h->first += h->count) {
        if (rbe_interrupt_is_old())
            return false;
        h->count = next_count(t, h->first, h->taught, tokens);
        rbe_pool_run(t->pool, run_losses, h);
        if (!h->backward)
            continue;
        if (t->grads && !output->frozen && !output->sums)
            rbe_pool_run(t->pool, run_head_weights, h);
        rbe_pass_tap(h->p, output, t->hidden + h->first * t->c.n_embd, t->logits, h->count);
    }
    for (unsigned i = 0; i < threads; i++)
        rbe_loss_sums_add(sums, &t->workers[i].sums);
    return true;
}

/* --- steps -------------------------------------------------------------------------------- */

static enum rbe_status check_shape(const struct rbe_grad *t, uint32_t batch, uint32_t time,
                                   struct rbe_diag *d)
{
    return batch && time && batch <= t->limits.batch && time <= t->limits.time
               ? RBE_OK
               : rbe_fail(d, RBE_ERR_ARG, "a micro-batch of %u x %u tokens: room was made for "
                          "%u x %u", batch, time, t->limits.batch, t->limits.time);
}

static enum rbe_status check_batch(const struct rbe_grad *t, const struct rbe_grad_batch *b,
                                   bool targets, struct rbe_diag *d)
{
    const size_t tokens = (size_t)b->batch * b->time;
    const enum rbe_status err = check_shape(t, b->batch, b->time, d);
    const uint32_t vocab = t->c.vocab;

    if (err)
        return err;
    for (size_t i = 0; i < tokens; i++) {
        if (b->tokens[i] >= vocab)
            return rbe_fail(d, RBE_ERR_ARG, "token %u at %zu: the vocabulary has %u",
                            b->tokens[i], i, vocab);
        if (targets && b->targets[i] >= vocab && b->targets[i] != RBE_NO_TARGET)
            return rbe_fail(d, RBE_ERR_ARG, "target %u at %zu: the vocabulary has %u",
                            b->targets[i], i, vocab);
    }
    return RBE_OK;
}

static enum rbe_status check_teacher(const struct rbe_grad *t, const struct rbe_grad *teacher,
                                     const struct rbe_grad_batch *b, struct rbe_diag *d)
{
    if (!teacher)
        return rbe_fail(d, RBE_ERR_ARG, "the loss needs a teacher");
    if (teacher->c.vocab != t->c.vocab)
        return rbe_fail(d, RBE_ERR_MISMATCH, "the teacher's vocabulary has %u tokens, the "
                        "student's %u", teacher->c.vocab, t->c.vocab);
    if (rbe_pool_threads(teacher->pool) < rbe_pool_threads(t->pool))
        return rbe_fail(d, RBE_ERR_ARG, "the teacher was opened for fewer threads");
    if (b->known > b->batch || (b->known && !b->kept))
        return rbe_fail(d, RBE_ERR_ARG, "%u of %u sequences known", b->known, b->batch);
    for (uint32_t i = b->batch - b->known; i < b->batch; i++)
        if (!b->kept[i])
            return rbe_fail(d, RBE_ERR_ARG, "sequence %u is not known", i);
    return check_batch(teacher, b, false, d);
}

static enum rbe_status run(struct rbe_grad *t, const struct rbe_grad_batch *b,
                           const struct rbe_loss *loss, struct rbe_grad *teacher, float weight,
                           bool backward, struct rbe_loss_sums *sums, struct rbe_diag *d)
{
    struct rbe_pass p = {.t = t, .b = b, .tokens = (size_t)b->batch * b->time};
    struct rbe_loss_sums mine = {0};
    enum rbe_status err;

    if ((err = check_batch(t, b, !b->draws, d)))
        return err;
    if (!backward && (b->known || b->kept))
        return rbe_fail(d, RBE_ERR_ARG, "kept predictions are for steps");
    if (b->draws && rbe_loss_distils(loss))
        return rbe_fail(d, RBE_ERR_ARG, "drawn targets and a teacher");
    if (!rbe_loss_distils(loss))
        teacher = NULL;
    else if ((err = check_teacher(t, teacher, b, d)))
        return err;
    struct rbe_grad_batch taught = *b;
    taught.batch -= teacher ? b->known : 0;
    struct rbe_pass q = {.t = teacher, .b = &taught,
                         .tokens = (size_t)taught.batch * b->time};
    if ((teacher && q.tokens && !rbe_pass_forward(&q)) || !rbe_pass_forward(&p))
        return rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
    struct head h = {.p = &p, .loss = loss, .teacher = teacher, .weight = weight,
                     .backward = backward, .taught = q.tokens};
    if (!run_head(&h, &mine))
        return rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
    rbe_loss_sums_add(sums, &mine);
    if (!isfinite(mine.loss))
        return rbe_fail(d, RBE_ERR_NUMERIC, "the loss is not finite");
    if (backward && !rbe_pass_backward(&p))
        return rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
    return RBE_OK;
}

enum rbe_status rbe_grad_step(struct rbe_grad *t, const struct rbe_grad_batch *b,
                              const struct rbe_loss *loss, struct rbe_grad *teacher,
                              float weight, struct rbe_loss_sums *sums, struct rbe_diag *d)
{
    if (t->limits.forward_only)
        return rbe_fail(d, RBE_ERR_ARG, "opened for forward passes only");
    return run(t, b, loss, teacher, weight, true, sums, d);
}

/* Predictions of the positions of a head, on thread i. */
static void run_predictions(void *arg, unsigned i, unsigned n)
{
    const struct head *h = arg;
    struct rbe_grad *t = h->p->t;
    const size_t vocab = t->c.vocab;
    size_t a, b;

    rbe_split(h->count, 1, i, n, &a, &b);
    float *logits = t->logits + a * vocab;
    project(t, i, h->first + a, b - a, logits);
    for (size_t k = 0; k < b - a; k++) {
        unsigned char *const kept = kept_of(h->p, h->first + a + k);
        if (kept)
            rbe_top_take(kept, logits + k * vocab, t->other_logits + a * vocab, vocab,
                         h->loss->temperature);
    }
}

enum rbe_status rbe_grad_predict(struct rbe_grad *t, const struct rbe_grad_batch *b,
                                 float temperature, struct rbe_diag *d)
{
    struct rbe_pass p = {.t = t, .b = b, .tokens = (size_t)b->batch * b->time};
    const struct rbe_loss loss = {.temperature = temperature};
    struct head h = {.p = &p, .loss = &loss, .taught = p.tokens};
    const enum rbe_status err = check_batch(t, b, false, d);

    if (err)
        return err;
    if (!rbe_pass_forward(&p))
        return rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
    for (; h.first < p.tokens; h.first += h.count) {
        h.count = next_count(t, h.first, h.taught, p.tokens);
        rbe_pool_run(t->pool, run_predictions, &h);
    }
    return RBE_OK;
}

enum rbe_status rbe_grad_evaluate(struct rbe_grad *t, const struct rbe_grad_batch *b,
                                  const struct rbe_loss *loss, struct rbe_grad *teacher,
                                  struct rbe_loss_sums *sums, struct rbe_diag *d)
{
    return run(t, b, loss, teacher, 0, false, sums, d);
}

enum rbe_status rbe_grad_forward(struct rbe_grad *t, const struct rbe_grad_batch *b,
                                 struct rbe_diag *d)
{
    struct rbe_pass p = {.t = t, .b = b, .tokens = (size_t)b->batch * b->time};
    const enum rbe_status err = check_batch(t, b, false, d);

    return err || rbe_pass_forward(&p) ? err : rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
}

enum rbe_status rbe_grad_layer(struct rbe_grad *t, uint32_t batch, uint32_t time,
                               const float *in, float *out, enum rbe_role last,
                               rbe_grad_inputs_fn *fn, void *arg, struct rbe_diag *d)
{
    const struct rbe_grad_batch b = {.batch = batch, .time = time};
    const size_t tokens = (size_t)batch * time, bytes = tokens * t->c.n_embd * sizeof *in;
    struct rbe_pass p = {.t = t, .b = &b, .tokens = tokens, .inputs = fn, .last = last,
                         .inputs_arg = arg};
    enum rbe_status err;

    if (t->c.n_layer != 1)
        return rbe_fail(d, RBE_ERR_ARG, "a model of %u layers, not one", t->c.n_layer);
    if ((err = check_shape(t, batch, time, d)))
        return err;
    memcpy(t->x, in, bytes);
    rbe_pass_layer(&p);
    if (!fn)
        memcpy(out, t->x + t->x_stride, bytes);
    return RBE_OK;
}

enum rbe_status rbe_grad_logits(struct rbe_grad *t, size_t first, size_t count,
                                float *logits, struct rbe_diag *d)
{
    if (first > t->forwarded || count > t->forwarded - first)
        return rbe_fail(d, RBE_ERR_ARG, "logits of %zu positions from %zu: %zu were run", count,
                        first, t->forwarded);
    project(t, 0, first, count, logits);
    return RBE_OK;
}
