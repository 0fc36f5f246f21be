/*
 * partial.c - finished matrices, kept beside the file until it is complete.
 *
 * SPDX-License-Identifier: MIT
 */
#include "convert/convert_private.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "rbe/container.h"

enum rbe_status rbe_partial_key(char hex[65], const struct rbe_convert_entry *r, const float *x,
                                const struct rbe_encode_options *o, const float *moment)
{
    const size_t rows = r->tensor->rows, cols = r->tensor->cols;
    char text[256], code[65], seen[65] = "-";

    enum rbe_status err = rbe_encode_key(code, x, (uint32_t)rows, (uint32_t)cols, o);

    if (!err && moment)
        err = rbe_sha256(seen, moment, cols * cols * sizeof *moment);
    if (err)
        return err;
    const int n = snprintf(text, sizeof text, "%s %s %s", r->tensor->name, code, seen);
    return rbe_sha256(hex, text, (size_t)n);
}

char *rbe_partial_path(const struct rbe_convert *c, const struct rbe_convert_entry *r)
{
    char name[96];

    snprintf(name, sizeof name, "%s.rbe", r->tensor->name);
    return rbe_path_join(c->folder, name);
}

enum rbe_status rbe_partial_save(const struct rbe_convert_entry *r, const struct rbe_weight *w,
                                 const char *key, const char *path, struct rbe_diag *d)
{
    const struct rbe_quality *q = &r->quality;
    struct rbe_container_builder *b = NULL;
    enum rbe_status err;
    char stats[256];

    snprintf(stats, sizeof stats, "%a %a %a %a %a %zu %zu", q->rms, q->rmse, q->peak,
             r->output_error, r->seconds, q->lost_rows, q->noisy_rows);
    if (!(err = rbe_container_begin(&b, d)) && !(err = rbe_container_add_weight(b, w, d)) &&
        !(err = rbe_container_add_meta(b, "rbe.part_key", key, d)) &&
        !(err = rbe_container_add_meta(b, "rbe.part_stats", stats, d)))
        err = rbe_container_write(b, path, d);
    rbe_container_end(&b);
    return err;
}

bool rbe_partial_load(struct rbe_convert_entry *r, const char *key, const char *path,
                      struct rbe_container **out)
{
    double rms, rmse, peak, output_error, seconds;
    size_t lost, noisy;

    *out = NULL;
    if (access(path, R_OK) || rbe_container_open(out, path, true, NULL))
        return false;
    const struct rbe_safetensors *f = rbe_container_file(*out);
    const char *had = rbe_safetensors_meta(f, "rbe.part_key");
    const char *stats = rbe_safetensors_meta(f, "rbe.part_stats");
    const struct rbe_weight *w = rbe_container_weight(*out, r->tensor->name);
    if (!had || strcmp(had, key) != 0 || !stats || !w ||
        sscanf(stats, "%la %la %la %la %la %zu %zu", &rms, &rmse, &peak, &output_error,
               &seconds, &lost, &noisy) != 7) {
        rbe_container_close(out);
        return false;
    }
    const double n = (double)w->rows * w->cols;
    rbe_quality_fill(&r->quality, (size_t)w->rows * w->cols, w->bytes, rms * rms * n,
                     rmse * rmse * n, peak);
    r->quality.lost_rows = lost;
    r->quality.noisy_rows = noisy;
    r->output_error = output_error;
    r->seconds = seconds;
    return true;
}

/* Removes the files that this program wrote there. */
static void clear_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *e;

    while (dir && (e = readdir(dir))) {
        const char *end = strstr(e->d_name, ".rbe");
        char *path = end && !end[4] ? rbe_path_join(folder, e->d_name) : NULL;
        if (path)
            unlink(path);
        free(path);
    }
    if (dir)
        closedir(dir);
}

void rbe_partial_remove(const struct rbe_convert *c)
{
    rbe_remove_temporaries(c->folder, "");
    clear_folder(c->folder);
    rmdir(c->folder);
}

enum rbe_status rbe_convert_begin(struct rbe_convert *c, const char *path, struct rbe_diag *d)
{
    const size_t n = strlen(path) + sizeof ".partial";
    struct stat st;

    if (!stat(path, &st) && !S_ISREG(st.st_mode))
        return rbe_fail(d, RBE_ERR_IO, "%s: exists and is not a file", path);
    if (!(c->folder = malloc(n)))
        return no_memory(d);
    snprintf(c->folder, n, "%s.partial", path);
    c->made = !mkdir(c->folder, 0777);
    if (!c->made && errno != EEXIST) {
        const enum rbe_status err = rbe_fail_errno(d, "%s: cannot write", path);
        free(c->folder);
        c->folder = NULL;
        return err;
    }
    rbe_remove_temporaries(c->folder, "");
    return RBE_OK;
}

void rbe_convert_give_up(const struct rbe_convert *c)
{
    if (c->folder && c->made)
        rbe_partial_remove(c);
}

bool rbe_convert_has_kept(const struct rbe_convert *c)
{
    DIR *dir = c->folder ? opendir(c->folder) : NULL;
    const struct dirent *e;
    bool has = false;

    while (dir && !has && (e = readdir(dir)))
        has = e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return has;
}
