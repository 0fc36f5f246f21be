/*
 * config.c - config.json, and the published sizes.
 *
 * SPDX-License-Identifier: MIT
 */
#include "model/config.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "base/json.h"
#include "rbe/safetensors.h"

/* Far above any GPT-2, low enough that products of two fit 64 bits many times over. */
enum { MAX_VOCAB = 1 << 24, MAX_CTX = 1 << 20, MAX_EMBD = 1 << 16, MAX_LAYER = 1 << 12 };
enum { GPT2_EOS = 50256 };

/* Where the values come from, and where it is said what is wrong with them. */
struct reader {
    const json_t *j;
    const char *name;
    struct rbe_diag *d;
};

/* What a value of the wrong type is called. */
static const char *kind_of(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "a list";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a number with a fraction";
    case JSON_TRUE: return "true";
    case JSON_FALSE: return "false";
    default: return "null";
    }
}

static enum rbe_status wrong_type(const struct reader *r, const char *key, const json_t *v,
                                  const char *want)
{
    return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s: %s where %s is expected", r->name, key,
                    kind_of(v), want);
}

/* NULL when the key is absent or null. */
static const json_t *value_of(const struct reader *r, const char *key)
{
    const json_t *v = json_object_get(r->j, key);

    return json_is_null(v) ? NULL : v;
}

/* j[key], or j[other], as an integer in [1, max]; `missing` when there is neither. */
static enum rbe_status get_count(uint32_t *out, const struct reader *r, const char *key,
                                 const char *other, uint32_t max, uint32_t missing)
{
    const json_t *v = value_of(r, key);

    if (!v && other && (v = value_of(r, other)))
        key = other;
    *out = missing;
    if (!v)
        return missing ? RBE_OK : rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s is missing", r->name,
                                           key);
    if (!json_is_integer(v))
        return wrong_type(r, key, v, json_is_real(v) ? "an integer" : "a number");
    if (json_integer_value(v) < 1 || json_integer_value(v) > max)
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s is %" JSON_INTEGER_FORMAT ", not from 1 "
                        "to %u", r->name, key, json_integer_value(v), max);
    *out = (uint32_t)json_integer_value(v);
    return RBE_OK;
}

/* Switches of other models that change the arithmetic must have GPT-2's value.
 * reorder_and_upcast_attn changes the order of one product's factors only. */
static enum rbe_status check_switches(const struct reader *r)
{
    static const struct {
        const char *key;
        bool want;
        const char *why;
    } switches[] = {
        {"tie_word_embeddings", true, "an output layer of its own is not GPT-2"},
        {"scale_attn_weights", true, "attention is not scaled as in GPT-2"},
        {"scale_attn_by_inverse_layer_idx", false, "attention is not scaled as in GPT-2"},
        {"add_cross_attention", false, "cross attention is not in GPT-2"},
        {"is_encoder_decoder", false, "GPT-2 has no encoder"}};
    static const struct {
        const char *key, *want[2];
    } names[] = {{"activation_function", {"gelu_new", "gelu_pytorch_tanh"}},
                 {"model_type", {"gpt2", "gpt2"}}};

    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) {
        const json_t *v = value_of(r, switches[i].key);
        if (v && !json_is_boolean(v))
            return wrong_type(r, switches[i].key, v, "true or false");
        if (v && json_is_true(v) != switches[i].want)
            return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s is %s: %s", r->name, switches[i].key,
                            kind_of(v), switches[i].why);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *v = value_of(r, names[i].key);
        const char *s = json_string_value(v);
        if (v && !s)
            return wrong_type(r, names[i].key, v, "a string");
        if (v && strcmp(s, names[i].want[0]) != 0 && strcmp(s, names[i].want[1]) != 0)
            return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s is not %s", r->name, names[i].key,
                            names[i].want[0]);
    }
    if (value_of(r, "quantization_config"))
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: quantization_config: weights quantised by "
                        "another program are not read", r->name);
    return RBE_OK;
}

static enum rbe_status from_json(struct rbe_gpt2_config *c, const struct reader *r)
{
    enum rbe_status err;

    if (!json_is_object(r->j))
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: not a JSON object", r->name);
    if ((err = check_switches(r)) ||
        (err = get_count(&c->vocab, r, "vocab_size", "n_vocab", MAX_VOCAB, 0)) ||
        (err = get_count(&c->n_ctx, r, "n_positions", "n_ctx", MAX_CTX, 0)) ||
        (err = get_count(&c->n_embd, r, "n_embd", NULL, MAX_EMBD, 0)) ||
        (err = get_count(&c->n_layer, r, "n_layer", NULL, MAX_LAYER, 0)) ||
        (err = get_count(&c->n_head, r, "n_head", NULL, MAX_EMBD, 0)) ||
        (err = get_count(&c->n_inner, r, "n_inner", NULL, 4 * MAX_EMBD, 4 * c->n_embd)))
        return err;
    if (c->n_embd % c->n_head)
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: n_embd %u is not a multiple of n_head %u",
                        r->name, c->n_embd, c->n_head);
    const json_t *eps = value_of(r, "layer_norm_epsilon");
    if (eps && !json_is_number(eps))
        return wrong_type(r, "layer_norm_epsilon", eps, "a number");
    c->ln_eps = eps ? (float)json_number_value(eps) : 1e-5F;
    if (!(c->ln_eps > 0 && c->ln_eps < 1))
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: layer_norm_epsilon is not between 0 and 1",
                        r->name);
    const json_t *eos = value_of(r, "eos_token_id");
    if (eos && !json_is_integer(eos))
        return wrong_type(r, "eos_token_id", eos, "an integer");
    /* Where it is not said: GPT-2's, for rows behind it are padding. */
    const json_int_t id = eos ? json_integer_value(eos)
                              : c->vocab > GPT2_EOS ? GPT2_EOS : c->vocab - 1;
    if (id < 0 || id >= c->vocab)
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: eos_token_id is outside the vocabulary",
                        r->name);
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
    if (err == RBE_ERR_NOMEM)
        return err;
    if (err) {
        const char *what = *json == '{' ? NULL : rbe_foreign_file(json, size);
        /* The file's own bytes, which jansson quotes, may be for no terminal. */
        char *near = strstr(je.text, " near '");
        if (near)
            *near = 0;
        return what ? rbe_fail(d, err, "%s: is %s", name, what)
                    : rbe_fail(d, err, "%s: not valid JSON at line %d: %s", name, je.line,
                               je.text);
    }
    err = from_json(c, &(struct reader){j, name, d});
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
                .n_inner = 4 * sizes[i].n_embd, .ln_eps = 1e-5F, .eos = GPT2_EOS};
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
