/*
 * config.c - config.json, and the published sizes.
 *
 * SPDX-License-Identifier: MIT
 */
#include "model/config.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "rbe/gguf.h"
#include "rbe/safetensors.h"

/* Far above any GPT-2, low enough that products of two fit 64 bits many times over. */
enum { MAX_VOCAB = 1 << 24, MAX_CTX = 1 << 20, MAX_EMBD = 1 << 16, MAX_LAYER = 1 << 12 };

/* A count that follows from others where it is not said. */
#define RBE_DIVIDED UINT32_MAX

/* Where the values come from, and where it is said what is wrong with them. */
struct reader {
    const json_t *j;
    const char *name;
    struct rbe_diag *d;
    bool gguf;                  /* j has the keys of GGUF's metadata */
    enum rbe_arch_id arch;
};

enum { METAS = 24 };            /* of an architecture, and an end */

#define RBE_ARCH(id, ...) [RBE_ARCH_##id] = {
#define RBE_END_ARCH },
#define RBE_META(gguf, key) {gguf, key},
static const struct {
    const char *gguf, *key;
} metas[RBE_ARCH_COUNT][METAS] = {
#include "model/arch.def"
};

/* The key as the file spells it; NULL: it has no word for it. */
static const char *spelled(const struct reader *r, const char *key)
{
    if (!r->gguf)
        return key;
    for (int i = 0; metas[r->arch][i].key; i++)
        if (!strcmp(metas[r->arch][i].key, key))
            return metas[r->arch][i].gguf;
    return NULL;
}

/* The same for messages. */
static const char *shown(const struct reader *r, const char *key)
{
    const char *s = spelled(r, key);

    return s ? s : key;
}

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
    return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s: %s where %s is expected", r->name,
                    shown(r, key), kind_of(v), want);
}

/* NULL when the key is absent or null.  A step into what is no object finds that itself, which
 * is then of the wrong type. */
static const json_t *value_of(const struct reader *r, const char *key)
{
    const char *at = spelled(r, key);
    const json_t *v = r->j;
    char step[64];

    if (!at || !v)
        return NULL;
    if (r->gguf)
        return json_object_get(v, at);
    while (v && json_is_object(v) && *at) {
        const size_t n = strcspn(at, ".");
        snprintf(step, sizeof step, "%.*s", (int)n, at);
        v = json_object_get(v, step);
        at += n + (at[n] == '.');
    }
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
                                           shown(r, key));
    if (!json_is_integer(v))
        return wrong_type(r, key, v, json_is_real(v) ? "an integer" : "a number");
    if (json_integer_value(v) < 1 || json_integer_value(v) > max)
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s is %" JSON_INTEGER_FORMAT ", not from 1 "
                        "to %u", r->name, shown(r, key), json_integer_value(v), max);
    *out = (uint32_t)json_integer_value(v);
    return RBE_OK;
}

static enum rbe_status check_switch(const struct reader *r, const char *key, bool want,
                                    const char *why)
{
    const json_t *v = value_of(r, key);

    if (v && !json_is_boolean(v))
        return wrong_type(r, key, v, "true or false");
    if (v && json_is_true(v) != want)
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s is %s: %s", r->name, shown(r, key),
                        kind_of(v), why);
    return RBE_OK;
}

static enum rbe_status check_word(const struct reader *r, const char *key, const char *word,
                                  const char *other)
{
    const json_t *v = value_of(r, key);
    const char *s = json_string_value(v);

    if (v && !s)
        return wrong_type(r, key, v, "a string");
    if (v && strcmp(s, word) != 0 && strcmp(s, other) != 0)
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s is not %s", r->name, shown(r, key), word);
    return RBE_OK;
}

/* What an architecture has not must not be asked for. */
static enum rbe_status check_without(const struct reader *r, const char *key, const char *why)
{
    const json_t *v = value_of(r, key);

    if (!v || json_is_false(v) || (json_is_number(v) && json_number_value(v) == 0))
        return RBE_OK;
    return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s: %s", r->name, shown(r, key), why);
}

static enum rbe_status check_equals(const struct reader *r, const char *key, uint32_t want,
                                    const char *why)
{
    const json_t *v = value_of(r, key);

    if (v && !json_is_integer(v))
        return wrong_type(r, key, v, "an integer");
    if (v && json_integer_value(v) != want)
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s is %" JSON_INTEGER_FORMAT ", not %u: %s",
                        r->name, shown(r, key), json_integer_value(v), want, why);
    return RBE_OK;
}

/* Whether a word of "architectures" is of this model_type: "LlamaForCausalLM" is, and
 * "Llama4ForCausalLM" of another. */
static bool is_of_type(const char *word, const char *type)
{
    const size_t n = strlen(type);

    return !strncasecmp(word, type, n) && word[n] >= 'A' && word[n] <= 'Z';
}

/* What is not written is the first one of the list.  Without model_type, architectures says it:
 * a list of names, of which the first counts. */
static enum rbe_status get_arch(enum rbe_arch_id *out, const struct reader *r)
{
    const json_t *v = value_of(r, "model_type");
    const json_t *list = v || r->gguf ? NULL : value_of(r, "architectures");
    const json_t *name = json_is_array(list) ? json_array_get(list, 0) : list;
    const char *const key = name ? "architectures" : "model_type";
    const char *s = name ? json_string_value(name) : v ? json_string_value(v)
                                                       : rbe_arch_at(0)->type;
    char types[200] = "";

    if (!s)
        return wrong_type(r, key, name ? name : v, "a string");
    for (int a = 0; a < RBE_ARCH_COUNT; a++) {
        const char *type = rbe_arch_at((enum rbe_arch_id)a)->type;
        const size_t n = strlen(types);
        if (name ? is_of_type(s, type) : !strcmp(s, type)) {
            *out = (enum rbe_arch_id)a;
            return RBE_OK;
        }
        snprintf(types + n, sizeof types - n, "%s%s", n ? " or " : "", type);
    }
    return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s is '%.32s', not %s%s", r->name, shown(r, key),
                    s, name ? "of " : "", types);
}

/* Switches of other models that change the arithmetic must have the architecture's value.
 * reorder_and_upcast_attn changes the order of one product's factors only. */
static enum rbe_status check_switches(const struct reader *r, enum rbe_arch_id arch)
{
    enum rbe_status err = RBE_OK;

    switch (arch) {
#define RBE_ARCH(id, ...) case RBE_ARCH_##id:
#define RBE_END_ARCH break;
#define RBE_SAYS(key, want, why) err = err ? err : check_switch(r, key, want, why);
#define RBE_UNLESS(key, want, why) RBE_SAYS(key, want, why)
#define RBE_NAMES(key, word, other) err = err ? err : check_word(r, key, word, other);
#define RBE_WITHOUT(key, why) err = err ? err : check_without(r, key, why);
#include "model/arch.def"
    case RBE_ARCH_COUNT: break;
    }
    if (!err && value_of(r, "quantization_config"))
        err = rbe_fail(r->d, RBE_ERR_FORMAT, "%s: quantization_config: weights quantised by "
                       "another program are not read", r->name);
    return err;
}

/* Heads that divide, their width where it is not said, and no more outputs than fit. */
static enum rbe_status settle_heads(struct rbe_model_config *c, const struct reader *r)
{
    const bool rotated = rbe_arch_at(c->arch)->positions == RBE_ROTARY;

    if (!c->n_kv)
        c->n_kv = c->n_head;
    if (!c->head || c->head == RBE_DIVIDED) {
        if (c->n_embd % c->n_head)
            return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: n_embd %u is not a multiple of n_head "
                            "%u", r->name, c->n_embd, c->n_head);
        c->head = c->n_embd / c->n_head;
    }
    if (c->n_head % c->n_kv)
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %u heads are not a multiple of %u heads of "
                        "keys and values", r->name, c->n_head, c->n_kv);
    if ((uint64_t)c->n_head * c->head > 4 * MAX_EMBD)
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %u heads of %u outputs are more than %u",
                        r->name, c->n_head, c->head, 4 * MAX_EMBD);
    if (rotated && c->head % 2)
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: heads of %u outputs have no pairs to rotate",
                        r->name, c->head);
    return RBE_OK;
}

static enum rbe_status get_counts(struct rbe_model_config *c, const struct reader *r)
{
    enum { MAX_vocab = MAX_VOCAB, MAX_n_ctx = MAX_CTX, MAX_n_embd = MAX_EMBD,
           MAX_n_layer = MAX_LAYER, MAX_n_head = MAX_EMBD, MAX_n_inner = 4 * MAX_EMBD,
           MAX_n_kv = MAX_EMBD, MAX_head = MAX_EMBD };
    enum rbe_status err = RBE_OK;

    switch (c->arch) {
#define RBE_ARCH(id, ...) case RBE_ARCH_##id:
#define RBE_END_ARCH break;
/* No default is known for the context of a GGUF file: it must say it. */
#define RBE_COUNT(field, key, other, missing)                                                  \
    err = err ? err : get_count(&c->field, r, key, other, MAX_##field,                       \
                                c->field ? c->field                                          \
                                : r->gguf && &c->field == &c->n_ctx ? 0 : (missing));
#include "model/arch.def"
    case RBE_ARCH_COUNT: break;
    }
    return err ? err : settle_heads(c, r);
}

static enum rbe_status get_epsilon(float *out, const struct reader *r, const char *key,
                                   float missing)
{
    const json_t *v = value_of(r, key);

    if (v && !json_is_number(v))
        return wrong_type(r, key, v, "a number");
    if (!v && r->gguf)
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s is missing", r->name, shown(r, key));
    *out = v ? (float)json_number_value(v) : missing;
    if (!(*out > 0 && *out < 1))
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s is not between 0 and 1", r->name,
                        shown(r, key));
    return RBE_OK;
}

/* A number from `least` on; `missing` (NAN: it is needed) without it. */
static enum rbe_status get_number(float *out, const struct reader *r, const char *key,
                                  const char *other, float least, float missing)
{
    const json_t *v = value_of(r, key);

    if (!v && other && (v = value_of(r, other)))
        key = other;
    if (v && !json_is_number(v))
        return wrong_type(r, key, v, "a number");
    *out = v ? (float)json_number_value(v) : missing;
    if (isnan(*out))
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s is missing", r->name, shown(r, key));
    if (!(*out >= least && *out <= 1e12F))
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s is not from %g to 1e12", r->name,
                        shown(r, key), (double)least);
    return RBE_OK;
}

/* The words for kinds of scaling, as files have them; the first is what is written. */
static const char *const scalings[][3] = {
    [RBE_ROPE_PLAIN] = {"default", "none", "default"},
    [RBE_ROPE_LINEAR] = {"linear", "linear", "linear"},
    [RBE_ROPE_LLAMA3] = {"llama3", "llama3", "llama3"}};

/* The key of the factor: GGUF has an older one, whose value must be the newer one's. */
static enum rbe_status find_factor(const char **key, const struct reader *r)
{
    static const char older[] = "rope_scaling.scale_linear";
    const json_t *now = value_of(r, *key), *old = r->gguf ? value_of(r, older) : NULL;

    if (!old)
        return RBE_OK;
    if (!now)
        *key = older;
    else if (!json_is_number(now) || !json_is_number(old) ||
             (float)json_number_value(now) != (float)json_number_value(old))
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s and %s are not equal", r->name,
                        shown(r, *key), shown(r, older));
    return RBE_OK;
}

static enum rbe_status get_scaling(struct rbe_model_config *c, const struct reader *r)
{
    enum { KINDS = sizeof scalings / sizeof scalings[0], PLACES = 2 };
    static const char *const places[PLACES][6] = {
        {"rope_scaling", "rope_scaling.rope_type", "rope_scaling.type", "rope_scaling.factor",
         "rope_scaling.low_freq_factor", "rope_scaling.high_freq_factor"},
        {"rope_parameters", "rope_parameters.rope_type", "rope_parameters.type",
         "rope_parameters.factor", "rope_parameters.low_freq_factor",
         "rope_parameters.high_freq_factor"}};
    static const char *const originals[PLACES] = {
        "rope_scaling.original_max_position_embeddings",
        "rope_parameters.original_max_position_embeddings"};
    const int place = !r->gguf && !value_of(r, places[0][0]);
    const char *const *key = places[place];
    const json_t *v = value_of(r, key[1]);
    const char *factor = key[3];
    enum rbe_status err = find_factor(&factor, r);
    int kind = 0;

    if (err)
        return err;
    if (!v && (v = value_of(r, key[2])))
        key++;
    if (!v && r->gguf && value_of(r, factor))
        kind = RBE_ROPE_LINEAR;
    else if (!v && (r->gguf || !value_of(r, places[place][0]) || place == 1))
        return RBE_OK;
    else if (!v)
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s: its rope_type is missing", r->name,
                        places[place][0]);
    const char *word = v ? json_string_value(v) : scalings[kind][0];
    if (!word)
        return wrong_type(r, key[1], v, "a string");
    while (kind < KINDS && strcmp(word, scalings[kind][0]) && strcmp(word, scalings[kind][1]))
        kind++;
    if (kind == KINDS)
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s: rotated positions scaled as '%.32s' are "
                        "not built; linear and llama3 are", r->name, shown(r, key[1]), word);
    c->rope_scaling = (enum rbe_rope_scaling)kind;
    key = places[place];
    if (c->rope_scaling != RBE_ROPE_PLAIN)
        err = get_number(&c->rope_factor, r, factor, NULL, 1, NAN);
    if (err || c->rope_scaling != RBE_ROPE_LLAMA3)
        return err;
    if ((err = get_number(&c->rope_low, r, key[4], NULL, 1e-6F, NAN)) ||
        (err = get_number(&c->rope_high, r, key[5], NULL, 1e-6F, NAN)) ||
        (err = get_count(&c->rope_original, r, originals[place], NULL, MAX_CTX, 0)))
        return err;
    return c->rope_high > c->rope_low
               ? RBE_OK
               : rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s is not above low_freq_factor", r->name,
                          shown(r, key[5]));
}

static enum rbe_status get_rope(struct rbe_model_config *c, const struct reader *r,
                                const char *key, const char *other, float missing)
{
    const enum rbe_status err = get_number(&c->rope_base, r, key, other, 1,
                                           c->rope_base > 0 ? c->rope_base : missing);

    return err ? err : get_scaling(c, r);
}

static enum rbe_status get_tied(struct rbe_model_config *c, const struct reader *r,
                                const char *key, bool missing)
{
    const json_t *v = value_of(r, key);

    /* Of a published size, and of a GGUF file, it is known otherwise. */
    if (!r->j || r->gguf)
        return RBE_OK;
    if (v && !json_is_boolean(v))
        return wrong_type(r, key, v, "true or false");
    if (!(v ? json_is_true(v) : missing))
        c->options |= 1U << RBE_OPTION_UNTIED;
    return RBE_OK;
}

/* A token's id; `missing` where it is not said. */
static enum rbe_status get_token(uint32_t *out, const struct reader *r, const char *key,
                                 uint32_t vocab, uint32_t missing)
{
    const json_t *v = value_of(r, key);

    if (json_is_array(v) && json_array_size(v))     /* any of them ends a text */
        v = json_array_get(v, 0);
    if (v && !json_is_integer(v))
        return wrong_type(r, key, v, "an integer");
    const json_int_t id = v ? json_integer_value(v) : missing;
    if (id < 0 || id >= vocab)
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s is outside the vocabulary", r->name,
                        shown(r, key));
    *out = (uint32_t)id;
    return RBE_OK;
}

/* Where it is not said: the architecture's, for rows behind it are padding. */
static enum rbe_status get_end_token(struct rbe_model_config *c, const struct reader *r,
                                     const char *key, uint32_t missing)
{
    return get_token(&c->eos, r, key, c->vocab, c->vocab > missing ? missing : c->vocab - 1);
}

static enum rbe_status get_rest(struct rbe_model_config *c, const struct reader *r)
{
    enum rbe_status err = RBE_OK;

    switch (c->arch) {
#define RBE_ARCH(id, ...) case RBE_ARCH_##id:
#define RBE_END_ARCH break;
#define RBE_EPSILON(key, missing) err = err ? err : get_epsilon(&c->ln_eps, r, key, missing);
#define RBE_END_TOKEN(key, missing) err = err ? err : get_end_token(c, r, key, missing);
#define RBE_ROPE(key, other, missing) err = err ? err : get_rope(c, r, key, other, missing);
#define RBE_TIED(key, missing) err = err ? err : get_tied(c, r, key, missing);
#define RBE_EQUALS(key, field, why) err = err ? err : check_equals(r, key, c->field, why);
#include "model/arch.def"
    case RBE_ARCH_COUNT: break;
    }
    /* What stands for it is known now. */
    c->bos = c->eos;
    switch (c->arch) {
#define RBE_ARCH(id, ...) case RBE_ARCH_##id:
#define RBE_END_ARCH break;
#define RBE_BEGIN_TOKEN(key) err = err ? err : get_token(&c->bos, r, key, c->vocab, c->eos);
#include "model/arch.def"
    case RBE_ARCH_COUNT: break;
    }
    return err;
}

static enum rbe_status from_json(struct rbe_model_config *c, struct reader *r)
{
    enum rbe_status err;

    if (!json_is_object(r->j))
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: not a JSON object", r->name);
    if ((err = get_arch(&c->arch, r)))
        return err;
    r->arch = c->arch;
    if ((err = check_switches(r, c->arch)) || (err = get_counts(c, r)))
        return err;
    return get_rest(c, r);
}

enum rbe_status rbe_model_config_parse(struct rbe_model_config *c, const char *json,
                                       size_t size, const char *name, struct rbe_diag *d)
{
    json_error_t je;

    *c = (struct rbe_model_config){0};
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
    err = from_json(c, &(struct reader){.j = j, .name = name, .d = d});
    json_decref(j);
    if (err)
        *c = (struct rbe_model_config){0};
    return err;
}

/* --- GGUF --------------------------------------------------------------------------------- */

/* Puts what stands under the key into j, as JSON has it; nothing where it is absent. */
static enum rbe_status add_meta(json_t *j, const struct rbe_gguf *g, const char *key,
                                struct rbe_diag *d)
{
    const struct rbe_gguf_value *v = rbe_gguf_value(g, key);
    json_t *value = NULL;
    enum rbe_status err;
    int64_t whole;
    double real;
    char *text;
    bool yes;

    if (!v)
        return RBE_OK;
    if (v->kind == RBE_GV_STRING) {
        if ((err = rbe_gguf_string(&text, g, key, d)))
            return err;
        value = json_string(text);
        free(text);
        if (!value)
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: %s is no text", rbe_gguf_path(g), key);
    } else if (v->kind == RBE_GV_BOOL) {
        if ((err = rbe_gguf_bool(&yes, g, key, d)))
            return err;
        value = json_boolean(yes);
    } else if (v->kind == RBE_GV_ARRAY) {
        value = json_array();   /* no key takes one; as such it is refused */
    } else if (rbe_gguf_as_i64(&whole, v)) {
        value = json_integer(whole);
    } else if (rbe_gguf_as_real(&real, v) && isfinite(real)) {
        value = json_real(real);
    } else {
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: %s is not a number that is read",
                        rbe_gguf_path(g), key);
    }
    return json_object_set_new(j, key, value)
               ? rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", rbe_gguf_path(g))
               : RBE_OK;
}

/* Words of a vocabulary whose number is not said: rows of the token embedding. */
static enum rbe_status add_vocab(json_t *j, const struct rbe_gguf *g, enum rbe_arch_id arch,
                                 struct rbe_diag *d)
{
    const struct reader r = {.gguf = true, .arch = arch};
    const struct rbe_arch_tensor *t = rbe_arch_at(arch)->tensors;
    const char *key = spelled(&r, "vocab_size");

    while (t->name && t->role != RBE_ROLE_TOKENS)
        t++;
    const struct rbe_gguf_tensor *tokens = t->gguf ? rbe_gguf_find(g, t->gguf) : NULL;
    if (!key || !tokens || json_object_get(j, key) || tokens->rows > MAX_VOCAB)
        return RBE_OK;
    return json_object_set_new(j, key, json_integer((json_int_t)tokens->rows))
               ? rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", rbe_gguf_path(g))
               : RBE_OK;
}

/* Which optional tensors are there. */
static uint32_t options_of(const struct rbe_gguf *g, enum rbe_arch_id arch)
{
    uint32_t options = 0;

    for (const struct rbe_arch_tensor *t = rbe_arch_at(arch)->tensors; t->name; t++)
        if (t->options && t->gguf && rbe_gguf_find(g, t->gguf))
            options |= t->options;
    return options;
}

enum rbe_status rbe_model_config_gguf(struct rbe_model_config *c, const struct rbe_gguf *g,
                                      struct rbe_diag *d)
{
    struct reader r = {.name = rbe_gguf_path(g), .d = d, .gguf = true};
    json_t *j = json_object();
    enum rbe_status err = j ? RBE_OK
                          : rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", r.name);

    *c = (struct rbe_model_config){0};
    r.j = j;
    if (!err && !(err = add_meta(j, g, shown(&r, "model_type"), d)) &&
        !value_of(&r, "model_type"))
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: %s is missing", r.name, shown(&r, "model_type"));
    if (!err)
        err = get_arch(&r.arch, &r);
    if (!err && !metas[r.arch][0].key)
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: a %s is not read from GGUF", r.name,
                       rbe_arch_at(r.arch)->title);
    for (int i = 0; !err && metas[r.arch][i].key; i++)
        err = add_meta(j, g, metas[r.arch][i].gguf, d);
    if (!err)
        err = add_vocab(j, g, r.arch, d);
    if (!err)
        err = from_json(c, &r);
    if (!err)
        c->options |= options_of(g, c->arch);
    json_decref(j);
    if (err)
        *c = (struct rbe_model_config){0};
    return err;
}

/* --- what is published, and what is written ---------------------------------------------- */

enum { SIZES = 8 };             /* of an architecture, and an end */

struct size {
    const char *name, *other;
    struct rbe_model_config c;
};

#define RBE_ARCH(id, ...) [RBE_ARCH_##id] = {
#define RBE_END_ARCH },
#define RBE_SIZE(name, other, embd, layers, heads, ctx, words)                                 \
    {name, other, {.vocab = words, .n_ctx = ctx, .n_embd = embd, .n_layer = layers,            \
                   .n_head = heads}},
#define RBE_SIZE_OF(name, other, ...) {name, other, {__VA_ARGS__}},
static const struct size sizes[RBE_ARCH_COUNT][SIZES] = {
#include "model/arch.def"
};

const char *rbe_model_config_sizes(char *buf, size_t size, enum rbe_arch_id arch,
                                   const char *last)
{
    const bool all = arch == RBE_ARCH_COUNT;
    size_t at = 0;

    buf[0] = 0;
    for (int a = all ? 0 : (int)arch; a < (all ? RBE_ARCH_COUNT : (int)arch + 1); a++)
        for (const struct size *s = sizes[a]; s->name && at < size; s++) {
            const bool end = (!all || a + 1 == RBE_ARCH_COUNT) && !s[1].name;
            const bool two = strcmp(s->name, s->other) != 0;
            const char *comma = !at ? "" : end ? last : ", ";
            at += (size_t)snprintf(buf + at, size - at, "%s%s%s%s%s", comma, s->name,
                                   two ? " (" : "", two ? s->other : "", two ? ")" : "");
        }
    return buf;
}

enum rbe_status rbe_model_config_size(struct rbe_model_config *c, const char *size,
                                      struct rbe_diag *d)
{
    const struct reader nothing = {.name = size, .d = d};
    char valid[400];
    enum rbe_status err;

    for (int a = 0; a < RBE_ARCH_COUNT; a++)
        for (const struct size *s = sizes[a]; s->name; s++)
            if (!strcmp(size, s->name) || !strcmp(size, s->other)) {
                *c = s->c;
                c->arch = (enum rbe_arch_id)a;
                err = get_counts(c, &nothing);
                return err ? err : get_rest(c, &nothing);
            }
    *c = (struct rbe_model_config){0};
    return rbe_fail(d, RBE_ERR_ARG, "unknown size '%s'; valid: %s", size,
                    rbe_model_config_sizes(valid, sizeof valid, RBE_ARCH_COUNT, ", "));
}

/* The shortest text that is read as x again. */
static void print_float(FILE *f, const char *key, float x)
{
    char text[40];

    snprintf(text, sizeof text, "%g", (double)x);
    if ((float)strtod(text, NULL) != x)
        snprintf(text, sizeof text, "%.9g", (double)x);
    fprintf(f, ",\n \"%s\": %s%s", key, text, strpbrk(text, ".en") ? "" : ".0");
}

static void print_rope(FILE *f, const char *key, const struct rbe_model_config *c)
{
    print_float(f, key, c->rope_base);
    if (c->rope_scaling == RBE_ROPE_PLAIN)
        return;
    fprintf(f, ",\n \"rope_scaling\": {\"rope_type\": \"%s\"", scalings[c->rope_scaling][0]);
    print_float(f, "factor", c->rope_factor);
    if (c->rope_scaling == RBE_ROPE_LLAMA3) {
        print_float(f, "low_freq_factor", c->rope_low);
        print_float(f, "high_freq_factor", c->rope_high);
        fprintf(f, ",\n \"original_max_position_embeddings\": %u", c->rope_original);
    }
    fprintf(f, "}");
}

static void print_bool(FILE *f, const char *key, bool yes)
{
    fprintf(f, ",\n \"%s\": %s", key, yes ? "true" : "false");
}

void rbe_model_config_print(FILE *f, const struct rbe_model_config *c)
{
    fprintf(f, "{\n \"model_type\": \"%s\"", rbe_arch_at(c->arch)->type);
    switch (c->arch) {
#define RBE_ARCH(id, ...) case RBE_ARCH_##id:
#define RBE_END_ARCH break;
#define RBE_COUNT(field, key, ...) RBE_ALSO(field, key)
#define RBE_ALSO(field, key) fprintf(f, ",\n \"%s\": %u", key, c->field);
#define RBE_NAMES(key, word, other) fprintf(f, ",\n \"%s\": \"%s\"", key, word);
#define RBE_EPSILON(key, missing) print_float(f, key, c->ln_eps);
#define RBE_ROPE(key, other, missing) print_rope(f, key, c);
#define RBE_TIED(key, missing) print_bool(f, key, !rbe_config_has(c, RBE_OPTION_UNTIED));
#define RBE_SAYS(key, want, why) print_bool(f, key, want);
#define RBE_BEGIN_TOKEN(key) RBE_ALSO(bos, key)
#define RBE_END_TOKEN(key, missing) RBE_ALSO(eos, key)
#include "model/arch.def"
    case RBE_ARCH_COUNT: break;
    }
    fprintf(f, "\n}\n");
}

enum rbe_status rbe_model_config_shape(struct rbe_model_config *c, const char *arch,
                                       const struct rbe_model_config *wanted,
                                       const char *name, struct rbe_diag *d)
{
    json_t *const j = json_object(), *const type = json_string(arch);
    struct reader r = {.j = j, .name = name, .d = d};
    struct rbe_model_config left = *wanted;
    enum rbe_status err = RBE_OK;
    bool full = j && !json_object_set_new(j, "model_type", type);

    *c = (struct rbe_model_config){0};
    if (full && (err = get_arch(&r.arch, &r)))
        goto out;
    switch (r.arch) {
#define RBE_ARCH(id, ...) case RBE_ARCH_##id:
#define RBE_END_ARCH break;
#define RBE_COUNT(field, key, ...)                                                             \
    if (left.field)                                                                            \
        full = full && !json_object_set_new(j, key, json_integer(left.field));                 \
    left.field = 0;
#include "model/arch.def"
    case RBE_ARCH_COUNT: break;
    }
    if (!full)
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", name);
    else if (left.n_kv)
        err = rbe_fail(d, RBE_ERR_ARG, "%s: a %s has keys and values for every head", name,
                       rbe_arch_at(r.arch)->title);
    else
        err = from_json(c, &r);
out:
    json_decref(j);
    if (err)
        *c = (struct rbe_model_config){0};
    return err;
}

/* As the config.json has it; what it leaves out is left out. */
static void put_meta(struct rbe_gguf_out *o, const char *gguf, const json_t *v)
{
    if (json_is_string(v))
        rbe_gguf_add_string(o, gguf, json_string_value(v));
    else if (json_is_integer(v))
        rbe_gguf_add_u32(o, gguf, (uint32_t)json_integer_value(v));
    else if (json_is_real(v))
        rbe_gguf_add_f32(o, gguf, (float)json_real_value(v));
    else if (json_is_boolean(v))
        rbe_gguf_add_bool(o, gguf, json_is_true(v));
}

static enum rbe_status config_json(json_t **out, const struct rbe_model_config *c,
                                   struct rbe_diag *d)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    enum rbe_status err;

    *out = NULL;
    if (!f)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    rbe_model_config_print(f, c);
    const bool bad = ferror(f);
    if (fclose(f) || bad)
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    else
        err = rbe_json_load(out, text, size, 0, NULL, "config.json", d);
    free(text);
    return err;
}

enum rbe_status rbe_model_config_to_gguf(struct rbe_gguf_out *o,
                                         const struct rbe_model_config *c, struct rbe_diag *d)
{
    json_t *j;
    const enum rbe_status err = config_json(&j, c, d);

    if (err)
        return err;
    switch (c->arch) {
#define RBE_ARCH(id, ...) case RBE_ARCH_##id:
#define RBE_END_ARCH break;
#define RBE_META(gguf, key) put_meta(o, gguf, rbe_value_at(j, key));
#include "model/arch.def"
    case RBE_ARCH_COUNT: break;
    }
    json_decref(j);
    return RBE_OK;
}

/* --- differences -------------------------------------------------------------------------- */

struct difference {
    char *buf;                  /* empty: none was found yet */
    size_t size;
};

static void compare(struct difference *d, const char *key, double a, double b)
{
    if (a != b && !*d->buf)
        snprintf(d->buf, d->size, "%s %.9g and %.9g", key, a, b);
}

static void compare_words(struct difference *d, const char *key, const char *a, const char *b)
{
    if (strcmp(a, b) != 0 && !*d->buf)
        snprintf(d->buf, d->size, "%s %s and %s", key, a, b);
}

static void compare_rope(struct difference *d, const char *key,
                         const struct rbe_model_config *a, const struct rbe_model_config *b)
{
    compare(d, key, (double)a->rope_base, (double)b->rope_base);
    compare_words(d, "rope_scaling.rope_type", scalings[a->rope_scaling][0],
                  scalings[b->rope_scaling][0]);
    compare(d, "rope_scaling.factor", (double)a->rope_factor, (double)b->rope_factor);
    compare(d, "rope_scaling.low_freq_factor", (double)a->rope_low, (double)b->rope_low);
    compare(d, "rope_scaling.high_freq_factor", (double)a->rope_high, (double)b->rope_high);
    compare(d, "rope_scaling.original_max_position_embeddings", a->rope_original,
            b->rope_original);
}

const char *rbe_model_config_difference(char *buf, size_t size,
                                        const struct rbe_model_config *a,
                                        const struct rbe_model_config *b)
{
    struct difference d = {buf, size};

    *buf = 0;
    compare_words(&d, "model_type", rbe_arch_at(a->arch)->type, rbe_arch_at(b->arch)->type);
    switch (a->arch) {
#define RBE_ARCH(id, ...) case RBE_ARCH_##id:
#define RBE_END_ARCH break;
#define RBE_COUNT(field, key, ...) compare(&d, key, a->field, b->field);
#define RBE_EPSILON(key, missing) compare(&d, key, (double)a->ln_eps, (double)b->ln_eps);
#define RBE_ROPE(key, other, missing) compare_rope(&d, key, a, b);
#define RBE_TIED(key, missing)                                                                 \
    compare(&d, key, !rbe_config_has(a, RBE_OPTION_UNTIED),                                    \
            !rbe_config_has(b, RBE_OPTION_UNTIED));
#include "model/arch.def"
    case RBE_ARCH_COUNT: break;
    }
    return *buf ? buf : NULL;
}

uint64_t rbe_model_config_params(const struct rbe_model_config *c)
{
    const size_t n = rbe_arch_count(c);
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t rows, cols;
        int layer;
        const struct rbe_arch_tensor *const t = rbe_arch_find(c, i, &layer);

        /* Only a conversion adds it: the original has no such parameters. */
        if (t->role == RBE_ROLE_EMBED_MEAN)
            continue;
        rbe_arch_shape(t, c, &rows, &cols);
        sum += (uint64_t)rows * cols;
    }
    return sum;
}
