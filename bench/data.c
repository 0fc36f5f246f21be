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

#include "kernels/f16.h"
#include "kernels/format/hybrid.h"

/* Codes that any bytes are valid for share an arena; floats must be finite; hybrid's records
 * have an arena for each block size and K. */
enum kind { BYTES, FLOATS, HALVES, RECORDS };

enum { PATTERN = 1 << 20, ARENAS = 32 }; /* bytes of random codes, repeated */

struct arena {
    enum kind kind;
    uint32_t block, aux;
    uint8_t *bytes;
    size_t size;
};

struct rbe_data {
    size_t cold_bytes;
    unsigned count;
    struct arena arena[ARENAS];
};

static uint64_t next_random(uint64_t *s)
{
    *s ^= *s >> 12;
    *s ^= *s << 25;
    *s ^= *s >> 27;
    return *s * 0x2545F4914F6CDD1DULL;
}

static enum kind kind_of(enum rbe_format f)
{
    switch (f) {
    case RBE_F32:
    case RBE_PACKED128:
        return FLOATS;
    case RBE_F16:
        return HALVES;
    case RBE_HYBRID:
        return RECORDS;
    default:
        return BYTES;
    }
}

static float unit_float(uint32_t r)
{
    return (float)(int32_t)r * 0x1p-31F;
}

static void fill_words(enum kind k, uint8_t *out, size_t size)
{
    uint64_t s = 20250131;

    for (size_t i = 0; i < size / 8; i++) {
        const uint64_t r = next_random(&s);
        uint64_t v = r;
        if (k == FLOATS) {
            const float f[2] = {unit_float((uint32_t)r), unit_float((uint32_t)(r >> 32))};
            memcpy(&v, f, sizeof v);
        } else if (k == HALVES) {
            v = 0; /* random signs and mantissas, 2^-6 <= |v| < 2^-5 */
            for (int j = 0; j < 4; j++)
                v |= ((r >> 16 * j & 0x83FF) | 9 << 10) << 16 * j;
        }
        memcpy(out + 8 * i, &v, sizeof v);
    }
}

/* Records with K entries in the order of their indices, spread evenly over the block. */
static void fill_records(uint32_t block, uint32_t aux, uint8_t *out, size_t size)
{
    const size_t bytes = rbe_hybrid_bytes(block, aux), k = rbe_hybrid_k(aux);
    const unsigned log2_block = rbe_hybrid_log2(block);
    uint64_t s = 20250201;

    memset(out, 0, size);
    for (size_t at = 0; at + bytes <= size; at += bytes) {
        for (unsigned m = 0; m < RBE_HYBRID_BASIS; m++)
            rbe_hybrid_put_coefficient(out + at, aux, m, unit_float((uint32_t)next_random(&s)));
        for (size_t e = 0; e < k; e++) {
            const size_t cells = (size_t)block * block, low = cells * e / k;
            const size_t span = cells * (e + 1) / k - low;
            const uint64_t r = next_random(&s);
            const unsigned cell = (unsigned)(low + r % span);
            rbe_hybrid_put(out + at, log2_block, aux, e,
                           (struct rbe_hybrid_entry){.k = cell >> log2_block,
                                                     .l = cell & (block - 1),
                                                     .value = unit_float((uint32_t)(r >> 32))});
        }
    }
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

static struct arena *find(struct rbe_data *data, enum kind k, uint32_t block, uint32_t aux)
{
    for (unsigned i = 0; i < data->count; i++) {
        struct arena *a = &data->arena[i];
        if (a->kind == k && (k != RECORDS || (a->block == block && a->aux == aux)))
            return a;
    }
    return NULL;
}

/* An arena of at least `size` bytes.  One that grows moves, so views are cut anew each time. */
static enum rbe_status need(struct rbe_data *data, enum kind k, uint32_t block, uint32_t aux,
                            size_t size, struct rbe_diag *d)
{
    struct arena *a = find(data, k, block, aux);
    size_t unit = PATTERN;

    if (k == RECORDS) /* whole records */
        unit = PATTERN / rbe_hybrid_bytes(block, aux) * rbe_hybrid_bytes(block, aux);
    if (size < data->cold_bytes)
        size = data->cold_bytes;
    size = (size + unit - 1) / unit * unit;
    if (a && a->size >= size)
        return RBE_OK;
    if (!a && data->count == ARENAS)
        return rbe_fail(d, RBE_ERR_LIMIT, "more than %d block sizes and K of hybrid at once",
                        ARENAS - 2);
    uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return rbe_fail_errno(d, "%zu MiB of weights", size >> 20);
    /* A mapped model file has small pages; so have these. */
    madvise(p, size, MADV_NOHUGEPAGE);
    if (k == RECORDS)
        fill_records(block, aux, p, unit);
    else
        fill_words(k, p, unit);
    for (size_t at = unit; at < size; at += unit)
        memcpy(p + at, p, unit);
    if (a)
        munmap(a->bytes, a->size);
    else
        a = &data->arena[data->count++];
    *a = (struct arena){.kind = k, .block = block, .aux = aux, .bytes = p, .size = size};
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
    const enum kind k = kind_of(w->format);
    const size_t unit = k == RECORDS ? rbe_hybrid_bytes(w->block, w->aux) : 64;
    const size_t row_scales = aligned(size->scale), scales = row_scales + size->col_scale;

    w->codes = take(find(data, k, w->block, w->aux), &c->codes, cold, size->codes, unit);
    w->code_bytes = size->codes;
    w->scale = w->col_scale = NULL;
    if (!scales)
        return;
    const uint8_t *p = take(find(data, HALVES, 0, 0), &c->scales, cold, scales, 64);
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
    enum rbe_status err;

    *w = (struct rbe_matrix){
        .format = f, .rows = rows, .cols = cols, .block = block, .aux = aux};
    if (!size.codes)
        return rbe_fail(d, RBE_ERR_ARG, "%s has no %u x %u matrix with block %u",
                        rbe_format_name(f), rows, cols, block);
    if ((err = need(data, kind_of(f), block, aux, size.codes, d)) ||
        (err = need(data, HALVES, 0, 0, aligned(size.scale) + size.col_scale, d)))
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
