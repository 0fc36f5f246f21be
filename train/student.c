/*
 * student.c - the stored numbers of an RBE model, their weights, and their gradients.
 *
 * SPDX-License-Identifier: MIT
 */
#include "train/student.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/progress.h"
#include "kernels/f16.h"

enum {
    CHUNKS = 8,                 /* row ranges whose column sums are added in order: the result
                                 * does not depend on the number of threads */
    NO_SPAN = -1,
};

/* What made a file stands under rbe.encoder; this has as many letters as the encoder's own, so
 * that the file keeps its size. */
#define TUNED "rbe-tune-v1.0"

enum kind { CODED, OPAQUE, LATENT, PLAIN };

/* The scales of one part of a coded matrix. */
struct scales {
    uint32_t row0, rows, cols, groups, width;   /* scales of a row; columns of each */
    int16_t *g;                 /* [rows][cols] what the codes stand for, at scale 1 */
    float *row, *col;           /* [rows][groups], [cols] or NULL: the values at theta 0 */
    float *row_theta, *col_theta, *row_grad, *col_grad, *row_now, *col_now;
    int row_span, col_span;
};

struct tensor {
    struct rbe_train_slice *slice;
    const struct rbe_source_tensor *origin;
    enum kind kind;
    struct rbe_weight w;        /* own copy; rows 0: a plain tensor of the file */
    struct scales *parts;       /* [w.part_count]; NULL for codecs without scales */
    enum rbe_dtype dtype;       /* of a plain tensor */
    float *master;              /* plain: before rounding */
    float *error;               /* latent: what W has more than the latent, or NULL */
    float size;                 /* RMS */
    int span;                   /* latent or plain, or NO_SPAN */
    bool centered;              /* wte: column means were moved to the positions */
    bool *zeros;                /* [rows] of a matrix that are zeros and stay so; or NULL */
};

struct rbe_student {
    struct rbe_train *train;
    const struct rbe_source *source;
    const struct rbe_container *model;          /* NULL: the control */
    struct rbe_pool *pool;
    struct tensor *tensors;
    size_t count;
    struct rbe_optimizer *optimizer;
    struct rbe_optimizer_span *spans;   /* scales and plain tensors, then latents */
    size_t span_count, settled; /* settled: spans that are no latents */
    double *sums;               /* [CHUNKS][largest cols] */
    float *buffer;              /* [CHUNKS][largest cols] */
    size_t widest;
    struct rbe_student_rates rates;
    float *means;               /* of the settled spans, in turn; NULL: none was taken */
    uint64_t averaged;          /* states that the means are of */
    bool swapped;               /* means and present values have changed places */
};

static enum rbe_status no_memory(struct rbe_diag *d)
{
    return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
}

static float *weights_of(const struct rbe_student *s, const struct tensor *t)
{
    return rbe_train_params(s->train) + t->slice->at;
}

static float *gradient_of(const struct rbe_student *s, const struct tensor *t)
{
    return rbe_train_gradients(s->train) + t->slice->at;
}

static bool is_matrix(const struct tensor *t)
{
    return t->slice->matrix && t->kind != PLAIN;
}

static float as_f16(float v)
{
    return rbe_f16_to_f32(rbe_f16_from_f32(v));
}

/* Notes which rows of the matrix x are all zeros. */
static enum rbe_status find_zeros(struct tensor *t, const float *x, struct rbe_diag *d)
{
    const size_t rows = t->slice->rows, cols = t->slice->cols;

    for (size_t r = 0; r < rows; r++) {
        size_t c = 0;

        while (c < cols && x[r * cols + c] == 0)
            c++;
        if (c < cols)
            continue;
        if (!t->zeros && !(t->zeros = calloc(rows, sizeof *t->zeros)))
            return no_memory(d);
        t->zeros[r] = true;
    }
    return RBE_OK;
}

static float rms(const float *x, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return n ? (float)sqrt(sum / (double)n) : 0;
}

/* --- from codes to weights, and gradients back -------------------------------------------- */

struct job {
    struct rbe_student *s;
    struct tensor *t;
    struct scales *p;
};

static void present_scales(struct scales *p)
{
    for (size_t i = 0; i < (size_t)p->rows * p->groups; i++)
        p->row_now[i] = as_f16(p->row[i] * (1 + p->row_theta[i]));
    for (size_t n = 0; p->col && n < p->cols; n++)
        p->col_now[n] = as_f16(p->col[n] * (1 + p->col_theta[n]));
}

static void fill_rows(void *arg, unsigned i, unsigned n)
{
    const struct job *j = arg;
    const struct scales *p = j->p;
    const struct rbe_weight *w = &j->t->w;
    size_t begin, end;

    rbe_split(p->rows, 1, i, n, &begin, &end);
    float *to = weights_of(j->s, j->t) + (p->row0 + begin) * p->cols;
    for (size_t m = begin; m < end; m++, to += p->cols) {
        const int16_t *g = p->g + m * p->cols;
        for (uint32_t k = 0; k < p->groups; k++) {
            const float row = p->row_now[m * p->groups + k];
            const size_t last = (k + 1) * p->width < p->cols ? (k + 1) * p->width : p->cols;
            for (size_t c = k * p->width; c < last; c++)
                to[c] = row * (float)g[c];
        }
        for (size_t c = 0; p->col && c < p->cols; c++)
            to[c] *= p->col_now[c];
    }
    if (w->hadamard && end > begin)
        rbe_unrotate(weights_of(j->s, j->t) + (p->row0 + begin) * p->cols, p->cols, end - begin,
                     p->cols, w->hadamard, w->sign_seed);
}

/* A codec without scales: what its decoder says. */
static void decode_rows(void *arg, unsigned i, unsigned n)
{
    const struct job *j = arg;
    size_t begin, end;

    rbe_split(j->t->w.rows, 1, i, n, &begin, &end);
    for (size_t m = begin; m < end; m++)
        rbe_weight_decode_row(&j->t->w, m, weights_of(j->s, j->t) + m * j->t->w.cols);
}

/* Brings t's weights up to date with what is stored. */
static void apply(struct rbe_student *s, struct tensor *t)
{
    struct job j = {s, t, NULL};
    float *w = weights_of(s, t);

    if (t->kind == CODED) {
        for (size_t i = 0; i < t->w.part_count; i++) {
            j.p = &t->parts[i];
            present_scales(j.p);
            rbe_pool_run(s->pool, fill_rows, &j);
        }
    } else if (t->kind == OPAQUE) {
        rbe_pool_run(s->pool, decode_rows, &j);
    } else if (t->kind == PLAIN) {
        for (size_t i = 0; i < t->slice->count; i++)
            w[i] = t->dtype == RBE_DT_F16 && !t->w.rows ? as_f16(t->master[i]) : t->master[i];
    }
}

static void apply_all(struct rbe_student *s)
{
    for (size_t i = 0; i < s->count; i++)
        apply(s, &s->tensors[i]);
}

static void scale_gradients(void *arg, unsigned i, unsigned n)
{
    const struct job *j = arg;
    struct scales *p = j->p;

    for (unsigned chunk = i; chunk < CHUNKS; chunk += n) {
        double *sum = j->s->sums + chunk * j->s->widest;
        float *grad = j->s->buffer + chunk * j->s->widest;
        size_t begin, end;

        rbe_split(p->rows, 1, chunk, CHUNKS, &begin, &end);
        memset(sum, 0, p->cols * sizeof *sum);
        for (size_t m = begin; m < end; m++) {
            const int16_t *g = p->g + m * p->cols;
            memcpy(grad, gradient_of(j->s, j->t) + (p->row0 + m) * p->cols,
                   p->cols * sizeof *grad);
            if (j->t->w.hadamard)
                rbe_rotate(grad, p->cols, 1, p->cols, j->t->w.hadamard, j->t->w.sign_seed);
            for (uint32_t k = 0; k < p->groups; k++) {
                const size_t last = (k + 1) * p->width < p->cols ? (k + 1) * p->width : p->cols;
                const double row = (double)p->row_now[m * p->groups + k];
                double row_sum = 0;
                for (size_t c = k * p->width; c < last; c++) {
                    const float v = grad[c] * (float)g[c];
                    row_sum += (double)(p->col ? v * p->col_now[c] : v);
                    sum[c] += (double)v * row;
                }
                p->row_grad[m * p->groups + k] =
                    p->row[m * p->groups + k] * (float)row_sum;
            }
        }
    }
}

/* Gradients of t's scales from the gradient of its weights. */
static void chain(struct rbe_student *s, struct tensor *t)
{
    for (size_t i = 0; t->kind == CODED && i < t->w.part_count; i++) {
        struct job j = {s, t, &t->parts[i]};

        rbe_pool_run(s->pool, scale_gradients, &j);
        for (size_t c = 0; j.p->col && c < j.p->cols; c++) {
            double sum = 0;
            for (unsigned k = 0; k < CHUNKS; k++)
                sum += s->sums[k * s->widest + c];
            j.p->col_grad[c] = (float)(sum * (double)j.p->col[c]);
        }
    }
}

/* Rows of zeros are pruned neurons: no gradient reaches those that move by themselves, and
 * scales of 0 stay by what they are. */
static void hold_zeros(struct rbe_student *s, struct tensor *t)
{
    const size_t cols = t->slice->cols;

    for (size_t r = 0; t->zeros && r < t->slice->rows; r++)
        if (t->zeros[r])
            memset(gradient_of(s, t) + r * cols, 0, cols * sizeof(float));
}

/* --- opening ------------------------------------------------------------------------------ */

/* A weight is an integer times scales. */
static bool has_scales(enum rbe_format f)
{
    return rbe_format_facts(f)->gmax > 0;
}

static bool is_plain_codec(const struct rbe_weight *w)
{
    for (size_t i = 0; i < w->part_count; i++)
        if (!rbe_format_facts(w->parts[i].m.format)->float_bytes)
            return false;
    return true;
}

static void free_scales(struct scales *p)
{
    free(p->g);
    free(p->row);
    free(p->col);
}

static void free_parts(struct tensor *t)
{
    for (size_t i = 0; t->parts && i < t->w.part_count; i++)
        free_scales(&t->parts[i]);
    free(t->parts);
    t->parts = NULL;
}

static enum rbe_status alloc_scales(struct scales *p, const struct rbe_part *from,
                                    struct rbe_diag *d)
{
    const struct rbe_matrix *m = &from->m;
    const size_t rows = m->rows, cols = m->cols;

    *p = (struct scales){.row0 = from->row0, .rows = m->rows, .cols = m->cols, .groups = 1,
                         .width = m->cols};
    const uint32_t group = rbe_format_facts(m->format)->group;
    if (group) {
        const struct rbe_matrix_size size =
            rbe_matrix_size(m->format, m->rows, m->cols, m->block, m->aux);
        p->groups = (uint32_t)(size.scale / sizeof(uint16_t) / rows);
        p->width = group;
    }
    const size_t n = rows * p->groups;
    p->g = malloc(rows * cols * sizeof *p->g);
    p->row = calloc(4 * n, sizeof *p->row);
    p->col = m->col_scale ? calloc(4 * cols, sizeof *p->col) : NULL;
    if (!p->g || !p->row || (m->col_scale && !p->col))
        return no_memory(d);
    p->row_theta = p->row + n;
    p->row_grad = p->row + 2 * n;
    p->row_now = p->row + 3 * n;
    if (p->col) {
        p->col_theta = p->col + cols;
        p->col_grad = p->col + 2 * cols;
        p->col_now = p->col + 3 * cols;
    }
    return RBE_OK;
}

/* What the codes stand for, and the stored scales; theta becomes 0. */
static enum rbe_status read_scales(struct scales *p, const struct rbe_matrix *m,
                                   struct rbe_diag *d)
{
    const size_t n = (size_t)p->rows * p->groups;
    uint16_t *ones = malloc(n * sizeof *ones);
    float *row = malloc(p->cols * sizeof *row);
    struct rbe_matrix unit = *m;
    enum rbe_status err = RBE_OK;

    if (!ones || !row) {
        err = no_memory(d);
        goto out;
    }
    for (size_t i = 0; i < n; i++) {
        ones[i] = rbe_f16_from_f32(1);
        p->row[i] = rbe_f16_to_f32(m->scale[i]);
        p->row_theta[i] = 0;
    }
    for (size_t c = 0; p->col && c < p->cols; c++) {
        p->col[c] = rbe_f16_to_f32(m->col_scale[c]);
        p->col_theta[c] = 0;
    }
    unit.scale = ones;
    unit.col_scale = NULL;
    for (size_t r = 0; r < p->rows; r++) {
        rbe_decode_row(&unit, r, row);
        for (size_t c = 0; c < p->cols; c++)
            p->g[r * p->cols + c] = (int16_t)row[c];
    }
out:
    free(ones);
    free(row);
    return err;
}

static enum rbe_status open_parts(struct tensor *t, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (size_t i = 0; i < t->w.part_count; i++)
        if (!has_scales(t->w.parts[i].m.format))
            return RBE_OK;
    if (!(t->parts = calloc(t->w.part_count, sizeof *t->parts)))
        return no_memory(d);
    for (size_t i = 0; i < t->w.part_count && !err; i++)
        if (!(err = alloc_scales(&t->parts[i], &t->w.parts[i], d)))
            err = read_scales(&t->parts[i], &t->w.parts[i].m, d);
    return err;
}

/* A copy of a weight that owns its memory. */
static enum rbe_status copy_weight(struct rbe_weight *to, const struct rbe_weight *from,
                                   struct rbe_diag *d)
{
    struct rbe_encode_part *parts = calloc(from->part_count, sizeof *parts);
    const bool cols = from->parts[0].m.col_scale;
    enum rbe_status err;

    if (!parts)
        return no_memory(d);
    for (size_t i = 0; i < from->part_count; i++) {
        const struct rbe_matrix *m = &from->parts[i].m;
        parts[i] = (struct rbe_encode_part){m->rows, m->format, m->block, m->aux};
    }
    err = rbe_weight_alloc(to, from->rows, from->cols, parts, from->part_count,
                           cols ? RBE_SCALES_ROW_COL : RBE_SCALES_ROW, d);
    free(parts);
    if (err)
        return err;
    memcpy(to->name, from->name, sizeof to->name);
    to->hadamard = from->hadamard;
    to->sign_seed = from->sign_seed;
    for (size_t i = 0; i < from->part_count; i++) {
        const struct rbe_matrix *m = &from->parts[i].m, *own = &to->parts[i].m;
        const struct rbe_matrix_size n =
            rbe_matrix_size(m->format, m->rows, m->cols, m->block, m->aux);
        memcpy((void *)(uintptr_t)own->codes, m->codes, m->code_bytes);
        if (m->scale)
            memcpy((void *)(uintptr_t)own->scale, m->scale, n.scale);
        if (m->col_scale)
            memcpy((void *)(uintptr_t)own->col_scale, m->col_scale, n.col_scale);
    }
    return RBE_OK;
}

static enum rbe_status open_encoded(struct rbe_student *s, struct tensor *t,
                                    const struct rbe_weight *w, struct rbe_diag *d)
{
    enum rbe_status err;

    if (w->rows != t->slice->rows || w->cols != t->slice->cols)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s: weight '%s' is %u x %u, not %u x %u",
                        rbe_safetensors_path(rbe_container_file(s->model)), w->name, w->rows,
                        w->cols, t->slice->rows, t->slice->cols);
    if ((err = copy_weight(&t->w, w, d)))
        return err;
    t->kind = OPAQUE;
    if (!t->slice->matrix || is_plain_codec(w)) {
        t->kind = PLAIN;
        t->dtype = RBE_DT_F32;
        if (!(t->master = malloc(t->slice->count * sizeof *t->master)))
            return no_memory(d);
        for (size_t r = 0; r < w->rows; r++)
            rbe_weight_decode_row(w, r, t->master + r * w->cols);
        return t->slice->matrix ? find_zeros(t, t->master, d) : RBE_OK;
    }
    if ((err = open_parts(t, d)))
        return err;
    if (t->parts)
        t->kind = CODED;
    return RBE_OK;
}

static enum rbe_status open_tensor(struct rbe_student *s, struct tensor *t, struct rbe_diag *d)
{
    const char *name = t->slice->name;
    enum rbe_status err;

    if (!s->model) {
        t->kind = PLAIN;
        t->dtype = RBE_DT_F32;
        if ((err = rbe_source_read(&t->master, s->source, t->origin, d)))
            return err;
        return t->slice->matrix ? find_zeros(t, t->master, d) : RBE_OK;
    }
    const struct rbe_weight *w = rbe_container_weight(s->model, name);
    if (w)
        return open_encoded(s, t, w, d);
    const struct rbe_safetensors *f = rbe_container_file(s->model);
    const struct rbe_tensor *from = rbe_safetensors_find(f, name);
    if (!from || from->count != t->slice->count)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s: tensor '%s' is missing or has another shape",
                        rbe_safetensors_path(f), name);
    t->kind = PLAIN;
    t->dtype = from->dtype;
    if (!(t->master = malloc(t->slice->count * sizeof *t->master)))
        return no_memory(d);
    if ((err = rbe_tensor_to_f32(from, t->master, d)))
        return err;
    return RBE_OK;
}

/* The spans the optimiser moves: scales and plain tensors, then latents. */
static void list_spans(struct rbe_student *s, bool latent, enum rbe_optimizer_kind kind)
{
    struct rbe_optimizer_span *to = s->spans;

    for (size_t i = 0; i < s->count; i++) {
        struct tensor *t = &s->tensors[i];

        t->span = NO_SPAN;
        for (size_t k = 0; t->kind == CODED && k < t->w.part_count; k++) {
            struct scales *p = &t->parts[k];
            p->row_span = (int)(to - s->spans);
            *to++ = (struct rbe_optimizer_span){.param = p->row_theta, .gradient = p->row_grad,
                                                .rows = 1, .cols = (size_t)p->rows * p->groups};
            p->col_span = p->col ? (int)(to - s->spans) : NO_SPAN;
            if (p->col)
                *to++ = (struct rbe_optimizer_span){.param = p->col_theta,
                                                    .gradient = p->col_grad, .rows = 1,
                                                    .cols = p->cols};
        }
        if (t->kind != PLAIN)
            continue;
        t->span = (int)(to - s->spans);
        *to++ = (struct rbe_optimizer_span){.param = t->master, .gradient = gradient_of(s, t),
                                            .rows = t->slice->rows, .cols = t->slice->cols};
    }
    s->settled = (size_t)(to - s->spans);
    for (size_t i = 0; latent && i < s->count; i++) {
        struct tensor *t = &s->tensors[i];

        if (t->kind == PLAIN)
            continue;
        t->span = (int)(to - s->spans);
        /* A step of the embedding's, few of whose rows a batch has, is no matrix's. */
        *to++ = (struct rbe_optimizer_span){.param = weights_of(s, t),
                                            .gradient = gradient_of(s, t),
                                            .rows = t->slice->rows, .cols = t->slice->cols,
                                            .kind = i ? kind : RBE_ADAMW};
    }
    s->span_count = (size_t)(to - s->spans);
}

static enum rbe_status check_same(const struct rbe_student *s, struct rbe_diag *d)
{
    const struct rbe_safetensors *f = rbe_container_file(s->model);
    const char *config = rbe_safetensors_meta(f, "rbe.config"), *path = rbe_safetensors_path(f);
    const char *sha = rbe_safetensors_meta(f, "rbe.source_sha256");
    const char *original = rbe_safetensors_path(s->source->file);
    const struct rbe_gpt2_config *a = &s->source->config;
    struct rbe_gpt2_config b;
    enum rbe_status err;

    if (!config)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: rbe.config is missing", path);
    if ((err = rbe_gpt2_config_parse(&b, config, strlen(config), path, d)))
        return err;
    if (a->vocab != b.vocab)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s has a vocabulary of %u, %s one of %u",
                        original, a->vocab, path, b.vocab);
    if (a->n_layer != b.n_layer || a->n_embd != b.n_embd || a->n_ctx != b.n_ctx ||
        a->n_head != b.n_head || a->n_inner != b.n_inner)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s has %u layers of %u and a context of %u, %s "
                        "%u of %u and %u", original, a->n_layer, a->n_embd, a->n_ctx, path,
                        b.n_layer, b.n_embd, b.n_ctx);
    if (!sha || strcmp(sha, s->source->sha256) != 0)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s was not made from %s (sha256 %.16s..., not "
                        "%.16s...)", path, original, sha ? sha : "unknown", s->source->sha256);
    return RBE_OK;
}

/* Were the means of wte's columns moved to the positions? */
static enum rbe_status find_center(struct rbe_student *s, struct rbe_diag *d)
{
    struct tensor *t = &s->tensors[0];
    const size_t rows = t->slice->rows, cols = t->slice->cols;
    double here = 0, there = 0;
    enum rbe_status err;
    float *x;

    if (!s->model || (err = rbe_source_read(&x, s->source, t->origin, d)))
        return s->model ? err : RBE_OK;
    for (size_t c = 0; c < cols; c++) {
        double a = 0, b = 0;
        for (size_t r = 0; r < rows; r++) {
            a += (double)x[r * cols + c];
            b += (double)weights_of(s, t)[r * cols + c];
        }
        there += a * a;
        here += (a - b) * (a - b);
    }
    /* The means are the original's, or nearly 0. */
    t->centered = here > there / 4;
    free(x);
    return RBE_OK;
}

static enum rbe_status open_student(struct rbe_student **out, struct rbe_train *t,
                                    const struct rbe_source *source,
                                    const struct rbe_container *model, bool latent,
                                    enum rbe_optimizer_kind kind, struct rbe_pool *pool,
                                    struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    size_t spans = 0;

    *out = NULL;
    struct rbe_student *s = calloc(1, sizeof *s);
    if (!s)
        return no_memory(d);
    *s = (struct rbe_student){.train = t, .source = source, .model = model, .pool = pool};
    if (model && (err = check_same(s, d)))
        goto out;
    s->count = rbe_train_slices(t);
    if (!(s->tensors = calloc(s->count, sizeof *s->tensors))) {
        err = no_memory(d);
        goto out;
    }
    for (size_t i = 0; i < s->count && !err; i++) {
        struct tensor *x = &s->tensors[i];
        x->slice = rbe_train_slice(t, i);
        x->origin = rbe_source_find(source, x->slice->name);
        err = open_tensor(s, x, d);
        s->widest = x->slice->cols > s->widest ? x->slice->cols : s->widest;
        spans += 1 + 2 * x->w.part_count;
    }
    if (err)
        goto out;
    s->sums = malloc(CHUNKS * s->widest * sizeof *s->sums);
    s->buffer = malloc(CHUNKS * s->widest * sizeof *s->buffer);
    s->spans = calloc(spans, sizeof *s->spans);
    if (!s->sums || !s->buffer || !s->spans) {
        err = no_memory(d);
        goto out;
    }
    for (size_t i = 0; i < s->count; i++) {
        apply(s, &s->tensors[i]);
        s->tensors[i].size = rms(weights_of(s, &s->tensors[i]), s->tensors[i].slice->count);
    }
    if ((err = find_center(s, d)))
        goto out;
    list_spans(s, latent, kind);
    err = rbe_optimizer_open(&s->optimizer, s->spans, s->span_count,
                             (struct rbe_optimizer_options){.decay = 1}, pool, d);
out:
    if (err)
        rbe_student_close(&s);
    *out = s;
    return err;
}

enum rbe_status rbe_student_open(struct rbe_student **out, struct rbe_train *t,
                                 const struct rbe_source *source,
                                 const struct rbe_container *model, bool latent,
                                 enum rbe_optimizer_kind kind, struct rbe_pool *pool,
                                 struct rbe_diag *d)
{
    return open_student(out, t, source, model, latent, kind, pool, d);
}

enum rbe_status rbe_student_open_plain(struct rbe_student **out, struct rbe_train *t,
                                       const struct rbe_source *source, struct rbe_pool *pool,
                                       struct rbe_diag *d)
{
    return open_student(out, t, source, NULL, false, RBE_ADAMW, pool, d);
}

void rbe_student_close(struct rbe_student **ps)
{
    struct rbe_student *s = *ps;

    if (!s)
        return;
    rbe_optimizer_close(&s->optimizer);
    for (size_t i = 0; s->tensors && i < s->count; i++) {
        struct tensor *t = &s->tensors[i];
        free_parts(t);
        rbe_weight_free(&t->w);
        free(t->master);
        free(t->error);
        free(t->zeros);
    }
    free(s->tensors);
    free(s->means);
    free(s->spans);
    free(s->sums);
    free(s->buffer);
    free(s);
    *ps = NULL;
}

size_t rbe_student_bytes(const struct rbe_gpt2_config *c, bool latent,
                         enum rbe_optimizer_kind kind)
{
    const size_t e = c->n_embd, params = (size_t)rbe_gpt2_config_params(c);
    const size_t layer = 4 * e + 3 * e + e + c->n_inner + e + 4 * e;
    const size_t plain = (c->n_layer * layer + 2 * e + c->n_ctx * e) * sizeof(float) * 4;
    const size_t scales = (c->n_layer * (layer + 8 * e) + c->vocab + e) * sizeof(float) * 7;
    const size_t largest = e * (c->n_inner > 3 * e ? c->n_inner : 3 * e);
    size_t latents = 3 * params;        /* an error and two moments */

    if (kind == RBE_MUON)
        latents = 2 * params + e * c->vocab + 2 * largest + 2 * e * e;
    /* Codes' values in 16 bits, the codes. */
    return params * 3 + plain + scales + (latent ? latents * sizeof(float) : 0);
}

/* --- moving ------------------------------------------------------------------------------- */

static void set_span(struct rbe_student *s, int span, float rate, float decay)
{
    if (span == NO_SPAN)
        return;
    s->spans[span].rate = rate;
    rbe_optimizer_set(s->optimizer, (size_t)span, rate, decay);
}

static void set_rates(struct rbe_student *s, struct tensor *t)
{
    const struct rbe_student_rates *r = &s->rates;
    float moving = r->scales;

    if (t->kind == PLAIN || t->kind == LATENT) {
        moving = t->kind == PLAIN ? r->plain : r->latents;
        set_span(s, t->span, moving * (t->size > 0 ? t->size : 1e-2F), 0);
    } else {
        set_span(s, t->span, 0, 0);
        moving = t->kind == CODED ? moving : 0;
    }
    for (size_t i = 0; t->parts && i < t->w.part_count; i++) {
        const float scales = t->kind == CODED ? r->scales : 0;
        set_span(s, t->parts[i].row_span, scales, r->decay);
        set_span(s, t->parts[i].col_span, scales, r->decay);
    }
    t->slice->frozen = !(moving > 0);
}

void rbe_student_set_rates(struct rbe_student *s, const struct rbe_student_rates *r)
{
    s->rates = *r;
    for (size_t i = 0; i < s->count; i++)
        set_rates(s, &s->tensors[i]);
}

uint64_t rbe_student_moving(const struct rbe_student *s)
{
    uint64_t n = 0;

    for (size_t i = 0; i < s->span_count; i++)
        if (s->spans[i].rate > 0)
            n += (uint64_t)s->spans[i].rows * s->spans[i].cols;
    return n;
}

enum rbe_status rbe_student_step(struct rbe_student *s, float rate, float max_norm,
                                 double *norm, struct rbe_diag *d)
{
    enum rbe_status err;

    for (size_t i = 0; i < s->count; i++) {
        struct tensor *t = &s->tensors[i];

        if (!t->slice->frozen)
            chain(s, t);
        if (t->kind == LATENT || t->kind == PLAIN)
            hold_zeros(s, t);
    }
    if ((err = rbe_optimizer_step(s->optimizer, rate, max_norm, norm, d)))
        return err;
    apply_all(s);
    rbe_train_zero(s->train);
    return RBE_OK;
}

/* --- means of the states ------------------------------------------------------------------ */

static size_t settled_floats(const struct rbe_student *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->settled; i++)
        n += s->spans[i].rows * s->spans[i].cols;
    return n;
}

static enum rbe_status open_means(struct rbe_student *s, struct rbe_diag *d)
{
    if (!s->means)
        s->means = calloc(settled_floats(s) + 1, sizeof *s->means);
    return s->means ? RBE_OK : no_memory(d);
}

enum rbe_status rbe_student_average(struct rbe_student *s, struct rbe_diag *d)
{
    const enum rbe_status err = open_means(s, d);
    float *mean = s->means;

    if (err)
        return err;
    const float part = (float)(1 / (double)++s->averaged);
    for (size_t i = 0; i < s->settled; i++)
        for (size_t k = 0; k < s->spans[i].rows * s->spans[i].cols; k++, mean++)
            *mean += part * (s->spans[i].param[k] - *mean);
    return RBE_OK;
}

static void swap_means(struct rbe_student *s)
{
    float *mean = s->means;

    for (size_t i = 0; i < s->settled; i++)
        for (size_t k = 0; k < s->spans[i].rows * s->spans[i].cols; k++, mean++) {
            const float was = s->spans[i].param[k];
            s->spans[i].param[k] = *mean;
            *mean = was;
        }
    s->swapped = !s->swapped;
}

/* --- matrices ----------------------------------------------------------------------------- */

static struct tensor *matrix_at(const struct rbe_student *s, size_t i)
{
    for (size_t k = 0; k < s->count; k++)
        if (is_matrix(&s->tensors[k]) && i-- == 0)
            return &s->tensors[k];
    return NULL;
}

size_t rbe_student_matrices(const struct rbe_student *s)
{
    size_t n = 0;

    for (size_t k = 0; k < s->count; k++)
        n += is_matrix(&s->tensors[k]);
    return n;
}

const char *rbe_student_matrix(const struct rbe_student *s, size_t i)
{
    return matrix_at(s, i)->slice->name;
}

bool rbe_student_is_latent(const struct rbe_student *s, size_t i)
{
    return matrix_at(s, i)->kind == LATENT;
}

/* The original's weights in the form the container has them. */
static enum rbe_status read_original(float **out, const struct rbe_student *s,
                                     const struct tensor *t, struct rbe_diag *d)
{
    const size_t rows = t->slice->rows, cols = t->slice->cols;
    enum rbe_status err = rbe_source_read(out, s->source, t->origin, d);

    for (size_t c = 0; !err && t->centered && c < cols; c++) {
        double sum = 0;
        for (size_t r = 0; r < rows; r++)
            sum += (double)(*out)[r * cols + c];
        for (size_t r = 0; r < rows; r++)
            (*out)[r * cols + c] -= (float)(sum / (double)rows);
    }
    return err;
}

static enum rbe_status make_room(float **error, size_t n, struct rbe_diag *d)
{
    if (!*error)
        *error = malloc(n * sizeof **error);
    return *error ? RBE_OK : no_memory(d);
}

enum rbe_status rbe_student_thaw(struct rbe_student *s, size_t i, bool keep_error,
                                 struct rbe_diag *d)
{
    struct tensor *t = matrix_at(s, i);
    const size_t n = t->slice->count;
    float *x, *w = weights_of(s, t);
    enum rbe_status err;

    if (t->kind == LATENT)
        return RBE_OK;
    if ((err = read_original(&x, s, t, d)))
        return err;
    if ((err = find_zeros(t, x, d))) {
        free(x);
        return err;
    }
    if (keep_error && !(err = make_room(&t->error, n, d)))
        for (size_t k = 0; k < n; k++)
            t->error[k] = w[k] - x[k];
    else if (!err)
        memcpy(w, x, n * sizeof *w);
    free(x);
    if (!err)
        t->kind = LATENT;
    set_rates(s, t);
    return err;
}

static void forget(struct rbe_student *s, int span)
{
    if (span != NO_SPAN)
        rbe_optimizer_forget(s->optimizer, (size_t)span);
}

/* Codes for x with the codec, blocks and rotation that t has. */
static enum rbe_status encode_like(struct rbe_weight *out, const struct rbe_student *s,
                                   const struct tensor *t, const float *x,
                                   enum rbe_search search, const float *moment,
                                   const float *importance, struct rbe_diag *d)
{
    struct rbe_encode_part *parts = calloc(t->w.part_count, sizeof *parts);
    struct rbe_encode_options o = {
        .part_count = t->w.part_count, .parts = parts, .search = search,
        .progress = rbe_not_interrupted,
        .scales = t->w.parts[0].m.col_scale ? RBE_SCALES_ROW_COL : RBE_SCALES_ROW,
        .hadamard = t->w.hadamard, .sign_seed = t->w.sign_seed, .moment = moment,
        .row_importance = importance};
    struct rbe_diag why = {""};
    enum rbe_status err;

    if (!parts)
        return no_memory(d);
    for (size_t i = 0; i < t->w.part_count; i++) {
        const struct rbe_matrix *m = &t->w.parts[i].m;
        parts[i] = (struct rbe_encode_part){m->rows, m->format, m->block, m->aux};
    }
    err = rbe_encode_weight(out, x, t->w.rows, t->w.cols, &o, s->pool, &why);
    if (err)
        rbe_fail(d, err, "tensor '%s': %s", t->slice->name, why.text);
    memcpy(out->name, t->w.name, sizeof out->name);
    free(parts);
    return err;
}

/* t's codes are new: what they stand for, and scales that start from there. */
static enum rbe_status take_codes(struct rbe_student *s, struct tensor *t, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (size_t i = 0; t->parts && i < t->w.part_count && !err; i++) {
        err = read_scales(&t->parts[i], &t->w.parts[i].m, d);
        forget(s, t->parts[i].row_span);
        forget(s, t->parts[i].col_span);
    }
    t->kind = t->parts ? CODED : OPAQUE;
    apply(s, t);
    return err;
}

enum rbe_status rbe_student_encode(struct rbe_student *s, size_t i, enum rbe_search search,
                                   const float *moment, const float *importance, bool again,
                                   struct rbe_diag *d)
{
    struct tensor *t = matrix_at(s, i);
    const size_t n = t->slice->count;
    float *w = weights_of(s, t), *x;
    struct rbe_weight fresh;
    enum rbe_status err;

    if (t->kind != LATENT)
        return RBE_OK;
    if (!(x = malloc(n * sizeof *x)))
        return no_memory(d);
    for (size_t k = 0; k < n; k++)
        x[k] = t->error ? w[k] - t->error[k] : w[k];
    if ((err = encode_like(&fresh, s, t, x, search, moment, importance, d)))
        goto out;
    rbe_weight_free(&t->w);
    t->w = fresh;
    if ((err = take_codes(s, t, d)))
        goto out;
    if (again && !(err = make_room(&t->error, n, d))) {
        for (size_t k = 0; k < n; k++)
            t->error[k] = w[k] - x[k];
        t->kind = LATENT;
    } else {
        free(t->error);
        t->error = NULL;
        forget(s, t->span);
    }
    set_rates(s, t);
out:
    free(x);
    return err;
}

/* --- writing ------------------------------------------------------------------------------ */

static enum rbe_status store_f16(uint16_t *to, const float *from, size_t n, const char *name,
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

/* The present values into t's own copy of the weight. */
static enum rbe_status store_weight(struct rbe_student *s, struct tensor *t, struct rbe_diag *d)
{
    struct rbe_weight fresh;
    enum rbe_status err = RBE_OK;

    if (t->kind == LATENT)
        return rbe_fail(d, RBE_ERR_ARG, "tensor '%s' is not encoded", t->slice->name);
    if (t->kind == PLAIN) {
        err = encode_like(&fresh, s, t, t->master, RBE_SEARCH_DEFAULT, NULL, NULL, d);
        if (err)
            return err;
        rbe_weight_free(&t->w);
        t->w = fresh;
    }
    for (size_t i = 0; t->kind == CODED && i < t->w.part_count && !err; i++) {
        const struct rbe_matrix *m = &t->w.parts[i].m;
        const struct scales *p = &t->parts[i];

        err = store_f16((uint16_t *)(uintptr_t)m->scale, p->row_now,
                        (size_t)p->rows * p->groups, t->slice->name, d);
        if (!err && p->col)
            err = store_f16((uint16_t *)(uintptr_t)m->col_scale, p->col_now, p->cols,
                            t->slice->name, d);
    }
    return err;
}

enum rbe_status rbe_student_snap(struct rbe_student *s, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    if (s->averaged && !s->swapped) {
        swap_means(s);
        apply_all(s);
    }
    for (size_t i = 0; i < s->count && !err; i++) {
        struct tensor *t = &s->tensors[i];
        struct job j = {s, t, NULL};

        if (!t->w.rows || t->kind == LATENT)
            continue;
        if (!(err = store_weight(s, t, d)))
            rbe_pool_run(s->pool, decode_rows, &j);
    }
    return err;
}

void rbe_student_refresh(struct rbe_student *s)
{
    if (s->swapped)
        swap_means(s);
    apply_all(s);
}

void rbe_student_settle(struct rbe_student *s)
{
    if (!s->averaged)
        return;
    if (!s->swapped)
        swap_means(s);
    s->averaged = 0;
    s->swapped = false;
    apply_all(s);
}

static enum rbe_status add_plain(struct rbe_container_builder *b, const struct rbe_student *s,
                                 const struct tensor *t, void **data, struct rbe_diag *d)
{
    const struct rbe_tensor *from =
        rbe_safetensors_find(rbe_container_file(s->model), t->slice->name);
    const size_t n = t->slice->count;
    enum rbe_status err;

    if (!(*data = malloc(n * sizeof(float))))
        return no_memory(d);
    if (t->dtype == RBE_DT_F16) {
        if ((err = store_f16(*data, t->master, n, t->slice->name, d)))
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
        const char *v = rbe_safetensors_meta(rbe_container_file(s->model), keys[i]);
        if (v)
            err = rbe_container_add_meta(b, keys[i], strcmp(keys[i], "rbe.encoder") ? v : TUNED,
                                         d);
    }
    for (size_t i = 0; i < s->count && !err; i++) {
        struct tensor *t = &s->tensors[i];
        if (!t->w.rows)
            err = add_plain(b, s, t, &data[i], d);
        else if (!(err = store_weight(s, t, d)))
            err = rbe_container_add_weight(b, &t->w, d);
    }
    if (!err)
        err = rbe_container_write(b, path, d);
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
            x[t->origin->transposed ? c * rows + r : r * cols + c] = t->master[r * cols + c];
    return x;
}

enum rbe_status rbe_student_write_plain(struct rbe_student *s, const char *folder,
                                        struct rbe_diag *d)
{
    struct rbe_tensor_out *out = calloc(s->count, sizeof *out);
    char *weights = rbe_path_join(folder, "model.safetensors");
    char *config = rbe_path_join(folder, "config.json");
    struct rbe_outfile file = {0};
    enum rbe_status err;

    if (!out || !weights || !config) {
        err = no_memory(d);
        goto out;
    }
    if ((err = rbe_make_dirs(folder, d)))
        goto out;
    for (size_t i = 0; i < s->count; i++) {
        const struct tensor *t = &s->tensors[i];
        const struct rbe_tensor *from = t->origin->tensor;

        out[i] = (struct rbe_tensor_out){.name = t->slice->name, .dtype = RBE_DT_F32,
                                         .dims = from->dims, .data = as_checkpoint(t)};
        if (!out[i].data) {
            err = no_memory(d);
            goto out;
        }
        memcpy(out[i].shape, from->shape, sizeof out[i].shape);
    }
    if ((err = rbe_outfile_open(&file, config, d)))
        goto out;
    if (fputs(s->source->config_json, file.f) < 0)
        err = rbe_fail_errno(d, "%s", config);
    else
        err = rbe_outfile_commit(&file, d);
    if (!err)
        err = rbe_safetensors_write(weights, out, s->count, (const char *const[]){NULL}, d);
out:
    rbe_outfile_discard(&file);
    for (size_t i = 0; out && i < s->count; i++)
        free((void *)(uintptr_t)out[i].data);
    free(out);
    free(weights);
    free(config);
    return err;
}

/* --- checkpoints -------------------------------------------------------------------------- */

static enum rbe_status archive_weight(struct tensor *t, struct rbe_archive *a,
                                      struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (size_t i = 0; i < t->w.part_count && !err; i++) {
        const struct rbe_matrix *m = &t->w.parts[i].m;
        const struct rbe_matrix_size n =
            rbe_matrix_size(m->format, m->rows, m->cols, m->block, m->aux);
        struct scales *p = t->parts ? &t->parts[i] : NULL;

        if ((err = rbe_archive_bytes(a, (void *)(uintptr_t)m->codes, n.codes, d)) ||
            (m->scale && (err = rbe_archive_bytes(a, (void *)(uintptr_t)m->scale, n.scale,
                                                  d))) ||
            (m->col_scale && (err = rbe_archive_bytes(a, (void *)(uintptr_t)m->col_scale,
                                                      n.col_scale, d))))
            break;
        /* Written scales are not those at theta 0, which are the trained ones' base. */
        if (p && rbe_archive_reading(a) && (err = read_scales(p, m, d)))
            break;
        if (p && !(err = rbe_archive_bytes(a, p->row, 2 * (size_t)p->rows * p->groups *
                                                          sizeof *p->row, d)) && p->col)
            err = rbe_archive_bytes(a, p->col, 2 * (size_t)p->cols * sizeof *p->col, d);
    }
    return err;
}

static enum rbe_status archive_tensor(struct rbe_student *s, struct tensor *t,
                                      struct rbe_archive *a, struct rbe_diag *d)
{
    const size_t n = t->slice->count;
    uint8_t kind = (uint8_t)t->kind, error = t->error != NULL;
    enum rbe_status err;

    if ((err = rbe_archive_bytes(a, &kind, 1, d)) || (err = rbe_archive_bytes(a, &error, 1, d)))
        return err;
    if (rbe_archive_reading(a) && ((kind == PLAIN) != (t->kind == PLAIN) || kind > PLAIN ||
                                   (kind == LATENT && t->span == NO_SPAN)))
        return rbe_fail(d, RBE_ERR_MISMATCH, "checkpoint: tensor '%s' is of another kind",
                        t->slice->name);
    t->kind = (enum kind)kind;
    if (t->kind == PLAIN)
        return rbe_archive_bytes(a, t->master, n * sizeof *t->master, d);
    if (t->kind == LATENT && rbe_archive_reading(a)) {
        float *x;
        if ((err = read_original(&x, s, t, d)))
            return err;
        err = find_zeros(t, x, d);
        free(x);
        if (err)
            return err;
    }
    if ((err = archive_weight(t, a, d)) || t->kind != LATENT)
        return err;
    if (error && ((err = make_room(&t->error, n, d)) ||
                  (err = rbe_archive_bytes(a, t->error, n * sizeof *t->error, d))))
        return err;
    return rbe_archive_bytes(a, weights_of(s, t), n * sizeof(float), d);
}

enum rbe_status rbe_student_archive(struct rbe_student *s, struct rbe_archive *a,
                                    struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    size_t n;

    for (size_t i = 0; i < s->count && !err; i++)
        err = archive_tensor(s, &s->tensors[i], a, d);
    float *state = rbe_optimizer_state(s->optimizer, &n);
    if (!err)
        err = rbe_archive_bytes(a, state, n * sizeof *state, d);
    uint64_t *steps = rbe_optimizer_steps(s->optimizer, &n);
    if (!err)
        err = rbe_archive_bytes(a, steps, n * sizeof *steps, d);
    if (!err)
        err = rbe_archive_bytes(a, &s->averaged, sizeof s->averaged, d);
    if (!err && s->averaged && !(err = open_means(s, d)))
        err = rbe_archive_bytes(a, s->means, settled_floats(s) * sizeof *s->means, d);
    for (size_t i = 0; i < s->count && !err && rbe_archive_reading(a); i++) {
        apply(s, &s->tensors[i]);
        set_rates(s, &s->tensors[i]);
    }
    return err;
}
