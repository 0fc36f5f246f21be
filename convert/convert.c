/*
 * convert.c - plans, encodes and writes an RBE model.
 *
 * SPDX-License-Identifier: MIT
 */
#include "convert/convert.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "kernels/f16.h"
#include "rbe/container.h"
#include "rbe/svd.h"

static enum rbe_status no_memory(struct rbe_diag *d)
{
    return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
}

/* --- the plan --------------------------------------------------------------------------- */

static enum rbe_status plan_row(struct rbe_convert_row *r, const struct rbe_source_tensor *t,
                                const struct rbe_convert_options *o, struct rbe_diag *d)
{
    struct rbe_diag why = {""};
    enum rbe_status err;

    r->tensor = t;
    r->tensor_class = t->tensor_class;
    r->layer = t->layer;
    r->choice = rbe_profile_choice(o->profile, r->tensor_class, r->layer);
    r->rate_met = true;
    r->encoded = t->matrix || (r->tensor_class == RBE_CLASS_WPE &&
                               !rbe_format_facts(r->choice.format)->float_bytes);
    if (!r->encoded)
        return RBE_OK;
    if ((err = rbe_choice_resolve(&r->choice, t->rows, t->cols, &r->options, &r->rate_met,
                                  &why)))
        return rbe_fail(d, err, "profile %s, tensor '%s': %s", rbe_profile_name(o->profile),
                        t->name, why.text);
    if (o->search >= 0)
        r->options.search = (enum rbe_search)o->search;
    if (r->options.hadamard)
        r->options.sign_seed = 1;
    return RBE_OK;
}

/* K where the profile names the energy to leave: that takes the weights. */
static enum rbe_status plan_energy(const struct rbe_convert *c, struct rbe_convert_row *r,
                                   struct rbe_diag *d)
{
    struct rbe_encode_options *o = &r->options;
    enum rbe_status err;
    uint32_t k;
    float *w;

    if (!r->encoded || !(r->choice.energy > 0))
        return RBE_OK;
    if ((err = rbe_convert_weights(&w, c, r, d)))
        return err;
    if (o->hadamard)
        rbe_rotate(w, r->tensor->cols, r->tensor->rows, r->tensor->cols, o->hadamard,
                   o->sign_seed);
    err = rbe_encode_k_for_energy(&k, o->format, w, r->tensor->rows, r->tensor->cols, o->block,
                                  r->choice.energy, c->o.pool, d);
    free(w);
    o->aux |= err ? 0 : k;
    return err;
}

bool rbe_convert_is_open(const struct rbe_convert_row *r)
{
    return r->encoded && rbe_choice_is_open(&r->choice);
}

/* Every open matrix gets block b, also where it has fewer rows. */
static void set_blocks(struct rbe_convert *c, uint32_t b)
{
    for (size_t i = 0; i < c->count; i++)
        if (rbe_convert_is_open(&c->rows[i]))
            c->rows[i].options.block = b;
}

/* The blocks that all open matrices take; false: none is open. */
static bool common_blocks(const struct rbe_convert *c, uint32_t *low, uint32_t *high)
{
    bool open = false;

    *low = 0, *high = UINT32_MAX;
    for (size_t i = 0; i < c->count; i++) {
        const struct rbe_format_facts *f = rbe_format_facts(c->rows[i].options.format);

        if (!rbe_convert_is_open(&c->rows[i]))
            continue;
        *low = f->min_block > *low ? f->min_block : *low;
        *high = f->max_block < *high ? f->max_block : *high;
        open = true;
    }
    return open;
}

static enum rbe_status share_budget(struct rbe_convert *c, struct rbe_diag *d)
{
    uint64_t least = UINT64_MAX;
    uint32_t smallest = 0, low, high;
    enum rbe_status err;

    if (!common_blocks(c, &low, &high)) {
        if ((err = rbe_convert_size(&c->file_bytes, c, d)))
            return err;
        if (c->budget_bytes && c->file_bytes > c->budget_bytes)
            return rbe_fail(d, RBE_ERR_LIMIT, "%" PRIu64 " bytes are more than the budget of "
                            "%" PRIu64 ", and profile %s leaves nothing to choose",
                            c->file_bytes, c->budget_bytes, rbe_profile_name(c->o.profile));
        return RBE_OK;
    }
    if (!c->budget_bytes)
        return rbe_fail(d, RBE_ERR_ARG, "profile %s leaves B to a budget: give --bits or "
                        "--bytes", rbe_profile_name(c->o.profile));
    /* Every B up to 64, then in steps of a sixty-fourth. */
    for (uint32_t b = low; b <= high; b += b < 64 ? 1 : b / 64) {
        uint64_t bytes;

        set_blocks(c, b);
        if ((err = rbe_convert_size(&bytes, c, d)))
            return err;
        if (bytes < least) {
            least = bytes;
            smallest = b;
        }
        if (bytes <= c->budget_bytes) {
            c->file_bytes = bytes;
            return RBE_OK;
        }
    }
    set_blocks(c, smallest);
    return rbe_fail(d, RBE_ERR_LIMIT, "a budget of %" PRIu64 " bytes (%.4g bits a parameter) "
                    "cannot be met: the smallest possible with profile %s is %" PRIu64
                    " bytes (%.4g bits)", c->budget_bytes,
                    8 * (double)c->budget_bytes / (double)c->params,
                    rbe_profile_name(c->o.profile), least,
                    8 * (double)least / (double)c->params);
}

enum rbe_status rbe_convert_plan(struct rbe_convert **out, const struct rbe_source *s,
                                 const struct rbe_convert_options *o, struct rbe_diag *d)
{
    const double profile_bits = rbe_profile_budget_bits(o->profile);
    enum rbe_status err = RBE_OK;

    *out = NULL;
    struct rbe_convert *c = calloc(1, sizeof *c);
    if (!c || !(c->rows = calloc(s->count, sizeof *c->rows))) {
        err = no_memory(d);
        goto out;
    }
    rbe_json_watch();
    c->shortages = rbe_shortages();
    c->source = s;
    c->o = *o;
    c->count = s->count;
    c->params = rbe_gpt2_config_params(&s->config);
    if (o->budget_bytes)
        c->budget_bytes = o->budget_bytes;
    else if (o->budget_bits > 0)
        c->budget_bytes = (uint64_t)(o->budget_bits * (double)c->params / 8);
    else if (profile_bits > 0)
        c->budget_bytes = (uint64_t)(profile_bits * (double)c->params / 8);
    else
        c->budget_bytes = rbe_profile_budget_bytes(o->profile);
    for (size_t i = 0; i < c->count && !err; i++)
        err = plan_row(&c->rows[i], &s->tensors[i], o, d);
    for (size_t i = 0; i < c->count && !err; i++)
        err = plan_energy(c, &c->rows[i], d);
    if (!err)
        err = share_budget(c, d);
out:
    if (err)
        rbe_convert_close(&c);
    *out = c;
    return err;
}

void rbe_convert_close(struct rbe_convert **pc)
{
    struct rbe_convert *c = *pc;

    if (!c)
        return;
    for (size_t i = 0; c->rows && i < c->count; i++)
        free(c->rows[i].own_parts);
    free(c->rows);
    if (c->folder)
        rmdir(c->folder);       /* when nothing was finished */
    free(c->folder);
    free(c);
    *pc = NULL;
}

const char *rbe_convert_default_profile(const struct rbe_gpt2_config *c)
{
    const uint64_t gpt2_small = 124439808;

    return rbe_gpt2_config_params(c) == gpt2_small ? "mobile-45mb" : "mini-2.89";
}

/* --- what goes into the file ------------------------------------------------------------ */

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
    if (s->label)
        err = rbe_container_add_meta(b, "synthetic", s->label, d);
out:
    free(profile);
    free(config);
    return err;
}

/* A tensor that is not encoded is f32 or f16. */
static bool stays_f32(const struct rbe_convert_row *r)
{
    return rbe_format_facts(r->choice.format)->float_bytes == sizeof(float);
}

static enum rbe_status add_plain(struct rbe_container_builder *b,
                                 const struct rbe_convert_row *r, const void *data,
                                 struct rbe_diag *d)
{
    const struct rbe_source_tensor *t = r->tensor;
    const uint64_t shape[2] = {t->tensor->dims == 2 ? t->rows : t->cols, t->cols};

    return rbe_container_add_tensor(b, t->name, stays_f32(r) ? RBE_DT_F32 : RBE_DT_F16,
                                    t->tensor->dims, shape, data, d);
}

/* The parts of a matrix; *whole is where one that is not divided gets its only one. */
static const struct rbe_encode_part *parts_of(const struct rbe_convert_row *r,
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
        const struct rbe_convert_row *r = &c->rows[i];
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

/* --- finished matrices on disk ---------------------------------------------------------- */

static bool uses_feedback(const struct rbe_convert_row *r)
{
    bool takes = rbe_format_facts(r->options.format)->feedback;

    for (size_t i = 0; i < r->options.part_count; i++)
        takes = takes || rbe_format_facts(r->options.parts[i].format)->feedback;
    return r->tensor->matrix && r->choice.feedback && takes;
}

bool rbe_convert_wants_calibration(const struct rbe_convert *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (uses_feedback(&c->rows[i]))
            return true;
    return false;
}

bool rbe_convert_is_untold(const struct rbe_convert *c, const struct rbe_convert_row *r)
{
    return c->o.calibration && uses_feedback(r) && !c->o.no_feedback &&
           !rbe_calibration_moment(c->o.calibration, r->tensor->name);
}

/* Of all that a finished matrix depends on: name, bytes (o is what encodes x), and by `moment`
 * the error that is reported. */
static enum rbe_status row_key(char hex[65], const struct rbe_convert_row *r, const float *x,
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

static char *row_path(const char *folder, const struct rbe_convert_row *r)
{
    char name[96];

    snprintf(name, sizeof name, "%s.rbe", r->tensor->name);
    return rbe_path_join(folder, name);
}

static enum rbe_status save_row(const struct rbe_convert_row *r, const struct rbe_weight *w,
                                const char *key, const char *path, struct rbe_diag *d)
{
    const struct rbe_quality *q = &r->quality;
    struct rbe_container_builder *b = NULL;
    enum rbe_status err;
    char stats[256];

    snprintf(stats, sizeof stats, "%a %a %a %a %a %zu", q->rms, q->rmse, q->peak,
             r->output_error, r->seconds, q->lost_rows);
    if (!(err = rbe_container_begin(&b, d)) && !(err = rbe_container_add_weight(b, w, d)) &&
        !(err = rbe_container_add_meta(b, "rbe.part_key", key, d)) &&
        !(err = rbe_container_add_meta(b, "rbe.part_stats", stats, d)))
        err = rbe_container_write(b, path, d);
    rbe_container_end(&b);
    return err;
}

/* Opens a finished matrix; false when there is none, it is not what this run needs, or it is
 * damaged: the container's checksums hold codes and metadata. */
static bool load_row(struct rbe_convert_row *r, const char *key, const char *path,
                     struct rbe_container **out)
{
    double rms, rmse, peak, output_error, seconds;
    size_t lost;

    *out = NULL;
    if (access(path, R_OK) || rbe_container_open(out, path, true, NULL))
        return false;
    const struct rbe_safetensors *f = rbe_container_file(*out);
    const char *had = rbe_safetensors_meta(f, "rbe.part_key");
    const char *stats = rbe_safetensors_meta(f, "rbe.part_stats");
    const struct rbe_weight *w = rbe_container_weight(*out, r->tensor->name);
    if (!had || strcmp(had, key) != 0 || !stats || !w ||
        sscanf(stats, "%la %la %la %la %la %zu", &rms, &rmse, &peak, &output_error,
               &seconds, &lost) != 6) {
        rbe_container_close(out);
        return false;
    }
    const double n = (double)w->rows * w->cols;
    rbe_quality_fill(&r->quality, (size_t)w->rows * w->cols, w->bytes, rms * rms * n,
                     rmse * rmse * n, peak);
    r->quality.lost_rows = lost;
    r->output_error = output_error;
    r->seconds = seconds;
    return true;
}

/* Removes the files that this program wrote there: temporary ones that a killed run left, or
 * all. */
static void clear_folder(const char *folder, bool all)
{
    DIR *dir = opendir(folder);
    const struct dirent *e;

    while (dir && (e = readdir(dir))) {
        const char *end = strstr(e->d_name, ".rbe");
        const bool temporary = end && !strncmp(end, ".rbe.tmp", 8);
        char *path = temporary || (all && end && !end[4]) ? rbe_path_join(folder, e->d_name)
                                                          : NULL;
        if (path)
            unlink(path);
        free(path);
    }
    if (dir)
        closedir(dir);
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
    if (mkdir(c->folder, 0777) < 0 && errno != EEXIST) {
        const enum rbe_status err = rbe_fail_errno(d, "%s: cannot write", path);
        free(c->folder);
        c->folder = NULL;
        return err;
    }
    clear_folder(c->folder, false);
    return RBE_OK;
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

/* --- encoding --------------------------------------------------------------------------- */

struct meter {
    const struct rbe_convert *c;
    const char *name;
    double before, size;        /* parameters done before this matrix; of this matrix */
};

static bool on_progress(void *arg, double done)
{
    const struct meter *m = arg;

    if (m->c->o.progress)
        rbe_progress_update(m->c->o.progress, m->before + done * m->size, m->name);
    return !rbe_interrupted();
}

/* Means of wte's columns [cols], fresh. */
static enum rbe_status column_means(float **out, const float *w, size_t rows, size_t cols,
                                    struct rbe_diag *d)
{
    double *sum = calloc(cols, sizeof *sum);

    *out = malloc(cols * sizeof **out);
    if (!sum || !*out) {
        free(sum);
        free(*out);
        *out = NULL;
        return no_memory(d);
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < cols; k++)
            sum[k] += w[r * cols + k];
    for (size_t k = 0; k < cols; k++)
        (*out)[k] = (float)(sum[k] / (double)rows);
    free(sum);
    return RBE_OK;
}

static bool is_centered(const struct rbe_convert_row *r)
{
    return r->tensor_class == RBE_CLASS_WTE && r->choice.center;
}

/* The means moved from wte to wpe, fresh; NULL where none are. */
static enum rbe_status wte_means(float **out, const struct rbe_convert *c, struct rbe_diag *d)
{
    const struct rbe_convert_row *r = &c->rows[0];
    enum rbe_status err;
    float *x;

    *out = NULL;
    if (!is_centered(r))
        return RBE_OK;
    if ((err = rbe_source_read(&x, c->source, r->tensor, d)))
        return err;
    err = column_means(out, x, r->tensor->rows, r->tensor->cols, d);
    free(x);
    return err;
}

static uint32_t low_rank_of(const struct rbe_convert *c, const struct rbe_convert_row *r)
{
    const double bytes = 4.0 * r->tensor->rows * r->tensor->cols / c->o.low_rank;

    return rbe_svd_rank(r->tensor->rows, r->tensor->cols, (size_t)bytes);
}

uint64_t rbe_convert_low_rank_bytes(const struct rbe_convert *c)
{
    uint64_t bytes = c->file_bytes;

    for (size_t i = 0; i < c->count; i++) {
        const struct rbe_convert_row *r = &c->rows[i];

        if (r->tensor->matrix)
            bytes += rbe_svd_bytes(r->tensor->rows, r->tensor->cols, low_rank_of(c, r)) -
                     rbe_encode_bytes(r->tensor->rows, r->tensor->cols, &r->options);
    }
    return c->o.low_rank > 0 ? bytes : 0;
}

enum rbe_status rbe_convert_weights(float **out, const struct rbe_convert *c,
                                    const struct rbe_convert_row *r, struct rbe_diag *d)
{
    const size_t rows = r->tensor->rows, cols = r->tensor->cols;
    enum rbe_status err = rbe_source_read(out, c->source, r->tensor, d);
    float *mean = NULL;

    if (err)
        return err;
    if (r->tensor_class == RBE_CLASS_WPE)
        err = wte_means(&mean, c, d);
    else if (is_centered(r))
        err = column_means(&mean, *out, rows, cols, d);
    if (err) {
        free(*out);
        *out = NULL;
        return err;
    }
    const float sign = r->tensor_class == RBE_CLASS_WPE ? 1 : -1;
    for (size_t i = 0; mean && i < rows; i++)
        for (size_t k = 0; k < cols; k++)
            (*out)[i * cols + k] += sign * mean[k];
    free(mean);
    if (c->o.low_rank > 0 && r->tensor->matrix) {
        double error;
        err = rbe_svd_error(&error, *out, r->tensor->rows, r->tensor->cols, low_rank_of(c, r),
                            *out, c->o.pool, d);
        if (err) {
            free(*out);
            *out = NULL;
        }
    }
    return err;
}

/* Encodes x, measures what came of it, and keeps both. */
static enum rbe_status encode_row(struct rbe_convert *c, struct rbe_convert_row *r,
                                  const float *x, const struct rbe_encode_options *o,
                                  const float *moment, const char *key, const char *path,
                                  struct rbe_diag *d)
{
    const struct rbe_source_tensor *t = r->tensor;
    struct rbe_diag why = {""};
    struct rbe_weight w = {0};
    enum rbe_status err;

    const double start = rbe_now();
    if (!o->progress(o->progress_arg, 0))
        err = RBE_ERR_INTERRUPTED;
    else
        err = rbe_encode_weight(&w, x, t->rows, t->cols, o, c->o.pool, &why);
    if (err) {
        rbe_fail(d, err, "tensor '%s': %s", t->name, why.text);
        goto out;
    }
    if ((err = rbe_quality_measure(&r->quality, x, &w, c->o.pool, d)))
        goto out;
    if (moment && (err = rbe_quality_cost(&r->output_error, x, &w, moment, c->o.pool, d)))
        goto out;
    r->seconds = rbe_now() - start;
    snprintf(w.name, sizeof w.name, "%s", t->name);
    err = save_row(r, &w, key, path, d);
out:
    rbe_weight_free(&w);
    return err;
}

/* A row's matrix in *out, from an earlier run or from now. */
static enum rbe_status finish_row(struct rbe_convert *c, struct rbe_convert_row *r,
                                  double before, struct rbe_container **out,
                                  struct rbe_diag *d)
{
    const struct rbe_source_tensor *t = r->tensor;
    struct meter m = {c, t->name, before, (double)t->rows * t->cols};
    struct rbe_encode_options o = r->options;
    char *path = row_path(c->folder, r), key[65];
    const float *moment = NULL;
    enum rbe_status err;
    float *x = NULL;

    if (!path)
        return no_memory(d);
    if ((err = rbe_convert_weights(&x, c, r, d)))
        goto out;
    o.progress = on_progress;
    o.progress_arg = &m;
    if (c->o.calibration && t->matrix)
        moment = rbe_calibration_moment(c->o.calibration, t->name);
    if (uses_feedback(r) && !c->o.no_feedback) {
        o.moment = moment;
        o.row_importance = moment ? rbe_calibration_rows(c->o.calibration, t->name) : NULL;
    }
    if (row_key(key, r, x, &o, moment)) {
        err = no_memory(d);
        goto out;
    }
    r->reused = load_row(r, key, path, out);
    if (r->reused && c->o.progress)
        rbe_progress_skip(c->o.progress, m.size);
    if (!r->reused && !(err = encode_row(c, r, x, &o, moment, key, path, d))) {
        free(x);
        x = NULL;
        err = rbe_container_open(out, path, true, d);
    }
out:
    free(x);
    free(path);
    return err;
}

static enum rbe_status encode_all(struct rbe_convert *c, struct rbe_container **parts,
                                  struct rbe_diag *d)
{
    enum rbe_status err;
    double done = 0;

    for (size_t i = 0; i < c->count; i++) {
        struct rbe_convert_row *r = &c->rows[i];

        if (!r->encoded)
            continue;
        if ((err = finish_row(c, r, done, &parts[i], d)))
            return err;
        r->done = true;
        c->seconds += r->seconds;
        done += (double)r->tensor->rows * r->tensor->cols;
        if (c->o.row_done)
            c->o.row_done(c->o.arg, r);
    }
    return RBE_OK;
}

/* --- the file --------------------------------------------------------------------------- */

/* A plain tensor's bytes as stored, fresh. */
static enum rbe_status plain_data(void **out, const struct rbe_convert *c,
                                  const struct rbe_convert_row *r, struct rbe_diag *d)
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

static enum rbe_status write_file(struct rbe_convert *c, const char *path,
                                  struct rbe_container *const *parts, struct rbe_diag *d)
{
    struct rbe_container_builder *b = NULL;
    void **plain = calloc(c->count, sizeof *plain);
    enum rbe_status err;
    struct stat st;

    if (!plain) {
        err = no_memory(d);
        goto out;
    }
    if ((err = rbe_container_begin(&b, d)) || (err = add_metadata(b, c, d)))
        goto out;
    for (size_t i = 0; i < c->count && !err; i++) {
        const struct rbe_convert_row *r = &c->rows[i];

        if (r->encoded) {
            err = rbe_container_add_weight(b, rbe_container_weight(parts[i], r->tensor->name),
                                           d);
        } else {
            if (!(err = plain_data(&plain[i], c, r, d)))
                err = add_plain(b, r, plain[i], d);
        }
    }
    /* Sizes that the plan went by may be wrong then. */
    if (!err && rbe_shortages() != c->shortages)
        err = no_memory(d);
    if (err || (err = rbe_container_write(b, path, d)))
        goto out;
    if (stat(path, &st) < 0)
        err = rbe_fail_errno(d, "%s", path);
    else
        c->file_bytes = (uint64_t)st.st_size;
out:
    rbe_container_end(&b);
    for (size_t i = 0; plain && i < c->count; i++)
        free(plain[i]);
    free(plain);
    return err;
}

enum rbe_status rbe_convert_run(struct rbe_convert *c, const char *path, struct rbe_diag *d)
{
    struct rbe_container **parts = NULL;
    enum rbe_status err = RBE_OK;
    double total = 0;

    if (!c->folder && (err = rbe_convert_begin(c, path, d)))
        return err;
    if (!(parts = calloc(c->count, sizeof *parts)))
        return no_memory(d);
    for (size_t i = 0; i < c->count; i++)
        if (c->rows[i].encoded)
            total += (double)c->rows[i].tensor->rows * c->rows[i].tensor->cols;
    if (c->o.progress)
        rbe_progress_start(c->o.progress, "convert", "weights", total);
    err = encode_all(c, parts, d);
    if (c->o.progress)
        rbe_progress_end(c->o.progress);
    if (!err)
        err = write_file(c, path, parts, d);
    for (size_t i = 0; i < c->count; i++)
        rbe_container_close(&parts[i]);
    if (!err) {
        clear_folder(c->folder, true);
        rmdir(c->folder);
    }
    free(parts);
    return err;
}

/* --- memory ------------------------------------------------------------------------------ */

/* Of rbe_convert_weights(): *kept is the row's weights. */
static size_t weights_bytes(size_t *kept, const struct rbe_convert *c,
                            const struct rbe_convert_row *r, unsigned threads)
{
    const struct rbe_source_tensor *t = r->tensor, *wte = c->rows[0].tensor;
    const size_t own = (size_t)t->rows * t->cols * sizeof(float);
    size_t more = t->transposed ? own : 0;

    *kept = own;
    if (r->tensor_class == RBE_CLASS_WPE && is_centered(&c->rows[0]))
        more = (size_t)wte->rows * wte->cols * sizeof(float);
    if (c->o.low_rank > 0 && t->matrix) {
        const size_t svd = rbe_svd_memory(t->rows, t->cols, low_rank_of(c, r), threads);
        more = svd > more ? svd : more;
    }
    return own + more;
}

size_t rbe_convert_bytes(const struct rbe_convert *c, bool calibrates, enum rbe_metric metric,
                         bool allocates, unsigned threads)
{
    static const float some[1];         /* stands for a moment that is not looked at */
    const struct rbe_gpt2_config *config = &c->source->config;
    const size_t held = calibrates ? rbe_calibration_kept_bytes(config, metric) : 0;
    const size_t first = calibrates ? rbe_calibration_bytes(config, metric, threads) : 0;
    size_t most = allocates ? rbe_convert_allocate_bytes(c, threads) : 0;

    for (size_t i = 0; i < c->count; i++) {
        const struct rbe_convert_row *r = &c->rows[i];
        struct rbe_encode_options o = r->options;
        size_t kept, coding = 0;
        const size_t reading = weights_bytes(&kept, c, r, threads);

        if (calibrates && uses_feedback(r) && !c->o.no_feedback)
            o.moment = some;
        if (r->encoded)
            coding = kept + rbe_encode_memory(r->tensor->rows, r->tensor->cols, &o, threads);
        most = reading > most ? reading : most;
        most = coding > most ? coding : most;
    }
    return held + most > first ? held + most : first;
}

uint64_t rbe_convert_compressed(const struct rbe_convert *c)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < c->count; i++) {
        const struct rbe_convert_row *r = &c->rows[i];
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
