/*
 * student_write.c - the container of a student, and the control's checkpoint.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "kernels/f16.h"
#include "model/companion.h"
#include "train/student_private.h"

/* What made a file stands under rbe.encoder; this has as many letters as the encoder's own, so
 * that the file keeps its size. */
#define TUNED "rbe-tune-v1.0"

static enum rbe_status as_stored(uint16_t *to, const float *from, size_t n, const char *name,
                                 struct rbe_diag *d)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = rbe_f16_from_f32(from[i]);
        if (!isfinite(rbe_f16_to_f32(to[i])))
            return rbe_fail(d, RBE_ERR_NUMERIC, "tensor '%s': %g does not fit f16", name,
                            (double)from[i]);
    }
    return RBE_OK;
}

enum rbe_status rbe_student_store(struct rbe_student *s, struct tensor *t, struct rbe_diag *d)
{
    struct rbe_weight fresh;
    enum rbe_status err = RBE_OK;

    if (t->kind == LATENT)
        return rbe_fail(d, RBE_ERR_ARG, "tensor '%s' is not encoded", t->slice->name);
    if (t->kind == PLAIN) {
        err = rbe_student_encode_like(&fresh, s, t, t->master,
                                      &(struct rbe_student_encoding){.again = false}, NULL, d);
        if (err)
            return err;
        rbe_weight_free(&t->w);
        t->w = fresh;
    }
    for (size_t i = 0; t->kind == CODED && i < t->w.part_count && !err; i++) {
        const struct rbe_matrix *m = &t->w.parts[i].m;
        const struct scales *p = &t->parts[i];

        err = as_stored((uint16_t *)(uintptr_t)m->scale, p->row_now,
                        (size_t)p->rows * p->groups, t->slice->name, d);
        if (!err && p->col)
            err = as_stored((uint16_t *)(uintptr_t)m->col_scale, p->col_now, p->cols,
                            t->slice->name, d);
    }
    return err;
}

static enum rbe_status add_plain(struct rbe_container_builder *b, const struct tensor *t,
                                 void **data, struct rbe_diag *d)
{
    const struct rbe_tensor *from = t->own->tensor;
    const size_t n = t->slice->count;
    enum rbe_status err;

    if (!(*data = malloc(n * sizeof(float))))
        return no_memory(d);
    if (t->dtype == RBE_DT_F16) {
        if ((err = as_stored(*data, t->master, n, t->slice->name, d)))
            return err;
    } else {
        memcpy(*data, t->master, n * sizeof(float));
    }
    return rbe_container_add_tensor(b, t->slice->name, t->dtype, from->dims, from->shape, *data,
                                    d);
}

enum rbe_status rbe_student_write(struct rbe_student *s, const char *path, struct rbe_diag *d)
{
    static const char *const keys[] = {"rbe.config", "rbe.profile", "rbe.source_sha256",
                                       "rbe.encoder", "synthetic"};
    void **data = calloc(s->count, sizeof *data);
    struct rbe_container_builder *b = NULL;
    enum rbe_status err;

    if (!data)
        return no_memory(d);
    if ((err = rbe_container_begin(&b, d)))
        goto out;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !err; i++) {
        const char *v = rbe_safetensors_meta(s->model->file, keys[i]);
        if (v)
            err = rbe_container_add_meta(b, keys[i], strcmp(keys[i], "rbe.encoder") ? v : TUNED,
                                         d);
    }
    if (!err)
        err = rbe_companion_add_meta(b, s->source->gguf, d);
    for (size_t i = 0; i < s->count && !err; i++) {
        struct tensor *t = &s->tensors[i];
        if (!t->w.rows)
            err = add_plain(b, t, &data[i], d);
        else if (!(err = rbe_student_store(s, t, d)))
            err = rbe_container_add_weight(b, &t->w, d);
    }
    if (!err)
        err = rbe_companion_write(b, path, s->source->gguf, d);
out:
    rbe_container_end(&b);
    for (size_t i = 0; i < s->count; i++)
        free(data[i]);
    free(data);
    return err;
}

/* Linear layers stand [in][out] in a checkpoint. */
static float *as_checkpoint(const struct tensor *t)
{
    const size_t rows = t->slice->rows, cols = t->slice->cols;
    float *x = malloc(rows * cols * sizeof *x);

    for (size_t r = 0; x && r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            x[t->own->transposed ? c * rows + r : r * cols + c] = t->master[r * cols + c];
    return x;
}

enum rbe_status rbe_student_write_plain(struct rbe_student *s, const char *folder,
                                        struct rbe_diag *d)
{
    struct rbe_tensor_out *out = calloc(s->count, sizeof *out);
    char *weights = rbe_path_join(folder, "model.safetensors");
    char *config = rbe_path_join(folder, "config.json");
    const char *const meta[] = {RBE_STUDENT_CONTROL, "rbe tune --control", NULL};
    struct rbe_outfile file = {0};
    char *made = NULL;
    enum rbe_status err;

    if (!out || !weights || !config) {
        err = no_memory(d);
        goto out;
    }
    if ((err = rbe_make_new_dirs(&made, folder, d)))
        goto out;
    for (size_t i = 0; i < s->count; i++) {
        const struct tensor *t = &s->tensors[i];
        const struct rbe_source_tensor *from = t->own;

        out[i] = (struct rbe_tensor_out){.name = t->slice->name, .dtype = RBE_DT_F32,
                                         .dims = from->dims, .data = as_checkpoint(t)};
        if (!out[i].data) {
            err = no_memory(d);
            goto out;
        }
        out[i].shape[0] = from->dims < 2 || from->transposed ? from->cols : from->rows;
        out[i].shape[1] = from->dims < 2 ? 0 : from->transposed ? from->rows : from->cols;
    }
    /* First what says by its label that it may be replaced. */
    const bool fresh = access(weights, F_OK) != 0;
    if ((err = rbe_companion_write_plain(folder, s->source->gguf, d)))
        goto out;
    if ((err = rbe_safetensors_write(weights, out, s->count, meta, d)))
        goto out;
    if (!(err = rbe_outfile_open(&file, config, d))) {
        fputs(s->source->config_json, file.f);
        err = rbe_outfile_commit(&file, d);
    }
    if (err && fresh)
        unlink(weights);
out:
    rbe_outfile_discard(&file);
    if (err)
        rbe_unmake_dirs(&made, folder);
    free(made);
    for (size_t i = 0; out && i < s->count; i++)
        free((void *)(uintptr_t)out[i].data);
    free(out);
    free(weights);
    free(config);
    return err;
}
