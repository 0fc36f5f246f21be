/*
 * synth.c - generates a checkpoint.
 *
 * SPDX-License-Identifier: MIT
 */
#include "model/synth.h"

#include <dirent.h>
#include <fnmatch.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/progress.h"
#include "base/stats.h"
#include "kernels/f16.h"
#include "model/source.h"
#include "rbe/safetensors.h"

/* What fills a tensor: normal values of this deviation, or a constant. */
static float deviation_of(const struct rbe_source_tensor *t, const struct rbe_model_config *c)
{
    if (t->dims == 1)
        return 0;
    switch (t->role) {
    case RBE_ROLE_POSITIONS:
        return 0.01F;
    case RBE_ROLE_ATTN_OUT:
    case RBE_ROLE_FFN_DOWN:     /* into the residual stream */
        return (float)(0.02 / sqrt(2.0 * c->n_layer));
    default:
        return 0.02F;
    }
}

static float constant_of(const struct rbe_source_tensor *t)
{
    return t->role == RBE_ROLE_ATTN_NORM || t->role == RBE_ROLE_FFN_NORM ||
           t->role == RBE_ROLE_LAST_NORM;
}

/* Two independent standard normal values (Box and Muller). */
static void normal_pair(uint64_t *state, double *a, double *b)
{
    const double u = ((double)(rbe_random_next(state) >> 11) + 1) * 0x1p-53; /* (0, 1] */
    const double v = (double)(rbe_random_next(state) >> 11) * 0x1p-53;
    const double r = sqrt(-2 * log(u));

    *a = r * cos(2 * M_PI * v);
    *b = r * sin(2 * M_PI * v);
}

static void put_value(uint8_t *to, enum rbe_dtype dtype, size_t i, float v)
{
    uint16_t h;

    if (dtype == RBE_DT_F32) {
        memcpy(to + 4 * i, &v, sizeof v);
        return;
    }
    h = dtype == RBE_DT_F16 ? rbe_f16_from_f32(v) : (uint16_t)(rbe_bits_from_f32(v) >> 16);
    memcpy(to + 2 * i, &h, sizeof h);
}

static void fill(float deviation, float constant, enum rbe_dtype dtype, uint64_t state,
                 uint8_t *to, size_t count)
{
    for (size_t i = 0; i < count; i += 2) {
        double a = 0, b = 0;
        if (i % (1 << 20) == 0 && rbe_interrupted())
            return;
        if (deviation > 0)
            normal_pair(&state, &a, &b);
        put_value(to, dtype, i, (float)(a * deviation) + constant);
        if (i + 1 < count)
            put_value(to, dtype, i + 1, (float)(b * deviation) + constant);
    }
}

static enum rbe_status write_config(const char *folder, const struct rbe_model_config *c,
                                    struct rbe_diag *d)
{
    char *path = rbe_path_join(folder, "config.json");
    struct rbe_outfile o = {0};
    enum rbe_status err;

    if (!path)
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", folder);
    if (!(err = rbe_outfile_open(&o, path, d))) {
        rbe_model_config_print(o.f, c);
        err = rbe_outfile_commit(&o, d);
    }
    free(path);
    return err;
}

/* Both can be written: known before the work. */
static enum rbe_status try_files(const char *folder, const char *weights, struct rbe_diag *d)
{
    struct rbe_files f = {0};
    char *config = rbe_path_join(folder, "config.json");
    enum rbe_status err = config ? rbe_files_replace(&f, config, d)
                          : rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", folder);

    if (!err)
        err = rbe_files_replace(&f, weights, d);
    rbe_files_free(&f);
    free(config);
    return err;
}

/* The weights of a checkpoint that has no model.safetensors, which would hide them; or NULL. */
static char *find_hidden(const char *folder)
{
    static const char *const names[] = {"model.safetensors.index.json", "*-of-*.safetensors",
                                        "pytorch_model*.bin"};
    DIR *dir = opendir(folder);
    const struct dirent *e;
    char *found = NULL;

    while (dir && !found && (e = readdir(dir)))
        for (size_t i = 0; i < sizeof names / sizeof names[0] && !found; i++)
            if (!fnmatch(names[i], e->d_name, 0))
                found = rbe_path_join(folder, e->d_name);
    if (dir)
        closedir(dir);
    return found;
}

enum rbe_status rbe_checkpoint_replaceable(const char *folder, const char *label,
                                           const char *command, struct rbe_diag *d)
{
    char *weights = rbe_path_join(folder, "model.safetensors");
    char *config = rbe_path_join(folder, "config.json"), *hidden = find_hidden(folder);
    struct rbe_safetensors *s = NULL;
    const char *other = hidden;

    if (!weights || !config) {
        other = folder;
    } else if (!access(weights, F_OK)) {
        if (rbe_safetensors_open(&s, weights, NULL) || !rbe_safetensors_meta(s, label))
            other = weights;
    } else if (!access(config, F_OK)) {
        other = config;         /* of a model that is elsewhere, or in other files */
    }
    const enum rbe_status err =
        !weights || !config ? rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", folder)
        : other ? rbe_fail(d, RBE_ERR_ARG, "%s: was not made by %s, and is neither written "
                           "over nor hidden by another", other, command)
                : RBE_OK;
    rbe_safetensors_close(&s);
    free(weights);
    free(config);
    free(hidden);
    return err;
}

enum rbe_status rbe_synth(const char *folder, const struct rbe_model_config *c,
                          enum rbe_dtype dtype, uint64_t seed, struct rbe_diag *d)
{
    const size_t count = rbe_source_count(c);
    struct rbe_source_tensor *r = calloc(count, sizeof *r);
    struct rbe_tensor_out *out = calloc(count, sizeof *out);
    char *path = rbe_path_join(folder, "model.safetensors"), label[160];
    const size_t size = rbe_dtype_size(dtype);
    char *folders = NULL;
    uint8_t *data = NULL;
    struct rbe_progress p;
    enum rbe_status err;
    size_t at = 0, bytes = 0;

    if (!r || !out || !path) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", folder);
        goto done;
    }
    if (dtype != RBE_DT_F32 && dtype != RBE_DT_F16 && dtype != RBE_DT_BF16) {
        err = rbe_fail(d, RBE_ERR_ARG, "weights as %s: F32, F16 or BF16",
                       rbe_dtype_name(dtype));
        goto done;
    }
    if ((err = rbe_checkpoint_replaceable(folder, "synthetic", "rbe synth", d)) ||
        (err = rbe_make_new_dirs(&folders, folder, d)) || (err = try_files(folder, path, d)))
        goto done;
    for (size_t i = 0; i < count; i++) {
        r[i] = rbe_source_tensor(c, i);
        const size_t n = (size_t)r[i].rows * r[i].cols;
        out[i] = (struct rbe_tensor_out){.name = r[i].name, .dims = r[i].dims,
                                         .dtype = r[i].dims == 2 ? dtype : RBE_DT_F32,
                                         .shape = {r[i].transposed ? r[i].cols : r[i].rows,
                                                   r[i].transposed ? r[i].rows : r[i].cols}};
        if (r[i].dims == 1)
            out[i].shape[0] = r[i].cols;
        bytes += n * (r[i].dims == 2 ? size : sizeof(float));
    }
    data = malloc(bytes);
    if (!data) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: %zu MB of memory are not to be had", folder,
                       bytes / 1000000);
        goto done;
    }
    rbe_progress_start(&p, "synth", "weights", (double)rbe_model_config_params(c));
    double made = 0;
    for (size_t i = 0; i < count && !err; i++) {
        const size_t n = (size_t)r[i].rows * r[i].cols;
        uint64_t state = seed ^ (i + 1) * 0xD1B54A32D192ED03ULL;
        out[i].data = data + at;
        fill(deviation_of(&r[i], c), constant_of(&r[i]), out[i].dtype,
             rbe_random_next(&state), data + at, n);
        at += n * rbe_dtype_size(out[i].dtype);
        made += (double)n;
        rbe_progress_update(&p, made, r[i].name);
        if (rbe_interrupted())
            err = rbe_fail(d, RBE_ERR_INTERRUPTED, "%s: interrupted, nothing written", folder);
    }
    rbe_progress_end(&p);
    if (err)
        goto done;
    snprintf(label, sizeof label, "synthetic weights, N(0, 0.02) as %s is initialised, seed "
             "%llu; not trained", rbe_arch_at(c->arch)->title, (unsigned long long)seed);
    const char *const meta[] = {"format", "pt", "synthetic", label, NULL};
    /* The weights, which say that they are generated, first: a run that is killed between
     * leaves nothing that the next one takes for another's. */
    const bool fresh = access(path, F_OK) != 0;
    if (!(err = rbe_safetensors_write(path, out, count, meta, d)) &&
        (err = write_config(folder, c, d)) && fresh)
        unlink(path);
done:
    if (err)
        rbe_unmake_dirs(&folders, folder);
    free(folders);
    free(data);
    free(path);
    free(out);
    free(r);
    return err;
}
