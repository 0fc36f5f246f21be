/*
 * oracle.h - the forward passes of GPT-2 and Llama in double precision, straight from the
 * definitions.
 *
 * SPDX-License-Identifier: MIT
 *
 * Reads the checkpoint itself and shares no arithmetic with the runtime.  It keeps what the
 * inputs of every matrix product are, so that a runtime can be compared layer by layer.
 */
#ifndef RBE_MODEL_TEST_ORACLE_H
#define RBE_MODEL_TEST_ORACLE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/config.h"
#include "rbe/safetensors.h"

/* Products of a layer: c_attn, c_proj, c_fc, mlp.c_proj; q, k and v, o_proj, gate and up,
 * down_proj. */
enum { ORACLE_STAGES = 4 };

struct oracle {
    struct rbe_model_config c;
    const struct rbe_safetensors *file;
    size_t tokens;
    double *x;                  /* [tokens][n_embd] */
    double *stage[64][ORACLE_STAGES];   /* [tokens][inputs], per layer */
    double *last;               /* [tokens][n_embd] after ln_f: the output layer's inputs */
};

/* A tensor as doubles; the program ends when it is missing, which is the test's own fault. */
static double *oracle_tensor(const struct oracle *o, const char *name)
{
    const struct rbe_tensor *t = rbe_safetensors_find(o->file, name);
    float *f = t ? malloc(t->count * sizeof *f) : NULL;
    double *v = t ? malloc(t->count * sizeof *v) : NULL;

    if (!f || !v || rbe_tensor_to_f32(t, f, NULL)) {
        printf("FAIL oracle: no %s\n", name);
        exit(1);
    }
    for (size_t i = 0; i < t->count; i++)
        v[i] = f[i];
    free(f);
    return v;
}

static double *oracle_layer_tensor(const struct oracle *o, uint32_t layer, const char *what)
{
    char name[64];

    snprintf(name, sizeof name, "h.%u.%s", layer, what);
    return oracle_tensor(o, name);
}

static double *oracle_norm(const struct oracle *o, double *gain, double *bias)
{
    const size_t e = o->c.n_embd;
    double *y = malloc(o->tokens * e * sizeof *y);

    for (size_t t = 0; t < o->tokens; t++) {
        const double *x = o->x + t * e;
        double mean = 0, var = 0;
        for (size_t i = 0; i < e; i++)
            mean += x[i] / (double)e;
        for (size_t i = 0; i < e; i++)
            var += (x[i] - mean) * (x[i] - mean) / (double)e;
        for (size_t i = 0; i < e; i++)
            y[t * e + i] = (x[i] - mean) / sqrt(var + (double)o->c.ln_eps) * gain[i] + bias[i];
    }
    free(gain);
    free(bias);
    return y;
}

/* y [tokens][out] = x [tokens][in] times w [in][out], plus bias. */
static double *oracle_linear(const struct oracle *o, const double *x, size_t in, size_t out,
                             double *w, double *bias)
{
    double *y = malloc(o->tokens * out * sizeof *y);

    for (size_t t = 0; t < o->tokens; t++) {
        memcpy(y + t * out, bias, out * sizeof *y);
        for (size_t i = 0; i < in; i++)
            for (size_t k = 0; k < out; k++)
                y[t * out + k] += x[t * in + i] * w[i * out + k];
    }
    free(w);
    free(bias);
    return y;
}

static double *oracle_attention(const struct oracle *o, const double *qkv)
{
    const size_t e = o->c.n_embd, dim = e / o->c.n_head;
    double *y = calloc(o->tokens * e, sizeof *y), *p = malloc(o->tokens * sizeof *p);

    for (size_t h = 0; h < o->c.n_head; h++)
        for (size_t t = 0; t < o->tokens; t++) {
            double max = -INFINITY, sum = 0;
            for (size_t u = 0; u <= t; u++) {
                p[u] = 0;
                for (size_t i = 0; i < dim; i++)
                    p[u] += qkv[t * 3 * e + h * dim + i] * qkv[u * 3 * e + e + h * dim + i];
                p[u] /= sqrt((double)dim);
                max = fmax(max, p[u]);
            }
            for (size_t u = 0; u <= t; u++)
                sum += p[u] = exp(p[u] - max);
            for (size_t u = 0; u <= t; u++)
                for (size_t i = 0; i < dim; i++)
                    y[t * e + h * dim + i] += p[u] / sum *
                                              qkv[u * 3 * e + 2 * e + h * dim + i];
        }
    free(p);
    return y;
}

static void oracle_residual(struct oracle *o, double *y)
{
    for (size_t i = 0; i < o->tokens * o->c.n_embd; i++)
        o->x[i] += y[i];
    free(y);
}

static void oracle_layer(struct oracle *o, uint32_t l)
{
    const size_t e = o->c.n_embd, f = o->c.n_inner;
    double **s = o->stage[l];

    s[0] = oracle_norm(o, oracle_layer_tensor(o, l, "ln_1.weight"),
                       oracle_layer_tensor(o, l, "ln_1.bias"));
    double *qkv = oracle_linear(o, s[0], e, 3 * e,
                                oracle_layer_tensor(o, l, "attn.c_attn.weight"),
                                oracle_layer_tensor(o, l, "attn.c_attn.bias"));
    s[1] = oracle_attention(o, qkv);
    free(qkv);
    oracle_residual(o, oracle_linear(o, s[1], e, e,
                                     oracle_layer_tensor(o, l, "attn.c_proj.weight"),
                                     oracle_layer_tensor(o, l, "attn.c_proj.bias")));
    s[2] = oracle_norm(o, oracle_layer_tensor(o, l, "ln_2.weight"),
                       oracle_layer_tensor(o, l, "ln_2.bias"));
    s[3] = oracle_linear(o, s[2], e, f, oracle_layer_tensor(o, l, "mlp.c_fc.weight"),
                         oracle_layer_tensor(o, l, "mlp.c_fc.bias"));
    for (size_t i = 0; i < o->tokens * f; i++) {
        const double v = s[3][i];
        s[3][i] = v / 2 * (1 + tanh(sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
    }
    oracle_residual(o, oracle_linear(o, s[3], f, e,
                                     oracle_layer_tensor(o, l, "mlp.c_proj.weight"),
                                     oracle_layer_tensor(o, l, "mlp.c_proj.bias")));
}

/* --- Llama -------------------------------------------------------------------------------- */

static double *oracle_rms_norm(const struct oracle *o, double *gain)
{
    const size_t e = o->c.n_embd;
    double *y = malloc(o->tokens * e * sizeof *y);

    for (size_t t = 0; t < o->tokens; t++) {
        double square = 0;
        for (size_t i = 0; i < e; i++)
            square += o->x[t * e + i] * o->x[t * e + i] / (double)e;
        for (size_t i = 0; i < e; i++)
            y[t * e + i] = o->x[t * e + i] / sqrt(square + (double)o->c.ln_eps) * gain[i];
    }
    free(gain);
    return y;
}

/* y [tokens][out] = x [tokens][in] times the layer's w [out][in]. */
static double *oracle_project(const struct oracle *o, uint32_t l, const char *what,
                              const double *x, size_t in, size_t out)
{
    char name[64];
    double *y = calloc(o->tokens * out, sizeof *y);

    snprintf(name, sizeof name, "layers.%u.%s.weight", l, what);
    double *w = oracle_tensor(o, name);
    for (size_t t = 0; t < o->tokens; t++)
        for (size_t k = 0; k < out; k++)
            for (size_t i = 0; i < in; i++)
                y[t * out + k] += x[t * in + i] * w[k * in + i];
    free(w);
    return y;
}

/* Turns the pairs (i, i + head / 2) of every head, by the published rule for Llama 3 where the
 * configuration has it. */
static void oracle_rotate(const struct oracle *o, double *x, size_t heads)
{
    const size_t dim = o->c.head;

    for (size_t t = 0; t < o->tokens; t++)
        for (size_t i = 0; i < dim / 2; i++) {
            double f = 1 / pow((double)o->c.rope_base, 2 * (double)i / (double)dim);
            const double wave = 2 * M_PI / f, slow = f / (double)o->c.rope_factor;
            const double long_wave = o->c.rope_original / (double)o->c.rope_low;
            const double short_wave = o->c.rope_original / (double)o->c.rope_high;
            const double smooth = (o->c.rope_original / wave - (double)o->c.rope_low) /
                                  ((double)o->c.rope_high - (double)o->c.rope_low);
            if (o->c.rope_scaling == RBE_ROPE_LINEAR)
                f = slow;
            else if (o->c.rope_scaling == RBE_ROPE_LLAMA3 && wave > long_wave)
                f = slow;
            else if (o->c.rope_scaling == RBE_ROPE_LLAMA3 && wave >= short_wave)
                f = (1 - smooth) * slow + smooth * f;
            for (size_t h = 0; h < heads; h++) {
                double *v = x + (t * heads + h) * dim + i, a = v[0], b = v[dim / 2];
                v[0] = a * cos((double)t * f) - b * sin((double)t * f);
                v[dim / 2] = b * cos((double)t * f) + a * sin((double)t * f);
            }
        }
}

static double *oracle_grouped(const struct oracle *o, const double *q, const double *k,
                              const double *v)
{
    const size_t dim = o->c.head, n = o->c.n_head, m = o->c.n_kv;
    double *y = calloc(o->tokens * n * dim, sizeof *y), *p = malloc(o->tokens * sizeof *p);

    for (size_t h = 0; h < n; h++)
        for (size_t t = 0; t < o->tokens; t++) {
            const size_t g = h / (n / m);
            double sum = 0;
            for (size_t u = 0; u <= t; u++) {
                p[u] = 0;
                for (size_t i = 0; i < dim; i++)
                    p[u] += q[(t * n + h) * dim + i] * k[(u * m + g) * dim + i];
                sum += p[u] = exp(p[u] / sqrt((double)dim));
            }
            for (size_t u = 0; u <= t; u++)
                for (size_t i = 0; i < dim; i++)
                    y[(t * n + h) * dim + i] += p[u] / sum * v[(u * m + g) * dim + i];
        }
    free(p);
    return y;
}

static void oracle_llama_layer(struct oracle *o, uint32_t l)
{
    const size_t e = o->c.n_embd, f = o->c.n_inner, dim = o->c.head;
    const size_t q = o->c.n_head * dim, kv = o->c.n_kv * dim;
    double **s = o->stage[l];
    char name[64];

    snprintf(name, sizeof name, "layers.%u.input_layernorm.weight", l);
    s[0] = oracle_rms_norm(o, oracle_tensor(o, name));
    double *queries = oracle_project(o, l, "self_attn.q_proj", s[0], e, q);
    double *keys = oracle_project(o, l, "self_attn.k_proj", s[0], e, kv);
    double *values = oracle_project(o, l, "self_attn.v_proj", s[0], e, kv);
    oracle_rotate(o, queries, o->c.n_head);
    oracle_rotate(o, keys, o->c.n_kv);
    s[1] = oracle_grouped(o, queries, keys, values);
    free(queries);
    free(keys);
    free(values);
    oracle_residual(o, oracle_project(o, l, "self_attn.o_proj", s[1], q, e));
    snprintf(name, sizeof name, "layers.%u.post_attention_layernorm.weight", l);
    s[2] = oracle_rms_norm(o, oracle_tensor(o, name));
    s[3] = oracle_project(o, l, "mlp.gate_proj", s[2], e, f);
    double *up = oracle_project(o, l, "mlp.up_proj", s[2], e, f);
    for (size_t i = 0; i < o->tokens * f; i++)
        s[3][i] *= up[i] / (1 + exp(-s[3][i]));
    free(up);
    oracle_residual(o, oracle_project(o, l, "mlp.down_proj", s[3], f, e));
}

static void oracle_llama(struct oracle *o, const uint32_t *tokens)
{
    const size_t e = o->c.n_embd;
    double *embed = oracle_tensor(o, "embed_tokens.weight");

    for (size_t t = 0; t < o->tokens; t++)
        memcpy(o->x + t * e, embed + tokens[t] * e, e * sizeof *embed);
    free(embed);
    for (uint32_t l = 0; l < o->c.n_layer; l++)
        oracle_llama_layer(o, l);
    o->last = oracle_rms_norm(o, oracle_tensor(o, "norm.weight"));
}

/* Runs the tokens through; oracle_close() frees what it keeps. */
static void oracle_run(struct oracle *o, const struct rbe_model_config *c,
                       const struct rbe_safetensors *file, const uint32_t *tokens, size_t count)
{
    const size_t e = c->n_embd;

    *o = (struct oracle){.c = *c, .file = file, .tokens = count};
    o->x = malloc(count * e * sizeof *o->x);
    if (c->arch == RBE_ARCH_LLAMA) {
        oracle_llama(o, tokens);
        return;
    }
    double *wte = oracle_tensor(o, "wte.weight"), *wpe = oracle_tensor(o, "wpe.weight");
    for (size_t t = 0; t < count; t++)
        for (size_t i = 0; i < e; i++)
            o->x[t * e + i] = wte[tokens[t] * e + i] + wpe[t * e + i];
    free(wte);
    free(wpe);
    for (uint32_t l = 0; l < c->n_layer; l++)
        oracle_layer(o, l);
    o->last = oracle_norm(o, oracle_tensor(o, "ln_f.weight"), oracle_tensor(o, "ln_f.bias"));
}

static void oracle_close(struct oracle *o)
{
    for (uint32_t l = 0; l < o->c.n_layer; l++)
        for (int s = 0; s < ORACLE_STAGES; s++)
            free(o->stage[l][s]);
    free(o->x);
    free(o->last);
}

#endif
