/*
 * calibrate.c - second moments of the inputs of every weight matrix.
 *
 * SPDX-License-Identifier: MIT
 */
#include "convert/calibrate_private.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/stats.h"
#include "base/text.h"
#include "convert/half.h"
#include "grad/grad.h"
#include "grad/product.h"
#include "kernels/cpu.h"
#include "kernels/vector.h"
#include "model/data.h"
#include "model/tokenizer.h"
#include "rbe/container.h"

enum {
    WINDOWS_MIN = 8,
    LOGITS = 64,                /* rows of logits asked for at once, only for their inputs */
    SLICES = 8,                 /* of the positions at hand, whose sums are apart */
    METRIC_ROWS_MOST = 4096,    /* of a matrix with a metric of its rows: what it takes grows
                                 * with their square */
};

/* Seconds of work that may be lost. */
#define KEEP_EVERY 60.0

/* Times the mean size of a window's gradients by what was looked up: the largest counts so. */
#define LOOKUP_MOST 3.0F

/* The part of a row's weight that is its own, whatever the other rows do. */
#define ALONE 0.3F

/* Limits of a row's weight over the mean of all. */
#define ROW_LEAST 0.05
#define ROW_MOST 20.0

/* --- passes ------------------------------------------------------------------------------- */

static unsigned passes_of(struct rbe_calibration_how how)
{
    return how.passes ? how.passes : 1;
}

/* Floats of the moments of a weight's inputs and of the gradients by its outputs, of which t is
 * the first range, or all; 0 of others. */
static size_t moments_of(const struct rbe_model_config *c, enum rbe_metric metric, size_t i)
{
    const struct rbe_source_tensor first = rbe_source_tensor(c, i);
    size_t n = first.matrix && !first.row0 ? rbe_half_floats(first.cols) : 0;

    for (; n && i < rbe_source_count(c); i++) {
        const struct rbe_source_tensor t = rbe_source_tensor(c, i);
        if (strcmp(t.weight_name, first.weight_name) != 0)
            break;
        n += rbe_calibration_has_metric(&t, metric) ? rbe_half_floats(t.rows) : 0;
    }
    return n;
}

static size_t all_moments(const struct rbe_model_config *c, enum rbe_metric metric)
{
    size_t all = 0;

    for (size_t i = 0; i < rbe_source_count(c); i++)
        all += moments_of(c, metric, i);
    return all;
}

/* Of the moment of n floats that `before` come before, of `all`: passes take about as much.
 * One may be left empty. */
static unsigned pass_of(size_t before, size_t n, size_t all, unsigned passes)
{
    return (unsigned)(((double)before + (double)n / 2) / (double)all * passes);
}

static enum rbe_status set_shares(struct rbe_calibration *c,
                                  const struct rbe_model_config *config)
{
    const size_t all = all_moments(config, c->how.metric);
    size_t before = 0;

    if (!(c->shares = calloc(rbe_source_count(config), sizeof *c->shares)))
        return RBE_ERR_NOMEM;
    for (size_t i = 0; i < rbe_source_count(config); i++) {
        const struct rbe_source_tensor t = rbe_source_tensor(config, i);
        const size_t n = moments_of(config, c->how.metric, i);
        if (!n)
            continue;
        struct share *s = &c->shares[c->share_count++];
        snprintf(s->name, sizeof s->name, "%s", t.weight_name);
        s->pass = pass_of(before, n, all, c->how.passes);
        before += n;
    }
    return RBE_OK;
}

bool rbe_calibration_is_of_pass(const struct rbe_calibration *c, const char *name)
{
    for (size_t i = 0; i < c->share_count; i++)
        if (c->shares[i].pass == c->pass && (!name || !strcmp(c->shares[i].name, name)))
            return true;
    return !c->share_count;
}

/* --- gathering ---------------------------------------------------------------------------- */

static struct site *find(const struct rbe_calibration *c, const char *name)
{
    for (size_t i = 0; i < c->site_count; i++)
        if (strcmp(c->sites[i].name, name) == 0)
            return &c->sites[i];
    return NULL;
}

/* Which ranges of a weight have a moment of their gradients. */
static void set_ranges(struct site *s, const struct rbe_calibration *c)
{
    for (size_t i = 0; i < rbe_source_count(&c->config); i++) {
        const struct rbe_source_tensor t = rbe_source_tensor(&c->config, i);

        if (strcmp(t.weight_name, s->name) != 0 ||
            !rbe_calibration_has_metric(&t, c->how.metric))
            continue;
        s->ranges[s->range_count++] = (struct range){t.row0, t.rows, s->outer_floats};
        s->outer_floats += rbe_half_floats(t.rows);
    }
}

static void free_site(struct site *s)
{
    free(s->sums);
    free(s->outer);
    free(s->energy);
    free(s->importance);
}

struct site *rbe_calibration_add_site(struct rbe_calibration *c, const char *name, size_t rows,
                             size_t cols)
{
    struct site *grown = realloc(c->sites, (c->site_count + 1) * sizeof *grown);

    if (!grown)
        return NULL;
    c->sites = grown;
    struct site *s = &grown[c->site_count];
    *s = (struct site){.rows = rows, .cols = cols,
                       .sums = calloc(rbe_half_floats(cols), sizeof *s->sums),
                       .energy = rows ? calloc(rows, sizeof *s->energy) : NULL,
                       .importance = rows ? calloc(rows, sizeof *s->importance) : NULL};
    strncpy(s->name, name, NAME_SIZE - 1);
    set_ranges(s, c);
    s->outer = s->outer_floats ? calloc(s->outer_floats, sizeof *s->outer) : NULL;
    if (!s->sums || (s->outer_floats && !s->outer) ||
        (rows && (!s->energy || !s->importance))) {
        free_site(s);
        return NULL;
    }
    s->upper = s->sums;
    s->outer_upper = s->outer;
    s->pass = c->pass;
    c->site_count++;
    return s;
}

void rbe_calibration_drop_sites(struct rbe_calibration *c, size_t first)
{
    for (size_t i = first; i < c->site_count; i++)
        free_site(&c->sites[i]);
    c->site_count = first;
}

/* `count` positions' inputs of a site, and gradients by its outputs, or by the logits. */
struct gather {
    struct rbe_calibration *c;
    struct site *s;
    const float *x, *dy;        /* [count][s->cols]; [count][s->rows] */
    size_t count;
    bool logits;
};

static void on_product(void *arg, const char *name, const float *x, size_t ldx, size_t count,
                       size_t cols)
{
    struct rbe_calibration *c = arg;
    struct site *s = find(c, name);

    if (!rbe_calibration_is_of_pass(c, name))
        return;
    if (!s && !(s = rbe_calibration_add_site(c, name, 0, cols))) {
        c->failed = true;
        return;
    }
    rbe_half_add(c->half, s->sums, cols, x, ldx, count);
    s->weight += (double)count;
}

/*
 * Thread i's slices of the positions: their inputs times the roots of their weights, and the
 * Fisher information of each row.  That of one output is g^2; of a logit, whose gradient is p,
 * or p - 1 for the token that was drawn, the mean over what might have been drawn, p (1 - p).
 */
static void weigh_positions(void *arg, unsigned i, unsigned n)
{
    const struct gather *g = arg;
    const struct rbe_calibration *c = g->c;
    const size_t cols = g->s->cols, rows = g->s->rows;

    for (unsigned slice = i; slice < SLICES; slice += n) {
        float *sums = c->energies + slice * rows;
        size_t begin, end;

        memset(sums, 0, rows * sizeof *sums);
        rbe_split(g->count, 1, slice, SLICES, &begin, &end);
        for (size_t t = begin; t < end; t++) {
            const double sum = c->v->energies(sums, g->dy + t * rows, rows, g->logits);
            /* A few positions have gradients far above all others (docs/log/ENCODER.md). */
            const float w = (float)(g->logits ? sum : sqrt(sum));

            c->weights[t] = w;
            c->v->scale(c->scaled + t * cols, g->x + t * cols, cols, sqrtf(w));
        }
    }
}

/* Thread i's output rows: the slices, added up. */
static void weigh_rows(void *arg, unsigned i, unsigned n)
{
    const struct gather *g = arg;
    const size_t rows = g->s->rows;
    size_t begin, end;

    rbe_split(rows, 16, i, n, &begin, &end);
    for (size_t slice = 0; slice < SLICES; slice++)
        for (size_t k = begin; k < end; k++)
            g->s->energy[k] += (double)g->c->energies[slice * rows + k];
}

/* The gradients by the rows of the token embedding that were looked up, into c->scaled, their
 * sizes into c->weights; the few that are far above all others are made smaller. */
static void scale_lookups(struct rbe_calibration *c, const float *dy, size_t count, size_t cols)
{
    double mean = 0;

    for (size_t t = 0; t < count; t++) {
        c->weights[t] = (float)sqrt(c->v->squares(dy + t * cols, cols));
        mean += (double)c->weights[t] / (double)count;
    }
    for (size_t t = 0; t < count; t++) {
        const float most = LOOKUP_MOST * (float)mean;
        const float factor = c->weights[t] > most ? most / c->weights[t] : 1;
        c->weights[t] *= factor;
        c->v->scale(c->scaled + t * cols, dy + t * cols, cols, factor);
    }
}

/* An error e of a row that is looked up costs half of (e g)^2, g the gradient by it, as in the
 * output layer it costs half of p (1 - p) (e x)^2: the sums of both add up as they are.  A
 * token is met about as often as it is predicted, so they are one moment for all rows.  An
 * embedding that is no output layer has this one alone. */
static void on_lookup(struct rbe_calibration *c, struct site *s, const float *dy, size_t count)
{
    scale_lookups(c, dy, count, s->cols);
    rbe_half_add(c->half, s->sums, s->cols, c->scaled, s->cols, count);
    if (!rbe_config_has(&c->config, RBE_OPTION_UNTIED))
        return;
    for (size_t t = 0; t < count; t++)
        s->energy[c->text[c->done + t]] += (double)c->weights[t] * (double)c->weights[t];
    s->weight += (double)count;
}

static void on_gradient(void *arg, const struct rbe_grad_slice *slice, const float *x,
                        const float *dy, size_t count)
{
    struct rbe_calibration *c = arg;
    struct site *s = find(c, slice->name);

    if (!rbe_calibration_is_of_pass(c, slice->name))
        return;
    /* The ranges of a weight share its inputs: one site. */
    if (!s && !(s = rbe_calibration_add_site(c, slice->name, slice->weight_rows,
                                             slice->cols))) {
        c->failed = true;
        return;
    }
    if (!x) {
        on_lookup(c, s, dy, count);
        return;
    }
    struct gather g = {.c = c, .s = s, .x = x, .dy = dy, .count = count,
                       .logits = slice->role == RBE_ROLE_TOKENS ||
                                 slice->role == RBE_ROLE_OUTPUT};
    rbe_pool_run(c->pool, weigh_positions, &g);
    rbe_pool_run(c->pool, weigh_rows, &g);
    for (size_t t = 0; t < count; t++)
        s->weight += (double)c->weights[t];
    rbe_half_add(c->half, s->sums, s->cols, c->scaled, s->cols, count);
    for (size_t i = 0; i < s->range_count; i++) {
        const struct range *r = &s->ranges[i];
        rbe_half_add(c->half, s->outer + r->at, r->rows, dy + r->row0, s->rows, count);
    }
}

static enum rbe_status run_window(struct rbe_session *s, const uint32_t *tokens, size_t n,
                                  float *logits, struct rbe_diag *d)
{
    enum rbe_status err;

    rbe_session_truncate(s, 0);
    err = rbe_forward(s, tokens, n, d);
    for (size_t at = 0; at < n && !err; at += LOGITS)
        err = rbe_logits(s, at, n - at < LOGITS ? n - at : LOGITS, logits, d);
    return err;
}

/* From sums to means. */
static float inverse_of(const struct site *s)
{
    return (float)(1 / s->weight);
}

/* Sums of zeros tell nothing, and neither do weights so small that they have no inverse. */
static enum rbe_status check_moment(struct site *s, struct rbe_diag *d)
{
    const size_t cols = s->cols, all = rbe_half_floats(cols);
    const float inverse = inverse_of(s);
    double trace = 0;

    for (size_t i = 0; i < cols; i++)
        trace += (double)(s->upper[rbe_half_diagonal(cols, i)] * inverse);
    if (isinf(inverse) || trace == 0) {
        s->silent = true;
        return RBE_OK;
    }
    for (size_t i = 0; i < all; i++)
        if (!isfinite(s->upper[i] * inverse))
            return rbe_fail(d, RBE_ERR_NUMERIC,
                            "calibration: the inputs of '%s' are not finite", s->name);
    return RBE_OK;
}

/* Roots of the energies to weights of mean 1, then within limits: a row that was hardly met
 * still has a cost. */
static void finish_rows(struct site *s)
{
    double mean = 0;

    for (size_t i = 0; i < s->rows; i++)
        mean += sqrt(s->energy[i]) / (double)s->rows;
    for (size_t i = 0; i < s->rows; i++) {
        const double v = mean > 0 ? sqrt(s->energy[i]) / mean : 1;
        s->importance[i] = (float)(v < ROW_LEAST ? ROW_LEAST : v > ROW_MOST ? ROW_MOST : v);
    }
}

/* --- windows ------------------------------------------------------------------------------ */

/* Of all inputs. */
static size_t widest(const struct rbe_model_config *c)
{
    const size_t most = c->n_embd > c->n_inner ? c->n_embd : c->n_inner;

    return most > rbe_config_queries(c) ? most : rbe_config_queries(c);
}

/* Of all inputs, and of the outputs that have a moment. */
static size_t widest_moment(const struct rbe_model_config *c, enum rbe_metric metric)
{
    size_t most = widest(c);

    for (size_t i = 0; i < rbe_source_count(c); i++) {
        const struct rbe_source_tensor t = rbe_source_tensor(c, i);
        if (t.rows > most && rbe_calibration_has_metric(&t, metric))
            most = t.rows;
    }
    return most;
}

/* Of all outputs. */
static size_t tallest(const struct rbe_model_config *c)
{
    const size_t up = rbe_config_up(c), qkv = rbe_config_qkv(c), most = up > qkv ? up : qkv;

    return most > c->vocab ? most : c->vocab;
}

/* A calibration for the whole windows of `count` tokens, with what was kept of it. */
static enum rbe_status begin(struct rbe_calibration **out, struct rbe_calibration_how how,
                             const struct rbe_model_config *config, const uint32_t *tokens,
                             size_t count, struct rbe_calibration_keep *keep,
                             struct rbe_pool *pool, struct rbe_diag *d)
{
    const size_t n = rbe_calibration_window(config), windows = count / n;

    *out = NULL;
    if (windows < WINDOWS_MIN)
        return rbe_fail(d, RBE_ERR_ARG,
                        "calibration text too short: %zu tokens, at least %zu are needed",
                        count, n * WINDOWS_MIN);
    struct rbe_calibration *c = calloc(1, sizeof *c);
    if (!c || !(c->text = malloc(windows * n * sizeof *c->text))) {
        rbe_calibration_close(&c);
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    }
    memcpy(c->text, tokens, windows * n * sizeof *c->text);
    c->tokens = windows * n;
    c->how = how;
    c->how.passes = passes_of(how);
    c->config = *config;
    c->pool = pool;
    c->v = rbe_vector_best(rbe_cpu_isa());
    c->keep = keep;
    c->lock = -1;
    c->files = calloc(c->how.passes, sizeof *c->files);
    enum rbe_status err = rbe_half_open(&c->half, how.bf16, widest_moment(config, how.metric),
                                        n, pool, d);
    if (!err && (!c->files || (keep && rbe_calibration_set_key(c, config)) ||
                 (c->how.passes > 1 && set_shares(c, config))))
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if (err)
        rbe_calibration_close(&c);
    *out = c;
    return err;
}

/* The next one that is not empty, from what was kept of it; false: there is none. */
static bool begin_pass(struct rbe_calibration *c, const struct rbe_model_config *config,
                       struct rbe_progress *progress)
{
    while (c->pass < c->how.passes && !rbe_calibration_is_of_pass(c, NULL))
        c->pass++;
    if (c->pass == c->how.passes)
        return false;
    c->done = 0;
    if (c->keep)
        rbe_calibration_take_state(c, config);
    c->found_whole = c->done == c->tokens;
    c->kept = rbe_now();
    if (progress)
        rbe_progress_skip(progress, (double)c->done);
    return true;
}

/* All windows of a pass are done. */
static enum rbe_status end_pass(struct rbe_calibration *c, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (size_t i = 0; i < c->site_count && !err; i++)
        if (c->sites[i].pass == c->pass && !(err = check_moment(&c->sites[i], d)))
            finish_rows(&c->sites[i]);
    if (!err && c->keep)
        err = rbe_calibration_leave_on_disk(c, d);
    c->pass++;
    return err;
}

static void start_progress(const struct rbe_calibration *c, struct rbe_progress *progress)
{
    if (progress) {
        rbe_progress_start(progress, "calibrate", "tokens", (double)c->tokens * c->how.passes);
    }
}

/* After a window; interrupts are looked for. */
static enum rbe_status window_done(struct rbe_calibration *c, size_t done,
                                   struct rbe_progress *progress, struct rbe_diag *d)
{
    if (progress)
        rbe_progress_update(progress, (double)c->tokens * c->pass + (double)done, NULL);
    if (c->failed)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    c->done = done;
    const double lost = rbe_now() - c->kept;
    if (c->keep && (rbe_interrupted() || (done < c->tokens && lost > KEEP_EVERY)))
        rbe_calibration_keep_state(c);
    return rbe_interrupted() ? rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted") : RBE_OK;
}

/* What is needed while gathering. */
static void free_buffers(struct rbe_calibration *c)
{
    rbe_half_close(&c->half);
    free(c->weights);
    free(c->scaled);
    free(c->energies);
    c->weights = c->scaled = c->energies = NULL;
}

static enum rbe_status end(struct rbe_calibration **out, struct rbe_calibration *c,
                           enum rbe_status err, struct rbe_progress *progress)
{
    if (progress)
        rbe_progress_end(progress);
    free_buffers(c);
    c->pool = NULL;
    c->keep = NULL;
    rbe_lock_drop(&c->lock);
    if (err)
        rbe_calibration_close(&c);
    *out = c;
    return err;
}

static struct rbe_session_limits tap_limits(const struct rbe_model_config *c)
{
    const uint32_t n = rbe_calibration_window(c);

    return (struct rbe_session_limits){.max_tokens = n, .max_batch = n, .max_logits = LOGITS};
}

static enum rbe_status by_inputs(struct rbe_calibration **out, struct rbe_model *m,
                                 const uint32_t *tokens, size_t count,
                                 struct rbe_calibration_how how,
                                 struct rbe_calibration_keep *keep, struct rbe_pool *pool,
                                 struct rbe_progress *progress, struct rbe_diag *d)
{
    const struct rbe_model_config *config = rbe_model_config(m);
    const size_t n = rbe_calibration_window(config);
    struct rbe_calibration *c;
    struct rbe_session *s = NULL;
    enum rbe_status err;

    *out = NULL;
    if ((err = begin(&c, how, config, tokens, count, keep, pool, d)))
        return err;
    float *logits = malloc(LOGITS * (size_t)config->vocab * sizeof *logits);
    if (!(err = rbe_calibration_wait_turn(c, d)))
        err = logits ? rbe_session_open(&s, m, tap_limits(config), pool, d)
                     : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if (!err) {
        rbe_session_tap(s, on_product, c);
        rbe_session_stop_early(s, true);
    }
    start_progress(c, progress);
    while (!err && begin_pass(c, config, progress)) {
        for (size_t at = c->done; at < c->tokens && !err; at += n)
            if (!(err = run_window(s, c->text + at, n, logits, d)))
                err = window_done(c, at + n, progress, d);
        if (!err)
            err = end_pass(c, d);
    }
    rbe_session_close(&s);
    free(logits);
    return end(out, c, err, progress);
}

enum rbe_status rbe_calibrate(struct rbe_calibration **out, struct rbe_model *m,
                              const uint32_t *tokens, size_t count, bool bf16,
                              struct rbe_pool *pool, struct rbe_progress *progress,
                              struct rbe_diag *d)
{
    const struct rbe_calibration_how how = {.metric = RBE_METRIC_INPUTS, .bf16 = bf16};

    return by_inputs(out, m, tokens, count, how, NULL, pool, progress, d);
}

/* Of the moments of the largest pass. */
static size_t gathered_bytes(const struct rbe_model_config *c, enum rbe_metric metric,
                             unsigned passes)
{
    const size_t all = all_moments(c, metric);
    size_t before = 0, own = 0, most = 0;
    unsigned last = 0;

    for (size_t i = 0; i < rbe_source_count(c); i++) {
        const size_t n = moments_of(c, metric, i);
        if (!n)
            continue;
        const unsigned pass = pass_of(before, n, all, passes);
        own = pass == last ? own + n : n;
        most = own > most ? own : most;
        last = pass;
        before += n;
    }
    return most * sizeof(float);
}

size_t rbe_calibration_held_bytes(const struct rbe_model_config *c, enum rbe_metric metric)
{
    size_t rows = 0;

    for (size_t i = 0; i < rbe_source_count(c); i++) {
        const struct rbe_source_tensor t = rbe_source_tensor(c, i);
        rows += t.matrix ? t.rows : 0;
    }
    return RBE_CALIBRATION_TOKENS * sizeof(uint32_t) +
           (metric != RBE_METRIC_INPUTS ? rows * (sizeof(double) + sizeof(float)) : 0);
}

/* One window at a time, no gradients of parameters. */
static struct rbe_grad_limits fisher_limits(const struct rbe_model_config *c,
                                            struct rbe_calibration_how how)
{
    return (struct rbe_grad_limits){.batch = 1, .time = rbe_calibration_window(c),
                                    .tap_only = true, .recompute = how.again, .bf16 = how.bf16};
}

/* The most that a weight on its way to the engine takes: as it is stored, and turned where
 * that is another way round. */
static size_t loading_bytes(const struct rbe_model_config *c)
{
    size_t most = 0;

    for (size_t i = 0; i < rbe_source_count(c); i++) {
        const struct rbe_source_tensor t = rbe_source_tensor(c, i);
        const size_t all = ((size_t)t.row0 + t.rows) * t.cols * (t.transposed ? 2 : 1);
        most = all > most ? all : most;
    }
    return most * sizeof(float);
}

/* Of the positions at hand: weights, draws, inputs, energies of rows. */
static size_t position_bytes(const struct rbe_model_config *c)
{
    return (rbe_calibration_window(c) * (2 + widest(c)) + SLICES * tallest(c)) * sizeof(float);
}

size_t rbe_calibration_bytes(const struct rbe_model_config *c, struct rbe_calibration_how how,
                             unsigned threads)
{
    const size_t kept = rbe_calibration_held_bytes(c, how.metric) +
                        gathered_bytes(c, how.metric, passes_of(how)) +
                        rbe_half_bytes(how.bf16, widest_moment(c, how.metric),
                                       rbe_calibration_window(c));

    if (how.metric != RBE_METRIC_INPUTS) {
        const size_t gathers = kept + position_bytes(c), loads = loading_bytes(c);
        return rbe_grad_bytes(c, fisher_limits(c, how), threads) +
               (gathers > loads ? gathers : loads);
    }
    return kept + (LOGITS * (size_t)c->vocab + (size_t)rbe_model_config_params(c)) *
           sizeof(float) + rbe_session_plain_bytes(c, tap_limits(c));
}

void rbe_calibration_fit(struct rbe_calibration_how *how, const struct rbe_model_config *c,
                         unsigned most, unsigned threads, size_t limit)
{
    for (how->passes = 1; how->passes <= most; how->passes++)
        for (int again = 0; again < 2; again++) {
            how->again = again;
            if (rbe_calibration_bytes(c, *how, threads) <= limit)
                return;
        }
    how->passes = 1;
}

static enum rbe_status open_engine(struct rbe_grad **t, const struct rbe_source *s,
                                   struct rbe_grad_limits limits, struct rbe_calibration *c,
                                   struct rbe_diag *d)
{
    enum rbe_status err = rbe_grad_open(t, &s->config, limits, c->pool, d);

    if (!err && !(err = rbe_grad_load(*t, s, d)))
        rbe_grad_tap(*t, on_gradient, c);
    return err;
}

static enum rbe_status by_fisher(struct rbe_calibration **out, struct rbe_calibration_how how,
                                 const struct rbe_source *s, const uint32_t *tokens,
                                 size_t count, struct rbe_calibration_keep *keep,
                                 struct rbe_pool *pool, struct rbe_progress *progress,
                                 struct rbe_diag *d)
{
    const struct rbe_model_config *config = &s->config;
    const struct rbe_grad_limits limits = fisher_limits(config, how);
    const struct rbe_loss loss = {.temperature = 1};
    const size_t n = limits.time;
    struct rbe_loss_sums sums = {0};
    struct rbe_calibration *c;
    struct rbe_grad *t = NULL;
    float *draws = NULL;
    enum rbe_status err;

    *out = NULL;
    if ((err = begin(&c, how, config, tokens, count, keep, pool, d)))
        return err;
    c->weights = malloc(n * sizeof *c->weights);
    c->scaled = malloc(n * widest(config) * sizeof *c->scaled);
    c->energies = malloc(SLICES * tallest(config) * sizeof *c->energies);
    draws = malloc(n * sizeof *draws);
    if (!c->weights || !c->scaled || !c->energies || !draws)
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    else if (!(err = rbe_calibration_wait_turn(c, d)) && !rbe_calibration_all_is_kept(c))
        err = open_engine(&t, s, limits, c, d);
    start_progress(c, progress);
    while (!err && begin_pass(c, config, progress)) {
        if (!t && c->done < c->tokens && (err = open_engine(&t, s, limits, c, d)))
            break;              /* a kept file was damaged */
        uint64_t seed = 1;
        for (size_t i = 0; i < c->done; i++)    /* windows taken over have had their draws */
            rbe_random_next(&seed);
        for (size_t at = c->done; at < c->tokens && !err; at += n) {
            const struct rbe_grad_batch b = {.batch = 1, .time = limits.time,
                                             .tokens = c->text + at, .draws = draws};
            for (size_t i = 0; i < n; i++)
                draws[i] = (float)(rbe_random_next(&seed) >> 40) * 0x1p-24F;
            if (!(err = rbe_grad_step(t, &b, &loss, NULL, 1, &sums, d)))
                err = window_done(c, at + n, progress, d);
        }
        if (!err)
            err = end_pass(c, d);
    }
    rbe_grad_close(&t);
    free(draws);
    return end(out, c, err, progress);
}

enum rbe_status rbe_calibrate_fisher(struct rbe_calibration **out,
                                     struct rbe_calibration_how how,
                                     const struct rbe_source *s, const uint32_t *tokens,
                                     size_t count, struct rbe_pool *pool,
                                     struct rbe_progress *progress, struct rbe_diag *d)
{
    return by_fisher(out, how, s, tokens, count, NULL, pool, progress, d);
}

/* --- from files --------------------------------------------------------------------------- */

/* Control bytes are valid UTF-8, and would be tokens as good as any. */
static enum rbe_status check_text(const char *text, size_t size, const char *path,
                                  struct rbe_diag *d)
{
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)text[i];

        if ((c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 0x7F)
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: not a text: byte 0x%02x at %zu", path, c,
                            i);
    }
    return RBE_OK;
}

enum rbe_status rbe_calibrate_file(struct rbe_calibration **out, const char *model_path,
                                   const char *text_path, struct rbe_calibration_how how,
                                   size_t tokens, struct rbe_calibration_keep *keep,
                                   struct rbe_pool *pool, struct rbe_progress *progress,
                                   struct rbe_diag *d)
{
    struct rbe_source *s = NULL;
    struct rbe_model *m = NULL;
    struct rbe_tokenizer *t = NULL;
    char *shipped = NULL, *text = NULL, sha256[65];
    uint32_t *ids = NULL;
    struct rbe_diag why = {""};
    size_t size, count;
    enum rbe_status err;

    *out = NULL;
    if (!text_path) {
        text_path = shipped = rbe_data_path("calibration.txt");
        if (!shipped)
            return rbe_fail(d, RBE_ERR_IO, "the shipped calibration.txt is not there: name a "
                            "text with --calibration");
    }
    if ((err = rbe_read_text(&text, &size, sha256, text_path, d)) ||
        (err = check_text(text, size, text_path, d)) ||
        (err = how.metric != RBE_METRIC_INPUTS ? rbe_source_open(&s, model_path, d)
                                           : rbe_model_open(&m, model_path, d)) ||
        (err = rbe_find_tokenizer(&t, NULL, model_path, s ? &s->config : rbe_model_config(m),
                                  d)))
        goto out;
    if ((err = rbe_tokenizer_encode(t, text, size, false, &ids, &count, &why))) {
        rbe_fail(d, err, "%s: %s", text_path, why.text);
        goto out;
    }
    if (!tokens)
        tokens = RBE_CALIBRATION_TOKENS;
    count = count < tokens ? count : tokens;
    err = s ? by_fisher(out, how, s, ids, count, keep, pool, progress, &why)
            : by_inputs(out, m, ids, count, how, keep, pool, progress, &why);
    /* A text too short is the text's fault; what else fails names the model's tensor. */
    if (err == RBE_ERR_ARG)
        rbe_fail(d, err, "%s: %s", text_path, why.text);
    else if (err)
        rbe_fail(d, err, "%s", why.text);
    else
        memcpy((*out)->sha256, sha256, sizeof sha256);
out:
    free(ids);
    rbe_tokenizer_close(&t);
    rbe_model_close(&m);
    rbe_source_close(&s);
    free(text);
    free(shipped);
    return err;
}

void rbe_calibration_close(struct rbe_calibration **pc)
{
    struct rbe_calibration *c = *pc;

    if (!c)
        return;
    rbe_calibration_drop_sites(c, 0);
    free(c->sites);
    free_buffers(c);
    for (unsigned i = 0; c->files && i < c->how.passes; i++)
        rbe_container_close(&c->files[i]);
    free(c->files);
    rbe_lock_drop(&c->lock);
    free(c->shares);
    free(c->text);
    free(c);
    *pc = NULL;
}

const uint32_t *rbe_calibration_text(const struct rbe_calibration *c)
{
    return c->text;
}

size_t rbe_calibration_tokens(const struct rbe_calibration *c)
{
    return c->tokens;
}

const char *rbe_calibration_sha256(const struct rbe_calibration *c)
{
    return c->sha256;
}

bool rbe_calibration_knows(const struct rbe_calibration *c, const char *name)
{
    const struct site *s = find(c, name);

    return s && !s->silent;
}

enum rbe_status rbe_calibration_moment(float **out, const struct rbe_calibration *c,
                                       const char *name, struct rbe_diag *d)
{
    const struct site *s = find(c, name);

    *out = NULL;
    if (!s || s->silent)
        return RBE_OK;
    const size_t cols = s->cols;
    float *h = malloc(cols * cols * sizeof *h);
    if (!h)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    rbe_half_unfold(h, s->upper, cols, inverse_of(s));
    if (!s->sums)
        rbe_map_forget(s->upper, rbe_half_floats(cols) * sizeof *s->upper);
    *out = h;
    return RBE_OK;
}

const float *rbe_calibration_rows(const struct rbe_calibration *c, const char *name)
{
    const struct site *s = find(c, name);

    return s && !s->silent ? s->importance : NULL;
}

bool rbe_calibration_has_metric(const struct rbe_source_tensor *t, enum rbe_metric metric)
{
    return metric == RBE_METRIC_TWO_SIDED && t->matrix && t->role != RBE_ROLE_TOKENS &&
           t->role != RBE_ROLE_OUTPUT && t->rows <= METRIC_ROWS_MOST;
}

/* Row weights on the diagonal; beside it the gradients' correlations, drawn in, so that the
 * whole is positive definite whatever a short text says. */
enum rbe_status rbe_calibration_row_metric(float **out, const struct rbe_calibration *c,
                                           const char *name, size_t row0, size_t rows,
                                           struct rbe_diag *d)
{
    const struct site *s = find(c, name);
    const struct range *r = NULL;

    *out = NULL;
    for (size_t i = 0; s && !s->silent && i < s->range_count; i++)
        if (s->ranges[i].row0 == row0 && s->ranges[i].rows == rows)
            r = &s->ranges[i];
    if (!r)
        return RBE_OK;
    float *g = malloc(rows * rows * sizeof *g), *root = malloc(rows * sizeof *root);
    if (!g || !root) {
        free(g);
        free(root);
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    }
    rbe_half_unfold(g, s->outer_upper + r->at, rows, 1);
    for (size_t i = 0; i < rows; i++)
        root[i] = sqrtf(s->importance[row0 + i] / g[i * rows + i]);
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < rows; k++) {
            const float own = (1 - ALONE) * g[i * rows + k] * (root[i] * root[k]);
            g[i * rows + k] = i == k ? s->importance[row0 + i] : isfinite(own) ? own : 0;
        }
    if (!s->outer)
        rbe_map_forget(s->outer_upper + r->at, rbe_half_floats(rows) * sizeof *s->outer_upper);
    free(root);
    *out = g;
    return RBE_OK;
}

enum rbe_metric rbe_calibration_metric(const struct rbe_calibration *c)
{
    return c->how.metric;
}

bool rbe_calibration_is_bf16(const struct rbe_calibration *c)
{
    return c->how.bf16;
}

void rbe_calibration_digest(char hex[17], const struct rbe_calibration *c)
{
    uint64_t all = XXH3_64bits(c->text, c->tokens * sizeof *c->text) + (uint64_t)c->how.metric;

    /* Summed up: which weight came first depends on the number of passes. */
    for (size_t i = 0; i < c->site_count; i++) {
        const struct site *s = &c->sites[i];
        const size_t bytes = rbe_half_floats(s->cols) * sizeof *s->upper;
        uint64_t x = XXH3_64bits(s->name, strlen(s->name));

        x = XXH3_64bits_withSeed(s->upper, bytes, x);
        x = XXH3_64bits_withSeed(&s->weight, sizeof s->weight, x);
        if (s->energy)
            x = XXH3_64bits_withSeed(s->energy, s->rows * sizeof *s->energy, x);
        if (!s->sums)
            rbe_map_forget(s->upper, bytes);
        const size_t outer = s->outer_floats * sizeof *s->outer_upper;
        if (outer)
            x = XXH3_64bits_withSeed(s->outer_upper, outer, x);
        if (outer && !s->outer)
            rbe_map_forget(s->outer_upper, outer);
        all += x;
    }
    snprintf(hex, 17, "%016" PRIx64, all);
}
