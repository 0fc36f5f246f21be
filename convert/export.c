/*
 * export.c - writes a model's weights for other programs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "convert/export.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "convert/export_private.h"
#include "kernels/f16.h"

struct export {
    const struct rbe_source *s;
    const struct rbe_export_options *o;
    struct rbe_export_counts *counts;
    float *values, *scratch;    /* of the largest tensor */
};

static enum rbe_status no_memory(const char *path, struct rbe_diag *d)
{
    return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
}

/* --- values ------------------------------------------------------------------------------- */

static enum rbe_status make_room(struct export *e, const char *out, struct rbe_diag *d)
{
    size_t most = 0;

    for (size_t i = 0; i < e->s->count; i++) {
        const size_t n = (size_t)e->s->tensors[i].rows * e->s->tensors[i].cols;
        most = n > most ? n : most;
    }
    e->values = malloc(most * sizeof *e->values);
    e->scratch = malloc(most * sizeof *e->scratch);
    return e->values && e->scratch ? RBE_OK : no_memory(out, d);
}

/* Whether a tensor is written as F16.  GGUF files have all but matrices as F32: programs that
 * run them add these in f32. */
static bool is_f16(const struct export *e, const struct rbe_source_tensor *t)
{
    return !e->o->wide && (t->matrix || !e->o->gguf);
}

/* Looks at the values: finite, and what F16 makes of them. */
static enum rbe_status look(struct export *e, const struct rbe_source_tensor *t,
                            struct rbe_diag *d)
{
    const size_t n = (size_t)t->rows * t->cols;
    const bool f16 = is_f16(e, t);
    const char *path = rbe_source_path(e->s);
    uint64_t rounded = 0, lost = 0;

    for (size_t i = 0; i < n; i++) {
        const float x = e->values[i];
        const uint16_t h = rbe_f16_from_f32(x);
        if (!isfinite(x))
            return rbe_fail(d, RBE_ERR_NUMERIC, "%s: tensor '%s': element %zu is %s", path,
                            t->name, i, isnan(x) ? "NaN" : "infinite");
        if (f16 && (h & 0x7C00) == 0x7C00)
            return rbe_fail(d, RBE_ERR_NUMERIC, "%s: tensor '%s': element %zu, %g, is too "
                            "large for F16; --dtype f32 writes it", path, t->name, i,
                            (double)x);
        const bool other = f16 && rbe_f16_to_f32(h) != x;
        rounded += other;
        lost += other && fabsf(x) < 0x1p-14F;
    }
    e->counts->values += n;
    e->counts->f16 += f16 ? n : 0;
    e->counts->rounded += rounded;
    e->counts->lost += lost;
    return RBE_OK;
}

/* A vector that is added to every row of the embedding: other programs have none, and of a tied
 * output layer it moves all logits alike. */
static bool is_folded(const struct rbe_source_tensor *t)
{
    return t->role == RBE_ROLE_EMBED_MEAN;
}

static enum rbe_status fold_mean(struct export *e, const struct rbe_source_tensor *t,
                                 struct rbe_diag *d)
{
    const struct rbe_source_tensor *mean = rbe_source_of_role(e->s, RBE_ROLE_EMBED_MEAN, -1);
    enum rbe_status err;
    float *x;

    if (t->role != RBE_ROLE_TOKENS || !mean)
        return RBE_OK;
    if ((err = rbe_source_read(&x, e->s, mean, d)))
        return err;
    for (size_t r = 0; r < t->rows; r++)
        for (size_t k = 0; k < t->cols; k++)
            e->values[r * t->cols + k] += x[k];
    free(x);
    return RBE_OK;
}

/* All values of t into e->values. */
static enum rbe_status read_tensor(struct export *e, const struct rbe_source_tensor *t,
                                   struct rbe_diag *d)
{
    const struct rbe_source *s = e->s;
    enum rbe_status err;

    if (rbe_interrupted())
        return rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted, nothing is written");
    if (t->weight && (err = rbe_container_check(s->container, t->weight, d)))
        return err;
    err = e->o->gguf ? rbe_source_read_to(e->values, e->scratch, s, t, d)
                     : rbe_source_read_as_stored(e->values, e->scratch, s, t, d);
    if (err || (err = fold_mean(e, t, d)) || (err = look(e, t, d)))
        return err;
    if (e->o->progress)
        rbe_progress_update(e->o->progress, (double)e->counts->values, t->name);
    return RBE_OK;
}

/* --- GGUF --------------------------------------------------------------------------------- */

/* A tensor and where it goes through. */
struct item {
    struct export *e;
    const struct rbe_source_tensor *t;
};

static enum rbe_status read_rows(float *out, const struct rbe_gguf_tensor_out *t, uint64_t row0,
                                 uint64_t rows, struct rbe_diag *d)
{
    const struct item *p = t->user;
    const uint64_t cols = p->t->cols;
    const enum rbe_status err = row0 ? RBE_OK : read_tensor(p->e, p->t, d);

    for (uint64_t r = row0; r < row0 + rows && !err; r++)
        memcpy(out + (r - row0) * cols,
               p->e->values + rbe_source_row_of_gguf(p->t, p->e->s->config.head, (uint32_t)r) *
                                  cols,
               cols * sizeof *out);
    return err;
}

static enum rbe_status write_gguf(struct export *e, struct item *items, const char *out,
                                  struct rbe_diag *d)
{
    const struct rbe_source *s = e->s;
    const bool wide = e->o->wide;
    const char *const title = rbe_arch_at(s->config.arch)->title;
    struct rbe_gguf_out *g;
    enum rbe_status err;

    for (size_t i = 0; i < s->count; i++)
        if (!s->tensors[i].gguf_name[0] && !is_folded(&s->tensors[i]))
            return rbe_fail(d, RBE_ERR_ARG, "%s: there are no GGUF files of %s", out, title);
    if ((err = rbe_gguf_begin(&g, d)))
        return err;
    if ((err = rbe_model_config_to_gguf(g, &s->config, d)))
        goto out;
    rbe_gguf_add_string(g, "general.type", "model");
    rbe_gguf_add_string(g, "general.name", e->o->name);
    if (s->label)
        rbe_gguf_add_string(g, "general.description", s->label);
    rbe_gguf_add_u32(g, "general.file_type", wide ? 0 : 1);
    if (e->o->tokenizer &&
        (err = rbe_export_tokenizer_gguf(g, e->o->tokenizer, &s->config, d)))
        goto out;
    for (size_t i = 0; i < s->count; i++) {
        const struct rbe_source_tensor *t = &s->tensors[i];
        if (is_folded(t))
            continue;
        const struct rbe_gguf_tensor_out to = {
            .name = t->gguf_name, .type = is_f16(e, t) ? RBE_GT_F16 : RBE_GT_F32,
            .dims = t->dims, .ne = {t->cols, t->rows}, .read = read_rows, .user = &items[i]};

        rbe_gguf_add_tensor(g, &to);
    }
    err = rbe_gguf_write(g, out, d);
out:
    rbe_gguf_end(&g);
    return err;
}

/* --- a folder ----------------------------------------------------------------------------- */

static enum rbe_status read_data(const void **data, const struct rbe_tensor_out *to,
                                 struct rbe_diag *d)
{
    const struct item *p = to->data;
    struct export *e = p->e;
    const size_t n = (size_t)p->t->rows * p->t->cols;
    const enum rbe_status err = read_tensor(e, p->t, d);
    uint16_t *const half = (uint16_t *)e->scratch;

    if (!err && to->dtype == RBE_DT_F16)
        for (size_t i = 0; i < n; i++)
            half[i] = rbe_f16_from_f32(e->values[i]);
    *data = to->dtype == RBE_DT_F16 ? (const void *)half : e->values;
    return err;
}

static enum rbe_status write_weights(struct export *e, struct item *items, const char *path,
                                     struct rbe_diag *d)
{
    const struct rbe_source *s = e->s;
    const char *const meta[] = {"format", "pt", s->label ? "synthetic" : NULL, s->label, NULL};
    const char *const prefix = rbe_arch_at(s->config.arch)->prefix;
    struct rbe_tensor_out *to = calloc(s->count, sizeof *to);
    char (*names)[128] = calloc(s->count, sizeof *names);
    enum rbe_status err = to && names ? RBE_OK : no_memory(path, d);
    size_t n = 0;

    for (size_t i = 0; i < s->count && !err; i++) {
        const struct rbe_source_tensor *t = &s->tensors[i];
        const bool two = t->dims == 2, turned = t->transposed;

        if (is_folded(t))
            continue;
        /* The output layer stands outside what the prefix means. */
        snprintf(names[n], sizeof *names, "%s%s", t->role == RBE_ROLE_OUTPUT ? "" : prefix,
                 t->name);
        to[n] = (struct rbe_tensor_out){
            .name = names[n], .dtype = is_f16(e, t) ? RBE_DT_F16 : RBE_DT_F32, .dims = t->dims,
            .shape = {two && !turned ? t->rows : t->cols, turned ? t->rows : t->cols},
            .data = &items[i]};
        n++;
    }
    err = err ? err : rbe_safetensors_write_by(path, to, n, meta, read_data, d);
    free(names);
    free(to);
    return err;
}

/* The configuration of the original. */
static enum rbe_status read_config(json_t **j, const struct rbe_source *s, struct rbe_diag *d)
{
    const char *text = s->container ? rbe_safetensors_meta(s->file, "rbe.config")
                                    : s->config_json;

    return rbe_json_load(j, text, strlen(text), 0, NULL, "config.json", d);
}

/* Of a GGUF file the tokenizer says which token stands before a text, not the configuration. */
static enum rbe_status set_begin_token(json_t *config, const struct export *e,
                                       struct rbe_diag *d)
{
    static const char key[] = "tokenizer.ggml.bos_token_id";
    const char *const tokenizer = e->o->tokenizer;
    const char *const place = tokenizer && rbe_gguf_is(tokenizer) ? tokenizer
                              : e->s->gguf ? rbe_source_path(e->s) : NULL;
    struct rbe_gguf *g;
    enum rbe_status err;
    uint32_t id;

    if (!place)
        return RBE_OK;
    if ((err = rbe_gguf_open(&g, place, d)))
        return err;
    if (rbe_gguf_value(g, key) && !(err = rbe_gguf_u32(&id, g, key, d))) {
        if (id >= e->s->config.vocab)
            err = rbe_fail(d, RBE_ERR_FORMAT, "%s: %s is outside the vocabulary", place, key);
        else if (json_object_set_new(config, "bos_token_id", json_integer(id)))
            err = no_memory(place, d);
    }
    rbe_gguf_close(&g);
    return err;
}

/* It, but for the type of the weights. */
static enum rbe_status write_config(const struct export *e, const char *path,
                                    struct rbe_diag *d)
{
    struct rbe_outfile o = {0};
    json_t *j;
    enum rbe_status err = read_config(&j, e->s, d);

    if (err)
        return err;
    json_object_del(j, "dtype");        /* its name in newer files; all read this one */
    if (json_object_set_new(j, "torch_dtype", json_string(e->o->wide ? "float32" : "float16")))
        err = no_memory(path, d);
    if (!err && !(err = set_begin_token(j, e, d)) && !(err = rbe_outfile_open(&o, path, d))) {
        if (json_dumpf(j, o.f, JSON_INDENT(2)) || fputc('\n', o.f) == EOF)
            err = rbe_fail_errno(d, "%s: cannot write", path);
        else
            err = rbe_outfile_commit(&o, d);
    }
    rbe_outfile_discard(&o);
    json_decref(j);
    return err;
}

static enum rbe_status fill_folder(struct export *e, struct item *items, const char *folder,
                                   struct rbe_diag *d)
{
    char *config = rbe_path_join(folder, "config.json");
    char *weights = rbe_path_join(folder, "model.safetensors");
    enum rbe_status err = config && weights ? write_config(e, config, d)
                                            : no_memory(folder, d);

    if (!err && e->o->tokenizer)
        err = rbe_export_tokenizer_files(folder, e->o->tokenizer, d);
    if (!err)
        err = write_weights(e, items, weights, d);
    free(weights);
    free(config);
    return err;
}

/* With the files that were written there, and no others can be: nobody knows its name. */
static void remove_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *f;

    while (dir && (f = readdir(dir)))
        if (strcmp(f->d_name, ".") && strcmp(f->d_name, ".."))
            unlinkat(dirfd(dir), f->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(folder);
}

/* A new folder beside `out`, its path fresh, as readable as any. */
static enum rbe_status make_folder(char **path, const char *out, struct rbe_diag *d)
{
    char *const name = *path = malloc(strlen(out) + sizeof ".XXXXXX");
    size_t n = strlen(out);

    if (!name)
        return no_memory(out, d);
    while (n > 1 && out[n - 1] == '/')
        n--;
    sprintf(name, "%.*s.XXXXXX", (int)n, out);
    if (mkdtemp(name) && !chmod(name, rbe_file_mode(0777)))
        return RBE_OK;
    rbe_fail_errno(d, "%s: cannot create", out);
    free(name);
    *path = NULL;
    return RBE_ERR_IO;
}

static enum rbe_status write_folder(struct export *e, struct item *items, const char *out,
                                    struct rbe_diag *d)
{
    char *folder;
    enum rbe_status err = make_folder(&folder, out, d);

    if (err)
        return err;
    /* At most an empty folder that came up meanwhile would be replaced. */
    if (!(err = fill_folder(e, items, folder, d)) && rename(folder, out))
        err = rbe_fail_errno(d, "%s: cannot create", out);
    if (err)
        remove_folder(folder);
    free(folder);
    return err;
}

/* --- all of it ---------------------------------------------------------------------------- */

enum rbe_status rbe_export_check(const char *out, bool gguf, struct rbe_diag *d)
{
    char *folder;
    struct stat st;

    if (gguf)
        return RBE_OK;          /* rbe_files_replace() tells */
    if (!lstat(out, &st))
        return rbe_fail(d, RBE_ERR_ARG, "%s: is there already; a new folder is made", out);
    const enum rbe_status err = make_folder(&folder, out, d);
    if (!err)
        rmdir(folder);
    free(folder);
    return err;
}

/* Factors of rotated positions stand in a GGUF file as a tensor, in a config.json as the
 * numbers that they are made from; neither becomes the other. */
static enum rbe_status check_positions(const struct rbe_source *s, const char *out,
                                       const struct rbe_export_options *o, struct rbe_diag *d)
{
    const bool factors = rbe_source_of_role(s, RBE_ROLE_ROPE_FACTORS, -1);

    if (o->gguf && !factors && s->config.rope_scaling == RBE_ROPE_LLAMA3)
        return rbe_fail(d, RBE_ERR_ARG, "%s: Llama 3's scaling of positions is not written in "
                        "GGUF files", out);
    if (!o->gguf && factors)
        return rbe_fail(d, RBE_ERR_ARG, "%s: factors of rotated positions have no place in a "
                        "config.json", out);
    return RBE_OK;
}

enum rbe_status rbe_export(struct rbe_export_counts *counts, const struct rbe_source *s,
                           const char *out, const struct rbe_export_options *o,
                           struct rbe_diag *d)
{
    struct export e = {.s = s, .o = o, .counts = counts};
    struct item *items = calloc(s->count, sizeof *items);
    enum rbe_status err;

    *counts = (struct rbe_export_counts){0};
    if ((err = check_positions(s, out, o, d)))
        goto out;
    if (!items) {
        err = no_memory(out, d);
        goto out;
    }
    for (size_t i = 0; i < s->count; i++)
        items[i] = (struct item){&e, &s->tensors[i]};
    if ((err = make_room(&e, out, d)))
        goto out;
    if (o->progress)
        rbe_progress_start(o->progress, "export", "weights",
                           (double)rbe_model_config_params(&s->config));
    err = o->gguf ? write_gguf(&e, items, out, d) : write_folder(&e, items, out, d);
    if (o->progress)
        rbe_progress_end(o->progress);
out:
    free(e.values);
    free(e.scratch);
    free(items);
    return err;
}
