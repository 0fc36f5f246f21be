/*
 * convert_allocate.c - shares a conversion's budget by measured sensitivity.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "gpt2/convert.h"
#include "gpt2/sensitivity.h"
#include "kernels/format/seed.h"
#include "rbe/allocate.h"

enum {
    RANGES = 7,                 /* of the rows of a large vocabulary */
    RANGE_ROWS = 64,            /* the first of them has at least so many */
    PROBE_WINDOW = 9,           /* the search of the probes: small, its loss is alike for all */
    CHOICES = RBE_SEED_MAX_BLOCK,       /* every block */
    ROUNDS = 8,                 /* the header grows and shrinks with the numbers in it */
};

/* How far below and above the common rate, in bits a weight, a matrix may go: divergence falls
 * by 4 with each bit near the rate it was measured at, and explodes where little is left. */
#define BELOW 0.6
#define ABOVE 4

/* A matrix, or one range of its rows. */
struct item {
    struct rbe_convert_row *row;
    uint32_t row0, rows;
    double kl;
    struct rbe_allocate_choice choices[CHOICES];
    uint32_t blocks[CHOICES];
};

struct work {
    struct rbe_convert *c;
    struct item *items;
    struct rbe_allocate_item *offers;
    size_t count;
};

/* Token numbers follow the order in which pairs were merged, so they rise as frequency falls,
 * and most of the divergence is in the first rows: ranges of 1/64, 1/64, 1/32, ... 1/2 of the
 * vocabulary, each with its own B. */
static size_t ranges_of(const struct rbe_convert_row *r)
{
    const bool large = r->tensor->rows >> (RANGES - 1) >= RANGE_ROWS;

    return r->tensor_class == RBE_CLASS_WTE && large ? RANGES : 1;
}

static uint32_t range_start(const struct rbe_convert_row *r, size_t i, size_t n)
{
    return i ? r->tensor->rows >> (n - i) : 0;
}

/* The probes' options of a matrix; the weights of its rows are the caller's to set. */
static struct rbe_encode_options probe_options(const struct rbe_convert_row *r,
                                               const float *moment)
{
    struct rbe_encode_options o = r->options;

    o.window = PROBE_WINDOW;
    o.moment = r->choice.feedback ? moment : NULL;
    return o;
}

/* What the error of coding an item's rows, of the matrix x, does to the predictions. */
static enum rbe_status probe(struct work *k, struct item *t, const float *x,
                             struct rbe_sensitivity *s, struct rbe_diag *d)
{
    const struct rbe_convert_row *r = t->row;
    const size_t cols = r->tensor->cols, at = (size_t)t->row0 * cols;
    const struct rbe_calibration *calibration = k->c->o.calibration;
    const float *rows = rbe_calibration_rows(calibration, r->tensor->name);
    struct rbe_encode_options o =
        probe_options(r, rbe_calibration_moment(calibration, r->tensor->name));
    struct rbe_weight w = {0};
    float *change = NULL;
    enum rbe_status err;

    if (o.moment && rows)
        o.row_importance = rows + t->row0;
    err = rbe_encode_weight(&w, x + at, t->rows, (uint32_t)cols, &o, k->c->o.pool, d);
    if (err)
        return err;
    /* Not before: the encoder's own memory is gone by now. */
    if (!(change = malloc(t->rows * cols * sizeof *change))) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    for (size_t m = 0; m < t->rows; m++) {
        rbe_weight_decode_row(&w, m, change + m * cols);
        for (size_t n = 0; n < cols; n++)
            change[m * cols + n] -= x[at + m * cols + n];
    }
    err = rbe_sensitivity_measure(s, r->tensor->name, t->row0, t->rows, change, &t->kl, d);
out:
    rbe_weight_free(&w);
    free(change);
    return err;
}

static enum rbe_status measure_row(struct work *k, struct rbe_convert_row *r,
                                   struct rbe_sensitivity *s, struct rbe_diag *d)
{
    const size_t n = ranges_of(r);
    enum rbe_status err;
    float *x;

    if ((err = rbe_convert_weights(&x, k->c, r, d)))
        return err;
    r->sensitivity = 0;
    for (size_t i = 0; i < n && !err; i++) {
        struct item *t = &k->items[k->count];

        t->row = r;
        t->row0 = range_start(r, i, n);
        t->rows = range_start(r, i + 1, n) - t->row0;
        if ((err = probe(k, t, x, s, d)))
            break;
        k->offers[k->count++] = (struct rbe_allocate_item){
            .choices = t->choices,
            .count = rbe_allocate_seed(t->choices, t->blocks, CHOICES, t->rows,
                                       r->tensor->cols, r->options.scales,
                                       t->kl * r->choice.cost, 128.0 / r->options.block,
                                       BELOW, ABOVE)};
        r->sensitivity += t->kl;
    }
    free(x);
    return err;
}

/* The chosen blocks into the plan's options. */
static enum rbe_status apply(struct work *k, struct rbe_diag *d)
{
    for (size_t i = 0; i < k->count;) {
        struct rbe_convert_row *r = k->items[i].row;
        const size_t n = ranges_of(r);

        if (n == 1) {
            r->options.block = k->items[i].blocks[k->offers[i].chosen];
            i++;
            continue;
        }
        if (!r->own_parts && !(r->own_parts = calloc(n, sizeof *r->own_parts)))
            return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        for (size_t p = 0; p < n; p++, i++)
            r->own_parts[p] = (struct rbe_encode_part){
                k->items[i].rows, r->options.format, k->items[i].blocks[k->offers[i].chosen],
                0};
        r->options.parts = r->own_parts;
        r->options.part_count = n;
    }
    return RBE_OK;
}

/* The plan's one block again. */
static void restore(struct work *k, uint32_t block)
{
    for (size_t i = 0; i < k->count; i++) {
        struct rbe_encode_options *o = &k->items[i].row->options;

        o->block = block;
        o->parts = NULL;
        o->part_count = 0;
    }
}

/*
 * What the file takes besides the items is known once a plan stands: plan, compare, correct.
 * Leaves the common block, for which there is room, where no allocation finds any.
 */
static enum rbe_status fit(struct work *k, struct rbe_diag *d)
{
    struct rbe_convert *c = k->c;
    const uint32_t block = k->items[0].row->options.block;
    uint64_t others = 0;
    enum rbe_status err;

    for (int round = 0; round < ROUNDS && others <= c->budget_bytes; round++) {
        uint64_t bytes = 0, size;

        if (rbe_allocate(k->offers, k->count, c->budget_bytes - others, NULL))
            break;
        if ((err = apply(k, d)) || (err = rbe_convert_size(&size, c, d)))
            return err;
        for (size_t i = 0; i < k->count; i++)
            bytes += k->items[i].choices[k->offers[i].chosen].bytes;
        if (size <= c->budget_bytes && round) {
            c->file_bytes = size;
            c->measured = true;
            return RBE_OK;
        }
        others = size - bytes + (round ? 64 : 0);       /* alignment moves a little */
    }
    restore(k, block);
    return RBE_OK;
}

size_t rbe_convert_allocate_bytes(const struct rbe_convert *c, unsigned threads)
{
    static const float some[1];         /* stands for a moment that is not looked at */
    size_t most = 0, items = 0;

    for (size_t i = 0; i < c->count; i++) {
        const struct rbe_convert_row *r = &c->rows[i];
        const size_t n = ranges_of(r), matrix = (size_t)r->tensor->rows * r->tensor->cols;
        const struct rbe_encode_options o = probe_options(r, some);

        if (!rbe_convert_is_open(r))
            continue;
        /* The last range is the largest; its change and what it replaces come later. */
        const uint32_t rows = r->tensor->rows - range_start(r, n - 1, n);
        const size_t change = 2 * (size_t)rows * r->tensor->cols * sizeof(float) +
                              rbe_encode_bytes(rows, r->tensor->cols, &o);
        const size_t coding = rbe_encode_memory(rows, r->tensor->cols, &o, threads);
        const size_t own = matrix * sizeof(float) + (coding > change ? coding : change);
        most = own > most ? own : most;
        items += n;
    }
    return items ? rbe_sensitivity_bytes(&c->source->config) + most +
                   items * (sizeof(struct item) + sizeof(struct rbe_allocate_item))
                 : 0;
}

enum rbe_status rbe_convert_allocate(struct rbe_convert *c, const char *model_path,
                                     struct rbe_diag *d)
{
    struct rbe_sensitivity *s = NULL;
    struct work k = {.c = c};
    size_t items = 0;
    double total = 0, done = 0;
    enum rbe_status err = RBE_OK;

    for (size_t i = 0; i < c->count; i++)
        if (rbe_convert_is_open(&c->rows[i])) {
            items += ranges_of(&c->rows[i]);
            total += (double)c->rows[i].tensor->rows * c->rows[i].tensor->cols;
        }
    if (!items)
        return RBE_OK;
    if (!c->o.calibration || !c->budget_bytes)
        return rbe_fail(d, RBE_ERR_ARG, "measured allocation needs a calibration text and a "
                        "budget");
    k.items = calloc(items, sizeof *k.items);
    k.offers = calloc(items, sizeof *k.offers);
    if (!k.items || !k.offers) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    if (c->o.progress)
        rbe_progress_start(c->o.progress, "measure", "weights", total);
    err = rbe_sensitivity_open(&s, model_path, c->o.calibration, c->o.pool, d);
    for (size_t i = 0; i < c->count && !err; i++) {
        struct rbe_convert_row *r = &c->rows[i];

        if (!rbe_convert_is_open(r))
            continue;
        if (rbe_interrupted())
            err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
        else
            err = measure_row(&k, r, s, d);
        done += (double)r->tensor->rows * r->tensor->cols;
        if (c->o.progress)
            rbe_progress_update(c->o.progress, done, r->tensor->name);
    }
    if (c->o.progress)
        rbe_progress_end(c->o.progress);
    rbe_sensitivity_close(&s);
    if (!err)
        err = fit(&k, d);
out:
    free(k.items);
    free(k.offers);
    return err;
}
