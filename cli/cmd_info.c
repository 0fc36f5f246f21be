/*
 * cmd_info.c - `rbe info`: what a model file holds.
 *
 * SPDX-License-Identifier: MIT
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/result.h"
#include "base/rows.h"
#include "base/utf8.h"
#include "cli/arguments.h"
#include "convert/convert.h"
#include "model/data.h"
#include "model/model.h"
#include "rbe/gguf.h"

/* A line of the table: a tensor, or a part of an encoded weight. */
struct row {
    const char *name;
    char shape[64], codec[32];
    uint32_t block;             /* 0: none */
    bool rotated;
    size_t bytes;
    double weights;
    uint64_t words;             /* as RBE_COMPRESSED_DEFINITION counts */
};

/* Adds what the row counts to *words. */
static void print_row(const struct row *r, json_t *rows, uint64_t *words)
{
    const double bits = r->weights > 0 ? 8 * (double)r->bytes / r->weights : 0;

    *words += r->words;

    if (rows) {
        json_array_append_new(
            rows, RBE_OBJECT(RBE_WORD(name, r->name), RBE_WORD(shape, r->shape),
                             RBE_WORD(codec, r->codec), RBE_FLAG(rotated, r->rotated),
                             RBE_INT(block, r->block), RBE_INT(bytes, r->bytes),
                             RBE_REAL(bits_per_weight, bits)));
        return;
    }
    char block[16] = "", codec[40];
    snprintf(codec, sizeof codec, "%s%s", r->codec, r->rotated ? " rot" : "");
    if (r->block)
        snprintf(block, sizeof block, "%u", r->block);
    printf("%-28s %14s  %-9s %5s %11zu %8.3f\n", r->name, r->shape, codec, block, r->bytes,
           bits);
}

static void print_weight(const struct rbe_weight *w, json_t *rows, uint64_t *words)
{
    for (size_t i = 0; i < w->part_count; i++) {
        const struct rbe_matrix *m = &w->parts[i].m;
        const struct rbe_matrix_size s = rbe_matrix_size(m->format, m->rows, m->cols, m->block,
                                                         m->aux);
        const size_t scales = s.scale + (m->col_scale ? s.col_scale : 0);
        struct row r = {.name = w->name, .block = m->block, .bytes = m->code_bytes + scales,
                        .weights = (double)m->rows * m->cols, .rotated = w->hadamard,
                        .words = (s.codes + 3) / 4 + scales / 2};
        snprintf(r.shape, sizeof r.shape, "%u x %u", m->rows, m->cols);
        snprintf(r.codec, sizeof r.codec, "%s", rbe_format_name(m->format));
        print_row(&r, rows, words);
    }
}

/* Whether a tensor of the file belongs to an encoded weight. */
static bool is_code(const struct rbe_container *c, const char *name)
{
    for (size_t i = 0; i < rbe_container_weight_count(c); i++) {
        const char *w = rbe_container_weight_at(c, i)->name;
        const size_t n = strlen(w);
        if (!strncmp(name, w, n) && name[n] == '.')
            return true;
    }
    return false;
}

static void print_tensors(const struct rbe_safetensors *s, const struct rbe_container *c,
                          json_t *rows, uint64_t *words)
{
    if (!rows)
        printf("%-28s %14s  %-9s %5s %11s %8s\n", "tensor", "shape", "codec", "B", "bytes",
               "bits/w");
    for (size_t i = 0; c && i < rbe_container_weight_count(c); i++)
        print_weight(rbe_container_weight_at(c, i), rows, words);
    for (size_t i = 0; i < rbe_safetensors_count(s); i++) {
        const struct rbe_tensor *t = rbe_safetensors_at(s, i);
        if (c && is_code(c, t->name))
            continue;
        /* Checksums are no parameters. */
        struct row r = {.name = t->name, .bytes = t->bytes, .weights = (double)t->count,
                        .words = strncmp(t->name, "rbe.", 4) ? t->count : 0};
        size_t n = 0;
        for (unsigned k = 0; k < t->dims && n < sizeof r.shape; k++)
            n += (size_t)snprintf(r.shape + n, sizeof r.shape - n, "%s%llu", k ? " x " : "",
                                  (unsigned long long)t->shape[k]);
        snprintf(r.codec, sizeof r.codec, "%s", t->dtype_name);
        print_row(&r, rows, words);
    }
}

/* Adds the fields that make j a result row of kind `contents`. */
static int make_row(json_t *j, const struct rbe_result_model *model, uint64_t words)
{
    json_t *row = rbe_result_new(RBE_KIND(contents), 1);
    const int bad =
        !row || rbe_result_set_model(row, RBE_KEY(model), model) ||
        RBE_SET(row, RBE_JSON(totals, RBE_OBJECT(RBE_INT(compressed_parameters, words),
                                                 RBE_WORD(compressed_definition,
                                                          RBE_COMPRESSED_DEFINITION)))) ||
        json_object_update(j, row);

    json_decref(row);
    return bad;
}

static void print_json(const json_t *j)
{
    json_dumpf(j, stdout, JSON_INDENT(1));
    putchar('\n');
}

static json_t *describe(struct rbe_model *m, const struct rbe_safetensors *s)
{
    const struct rbe_model_config *c = rbe_model_config(m);
    const double params = (double)rbe_model_config_params(c);
    const size_t bytes = rbe_model_file_bytes(m);

    return RBE_OBJECT(RBE_TEXT(path, rbe_model_path(m)), RBE_FLAG(rbe, rbe_model_is_rbe(m)),
                      RBE_WORD(label, rbe_model_label(m)),
                      RBE_WORD(architecture, rbe_arch_at(c->arch)->type),
                      RBE_WORD(profile, rbe_safetensors_meta(s, "rbe.profile")),
                      RBE_WORD(sha256, rbe_model_sha256(m)), RBE_INT(vocab, c->vocab),
                      RBE_INT(n_ctx, c->n_ctx), RBE_INT(n_embd, c->n_embd),
                      RBE_INT(n_layer, c->n_layer), RBE_INT(n_head, c->n_head),
                      RBE_INT(n_inner, c->n_inner),
                      RBE_INT(parameters, rbe_model_config_params(c)), RBE_INT(bytes, bytes),
                      RBE_REAL(bits_per_weight, 8 * (double)bytes / params),
                      RBE_REAL(ratio, 4 * params / (double)bytes),
                      RBE_INT(bytes_per_token, rbe_model_bytes_per_token(m)));
}

static void print_summary(const json_t *j)
{
    const json_t *label = RBE_VALUE_AT(j, label), *profile = RBE_VALUE_AT(j, profile);

#define INT(key)  ((long long)json_integer_value(RBE_VALUE_AT(j, key)))
#define REAL(key) json_number_value(RBE_VALUE_AT(j, key))
    printf("%s\n", json_string_value(RBE_VALUE_AT(j, path)));
    printf("kind             %s\n",
           json_is_true(RBE_VALUE_AT(j, rbe)) ? "RBE container" : "plain checkpoint");
    if (json_is_string(label))
        printf("synthetic        %s\n", json_string_value(label));
    if (json_is_string(profile))
        printf("profile          %s\n", json_string_value(profile));
    printf("sha256           %s\n", json_string_value(RBE_VALUE_AT(j, sha256)));
    printf("shape            %lld layers, %lld wide, %lld heads, inner %lld, context %lld, "
           "vocabulary %lld\n",
           INT(n_layer), INT(n_embd), INT(n_head), INT(n_inner), INT(n_ctx), INT(vocab));
    printf("parameters       %lld\n", INT(parameters));
    printf("file             %lld bytes, %.3f bits a parameter, %.2f : 1 against f32\n",
           INT(bytes), REAL(bits_per_weight), REAL(ratio));
    printf("read for a token %lld bytes\n\n", INT(bytes_per_token));
#undef INT
#undef REAL
}

static enum rbe_status show(const char *path, bool verify, bool as_json, struct rbe_diag *d)
{
    struct rbe_model *m = NULL;
    struct rbe_safetensors *s = NULL;
    struct rbe_container *c = NULL;
    json_t *j = NULL, *rows = NULL;
    enum rbe_status err;
    uint64_t words = 0;

    if ((err = rbe_model_open(&m, path, d)) || (err = rbe_model_hash(m, d)) ||
        (err = rbe_safetensors_open(&s, rbe_model_path(m), d)))
        goto out;
    if (rbe_model_is_rbe(m) && (err = rbe_container_open(&c, rbe_model_path(m), verify, d)))
        goto out;
    if (!(j = describe(m, s)) || (as_json && !(rows = json_array()))) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    if (!as_json)
        print_summary(j);
    print_tensors(s, c, rows, &words);
    if (as_json) {
        const struct rbe_result_model model = {
            .name = rbe_base_name(rbe_model_path(m)), .path = rbe_model_path(m),
            .sha256 = rbe_model_sha256(m), .label = rbe_model_label(m),
            .bytes = rbe_model_file_bytes(m),
            .params = rbe_model_config_params(rbe_model_config(m)), .rbe = rbe_model_is_rbe(m)};
        if (RBE_SET(j, RBE_SHARED(tensors, rows)) || make_row(j, &model, words)) {
            err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
            goto out;
        }
        print_json(j);
    } else if (verify && c) {
        printf("\nall checksums hold\n");
    } else if (rbe_safetensors_shards(s)) {
        printf("\nthe tensors of %zu shards, as the index lists them\n",
               rbe_safetensors_shards(s));
    }
out:
    json_decref(rows);
    json_decref(j);
    rbe_container_close(&c);
    rbe_safetensors_close(&s);
    rbe_model_close(&m);
    return err;
}

/* --- GGUF files --------------------------------------------------------------------------- */

/* Bytes that are not part of a UTF-8 character, NUL, and a backslash before an x, as \xHH. */
static json_t *text_json(const struct rbe_gguf_value *v)
{
    static const char digits[] = "0123456789ABCDEF";
    const char *s = (const char *)v->data;
    json_t *j = NULL;
    size_t n = 0;

    char *out = malloc(4 * v->bytes + 1);
    for (size_t i = 0, k; out && i < v->bytes; i += k) {
        uint32_t code;
        k = rbe_utf8_char(s + i, v->bytes - i, &code);
        if (k && code && !(code == '\\' && i + 1 < v->bytes && s[i + 1] == 'x')) {
            memcpy(out + n, s + i, k);
            n += k;
            continue;
        }
        k = 1;
        memcpy(out + n, "\\x", 2);
        out[n + 2] = digits[v->data[i] >> 4];
        out[n + 3] = digits[v->data[i] & 15];
        n += 4;
    }
    if (out)
        j = json_stringn(out, n);
    else
        rbe_shortage_note();
    free(out);
    return j;
}

/* Of an array no more than eight elements. */
static json_t *value_json(const struct rbe_gguf_value *v)
{
    struct rbe_gguf_value item = {0};
    int64_t i;
    double x;

    if (v->kind == RBE_GV_STRING)
        return text_json(v);
    if (v->kind == RBE_GV_BOOL)
        return json_boolean(*v->data);
    if (v->kind == RBE_GV_ARRAY) {
        json_t *list = json_array();
        for (uint64_t k = 0; k < v->count && k < 8; k++) {
            rbe_gguf_next(&item, v);
            json_array_append_new(list, value_json(&item));
        }
        return list;
    }
    if (rbe_gguf_as_i64(&i, v))
        return json_integer(i);
    return rbe_gguf_as_real(&x, v) ? rbe_result_real(x) : json_null();
}

static void print_value(const struct rbe_gguf_value *v, json_t *rows)
{
    const bool array = v->kind == RBE_GV_ARRAY;
    json_t *value = value_json(v);
    char kind[48];

    if (rows) {
        json_t *row = RBE_OBJECT(RBE_WORD(key, v->key),
                                 RBE_WORD(type, rbe_gguf_kind_name(v->kind)),
                                 RBE_JSON(values, array ? json_incref(value)
                                                        : json_pack("[O]", value)));
        if (array && RBE_SET(row, RBE_WORD(element, rbe_gguf_kind_name(v->element)),
                             RBE_INT(count, v->count)))
            rbe_shortage_note();
        json_array_append_new(rows, row);
        json_decref(value);
        return;
    }
    snprintf(kind, sizeof kind, array ? "%s[%llu]" : "%s",
             rbe_gguf_kind_name(array ? v->element : v->kind), (unsigned long long)v->count);
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    if (text) {
        /* A line of it, cut before a character, with nothing that steers a terminal. */
        size_t n = strlen(text), most = 64;
        for (size_t i = 0; i < n; i++) {
            const bool two = (uint8_t)text[i] == 0xC2 && (uint8_t)text[i + 1] < 0xA0;
            if (two)
                text[i + 1] = '?';
            if (two || text[i] == 127)
                text[i] = '?';
        }
        while (n > most && (text[most] & 0xC0) == 0x80)
            most--;
        printf("%-40s %-14s %.*s%s\n", v->key, kind, (int)(n > most ? most : n), text,
               n > most ? " ..." : "");
    }
    free(text);
    json_decref(value);
}

static void print_gguf_tensor(const struct rbe_gguf_tensor *t, json_t *rows, uint64_t *words)
{
    struct row r = {.name = t->name, .bytes = t->bytes, .words = t->rows * t->cols,
                    .weights = (double)t->rows * (double)t->cols};
    size_t n = 0;

    /* As other files have it: the length of a row last. */
    for (unsigned k = t->dims; k-- > 0 && n < sizeof r.shape;)
        n += (size_t)snprintf(r.shape + n, sizeof r.shape - n, "%llu%s",
                              (unsigned long long)t->ne[k], k ? " x " : "");
    snprintf(r.codec, sizeof r.codec, "%s", rbe_gguf_type_name(t->type));
    print_row(&r, rows, words);
}

static enum rbe_status show_gguf(const char *path, bool as_json, struct rbe_diag *d)
{
    const unsigned shortages = rbe_shortages();
    json_t *j = NULL, *rows = NULL, *values = NULL;
    struct rbe_gguf *g = NULL;
    enum rbe_status err;
    uint64_t words = 0, params = 0;
    char sha256[65] = "";

    if ((err = rbe_gguf_open(&g, path, d)))
        goto out;
    rbe_json_watch();
    if (rbe_gguf_sha256(sha256, g))
        rbe_shortage_note();
    for (size_t i = 0; i < rbe_gguf_count(g); i++)
        params += rbe_gguf_at(g, i)->rows * rbe_gguf_at(g, i)->cols;
    const size_t bytes = rbe_gguf_file_bytes(g);
    const double bits = params ? 8 * (double)bytes / (double)params : NAN;
    const double ratio = 4 * (double)params / (double)bytes;

    if (as_json) {
        rows = json_array();
        values = json_array();
    } else {
        printf("%s\nkind             GGUF, version %u, aligned to %lu\nsha256           %s\n"
               "parameters       %llu\nfile             %zu bytes, %.3f bits a parameter, "
               "%.2f : 1 against f32\n\n%-40s %-14s %s\n", path, rbe_gguf_version(g),
               (unsigned long)rbe_gguf_alignment(g), sha256, (unsigned long long)params, bytes,
               params ? bits : 0, ratio, "metadata", "type", "value");
    }
    for (size_t i = 0; i < rbe_gguf_value_count(g); i++)
        print_value(rbe_gguf_value_at(g, i), values);
    if (!as_json)
        printf("\n%-28s %14s  %-9s %5s %11s %8s\n", "tensor", "shape", "type", "", "bytes",
               "bits/w");
    for (size_t i = 0; i < rbe_gguf_count(g); i++)
        print_gguf_tensor(rbe_gguf_at(g, i), rows, &words);
    if (as_json) {
        const struct rbe_result_model model = {
            .name = rbe_base_name(path), .path = path, .sha256 = sha256, .bytes = bytes,
            .params = params};
        j = RBE_OBJECT(RBE_TEXT(path, path), RBE_FLAG(rbe, false), RBE_WORD(format, "GGUF"),
                       RBE_INT(version, rbe_gguf_version(g)),
                       RBE_INT(alignment, rbe_gguf_alignment(g)), RBE_WORD(sha256, sha256),
                       RBE_INT(parameters, params), RBE_INT(bytes, bytes),
                       RBE_REAL(bits_per_weight, bits), RBE_REAL(ratio, ratio),
                       RBE_SHARED(metadata, values), RBE_SHARED(tensors, rows));
        if (!j || make_row(j, &model, words))
            rbe_shortage_note();
        else if (rbe_shortages() == shortages)
            print_json(j);
    }
    if (rbe_shortages() != shortages)
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
out:
    json_decref(j);
    json_decref(rows);
    json_decref(values);
    rbe_gguf_close(&g);
    return err;
}

enum rbe_status rbe_cmd_info(struct rbe_info_args *a, struct rbe_diag *d)
{
    const char *path;
    const enum rbe_status err = rbe_call_only_model(&path, &a->call, "rbe-mini", d);

    if (err)
        return err;
    return rbe_gguf_is(path) ? show_gguf(path, a->json, d) : show(path, a->verify, a->json, d);
}
