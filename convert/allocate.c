/*
 * allocate.c - shares a conversion's budget by measured sensitivity.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lock.h"
#include "convert/convert_private.h"
#include "convert/sensitivity.h"
#include "grad/product.h"
#include "rbe/allocate.h"
#include "rbe/container.h"

enum {
    RANGES = 7,                 /* of the rows of a large vocabulary */
    RANGE_ROWS = 64,            /* the first of them has at least so many */
    PROBE_WINDOW = 9,           /* the search of the probes: small, its loss is alike for all;
                                 * so is that of columns which are not fitted again */
    CHOICES = 4096,             /* blocks of an item, at most */
    ROUNDS = 8,                 /* the header grows and shrinks with the numbers in it */
};

/* Changes whenever a probe would give another divergence for the same error. */
#define PROBES "rbe-probes-3"

/* How far below and above the common rate, in bits a weight, a matrix may go: divergence falls
 * by 4 with each bit near the rate it was measured at, and explodes where little is left. */
#define BELOW 0.6
#define ABOVE 4

/* Divergences of probes, by rbe_convert's folder kept from run to run. */
struct known {
    char (*keys)[65];
    double *kl;
    size_t count, room;
};

/* A matrix, or one range of its rows. */
struct item {
    struct rbe_convert_entry *row;
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
    const char *model_path;
    struct rbe_sensitivity *s;  /* opened for the first probe */
    char base[65];              /* what every probe depends on: model and text */
    struct known known;
    size_t items_most;          /* that can be known beside those that are kept */
    char name[32];              /* of what is kept in a shared folder, without .rbe */
    int lock;                   /* of that, from the first probe that it has not; else -1 */
    bool waited;                /* for the lock */
};

/* Token numbers follow the order in which pairs were merged, so they rise as frequency falls,
 * and most of the divergence is in the first rows: ranges of 1/64, 1/64, 1/32, ... 1/2 of the
 * vocabulary, each with its own B. */
static size_t ranges_of(const struct rbe_convert_entry *r)
{
    const bool large = r->tensor->rows >> (RANGES - 1) >= RANGE_ROWS;

    return r->tensor_class == RBE_CLASS_WTE && large ? RANGES : 1;
}

static uint32_t range_start(const struct rbe_convert_entry *r, size_t i, size_t n)
{
    return i ? r->tensor->rows >> (n - i) : 0;
}

/* The probes' options of a matrix; the weights of its rows are the caller's to set. */
static struct rbe_encode_options probe_options(const struct rbe_convert_entry *r,
                                               const float *moment)
{
    struct rbe_encode_options o = r->options;

    o.window = PROBE_WINDOW;
    o.fixed_cols = true;
    o.moment = r->settings.feedback ? moment : NULL;
    return o;
}

/* --- kept on disk ------------------------------------------------------------------------- */

static enum rbe_status set_base(struct work *k, struct rbe_diag *d)
{
    const struct rbe_convert *c = k->c;
    const struct rbe_calibration *text = c->o.calibration;
    const size_t tokens = rbe_calibration_tokens(text);
    char all[300], ids[65], shape[65];

    if (rbe_sha256(ids, rbe_calibration_text(text), tokens * sizeof(uint32_t)) ||
        rbe_sha256(shape, &c->source->config, sizeof c->source->config))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    const int n = snprintf(all, sizeof all, PROBES " %s %s %zu %s %zu %s", c->source->sha256,
                           shape, tokens, ids, rbe_profile_probes(c->o.profile),
                           rbe_calibration_is_bf16(text) ? "bf16" : "f32");
    return rbe_sha256(k->base, all, (size_t)n) ? rbe_fail(d, RBE_ERR_NOMEM, "out of memory")
                                               : RBE_OK;
}

/* Of all that an item's divergence depends on. */
static enum rbe_status item_key(char hex[65], const struct work *k, const struct item *t,
                                const float *x, const struct rbe_encode_options *o,
                                struct rbe_diag *d)
{
    char code[65], text[300];

    if (rbe_encode_key(code, x, t->rows, t->row->tensor->cols, o))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    const int n = snprintf(text, sizeof text, "%s %s %u %s", k->base, t->row->tensor->name,
                           t->row0, code);
    return rbe_sha256(hex, text, (size_t)n) ? rbe_fail(d, RBE_ERR_NOMEM, "out of memory")
                                            : RBE_OK;
}

/* What is kept in a shared folder has a name for each model, text, and plan: conversions that
 * measure the same things have one. */
static enum rbe_status set_name(struct work *k, struct rbe_diag *d)
{
    char all[400], hex[65];
    enum rbe_status err = RBE_OK;

    snprintf(hex, sizeof hex, "%s", k->base);
    for (size_t i = 0; i < k->c->count && !err; i++) {
        const struct rbe_convert_entry *r = &k->c->entries[i];
        const struct rbe_encode_options *o = &r->options;
        if (!rbe_convert_is_open(r))
            continue;
        const int n = snprintf(all, sizeof all, "%s %s %d %u %u %u %d", hex, r->tensor->name,
                               (int)o->format, o->block, o->aux, o->hadamard,
                               (int)o->search);
        err = rbe_sha256(hex, all, (size_t)n);
    }
    snprintf(k->name, sizeof k->name, "allocation-%.16s", hex);
    return err ? rbe_fail(d, err, "out of memory") : RBE_OK;
}

/* NULL: it is not kept. */
static char *known_path(const struct work *k)
{
    const char *folder = k->c->o.shared ? k->c->o.shared : k->c->folder;
    char name[48];

    snprintf(name, sizeof name, "%s.rbe", k->c->o.shared ? k->name : "allocation");
    return folder ? rbe_path_join(folder, name) : NULL;
}

static void free_known(struct known *n)
{
    free(n->keys);
    free(n->kl);
    *n = (struct known){0};
}

/* What earlier runs measured, with room for all there is to measure. */
static enum rbe_status open_known(struct work *k, struct rbe_diag *d)
{
    struct known *n = &k->known;
    struct rbe_container *file = NULL;
    const struct rbe_tensor *keys = NULL, *kl = NULL;
    char *path = known_path(k);

    free_known(n);
    if (path && !access(path, R_OK) && !rbe_container_open(&file, path, true, NULL)) {
        keys = rbe_safetensors_find(rbe_container_file(file), "keys");
        kl = rbe_safetensors_find(rbe_container_file(file), "kl");
    }
    const bool good = keys && kl && kl->dtype == RBE_DT_F64 && kl->dims == 1 &&
                      keys->bytes == kl->count * sizeof *n->keys;
    n->count = good ? (size_t)kl->count : 0;
    n->room = n->count + k->items_most;
    n->keys = calloc(n->room, sizeof *n->keys);
    n->kl = calloc(n->room, sizeof *n->kl);
    const bool memory = n->keys && n->kl;
    if (memory && good) {
        memcpy(n->keys, keys->data, keys->bytes);
        memcpy(n->kl, kl->data, kl->bytes);
    }
    rbe_container_close(&file);
    free(path);
    return memory ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
}

static bool look_up(const struct known *n, const char *key, double *kl)
{
    for (size_t i = 0; i < n->count; i++)
        if (!memcmp(n->keys[i], key, sizeof n->keys[i])) {
            *kl = n->kl[i];
            return true;
        }
    return false;
}

/* The first that is not known: whether it is once no other process is measuring. */
static bool wait_turn(struct work *k, const char *key, double *kl, enum rbe_status *err,
                      struct rbe_diag *d)
{
    char name[48];

    if (!k->c->o.shared || k->waited)
        return false;
    k->waited = true;
    snprintf(name, sizeof name, "%s.lock", k->name);
    char *path = rbe_path_join(k->c->o.shared, name);
    if (path)
        k->lock = rbe_lock_take(path, "another process's measurements");
    free(path);
    if (k->lock >= 0)
        rbe_remove_temporaries(k->c->o.shared, k->name);
    *err = rbe_interrupted() ? rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted")
                             : open_known(k, d);
    return !*err && look_up(&k->known, key, kl);
}

/* Adds one and keeps all; where that fails, the work goes on without. */
static void keep_known(struct work *k, const char *key, double kl)
{
    struct known *n = &k->known;
    struct rbe_diag *why = &k->c->unkept;
    struct rbe_container_builder *b = NULL;
    char *path = known_path(k);

    memcpy(n->keys[n->count], key, sizeof n->keys[0]);
    n->kl[n->count++] = kl;
    const uint64_t keys[2] = {n->count, sizeof n->keys[0]}, count[1] = {n->count};
    why->text[0] = 0;
    if (path && !rbe_container_begin(&b, why) &&
        !rbe_container_add_tensor(b, "keys", RBE_DT_U8, 2, keys, n->keys, why) &&
        !rbe_container_add_tensor(b, "kl", RBE_DT_F64, 1, count, n->kl, why))
        rbe_container_write(b, path, why);
    rbe_container_end(&b);
    free(path);
}

/* --- measuring ---------------------------------------------------------------------------- */

/* What the error of coding an item's rows, of the matrix x whose inputs have this moment, does
 * to the predictions. */
static enum rbe_status probe(struct work *k, struct item *t, const float *x,
                             const float *moment, struct rbe_diag *d)
{
    const struct rbe_convert_entry *r = t->row;
    const size_t cols = r->tensor->cols, at = (size_t)t->row0 * cols;
    const struct rbe_calibration *calibration = k->c->o.calibration;
    const float *rows = rbe_convert_importance(k->c, r);
    struct rbe_encode_options o = probe_options(r, moment);
    struct rbe_weight w = {0};
    float *change = NULL;
    enum rbe_status err;
    char key[65];

    if (o.moment && rows)
        o.row_importance = rows + t->row0;
    if ((err = item_key(key, k, t, x + at, &o, d)))
        return err;
    k->c->probes++;
    err = RBE_OK;
    if (look_up(&k->known, key, &t->kl) || wait_turn(k, key, &t->kl, &err, d)) {
        k->c->probes_reused++;
        return RBE_OK;
    }
    if (err)
        return err;
    if (!k->s && (err = rbe_sensitivity_open(&k->s, k->model_path, calibration,
                                             rbe_profile_probes(k->c->o.profile),
                                             rbe_calibration_is_bf16(calibration),
                                             k->c->o.pool, d)))
        return err;
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
    err = rbe_sensitivity_measure(k->s, r->tensor->weight_name, r->tensor->row0 + t->row0,
                                  t->rows, change, &t->kl, d);
    if (!err)
        keep_known(k, key, t->kl);
    if (!err && rbe_interrupted())
        err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
out:
    rbe_weight_free(&w);
    free(change);
    return err;
}

static enum rbe_status measure_entry(struct work *k, struct rbe_convert_entry *r,
                                     struct rbe_diag *d)
{
    const unsigned strip_bits = rbe_format_facts(r->options.format)->strip_bits;
    const double bits = (double)strip_bits / r->options.block;
    const size_t n = ranges_of(r);
    float *x = NULL, *moment = NULL;
    enum rbe_status err;

    if ((err = rbe_convert_weights(&x, k->c, r, d)) ||
        (err = rbe_convert_moment(&moment, k->c, r, d)))
        goto out;
    r->sensitivity = 0;
    for (size_t i = 0; i < n && !err; i++) {
        struct item *t = &k->items[k->count];

        t->row = r;
        t->row0 = range_start(r, i, n);
        t->rows = range_start(r, i + 1, n) - t->row0;
        if ((err = probe(k, t, x, moment, d)))
            break;
        k->offers[k->count++] = (struct rbe_allocate_item){
            .choices = t->choices,
            .count = rbe_allocate_blocks(t->choices, t->blocks, CHOICES, r->options.format,
                                         t->rows, r->tensor->cols, r->options.scales,
                                         t->kl * r->settings.cost, bits, BELOW, ABOVE)};
        r->sensitivity += t->kl;
    }
out:
    free(x);
    free(moment);
    return err;
}

/* The chosen blocks into the plan's options. */
static enum rbe_status apply(struct work *k, struct rbe_diag *d)
{
    for (size_t i = 0; i < k->count;) {
        struct rbe_convert_entry *r = k->items[i].row;
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
        const struct rbe_convert_entry *r = &c->entries[i];
        const size_t n = ranges_of(r), matrix = (size_t)r->tensor->rows * r->tensor->cols;
        const struct rbe_encode_options o = probe_options(r, some);

        if (!rbe_convert_is_open(r))
            continue;
        /* The last range is the largest; its change and what it replaces come later. */
        const uint32_t rows = r->tensor->rows - range_start(r, n - 1, n);
        const size_t change = 2 * (size_t)rows * r->tensor->cols * sizeof(float) +
                              rbe_encode_bytes(rows, r->tensor->cols, &o);
        const size_t coding = rbe_encode_memory(rows, r->tensor->cols, &o, threads);
        const size_t moment = (size_t)r->tensor->cols * r->tensor->cols;
        const size_t own = (matrix + moment) * sizeof(float) +
                           (coding > change ? coding : change);
        most = own > most ? own : most;
        items += n;
    }
    const size_t probes = rbe_profile_probes(c->o.profile);
    return items ? rbe_sensitivity_bytes(&c->source->config, probes,
                                         rbe_product_has_bf16(), threads) + most +
                   items * (sizeof(struct item) + sizeof(struct rbe_allocate_item))
                 : 0;
}

enum rbe_status rbe_convert_allocate(struct rbe_convert *c, const char *model_path,
                                     struct rbe_diag *d)
{
    struct work k = {.c = c, .model_path = model_path, .lock = -1};
    size_t items = 0;
    double total = 0, done = 0;
    enum rbe_status err = RBE_OK;

    for (size_t i = 0; i < c->count; i++)
        if (rbe_convert_is_open(&c->entries[i])) {
            items += ranges_of(&c->entries[i]);
            total += (double)c->entries[i].tensor->rows * c->entries[i].tensor->cols;
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
    k.items_most = items;
    if ((err = set_base(&k, d)) || (err = set_name(&k, d)) || (err = open_known(&k, d)))
        goto out;
    if (c->o.progress)
        rbe_progress_start(c->o.progress, "measure", "weights", total);
    for (size_t i = 0; i < c->count && !err; i++) {
        struct rbe_convert_entry *r = &c->entries[i];

        if (!rbe_convert_is_open(r))
            continue;
        err = measure_entry(&k, r, d);
        done += (double)r->tensor->rows * r->tensor->cols;
        if (c->o.progress)
            rbe_progress_update(c->o.progress, done, r->tensor->name);
    }
    if (c->o.progress)
        rbe_progress_end(c->o.progress);
    rbe_sensitivity_close(&k.s);
    if (!err)
        err = fit(&k, d);
out:
    rbe_lock_drop(&k.lock);
    free_known(&k.known);
    free(k.items);
    free(k.offers);
    return err;
}
