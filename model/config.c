/*
 * config.c - config.json, and the published sizes.
 *
 * SPDX-License-Identifier: MIT
 */
#include "model/config.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "rbe/gguf.h"
#include "rbe/safetensors.h"

/* Far above any GPT-2, low enough that products of two fit 64 bits many times over. */
enum { MAX_VOCAB = 1 << 24, MAX_CTX = 1 << 20, MAX_EMBD = 1 << 16, MAX_LAYER = 1 << 12 };

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

static enum rbe_status check_switch(const struct reader *r, const char *key, bool want,
                                    const char *why)
{
    const json_t *v = value_of(r, key);

    if (v && !json_is_boolean(v))
        return wrong_type(r, key, v, "true or false");
    if (v && json_is_true(v) != want)
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s is %s: %s", r->name, key, kind_of(v),
                        why);
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
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s is not %s", r->name, key, word);
    return RBE_OK;
}

/* What is not written is the first one of the list. */
static enum rbe_status get_arch(enum rbe_arch_id *out, const struct reader *r)
{
    const json_t *v = value_of(r, "model_type");
    const char *s = v ? json_string_value(v) : rbe_arch_at(0)->type;
    char types[200] = "";

    if (!s)
        return wrong_type(r, "model_type", v, "a string");
    for (*out = 0; *out < RBE_ARCH_COUNT; ++*out) {
        const char *type = rbe_arch_at(*out)->type;
        const size_t n = strlen(types);
        if (!strcmp(s, type))
            return RBE_OK;
        snprintf(types + n, sizeof types - n, "%s%s", n ? " or " : "", type);
    }
    return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: model_type is not %s", r->name, types);
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
#include "model/arch.def"
    case RBE_ARCH_COUNT: break;
    }
    if (!err && value_of(r, "quantization_config"))
        err = rbe_fail(r->d, RBE_ERR_FORMAT, "%s: quantization_config: weights quantised by "
                       "another program are not read", r->name);
    return err;
}

static enum rbe_status get_counts(struct rbe_model_config *c, const struct reader *r)
{
    enum { MAX_vocab = MAX_VOCAB, MAX_n_ctx = MAX_CTX, MAX_n_embd = MAX_EMBD,
           MAX_n_layer = MAX_LAYER, MAX_n_head = MAX_EMBD, MAX_n_inner = 4 * MAX_EMBD };
    enum rbe_status err = RBE_OK;

    switch (c->arch) {
#define RBE_ARCH(id, ...) case RBE_ARCH_##id:
#define RBE_END_ARCH break;
#define RBE_COUNT(field, key, other, missing)                                                  \
    err = err ? err : get_count(&c->field, r, key, other, MAX_##field,                       \
                                c->field ? c->field : (missing));
#include "model/arch.def"
    case RBE_ARCH_COUNT: break;
    }
    if (!err && c->n_embd % c->n_head)
        err = rbe_fail(r->d, RBE_ERR_FORMAT, "%s: n_embd %u is not a multiple of n_head %u",
                       r->name, c->n_embd, c->n_head);
    return err;
}

static enum rbe_status get_epsilon(float *out, const struct reader *r, const char *key,
                                   float missing)
{
    const json_t *v = value_of(r, key);

    if (v && !json_is_number(v))
        return wrong_type(r, key, v, "a number");
    *out = v ? (float)json_number_value(v) : missing;
    if (!(*out > 0 && *out < 1))
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s is not between 0 and 1", r->name, key);
    return RBE_OK;
}

/* Where it is not said: the architecture's, for rows behind it are padding. */
static enum rbe_status get_end_token(struct rbe_model_config *c, const struct reader *r,
                                     const char *key, uint32_t missing)
{
    const json_t *v = value_of(r, key);

    if (v && !json_is_integer(v))
        return wrong_type(r, key, v, "an integer");
    const json_int_t id = v ? json_integer_value(v)
                            : c->vocab > missing ? missing : c->vocab - 1;
    if (id < 0 || id >= c->vocab)
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: %s is outside the vocabulary", r->name, key);
    c->eos = (uint32_t)id;
    return RBE_OK;
}

static enum rbe_status get_rest(struct rbe_model_config *c, const struct reader *r)
{
    enum rbe_status err = RBE_OK;

    switch (c->arch) {
#define RBE_ARCH(id, ...) case RBE_ARCH_##id:
#define RBE_END_ARCH break;
#define RBE_EPSILON(key, missing) err = err ? err : get_epsilon(&c->ln_eps, r, key, missing);
#define RBE_END_TOKEN(key, missing) err = err ? err : get_end_token(c, r, key, missing);
#include "model/arch.def"
    case RBE_ARCH_COUNT: break;
    }
    return err;
}

static enum rbe_status from_json(struct rbe_model_config *c, const struct reader *r)
{
    enum rbe_status err;

    if (!json_is_object(r->j))
        return rbe_fail(r->d, RBE_ERR_FORMAT, "%s: not a JSON object", r->name);
    if ((err = get_arch(&c->arch, r)) || (err = check_switches(r, c->arch)) ||
        (err = get_counts(c, r)))
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
    err = from_json(c, &(struct reader){j, name, d});
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
static const struct size sizes[RBE_ARCH_COUNT][SIZES] = {
#include "model/arch.def"
};

const char *rbe_model_config_sizes(char *buf, size_t size, const char *last)
{
    size_t at = 0;

    for (int a = 0; a < RBE_ARCH_COUNT; a++)
        for (const struct size *s = sizes[a]; s->name && at < size; s++) {
            const bool end = a + 1 == RBE_ARCH_COUNT && !s[1].name;
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
    const struct reader nothing = {NULL, size, d};
    char valid[200];
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
                    rbe_model_config_sizes(valid, sizeof valid, ", "));
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
#define RBE_EPSILON(key, missing) fprintf(f, ",\n \"%s\": %g", key, (double)c->ln_eps);
#define RBE_SAYS(key, want, why) fprintf(f, ",\n \"%s\": %s", key, (want) ? "true" : "false");
#define RBE_END_TOKEN(key, missing) RBE_ALSO(eos, key)
#include "model/arch.def"
    case RBE_ARCH_COUNT: break;
    }
    fprintf(f, "\n}\n");
}

/* As the config.json has it; what it leaves out is left out. */
static void add_meta(struct rbe_gguf_out *o, const char *gguf, const json_t *v)
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

enum rbe_status rbe_model_config_json(json_t **out, const struct rbe_model_config *c,
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
    const enum rbe_status err = rbe_model_config_json(&j, c, d);

    if (err)
        return err;
    switch (c->arch) {
#define RBE_ARCH(id, ...) case RBE_ARCH_##id:
#define RBE_END_ARCH break;
#define RBE_META(gguf, key) add_meta(o, gguf, json_object_get(j, key));
#include "model/arch.def"
    case RBE_ARCH_COUNT: break;
    }
    json_decref(j);
    return RBE_OK;
}

uint64_t rbe_model_config_params(const struct rbe_model_config *c)
{
    const struct rbe_arch *a = rbe_arch_at(c->arch);
    const size_t n = rbe_arch_count(a, c->n_layer);
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t rows, cols;
        int layer;

        rbe_arch_shape(rbe_arch_find(a, c->n_layer, i, &layer), c, &rows, &cols);
        sum += (uint64_t)rows * cols;
    }
    return sum;
}
