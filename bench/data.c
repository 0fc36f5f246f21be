/*
 * data.c - arenas of random codes and scales.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels/format/format.h"

/* Formats share an arena whose codes are alike; those with records have one for each block size
 * and K. */
typedef void fill_fn(uint32_t block, uint32_t aux, void *out, size_t size);

enum { PATTERN = 1 << 20, ARENAS = 32 }; /* bytes of random codes, repeated */

struct arena {
    fill_fn *fill;
    uint32_t block, aux;        /* 0 without records */
    uint8_t *bytes;
    size_t size;
};

struct rbe_data {
    size_t cold_bytes;
    unsigned count;
    struct arena arena[ARENAS];
};

/* What a matrix' codes are filled with, and where they may be cut. */
struct kind {
    fill_fn *fill;
    uint32_t block, aux;
    size_t record;              /* 0: none */
};

static const struct kind halves = {.fill = rbe_fill_halves};

static struct kind kind_of(enum rbe_format f, uint32_t block, uint32_t aux)
{
    const struct rbe_format_ops *ops = rbe_format_ops(f);
    struct kind k = {.fill = ops->fill ? ops->fill : rbe_fill_bytes};

    if (ops->record)
        k = (struct kind){ops->fill, block, aux, ops->record(block, aux)};
    return k;
}

enum rbe_status rbe_data_open(struct rbe_data **out, size_t cold_bytes, struct rbe_diag *d)
{
    struct rbe_data *data = calloc(1, sizeof *data);

    *out = data;
    if (!data)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    data->cold_bytes = (cold_bytes + PATTERN - 1) / PATTERN * PATTERN;
    return RBE_OK;
}

void rbe_data_close(struct rbe_data **d)
{
    if (!*d)
        return;
    for (unsigned i = 0; i < (*d)->count; i++)
        munmap((*d)->arena[i].bytes, (*d)->arena[i].size);
    free(*d);
    *d = NULL;
}

size_t rbe_data_cold_bytes(const struct rbe_data *d)
{
    return d->cold_bytes;
}

static struct arena *find(struct rbe_data *data, const struct kind *k)
{
    for (unsigned i = 0; i < data->count; i++) {
        struct arena *a = &data->arena[i];
        if (a->fill == k->fill && a->block == k->block && a->aux == k->aux)
            return a;
    }
    return NULL;
}

/* An arena of at least `size` bytes.  One that grows moves, so views are cut anew each time. */
static enum rbe_status need(struct rbe_data *data, const struct kind *k, size_t size,
                            struct rbe_diag *d)
{
    struct arena *a = find(data, k);
    size_t unit = PATTERN;

    if (k->record) /* whole ones */
        unit = PATTERN / k->record * k->record;
    if (size < data->cold_bytes)
        size = data->cold_bytes;
    size = (size + unit - 1) / unit * unit;
    if (a && a->size >= size)
        return RBE_OK;
    if (!a && data->count == ARENAS)
        return rbe_fail(d, RBE_ERR_LIMIT, "more than %d block sizes and K at once", ARENAS - 2);
    uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return rbe_fail_errno(d, "%zu MiB of weights", size >> 20);
    /* A mapped model file has small pages; so have these. */
    madvise(p, size, MADV_NOHUGEPAGE);
    k->fill(k->block, k->aux, p, unit);
    for (size_t at = unit; at < size; at += unit)
        memcpy(p + at, p, unit);
    if (a)
        munmap(a->bytes, a->size);
    else
        a = &data->arena[data->count++];
    *a = (struct arena){
        .fill = k->fill, .block = k->block, .aux = k->aux, .bytes = p, .size = size};
    return RBE_OK;
}

static size_t aligned(size_t n)
{
    return (n + 63) / 64 * 64;
}

/* The next `bytes` of an arena, which holds at least so many. */
static const uint8_t *take(const struct arena *a, size_t *at, bool cold, size_t bytes,
                           size_t unit)
{
    if (!cold)
        return a->bytes;
    if (*at + bytes > a->size)
        *at = 0;
    const uint8_t *p = a->bytes + *at;
    *at += (bytes + unit - 1) / unit * unit;
    return p;
}

void rbe_data_move(struct rbe_data *data, struct rbe_cursor *c, bool cold,
                   const struct rbe_matrix_size *size, struct rbe_matrix *w)
{
    const struct kind k = kind_of(w->format, w->block, w->aux);
    const size_t unit = k.record ? k.record : 64;
    const size_t row_scales = aligned(size->scale), scales = row_scales + size->col_scale;

    w->codes = take(find(data, &k), &c->codes, cold, size->codes, unit);
    w->code_bytes = size->codes;
    w->scale = w->col_scale = NULL;
    if (!scales)
        return;
    const uint8_t *p = take(find(data, &halves), &c->scales, cold, scales, 64);
    if (size->scale)
        w->scale = (const uint16_t *)p;
    if (size->col_scale)
        w->col_scale = (const uint16_t *)(p + row_scales);
}

enum rbe_status rbe_data_next(struct rbe_data *data, struct rbe_cursor *c, bool cold,
                              enum rbe_format f, uint32_t rows, uint32_t cols, uint32_t block,
                              uint32_t aux, struct rbe_matrix *w, struct rbe_diag *d)
{
    const struct rbe_matrix_size size = rbe_matrix_size(f, rows, cols, block, aux);
    const struct kind k = size.codes ? kind_of(f, block, aux) : halves;
    enum rbe_status err;

    *w = (struct rbe_matrix){
        .format = f, .rows = rows, .cols = cols, .block = block, .aux = aux};
    if (!size.codes)
        return rbe_fail(d, RBE_ERR_ARG, "%s has no %u x %u matrix with block %u",
                        rbe_format_name(f), rows, cols, block);
    if ((err = need(data, &k, size.codes, d)) ||
        (err = need(data, &halves, aligned(size.scale) + size.col_scale, d)))
        return err;
    rbe_data_move(data, c, cold, &size, w);
    return RBE_OK;
}

double rbe_data_huge_share(const struct rbe_data *d)
{
    double all = 0, huge = 0, kib;
    char line[256];
    FILE *f = fopen("/proc/self/smaps", "r");
    bool ours = false;

    while (f && fgets(line, sizeof line, f)) {
        unsigned long begin, end;
        if (sscanf(line, "%lx-%lx ", &begin, &end) == 2) {
            ours = false;
            for (unsigned i = 0; i < d->count; i++) {
                const unsigned long a = (unsigned long)(uintptr_t)d->arena[i].bytes;
                ours |= a < end && a + d->arena[i].size > begin;
            }
        } else if (ours && sscanf(line, "Rss: %lf", &kib) == 1) {
            all += kib;
        } else if (ours && sscanf(line, "AnonHugePages: %lf", &kib) == 1) {
            huge += kib;
        }
    }
    if (f)
        fclose(f);
    return all > 0 ? huge / all : -1;
}
