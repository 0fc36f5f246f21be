/*
 * cmd_codecs.c - rbe codecs: every codec at the chapter's ratios on the same matrices, with
 * the guards of codecs.md 5 beside each figure.
 *
 * SPDX-License-Identifier: MIT
 */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/progress.h"
#include "base/result.h"
#include "base/rows.h"
#include "cli/arguments.h"
#include "convert/profile.h"
#include "model/data.h"
#include "model/source.h"
#include "rbe/container.h"
#include "rbe/distortion.h"
#include "rbe/gguf.h"
#include "rbe/quality.h"
#include "rbe/svd.h"

enum { MAX_RATIOS = 16, MAX_MATRICES = 1024, MIN_SIDE = 64 };

/* What stands in one row of the table. */
enum method { USE_CODEC, USE_SVD, USE_MEANS };

struct method_name {
    const char *name;
    enum method method;
    enum rbe_format format;
};

/* The codecs that lose something, and what they are held against.  The first `plain` of them
 * have one rate only: rows of their own, above the ratios. */
enum { METHODS = RBE_FORMAT_COUNT + 2 };

struct methods {
    struct method_name of[METHODS];
    size_t count, plain;
};

struct matrix {
    char name[64];
    float *w;                   /* [rows][cols] */
    uint32_t rows, cols;
};

struct row {
    double wanted;              /* ratio asked for; 0: the codec has one rate only */
    const struct method_name *how;
    uint32_t block, aux;        /* of the last matrix; rank for svd */
    double ratio, bits, relative_rmse, bound, psnr_db;
    double control_rmse, control_bound;         /* white Gaussian of the first one's shape */
    bool met;
    double seconds;
};

struct table {
    const struct rbe_codecs_args *a;
    struct methods methods;
    struct matrix *m;
    size_t count;
    double weights;
    double ratios[MAX_RATIOS];
    size_t ratio_count;
    struct row rows[METHODS * (MAX_RATIOS + 1)];
    size_t row_count;
    struct rbe_pool *pool;
    char sha256[65];
    char *file_name;
};

/* Those of one rate first; those without a place last. */
static unsigned place_of(enum rbe_format f)
{
    const struct rbe_format_facts *facts = rbe_format_facts(f);

    return facts->rate == RBE_RATE_NONE ? 0 : facts->place ? facts->place : UINT_MAX;
}

static struct methods list_methods(void)
{
    struct methods m = {0};

    for (int f = 0; f < RBE_FORMAT_COUNT; f++) {
        const struct rbe_format_facts *facts = rbe_format_facts((enum rbe_format)f);
        size_t at = m.count;
        if (facts->float_bytes == sizeof(float))
            continue;
        for (; at && place_of(m.of[at - 1].format) > place_of((enum rbe_format)f); at--)
            m.of[at] = m.of[at - 1];
        m.of[at] = (struct method_name){facts->name, USE_CODEC, (enum rbe_format)f};
        m.plain += facts->rate == RBE_RATE_NONE;
        m.count++;
    }
    m.of[m.count++] = (struct method_name){.name = "svd", .method = USE_SVD};
    m.of[m.count++] = (struct method_name){.name = "block means", .method = USE_MEANS};
    return m;
}

/* --- reading ---------------------------------------------------------------------------- */

/* Where matrices are: a file of any, or a GGUF model, whose blocks its source decodes. */
struct origin {
    const struct rbe_safetensors *file;         /* NULL: */
    const struct rbe_source *gguf;
};

static size_t tensor_count(const struct origin *o)
{
    return o->gguf ? o->gguf->count : rbe_safetensors_count(o->file);
}

static bool is_large(uint64_t rows, uint64_t cols)
{
    return rows >= MIN_SIDE && cols >= MIN_SIDE && rows < 1 << 24 && cols < 1 << 24;
}

static bool is_candidate(const struct origin *o, size_t i, const char *match)
{
    if (o->gguf) {
        const struct rbe_source_tensor *g = &o->gguf->tensors[i];
        return g->dims == 2 && is_large(g->rows, g->cols) &&
               (match ? strstr(g->name, match) || strstr(g->gguf_name, match)
                      : g->role != RBE_ROLE_POSITIONS);
    }
    const struct rbe_tensor *t = rbe_safetensors_at(o->file, i);
    int layer;
    const struct rbe_arch_tensor *known = rbe_arch_by_name(t->name, &layer);

    return t->dims == 2 && rbe_tensor_is_float(t) && is_large(t->shape[0], t->shape[1]) &&
           (match ? strstr(t->name, match) != NULL
                  : !known || known->role != RBE_ROLE_POSITIONS);
}

/* What an architecture stores as [in][out] is turned to [out][in]. */
static enum rbe_status read_tensor(struct matrix *m, const struct rbe_tensor *t,
                                   struct rbe_diag *d)
{
    const size_t r = (size_t)t->shape[0], c = (size_t)t->shape[1];
    int layer;
    const struct rbe_arch_tensor *known = rbe_arch_by_name(t->name, &layer);
    const bool turn = known && known->form == RBE_TURNED;
    float *w = malloc(t->count * sizeof *w);
    enum rbe_status err = RBE_OK;

    snprintf(m->name, sizeof m->name, "%s", t->name);
    m->rows = (uint32_t)(turn ? c : r);
    m->cols = (uint32_t)(turn ? r : c);
    m->w = malloc(t->count * sizeof *m->w);
    if (!w || !m->w) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    if ((err = rbe_tensor_to_f32(t, w, d)))
        goto out;
    for (size_t i = 0; i < r; i++)
        for (size_t k = 0; k < c; k++)
            m->w[turn ? k * r + i : i * c + k] = w[i * c + k];
out:
    free(w);
    return err;
}

static enum rbe_status read_matrix(struct matrix *m, const struct origin *o, size_t i,
                                   struct rbe_diag *d)
{
    if (!o->gguf)
        return read_tensor(m, rbe_safetensors_at(o->file, i), d);
    const struct rbe_source_tensor *t = &o->gguf->tensors[i];
    snprintf(m->name, sizeof m->name, "%s", t->name);
    m->rows = t->rows;
    m->cols = t->cols;
    return rbe_source_read(&m->w, o->gguf, t, d);
}

static enum rbe_status read_matrices(struct table *t, const struct origin *o, const char *path,
                                     struct rbe_diag *d)
{
    const struct rbe_codecs_args *a = t->a;
    enum rbe_status err = RBE_OK;
    size_t found = 0;

    for (size_t i = 0; i < tensor_count(o); i++)
        found += is_candidate(o, i, a->match);
    if (!found)
        return rbe_fail(d, RBE_ERR_ARG, "%s: no matrix of at least %d x %d%s%s", path, MIN_SIDE,
                        MIN_SIDE, a->match ? " has a name with " : "",
                        a->match ? a->match : "");
    const size_t want = a->sample && (size_t)a->sample < found ? (size_t)a->sample : found;
    if (want > MAX_MATRICES)
        return rbe_fail(d, RBE_ERR_LIMIT, "%s: %zu matrices are too many: --sample", path,
                        want);
    if (!(t->m = calloc(want, sizeof *t->m)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    /* Evenly spaced over the candidates, the first one included. */
    size_t seen = 0;
    for (size_t i = 0; i < tensor_count(o) && t->count < want && !err; i++) {
        if (!is_candidate(o, i, a->match) || seen++ != t->count * found / want)
            continue;
        struct matrix *m = &t->m[t->count++];
        if (!(err = read_matrix(m, o, i, d)))
            t->weights += (double)m->rows * m->cols;
    }
    return err;
}

/* A folder and a GGUF file are models, checked as everywhere; another file may hold any
 * matrices. */
static enum rbe_status read_model(struct table *t, struct rbe_diag *d)
{
    const char *path = t->a->path;
    struct rbe_source *source = NULL;
    struct rbe_safetensors *file = NULL;
    enum rbe_status err;
    struct stat st;

    if ((!stat(path, &st) && S_ISDIR(st.st_mode)) || rbe_gguf_is(path))
        err = rbe_source_open(&source, path, d);
    else
        err = rbe_safetensors_open(&file, path, d);
    if (err)
        goto out;
    const struct origin from = {source ? source->file : file,
                                source && source->gguf ? source : NULL};
    const char *name = source ? rbe_source_path(source) : rbe_safetensors_path(file);
    const char *slash = strrchr(name, '/');
    if (from.file && rbe_container_is(from.file)) {
        err = rbe_fail(d, RBE_ERR_ARG, "%s: an RBE model; codecs wants the original checkpoint",
                       name);
        goto out;
    }
    if (source)
        memcpy(t->sha256, source->sha256, sizeof t->sha256);
    if ((source || !(err = rbe_safetensors_sha256(t->sha256, file))) &&
        !(err = read_matrices(t, &from, name, d)) &&
        !(t->file_name = strdup(slash ? slash + 1 : name)))
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
out:
    rbe_source_close(&source);
    rbe_safetensors_close(&file);
    return err;
}

/* --- measuring -------------------------------------------------------------------------- */

struct sums {
    double bytes, w2, e2, peak;
};

/* Options of a codec at a rate for this shape. */
static enum rbe_status resolve(struct rbe_encode_options *o, bool *met, const struct row *row,
                               const struct table *t, uint32_t rows, uint32_t cols,
                               struct rbe_diag *d)
{
    const struct rbe_format_facts *facts = rbe_format_facts(row->how->format);
    const struct rbe_settings c = {
        .format = row->how->format,
        .bits = row->wanted > 0 ? 32 / row->wanted : 0,
        .k = -1,
        /* Large blocks at high ratios: what a block has besides K alone would pass the rate. */
        .block = facts->rate == RBE_RATE_K && row->wanted > 100 ? facts->max_block : 0,
        .search = t->a->search ? rbe_search_by_name(t->a->search) : RBE_SEARCH_FAST,
    };

    return rbe_settings_resolve(&c, rows, cols, o, met, d);
}

static void relative(struct sums *s, const float *w, size_t n, double error, double bytes)
{
    double w2 = 0;

    for (size_t i = 0; i < n; i++) {
        w2 += (double)w[i] * w[i];
        s->peak = fmax(s->peak, fabs((double)w[i]));
    }
    s->w2 += w2;
    s->e2 += w2 * error * error;
    s->bytes += bytes;
}

/* One matrix by the row's method, added to the sums. */
static enum rbe_status measure(struct sums *s, struct row *row, const struct table *t,
                               const float *w, uint32_t rows, uint32_t cols,
                               struct rbe_diag *d)
{
    const size_t n = (size_t)rows * cols;
    const double bytes = row->wanted > 0 ? 4 * (double)n / row->wanted : 0;
    enum rbe_status err = RBE_OK;
    bool met = true;

    if (row->how->method == USE_SVD) {
        double error;
        row->aux = rbe_svd_rank(rows, cols, (size_t)bytes);
        if (!(err = rbe_svd_error(&error, w, rows, cols, row->aux, NULL, t->pool, d)))
            relative(s, w, n, error, (double)rbe_svd_bytes(rows, cols, row->aux));
    } else if (row->how->method == USE_MEANS) {
        /* The mean of each tile as f16. */
        uint32_t b = 1;
        while ((double)b * b * 2 < row->wanted)
            b++;
        row->block = b;
        relative(s, w, n, rbe_block_mean_error(w, rows, cols, b),
                 2.0 * ((rows + b - 1) / b) * ((cols + b - 1) / b));
    } else {
        struct rbe_encode_options o;
        struct rbe_quality q;

        if ((err = resolve(&o, &met, row, t, rows, cols, d)))
            return err;
        o.progress = rbe_not_interrupted;
        if (!(err = rbe_quality_encode(&q, w, rows, cols, &o, t->pool, d))) {
            relative(s, w, n, q.relative_rmse, (double)q.bytes);
            row->block = o.block;
            row->aux = o.aux;
        }
    }
    row->met = row->met && met;
    return err;
}

static enum rbe_status measure_row(struct row *row, struct table *t, struct rbe_diag *d)
{
    const size_t n = (size_t)t->m[0].rows * t->m[0].cols;
    const double start = rbe_now();
    struct sums s = {0}, control = {0};
    enum rbe_status err = RBE_OK;

    row->met = true;
    float *noise = malloc(n * sizeof *noise);
    if (!noise)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    rbe_white_gaussian(noise, n, 1);
    if ((err = measure(&control, row, t, noise, t->m[0].rows, t->m[0].cols, d)))
        goto out;
    row->control_rmse = sqrt(control.e2 / control.w2);
    row->control_bound = rbe_rate_bound(8 * control.bytes / (double)n);
    for (size_t i = 0; i < t->count && !err; i++) {
        if (rbe_interrupted())
            err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
        else
            err = measure(&s, row, t, t->m[i].w, t->m[i].rows, t->m[i].cols, d);
    }
    row->bits = 8 * s.bytes / t->weights;
    row->ratio = s.bytes > 0 ? 4 * t->weights / s.bytes : INFINITY;
    row->bound = rbe_rate_bound(row->bits);
    row->relative_rmse = sqrt(s.e2 / s.w2);
    row->psnr_db = 20 * log10(s.peak / sqrt(s.e2 / t->weights));
    row->seconds = rbe_now() - start;
out:
    free(noise);
    return err;
}

/* --- printing --------------------------------------------------------------------------- */

static void block_text(char *buf, size_t size, const struct row *r)
{
    if (r->how->method == USE_SVD)
        snprintf(buf, size, "rank %u", r->aux);
    else if (r->how->method == USE_CODEC &&
             rbe_format_facts(r->how->format)->rate == RBE_RATE_K)
        snprintf(buf, size, "%u k%u", r->block, r->aux);
    else if (r->block)
        snprintf(buf, size, "%u", r->block);
    else
        snprintf(buf, size, "-");
}

static void print_head(const struct table *t)
{
    printf("%s: %zu matrices, %.0f weights (%s%s)\n", t->file_name, t->count, t->weights,
           t->m[0].name, t->count > 1 ? ", ..." : "");
    printf("Bits and ratio count everything stored. bound = 2^-bits, the least relative RMSE "
           "that white\nGaussian weights allow; control = the same settings on such weights, "
           "which cannot beat it.\nAll zeros have a relative RMSE of 1. No "
           "calibration is used: relRMSE is also the relative\nerror of the outputs, for "
           "inputs alike in size and independent of one another.\n");
    printf("%7s  %-11s %9s %9s %8s %8s %8s %7s  %7s >= %-7s %6s\n", "asked", "codec", "B",
           "ratio", "bits/w", "relRMSE", "bound", "PSNR", "control", "bound", "s");
}

static void print_row(const struct row *r)
{
    char block[24], asked[16] = "-";

    if (r->wanted > 0)
        snprintf(asked, sizeof asked, "%.4g:1", r->wanted);
    block_text(block, sizeof block, r);
    rbe_progress_clear();
    printf("%7s  %-11s %9s %9.4g%c %7.4f %8.4f %8.4f %7.2f  %7.4f %s %-7.4f %6.1f\n", asked,
           r->how->name, block, r->ratio, r->met ? ' ' : '!', r->bits, r->relative_rmse,
           r->bound, r->psnr_db, r->control_rmse,
           r->control_rmse >= r->control_bound * (1 - 1e-9) ? ">=" : "< ", r->control_bound,
           r->seconds);
    fflush(stdout);
}

static json_t *row_json(const struct row *r)
{
    return RBE_OBJECT(RBE_JSON(asked, r->wanted > 0 ? json_real(r->wanted) : json_null()),
                      RBE_WORD(codec, r->how->name), RBE_INT(block, r->block),
                      RBE_INT(aux, r->aux), RBE_FLAG(met, r->met), RBE_REAL(ratio, r->ratio),
                      RBE_REAL(bits_per_weight, r->bits),
                      RBE_REAL(relative_rmse, r->relative_rmse), RBE_REAL(bound, r->bound),
                      RBE_REAL(psnr_db, r->psnr_db), RBE_REAL(control_rmse, r->control_rmse),
                      RBE_REAL(control_bound, r->control_bound), RBE_REAL(seconds, r->seconds));
}

static enum rbe_status append_result(struct rbe_result_file *file, const struct table *t,
                                     bool complete, struct rbe_diag *d)
{
    json_t *j = rbe_result_new(RBE_KIND(codecs), rbe_pool_threads(t->pool));
    json_t *rows = json_array(), *names = json_array();
    for (size_t i = 0; i < t->row_count; i++)
        json_array_append_new(rows, row_json(&t->rows[i]));
    for (size_t i = 0; i < t->count; i++)
        json_array_append_new(
            names, RBE_OBJECT(RBE_WORD(name, t->m[i].name),
                              RBE_JSON(shape, json_pack("[I, I]", (json_int_t)t->m[i].rows,
                                                        (json_int_t)t->m[i].cols))));
    bool bad = !j || RBE_SET(j, RBE_JSON(source, RBE_OBJECT(RBE_TEXT(name, t->file_name),
                                                            RBE_WORD(sha256, t->sha256))));
    bad = RBE_SET(j, RBE_JSON(matrices, names)) || bad;
    bad = RBE_SET(j, RBE_FLAG(complete, complete)) || bad;
    bad = RBE_SET(j, RBE_JSON(rows, rows)) || bad;
    if (bad) {
        json_decref(j);
        j = NULL;
    }
    return rbe_result_append(file, j, d);
}

/* --- white Gaussian weights --------------------------------------------------------------- */

static const uint32_t white_blocks[] = {64, 44, 32};
enum { WHITE_BLOCKS = sizeof white_blocks / sizeof *white_blocks };

static enum rbe_status append_white(struct rbe_result_file *file,
                                    const struct rbe_distortion *rows, size_t count,
                                    uint32_t m, uint32_t n, unsigned threads,
                                    bool complete, struct rbe_diag *d)
{
    json_t *j = rbe_result_new(RBE_KIND(distortion), threads), *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list,
                              RBE_OBJECT(RBE_WORD(codec, rbe_format_name(rows[i].format)),
                                         RBE_INT(block, rows[i].block),
                                         RBE_WORD(search, rbe_search_name(rows[i].search)),
                                         RBE_REAL(bits_per_weight, rows[i].bits),
                                         RBE_REAL(loss_db, rows[i].loss_db),
                                         RBE_REAL(wanted_db, rows[i].wanted_db),
                                         RBE_REAL(relative_rmse, rows[i].quality.relative_rmse),
                                         RBE_REAL(seconds, rows[i].seconds)));
    bool bad =
        !j || RBE_SET(j, RBE_JSON(shape, json_pack("[I, I]", (json_int_t)m, (json_int_t)n)));
    bad = RBE_SET(j, RBE_FLAG(complete, complete)) || bad;
    bad = RBE_SET(j, RBE_JSON(rows, list)) || bad;
    if (bad) {
        json_decref(j);
        j = NULL;
    }
    return rbe_result_append(file, j, d);
}

/* Codecs of strips, at 2, 2.91 and 4 bits for 128 a strip, on one white Gaussian matrix. */
static enum rbe_status run_white(const struct rbe_codecs_args *a, struct rbe_diag *d)
{
    struct rbe_distortion rows[RBE_FORMAT_COUNT * WHITE_BLOCKS];
    struct rbe_result_file *json = NULL;
    struct rbe_pool *pool = NULL;
    enum rbe_search search = RBE_SEARCH_DEFAULT;
    enum rbe_status err;
    float *w = NULL;
    size_t count = 0;
    uint32_t m, n;
    char end;

    if (a->threads < 0 || a->threads > 1024)
        return rbe_fail(d, RBE_ERR_ARG, "--threads: from 1 to 1024");
    if (a->white[strspn(a->white, "0123456789x")] ||
        sscanf(a->white, "%7ux%7u%c", &m, &n, &end) != 2 || !m || !n || m > 1 << 16 ||
        n > 1 << 16)
        return rbe_fail(d, RBE_ERR_ARG, "--white: ROWSxCOLS, each up to 65536");
    if (a->search && (search = rbe_search_by_name(a->search)) == RBE_SEARCH_COUNT)
        return rbe_fail(d, RBE_ERR_ARG, "--search: fast, default or best");
    if (!(w = malloc((size_t)m * n * sizeof *w)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if ((err = rbe_result_open(&json, a->json, d)) ||
        (err = rbe_pool_open(&pool, (unsigned)a->threads, d)))
        goto out;
    rbe_warn_threads("codecs", rbe_pool_threads(pool));
    rbe_white_gaussian(w, (size_t)m * n, 1);
    rbe_catch_interrupt();
    printf("White Gaussian weights, %u x %u; loss in dB over the bound 2^-2R, R = 128/B\n", m,
           n);
    printf("%-6s %4s %7s %-8s %8s %8s %9s %7s\n", "codec", "B", "bits", "search", "loss",
           "wanted", "relRMSE", "s");
    for (int f = 0; f < RBE_FORMAT_COUNT && !err; f++)
        for (size_t i = 0; i < WHITE_BLOCKS && !err; i++) {
            struct rbe_distortion *r = &rows[count];
            if (!rbe_format_facts((enum rbe_format)f)->strip_bits ||
                !rbe_format_takes_block((enum rbe_format)f, white_blocks[i]))
                continue;
            if (rbe_interrupted()) {
                err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
                break;
            }
            err = rbe_distortion_measure(r, w, m, n, (enum rbe_format)f, white_blocks[i],
                                         search, pool, d);
            if (err)
                break;
            count++;
            printf("%-6s %4u %7.4g %-8s %8.3f %8.4g %9.5f %7.1f\n",
                   rbe_format_name(r->format), r->block, r->bits, rbe_search_name(search),
                   r->loss_db, r->wanted_db, r->quality.relative_rmse, r->seconds);
            fflush(stdout);
        }
    /* What was measured before an interrupt is kept. */
    struct rbe_diag more;
    if (a->json && (!err || (err == RBE_ERR_INTERRUPTED && count))) {
        const enum rbe_status kept =
            append_white(json, rows, count, m, n, rbe_pool_threads(pool), !err, &more);
        if (kept) {
            err = kept;
            *d = more;
        }
    }
out:
    rbe_result_close(&json);
    rbe_pool_close(&pool);
    free(w);
    return err;
}

/* --- the command ------------------------------------------------------------------------ */

static enum rbe_status read_ratios(struct table *t, struct rbe_diag *d)
{
    const char *s = t->a->ratios;

    do {
        char *end;
        const double x = strtod(s, &end);

        if (end == s || (*end && *end != ',') || !(x > 2 && x < 1e6) ||
            t->ratio_count == MAX_RATIOS)
            return rbe_fail(d, RBE_ERR_ARG, "--ratios: up to %d numbers above 2, separated by "
                            "commas", MAX_RATIOS);
        t->ratios[t->ratio_count++] = x;
        s = *end ? end + 1 : NULL;
    } while (s);
    return RBE_OK;
}

static enum rbe_status fill_table(struct table *t, struct rbe_diag *d)
{
    struct rbe_progress progress;
    const struct methods *m = &t->methods;
    const size_t total = m->plain + t->ratio_count * (m->count - m->plain);
    enum rbe_status err = RBE_OK;

    rbe_progress_start(&progress, "codecs", "rows", (double)total);
    /* Pass 0: the codecs of one rate; then one pass for each ratio. */
    for (size_t pass = 0; pass <= t->ratio_count && !err; pass++)
        for (size_t i = 0; i < m->count && !err; i++) {
            if ((i < m->plain) != (pass == 0))
                continue;
            struct row *row = &t->rows[t->row_count];
            *row = (struct row){.how = &m->of[i],
                                .wanted = pass ? t->ratios[pass - 1] : 0};
            if ((err = measure_row(row, t, d)))
                break;
            t->row_count++;
            print_row(row);
            rbe_progress_update(&progress, (double)t->row_count, m->of[i].name);
        }
    rbe_progress_end(&progress);
    if (err == RBE_ERR_INTERRUPTED)
        rbe_fail(d, err, "interrupted after %zu of %zu rows", t->row_count, total);
    return err;
}

static enum rbe_status run(const struct rbe_codecs_args *a, struct rbe_diag *d)
{
    struct table *t = calloc(1, sizeof *t);
    struct rbe_result_file *json = NULL;
    struct rbe_files files = {0};
    enum rbe_status err;

    if (!t)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    t->a = a;
    t->methods = list_methods();
    if (a->search && rbe_search_by_name(a->search) == RBE_SEARCH_COUNT) {
        err = rbe_fail(d, RBE_ERR_ARG, "--search: fast, default or best");
        goto out;
    }
    if (a->sample < 0 || a->threads < 0 || a->threads > 1024) {
        err = rbe_fail(d, RBE_ERR_ARG, "--sample, --threads: no negative numbers");
        goto out;
    }
    if ((err = read_ratios(t, d)) || (err = rbe_files_read_model(&files, a->path, d)) ||
        (err = rbe_files_append(&files, a->json, d)) ||
        (err = rbe_pool_open(&t->pool, (unsigned)a->threads, d)) ||
        (err = read_model(t, d)) || (err = rbe_result_open(&json, a->json, d)))
        goto out;
    rbe_warn_threads("codecs", rbe_pool_threads(t->pool));
    print_head(t);
    rbe_catch_interrupt();
    err = fill_table(t, d);
    for (size_t i = 0; i < t->row_count && !err; i++)
        if (!t->rows[i].met) {
            printf("! the codec has no rate so low for these shapes; its smallest is shown\n");
            break;
        }
    /* What was measured before an interrupt is kept. */
    struct rbe_diag more;
    if (a->json && (!err || (err == RBE_ERR_INTERRUPTED && t->row_count))) {
        const enum rbe_status kept = append_result(json, t, !err, &more);
        if (kept) {
            err = kept;
            *d = more;
        }
    }
out:
    rbe_files_free(&files);
    rbe_result_close(&json);
    for (size_t i = 0; i < t->count; i++)
        free(t->m[i].w);
    free(t->m);
    rbe_pool_close(&t->pool);
    free(t->file_name);
    free(t);
    return err;
}

/* For scripts: the facts of kernels/formats.def that they need. */
static void print_list(void)
{
    for (int i = 0; i < RBE_FORMAT_COUNT; i++) {
        const struct rbe_format_facts *f = rbe_format_facts((enum rbe_format)i);
        char block[16] = "-";
        if (f->usual_block)
            snprintf(block, sizeof block, "%u", (unsigned)f->usual_block);
        printf("%s\t%s\t%s\n", f->name, block, f->tiles ? "tiles" : "rows");
    }
}

/* What --help says, with a line for each codec of the list. */
enum rbe_status rbe_cmd_codecs(struct rbe_codecs_args *a, struct rbe_diag *d)
{
    if (a->list && !a->call.count && !a->white) {
        print_list();
        return RBE_OK;
    }
    if (a->list)
        return rbe_fail(d, RBE_ERR_ARG, "--list takes nothing else");
    if (a->white && !a->call.count)
        return run_white(a, d);
    if (a->call.count != 1 || a->white)
        return rbe_fail(d, RBE_ERR_ARG, "want a MODEL or FILE.safetensors; --help explains");
    if (a->quiet)
        rbe_progress_silence();
    const enum rbe_status err = rbe_call_model(&a->call, 0, d);
    a->path = a->call.args[0];
    return err ? err : run(a, d);
}
