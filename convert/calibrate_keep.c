/*
 * calibrate_keep.c - a calibration's sums on the disk: to go on from, to map, and to share.
 *
 * SPDX-License-Identifier: MIT
 */
#include "convert/calibrate_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lock.h"
#include "convert/half.h"
#include "rbe/container.h"

/* Changes whenever the same windows would give other sums. */
#define CALIBRATION "rbe-calibration-5"

/* Behind a weight's name: the moment of its gradients. */
#define OUTER ".outer"

static char *keep_path(const struct rbe_calibration *c)
{
    char name[64], pass[32] = "";

    if (c->how.passes > 1)
        snprintf(pass, sizeof pass, "-%u-of-%u", c->pass + 1, c->how.passes);
    snprintf(name, sizeof name, "calibration%s%.16s%s.rbe", c->keep->shared ? "-" : "",
             c->keep->shared ? c->key : "", pass);
    return rbe_path_join(c->keep->folder, name);
}

/* Whether a kept file is of all the text. */
static bool is_whole(const struct rbe_calibration *c, const struct rbe_container *file)
{
    const char *key = rbe_safetensors_meta(rbe_container_file(file), "calibration.key");
    const char *at = rbe_safetensors_meta(rbe_container_file(file), "calibration.done");
    size_t done;

    return key && !strcmp(key, c->key) && at && sscanf(at, "%zu", &done) == 1 &&
           done == c->tokens;
}

/* Whether this pass is there as a whole, by what the file says of itself. */
static bool pass_is_kept(const struct rbe_calibration *c)
{
    struct rbe_container *file = NULL;
    char *path = keep_path(c);
    const bool kept = path && !access(path, R_OK) &&
                      !rbe_container_open(&file, path, false, NULL) && is_whole(c, file);

    rbe_container_close(&file);
    free(path);
    return kept;
}

enum rbe_status rbe_calibration_set_key(struct rbe_calibration *c,
                                        const struct rbe_model_config *config)
{
    char text[400], ids[65], shape[65];

    if (rbe_sha256(ids, c->text, c->tokens * sizeof *c->text) ||
        rbe_sha256(shape, config, sizeof *config))
        return RBE_ERR_NOMEM;
    const int n = snprintf(text, sizeof text, CALIBRATION " %s %s %s %s %zu %s",
                           c->keep->source_sha256, shape, rbe_metric_name(c->how.metric),
                           c->how.bf16 ? "bf16" : "f32", c->tokens, ids);
    return rbe_sha256(c->key, text, (size_t)n);
}

static void energy_name(char name[NAME_SIZE + 8], const struct site *s)
{
    snprintf(name, NAME_SIZE + 8, "%s.energy", s->name);
}

static void outer_name(char name[NAME_SIZE + 8], const struct site *s)
{
    snprintf(name, NAME_SIZE + 8, "%s" OUTER, s->name);
}

static bool is_outer(const char *name)
{
    const size_t n = strlen(name), end = sizeof OUTER - 1;

    return n > end && !strcmp(name + n - end, OUTER);
}

/* The sums so far, as tensors of a container, which has checksums. */
static enum rbe_status add_sums(struct rbe_container_builder *b,
                                const struct rbe_calibration *c, struct rbe_diag *d)
{
    char name[NAME_SIZE + 8], done[24];
    enum rbe_status err;

    snprintf(done, sizeof done, "%zu", c->done);
    if ((err = rbe_container_add_meta(b, "calibration.key", c->key, d)) ||
        (err = rbe_container_add_meta(b, "calibration.done", done, d)))
        return err;
    for (size_t i = 0; i < c->site_count && !err; i++) {
        const struct site *s = &c->sites[i];
        if (s->pass != c->pass)
            continue;
        const uint64_t half[1] = {rbe_half_floats(s->cols)}, rows[1] = {s->rows};
        char size[64];

        snprintf(size, sizeof size, "%zu %a", s->cols, s->weight);
        energy_name(name, s);
        if (!(err = rbe_container_add_tensor(b, s->name, RBE_DT_F32, 1, half, s->sums, d)) &&
            !(err = rbe_container_add_meta(b, s->name, size, d)) && s->rows)
            err = rbe_container_add_tensor(b, name, RBE_DT_F64, 1, rows, s->energy, d);
        const uint64_t outer[1] = {s->outer_floats};
        outer_name(name, s);
        if (!err && s->outer_floats)
            err = rbe_container_add_tensor(b, name, RBE_DT_F32, 1, outer, s->outer, d);
    }
    return err;
}

/* A file beside which the conversion's own would find no room is not written. */
static enum rbe_status check_room(const struct rbe_calibration *c, size_t bytes,
                                  struct rbe_diag *d)
{
    struct statvfs fs;

    if (statvfs(c->keep->folder, &fs) < 0)
        return rbe_fail_errno(d, "%s", c->keep->folder);
    if ((double)fs.f_bavail * (double)fs.f_frsize < (double)bytes + (double)c->keep->reserve)
        return rbe_fail(d, RBE_ERR_IO, "%s: too little room on the disk for a calibration of "
                        "%zu MB", c->keep->folder, bytes / 1000000);
    return RBE_OK;
}

void rbe_calibration_keep_state(struct rbe_calibration *c)
{
    struct rbe_container_builder *b = NULL;
    struct rbe_diag *why = &c->keep->why;
    char *path = keep_path(c);

    why->text[0] = 0;
    if (!path)
        rbe_fail(why, RBE_ERR_NOMEM, "out of memory");
    /* A whole one is there where a lock did not keep another process out: that one counts. */
    else if (!(c->keep->shared && pass_is_kept(c)) && !rbe_container_begin(&b, why) &&
             !add_sums(b, c, why) &&
             !check_room(c, rbe_container_file_bytes(b), why))
        rbe_container_write(b, path, why);
    rbe_container_end(&b);
    free(path);
    c->kept = rbe_now();
}

/* One site from a kept file; false when it is not as written. */
static bool take_site(struct rbe_calibration *c, const struct rbe_safetensors *f,
                      const struct rbe_tensor *t)
{
    const char *size = rbe_safetensors_meta(f, t->name);
    char name[NAME_SIZE + 8];
    size_t cols;
    double v;

    if (!size || sscanf(size, "%zu %la", &cols, &v) != 2 || cols > UINT32_MAX ||
        t->count != rbe_half_floats(cols) || strlen(t->name) >= NAME_SIZE)
        return false;
    snprintf(name, sizeof name, "%s.energy", t->name);
    const struct rbe_tensor *energy = rbe_safetensors_find(f, name);
    if ((c->how.metric != RBE_METRIC_INPUTS) != (energy != NULL) ||
        (energy && (energy->dtype != RBE_DT_F64 || energy->dims != 1)))
        return false;
    struct site *s = rbe_calibration_add_site(c, t->name, energy ? (size_t)energy->count : 0,
                                              cols);
    if (!s)
        return false;
    s->weight = v;
    memcpy(s->sums, t->data, t->bytes);
    rbe_map_forget(t->data, t->bytes);
    outer_name(name, s);
    const struct rbe_tensor *outer = rbe_safetensors_find(f, name);
    if (s->outer_floats && (!outer || outer->dtype != RBE_DT_F32 || outer->dims != 1 ||
                            outer->count != s->outer_floats))
        return false;
    if (s->outer_floats) {
        memcpy(s->outer, outer->data, outer->bytes);
        rbe_map_forget(outer->data, outer->bytes);
    }
    if (energy)
        memcpy(s->energy, energy->data, energy->bytes);
    return true;
}

void rbe_calibration_take_state(struct rbe_calibration *c,
                                const struct rbe_model_config *config)
{
    struct rbe_container *file = NULL;
    const size_t before = c->site_count;
    char *path = keep_path(c);
    size_t done = 0;

    c->done = 0;
    if (!path || rbe_container_open(&file, path, true, NULL))
        goto out;
    const struct rbe_safetensors *f = rbe_container_file(file);
    const char *key = rbe_safetensors_meta(f, "calibration.key");
    const char *at = rbe_safetensors_meta(f, "calibration.done");
    bool good = key && !strcmp(key, c->key) && at && sscanf(at, "%zu", &done) == 1 &&
                done <= c->tokens && done % rbe_calibration_window(config) == 0;
    for (size_t i = 0; i < rbe_safetensors_count(f) && good; i++) {
        const struct rbe_tensor *t = rbe_safetensors_at(f, i);
        if (t->dims == 1 && t->dtype == RBE_DT_F32 && !is_outer(t->name))
            good = take_site(c, f, t);
    }
    if (good)
        c->done = done;
    else
        rbe_calibration_drop_sites(c, before);
    c->keep->taken += c->done;
out:
    rbe_container_close(&file);
    free(path);
}

enum rbe_status rbe_calibration_leave_on_disk(struct rbe_calibration *c, struct rbe_diag *d)
{
    struct rbe_container **file = &c->files[c->pass];
    char *path = keep_path(c);

    if (!c->found_whole)
        rbe_calibration_keep_state(c);
    if (!c->keep->why.text[0] && path && !rbe_container_open(file, path, true, &c->keep->why) &&
        !is_whole(c, *file)) {
        rbe_container_close(file);
        rbe_fail(&c->keep->why, RBE_ERR_IO, "%s: another process has replaced it", path);
    }
    if (*file) {
        const struct rbe_safetensors *f = rbe_container_file(*file);
        for (size_t i = 0; i < c->site_count; i++) {
            struct site *s = &c->sites[i];
            const struct rbe_tensor *t = rbe_safetensors_find(f, s->name);
            char name[NAME_SIZE + 8];
            outer_name(name, s);
            const struct rbe_tensor *outer = rbe_safetensors_find(f, name);
            if (s->pass != c->pass || !t || t->count != rbe_half_floats(s->cols) ||
                (s->outer_floats && (!outer || outer->count != s->outer_floats)))
                continue;
            s->upper = (const float *)t->data;
            free(s->sums);
            s->sums = NULL;
            rbe_map_forget(t->data, t->bytes);
            if (!s->outer_floats)
                continue;
            s->outer_upper = (const float *)outer->data;
            free(s->outer);
            s->outer = NULL;
            rbe_map_forget(outer->data, outer->bytes);
        }
    }
    free(path);
    return (c->how.passes > 1 || c->keep->shared) && !*file
               ? rbe_fail(d, RBE_ERR_IO, "%s", c->keep->why.text)
               : RBE_OK;
}

bool rbe_calibration_all_is_kept(struct rbe_calibration *c)
{
    bool all = c->keep != NULL;

    for (c->pass = 0; all && c->pass < c->how.passes; c->pass++)
        all = !rbe_calibration_is_of_pass(c, NULL) || pass_is_kept(c);
    c->pass = 0;
    return all;
}

enum rbe_status rbe_calibration_wait_turn(struct rbe_calibration *c, struct rbe_diag *d)
{
    char name[64];

    if (!c->keep || !c->keep->shared || rbe_calibration_all_is_kept(c))
        return RBE_OK;
    snprintf(name, sizeof name, "calibration-%.16s.lock", c->key);
    char *path = rbe_path_join(c->keep->folder, name);
    if (path)
        c->lock = rbe_lock_take(path, "another process's calibration");
    free(path);
    /* What killed ones were writing. */
    *strrchr(name, '.') = 0;
    if (c->lock >= 0)
        rbe_remove_temporaries(c->keep->folder, name);
    return rbe_interrupted() ? rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted") : RBE_OK;
}
