/*
 * cmd_info.c - `rbe info`: what a model file holds.
 *
 * SPDX-License-Identifier: MIT
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/result.h"
#include "base/rows.h"
#include "cli/command.h"
#include "convert/convert.h"
#include "model/data.h"
#include "model/model.h"

static const char command[] = "info";

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
static int make_row(json_t *j, struct rbe_gpt2 *m, uint64_t words)
{
    const char *path = rbe_gpt2_path(m), *slash = strrchr(path, '/');
    const struct rbe_result_model model = {
        .name = slash ? slash + 1 : path, .path = path, .sha256 = rbe_gpt2_sha256(m),
        .label = rbe_gpt2_label(m), .bytes = rbe_gpt2_file_bytes(m),
        .params = rbe_gpt2_config_params(rbe_gpt2_config(m)), .rbe = rbe_gpt2_is_rbe(m)};
    json_t *row = rbe_result_new("contents", 1);
    const int bad =
        !row || rbe_result_set_model(row, RBE_KEY(model), &model) ||
        RBE_SET(row, RBE_JSON(totals, RBE_OBJECT(RBE_INT(compressed_parameters, words),
                                                 RBE_WORD(compressed_definition,
                                                          RBE_COMPRESSED_DEFINITION)))) ||
        json_object_update(j, row);

    json_decref(row);
    return bad;
}

static json_t *describe(struct rbe_gpt2 *m, const struct rbe_safetensors *s)
{
    const struct rbe_gpt2_config *c = rbe_gpt2_config(m);
    const double params = (double)rbe_gpt2_config_params(c);
    const size_t bytes = rbe_gpt2_file_bytes(m);

    return RBE_OBJECT(RBE_TEXT(path, rbe_gpt2_path(m)), RBE_FLAG(rbe, rbe_gpt2_is_rbe(m)),
                      RBE_WORD(label, rbe_gpt2_label(m)),
                      RBE_WORD(profile, rbe_safetensors_meta(s, "rbe.profile")),
                      RBE_WORD(sha256, rbe_gpt2_sha256(m)), RBE_INT(vocab, c->vocab),
                      RBE_INT(n_ctx, c->n_ctx), RBE_INT(n_embd, c->n_embd),
                      RBE_INT(n_layer, c->n_layer), RBE_INT(n_head, c->n_head),
                      RBE_INT(n_inner, c->n_inner),
                      RBE_INT(parameters, rbe_gpt2_config_params(c)), RBE_INT(bytes, bytes),
                      RBE_REAL(bits_per_weight, 8 * (double)bytes / params),
                      RBE_REAL(ratio, 4 * params / (double)bytes),
                      RBE_INT(bytes_per_token, rbe_gpt2_bytes_per_token(m)));
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
    struct rbe_gpt2 *m = NULL;
    struct rbe_safetensors *s = NULL;
    struct rbe_container *c = NULL;
    json_t *j = NULL, *rows = NULL;
    enum rbe_status err;
    uint64_t words = 0;

    if ((err = rbe_gpt2_open(&m, path, d)) || (err = rbe_gpt2_hash(m, d)) ||
        (err = rbe_safetensors_open(&s, rbe_gpt2_path(m), d)))
        goto out;
    if (rbe_gpt2_is_rbe(m) && (err = rbe_container_open(&c, rbe_gpt2_path(m), verify, d)))
        goto out;
    if (!(j = describe(m, s)) || (as_json && !(rows = json_array()))) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    if (!as_json)
        print_summary(j);
    print_tensors(s, c, rows, &words);
    if (as_json) {
        if (RBE_SET(j, RBE_SHARED(tensors, rows)) || make_row(j, m, words)) {
            err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
            goto out;
        }
        json_dumpf(j, stdout, JSON_INDENT(1));
        putchar('\n');
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
    rbe_gpt2_close(&m);
    return err;
}

int rbe_cmd_info(int argc, const char **argv)
{
    int verify = 0, as_json = 0, count, code;
    const struct poptOption table[] = {
        {"verify", 0, POPT_ARG_NONE, &verify, 0, "check the checksums of an RBE model", NULL},
        {"json", 0, POPT_ARG_NONE, &as_json, 0, "print JSON", NULL},
        POPT_TABLEEND};
    struct rbe_diag d = {""};
    enum rbe_status err;
    const char **args;
    char *shipped = NULL;

    if (!rbe_parse(argc, argv, table, "[MODEL]",
                   "Shows the shape of a model and every tensor's codec, bytes and bits a "
                   "weight.\nWithout MODEL, the model that ships.  The JSON is a result row, "
                   "which rbe report takes.", &args, &count, &code))
        return code;
    const char *path = count ? args[0] : (shipped = rbe_data_path("rbe-mini"));
    if (count > 1)
        err = rbe_fail(&d, RBE_ERR_ARG, "one model, not %d", count);
    else if (!path)
        err = rbe_fail(&d, RBE_ERR_IO, "the model that ships is nowhere; $RBE_DATA names its "
                       "folder");
    else
        err = show(path, verify, as_json, &d);
    code = rbe_report_failure(command, err, &d);
    free(shipped);
    return code;
}
