/*
 * check_grad.c - the backward pass against central differences of a loss in doubles.
 *
 * SPDX-License-Identifier: MIT
 *
 * The oracle below is the definition, in double precision, and shares no arithmetic with the
 * engine.  Differences of step 1e-4 in doubles are good to about 1e-8; what remains is the
 * engine's f32 rounding, held against the largest gradient of the same tensor.
 */
#include <math.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/progress.h"
#include "grad/grad.h"
#include "grad/product.h"
#include "grad/top.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "model/data.h"
#include "model/model.h"
#include "model/synth.h"
#include "rbe/container.h"

/* --- the oracle --------------------------------------------------------------------------- */

/* A model's parameters in doubles, in the engine's layout, and where its tensors start. */
struct model {
    struct rbe_grad *t;
    struct rbe_model_config c;
    double *p;
};

/* The slice in this role of a layer, -1 outside them, or the first range of its weight. */
static const struct rbe_grad_slice *slice_of(struct rbe_grad *t, int layer, enum rbe_role role)
{
    for (size_t i = 0; i < rbe_grad_slices(t); i++)
        if (rbe_grad_slice(t, i)->layer == layer && rbe_grad_slice(t, i)->role == role)
            return rbe_grad_slice(t, i);
    return NULL;
}

/* Its values, or NULL. */
static const double *tensor(const struct model *m, int layer, enum rbe_role role)
{
    const struct rbe_grad_slice *s = slice_of(m->t, layer, role);

    return s ? m->p + s->at : NULL;
}

static bool is_llama(const struct model *m)
{
    return m->c.arch == RBE_ARCH_LLAMA;
}

static void o_norm(const struct model *m, double *y, const double *x, int layer,
                   enum rbe_role role, enum rbe_role role_bias)
{
    const double *gain = tensor(m, layer, role), *bias = tensor(m, layer, role_bias);
    const size_t e = m->c.n_embd;
    double mean = 0, var = 0;

    for (size_t i = 0; i < e && !is_llama(m); i++)
        mean += x[i] / (double)e;
    for (size_t i = 0; i < e; i++)
        var += (x[i] - mean) * (x[i] - mean) / (double)e;
    for (size_t i = 0; i < e; i++)
        y[i] = (x[i] - mean) / sqrt(var + (double)m->c.ln_eps) * gain[i] +
               (bias ? bias[i] : 0);
}

/* y [out] = w [out][in] x + bias, of a layer. */
static void o_linear(const struct model *m, double *y, int layer, enum rbe_role role,
                     enum rbe_role role_bias, const double *x, size_t in, size_t out)
{
    const double *w = tensor(m, layer, role), *bias = tensor(m, layer, role_bias);

    for (size_t o = 0; o < out; o++) {
        y[o] = bias ? bias[o] : 0;
        for (size_t i = 0; i < in; i++)
            y[o] += w[o * in + i] * x[i];
    }
}

/* Queries and keys [heads][dim] at position t. */
static void o_turn(const struct model *m, double *x, size_t t)
{
    const size_t half = m->c.head / 2, heads = m->c.n_head + m->c.n_kv;
    const double *factors = tensor(m, -1, RBE_ROLE_ROPE_FACTORS);

    for (size_t h = 0; h < heads; h++, x += 2 * half)
        for (size_t i = 0; i < half; i++) {
            const double angle = (double)t * pow((double)m->c.rope_base,
                                                 -(double)i / (double)half) /
                                 (factors ? factors[i] : 1);
            const double a = x[i], b = x[i + half];
            x[i] = a * cos(angle) - b * sin(angle);
            x[i + half] = a * sin(angle) + b * cos(angle);
        }
}

static void o_attention(const struct model *m, double *out, const double *qkv, size_t time)
{
    const size_t dim = m->c.head, n = m->c.n_head * dim, keys = m->c.n_kv * dim;
    const size_t wide = n + 2 * keys;
    double *p = malloc(time * sizeof *p);

    memset(out, 0, time * n * sizeof *out);
    for (size_t h = 0; h < m->c.n_head; h++) {
        const double *k = qkv + n + h * m->c.n_kv / m->c.n_head * dim, *v = k + keys;
        for (size_t t = 0; t < time; t++) {
            double sum = 0;
            for (size_t u = 0; u <= t; u++) {
                double s = 0;
                for (size_t i = 0; i < dim; i++)
                    s += qkv[t * wide + h * dim + i] * k[u * wide + i];
                sum += p[u] = exp(s / sqrt((double)dim));
            }
            for (size_t u = 0; u <= t; u++)
                for (size_t i = 0; i < dim; i++)
                    out[t * n + h * dim + i] += p[u] / sum * v[u * wide + i];
        }
    }
    free(p);
}

/* The activation of one token's outputs of FFN_UP, in place. */
static void o_activation(const struct model *m, double *ff)
{
    const size_t f = m->c.n_inner;

    for (size_t i = 0; i < f; i++)
        if (is_llama(m))
            ff[i] = ff[i] / (1 + exp(-ff[i])) * ff[f + i];
        else
            ff[i] = ff[i] / 2 * (1 + tanh(sqrt(2 / M_PI) *
                                          (ff[i] + 0.044715 * ff[i] * ff[i] * ff[i])));
}

/* Logits [time][vocab] of one sequence, fresh memory. */
static double *o_logits(const struct model *m, const uint32_t *tokens, size_t time)
{
    const size_t e = m->c.n_embd, f = m->c.n_inner, v = m->c.vocab;
    const size_t up = is_llama(m) ? 2 * f : f;
    const size_t n = m->c.n_head * m->c.head, wide = n + 2 * m->c.n_kv * m->c.head;
    const double *positions = tensor(m, -1, RBE_ROLE_POSITIONS);
    const double *mean = tensor(m, -1, RBE_ROLE_EMBED_MEAN);
    const enum rbe_role none = RBE_ROLE_NONE;
    double *x = malloc(time * e * sizeof *x), *h = malloc(e * sizeof *h);
    double *qkv = malloc(time * wide * sizeof *qkv), *att = malloc(time * n * sizeof *att);
    double *ff = malloc(up * sizeof *ff), *y = malloc(e * sizeof *y);
    double *logits = malloc(time * v * sizeof *logits);

    for (size_t t = 0; t < time; t++)
        for (size_t i = 0; i < e; i++)
            x[t * e + i] = tensor(m, -1, RBE_ROLE_TOKENS)[tokens[t] * e + i] +
                           (positions ? positions[t * e + i] : 0) + (mean ? mean[i] : 0);
    for (int l = 0; l < (int)m->c.n_layer; l++) {
        for (size_t t = 0; t < time; t++) {
            o_norm(m, h, x + t * e, l, RBE_ROLE_ATTN_NORM, RBE_ROLE_ATTN_NORM_BIAS);
            o_linear(m, qkv + t * wide, l, RBE_ROLE_QKV, RBE_ROLE_QKV_BIAS, h, e, wide);
            if (is_llama(m))
                o_turn(m, qkv + t * wide, t);
        }
        o_attention(m, att, qkv, time);
        for (size_t t = 0; t < time; t++) {
            o_linear(m, y, l, RBE_ROLE_ATTN_OUT, RBE_ROLE_ATTN_OUT_BIAS, att + t * n, n, e);
            for (size_t i = 0; i < e; i++)
                x[t * e + i] += y[i];
            o_norm(m, h, x + t * e, l, RBE_ROLE_FFN_NORM, RBE_ROLE_FFN_NORM_BIAS);
            o_linear(m, ff, l, RBE_ROLE_FFN_UP, RBE_ROLE_FFN_UP_BIAS, h, e, up);
            o_activation(m, ff);
            o_linear(m, y, l, RBE_ROLE_FFN_DOWN, RBE_ROLE_FFN_DOWN_BIAS, ff, f, e);
            for (size_t i = 0; i < e; i++)
                x[t * e + i] += y[i];
        }
    }
    const enum rbe_role output =
        tensor(m, -1, RBE_ROLE_OUTPUT) ? RBE_ROLE_OUTPUT : RBE_ROLE_TOKENS;
    for (size_t t = 0; t < time; t++) {
        o_norm(m, h, x + t * e, -1, RBE_ROLE_LAST_NORM, RBE_ROLE_LAST_NORM_BIAS);
        o_linear(m, logits + t * v, -1, output, none, h, e, v);
    }
    free(x);
    free(h);
    free(qkv);
    free(att);
    free(ff);
    free(y);
    return logits;
}

static double log_sum(const double *x, size_t n, double by)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += exp(x[i] * by);
    return log(sum);
}

/* KL by what is known of a prediction (grad/top.h): shares of tokens, zero for those in the
 * bucket, and the student's logits z. */
static double o_bucket(const double *known, const double *z, size_t v, double by)
{
    const double zs = log_sum(z, v, by);
    double kl = 0, rest = 1, others = 0;

    for (size_t i = 0; i < v; i++) {
        if (known[i] > 0)
            kl += known[i] * (log(known[i]) - (z[i] * by - zs));
        else
            others += exp(z[i] * by - zs);
        rest -= known[i];
    }
    return kl + rest * log(rest / others);
}

/* The summed loss as loss.h defines it; teacher's logits [batch][time][vocab] or NULL, for
 * b's known sequences the shares that are known. */
static double o_loss(const struct model *m, const struct rbe_grad_batch *b,
                     const struct rbe_loss *l, const double *teacher)
{
    const size_t v = m->c.vocab;
    const double by = 1 / (double)l->temperature;
    double total = 0;

    for (size_t s = 0; s < b->batch; s++) {
        double *logits = o_logits(m, b->tokens + s * b->time, b->time);
        for (size_t t = 0; t < b->time; t++) {
            const size_t at = s * b->time + t;
            const double *z = logits + t * v;
            double kl = 0;
            if (b->targets[at] == RBE_NO_TARGET)
                continue;
            if (teacher) {
                const double *o = teacher + at * v;
                const double zs = log_sum(z, v, by), os = log_sum(o, v, by);
                if (s >= b->batch - b->known)
                    kl = o_bucket(o, z, v, by);
                for (size_t i = 0; i < v && s < b->batch - b->known; i++)
                    kl += exp(o[i] * by - os) * ((o[i] * by - os) - (z[i] * by - zs));
            }
            total += (1 - (double)l->alpha) * (log_sum(z, v, 1) - z[b->targets[at]]) +
                     (double)l->alpha * (double)l->factor * kl;
        }
        free(logits);
    }
    return total;
}

/* --- models and batches ------------------------------------------------------------------- */

static struct rbe_grad *open_train(const struct rbe_model_config *c, struct rbe_grad_limits l,
                                   struct rbe_pool *pool)
{
    struct rbe_grad *t;
    struct rbe_diag d;

    if (rbe_grad_open(&t, c, l, pool, &d)) {
        printf("FAIL open: %s\n", d.text);
        exit(1);
    }
    return t;
}

/* Weights large enough that every part of the network bends. */
static void fill(struct rbe_grad *t, struct check_rng *rng)
{
    for (size_t i = 0; i < rbe_grad_slices(t); i++) {
        const struct rbe_grad_slice *s = rbe_grad_slice(t, i);
        const bool gain = s->role == RBE_ROLE_ATTN_NORM || s->role == RBE_ROLE_FFN_NORM ||
                          s->role == RBE_ROLE_LAST_NORM || s->role == RBE_ROLE_ROPE_FACTORS;
        const float scale = s->matrix ? 1.5F / sqrtf((float)s->cols) : 0.3F;
        for (size_t k = 0; k < s->count; k++)
            rbe_grad_params(t)[s->at + k] = (gain ? 1 : 0) + scale * check_unit(rng);
    }
}

static void fill_batch(uint32_t *tokens, uint32_t *targets, size_t n, uint32_t vocab,
                       struct check_rng *rng)
{
    for (size_t i = 0; i < n; i++) {
        tokens[i] = check_below(rng, vocab);
        targets[i] = i % 7 == 3 ? RBE_NO_TARGET : check_below(rng, vocab);
    }
}

static double *doubles(struct rbe_grad *t)
{
    double *p = malloc(rbe_grad_floats(t) * sizeof *p);

    for (size_t i = 0; i < rbe_grad_floats(t); i++)
        p[i] = (double)rbe_grad_params(t)[i];
    return p;
}

/* --- gradients ---------------------------------------------------------------------------- */

/* Every stride-th gradient of every tensor; the largest error by the tensor's largest. */
static void compare(struct model *m, const struct rbe_grad_batch *b, const struct rbe_loss *l,
                    const double *teacher, double weight, size_t stride)
{
    const float *g = rbe_grad_gradients(m->t);
    const double step = 1e-4;

    for (size_t i = 0; i < rbe_grad_slices(m->t); i++) {
        const struct rbe_grad_slice *s = rbe_grad_slice(m->t, i);
        double largest = 0, worst = 0;
        bool finite = true;
        /* Ranges of a weight lie behind each other. */
        CHECK(s->row0 ? s->at == s[-1].at + s[-1].count && s->row0 == s[-1].row0 + s[-1].rows
                      : s->at % 16 == 0);
        CHECK(s->row0 + s->rows == s->weight_rows || s[1].row0 == s->row0 + s->rows);
        for (size_t k = 0; k < s->count; k++)
            largest = fmax(largest, fabs((double)g[s->at + k]));
        if (s->role == RBE_ROLE_ROPE_FACTORS) {
            CHECK(largest == 0);
            continue;
        }
        for (size_t k = i % stride; k < s->count; k += stride) {
            double *p = &m->p[s->at + k];
            const double was = *p;
            *p = was + step;
            const double up = o_loss(m, b, l, teacher);
            *p = was - step;
            const double down = o_loss(m, b, l, teacher);
            *p = was;
            const double error = fabs((up - down) / (2 * step) * weight -
                                      (double)g[s->at + k]);
            finite = finite && isfinite(error);
            worst = fmax(worst, error);
        }
        /* A key's bias moves all of a query's scores alike: part of c_attn.bias is zero, so
         * the tensor's largest is the right measure. */
        if (!CHECK(finite && worst <= 3e-5 * largest + 1e-6))
            printf("     %s (%u x %u): error %.3g, largest %.3g\n", s->name, s->rows, s->cols,
                   worst, largest);
    }
}

#define CONFIG(words, context, width, layers, heads, inner, end)                               \
    {.arch = RBE_ARCH_GPT2, .vocab = words, .n_ctx = context, .n_embd = width,                 \
     .n_layer = layers, .n_head = heads, .n_kv = heads, .head = (width) / (heads),             \
     .n_inner = inner, .ln_eps = 1e-5F, .eos = end}
#define LLAMA(words, context, width, layers, heads, keys, dim, inner, has)                     \
    {.arch = RBE_ARCH_LLAMA, .vocab = words, .n_ctx = context, .n_embd = width,                \
     .n_layer = layers, .n_head = heads, .n_kv = keys, .head = dim, .n_inner = inner,          \
     .ln_eps = 1e-5F, .rope_base = 30, .options = has}
enum { UNTIED = 1 << RBE_OPTION_UNTIED, MEAN = 1 << RBE_OPTION_EMBED_MEAN,
       FACTORS = 1 << RBE_OPTION_ROPE_FACTORS };

struct shape {
    struct rbe_model_config c;
    uint32_t batch, time;
    size_t stride;
};

/* Odd widths, one head, heads of one, more than one block of queries, more logits than a
 * chunk holds, a single token; queries wider and narrower than the stream, that share keys or
 * do not, an output layer of its own, and what else some models have. */
static const struct shape shapes[] = {
    {CONFIG(37, 11, 12, 2, 3, 48, 36), 2, 9, 1},
    {CONFIG(19, 8, 7, 1, 1, 28, 18), 3, 8, 2},
    {CONFIG(23, 5, 5, 1, 5, 20, 22), 1, 5, 2},
    {CONFIG(16, 1, 16, 3, 2, 64, 15), 2, 1, 29},
    {CONFIG(11, 300, 8, 1, 2, 32, 10), 2, 270, 61},
    {CONFIG(531, 40, 20, 2, 2, 80, 530), 4, 33, 997},
    {LLAMA(37, 11, 12, 2, 4, 2, 6, 19, 0), 2, 9, 1},
    {LLAMA(19, 8, 21, 1, 3, 1, 4, 9, UNTIED), 3, 8, 2},
    {LLAMA(23, 9, 10, 2, 6, 3, 2, 33, UNTIED | MEAN | FACTORS), 2, 9, 2},
    {LLAMA(11, 300, 8, 1, 4, 2, 4, 12, MEAN), 2, 270, 61},
    {LLAMA(29, 1, 5, 2, 5, 5, 2, 7, FACTORS), 2, 1, 3},
};
enum { SHAPES = sizeof shapes / sizeof shapes[0], MOST_TOKENS = 540 };
static const char *const losses[] = {"ce", "kl", "chapter", "chapter-plain"};

static void check_shape(const struct shape *s, struct rbe_pool *pool, struct check_rng *rng)
{
    const struct rbe_grad_limits limits = {.batch = s->batch, .time = s->time};
    struct rbe_grad_limits forward = limits;
    forward.forward_only = true;
    struct rbe_grad *t = open_train(&s->c, limits, pool);
    struct rbe_grad *teacher = open_train(&s->c, forward, pool);
    uint32_t tokens[MOST_TOKENS], targets[MOST_TOKENS];
    const struct rbe_grad_batch b = {.batch = s->batch, .time = s->time, .tokens = tokens,
                                     .targets = targets};
    struct rbe_diag d = {""};

    fill(t, rng);
    fill(teacher, rng);
    fill_batch(tokens, targets, (size_t)s->batch * s->time, s->c.vocab, rng);
    struct model m = {t, s->c, doubles(t)}, o = {teacher, s->c, doubles(teacher)};
    double *z = malloc((size_t)s->batch * s->time * s->c.vocab * sizeof *z);
    for (size_t k = 0; k < s->batch; k++) {
        double *one = o_logits(&o, tokens + k * s->time, s->time);
        memcpy(z + k * s->time * s->c.vocab, one, s->time * s->c.vocab * sizeof *z);
        free(one);
    }
    for (size_t k = 0; k < sizeof losses / sizeof losses[0]; k++) {
        struct rbe_loss l;
        struct rbe_loss_sums sums = {0}, again = {0};
        const float weight = 0.25F;
        CHECK(!rbe_loss_named(&l, losses[k], &d));
        const double *with = rbe_loss_distils(&l) ? z : NULL;
        rbe_grad_zero(t);
        CHECK(!rbe_grad_step(t, &b, &l, with ? teacher : NULL, weight, &sums, &d));
        CHECK(!rbe_grad_evaluate(t, &b, &l, with ? teacher : NULL, &again, &d));
        const double want = o_loss(&m, &b, &l, with);
        CHECK_NEAR(sums.loss, want, 2e-6 * fabs(want) + 1e-5);
        CHECK(!memcmp(&sums, &again, sizeof sums));
        /* An interrupt ends both, and says so. */
        CHECK(!raise(SIGTERM) && rbe_interrupted());
        CHECK(rbe_grad_step(t, &b, &l, with ? teacher : NULL, 1, &again, &d) ==
              RBE_ERR_INTERRUPTED);
        CHECK(rbe_grad_evaluate(t, &b, &l, with ? teacher : NULL, &again, &d) ==
              RBE_ERR_INTERRUPTED);
        rbe_clear_interrupt();
        CHECK(!memcmp(&sums, &again, sizeof sums));
        compare(&m, &b, &l, with, (double)weight, k ? 3 * s->stride + 1 : s->stride);
    }
    free(z);
    free(m.p);
    free(o.p);
    rbe_grad_close(&t);
    rbe_grad_close(&teacher);
}

/* --- kept predictions --------------------------------------------------------------------- */

/* What kept predictions say of their tokens: a student that knows nothing is given them. */
static void read_kept(double *known, const unsigned char *kept, size_t vocab, double by)
{
    float *zeros = calloc(vocab, sizeof *zeros), *logits = malloc(vocab * sizeof *logits);
    double sum = 0;

    rbe_top_logits(logits, kept, zeros, vocab, (float)(1 / by));
    for (size_t i = 0; i < vocab; i++)
        sum += exp((double)logits[i] * by);
    for (size_t i = 0; i < vocab; i++)
        known[i] = logits[i] == 0 ? 0 : exp((double)logits[i] * by) / sum;
    free(zeros);
    free(logits);
}

/* Taken in a step they are those that the teacher alone gives, and change nothing; a step by
 * them has the gradient that top.h says, and no use for the teacher. */
static void check_kept(const struct shape *s, struct rbe_pool *pool, struct check_rng *rng)
{
    const struct rbe_grad_limits limits = {.batch = s->batch, .time = s->time};
    const size_t v = s->c.vocab, n = (size_t)s->batch * s->time;
    const size_t sequence = s->time * rbe_top_bytes(v);
    struct rbe_grad_limits forward = limits;
    forward.forward_only = true;
    struct rbe_grad *t = open_train(&s->c, limits, pool);
    struct rbe_grad *teacher = open_train(&s->c, forward, pool);
    const size_t floats = rbe_grad_floats(t);
    uint32_t tokens[MOST_TOKENS], targets[MOST_TOKENS];
    unsigned char *bytes = calloc(2 * s->batch, sequence);
    unsigned char **kept = calloc(s->batch, sizeof *kept);
    float *before = malloc(floats * sizeof *before);
    double *z = malloc(n * v * sizeof *z);
    struct rbe_grad_batch b = {.batch = s->batch, .time = s->time, .tokens = tokens,
                               .targets = targets};
    struct rbe_diag d = {""};

    fill(t, rng);
    fill(teacher, rng);
    fill_batch(tokens, targets, n, s->c.vocab, rng);
    struct model m = {t, s->c, doubles(t)}, o = {teacher, s->c, doubles(teacher)};
    for (size_t k = 1; k < 3; k++) {
        struct rbe_loss l;
        struct rbe_loss_sums sums = {0}, again = {0};
        CHECK(!rbe_loss_named(&l, losses[k], &d));
        rbe_grad_zero(t);
        CHECK(!rbe_grad_step(t, &b, &l, teacher, 0.25F, &sums, &d));
        memcpy(before, rbe_grad_gradients(t), floats * sizeof *before);
        for (uint32_t i = 0; i < s->batch; i++)
            kept[i] = bytes + i * sequence;
        b.kept = kept;
        rbe_grad_zero(t);
        CHECK(!rbe_grad_step(t, &b, &l, teacher, 0.25F, &again, &d));
        CHECK(!memcmp(before, rbe_grad_gradients(t), floats * sizeof *before));
        CHECK(!memcmp(&sums, &again, sizeof sums));
        for (uint32_t i = 0; i < s->batch; i++)
            kept[i] = bytes + (s->batch + i) * sequence;
        CHECK(!rbe_grad_predict(teacher, &b, l.temperature, &d));
        CHECK(!memcmp(bytes, bytes + s->batch * sequence, s->batch * sequence));

        /* The last ones are known.  Those before are taken again, and are the same as without
         * the others. */
        b.known = s->batch / 2;
        for (size_t i = 0; i < s->batch - b.known; i++)
            memset(kept[i], 0, sequence);
        for (size_t i = 0; i < n; i++) {
            const size_t at = i / s->time;
            if (at >= s->batch - b.known) {
                read_kept(z + i * v, kept[at] + i % s->time * rbe_top_bytes(v), v,
                          1 / (double)l.temperature);
            } else if (i % s->time == 0) {
                double *one = o_logits(&o, tokens + i, s->time);
                memcpy(z + i * v, one, s->time * v * sizeof *z);
                free(one);
            }
        }
        rbe_grad_zero(t);
        sums = (struct rbe_loss_sums){0};
        CHECK(!rbe_grad_step(t, &b, &l, teacher, 0.25F, &sums, &d));
        const double want = o_loss(&m, &b, &l, z);
        CHECK_NEAR(sums.loss, want, 2e-6 * fabs(want) + 1e-5);
        compare(&m, &b, &l, z, 0.25, 3 * s->stride + 1);
        struct rbe_grad_batch taught = b;
        taught.batch -= taught.known;
        taught.known = 0;
        for (size_t i = 0; i < taught.batch; i++)
            kept[i] = bytes + i * sequence;
        CHECK(!rbe_grad_predict(teacher, &taught, l.temperature, &d));
        CHECK(!memcmp(bytes, bytes + s->batch * sequence, taught.batch * sequence));

        /* A teacher that nobody asks may be anything. */
        for (uint32_t i = 0; i < s->batch; i++)
            kept[i] = bytes + i * sequence;
        b.known = s->batch;
        memcpy(before, rbe_grad_params(teacher), floats * sizeof *before);
        for (size_t i = 0; i < floats; i++)
            rbe_grad_params(teacher)[i] = NAN;
        CHECK(!rbe_grad_step(t, &b, &l, teacher, 1, &sums, &d) && isfinite(sums.loss));
        b.known = s->batch / 2;
        CHECK(rbe_grad_step(t, &b, &l, teacher, 1, &sums, &d) == RBE_ERR_NUMERIC);
        memcpy(rbe_grad_params(teacher), before, floats * sizeof *before);
        CHECK(rbe_grad_evaluate(t, &b, &l, teacher, &sums, &d) == RBE_ERR_ARG);
        kept[s->batch - 1] = NULL;
        CHECK(rbe_grad_step(t, &b, &l, teacher, 1, &sums, &d) == RBE_ERR_ARG);
        b.known = s->batch + 1;
        CHECK(rbe_grad_step(t, &b, &l, teacher, 1, &sums, &d) == RBE_ERR_ARG);
        b.known = 1;
        b.kept = NULL;
        CHECK(rbe_grad_step(t, &b, &l, teacher, 1, &sums, &d) == RBE_ERR_ARG);
        b.known = 0;
    }
    free(before);
    free(bytes);
    free(kept);
    free(z);
    free(m.p);
    free(o.p);
    rbe_grad_close(&t);
    rbe_grad_close(&teacher);
}

/* --- what else the contract says ---------------------------------------------------------- */

static const struct rbe_model_config small = CONFIG(53, 40, 24, 3, 2, 96, 52);
static const struct rbe_model_config small_llama = LLAMA(53, 40, 24, 3, 4, 2, 10, 56,
                                                         UNTIED | MEAN);
enum { BATCH = 4, TIME = 37, TOKENS = BATCH * TIME };

struct outcome {
    float *gradients;
    struct rbe_loss_sums sums;
};

/* Runs a batch in `parts` micro-batches, twice over, and keeps the gradients. */
static struct outcome outcome(const struct rbe_model_config *c, struct rbe_grad_limits l,
                              struct rbe_pool *pool, const uint32_t *tokens,
                              const uint32_t *targets, uint32_t parts)
{
    struct rbe_grad *t = open_train(c, l, pool);
    struct check_rng rng = {77};
    const struct rbe_loss ce = {0, 1, 1, 0};
    struct outcome o = {0};
    struct rbe_diag d;

    fill(t, &rng);
    for (int twice = 0; twice < 2; twice++) {
        rbe_grad_zero(t);
        o.sums = (struct rbe_loss_sums){0};
        for (uint32_t i = 0; i < parts; i++) {
            const size_t at = i * (TOKENS / parts);
            const struct rbe_grad_batch b = {.batch = BATCH / parts, .time = TIME,
                                             .tokens = tokens + at, .targets = targets + at};
            CHECK(!rbe_grad_step(t, &b, &ce, NULL, 0.5F, &o.sums, &d));
        }
        float *g = malloc(rbe_grad_floats(t) * sizeof *g);
        memcpy(g, rbe_grad_gradients(t), rbe_grad_floats(t) * sizeof *g);
        CHECK(!o.gradients || !memcmp(g, o.gradients, rbe_grad_floats(t) * sizeof *g));
        free(o.gradients);
        o.gradients = g;
    }
    rbe_grad_close(&t);
    return o;
}

static void near(const struct outcome *a, const struct outcome *b, size_t n, double tol)
{
    double worst = 0, largest = 0;

    for (size_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs((double)a->gradients[i]));
        worst = fmax(worst, fabs((double)a->gradients[i] - (double)b->gradients[i]));
    }
    CHECK(largest > 0 && worst <= tol * largest);
    CHECK_NEAR(a->sums.loss, b->sums.loss, 1e-6 * fabs(a->sums.loss));
    CHECK(a->sums.count == b->sums.count);
}

static void check_ways(const struct rbe_model_config *config, struct rbe_pool *pool,
                       struct check_rng *rng)
{
    uint32_t tokens[TOKENS], targets[TOKENS];
    const struct rbe_grad_limits limits = {.batch = BATCH, .time = TIME};
    struct rbe_grad_limits again = limits, half = limits, roomy = {.batch = 7, .time = 40};
    again.recompute = true;
    half.batch = 2;

    fill_batch(tokens, targets, TOKENS, config->vocab, rng);
    struct rbe_grad *t = open_train(config, limits, pool);
    const size_t n = rbe_grad_floats(t);
    rbe_grad_close(&t);
    struct outcome a = outcome(config, limits, pool, tokens, targets, 1);
    struct outcome b = outcome(config, again, pool, tokens, targets, 1);
    struct outcome c = outcome(config, half, pool, tokens, targets, 2);
    struct outcome one = outcome(config, limits, NULL, tokens, targets, 1);
    struct outcome r = outcome(config, roomy, pool, tokens, targets, 1);
    CHECK(!memcmp(a.gradients, b.gradients, n * sizeof *a.gradients));
    CHECK(!memcmp(a.gradients, r.gradients, n * sizeof *a.gradients));
    near(&a, &c, n, 1e-5);
    near(&a, &one, n, 1e-5);
    CHECK(rbe_grad_bytes(config, again, 2) < rbe_grad_bytes(config, limits, 2));
    free(a.gradients);
    free(b.gradients);
    free(c.gradients);
    free(one.gradients);
    free(r.gradients);
}

static void check_frozen(const struct rbe_model_config *c, struct rbe_pool *pool,
                         struct check_rng *rng)
{
    uint32_t tokens[TOKENS], targets[TOKENS];
    const struct rbe_grad_limits limits = {.batch = BATCH, .time = TIME};
    struct rbe_grad *t = open_train(c, limits, pool);
    const struct rbe_grad_batch b = {.batch = BATCH, .time = TIME, .tokens = tokens,
                                     .targets = targets};
    const struct rbe_loss ce = {0, 1, 1, 0};
    struct rbe_loss_sums sums = {0};

    fill(t, rng);
    fill_batch(tokens, targets, TOKENS, c->vocab, rng);
    CHECK(!rbe_grad_step(t, &b, &ce, NULL, 1, &sums, NULL));
    float *all = malloc(rbe_grad_floats(t) * sizeof *all);
    memcpy(all, rbe_grad_gradients(t), rbe_grad_floats(t) * sizeof *all);
    rbe_grad_zero(t);
    for (size_t i = 0; i < rbe_grad_slices(t); i += 2)
        rbe_grad_slice(t, i)->frozen = true;
    CHECK(!rbe_grad_step(t, &b, &ce, NULL, 1, &sums, NULL));
    for (size_t i = 0; i < rbe_grad_slices(t); i++) {
        const struct rbe_grad_slice *s = rbe_grad_slice(t, i);
        const float *g = rbe_grad_gradients(t) + s->at;
        bool zero = true;
        for (size_t k = 0; k < s->count; k++)
            zero = zero && g[k] == 0;
        CHECK(s->frozen ? zero : !memcmp(g, all + s->at, s->count * sizeof *g));
    }
    free(all);
    rbe_grad_close(&t);
}

/* The difference of a and b, of all numbers. */
static bool alike(const float *a, const float *b, size_t n, double tol)
{
    double error = 0, size = 0;

    for (size_t k = 0; k < n; k++) {
        error += ((double)a[k] - (double)b[k]) * ((double)a[k] - (double)b[k]);
        size += (double)a[k] * (double)a[k];
    }
    return sqrt(error) <= tol * sqrt(size);
}

/* Sums in the place of the gradients of matrices: with rotations, and rows in two parts. */
static void check_sums(const struct rbe_model_config *c, bool bf16, struct rbe_pool *pool,
                       struct check_rng *rng)
{
    uint32_t tokens[TOKENS], targets[TOKENS];
    const struct rbe_grad_limits limits = {.batch = BATCH, .time = TIME, .bf16 = bf16};
    struct rbe_grad *t = open_train(c, limits, pool);
    const unsigned threads = rbe_grad_threads(t);
    const size_t n = rbe_grad_slices(t), floats = rbe_grad_floats(t);
    const struct rbe_grad_batch b = {.batch = BATCH, .time = TIME, .tokens = tokens,
                                     .targets = targets};
    struct rbe_grad_sums *sums = calloc(n, sizeof *sums);
    uint32_t (*row0)[2] = calloc(n, sizeof *row0);
    float *all = malloc(floats * sizeof *all);
    const struct rbe_loss ce = {0, 1, 1, 0};
    struct rbe_loss_sums loss = {0};

    fill(t, rng);
    fill_batch(tokens, targets, TOKENS, c->vocab, rng);
    CHECK(!rbe_grad_step(t, &b, &ce, NULL, 1, &loss, NULL));
    memcpy(all, rbe_grad_gradients(t), floats * sizeof *all);
    rbe_grad_zero(t);
    for (size_t i = 0; i < n; i++) {
        struct rbe_grad_slice *s = rbe_grad_slice(t, i);
        if (!s->matrix)
            continue;
        row0[i][1] = s->rows / 3;
        sums[i] = (struct rbe_grad_sums){
            .rotation = i % 3 ? s->cols & -s->cols : 0, .seed = i, .columns = i % 4 != 3,
            .parts = i % 4 == 3 ? 0 : i % 2 ? 2 : 1, .row0 = row0[i]};
        sums[i].sums = calloc(threads * (s->rows + sums[i].parts * (size_t)s->cols),
                              sizeof(float));
        s->sums = &sums[i];
    }
    CHECK(!rbe_grad_step(t, &b, &ce, NULL, 1, &loss, NULL));
    for (size_t i = 0; i < n; i++) {
        const struct rbe_grad_slice *s = rbe_grad_slice(t, i);
        const size_t cols = s->cols, stride = s->rows + sums[i].parts * cols;
        float *g = all + s->at, *w = rbe_grad_params(t) + s->at;
        const float *now = rbe_grad_gradients(t) + s->at;
        if (!s->sums) {
            CHECK(alike(g, now, s->count, bf16 ? 0.03 : 2e-5));
            continue;
        }
        double *want = calloc(stride, sizeof *want), error = 0, size = 0;
        bool zero = true;
        for (size_t r = 0; r < s->rows; r++) {
            const size_t part = sums[i].parts > 1 && r >= row0[i][1];
            for (size_t k = 0; k < cols; k++) {
                zero = zero && now[r * cols + k] == 0;
                want[r] += (double)g[r * cols + k] * (double)w[r * cols + k];
            }
            if (sums[i].rotation) {
                rbe_rotate(g + r * cols, cols, 1, cols, sums[i].rotation, sums[i].seed);
                rbe_rotate(w + r * cols, cols, 1, cols, sums[i].rotation, sums[i].seed);
            }
            for (size_t k = 0; k < cols && sums[i].columns; k++)
                want[s->rows + part * cols + k] +=
                    (double)g[r * cols + k] * (double)w[r * cols + k];
        }
        for (size_t k = 0; k < stride; k++) {
            double got = 0;
            for (unsigned j = 0; j < threads; j++)
                got += (double)sums[i].sums[j * stride + k];
            error += (got - want[k]) * (got - want[k]);
            size += want[k] * want[k];
        }
        if (!CHECK(zero && sqrt(error) <= (bf16 ? 0.03 : 2e-5) * sqrt(size)))
            printf("     %s: %.3g of %.3g\n", s->name, sqrt(error), sqrt(size));
        free(want);
    }
    rbe_grad_zero(t);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; sums[i].sums && k < rbe_grad_slice(t, i)->rows; k++)
            CHECK(sums[i].sums[k] == 0);
        free(sums[i].sums);
    }
    free(sums);
    free(row0);
    free(all);
    rbe_grad_close(&t);
}

/* What the tap saw, multiplied out: the parameters' gradients once more. */
struct tapped {
    double *gradients;          /* [floats] */
    const uint32_t *tokens;
    size_t calls;
};

static void on_tap(void *arg, const struct rbe_grad_slice *s, const float *x, const float *dy,
                   size_t tokens)
{
    struct tapped *k = arg;

    k->calls++;
    for (size_t i = 0; i < tokens && !x; i++)
        for (size_t c = 0; c < s->cols; c++)
            k->gradients[s->at + k->tokens[i] * s->cols + c] += (double)dy[i * s->cols + c];
    for (size_t i = 0; i < tokens && x; i++)
        for (size_t r = 0; r < s->weight_rows; r++)
            for (size_t c = 0; c < s->cols; c++)
                k->gradients[s->at + r * s->cols + c] +=
                    (double)dy[i * s->weight_rows + r] * (double)x[i * s->cols + c];
}

/* Inputs and gradients by the outputs make the gradients of the linear layers, and with those
 * by the rows that were looked up that of the embedding; the same when those are not computed;
 * and drawn targets are those the predictions say. */
static void check_tap(const struct rbe_model_config *c, struct rbe_pool *pool,
                      struct check_rng *rng)
{
    uint32_t tokens[TOKENS], targets[TOKENS];
    float draws[TOKENS], logits[53];
    const struct rbe_grad_limits limits = {.batch = BATCH, .time = TIME};
    struct rbe_grad_limits only = limits;
    only.tap_only = true;
    struct rbe_grad *t = open_train(c, limits, pool);
    struct rbe_grad *u = open_train(c, only, pool);
    const struct rbe_grad_batch b = {.batch = BATCH, .time = TIME, .tokens = tokens,
                                     .targets = targets};
    const struct rbe_grad_batch drawn = {.batch = BATCH, .time = TIME, .tokens = tokens,
                                         .draws = draws};
    const struct rbe_loss ce = {0, 1, 1, 0}, kl = {1, 1, 1, 0};
    const size_t n = rbe_grad_floats(t);
    struct tapped k = {calloc(n, sizeof(double)), tokens, 0};
    struct tapped v = {calloc(n, sizeof(double)), tokens, 0};
    struct rbe_loss_sums sums = {0}, other = {0};

    fill(t, rng);
    memcpy(rbe_grad_params(u), rbe_grad_params(t), n * sizeof(float));
    fill_batch(tokens, targets, TOKENS, c->vocab, rng);
    for (size_t i = 0; i < TOKENS; i++)
        tokens[i] %= 20;
    CHECK(!rbe_grad_forward(t, &b, NULL));
    for (size_t i = 0; i < TOKENS; i++) {
        double all = 0, sum = 0;
        draws[i] = check_unit(rng);
        CHECK(!rbe_grad_logits(t, i, 1, logits, NULL));
        for (size_t w = 0; w < 53; w++)
            all += exp((double)logits[w]);
        for (targets[i] = 0; targets[i] < 52; targets[i]++)
            if ((sum += exp((double)logits[targets[i]]) / all) > (double)draws[i])
                break;
    }
    rbe_grad_tap(t, on_tap, &k);
    rbe_grad_tap(u, on_tap, &v);
    CHECK(!rbe_grad_step(t, &b, &ce, NULL, 0.5F, &sums, NULL));
    CHECK(!rbe_grad_step(u, &drawn, &ce, NULL, 0.5F, &other, NULL));
    CHECK_NEAR(sums.loss, other.loss, 1e-6 * sums.loss);
    CHECK(k.calls == v.calls && k.calls > 4 * c->n_layer);
    CHECK(!memcmp(k.gradients, v.gradients, n * sizeof *k.gradients));
    CHECK(!rbe_grad_gradients(u));
    CHECK(rbe_grad_bytes(c, only, 2) < rbe_grad_bytes(c, limits, 2));
    for (size_t i = 0; i < rbe_grad_slices(t); i++) {
        const struct rbe_grad_slice *s = rbe_grad_slice(t, i);
        const float *g = rbe_grad_gradients(t) + s->at;
        double worst = 0, largest = 0;
        for (size_t j = 0; j < s->count; j++) {
            largest = fmax(largest, fabs((double)g[j]));
            worst = fmax(worst, fabs((double)g[j] - k.gradients[s->at + j]));
        }
        if (s->matrix)
            CHECK(largest > 0 && worst <= 1e-5 * largest);
    }
    CHECK(rbe_grad_step(t, &drawn, &kl, t, 1, &sums, NULL) == RBE_ERR_ARG);
    free(k.gradients);
    free(v.gradients);
    rbe_grad_close(&t);
    rbe_grad_close(&u);
}

static void check_errors(struct rbe_pool *pool)
{
    uint32_t tokens[8] = {1, 2, 3, 4, 5, 6, 7, 8}, targets[8] = {2, 3, 4, 5, 6, 7, 8, 9};
    struct rbe_grad_limits l = {.batch = 1, .time = 8};
    struct rbe_grad_batch b = {.batch = 1, .time = 8, .tokens = tokens, .targets = targets};
    struct rbe_model_config other = small;
    struct rbe_loss loss = {0, 1, 1, 0};
    struct rbe_loss_sums sums = {0};
    struct rbe_grad *t, *teacher, *none;
    struct check_rng rng = {5};
    float logits[53];

    t = open_train(&small, l, pool);
    fill(t, &rng);
    CHECK(rbe_grad_logits(t, 0, 1, logits, NULL) == RBE_ERR_ARG);
    CHECK(!rbe_grad_forward(t, &b, NULL) && !rbe_grad_logits(t, 7, 1, logits, NULL));
    CHECK(rbe_grad_logits(t, 7, 2, logits, NULL) == RBE_ERR_ARG);
    tokens[3] = 53;
    CHECK(rbe_grad_step(t, &b, &loss, NULL, 1, &sums, NULL) == RBE_ERR_ARG);
    tokens[3] = 4;
    targets[7] = 53;
    CHECK(rbe_grad_step(t, &b, &loss, NULL, 1, &sums, NULL) == RBE_ERR_ARG);
    targets[7] = 52;
    b.batch = 2;
    CHECK(rbe_grad_step(t, &b, &loss, NULL, 1, &sums, NULL) == RBE_ERR_ARG);
    b.batch = 1;
    loss.alpha = 1;
    CHECK(rbe_grad_step(t, &b, &loss, NULL, 1, &sums, NULL) == RBE_ERR_ARG);
    l.forward_only = true;
    other.vocab = 54;
    teacher = open_train(&other, l, pool);
    CHECK(rbe_grad_step(t, &b, &loss, teacher, 1, &sums, NULL) == RBE_ERR_MISMATCH);
    loss.alpha = 0;
    CHECK(rbe_grad_step(teacher, &b, &loss, NULL, 1, &sums, NULL) == RBE_ERR_ARG);
    CHECK(!rbe_grad_gradients(teacher));
    rbe_grad_params(t)[rbe_grad_find(t, "h.1.mlp.c_fc.bias")->at] = NAN;
    CHECK(rbe_grad_step(t, &b, &loss, NULL, 1, &sums, NULL) == RBE_ERR_NUMERIC);
    rbe_grad_close(&teacher);
    rbe_grad_close(&t);
    CHECK(!t);
    l.time = 41;
    CHECK(rbe_grad_open(&none, &small, l, pool, NULL) == RBE_ERR_ARG && !none);
    l.time = 4;
    struct rbe_model_config odd = small_llama;
    odd.n_kv = 3;
    CHECK(rbe_grad_open(&none, &odd, l, pool, NULL) == RBE_ERR_ARG && !none);
    odd.n_kv = 4;
    odd.head = 5;
    CHECK(rbe_grad_open(&none, &odd, l, pool, NULL) == RBE_ERR_ARG && !none);
    CHECK(rbe_model_config_size(&other, "1558M", NULL) == RBE_OK);
    l = (struct rbe_grad_limits){.batch = 1000000000, .time = 4};
    CHECK(rbe_grad_open(&none, &other, l, pool, NULL) == RBE_ERR_NOMEM && !none);
}

/* --- bf16 --------------------------------------------------------------------------------- */

/* Rounded inputs change a gradient a little, and the same calls give the same bits.  Odd
 * widths, and sums longer than the pieces that are rounded at a time. */
static void check_bf16(const struct rbe_model_config *c, struct rbe_pool *pool,
                       struct check_rng *rng)
{
    struct rbe_grad_limits l = {.batch = 4, .time = 270}, half = l;
    half.bf16 = true;
    if (!rbe_product_has_bf16()) {
        struct rbe_grad *none;
        CHECK(rbe_grad_open(&none, c, half, pool, NULL) == RBE_ERR_ARG && !none);
        printf("SKIP bf16: this CPU or build has no such products\n");
        return;
    }
    enum { N = 4 * 270 };
    struct rbe_grad *t = open_train(c, l, pool), *h = open_train(c, half, pool);
    struct rbe_grad *again = open_train(c, half, pool);
    uint32_t tokens[N], targets[N];
    const struct rbe_grad_batch b = {.batch = 4, .time = 270, .tokens = tokens,
                                     .targets = targets};
    const struct rbe_loss kl = {0.5F, 1, 1, 0};
    struct rbe_loss_sums sums = {0}, rounded = {0}, same = {0};
    const size_t n = rbe_grad_floats(t);

    fill(t, rng);
    fill_batch(tokens, targets, N, c->vocab, rng);
    memcpy(rbe_grad_params(h), rbe_grad_params(t), n * sizeof(float));
    memcpy(rbe_grad_params(again), rbe_grad_params(t), n * sizeof(float));
    struct rbe_grad_limits f = l;
    f.forward_only = true;
    struct rbe_grad *teacher = open_train(c, f, pool);
    fill(teacher, rng);
    CHECK(!rbe_grad_step(t, &b, &kl, teacher, 1, &sums, NULL));
    CHECK(!rbe_grad_step(h, &b, &kl, teacher, 1, &rounded, NULL));
    CHECK(!rbe_grad_step(again, &b, &kl, teacher, 1, &same, NULL));
    CHECK(!memcmp(&rounded, &same, sizeof same));
    CHECK(!memcmp(rbe_grad_gradients(h), rbe_grad_gradients(again), n * sizeof(float)));
    CHECK(rounded.loss != sums.loss);
    CHECK_NEAR(rounded.loss, sums.loss, 2e-3 * sums.loss);
    for (size_t i = 0; i < rbe_grad_slices(t); i++) {
        const struct rbe_grad_slice *s = rbe_grad_slice(t, i);
        const float *a = rbe_grad_gradients(t) + s->at, *r = rbe_grad_gradients(h) + s->at;
        double error = 0, size = 0;
        for (size_t k = 0; k < s->count; k++) {
            error += ((double)a[k] - (double)r[k]) * ((double)a[k] - (double)r[k]);
            size += (double)a[k] * (double)a[k];
        }
        if (!CHECK(sqrt(error) <= 0.03 * sqrt(size)))
            printf("     %s: %.3g of %.3g\n", s->name, sqrt(error), sqrt(size));
    }
    rbe_grad_close(&teacher);
    rbe_grad_close(&again);
    rbe_grad_close(&h);
    rbe_grad_close(&t);
}

/* --- the runtime -------------------------------------------------------------------------- */

/* Logits of the model in this folder, here and from a session. */
static void same_logits(const char *path, struct rbe_pool *pool, struct check_rng *rng)
{
    enum { N = 200 };
    struct rbe_diag d = {""};
    struct rbe_source *source;
    struct rbe_model *model;
    struct rbe_session *s;
    uint32_t tokens[2 * N];

    if (!CHECK(!rbe_source_open(&source, path, &d) && !rbe_model_open(&model, path, &d))) {
        printf("     %s\n", d.text);
        return;
    }
    const struct rbe_model_config *c = rbe_model_config(model);
    struct rbe_grad *t = open_train(
        c, (struct rbe_grad_limits){.batch = 2, .time = N, .forward_only = true}, pool);
    CHECK(!rbe_grad_load(t, source, &d));
    CHECK(!rbe_session_open(&s, model, (struct rbe_session_limits){.max_logits = 1}, pool, &d));
    for (size_t i = 0; i < 2 * N; i++)
        tokens[i] = check_below(rng, c->vocab);
    CHECK(!rbe_grad_forward(
        t, &(struct rbe_grad_batch){.batch = 2, .time = N, .tokens = tokens}, &d));
    float *a = malloc(c->vocab * sizeof *a), *b = malloc(c->vocab * sizeof *b);
    for (size_t k = 0; k < 2; k++) {
        rbe_session_truncate(s, 0);
        CHECK(!rbe_forward(s, tokens + k * N, N, &d));
        for (size_t at = 0; at < N; at += 13) {
            double worst = 0, largest = 0;
            CHECK(!rbe_logits(s, at, 1, a, &d) && !rbe_grad_logits(t, k * N + at, 1, b, &d));
            for (uint32_t i = 0; i < c->vocab; i++) {
                worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
                largest = fmax(largest, fabs((double)a[i]));
            }
            CHECK_NEAR(worst, 0, 2e-4);
            CHECK(largest > 0.5);
        }
    }
    free(a);
    free(b);
    rbe_session_close(&s);
    rbe_grad_close(&t);
    rbe_model_close(&model);
    rbe_source_close(&source);
}

/* The shipped model's, and those of a Llama with weights that bend every part. */
static void check_runtime(struct rbe_pool *pool, struct check_rng *rng)
{
    static const struct rbe_model_config llama = LLAMA(301, 200, 40, 3, 6, 2, 8, 100, UNTIED);
    char *mini = rbe_data_path("rbe-mini"), dir[] = "/tmp/rbe-grad-XXXXXX";
    struct rbe_tensor_out out[64];
    struct rbe_diag d = {""};

    if (CHECK(mini))
        same_logits(mini, pool, rng);
    free(mini);
    if (!CHECK(mkdtemp(dir)) || !CHECK(!rbe_synth(dir, &llama, RBE_DT_F32, 1, &d)))
        return;
    struct rbe_grad *t = open_train(
        &llama, (struct rbe_grad_limits){.batch = 1, .time = 1, .forward_only = true}, pool);
    const size_t n = rbe_grad_slices(t);
    char *weights = rbe_path_join(dir, "model.safetensors");
    char *config = rbe_path_join(dir, "config.json");
    fill(t, rng);
    for (size_t i = 0; i < n; i++) {
        const struct rbe_grad_slice *s = rbe_grad_slice(t, i);
        out[i] = (struct rbe_tensor_out){s->name, RBE_DT_F32, s->matrix ? 2 : 1,
                                         {s->matrix ? s->rows : s->cols, s->cols},
                                         rbe_grad_params(t) + s->at};
    }
    if (CHECK(!rbe_safetensors_write(weights, out, n, (const char *const[]){NULL}, &d)))
        same_logits(dir, pool, rng);
    rbe_grad_close(&t);
    CHECK(!unlink(weights) && !unlink(config) && !rmdir(dir));
    free(weights);
    free(config);
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);
    struct rbe_pool *pool;

    if (rbe_cpu_init() || rbe_pool_open(&pool, 2, NULL))
        return 1;
    rbe_catch_interrupt();
    rbe_interrupt_grace = 0;
    for (size_t i = 0; i < SHAPES; i++)
        check_shape(&shapes[i], pool, &rng);
    check_kept(&shapes[4], pool, &rng);     /* more positions than a head takes at a time */
    check_kept(&shapes[5], pool, &rng);     /* more tokens than are kept */
    check_kept(&shapes[7], pool, &rng);
    for (size_t i = 0; i < 2; i++) {
        static const struct rbe_model_config wide[] = {
            CONFIG(2300, 300, 36, 2, 3, 144, 0),
            LLAMA(2300, 300, 36, 2, 6, 3, 10, 100, UNTIED)};
        const struct rbe_model_config *c = i ? &small_llama : &small;
        check_ways(c, pool, &rng);
        check_frozen(c, pool, &rng);
        check_sums(c, false, pool, &rng);
        if (rbe_product_has_bf16())
            check_sums(c, true, pool, &rng);
        check_tap(c, pool, &rng);
        check_bf16(&wide[i], pool, &rng);
    }
    check_errors(pool);
    check_runtime(pool, &rng);
    rbe_pool_close(&pool);
    return check_done();
}
