/*
 * encode.c - the front of the encoders: checks, rotation, parts, memory.
 *
 * SPDX-License-Identifier: MIT
 */
#include "rbe/encode.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

static const struct rbe_encoder *const encoders[RBE_FORMAT_COUNT] = {
#define RBE_FORMAT(name, NAME, ...) [RBE_##NAME] = &rbe_encoder_##name,
#include "kernels/formats.def"
#undef RBE_FORMAT
};

static const char *const search_names[RBE_SEARCH_COUNT] = {
    [RBE_SEARCH_DEFAULT] = "default",
    [RBE_SEARCH_FAST] = "fast",
    [RBE_SEARCH_BEST] = "best",
};

const char *rbe_search_name(enum rbe_search s)
{
    return (unsigned)s < RBE_SEARCH_COUNT ? search_names[s] : NULL;
}

enum rbe_search rbe_search_by_name(const char *name)
{
    int s = 0;

    while (s < RBE_SEARCH_COUNT && strcmp(search_names[s], name) != 0)
        s++;
    return (enum rbe_search)s;
}

/* --- memory ----------------------------------------------------------------------------- */

/* Zeroed, 64-byte aligned, never of size 0. */
static void *alloc_zeroed(size_t size)
{
    const size_t n = (size + 63) / 64 * 64;
    void *p = aligned_alloc(64, n ? n : 64);

    if (p)
        memset(p, 0, n ? n : 64);
    return p;
}

/* Views are const because they usually point into a mapped file; these were allocated. */
static void free_view(const void *p)
{
    free((void *)(uintptr_t)p);
}

void rbe_weight_free(struct rbe_weight *w)
{
    for (size_t i = 0; w->parts && i < w->part_count; i++) {
        free_view(w->parts[i].m.codes);
        free_view(w->parts[i].m.scale);
        free_view(w->parts[i].m.col_scale);
    }
    free(w->parts);
    *w = (struct rbe_weight){0};
}

struct rbe_matrix_size rbe_encode_part_size(const struct rbe_encode_part *p, uint32_t cols,
                                            enum rbe_scales scales)
{
    struct rbe_matrix_size s = rbe_matrix_size(p->format, p->rows, cols, p->block, p->aux);

    if (rbe_format_facts(p->format)->col_scale && scales == RBE_SCALES_ROW)
        s.col_scale = 0;
    return s;
}

static enum rbe_status alloc_part(struct rbe_matrix *m, struct rbe_matrix_size s,
                                  struct rbe_diag *d)
{
    if (!s.codes)
        return rbe_fail(d, RBE_ERR_ARG, "%u x %u cannot be encoded as %s with block %u, %u",
                        m->rows, m->cols, rbe_format_name(m->format), m->block, m->aux);
    m->code_bytes = s.codes;
    m->codes = alloc_zeroed(s.codes);
    m->scale = s.scale ? alloc_zeroed(s.scale) : NULL;
    m->col_scale = s.col_scale ? alloc_zeroed(s.col_scale) : NULL;
    if (!m->codes || (s.scale && !m->scale) || (s.col_scale && !m->col_scale))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    return RBE_OK;
}

enum rbe_status rbe_weight_alloc(struct rbe_weight *out, uint32_t rows, uint32_t cols,
                                 const struct rbe_encode_part *parts, size_t part_count,
                                 enum rbe_scales scales, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    uint64_t row = 0;

    *out = (struct rbe_weight){.rows = rows, .cols = cols};
    if (!rows || !cols)
        return rbe_fail(d, RBE_ERR_ARG, "an empty matrix cannot be encoded");
    out->parts = calloc(part_count, sizeof *out->parts);
    if (!out->parts)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (; out->part_count < part_count && !err; out->part_count++) {
        const struct rbe_encode_part *from = &parts[out->part_count];
        struct rbe_part *p = &out->parts[out->part_count];
        const struct rbe_matrix_size s = rbe_encode_part_size(from, cols, scales);

        p->row0 = (uint32_t)row;
        p->m = (struct rbe_matrix){.format = from->format, .rows = from->rows, .cols = cols,
                                   .block = from->block, .aux = from->aux};
        row += from->rows;
        if (row > rows)
            err = rbe_fail(d, RBE_ERR_ARG, "parts have more than the %u rows", rows);
        else
            err = alloc_part(&p->m, s, d);
        if (!err)
            out->bytes += s.codes + s.scale + s.col_scale;
    }
    if (!err && row != rows)
        err = rbe_fail(d, RBE_ERR_ARG, "parts have %u of %u rows", (unsigned)row, rows);
    if (err)
        rbe_weight_free(out);
    return err;
}

size_t rbe_encode_bytes(uint32_t rows, uint32_t cols, const struct rbe_encode_options *o)
{
    const struct rbe_encode_part whole = {rows, o->format, o->block, o->aux};
    const struct rbe_encode_part *parts = o->part_count ? o->parts : &whole;
    const size_t n = o->part_count ? o->part_count : 1;
    size_t bytes = 0;

    for (size_t i = 0; i < n; i++) {
        const struct rbe_matrix_size s = rbe_encode_part_size(&parts[i], cols, o->scales);

        if (!s.codes)
            return 0;
        bytes += s.codes + s.scale + s.col_scale;
    }
    return bytes;
}

size_t rbe_encode_memory(uint32_t rows, uint32_t cols, const struct rbe_encode_options *o,
                         unsigned threads)
{
    const struct rbe_encode_part whole = {rows, o->format, o->block, o->aux};
    const size_t square = o->moment ? (size_t)cols * cols : 0;
    size_t most = 0;

    for (size_t i = 0; i < (o->part_count ? o->part_count : 1); i++) {
        const struct rbe_encode_part *p = o->part_count ? &o->parts[i] : &whole;
        const struct rbe_encoder *e = encoders[p->format];
        const size_t own = e->memory ? e->memory(p, cols, o, threads) : 0;
        most = own > most ? own : most;
    }
    if (o->hadamard)
        most += ((size_t)rows * cols + square) * sizeof(float);
    return most + rbe_encode_bytes(rows, cols, o);
}

enum rbe_status rbe_encode_k_for_energy(uint32_t *k, enum rbe_format f, const float *w,
                                        uint32_t rows, uint32_t cols, uint32_t block,
                                        double energy, struct rbe_pool *pool,
                                        struct rbe_diag *d)
{
    *k = 0;
    if (!encoders[f]->k_for_energy)
        return rbe_fail(d, RBE_ERR_ARG, "%s has no K", rbe_format_name(f));
    return encoders[f]->k_for_energy(k, w, rows, cols, block, energy, pool, d);
}

size_t rbe_encode_shares(uint32_t rows, uint32_t cols, const struct rbe_encode_options *o)
{
    const struct rbe_encode_part whole = {rows, o->format, o->block, o->aux};
    const struct rbe_encode_part *parts = o->part_count ? o->parts : &whole;
    size_t most = 1;

    /* Of the largest part, which takes the longest. */
    for (size_t i = 0; i < (o->part_count ? o->part_count : 1); i++) {
        const struct rbe_encoder *e = encoders[parts[i].format];
        const size_t n = e->shares ? e->shares(&parts[i], cols, o) : SIZE_MAX;
        most = n > most ? n : most;
    }
    return most;
}

double rbe_encode_wanted_db(enum rbe_format f, uint32_t block, enum rbe_search s)
{
    return encoders[f]->wanted_db ? encoders[f]->wanted_db(block, s) : NAN;
}

void rbe_weight_decode_row(const struct rbe_weight *w, size_t r, float *out)
{
    size_t i = 0;

    while (i + 1 < w->part_count && r >= w->parts[i + 1].row0)
        i++;
    rbe_decode_row(&w->parts[i].m, r - w->parts[i].row0, out);
    if (w->hadamard)
        rbe_unrotate(out, w->cols, 1, w->cols, w->hadamard, w->sign_seed);
}

/* --- encoding --------------------------------------------------------------------------- */

bool rbe_encode_tick(const struct rbe_encode_job *j, double done)
{
    const struct rbe_encode_options *o = j->o;

    return !o->progress ||
           o->progress(o->progress_arg, j->done0 + done * (j->done1 - j->done0));
}

/* Has b the parts of seeds, the rotation and the scales that are asked for? */
static bool is_like(const struct rbe_weight *b, uint32_t rows, uint32_t cols,
                    const struct rbe_encode_options *o)
{
    const struct rbe_encode_part whole = {rows, o->format, o->block, o->aux};
    const struct rbe_encode_part *parts = o->part_count ? o->parts : &whole;
    bool like = b->rows == rows && b->cols == cols && b->hadamard == o->hadamard &&
                b->sign_seed == o->sign_seed &&
                b->part_count == (o->part_count ? o->part_count : 1);

    for (size_t i = 0; i < b->part_count && like; i++) {
        const struct rbe_matrix *m = &b->parts[i].m;
        like = m->rows == parts[i].rows && m->format == parts[i].format &&
               m->block == parts[i].block && rbe_format_facts(m->format)->feedback &&
               !m->col_scale == (o->scales == RBE_SCALES_ROW);
    }
    return like;
}

static enum rbe_status check(const float *w, uint32_t rows, uint32_t cols,
                             const struct rbe_encode_options *o, struct rbe_diag *d)
{
    const size_t n = (size_t)rows * cols;

    if (o->hadamard && (o->hadamard & (o->hadamard - 1) || cols % o->hadamard))
        return rbe_fail(d, RBE_ERR_ARG,
                        "a rotation block of %u is not a power of two that divides %u columns",
                        o->hadamard, cols);
    if ((unsigned)o->search >= RBE_SEARCH_COUNT)
        return rbe_fail(d, RBE_ERR_ARG, "unknown search level");
    for (size_t i = 0; i < n; i++)
        if (!isfinite(w[i]))
            return rbe_fail(d, RBE_ERR_NUMERIC, "%s at row %zu, column %zu",
                            isnan(w[i]) ? "NaN" : "infinity", i / cols, i % cols);
    if (o->before && !is_like(o->before, rows, cols, o))
        return rbe_fail(d, RBE_ERR_ARG, "what was encoded before is of other parts");
    for (uint32_t r = 0; o->row_importance && r < rows; r++)
        if (!(o->row_importance[r] > 0) || isinf(o->row_importance[r]))
            return rbe_fail(d, RBE_ERR_ARG, "importance of row %u is not positive", r);
    return RBE_OK;
}

/* H <- R^T H R, H [n][n] symmetric: rotate the rows, then the columns. */
static void rotate_moment(float *h, size_t n, uint32_t block, uint64_t seed)
{
    for (int pass = 0; pass < 2; pass++) {
        rbe_rotate(h, n, n, n, block, seed);
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < i; k++) {
                const float t = h[i * n + k];
                h[i * n + k] = h[k * n + i];
                h[k * n + i] = t;
            }
    }
}

static enum rbe_status encode_parts(struct rbe_weight *out, const float *w,
                                    const float *moment, const struct rbe_encode_options *o,
                                    struct rbe_pool *pool, struct rbe_diag *d)
{
    for (size_t i = 0; i < out->part_count; i++) {
        struct rbe_part *p = &out->parts[i];
        const struct rbe_encode_job j = {
            .o = o,
            .m = &p->m,
            .w = w + (size_t)p->row0 * out->cols,
            .codes = (void *)(uintptr_t)p->m.codes,
            .scale = (uint16_t *)(uintptr_t)p->m.scale,
            .col_scale = (uint16_t *)(uintptr_t)p->m.col_scale,
            .importance = o->row_importance ? o->row_importance + p->row0 : NULL,
            .moment = moment,
            .row_metric = o->row_metric ? o->row_metric + (size_t)p->row0 * (out->rows + 1)
                                        : NULL,
            .metric_ld = out->rows,
            .before = o->before ? &o->before->parts[i].m : NULL,
            .again = o->before ? o->again + i * out->cols : NULL,
            .pool = pool,
            .done0 = (double)p->row0 / out->rows,
            .done1 = (double)(p->row0 + p->m.rows) / out->rows,
        };
        enum rbe_status err;

        if ((err = encoders[p->m.format]->encode(&j, d)))
            return err;
        if (!rbe_encode_tick(&j, 1))
            return rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
    }
    return RBE_OK;
}

/* Of n floats, or "-" without. */
static enum rbe_status hash_floats(char hex[65], const float *x, size_t n)
{
    strcpy(hex, "-");
    return x ? rbe_sha256(hex, x, n * sizeof *x) : RBE_OK;
}

/* What stays of a part that was encoded before, into the hash of all else. */
static enum rbe_status fold_before(char hex[65], const struct rbe_matrix *m, const bool *again)
{
    const struct rbe_matrix_size size =
        rbe_matrix_size(m->format, m->rows, m->cols, m->block, m->aux);
    char codes[65], scale[65], col_scale[65] = "-", which[65], text[5 * 65];
    enum rbe_status err;

    if ((err = rbe_sha256(codes, m->codes, m->code_bytes)) ||
        (err = rbe_sha256(scale, m->scale, size.scale)) ||
        (m->col_scale && (err = rbe_sha256(col_scale, m->col_scale, size.col_scale))) ||
        (err = rbe_sha256(which, again, m->cols * sizeof *again)))
        return err;
    const int n = snprintf(text, sizeof text, "%s %s %s %s %s", hex, codes, scale, col_scale,
                           which);
    return rbe_sha256(hex, text, (size_t)n);
}

enum rbe_status rbe_encode_key(char hex[65], const float *w, uint32_t rows, uint32_t cols,
                               const struct rbe_encode_options *o)
{
    char text[512], weights[65], importance[65], moment[65];
    enum rbe_status err;
    int n;

    if ((err = hash_floats(weights, w, (size_t)rows * cols)) ||
        (err = hash_floats(importance, o->row_importance, rows)) ||
        (err = hash_floats(moment, o->moment, (size_t)cols * cols)))
        return err;
    n = snprintf(text, sizeof text, RBE_ENCODER " %u %u %s %d %u %u %d %u %a %d %d %u %" PRIu64
                 " %s %s %a", rows, cols, weights, (int)o->format, o->block, o->aux,
                 (int)o->search, o->window, (double)o->search_scale, (int)o->scales,
                 (int)o->scale_search, o->hadamard, o->sign_seed, importance, moment,
                 (double)o->damping);
    if (o->drawn)
        n += snprintf(text + n, sizeof text - (size_t)n, " drawn");
    if (o->fixed_cols)
        n += snprintf(text + n, sizeof text - (size_t)n, " fixed");
    err = rbe_sha256(hex, text, (size_t)n);
    if (o->row_metric && !err && !(err = hash_floats(moment, o->row_metric,
                                                     (size_t)rows * rows))) {
        n = snprintf(text, sizeof text, "%s %s", hex, moment);
        err = rbe_sha256(hex, text, (size_t)n);
    }
    for (size_t i = 0; o->before && i < o->before->part_count && !err; i++)
        err = fold_before(hex, &o->before->parts[i].m, o->again + i * cols);
    /* Parts are many; each folds into the hash of those before it. */
    for (size_t i = 0; i < o->part_count && !err; i++) {
        const struct rbe_encode_part *p = &o->parts[i];

        n = snprintf(text, sizeof text, "%s %u %d %u %u", hex, p->rows, (int)p->format,
                     p->block, p->aux);
        err = rbe_sha256(hex, text, (size_t)n);
    }
    return err;
}

enum rbe_status rbe_encode_weight(struct rbe_weight *out, const float *w, uint32_t rows,
                                  uint32_t cols, const struct rbe_encode_options *o,
                                  struct rbe_pool *pool, struct rbe_diag *d)
{
    const struct rbe_encode_part whole = {rows, o->format, o->block, o->aux};
    const size_t n = (size_t)rows * cols, square = (size_t)cols * cols;
    float *rotated = NULL, *moment = NULL;
    enum rbe_status err;

    *out = (struct rbe_weight){0};
    if ((err = check(w, rows, cols, o, d)))
        return err;
    err = rbe_weight_alloc(out, rows, cols, o->part_count ? o->parts : &whole,
                           o->part_count ? o->part_count : 1, o->scales, d);
    if (err)
        return err;
    if (o->hadamard) {
        out->hadamard = o->hadamard;
        out->sign_seed = o->sign_seed;
        rotated = malloc(n * sizeof *rotated);
        moment = o->moment ? malloc(square * sizeof *moment) : NULL;
        if (!rotated || (o->moment && !moment)) {
            err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
            goto out;
        }
        memcpy(rotated, w, n * sizeof *w);
        rbe_rotate(rotated, cols, rows, cols, o->hadamard, o->sign_seed);
        if (moment) {
            memcpy(moment, o->moment, square * sizeof *moment);
            rotate_moment(moment, cols, o->hadamard, o->sign_seed);
        }
    }
    err = encode_parts(out, rotated ? rotated : w, moment ? moment : o->moment, o, pool, d);
out:
    free(rotated);
    free(moment);
    if (err)
        rbe_weight_free(out);
    return err;
}
