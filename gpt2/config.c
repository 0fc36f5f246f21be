/*
 * config.c - config.json, and the published sizes.
 *
 * SPDX-License-Identifier: MIT
 */
#include "gpt2/config.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "rbe/json.h"

/* Far above any GPT-2, low enough that products of two fit 64 bits many times over. */
enum { MAX_VOCAB = 1 << 24, MAX_CTX = 1 << 20, MAX_EMBD = 1 << 16, MAX_LAYER = 1 << 12 };

/* j[key], or j[other], as an integer in [1, max] ; `missing` when absent or null. */
static enum rbe_status get_count(uint32_t *out, const json_t *j, const char *key,
                                 const char *other, uint32_t max, uint32_t missing,
                                 const char *name, struct rbe_diag *d)
{
    const json_t *v = json_object_get(j, key);

    if ((!v || json_is_null(v)) && other)
        v = json_object_get(j, other);
    if ((!v || json_is_null(v)) && missing) {
        *out = missing;
        return RBE_OK;
    }
    if (!v)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: %s is missing", name, key);
    if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > max)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: %s is not an integer from 1 to %u", name, key,
                        max);
    *out = (uint32_t)json_integer_value(v);
    return RBE_OK;
}

/* Switches of other models that change the arithmetic must have GPT-2's value. */
static enum rbe_status check_switches(const json_t *j, const char *name, struct rbe_diag *d)
{
    const json_t *act = json_object_get(j, "activation_function");
    const char *a = json_string_value(act);

    if (act && (!a || (strcmp(a, "gelu_new") && strcmp(a, "gelu_pytorch_tanh"))))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: activation_function is not gelu_new", name);
    if (json_is_false(json_object_get(j, "tie_word_embeddings")))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: tie_word_embeddings is false: an output layer "
                        "of its own is not GPT-2", name);
    if (json_is_true(json_object_get(j, "scale_attn_by_inverse_layer_idx")) ||
        json_is_false(json_object_get(j, "scale_attn_weights")))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: attention is not scaled as in GPT-2", name);
    return RBE_OK;
}

static enum rbe_status from_json(struct rbe_gpt2_config *c, const json_t *j, const char *name,
                                 struct rbe_diag *d)
{
    enum rbe_status err;

    if (!json_is_object(j))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: not a JSON object", name);
    if ((err = get_count(&c->vocab, j, "vocab_size", "n_vocab", MAX_VOCAB, 0, name, d)) ||
        (err = get_count(&c->n_ctx, j, "n_ctx", "n_positions", MAX_CTX, 0, name, d)) ||
        (err = get_count(&c->n_embd, j, "n_embd", NULL, MAX_EMBD, 0, name, d)) ||
        (err = get_count(&c->n_layer, j, "n_layer", NULL, MAX_LAYER, 0, name, d)) ||
        (err = get_count(&c->n_head, j, "n_head", NULL, MAX_EMBD, 0, name, d)) ||
        (err = get_count(&c->n_inner, j, "n_inner", NULL, 4 * MAX_EMBD, 4 * c->n_embd, name,
                         d)) ||
        (err = check_switches(j, name, d)))
        return err;
    if (c->n_embd % c->n_head)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: n_embd %u is not a multiple of n_head %u", name,
                        c->n_embd, c->n_head);
    const json_t *eps = json_object_get(j, "layer_norm_epsilon");
    const double e = eps ? json_number_value(eps) : 1e-5;
    if (!(e > 0 && e < 1))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: layer_norm_epsilon is not between 0 and 1",
                        name);
    c->ln_eps = (float)e;
    const json_t *eos = json_object_get(j, "eos_token_id");
    const json_int_t id = json_is_integer(eos) ? json_integer_value(eos) : c->vocab - 1;
    if (id < 0 || id >= c->vocab)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: eos_token_id is outside the vocabulary", name);
    c->eos = (uint32_t)id;
    return RBE_OK;
}

enum rbe_status rbe_gpt2_config_parse(struct rbe_gpt2_config *c, const char *json, size_t size,
                                      const char *name, struct rbe_diag *d)
{
    json_error_t je;

    *c = (struct rbe_gpt2_config){0};
    json_t *j;
    enum rbe_status err = rbe_json_load(&j, json, size, JSON_REJECT_DUPLICATES, &je, name, d);
    if (err)
        return err == RBE_ERR_NOMEM ? err
               : rbe_fail(d, err, "%s: not valid JSON at line %d", name, je.line);
    err = from_json(c, j, name, d);
    json_decref(j);
    if (err)
        *c = (struct rbe_gpt2_config){0};
    return err;
}

enum rbe_status rbe_gpt2_config_size(struct rbe_gpt2_config *c, const char *size,
                                     struct rbe_diag *d)
{
    static const struct {
        const char *name, *other;
        uint32_t n_embd, n_layer, n_head;
    } sizes[] = {{"117M", "124M", 768, 12, 12},
                 {"345M", "355M", 1024, 24, 16},
                 {"774M", "774M", 1280, 36, 20},
                 {"1558M", "1.5B", 1600, 48, 25}};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (!strcmp(size, sizes[i].name) || !strcmp(size, sizes[i].other)) {
            *c = (struct rbe_gpt2_config){
                .vocab = 50257, .n_ctx = 1024, .n_embd = sizes[i].n_embd,
                .n_layer = sizes[i].n_layer, .n_head = sizes[i].n_head,
                .n_inner = 4 * sizes[i].n_embd, .ln_eps = 1e-5F, .eos = 50256};
            return RBE_OK;
        }
    *c = (struct rbe_gpt2_config){0};
    return rbe_fail(d, RBE_ERR_ARG, "unknown size '%s'; valid: 117M (124M), 345M (355M), 774M, "
                    "1558M (1.5B)", size);
}

uint64_t rbe_gpt2_config_params(const struct rbe_gpt2_config *c)
{
    const uint64_t e = c->n_embd, f = c->n_inner;
    const uint64_t attention = e * 3 * e + 3 * e + e * e + e;
    const uint64_t mlp = e * f + f + f * e + e;
    const uint64_t norms = 4 * e;

    return c->vocab * e + c->n_ctx * e + c->n_layer * (attention + mlp + norms) + 2 * e;
}
