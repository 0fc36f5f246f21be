/*
 * oracle.h - GPT-2's forward pass in double precision, straight from the definition.
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

enum { ORACLE_STAGES = 4 };     /* c_attn, c_proj, c_fc, mlp.c_proj */

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

/* Runs the tokens through; oracle_close() frees what it keeps. */
static void oracle_run(struct oracle *o, const struct rbe_model_config *c,
                       const struct rbe_safetensors *file, const uint32_t *tokens, size_t count)
{
    const size_t e = c->n_embd;

    *o = (struct oracle){.c = *c, .file = file, .tokens = count};
    o->x = malloc(count * e * sizeof *o->x);
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
