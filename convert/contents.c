/*
 * contents.c - what stands in the file: its size, and the file itself.
 *
 * SPDX-License-Identifier: MIT
 */
#include "convert/convert_private.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/utf8.h"
#include "kernels/f16.h"
#include "model/companion.h"
#include "rbe/container.h"

static enum rbe_status add_metadata(struct rbe_container_builder *b,
                                    const struct rbe_convert *c, struct rbe_diag *d)
{
    const struct rbe_source *s = c->source;
    enum rbe_status err;

    /* Without the white space of the original file. */
    json_t *j;
    if ((err = rbe_json_load(&j, s->config_json, strlen(s->config_json), 0, NULL, "config.json",
                             d)))
        return err;
    char *config = json_dumps(j, JSON_COMPACT);
    char *profile = rbe_utf8_text(rbe_profile_name(c->o.profile));
    json_decref(j);
    if (!config || !profile) {
        err = no_memory(d);
        goto out;
    }
    if ((err = rbe_container_add_meta(b, "rbe.config", config, d)) ||
        (err = rbe_container_add_meta(b, "rbe.profile", profile, d)) ||
        (err = rbe_container_add_meta(b, "rbe.source_sha256", s->sha256, d)) ||
        (err = rbe_container_add_meta(b, "rbe.encoder", RBE_ENCODER, d)))
        goto out;
    if (c->o.low_rank > 0) {
        char text[64];
        snprintf(text, sizeof text, "%.17g", c->o.low_rank);
        if ((err = rbe_container_add_meta(b, "rbe.low_rank", text, d)))
            goto out;
    }
    if ((err = rbe_companion_add_meta(b, s->gguf, d)))
        goto out;
    if (s->label)
        err = rbe_container_add_meta(b, "synthetic", s->label, d);
out:
    free(profile);
    free(config);
    return err;
}

/* A tensor that is not encoded is f32 or f16; what angles are made of must not be rounded. */
static bool stays_f32(const struct rbe_convert_entry *r)
{
    return r->tensor->role == RBE_ROLE_ROPE_FACTORS ||
           rbe_format_facts(r->settings.format)->float_bytes == sizeof(float);
}

static enum rbe_status add_plain(struct rbe_container_builder *b,
                                 const struct rbe_convert_entry *r, const void *data,
                                 struct rbe_diag *d)
{
    const struct rbe_source_tensor *t = r->tensor;
    const uint64_t shape[2] = {t->dims == 2 ? t->rows : t->cols, t->cols};

    return rbe_container_add_tensor(b, t->name, stays_f32(r) ? RBE_DT_F32 : RBE_DT_F16,
                                    t->dims, shape, data, d);
}

/* The parts of a matrix; *whole is where one that is not divided gets its only one. */
static const struct rbe_encode_part *parts_of(const struct rbe_convert_entry *r,
                                              struct rbe_encode_part *whole, size_t *count)
{
    const struct rbe_encode_options *o = &r->options;

    *whole = (struct rbe_encode_part){r->tensor->rows, o->format, o->block, o->aux};
    *count = o->part_count ? o->part_count : 1;
    return o->part_count ? o->parts : whole;
}

enum rbe_status rbe_convert_size(uint64_t *bytes, const struct rbe_convert *c,
                                 struct rbe_diag *d)
{
    static const uint16_t some[1];      /* stands for data that is not looked at */
    struct rbe_container_builder *b = NULL;
    struct rbe_part *parts = NULL;
    enum rbe_status err;

    *bytes = 0;
    if ((err = rbe_container_begin(&b, d)) || (err = add_metadata(b, c, d)))
        goto out;
    for (size_t i = 0; i < c->count && !err; i++) {
        const struct rbe_convert_entry *r = &c->entries[i];
        const struct rbe_encode_options *o = &r->options;
        struct rbe_encode_part whole;
        size_t n;
        const struct rbe_encode_part *from = parts_of(r, &whole, &n);
        struct rbe_weight w = {.rows = r->tensor->rows, .cols = r->tensor->cols,
                               .hadamard = o->hadamard, .sign_seed = o->sign_seed,
                               .part_count = n};

        if (!r->encoded) {
            err = add_plain(b, r, some, d);
            continue;
        }
        struct rbe_part *grown = realloc(parts, n * sizeof *grown);
        if (!grown) {
            err = no_memory(d);
            break;
        }
        w.parts = parts = grown;
        for (size_t k = 0; k < n; k++) {
            const struct rbe_encode_part *p = &from[k];
            const struct rbe_matrix_size s = rbe_encode_part_size(p, w.cols, o->scales);
            parts[k].m = (struct rbe_matrix){
                .format = p->format, .rows = p->rows, .cols = w.cols, .block = p->block,
                .aux = p->aux, .codes = some, .code_bytes = s.codes,
                .scale = s.scale ? some : NULL, .col_scale = s.col_scale ? some : NULL};
        }
        snprintf(w.name, sizeof w.name, "%s", r->tensor->name);
        err = rbe_container_add_weight(b, &w, d);
    }
    if (!err)
        *bytes = rbe_container_file_bytes(b);
out:
    free(parts);
    rbe_container_end(&b);
    return err;
}

/* A plain tensor's bytes as stored, fresh. */
static enum rbe_status plain_data(void **out, const struct rbe_convert *c,
                                  const struct rbe_convert_entry *r, struct rbe_diag *d)
{
    const size_t n = (size_t)r->tensor->rows * r->tensor->cols;
    enum rbe_status err;
    uint16_t *half;
    float *x;

    *out = NULL;
    if ((err = rbe_convert_weights(&x, c, r, d)))
        return err;
    if (stays_f32(r)) {
        *out = x;
        return RBE_OK;
    }
    if (!(half = malloc(n * sizeof *half))) {
        err = no_memory(d);
        goto out;
    }
    for (size_t i = 0; i < n && !err; i++) {
        half[i] = rbe_f16_from_f32(x[i]);
        if (!isfinite(rbe_f16_to_f32(half[i])))
            err = rbe_fail(d, RBE_ERR_NUMERIC, "tensor '%s': %g does not fit f16",
                           r->tensor->name, (double)x[i]);
    }
    *out = half;
out:
    free(x);
    if (err) {
        free(*out);
        *out = NULL;
    }
    return err;
}

enum rbe_status rbe_convert_stored(float **out, const struct rbe_convert *c, size_t i,
                                   struct rbe_diag *d)
{
    const struct rbe_convert_entry *r = &c->entries[i];
    const size_t rows = r->tensor->rows, cols = r->tensor->cols;
    enum rbe_status err = RBE_OK;
    void *data = NULL;

    *out = NULL;
    if (!r->encoded && ((err = plain_data(&data, c, r, d)) || stays_f32(r))) {
        *out = data;
        return err;
    }
    if (!(*out = malloc(rows * cols * sizeof **out)))
        err = no_memory(d);
    else if (r->encoded)
        for (size_t k = 0; k < rows; k++)
            rbe_weight_decode_row(rbe_container_weight(c->finished[i], r->tensor->name), k,
                                  *out + k * cols);
    else
        for (size_t k = 0; k < rows * cols; k++)
            (*out)[k] = rbe_f16_to_f32(((const uint16_t *)data)[k]);
    free(data);
    return err;
}

enum rbe_status rbe_convert_add_contents(struct rbe_container_builder *b,
                                         const struct rbe_convert *c, void **plain,
                                         struct rbe_diag *d)
{
    enum rbe_status err = add_metadata(b, c, d);

    for (size_t i = 0; i < c->count && !err; i++) {
        const struct rbe_convert_entry *r = &c->entries[i];

        if (r->elsewhere)
            continue;
        if (r->encoded) {
            err = rbe_container_add_weight(
                b, rbe_container_weight(c->finished[i], r->tensor->name), d);
        } else {
            if (!(err = plain_data(&plain[i], c, r, d)))
                err = add_plain(b, r, plain[i], d);
        }
    }
    /* Sizes that the plan went by may be wrong then. */
    if (!err && rbe_shortages() != c->shortages)
        err = no_memory(d);
    return err;
}

void rbe_convert_free_plain(void **plain, const struct rbe_convert *c)
{
    for (size_t i = 0; plain && i < c->count; i++)
        free(plain[i]);
    free(plain);
}

enum rbe_status rbe_convert_write(struct rbe_convert *c, const char *path, struct rbe_diag *d)
{
    struct rbe_container_builder *b = NULL;
    void **plain = calloc(c->count, sizeof *plain);
    enum rbe_status err;
    struct stat st;

    if (!plain) {
        err = no_memory(d);
        goto out;
    }
    if ((err = rbe_container_begin(&b, d)) ||
        (err = rbe_convert_add_contents(b, c, plain, d)) ||
        (err = rbe_companion_write(b, path, c->source->gguf, d)))
        goto out;
    if (stat(path, &st) < 0)
        err = rbe_fail_errno(d, "%s", path);
    else
        c->file_bytes = (uint64_t)st.st_size;
    if (!err)
        rbe_partial_remove(c);
out:
    rbe_container_end(&b);
    rbe_convert_free_plain(plain, c);
    return err;
}

uint64_t rbe_convert_compressed(const struct rbe_convert *c)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < c->count; i++) {
        const struct rbe_convert_entry *r = &c->entries[i];
        struct rbe_encode_part whole;
        size_t n;
        const struct rbe_encode_part *parts = parts_of(r, &whole, &n);

        if (!r->encoded) {
            sum += (uint64_t)r->tensor->rows * r->tensor->cols;
            continue;
        }
        for (size_t k = 0; k < n; k++) {
            const struct rbe_matrix_size s =
                rbe_encode_part_size(&parts[k], r->tensor->cols, r->options.scales);
            sum += (s.codes + 3) / 4 + s.scale / 2 + s.col_scale / 2;
        }
    }
    return sum;
}
