/*
 * encode_seed.c - scales, search and refit of `seed`, `seed4` and `seedg` matrices.
 *
 * SPDX-License-Identifier: MIT
 *
 * Rows and columns are brought to unit RMS, each column is searched (seed_search.h), and the
 * scales are fitted again to what was found (refit.h).  With the second moment H of the
 * inputs, columns go one after the other and each takes over the error of those before it
 * (feedback.h); then a column is cut into row blocks that the threads share.  The cut depends
 * on the shape alone, so the result does not depend on the number of threads.  With a metric of
 * the rows, too, a column is searched chunk after chunk, and each takes over the error of those
 * above it.
 *
 * No code stands for zero, so rows and columns of zeros get the scale 0, and so do those too
 * small for any f16 scale: they decode to zeros.  Such a row's outputs cost next to nothing,
 * which leaves its bits to its neighbours.
 */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "base/stats.h"
#include "kernels/f16.h"
#include "kernels/format/seed.h"
#include "rbe/encode.h"
#include "rbe/feedback.h"
#include "rbe/refit.h"
#include "rbe/seed_search.h"

/* What an output that a scale of 0 wipes out costs, of the mean of the others.  Not nothing:
 * paths that differ only in its bits would cost the same, and a narrow window, of which a row
 * leaves fewer than NARROW bits, would keep too few that differ (docs/log/ENCODER.md). */
#define ZERO_COST 0.01F
#define ZERO_COST_NARROW 0.1F
enum { NARROW = 7 };

enum {
    BLOCK_ROWS = 384,           /* rows of a block, at least: joints cost a little */
    BLOCKS_MAX = 64,
    CHUNK_ROWS = 64,            /* of a chunk under row feedback, unless a strip has more */
    AHEAD_BITS = 64,            /* after a chunk, whose rows have a say in how it ends */
    SCALE_PASSES = 3,
    FAST_BITS = 11,             /* of the window that fast effort searches; others search all */
};

/* Stored column scales are about 2^-8 and row scales 2^8 times larger, so that both are
 * normal f16 numbers for weights of usual size.  Rows larger than that take columns larger
 * by as much: up to 1, ROW_LIMIT leaves the fit of the scales room. */
#define COL_UNIT 0x1p-8F
#define ROW_LIMIT 32768.0F
#define ROW_LARGEST 65504.0F

struct encoder {
    const struct rbe_encode_job *job;
    enum rbe_format format;
    size_t rows, cols, strips, groups;
    size_t stream;              /* words of a column */
    unsigned block;
    float unit;                 /* output of the map that stands for one sigma */
    float col_unit;             /* COL_UNIT, or more */
    bool zero_rows;             /* some row's scale is 0 */
    float *w;                   /* [cols][rows], weights / row scale, less fed-back errors */
    float *row, *col;           /* scales in use: w[n][m] is about col[n] / unit * g */
    int16_t *g;                 /* [cols][rows]; 0 where a scale is */
    float *target;              /* [threads or 1][rows] */
    float *importance;          /* [rows] or NULL: ones */
    size_t block_count, cut[BLOCKS_MAX + 1];    /* strips */
    uint16_t *words;            /* [threads or 1][stream] */
    uint16_t joint[BLOCKS_MAX];
    struct rbe_seed_search **search;    /* [threads] */
    unsigned threads;
    struct rbe_feedback *feedback;      /* NULL: none */
    struct rbe_row_feedback *down;      /* NULL: none */
    float *moved, *error;       /* [rows] of a column, with down: targets with what is passed
                                 * on; errors */
    uint16_t *ahead;            /* words of a chunk and of the rows after it, with down */
    size_t column;              /* being searched, under feedback */
    struct rbe_encode_spent spent;
    double since;               /* what is being done began then */
    atomic_size_t taken;        /* columns begun, without */
    atomic_bool stop;
};

/* --- scales ------------------------------------------------------------------------------ */

/*
 * Range of the outputs in units of sigma over the source's: more than 1 at high rates, where
 * the tails decide, less at low ones, where the best reproduction shrinks.  Found by trial on
 * a white Gaussian source (docs/log/ENCODER.md).
 */
static float tuned_scale(enum rbe_format f, unsigned block)
{
    static const struct {
        float bits, seed, seed4, seedg;
    } table[] = {{0.03F, 0.2F, 0.2F, 0.2F},    {0.5F, 0.65F, 0.65F, 0.65F},
                 {1, 0.85F, 0.9F, 0.88F},      {2, 1.07F, 1, 1},
                 {2.91F, 1.15F, 1.07F, 1.05F}, {4, 1.24F, 1.18F, 1.11F},
                 {5.33F, 1.34F, 1.25F, 1.2F}, {6.4F, 1.45F, 1.35F, 1.25F},
                 {8, 1.55F, 1.45F, 1.27F}};
    const float bits = 128.0F / (float)block;
    size_t i = 1;

    while (i + 1 < sizeof table / sizeof table[0] && bits > table[i].bits)
        i++;
    const float at = (bits - table[i - 1].bits) / (table[i].bits - table[i - 1].bits);
    const float low = f == RBE_SEED4   ? table[i - 1].seed4
                      : f == RBE_SEEDG ? table[i - 1].seedg
                                       : table[i - 1].seed;
    const float high = f == RBE_SEED4   ? table[i].seed4
                       : f == RBE_SEEDG ? table[i].seedg
                                        : table[i].seed;
    return low + (at < 0 ? 0 : at > 1 ? 1 : at) * (high - low);
}

static float round_f16(float v)
{
    return rbe_f16_to_f32(rbe_f16_from_f32(v));
}

/* Root mean square of row m's weights over the scales of their columns, those of 0 apart. */
static float row_rms(const struct encoder *e, size_t m, size_t live)
{
    const float *w = e->job->w + m * e->cols;
    double s = 0;

    for (size_t n = 0; n < e->cols; n++)
        if (e->col[n] > 0) {
            const double v = (double)w[n] / (double)e->col[n];
            s += v * v;
        }
    return live ? (float)sqrt(s / (double)live) : 0;
}

/* Row and column RMS by turns; columns first rounded to what will be stored. */
static enum rbe_status find_scales(struct encoder *e, struct rbe_diag *d)
{
    const size_t rows = e->rows, cols = e->cols;
    const float *w = e->job->w;
    size_t live_cols = cols;
    double *sum = malloc(cols * sizeof *sum);

    if (!sum)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t n = 0; n < cols; n++)
        e->col[n] = 1;
    for (int pass = 0; pass < SCALE_PASSES; pass++) {
        const bool last = pass + 1 == SCALE_PASSES;
        size_t live_rows = 0;

        memset(sum, 0, cols * sizeof *sum);
        for (size_t m = 0; m < rows; m++) {
            e->row[m] = row_rms(e, m, live_cols);
            if (!e->job->col_scale || last || !(e->row[m] > 0))
                continue;
            live_rows++;
            for (size_t n = 0; n < cols; n++) {
                const double v = (double)w[m * cols + n] / (double)e->row[m];
                sum[n] += v * v;
            }
        }
        if (!e->job->col_scale || last)
            continue;
        live_cols = 0;
        for (size_t n = 0; n < cols; n++) {
            const float rms = live_rows ? (float)sqrt(sum[n] / (double)live_rows) : 0;
            const float v = round_f16(rms * COL_UNIT) / COL_UNIT;
            /* Beside one large column others look too small for f16, before rows know it. */
            e->col[n] = v > 0 || pass + 2 == SCALE_PASSES ? v : rms;
            live_cols += e->col[n] > 0;
        }
    }
    free(sum);
    return RBE_OK;
}

/* Scale of what is stored for row m: w = stored_row * (col * col_unit) * g. */
static float row_to_stored(const struct encoder *e, float row)
{
    return e->job->col_scale ? row / (e->unit * e->col_unit) : row / e->unit;
}

static float row_from_stored(const struct encoder *e, float stored)
{
    return e->job->col_scale ? stored * e->unit * e->col_unit : stored * e->unit;
}

/* Rows' scales as they will be read from f16; a unit that makes the largest fit. */
static enum rbe_status round_rows(struct encoder *e, struct rbe_diag *d)
{
    float most = 0;

    for (size_t m = 0; m < e->rows; m++)
        most = e->row[m] > most ? e->row[m] : most;
    e->col_unit = COL_UNIT;
    while (e->col_unit < 1 && row_to_stored(e, most) > ROW_LIMIT)
        e->col_unit *= 2;
    for (size_t m = 0; m < e->rows; m++) {
        e->row[m] = row_from_stored(e, round_f16(row_to_stored(e, e->row[m])));
        if (!isfinite(e->row[m]))
            return rbe_fail(d, RBE_ERR_NUMERIC, "row %zu is too large for an f16 scale", m);
        e->zero_rows = e->zero_rows || !(e->row[m] > 0);
    }
    return RBE_OK;
}

/* The scales of what was encoded before, which stay. */
static void take_scales(struct encoder *e)
{
    const struct rbe_matrix *m = e->job->before;

    e->col_unit = COL_UNIT;
    for (size_t r = 0; r < e->rows; r++) {
        e->row[r] = row_from_stored(e, rbe_f16_to_f32(m->scale[r]));
        e->zero_rows = e->zero_rows || !(e->row[r] > 0);
    }
    for (size_t n = 0; n < e->cols; n++)
        e->col[n] = m->col_scale ? rbe_f16_to_f32(m->col_scale[n]) / e->col_unit : 1;
    memcpy(e->job->scale, m->scale, e->rows * sizeof *m->scale);
    if (m->col_scale)
        memcpy(e->job->col_scale, m->col_scale, e->cols * sizeof *m->col_scale);
}

/* --- searching columns ------------------------------------------------------------------- */

/* Does the last row's window reach past the last word? */
static bool ring_is_read(const struct encoder *e)
{
    const size_t last = e->rows - 1;

    return rbe_seed_bit((unsigned)(last % e->block), e->block) % 16 > 0;
}

static void search_block(const struct encoder *e, struct rbe_seed_search *s,
                         const float *target, const uint16_t *joint, size_t b, uint16_t *words)
{
    const size_t first = e->cut[b] * e->block, next = e->cut[b + 1] * e->block;
    const bool last = b + 1 == e->block_count, ring = ring_is_read(e);
    const struct rbe_seed_span span = {
        .target = target + first,
        .weight = e->importance ? e->importance + first : NULL,
        .first = first,
        .count = (next < e->rows ? next : e->rows) - first,
        .end = last ? 16 * e->stream : 128 * e->cut[b + 1],
        .start = b || ring ? joint[b] : RBE_SEED_ANY,
        .tail = last ? ring ? joint[0] : 0 : joint[b + 1],
    };
    rbe_seed_search_run(s, &span, words + 8 * e->cut[b]);
}

/* Where word j of column n stands, for they are interleaved. */
static size_t place_of(const struct encoder *e, size_t n, size_t j)
{
    const size_t strip = j / RBE_SEED_WORDS * RBE_SEED_WORDS, left = e->stream - strip;
    const size_t group = left < RBE_SEED_WORDS ? left : RBE_SEED_WORDS;
    const size_t line = strip * e->groups + n / RBE_SEED_LANES * group + j - strip;

    return line * RBE_SEED_LANES + n % RBE_SEED_LANES;
}

static void store_words(const struct encoder *e, size_t n, const uint16_t *words)
{
    uint16_t *const codes = e->job->codes;

    for (size_t j = 0; j < e->stream; j++)
        codes[place_of(e, n, j)] = words[j];
}

/* And the outputs they stand for. */
static void store_column(struct encoder *e, size_t n, const uint16_t *words)
{
    store_words(e, n, words);
    rbe_seed_decode_column(e->format, e->block, words, e->rows, e->g + n * e->rows);
    for (size_t m = 0; e->zero_rows && m < e->rows; m++)
        if (!(e->row[m] > 0))
            e->g[n * e->rows + m] = 0;
}

/* A column that keeps the codes it had: there they are again. */
static bool is_kept(struct encoder *e, size_t n, uint16_t *words)
{
    if (!e->job->before || e->job->again[n])
        return false;
    const uint16_t *const codes = e->job->before->codes;
    for (size_t j = 0; j < e->stream; j++)
        words[j] = codes[place_of(e, n, j)];
    store_column(e, n, words);
    return true;
}

/* A column of scale 0 keeps its codes of zero bits, which stand for nothing. */
static bool is_zero_column(struct encoder *e, size_t n)
{
    const bool zero = !(e->col[n] > 0);

    if (zero)
        memset(e->g + n * e->rows, 0, e->rows * sizeof *e->g);
    return zero;
}

static void fill_target(const struct encoder *e, size_t n, size_t first, size_t end,
                        float *target)
{
    const float *w = e->w + n * e->rows;
    const float scale = e->unit / e->col[n];

    for (size_t m = first; m < end; m++)
        target[m] = w[m] * scale;
}

/* Without feedback: whole columns, taken by whichever thread is free. */
static void columns_alone(void *arg, unsigned i, unsigned n)
{
    struct encoder *e = arg;
    struct rbe_seed_search *s = e->search[i];
    float *target = e->target + i * e->rows;
    uint16_t *words = e->words + i * e->stream;
    size_t at;

    (void)n;
    while (!atomic_load(&e->stop) && (at = atomic_fetch_add(&e->taken, 1)) < e->cols) {
        uint16_t joint = 0;

        if (is_zero_column(e, at) || is_kept(e, at, words))
            continue;
        fill_target(e, at, 0, e->rows, target);
        if (ring_is_read(e))
            joint = rbe_seed_search_join(s, target, e->importance, e->rows, 0);
        search_block(e, s, target, &joint, 0, words);
        store_column(e, at, words);
        if (i == 0 && !rbe_encode_tick(e->job, (double)at / (double)e->cols))
            atomic_store(&e->stop, true);
    }
}

/* Without any search: words that follow from the column's number alone. */
static void columns_drawn(void *arg, unsigned i, unsigned n)
{
    struct encoder *e = arg;
    uint16_t *words = e->words + i * e->stream;

    for (size_t at = i; at < e->cols && !atomic_load(&e->stop); at += n) {
        uint64_t state = (at + 1) * 0xD1B54A32D192ED03ULL;

        for (size_t k = 0; k < e->stream; k++)
            words[k] = (uint16_t)(rbe_random_next(&state) >> 48);
        store_words(e, at, words);
        if (i == 0 && !rbe_encode_tick(e->job, (double)at / (double)e->cols))
            atomic_store(&e->stop, true);
    }
}

/* Under feedback the threads share the blocks of one column: first its targets, then the
 * joints, which need targets of two blocks, then the blocks. */
static void block_targets(void *arg, unsigned i, unsigned n)
{
    struct encoder *e = arg;
    const size_t at = rbe_feedback_column(e->feedback, e->column);

    for (size_t b = i; b < e->block_count; b += n) {
        const size_t first = e->cut[b] * e->block, next = e->cut[b + 1] * e->block;
        const size_t end = next < e->rows ? next : e->rows;

        rbe_feedback_before(e->feedback, e->column, e->w, e->rows, first, end);
        if (e->col[at] > 0)
            fill_target(e, at, first, end, e->target);
    }
}

static void block_joints(void *arg, unsigned i, unsigned n)
{
    struct encoder *e = arg;

    for (size_t b = i; b < e->block_count; b += n)
        if (b || ring_is_read(e))
            e->joint[b] = rbe_seed_search_join(e->search[i], e->target, e->importance,
                                               e->rows, e->cut[b]);
}

static void block_search(void *arg, unsigned i, unsigned n)
{
    struct encoder *e = arg;

    for (size_t b = i; b < e->block_count; b += n)
        search_block(e, e->search[i], e->target, e->joint, b, e->words);
}

static void block_errors(void *arg, unsigned i, unsigned n)
{
    struct encoder *e = arg;
    const size_t at = rbe_feedback_column(e->feedback, e->column);
    const float step = e->col[at] / e->unit;

    for (size_t b = i; b < e->block_count; b += n) {
        const size_t first = e->cut[b] * e->block, next = e->cut[b + 1] * e->block;
        const size_t end = next < e->rows ? next : e->rows;

        rbe_feedback_after(e->feedback, e->column, e->w, e->g + at * e->rows, step, e->rows,
                           first, end);
    }
}

/* Adds the time since the last call to one of the sums. */
static void clock_in(struct encoder *e, double *sum)
{
    const double now = rbe_now();

    *sum += now - e->since;
    e->since = now;
}

/* Rows that bring AHEAD_BITS. */
static size_t rows_ahead(unsigned block)
{
    return (AHEAD_BITS * (size_t)block + 127) / 128;
}

/* Rows of a chunk: whole strips. */
static size_t chunk_rows(unsigned block)
{
    return block < CHUNK_ROWS ? CHUNK_ROWS / block * block : block;
}

/* Words of a chunk and the rows after it, at most: the last may have half as many rows more,
 * and a strip that is not full. */
static size_t words_ahead(unsigned block)
{
    const size_t rows = 2 * chunk_rows(block) + rows_ahead(block);

    return RBE_SEED_WORDS * (rbe_seed_strips(rows, block) + 1);
}

/*
 * Chunk after chunk of a column, the rows after it with it, so that its end suits them; the
 * window with which they begin stays, and is where the next chunk starts from.
 */
static void search_down(struct encoder *e)
{
    const size_t at = rbe_feedback_column(e->feedback, e->column), rows = e->rows;
    const bool ring = ring_is_read(e);
    int16_t *g = e->g + at * rows;
    int start = ring ? e->joint[0] : RBE_SEED_ANY;
    size_t first = 0, next;

    memcpy(e->moved, e->target, rows * sizeof *e->moved);
    for (size_t i = 0; first < rows; i++, first = next) {
        next = rbe_row_feedback_chunk(e->down, i + 1);
        const bool last = next == rows;
        const size_t strip = next / e->block, begin = RBE_SEED_WORDS * (first / e->block);
        const size_t stop = last || next + rows_ahead(e->block) > rows
                                ? rows : next + rows_ahead(e->block);
        const struct rbe_seed_span span = {
            .target = e->moved + first,
            .weight = e->importance + first,
            .first = first,
            .count = stop - first,
            .end = last ? 16 * e->stream : 128 * strip + 16,
            .start = start,
            .tail = !last ? RBE_SEED_ANY : ring ? e->joint[0] : 0,
        };
        const size_t words = span.end / 16 - begin;

        rbe_seed_search_run(e->search[0], &span, e->ahead);
        memcpy(e->words + begin, e->ahead, words * sizeof *e->words);
        if (last)
            return;
        start = e->ahead[words - 1];
        /* The row after the chunk is there for the last word alone. */
        rbe_seed_decode_column(e->format, e->block, e->words, next + 1, g);
        for (size_t m = first; m < next; m++)
            e->error[m] = e->row[m] > 0 ? e->target[m] - (float)g[m] : 0;
        rbe_row_feedback_pass(e->down, first, next, e->error, e->moved);
    }
}

static void columns_in_turn(struct encoder *e)
{
    for (size_t i = 0; i < e->cols && !atomic_load(&e->stop); i++) {
        const size_t at = rbe_feedback_column(e->feedback, i);

        e->column = i;
        rbe_pool_run(e->job->pool, block_targets, e);
        clock_in(e, &e->spent.feedback);
        if (!is_zero_column(e, at) && !is_kept(e, at, e->words)) {
            rbe_pool_run(e->job->pool, block_joints, e);
            if (e->down)
                search_down(e);
            else
                rbe_pool_run(e->job->pool, block_search, e);
            store_column(e, at, e->words);
        }
        clock_in(e, &e->spent.search);
        rbe_pool_run(e->job->pool, block_errors, e);
        clock_in(e, &e->spent.feedback);
        if (!rbe_encode_tick(e->job, (double)i / (double)e->cols))
            atomic_store(&e->stop, true);
    }
}

/* --- scales again ------------------------------------------------------------------------ */

/* The weights less errors are of no use any more: their memory takes W H. */
static enum rbe_status refit(struct encoder *e, struct rbe_diag *d)
{
    const struct rbe_refit f = {
        .rows = e->rows,
        .cols = e->cols,
        .w = e->job->w,
        .g = e->g,
        .moment = e->job->moment,
        .importance = e->job->importance,
        .scratch = e->w,
        .row = e->row,
        .col = e->col,
        .col_unit = e->job->col_scale && !e->job->o->fixed_cols ? e->col_unit * e->unit : 0,
    };
    enum rbe_status err;

    for (size_t n = 0; n < e->cols; n++)
        e->col[n] /= e->unit;
    err = rbe_refit_scales(&f, e->job->pool, d);
    for (size_t n = 0; n < e->cols; n++)
        e->col[n] *= e->unit;
    return err;
}

static enum rbe_status store_scales(struct encoder *e, struct rbe_diag *d)
{
    /* A row fitted past the largest f16 was below it: half of the way is better than none. */
    for (size_t m = 0; m < e->rows; m++)
        e->job->scale[m] =
            rbe_f16_from_f32(fminf(row_to_stored(e, e->row[m]), ROW_LARGEST));
    for (size_t n = 0; n < e->cols && e->job->col_scale; n++) {
        e->job->col_scale[n] = rbe_f16_from_f32(e->col[n] * e->col_unit);
        if (!isfinite(rbe_f16_to_f32(e->job->col_scale[n])))
            return rbe_fail(d, RBE_ERR_NUMERIC, "column %zu is too large for an f16 scale", n);
    }
    return RBE_OK;
}

/* --- all of it --------------------------------------------------------------------------- */

static unsigned search_bits(const struct rbe_encode_options *o)
{
    return o->window ? o->window : o->search == RBE_SEARCH_FAST ? FAST_BITS : 16;
}

/* Row blocks of a column under feedback. */
static size_t blocks_of(size_t rows, size_t strips)
{
    size_t n = rows / BLOCK_ROWS;

    n = n < 1 ? 1 : n > BLOCKS_MAX ? BLOCKS_MAX : n;
    return n > strips ? strips : n;
}

static size_t shares(const struct rbe_encode_part *p, uint32_t cols,
                     const struct rbe_encode_options *o)
{
    return o->moment && o->row_metric ? 1
           : o->moment ? blocks_of(p->rows, rbe_seed_strips(p->rows, p->block))
                       : cols;
}

static void cut_blocks(struct encoder *e)
{
    const bool blocks = e->feedback && !e->job->row_metric;
    const size_t n = blocks ? blocks_of(e->rows, e->strips) : 1;

    e->block_count = n;
    for (size_t b = 0; b <= n; b++)
        e->cut[b] = e->strips * b / n;
}

/* What the outputs cost: those of a row by its scale, which made all rows alike. */
static enum rbe_status weigh_rows(struct encoder *e, struct rbe_diag *d)
{
    const struct rbe_encode_job *j = e->job;
    const unsigned brings = (128 + e->block - 1) / e->block;
    const float cost = search_bits(j->o) < brings + NARROW ? ZERO_COST_NARROW : ZERO_COST;
    double sum = 0;
    size_t live = 0;

    const bool down = e->feedback && j->row_metric;

    if (!j->importance && !e->zero_rows && !down)
        return RBE_OK;
    if (!(e->importance = malloc(e->rows * sizeof *e->importance)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if (down) {
        const enum rbe_status err =
            rbe_row_feedback_open(&e->down, j->row_metric, j->metric_ld, e->row, e->rows,
                                  chunk_rows(e->block), e->importance, j->pool, d);
        if (err)
            return err;
    }
    for (size_t m = 0; m < e->rows; m++) {
        const float row = e->row[m];

        if (!down)
            e->importance[m] = j->importance ? j->importance[m] * row * row : 1;
        sum += row > 0 ? (double)e->importance[m] : 0;
        live += row > 0;
    }
    for (size_t m = 0; m < e->rows && e->zero_rows; m++)
        if (!(e->row[m] > 0))
            e->importance[m] = live ? cost * (float)(sum / (double)live) : 1;
    return RBE_OK;
}

static enum rbe_status prepare(struct encoder *e, struct rbe_diag *d)
{
    const struct rbe_encode_job *j = e->job;
    const size_t n = e->rows * e->cols;
    const unsigned sets = e->feedback ? 1 : e->threads;
    enum rbe_status err;

    cut_blocks(e);
    e->w = malloc(n * sizeof *e->w);
    e->g = malloc(n * sizeof *e->g);
    e->row = malloc(e->rows * sizeof *e->row);
    e->col = malloc(e->cols * sizeof *e->col);
    e->target = malloc(sets * e->rows * sizeof *e->target);
    e->words = malloc(sets * e->stream * sizeof *e->words);
    e->search = calloc(e->threads, sizeof *e->search);
    if (e->feedback && j->row_metric) {
        e->moved = malloc(e->rows * sizeof *e->moved);
        e->error = malloc(e->rows * sizeof *e->error);
        e->ahead = malloc(words_ahead(e->block) * sizeof *e->ahead);
        if (!e->moved || !e->error || !e->ahead)
            return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    }
    if (!e->w || !e->g || !e->row || !e->col || !e->target || !e->words || !e->search)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (unsigned i = 0; i < e->threads && !j->o->drawn; i++) {
        err = rbe_seed_search_open(&e->search[i], e->format, e->block,
                                   search_bits(j->o), NULL, d);
        if (err)
            return err;
    }
    if (j->before)
        take_scales(e);
    else if ((err = find_scales(e, d)) || (err = round_rows(e, d)))
        return err;
    if ((err = weigh_rows(e, d)))
        return err;
    for (size_t m = 0; m < e->rows; m++)
        for (size_t c = 0; c < e->cols; c++)
            e->w[c * e->rows + m] = e->row[m] > 0 ? j->w[m * e->cols + c] / e->row[m] : 0;
    return RBE_OK;
}

static size_t memory(const struct rbe_encode_part *p, uint32_t cols,
                     const struct rbe_encode_options *o, unsigned threads)
{
    const size_t n = (size_t)p->rows * cols, sets = o->moment ? 1 : threads;
    const size_t search = sizeof(struct rbe_seed_search *) +
                          rbe_seed_search_bytes(p->block, search_bits(o));
    const size_t stream = rbe_seed_column_words(p->rows, p->block);

    return n * (sizeof(float) + sizeof(int16_t)) +
           (2 * (size_t)p->rows + cols) * sizeof(float) +
           sets * (p->rows * sizeof(float) + stream * sizeof(uint16_t)) + threads * search +
           (o->moment ? rbe_feedback_bytes(cols, p->rows) : 0) +
           (o->moment && o->row_metric
                ? rbe_row_feedback_bytes(p->rows) + 2 * (size_t)p->rows * sizeof(float) +
                  words_ahead(p->block) * sizeof(uint16_t)
                : 0);
}

static void release(struct encoder *e)
{
    for (unsigned i = 0; e->search && i < e->threads; i++)
        rbe_seed_search_close(&e->search[i]);
    free(e->search);
    free(e->importance);
    free(e->words);
    free(e->target);
    free(e->col);
    free(e->row);
    free(e->g);
    free(e->w);
    free(e->ahead);
    free(e->error);
    free(e->moved);
    rbe_row_feedback_close(&e->down);
    rbe_feedback_close(&e->feedback);
}

static enum rbe_status encode(const struct rbe_encode_job *j, struct rbe_diag *d)
{
    const struct rbe_encode_options *o = j->o;
    struct encoder e = {
        .job = j,
        .format = j->m->format,
        .rows = j->m->rows,
        .cols = j->m->cols,
        .block = j->m->block,
        .strips = rbe_seed_strips(j->m->rows, j->m->block),
        .groups = rbe_seed_groups(j->m->cols),
        .stream = rbe_seed_column_words(j->m->rows, j->m->block),
        .threads = rbe_pool_threads(j->pool),
        .since = rbe_now(),
    };
    enum rbe_status err = RBE_OK;

    if (o->search_scale < 0 || isnan(o->search_scale))
        return rbe_fail(d, RBE_ERR_ARG, "a search scale of %g", (double)o->search_scale);
    e.unit = rbe_seed_sigma(e.format) /
             (o->drawn ? 1 : o->search_scale > 0 ? o->search_scale
                                                 : tuned_scale(e.format, e.block));
    if (j->moment && !o->drawn)
        err = rbe_feedback_open(&e.feedback, j->moment, e.cols, e.rows, o->damping, j->pool,
                                d);
    clock_in(&e, &e.spent.factors);
    if (!err)
        err = prepare(&e, d);
    if (err)
        goto out;
    clock_in(&e, &e.spent.scales);
    if (o->drawn)
        rbe_pool_run(j->pool, columns_drawn, &e);
    else if (e.feedback)
        columns_in_turn(&e);
    else
        rbe_pool_run(j->pool, columns_alone, &e);
    if (!e.feedback || o->drawn)
        clock_in(&e, &e.spent.search);
    if (atomic_load(&e.stop)) {
        err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
        goto out;
    }
    /* Drawn codes have nothing of the weights that scales could be fitted to. */
    err = o->drawn || j->before ? RBE_OK : refit(&e, d);
    if (!err && !j->before)
        err = store_scales(&e, d);
    clock_in(&e, &e.spent.scales);
    if (o->spent) {
        o->spent->factors += e.spent.factors;
        o->spent->feedback += e.spent.feedback;
        o->spent->search += e.spent.search;
        o->spent->scales += e.spent.scales;
    }
out:
    release(&e);
    return err;
}

static double wanted_db(uint32_t block, enum rbe_search s)
{
    static const struct {
        uint32_t block;
        double normal, best;
    } table[] = {{64, 0.9, 0.6}, {44, 1.0, 0.75}, {32, 1.4, 1.1}};

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].block == block && s != RBE_SEARCH_FAST)
            return s == RBE_SEARCH_BEST ? table[i].best : table[i].normal;
    return NAN;
}

const struct rbe_encoder rbe_encoder_seed = {
    .encode = encode, .memory = memory, .shares = shares, .wanted_db = wanted_db};
const struct rbe_encoder rbe_encoder_seed4 = {
    .encode = encode, .memory = memory, .shares = shares};
const struct rbe_encoder rbe_encoder_seedg = {
    .encode = encode, .memory = memory, .shares = shares};
