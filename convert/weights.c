/*
 * weights.c - the weights as they are stored: means moved, of low rank.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "convert/convert_private.h"
#include "rbe/svd.h"

/* Means of the columns [cols], fresh. */
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

const struct rbe_convert_entry *rbe_convert_entry_of(const struct rbe_convert *c,
                                                     enum rbe_role role)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->entries[i].tensor->role == role && c->entries[i].layer < 0)
            return &c->entries[i];
    return NULL;
}

bool rbe_convert_is_centered(const struct rbe_convert *c)
{
    return rbe_convert_entry_of(c, RBE_ROLE_TOKENS)->settings.center;
}

bool rbe_convert_takes_means(const struct rbe_convert *c, const struct rbe_convert_entry *r)
{
    const enum rbe_role role = r->tensor->role;

    return (role == RBE_ROLE_POSITIONS || role == RBE_ROLE_EMBED_MEAN) &&
           rbe_convert_is_centered(c);
}

/* The means moved from the embedding, fresh. */
static enum rbe_status moved_means(float **out, const struct rbe_convert *c, struct rbe_diag *d)
{
    const struct rbe_convert_entry *r = rbe_convert_entry_of(c, RBE_ROLE_TOKENS);
    enum rbe_status err;
    float *x;

    *out = NULL;
    if ((err = rbe_source_read(&x, c->source, r->tensor, d)))
        return err;
    err = column_means(out, x, r->tensor->rows, r->tensor->cols, d);
    free(x);
    return err;
}

uint32_t rbe_convert_rank(const struct rbe_convert *c, const struct rbe_convert_entry *r)
{
    const double bytes = 4.0 * r->tensor->rows * r->tensor->cols / c->o.low_rank;

    return rbe_svd_rank(r->tensor->rows, r->tensor->cols, (size_t)bytes);
}

uint64_t rbe_convert_low_rank_bytes(const struct rbe_convert *c)
{
    uint64_t bytes = c->file_bytes;

    for (size_t i = 0; i < c->count; i++) {
        const struct rbe_convert_entry *r = &c->entries[i];

        if (r->tensor->matrix)
            bytes += rbe_svd_bytes(r->tensor->rows, r->tensor->cols, rbe_convert_rank(c, r)) -
                     rbe_encode_bytes(r->tensor->rows, r->tensor->cols, &r->options);
    }
    return c->o.low_rank > 0 ? bytes : 0;
}

/* Zeros where the source has no such tensor. */
static enum rbe_status read_tensor(float **out, const struct rbe_convert *c,
                                   const struct rbe_source_tensor *t, struct rbe_diag *d)
{
    if (t != &c->embed_mean)
        return rbe_source_read(out, c->source, t, d);
    *out = calloc((size_t)t->rows * t->cols, sizeof **out);
    return *out ? RBE_OK : no_memory(d);
}

enum rbe_status rbe_convert_weights(float **out, const struct rbe_convert *c,
                                    const struct rbe_convert_entry *r, struct rbe_diag *d)
{
    const size_t rows = r->tensor->rows, cols = r->tensor->cols;
    const bool takes = rbe_convert_takes_means(c, r);
    enum rbe_status err = read_tensor(out, c, r->tensor, d);
    float *mean = NULL;

    if (err)
        return err;
    if (takes)
        err = moved_means(&mean, c, d);
    else if (r->tensor->role == RBE_ROLE_TOKENS && r->settings.center)
        err = column_means(&mean, *out, rows, cols, d);
    if (err) {
        free(*out);
        *out = NULL;
        return err;
    }
    const float sign = takes ? 1 : -1;
    for (size_t i = 0; mean && i < rows; i++)
        for (size_t k = 0; k < cols; k++)
            (*out)[i * cols + k] += sign * mean[k];
    free(mean);
    if (c->o.low_rank > 0 && r->tensor->matrix) {
        double error;
        err = rbe_svd_error(&error, *out, (uint32_t)rows, (uint32_t)cols,
                            rbe_convert_rank(c, r), *out, c->o.pool, d);
        if (err) {
            free(*out);
            *out = NULL;
        }
    }
    return err;
}
